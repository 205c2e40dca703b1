local db = require "xpm.db"
local sys = require "xpm.sys"

local folder, count = nil, 0

local function output(command)
  local p = assert(io.popen(command))
  local text = p:read "a"
  local _, _, status = p:close()
  return text, status
end

local function hash(n) return ("%064x"):format(n) end
-- As random as real ones, for many jobs: those of `hash` begin alike.
local function spread(n) return ("%016x"):format(n * 0x9e3779b97f4a7c15):rep(4) end

local function fresh()
  count = count + 1
  return ("%s/w%d/.xpm/workspace.db"):format(folder, count)
end

local function writer(path) return assert(db.open(path or fresh(), { mode = "write" })) end

-- { total, done, failed } of a run.
local function counters(index, experiment, run)
  for _, r in ipairs(assert(index:runs(experiment))) do
    if r.run == run then return { r.total, r.done, r.failed } end
  end
end

-- What the counters must be, counted.
local function counted(index, experiment, run)
  local n = { 0, 0, 0 }
  for _, j in ipairs(assert(index:jobs { experiment = experiment, run = run })) do
    n[1] = n[1] + 1
    if j.state == "done" then n[2] = n[2] + 1 end
    if j.state == "error" then n[3] = n[3] + 1 end
  end
  return n
end

local function check_counters(index)
  for _, r in ipairs(assert(index:runs())) do
    assert.are.same(counted(index, r.experiment, r.run), { r.total, r.done, r.failed }, r.experiment .. "/" .. r.run)
  end
end

local function refused(code, ok, message, got)
  assert.is_nil(ok)
  assert.is_string(message)
  assert.are.equal(code, got, message)
  return message
end

local function raises(text, f, ...)
  local ok, message = pcall(f, ...)
  assert.is_false(ok)
  assert.is_truthy(tostring(message):find(text, 1, true), message)
end

local function hashes(list)
  local out = {}
  for i, j in ipairs(list) do out[i] = tonumber(j.hash, 16) end
  return out
end

setup(function() folder = output("mktemp -d"):gsub("\n", "") end)
teardown(function() os.execute("rm -rf '" .. folder .. "'") end)

describe("opening", function()
  it("to write makes folder, file and tables; to read finds them", function()
    local path = fresh()
    local index = writer(path)
    assert.are.same({}, index:experiments())
    assert.are.same({}, index:jobs())
    index:close()
    local reader = assert(db.open(path))
    assert.are.same({}, reader:experiments())
    assert.are.same({}, reader:runs())
    reader:close()
    assert(db.open(path, { mode = "read" })):close()
    writer(path):close()
  end)

  it("a missing or empty file to read is not_found, and is not made", function()
    local path = fresh()
    assert.is_truthy(refused("not_found", db.open(path)):find(path, 1, true))
    assert.is_nil(sys.stat(path))
    sys.mkdirs(path:match "^(.*)/")
    sys.write(path, "")
    refused("not_found", db.open(path))
    assert.are.equal(0, select(2, sys.stat(path)))
    writer(path):close() -- to write it is a beginning
    assert(db.open(path)):close()
  end)

  it("what is no database, cut, or another program's is corrupt, and stays as it was", function()
    local path = fresh()
    local index = writer(path)
    for i = 1, 20 do index:put_jobs("e", "r", { { task = "t" .. i, hash = hash(i), tags = { long = ("x"):rep(3000) } } }) end
    assert(index:checkpoint())
    index:close()
    os.remove(path .. "-wal")
    os.remove(path .. "-shm")
    local good = sys.read(path)
    assert(#good > 20000)
    for what, bytes in pairs { text = ("no database\n"):rep(1000), short = "SQLite format 3\0", half = good:sub(1, #good // 2),
      cut = good:sub(1, 4096), odd = good:sub(1, 700) } do
      local broken = fresh()
      sys.mkdirs(broken:match "^(.*)/")
      for _, mode in ipairs { "read", "write" } do
        sys.write(broken, bytes)
        assert.is_truthy(refused("corrupt", db.open(broken, { mode = mode })):find(broken, 1, true), what)
        assert.are.equal(bytes, sys.read(broken), what)
      end
    end
    local other = fresh()
    sys.mkdirs(other:match "^(.*)/")
    sys.write(other, (good:gsub("xpm1", "none", 1)))
    refused("corrupt", db.open(other))
    refused("corrupt", db.open(other, { mode = "write" }))
  end)

  it("damage in the middle is corrupt when it is met", function()
    local path = fresh()
    local index = writer(path)
    local rows = {}
    for i = 1, 500 do rows[i] = { task = "t", hash = hash(i), tags = { name = ("x"):rep(50) } } end
    assert(index:put_jobs("e", "r", rows))
    assert(index:checkpoint())
    index:close()
    os.remove(path .. "-wal")
    os.remove(path .. "-shm")
    local good = sys.read(path)
    sys.write(path, good:sub(1, 4096) .. ("\255"):rep(#good - 4096))
    local broken = assert(db.open(path))
    refused("corrupt", broken:jobs())
    refused("corrupt", broken:experiments())
    refused("corrupt", broken:query "SELECT count(*) FROM jobs")
    broken:close()
    broken = assert(db.open(path, { mode = "write" }))
    refused("corrupt", broken:put_jobs("e", "r", rows))
    refused("corrupt", broken:put_run { experiment = "e", run = "r" })
    broken:close()
  end)

  it("an index of a newer xpm is version, and stays as it was", function()
    local path = fresh()
    local index = writer(path)
    index:checkpoint()
    index:close()
    os.remove(path .. "-wal")
    os.remove(path .. "-shm")
    local bytes = sys.read(path)
    assert.are.equal(1, (">I4"):unpack(bytes, 61))
    local newer = bytes:sub(1, 60) .. (">I4"):pack(2) .. bytes:sub(65)
    sys.write(path, newer)
    assert.is_truthy(refused("version", db.open(path)):find("format 2", 1, true))
    refused("version", db.open(path, { mode = "write" }))
    assert.are.equal(newer, sys.read(path))
  end)

  it("where there can be no file is io", function()
    refused("io", db.open(folder))
    refused("io", db.open(folder, { mode = "write" }))
    sys.write(folder .. "/file", "x")
    refused("io", db.open(folder .. "/file/workspace.db", { mode = "write" }))
    refused("io", db.open(folder .. "/file/.xpm/workspace.db", { mode = "write" }))
    refused("not_found", db.open(folder .. "/file/workspace.db"))
  end)

  it("uses a WAL, but not on network file systems, where it turns one back", function()
    local path = fresh()
    local index = writer(path)
    assert.are.equal("wal", index:query("PRAGMA journal_mode")[1].journal_mode)
    index:put_run { experiment = "e", run = "r" }
    assert.are.equal("file", (sys.stat(path .. "-wal")))
    index:close()
    index = assert(db.open(path, { mode = "write", network = true }))
    assert.are.equal("delete", index:query("PRAGMA journal_mode")[1].journal_mode)
    index:put_run { experiment = "e", run = "s" }
    assert.is_nil(sys.stat(path .. "-wal"))
    assert.are.equal(2, #index:runs "e")
    assert.is_true(index:checkpoint())
    index:close()
  end)

  it("to read changes no byte of the file, and closing moves no WAL", function()
    local path = fresh()
    local index = writer(path)
    index:put_jobs("e", "r", { { task = "t", hash = hash(1) } })
    local before = sys.read(path)
    index:close()
    local wal = sys.read(path .. "-wal")
    assert.is_true(#wal > 0)
    local reader = assert(db.open(path))
    assert.are.equal(1, #reader:jobs())
    reader:close()
    assert.are.equal(before, sys.read(path))
    assert.are.equal(wal, sys.read(path .. "-wal"))
  end)

  it("takes only the options there are", function()
    raises("unknown option 'modes' (allowed: mode, network, patience)", db.open, fresh(), { modes = "read" })
    raises("mode", db.open, fresh(), { mode = "append" })
    raises("mode", db.open, fresh(), { mode = true })
    raises("network", db.open, fresh(), { network = 1 })
    for _, bad in ipairs { -1, 1e9, "1", 0 / 0 } do raises("patience", db.open, fresh(), { patience = bad }) end
    raises("path", db.open, "")
    raises("path", db.open, "a\0b")
    raises("string", db.open, 12)
    raises("string", db.open)
    raises("table", db.open, fresh(), "write")
    assert.is_truthy(db.version():match "^3%.%d+%.%d+$")
  end)
end)

describe("a handle", function()
  it("may be closed twice, and is closed after that", function()
    local index = writer()
    assert.is_truthy(tostring(index):match "^xpm%.db %(open%): ")
    index:close()
    index:close()
    assert.is_truthy(tostring(index):match "^xpm%.db %(closed%): ")
    for _, call in ipairs {
      function() index:put_run { experiment = "e", run = "r" } end, function() index:put_jobs("e", "r", {}) end,
      function() index:experiments() end, function() index:runs() end, function() index:jobs() end,
      function() index:query "SELECT 1" end, function() index:checkpoint() end, function() index:wal_size() end,
    } do raises("xpm.db is closed", call) end
    raises("xpm.db", index.close, {})
  end)

  it("closes at the end of its block and when it is collected", function()
    local path = fresh()
    local kept = writer(path)
    do
      local index <close> = kept
      assert.are.same({}, index:jobs())
    end
    raises("xpm.db is closed", kept.jobs, kept)
    local open = ("ls -l /proc/%d/fd | grep -c '%s'"):format(sys.pid(), path)
    local lost = writer(path)
    assert.are_not.equal("0\n", (output(open)))
    assert.is_userdata(lost)
    lost = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    assert.are.equal("0\n", (output(open)))
  end)

  it("may be closed by a finalizer while a listing is built", function()
    local index = writer()
    local rows = {}
    for i = 1, 2000 do rows[i] = { task = "t", hash = spread(i) } end
    index:put_jobs("e", "r", rows)
    for _ = 1, 50 do setmetatable({}, { __gc = function() index:close() end }) end
    local ok, list = pcall(index.jobs, index)
    assert.is_true(ok and #list == 2000 or not ok and list:find "xpm.db is closed" ~= nil)
    collectgarbage()
    raises("xpm.db is closed", index.jobs, index)
  end)

  it("opened to read does not write", function()
    local path = fresh()
    writer(path):close()
    local index <close> = assert(db.open(path))
    raises("opened to read", index.put_run, index, { experiment = "e", run = "r" })
    raises("opened to read", index.put_jobs, index, "e", "r", {})
    raises("opened to read", index.checkpoint, index)
  end)
end)

describe("runs", function()
  it("are inserted and completed field by field", function()
    local index <close> = writer()
    assert.is_true(index:put_run { experiment = "e", run = "20260101_120000", hostname = "h", started_at = 100.25 })
    local row = { experiment = "e", run = "20260101_120000", hostname = "h", started_at = 100.25, done = 0, total = 0,
      failed = 0 }
    assert.are.same({ row }, index:runs "e")
    assert.is_true(index:put_run { experiment = "e", run = "20260101_120000", status = "done", ended_at = 200 })
    row.status, row.ended_at = "done", 200.0
    assert.are.same({ row }, index:runs())
    assert.are.equal("float", math.type(index:runs()[1].ended_at))
    row.runs = 1
    assert.are.same({ row }, index:experiments())
    assert.are.same({}, index:runs "other")
  end)

  it("are sorted by experiment and time, the number of a second one counted as such", function()
    local index <close> = writer()
    local names = { "20260101_120000", "20260101_120000.1", "20260101_120000.2", "20260101_120000.10", "20260101_120001" }
    for _, i in ipairs { 4, 2, 5, 1, 3 } do index:put_run { experiment = "b", run = names[i] } end
    index:put_run { experiment = "a", run = "20270101_000000" }
    local got = {}
    for i, r in ipairs(index:runs()) do got[i] = r.experiment .. "/" .. r.run end
    assert.are.same({ "a/20270101_000000", "b/" .. names[1], "b/" .. names[2], "b/" .. names[3], "b/" .. names[4],
      "b/" .. names[5] }, got)
    local list = index:experiments()
    assert.are.same({ "a", "20270101_000000", 1 }, { list[1].experiment, list[1].run, list[1].runs })
    assert.are.same({ "b", "20260101_120001", 5 }, { list[2].experiment, list[2].run, list[2].runs })
  end)

  it("are checked", function()
    local index <close> = writer()
    raises("'run' is missing", index.put_run, index, { experiment = "e" })
    raises("'experiment' is missing", index.put_run, index, { run = "e" })
    raises("'experiment' is empty", index.put_run, index, { experiment = "", run = "r" })
    raises("'run' must be a string, is number", index.put_run, index, { experiment = "e", run = 1 })
    raises("unknown option 'host'", index.put_run, index, { experiment = "e", run = "r", host = "h" })
    raises("'started_at' must be a number, is string", index.put_run, index, { experiment = "e", run = "r", started_at = "1" })
    raises("'ended_at' must be a number", index.put_run, index, { experiment = "e", run = "r", ended_at = 0 / 0 })
    raises("table", index.put_run, index)
    raises("empty", index.runs, index, "")
    raises("string", index.runs, index, 1)
    assert.are.same({}, index:runs())
  end)
end)

describe("jobs", function()
  it("come back as they were put", function()
    local index <close> = writer()
    local job = { task = "digits.train", hash = ("0123456789abcdef"):rep(4), state = "error", reason = "failed", hostname = "h",
      submitted_at = 1.5, started_at = 2.5, ended_at = 3.5, exit_code = 1, signal = 9, cpu_seconds = 0.25,
      peak_memory = 1 << 40, tags = { lr = "0.1", ["a.b-c_d"] = "any\ntext\0\255", empty = "" } }
    assert.is_true(index:put_jobs("e", "r", { job }))
    assert.are.same({ job }, index:jobs())
    assert.are.equal("integer", math.type(index:jobs()[1].peak_memory))
    assert.is_true(index:put_jobs("e", "r", { { task = "t", hash = hash(1) } }))
    assert.are.same({ { task = "t", hash = hash(1), state = "unscheduled", tags = {} } }, index:jobs { task = "t" })
  end)

  it("keep what is left out", function()
    local index <close> = writer()
    local job = { task = "t", hash = hash(1), state = "running", hostname = "h", submitted_at = 1.0, started_at = 2.0,
      tags = { lr = "1", seed = "2" } }
    index:put_jobs("e", "r", { job })
    index:put_jobs("e", "r", { { task = "t", hash = hash(1) } })
    assert.are.same({ job }, index:jobs())
    index:put_jobs("e", "r", { { task = "t", hash = hash(1), state = "done", ended_at = 3.0, exit_code = 0 } })
    job.state, job.ended_at, job.exit_code = "done", 3.0, 0
    assert.are.same({ job }, index:jobs())
    index:put_jobs("e", "r", { { task = "t", hash = hash(1), state = "done", cpu_seconds = 4.0 } })
    job.cpu_seconds = 4.0
    assert.are.same({ job }, index:jobs())
    index:put_jobs("e", "r", { { task = "t", hash = hash(1), tags = { seed = "3" } } })
    job.tags = { seed = "3" }
    assert.are.same({ job }, index:jobs())
    assert.are.same({}, index:jobs { tags = { lr = "1" } })
    assert.are.same({}, index:jobs { tags = { seed = "2" } })
    assert.are.equal(1, #index:jobs { tags = { seed = "3" } })
    index:put_jobs("e", "r", { { task = "t", hash = hash(1), tags = {} } })
    assert.are.same({}, index:jobs()[1].tags)
    assert.are.same({}, index:jobs { tags = { seed = "3" } })
  end)

  it("forget an end when they begin again", function()
    local index <close> = writer()
    local key = { task = "t", hash = hash(1) }
    local function put(fields)
      for k, v in pairs(key) do fields[k] = v end
      assert(index:put_jobs("e", "r", { fields }))
      local job = index:jobs()[1]
      job.task, job.hash, job.tags = nil, nil, nil
      return job
    end
    put { state = "error", reason = "failed", exit_code = 1, signal = 9, started_at = 1.0, ended_at = 2.0, cpu_seconds = 1.0,
      peak_memory = 5, hostname = "h", submitted_at = 0.5 }
    assert.are.same({ state = "waiting", submitted_at = 0.5 }, put { state = "waiting" })
    assert.are.same({ state = "running", submitted_at = 0.5, started_at = 3.0, hostname = "i" },
      put { state = "running", started_at = 3.0, hostname = "i" })
    assert.are.same({ state = "done", submitted_at = 0.5, started_at = 3.0, hostname = "i", ended_at = 4.0, exit_code = 0 },
      put { state = "done", ended_at = 4.0, exit_code = 0 })
    put { state = "error", reason = "failed", exit_code = 7 }
    assert.are.same({ state = "error", reason = "timeout", submitted_at = 0.5, started_at = 3.0, hostname = "i", signal = 15 },
      put { state = "error", reason = "timeout", signal = 15 })
  end)

  it("are counted in each run that has them, whatever run tells of them", function()
    local index <close> = writer()
    local function put(run, n, state) assert(index:put_jobs("e", run, { { task = "t", hash = hash(n), state = state } })) end
    put("r1", 1, "waiting")
    put("r1", 2, "error")
    put("r2", 1, "running")
    put("r2", 3, "done")
    assert(index:put_jobs("other", "r", { { task = "t", hash = hash(1) }, { task = "t", hash = hash(2) } }))
    assert.are.same({ 2, 0, 1 }, counters(index, "e", "r1"))
    assert.are.same({ 2, 1, 0 }, counters(index, "e", "r2"))
    assert.are.same({ 2, 0, 1 }, counters(index, "other", "r"))
    put("r2", 1, "done")
    assert.are.same({ 2, 1, 1 }, counters(index, "e", "r1"))
    assert.are.same({ 2, 2, 0 }, counters(index, "e", "r2"))
    assert.are.same({ 2, 1, 1 }, counters(index, "other", "r"))
    put("r2", 1, "error")
    put("r1", 2, "waiting")
    assert.are.same({ 2, 0, 1 }, counters(index, "e", "r1"))
    assert.are.same({ 2, 1, 1 }, counters(index, "e", "r2"))
    assert.are.same({ 2, 0, 1 }, counters(index, "other", "r"))
    put("r3", 2, "done") -- told by a run that did not have it
    assert.are.same({ 1, 1, 0 }, counters(index, "e", "r3"))
    assert.are.same({ 2, 1, 1 }, counters(index, "e", "r1"))
    assert.are.same({ 2, 1, 1 }, counters(index, "other", "r"))
    check_counters(index)
    local list = index:experiments()
    assert.are.same({ "e", "r3", 1, 1, 0, 3 }, { list[1].experiment, list[1].run, list[1].total, list[1].done, list[1].failed,
      list[1].runs })
  end)

  it("put twice are put once, also within one batch", function()
    local index <close> = writer()
    local rows = { { task = "t", hash = hash(1), state = "waiting" }, { task = "t", hash = hash(1), state = "done" },
      { task = "u", hash = hash(1), state = "done" }, { task = "t", hash = hash(2), state = "error" },
      { task = "t", hash = hash(2) } }
    for _ = 1, 3 do assert(index:put_jobs("e", "r", rows)) end
    assert.are.same({ 3, 2, 1 }, counters(index, "e", "r"))
    assert.are.equal(3, #index:jobs())
    local pages = index:query("PRAGMA page_count")[1].page_count
    local size = index:wal_size()
    assert(index:put_jobs("e", "r", { rows[4] }))
    assert.are.equal(pages, index:query("PRAGMA page_count")[1].page_count)
    assert.are.equal(size, index:wal_size()) -- nothing was written
  end)

  it("follow any order of changes", function()
    local index <close> = writer()
    local states = { "unscheduled", "waiting", "ready", "scheduled", "running", "done", "error" }
    local seed = 12345
    local function random(n) seed = (seed * 1103515245 + 12345) % 2147483648; return seed // 65536 % n + 1 end
    for _ = 1, 300 do
      local rows = {}
      for i = 1, random(5) do
        rows[i] = { task = "t" .. random(2), hash = hash(random(12)), state = states[random(8)] }
      end
      assert(index:put_jobs("e" .. random(2), "r" .. random(3), rows))
    end
    check_counters(index)
  end)

  it("with hashes that begin alike are different jobs", function()
    local index <close> = writer()
    local a, b = ("0"):rep(63) .. "1", ("0"):rep(63) .. "2"
    index:put_jobs("e", "r", { { task = "t", hash = a, state = "done" }, { task = "t", hash = b, state = "error" },
      { task = "t", hash = ("F"):rep(64) } })
    assert.are.equal(3, #index:jobs())
    assert.are.same({ 3, 1, 1 }, counters(index, "e", "r"))
    assert.are.equal(("f"):rep(64), index:jobs({ hash_prefix = "f" })[1].hash)
  end)

  it("are none or all of a batch", function()
    local index <close> = writer()
    assert(index:put_jobs("e", "r", {}))
    assert.are.same({ 0, 0, 0 }, counters(index, "e", "r"))
    raises("'hash' must be 64 hex digits", index.put_jobs, index, "e", "r",
      { { task = "t", hash = hash(1) }, { task = "t", hash = "12" } })
    assert.are.same({}, index:jobs())
    assert(index:put_jobs("e", "r", { { task = "t", hash = hash(1) } })) -- no transaction was left open
  end)

  it("are checked", function()
    local index <close> = writer()
    local function put(fields) return pcall(index.put_jobs, index, "e", "r", { fields }) end
    local function bad(text, fields)
      fields.task = fields.task == nil and "t" or fields.task or nil
      fields.hash = fields.hash == nil and hash(1) or fields.hash or nil
      local ok, message = put(fields)
      assert.is_false(ok)
      assert.is_truthy(message:find(text, 1, true), message)
    end
    bad("'task' is missing", { task = false })
    bad("'hash' is missing", { hash = false })
    bad("'task' is empty", { task = "" })
    bad("'hash' must be 64 hex digits, is 'zz", { hash = ("z"):rep(64) })
    bad("'hash' must be a string, is number", { hash = 12 })
    bad("unknown state 'finished'", { state = "finished" })
    bad("'state' must be a string", { state = 5 })
    bad("'reason' must be a string, is boolean", { reason = true })
    bad("'exit_code' must be an integer", { exit_code = 1.5 })
    bad("'exit_code' must be an integer, is string", { exit_code = "1" })
    bad("'submitted_at' must be a number", { submitted_at = "1" })
    bad("'cpu_seconds' must be a number", { cpu_seconds = 0 / 0 })
    bad("'tags' must be a table", { tags = "lr" })
    bad("'tags' must map names to strings", { tags = { lr = 0.1 } })
    bad("'tags' must map names to strings", { tags = { "lr" } })
    bad("unknown option 'submited_at' (allowed: task, hash, state", { submited_at = 1 })
    bad("unknown option '1'", { "x" })
    raises("job 2 must be a table, is string", index.put_jobs, index, "e", "r", { { task = "t", hash = hash(1) }, "x" })
    raises("empty", index.put_jobs, index, "", "r", {})
    raises("string", index.put_jobs, index, "e", nil, {})
    raises("table", index.put_jobs, index, "e", "r")
    assert.are.same({}, index:runs())
  end)
end)

describe("listings", function()
  local index
  local function find(options) return hashes(assert(index:jobs(options))) end

  setup(function()
    index = writer()
    local rows = {}
    for i = 1, 12 do
      rows[i] = { task = i % 2 == 0 and "even" or "odd", hash = hash(i), state = i % 3 == 0 and "done" or "waiting",
        submitted_at = i == 5 and 100.0 or i * 1.0, tags = { half = tostring(i // 2), third = tostring(i // 3) } }
    end
    assert(index:put_jobs("e", "r1", rows))
    assert(index:put_jobs("e", "r2", { rows[3], rows[4] }))
    assert(index:put_jobs("f", "r1", { rows[4], rows[5], { task = "late", hash = hash(99) } }))
  end)
  teardown(function() index:close() end)

  it("are newest first, those never submitted last", function()
    assert.are.same({ 5, 12, 11, 10, 9, 8, 7, 6, 4, 3, 2, 1, 0x99 - 54 }, find())
    assert.are.same({ 5, 12 }, find { limit = 2 })
    assert.are.same({}, find { limit = 0 })
  end)

  it("are of a state, task, run, experiment or tags, or of all of these", function()
    assert.are.same({ 12, 9, 6, 3 }, find { state = "done" })
    assert.are.same({ 12, 9 }, find { state = "done", limit = 2 })
    assert.are.same({ 12, 10, 8, 6, 4, 2 }, find { task = "even" })
    assert.are.same({ 12, 6 }, find { task = "even", state = "done" })
    assert.are.same({ 4, 3 }, find { experiment = "e", run = "r2" })
    assert.are.same({ 12, 10 }, find { experiment = "e", task = "even", limit = 2 })
    assert.are.equal(12, #find { experiment = "e" })
    assert.are.same({ 5, 4, 99 }, find { experiment = "f" })
    assert.are.same({ 5, 4 }, find { experiment = "f", limit = 2 }) -- few of all jobs: sorted
    assert.are.same({ 4 }, find { experiment = "e", run = "r2", limit = 1 })
    assert.are.same({ 5, 12, 11 }, find { experiment = "e", run = "r1", limit = 3 }) -- most of them: walked
    assert.are.same({ 12, 9 }, find { experiment = "e", limit = 2, state = "done" })
    assert.are.same({ 5, 4 }, find { tags = { half = "2" } })
    assert.are.same({ 5 }, find { tags = { half = "2", third = "1" }, task = "odd" })
    assert.are.same({ 4 }, find { tags = { half = "2" }, experiment = "e", run = "r2", state = "waiting" })
    assert.are.equal(13, #find { tags = {} })
    for _, none in ipairs { { task = "none" }, { experiment = "none" }, { experiment = "e", run = "none" }, { state = "running" },
      { tags = { none = "1" } }, { tags = { half = "none" } } } do assert.are.same({}, find(none)) end
  end)

  it("are of a hash's beginning", function()
    local other = writer()
    local names = { ("abc"):rep(21) .. "0", "abc" .. ("0"):rep(61), "abd" .. ("0"):rep(61), ("f"):rep(64), ("0"):rep(64),
      "abc0123456789abcdef0" .. ("1"):rep(44) }
    local rows = {}
    for i, name in ipairs(names) do rows[i] = { task = "t", hash = name, submitted_at = -i } end
    other:put_jobs("e", "r", rows)
    local function got(prefix)
      local out = {}
      for i, j in ipairs(other:jobs { hash_prefix = prefix }) do
        for n, name in ipairs(names) do if name == j.hash then out[i] = n end end
      end
      return out
    end
    assert.are.same({ 1, 2, 3, 4, 5, 6 }, got "")
    assert.are.same({ 1, 2, 3, 6 }, got "a")
    assert.are.same({ 1, 2, 3, 6 }, got "AB")
    assert.are.same({ 1, 2, 6 }, got "abc")
    assert.are.same({ 2, 6 }, got "abc0")
    assert.are.same({ 6 }, got "abc0123456789abcd")
    assert.are.same({ 6 }, got "abc0123456789abcdef")
    assert.are.same({}, got "abc0123456789abcdee")
    assert.are.same({ 4 }, got "f")
    assert.are.same({ 4 }, got(("f"):rep(64)))
    assert.are.same({ 4 }, got(("f"):rep(17)))
    assert.are.same({ 5 }, got "0")
    for i, name in ipairs(names) do assert.are.same({ i }, got(name)) end
    for _, none in ipairs { "x", "abcx", "ab c", "abc%", ("a"):rep(65), "a\0" } do assert.are.same({}, got(none)) end
    other:close()
  end)

  it("take only the options there are", function()
    raises("unknown option 'states' (allowed: experiment, run, task, state, hash_prefix, tags, limit)", index.jobs, index,
      { states = "done" })
    raises("unknown state 'finished'", index.jobs, index, { state = "finished" })
    raises("'run' needs 'experiment'", index.jobs, index, { run = "r1" })
    raises("'limit' must be an integer", index.jobs, index, { limit = "3" })
    raises("'limit' must not be negative", index.jobs, index, { limit = -1 })
    raises("'tags' must map names to strings", index.jobs, index, { tags = { "x" } })
    raises("table", index.jobs, index, "done")
  end)

  it("use an index, whatever is asked for first", function()
    local function plan(where)
      local text = {}
      for i, row in ipairs(index:query("EXPLAIN QUERY PLAN SELECT id FROM jobs j WHERE " .. where ..
        " ORDER BY submitted_at DESC, id DESC LIMIT 5")) do text[i] = row.detail end
      return table.concat(text, "; ")
    end
    assert.is_truthy(plan("1"):find("jobs_by_time", 1, true))
    assert.is_truthy(plan("state=3"):find("jobs_by_state", 1, true))
    assert.is_truthy(plan("task=1"):find("jobs_by_task", 1, true))
    for _, where in ipairs { "1", "state=3", "task=1" } do assert.is_nil(plan(where):find("TEMP B-TREE", 1, true)) end
  end)
end)

describe("query", function()
  local index
  setup(function()
    index = writer()
    index:put_jobs("e", "r", { { task = "a.b", hash = hash(1), state = "done", tags = { lr = "1" } } })
  end)
  teardown(function() index:close() end)

  it("gives rows by column name, each value in its type", function()
    local rows = assert(index:query("SELECT ?1 AS a, ?2 AS b, ?3 AS c, ?4 AS d, ?5 AS e, x'00ff' AS f",
      1, 0.5, "text\0more", nil, true))
    assert.are.same({ { a = 1, b = 0.5, c = "text\0more", e = 1, f = "\0\255" } }, rows)
    assert.are.equal("integer", math.type(rows[1].a))
    assert.are.equal(1 << 62, index:query("SELECT ?1 AS x", 1 << 62)[1].x)
    assert.are.same({}, index:query "SELECT 1 WHERE 0")
    assert.are.equal(3, #index:query "VALUES (1), (2), (3)")
    assert.are.equal(1, #index:query " /* one */ SELECT 1; -- and no more\n ; ")
    assert.are.equal(45, index:query([[
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT sum(i) AS s FROM n]])[1].s)
  end)

  it("has the jobs with words in job_list", function()
    assert.are.same({ { task = "a.b", hash = hash(1), state = "done" } }, index:query "SELECT task, hash, state FROM job_list")
    local states = {}
    for i = 0, 6 do states[i + 1] = hash(100 + i) end
    for i, state in ipairs { "unscheduled", "waiting", "ready", "scheduled", "running", "done", "error" } do
      index:put_jobs("s", "r", { { task = "s", hash = states[i], state = state } })
      assert.are.equal(state, index:query("SELECT state FROM job_list WHERE hash=?1", states[i])[1].state)
    end
  end)

  it("only reads", function()
    for _, sql in ipairs { "DELETE FROM jobs", "INSERT INTO tasks(name) VALUES('x')", "DROP TABLE jobs", "CREATE TABLE x(a)",
      "UPDATE jobs SET state=0", "BEGIN", "COMMIT", "SAVEPOINT x", "VACUUM", "ATTACH 'x' AS x", "PRAGMA journal_mode=DELETE",
      "PRAGMA user_version=3", "PRAGMA wal_checkpoint", "REINDEX", "WITH x AS (SELECT 1) DELETE FROM jobs",
      "PRAGMA writable_schema=1", "CREATE TEMP TABLE x(a)", "ANALYZE" } do
      raises("only reading", index.query, index, sql)
    end
    assert(index:put_run { experiment = "e", run = "after" }) -- no transaction, no attached file
  end)

  it("is one right statement with the right number of parameters", function()
    raises("more than one statement", index.query, index, "SELECT 1; SELECT 2")
    raises("no statement", index.query, index, "")
    raises("no statement", index.query, index, " -- nothing\n;")
    raises("syntax error", index.query, index, "SELEC 1")
    raises("no such table", index.query, index, "SELECT * FROM none")
    raises("NUL", index.query, index, "SELECT 1\0")
    raises("has 1 parameters, got 0", index.query, index, "SELECT ?1")
    raises("has 1 parameters, got 2", index.query, index, "SELECT ?1", 1, 2)
    raises("cannot be a parameter", index.query, index, "SELECT ?1", {})
    raises("cannot be a parameter", index.query, index, "SELECT ?1", print)
    raises("string", index.query, index)
    assert.are.same({ {} }, index:query("SELECT ?1", nil))
  end)
end)

describe("several processes", function()
  local function script(name, text)
    sys.write(folder .. "/" .. name, text)
    return ("%s %s/%s "):format("lua5.4", folder, name)
  end

  it("make and write one index at once, exactly", function()
    local path = fresh()
    local command = script("writer.lua", [[
      local db = require "xpm.db"
      local path, me, wal = arg[1], tonumber(arg[2]), arg[3] == "wal"
      local index = assert(db.open(path, { mode = "write", network = not wal }))
      for round = 1, 20 do
        local rows = {}
        for i = 1, 25 do -- half of them the others' jobs too
          rows[i] = { task = "t", hash = ("%064x"):format(round * 25 + i + (i % 2 == 0 and me << 60 or 0)),
            state = ({ "waiting", "running", "done", "error" })[(round + i + me) % 4 + 1], tags = { n = tostring(i) } }
        end
        assert(index:put_jobs("e", "r" .. me, rows))
        assert(index:put_run { experiment = "e", run = "shared", hostname = "h" .. me })
      end
      index:close()
    ]])
    for _, mode in ipairs { "wal", "delete" } do
      local all = {}
      for i = 1, 3 do all[i] = ("%s %s-%s %d %s & p%d=$!"):format(command, path, mode, i, mode, i) end
      local text, status = output("mkdir -p $(dirname " .. path .. "); ( " .. table.concat(all, "\n")
        .. "\nwait $p1 && wait $p2 && wait $p3 ) 2>&1")
      assert.are.same({ "", 0 }, { text, status })
      local index <close> = assert(db.open(path .. "-" .. mode))
      assert.are.equal(mode, index:query("PRAGMA journal_mode")[1].journal_mode)
      assert.are.equal("ok", index:query("PRAGMA integrity_check")[1].integrity_check)
      assert.are.equal(4, #index:runs())
      for i = 1, 3 do assert.are.equal(500, counters(index, "e", "r" .. i)[1]) end
      check_counters(index)
    end
  end)

  it("may be killed at any point, and the index is whole", function()
    local path = fresh()
    writer(path):close()
    local command = script("killed.lua", [[
      local db = require "xpm.db"
      local index = assert(db.open(arg[1], { mode = "write" }))
      print "go"
      io.stdout:flush()
      for round = 1, math.huge do
        local rows = {}
        for i = 1, 50 do rows[i] = { task = "t", hash = ("%064x"):format(i + round % 7 * 10),
          state = round % 2 == 0 and "done" or "error" } end
        assert(index:put_jobs("e", "r" .. round % 3, rows))
      end
    ]])
    local index <close> = assert(db.open(path))
    for i = 1, 8 do
      -- Killed as soon as a reader sees it write: each time elsewhere in its round.
      local p = assert(io.popen(("echo $$; exec 2>&1 %s %s"):format(command, path)))
      local pid = p:read "n"
      p:read "l"
      assert.are.equal("go", p:read "l")
      local before = index:query("SELECT sum(total) + sum(done) AS n FROM runs")[1].n or 0
      local deadline = sys.monotonic() + 10
      repeat
        local n = index:query("SELECT sum(total) + sum(done) AS n FROM runs")[1].n or 0
      until n ~= before or i > 1 and n > 0 or sys.monotonic() > deadline
      os.execute("kill -9 " .. pid)
      p:close()
      check_counters(index)
      assert.are.equal("ok", index:query("PRAGMA integrity_check")[1].integrity_check)
    end
    local after <close> = writer(path)
    assert(after:put_jobs("e", "last", { { task = "t", hash = hash(1) } }))
  end)

  it("wait for each other as long as they are patient, then it is locked", function()
    local path = fresh()
    local index <close> = writer(path)
    -- A process that has SQLite's write lock of a WAL (byte 120 of the shared memory) until its input ends.
    local fifo = folder .. "/fifo"
    os.execute("mkfifo " .. fifo)
    if not os.execute "perl -e 1" then return pending("no perl to hold a lock with") end
    local flock = [[$| = 1; open F, "+<", $ARGV[0]; $l = pack("s s x4 q q i x4", 1, 0, 120, 1, 0);
      fcntl(F, 6, $l) or die;]]
    local p = assert(io.popen(("exec perl -e '%s print \"held\\n\"; <STDIN>' '%s-shm' <%s"):format(flock, path, fifo)))
    local hold = assert(io.open(fifo, "w"))
    assert.are.equal("held", p:read "l")
    local hasty <close> = assert(db.open(path, { mode = "write", patience = 0 }))
    assert.is_truthy(refused("locked", hasty:put_run { experiment = "e", run = "r" }):find(path, 1, true))
    refused("locked", hasty:put_jobs("e", "r", { { task = "t", hash = hash(1) } }))
    assert.are.same({}, hasty:runs()) -- reading goes on
    hold:close()
    p:close()
    assert(hasty:put_run { experiment = "e", run = "r" })
    assert.are.equal(1, #index:runs())
  end)

  it("see each other's rows at once", function()
    local path = fresh()
    local index <close> = writer(path)
    local reader <close> = assert(db.open(path))
    assert.are.same({}, reader:jobs())
    index:put_jobs("e", "r", { { task = "t", hash = hash(1) } })
    assert.are.equal(1, #reader:jobs())
    assert.are.equal(1, reader:experiments()[1].total)
  end)
end)

describe("the WAL", function()
  it("grows until it is moved, and then is empty", function()
    local path = fresh()
    local index <close> = writer(path)
    assert.is_true(index:wal_size() > 0) -- the tables
    local rows = {}
    for i = 1, 3000 do rows[i] = { task = "t", hash = spread(i) } end
    index:put_jobs("e", "r", rows)
    local _, size = sys.stat(path .. "-wal")
    assert.is_true(size > 100000)
    assert.is_true(math.abs(index:wal_size() - size) < 100)
    assert.is_true(index:checkpoint())
    assert.are.same({ 0, 0 }, { index:wal_size(), (select(2, sys.stat(path .. "-wal"))) })
    assert.are.equal(3000, #index:jobs())
  end)
end)

describe("a full disk", function()
  it("is io, and the index stays as it was", function()
    local path = fresh()
    local index = writer(path)
    index:put_jobs("e", "r", { { task = "t", hash = hash(1), state = "done" } })
    index:close()
    sys.write(folder .. "/full.lua", [[
      local index = assert(require("xpm.db").open(arg[1], { mode = "write" }))
      local rows = {}
      for i = 1, 20000 do rows[i] = { task = "t", hash = ("%016x"):format(i * 0x9e3779b97f4a7c15):rep(4), state = "error" } end
      local ok, message, code = index:put_jobs("e", "r", rows)
      print(ok, code)
      print(index:put_jobs("e", "r", { { task = "t", hash = ("%064x"):format(2), state = "done" } }))
      index:close()
    ]])
    local text = output(("trap '' XFSZ; ulimit -f 500; %s %s/full.lua %s 2>&1"):format("lua5.4", folder, path))
    assert.are.equal("nil\tio\ntrue\n", text)
    index = assert(db.open(path))
    assert.are.same({ 2, 2, 0 }, counters(index, "e", "r"))
    index:close()
  end)
end)
