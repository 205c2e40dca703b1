local cli = require "support.cli"
local report = require "xpm.report"

local HASH = ("1a2b3c4d"):rep(8)

-- A stream that remembers, and a clock that is set by hand.
local function harness(options)
  local h = { now = 100, written = {} }
  h.stream = {
    write = function(s, ...)
      for i = 1, select("#", ...) do h.written[#h.written + 1] = (select(i, ...)) end
      return s
    end,
    flush = function() end,
  }
  function h.take()
    local text = table.concat(h.written)
    h.written = {}
    return text
  end
  options = options or {}
  h.report = report.new { stream = h.stream, tty = options.tty, color = options.color, clock = function() return h.now end,
    columns = function() return h.columns or 80 end, tail = options.tail or function() end }
  return h
end

local function job(fields)
  local j = { task = "digits.train", hash = HASH, name = "train", path = "/w/jobs/digits.train/" .. HASH,
    tags = { seed = "3", lr = "0.1" } }
  for k, v in pairs(fields or {}) do j[k] = v end
  return j
end

local function counts(done, total, running, failed)
  return { done = done, total = total, running = running or 0, error = failed or 0, reused = 0 }
end

describe("report in plain lines", function()
  it("says what begins, what ends, and the sum", function()
    local h = harness()
    h.report:begin { experiment = "digits", run = "20260101_120000", workspace = "/w", jobs = 2 }
    assert.equal("digits: run 20260101_120000 in /w, 2 jobs at a time\n", h.take())
    h.report:begin { experiment = "digits", workspace = "/w", jobs = 2 }
    assert.equal("digits: dry run in /w\n", h.take())
    h.report:event(job(), { state = "running", started_at = 5 })
    h.report:tick(counts(0, 2, 1))
    assert.equal("", h.take())
    h.report:event(job(), { state = "done", started_at = 5, ended_at = 8.2 })
    h.report:tick(counts(1, 2))
    assert.equal("done digits.train/1a2b3c4d lr=0.1 seed=3 (3.2 s)\n", h.take())
    h.report:event(job(), { state = "done", reused = true })
    h.report:tick(counts(2, 2))
    assert.equal("", h.take())
    assert.is_nil(h.report:interval())
    h.report:finish { total = 12, reused = 9, ran = 3, failed = {}, unscheduled = 0, seconds = 4.1, results = "/w/r" }
    assert.equal("12 jobs: 9 reused, 3 ran, 0 failed in 4.1 s\nresults: /w/r\n", h.take())
  end)

  it("says how many were not started", function()
    local h = harness()
    h.report:finish { total = 1, reused = 0, ran = 0, failed = {}, unscheduled = 1, seconds = 0.5 }
    assert.equal("1 job: 0 reused, 0 ran, 0 failed, 1 not started in 0.5 s\n", h.take())
  end)

  it("tells a failure at once, with reason, log and path, and again at the end", function()
    local h = harness { tail = function(path, lines)
      assert.equal(5, lines)
      return path:find "%.err$" and "one\n\27[31mtwo\27[0m\a\n" or nil
    end }
    local failed = job()
    h.report:event(failed, { state = "error", reason = "failed", exit_code = 3 })
    local log = "/w/jobs/digits.train/" .. HASH .. "/train.err"
    assert.equal("failed digits.train/1a2b3c4d lr=0.1 seed=3 - failed: exit code 3\n  " .. log
      .. "\n    one\n    two\n", h.take())
    failed.reason, failed.exit_code = "failed", 3
    local other = job { hash = ("f"):rep(64), reason = "dependency", cause = failed }
    h.report:event(other, { state = "error", reason = "dependency", cause = 1 })
    assert.equal("failed digits.train/ffffffff lr=0.1 seed=3 - dependency: needs digits.train/1a2b3c4d\n", h.take())
    h.report:finish { total = 3, reused = 0, ran = 1, failed = { failed, other }, seconds = 61 }
    assert.equal("\nFailed:\n  digits.train/1a2b3c4d lr=0.1 seed=3 - failed: exit code 3\n    " .. log
      .. "\n      one\n      two\n  1 job was not started, because the one above failed\n\n"
      .. "3 jobs: 0 reused, 1 ran, 2 failed in 1m 01s\n", h.take())
  end)

  it("has a word for each reason", function()
    local cases = { { { reason = "failed", signal = 9 }, "failed: signal 9" }, { { reason = "lost" }, "lost" },
      { { reason = "start_failed", message = "no such program: x\27[2J" }, "start_failed: no such program: x" },
      { { reason = "missing_outputs", message = "model.txt\nother" }, "missing_outputs: model.txt other" } }
    for _, case in ipairs(cases) do
      local h = harness()
      case[1].state = "error"
      h.report:event(job { tags = {} }, case[1])
      assert.equal("failed digits.train/1a2b3c4d - " .. case[2] .. "\n", h.take())
    end
  end)

  it("prints twenty lines of a fast run, then about one a second, but every failure's first line", function()
    local h = harness()
    local function many(n, step)
      for i = 1, n do
        h.now = h.now + step
        h.report:event(job(), { state = "done", started_at = 1, ended_at = 1 })
        h.report:tick(counts(i, n))
      end
      local _, lines = h.take():gsub("\n", "")
      return lines
    end
    assert.equal(20, many(1000, 0.0001))
    local lines = many(1000, 0.01) -- ten seconds
    assert.is_true(lines >= 9 and lines <= 11, tostring(lines))
    h.report:event(job(), { state = "error", reason = "failed", exit_code = 1 })
    assert.is_truthy(h.take():find("^failed "))
  end)

  it("tells the progress of a fast run in numbers", function()
    local h = harness()
    for _ = 1, 21 do h.report:event(job(), { state = "done" }) end
    h.take()
    h.now = h.now + 1.5
    h.report:event(job(), { state = "done" })
    h.report:tick(counts(22, 100, 2, 1))
    assert.is_truthy(h.take():find "^22/100 done, 2 running, 1 failed, 75 waiting[^\n]*\n$")
  end)

  it("does not flood when thousands fail", function()
    local h = harness { tail = function() return "log\n" end }
    for _ = 1, 2000 do h.report:event(job(), { state = "error", reason = "failed", exit_code = 1 }) end
    local _, lines = h.take():gsub("\n", "")
    assert.is_true(lines < 200, tostring(lines))
    local failed = {}
    for i = 1, 2000 do failed[i] = job { reason = "failed", exit_code = 1 } end
    h.report:finish { total = 2000, reused = 0, ran = 0, failed = failed, seconds = 1 }
    local text = h.take()
    _, lines = text:gsub("\n", "")
    assert.is_true(lines < 200, tostring(lines))
    assert.is_truthy(text:find("and 1980 more: xpm jobs list --state error", 1, true))
  end)

  it("says that a job runs under another driver", function()
    local h = harness()
    h.report:event(job { tags = {} }, { state = "running", elsewhere = true, hostname = "node1" })
    assert.equal("waiting for digits.train/1a2b3c4d (it runs already, on node1)\n", h.take())
  end)

  it("takes escape sequences out of names and tags", function()
    local h = harness()
    h.report:begin { experiment = "a\27[31mb", workspace = "/w\27]0;t\7x", jobs = 1 }
    h.report:event(job { tags = { lr = "\27[2J1" } }, { state = "done" })
    assert.is_nil(h.take():find "[\27\7]")
  end)
end)

describe("report on a terminal", function()
  local function terminal(columns)
    local h = harness { tty = true }
    h.columns = columns
    h.report:begin { experiment = "digits", run = "r", workspace = "/w", jobs = 2 }
    h.take()
    finally(function() h.report:close() end)
    return h
  end

  -- What the progress line shows: everything after the last time it was cleared.
  local function shown(h) return h.take():match "([^\27\r]*)$" end

  it("redraws at most ten times a second, and says when it wants to", function()
    local h = terminal()
    assert.is_nil(h.report:interval())
    local draws = 0
    for i = 1, 1000 do
      h.now = h.now + 0.001
      h.report:tick(counts(i, 1000, 2))
      if h.take() ~= "" then draws = draws + 1 end
    end
    assert.is_true(draws >= 9 and draws <= 11, tostring(draws))
    h.report:tick(counts(5, 1000, 2))
    local wait = h.report:interval()
    assert.is_true(wait > 0 and wait <= 0.1)
  end)

  it("does not ask to be woken when nothing would change", function()
    local h = terminal()
    h.now = h.now + 1
    h.report:tick(counts(0, 10, 2))
    assert.is_nil(h.report:interval())
  end)

  it("fits any width and keeps what matters most", function()
    local text = require "xpm.text"
    for columns = 1, 120 do
      local h = terminal(columns)
      h.now = h.now + 1
      h.report:tick(counts(12, 40, 4, 1))
      local line = shown(h)
      assert.is_true(text.width(line) <= math.max(columns - 1, 0), columns .. ": " .. line)
      if columns >= 16 then assert.is_truthy(line:find("1 failed", 1, true)) end
      h.report:close()
    end
    local h = terminal(80)
    h.now = h.now + 1
    h.report:tick(counts(12, 40, 4, 1))
    assert.equal("digits: 12/40 done, 4 running, 1 failed, 23 waiting", shown(h))
  end)

  it("estimates the rest from the jobs of this run", function()
    local h = terminal(120)
    h.report:event(job(), { state = "running" })
    h.now = h.now + 10
    local c = counts(30, 40, 2)
    c.reused = 28
    h.report:tick(c)
    assert.equal("digits: 30/40 done, 2 running, 0 failed, 8 waiting, ETA 50 s", shown(h))
  end)

  it("takes the line away before anything else is printed, and at the end", function()
    local h = terminal()
    h.now = h.now + 1
    h.report:tick(counts(1, 4, 2))
    h.take()
    h.report:log("10:00:00 WARN x: y")
    assert.equal("\r\27[J10:00:00 WARN x: y\n", h.take())
    h.now = h.now + 1
    h.report:tick(counts(1, 4, 2))
    assert.equal("digits: 1/4 done, 2 running, 0 failed, 1 waiting", h.take())
    h.report:finish { total = 4, reused = 0, ran = 4, failed = {}, seconds = 2 }
    assert.equal("\r\27[J4 jobs: 0 reused, 4 ran, 0 failed in 2.0 s\n", h.take())
    h.report:close()
    assert.equal("", h.take())
  end)

  it("gives the streams back", function()
    local before = { print, io.write, io.stdout.write }
    local h = harness { tty = true }
    h.report:begin { experiment = "x", workspace = "/w", jobs = 1 }
    h.report:close()
    assert.is_true(print == before[1] and io.write == before[2] and io.stdout.write == before[3])
  end)
end)

describe("report in a real terminal", function()
  local box, socket, screen
  before_each(function()
    box = cli.sandbox()
    socket = box:at "tmux"
  end)
  after_each(function()
    os.execute(("tmux -S %s kill-server 2>/dev/null"):format(cli.quote(socket)))
    box:close()
  end)

  local SCRIPT = [[
    local report, sys = require "xpm.report", require "xpm.sys"
    local r = report.new(report.terminal(io.stderr, 2))
    local now = 0
    r.clock = function() return now end
    r:begin { experiment = "digits", run = "r1", workspace = "/w", jobs = 2 }
    local job = { task = "digits.train", hash = ("ab"):rep(32), name = "train", path = "/none", tags = {} }
    local function stop(name)
      io.open(name, "w"):close()
      while not sys.stat(name .. ".go") do sys.poll({}, 0.01) end
    end
    for i = 1, 30 do
      now = now + 0.3
      r:event(job, { state = "running" })
      r:tick { total = 100, done = i, running = 2, error = i > 20 and 1 or 0, reused = 0 }
      if i == 5 then print("printed by run") end
      if i == 10 then
        io.write("a part, ")
        now = now + 1
        r:tick { total = 100, done = i, running = 2, error = 0, reused = 0 }
      end
      if i == 11 then io.write("and its end\n") end
      if i == 20 then r:event(job, { state = "error", reason = "failed", exit_code = 7 }) end
      if i == 25 then require("xpm.log").warn("a warning") end
    end
    stop "middle"
    r:finish { total = 100, reused = 0, ran = 29, failed = {}, seconds = 9 }
    print "after"
    stop "last"
  ]]

  local function capture()
    local p = assert(io.popen(("tmux -S %s capture-pane -p -J -S -"):format(cli.quote(socket))))
    local text = p:read "a"
    p:close()
    return (text:gsub(" *\n", "\n"):gsub("%s+$", "")) -- wrapped lines are joined (-J)
  end

  for _, width in ipairs { 80, 30 } do
    it(("keeps one line at the bottom and clean scrollback, %d columns wide"):format(width), function()
      box:write("script.lua", SCRIPT)
      box:shell(("TERM=xterm tmux -S %s -f /dev/null new-session -d -x %d -y 8 "
        .. "'cd %s; NO_COLOR=1 lua5.4 script.lua'"):format(socket, width, box.path)
        :gsub("lua5.4 script", function() return "LUA_PATH='\\''" .. package.path:gsub("%f[^;\0]%f[%w]", cli.root .. "/")
          .. "'\\'' LUA_CPATH='\\''" .. package.cpath .. "'\\'' lua5.4 script" end))
      cli.eventually(function() return box:exists "middle" end)
      local line = width == 80 and "digits: 30/100 done, 2 running, 1 failed, 67 waiting" or "30/100, 2 run, 1 failed"
      screen = cli.eventually(function()
        local text = capture()
        return text:find(line, 1, true) and text
      end)
      local _, n = screen:gsub("30/100", "")
      assert.equal(1, n, screen)
      assert.is_truthy(screen:match "([^\n]*)$":find(line, 1, true), screen)
      box:write("middle.go", "")
      cli.eventually(function() return box:exists "last" end)
      screen = cli.eventually(function()
        local text = capture()
        return text:find("after", 1, true) and text
      end)
      for _, expected in ipairs { "digits: run r1 in /w, 2 jobs at a time", "printed by run", "a part, and its end",
        "failed digits.train/abababab - failed: exit code 7", "WARN xpm: a warning",
        "100 jobs: 0 reused, 29 ran, 0 failed in 9.0 s", "after" } do
        assert.is_truthy(screen:find(expected, 1, true), expected .. "\n" .. screen)
      end
      assert.is_nil(screen:find("/100", 1, true), screen)
      assert.equal(7, select(2, (screen .. "\n"):gsub("\n", "")), screen)
    end)
  end
end)

describe("report.plan", function()
  it("lists what would run, what is reused, and what each needs", function()
    local h = harness()
    report.plan({
      { task = "data", hash = ("c0ffee00"):rep(8), state = "done", tags = {}, deps = {} },
      { task = "digits.train", hash = HASH, state = "unscheduled", tags = { lr = "0.1" },
        deps = { "data/" .. ("c0ffee00"):rep(8) } },
    }, h.stream)
    assert.equal("reused     data/c0ffee00\nwould run  digits.train/1a2b3c4d  lr=0.1  needs data/c0ffee00\n"
      .. "2 jobs: 1 reused, 1 would run\n", h.take())
  end)
end)
