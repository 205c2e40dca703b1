-- The process of a Lua job: `xpm run-job TASK file|module SOURCE PATH CPATH [ARG...]`, started by a supervisor in the
-- job's folder. It loads what defined the task (with the real modules: nothing is mocked here), makes the task from
-- params.json and calls its `execute`. `run` is not called, and loading ends where a script opens its experiment.

local config = require "xpm.config"
local errors = require "xpm.errors"
local params = require "xpm.params"
local sys = require "xpm.sys"
local types = require "xpm.types"
local usercode = require "xpm.usercode"

local job = {}

local PROGRESS_SECONDS = 0.1 -- progress is written at most this often, unless it says something new

-- What stands for a task in a job: a dependency (parameters and outputs read from its folder when first asked for),
-- or the job's own task.
local Loaded = { __name = "xpm.Task", xpm_task = true }

local function read_params(folder)
  local path = folder .. "/params.json"
  local text, message = sys.read(path)
  if not text then error(errors.WorkspaceError(message)) end
  local doc, problem = config.parse_json(text, path)
  if type(doc) ~= "table" or type(doc.parameters) ~= "table" then
    error(errors.WorkspaceError(problem or path .. ": is not a job's params.json"))
  end
  if math.type(doc.version) ~= "integer" or doc.version > params.VERSION then
    error(errors.WorkspaceError(("%s has version %s; this xpm knows %d"):format(path, tostring(doc.version),
      params.VERSION)))
  end
  return doc
end

local function load_into(self)
  local doc = read_params(self.xpm_folder)
  local values = {}
  for name, value in config.pairs(doc.parameters) do
    values[name] = params.decode(value, self.xpm_dependency)
  end
  rawset(self, "xpm_values", values)
  rawset(self, "xpm_outputs", doc.outputs or {})
end

local methods = {}
function methods:task_id() return self.xpm_task_id end
function methods:identifier() return self.xpm_hash end
function methods:folder() return self.xpm_folder end
function methods:parameters() return self.xpm_values end
function methods:progress(fraction, description, level)
  local report = rawget(self, "xpm_progress")
  if report then report(fraction, description, level or 0) end
end

function Loaded.__index(self, key)
  if methods[key] then return methods[key] end
  if key == "id" then return rawget(self, "xpm_task_id") end
  if key == "xpm_values" or key == "xpm_outputs" then
    load_into(self)
    return rawget(self, key)
  end
  if type(key) ~= "string" or key:sub(1, 4) == "xpm_" then return nil end
  local values, outputs = self.xpm_values, self.xpm_outputs
  if values[key] ~= nil then return values[key] end
  if outputs[key] then return self.xpm_folder .. "/" .. outputs[key] end
  local class = rawget(self, "xpm_class")
  if class and class.fields[key] then return nil end
  local names = {}
  for name in pairs(values) do names[#names + 1] = name end
  for name in pairs(outputs) do names[#names + 1] = name end
  if class then
    error(("task %s has no parameter or output '%s'%s"):format(self.xpm_task_id, key,
      types.suggestion(key, names)), 2)
  end
  return nil -- of a dependency: an optional parameter that was not given
end

function Loaded.__tostring(self) return ("xpm.Task %s/%s"):format(self.xpm_task_id, self.xpm_hash:sub(1, 8)) end

local function make(workdir, task, hash)
  local self = { xpm_task_id = task, xpm_hash = hash, xpm_folder = ("%s/jobs/%s/%s"):format(workdir, task, hash) }
  local known = {} -- the same task in several places is the same table
  self.xpm_dependency = function(id, identifier)
    local key = id .. "/" .. identifier
    known[key] = known[key] or make(workdir, id, identifier)
    return known[key]
  end
  return setmetatable(self, Loaded)
end

-- Writes {name}.progress: a list of { level, progress, desc }, level 0 first.
local function progress_writer(path)
  local levels, last, last_text = {}, -math.huge, nil
  return function(fraction, description, level)
    if type(fraction) ~= "number" or fraction ~= fraction then error("progress takes a number from 0 to 1", 3) end
    if description ~= nil and type(description) ~= "string" then error("progress: the description is a text", 3) end
    if math.type(level) ~= "integer" or level < 0 or level > #levels then
      error(("progress: level must be an integer from 0 to %d"):format(#levels), 3)
    end
    fraction = math.max(0, math.min(1, fraction))
    for i = #levels, level + 2, -1 do levels[i] = nil end
    levels[level + 1] = config.order({ level = level, progress = fraction, desc = description },
      { "level", "progress", "desc" })
    local now = sys.monotonic()
    if now - last < PROGRESS_SECONDS and fraction < 1 then return end
    local text = config.encode_json(config.list(levels))
    if text ~= last_text and sys.write(path, text .. "\n") then last, last_text = now, text end
  end
end

-- Loads what defines the task. A plain script is left where it opens its experiment: the job is done there and the
-- process ends, so that neither a pcall around that nor code below can get in the way.
local function load_definition(kind, name, at_experiment)
  require("xpm.experiment").in_job = at_experiment
  if kind == "module" then
    usercode.call(require, name)
  else
    local chunk, message = loadfile(name)
    if not chunk then error(errors.ConfigError(message)) end
    usercode.call(chunk)
  end
end

local function make_folders(folder, outputs)
  for _, path in pairs(outputs) do
    local parent = path:match("^(.*)/")
    if parent then assert(sys.mkdirs(folder .. "/" .. parent)) end
  end
end

-- The job itself, once its task is defined.
local function perform(workdir, id, hash, name)
  local class = require("xpm.task").find(id)
  if not class then error(errors.ConfigError(("loading %s does not define task %s"):format(name, id))) end
  local self = make(workdir, id, hash)
  rawset(self, "xpm_class", class)
  make_folders(self.xpm_folder, self.xpm_outputs)
  local progress_path = ("%s/%s.progress"):format(self.xpm_folder, class.name)
  rawset(self, "xpm_progress", progress_writer(progress_path))
  usercode.call(class.execute, self)
  sys.remove(progress_path)
  return 0
end

---Runs the job in the current folder.
---@param args string[]
---@param guarded fun(f: function, ...): integer  calls f and tells its errors; gives the exit code
---@return integer exit_code
function job.main(args, guarded)
  local id, kind, name, path, cpath = table.unpack(args, 1, 5)
  if not cpath or (kind ~= "file" and kind ~= "module") then
    error(errors.UsageError("run-job is started by xpm itself"))
  end
  package.path, package.cpath = path .. ";" .. package.path, cpath .. ";" .. package.cpath
  local workdir, task_id, hash = sys.cwd():match("^(.*)/jobs/([^/]+)/(%x+)$")
  if task_id ~= id then error(errors.UsageError("run-job: the current folder is no folder of " .. id)) end
  require("xpm.mock").enable(false)
  rawset(_G, "arg", { [0] = kind == "file" and name or nil, table.unpack(args, 6) })
  load_definition(kind, name, function() os.exit(guarded(perform, workdir, id, hash, name), true) end)
  return perform(workdir, id, hash, name)
end

return job
