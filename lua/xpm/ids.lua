-- The grammar of ids (experiments, tasks, runs, tags, tokens): they become names of files and folders.

local ids = {}

local MAX = 200 -- bytes; with suffixes it stays below the 255 of common file systems

---Why `id` is no id; nil when it is one.
---@param id any
---@return string?
function ids.problem(id)
  if type(id) ~= "string" then return "must be a string" end
  if id == "" then return "is empty" end
  if #id > MAX then return ("is longer than %d bytes"):format(MAX) end
  if not id:find("^[A-Za-z0-9]") then return "must start with a letter or digit" end
  local bad = id:match("[^A-Za-z0-9_.%-]")
  if bad then
    return ("may hold letters, digits, '_', '.' and '-' only, not %s"):format(
      bad:find("[%g ]") and ("'" .. bad .. "'") or ("byte 0x%02x"):format(bad:byte()))
  end
  if id:find("..", 1, true) then return "must not hold '..'" end
  return nil
end

return ids
