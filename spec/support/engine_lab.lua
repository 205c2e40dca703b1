-- A workspace of its own for tests of the engine, jobs made of spec/support/child, and drivers in other processes.

local engine = require "xpm.engine"

local lab = {}

local function first_line(command)
  local p = assert(io.popen(command))
  local line = p:read "l"
  p:close()
  return line
end

local build = os.getenv "XPM_BUILD" or os.getenv "BUILD" or "build"
if build:sub(1, 1) ~= "/" then build = first_line "pwd" .. "/" .. build end

lab.child = build .. "/spec/support/child"

function lab.quote(s) return "'" .. tostring(s):gsub("'", "'\\''") .. "'" end

function lab.read(path)
  local f = io.open(path, "rb")
  if not f then return nil end
  local text = f:read "a"
  f:close()
  return text
end

function lab.write(path, text)
  local f = assert(io.open(path, "wb"))
  assert(f:write(text))
  assert(f:close())
end

function lab.exists(path)
  local f = io.open(path, "rb")
  if f then f:close() end
  return f ~= nil
end

---Whether a process lives (a zombie does not).
function lab.alive(pid)
  local stat = lab.read(("/proc/%d/stat"):format(pid))
  local state = stat and stat:match "^.*%) (%a)"
  return state ~= nil and state ~= "Z" and state ~= "X"
end

function lab.kill(pid, signal) os.execute(("kill -%s %d"):format(signal, pid)) end

---Polls until `f` returns something true; an error after 20 seconds.
function lab.eventually(f, what)
  local limit = os.time() + 20
  repeat
    local value = f()
    if value then return value end
    os.execute "sleep 0.005"
  until os.time() > limit
  error("still not so after 20 seconds: " .. (what or "?"), 2)
end

local Lab = {}
Lab.__index = Lab

---A new folder: `dir` is its scratch place, `work` the workspace.
function lab.new()
  local dir = first_line 'd=$(mktemp -d "${TMPDIR:-/tmp}/xpm-engine.XXXXXX") && realpath "$d"'
  assert(dir and dir:find "/xpm%-engine%.[^/]+$")
  return setmetatable({ dir = dir, work = dir .. "/work", engines = {}, drivers = {}, seen = {} }, Lab)
end

function Lab:path(name) return self.dir .. "/" .. name end

function Lab:open(jobs)
  local e = assert(engine.open { workdir = self.work, jobs = jobs or 2 })
  self.engines[#self.engines + 1] = e
  return e
end

---Ends everything that is left and removes the folder. A supervisor that is killed takes its job along.
function Lab:close()
  for _, e in ipairs(self.engines) do e:close() end
  for _, d in ipairs(self.drivers) do d:kill() end
  for n in pairs(self.seen) do
    local probe = engine.probe(self.work, "t.job", self:hash(n), "job")
    if probe and probe.state == "running" and probe.pid then lab.kill(probe.pid, "KILL") end
  end
  os.execute("rm -rf " .. lab.quote(self.dir))
end

function Lab:hash(n) return engine.identifier("t.job", { n = n }) end

function Lab:folder(n) return self.work .. "/jobs/t.job/" .. self:hash(n) end

---The spec of job `n`: the child with `words`; `more` overrides fields.
function Lab:spec(n, words, more)
  self.seen[n] = true
  local argv = { lab.child, table.unpack(words or {}) }
  local spec = { task = "t.job", hash = self:hash(n), name = "job", argv = argv, params = ('{"n":%q}\n'):format(n) }
  for k, v in pairs(more or {}) do spec[k] = v end
  return spec
end

---Takes what events there are.
function lab.drain(e, events)
  events = events or {}
  for event in function() return e:next_event() end do events[#events + 1] = event end
  return events
end

---Turns the loop until `done(events)` or idle; an error after 20 seconds. Returns the events.
function lab.run(e, done)
  local events, limit = {}, os.time() + 20
  while true do
    local what = e:step(1)
    lab.drain(e, events)
    if done and done(events) then return events end
    if what == "idle" then
      if done then error("idle before it came to that", 2) end
      return events
    end
    if os.time() > limit then error("not at its end after 20 seconds", 2) end
  end
end

---The last event of job `number`.
function lab.last(events, number)
  for i = #events, 1, -1 do
    if events[i].job == number then return events[i] end
  end
end

---Submits one job, runs it, returns its last event.
function Lab:one(e, n, words, more)
  local number = e:submit(self:spec(n, words, more))
  return assert(lab.last(lab.run(e), number), "no event")
end

local Driver = {}
Driver.__index = Driver

---Another process with an engine on this workspace. `specs` are submitted, then the loop turns until idle.
---Each event is a line "job state reason"; "ready" comes after the submits.
function Lab:driver(specs, jobs)
  local file = self:path("driver" .. #self.drivers .. ".lua")
  local function text(v)
    if type(v) ~= "table" then return ("%q"):format(v) end
    local parts = {}
    for k, x in pairs(v) do parts[#parts + 1] = ("[%s]=%s"):format(text(k), text(x)) end
    return "{" .. table.concat(parts, ",") .. "}"
  end
  lab.write(file, ([[
    io.stdout:setvbuf "line"
    print((io.open("/proc/self/stat"):read "n"))
    local e = assert(require("xpm.engine").open { workdir = %q, jobs = %d })
    for _, spec in ipairs(%s) do e:submit(spec) end
    print "ready"
    repeat
      local what = e:step()
      for v in function() return e:next_event() end do
        print(v.job, v.state, v.reason or "", v.elsewhere and "elsewhere" or "", v.reused and "reused" or "")
      end
    until what == "idle"
  ]]):format(self.work, jobs or 2, text(specs)))
  local pipe = assert(io.popen("exec lua5.4 " .. lab.quote(file), "r"))
  local pid = assert(tonumber(pipe:read "l"), "the driver did not start")
  local driver = setmetatable({ pipe = pipe, pid = pid }, Driver)
  self.drivers[#self.drivers + 1] = driver
  assert(pipe:read "l" == "ready")
  return driver
end

function Driver:line() return self.pipe:read "l" end

function Driver:kill()
  if not self.pipe then return end
  lab.kill(self.pid, "KILL")
  self.pipe:close()
  self.pipe = nil
end

---What it says until its end.
function Driver:wait()
  local text = self.pipe:read "a"
  self.pipe:close()
  self.pipe = nil
  return text
end

---How often each line is in the ledger.
function Lab:ledger()
  local counts = {}
  for line in (lab.read(self:path "ledger") or ""):gmatch "[^\n]+" do counts[line] = (counts[line] or 0) + 1 end
  return counts
end

---The process that holds the lock of job n.
function Lab:supervisor(n)
  return lab.eventually(function()
    local probe = engine.probe(self.work, "t.job", self:hash(n), "job")
    return probe.state == "running" and probe.pid
  end, "job runs")
end

return lab
