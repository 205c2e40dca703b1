-- The environment that jobs inherit. xpm.setenv changes the driver's own environment; supervisors that run already do
-- not see that, so what was set is also sent with every job.

local sys = require "xpm.sys"

local environment = {}

local changes ---@type table<string, string|false>?

---Sets a variable for this process (os.getenv) and for every job started from now on; nil removes it.
---@param name string
---@param value? string|number|boolean
function environment.setenv(name, value)
  if type(name) ~= "string" or name == "" or name:find("[=%z]") then
    error(("xpm.setenv: %q is no name of a variable"):format(tostring(name)), 2)
  end
  if value ~= nil then
    value = tostring(value)
    if value:find("\0", 1, true) then error("xpm.setenv: a value cannot hold a NUL byte", 2) end
  end
  sys.setenv(name, value)
  local copy = {}
  for k, v in pairs(changes or {}) do copy[k] = v end
  copy[name] = value == nil and false or value
  changes = copy -- a new table each time: jobs keep the one they were submitted with
end

---What was set so far, or nil; never changed afterwards.
---@return table<string, string|false>?
function environment.changes() return changes end

return environment
