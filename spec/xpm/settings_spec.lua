local cli = require "support.cli"
local errors = require "xpm.errors"
local settings = require "xpm.settings"
local sys = require "xpm.sys"

describe("settings", function()
  local box, home, xdg
  before_each(function()
    box, home, xdg = cli.sandbox(), os.getenv "HOME", os.getenv "XDG_CONFIG_HOME"
  end)
  after_each(function()
    sys.setenv("HOME", home)
    sys.setenv("XDG_CONFIG_HOME", xdg)
    box:close()
  end)

  local function load(text)
    box:write("c/settings.yaml", text)
    return settings.load(box:at "c")
  end

  -- The messages, with the folder left out.
  local function problems(text)
    local ok, e = pcall(load, text)
    assert.is_false(ok)
    assert.is_true(errors.is(e, errors.ConfigError), tostring(e))
    local list = {}
    for line in (e.message .. "\n"):gmatch "([^\n]*)\n" do
      list[#list + 1] = line:sub(1, #box:at "c" + 1) == box:at "c/" and line:sub(#box:at "c" + 2) or line
    end
    return list
  end

  it("has defaults when there is no file or an empty one", function()
    for _, text in ipairs { false, "", "# nothing\n\n---\n" } do
      if text then box:write("c/settings.yaml", text) else box:shell "mkdir -p c" end
      local s = settings.load(box:at "c")
      assert.same({ {}, {}, {}, {} }, { s.workspaces, s.env, s.history, s.server })
      assert.is_nil(s.jobs)
      assert.equal(text ~= false, s.exists)
    end
  end)

  it("is looked for by the XDG rules", function()
    sys.setenv("XDG_CONFIG_HOME", box:at "x")
    box:write("x/xpm/settings.yaml", "jobs: 3\n")
    assert.equal(3, settings.load().jobs)
    sys.setenv("XDG_CONFIG_HOME", "relative")
    sys.setenv("HOME", box:at "h")
    box:write("h/.config/xpm/settings.yaml", "jobs: 4\n")
    assert.equal(4, settings.load().jobs)
    sys.setenv("XDG_CONFIG_HOME", nil)
    sys.setenv("HOME", nil)
    assert.has_error(function() settings.load() end)
  end)

  it("reads everything", function()
    sys.setenv("HOME", "/users/me")
    local s = load [[
workspaces:
- id: fast
  path: ~/fast
  env: { OMP_NUM_THREADS: 4, DEBUG: true, NAME: x }
  triggers: ["quick-*", "test?"]
  history: { max_done: 3 }
- { id: big, path: /data/../big }
- { id: near, path: w }
- { id: home, path: "~" }
env: { A: b }
jobs: 2
history: { max_done: 5, max_failed: 0 }
server: { host: localhost, port: 8080, token: secret }
]]
    local w = s.workspaces
    assert.same({ id = "fast", path = "/users/me/fast", env = { OMP_NUM_THREADS = "4", DEBUG = "true", NAME = "x" },
      triggers = { "quick-*", "test?" }, history = { max_done = 3 } },
      { id = w[1].id, path = w[1].path, env = w[1].env, triggers = { table.unpack(w[1].triggers) }, history = w[1].history })
    assert.same({ "/big", box:at "c/w", "/users/me" }, { w[2].path, w[3].path, w[4].path })
    assert.same({ A = "b" }, s.env)
    assert.equal(2, s.jobs)
    assert.same({ 5, 0 }, { s.history.max_done, s.history.max_failed })
    assert.same({ "localhost", 8080, "secret" }, { s.server.host, s.server.port, s.server.token })
  end)

  it("reports all problems with their places and the nearest names", function()
    assert.same({
      "settings.yaml:2:3: workspaces.0.identifier: unknown key (known: env, history, id, path, triggers)",
      "settings.yaml:2:3: workspaces.0: 'id' is missing",
      "settings.yaml:4:1: job: unknown key, did you mean 'jobs'? (known: env, history, jobs, server, workspaces)",
      "settings.yaml:6:9: server.port: must be from 0 to 65535, is 70000",
      "settings.yaml:7:10: history: must be a map, is a list",
    }, (function()
      local list = problems "workspaces:\n- identifier: x\n  path: y\njob: 2\nserver:\n  port: 70000\nhistory: [1]\n"
      table.sort(list)
      return list
    end)())
  end)

  local cases = {
    { "jobs: 0", "settings.yaml:1:7: jobs: must be at least 1, is 0" },
    { "jobs: two", "settings.yaml:1:7: jobs: must be an integer, is a text" },
    { "jobs: 1.5", "settings.yaml:1:7: jobs: must be an integer, is a number" },
    { "workspaces: {}", "settings.yaml:1:13: workspaces: must be a list, is a map" },
    { "workspaces: [1]", "settings.yaml:1:14: workspaces.0: must be a map, is an integer" },
    { "workspaces: [{id: ../x, path: y}]", "settings.yaml:1:19: workspaces.0.id: must start with a letter or digit" },
    { "workspaces: [{id: a, path: ''}]", "settings.yaml:1:28: workspaces.0.path: is empty" },
    { "workspaces: [{id: a, path: ~x/y}]",
      "settings.yaml:1:28: workspaces.0.path: only '~' and '~/...' are understood, not another user's home" },
    { "workspaces: [{id: a, path: x}, {id: a, path: y}]",
      "settings.yaml:1:37: workspaces.1.id: there are two workspaces 'a'" },
    { "env: {A: [1]}", "settings.yaml:1:10: env.A: must be a text, is a list" },
    { "env: {'A=': x}", "settings.yaml:1:6: env: \"A=\" is no name of a variable" },
    { "history: {max_done: -1}", "settings.yaml:1:21: history.max_done: must be at least 0, is -1" },
    { "workspaces: [{id: a, path: x, triggers: [1]}]",
      "settings.yaml:1:42: workspaces.0.triggers.0: must be a text, is an integer" },
  }
  for _, case in ipairs(cases) do
    it("refuses " .. case[1], function() assert.same({ case[2] }, problems(case[1] .. "\n")) end)
  end

  it("refuses what is no map, and no YAML", function()
    assert.equal(1, #problems "- a\n")
    assert.is_truthy(problems("a: [1\n")[1]:find "^settings%.yaml:%d+:%d+: ")
    assert.is_truthy(problems("jobs: 1\njobs: 2\n")[1]:find "^settings%.yaml:2:1: ")
  end)

  it("wants the folder it is told", function()
    local ok, e = pcall(settings.load, box:at "none")
    assert.is_false(ok)
    assert.is_true(errors.is(e, errors.UsageError))
    assert.equal("--xpm-config-dir " .. box:at "none" .. ": no such folder", e.message)
  end)
end)
