local engine = require "xpm.engine"
local config = require "xpm.config"

local KIND = engine.KIND

-- What the fixture's Lua text may use.
local words = {
  math = math,
  null = config.null,
  list = config.list,
  job = function(hash) return { [KIND] = "job", hash } end,
  conf = function(id, fields) return { [KIND] = "config", id, fields } end,
  bytes = function(tag, s) return { [KIND] = "bytes", tag, s } end,
  map20 = function()
    local t = {}
    for i = 0, 19 do t[("k%02d"):format(i)] = i end
    return t
  end,
}

local function value_of(text) return assert(load("return " .. text, "=vector", "t", words))() end

local function hex(s) return (s:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) end

local function vectors()
  local f = assert(io.open("spec/fixtures/identifiers.json", "rb"))
  local text = f:read "a"
  f:close()
  return assert(config.parse_json(text)).vectors
end

describe("stored vectors:", function()
  local seen = {}
  for _, v in ipairs(vectors()) do
    it(v.name, function()
      assert.equal(v.bytes, hex(engine.canonical(v.task, value_of(v.lua))))
      assert.equal(v.hash, engine.identifier(v.task, value_of(v.lua)))
      seen[#seen + 1] = v.hash
    end)
  end
  it("are many", function() assert.is_true(#seen >= 25) end)
end)

describe("identifier", function()
  local function same(a, b) assert.equal(engine.identifier("t", a), engine.identifier("t", b)) end
  local function differ(a, b) assert.not_equal(engine.identifier("t", a), engine.identifier("t", b)) end
  local function refused(value, why)
    local ok, message = pcall(engine.identifier, "t", value)
    assert.is_false(ok)
    assert.truthy(message:find(why, 1, true), message)
  end

  it("tells what is different apart", function()
    same({ a = 1 }, { a = 1.0 })
    same({ a = 0.0 }, { a = -0.0 })
    same({ a = 0 / 0 }, { a = -(0 / 0) })
    differ({ a = 1 }, { a = "1" })
    differ({ a = true }, { a = 1 })
    differ({ a = config.null }, {})
    differ({ a = {} }, { a = config.list {} })
    differ({ a = { 1, 2 } }, { a = { 2, 1 } })
    differ({ a = 9007199254740993 }, { a = 9007199254740992 })
    differ({ ab = "c" }, { a = "bc" })
    assert.not_equal(engine.identifier("t", {}), engine.identifier("u", {}))
    local loop = { [KIND] = "config", "c", { x = 1 } }
    differ({ a = loop }, { a = { x = 1 } })
  end)

  it("does not depend on the order in which a table was made", function()
    local a, b = {}, {}
    for i = 1, 100 do a["k" .. i] = i end
    for i = 100, 1, -1 do b["k" .. i] = i end
    same({ m = a }, { m = b })
  end)

  it("may use one table in two places", function()
    local t = { 1, 2 }
    same({ a = t, b = t }, { a = { 1, 2 }, b = { 1, 2 } })
  end)

  it("refuses what has no canonical form, and says where", function()
    refused({ a = { b = { 1, print } } }, "a.b[2]: a function cannot be part of an identifier")
    refused({ [1] = 2 }, "the keys of a map must be strings")
    refused({ a = { 1, x = 2 } }, "a: the keys of a map must be strings")
    refused({ a = { [1] = 1, [3] = 3 } }, "a: the keys of a map must be strings")
    refused({ a = config.list { 1, nil, 3, x = 1 } }, "a: a list has holes")
    local t = { b = {} }
    t.b.c = t
    refused({ a = t }, "a.b.c: the value contains itself")
    local deep = {}
    for _ = 1, 500 do deep = { d = deep } end
    refused(deep, "nested too deep")
    refused({ a = { [KIND] = "job", "12" } }, "64 lower-case hexadecimal digits")
    refused({ a = { [KIND] = "what", "12" } }, "unknown kind")
    refused({ a = { [KIND] = "config", "c" } }, "lacks its fields")
    refused({ a = { [KIND] = "bytes", "tag" } }, "lacks a string")
    assert.is_false(pcall(engine.identifier, "t"))
    assert.is_false(pcall(engine.identifier, nil, {}))
  end)

  it("is the same after an error and after a big one", function()
    local before = engine.identifier("t", { a = 1 })
    pcall(engine.identifier, "t", { a = print })
    engine.identifier("t", { a = ("x"):rep(3000000) })
    assert.equal(before, engine.identifier("t", { a = 1 }))
  end)
end)

describe("hash_file", function()
  it("is the hash of the content", function()
    local path = os.tmpname()
    local f = assert(io.open(path, "wb"))
    f:write "abc"
    f:close()
    assert.equal("bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319", engine.hash_file(path))
    os.remove(path)
    local value, message, code = engine.hash_file(path)
    assert.is_nil(value)
    assert.truthy(message:find(path, 1, true))
    assert.equal("not_found", code)
  end)
end)
