-- Errors with a class. A UserError is something its reader can put right: it is shown as its message alone, and
-- `exit` is the command's exit code (DESIGN 9). Everything else that reaches the command line is a bug in xpm.

local errors = {}

---@class xpm.Error
---@field message string   one line, or one line a problem
---@field exit integer     exit code of the command
---@field hint? string     a second line: what to do
local Error = {}
Error.__index = Error
Error.__name = "xpm.Error"
Error.__tostring = function(e) return e.message end

local function class(name, parent, defaults)
  local c = setmetatable({}, { __index = parent, __call = function(c, message, fields)
    local e = { message = message }
    for k, v in pairs(fields or {}) do e[k] = v end
    return setmetatable(e, c)
  end })
  c.__index, c.__name, c.__tostring, c.parent = c, name, parent.__tostring, parent
  for k, v in pairs(defaults) do c[k] = v end
  return c
end

errors.Error = Error
---Usage of the command line: exit 2.
errors.UsageError = class("xpm.UsageError", Error, { exit = 2 })
---Configuration or experiment code: exit 3.
errors.ConfigError = class("xpm.ConfigError", Error, { exit = 3 })
---Workspace or repository: exit 4.
errors.WorkspaceError = class("xpm.WorkspaceError", Error, { exit = 4 })
---Raised when `dirty_git` is "error" and the repository has uncommitted changes.
errors.DirtyGitError = class("xpm.DirtyGitError", errors.WorkspaceError, {})
---SIGINT, SIGTERM or SIGHUP: exit 130.
errors.Interrupted = class("xpm.Interrupted", Error, { exit = 130 })

---True if `e` is an error object of `class` (default: of any xpm class).
---@param e any
---@param wanted? table
---@return boolean
function errors.is(e, wanted)
  local c = type(e) == "table" and getmetatable(e) or nil
  while c do
    if c == (wanted or Error) then return true end
    c = c.parent
  end
  return false
end

return errors
