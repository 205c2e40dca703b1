-- The types that configurations and task parameters declare, and the check of a value against one.
--
-- A declaration is a word ("integer"), a table ({ type = "integer", default = 3 }), a type made by types.list, map,
-- enum or optional, a configuration, or a task. types.field turns any of them into a Field; types.check takes a value
-- apart along a type, converts what may be converted, and reports every problem, not only the first.

local config = require "xpm.config"

local types = {}

local WORDS = { "string", "integer", "number", "boolean", "path", "any" }
local IS_WORD = {}
for _, word in ipairs(WORDS) do IS_WORD[word] = true end

---@class xpm.Type
---@field kind "string"|"integer"|"number"|"boolean"|"path"|"any"|"enum"|"list"|"map"|"optional"|"config"|"task"
---@field item? xpm.Type          of list, map (its values) and optional
---@field values? any[]           of enum
---@field config? xpm.Configuration
---@field task? xpm.TaskClass
local Type = {}
Type.__index = Type
Type.__name = "xpm.Type"

---@class xpm.Field
---@field name string
---@field type xpm.Type
---@field default? any            checked; nil: the value is required (unless optional)
---@field optional boolean        nil is a value
---@field help? string
---@field choices? any[]
---@field range? { [1]: number, [2]: number }   both ends included
---@field meta boolean            no part of the identifier
---@field constant boolean        its value cannot be set; always part of the identifier
---@field ignore_default boolean  no part of the identifier while it has its default
---@field identity? "name"|"content"  of a path: what of it is part of the identifier
---@field searchable boolean      takes part in a grid search

local FIELD_KEYS = { "type", "default", "help", "choices", "range", "meta", "constant", "ignore_default", "identity",
  "searchable" }
local IS_FIELD_KEY = {}
for _, key in ipairs(FIELD_KEYS) do IS_FIELD_KEY[key] = true end

local function primitive(kind) return setmetatable({ kind = kind }, Type) end

local function is(value, name)
  local mt = type(value) == "table" and getmetatable(value)
  return mt and mt.__name == name
end

---@param value any
---@return boolean
function types.is_configuration(value) return is(value, "xpm.Configuration") end
---@param value any
---@return boolean
function types.is_task_class(value) return is(value, "xpm.TaskClass") end
---@param value any
---@return boolean
function types.is_task(value)
  local mt = type(value) == "table" and getmetatable(value)
  return mt and mt.xpm_task == true or false
end

local function suggestion(word, candidates)
  local near = type(word) == "string" and config.nearest(word, candidates)
  return near and (" (did you mean '%s'?)"):format(near) or ""
end
types.suggestion = suggestion

---Turns a declaration into a Type. Raises (a plain string) on what is none.
---@param declaration any
---@return xpm.Type
function types.parse(declaration)
  if is(declaration, "xpm.Type") then return declaration end
  if types.is_configuration(declaration) then return setmetatable({ kind = "config", config = declaration }, Type) end
  if types.is_task_class(declaration) then return setmetatable({ kind = "task", task = declaration }, Type) end
  if type(declaration) == "string" then
    if IS_WORD[declaration] then return primitive(declaration) end
    error(("unknown type '%s'%s; types are %s"):format(declaration, suggestion(declaration, WORDS),
      table.concat(WORDS, ", ")), 0)
  end
  if type(declaration) == "table" then error("a declaration in a table needs 'type'", 0) end
  error(("a %s is no type"):format(type(declaration)), 0)
end

---@param item any  a declaration
---@return xpm.Type
function types.list(item) return setmetatable({ kind = "list", item = types.parse(item) }, Type) end
---A map from strings to values of one type.
---@param item any
---@return xpm.Type
function types.map(item) return setmetatable({ kind = "map", item = types.parse(item) }, Type) end
---@param item any
---@return xpm.Type
function types.optional(item) return setmetatable({ kind = "optional", item = types.parse(item) }, Type) end
---@param values any[]  strings, numbers or booleans
---@return xpm.Type
function types.enum(values)
  if type(values) ~= "table" or #values == 0 then error("xpm.enum needs a list of values", 2) end
  for _, v in ipairs(values) do
    if type(v) == "table" or type(v) == "function" then error("xpm.enum takes strings, numbers and booleans", 2) end
  end
  return setmetatable({ kind = "enum", values = values }, Type)
end

local function article(word) return (word:match("^[aeiou]") and "an " or "a ") .. word end

---How a value's kind is called in messages.
---@param value any
---@return string
function types.describe(value)
  if value == nil or value == config.null then return "null" end
  if math.type(value) then return math.type(value) == "integer" and "an integer" or "a number" end
  if types.is_task(value) then return "task " .. value:task_id() end
  if type(value) == "table" then return "a " .. config.kind(value) end
  return article(type(value))
end

local function show(value)
  if type(value) == "string" then return '"' .. value .. '"' end
  return tostring(value)
end

local function list_values(values)
  local out = {}
  for i, v in ipairs(values) do out[i] = tostring(v) end
  return table.concat(out, ", ")
end

-- One check in progress: `report(path, message)` collects; `text` allows text that reads as a number or boolean.
local check

local function wrong(ctx, path, wanted, value)
  local hint = ""
  if wanted == "a string" and math.type(value) then hint = '; write it in quotes' end
  if type(value) == "string" then
    ctx.report(path, ("must be %s, is %s"):format(wanted, show(value)))
  else
    ctx.report(path, ("must be %s, is %s%s"):format(wanted, types.describe(value), hint))
  end
end

local function to_number(ctx, value)
  if type(value) == "string" and ctx.text then
    local parsed = config.parse_yaml(value)
    if math.type(parsed) then return parsed end
  end
  return value
end

local CHECKS = {}

function CHECKS.string(ctx, _, value, path)
  if type(value) ~= "string" then wrong(ctx, path, "a string", value) return end
  return value
end

function CHECKS.path(ctx, _, value, path)
  if type(value) ~= "string" or value == "" then wrong(ctx, path, "a path", value) return end
  if value:find("\0", 1, true) then ctx.report(path, "a path cannot hold a NUL byte") return end
  return ctx.absolute and ctx.absolute(value) or value
end

function CHECKS.integer(ctx, _, value, path)
  local n = to_number(ctx, value)
  local i = math.type(n) and math.tointeger(n)
  if not i then wrong(ctx, path, "an integer", value) return end
  return i
end

function CHECKS.number(ctx, _, value, path)
  local n = to_number(ctx, value)
  if not math.type(n) then wrong(ctx, path, "a number", value) return end
  return n
end

function CHECKS.boolean(ctx, _, value, path)
  if ctx.text and type(value) == "string" then
    if value == "true" or value == "True" or value == "TRUE" then value = true
    elseif value == "false" or value == "False" or value == "FALSE" then value = false end
  end
  if type(value) ~= "boolean" then wrong(ctx, path, "true or false", value) return end
  return value
end

function CHECKS.enum(ctx, t, value, path)
  for _, allowed in ipairs(t.values) do
    if value == allowed then return allowed end
  end
  if ctx.text and type(value) == "string" then
    for _, allowed in ipairs(t.values) do
      if tostring(allowed) == value then return allowed end
    end
  end
  local names = {}
  for i, v in ipairs(t.values) do names[i] = tostring(v) end
  ctx.report(path, ("must be one of %s, is %s%s"):format(list_values(t.values),
    type(value) == "table" and types.describe(value) or show(value), suggestion(tostring(value), names)))
end

function CHECKS.list(ctx, t, value, path)
  if type(value) ~= "table" or types.is_task(value) or (next(value) ~= nil and config.kind(value) ~= "list") then
    wrong(ctx, path, "a list", value)
    return
  end
  local out = {}
  for i = 1, #value do
    local item = check(ctx, t.item, value[i], ("%s.%d"):format(path, i - 1))
    out[i] = item == nil and config.null or item
  end
  return config.list(out)
end

function CHECKS.map(ctx, t, value, path)
  if type(value) ~= "table" or types.is_task(value) or (next(value) ~= nil and config.kind(value) ~= "map") then
    wrong(ctx, path, "a map", value)
    return
  end
  local out, keys = {}, {}
  for k, v in config.pairs(value) do
    if type(k) ~= "string" then
      ctx.report(path, "keys must be strings, is " .. types.describe(k))
    else
      out[k] = check(ctx, t.item, v, path .. "." .. k)
      keys[#keys + 1] = k
    end
  end
  return config.order(out, keys)
end

function CHECKS.optional(ctx, t, value, path)
  if value == nil or value == config.null then return nil end
  return check(ctx, t.item, value, path)
end

function CHECKS.config(ctx, t, value, path)
  if type(value) ~= "table" or types.is_task(value) or (next(value) ~= nil and config.kind(value) ~= "map") then
    wrong(ctx, path, "a map", value)
    return
  end
  return types.check_fields(ctx, t.config.fields, value, path, t.config)
end

function CHECKS.task(ctx, t, value, path)
  if not types.is_task(value) or value:task_id() ~= t.task.id then
    wrong(ctx, path, "a task " .. t.task.id, value)
    return
  end
  return value
end

-- Anything that can be written down: null, booleans, numbers, strings, lists, maps with string keys, tasks.
function CHECKS.any(ctx, t, value, path)
  local kind = type(value)
  if value == nil or value == config.null then return config.null end
  if kind == "boolean" or kind == "number" or kind == "string" or types.is_task(value) then return value end
  if kind ~= "table" then wrong(ctx, path, "a value that can be written down", value) return end
  if getmetatable(value) and not is(value, "xpm.Tagged") then
    ctx.report(path, "must be a plain table (it has a metatable)")
    return
  end
  local nested = { kind = config.kind(value), item = t }
  ctx.depth = (ctx.depth or 0) + 1
  if ctx.depth > 200 then ctx.report(path, "is nested too deeply, or holds itself") ctx.depth = ctx.depth - 1 return end
  local out = CHECKS[nested.kind](ctx, nested, value, path)
  ctx.depth = ctx.depth - 1
  return out
end

function check(ctx, t, value, path)
  if is(value, "xpm.Tagged") then
    if ctx.tagged then ctx.tagged(value, path) end
    value = value.value
  end
  if (value == nil or value == config.null) and t.kind ~= "optional" and t.kind ~= "any" then
    ctx.report(path, "must not be null")
    return nil
  end
  return CHECKS[t.kind](ctx, t, value, path)
end

---Checks one value. `ctx.report(path, message)` is called for each problem; `ctx.text`: text that reads as a number or
---boolean is one; `ctx.tagged(tagged, path)` hears of tagged values (which are unwrapped); `ctx.absolute(path)` makes
---paths absolute.
---@param ctx { report: function, text?: boolean, tagged?: function, absolute?: function }
---@param t xpm.Type
---@param value any
---@param path string
---@return any checked
function types.check(ctx, t, value, path) return check(ctx, t, value, path) end

local function check_limits(ctx, field, value, path)
  if value == nil then return end
  if field.choices then
    local found = false
    for _, c in ipairs(field.choices) do found = found or c == value end
    if not found then
      local names = {}
      for i, c in ipairs(field.choices) do names[i] = tostring(c) end
      ctx.report(path, ("must be one of %s, is %s%s"):format(list_values(field.choices), show(value),
        suggestion(tostring(value), names)))
    end
  end
  if field.range and math.type(value) and not (value >= field.range[1] and value <= field.range[2]) then
    ctx.report(path, ("must be between %s and %s, is %s"):format(field.range[1], field.range[2], value))
  end
end

---Checks a map against fields: unknown names (with the nearest), missing ones, defaults filled in, declaration order.
---@param ctx table
---@param fields xpm.Field[]  also by name
---@param values table
---@param path string         "" at the root
---@param owner? { extra?: fun(name: string): boolean }  names that are allowed besides
---@return table checked
function types.check_fields(ctx, fields, values, path, owner)
  local prefix = path == "" and "" or path .. "."
  local out, keys, names = {}, {}, {}
  for _, field in ipairs(fields) do names[#names + 1] = field.name end
  for name in config.pairs(values) do
    if not fields[name] and not (owner and owner.extra and owner.extra(name)) then
      local shown = type(name) == "string" and name or tostring(name)
      ctx.report(prefix .. shown, "unknown key" .. suggestion(shown, names), "key")
    end
  end
  for _, field in ipairs(fields) do
    local value, at = values[field.name], prefix .. field.name
    if value == nil then
      if field.default ~= nil then
        out[field.name] = check(ctx, field.type, field.default, at) -- a copy
      elseif not field.optional then
        ctx.report(at, "is missing", "missing")
      end
    elseif field.constant then
      ctx.report(at, "is constant and cannot be set")
    else
      out[field.name] = check(ctx, field.type, value, at)
      check_limits(ctx, field, out[field.name], at)
    end
    keys[#keys + 1] = field.name
  end
  return config.order(out, keys)
end

---Turns one declaration into a Field. Raises (a plain string) on a wrong one.
---@param name string
---@param declaration any
---@return xpm.Field
function types.field(name, declaration)
  local field = { name = name, optional = false, meta = false, constant = false, ignore_default = false,
    searchable = false }
  if type(declaration) == "table" and getmetatable(declaration) == nil then
    for key in pairs(declaration) do
      if not IS_FIELD_KEY[key] then
        error(("'%s': unknown option '%s'%s"):format(name, tostring(key), suggestion(tostring(key), FIELD_KEYS)), 0)
      end
    end
    for _, flag in ipairs { "meta", "constant", "ignore_default", "searchable" } do
      local v = declaration[flag]
      if v ~= nil and type(v) ~= "boolean" then error(("'%s': %s must be true or false"):format(name, flag), 0) end
      field[flag] = v or false
    end
    field.help, field.choices, field.range = declaration.help, declaration.choices, declaration.range
    field.identity = declaration.identity
  end
  local wrapped = declaration
  if type(declaration) == "table" and getmetatable(declaration) == nil then wrapped = declaration.type end
  if wrapped == nil then error(("'%s': the declaration needs 'type'"):format(name), 0) end
  local ok, t = pcall(types.parse, wrapped)
  if not ok then error(("'%s': %s"):format(name, t), 0) end
  field.type, field.optional = t, t.kind == "optional"
  if field.identity and t.kind ~= "path" then error(("'%s': 'identity' is for a path"):format(name), 0) end
  if field.identity and field.identity ~= "name" and field.identity ~= "content" then
    error(("'%s': identity must be 'name' or 'content'"):format(name), 0)
  end
  if field.range and (type(field.range) ~= "table" or not tonumber(field.range[1]) or not tonumber(field.range[2])) then
    error(("'%s': range must be { lowest, highest }"):format(name), 0)
  end
  if type(declaration) == "table" and getmetatable(declaration) == nil and declaration.default ~= nil then
    local problem
    local ctx = { report = function(_, message) problem = problem or message end }
    field.default = check(ctx, t, declaration.default, name)
    check_limits(ctx, field, field.default, name)
    if problem then error(("'%s': the default %s"):format(name, problem), 0) end
  end
  if (field.constant or field.ignore_default) and field.default == nil then
    error(("'%s': %s needs a default"):format(name, field.constant and "constant" or "ignore_default"), 0)
  end
  return field
end

---Turns declarations into a list of Fields, in their names' order (also found by name).
---@param declarations table<string, any>
---@param check_name? fun(name: string): string?  gives a message for a name that is refused
---@return xpm.Field[]
function types.fields(declarations, check_name)
  local names, fields = {}, {}
  for name in pairs(declarations) do
    if type(name) ~= "string" then error(("field names must be strings, not %s"):format(tostring(name)), 0) end
    local problem = check_name and check_name(name)
    if problem then error(("'%s': %s"):format(name, problem), 0) end
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local field = types.field(name, declarations[name])
    fields[#fields + 1], fields[name] = field, field
  end
  return fields
end

return types
