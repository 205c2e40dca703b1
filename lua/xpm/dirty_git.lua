-- The check for uncommitted changes, and what is recorded of the repository with a run.

local errors = require "xpm.errors"
local log = require "xpm.log"
local types = require "xpm.types"

local dirty_git = {}

---What to do about uncommitted changes.
dirty_git.Action = { IGNORE = "ignore", WARN = "warn", ERROR = "error" }

local WORDS = { "ignore", "warn", "error" }

---@param action any  "ignore", "warn", "error" or nil (warn)
---@return string
function dirty_git.action(action)
  if action == nil then return "warn" end
  for _, word in ipairs(WORDS) do
    if action == word then return word end
  end
  error(("dirty_git must be one of ignore, warn, error, is '%s'%s"):format(tostring(action),
    types.suggestion(tostring(action), WORDS)), 0)
end

local function listing(state)
  local shown = table.concat(state.paths, ", ", 1, math.min(#state.paths, 5))
  local more = state.count - math.min(#state.paths, 5)
  return more > 0 and ("%s and %d more"):format(shown, more) or shown
end

---Looks at the repository that holds `folder`, and warns or raises DirtyGitError as `action` says.
---@param folder string
---@param action "ignore"|"warn"|"error"
---@param workspace? string  absolute; what lies in it does not count
---@return xpm.git.state?  nil: no repository, or its state is unknown
function dirty_git.check(folder, action, workspace)
  local git = require "xpm.git"
  local state, message, code = git.state(folder, { exclude = workspace and { workspace } or nil })
  if not state then
    if code ~= "not_found" then log.warn("state of the git repository is unknown: %s", message) end
    return nil
  end
  if state.dirty and action ~= "ignore" then
    local text = ("git repository %s has uncommitted changes: %s"):format(state.root, listing(state))
    if action == "error" then
      error(errors.DirtyGitError(text, { hint = "commit them, or set dirty_git to warn or ignore" }))
    end
    log.warn("%s", text)
  end
  return state
end

return dirty_git
