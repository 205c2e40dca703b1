-- Declaring tasks and making instances of them: names, types, problems, tags, identifiers, params.json.

local config = require "xpm.config"
local params = require "xpm.params"
local xpm = require "xpm"

local function message(f, ...)
  local ok, e = pcall(f, ...)
  assert.is_false(ok, "no error was raised")
  return tostring(e)
end

local function has(text, part) assert.is_truthy(text:find(part, 1, true), text .. "\n  lacks: " .. part) end

local count = 0
local function define(options)
  count = count + 1
  options.id = options.id or "t" .. count
  options.execute = options.execute or options.command == nil and function() end or nil
  local class = xpm.task(options)
  return class
end

describe("xpm.task", function()
  it("refuses wrong declarations at the caller's line", function()
    for part, options in pairs {
      ["id \"../x\": must start with a letter or digit"] = { id = "../x" },
      ["id \"/x\": must start"] = { id = "/x" },
      ["id \"-rf\": must start"] = { id = "-rf" },
      ["must not hold '..'"] = { id = "a..b" },
      ["byte 0x0a"] = { id = "a\nb" },
      ["unknown option 'parms' (did you mean 'params'?)"] = { parms = {} },
      ["'submit': is a name that tasks reserve"] = { params = { submit = "any" } },
      ["'id': is a name that tasks reserve"] = { params = { id = "any" } },
      ["'tag': is a name that tasks reserve"] = { params = { tag = "any" } },
      ["'progress': is a name that tasks reserve"] = { outputs = { progress = "x" } },
      ["'x' is both a parameter and an output"] = { params = { x = "any" }, outputs = { x = "y" } },
      ["'x': unknown type 'intger' (did you mean 'integer'?)"] = { params = { x = "intger" } },
      ["'x': the default must be an integer"] = { params = { x = { type = "integer", default = "a" } } },
      ["'x': unknown option 'defalt' (did you mean 'default'?)"] = { params = { x = { type = "any", defalt = 1 } } },
      ["must be a plain path inside the job's folder"] = { outputs = { o = "../o" } },
      ["is a file of xpm's own"] = { id = "a.train", outputs = { o = "train.done" } },
      ["either 'execute' or 'command'"] = { execute = print, command = print },
      ["'identity' is for a path"] = { params = { x = { type = "string", identity = "name" } } },
      ["constant needs a default"] = { params = { x = { type = "string", constant = true } } },
    } do
      local text = message(define, options)
      has(text, part)
      has(text, "task_spec.lua:")
    end
  end)

  it("checks the values of an instance and tells all problems", function()
    local T = define { id = "check", params = { n = "integer", lr = "number", kind = xpm.enum { "a", "b" },
      list = xpm.list("integer"), map = { type = xpm.map("number"), default = {} }, o = xpm.optional("string"),
      r = { type = "integer", range = { 1, 3 }, default = 2 } } }
    local t = T { n = 3.0, lr = 1, kind = "a", list = {}, map = { x = 1.5 } }
    assert.same({ 3, "integer" }, { t.n, math.type(t.n) })
    assert.same({ 2, nil, 1.5 }, { t.r, t.o, t.map.x })
    local text = message(T, { n = 1.5, lr = "0.1", kind = "c", list = { 1, "x" }, r = 9, lrr = 1 })
    has(text, "check: n: must be an integer, is a number")
    has(text, 'check: lr: must be a number, is "0.1"')
    has(text, 'check: kind: must be one of a, b, is "c"')
    has(text, 'check: list.1: must be an integer, is "x"')
    has(text, "check: r: must be between 1 and 3, is 9")
    has(text, "check: lrr: unknown key (did you mean 'lr'?)")
    has(message(T, {}), "check: n: is missing")
    has(message(function() return t.lrr end), "task check has no parameter or output 'lrr' (did you mean 'lr'?)")
    has(message(function() t.n = 4 end), "'n' cannot be set")
  end)

  it("makes paths absolute, for jobs run in folders of their own", function()
    local T = define { params = { file = "path", more = { type = xpm.list("path"), default = { "x" } } } }
    local cwd = require("xpm.sys").cwd()
    local t = T { file = "../data.csv" }
    assert.same({ cwd:match "^(.*)/" .. "/data.csv", cwd .. "/x" }, { t.file, t.more[1] })
    assert.equal("/abs", T { file = "/abs" }.file)
  end)

  it("takes tags from values, from `tag`, and from the tasks it uses", function()
    local A = define { params = { lr = "number", seed = "integer" } }
    local B = define { params = { a = xpm.list(A), k = { type = "integer", default = 0 } } }
    local one = A { lr = xpm.tag(0.1), seed = xpm.tag(1, "s") }:tag("model", "cnn")
    assert.same({ lr = "0.1", s = "1", model = "cnn" }, one:tags())
    local two = A { lr = xpm.tag(1e-4), seed = 1 }
    local b = B { a = { one, two }, k = xpm.tag(3) }
    assert.same({ lr = "0.1,0.0001", s = "1", model = "cnn", k = "3" }, b:tags())
    assert.same({ one, two }, b:dependencies())
    has(message(function() one:tag("../x", 1) end), "tag name")
    has(message(xpm.tag, 1, "a b"), "tag name")
  end)

  it("has an identifier of what counts", function()
    local Inner = xpm.configuration("inner", { layers = "integer", note = { type = "string", meta = true, default = "" } })
    local function declare(more)
      local p = { lr = "number", n = { type = "integer", default = 10 }, threads = { type = "integer", meta = true, default = 1 },
        inner = Inner, file = { type = "path", default = "/a" } }
      for k, v in pairs(more or {}) do p[k] = v end
      return define { id = "id.of" .. (more and more.id or ""), params = p }
    end
    local T = declare()
    local base = { lr = 1, inner = { layers = 2 } }
    local function id(class, change)
      local values = {}
      for k, v in pairs(base) do values[k] = v end
      for k, v in pairs(change or {}) do values[k] = v end
      return class(values):identifier()
    end
    local reference = id(T)
    assert.is_truthy(reference:find "^%x+$")
    assert.equal(64, #reference)
    assert.equal(reference, id(T, { lr = 1.0, n = 10, threads = 8, file = "/b", inner = { layers = 2, note = "x" } }))
    assert.equal(reference, T { lr = xpm.tag(1), inner = { layers = 2 } }:identifier())
    local seen = { [reference] = true }
    for _, change in ipairs { { lr = 2 }, { n = 11 }, { inner = { layers = 3 } } } do
      local other = id(T, change)
      assert.is_nil(seen[other])
      seen[other] = true
    end
  end)

  it("keeps an identifier when a parameter is added with ignore_default, and not with a constant", function()
    local path = os.tmpname()
    local function identifier(declarations, values)
      local chunk = assert(load("local xpm, p = ... return xpm.task { id = 'grow', params = p, execute = print }"))
      return chunk(xpm, declarations)(values):identifier()
    end
    local before = identifier({ a = "integer" }, { a = 1 })
    local later = { a = "integer", b = { type = "integer", default = 5, ignore_default = true } }
    assert.equal(before, identifier(later, { a = 1 }))
    assert.equal(before, identifier(later, { a = 1, b = 5 }))
    assert.are_not.equal(before, identifier(later, { a = 1, b = 6 }))
    local versioned = { a = "integer", v = { type = "integer", default = 1, constant = true } }
    assert.are_not.equal(before, identifier(versioned, { a = 1 }))
    has(message(identifier, versioned, { a = 1, v = 2 }), "v: is constant and cannot be set")
    local named = { a = "integer", f = { type = "path", identity = "name" } }
    assert.equal(identifier(named, { a = 1, f = "/x/file" }), identifier(named, { a = 1, f = "/y/file" }))
    assert.are_not.equal(identifier(named, { a = 1, f = "/x/file" }), identifier(named, { a = 1, f = "/x/other" }))
    local content = { a = "integer", f = { type = "path", identity = "content" } }
    local f = assert(io.open(path, "w")) f:write "one" f:close()
    local one = identifier(content, { a = 1, f = path })
    assert.equal(one, identifier(content, { a = 1, f = path }))
    f = assert(io.open(path, "w")) f:write "other" f:close()
    assert.are_not.equal(one, identifier(content, { a = 1, f = path }))
    os.remove(path)
    has(message(identifier, content, { a = 1, f = path }), "is not a file")
  end)

  it("writes and reads its parameters", function()
    local A = define { params = { n = "integer" } }
    local B = define { id = "b.any", params = { v = "any", a = A }, outputs = { o = "o.txt" } }
    local a = A { n = 1 }
    local value = { list = { 1, 2.5, "x", xpm.null }, ["$odd"] = { inf = 1 / 0 }, empty = config.list {}, big = math.maxinteger }
    local b = B { v = value, a = a }
    local doc = config.parse_json(params.encode(b))
    assert.same({ 1, "b.any", b:identifier() }, { doc.version, doc.task, doc.identifier })
    assert.equal("o.txt", doc.outputs.o)
    assert.equal(a:task_id() .. "/" .. a:identifier(), doc.parameters.a["$job"])
    local back = params.decode(doc.parameters, function(task, hash) return task .. "=" .. hash end)
    assert.equal(a:task_id() .. "=" .. a:identifier(), back.a)
    assert.same({ 1, 2.5, "x", xpm.null }, back.v.list)
    assert.equal(1 / 0, back.v["$odd"].inf)
    assert.equal("list", config.kind(back.v.empty))
    assert.equal(math.maxinteger, back.v.big)
    has(message(B, { v = { 1, print }, a = a }), "v.1: must be a value that can be written down")
    local cycle = {}
    cycle.self = cycle
    has(message(B, { v = cycle, a = a }), "nested too deeply")
    has(message(B, { v = 1, a = b }), "a: must be a task " .. a:task_id() .. ", is task b.any")
  end)
end)

describe("xpm", function()
  it("names the nearest export", function()
    has(message(function() return xpm.experimnt end), "xpm has no 'experimnt' (did you mean 'experiment'?)")
    for _, name in ipairs(xpm.names()) do assert.is_not_nil(xpm[name], name) end
  end)
end)
