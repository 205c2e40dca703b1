-- The real program in a fresh folder.
--
--   local box = cli.sandbox()                 -- removed by box:close(), at the latest when the suite ends
--   box:write("full.yaml", "id: x\n")
--   local r = box:run({ "run-experiment", "--show", "full.yaml" })   -- r.code, r.out, r.err
--   local p = box:start({ "run-experiment", "full.yaml" })           -- in the background
--   cli.eventually(function() return box:exists "marker" end)
--   p:kill "KILL"; p:wait()
--
-- A program finds HOME and the XDG folders inside its sandbox, no colours, and nothing of the suite's Lua paths.

local cli = {}

local function quote(s) return "'" .. tostring(s):gsub("'", "'\\''") .. "'" end
cli.quote = quote

local function slurp(path)
  local f = io.open(path, "rb")
  if not f then return nil end
  local text = f:read "a"
  f:close()
  return text
end

local function first_line(command)
  local p = assert(io.popen(command))
  local line = p:read "l"
  p:close()
  return line
end

local root = first_line "pwd"
local build = os.getenv "XPM_BUILD" or os.getenv "BUILD" or "build"
if build:sub(1, 1) ~= "/" then build = root .. "/" .. build end

---The checkout, the build folder and the program under test ($XPM overrides it).
cli.root = root
cli.build = build
cli.program = os.getenv "XPM" or build .. "/xpm"

---A new empty folder (not registered anywhere: the caller removes it, see cli.remove).
function cli.folder()
  local path = first_line 'mktemp -d "${TMPDIR:-/tmp}/xpm-spec.XXXXXX"'
  assert(path and path:sub(1, 1) == "/", "mktemp failed")
  return path
end

function cli.remove(path)
  assert(path:find "/xpm%-spec%.[^/]+$", "not a folder of this suite: " .. path)
  os.execute("chmod -R u+rwx " .. quote(path) .. " 2>/dev/null; rm -rf " .. quote(path))
end

local Box = {}
Box.__index = Box
Box.__gc = function(self) self:close() end
Box.__close = Box.__gc

---A sandbox: `path` is the folder commands run in, `home` the HOME of programs.
function cli.sandbox()
  local top = cli.folder()
  local self = setmetatable({ top = top, path = top .. "/w", home = top .. "/h", count = 0 }, Box)
  assert(os.execute(("mkdir %s %s"):format(quote(self.path), quote(self.home))))
  return self
end

function Box:close()
  if self.top then cli.remove(self.top) end
  self.top = nil
end

---Absolute path of a name in the sandbox.
function Box:at(name) return name:sub(1, 1) == "/" and name or self.path .. "/" .. name end

---Writes a file, making its folders. Returns its path.
function Box:write(name, text)
  local path = self:at(name)
  local folder = path:match "^(.*)/"
  local f = io.open(path, "wb")
  if not f then
    assert(os.execute("mkdir -p " .. quote(folder)))
    f = assert(io.open(path, "wb"))
  end
  assert(f:write(text))
  assert(f:close())
  return path
end

---A file's bytes, or nil.
function Box:read(name) return slurp(self:at(name)) end

---@return boolean
function Box:exists(name) return os.execute("test -e " .. quote(self:at(name))) == true end

---Runs a shell command in the sandbox; raises when it fails. Returns what it printed.
function Box:shell(command)
  local p = assert(io.popen(("cd %s && { %s\n} 2>&1"):format(quote(self.path), command)))
  local text = p:read "a"
  assert(p:close(), command .. "\n" .. text)
  return text
end

-- The shell text that runs a program: "cd X && exec env ... program args <in". Files for out and err are named.
local function command_line(self, args, options)
  self.count = self.count + 1
  local base = ("%s/%d"):format(self.top, self.count)
  local env = { NO_COLOR = "1", HOME = self.home, XDG_CONFIG_HOME = self.home .. "/.config",
    XDG_DATA_HOME = self.home .. "/.local/share" }
  for _, name in ipairs { "LUA_PATH", "LUA_CPATH", "LUA_INIT", "COLUMNS" } do env[name] = false end
  for name, value in pairs(options.env or {}) do env[name] = value end
  -- A shell starts what runs in the background with SIGINT ignored.
  local words, set = { "exec env --default-signal=INT" }, {}
  for name, value in pairs(env) do
    if value then set[#set + 1] = quote(name .. "=" .. value) else words[#words + 1] = "-u " .. quote(name) end
  end
  table.move(set, 1, #set, #words + 1, words) -- env takes its options before the first assignment
  words[#words + 1] = quote(options.program or cli.program)
  for _, a in ipairs(args) do words[#words + 1] = quote(a) end
  local stdin = "/dev/null"
  if options.stdin then
    stdin = base .. ".in"
    self:write(stdin, options.stdin)
  end
  local text = ("cd %s && %s <%s >%s 2>%s"):format(quote(options.cwd and self:at(options.cwd) or self.path),
    table.concat(words, " "), quote(stdin), quote(options.stdout or base .. ".out"), quote(base .. ".err"))
  return text, base
end

---Runs the program to its end. args is a list; options: cwd, env (name -> value, false removes), stdin (text),
---program, timeout (seconds, default 60: a program that takes longer is killed and gives code 124).
---@return { code: integer, out: string, err: string }
function Box:run(args, options)
  options = options or {}
  local line, base = command_line(self, args, options)
  local _, how, code = os.execute(("timeout -k 1 %d sh -c %s"):format(options.timeout or 60, quote(line)))
  return { code = how == "signal" and 128 + code or code, out = slurp(base .. ".out") or "",
    err = slurp(base .. ".err") or "" }
end

local Process = {}
Process.__index = Process

---Starts the program in the background, in a session of its own; same options as `run`. Returns an object with
---`pid`, `:kill(signal)`, `:running()`, `:wait(seconds)` -> { code, out, err }, `:out()`, `:err()`.
function Box:start(args, options)
  local line, base = command_line(self, args, options or {})
  local inner = ("echo $$ >%s.tmp; mv %s.tmp %s.pid; %s"):format(base, base, base, line)
  assert(os.execute(("(setsid sh -c %s; echo $? >%s.tmp2; mv %s.tmp2 %s.code) >/dev/null 2>&1 </dev/null &"):format(
    quote(inner), base, base, base)))
  local self_ = setmetatable({ base = base }, Process)
  cli.eventually(function() return slurp(base .. ".pid") end, 20, "the program to start")
  self_.pid = assert(math.tointeger(tonumber(slurp(base .. ".pid"))))
  return self_
end

function Process:kill(signal)
  return os.execute(("kill -%s %d 2>/dev/null"):format(signal or "TERM", self.pid)) == true
end

function Process:running() return slurp(self.base .. ".code") == nil end
function Process:out() return slurp(self.base .. ".out") or "" end
function Process:err() return slurp(self.base .. ".err") or "" end

function Process:wait(seconds)
  local code = cli.eventually(function() return slurp(self.base .. ".code") end, seconds or 60, "the program to end")
  return { code = math.tointeger(tonumber(code)), out = self:out(), err = self:err() }
end

---Polls f until it gives a true value, which is returned; raises after `seconds` (default 20).
---@param f fun(): any
---@param seconds? number
---@param what? string
function cli.eventually(f, seconds, what)
  local sys = require "xpm.sys"
  local deadline = sys.monotonic() + (seconds or 20)
  local nap = 0.002
  while true do
    local value = f()
    if value then return value end
    if sys.monotonic() > deadline then
      error(("waited %d s for %s"):format(seconds or 20, what or "a condition"), 2)
    end
    sys.poll({}, nap)
    nap = math.min(nap * 1.5, 0.05)
  end
end

---Runs the program once in a sandbox of its own: for what needs no files.
function cli.run(args, options)
  local box <close> = cli.sandbox()
  return box:run(args, options)
end

return cli
