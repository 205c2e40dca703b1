-- ExperimentHelper: what `run(helper, cfg)` is given. A subclass with its own `run` handles extra arguments of the
-- command line; its `decorator` binds a function to it.

local errors = require "xpm.errors"

---@class xpm.ExperimentHelper
---@field xp xpm.Experiment       the open experiment
---@field callable function       the user's run function
local ExperimentHelper = {}
ExperimentHelper.__index = ExperimentHelper
ExperimentHelper.__name = "xpm.ExperimentHelper"

---@class xpm.Decorated
---@field helper xpm.ExperimentHelper   the class that runs it
---@field callable function
local Decorated = { __name = "xpm.Decorated" }
Decorated.__index = Decorated
function Decorated.__call(self, ...) return self.callable(...) end

-- decorator(f): f runs under this class.
local function make_decorator(class)
  return function(callable)
    if type(callable) ~= "function" then error("a helper's decorator takes a function", 2) end
    return setmetatable({ helper = class, callable = callable }, Decorated)
  end
end

---Derives a class: `extend { run = function(self, args, cfg) ... end }`. It may call `self.callable(self, cfg, ...)`.
---@param fields? table
---@return xpm.ExperimentHelper
function ExperimentHelper:extend(fields)
  local class = {}
  for k, v in pairs(fields or {}) do class[k] = v end
  class.__index, class.__name = class, "xpm.ExperimentHelper"
  class.decorator = make_decorator(class)
  return setmetatable(class, self)
end

---Runs the experiment. The plain helper refuses extra arguments.
---@param args string[]
---@param cfg table
function ExperimentHelper:run(args, cfg)
  if #args > 0 then
    error(errors.UsageError(("this experiment takes no further arguments, got '%s'"):format(table.concat(args, " "))))
  end
  return self.callable(self, cfg)
end

ExperimentHelper.decorator = make_decorator(ExperimentHelper)

---@param value any
---@return boolean
function ExperimentHelper.is_decorated(value)
  return type(value) == "table" and getmetatable(value) == Decorated
end

---The helper for a run function or a decorated one.
---@param run function|xpm.Decorated
---@param xp xpm.Experiment
---@return xpm.ExperimentHelper
function ExperimentHelper.of(run, xp)
  if ExperimentHelper.is_decorated(run) then
    return setmetatable({ xp = xp, callable = run.callable }, run.helper)
  end
  return setmetatable({ xp = xp, callable = run }, ExperimentHelper)
end

return ExperimentHelper
