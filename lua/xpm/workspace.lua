-- A workspace: which one a command means, where things lie in it, and what is in it. Listings come from the index where
-- that can know (runs that ended), and from the files for everything else: the files are the truth, and jobs may end
-- without a driver. Reading never writes.

local errors = require "xpm.errors"
local ids = require "xpm.ids"
local sys = require "xpm.sys"

local workspace = {}

-- Which one -----------------------------------------------------------------------------------------------------------

-- A glob as a Lua pattern: * any text, ? any character, [abc] [a-z] [!abc] sets.
local function glob_pattern(glob)
  local out, i = { "^" }, 1
  while i <= #glob do
    local c = glob:sub(i, i)
    local set, after = glob:match("^%[([!^]?%]?[^%]]*)%]()", i)
    if c == "*" then out[#out + 1] = ".*"
    elseif c == "?" then out[#out + 1] = "."
    elseif c == "[" and set and set ~= "" and set ~= "!" and set ~= "^" then
      local negated = set:find("^[!^]")
      out[#out + 1] = "[" .. (negated and "^" or "") .. (negated and set:sub(2) or set):gsub("[%%%]^]", "%%%0") .. "]"
      i = after - 1
    else out[#out + 1] = (c:gsub("%W", "%%%0")) end
    i = i + 1
  end
  out[#out + 1] = "$"
  return table.concat(out)
end

---Whether a glob (`*`, `?`, `[a-z]`, `[!a-z]`) matches a whole name.
---@param glob string
---@param name string
---@return boolean
function workspace.matches(glob, name)
  return name:find(glob_pattern(glob)) ~= nil
end

local function merged(a, b)
  local out = {}
  for k, v in pairs(a or {}) do out[k] = v end
  for k, v in pairs(b or {}) do out[k] = v end
  return out
end

local function find_by_id(settings, id)
  local known = {}
  for i, w in ipairs(settings.workspaces) do
    if w.id == id then return w end
    known[i] = w.id
  end
  local near = #known > 0 and require("xpm.config").nearest(id, known)
  local what = near and (", did you mean '%s'?"):format(near)
    or #known > 0 and ("; there are %s"):format(table.concat(known, ", "))
    or ("; %s"):format(settings.exists and settings.file .. " has no workspaces" or "there is no " .. settings.file)
  error(errors.WorkspaceError(("unknown workspace '%s'%s"):format(id, what)))
end

---@class xpm.ResolvedWorkspace
---@field path string                absolute; need not exist
---@field id? string                 of the settings
---@field env table<string, string>  the settings' variables, then the workspace's
---@field history table              limits, the workspace's before the settings'
---@field source string              where the choice comes from, for one line

---The workspace a command means: --workspace, --workdir, the first whose trigger matches the experiment, the first of
---the settings, the default.
---@param options { settings: xpm.Settings, workspace?: string, workdir?: string, experiment?: string }
---@return xpm.ResolvedWorkspace
function workspace.resolve(options)
  local settings = options.settings
  local chosen, source
  if options.workspace then
    chosen, source = find_by_id(settings, options.workspace), "--workspace " .. options.workspace
  end
  if options.workdir then
    if options.workdir == "" then error(errors.UsageError("--workdir is empty")) end
    source = chosen and source .. " with --workdir" or "--workdir"
  elseif not chosen then
    for _, w in ipairs(settings.workspaces) do
      for _, trigger in ipairs(w.triggers) do
        if not chosen and options.experiment and workspace.matches(trigger, options.experiment) then
          chosen, source = w, ("workspace %s, trigger '%s'"):format(w.id, trigger)
        end
      end
    end
    if not chosen and settings.workspaces[1] then
      chosen = settings.workspaces[1]
      source = ("workspace %s, the first of the settings"):format(chosen.id)
    end
  end
  local path = options.workdir or chosen and chosen.path
  if not path then
    path, source = require("xpm.settings").default_workspace(), "the default workspace"
  end
  return { path = sys.abspath(path), id = chosen and chosen.id, env = merged(settings.env, chosen and chosen.env),
    history = merged(settings.history, chosen and chosen.history), source = source }
end

-- Where things are ----------------------------------------------------------------------------------------------------

---Whether a text may be the id of an experiment, a task or a tag; if not, why not.
---@param id any
---@return boolean ok, string? why
function workspace.valid_id(id)
  local why = ids.problem(id)
  return why == nil, why
end

---@class xpm.WorkspacePaths
---@field root string
---@field index string
---@field experiments string
---@field jobs string

---@param path string
---@return xpm.WorkspacePaths
function workspace.paths(path)
  local paths = { root = path, index = path .. "/.xpm/workspace.db", experiments = path .. "/xp",
    jobs = path .. "/jobs" }
  function paths.experiment_dir(experiment) return path .. "/xp/" .. experiment end
  function paths.run_dir(experiment, run) return path .. "/xp/" .. experiment .. "/" .. run end
  function paths.job_dir(task, hash) return path .. "/jobs/" .. task .. "/" .. hash end
  return paths
end

---{name} of a task's files: the last part of its id.
---@param task string
---@return string
function workspace.task_name(task) return task:match("[^.]*$") end

---Opens the index. nil, message, code when it cannot be; "not_found" for a missing one that was only to be read.
---@param path string
---@param mode "read"|"write"
---@return xpm.db.index? index, string? message, string? code
function workspace.index(path, mode)
  local file = workspace.paths(path).index
  if mode == "read" and sys.stat(file) == nil then return nil, file .. " does not exist", "not_found" end
  return require("xpm.db").open(file, { mode = mode, network = sys.network(path) ~= false })
end

-- What the files say --------------------------------------------------------------------------------------------------

-- ISO 8601 with a zone -> seconds since 1970; nil for anything else.
local function seconds(iso)
  local y, mo, d, h, mi, s, zone
  if type(iso) == "string" then
    y, mo, d, h, mi, s, zone = iso:match("^(%d%d%d%d)-(%d%d)-(%d%d)[T ](%d%d):(%d%d):(%d%d%.?%d*)(.*)$")
  end
  if not y then return nil end
  y, mo, d = math.tointeger(y), math.tointeger(mo), math.tointeger(d)
  if mo <= 2 then y = y - 1 end -- days from the civil calendar, the year beginning in March
  local era, yoe = y // 400, y % 400
  local doy = (153 * ((mo + 9) % 12) + 2) // 5 + d - 1
  local days = era * 146097 + yoe * 365 + yoe // 4 - yoe // 100 + doy - 719468
  local sign, zh, zm = zone:match("^([+-])(%d%d):?(%d%d)$")
  local offset = sign and (tonumber(zh) * 3600 + tonumber(zm) * 60) * (sign == "-" and -1 or 1) or 0
  return days * 86400.0 + h * 3600 + mi * 60 + s - offset
end
workspace.seconds = seconds

local RUN = "^%d%d%d%d%d%d%d%d_%d%d%d%d%d%d"

-- Sorts runs by name: 20260101_120000, 20260101_120000.1, ..., .10
local function run_before(a, b)
  local sa, na = a:match("^([^.]*)%.?(%d*)$")
  local sb, nb = b:match("^([^.]*)%.?(%d*)$")
  if sa and sb and sa == sb then return (tonumber(na) or 0) < (tonumber(nb) or 0) end
  return a < b
end

-- The runs of an experiment, oldest first: informations.json, and folders of runs that it does not have.
local function read_runs(base)
  local known = {}
  local text = sys.read(base .. "/informations.json")
  local doc = text and require("xpm.config").parse_json(text)
  if type(doc) == "table" and type(doc.runs) == "table" then
    for name, run in pairs(doc.runs) do
      if type(name) == "string" and type(run) == "table" then known[name] = run end
    end
  end
  for _, name in ipairs(sys.list(base) or {}) do
    if name:find(RUN) and not known[name] and sys.stat(base .. "/" .. name) == "directory" then known[name] = {} end
  end
  local runs = {}
  for name, run in pairs(known) do
    runs[#runs + 1] = { run = name, hostname = type(run.hostname) == "string" and run.hostname or nil,
      started_at = seconds(run.started_at), ended_at = seconds(run.ended_at),
      status = type(run.status) == "string" and run.status or "interrupted" }
  end
  table.sort(runs, function(a, b) return run_before(a.run, b.run) end)
  return runs
end

-- The jobs a run submitted, in order, without their states. A last line that was cut off is left out.
local function read_jobs(folder)
  local list = {}
  local f = io.open(folder .. "/jobs.jsonl", "rb")
  if not f then return list end
  local parse = require("xpm.config").parse_json
  for line in f:lines() do
    local job = parse(line)
    if type(job) == "table" and ids.problem(job.task) == nil and type(job.hash) == "string"
      and job.hash:find("^%x+$") then
      local tags = {}
      for k, v in pairs(type(job.tags) == "table" and job.tags or {}) do tags[tostring(k)] = tostring(v) end
      local deps = {}
      for i, dep in ipairs(type(job.deps) == "table" and job.deps or {}) do deps[i] = tostring(dep) end
      list[#list + 1] = { task = job.task, hash = job.hash, tags = tags, deps = deps,
        name = ids.problem(job.name) == nil and job.name or workspace.task_name(job.task),
        submitted_at = tonumber(job.submitted_at) or seconds(job.submitted_at) }
    end
  end
  f:close()
  return list
end

local PROBED = { "state", "reason", "exit_code", "signal", "started_at", "ended_at", "cpu_seconds", "peak_memory",
  "hostname", "message" }
local FINAL = { done = true, error = true }

-- Replaces what is known of a job's state by what its folder says. `live`: a driver may still start it.
local function probe(path, job, live)
  local says, message = require("xpm.engine").probe(path, job.task, job.hash, job.name)
  local before = job.state
  if not says then -- unreadable, or of a newer version
    job.state, job.message = before or "unscheduled", message
    return job
  end
  if says.state == "unscheduled" then
    -- no trace in the files: it waits for its driver, was kept from starting, or nobody is going to start it
    if live then job.state = before and not FINAL[before] and before or "waiting"
    elseif before ~= "error" then job.state = "unscheduled" end
    return job
  end
  for _, key in ipairs(PROBED) do job[key] = says[key] end
  return job
end

---The experiments as the files have them: `{ experiment, runs = { { run, hostname, started_at, ended_at, status, jobs =
---function() -> list } } }`, sorted, the runs oldest first. `jobs()` reads the run's jobs and probes each one.
---@param path string
---@return fun(): table?
function workspace.scan(path)
  local paths = workspace.paths(path)
  local names, i = {}, 0
  for _, name in ipairs(sys.list(paths.experiments) or {}) do
    if ids.problem(name) == nil and sys.stat(paths.experiment_dir(name)) == "directory" then
      names[#names + 1] = name
    end
  end
  return function()
    i = i + 1
    local name = names[i]
    if not name then return nil end
    local runs = read_runs(paths.experiment_dir(name))
    for _, run in ipairs(runs) do
      function run.jobs()
        local list = read_jobs(paths.run_dir(name, run.run))
        for _, job in ipairs(list) do probe(path, job, run.status == "running") end
        return list
      end
    end
    return { experiment = name, runs = runs }
  end
end

-- Listings ------------------------------------------------------------------------------------------------------------

local SETTLED = { done = true, failed = true, generated = true } -- what the index knows of such a run stays true

local function count(entry, jobs)
  entry.done, entry.failed, entry.total = 0, 0, #jobs
  for _, job in ipairs(jobs) do
    if job.state == "done" then entry.done = entry.done + 1 end
    if job.state == "error" then entry.failed = entry.failed + 1 end
  end
  return entry
end

-- What the index says of experiments, by id; empty without an index.
local function indexed(path)
  local index, message, code = workspace.index(path, "read")
  if not index then
    if code ~= "not_found" then require("xpm.log").warn("%s: reading the files instead", message) end
    return {}, nil
  end
  local list
  list, message = index:experiments()
  local out = {}
  if not list then require("xpm.log").warn("%s: reading the files instead", message) end
  for _, entry in ipairs(list or {}) do out[entry.experiment] = entry end
  return out, index
end

local function require_workspace(path)
  if sys.stat(path) ~= "directory" then
    error(errors.WorkspaceError(("there is no workspace %s"):format(path)))
  end
end

---@class xpm.ExperimentEntry
---@field experiment string
---@field run string          the newest
---@field runs integer        how many there are
---@field hostname? string
---@field started_at? number  seconds since 1970
---@field ended_at? number
---@field status string
---@field done integer        jobs of the newest run
---@field failed integer
---@field total integer

---The experiments of a workspace with their newest runs, sorted by id.
---@param path string
---@return xpm.ExperimentEntry[]
function workspace.experiments(path)
  require_workspace(path)
  local known, index = indexed(path)
  if index then index:close() end
  local list = {}
  for found in workspace.scan(path) do
    local newest = found.runs[#found.runs]
    local row = known[found.experiment]
    if newest then
      local entry = { experiment = found.experiment, run = newest.run, hostname = newest.hostname,
        started_at = newest.started_at, ended_at = newest.ended_at, status = newest.status, runs = #found.runs }
      if row and row.run == newest.run and SETTLED[newest.status] and row.status == newest.status then
        entry.done, entry.failed, entry.total = row.done, row.failed, row.total
      else
        count(entry, newest.jobs())
      end
      list[#list + 1] = entry
    end
  end
  return list
end

local function keep(job, options)
  return (not options.task or job.task == options.task) and (not options.state or job.state == options.state)
end

---The jobs of all runs of all experiments (or of one), newest submission first, a job of several runs or experiments
---once.
---@param path string
---@param options? { experiment?: string, task?: string, state?: string, limit?: integer }
---@return table[]  task, hash, name, state, reason, tags, experiments (list), times and the rest as in the index
function workspace.jobs(path, options)
  options = options or {}
  require_workspace(path)
  local _, index = indexed(path)
  local settled = {} -- "experiment/run" -> status, as the index has it
  for _, run in ipairs(index and index:runs() or {}) do settled[run.experiment .. "/" .. run.run] = run.status end
  local list, by_key, experiments = {}, {}, {}
  for found in workspace.scan(path) do
    experiments[#experiments + 1] = found.experiment
    local wanted = not options.experiment or options.experiment == found.experiment
    for r = wanted and #found.runs or 0, 1, -1 do
      local run = found.runs[r]
      local jobs
      if index and SETTLED[run.status] and settled[found.experiment .. "/" .. run.run] == run.status then
        jobs = index:jobs { experiment = found.experiment, run = run.run, task = options.task, limit = options.limit
          and not options.state and options.limit or nil }
      end
      local from_index = jobs ~= nil
      jobs = jobs or run.jobs()
      for i, job in ipairs(jobs) do
        job.order = from_index and #jobs - i or i -- greater: submitted later
        local key = job.task .. "/" .. job.hash
        local known = by_key[key]
        if known then
          if known.experiments[#known.experiments] ~= found.experiment then
            table.insert(known.experiments, found.experiment)
          end
        elseif keep(job, options) then
          job.name = job.name or workspace.task_name(job.task)
          job.experiments = { found.experiment }
          by_key[key], list[#list + 1] = job, job
        end
      end
    end
  end
  if index then index:close() end
  if options.experiment and next(by_key) == nil then
    local exists = false
    for _, name in ipairs(experiments) do exists = exists or name == options.experiment end
    if not exists then
      local near = #experiments > 0 and require("xpm.config").nearest(options.experiment, experiments)
      error(errors.WorkspaceError(("no experiment '%s' in %s%s"):format(options.experiment, path,
        near and (", did you mean '%s'?"):format(near) or "")))
    end
  end
  table.sort(list, function(a, b)
    local x, y = a.submitted_at or 0, b.submitted_at or 0
    if x ~= y then return x > y end
    if a.order ~= b.order then return a.order > b.order end
    return a.hash < b.hash
  end)
  for i, job in ipairs(list) do
    job.order = nil
    if options.limit and i > options.limit then list[i] = nil end
  end
  return list
end

-- One job -------------------------------------------------------------------------------------------------------------

local function candidates_text(list)
  local shown = {}
  for i = 1, math.min(#list, 10) do shown[i] = ("  %s/%s"):format(list[i].task, list[i].hash:sub(1, 16)) end
  if #list > 10 then shown[#shown + 1] = "  ..." end
  return table.concat(shown, "\n")
end

local function folders(path, task, prefix, into)
  for _, hash in ipairs(sys.list(workspace.paths(path).jobs .. "/" .. task) or {}) do
    if hash:sub(1, #prefix) == prefix and hash:find("^%x+$") then into[#into + 1] = { task = task, hash = hash } end
  end
end

-- By the path of its folder or of a file in it.
local function by_path(path, text)
  local real = sys.realpath(text)
  local root = sys.realpath(path) or path
  if not real or real:sub(1, #root + 6) ~= root .. "/jobs/" then return nil end
  local task, hash = real:sub(#root + 7):match("^([^/]+)/(%x+)")
  return task and { task = task, hash = hash } or nil
end

---The job that a JOB argument means: a unique prefix of its hash, `task/prefix`, or a path. Raises a UsageError that
---lists the candidates or names the nearest task.
---@param path string
---@param text string
---@return { task: string, hash: string, name: string, path: string }
function workspace.find_job(path, text)
  require_workspace(path)
  local paths = workspace.paths(path)
  local tasks = {}
  for _, name in ipairs(sys.list(paths.jobs) or {}) do
    if ids.problem(name) == nil then tasks[#tasks + 1] = name end
  end
  local is_task = {}
  for _, name in ipairs(tasks) do is_task[name] = true end

  local found = {}
  local task, prefix = text:match("^([^/]+)/(%x*)$")
  if task and is_task[task] then
    folders(path, task, prefix:lower(), found)
  elseif text:find("^%x+$") and not is_task[text] then
    for _, name in ipairs(tasks) do folders(path, name, text:lower(), found) end
  elseif is_task[text] then
    folders(path, text, "", found)
  end
  if #found == 0 and text:find("/", 1, true) then found[1] = by_path(path, text) end

  if #found == 1 then
    local job = found[1]
    job.name, job.path = workspace.task_name(job.task), paths.job_dir(job.task, job.hash)
    return job
  end
  if #found > 1 then
    error(errors.UsageError(("'%s' means %d jobs:\n%s"):format(text, #found, candidates_text(found)),
      { hint = "give more of the hash" }))
  end
  local wanted = task or text
  local near = #tasks > 0 and not is_task[wanted] and require("xpm.config").nearest(wanted, tasks)
  error(errors.UsageError(("no job '%s' in %s%s"):format(text, path,
    near and (", did you mean the task '%s'?"):format(near) or ""),
    { hint = "a JOB is the beginning of a hash, TASK/beginning, or a path; 'xpm jobs list' lists them" }))
end

return workspace
