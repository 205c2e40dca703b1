-- Messages for people, on standard error: `HH:MM:SS LEVEL module: text`. A level per module; a module without one has
-- that of the name above it ("a" for "a.b"), in the end the one of all (default: warn). What is logged is made
-- harmless for the terminal.

local text = require "xpm.text"

---@class xpm.log: xpm.Logger
local log = {}

---@class xpm.Logger
---@field trace fun(fmt: any, ...: any)
---@field debug fun(fmt: any, ...: any)
---@field info fun(fmt: any, ...: any)
---@field warn fun(fmt: any, ...: any)
---@field error fun(fmt: any, ...: any)
---@field enabled fun(level: xpm.LogLevel): boolean   for messages that are dear to make

---@alias xpm.LogLevel "trace"|"debug"|"info"|"warn"|"error"

local LEVELS = { "trace", "debug", "info", "warn", "error" }
local RANK = {}
for rank, level in ipairs(LEVELS) do RANK[level] = rank end

local COLOURS = { trace = "2", debug = "36", info = "32", warn = "33", error = "31" }
local ROOT = "xpm" -- what the functions of the module itself log as

local threshold = RANK.warn
local of_module = {} -- module -> rank
local sink           -- nil: standard error

local function rank_of(level, depth)
  local rank = type(level) == "string" and RANK[level:lower()]
  if rank then return rank end
  local near = type(level) == "string" and require("xpm.config").nearest(level:lower(), LEVELS)
  error(("unknown log level '%s'%s; levels are %s"):format(tostring(level),
    near and (" (did you mean '%s'?)"):format(near) or "", table.concat(LEVELS, ", ")), depth + 1)
end

local function threshold_of(module)
  if next(of_module) == nil then return threshold end
  local name = module
  while name do
    if of_module[name] then return of_module[name] end
    name = name:match("^(.*)%.[^.]*$")
  end
  return threshold
end

local coloured
local function use_colour()
  if coloured == nil then
    local no_color = os.getenv("NO_COLOR")
    coloured = (no_color == nil or no_color == "") and os.getenv("TERM") ~= "dumb" and require("xpm.sys").isatty(2)
  end
  return coloured
end

local function message(fmt, ...)
  if select("#", ...) == 0 then return tostring(fmt) end
  local ok, result = pcall(string.format, fmt, ...)
  if ok then return result end
  local parts = table.pack(...)
  for i = 1, parts.n do parts[i] = tostring(parts[i]) end
  return ("%s [%s] (%s)"):format(tostring(fmt), table.concat(parts, ", ", 1, parts.n), result)
end

local function emit(module, level, ...)
  local body = text.clean(message(...)):gsub("\n+$", ""):gsub("\n", "\n  ")
  local word = level:upper()
  if use_colour() then word = ("\27[%sm%s\27[0m"):format(COLOURS[level], word) end
  local line = ("%s %s %s: %s"):format(os.date("%H:%M:%S"), word, text.line(module), body)
  if sink then
    sink(line, level, module)
  else
    io.stderr:write(line, "\n")
  end
end

-- Fills in the functions of a logger. They take no self: `log.warn("%d left", n)`.
local function fill(logger, module)
  for rank, level in ipairs(LEVELS) do
    logger[level] = function(...)
      if rank >= threshold_of(module) then emit(module, level, ...) end
    end
  end
  logger.enabled = function(level)
    return rank_of(level, 2) >= threshold_of(module)
  end
  return logger
end

fill(log, ROOT)

local loggers = {}

---The logger of a module; the same name gives the same one. A message is string.format(fmt, ...) when there are
---arguments, else fmt as it is; a wrong format is shown, not raised.
---@param name string  such as "data.loader"
---@return xpm.Logger
function log.module(name)
  if type(name) ~= "string" or name == "" then error("log.module takes a module's name", 2) end
  if not loggers[name] then loggers[name] = fill({}, name) end
  return loggers[name]
end

---Sets from which level on messages are shown: of all modules without a level of their own, or of one module and
---those below it. Raises on an unknown level.
---@param level xpm.LogLevel
---@param module? string
function log.set_level(level, module)
  local rank = rank_of(level, 2)
  if module == nil then
    threshold = rank
  elseif type(module) == "string" then
    of_module[module] = rank
  else
    error("log.set_level: the module must be a name", 2)
  end
end

---The level from which messages of a module (default: of all) are shown.
---@param module? string
---@return xpm.LogLevel
function log.level(module)
  return LEVELS[module and threshold_of(module) or threshold]
end

---Takes the messages instead of standard error: f(line, level, module), the line without its last newline. nil gives
---them back. Returns what took them before.
---@param f? fun(line: string, level: xpm.LogLevel, module: string)
---@return function? previous
function log.sink(f)
  local previous = sink
  sink = f
  return previous
end

return log
