local cli = require "support.cli"
local errors = require "xpm.errors"
local sys = require "xpm.sys"

-- What the engine and the index would say; the real ones are used by spec/cli/lists_spec.lua.
local says, index_rows, opened
package.loaded["xpm.engine"] = {
  probe = function(_, task, hash) return says[task .. "/" .. hash:sub(1, 2)] or { state = "unscheduled" } end,
}
package.loaded["xpm.db"] = {
  open = function(path, options)
    opened[#opened + 1] = { path, options.mode, options.network }
    if not index_rows then return nil, path .. " is damaged", "corrupt" end
    return { experiments = function() return index_rows.experiments end,
      jobs = function(_, o) return index_rows.jobs[o.experiment .. "/" .. o.run] end, close = function() end }
  end,
}
local workspace = require "xpm.workspace"

local function hash(two) return two:rep(32) end

local function caught(f, ...)
  local ok, e = pcall(f, ...)
  assert.is_false(ok)
  assert.is_true(errors.is(e), tostring(e))
  return e
end

describe("workspace.resolve", function()
  local settings = { file = "/c/settings.yaml", exists = true, env = { A = "1", B = "1" }, history = { max_done = 9 },
    workspaces = {
      { id = "main", path = "/main", env = { B = "2" }, triggers = {}, history = {} },
      { id = "quick", path = "/quick", env = {}, triggers = { "quick-*", "t?st", "[ab]x", "[!a-c]y" },
        history = { max_done = 1 } },
      { id = "late", path = "/late", env = {}, triggers = { "*" }, history = {} },
    } }
  local empty = { file = "/c/settings.yaml", exists = false, env = {}, history = {}, workspaces = {} }

  local function resolve(options)
    options.settings = options.settings or settings
    return workspace.resolve(options)
  end

  it("takes --workspace first, whose path --workdir replaces", function()
    local w = resolve { workspace = "main", experiment = "quick-1" }
    assert.same({ "/main", "main", "--workspace main" }, { w.path, w.id, w.source })
    assert.same({ A = "1", B = "2" }, w.env)
    w = resolve { workspace = "quick", workdir = "/other" }
    assert.same({ "/other", "quick", "--workspace quick with --workdir" }, { w.path, w.id, w.source })
    assert.same({ max_done = 1 }, w.history)
  end)

  it("takes --workdir, made absolute", function()
    local w = resolve { workdir = "sub/../w", experiment = "quick-1" }
    assert.equal(sys.cwd() .. "/w", w.path)
    assert.is_nil(w.id)
    assert.same({ A = "1", B = "1" }, w.env)
    assert.equal(2, caught(resolve, { workdir = "" }).exit)
  end)

  it("takes the first workspace whose trigger matches, then the first, then the default", function()
    local cases = { ["quick-1"] = "quick", test = "quick", ax = "quick", dy = "quick", ay = "late", ["quick"] = "late",
      ["a.quick-1"] = "late", ["tst"] = "late" }
    for experiment, id in pairs(cases) do
      local w = resolve { experiment = experiment }
      assert.equal(id, w.id, experiment)
    end
    assert.equal("workspace quick, trigger 't?st'", resolve({ experiment = "test" }).source)
    local w = resolve {}
    assert.same({ "/main", "workspace main, the first of the settings" }, { w.path, w.source })
    local before = os.getenv "XDG_DATA_HOME"
    sys.setenv("XDG_DATA_HOME", "/data")
    w = resolve { settings = empty, experiment = "x" }
    sys.setenv("XDG_DATA_HOME", before)
    assert.same({ "/data/xpm/default", "the default workspace" }, { w.path, w.source })
  end)

  it("knows globs: nothing else is special", function()
    assert.is_true(workspace.matches("a.b+c", "a.b+c"))
    assert.is_false(workspace.matches("a.b", "axb"))
    assert.is_true(workspace.matches("[", "["))
    assert.is_true(workspace.matches("%d*", "%d1"))
    assert.is_false(workspace.matches("[%d]", "1"))
    assert.is_true(workspace.matches("", ""))
  end)

  it("refuses an unknown workspace, always", function()
    local e = caught(resolve, { workspace = "quik", workdir = "/x" })
    assert.same({ 4, "unknown workspace 'quik', did you mean 'quick'?" }, { e.exit, e.message })
    e = caught(resolve, { workspace = "zzzzzz" })
    assert.equal("unknown workspace 'zzzzzz'; there are main, quick, late", e.message)
    e = caught(resolve, { workspace = "x", settings = empty })
    assert.equal("unknown workspace 'x'; there is no /c/settings.yaml", e.message)
  end)
end)

describe("workspace", function()
  local box, path
  before_each(function()
    box = cli.sandbox()
    path = box.path
    says, index_rows, opened = {}, nil, {}
  end)
  after_each(function() box:close() end)

  it("knows which ids are good", function()
    for _, id in ipairs { "a", "A-b_c.1", "1", ("x"):rep(200) } do assert.is_true(workspace.valid_id(id), id) end
    for _, id in ipairs { "", ".a", "-rf", "_a", "a/b", "a..b", "a b", "a\n", "é", "a\0", ("x"):rep(201), "/x", "../x" } do
      local ok, why = workspace.valid_id(id)
      assert.is_false(ok, id)
      assert.is_string(why)
    end
    assert.is_false((workspace.valid_id(1)))
  end)

  it("knows its folders", function()
    local p = workspace.paths "/w"
    assert.same({ "/w/.xpm/workspace.db", "/w/xp/e", "/w/xp/e/r", "/w/jobs/t/h" },
      { p.index, p.experiment_dir "e", p.run_dir("e", "r"), p.job_dir("t", "h") })
    assert.same({ "train", "train" }, { workspace.task_name "digits.train", workspace.task_name "train" })
  end)

  it("opens the index, and says when there is none", function()
    local index, _, code = workspace.index(path, "read")
    assert.is_nil(index)
    assert.equal("not_found", code)
    assert.same({}, opened)
    index_rows = { experiments = {}, jobs = {} }
    assert.is_truthy(workspace.index(path, "write"))
    assert.same({ { path .. "/.xpm/workspace.db", "write", false } }, opened)
  end)

  it("reads times with any zone", function()
    assert.equal(1767225600.0, workspace.seconds "2026-01-01T00:00:00Z")
    assert.equal(1767225600.5, workspace.seconds "2026-01-01T02:00:00.5+02:00")
    assert.equal(1767225600.0, workspace.seconds "2025-12-31T18:30:00-0530")
    assert.equal(1709164800.0, workspace.seconds "2024-02-29T00:00:00Z")
    assert.is_nil(workspace.seconds "yesterday")
    assert.is_nil(workspace.seconds(12))
  end)

  -- Two experiments: "one" with an old run and a running one, "two" that has ended.
  local function fill()
    box:write("xp/one/informations.json", [[{"version": 1, "runs": {
      "20260101_120000.10": {"hostname": "new", "started_at": "2026-01-01T12:00:00Z", "status": "running"},
      "20260101_120000.2": {"hostname": "old", "started_at": "2026-01-01T12:00:00Z", "status": "done"}}}]])
    box:write("xp/one/20260101_120000.10/jobs.jsonl", table.concat {
      ('{"task":"t.a","hash":"%s","name":"a","tags":{"lr":"0.1"},"submitted_at":1}\n'):format(hash "aa"),
      ('{"task":"t.b","hash":"%s","name":"b","deps":["t.a/%s"],"submitted_at":2}\n'):format(hash "bb", hash "aa"),
      ('{"task":"t.b","hash":"%s","name":"b","submitted_at":3}\n'):format(hash "bc"),
      '{"task":"../x","hash":"ab","name":"b","submitted_at":3}\n{"task":"t.a","ha' })
    box:write("xp/two/informations.json", [[{"version": 1, "runs": {"20260102_120000": {"hostname": "h2",
      "started_at": "2026-01-02T12:00:00Z", "ended_at": "2026-01-02T12:00:05Z", "status": "failed"}}}]])
    box:write("xp/two/20260102_120000/jobs.jsonl",
      ('{"task":"t.a","hash":"%s","name":"a","tags":{"lr":"0.1"},"submitted_at":5}\n'):format(hash "aa"))
    box:write("xp/two/notes.txt", "")
    box:write("xp/.hidden/x", "")
    says["t.a/aa"] = { state = "done", ended_at = 7.5, hostname = "h" }
    says["t.b/bb"] = { state = "error", reason = "failed", exit_code = 2 }
  end

  it("lists experiments from the files when there is no index", function()
    fill()
    assert.same({
      { experiment = "one", run = "20260101_120000.10", hostname = "new", started_at = 1767268800.0, status = "running",
        runs = 2, done = 1, failed = 1, total = 3 },
      { experiment = "two", run = "20260102_120000", hostname = "h2", started_at = 1767355200.0, ended_at = 1767355205.0,
        status = "failed", runs = 1, done = 1, failed = 0, total = 1 },
    }, workspace.experiments(path))
  end)

  it("believes the index about runs that have ended, and about no others", function()
    fill()
    box:write(".xpm/workspace.db", "x")
    index_rows = { jobs = {}, experiments = {
      { experiment = "one", run = "20260101_120000.10", status = "running", done = 0, failed = 0, total = 1 },
      { experiment = "two", run = "20260102_120000", status = "failed", done = 70, failed = 7, total = 77 },
      { experiment = "gone", run = "r", status = "done", done = 1, failed = 0, total = 1 } } }
    local list = workspace.experiments(path)
    assert.equal(2, #list)
    assert.same({ 1, 3 }, { list[1].done, list[1].total })
    assert.same({ 70, 77 }, { list[2].done, list[2].total })
    index_rows.experiments[2].run = "20250101_000000" -- the index missed the newest run
    list = workspace.experiments(path)
    assert.same({ 1, 1 }, { list[2].done, list[2].total })
  end)

  it("reads the files when the index is damaged, and says so", function()
    fill()
    box:write(".xpm/workspace.db", "x")
    local said = {}
    local log = require "xpm.log"
    local before = log.sink(function(line) said[#said + 1] = line end)
    local list = workspace.experiments(path)
    log.sink(before)
    assert.equal(2, #list)
    assert.equal(1, #said)
    assert.is_truthy(said[1]:find("damaged: reading the files instead", 1, true))
  end)

  it("survives a missing or damaged informations.json", function()
    fill()
    box:write("xp/one/informations.json", "{")
    local list = workspace.experiments(path)
    assert.same({ "20260101_120000.10", "interrupted", 3 }, { list[1].run, list[1].status, list[1].total })
  end)

  it("lists jobs, each once, newest first", function()
    fill()
    local function summary(options)
      local out = {}
      for i, j in ipairs(workspace.jobs(path, options)) do
        out[i] = ("%s/%s %s %s"):format(j.task, j.hash:sub(1, 2), j.state, table.concat(j.experiments, ","))
      end
      return out
    end
    assert.same({ "t.b/bc waiting one", "t.b/bb error one", "t.a/aa done one,two" }, summary {})
    assert.same({ "t.b/bc waiting one" }, summary { limit = 1 })
    assert.same({ "t.a/aa done two" }, summary { experiment = "two" })
    assert.same({ "t.b/bb error one" }, summary { state = "error" })
    assert.same({ "t.a/aa done one,two" }, summary { task = "t.a" })
    local all = workspace.jobs(path)
    assert.same({ { lr = "0.1" }, "a", "h", 7.5 }, { all[3].tags, all[3].name, all[3].hostname, all[3].ended_at })
    assert.equal("no experiment 'tow' in " .. path .. ", did you mean 'two'?",
      caught(workspace.jobs, path, { experiment = "tow" }).message)
  end)

  it("calls what no driver will start unscheduled", function()
    fill()
    box:write("xp/one/informations.json", [[{"runs": {"20260101_120000.10": {"status": "interrupted"}}}]])
    assert.equal("unscheduled", workspace.jobs(path)[1].state)
  end)

  it("refuses a workspace that is not there", function()
    assert.equal(4, caught(workspace.experiments, path .. "/none").exit)
    assert.equal(4, caught(workspace.find_job, path .. "/none", "aa").exit)
  end)

  describe("find_job", function()
    before_each(function()
      for _, folder in ipairs { "t.a/" .. hash "aa", "t.a/" .. hash "ab", "t.b/" .. hash "aa", "t.b/" .. hash "cd",
        "beef/" .. hash "12" } do
        box:write("jobs/" .. folder .. "/params.json", "{}")
      end
    end)

    it("takes a prefix, task/prefix, a task with one job, and paths", function()
      local function found(text)
        local job = workspace.find_job(path, text)
        assert.equal(path .. "/jobs/" .. job.task .. "/" .. job.hash, job.path)
        return job.task .. "/" .. job.hash:sub(1, 2) .. " " .. job.name
      end
      assert.equal("t.a/ab a", found "ab")
      assert.equal("t.b/cd b", found "CDC")
      assert.equal("t.b/aa b", found "t.b/a")
      assert.equal("t.a/aa a", found("t.a/" .. hash "aa"))
      assert.equal("beef/12 beef", found "beef")
      assert.equal("t.b/cd b", found(path .. "/jobs/t.b/" .. hash "cd"))
      assert.equal("t.b/cd b", found(path .. "/jobs/t.b/" .. hash "cd" .. "/params.json"))
    end)

    it("lists what an ambiguous one may mean", function()
      local e = caught(workspace.find_job, path, "aaa")
      assert.equal(2, e.exit)
      assert.equal(("'aaa' means 2 jobs:\n  t.a/%s\n  t.b/%s"):format(hash("aa"):sub(1, 16), hash("aa"):sub(1, 16)), e.message)
      assert.equal(2, caught(workspace.find_job, path, "t.a").exit)
    end)

    it("names the nearest task", function()
      local e = caught(workspace.find_job, path, "t.s/aa")
      assert.equal("no job 't.s/aa' in " .. path .. ", did you mean the task 't.a'?", e.message)
      assert.equal("no job 'ff' in " .. path, caught(workspace.find_job, path, "ff").message)
      assert.equal("no job 't.a/ff' in " .. path, caught(workspace.find_job, path, "t.a/ff").message)
      for _, text in ipairs { "", "/", "../..", "/etc/passwd", "%", "t.a/../t.b" } do
        assert.equal(2, caught(workspace.find_job, path, text).exit)
      end
    end)
  end)
end)
