-- The user's settings: $XDG_CONFIG_HOME/xpm/settings.yaml, or settings.yaml of another folder. A missing or empty file
-- means the defaults. Everything in it is checked, and all problems are reported together with their positions.

local errors = require "xpm.errors"
local sys = require "xpm.sys"

local settings = {}

---@class xpm.WorkspaceSettings
---@field id string
---@field path string              absolute
---@field env table<string, string>
---@field triggers string[]        globs on the experiment's id
---@field history { max_done?: integer, max_failed?: integer }

---@class xpm.Settings
---@field file string              where it is, or would be
---@field exists boolean
---@field workspaces xpm.WorkspaceSettings[]
---@field env table<string, string>
---@field jobs? integer
---@field history { max_done?: integer, max_failed?: integer }
---@field server { host?: string, port?: integer, token?: string }

-- A folder by the XDG rules: the variable counts if it is an absolute path.
local function xdg(variable, below_home)
  local value = os.getenv(variable)
  if value and value:sub(1, 1) == "/" then return value end
  local home = os.getenv("HOME")
  if not home or home == "" then
    error(errors.WorkspaceError(("neither %s nor HOME is set"):format(variable)))
  end
  return home .. "/" .. below_home
end

---The folder of the settings.
---@return string
function settings.folder() return xdg("XDG_CONFIG_HOME", ".config") .. "/xpm" end

---The workspace that is taken when nothing names one.
---@return string
function settings.default_workspace() return xdg("XDG_DATA_HOME", ".local/share") .. "/xpm/default" end

-- Checking ------------------------------------------------------------------------------------------------------------
--
-- A check is function(path, problem, tree) -> value. `problem(path, message, key)` notes one, at the value's place or
-- (with `key`) at the key's. Values are read one by one through the tree, which knows their kinds and positions.

local NAMES = { map = "a map", list = "a list", string = "a text", integer = "an integer", float = "a number",
  boolean = "a boolean", null = "null" }

local function join(path, key) return path == "" and key or path .. "." .. key end

local function expect(kind)
  return function(path, problem, tree)
    local is = tree:kind(path)
    if is == kind then return tree:get(path) end
    problem(path, ("must be %s, is %s"):format(NAMES[kind], NAMES[is]))
    return nil
  end
end

local text = expect "string"

local function integer(least, most)
  local number = expect "integer"
  return function(path, problem, tree)
    local n = number(path, problem, tree)
    if n and (n < least or most and n > most) then
      problem(path, most and ("must be from %d to %d, is %d"):format(least, most, n)
        or ("must be at least %d, is %d"):format(least, n))
      return nil
    end
    return n
  end
end

-- Texts as they would stand in an environment: numbers and booleans are taken as written.
local function environment(path, problem, tree)
  local out = {}
  if not expect "map"(path, problem, tree) then return out end
  for name in require("xpm.config").pairs(tree:get(path)) do
    local at = join(path, name)
    local kind = tree:kind(at)
    if type(name) ~= "string" or name:find("[=%z.]") or name == "" then
      problem(path, ("%q is no name of a variable"):format(tostring(name)))
    elseif kind == "map" or kind == "list" or kind == "null" then
      problem(at, "must be a text, is " .. NAMES[kind])
    else
      out[name] = tostring(tree:get(at))
    end
  end
  return out
end

local function list_of(check)
  return function(path, problem, tree)
    local out = {}
    local list = expect "list"(path, problem, tree)
    for i = 1, #(list or {}) do
      local value = check(("%s.%d"):format(path, i - 1), problem, tree)
      if value ~= nil then out[#out + 1] = value end
    end
    return out
  end
end

-- A map of known keys; `check.required` lists those that must be there.
local function map_of(fields, required)
  local known = {}
  for key in pairs(fields) do known[#known + 1] = key end
  table.sort(known)
  return function(path, problem, tree)
    if tree:kind(path) ~= "map" then return expect "map"(path, problem, tree) end
    local config = require "xpm.config"
    local out = {}
    for key in config.pairs(tree:get(path)) do
      key = tostring(key)
      local at = join(path, key)
      if not fields[key] then
        local near = config.nearest(key, known)
        problem(at, ("unknown key%s (known: %s)"):format(near and (", did you mean '%s'?"):format(near) or "",
          table.concat(known, ", ")), true)
      elseif tree:kind(at) ~= "null" then
        out[key] = fields[key](at, problem, tree)
      end
    end
    for _, key in ipairs(required or {}) do
      local kind = tree:kind(join(path, key))
      if kind == nil or kind == "null" then problem(path, ("'%s' is missing"):format(key)) end
    end
    return out
  end
end

local function id(path, problem, tree)
  local value = text(path, problem, tree)
  local why = value and require("xpm.ids").problem(value)
  if why then problem(path, why) end
  return value
end

-- "~" is the home, a relative path belongs to the folder of the settings.
local function folder(base)
  return function(path, problem, tree)
    local value = text(path, problem, tree)
    if not value then return nil end
    if value == "" then
      problem(path, "is empty")
      return nil
    end
    if value:find("^~[^/]") then
      problem(path, "only '~' and '~/...' are understood, not another user's home")
      return nil
    end
    if value:sub(1, 1) == "~" then
      local home = os.getenv("HOME")
      if not home or home == "" then
        problem(path, "needs HOME, which is not set")
        return nil
      end
      value = home .. value:sub(2)
    end
    return sys.abspath(value:sub(1, 1) == "/" and value or base .. "/" .. value)
  end
end

local function schema(base)
  local history = map_of { max_done = integer(0), max_failed = integer(0) }
  return map_of {
    workspaces = list_of(map_of({ id = id, path = folder(base), env = environment, triggers = list_of(text),
      history = history }, { "id", "path" })),
    env = environment,
    jobs = integer(1),
    history = history,
    server = map_of { host = text, port = integer(0, 65535), token = text },
  }
end

local function check_duplicates(list, problem)
  local seen = {}
  for i, workspace in ipairs(list) do
    if workspace.id and seen[workspace.id] then
      problem(("workspaces.%d.id"):format(i - 1), ("there are two workspaces '%s'"):format(workspace.id))
    end
    if workspace.id then seen[workspace.id] = true end
  end
end

-- Whether a YAML text has nothing but blanks, comments and a document's start.
local function is_empty(content)
  for line in content:gmatch("[^\n]+") do
    if not line:find("^%s*$") and not line:find("^%s*#") and not line:find("^%-%-%-%s*$") then return false end
  end
  return true
end

local function read(file, base)
  local tree, message = require("xpm.config").load { file = file }
  if not tree then error(errors.ConfigError(message)) end
  local problems = {}
  local function problem(path, what, key)
    local at = key and tree:where_key(path) or not key and tree:where(path)
    problems[#problems + 1] = ("%s: %s%s"):format(at and at.text or file, path == "" and "" or path .. ": ", what)
  end
  local values = schema(base)("", problem, tree) or {}
  if #problems == 0 then check_duplicates(values.workspaces or {}, problem) end
  tree:close()
  if #problems > 0 then error(errors.ConfigError(table.concat(problems, "\n"))) end
  return values
end

---Reads the settings. Raises a ConfigError with every problem on a line, `file:line:col: path: message`.
---@param config_dir? string  folder of settings.yaml; it must exist when given
---@return xpm.Settings
function settings.load(config_dir)
  if config_dir and sys.stat(config_dir) ~= "directory" then
    error(errors.UsageError(("--xpm-config-dir %s: no such folder"):format(config_dir)))
  end
  local base = config_dir or settings.folder()
  local file = base .. "/settings.yaml"
  local values, exists = {}, sys.stat(file) ~= nil
  if exists then
    local content, message = sys.read(file, 1 << 26)
    if not content then error(errors.ConfigError(message)) end
    if not is_empty(content) then values = read(file, sys.abspath(base)) end
  end
  for _, workspace in ipairs(values.workspaces or {}) do
    workspace.env, workspace.triggers = workspace.env or {}, workspace.triggers or {}
    workspace.history = workspace.history or {}
  end
  return { file = file, exists = exists, workspaces = values.workspaces or {}, env = values.env or {},
    jobs = values.jobs, history = values.history or {}, server = values.server or {} }
end

return settings
