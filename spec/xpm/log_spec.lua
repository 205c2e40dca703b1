-- The modules in C are stood in for: what is tested is what the log does with their answers.
local function fresh(terminal)
  package.loaded["xpm.log"] = nil
  local sys, config = package.loaded["xpm.sys"], package.loaded["xpm.config"]
  package.loaded["xpm.sys"] = { isatty = function(fd) return fd == 2 and terminal or false end }
  package.loaded["xpm.config"] = { nearest = function(word) return word == "wran" and "warn" or nil end }
  local log = require "xpm.log"
  local lines = {}
  log.sink(function(line, level, module) lines[#lines + 1] = { line, level, module } end)
  return log, lines, function()
    package.loaded["xpm.log"], package.loaded["xpm.sys"], package.loaded["xpm.config"] = nil, sys, config
  end
end

describe("xpm.log", function()
  local log, lines, restore
  before_each(function() log, lines, restore = fresh(false) end)
  after_each(function() restore() end)

  local function texts()
    local out = {}
    for i, line in ipairs(lines) do out[i] = line[1]:gsub("^%d%d:%d%d:%d%d ", "") end
    return out
  end

  it("writes time, level, module and text, from warn on", function()
    log.info("not shown")
    log.warn("%d of %s", 3, "x")
    log.error("bad")
    assert.same({ "WARN xpm: 3 of x", "ERROR xpm: bad" }, texts())
    assert.matches("^%d%d:%d%d:%d%d WARN ", lines[1][1])
    assert.same({ "warn", "xpm" }, { lines[1][2], lines[1][3] })
  end)

  it("formats only with arguments, and shows a wrong format instead of raising", function()
    log.warn("100% sure")
    log.warn("%d", "x")
    log.warn({} and 12)
    log.warn("%s %s", nil, true)
    local out = texts()
    assert.equal("WARN xpm: 100% sure", out[1])
    assert.matches("^WARN xpm: %%d %[x%] %(.*number expected", out[2])
    assert.equal("WARN xpm: 12", out[3])
    assert.equal("WARN xpm: nil true", out[4])
  end)

  it("has a level per module, inherited along the dots", function()
    local loader, data, other = log.module "data.loader", log.module "data", log.module "database"
    assert.equal(loader, log.module "data.loader")
    log.set_level("debug", "data")
    loader.debug("1")
    data.trace("no")
    other.debug("no")
    log.set_level("error", "data.loader")
    loader.warn("no")
    data.debug("2")
    log.set_level("trace")
    other.trace("3")
    assert.same({ "DEBUG data.loader: 1", "DEBUG data: 2", "TRACE database: 3" }, texts())
    assert.equal("trace", log.level())
    assert.equal("error", log.level "data.loader")
    assert.is_true(data.enabled "debug")
    assert.is_false(data.enabled "trace")
  end)

  it("takes levels in any case and names the nearest of an unknown one", function()
    log.set_level("DEBUG")
    assert.equal("debug", log.level())
    local ok, message = pcall(function() log.set_level("wran") end)
    assert.is_false(ok)
    assert.matches("^[^:]*log_spec%.lua:%d+: unknown log level 'wran' %(did you mean 'warn'%?%); levels are trace,"
      .. " debug, info, warn, error$", message)
    assert.error_matches(function() log.set_level(3) end, "unknown log level '3'; levels are")
    assert.error_matches(function() log.set_level("info", 3) end, "must be a name")
    assert.error_matches(function() log.module("") end, "takes a module's name")
  end)

  it("makes messages harmless and indents their further lines", function()
    log.warn("a\27[31mb\0\n%s\n", "12:00:00 ERROR xpm: forged")
    assert.same({ "WARN xpm: ab\n  12:00:00 ERROR xpm: forged" }, texts())
  end)

  it("gives the sink back", function()
    local mine = function() end
    local previous = log.sink(mine)
    assert.is_function(previous)
    assert.equal(mine, log.sink(previous))
    log.warn("again")
    assert.equal(1, #lines)
  end)
end)

describe("the colours of xpm.log", function()
  local getenv = os.getenv
  local environment
  before_each(function()
    environment = { TERM = "xterm" }
    os.getenv = function(name) return environment[name] end -- luacheck: ignore 122
  end)
  after_each(function() os.getenv = getenv end) -- luacheck: ignore 122

  local function warned(terminal)
    local log, lines, restore = fresh(terminal)
    log.warn("x")
    restore()
    return lines[1][1]
  end

  it("are for terminals", function()
    assert.matches("\27%[33mWARN\27%[0m xpm: x$", warned(true))
    assert.is_nil(warned(false):find("\27"))
  end)

  it("are off with NO_COLOR and on a dumb terminal", function()
    environment.NO_COLOR = "1"
    assert.is_nil(warned(true):find("\27"))
    environment.NO_COLOR = ""
    assert.is_truthy(warned(true):find("\27"))
    environment.TERM = "dumb"
    assert.is_nil(warned(true):find("\27"))
  end)
end)

describe("standard error", function()
  it("gets the lines when nothing else takes them", function()
    local program = [[package.loaded["xpm.sys"] = { isatty = function() return false end }
      local log = require "xpm.log" log.warn("one") log.info("two")]]
    local name = os.tmpname()
    local file = assert(io.open(name, "w"))
    file:write(program)
    file:close()
    local pipe = assert(io.popen("LUA_PATH='lua/?.lua' lua5.4 " .. name .. " 2>&1 >/dev/null"))
    local out = pipe:read("a")
    pipe:close()
    os.remove(name)
    assert.matches("^%d%d:%d%d:%d%d WARN xpm: one\n$", out)
  end)
end)
