-- Calling the user's code: its errors are shown with the user's files and lines, without ours.

local errors = require "xpm.errors"

local usercode = {}

-- The folder of xpm's own Lua files, to leave them out of tracebacks.
local own = (debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "?") .. "/"

local function frames(level)
  local lines = {}
  while #lines < 20 do
    local info = debug.getinfo(level, "Sln")
    if not info then break end
    local path = info.source:match("^@(.*)")
    if info.what ~= "C" and path and path:sub(1, #own) ~= own then
      local what = info.what == "main" and "main chunk" or info.name and ("function '%s'"):format(info.name)
        or ("function at line %d"):format(info.linedefined)
      lines[#lines + 1] = ("  %s:%d: in %s"):format(path, info.currentline, what)
    end
    level = level + 1
  end
  return lines
end

-- A message handler: keeps our error objects, gives others a traceback of the user's frames.
local function handler(e)
  if errors.is(e) then return e end
  if e == "interrupted" then return errors.Interrupted("interrupted") end
  local message
  if type(e) == "string" or type(e) == "number" then message = tostring(e)
  elseif type(e) == "table" and (getmetatable(e) or {}).__tostring then message = tostring(e)
  else message = ("error object is a %s value"):format(type(e)) end
  local lines = frames(3)
  if #lines > 0 then message = message .. "\n" .. table.concat(lines, "\n") end
  return errors.ConfigError(message, { value = e })
end

---Calls f(...): true and its results, or false and an error object (a ConfigError for what the code raised).
---@param f function
---@return boolean ok, any ...
function usercode.try(f, ...)
  return xpcall(f, handler, ...)
end

---Calls f(...) and returns its results; errors become error objects.
---@param f function
---@return any ...
function usercode.call(f, ...)
  local function finish(ok, ...)
    if ok then return ... end
    error((...), 0)
  end
  return finish(xpcall(f, handler, ...))
end

return usercode
