-- The command line. `main` finds the verb (a file beside this one), lets argparse read its options and runs it. A
-- verb's module is a table:
--
--   summary    one line for `xpm --help`; a verb without one is hidden
--   configure  function(parser): adds the verb's options to an argparse parser
--   run        function(options): does it; returns the exit code (nil: 0)
--   raw        run gets the arguments as they are, and no parser is made (`run-job` starts once per job)
--
-- Errors with a class (xpm.errors) are told in a line; any other error is a bug of xpm, told with its traceback.
-- Nothing here ends the process: src/main.c does, with the code that main returns.

local errors = require "xpm.errors"

local cmd = {}

local BUG = 70
local HERE = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."

-- Options that every verb knows. They may stand before the verb.
local GLOBALS = {
  { "--workdir", "PATH", "The workspace's folder." },
  { "--workspace", "ID", "A workspace of the settings." },
  { "--xpm-config-dir", "DIR", "Read settings.yaml from DIR." },
  { "--debug", nil, "Log more, and show where errors come from." },
}

-- Words ---------------------------------------------------------------------------------------------------------------

-- The only candidate that begins with the word, "-" not counting.
local function completion(word, candidates)
  local found
  local start = word:gsub("[-_]", "")
  for _, name in ipairs(candidates) do
    if start ~= "" and name:gsub("[-_]", ""):sub(1, #start) == start then
      if found then return nil end
      found = name
    end
  end
  return found
end

---", did you mean 'x'?" for the candidate that a wrong word was likely meant to be, or "".
---@param word string
---@param candidates string[]
---@return string
function cmd.suggestion(word, candidates)
  local near = require("xpm.config").nearest(word, candidates) or completion(word, candidates)
  return near and (", did you mean '%s'?"):format(near) or ""
end
local suggestion = cmd.suggestion

local function file_of(verb)
  return HERE .. "/" .. verb:gsub("-", "_") .. ".lua"
end

local function is_verb(word)
  if word == "init" or not word:find("^%l[%l%-]*$") then return false end
  local f = io.open(file_of(word))
  if f then f:close() end
  return f ~= nil
end

local function load_verb(word)
  return require("xpm.cmd." .. word:gsub("-", "_"))
end

-- The verbs that are not hidden, sorted, with their modules.
local function verbs()
  local list = {}
  for _, name in ipairs(assert(require("xpm.sys").list(HERE))) do
    local word = name:match("^([%l_]+)%.lua$")
    word = word and word:gsub("_", "-")
    if word and word ~= "init" then
      local module = load_verb(word)
      if module.summary then list[#list + 1] = { name = word, module = module } end
    end
  end
  return list
end

local function unknown_verb(word)
  local names = { "help" }
  for _, verb in ipairs(verbs()) do names[#names + 1] = verb.name end
  error(errors.UsageError(("unknown command '%s'%s"):format(word, suggestion(word, names)),
    { hint = "'xpm --help' lists the commands" }))
end

-- Parsers -------------------------------------------------------------------------------------------------------------

-- argparse tells problems by printing and exiting; here they are raised. Its own "Did you mean" goes: ours looks
-- further.
local function raise(parser, message)
  local plain = message:match("^[^\n]*")
  local word = plain:match("^unknown option '(.*)'$")
  if word then
    local names = {}
    for _, option in ipairs(parser._options) do
      for _, alias in ipairs(option._aliases) do names[#names + 1] = alias end
    end
    for _, option in ipairs(parser.outer and parser.outer._options or {}) do
      for _, alias in ipairs(option._aliases) do names[#names + 1] = alias end
    end
    plain = plain .. suggestion(word, names)
  end
  word = plain:match("^unknown command '(.*)'$")
  if word then
    local names = {}
    for _, command in ipairs(parser._commands) do names[#names + 1] = command._name end
    plain = plain .. suggestion(word, names)
  end
  local full = parser:_get_fullname()
  if plain == "a command is required" then
    local names = {}
    for _, command in ipairs(parser._commands) do names[#names + 1] = command._name end
    plain = ("%s needs a command: %s"):format(full, table.concat(names, ", "))
  end
  error(errors.UsageError(plain, { hint = ("'%s --help' shows how it is used"):format(full) }))
end

-- What a help option raises.
local Help = {}

local function prepare(parser, outer)
  parser.error, parser.outer = raise, outer
  parser:flag("-h --help", "Show this help."):action(function()
    error(setmetatable({ text = parser:get_help() }, Help))
  end)
  for _, command in ipairs(parser._commands) do prepare(command, parser) end
end

local function make_parser(name, module)
  local parser = require("argparse")("xpm " .. name, module.description or module.summary)
  parser:add_help(false)
  parser:help_max_width(100)
  parser:help_description_margin(30)
  module.configure(parser)
  for _, g in ipairs(GLOBALS) do
    if g[2] then parser:option(g[1], g[3]):argname(g[2]) else parser:flag(g[1], g[3]) end
  end
  if module.examples then parser:epilog("Examples:\n" .. module.examples) end
  prepare(parser)
  return parser
end

-- Adds a subcommand with what each has.
---@param parser table
---@param name string
---@param summary string
---@param examples? string
---@return table command
function cmd.subcommand(parser, name, summary, examples)
  local command = parser:command(name, summary)
  command:add_help(false)
  if examples then command:epilog("Examples:\n" .. examples) end
  return command
end

---A converter for argparse: an integer from `least`.
---@param option string  for the message
---@param least integer
---@return fun(text: string): integer?, string?
function cmd.integer(option, least)
  return function(text)
    local n = text:find("^%d+$") and math.tointeger(tonumber(text))
    if not n or n < least then return nil, ("%s must be an integer from %d, is '%s'"):format(option, least, text) end
    return n
  end
end

-- Help ----------------------------------------------------------------------------------------------------------------

local function overview()
  local lines = { "Usage: xpm COMMAND [OPTIONS]", "", "Runs experiments; no job runs twice.", "", "Commands:" }
  for _, verb in ipairs(verbs()) do
    lines[#lines + 1] = ("  %-18s %s"):format(verb.name, verb.module.summary)
  end
  lines[#lines + 1] = ""
  lines[#lines + 1] = "Options of all commands, also before them:"
  for _, g in ipairs(GLOBALS) do
    lines[#lines + 1] = ("  %-22s %s"):format(g[1] .. (g[2] and " " .. g[2] or ""), g[3])
  end
  lines[#lines + 1] = ("  %-22s %s"):format("-h, --help", "Show help; 'xpm COMMAND --help' shows a command's.")
  lines[#lines + 1] = ("  %-22s %s"):format("--version", "Show the version.")
  lines[#lines + 1] = ""
  lines[#lines + 1] = "Examples:"
  lines[#lines + 1] = "  xpm run-experiment full.yaml"
  lines[#lines + 1] = "  xpm run-experiment --show --origin -c learning_rate=1e-3 full.yaml"
  lines[#lines + 1] = "  xpm experiments list"
  return table.concat(lines, "\n") .. "\n"
end

-- main ----------------------------------------------------------------------------------------------------------------

-- Splits the arguments: the verb, and all others with the global options that stood before it in front. `--help` and
-- `--version` before a verb are verbs themselves.
local function split(args)
  local rest, i = {}, 1
  while args[i] do
    local a = args[i]
    if a:sub(1, 1) ~= "-" or a == "-" then
      table.move(args, i + 1, #args, #rest + 1, rest)
      return a, rest
    end
    if a == "--version" or a == "--help" or a == "-h" then return a, rest end
    local name, found = a:match("^(%-%-[^=]+)=") or a, nil
    for _, g in ipairs(GLOBALS) do
      if g[1] == name then found = g end
    end
    if not found then
      local names = { "--help", "--version" }
      for _, g in ipairs(GLOBALS) do names[#names + 1] = g[1] end
      error(errors.UsageError(("unknown option '%s'%s"):format(a, suggestion(name, names)),
        { hint = "options of a command come after it; 'xpm --help' lists the commands" }))
    end
    rest[#rest + 1] = a
    if found[2] and name == a then
      i = i + 1
      if not args[i] then error(errors.UsageError(("option '%s' requires an argument"):format(a))) end
      rest[#rest + 1] = args[i]
    end
    i = i + 1
  end
  return nil, rest
end

local function dispatch(args, version)
  local verb, rest = split(args)
  if verb == "--version" then
    io.write("xpm ", version, "\n")
    return 0
  end
  if verb == "help" then
    verb, rest = rest[1] or "--help", { table.unpack(rest, 2) }
    if verb ~= "--help" then rest[#rest + 1] = "--help" end
  end
  if verb == nil then
    error(errors.UsageError("a command is missing", { hint = "'xpm --help' lists the commands" }))
  end
  if verb == "--help" or verb == "-h" then
    io.write(overview())
    return 0
  end
  if not is_verb(verb) then unknown_verb(verb) end
  local module = load_verb(verb)
  if module.raw then return module.run(rest) end
  local options = make_parser(verb, module):parse(rest)
  cmd.debug = options.debug
  if options.debug then require("xpm.log").set_level("debug") end
  options.config_dir = options.xpm_config_dir
  options.version, options.command_line = version, { "xpm", table.unpack(args) }
  return module.run(options)
end

-- Keeps error objects; gives anything else its traceback. (Not called when memory ran out.)
local function handler(e)
  if errors.is(e) then
    if cmd.debug then e.traceback = debug.traceback(nil, 2) end
    return e
  end
  if type(e) == "table" and getmetatable(e) == Help then return e end
  if e == "interrupted" then return errors.Interrupted("interrupted") end
  if type(e) == "string" and e:find("^broken installation: ") then
    return setmetatable({ message = e, exit = BUG }, errors.Error)
  end
  return { bug = tostring(e), traceback = debug.traceback(nil, 2) }
end

-- Every line that begins a message gets the program's name; lines that are indented go on.
local function complain(message)
  for line in (require("xpm.text").clean(message) .. "\n"):gmatch("([^\n]*)\n") do
    if line ~= "" then io.stderr:write(line:find("^%s") and "" or "xpm: ", line, "\n") end
  end
end

local function tell(e, version)
  io.stdout:flush()
  if type(e) == "string" then -- what a failed allocation raises
    io.stderr:write("xpm: ", e == "not enough memory" and "out of memory" or e, "\n")
    return BUG
  end
  if getmetatable(e) == Help then
    io.write(e.text, "\n")
    return 0
  end
  if errors.is(e) then
    complain(e.message)
    if e.hint then io.stderr:write("hint: ", require("xpm.text").clean(e.hint), "\n") end
    if e.traceback then io.stderr:write(e.traceback, "\n") end
    return e.exit or 1
  end
  complain("bug: " .. e.bug)
  io.stderr:write(e.traceback, "\n",
    ("This is a fault of xpm %s, not of yours. Please report it with the lines above.\n"):format(version))
  return BUG
end

---Calls f(...), which returns an exit code; errors are told, as they are of any command. Nothing is raised.
---@param f fun(...): integer?
---@return integer
function cmd.guarded(f, ...)
  local ok, result = xpcall(f, handler, ...)
  if ok then return result or 0 end
  return tell(result, cmd.version or "?")
end

---Runs a command line (without the program's name) and returns the exit code. Nothing is raised.
---@param args string[]
---@param version? string
---@return integer
function cmd.main(args, version)
  cmd.version = version or "?"
  return cmd.guarded(dispatch, args, cmd.version)
end

return cmd
