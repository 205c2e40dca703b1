local config = require "xpm.config"
local fixture = require "support.config_fixture"

local folder
local function path(name) return folder .. "/" .. name end

local function write(name, text)
  local f = assert(io.open(path(name), "wb"))
  f:write(text)
  f:close()
  return path(name)
end

-- The message without the folder of this test.
local function message(options)
  local tree, text, code = config.load(options)
  assert.is_nil(tree)
  return (text:gsub(folder:gsub("%p", "%%%0") .. "/", "")), code
end

local function load(text, overrides)
  return assert(config.load { file = write("main.yaml", text), overrides = overrides })
end

setup(function()
  local p = assert(io.popen "mktemp -d")
  folder = p:read "l"
  p:close()
end)
teardown(function() os.execute("rm -rf '" .. folder .. "'") end)

describe("fixtures", function()
  for _, name in ipairs(fixture.names()) do
    it(name, function()
      local text, kind = fixture.run(name)
      local expected, expected_kind = fixture.expected(name)
      assert.equal(expected, text)
      assert.equal(expected_kind, kind)
    end)
  end
end)

describe("files", function()
  it("that are missing, folders, or no regular files are refused at once", function()
    local text, code = message { file = path "none.yaml", pre = { path "pre.yaml" }, post = { path "post.yaml" } }
    assert.equal("pre.yaml: cannot open the file: No such file or directory\n" ..
      "none.yaml: cannot open the file: No such file or directory\n" ..
      "post.yaml: cannot open the file: No such file or directory", text)
    assert.equal("not_found", code)
    os.execute("mkdir '" .. path "sub.yaml" .. "'; mkfifo '" .. path "fifo.yaml" .. "'")
    assert.equal("sub.yaml: this is a folder, not a file", (message { file = path "sub.yaml" }))
    assert.equal("fifo.yaml: this is not a regular file", (message { file = path "fifo.yaml" }))
    assert.equal("fifo.yaml: this is not a regular file", (message { file = write("i.yaml", "imports: [fifo.yaml]") }))
  end)

  it("with bytes that are no text are refused where they are", function()
    assert.equal("nul.yaml:2:4: a NUL byte", (message { file = write("nul.yaml", "a: 1\nb: \0\n") }))
    assert.equal("latin.yaml:2:4: not UTF-8 from here", (message { file = write("latin.yaml", "a: 1\né: \xE9t\xE9\n") }))
    assert.equal("wide.yaml: the text is UTF-16; xpm reads UTF-8", (message { file = write("wide.yaml", "\xFF\xFEa\0:\0") }))
    assert.equal("esc.yaml:1:4: a control character", (message { file = write("esc.yaml", "a: \27[2J\n") }))
    assert.equal("z.yaml:1:4: a: a string cannot hold a NUL character", (message { file = write("z.yaml", 'a: "\\0"') }))
  end)

  it("may start with a byte order mark", function()
    local tree = load "\xEF\xBB\xBFa: 1\n"
    assert.same({ text = path "main.yaml" .. ":1:4", file = path "main.yaml", line = 1, column = 4 }, tree:where "a")
  end)

  it("past the size limit are refused", function()
    local file = write("big.yaml", "a: 1234567\n")
    local text, code = message { file = file, limit = 10 }
    assert.equal("big.yaml: the file has 11 bytes, the limit is 10", text)
    assert.equal("limit", code)
    assert.equal(1234567, assert(config.load { file = file, limit = 11 }):get "a")
  end)

  it("are told with their role, in order of merging", function()
    write("a.yaml", "x: 1")
    write("b.yaml", "imports: [a.yaml]\nx: 2")
    write("p.yaml", "parent: a.yaml")
    local tree = assert(config.load { pre = { path "p.yaml" }, file = path "b.yaml", post = { path "a.yaml" } })
    local roles = {}
    for i, s in ipairs(tree:sources()) do roles[i] = s.role .. " " .. s.path:match "[^/]+$" end
    assert.same({ "import a.yaml", "pre p.yaml", "import a.yaml", "main b.yaml", "post a.yaml" }, roles)
    assert.same({ path "p.yaml" .. ":1:1: parent: deprecated, use imports (a list)" }, tree:warnings())
    assert.equal(1, tree:get "x")
  end)

  it("reached by two names are the same file", function()
    write("base.yaml", "x: base")
    write("left.yaml", "imports: [base.yaml]\nx: left")
    os.execute("ln -sf base.yaml '" .. path "link.yaml" .. "'")
    assert.equal("left", load("imports: [left.yaml, link.yaml]"):get "x")
  end)
end)

describe("bombs end fast", function()
  local function timed(text, pattern)
    local file = write("bomb.yaml", text)
    local before = os.clock()
    local what, code = message { file = file }
    assert.is_true(os.clock() - before < 0.2)
    assert.matches(pattern, what)
    assert.equal("limit", code)
  end

  it("100 KB of brackets", function() timed(("["):rep(100000), "bomb.yaml:1:257: .*nested deeper than the limit of 256") end)
  it("deep indentation", function()
    local lines = {}
    for i = 0, 400 do lines[#lines + 1] = (" "):rep(i) .. "a:" end
    timed(table.concat(lines, "\n"), "bomb.yaml:257:257: .*nested deeper")
  end)
  it("aliases", function()
    local lines = { "a0: &a0 [x, x, x, x, x, x, x, x, x, x]" }
    for i = 1, 12 do lines[#lines + 1] = ("a%d: &a%d [%s]"):format(i, i, (", *a" .. i - 1):rep(10):sub(3)) end
    timed(table.concat(lines, "\n"), "aliases make more values than the limit")
  end)
  it("interpolated lists and texts", function()
    for _, form in ipairs { "a%d: [%s]", "a%d: '%s'" } do
      local lines = { form:format(0, "x") }
      for i = 1, 12 do
        local one = "${a" .. i - 1 .. "}"
        lines[#lines + 1] = form:format(i, form:find "'" and one:rep(10) or ('"' .. one .. '", '):rep(10))
      end
      timed(table.concat(lines, "\n"), "interpolations make more")
    end
  end)
  it("chains of references", function()
    local lines = {}
    for i = 1, 5000 do lines[i] = ("k%d: ${k%d}"):format(i, i + 1) end
    timed(table.concat(lines, "\n") .. "\nk5001: 1", "follow one another further than the limit of 256")
  end)
  it("many problems", function()
    local text = message { file = write("many.yaml", ("a: 1\n"):rep(1000)) }
    assert.equal(101, select(2, text:gsub("\n", "")) + 1)
    assert.matches("%.%.%. and 899 more problems$", text)
  end)
end)

describe("a tree", function()
  it("knows where values and keys stand", function()
    local tree = load("a:\n  b: [1, {c: 2}]\n  é: x\n", { "n.k=1", "a.b.1.c=5" })
    local main = path "main.yaml"
    assert.equal(main .. ":2:7", tree:where "a.b.0".text)
    assert.same({ text = main .. ":2:3", file = main, line = 2, column = 3 }, tree:where_key "a.b")
    assert.same({ text = main .. ":3:6", file = main, line = 3, column = 6 }, tree:where "a.é")
    assert.same({ text = "-c a.b.1.c=5", option = "a.b.1.c=5" }, tree:where "a.b.1.c")
    assert.same({ text = "-c a.b.1.c=5", option = "a.b.1.c=5" }, tree:where_key "a.b.1.c")
    assert.is_nil(tree:where_key "a.b.0")
    assert.is_nil(tree:where "a.b.9")
    assert.is_nil(tree:get "a.b.x")
    assert.is_nil(tree:get "a..b")
    assert.is_nil(tree:kind "nothing")
    assert.equal("list", tree:kind "a.b")
    assert.equal("map", tree:kind())
    assert.equal("integer", tree:kind "n.k")
  end)

  it("tells the origin of each leaf and what it replaced", function()
    write("base.yaml", "lr: 1\nopt: {a: 1, b: [1, 2]}\nempty: []\n")
    local tree = load("imports: [base.yaml]\nlr: 2\nopt: {b: [7]}\n", { "lr=3", "opt.a=${lr}" })
    local lines = {}
    for i, o in ipairs(tree:origins()) do
      local parts = { o.path, o.value, o.where }
      for _, r in ipairs(o.replaced) do parts[#parts + 1] = "<- " .. r.value .. " " .. r.where end
      lines[i] = table.concat(parts, " "):gsub(folder:gsub("%p", "%%%0") .. "/", "")
    end
    assert.same({
      "lr 3 -c lr=3 <- 2 main.yaml:2:5 <- 1 base.yaml:1:5",
      "opt.a 3 -c opt.a=${lr} <- 1 base.yaml:2:10",
      "opt.b.0 7 main.yaml:3:11 <- 1 base.yaml:2:17",
      "empty [] base.yaml:3:8",
    }, lines)
  end)

  it("is closed once", function()
    local tree = load "a: 1"
    assert.equal("xpm.config.tree (1 files)", tostring(tree))
    tree:close()
    tree:close()
    assert.equal("xpm.config.tree (closed)", tostring(tree))
    for _, method in ipairs { "get", "kind", "where", "where_key", "origins", "to_json", "sources", "warnings" } do
      assert.has_error(function() tree[method](tree, "") end, "xpm.config.tree is closed")
    end
  end)

  it("gives ordered maps, marked lists and null", function()
    local tree = load "z: 1\ny: {}\nx: []\nw: null\nv: {b: 1, a: 2}\n"
    local t = tree:get()
    local keys = {}
    for k in config.pairs(t) do keys[#keys + 1] = k end
    assert.same({ "z", "y", "x", "w", "v" }, keys)
    assert.equal("map", config.kind(t.y))
    assert.equal("list", config.kind(t.x))
    assert.equal(config.null, t.w)
    assert.equal("null", tostring(config.null))
    assert.equal('{"z": 1, "y": {}, "x": [], "w": null, "v": {"b": 1, "a": 2}}', config.encode_json(t))
    assert.equal(config.encode_json(t), tree:to_json())
  end)

  it("refuses misuse of load", function()
    assert.has_error(function() config.load { files = "x" } end,
      "unknown option 'files' (allowed: pre, file, post, overrides, limit)")
    assert.has_error(function() config.load { file = 1 } end, "option 'file' must be a string")
    assert.has_error(function() config.load { file = "a\0b" } end, "option 'file': a path holds a NUL byte")
    assert.has_error(function() config.load { pre = "x" } end, "option 'pre' must be a list of strings, not a string")
    assert.has_error(function() config.load { overrides = { 1 } } end, "option 'overrides' must be a list of strings")
    assert.has_error(function() config.load { limit = "1" } end, "option 'limit' must be an integer from 0")
    assert.has_error(function() config.load() end)
  end)

  it("can have overrides alone", function()
    assert.equal('{"a": {"b": 1}}', assert(config.load { overrides = { "a.b=1" } }):to_json())
    assert.equal("-c a\\x1b: there is no '=': write -c key=value", (message { overrides = { "a\27" } }))
    assert.equal("-c a\\x00=1: a NUL byte", (message { overrides = { "a\0=1" } }))
    assert.equal("-c a=\\xff: not UTF-8", (message { overrides = { "a=\xFF" } }))
  end)
end)

describe("interpolation", function()
  it("reads the environment", function()
    local home = os.getenv "HOME"
    local tree = load("a: ${env:HOME}\nb: ${env:HOME}/x\nc: ${env:XPM_SPEC_UNSET, d}\n")
    assert.same({ a = home, b = home .. "/x", c = " d" }, tree:get())
  end)
end)

describe("parse_yaml", function()
  it("gives Lua values", function()
    assert.same({ a = { 1, 2.5, true, "x" } }, config.parse_yaml "a: [1, 2.5, true, x]")
    assert.equal(config.null, config.parse_yaml "")
    assert.is_false(config.parse_yaml "false")
    assert.equal("float", math.type(config.parse_yaml "1e-3"))
    assert.equal("integer", math.type(config.parse_yaml "9223372036854775807"))
    assert.equal("${x}", config.parse_yaml "${x}")
    assert.same({ imports = { "a" } }, config.parse_yaml "imports: [a]")
  end)
  it("says what is wrong", function()
    local value, text, code = config.parse_yaml("{a: 1, a: 2}", "f.yaml")
    assert.is_nil(value)
    assert.equal("f.yaml:1:8: a: duplicate key (first in line 1)", text)
    assert.equal("invalid", code)
  end)
end)

describe("parse_json", function()
  it("gives Lua values", function()
    local t = config.parse_json '{"z": 1, "a": [null, 1.0, 9007199254740993], "e": {}}'
    assert.equal('{"z": 1, "a": [null, 1.0, 9007199254740993], "e": {}}', config.encode_json(t))
  end)
  it("says what is wrong", function()
    assert.same({ nil, "p.json: invalid JSON at byte 3: a value is expected", "invalid" },
      { n = nil, config.parse_json("[1,]", "p.json") })
    assert.same({ nil, "invalid JSON: a key stands twice in a map", "invalid" }, { config.parse_json '{"a": 1, "a": 2}' })
  end)
end)

describe("encode_json", function()
  it("writes each kind of value", function()
    assert.equal('[1, 1.0, 0.0001, 1e-05, "a\\"\\n\\u0000", true, false, null, [], {}, ".inf", "-.inf", ".nan"]',
      config.encode_json { 1, 1.0, 1e-4, 1e-5, 'a"\n\0', true, false, config.null, config.list {}, {}, 1 / 0, -1 / 0, 0 / 0 })
    assert.equal(tostring(math.mininteger), config.encode_json(math.mininteger))
    assert.equal('"\u{FFFD}"', config.encode_json "\xFF")
    assert.equal('{"a": 1, "b": 2, "c": 3}', config.encode_json { c = 3, b = 2, a = 1 })
    assert.equal('{\n  "a": [\n    1\n  ],\n  "b": {}\n}', config.encode_json({ a = { 1 }, b = {} }, { indent = 2 }))
  end)
  it("refuses what JSON cannot hold", function()
    local loop = {}
    loop.a = { loop }
    local deep = {}
    for _ = 1, 600 do deep = { deep } end
    for value, text in pairs {
      [print] = "cannot encode a function", [io.stdout] = "cannot encode a userdata",
      [loop] = "cannot encode: a table contains itself", [deep] = "cannot encode: nested deeper than 500 levels",
      [{ 1, a = 2 }] = "cannot encode: a map's keys must be strings, not number (1)",
      [{ [2] = 1 }] = "cannot encode: a map's keys must be strings, not number (2)",
      [config.list { 1, a = 2 }] = "cannot encode: a list with the key 'a'",
    } do
      assert.has_error(function() config.encode_json(value) end, text)
      assert.has_error(function() config.encode_yaml(value) end, text)
    end
    assert.has_error(function() config.encode_json() end)
    assert.has_error(function() config.encode_json(1, { indnet = 2 }) end, "unknown option 'indnet' (allowed: indent)")
  end)
  it("takes a table twice that is no cycle", function()
    local t = { 1 }
    assert.equal("[[1], [1]]", config.encode_json { t, t })
  end)
end)

describe("encode_yaml", function()
  local texts = { "", " ", "a", "a b", " a", "a ", "1", "1e-3", "null", "true", "no", "~", "- a", "a: b", "a #b", "#", "'", '"',
    "a\nb\n", "\n", "\t", "${x}", "*a", "&a", "!t", "<<", "=", "0x1F", ".inf", "---", "...", "é", "\u{2028}",
    "\u{85}", "\u{FEFF}",
    "\u{1F600}",
    "[1]", "{a}", "a,b", "%x", "@x", "`x", "|", ">", "?", "? a", ":", "\27[0m", "\u{9F}", "a\\b", "2001-12-14",
    ("x"):rep(2000), "\u{FFFF}", "C:\\new" }
  it("reads back equal, as values and as keys", function()
    for _, text in ipairs(texts) do
      assert.equal(text, (config.parse_yaml(config.encode_yaml(text))))
      local map, list = { [text] = text, z = { [text] = {} } }, { text, { text }, { { text } }, { a = text, b = 1 } }
      assert.same(map, (config.parse_yaml(config.encode_yaml(map))))
      assert.same(list, (config.parse_yaml(config.encode_yaml(list))))
    end
  end)
  it("writes a document", function()
    local t = config.parse_yaml "{z: 1.0, a: [[], {}, [1, [2]], {k: v, l: {m: null}}], s: 'no', f: [.inf, .nan]}"
    assert.equal([[
z: 1.0
a:
  - []
  - {}
  - - 1
    - - 2
  - k: v
    l:
      m: null
s: "no"
f:
  - .inf
  - .nan
]], config.encode_yaml(t))
    assert.equal(config.encode_json(t), config.encode_json((config.parse_yaml(config.encode_yaml(t)))))
    assert.equal("[]\n", config.encode_yaml(config.list {}))
    assert.equal("{}\n", config.encode_yaml {})
    assert.equal("3\n", config.encode_yaml(3))
  end)
end)

describe("order and kind", function()
  local function keys(t)
    local out = {}
    for k in config.pairs(t) do out[#out + 1] = k end
    return out
  end
  it("of tables", function()
    local t = config.order({ b = 1, a = 2, d = 4, c = 3 }, { "c", "gone", "a", "c" })
    assert.same({ "c", "a", "b", "d" }, keys(t))
    t.c, t.e = nil, 5
    assert.same({ "a", "b", "d", "e" }, keys(t))
    assert.same({ 1, 2, 3 }, keys { "x", "y", "z" })
    assert.same({ 2, 10, "a", "b" }, keys { b = 1, a = 1, [10] = 1, [2] = 1 })
    assert.same({}, keys {})
    assert.is_nil(getmetatable(t))
  end)
  it("survives changes while it is walked", function()
    local t = config.order({ a = 1, b = 2, c = 3 }, { "a", "b", "c" })
    local seen = {}
    for k in config.pairs(t) do
      seen[#seen + 1] = k
      t.b, t.new = nil, 1
    end
    assert.same({ "a", "c" }, seen)
  end)
  it("kind follows the mark, then the keys", function()
    assert.equal("map", config.kind {})
    assert.equal("list", config.kind { 1 })
    assert.equal("map", config.kind { 1, x = 1 })
    assert.equal("list", config.kind(config.list {}))
    assert.equal("map", config.kind(config.order({ 1 }, {})))
    assert.equal("list", config.kind(config.list(config.order({}, {}))))
    assert.has_error(function() config.kind(1) end)
    assert.has_error(function() config.list() end)
    assert.has_error(function() config.order({}, "a") end)
  end)
  it("marks do not keep tables alive", function()
    local weak = setmetatable({}, { __mode = "k" })
    weak[config.order({}, { "a" })] = true
    weak[config.list {}] = true
    collectgarbage()
    assert.is_nil(next(weak))
  end)
end)

describe("nearest", function()
  it("finds a likely slip", function()
    assert.equal("learning_rate", config.nearest("learnig_rate", { "epochs", "learning_rate" }))
    assert.is_nil(config.nearest("momentum", { "epochs", "learning_rate" }))
    assert.is_nil(config.nearest("x", {}))
  end)
end)
