-- `xpm experiments list`, `xpm jobs ...` and `xpm workspaces list` on a workspace with jobs that the engine has run.

local cli = require "support.cli"
local config = require "xpm.config"
local engine = require "xpm.engine"
local sys = require "xpm.sys"

local DONE, FAILED, RUNNING, NEVER = ("1a"):rep(32), ("2b"):rep(32), ("3c"):rep(32), ("1a3c"):rep(16)

describe("listings", function()
  local box, w, handle, running, gate

  -- Turns the engine until it has told a state of a job.
  local function turn_until(number, state)
    local deadline = sys.monotonic() + 20
    repeat
      handle:step(0.1)
      for event in function() return handle:next_event() end do
        if event.job == number and event.state == state then return end
      end
    until sys.monotonic() > deadline
    error("the job did not become " .. state)
  end

  local function job_line(task, hash, name, tags, at)
    return config.encode_json { task = task, hash = hash, name = name, tags = tags, submitted_at = at } .. "\n"
  end

  setup(function()
    box = cli.sandbox()
    w = box:at "work"
    box:shell "mkdir work && mkfifo go"
    gate = assert(io.open(box:at "go", "r+")) -- the job that reads it ends with this process, if not before
    handle = assert(engine.open { workdir = w, jobs = 4 })
    local function submit(task, hash, script)
      return (handle:submit { task = task, hash = hash, name = task:match "[^.]*$", argv = { "/bin/sh", "-c", script },
        params = "{}" })
    end
    local first = submit("digits.train", DONE, [[printf 'one\ntwo \033[31mred\nthree\n'; echo problem >&2]])
    turn_until(first, "done")
    local second = submit("digits.train", FAILED, "echo no >&2; exit 3")
    turn_until(second, "error")
    running = submit("digits.evaluate", RUNNING, "read line < " .. box:at "go")
    turn_until(running, "running")
    box:write("work/jobs/digits.evaluate/" .. RUNNING .. "/evaluate.progress",
      '[{"level": 0, "progress": 0.5, "desc": "epoch 3\\u001b[2J"}, {"level": 1, "progress": 0.25}]')

    box:write("work/xp/digits/informations.json", [[{"version": 1, "runs": {"20260101_120000": {"hostname": "node1",
      "started_at": "2026-01-01T12:00:00Z", "status": "running"}}}]])
    box:write("work/xp/digits/20260101_120000/jobs.jsonl", table.concat {
      job_line("digits.train", DONE, "train", { lr = "0.1", seed = "1" }, 10),
      job_line("digits.train", FAILED, "train", { lr = "\27[31m0.2" }, 11),
      job_line("digits.evaluate", RUNNING, "evaluate", nil, 12),
      job_line("digits.train", NEVER, "train", nil, 13) })
    box:write("work/xp/other/informations.json", [[{"version": 1, "runs": {"20260101_120000": {"hostname": "node\u001b[2J2",
      "started_at": "2026-01-01T12:00:00Z", "status": "failed"}}}]])
    box:write("work/xp/other/20260101_120000/jobs.jsonl", job_line("digits.train", FAILED, "train", nil, 5))
  end)

  teardown(function()
    gate:write "go\n"
    gate:close()
    turn_until(running, "done")
    handle:close()
    box:close()
  end)

  local function xpm(...)
    local r = box:run { "--workdir", "work", ... }
    assert.equal(0, r.code, r.err)
    return r.out, r.err
  end

  local function rows(text)
    local out = {}
    for line in text:gmatch "[^\n]+" do
      local row = {}
      for cell in (line .. "  "):gmatch "(.-)%s%s+" do row[#row + 1] = cell end
      out[#out + 1] = row
    end
    return out
  end

  it("shows experiments with host and jobs done, from the files alone", function()
    assert.equal("digits [node1] (1/4 jobs)\nother [node2] (0/1 jobs)\n", (xpm("experiments", "list")))
    assert.equal("digits [node1] (1/4 jobs)\nother [node2] (0/1 jobs)\n",
      box:run({ "experiments", "--workdir", "work", "list" }).out)
    local list = config.parse_json((xpm("experiments", "list", "--json")))
    assert.same({ "digits", "20260101_120000", 1, "node1", "running", "2026-01-01T12:00:00Z", 1, 1, 4 },
      { list[1].experiment, list[1].run, list[1].runs, list[1].hostname, list[1].status, list[1].started_at,
        list[1].done, list[1].failed, list[1].total })
    assert.is_false(box:exists "work/.xpm/workspace.db") -- who lists does not write
  end)

  it("prints an empty list for an empty workspace", function()
    box:shell "mkdir -p empty"
    assert.equal("", box:run({ "experiments", "list", "--workdir", "empty" }).out)
    assert.equal("[]\n", box:run({ "experiments", "list", "--workdir", "empty", "--json" }).out)
    assert.equal("[]\n", box:run({ "jobs", "list", "--workdir", "empty", "--json" }).out)
  end)

  it("shows jobs, newest first", function()
    local out = rows((xpm("jobs", "list")))
    assert.same({ "STATE", "TASK", "HASH", "TAGS", "TIME", "HOST", "PROGRESS" }, out[1])
    assert.same({ "waiting", "digits.train", "1a3c1a3c" }, out[2])
    assert.same({ "running", "digits.evaluate", "3c3c3c3c" }, { out[3][1], out[3][2], out[3][3] })
    assert.equal("50% epoch 3 > 25%", out[3][#out[3]])
    assert.same({ "error (failed)", "digits.train", "2b2b2b2b", "lr=0.2" }, { table.unpack(out[4], 1, 4) })
    assert.same({ "done", "digits.train", "1a1a1a1a", "lr=0.1 seed=1" }, { table.unpack(out[5], 1, 4) })
    assert.equal(sys.hostname(), out[5][6])
    assert.equal(5, #out)
  end)

  it("filters and limits jobs, also as JSON", function()
    local function hashes(...)
      local out = {}
      for i, job in ipairs(config.parse_json((xpm("jobs", "list", "--json", ...)))) do out[i] = job.hash:sub(1, 4) end
      return table.concat(out, " ")
    end
    assert.equal("1a3c 3c3c 2b2b 1a1a", hashes())
    assert.equal("1a3c 3c3c", hashes("--limit", "2"))
    assert.equal("2b2b", hashes("--experiment", "other"))
    assert.equal("2b2b", hashes("--state", "error"))
    assert.equal("3c3c", hashes("--task", "digits.evaluate"))
    local job = config.parse_json((xpm("jobs", "list", "--json", "--state", "error")))[1]
    assert.same({ "failed", 3, { "digits", "other" }, w .. "/jobs/digits.train/" .. FAILED },
      { job.reason, job.exit_code, { table.unpack(job.experiments) }, job.path })
    assert.is_truthy(job.started_at:find "^20%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%dZ$")
    local progress = config.parse_json((xpm("jobs", "list", "--json", "--state", "running")))[1].progress
    assert.same({ 0, 0.5, 0.25 }, { progress[1].level, progress[1].progress, progress[2].progress })
  end)

  it("names the nearest experiment", function()
    local r = box:run { "--workdir", "work", "jobs", "list", "--experiment", "digit" }
    assert.same({ 4, "xpm: no experiment 'digit' in " .. w .. ", did you mean 'digits'?\n" }, { r.code, r.err })
  end)

  it("prints logs as they are", function()
    assert.equal("==> train.out <==\none\ntwo \27[31mred\nthree\n\n==> train.err <==\nproblem\n", (xpm("jobs", "log", "1a1a")))
    assert.equal("one\ntwo \27[31mred\nthree\n", (xpm("jobs", "log", "1a1a", "--out")))
    assert.equal("problem\n", (xpm("jobs", "log", "digits.train/1a1a", "--err")))
    assert.equal("three\n", (xpm("jobs", "log", "1a1a", "--out", "--tail", "1")))
    assert.equal("no\n", (xpm("jobs", "log", w .. "/jobs/digits.train/" .. FAILED)))
    local out, err = xpm("jobs", "log", "digits.evaluate")
    assert.same({ "", "digits.evaluate/3c3c3c3c has printed nothing (it is running)\n" }, { out, err })
  end)

  it("takes escape sequences out of logs for a terminal", function()
    local log = cli.quote(cli.program) .. " --workdir work jobs log 1a1a --out"
    local shown = box:shell(("script -qec %s /dev/null </dev/null"):format(cli.quote(log)))
    assert.equal("one\ntwo red\nthree\n", (shown:gsub("\r", "")))
  end)

  it("prints a job's folder", function()
    assert.equal(w .. "/jobs/digits.train/" .. DONE .. "\n", (xpm("jobs", "path", "1a1a1")))
  end)

  it("lists the candidates of an ambiguous job, and the nearest task of an unknown one", function()
    box:shell("mkdir -p work/jobs/digits.train/" .. NEVER)
    local r = box:run { "--workdir", "work", "jobs", "path", "1a" }
    assert.equal(2, r.code)
    assert.equal("xpm: '1a' means 2 jobs:\n  digits.train/1a1a1a1a1a1a1a1a\n  digits.train/1a3c1a3c1a3c1a3c\n"
      .. "hint: give more of the hash\n", r.err)
    r = box:run { "--workdir", "work", "jobs", "log", "digits.trian/1a" }
    assert.equal(2, r.code)
    assert.is_truthy(r.err:find("did you mean the task 'digits.train'?", 1, true), r.err)
  end)

  it("finds the workspace by the settings", function()
    box:write("c/settings.yaml", "workspaces:\n- {id: main, path: " .. w .. ", triggers: ['a*']}\n"
      .. "- {id: next, path: ../empty}\n")
    box:shell "mkdir -p empty"
    local r = box:run { "--xpm-config-dir", "c", "experiments", "list" }
    assert.same({ 0, "digits [node1] (1/4 jobs)\nother [node2] (0/1 jobs)\n" }, { r.code, r.out }, r.err)
    r = box:run { "experiments", "list", "--workspace", "nxt", "--xpm-config-dir", "c" }
    assert.same({ 4, "xpm: unknown workspace 'nxt', did you mean 'next'?\n" }, { r.code, r.err })
    r = box:run { "workspaces", "list", "--xpm-config-dir", "c" }
    assert.same({ { "main", w, "a*" }, { "next", box:at "empty" } }, rows(r.out))
    local list = config.parse_json(box:run({ "workspaces", "list", "--json", "--xpm-config-dir", "c" }).out)
    assert.same({ "main", "a*", "next" }, { list[1].id, list[1].triggers[1], list[2].id })
    r = box:run { "workspaces", "list" }
    assert.same({ 0, "" }, { r.code, r.out })
    assert.is_truthy(r.err:find "^no workspaces in ")
  end)
end)

describe("listings after real runs", function()
  local box
  setup(function() box = cli.sandbox() end)
  teardown(function() box:close() end)

  it("are the same from the index and from the files", function()
    box:write("experiment.lua", [[
      local xpm = require "xpm"
      local T = xpm.task { id = "demo.echo", params = { n = "integer" },
        command = function(t) return { "/bin/sh", "-c", t.n == 2 and "exit 1" or "echo out" } end }
      function run(helper, cfg)
        for i = 1, cfg.n do T { n = xpm.tag(i) }:submit() end
      end
    ]])
    box:write("full.yaml", "id: demo\nn: 3\n")
    local r = box:run { "--workdir", "w", "run-experiment", "full.yaml", "-j2" }
    assert.equal(1, r.code, r.err)
    assert.is_truthy(r.err:find("3 jobs: 0 reused, 2 ran, 1 failed in ", 1, true), r.err)
    assert.equal(1, box:run({ "run-experiment", "--workdir", "w", "full.yaml" }).code)
    local listings = { { "experiments", "list" }, { "experiments", "list", "--json" }, { "jobs", "list" },
      { "jobs", "list", "--state", "error", "--json" }, { "jobs", "list", "--limit", "1" } }
    local function all()
      local out = {}
      for i, args in ipairs(listings) do
        local said = box:run({ "--workdir", "w", table.unpack(args) })
        assert.equal(0, said.code, said.err)
        out[i] = said.out
      end
      return out
    end
    assert.is_true(box:exists "w/.xpm/workspace.db")
    local by_index = all()
    assert.equal(("demo [%s] (2/3 jobs)\n"):format(sys.hostname()), by_index[1])
    assert.equal(4, select(2, by_index[3]:gsub("\n", "")))
    box:shell "rm -r w/.xpm"
    assert.same(by_index, all())
  end)

  it("show a dry run without a trace", function()
    local r = box:run { "run-experiment", "--workdir", "fresh", "--run-mode", "dry-run", "full.yaml" }
    assert.equal(0, r.code, r.err)
    assert.is_truthy(r.out:find "^would run  demo%.echo/%x%x%x%x%x%x%x%x  n=1\n")
    assert.is_truthy(r.out:find "\n3 jobs: 0 reused, 3 would run\n$")
    assert.is_false(box:exists "fresh")
  end)
end)
