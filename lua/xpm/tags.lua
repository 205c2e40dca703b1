-- Tags: names and texts that users give to values; they propagate to the jobs that use the values.

local ids = require "xpm.ids"
local numbers = require "xpm.numbers"

local tags = {}

---@class xpm.Tagged
---@field value any
---@field name? string  default: the name of the parameter it is given to
local Tagged = { __name = "xpm.Tagged" }
Tagged.__index = Tagged

---Marks a value, so that the job whose parameter it becomes has it as a tag.
---@param value string|number|boolean
---@param name? string
---@return xpm.Tagged
function tags.tag(value, name)
  if type(value) == "table" or type(value) == "function" or value == nil then
    error("xpm.tag takes a string, a number or a boolean", 2)
  end
  if name ~= nil then tags.check_name(name, 2) end
  return setmetatable({ value = value, name = name }, Tagged)
end

---@param name any
---@param level integer  of the error
function tags.check_name(name, level)
  local why = ids.problem(name)
  if why then error(("tag name %q: %s"):format(tostring(name), why), level + 1) end
end

---A tag's value as text.
---@param value any
---@return string
function tags.text(value)
  return math.type(value) and numbers.text(value) or tostring(value)
end

return tags
