-- Other drivers, dead drivers, dead supervisors, and what they leave on disk. The ledger is written by the jobs.
local config = require "xpm.config"
local engine = require "xpm.engine"
local lab = require "support.engine_lab"

local box, ledger

before_each(function()
  box = lab.new()
  ledger = box:path "ledger"
end)

after_each(function() box:close() end)

local function probe(n) return engine.probe(box.work, "t.job", box:hash(n), "job") end

local function running(events) return #events > 0 and events[#events].state == "running" end

describe("a job that runs elsewhere", function()
  it("is waited for and not started again", function()
    local words = { "append", ledger, "one", "wait", box:path "go" }
    local driver = box:driver { box:spec(1, words) }
    box:supervisor(1)
    local e = box:open(2)
    local number = e:submit(box:spec(1, words))
    local after = e:submit(box:spec(2, { "append", ledger, "two" }, { deps = { number } }))
    local events = lab.run(e, running)
    assert.same({ number, true }, { events[1].job, events[1].elsewhere })
    lab.write(box:path "go", "")
    events = lab.run(e)
    local event = lab.last(events, number)
    assert.same({ "done", true, 0 }, { event.state, event.elsewhere, event.exit_code })
    assert.is_nil(event.reused)
    assert.equal("done", lab.last(events, after).state)
    assert.truthy(driver:wait():find "1%s+done")
    assert.same({ one = 1, two = 1 }, box:ledger())
  end)

  it("that fails there is failed here", function()
    local words = { "wait", box:path "go", "exit", "3" }
    box:driver { box:spec(1, words) }
    box:supervisor(1)
    local e = box:open(2)
    local number = e:submit(box:spec(1, words))
    lab.write(box:path "go", "")
    local event = lab.last(lab.run(e), number)
    assert.same({ "error", "failed", 3, true }, { event.state, event.reason, event.exit_code, event.elsewhere })
  end)

  it("is taken over when its supervisor is killed", function()
    local words = { "append", ledger, "one", "background", "bg", "wait", box:path "go" }
    local driver = box:driver { box:spec(1, words) }
    local supervisor = box:supervisor(1)
    local e = box:open(2)
    local number = e:submit(box:spec(1, words))
    lab.run(e, running)
    lab.eventually(function() return lab.exists(box:folder(1) .. "/bg") end)
    local left = tonumber(lab.read(box:folder(1) .. "/bg"))
    driver:kill()
    os.execute "true"
    lab.kill(supervisor, "KILL")
    lab.eventually(function() e:step(0.02) return box:ledger().one == 2 end, "it runs again, here")
    assert.is_false(lab.alive(left))
    lab.write(box:path "go", "")
    assert.equal("done", lab.last(lab.run(e), number).state)
    assert.same({ one = 2 }, box:ledger())
  end)

  it("may be in the same process", function()
    local words = { "append", ledger, "one", "wait", box:path "go" }
    local a, b = box:open(1), box:open(1)
    a:submit(box:spec(1, words))
    b:submit(box:spec(1, words)) -- neither has a lock yet, perhaps
    lab.run(b, running)
    lab.write(box:path "go", "")
    local first, second = lab.run(a), lab.run(b)
    assert.equal("done", lab.last(first, 1).state)
    assert.equal("done", lab.last(second, 1).state)
    assert.same({ one = 1 }, box:ledger())
  end)

  it("each runs once when many drivers want the same", function()
    local specs, drivers = {}, {}
    for i = 1, 60 do
      specs[i] = box:spec(i, { "append", ledger, tostring(i) }, i > 3 and { deps = { i - 3 } } or nil)
    end
    for i = 1, 3 do drivers[i] = box:driver(specs, 2) end
    for _, driver in ipairs(drivers) do
      local text, done = driver:wait(), 0
      for _ in text:gmatch "done" do done = done + 1 end
      assert.equal(60, done)
    end
    local counts = box:ledger()
    for i = 1, 60 do assert.equal(1, counts[tostring(i)]) end
  end)
end)

describe("a driver that is killed", function()
  it("leaves its running jobs running; the next one repeats and misses nothing", function()
    local specs = {}
    for i = 1, 60 do
      specs[i] = box:spec(i, { "append", ledger, "start " .. i, "cpu", "3", "append", ledger, "end " .. i })
      if i > 10 then specs[i].deps = { i - 10, i - 7 } end
    end
    local driver = box:driver(specs, 2)
    lab.eventually(function() return box:ledger()["end 9"] end)
    driver:kill()
    assert.is_nil(box:ledger()["end 60"])
    local e = box:open(2)
    for _, spec in ipairs(specs) do e:submit(spec) end
    local reused = e:counts().reused
    lab.run(e)
    assert.equal(60, e:counts().done)
    assert.is_true(reused > 0 and reused < 60)
    local counts = box:ledger()
    for i = 1, 60 do
      assert.equal(1, counts["start " .. i])
      assert.equal(1, counts["end " .. i])
    end
  end)

  it("has orphans that count against the slots of the next", function()
    local driver = box:driver { box:spec(1, { "append", ledger, "one", "wait", box:path "go" }) }
    box:supervisor(1)
    driver:kill()
    local e = box:open(1)
    e:submit(box:spec(1, { "append", ledger, "one" }))
    e:submit(box:spec(2, { "append", ledger, "two" }))
    assert.equal("event", e:step(1))
    lab.drain(e)
    assert.equal("timeout", e:step(0.05))
    assert.same({ 1, 1 }, { e:counts().running, e:counts().ready })
    assert.same({ one = 1 }, box:ledger())
    lab.write(box:path "go", "")
    lab.run(e)
    assert.same({ one = 1, two = 1 }, box:ledger())
  end)

  it("lets its supervisors end when they have no job", function()
    local driver = box:driver { box:spec(1), box:spec(2, { "wait", box:path "go" }) }
    local supervisor = box:supervisor(2)
    driver:kill()
    assert.is_true(lab.alive(supervisor))
    lab.write(box:path "go", "")
    lab.eventually(function() return not lab.alive(supervisor) end, "the supervisor ends")
    assert.equal("done", probe(2).state)
  end)
end)

describe("a supervisor that is killed", function()
  it("loses its job, with all its processes, and the plan goes on", function()
    local e = box:open(2)
    local number = e:submit(box:spec(1, { "append", ledger, "one", "background", "bg", "wait", box:path "go" }))
    local other = e:submit(box:spec(2, { "append", ledger, "two", "wait", box:path "go" }))
    local third = e:submit(box:spec(3, { "append", ledger, "three" }))
    local hangs = e:submit(box:spec(4, { "exit", "0" }, { deps = { number } }))
    local supervisor = box:supervisor(1)
    lab.eventually(function() e:step(0.01) return lab.exists(box:folder(1) .. "/bg") end)
    local left = tonumber(lab.read(box:folder(1) .. "/bg"))
    lab.kill(supervisor, "KILL")
    lab.eventually(function() e:step(0.01) return e:job(number).state == "error" end)
    local event = e:job(number)
    assert.same({ "lost", "its supervisor died" }, { event.reason, event.message })
    assert.is_false(lab.alive(left))
    assert.same({ "dependency", number }, { e:job(hangs).reason, e:job(hangs).cause })
    assert.same({ "error", "lost" }, { probe(1).state, probe(1).reason })
    lab.write(box:path "go", "")
    lab.run(e)
    assert.same({ "done", "done" }, { e:job(other).state, e:job(third).state })
    assert.same({ one = 1, two = 1, three = 1 }, box:ledger())
    assert.equal("done", box:one(box:open(1), 1, { "append", ledger, "one" }).state)
    assert.same({ one = 2, two = 1, three = 1 }, box:ledger())
  end)

  it("while it waits for work is replaced", function()
    local e = box:open(1)
    e:submit(box:spec(1, { "wait", box:path "go" }))
    local supervisor = box:supervisor(1)
    lab.write(box:path "go", "")
    lab.run(e)
    lab.kill(supervisor, "KILL")
    lab.eventually(function() return not lab.alive(supervisor) end)
    assert.equal("done", box:one(e, 2).state)
  end)
end)

describe("on disk", function()
  local done

  local function marker() return box:folder(1) .. "/job.done" end

  -- Job 1, done, with an output of four bytes.
  local function make()
    local words = { "append", ledger, "one", "write", "out", "abc" }
    assert.equal("done", box:one(box:open(1), 1, words, { outputs = { "out" } }).state)
    done = lab.read(marker())
  end

  local function again()
    local event = box:one(box:open(1), 1, { "append", ledger, "one", "write", "out", "abc" }, { outputs = { "out" } })
    assert.equal("done", event.state)
    return event.reused or false, box:ledger().one
  end

  it("a marker is JSON with what is known", function()
    make()
    local m = assert(config.parse_json(done))
    assert.same({ 1, "done", 0, 4 }, { m.version, m.state, m.exit_code, m.outputs.out })
    assert.equal(36, #m.boot_id)
    assert.is_true(m.cpu_seconds >= 0 and m.peak_memory > 0 and m.ended_at >= m.started_at and #m.hostname > 0)
    assert.is_true(again())
  end)

  it("a marker that is cut off anywhere does not count", function()
    make()
    local whole = done:match "^.*}"
    local repeats = 1
    for _, n in ipairs { 0, 1, #whole // 2, #whole - 1 } do
      lab.write(marker(), whole:sub(1, n))
      assert.equal("unscheduled", probe(1).state)
      local reused, count = again()
      repeats = repeats + 1
      assert.same({ false, repeats }, { reused, count })
    end
    lab.write(marker(), whole)
    assert.is_true(again())
    for _, text in ipairs { "[]", "null", "{}", '{"version":1}', ("\0"):rep(1024),
      '{"version":1,"state":"error","ended_at":1}' } do
      lab.write(marker(), text)
      assert.is_false((again()))
    end
  end)

  it("a marker of another boot counts only when the outputs have their sizes", function()
    make()
    lab.write(marker(), (done:gsub('"boot_id":"[^"]*"', '"boot_id":"00000000-0000-0000-0000-000000000000"')))
    assert.same({ true, 1 }, { again() })
    lab.write(box:folder(1) .. "/out", "")
    assert.equal("unscheduled", probe(1).state)
    assert.same({ false, 2 }, { again() })
    assert.equal("abc\n", lab.read(box:folder(1) .. "/out"))
    lab.write(marker(), (done:gsub('"boot_id":"[^"]*"', '"boot_id":""')))
    os.remove(box:folder(1) .. "/out")
    assert.same({ false, 3 }, { again() })
    lab.write(box:folder(1) .. "/out", "") -- of this boot: the marker is the authority
    assert.same({ true, 3 }, { again() })
  end)

  it("a newer format is an error, and nothing is run again", function()
    make()
    lab.write(marker(), '{"version":2,"something":"else"}')
    local e = box:open(1)
    local number = e:submit(box:spec(1, { "append", ledger, "one" }))
    local event = lab.last(lab.run(e), number)
    assert.same({ "error", "start_failed" }, { event.state, event.reason })
    assert.truthy(event.message:find("newer xpm (format 2", 1, true))
    assert.same({ one = 1 }, box:ledger())
    local none, message, code = probe(1)
    assert.is_nil(none)
    assert.truthy(message:find("newer xpm", 1, true))
    assert.equal("version", code)
    assert.equal('{"version":2,"something":"else"}', lab.read(marker()))
  end)

  it("a pid file proves nothing without its lock", function()
    make()
    os.remove(marker())
    local stat = lab.read "/proc/self/stat"
    local pid, start = stat:match "^%d+", stat:match("^.*%) %a (.*)"):match(("%S+ "):rep(18) .. "(%S+)")
    local m = assert(config.parse_json(done))
    local record = ('{"version":1,"pid":%s,"start":%s,"host":"%s","boot_id":"%s","job":%s,"started_at":1}'):format(
      pid, start, m.hostname, m.boot_id, pid)
    for _, text in ipairs { "", "{", "1\n", record } do
      lab.write(box:folder(1) .. "/job.pid", text)
      assert.same({ "error", "lost" }, { probe(1).state, probe(1).reason })
      assert.is_false((again()))
      os.remove(marker())
    end
  end)

  it("a link or a folder in a marker's place stops nothing else", function()
    make()
    os.remove(marker())
    os.execute("mkdir " .. lab.quote(marker()))
    local e = box:open(1)
    local number = e:submit(box:spec(1, { "append", ledger, "one" }))
    local other = e:submit(box:spec(2))
    local events = lab.run(e)
    assert.equal("error", lab.last(events, number).state)
    assert.equal("done", lab.last(events, other).state)
    os.execute(("rmdir %s && ln -s /nowhere %s"):format(lab.quote(marker()), lab.quote(marker())))
    e = box:open(1)
    number = e:submit(box:spec(1, { "append", ledger, "one" }))
    assert.equal("start_failed", lab.last(lab.run(e), number).reason)
  end)

  it("probe tells what runs, and who", function()
    assert.same({ "unscheduled" }, { probe(1).state })
    assert.same({ state = "unscheduled" }, engine.probe("/nowhere", "t", box:hash(1), "t"))
    local e = box:open(1)
    e:submit(box:spec(1, { "wait", box:path "go" }))
    local pid = box:supervisor(1)
    assert.equal("xpm-supervisor\n", lab.read(("/proc/%d/comm"):format(pid)))
    assert.equal("running", probe(1).state)
    assert.is_true(probe(1).started_at > 0)
    lab.write(box:path "go", "")
    lab.run(e)
    e = box:open(1)
    e:submit(box:spec(2, { "exit", "7" }))
    lab.run(e)
    assert.same({ "error", "failed", 7 }, { probe(2).state, probe(2).reason, probe(2).exit_code })
  end)
end)

describe("a lock file", function()
  it("is held by one, says by whom, and goes with its holder", function()
    local path = box:path "lock"
    local lock = assert(engine.lock(path))
    local holder = assert(config.parse_json(lab.read(path)))
    assert.same({ 1, tonumber(lab.read "/proc/self/stat":match "%d+") }, { holder.version, holder.pid })
    local none, message, code = engine.lock(path)
    assert.is_nil(none)
    assert.equal("locked", code)
    assert.truthy(message:find(("^held by %s, pid %d, since %%d+%%-%%d%%d%%-%%d%%d %%d%%d:%%d%%d:%%d%%d$"):format(
      holder.host:gsub("%p", "%%%0"), holder.pid)), message)
    assert.equal("xpm.engine.lock (held)", tostring(lock))
    lock:close()
    lock:close()
    assert.equal("xpm.engine.lock (released)", tostring(lock))
    assert.is_false(lab.exists(path))
    do
      local _ <close> = assert(engine.lock(path))
      assert.is_nil((engine.lock(path)))
    end
    assert.is_false(lab.exists(path))
  end)

  it("that a dead process left is taken", function()
    local path = box:path "lock"
    for _, text in ipairs { "", "{", '{"version":1,"pid":1,"start":1,"host":"x","boot_id":"y","since":1}' } do
      lab.write(path, text)
      local _ <close> = assert(engine.lock(path))
      assert.truthy(lab.read(path):find('"since":', 1, true))
    end
  end)

  it("cannot be where there is no folder", function()
    local none, message, code = engine.lock(box:path "a/lock")
    assert.same({ nil, "not_found" }, { none, code })
    assert.truthy(message:find("cannot open the folder", 1, true))
  end)
end)
