-- Experiment code as `xpm run-experiment` finds and loads it: file, module, search paths, helpers, schema, errors.

local cli = require "support.cli"

describe("experiment code", function()
  local box
  before_each(function() box = cli.sandbox() end)
  after_each(function() box:close() end)

  local function run(...) return box:run { "run-experiment", "--workdir", "w", ... } end
  local function refused(code, pattern, ...)
    local r = run(...)
    assert.equal(code, r.code, r.err)
    assert.is_truthy(r.err:find(pattern), r.err)
    assert.is_false(box:exists "w/xp", "nothing may be left behind")
  end

  it("is experiment.lua beside the YAML by default, with or without .lua in `file`", function()
    box:write("p/experiment.lua", "function run(helper, cfg) print('default', cfg.id, cfg.title, cfg.dirty_git) end")
    box:write("p/other.lua", "return { run = function(helper, cfg) print('other') end }")
    box:write("p/a.yaml", "id: a\n")
    box:write("p/b.yaml", "id: b\nfile: other\n")
    box:write("p/c.yaml", "id: c\nfile: other.lua\n")
    assert.equal("default\ta\t\twarn\n", run("p/a.yaml").out)
    assert.equal("other\n", run("p/b.yaml").out)
    assert.equal("other\n", run("p/c.yaml").out)
    assert.equal("other\n", run("--file", "p/other.lua", "p/a.yaml").out)
  end)

  it("is found from the YAML that names it, also through imports, and requires its neighbours", function()
    box:write("lib/experiment.lua", "local m = require 'neighbour'\nfunction run() print(m) end")
    box:write("lib/neighbour.lua", "return 'near'")
    box:write("lib/base.yaml", "file: experiment\n")
    box:write("deep/er/main.yaml", "imports: [../../lib/base.yaml]\nid: x\n")
    box:write("lib/experiment.lua", "local m = require 'neighbour'\nfunction run(h, c) print(m) end")
    local r = run("deep/er/main.yaml")
    assert.same({ 0, "near\n" }, { r.code, r.out }, r.err)
  end)

  it("may be a module, found as the reference says, by lua_path or pythonpath, or named on the command line", function()
    box:write("src/first_stage/experiment.lua", "return { run = function(h, c) print('staged') end }")
    box:write("src/first_stage/full.yaml", "id: m\nmodule: first_stage.experiment\n")
    box:write("conf/a.yaml", "id: m\nmodule: first_stage.experiment\nlua_path: [../src]\n")
    box:write("conf/b.yaml", "id: m\nmodule: first_stage.experiment\npythonpath:\n- ../src\n")
    box:write("conf/c.yaml", "id: m\nlua_path: [../src]\n")
    for _, args in ipairs { { "src/first_stage/full.yaml" }, { "conf/a.yaml" }, { "conf/b.yaml" },
      { "--module-name", "first_stage.experiment", "conf/c.yaml" } } do
      local r = run(table.unpack(args))
      assert.same({ 0, "staged\n" }, { r.code, r.out }, r.err)
    end
  end)

  it("tells what is wrong with where it should be", function()
    box:write("a.yaml", "id: a\n")
    box:write("b.yaml", "id: a\nfile: nowhere\n")
    box:write("c.yaml", "id: a\nmodule: no.such\n")
    box:write("d.yaml", "id: a\nmodule: x\nfile: y\n")
    box:write("e.yaml", "id: a\nmodule: x\nlua_path: [gone]\n")
    refused(3, "a%.yaml: no experiment code at .*/experiment%.lua", "a.yaml")
    refused(3, "b%.yaml:2:7: file: no experiment code at .*/nowhere%.lua", "b.yaml")
    refused(3, "c%.yaml:2:9: module: module 'no%.such' not found", "c.yaml")
    refused(3, "d%.yaml:2:9: module: 'module' and 'file' %(d%.yaml:3:7%) exclude each other", "d.yaml")
    refused(3, "e%.yaml:3:12: lua_path%.0: no such folder", "e.yaml")
  end)

  it("must define run(helper, cfg)", function()
    box:write("a.yaml", "id: a\n")
    box:write("experiment.lua", "local x = 1")
    refused(3, "defines no run%(helper, cfg%)", "a.yaml")
    box:write("experiment.lua", "function run(a) end")
    refused(3, "experiment%.lua:1: run must take two arguments %(helper, cfg%), not 1", "a.yaml")
    box:write("experiment.lua", "function run(a, b, c) end")
    refused(3, "not 3", "a.yaml")
    box:write("experiment.lua", "run = 7")
    refused(3, "run must be a function, is an integer", "a.yaml")
    box:write("experiment.lua", "function run(...) print(select('#', ...)) end")
    assert.equal("2\n", run("a.yaml").out)
  end)

  it("shows its own file and line in errors, not xpm's", function()
    box:write("a.yaml", "id: a\n")
    box:write("experiment.lua", "local function inner() error('broken') end\nfunction run(h, c)\n  inner()\nend")
    local r = run("a.yaml")
    assert.equal(3, r.code)
    assert.is_truthy(r.err:find("experiment.lua:1: broken", 1, true), r.err)
    assert.is_truthy(r.err:find("experiment.lua:3: in", 1, true), r.err)
    assert.is_nil(r.err:find("lua/xpm/", 1, true), r.err)
    box:shell "rm -r w"
    box:write("experiment.lua", "function run(h, c)\n  x = = 1\nend")
    refused(3, "experiment%.lua:2: unexpected symbol near '='", "a.yaml")
    box:write("experiment.lua", "local xpm = require 'xpm'\nlocal T = xpm.task { id = 't', params = { lr = 'nummber' },\n"
      .. "  execute = print }")
    refused(3, "experiment%.lua:%d: task t: 'lr': unknown type 'nummber' %(did you mean 'number'%?%)", "a.yaml")
  end)

  it("refuses extra arguments unless its helper takes them", function()
    box:write("a.yaml", "id: a\n")
    box:write("experiment.lua", "function run(h, c) print 'ran' end")
    local r = run("a.yaml", "more")
    assert.equal(2, r.code)
    assert.is_truthy(r.err:find "takes no further arguments, got 'more'")
    box:write("experiment.lua", [[
      local xpm = require "xpm"
      local Helper = xpm.ExperimentHelper:extend {
        run = function(self, args, cfg) return self.callable(self, cfg, #args, args[2]) end }
      run = Helper.decorator(function(helper, cfg, n, second) print(cfg.id, n, second, helper.xp.id) end)]])
    assert.equal("a\t2\t--flag\ta\n", run("a.yaml", "--", "one", "--flag").out)
  end)

  it("is given cfg checked against its schema, with positions for what is wrong", function()
    box:write("experiment.lua", [[
      local xpm = require "xpm"
      local Model = xpm.configuration { layers = { type = "integer", default = 2 }, name = "string" }
      return { configuration = xpm.configuration { learning_rate = { type = "number", default = 1e-3 },
          model = Model, kind = { type = xpm.enum { "adam", "sgd" }, default = "adam" },
          sizes = { type = xpm.list("integer"), default = { 1, 2 } }, note = xpm.optional("string") },
        run = function(helper, cfg)
          local keys = {}
          for k in xpm.pairs(cfg) do keys[#keys + 1] = k end
          print(cfg.learning_rate, cfg.model.layers, cfg.model.name, cfg.kind, #cfg.sizes, cfg.note, keys[1], keys[2])
        end }]])
    box:write("a.yaml", "model: {name: m}\nid: a\n")
    assert.equal("0.001\t2\tm\tadam\t2\tnil\tmodel\tid\n", run("a.yaml").out)
    assert.equal("0.5\t3\t7x\tsgd\t1\thi\tmodel\tid\n", run("-c", "learning_rate='0.5'", "-c", "model.layers=3", "-c",
      "model.name=7x", "-c", "kind=sgd", "-c", "sizes=[4]", "-c", "note=hi", "a.yaml").out)
    box:shell "rm -rf w"
    box:write("b.yaml", "id: a\nmodel:\n  nam: m\n  layers: two\nkind: adm\nlerning_rate: 1\nsizes: [1, x]\ntitle: 3\n")
    local r = run("b.yaml")
    assert.equal(3, r.code)
    assert.is_truthy(r.err:find("b.yaml:8:8: title: must be a string, is an integer", 1, true), r.err)
    r = run("-c", "title=x", "b.yaml")
    for _, line in ipairs { "b.yaml:3:3: model.nam: unknown key (did you mean 'name'?)",
      'b.yaml:4:11: model.layers: must be an integer, is "two"', "model.name: is missing",
      'b.yaml:5:7: kind: must be one of adam, sgd, is "adm" (did you mean \'adam\'?)',
      "b.yaml:6:1: lerning_rate: unknown key (did you mean 'learning_rate'?)",
      'b.yaml:7:12: sizes.1: must be an integer, is "x"' } do
      assert.is_truthy(r.err:find(line, 1, true), line .. "\n" .. r.err)
    end
    assert.is_false(box:exists "w/xp")
  end)

  it("refuses base options that are wrong, together, and ids that would leave the workspace", function()
    box:write("experiment.lua", "error('must not be loaded')")
    box:write("a.yaml", "title: x\n")
    refused(3, "a%.yaml: id: is missing", "a.yaml")
    box:write("b.yaml", "id: [1]\ndirty_git: eror\nadd_timestamp: maybe\n")
    local r = run("b.yaml")
    assert.is_truthy(r.err:find("b.yaml:1:5: id: must be a string, is a list", 1, true), r.err)
    assert.is_truthy(r.err:find('b.yaml:2:12: dirty_git: must be one of ignore, warn, error, is "eror" '
      .. "(did you mean 'error'?)", 1, true), r.err)
    assert.is_truthy(r.err:find('b.yaml:3:16: add_timestamp: must be true or false, is "maybe"', 1, true), r.err)
    for _, id in ipairs { "../x", "/x", "a\\nb", "-rf", "a/b", "..", "", "a..b", ("x"):rep(300) } do
      box:write("c.yaml", ('id: "%s"\n'):format(id))
      refused(3, "c%.yaml:1:5: id: ", "c.yaml")
    end
    assert.is_false(box:exists "../x")
  end)

  it("appends a timestamp when asked", function()
    box:write("experiment.lua", "function run(h, c) print(h.xp.id, c.id) end")
    box:write("a.yaml", "id: a\nadd_timestamp: true\n")
    assert.is_truthy(run("a.yaml").out:find "^a%-%d%d%d%d%d%d%d%d%-%d%d%d%d\ta\n")
  end)

  it("runs pre_experiment first: a file or a module, with its error cases", function()
    box:write("experiment.lua", "print(os.getenv 'MARK', require('heavy').anything.at.all)\nfunction run(h, c) end")
    box:write("pre.lua", "local xpm = require 'xpm'\nxpm.setenv('MARK', '4')\nxpm.mock_modules { 'heavy' }")
    box:write("pkg/pre.lua", "local xpm = require 'xpm'\nxpm.setenv('MARK', 'module')\nxpm.mock_modules { 'heavy' }")
    box:write("a.yaml", "id: a\npre_experiment: pre.lua\n")
    box:write("b.yaml", "id: a\npre_experiment: pkg.pre\n")
    box:write("c.yaml", "id: a\npre_experiment: ./gone.lua\n")
    box:write("d.yaml", "id: a\npre_experiment: gone.module\n")
    box:write("e.yaml", "id: a\npre_experiment: bad.lua\n")
    box:write("bad.lua", "\nerror 'on purpose'")
    local r = run("a.yaml")
    assert.equal("4\theavy.anything.at.all\n", r.out, r.err)
    assert.equal("module\theavy.anything.at.all\n", run("b.yaml").out)
    box:shell "rm -rf w"
    refused(3, "c%.yaml:2:17: pre_experiment: no such file: .*/gone%.lua", "c.yaml")
    refused(3, "d%.yaml:2:17: pre_experiment: module 'gone%.module' not found", "d.yaml")
    refused(3, "bad%.lua:2: on purpose", "e.yaml")
  end)
end)
