-- The README's experiment and commands, as they stand there.

local cli = require "support.cli"

local function read(path)
  local f <close> = assert(io.open(path))
  return f:read "a"
end

describe("README.md", function()
  it("has an experiment that runs, and commands that work", function()
    local text = read(cli.root .. "/README.md")
    local box <close> = cli.sandbox()
    box:write("experiment.lua", assert(text:match "```lua\n(local xpm.-)```"))
    box:write("full.yaml", assert(text:match "```yaml\n(.-)```"))
    local ran = {}
    for command in text:gmatch "\n    xpm ([^\n]+)" do
      local args = {}
      for word in command:gmatch "%S+" do args[#args + 1] = word end
      local r = box:run(args)
      assert.equal(0, r.code, command .. "\n" .. r.err)
      ran[#ran + 1] = r.out
    end
    assert.equal(5, #ran)
    assert.equal("16\n25\n36\n", (ran[1]:gsub("%.0", "")))
    assert.equal("49\n64\n", (ran[2]:gsub("%.0", "")))
    assert.is_truthy(ran[3]:find '"numbers": %[')
    assert.is_truthy(ran[4]:find "^squares %[.-%] %(3/3 jobs%)\n$", ran[4])
    assert.equal(8, select(2, ran[5]:gsub("\n", "")), ran[5])
  end)

  it("has an embedding that works in plain Lua, and targets that make knows", function()
    local text = read(cli.root .. "/README.md")
    local box <close> = cli.sandbox()
    local code = assert(text:match "From any Lua 5.4 program:\n\n```lua\n(.-)```")
    box:write("embed.lua", code .. "\nprint(xp)\n")
    local out = box:shell(("LUA_PATH='%s/lua/?.lua;%s/lua/?/init.lua;;' LUA_CPATH='%s/lib/?.so;;' lua5.4 embed.lua 2>&1")
      :format(cli.root, cli.root, cli.build))
    assert.is_truthy(out:find "^xpm%.Experiment my%-experiment %(%d+_%d+%)\n$", out)
    local makefile = read(cli.root .. "/Makefile")
    for target in text:gmatch "`?make ([%l%-]+)" do
      assert.is_truthy(makefile:find("\n" .. target .. "[^\n=]*:", 1), target)
    end
  end)
end)
