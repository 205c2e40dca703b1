-- xpm.engine: two jobs, one depending on the other, from submit to done, and the identifier. Whatever fails on the way,
-- the next engine on the same workspace brings both jobs to their end.
local engine = require "xpm.engine"

local HASH = { ("0123456789abcdef"):rep(4), ("fedcba9876543210"):rep(4) }

local function work(dir)
  local handle, message = engine.open { workdir = dir, jobs = 2 }
  if not handle then return nil, message end
  local _ <close> = setmetatable({}, { __close = function() handle:close() end })
  local first, second
  first, message = handle:submit { task = "t.first", hash = HASH[1], name = "first", argv = { "true" }, params = "{}",
    env = { A = "b", C = false } }
  if not first then return nil, message end
  second, message = handle:submit { task = "t.second", hash = HASH[2], name = "second", params = "{}",
    argv = { "sh", "-c", "echo x > out" }, outputs = { "out" }, deps = { first } }
  if not second then return nil, message end
  local result
  repeat
    result, message = handle:step(30)
    if not result then return nil, message end
    assert(result ~= "timeout", "the jobs do not end")
    local event
    repeat event = handle:next_event() until not event
  until result == "idle"
  local counts = handle:counts()
  if counts.done ~= 2 then return nil, "jobs ended in error: " .. tostring(handle:job(first).message) end
  return true
end

return {
  setup = function()
    local p = assert(io.popen "mktemp -d")
    local dir = p:read "l"
    p:close()
    return dir
  end,
  run = function(dir)
    local hash = engine.identifier("t", { lr = 0.1, list = { 1, 2, "x" }, map = { a = true } })
    assert(#hash == 64)
    return work(dir)
  end,
  check = function(dir)
    assert(work(dir))
    assert(os.execute("rm -rf '" .. dir .. "'"))
  end,
}
