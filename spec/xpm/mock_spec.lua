local doubles = require "support.class_doubles"
local fake = require "xpm.fake"
local mock = require "xpm.mock"

-- Ends a test that would loop for ever.
local function within(steps, f)
  debug.sethook(function() error("does not end", 2) end, "", steps)
  local ok, message = pcall(f)
  debug.sethook()
  if not ok then error(message, 0) end
end

describe("a mocked module", function()
  local handle
  before_each(function() handle = mock.mock_modules { "torch", "nn" } end)
  after_each(function() handle:remove() end)

  it("is given by require, and so is what is below it", function()
    local torch = require "torch"
    assert.equal("torch", tostring(torch))
    assert.equal(torch, require "torch")
    assert.equal(torch.nn.functional, require "torch.nn.functional")
    assert.equal("torch.nn.functional.relu", tostring(require("torch.nn.functional").relu))
    assert.equal("torch._C", tostring(require "torch._C"))
  end)

  it("covers no other names", function()
    for _, name in ipairs { "torchvision", "nnx", "my.torch", "tor" } do
      assert.is_false(mock.is_mocked(name))
      assert.error_matches(function() require(name) end, "module '" .. name .. "' not found")
    end
    assert.is_true(mock.is_mocked "torch.x.y")
  end)

  it("prints nothing", function()
    local written = {}
    local print, stdout, stderr = print, io.stdout, io.stderr
    local file = { write = function(_, ...) written[#written + 1] = table.concat { ... } end }
    _G.print, io.stdout, io.stderr = function(...) written[#written + 1] = ... end, file, file -- luacheck: ignore
    local m = require "torch.anything"
    local _ = m.x.y(m):z()
    _G.print, io.stdout, io.stderr = print, stdout, stderr -- luacheck: ignore
    assert.same({}, written)
  end)
end)

describe("require and its handles", function()
  local real = { name = "the real one" }
  before_each(function() package.loaded["mocked.real"] = real end)
  after_each(function() package.loaded["mocked.real"], package.preload["mocked.pre"] = nil, nil end)

  it("shadows loaded and preloaded modules until the handle is removed", function()
    package.preload["mocked.pre"] = function() return "real" end
    local searchers = #package.searchers
    local handle = mock.mock_modules { "mocked" }
    assert.is_true(fake.is(require "mocked.real"))
    assert.is_true(fake.is(require "mocked.pre"))
    assert.is_true(fake.is(require "mocked"))
    handle:remove()
    assert.equal(real, require "mocked.real")
    assert.equal("real", require "mocked.pre")
    package.loaded["mocked.pre"] = nil
    assert.is_nil(package.loaded.mocked)
    assert.error_matches(function() require "mocked" end, "not found")
    assert.equal(searchers, #package.searchers)
    handle:remove()
    assert.equal(searchers, #package.searchers)
  end)

  it("lets handles overlap and go in any order", function()
    for _, order in ipairs { { 1, 2, 3 }, { 3, 2, 1 }, { 2, 1, 3 }, { 2, 3, 1 }, { 1, 3, 2 }, { 3, 1, 2 } } do
      local handles = { mock.mock_modules { "mocked" }, mock.mock_modules { "mocked.real", "other" },
        mock.mock_modules { "mocked" } }
      local first = require "mocked.real"
      assert.is_true(fake.is(first))
      handles[order[1]]:remove()
      assert.equal(first, require "mocked.real")
      handles[order[2]]:remove()
      assert.is_true(fake.is(require "mocked.real"))
      handles[order[3]]:remove()
      assert.equal(real, require "mocked.real")
      assert.is_false(mock.is_mocked "other")
    end
  end)

  it("keeps what the program itself put into package.loaded meanwhile", function()
    local handle = mock.mock_modules { "mocked" }
    assert.is_true(fake.is(require "mocked.real"))
    local own = {}
    package.loaded["mocked.real"] = own
    handle:remove()
    assert.equal(own, require "mocked.real")
  end)

  it("is removed by leaving the block", function()
    do
      local handle <close> = mock.mock_modules { "mocked" }
      assert.equal("xpm.mock {mocked}", tostring(handle))
      assert.is_true(mock.is_mocked "mocked")
    end
    assert.is_false(mock.is_mocked "mocked")
  end)

  it("does nothing where mocking is off", function()
    local before = mock.mock_modules { "mocked" }
    mock.enable(false)
    assert.equal(real, require "mocked.real")
    local handle = mock.mock_modules { "mocked" }
    assert.equal(real, require "mocked.real")
    mock.enable(true)
    handle:remove()
    before:remove()
    assert.equal("xpm.mock {mocked} (not active)", tostring(handle))
  end)

  it("loads the real module after the mock is gone", function()
    local handle = mock.mock_modules { "pl" }
    assert.is_true(fake.is(require "pl.List"))
    handle:remove()
    assert.same({ 1, 2 }, { table.unpack(require "pl.List" { 1, 2 }) })
  end)

  it("refuses what is no list of modules", function()
    assert.error_matches(function() mock.mock_modules() end, "takes a list of module names")
    assert.error_matches(function() mock.mock_modules {} end, "takes a list of module names")
    assert.error_matches(function() mock.mock_modules { "a", 2 } end, "name 2 must be a module's name, is a number")
    assert.error_matches(function() mock.mock_modules { "" } end, "name 1 must be a module's name, is empty")
    assert.error_matches(function() mock.mock_modules { "torch.*" } end, "'torch%.%*' is no module's name")
    assert.error_matches(function() mock.mock_modules { "a", b = "c" } end, "takes a list of module names")
    assert.error_matches(function() mock.mock_modules { "xpm.log" } end, "'xpm%.log' cannot be mocked")
    assert.error_matches(function() mock.mock_modules { "string" } end, "'string' cannot be mocked")
  end)
end)

describe("a fake", function()
  local handle, torch
  before_each(function()
    handle = mock.mock_modules { "torch" }
    torch = require "torch"
  end)
  after_each(function() handle:remove() end)

  it("answers fields, calls, methods and indices with fakes", function()
    for _, value in ipairs { torch.a.b, torch(), torch.f(1, nil), torch:method(torch), torch.a[torch], torch["x y"],
      torch[1.5], torch[true], torch[1], torch[-1], torch.f()().g } do
      assert.is_true(fake.is(value))
    end
    assert.equal(torch.a, torch.a)
    assert.not_equal(torch.f(), torch.f())
  end)

  it("is shown as its dotted path", function()
    assert.equal("torch.nn.Linear", tostring(torch.nn.Linear))
    assert.equal("torch.nn.Linear().weight", tostring(torch.nn.Linear(3).weight))
    assert.equal('torch.a[1]["x y"]', tostring(torch.a[1]["x y"]))
    assert.equal("<torch.a>", ("<%s>"):format(torch.a))
  end)

  it("takes part in arithmetic", function()
    local a = torch.a
    for _, value in ipairs { a + 1, 1 + a, a - 1, a * a, a / 2, a % 2, a ^ 2, -a, a // 2, a & 1, 1 | a, a ~ 1, ~a,
      a << 1, a >> 1, "x" + a } do
      assert.is_true(fake.is(value))
    end
  end)

  it("is concatenated as its path", function()
    assert.equal("v torch.a", "v " .. torch.a)
    assert.equal("torch.a1", torch.a .. 1)
    assert.equal("torch.atorch.b", torch.a .. torch.b)
  end)

  it("compares with anything, so that loops end", function()
    assert.is_false(torch.a < 1)
    assert.is_false(1 < torch.a)
    assert.is_false(torch.a <= torch.b)
    assert.is_false(torch.a >= "x")
    assert.is_true(torch.a == torch.a)
    assert.is_false(torch.a == 1)
    within(10000, function()
      local n = torch.count
      while n < 10 do n = n + 1 end
    end)
  end)

  it("has no length and no elements", function()
    assert.equal(0, #torch.list)
    assert.equal("", table.concat(torch.list))
    assert.equal(0, select("#", table.unpack(torch.list)))
    within(10000, function()
      for _ in ipairs(torch.list) do error("an element") end
      for _ in pairs(torch.list) do error("an element") end
      for _ in torch.iterator do error("an element") end
      for _ in torch.iterate(1, 2) do error("an element") end
      for _ in torch.loader:batches(32) do error("an element") end
    end)
  end)

  it("still answers integer keys outside of ipairs", function()
    for _ in ipairs(torch.list) do error("an element") end
    assert.is_true(fake.is(torch.list[1]))
  end)

  it("leaves functions unchanged as a decorator", function()
    local function f() return 42 end
    assert.equal(f, torch.compile(f))
    assert.equal(f, torch.no_grad()(f))
    assert.equal(f, torch.jit.script({ optimize = true })(f))
    assert.equal(42, torch.inference_mode(f)())
  end)

  it("passes callbacks over in methods", function()
    assert.is_true(fake.is(torch.data:map(function() end)))
    assert.is_true(fake.is(torch.data:map(function() end):batch(3)))
  end)

  it("has no private fields", function()
    assert.is_nil(torch._VERSION)
    assert.is_nil(torch.nn.__tostring)
    assert.is_nil(torch._handler)
    assert.is_true(fake.is(torch.x_))
  end)

  it("is a table's key and holds what is assigned", function()
    local t = { [torch.float] = 1, [torch.double] = 2 }
    assert.equal(1, t[torch.float])
    assert.equal(2, t[torch.double])
    torch.option = 3
    function torch.nn.extra() return "mine" end
    assert.equal(3, torch.option)
    assert.equal("mine", torch.nn.extra())
    table.insert(torch.list, "x")
    assert.equal("x", torch.list[1])
  end)

  it("can be closed, and answer nil and NaN", function()
    do
      local guard <close> = torch.no_grad()
      assert.is_true(fake.is(guard))
    end
    assert.is_true(fake.is(torch[nil]))
    assert.is_true(fake.is(torch[0 / 0]))
  end)

  it("costs no more the longer a chain is", function()
    local x = torch.x
    for i = 1, 20000 do x = i % 2 == 0 and x:step() or x.next end
    assert.is_true(#tostring(x) < 1000)
  end)

  it("is no task, configuration or tag of ours", function()
    local mt = getmetatable(torch)
    assert.is_nil(mt.xpm_task)
    assert.equal("xpm.Fake", mt.__name)
  end)
end)

-- What a class that derives from a fake has to do, however it was derived.
local function behaves(object, options)
  assert.equal(7, object.size)
  assert.equal("mine 7", object:describe())
  if not options.plain then
    assert.is_true(fake.is(object.weight))
    assert.is_true(fake.is(object:forward(1)))
    within(10000, function() for _ in ipairs(object) do error("an element") end end)
  end
end

describe("a class derived from a fake", function()
  local handle, Base
  before_each(function()
    handle = mock.mock_modules { "torch", "nn" }
    Base = require("torch.nn").Module
  end)
  after_each(function() handle:remove() end)

  local function describe_size(self) return "mine " .. self.size end

  it("by setmetatable with __index", function()
    local D = setmetatable({}, { __index = Base })
    D.__index = D
    D.describe = describe_size
    function D.new(size)
      local self = setmetatable({}, D)
      Base.init(self)
      self.size = size
      return self
    end
    behaves(D.new(7), {})
    assert.is_nil(D.new(7)._hidden)
  end)

  it("by setmetatable with the base itself", function()
    local D = setmetatable({ describe = describe_size }, Base)
    function D:init(size) self.size = size end
    assert.is_true(fake.is(D.parameters))
    local object = D(7)
    behaves(object, {})
    local plain = setmetatable({ size = 7, describe = describe_size }, Base)
    behaves(plain, {})
    assert.is_true(fake.is(plain(1)))
  end)

  it("by setmetatable on the base's object", function()
    local D = setmetatable({ describe = describe_size }, { __index = Base })
    D.__index = D
    for _, made in ipairs { Base.new(1), Base:new(1), Base() } do
      local object = setmetatable(made, D)
      object.size = 7
      behaves(object, {})
    end
  end)

  it("by an object of the base that is extended", function()
    local Account = Base:new()
    Account.describe = describe_size
    local special = Account:new { limit = 1 }
    special.size = 7
    behaves(special, {})
    assert.equal("mine 3", (function() local b = Account:new() b.size = 3 return b:describe() end)())
  end)

  it("by Penlight's class", function()
    local class = require "pl.class"
    local D = class(Base)
    D.describe = describe_size
    function D:_init(size)
      self:super(size)
      self.size = size
    end
    behaves(D(7), {})
    assert.is_true(D(7):is_a(D))
    assert.is_true(D:class_of(D(7)))
    assert.is_true(fake.is(D(7)(1)))
    assert.is_true(fake.is(D(7) + 1))
    assert.is_nil(D(7)._other)
    local E = class(D)
    function E:_init(size) self:super(size) end
    behaves(E(7), {})
    assert.is_true(E(7):is_a(D))
    local F = class(D)
    behaves(F(7), {})
  end)

  it("by Penlight's class without a constructor, with a table, and by name", function()
    local class = require "pl.class"
    local D = class(Base)
    assert.is_true(fake.is(D().weight))
    local E = class { _base = Base, _init = function(self, size) self.size = size end, describe = describe_size }
    behaves(E(7), {})
    class.NamedByPenlight(Base)
    local N = rawget(_G, "NamedByPenlight") or NamedByPenlight -- luacheck: ignore
    function N:_init(size) self.size = size end
    N.describe = describe_size
    behaves(N(7), {})
    assert.matches("^NamedByPenlight", tostring(N(7)))
  end)

  it("by middleclass", function()
    local class = doubles.middleclass()
    local D = class("D", Base)
    function D:initialize(size)
      Base.initialize(self, size)
      self.size = size
    end
    D.describe = describe_size
    function D.static.create(klass) return klass:new(7) end
    D.__add = function(a, b) return a.size + b.size end
    D.__tostring = function(self) return "D of " .. self.size end
    D:include { mixed = function(self) return self.size * 2 end, included = nil }
    behaves(D:new(7), {})
    behaves(D(7), {})
    behaves(D:create(), {})
    assert.equal(14, D(7) + D(7))
    assert.equal("D of 7", tostring(D(7)))
    assert.equal(14, D(7):mixed())
    assert.equal("D", D.name)
    assert.equal("class D", tostring(D))
    assert.equal(D, D(7).class)
    assert.equal(Base, D.super)
    local E = class("E", D)
    function E:initialize(size)
      D.initialize(self, size)
      self.more = true
    end
    behaves(E(7), {})
    assert.is_true(E(7).more)
    assert.equal("D of 7", tostring(E(7)))
    assert.is_true(E(7):isInstanceOf(D))
    assert.is_true(E(7):isInstanceOf(Base))
    assert.is_false(D(7):isInstanceOf(E))
    assert.is_true(E:isSubclassOf(D))
  end)

  it("by 30log", function()
    local class = doubles.log30()
    local D = Base:extend("D", { describe = describe_size, size = 1 })
    assert.equal("mine 1", D():describe())
    function D:init(size)
      D.super.init(self, size)
      self.size = size
    end
    behaves(D:new(7), {})
    behaves(D(7), {})
    local E = D:extend("E")
    function E:init(size) E.super.init(self, size) end
    behaves(E(7), {})
    local Own = class("Own", { torch = Base })
    assert.equal(Base, Own().torch)
  end)

  it("by classic", function()
    local Object = doubles.classic()
    local D = Base:extend()
    function D:new(size)
      D.super.new(self, size)
      self.size = size
    end
    D.describe = describe_size
    behaves(D(7), {})
    local E = D:extend()
    behaves(E(7), {})
    local F = E:extend()
    function F:new(size) F.super.new(self, size) end
    behaves(F(7), {})
    assert.is_true(F(7):is(D))
    local Real = Object:extend()
    function Real:new(size) self.size = Base.size_of(size) end
    assert.is_true(fake.is(Real(3).size))
    local Bare = Base:extend()
    local Below = Bare:extend()
    function Below:new(size)
      Below.super.new(self, size) -- the class above defines none
      self.size = size
    end
    Below.describe = describe_size
    behaves(Below(7), {})
  end)

  it("by torch.class", function()
    local torch, nn = require "torch", require "nn"
    local D, parent = torch.class("nn.Mine", "nn.Module")
    assert.equal(nn.Module, parent)
    function D:__init(size)
      parent.__init(self)
      self.size = size
    end
    D.describe = describe_size
    behaves(nn.Mine(7), {})
    behaves(D(7), {})
    assert.equal(nn.Mine, require "nn.Mine")
    local E, above = torch.class("nn.Other", "nn.Mine")
    assert.equal(D, above)
    function E:__init(size) above.__init(self, size) end
    behaves(nn.Other(7), {})
    local module = {}
    local F = torch.class("package.F", "nn.Mine", module)
    assert.equal(F, module.F)
    behaves(module.F(7), {})
    local alone, something = torch.class("nn.Alone")
    assert.is_table(alone)
    assert.is_true(fake.is(something))
  end)

  it("by a class library that is mocked itself", function()
    local own <close> = mock.mock_modules { "middleclass", "pl" }
    assert.is_true(own.active)
    local C = require "middleclass" ("C", Base)
    function C:initialize(size) self.size = size end
    C.describe = describe_size
    local object = C:new(7)
    assert.is_true(fake.is(object.weight))
    assert.equal(describe_size, object.describe)
    local P = require "pl.class" (Base)
    function P:_init(size) self.size = size end
    P.describe = describe_size
    behaves(P(7), {})
  end)
end)

describe("an object of a derived class", function()
  local handle, D
  before_each(function()
    handle = mock.mock_modules { "torch" }
    D = require("torch").nn.Module:extend("D")
  end)
  after_each(function() handle:remove() end)

  it("answers every operator", function()
    local o = D()
    for _, value in ipairs { o + 1, 1 - o, o * o, -o, ~o, o << 1, o // 2, o(3), o[3], o.field } do
      assert.is_true(fake.is(value))
    end
    assert.is_false(o < 1)
    assert.equal(0, #o)
    assert.is_true(o == o)
    assert.equal("instance of class D!", o .. "!")
    within(10000, function() for _ in o do error("an element") end end)
    do
      local closed <close> = D()
      assert.is_table(closed)
    end
    assert.is_nil(o._private)
    local keys = {}
    o.a, o.b = 1, 2
    for k in pairs(o) do keys[#keys + 1] = k end
    table.sort(keys)
    assert.same({ "a", "b" }, keys)
  end)

  it("uses what the class defines", function()
    D.__call = function(_, x) return x + 1 end
    D.__len = function() return 5 end
    D.__eq = function() return true end
    D.__lt = function() return true end
    D.__index = function(_, key) if key == "magic" then return 9 end end
    local a, b = D(), D()
    assert.equal(4, a(3))
    assert.equal(5, #a)
    assert.is_true(a == b)
    assert.is_true(a < b)
    assert.equal(9, a.magic)
    assert.is_true(fake.is(a.other))
  end)

  it("comes from the class's own new when that makes objects", function()
    function D.new(_, size) return { made = size } end
    assert.equal(4, D(4).made)
  end)

  it("comes from new with or without the class", function()
    function D:init(size) self.size = size end
    assert.equal(3, D.new(3).size)
    assert.equal(3, D:new(3).size)
    local made = setmetatable({}, D)
    D.init(made, 5)
    assert.equal(5, made.size)
  end)
end)
