-- Finding and loading experiment code: `file` or `module`, the search path, pre_experiment, and the `run` function.

local errors = require "xpm.errors"
local sys = require "xpm.sys"
local types = require "xpm.types"
local usercode = require "xpm.usercode"

local loader = {}

---@class xpm.Located
---@field file? string      absolute path of the Lua file
---@field module? string    or the module's name
---@field folder string     absolute: of the file, or where the module's search begins; git is checked there
---@field path string[]     absolute folders to search for modules
---@field where string      position for messages

local function dirname(path) return path:match("^(.*)/[^/]*$") or "." end

-- The folder that a relative path belongs to: that of the YAML that wrote it; `fallback` for -c and defaults.
local function folder_of(tree, key, fallback)
  local at = tree:where(key)
  return at and at.file and sys.abspath(dirname(at.file)) or fallback
end

local function position(tree, key)
  local at = tree:where(key)
  return at and at.text .. ": " .. key or key
end

local function join(folder, path)
  return sys.abspath(path:sub(1, 1) == "/" and path or folder .. "/" .. path)
end

local function lua_file(folder, name)
  local path = join(folder, name)
  if path:sub(-4) ~= ".lua" then path = path .. ".lua" end
  return path, sys.stat(path) == "file"
end

---Where the experiment's code is, by the base options and the command line's --file and --module-name.
---@param tree xpm.config.tree
---@param base table
---@param main_file string
---@param options { code_file?: string, module_name?: string }
---@return xpm.Located
function loader.locate(tree, base, main_file, options)
  local main = sys.abspath(dirname(main_file))
  local found = { path = {}, folder = main }
  local path_key = base.lua_path and "lua_path" or "pythonpath"
  for i, entry in ipairs(base[path_key] or {}) do
    local at = ("%s.%d"):format(path_key, i - 1)
    found.path[i] = join(folder_of(tree, at, main), entry)
    if sys.stat(found.path[i]) ~= "directory" then
      error(errors.ConfigError(("%s: no such folder: %s"):format(position(tree, at), found.path[i])))
    end
  end
  if options.code_file and options.module_name then
    error(errors.UsageError("--file and --module-name exclude each other"))
  end
  local module = options.module_name or not options.code_file and base.module or nil
  if module then
    found.module, found.where = module, options.module_name and "--module-name" or position(tree, "module")
    if not module:find("^[%w_%-]+[%w_%-.]*$") or module:find("..", 1, true) or module:sub(-1) == "." then
      error(errors.ConfigError(("%s: %q is no module name"):format(found.where, module)))
    end
    if #found.path == 0 then
      -- The YAML is taken to lie in the folder of the module: a.b.c is found from ../..
      local folder = options.module_name and main or folder_of(tree, "module", main)
      local _, dots = module:gsub("%.", "")
      found.path[1] = join(folder, ("../"):rep(dots))
    end
    found.folder = found.path[1]
    return found
  end
  local name = options.code_file or base.file or "experiment"
  local folder = options.code_file and sys.cwd() or base.file and folder_of(tree, "file", main) or main
  local file, exists = lua_file(folder, name)
  if not exists then
    local shown = options.code_file and "--file" or base.file and position(tree, "file") or main_file
    local hint = not base.file and not options.code_file and " (it is the default; set file or module)" or ""
    error(errors.ConfigError(("%s: no experiment code at %s%s"):format(shown, file, hint)))
  end
  found.file, found.folder, found.where = file, dirname(file), base.file and position(tree, "file") or main_file
  found.path[#found.path + 1] = found.folder
  return found
end

---Puts folders at the front of the search paths of `require`.
---@param folders string[]
function loader.add_path(folders)
  local lua, c = {}, {}
  for _, folder in ipairs(folders) do
    lua[#lua + 1] = folder .. "/?.lua"
    lua[#lua + 1] = folder .. "/?/init.lua"
    c[#c + 1] = folder .. "/?.so"
  end
  if #folders > 0 then
    package.path = table.concat(lua, ";") .. ";" .. package.path
    package.cpath = table.concat(c, ";") .. ";" .. package.cpath
  end
end

-- A path that is short in messages: relative when it lies below the current folder.
local function shown_path(path)
  local cwd = sys.cwd() .. "/"
  return path:sub(1, #cwd) == cwd and path:sub(#cwd + 1) or path
end

---Loads and runs a Lua file; returns what it returns.
---@param path string
---@return any ...
function loader.run_file(path)
  local chunk, message = loadfile(shown_path(path))
  if not chunk then error(errors.ConfigError(message)) end
  return usercode.call(chunk)
end

-- `require`, with "no such module" told apart from errors inside the module.
local function run_module(name, where)
  if not package.loaded[name] and not package.preload[name] and not package.searchpath(name, package.path)
    and not package.searchpath(name, package.cpath) and not require("xpm.mock").is_mocked(name) then
    error(errors.ConfigError(("%s: module '%s' not found in %s"):format(where, name, package.path:gsub(";", ", "))))
  end
  return usercode.call(require, name)
end

---Runs pre_experiment: a Lua file (has "/" or ends in ".lua"), or a module.
---@param tree xpm.config.tree
---@param base table
---@param main_file string
function loader.pre_experiment(tree, base, main_file)
  local name = base.pre_experiment
  if not name or name == "" then return end
  local where = position(tree, "pre_experiment")
  if name:find("/", 1, true) or name:sub(-4) == ".lua" then
    local path = join(folder_of(tree, "pre_experiment", sys.abspath(dirname(main_file))), name)
    if sys.stat(path) ~= "file" then error(errors.ConfigError(("%s: no such file: %s"):format(where, path))) end
    loader.run_file(path)
  else
    run_module(name, where)
  end
end

local function check_arity(run, where)
  local info = debug.getinfo(run, "uS")
  if info.what ~= "C" and not info.isvararg and info.nparams ~= 2 then
    error(errors.ConfigError(("%s:%d: run must take two arguments (helper, cfg), not %d"):format(
      info.source:match("^@(.*)") or where, info.linedefined, info.nparams)))
  end
end

---Loads the experiment's code.
---@param located xpm.Located
---@return { run: any, configuration?: xpm.Configuration }
function loader.load(located)
  local result
  if located.file then
    result = loader.run_file(located.file)
  else
    result = run_module(located.module, located.where)
  end
  local where = located.file and shown_path(located.file) or located.module
  local run, schema
  if type(result) == "table" then
    run, schema = result.run, result.configuration
  end
  if run == nil then run = rawget(_G, "run") end
  if run == nil then
    error(errors.ConfigError(("%s: defines no run(helper, cfg): make it a global function, "
      .. "or return { run = run }"):format(where)))
  end
  schema = schema or rawget(_G, "configuration")
  if schema ~= nil and not types.is_configuration(schema) then
    error(errors.ConfigError(("%s: configuration must be made by xpm.configuration, is %s"):format(
      where, types.describe(schema))))
  end
  local Helper = require "xpm.helper"
  if not Helper.is_decorated(run) then -- a decorated one is called by its helper, with what that likes
    if type(run) ~= "function" then
      error(errors.ConfigError(("%s: run must be a function, is %s"):format(where, types.describe(run))))
    end
    check_arity(run, where)
  end
  return { run = run, configuration = schema }
end

return loader
