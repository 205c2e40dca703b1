-- The identifier of a task: which of its values count, and in which form (the bytes: src/engine/identifier.h).

local config = require "xpm.config"
local engine = require "xpm.engine"
local sys = require "xpm.sys"
local types = require "xpm.types"

local identity = {}

local KIND = engine.KIND

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" or types.is_task(a) or types.is_task(b) then return a == b end
  for k, v in pairs(a) do
    if not same(v, b[k]) then return false end
  end
  for k in pairs(b) do
    if a[k] == nil then return false end
  end
  return true
end

local digests = {} -- path -> { size, mtime, digest }: many tasks share one data file

local function content_digest(path)
  local kind, size, mtime = sys.stat(path)
  if kind ~= "file" then error(("path %q is not a file: its content cannot be part of an identifier"):format(path), 0) end
  local known = digests[path]
  if not (known and known.size == size and known.mtime == mtime) then
    known = { size = size, mtime = mtime, digest = assert(engine.hash_file(path)) }
    digests[path] = known
  end
  return known.digest
end

local canonical_fields

local function canonical(t, value)
  if types.is_task(value) then return { [KIND] = "job", value:identifier() } end
  if t.kind == "optional" then return value ~= nil and value ~= config.null and canonical(t.item, value) or nil end
  if t.kind == "config" then
    return { [KIND] = "config", t.config.id, canonical_fields(t.config.fields, value) }
  end
  if t.kind == "list" or (t.kind == "any" and type(value) == "table" and config.kind(value) == "list") then
    local out = {}
    for i = 1, #value do
      local item = canonical(t.item or t, value[i])
      out[i] = item == nil and config.null or item
    end
    return config.list(out)
  end
  if type(value) == "table" then
    local out = {}
    for k, v in config.pairs(value) do out[k] = canonical(t.item or t, v) end
    return out
  end
  return value
end

local function canonical_field(field, value)
  if field.type.kind == "path" or field.type.kind == "optional" and field.type.item.kind == "path" then
    if field.identity == "name" then return { [KIND] = "bytes", "path.name", value:match("[^/]*$") } end
    if field.identity == "content" then return { [KIND] = "bytes", "path.content", content_digest(value) } end
    return nil
  end
  return canonical(field.type, value)
end

---Whether a field is left out of identifiers, whatever its value.
---@param field xpm.Field
---@return boolean
function identity.ignored(field)
  local t = field.type.kind == "optional" and field.type.item or field.type
  return field.meta or (t.kind == "path" and not field.identity)
end

local function is_default(field, value)
  local default = field.default
  if field.type.kind == "path" then default = sys.abspath(default) end
  return same(value, default)
end

function canonical_fields(fields, values)
  local out = {}
  for _, field in ipairs(fields) do
    local value = values[field.name]
    local counts = value ~= nil and not identity.ignored(field)
      and not (field.ignore_default and is_default(field, value))
    if counts then out[field.name] = canonical_field(field, value) end
  end
  return out
end

---@param task xpm.Task
---@return string hash  64 hex digits
function identity.of(task)
  return engine.identifier(task:task_id(), canonical_fields(task.xpm_class.fields, task:parameters()))
end

return identity
