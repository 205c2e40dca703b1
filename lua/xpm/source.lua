-- Where a piece of user code comes from: which file or module a job has to load to have it again.
--
-- A definition belongs to the innermost main chunk (file or module being loaded) on the stack: loading that again
-- defines it again. Code below an opened experiment in a plain script is not reached in a job, because a job stops
-- loading at `xpm.experiment` (see xpm.job).

local sys = require "xpm.sys"

local source = {}

local opened = {} -- chunk file -> true: it has opened an experiment

---@class xpm.Source
---@field file? string     absolute path of the file whose loading defines it
---@field module? string   the name by which `require` loads that file
---@field line integer     where in the file (of the innermost user function)
---@field problem? string  why loading would not define it

-- The name under which `require` is loading this main chunk: its first vararg, when the search path leads there.
local function module_name(level, file)
  local _, name = debug.getlocal(level + 1, -1)
  if type(name) ~= "string" then return nil end
  local found = package.searchpath(name, package.path)
  if found and sys.realpath(found) == sys.realpath(file) then return name end
  return nil
end

---Describes the code that called the function at `level` (1: the caller of source.here).
---@param level integer
---@return xpm.Source
function source.here(level)
  level = level + 1
  local caller = debug.getinfo(level, "Sl")
  local line = caller and caller.currentline or 0
  while true do
    local info = debug.getinfo(level, "S")
    if not info then break end
    if info.what == "main" then
      if info.source:sub(1, 1) ~= "@" then return { line = line, problem = "it is not defined in a file" } end
      local file = sys.abspath(info.source:sub(2))
      local problem
      if opened[file] then problem = "it is defined after an experiment was opened; define it above" end
      return { file = file, module = module_name(level, file), line = line, problem = problem }
    end
    level = level + 1
  end
  return { line = line, problem = "it is defined inside a function that runs later (such as run); "
    .. "define it at the top of the file or in a module" }
end

---Notes that the main chunk now running has opened an experiment.
---@param level integer
function source.note_experiment(level)
  local here = source.here(level + 1)
  if here.file then opened[here.file] = true end
  return here
end

return source
