-- Which workspace a run uses, and the variables that settings, workspace and command line give to it and its jobs.

local cli = require "support.cli"

describe("the workspace of a run", function()
  local box
  before_each(function()
    box = cli.sandbox()
    box:write("experiment.lua", [[
      local xpm = require "xpm"
      local T = xpm.task { id = "t", execute = function() print(os.getenv "A", os.getenv "B", os.getenv "C") end }
      function run(helper, cfg) T {}:submit() print(helper.xp.workdir, os.getenv "A", os.getenv "B", os.getenv "C") end]])
    box:write("a.yaml", "id: vision-a\n")
    box:write("conf/settings.yaml", ("env: {A: settings, B: settings}\nworkspaces:\n- {id: first, path: %s}\n"
      .. "- {id: second, path: %s, triggers: ['vision-*'], env: {B: workspace, C: workspace}}\n"):format(
      box:at "w1", box:at "w2"))
  end)
  after_each(function() box:close() end)

  local function run(...)
    local r = box:run { "run-experiment", "a.yaml", ... }
    assert.equal(0, r.code, r.err)
    return r.out, r.err
  end

  it("is the default one without settings, and it is said", function()
    local out, err = run()
    local default = box.home .. "/.local/share/xpm/default"
    assert.equal(default .. "\tnil\tnil\tnil\n", out)
    assert.is_truthy(err:find("workspace " .. default .. " (the default workspace)", 1, true), err)
  end)

  it("is chosen by trigger, by --workspace, by --workdir before or after the verb", function()
    local out, err = run("--xpm-config-dir", "conf")
    assert.equal(box:at "w2" .. "\tsettings\tworkspace\tworkspace\n", out)
    assert.is_truthy(err:find("trigger 'vision-*'", 1, true), err)
    assert.equal("settings\tworkspace\tworkspace\n", box:shell "cat w2/jobs/t/*/t.out")
    assert.equal(box:at "w1" .. "\tsettings\tsettings\tline\n",
      (run("--xpm-config-dir", "conf", "--workspace", "first", "--env", "C=line")))
    assert.equal(box:at "w3" .. "\tsettings\tsettings\tnil\n",
      (run("--xpm-config-dir", "conf", "--workspace", "first", "--workdir", "w3")))
    local before = box:run { "--workdir", "w4", "run-experiment", "a.yaml" }
    assert.equal(box:at "w4" .. "\tnil\tnil\tnil\n", before.out)
    local r = box:run { "run-experiment", "--xpm-config-dir", "conf", "--workspace", "frst", "a.yaml" }
    assert.equal(4, r.code)
    assert.is_truthy(r.err:find("unknown workspace 'frst', did you mean 'first'?", 1, true), r.err)
  end)
end)
