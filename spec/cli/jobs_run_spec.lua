-- Tasks as jobs, with the real program: what runs, what is reused, what is recorded, and what survives kill -9.

local cli = require "support.cli"
local config = require "xpm.config"

local LEDGER = [[
local function note(text)
  local f = assert(io.open(os.getenv "LEDGER", "a"))
  f:write(text, "\n")
  f:close()
end
]]

describe("jobs", function()
  local box
  before_each(function() box = cli.sandbox() end)
  after_each(function() box:close() end)

  local function run(...) return box:run({ "run-experiment", "--workdir", "w", ... }, { env = { LEDGER = box:at "ledger" } }) end
  local function ledger()
    local lines = {}
    for line in (box:read "ledger" or ""):gmatch "[^\n]+" do lines[#lines + 1] = line end
    table.sort(lines)
    return lines
  end
  local function glob(pattern) return (box:shell("ls -d " .. pattern .. " 2>/dev/null || :"):gsub("\n$", "")) end

  it("are run once: within a run, across runs and across experiments", function()
    box:write("experiment.lua", LEDGER .. [[
      local xpm = require "xpm"
      local Square = xpm.task { id = "math.square", params = { x = "integer" }, outputs = { y = "y.txt" },
        execute = function(task)
          note("square " .. task.x)
          local f = assert(io.open(task.y, "w")) f:write(task.x * task.x) f:close()
          print("squared")
        end }
      local Sum = xpm.task { id = "math.sum", params = { parts = xpm.list(Square) }, outputs = { total = "sum.txt" },
        execute = function(task)
          note("sum " .. #task.parts)
          local total = 0
          for _, part in ipairs(task.parts) do total = total + tonumber(io.open(part.y):read "a") end
          local f = assert(io.open(task.total, "w")) f:write(total) f:close()
        end }
      function run(helper, cfg)
        local parts = {}
        for i = 1, cfg.n do parts[i] = Square { x = xpm.tag(i) }:submit() end
        Square { x = 1 }:submit()
        local sum = Sum { parts = parts }:submit()
        local s = helper.xp:wait()
        print(s.total, s.reused, s.ran, #s.failed, io.open(sum.total):read "a")
      end]])
    box:write("a.yaml", "id: a\nn: 3\n")
    box:write("b.yaml", "id: b\nn: 4\n")
    local r = run("a.yaml")
    assert.same({ 0, "4\t0\t4\t0\t14\n" }, { r.code, r.out }, r.err)
    assert.same({ "square 1", "square 2", "square 3", "sum 3" }, ledger())
    assert.equal("4\t4\t0\t0\t14\n", run("a.yaml").out)
    assert.equal("5\t3\t2\t0\t30\n", run("b.yaml").out)
    assert.same({ "square 1", "square 2", "square 3", "square 4", "sum 3", "sum 4" }, ledger())

    -- the layout of DESIGN 6
    local done = glob "w/jobs/math.square/*/square.done"
    assert.equal(4, select(2, done:gsub("[^\n]+", "")))
    local folder = done:match("^(.-)/square.done")
    assert.same({ "params.json", "square.done", "square.out", "y.txt" },
      { box:shell("ls " .. folder):match "(%S+)\n(%S+)\n(%S+)\n(%S+)" })
    local params = config.parse_json(box:read(folder .. "/params.json"))
    assert.equal("math.square", params.task)
    assert.equal(folder:match "[^/]+$", params.identifier)
    local info = config.parse_json(box:read "w/xp/a/informations.json")
    local names = {}
    for name, one in config.pairs(info.runs) do
      names[#names + 1] = name
      assert.is_truthy(name:find "^%d%d%d%d%d%d%d%d_%d%d%d%d%d%d")
      assert.equal("done", one.status)
      assert.equal(box:shell("hostname"):match "%S+", one.hostname)
      assert.is_truthy(one.started_at:find "^%d+%-%d+%-%d+T%d+:%d+:%d+Z$")
    end
    assert.equal(2, #names)
    local run_folder = "w/xp/a/" .. names[2]
    assert.equal(names[2], box:shell("readlink w/xp/a/current"):match "%S+")
    local jobs = box:read(run_folder .. "/jobs.jsonl")
    assert.equal(4, select(2, jobs:gsub("\n", "")))
    assert.is_truthy(jobs:find('"tags": {"x": "1"}', 1, true), jobs)
    assert.equal(3, config.parse_json(box:read(run_folder .. "/configuration.json")).n)
    local environment = config.parse_json(box:read(run_folder .. "/environment.json"))
    assert.same({ "a", "NORMAL", "0.1.0" }, { environment.experiment, environment.run_mode, environment.versions.xpm })
    assert.is_truthy(box:exists(run_folder .. "/results"))

    -- and the listings see it
    r = box:run { "experiments", "list", "--workdir", "w" }
    local host = box:shell("hostname"):match "%S+"
    assert.equal(("a [%s] (4/4 jobs)\nb [%s] (5/5 jobs)\n"):format(host, host), r.out, r.err)
    local list = config.parse_json(box:run({ "jobs", "list", "--json", "--workdir", "w" }).out)
    assert.equal(6, #list)
    local prefix = folder:match "([^/]+)$":sub(1, 10)
    assert.equal("squared\n", box:run({ "--workdir", "w", "jobs", "log", prefix }).out)
  end)

  it("that fail do not stop the others; the summary tells; they run again the next time", function()
    box:write("experiment.lua", LEDGER .. [[
      local xpm = require "xpm"
      local Step = xpm.task { id = "step", params = { n = "integer" }, execute = function(task)
        note("step " .. task.n)
        if task.n == 2 and not os.getenv "FIXED" then
          io.stderr:write("before the end\n")
          error("no luck")
        end
      end }
      local After = xpm.task { id = "after", params = { step = Step },
        execute = function(task) note("after " .. task.step.n) end }
      function run(helper, cfg)
        local completed = 0
        for n = 1, 3 do
          local s = Step { n = n }:submit():on_completed(function(t) completed = completed + 1 end)
          After { step = s }:submit()
        end
        local s = helper.xp:wait()
        print(completed, s.done, #s.failed)
      end]])
    box:write("a.yaml", "id: a\n")
    local r = run("a.yaml")
    assert.same({ 1, "2\t4\t2\n" }, { r.code, r.out }, r.err)
    assert.is_truthy(r.err:find "6 jobs: 0 reused, 4 ran, 2 failed", r.err)
    assert.is_truthy(r.err:find("experiment.lua:11: no luck", 1, true), r.err)
    assert.is_truthy(r.err:find("/step.err", 1, true), r.err)
    assert.is_truthy(r.err:find("dependency", 1, true), r.err)
    assert.same({ "after 1", "after 3", "step 1", "step 2", "step 3" }, ledger())
    r = run("--env", "FIXED=1", "a.yaml")
    assert.same({ 0, "3\t6\t0\n" }, { r.code, r.out }, r.err)
    assert.same({ "after 1", "after 2", "after 3", "step 1", "step 2", "step 2", "step 3" }, ledger())
  end)

  it("may be commands, with numbers in their shortest form, and outputs that must be there", function()
    box:write("experiment.lua", [[
      local xpm = require "xpm"
      local Write = xpm.task { id = "write", params = { lr = "number", n = "integer",
          skip = { type = "boolean", default = false } },
        outputs = { file = "out.txt" },
        command = function(task)
          return { "sh", "-c", task.skip and ":" or 'pwd; echo "$1 $2 $OMP" >"$3"', "sh", task.lr, task.n, task.file }
        end }
      xpm.setenv("OMP", "4")
      function run(helper, cfg)
        local a = Write { lr = 1e-4, n = 3 }:submit()
        local b = Write { lr = 1, n = 3, skip = true }:submit()
        helper.xp:wait()
        print(io.open(a.file):read "a", a.state, b.state, b.xpm_job.reason)
      end]])
    box:write("a.yaml", "id: a\n")
    local r = run("a.yaml")
    assert.equal("0.0001 3 4\n\tdone\terror\tmissing_outputs\n", r.out, r.err)
    assert.equal(1, r.code)
    local out = glob "w/jobs/write/*/write.out"
    assert.equal(box:at(out:match "^(.*)/"), (box:read(out):gsub("\n", "")))
  end)

  it("load the real modules, not the mocks, and do not call run", function()
    box:write("heavy.lua", "return { value = 42 }")
    box:write("pre.lua", "require('xpm').mock_modules { 'heavy' }")
    box:write("experiment.lua", [[
      local xpm = require "xpm"
      local heavy = require "heavy"
      local T = xpm.task { id = "t", execute = function() print("value", heavy.value) end }
      function run(helper, cfg) print("driver", heavy.value) T {}:submit() end]])
    box:write("a.yaml", "id: a\npre_experiment: pre.lua\n")
    local r = run("a.yaml")
    assert.same({ 0, "driver\theavy.value\n" }, { r.code, r.out }, r.err)
    assert.equal("value\t42\n", box:read(glob "w/jobs/t/*/t.out"))
  end)

  it("show their progress while they run, and lose it at the end", function()
    box:write("experiment.lua", [[
      local xpm = require "xpm"
      local T = xpm.task { id = "t", execute = function(task)
        task:progress(0.3, "epoch 3")
        task:progress(0.5, "batch 1", 1)
        local wait = io.open(os.getenv "LEDGER" .. ".fifo")
        wait:read "a"
      end }
      function run(helper, cfg) T {}:submit() end]])
    box:write("a.yaml", "id: a\n")
    box:shell "mkfifo ledger.fifo"
    local p = box:start({ "run-experiment", "--workdir", "w", "a.yaml" }, { env = { LEDGER = box:at "ledger" } })
    local path
    cli.eventually(function()
      path = glob "w/jobs/t/*/t.progress"
      return path ~= "" and (box:read(path) or ""):find "epoch"
    end)
    local levels = config.parse_json(box:read(path))
    assert.same({ level = 0, progress = 0.3, desc = "epoch 3" }, levels[1])
    local list = config.parse_json(box:run({ "jobs", "list", "--json", "--workdir", "w" }).out)
    assert.equal("running", list[1].state)
    box:write("go", "")
    box:shell "cat go >ledger.fifo"
    assert.equal(0, p:wait(20).code)
    assert.is_false(box:exists(path))
  end)

  it("in DRY_RUN are shown and nothing is written; in GENERATE_ONLY only their folders are made", function()
    box:write("experiment.lua", LEDGER .. [[
      local xpm = require "xpm"
      local A = xpm.task { id = "a", params = { n = "integer" }, execute = function(task) note("a") end }
      local B = xpm.task { id = "b", params = { a = A }, execute = function(task) note("b") end }
      function run(helper, cfg)
        B { a = A { n = xpm.tag(1) }:submit() }:submit()
        helper.xp:wait()
        print("after wait")
      end]])
    box:write("a.yaml", "id: a\n")
    local r = run("--run-mode", "dry-run", "a.yaml")
    assert.equal(0, r.code, r.err)
    assert.is_truthy(r.out:find "a/%x%x%x%x%x%x%x%x", r.out)
    assert.is_truthy(r.out:find "b/%x%x%x%x%x%x%x%x", r.out)
    assert.is_nil(r.out:find "after wait")
    assert.is_false(box:exists "w")
    r = run("--run-mode", "generate_only", "a.yaml")
    assert.equal(0, r.code, r.err)
    assert.equal("params.json\n", box:shell "ls w/jobs/b/*")
    assert.same({}, ledger())
    r = run("a.yaml")
    assert.same({ 0, "after wait\n" }, { r.code, r.out }, r.err)
    assert.same({ "a", "b" }, ledger())
    assert.equal("after wait\n", run("--run-mode", "DRY_RUN", "a.yaml").out:match "^after wait\n")
    assert.equal(2, run("--run-mode", "dri-run", "a.yaml").code)
  end)

  it("survive kill -9 of the driver: nothing runs twice, nothing is missing", function()
    box:write("experiment.lua", LEDGER .. [[
      local xpm = require "xpm"
      local T = xpm.task { id = "t", params = { n = "integer" }, execute = function(task)
        note("start " .. task.n)
        local f = io.open(os.getenv "LEDGER" .. ".go")
        while not f do os.execute "sleep 0.02" f = io.open(os.getenv "LEDGER" .. ".go") end
        note("end " .. task.n)
      end }
      function run(helper, cfg)
        for n = 1, 5 do T { n = n }:submit() end
      end]])
    box:write("a.yaml", "id: a\n")
    local function start()
      return box:start({ "run-experiment", "--workdir", "w", "-j", "2", "a.yaml" }, { env = { LEDGER = box:at "ledger" } })
    end
    local first = start()
    cli.eventually(function() return #ledger() == 2 end)
    first:kill "KILL"
    cli.eventually(function() return not first:running() end)
    local second = start()
    cli.eventually(function() return second:err():find "run %d+_%d+" end)
    box:write("ledger.go", "")
    local r = second:wait(30)
    assert.equal(0, r.code, r.err)
    local want = {}
    for n = 1, 5 do want[n] = "end " .. n end
    for n = 1, 5 do want[5 + n] = "start " .. n end
    assert.same(want, ledger())
    assert.is_truthy(r.err:find "5 jobs: ", r.err)
    local info = config.parse_json(box:read "w/xp/a/informations.json")
    local statuses = {}
    for _, one in config.pairs(info.runs) do statuses[#statuses + 1] = one.status end
    assert.same({ "interrupted", "done" }, statuses)
  end)

  it("that run under another driver are waited for; the same experiment waits for its lock or says so", function()
    box:write("experiment.lua", LEDGER .. [[
      local xpm = require "xpm"
      local T = xpm.task { id = "t", execute = function(task)
        note("start")
        local f = io.open(os.getenv "LEDGER" .. ".go")
        while not f do os.execute "sleep 0.02" f = io.open(os.getenv "LEDGER" .. ".go") end
      end }
      function run(helper, cfg) T {}:submit() end]])
    box:write("a.yaml", "id: a\n")
    box:write("b.yaml", "id: b\n")
    local function start(file)
      return box:start({ "run-experiment", "--workdir", "w", file }, { env = { LEDGER = box:at "ledger" } })
    end
    local one = start "a.yaml"
    cli.eventually(function() return #ledger() == 1 end)
    local two = start "b.yaml"
    cli.eventually(function() return two:err():find "run %d+_%d+" end)
    local r = run("--no-wait", "a.yaml")
    assert.equal(4, r.code)
    assert.is_truthy(r.err:find("experiment a is already running", 1, true), r.err)
    box:write("ledger.go", "")
    assert.equal(0, one:wait(20).code)
    assert.equal(0, two:wait(20).code)
    assert.same({ "start" }, ledger())
  end)

  it("go on after SIGINT, SIGTERM and SIGHUP, which say so and exit 130", function()
    box:write("experiment.lua", LEDGER .. [[
      local xpm = require "xpm"
      local T = xpm.task { id = "t", params = { n = "integer" }, execute = function(task)
        note("start")
        local f = io.open(os.getenv "LEDGER" .. ".go")
        while not f do os.execute "sleep 0.02" f = io.open(os.getenv "LEDGER" .. ".go") end
        note("end")
      end }
      function run(helper, cfg) T { n = cfg.n }:submit() T { n = -cfg.n }:submit() end]])
    for i, signal in ipairs { "INT", "TERM", "HUP" } do
      box:shell "rm -f ledger ledger.go"
      box:write("a.yaml", ("id: a\nn: %d\n"):format(i))
      local p = box:start({ "run-experiment", "--workdir", "w", "-j1", "a.yaml" }, { env = { LEDGER = box:at "ledger" } })
      cli.eventually(function() return #ledger() == 1 end)
      p:kill(signal)
      local r = p:wait(20)
      assert.equal(130, r.code, r.err)
      assert.is_truthy(r.err:find "1 job goes on; the same command comes back to it", r.err)
      box:write("ledger.go", "")
      cli.eventually(function() return #ledger() == 2 end)
      r = run("a.yaml")
      assert.equal(0, r.code, r.err)
      assert.same({ "end", "end", "start", "start" }, ledger())
    end
    -- and in the middle of the user's own code
    box:write("experiment.lua", "function run(h, c) print 'in' io.stdout:flush() while true do end end")
    local p = box:start { "run-experiment", "--workdir", "w", "a.yaml" }
    cli.eventually(function() return p:out():find "in" end)
    p:kill "INT"
    local r = p:wait(20)
    assert.equal(130, r.code)
    assert.is_truthy(r.err:find "interrupted: no job is running", r.err)
  end)

  it("are refused when a process of their own would not know them", function()
    box:write("a.yaml", "id: a\n")
    box:write("experiment.lua", [[
      local xpm = require "xpm"
      function run(helper, cfg)
        local T = xpm.task { id = "t", execute = function() end }
        T {}:submit()
      end]])
    local r = run("a.yaml")
    assert.equal(3, r.code)
    assert.is_truthy(r.err:find("experiment.lua:4: task t cannot run in a process of its own: it is defined inside a function",
      1, true), r.err)
  end)

  it("warn when a value that does not count differs from the finished job's", function()
    box:write("a.yaml", "id: a\nthreads: 1\n")
    box:write("experiment.lua", [[
      local xpm = require "xpm"
      local T = xpm.task { id = "t", params = { threads = { type = "integer", meta = true } }, execute = function() end }
      function run(helper, cfg) T { threads = cfg.threads }:submit() end]])
    assert.is_nil(run("a.yaml").err:find "threads")
    assert.is_nil(run("a.yaml").err:find "threads")
    assert.is_truthy(run("-c", "threads=8", "a.yaml").err:find("with threads = 1 (now 8)", 1, true))
  end)

  it("run from a plain Lua script, as a scope or a function; an error in the body lets them go on", function()
    box:write("script.lua", LEDGER .. [[
      local xpm = require "xpm"
      local T = xpm.task { id = "t", params = { n = "integer" }, execute = function(task) note("t " .. task.n) end }
      local ok, first = pcall(xpm.experiment, arg[1] .. "/w", "script0", { dirty_git = "error" })
      if not ok then os.exit(9) end
      first:close()
      do
        local xp <close> = xpm.experiment(arg[1] .. "/w", "script", { jobs = 2 })
        for n = 1, 3 do T { n = n }:submit() end
      end
      local state = xpm.with_experiment(arg[1] .. "/w", "script2", function(xp)
        local t = T { n = 1 }:submit()
        xp:wait()
        return t.state
      end)
      print("state", state, xpm.current())
      print(pcall(xpm.with_experiment, arg[1] .. "/w", "script3", function() error("mine", 0) end))
      print(pcall(function() T { n = 9 }:submit() end))]])
    local lib = cli.build .. "/lib"
    local script = ("LEDGER=$PWD/ledger LUA_PATH='%s/lua/?.lua;%s/lua/?/init.lua;;' LUA_CPATH='%s/?.so;;' "
      .. "lua5.4 script.lua . 2>&1"):format(cli.root, cli.root, lib)
    local out = box:shell(script)
    assert.equal("state\tdone\tnil\nfalse\tmine\nfalse\tscript.lua:22: task t: there is no open experiment to submit to\n", out)
    assert.same({ "t 1", "t 2", "t 3" }, ledger())
  end)
end)
