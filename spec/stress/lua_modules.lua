-- Lua modules that need nothing of C: what holds without memory to spare, and under a busy collector.
local text = require "xpm.text"
local mock = require "xpm.mock"

return {
  run = function()
    assert(text.clean "a\27[31mred\27[0m\xFF" == "ared\\xFF")
    assert(text.truncate("漢字漢字", 5) == "漢字…")
    assert(#text.table({ { "a", 1 }, { "bb", 20 } }, { header = { "x", "y" } }) == 3)
    local handle = mock.mock_modules { "torch" }
    local ok, problem = pcall(function()
      local torch = require "torch"
      local Net = setmetatable({}, { __index = torch.nn.Module })
      assert(tostring(torch.nn.Linear(3, 4)):find "torch")
      assert(Net.forward)
      for _ in ipairs(torch.list) do error "a fake has items" end
      return coroutine.wrap(function() return torch.x + 1 end)()
    end)
    handle:remove()
    if not ok then error(problem, 0) end
    return true
  end,
  check = function() assert(package.loaded.torch == nil) end,
}
