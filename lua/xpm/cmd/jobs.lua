-- `xpm jobs list|log|path`: the jobs of a workspace, their logs and folders.

local cmd = require "xpm.cmd"
local errors = require "xpm.errors"
local listing = require "xpm.listing"

local jobs = {}

jobs.summary = "List jobs, and show their logs and folders."
jobs.examples = [[
  xpm jobs list --experiment digits
  xpm jobs log digits.train/1a2b --tail 20
  cd "$(xpm jobs path 1a2b)"]]

local STATES = { "unscheduled", "waiting", "ready", "scheduled", "running", "done", "error" }
local KEYS = { "task", "hash", "name", "state", "reason", "message", "tags", "experiments", "hostname", "submitted_at",
  "started_at", "ended_at", "seconds", "exit_code", "signal", "cpu_seconds", "peak_memory", "progress", "path" }

local function state(word)
  for _, known in ipairs(STATES) do
    if known == word then return word end
  end
  return nil, ("unknown state '%s'%s (there are %s)"):format(word, cmd.suggestion(word, STATES),
    table.concat(STATES, ", "))
end

function jobs.configure(parser)
  parser:command_target("command")
  local list = cmd.subcommand(parser, "list", "List the jobs, newest first.",
    "  xpm jobs list --experiment digits --state error\n  xpm jobs list --json --limit 10")
  list:option("--experiment", "Only the jobs of this experiment."):argname("ID")
  list:option("--task", "Only the jobs of this task."):argname("ID")
  list:option("--state", "Only jobs in this state."):argname("STATE"):convert(state)
  list:option("--limit", "At most N jobs."):argname("N"):convert(cmd.integer("--limit", 1))
  list:flag("--json", "Print JSON.")

  local job = "The beginning of a job's hash, TASK/beginning, or a path."
  local log = cmd.subcommand(parser, "log", "Print what a job has printed.",
    "  xpm jobs log 1a2b3c\n  xpm jobs log digits.train/1a --err --tail 20")
  log:argument("job", job):argname("JOB")
  log:mutex(log:flag("--out", "Only its standard output."), log:flag("--err", "Only its standard error."))
  log:option("--tail", "Only the last N lines of each."):argname("N"):convert(cmd.integer("--tail", 1))

  local path = cmd.subcommand(parser, "path", "Print a job's folder.", "  xpm jobs path digits.train/1a2b")
  path:argument("job", job):argname("JOB")
end

-- list ----------------------------------------------------------------------------------------------------------------

local function read_progress(root, job)
  local folder = require("xpm.workspace").paths(root).job_dir(job.task, job.hash)
  local content = require("xpm.sys").read(("%s/%s.progress"):format(folder, job.name), 1 << 20)
  local levels = content and require("xpm.config").parse_json(content)
  if type(levels) ~= "table" then return nil end
  local out = {}
  for _, level in ipairs(levels) do
    if type(level) == "table" and type(level.progress) == "number" then
      out[#out + 1] = { level = math.type(level.level) == "integer" and level.level or nil, progress = level.progress,
        desc = type(level.desc) == "string" and level.desc or nil }
    end
  end
  return #out > 0 and out or nil
end

local function progress_text(levels)
  local parts = {}
  for i, level in ipairs(levels or {}) do
    parts[i] = ("%.0f%%%s"):format(100 * level.progress, level.desc and " " .. level.desc or "")
  end
  return table.concat(parts, " > ")
end

local function tags_text(tags)
  local parts = {}
  for name, value in pairs(tags or {}) do parts[#parts + 1] = name .. "=" .. value end
  table.sort(parts)
  return table.concat(parts, " ")
end

local function list(options)
  local root = listing.workspace(options).path
  local text, now = require "xpm.text", require("xpm.sys").now()
  local found = require("xpm.workspace").jobs(root, { experiment = options.experiment, task = options.task,
    state = options.state, limit = options.limit })
  for _, job in ipairs(found) do
    job.path = require("xpm.workspace").paths(root).job_dir(job.task, job.hash)
    if job.started_at then
      local stop = job.ended_at or job.state == "running" and now
      job.seconds = stop and math.max(0, math.floor((stop - job.started_at) * 1000 + 0.5) / 1000)
    end
    if job.state == "running" then job.progress = read_progress(root, job) end
  end
  if options.json then
    local config = require "xpm.config"
    for _, job in ipairs(found) do
      config.list(job.experiments)
      for _, level in ipairs(job.progress or {}) do config.order(level, { "level", "progress", "desc" }) end
    end
    listing.json(found, KEYS)
    return 0
  end
  local rows = {}
  for i, job in ipairs(found) do
    rows[i] = { job.reason and ("%s (%s)"):format(job.state, job.reason) or job.state, job.task, job.hash:sub(1, 8),
      tags_text(job.tags), job.seconds and text.duration(job.seconds) or "", job.hostname or "",
      progress_text(job.progress) }
  end
  local header = { "STATE", "TASK", "HASH", "TAGS", "TIME", "HOST", "PROGRESS" }
  for _, line in ipairs(text.table(rows, { header = header })) do
    io.write(line, "\n")
  end
  return 0
end

-- log -----------------------------------------------------------------------------------------------------------------

-- Copies a file to standard output; for a terminal without what that would act on, and in whole lines, so that no
-- escape sequence is cut in two.
local function copy(path, clean)
  local f, message = io.open(path, "rb")
  if not f then error(errors.WorkspaceError(message)) end
  while true do
    local chunk = f:read(65536)
    if not chunk then break end
    if clean then
      local rest = f:read("L")
      chunk = require("xpm.text").clean(chunk .. (rest or ""))
    end
    if not io.write(chunk) then break end
  end
  f:close()
end

local function log(options)
  local sys = require "xpm.sys"
  local root = listing.workspace(options).path
  local job = require("xpm.workspace").find_job(root, options.job)
  local clean = sys.isatty(1)
  local files = {}
  for _, kind in ipairs { "out", "err" } do
    local path = ("%s/%s.%s"):format(job.path, job.name, kind)
    local is, size = sys.stat(path)
    if is == "file" and size > 0 and not (options.out and kind == "err" or options.err and kind == "out") then
      files[#files + 1] = path
    end
  end
  for i, path in ipairs(files) do
    if #files > 1 then io.write(("%s==> %s <==\n"):format(i > 1 and "\n" or "", path:match("[^/]*$"))) end
    if options.tail then
      local last, message = sys.tail(path, options.tail, 1 << 24)
      if not last then error(errors.WorkspaceError(message)) end
      io.write(clean and require("xpm.text").clean(last) or last)
    else
      copy(path, clean)
    end
  end
  if #files == 0 then
    local says = require("xpm.engine").probe(root, job.task, job.hash, job.name)
    io.stderr:write(("%s/%s has printed nothing%s\n"):format(job.task, job.hash:sub(1, 8),
      says and (" (it is %s)"):format(says.state) or ""))
  end
  return 0
end

local COMMANDS = {
  list = list,
  log = log,
  path = function(options)
    local job = require("xpm.workspace").find_job(listing.workspace(options).path, options.job)
    io.write(job.path, "\n")
    return 0
  end,
}

function jobs.run(options) return COMMANDS[options.command](options) end

return jobs
