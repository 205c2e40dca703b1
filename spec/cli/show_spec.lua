-- `xpm run-experiment --show`: the merged configuration, and where it comes from.

local cli = require "support.cli"

describe("xpm run-experiment --show", function()
  local box
  setup(function()
    box = cli.sandbox()
    box:write("base.yaml", "learning_rate: 1e-3\nbatch_size: 32\nmodel: {layers: 2, name: tiny}\n")
    box:write("optimizer.yaml", "optimizer: adam\nweight_decay: 0.01\n")
    box:write("experiment.yaml", "imports:\n- base.yaml\n- optimizer.yaml\nid: my-experiment\nlearning_rate: 1e-4\n")
    box:write("pre.yaml", "seed: 1\nbatch_size: 8\n")
    box:write("post.yaml", "optimizer: sgd\n")
  end)
  teardown(function() box:close() end)

  local function show(...) return box:run { "run-experiment", "--show", ... } end

  it("prints the merged configuration in order, indented, and runs nothing", function()
    local r = show("experiment.yaml")
    assert.same({ 0, "" }, { r.code, r.err })
    assert.equal([[{
  "learning_rate": 0.0001,
  "batch_size": 32,
  "model": {
    "layers": 2,
    "name": "tiny"
  },
  "optimizer": "adam",
  "weight_decay": 0.01,
  "id": "my-experiment"
}
]], r.out)
    assert.equal("", box:shell "ls -A ../h; ls | grep -v yaml || :")
  end)

  it("merges --pre-yaml, --post-yaml and -c, in any place on the line", function()
    local r = box:run { "run-experiment", "-c", "model.layers=6", "--pre-yaml", "pre.yaml", "experiment.yaml", "--show",
      "--post-yaml=post.yaml", "-clearning_rate=1e-5" }
    assert.equal(0, r.code, r.err)
    local doc = require("xpm.config").parse_json(r.out)
    assert.same({ 6, "tiny", 1, 32, "sgd", 1e-5 }, { doc.model.layers, doc.model.name, doc.seed, doc.batch_size,
      doc.optimizer, doc.learning_rate })
  end)

  it("says with --origin where each value was set and what it replaced", function()
    local r = show("--origin", "-c", "model.layers=6", "experiment.yaml")
    assert.same({ 0, "" }, { r.code, r.err })
    assert.is_truthy(r.out:find "learning_rate = 0%.0001 +experiment%.yaml:5:16\n    replaced 0%.001   base%.yaml:1:16\n")
    assert.is_truthy(r.out:find "model%.layers = 6 +%-c model%.layers=6\n    replaced 2   base%.yaml:3:17\n")
    assert.is_truthy(r.out:find 'id = "my%-experiment" +experiment%.yaml:4:5\n')
  end)

  it("reports all problems with their places and exits 3", function()
    box:write("bad.yaml", "id: x\nid: y\n")
    local r = show("bad.yaml")
    assert.same({ 3, "" }, { r.code, r.out })
    assert.is_truthy(r.err:find("^xpm: bad%.yaml:2:1: "), r.err)
    r = show("missing.yaml")
    assert.equal(3, r.code)
    assert.is_truthy(r.err:find("^xpm: missing%.yaml: [^\n]+\n$"), r.err)
    r = show("-c", "novalue", "experiment.yaml")
    assert.same({ 3, "" }, { r.code, r.out })
    assert.is_truthy(r.err:find("novalue", 1, true))
    assert.is_nil(r.err:find("traceback", 1, true))
  end)

  it("warns of the deprecated parent on standard error", function()
    box:write("child.yaml", "parent: base.yaml\nid: x\n")
    local r = show("child.yaml")
    assert.equal(0, r.code, r.err)
    assert.is_truthy(r.err:find("^xpm: warning: child%.yaml:1:%d+: [^\n]*imports[^\n]*\n$"), r.err)
    assert.is_truthy(r.out:find('"batch_size": 32', 1, true))
  end)

  it("keeps control characters out of --origin", function()
    box:write("esc.yaml", 'id: "a\\eb"\n')
    local r = show("--origin", "esc.yaml")
    assert.equal('id = "a\\u001bb"   esc.yaml:1:5\n', r.out)
  end)

  it("needs no settings, no workspace and no experiment code", function()
    local r = box:run({ "run-experiment", "--show", "post.yaml", "--workspace", "none" })
    assert.equal(0, r.code, r.err)
    assert.equal('{\n  "optimizer": "sgd"\n}\n', r.out)
  end)

  it("refuses a file past the size limit, which can be set", function()
    box:shell "truncate -s 65M huge.yaml"
    local r = show("huge.yaml")
    assert.equal(3, r.code)
    assert.is_truthy(r.err:find "huge%.yaml: .*limit", r.err)
    box:write("big.yaml", "id: x\n" .. ("# filling\n"):rep(150000))
    assert.equal(0, show("big.yaml").code)
    r = show("--size-limit", "1", "big.yaml")
    assert.equal(3, r.code)
    assert.equal(0, show("--size-limit", "999999999999999", "big.yaml").code)
    assert.equal(2, show("--size-limit", "0", "big.yaml").code)
  end)
end)
