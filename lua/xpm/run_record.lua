-- The files of one run of an experiment (DESIGN 6): informations.json beside it, and in its folder the merged
-- configuration with its sources, environment.json and jobs.jsonl. Written only by the holder of the experiment's lock.

local config = require "xpm.config"
local errors = require "xpm.errors"
local log = require "xpm.log"
local sys = require "xpm.sys"

local run_record = {}

run_record.VERSION = 1

---@class xpm.RunRecord
---@field experiment string
---@field run string        name: YYYYmmdd_HHMMSS, with .1, .2 on collision
---@field base string       folder of the experiment
---@field folder string     folder of the run
---@field results string    folder for the user's results
---@field started_at number seconds since 1970
local RunRecord = {}
RunRecord.__index = RunRecord

---A time as it is written in files: UTC, ISO 8601.
---@param seconds number
---@return string
function run_record.time(seconds)
  return os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(seconds)) --[[@as string]]
end

local function must(ok, message)
  if not ok then error(errors.WorkspaceError(message)) end
  return ok
end

local function json(value) return config.encode_json(value, { indent = 2 }) .. "\n" end

-- informations.json lost or damaged: the runs' folders still tell host and start.
local function rebuild(base)
  local runs, order = {}, {}
  for _, name in ipairs(sys.list(base) or {}) do
    local text = name:find("^%d") and sys.read(base .. "/" .. name .. "/environment.json")
    local env = text and config.parse_json(text, name)
    if type(env) == "table" then
      runs[name] = { hostname = env.hostname, started_at = env.started_at, status = "interrupted" }
      order[#order + 1] = name
    end
  end
  return config.order(runs, order)
end

---The runs written in an experiment's informations.json: name -> { hostname, started_at, ended_at, status }.
---@param base string  folder of the experiment
---@return table<string, table>
function run_record.read(base)
  local path = base .. "/informations.json"
  local text = sys.read(path)
  if not text then return rebuild(base) end
  local doc = config.parse_json(text, path)
  if type(doc) ~= "table" or type(doc.runs) ~= "table" then
    os.rename(path, path .. ".damaged")
    log.warn("%s is damaged: kept as %s.damaged and made again from the runs' folders", path, path)
    return rebuild(base)
  end
  if math.type(doc.version) == "integer" and doc.version > run_record.VERSION then
    error(errors.WorkspaceError(("%s has version %d; this xpm knows %d: use a newer xpm"):format(
      path, doc.version, run_record.VERSION)))
  end
  return doc.runs
end

local function write_informations(self)
  must(sys.write(self.base .. "/informations.json",
    json(config.order({ version = run_record.VERSION, runs = self.runs }, { "version", "runs" }))))
end

local function append_key(t, key, value)
  local keys = {}
  for k in config.pairs(t) do keys[#keys + 1] = k end
  if t[key] == nil then keys[#keys + 1] = key end
  t[key] = value
  return config.order(t, keys)
end

---Opens a new run. The caller holds the experiment's lock.
---@param base string       folder of the experiment (exists)
---@param experiment string
---@return xpm.RunRecord
function run_record.open(base, experiment)
  local now = sys.now()
  local stem = os.date("%Y%m%d_%H%M%S", math.floor(now))
  local name, n = stem, 0
  while true do
    local ok, message, code = sys.mkdir(base .. "/" .. name)
    if ok then break end
    if code ~= "exists" then error(errors.WorkspaceError(message)) end
    n = n + 1
    name = ("%s.%d"):format(stem, n)
  end
  local self = setmetatable({ experiment = experiment, run = name, base = base, folder = base .. "/" .. name,
    started_at = now, hostname = sys.hostname() }, RunRecord)
  self.results = self.folder .. "/results"
  must(sys.mkdir(self.results))
  self.runs = run_record.read(base)
  self.interrupted = {} -- runs whose driver died: nobody else holds the lock
  for other, run in pairs(self.runs) do
    if run.status == "running" then
      run.status = "interrupted"
      self.interrupted[#self.interrupted + 1] = other
    end
  end
  self.runs = append_key(self.runs, name, config.order({ hostname = self.hostname,
    started_at = run_record.time(now), status = "running" }, { "hostname", "started_at", "ended_at", "status" }))
  write_informations(self)
  sys.symlink(name, base .. "/current") -- a convenience: some file systems have no links
  self.jobs = must(io.open(self.folder .. "/jobs.jsonl", "a"))
  self.jobs:setvbuf("full", 65536)
  return self
end

---Writes environment.json: where and with what the run was made.
---@param facts table
function RunRecord:write_environment(facts)
  facts.version, facts.hostname, facts.started_at = run_record.VERSION, self.hostname, run_record.time(self.started_at)
  must(sys.write(self.folder .. "/environment.json", json(config.order(facts, { "version", "experiment",
    "hostname", "started_at", "pid", "cwd", "command", "run_mode", "git", "versions" }))))
end

---Writes the merged configuration, and a copy of every file it came from.
---@param tree xpm.config.tree
---@param overrides string[]
function RunRecord:write_configuration(tree, overrides)
  must(sys.write(self.folder .. "/configuration.json", tree:to_json { indent = 2 } .. "\n"))
  local sources = {}
  must(sys.mkdir(self.folder .. "/sources"))
  for i, source in ipairs(tree:sources()) do
    local copy = ("%02d-%s"):format(i, source.path:match("[^/]*$"))
    local text = sys.read(source.path)
    if text then must(sys.write(self.folder .. "/sources/" .. copy, text)) end
    sources[i] = config.order({ path = source.path, role = source.role, copy = text and "sources/" .. copy or nil },
      { "path", "role", "copy" })
  end
  must(sys.write(self.folder .. "/sources.json", json(config.order({ version = run_record.VERSION,
    files = config.list(sources), overrides = config.list(overrides or {}) }, { "version", "files", "overrides" }))))
end

---Appends a submitted job to jobs.jsonl (in memory until `flush`).
---@param job { task: string, hash: string, name: string, tags: table, deps: string[] }
function RunRecord:append_job(job)
  local line = config.encode_json(config.order({ task = job.task, hash = job.hash, name = job.name,
    tags = next(job.tags) and job.tags or nil, deps = #job.deps > 0 and config.list(job.deps) or nil,
    submitted_at = math.floor(job.submitted_at * 1000) / 1000 },
    { "task", "hash", "name", "tags", "deps", "submitted_at" }))
  must(self.jobs:write(line, "\n"))
  self.dirty = true
end

---Hands what was appended to the operating system: before any of these jobs is started.
function RunRecord:flush()
  if self.dirty then
    must(self.jobs:flush())
    self.dirty = false
  end
end

---Ends the run in the files.
---@param status "done"|"failed"|"interrupted"|"generated"
function RunRecord:close(status)
  if not self.jobs then return end
  self:flush()
  self.jobs:close()
  self.jobs = nil
  self.ended_at = sys.now()
  local run = self.runs[self.run]
  run.ended_at, run.status = run_record.time(self.ended_at), status
  write_informations(self)
end

return run_record
