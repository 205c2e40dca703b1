-- What a run tells the person who started it, on standard error. On a terminal one line of progress is kept at the
-- bottom, redrawn at most ten times a second and fitted to the width; everything else goes above it, so that the
-- scrollback holds whole lines only. Elsewhere there are plain lines, about one a second in a run of many short jobs.
-- Failures are told at once, with the last lines of the log. What comes from users is made harmless (xpm.text).

local text = require "xpm.text"

local report = {}

local REDRAW = 0.1       -- seconds between two draws of the progress line
local CLOCK = 1          -- ... when only the time has changed
local BURST = 20         -- plain lines that may come at once; then one a second
local LOG_LINES = 5      -- of each log, when a job has failed
local DETAILS = 20       -- failed jobs that are shown with their logs, at once and at the end

---@class xpm.ReportOptions
---@field stream? file*               default standard error
---@field tty? boolean                draw a progress line
---@field color? boolean
---@field columns? fun(): integer?    width of the terminal (default 80)
---@field clock? fun(): number        seconds, only going forward
---@field tail? fun(path: string, lines: integer): string?   end of a file

---@class xpm.Report
local Report = {}
Report.__index = Report

---The options for a stream that may be a terminal.
---@param stream file*
---@param fd integer
---@return xpm.ReportOptions
function report.terminal(stream, fd)
  local sys = require "xpm.sys"
  local tty = sys.isatty(fd) and os.getenv("TERM") ~= "dumb"
  local no_color = os.getenv("NO_COLOR")
  return { stream = stream, tty = tty, color = tty and (no_color == nil or no_color == ""),
    columns = function() return (sys.winsize(fd)) end }
end

---@param options? xpm.ReportOptions
---@return xpm.Report
function report.new(options)
  options = options or {}
  local sys = require "xpm.sys"
  return setmetatable({ stream = options.stream or io.stderr, tty = options.tty or false,
    color = options.color or false, columns = options.columns or function() return 80 end, clock = options.clock or sys.monotonic,
    tail = options.tail or function(path, lines) return (sys.tail(path, lines, 8192)) end,
    counts = {}, budget = BURST, refilled = 0, suppressed = 0, failures = 0 }, Report)
end

local COLOURS = { red = "31", green = "32", yellow = "33", bold = "1", dim = "2" }

local function paint(self, colour, s)
  return self.color and ("\27[%sm%s\27[0m"):format(COLOURS[colour], s) or s
end

local function label(job) return text.line(job.task) .. "/" .. job.hash:sub(1, 8) end

local function tags_of(job)
  local parts = {}
  for name, value in pairs(job.tags or {}) do parts[#parts + 1] = ("%s=%s"):format(name, value) end
  table.sort(parts)
  return text.line(table.concat(parts, " "))
end

local function spaced(...)
  local parts = {}
  for i = 1, select("#", ...) do
    local s = select(i, ...)
    if s and s ~= "" then parts[#parts + 1] = s end
  end
  return table.concat(parts, " ")
end

-- The progress line ---------------------------------------------------------------------------------------------------

local function eta(self, now)
  local c = self.counts
  local ended = (c.done or 0) + (c.error or 0) - (c.reused or 0)
  local left = (c.total or 0) - (c.done or 0) - (c.error or 0)
  if not self.first_start or ended < 1 or left < 1 then return nil end
  local elapsed = now - self.first_start
  return elapsed > 0 and left * elapsed / ended or nil
end

-- The longest text that fits, of several from long to short.
local function progress(self, now, columns)
  local c = self.counts
  local done, running, failed, total = c.done or 0, c.running or 0, c.error or 0, c.total or 0
  local waiting = math.max(0, total - done - failed - running)
  local rest = eta(self, now)
  local eta_long = rest and (", ETA " .. text.duration(math.ceil(rest))) or ""
  local long = ("%d/%d done, %d running, %d failed, %d waiting%s"):format(done, total, running, failed, waiting,
    eta_long)
  local candidates = {
    self.name and ("%s: %s"):format(self.name, long) or long,
    long,
    ("%d/%d done, %d running, %d failed%s"):format(done, total, running, failed, eta_long),
    ("%d/%d, %d run, %d failed%s"):format(done, total, running, failed, eta_long),
    ("%d/%d, %d run, %d failed"):format(done, total, running, failed),
    ("%d/%d, %d failed"):format(done, total, failed),
  }
  for _, line in ipairs(candidates) do
    if text.width(line) <= columns then return line end
  end
  return text.truncate(candidates[#candidates], columns)
end

local function columns_of(self)
  local n = self.columns()
  return n and n > 0 and n or 80
end

local function clear(self)
  if not self.drawn then return end
  self.raw(self.stream, "\r\27[J")
  self.drawn = nil
end

local function draw(self, now)
  if self.partial then return end -- somebody's unfinished line stands there
  local line = progress(self, now, columns_of(self) - 1) -- never in the last column: some terminals wrap there
  clear(self)
  self.raw(self.stream, line)
  self.stream:flush()
  self.drawn, self.drawn_at, self.dirty = true, now, false
end

-- Other output --------------------------------------------------------------------------------------------------------
--
-- While there is a progress line, what this process writes to standard output or error (print in `run`, the log)
-- takes it away first; it comes back with the next draw. The write function that all files share is replaced for that
-- time. This is for the command line, where the Lua state is our own; nothing is replaced without a terminal.

local function take_streams(self)
  local methods = getmetatable(io.stdout).__index
  local write, print_, io_write = methods.write, print, io.write
  local shared = { [io.stderr] = true, [io.stdout] = require("xpm.sys").isatty(1) or nil }
  if type(self.stream) == "userdata" then self.raw = write end
  local function before(file, ...)
    if not shared[file] then return end
    clear(self)
    self.stream:flush()
    local n = select("#", ...)
    self.partial = n > 0 and tostring((select(n, ...))):sub(-1) ~= "\n"
  end
  local function own_write(file, ...)
    before(file, ...)
    return write(file, ...)
  end
  local function own_print(...)
    before(io.stdout)
    return print_(...)
  end
  local function own_io_write(...)
    before(io.output(), ...)
    return io_write(...)
  end
  methods.write = own_write
  rawset(_G, "print", own_print)
  rawset(io, "write", own_io_write)
  self.give_back = function()
    if methods.write == own_write then methods.write = write end
    if print == own_print then rawset(_G, "print", print_) end
    if io.write == own_io_write then rawset(io, "write", io_write) end
  end
end

-- Writes whole lines, above the progress line if there is one.
local function say(self, ...)
  clear(self)
  if self.partial then
    self.raw(self.stream, "\n")
    self.partial = false
  end
  self.raw(self.stream, ...)
  self.raw(self.stream, "\n")
  self.stream:flush()
  self.dirty = true
end

---Prints a line of somebody else (the log's), above the progress line.
---@param line string
function Report:log(line) say(self, line) end

-- The run -------------------------------------------------------------------------------------------------------------

Report.raw = function(stream, ...) return stream:write(...) end

---Begins: says what runs and where, and from now on a terminal has its progress line.
---@param what { experiment: string, run?: string, workspace: string, jobs: integer }
function Report:begin(what)
  self.name = text.line(what.experiment)
  self.began = self.clock()
  say(self, ("%s: %s in %s%s"):format(paint(self, "bold", self.name), what.run and "run " .. what.run or "dry run",
    text.line(what.workspace), what.run and (", %d job%s at a time"):format(what.jobs, what.jobs == 1 and "" or "s") or ""))
  if self.tty and not self.give_back then take_streams(self) end
end

local function duration_of(event)
  if not event.started_at or not event.ended_at then return nil end
  return ("(%s)"):format(text.duration(math.max(0, event.ended_at - event.started_at)))
end

-- One line: why a job is in error.
local function reason_of(job)
  local reason = job.reason or "error"
  local detail
  if reason == "dependency" then
    detail = job.cause and "needs " .. label(job.cause) or nil
  elseif job.message and job.message ~= "" then
    detail = text.line(job.message)
  elseif job.signal then
    detail = ("signal %d"):format(job.signal)
  elseif job.exit_code then
    detail = ("exit code %d"):format(job.exit_code)
  end
  return detail and ("%s: %s"):format(reason, detail) or reason
end

-- The logs of a failed job that have something in them: { path, lines }
local function logs_of(self, job)
  local found = {}
  if not job.path then return found end
  local name = job.name or job.task:match("[^.]*$")
  for _, kind in ipairs { "err", "out" } do
    local path = job[kind] or ("%s/%s.%s"):format(job.path, name, kind)
    local last = self.tail(path, LOG_LINES)
    if last and last:find("%S") then
      local lines = {}
      for line in (text.clean(last):gsub("\n+$", "") .. "\n"):gmatch("([^\n]*)\n") do
        lines[#lines + 1] = "    " .. text.truncate((line:gsub("\t", "  ")), 200)
      end
      found[#found + 1] = { path = path, lines = lines }
    end
  end
  return found
end

local function failure(self, job, detailed)
  local lines = { spaced(paint(self, "red", "failed"), label(job), tags_of(job), "- " .. reason_of(job)) }
  if detailed then
    for _, log in ipairs(logs_of(self, job)) do
      lines[#lines + 1] = "  " .. text.line(log.path)
      table.move(log.lines, 1, #log.lines, #lines + 1, lines)
    end
  end
  return table.concat(lines, "\n")
end

-- Whether a plain line may be printed now: twenty at once, then one a second.
local function allowed(self, now)
  if now - self.refilled >= 1 then
    self.budget = math.min(BURST, self.budget + math.floor(now - self.refilled))
    self.refilled = now
  end
  if self.budget < 1 then
    self.suppressed = self.suppressed + 1
    return false
  end
  self.budget = self.budget - 1
  return true
end

---Tells a change of a job, as `xpm.engine` gives it.
---@param job table    task, hash, name, path, tags
---@param event xpm.engine.event
function Report:event(job, event)
  self.dirty = true
  local now = self.clock()
  if event.state == "running" then
    self.first_start = self.first_start or now
    if event.elsewhere then
      say(self, spaced("waiting for", label(job), tags_of(job), event.hostname and
        ("(it runs already, on %s)"):format(text.line(event.hostname)) or "(it runs already)"))
    end
  elseif event.state == "error" then
    local about = setmetatable({ reason = event.reason, message = event.message, signal = event.signal,
      exit_code = event.exit_code }, { __index = job })
    local detailed = event.reason ~= "dependency" and self.failures < DETAILS
    if detailed then self.failures = self.failures + 1 end
    if detailed or allowed(self, now) then say(self, failure(self, about, detailed)) end
  elseif event.state == "done" then
    if event.reused or self.tty or not allowed(self, now) then return end
    if self.suppressed > 0 then
      self.suppressed, self.progress_due = 0, true -- tick tells how far all are, instead of this one
    else
      say(self, spaced("done", label(job), tags_of(job), duration_of(event)))
    end
  end
end

---Notes how the jobs stand, and redraws if it is time.
---@param counts table  `engine:counts()`
function Report:tick(counts)
  local now = self.clock()
  local old = self.counts
  for _, key in ipairs { "done", "running", "error", "total" } do
    if old[key] ~= counts[key] then self.dirty = true end
  end
  self.counts = counts
  if not self.tty then
    if self.progress_due then
      self.progress_due = nil
      say(self, progress(self, now, 1000))
    end
    return
  end
  if self.give_back and (counts.total or 0) > 0 then
    local since = now - (self.drawn_at or -math.huge)
    if (self.dirty or not self.drawn) and since >= REDRAW or since >= CLOCK then draw(self, now) end
  end
end

---Seconds until `tick` should be called for the next redraw; nil when there is none to come.
---@return number?
function Report:interval()
  if not self.tty or not self.give_back or (self.counts.total or 0) == 0 then return nil end
  local now = self.clock()
  local changed = self.dirty or not self.drawn
  if not changed and not eta(self, now) then return nil end -- the line would stay the same
  return math.max(0, (changed and REDRAW or CLOCK) - (now - (self.drawn_at or -math.huge)))
end

---Takes the progress line away and gives the streams back. Safe to call twice.
function Report:close()
  if not self.give_back then return end
  clear(self)
  if self.partial then self.raw(self.stream, "\n") end
  self.stream:flush()
  self.give_back()
  self.give_back, self.partial, self.raw = nil, nil, nil
end
Report.__close = Report.close

-- The end -------------------------------------------------------------------------------------------------------------

local function plural(n, noun) return ("%d %s%s"):format(n, noun, n == 1 and "" or "s") end

---@class xpm.ReportSummary
---@field total integer
---@field reused integer
---@field ran integer
---@field failed table[]        jobs: task, hash, name, path, tags, reason, message, exit_code, signal, cause
---@field unscheduled? integer
---@field seconds number
---@field results? string       folder

---Ends the report: the numbers, and what failed, why, and where its logs are.
---@param summary xpm.ReportSummary
function Report:finish(summary)
  self:close()
  local failed = summary.failed or {}
  local own, dependent = {}, 0
  for _, job in ipairs(failed) do
    if job.reason == "dependency" then dependent = dependent + 1 else own[#own + 1] = job end
  end
  local lines = {}
  if #own > 0 then
    lines[1] = ""
    lines[2] = paint(self, "red", "Failed:")
  end
  for i = 1, math.min(#own, DETAILS) do
    local job = own[i]
    lines[#lines + 1] = "  " .. spaced(label(job), tags_of(job), "- " .. reason_of(job))
    local logs = logs_of(self, job)
    for _, log in ipairs(logs) do
      lines[#lines + 1] = "    " .. text.line(log.path)
      for _, line in ipairs(log.lines) do lines[#lines + 1] = "  " .. line end
    end
    if #logs == 0 and job.path then lines[#lines + 1] = "    " .. text.line(job.path) .. " (it printed nothing)" end
  end
  if #own > DETAILS then
    lines[#lines + 1] = ("  and %d more: xpm jobs list --state error"):format(#own - DETAILS)
  end
  if dependent > 0 then
    lines[#lines + 1] = ("  %s not started, because %s failed"):format(dependent == 1 and "1 job was"
      or dependent .. " jobs were", #own == 1 and "the one above" or "what they need has")
  end
  if #lines > 0 then lines[#lines + 1] = "" end
  local last = ("%s: %d reused, %d ran, %d failed%s in %s"):format(plural(summary.total, "job"), summary.reused,
    summary.ran, #failed, (summary.unscheduled or 0) > 0 and (", %d not started"):format(summary.unscheduled) or "",
    text.duration(summary.seconds))
  lines[#lines + 1] = paint(self, #failed > 0 and "red" or "green", last)
  if summary.results then lines[#lines + 1] = "results: " .. text.line(summary.results) end
  for _, line in ipairs(lines) do self.stream:write(line, "\n") end
  self.stream:flush()
end

-- The dry run ---------------------------------------------------------------------------------------------------------

---Lists what a run would do: state, job, tags, what it needs.
---@param jobs { task: string, hash: string, state: string, reason?: string, tags?: table, deps?: string[] }[]
---@param stream? file*  default standard output
function report.plan(jobs, stream)
  stream = stream or io.stdout
  local rows, reused = {}, 0
  for i, job in ipairs(jobs) do
    local state = job.state == "done" and "reused" or job.state == "running" and "running" or "would run"
    if state == "reused" then reused = reused + 1 end
    local needs = {}
    for k, dep in ipairs(job.deps or {}) do
      local task, hash = dep:match("^(.*)/([^/]*)$")
      needs[k] = task and task .. "/" .. hash:sub(1, 8) or dep
    end
    rows[i] = { state, label(job), tags_of(job), #needs > 0 and "needs " .. table.concat(needs, ", ") or "" }
  end
  for _, line in ipairs(text.table(rows)) do stream:write(line, "\n") end
  stream:write(("%s: %d reused, %d would run\n"):format(plural(#jobs, "job"), reused, #jobs - reused))
end

return report
