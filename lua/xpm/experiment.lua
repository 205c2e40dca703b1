-- An experiment that is open: the driver's side of its jobs. Opening takes the experiment's lock and begins a run;
-- `submit` hands tasks to the engine, which starts them while more are submitted; `wait` turns the engine's loop;
-- closing ends the run. Nothing is printed unless a reporter is given.

local config = require "xpm.config"
local dirty_git = require "xpm.dirty_git"
local environment = require "xpm.environment"
local errors = require "xpm.errors"
local identity = require "xpm.identity"
local ids = require "xpm.ids"
local index_writer = require "xpm.index_writer"
local log = require "xpm.log"
local numbers = require "xpm.numbers"
local params = require "xpm.params"
local run_record = require "xpm.run_record"
local source = require "xpm.source"
local sys = require "xpm.sys"
local types = require "xpm.types"

local experiment = {}

---@class xpm.Job
---@field number integer   the engine's
---@field task string
---@field hash string
---@field name string
---@field path string      its folder
---@field state string
---@field reason? string
---@field tags table<string, string>
---@field deps string[]    "task/hash" of what it needs
---@field instances xpm.Task[]
---@field experiment xpm.Experiment

---@class xpm.Experiment
---@field id string
---@field workdir string   absolute
---@field mode "NORMAL"|"DRY_RUN"|"GENERATE_ONLY"
---@field run? string      name of the run; nil in a dry run
---@field path? string     folder of the run
---@field results? string  folder for the user's results
---@field jobs xpm.Job[]   in order of submission
local Experiment = {}
Experiment.__index = Experiment
Experiment.__name = "xpm.Experiment"

local OPTIONS = { "dirty_git", "jobs", "run_mode", "wait", "env", "folder", "reporter" }
local MODES = { "NORMAL", "DRY_RUN", "GENERATE_ONLY", "PREPARE" }
local PUMP_SECONDS = 0.005 -- while `run` submits, the loop is turned this often

-- What wait() raises inside the command's run() when later code would need results that will not come.
experiment.STOP = setmetatable({}, { __tostring = function() return "end of the dry run" end })

-- In a job's process: called instead of opening an experiment; does not return (see xpm.job).
experiment.in_job = nil ---@type function?

local open_experiments = {} ---@type xpm.Experiment[]

---The innermost open experiment.
---@return xpm.Experiment?
function experiment.current() return open_experiments[#open_experiments] end

---@param mode any
---@return string
function experiment.mode(mode)
  if mode == nil then return "NORMAL" end
  local word = tostring(mode):upper():gsub("-", "_")
  for _, known in ipairs(MODES) do
    if word == known then
      if word == "PREPARE" then
        error(errors.UsageError("run mode PREPARE: this version of xpm has no preparation steps"))
      end
      return known
    end
  end
  error(errors.UsageError(("unknown run mode '%s'%s; modes are %s"):format(tostring(mode),
    types.suggestion(word, MODES), table.concat(MODES, ", "))))
end

-- The program that runs Lua jobs: `xpm` itself, or the one installed with the modules this state has loaded.
local xpm_program
local function find_program()
  if xpm_program then return xpm_program end
  local candidates = {}
  local self = sys.executable()
  if self and self:match("[^/]*$") == "xpm" then candidates[1] = self end
  local module = package.searchpath("xpm.sys", package.cpath)
  local folder = module and sys.abspath(module):match("^(.*)/xpm/[^/]*$")
  if folder then
    candidates[#candidates + 1] = sys.abspath(folder .. "/../xpm") -- build/lib -> build/xpm
    candidates[#candidates + 1] = sys.abspath(folder .. "/../../../bin/xpm") -- lib/lua/5.4 -> bin/xpm
  end
  for dir in (os.getenv("PATH") or ""):gmatch("[^:]+") do candidates[#candidates + 1] = dir .. "/xpm" end
  for _, path in ipairs(candidates) do
    if sys.stat(path) == "file" then
      xpm_program = path
      return path
    end
  end
  error(errors.WorkspaceError("the program 'xpm', which runs Lua jobs, was not found on PATH"))
end

-- Search paths for another process in another folder: relative entries are made absolute.
local function absolute_path(path)
  return (path:gsub("[^;]+", function(entry)
    return entry:sub(1, 1) == "/" and entry or sys.abspath(entry)
  end))
end

-- Waits for the lock, unless told not to; `poll_fds`: descriptors whose readiness ends a nap.
local function take_lock(self, path, wait)
  local engine = require "xpm.engine"
  local nap, said = 0.1, false
  while true do
    local lock, message, code = engine.lock(path)
    if lock then return lock end
    if code ~= "locked" then error(errors.WorkspaceError(message)) end
    if not wait then
      error(errors.WorkspaceError(("experiment %s is already running (%s)"):format(self.id, message)))
    end
    if not said then
      log.warn("experiment %s is already running (%s): waiting for it to end", self.id, message)
      said = true
    end
    if self.control then
      if sys.poll({ self.control.fd }, nap) then self.control.ready(self) end
    else
      sys.poll({}, nap)
    end
    nap = math.min(nap * 1.5, 2)
  end
end

local function versions()
  return config.order({ xpm = require("xpm.version"), lua = _VERSION }, { "xpm", "lua" })
end

local function git_facts(state)
  if not state then return nil end
  return config.order({ root = state.root, head = state.head, branch = state.branch, dirty = state.dirty,
    author = state.author, date = state.date and run_record.time(state.date) or nil, message = state.message,
    paths = state.dirty and config.list(state.paths) or nil, count = state.dirty and state.count or nil },
    { "root", "head", "branch", "dirty", "count", "paths", "author", "date", "message" })
end

-- Takes the lock, begins the run's files and opens engine and index. On an error nothing stays held.
local function begin(self, options, internal)
  local engine = require "xpm.engine"
  local base = self.workdir .. "/xp/" .. self.id
  local function must(ok, message)
    if not ok then error(errors.WorkspaceError(message)) end
    return ok
  end
  must(sys.mkdirs(base))
  self.lock = take_lock(self, base .. "/lock", options.wait ~= false)
  self.engine = must(engine.open { workdir = self.workdir, jobs = self.slots })
  if self.control then self.engine:watch(self.control.fd) end
  self.record = run_record.open(base, self.id)
  self.run, self.path, self.results = self.record.run, self.record.folder, self.record.results
  self.record:write_environment { experiment = self.id, pid = sys.pid(), cwd = sys.cwd(),
    command = internal.command and config.list(internal.command) or nil, run_mode = self.mode,
    git = git_facts(self.git), versions = versions() }
  if internal.tree then self.record:write_configuration(internal.tree, internal.overrides) end
  local index, message = require("xpm.workspace").index(self.workdir, "write")
  if not index then log.warn("the workspace's index cannot be opened: %s", message) end
  self.index = index_writer.new(index, self.id, self.run,
    { clock = sys.monotonic, lock_path = self.workdir .. "/.xpm/lock" })
  for _, other in ipairs(self.record.interrupted) do self.index:put_run({ status = "interrupted" }, other) end
  self.index:put_run { hostname = self.record.hostname, started_at = self.record.started_at, status = "running" }
end

---Opens an experiment; see `xpm.experiment`. `internal` is for the command line: git (the state already checked),
---tree, overrides, command, driven, and control: what to do about signals (see xpm.run).
---@param workdir string
---@param id string
---@param options? table
---@param internal? table
---@return xpm.Experiment
function experiment.open(workdir, id, options, internal)
  options, internal = options or {}, internal or {}
  for key in pairs(options) do
    local known = false
    for _, name in ipairs(OPTIONS) do known = known or name == key end
    if not known then
      error(("xpm.experiment: unknown option '%s'%s"):format(tostring(key),
        types.suggestion(tostring(key), OPTIONS)), 0)
    end
  end
  local why = ids.problem(id)
  if why then error(errors.ConfigError(("experiment id %q: %s"):format(tostring(id), why))) end
  if type(workdir) ~= "string" or workdir == "" then error("xpm.experiment: workdir must be a path", 0) end
  local slots = options.jobs or sys.cpus()
  if math.type(slots) ~= "integer" or slots < 1 then error("xpm.experiment: jobs must be an integer from 1", 0) end

  local self = setmetatable({ id = id, workdir = sys.abspath(workdir), mode = experiment.mode(options.run_mode),
    slots = slots, jobs = {}, by_key = {}, by_number = {}, reporter = options.reporter, control = internal.control,
    driven = internal.driven, started = sys.monotonic(), last_pump = 0, failed = {}, completions = {} }, Experiment)
  if internal.checked_git then
    self.git = internal.git
  else
    self.git = dirty_git.check(options.folder or ".", dirty_git.action(options.dirty_git), self.workdir)
  end
  for name, value in pairs(options.env or {}) do environment.setenv(name, value) end
  self.env_base = environment.changes()
  if self.mode ~= "DRY_RUN" then
    local ok, e = xpcall(begin, function(e) return errors.is(e) and e or debug.traceback(tostring(e), 2) end,
      self, options, internal)
    if not ok then
      self:detach()
      error(e, 0)
    end
  end
  open_experiments[#open_experiments + 1] = self
  if self.reporter then
    self.reporter:begin { experiment = self.id, run = self.run, workspace = self.workdir, jobs = self.slots }
  end
  return self
end

-- argv of a job; `command` runs here, once, with the job's folder known.
local function job_command(self, task)
  local class = task.xpm_class
  if class.command then
    local argv = class.command(task)
    if type(argv) ~= "table" or #argv == 0 then
      error(("task %s: command must return a list of strings, not %s"):format(class.id, types.describe(argv)), 0)
    end
    local out = {}
    for i = 1, #argv do
      local a = argv[i]
      if math.type(a) then a = numbers.text(a) elseif type(a) == "boolean" then a = tostring(a) end
      if type(a) ~= "string" or a:find("\0", 1, true) then
        error(("task %s: argument %d of the command is %s, not a text"):format(class.id, i, types.describe(argv[i])), 0)
      end
      out[i] = a
    end
    return out, true
  end
  local from = class.source
  if from.problem or not from.file then
    error(("task %s cannot run in a process of its own: %s"):format(class.id, from.problem or "its file is unknown"), 0)
  end
  if not self.lua_path or self.lua_path[1] ~= package.path or self.lua_path[2] ~= package.cpath then
    self.lua_path = { package.path, package.cpath, absolute_path(package.path), absolute_path(package.cpath) }
  end
  local argv = { find_program(), "run-job", class.id, from.module and "module" or "file", from.module or from.file,
    self.lua_path[3], self.lua_path[4] }
  -- A plain script may read its arguments while it loads.
  for _, a in ipairs(rawget(_G, "arg") or {}) do argv[#argv + 1] = tostring(a) end
  return argv, false
end

-- A parameter that does not count differs from the one a finished job had: say so, the result is the old one's.
local function warn_ignored(job, task)
  local fields = {}
  for _, field in ipairs(task.xpm_class.fields) do
    if identity.ignored(field) then fields[#fields + 1] = field end
  end
  if #fields == 0 then return end
  local text = sys.read(job.path .. "/params.json")
  local doc = text and config.parse_json(text)
  local mine = config.parse_json(params.encode(task)).parameters
  for _, field in ipairs(fields) do
    local old = doc and type(doc.parameters) == "table" and doc.parameters[field.name]
    local a, b = config.encode_json(old == nil and config.null or old),
      config.encode_json(mine[field.name] == nil and config.null or mine[field.name])
    if doc and a ~= b then
      log.warn("job %s/%s is done already, with %s = %s (now %s), which is no part of its identifier", job.task,
        job.hash:sub(1, 8), field.name, a, b)
    end
  end
end

local function dependencies(self, task)
  local numbers_, names = {}, {}
  for _, dependency in ipairs(task:dependencies()) do
    local job = rawget(dependency, "xpm_job")
    if not job then
      error(("task %s: a parameter is the task %s, which was not submitted"):format(task:task_id(),
        dependency:task_id()), 0)
    end
    if job.experiment ~= self then
      self:submit(dependency)
      job = self.by_key[dependency:task_id() .. "/" .. dependency:identifier()]
    end
    numbers_[#numbers_ + 1] = job.number
    names[#names + 1] = job.task .. "/" .. job.hash
  end
  return numbers_, names
end

local function attach(job, task)
  job.instances[#job.instances + 1] = task
  rawset(task, "xpm_job", job)
  rawset(task, "xpm_folder", job.path)
end

local function submit(self, task, options)
  for key in pairs(options or {}) do
    error(("submit: unknown option '%s'"):format(tostring(key)), 0)
  end
  local class = task.xpm_class
  local hash = task:identifier()
  local key = class.id .. "/" .. hash
  local job = self.by_key[key]
  if job then
    if rawget(task, "xpm_job") ~= job then attach(job, task) end
    if job.state == "done" then self:completed(job) end
    return task
  end
  local deps, dep_names = dependencies(self, task)
  job = { task = class.id, hash = hash, name = class.name, path = self.workdir .. "/jobs/" .. key, state = "waiting",
    tags = task:tags(), deps = dep_names, instances = {}, experiment = self, submitted_at = sys.now() }
  rawset(task, "xpm_folder", job.path) -- the command wants to know its outputs' paths
  local ok, argv, own = pcall(job_command, self, task)
  if not ok then
    rawset(task, "xpm_folder", nil)
    error(argv, 0)
  end
  attach(job, task)
  self.jobs[#self.jobs + 1] = job
  self.by_key[key] = job
  if self.mode == "DRY_RUN" then
    job.number = #self.jobs
    local probe = require("xpm.engine").probe(self.workdir, job.task, job.hash, job.name)
    job.state, job.reason = probe.state, probe.reason
    return task
  end
  self.record:append_job(job)
  local outputs = {}
  for i, name in ipairs(class.output_order) do outputs[i] = class.outputs[name] end
  local changes = environment.changes()
  job.number = self.engine:submit { task = job.task, hash = hash, name = job.name, argv = argv,
    env = changes ~= self.env_base and changes or nil, params = params.encode(task, own and argv or nil),
    outputs = outputs, deps = deps, mode = self.mode == "GENERATE_ONLY" and "generate" or "run" }
  self.by_number[job.number] = job
  self.index:put_job { task = job.task, hash = hash, state = "waiting", submitted_at = job.submitted_at,
    tags = job.tags }
  local now = sys.monotonic()
  if now - self.last_pump > PUMP_SECONDS then
    self:step(0)
    self.last_pump = sys.monotonic()
  end
  return task
end

---Submits a task. The same task again (in this run, an earlier one, or another experiment) is the same job.
---@param task xpm.Task
---@param options? table
---@return xpm.Task
function Experiment:submit(task, options)
  if not types.is_task(task) then error("submit takes a task, not " .. types.describe(task), 2) end
  if self.closed then error(("experiment %s is closed"):format(self.id), 2) end
  local ok, e = pcall(submit, self, task, options)
  if not ok then error(e, type(e) == "string" and not e:find("^%S+:%d+: ") and 2 or 0) end
  return task
end

---Calls what waits for the end of a job. From the loop, or at once for a job that is done.
---@param job xpm.Job
function Experiment:completed(job)
  for _, task in ipairs(job.instances) do
    local callbacks = rawget(task, "xpm_callbacks")
    while callbacks and #callbacks > 0 do
      local f = table.remove(callbacks, 1)
      f(task)
    end
  end
end

local COPIED = { "reason", "message", "exit_code", "signal", "started_at", "ended_at", "cpu_seconds", "peak_memory",
  "hostname", "reused", "elsewhere" }

local function on_event(self, event)
  local job = self.by_number[event.job]
  job.state = event.state
  for _, key in ipairs(COPIED) do job[key] = event[key] end
  if event.cause then job.cause = self.by_number[event.cause] end
  if event.state == "error" then self.failed[#self.failed + 1] = job end
  self.index:put_job { task = job.task, hash = job.hash, state = job.state, reason = job.reason,
    hostname = job.hostname, started_at = job.started_at, ended_at = job.ended_at, exit_code = job.exit_code,
    signal = job.signal, cpu_seconds = job.cpu_seconds, peak_memory = job.peak_memory }
  if self.reporter then
    self.reporter:event(job, event)
  elseif event.state == "error" then
    log.warn("job %s/%s: %s%s", job.task, job.hash:sub(1, 8), job.reason or "error",
      job.message and (": " .. job.message) or "")
  end
  if event.state == "done" then
    if event.reused then warn_ignored(job, job.instances[1]) end
    self:completed(job)
  end
end

---Turns the loop once: starts and collects jobs, waiting up to `timeout` seconds (nil: until something happens).
---@param timeout? number
---@return "event"|"wake"|"timeout"|"idle"
function Experiment:step(timeout)
  if not self.engine then return "idle" end
  self.record:flush()
  local what = self.engine:step(timeout)
  for event in function() return self.engine and self.engine:next_event() end do
    local ok, e = xpcall(on_event, function(e) return e end, self, event)
    if not ok then error(e, 0) end
  end
  if self.reporter then self.reporter:tick(self.engine:counts()) end
  local due = self.index:due()
  if due and due <= 0 then self.index:flush() end
  if what == "wake" and self.control then self.control.ready(self) end
  return what
end

---A descriptor that is readable when `step` has something to do.
---@return integer?
function Experiment:fd() return self.engine and self.engine:fd() end

---How the jobs stand: total, done, reused, ran, waiting, running, failed (a list of jobs), ok (all are done).
---@return table
function Experiment:summary()
  local reused, done = 0, 0
  for _, job in ipairs(self.jobs) do
    if job.state == "done" then
      done = done + 1
      if job.reused or self.mode == "DRY_RUN" then reused = reused + 1 end
    end
  end
  local failed = {}
  for _, job in ipairs(self.jobs) do
    if job.state == "error" then failed[#failed + 1] = job end
  end
  return { total = #self.jobs, done = done, reused = reused, ran = done - reused, failed = failed,
    unscheduled = #self.jobs - done - #failed, ok = done == #self.jobs,
    seconds = sys.monotonic() - self.started, results = self.results }
end

local function earliest(...)
  local least
  for i = 1, select("#", ...) do
    local v = select(i, ...)
    if v and (not least or v < least) then least = v end
  end
  return least
end

---Waits until every job submitted so far has ended. A failed job raises nothing: look at the summary.
---@return table summary
function Experiment:wait()
  if self.closed then error(("experiment %s is closed"):format(self.id), 2) end
  if self.engine then
    if self.control then self.control.waiting(true) end
    repeat
      local interval = self.reporter and self.reporter:interval()
      local patience = self.control and self.control.patience()
      local what = self:step(earliest(interval, self.index:due(), patience))
      if self.control then self.control.check(self, what == "idle") end
    until what == "idle"
    if self.control then self.control.waiting(false) end
    self.index:flush()
  end
  local summary = self:summary()
  if self.driven and self.mode ~= "NORMAL" and not summary.ok then error(experiment.STOP, 0) end
  return summary
end

local function forget(self)
  self.closed = true
  for i = #open_experiments, 1, -1 do
    if open_experiments[i] == self then table.remove(open_experiments, i) end
  end
end

-- Ends the run's files and lets go of everything; what fails does not keep the rest from being let go.
local function finish(self, status)
  if self.closed then return end
  forget(self)
  local first
  local function try(f, ...)
    local ok, e = pcall(f, ...)
    if not ok then first = first or e end
  end
  if self.engine then try(self.engine.close, self.engine) end
  if self.record then try(self.record.close, self.record, status) end
  if self.index then
    if self.record then try(self.index.put_run, self.index, { ended_at = self.record.ended_at, status = status }) end
    try(self.index.close, self.index)
  end
  if self.lock then try(self.lock.close, self.lock) end
  self.engine, self.lock = nil, nil
  if first then error(first, 0) end
end

---Ends the experiment: its run is done or failed by the states of its jobs.
---@return table summary
function Experiment:close()
  local summary = self:summary()
  local status = self.mode == "GENERATE_ONLY" and "generated" or #summary.failed > 0 and "failed"
    or summary.ok and "done" or "interrupted"
  finish(self, status)
  return summary
end

---Lets go of the experiment: running jobs go on, waiting ones are not started by this driver.
function Experiment:detach()
  finish(self, "interrupted")
end

function Experiment:__close(e)
  if self.closed then return end
  if e ~= nil then
    self:detach()
  else
    self:wait()
    self:close()
  end
end

function Experiment:__gc()
  pcall(finish, self, "interrupted")
end

function Experiment:__tostring()
  return ("xpm.Experiment %s (%s)"):format(self.id, self.closed and "closed" or self.run or self.mode)
end

---@class xpm.ExperimentOptions
---@field dirty_git? "ignore"|"warn"|"error"   default "warn"
---@field jobs? integer                        how many run at a time (default: the cores there are)
---@field run_mode? string                     NORMAL, DRY_RUN or GENERATE_ONLY
---@field wait? boolean                        false: an error if the experiment is open elsewhere
---@field env? table<string, string>           for this process and the jobs
---@field folder? string                       whose repository is checked (default: the calling file's)
---@field reporter? table                      hears of everything (see xpm.report)

---Opens an experiment in a workspace, from any Lua program:
---`local xp <close> = xpm.experiment("work", "my-experiment", { jobs = 4 })`. Leaving the scope waits for the jobs;
---leaving it by an error lets them go on.
---@param workdir string
---@param id string
---@param options? xpm.ExperimentOptions
---@return xpm.Experiment
function experiment.new(workdir, id, options)
  if experiment.in_job then experiment.in_job() end
  local here = source.note_experiment(2)
  options = options or {}
  if type(options) ~= "table" then error("xpm.experiment: options must be a table", 2) end
  if not options.folder then
    local copy = { folder = here.file and here.file:match("^(.*)/") or sys.cwd() }
    for k, v in pairs(options) do copy[k] = v end
    options = copy
  end
  local ok, result = pcall(experiment.open, workdir, id, options)
  if not ok then error(result, type(result) == "string" and 2 or 0) end
  return result
end

---Opens an experiment, calls f(xp) and closes it as leaving a scope does; returns what f returns.
---@param workdir string
---@param id string
---@param options table|fun(xp: xpm.Experiment): any
---@param f? fun(xp: xpm.Experiment): any
---@return any ...
function experiment.with(workdir, id, options, f)
  if f == nil then options, f = nil, options end
  if experiment.in_job then experiment.in_job() end
  local here = source.note_experiment(2)
  options = options or {}
  local copy = { folder = here.file and here.file:match("^(.*)/") or sys.cwd() }
  for k, v in pairs(options) do copy[k] = v end
  local xp <close> = experiment.open(workdir, id, copy)
  return f(xp)
end

return experiment
