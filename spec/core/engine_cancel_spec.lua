local engine = require "xpm.engine"
local lab = require "support.engine_lab"

local box

before_each(function() box = lab.new() end)
after_each(function() box:close() end)

local function running(e, number)
  lab.eventually(function() e:step(0.01) return e:job(number).state == "running" end)
end

describe("cancel", function()
  it("ends a job by TERM, and the job may save its state", function()
    local e = box:open(2)
    local number = e:submit(box:spec(1, { "trap", "saved", "write", "up", "", "hang" }))
    local other = e:submit(box:spec(2, { "wait", box:path "go" }))
    local after = e:submit(box:spec(3, {}, { deps = { number } }))
    running(e, number)
    lab.eventually(function() return lab.exists(box:folder(1) .. "/up") end)
    e:cancel(number)
    lab.eventually(function() e:step(0.01) return e:job(number).state == "error" end)
    assert.same({ "cancelled", 0 }, { e:job(number).reason, e:job(number).exit_code })
    assert.is_true(lab.exists(box:folder(1) .. "/saved"))
    assert.equal("dependency", e:job(after).reason)
    running(e, other)
    lab.write(box:path "go", "")
    lab.run(e)
    assert.equal("done", e:job(other).state)
    assert.equal("cancelled", engine.probe(box.work, "t.job", box:hash(1), "job").reason)
  end)

  it("ends all that run, and what waits stays", function()
    local e = box:open(2)
    for i = 1, 3 do e:submit(box:spec(i, { "hang" })) end
    running(e, 1)
    running(e, 2)
    e:stop()
    e:cancel()
    lab.run(e)
    assert.same({ "cancelled", 15 }, { e:job(1).reason, e:job(1).signal })
    assert.same({ "cancelled", "unscheduled" }, { e:job(2).reason, e:job(3).state })
  end)

  it("of a job that waits is at once", function()
    local e = box:open(1)
    e:submit(box:spec(1, { "wait", box:path "go" }))
    local b = e:submit(box:spec(2))
    local c = e:submit(box:spec(3, {}, { deps = { b } }))
    e:cancel(b)
    assert.same({ "cancelled", "dependency" }, { e:job(b).reason, e:job(c).reason })
    lab.write(box:path "go", "")
    lab.run(e)
    assert.is_false(lab.exists(box:folder(2)))
  end)

  it("that comes with the order is not missed", function()
    local e = box:open(1)
    local number = e:submit(box:spec(1, { "hang" }))
    e:cancel(number)
    assert.equal("cancelled", lab.last(lab.run(e), number).reason)
  end)

  it("ends an orphan, by its supervisor", function()
    local driver = box:driver { box:spec(1, { "trap", "saved", "write", "up", "", "hang" }) }
    box:supervisor(1)
    driver:kill()
    local e = box:open(1)
    local number = e:submit(box:spec(1, {}))
    lab.eventually(function() return lab.exists(box:folder(1) .. "/up") end)
    e:cancel()
    local event = lab.last(lab.run(e), number)
    assert.same({ "cancelled", true }, { event.reason, event.elsewhere })
    assert.is_true(lab.exists(box:folder(1) .. "/saved"))
  end)

  it("of all leaves the jobs of another driver alone", function()
    local words = { "wait", box:path "go" }
    local driver = box:driver { box:spec(1, words) }
    box:supervisor(1)
    local e = box:open(1)
    local number = e:submit(box:spec(1, words))
    e:cancel()
    assert.equal("event", e:step(5))
    lab.drain(e)
    assert.equal("timeout", e:step(0.05))
    assert.equal("running", e:job(number).state)
    e:cancel(number) -- by its number it is meant
    assert.equal("cancelled", lab.last(lab.run(e), number).reason)
    assert.truthy(driver:wait():find("cancelled", 1, true))
  end)

  it("kills after the grace what ignores TERM, with all it started", function()
    local e = box:open(1)
    local number = e:submit(box:spec(1, { "ignore-term", "background", "bg", "daemon", "dm", "hang" }))
    lab.eventually(function() e:step(0.01) return lab.exists(box:folder(1) .. "/dm") end)
    local start = os.time()
    e:cancel(number)
    local event = lab.last(lab.run(e), number)
    assert.same({ "error", "cancelled", 9 }, { event.state, event.reason, event.signal })
    assert.is_true(os.time() - start >= 4)
    for _, name in ipairs { "bg", "dm" } do
      assert.is_false(lab.alive(tonumber(lab.read(box:folder(1) .. "/" .. name))))
    end
  end)
end)
