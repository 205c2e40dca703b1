-- What users require: `local xpm = require "xpm"`. Everything is loaded when it is first asked for.

---@class xpm
---@field null userdata                     the value of YAML and JSON null
---@field version string
---@field log xpm.log                       messages on standard error, with levels
---@field DirtyGitAction table              IGNORE, WARN, ERROR
---@field DirtyGitError table               class of the error that dirty_git = "error" raises
---@field ExperimentHelper xpm.ExperimentHelper
local xpm = {}

-- name -> { module, field }; without a field the module itself.
local EXPORTS = {
  configuration = { "xpm.configuration", "define" },
  current = { "xpm.experiment", "current" },
  DirtyGitAction = { "xpm.dirty_git", "Action" },
  DirtyGitError = { "xpm.errors", "DirtyGitError" },
  enum = { "xpm.types", "enum" },
  experiment = { "xpm.experiment", "new" },
  ExperimentHelper = { "xpm.helper" },
  is_error = { "xpm.errors", "is" },
  list = { "xpm.types", "list" },
  log = { "xpm.log" },
  map = { "xpm.types", "map" },
  mock_modules = { "xpm.mock", "mock_modules" },
  null = { "xpm.config", "null" },
  optional = { "xpm.types", "optional" },
  pairs = { "xpm.config", "pairs" },
  setenv = { "xpm.environment", "setenv" },
  tag = { "xpm.tags", "tag" },
  task = { "xpm.task", "define" },
  version = { "xpm.version" },
  with_experiment = { "xpm.experiment", "with" },
}

---The names that `xpm` has, sorted.
---@return string[]
function xpm.names()
  local names = {}
  for name in pairs(EXPORTS) do names[#names + 1] = name end
  table.sort(names)
  return names
end

return setmetatable(xpm, {
  __index = function(self, name)
    local export = EXPORTS[name]
    if not export then
      if type(name) ~= "string" or name:sub(1, 1) == "_" then return nil end
      local near = require("xpm.config").nearest(name, self.names())
      error(("xpm has no '%s'%s"):format(name, near and (" (did you mean '%s'?)"):format(near) or ""), 2)
    end
    local value = require(export[1])
    if export[2] then value = value[export[2]] end
    rawset(self, name, value)
    return value
  end,
})
