-- Configurations: the base options every experiment has (reference, "YAML Configuration Reference"), the schema a
-- user declares with xpm.configuration, and the check of a merged tree against both, with positions.

local config = require "xpm.config"
local errors = require "xpm.errors"
local ids = require "xpm.ids"
local types = require "xpm.types"

local configuration = {}

---@class xpm.Configuration
---@field id string            its name in identifiers ("" when it has none)
---@field fields xpm.Field[]   also by name
local Configuration = {}
Configuration.__index = Configuration
Configuration.__name = "xpm.Configuration"

---Makes a checked instance: an ordinary table with defaults filled in.
---@param values table
---@return table
function Configuration:__call(values)
  local problems = {}
  local ctx = { report = function(path, message) problems[#problems + 1] = path .. ": " .. message end }
  local out = types.check_fields(ctx, self.fields, values or {}, "", self)
  if #problems > 0 then error(table.concat(problems, "\n"), 2) end
  return out
end

---Declares a configuration: a map of names to declarations (see xpm.types). With an id the instances of differently
---named configurations that are alike have different identifiers.
---@param id string|table
---@param declarations? table
---@return xpm.Configuration
function configuration.define(id, declarations)
  if declarations == nil then id, declarations = "", id end
  if type(id) ~= "string" or type(declarations) ~= "table" then
    error("xpm.configuration takes a table of fields, or an id and a table", 2)
  end
  if id ~= "" then
    local why = ids.problem(id)
    if why then error(("configuration id %q: %s"):format(id, why), 2) end
  end
  local ok, fields = pcall(types.fields, declarations)
  if not ok then error("configuration: " .. fields, 2) end
  return setmetatable({ id = id, fields = fields }, Configuration)
end

local DIRTY = { "ignore", "warn", "error" }

configuration.BASE = types.fields {
  id = { type = "string", help = "unique identifier of the experiment" },
  title = { type = "string", default = "", help = "short description" },
  subtitle = { type = "string", default = "", help = "details" },
  description = { type = "string", default = "", help = "full description" },
  paper = { type = "string", default = "", help = "source paper" },
  file = { type = types.optional("string"), help = "Lua file with the run function, relative to the YAML file" },
  module = { type = types.optional("string"), help = "Lua module with the run function" },
  lua_path = { type = types.optional(types.list("path")), help = "folders to search for modules" },
  pythonpath = { type = types.optional(types.list("path")), help = "another name of lua_path" },
  pre_experiment = { type = types.optional("string"), help = "Lua file or module to run before the experiment" },
  add_timestamp = { type = "boolean", default = false, help = "append YYYYMMDD-HHMM to the id" },
  dirty_git = { type = types.enum(DIRTY), default = "warn", help = "what to do about uncommitted changes" },
}

local function main_file(tree)
  for _, source in ipairs(tree:sources()) do
    if source.role == "main" then return source.path end
  end
  return "configuration"
end

-- Problems with their positions, and the order in which they stand in the files.
local function collector(tree)
  local problems = {}
  return problems, function(path, message, what)
    local at
    if what == "key" then at = tree:where_key(path) end
    if not at and what ~= "missing" then at = tree:where(path) end
    if not at then
      local parent = path:match("^(.*)%.[^.]*$")
      at = parent and tree:where(parent)
    end
    local where = at and at.text or main_file(tree)
    problems[#problems + 1] = ("%s: %s: %s"):format(where, path, message)
  end
end

local function raise(problems)
  if #problems > 0 then error(errors.ConfigError(table.concat(problems, "\n"))) end
end

---Checks the options that every experiment has, before any user code is loaded.
---@param tree xpm.config.tree
---@return table base  the base options with their defaults
function configuration.check_base(tree)
  local values = tree:get()
  local problems, report = collector(tree)
  local ctx = { report = report, text = true }
  local base = {}
  for _, field in ipairs(configuration.BASE) do
    local value = values[field.name]
    if value ~= nil then
      base[field.name] = types.check(ctx, field.type, value, field.name)
    else
      base[field.name] = field.default
    end
  end
  if values.id == nil then
    report("id", "is missing: every experiment needs an id", "missing")
  elseif base.id then
    local why = ids.problem(base.id)
    if why then report("id", ("%q: %s"):format(base.id, why)) end
  end
  if base.module and base.file then
    local other = tree:where("file")
    report("module", ("'module' and 'file' (%s) exclude each other"):format(other and other.text or "also set"))
  end
  if base.lua_path and base.pythonpath then
    report("pythonpath", "'pythonpath' is another name of 'lua_path'; give one of them")
  end
  raise(problems)
  return base
end

---The final `cfg`: checked against the schema if there is one, with base options and defaults.
---@param tree xpm.config.tree
---@param base table                from check_base
---@param schema? xpm.Configuration
---@return table cfg
function configuration.build(tree, base, schema)
  local values = tree:get()
  local cfg, keys = {}, {}
  if schema then
    local problems, report = collector(tree)
    local is_base = function(name) return configuration.BASE[name] ~= nil or name == "grid_search" end
    local own = types.check_fields({ report = report, text = true }, schema.fields, values, "", { extra = is_base })
    raise(problems)
    for name, value in config.pairs(own) do cfg[name] = value end
    if values.grid_search then cfg.grid_search = values.grid_search end
    for name in config.pairs(values) do keys[#keys + 1] = name end
    for name in config.pairs(own) do keys[#keys + 1] = name end
  else
    for name, value in config.pairs(values) do
      cfg[name] = value
      keys[#keys + 1] = name
    end
  end
  for _, field in ipairs(configuration.BASE) do
    if cfg[field.name] == nil and base[field.name] ~= nil then keys[#keys + 1] = field.name end
    if base[field.name] ~= nil and not (schema and schema.fields[field.name]) then
      cfg[field.name] = base[field.name]
    end
  end
  local seen, order = {}, {}
  for _, key in ipairs(keys) do
    if not seen[key] then seen[key] = true order[#order + 1] = key end
  end
  return config.order(cfg, order)
end

return configuration
