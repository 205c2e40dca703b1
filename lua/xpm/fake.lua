-- Fakes: objects that stand in for whatever a module that is not loaded would have given (see xpm.mock).
--
-- A fake is a table with the metatable Fake; what it knows (its path, the fakes below it) is in `states`, beside it.
-- Its own raw fields are those that users assign, and four that class libraries read raw:
--   __index      setmetatable(D, Base) makes the base a metatable, whose __index is read raw: the fake itself
--   __call       the same, for D(...)
--   _init        Penlight calls a base's raw _init, at once or by self:super()
--   _class_init  Penlight lets a base finish a derived class: here it gets its fallback to the fake
-- (Penlight copies a base by pairs(), which finds nothing in a fake.)
--
-- Two questions are put to the call stack, because the answer a fake gives to anybody else would loop for ever: is it
-- `ipairs` that asks for an integer key, and is it a generic `for` that calls? Both then hear nil.
--
-- A class derived by a method of a fake (Base:extend(), Base:subclass(name), torch.class(name, parent)) is a real
-- table, listed in `classes`; the constructor of its instances is what the user named one of CONSTRUCTORS. Classes that
-- real class libraries derive are theirs; a fake is then only the last place where a field is looked up.

local fake = {}

---@class xpm.Fake
local Fake = { __name = "xpm.Fake" }
local Class = { __name = "xpm.Fake.class" } -- metatable of derived classes

---@class xpm.fake.State
---@field parent? xpm.Fake
---@field key any                 the field of the parent; CALL for the result of a call
---@field depth integer
---@field children? table         key -> fake
---@field origin? xpm.Fake        what made it by a call: fields that a user assigned there are found in it too
local states = setmetatable({}, { __mode = "k" }) ---@type table<table, xpm.fake.State>

---@class xpm.fake.ClassState
---@field base table
---@field name? string
---@field meta? table             metatable of the instances
local classes = setmetatable({}, { __mode = "k" }) ---@type table<table, xpm.fake.ClassState>
local instances = setmetatable({}, { __mode = "k" }) -- metatable of instances -> class

local CALL = {}
local MAX_DEPTH = 100 -- from here on paths do not grow: x = x:step() may go on for ever
local CONSTRUCTORS = { "initialize", "init", "_init", "__init", "new" }
local ARITHMETIC = { "__add", "__sub", "__mul", "__div", "__mod", "__pow", "__unm", "__idiv",
  "__band", "__bor", "__bxor", "__bnot", "__shl", "__shr" }

local ipairs_iterator = ipairs {}

-- Is the function that called this one called (by the VM, as a metamethod) from ipairs?
local function asked_by_ipairs()
  local info = debug.getinfo(3, "f")
  return info ~= nil and info.func == ipairs_iterator
end

local function nothing() end

---@param value any
---@return boolean
function fake.is(value)
  return type(value) == "table" and states[value] ~= nil and getmetatable(value) == Fake
end

local function is_class(value) return type(value) == "table" and classes[value] ~= nil end

-- Raw fields that are not a user's.
local call_derived, finish_penlight
local function is_protocol(object, key, value)
  return key == "__index" and value == object or key == "__call" and value == call_derived
    or key == "_init" and value == nothing or key == "_class_init" and value == finish_penlight
end

local function new(parent, key, origin)
  local above = parent and states[parent]
  if above and above.depth >= MAX_DEPTH then parent, key, above = above.parent, above.key, states[above.parent] end
  local object = { __call = call_derived, _init = nothing, _class_init = finish_penlight }
  object.__index = object
  states[object] = { parent = parent, key = key, depth = above and above.depth + 1 or 0, origin = origin }
  return setmetatable(object, Fake)
end

---A fake without a parent.
---@param path string
---@return xpm.Fake
function fake.root(path) return new(nil, path) end

-- A field that a user assigned to an object whose call made this one (an instance of an extended fake).
local function assigned(object, key)
  local origin = states[object].origin
  while origin do
    local value = rawget(origin, key)
    if value ~= nil and not is_protocol(origin, key, value) then return value end
    origin = states[origin] and states[origin].origin
  end
end

---The fake below a fake; the same key always gives the same one.
---@param object xpm.Fake
---@param key any
---@return xpm.Fake
function fake.child(object, key)
  local state = states[object]
  if key == nil or key ~= key then return new(object, tostring(key)) end
  local children = state.children
  if not children then
    children = {}
    state.children = children
  end
  local child = children[key]
  if not child then
    child = new(object, key)
    children[key] = child
  end
  return child
end

local function is_private(key) return type(key) == "string" and key:byte() == 95 end -- "_"

-- What an object answers for a key, when it is not ipairs who asks.
local function answer(object, key)
  local value = assigned(object, key)
  if value ~= nil then return value end
  if key == "__init" then return nothing end -- torch: parent.__init(self)
  if is_private(key) then return nil end
  return fake.child(object, key)
end

---A fake's dotted path: "torch.nn.Linear()".
---@param object xpm.Fake
---@return string
function fake.path(object)
  local parts = {}
  while object do
    local state = states[object]
    local key = state.key
    if key == CALL then
      parts[#parts + 1] = "()"
    elseif not state.parent then
      parts[#parts + 1] = key
    elseif type(key) == "string" and key:find("^[%a_][%w_]*$") then
      parts[#parts + 1] = "." .. key
    elseif type(key) == "string" then
      parts[#parts + 1] = ("[%q]"):format(key)
    else
      parts[#parts + 1] = "[" .. tostring(key) .. "]"
    end
    object = state.parent
  end
  for i = 1, #parts // 2 do parts[i], parts[#parts + 1 - i] = parts[#parts + 1 - i], parts[i] end
  return table.concat(parts)
end

-- Derived classes ---------------------------------------------------------------------------------------------------

-- What the user defined for a key in a class or in a class above it, and in which class.
local function defined(class, key)
  while classes[class] do
    local value = rawget(class, key)
    if value ~= nil and not (key == "__index" and value == class) then return value, class end
    class = classes[class].base
  end
end

-- What lies above the user's classes: mostly the fake.
local function root_of(class)
  while classes[class] do class = classes[class].base end
  return class
end

local function from_root(class, key)
  local root = root_of(class)
  if fake.is(root) then
    local value = rawget(root, key)
    if value ~= nil and not is_protocol(root, key, value) then return value end
    return answer(root, key)
  end
  return root[key]
end

local function constructor(class)
  while classes[class] do
    for _, name in ipairs(CONSTRUCTORS) do
      local f = rawget(class, name)
      if type(f) == "function" then return f, name end
    end
    class = classes[class].base
  end
end

local function is_derived(self, other)
  local class = instances[getmetatable(self) or false] or classes[self] and self or nil
  while class do
    if class == other then return true end
    class = classes[class] and classes[class].base
  end
  return false
end

local function mix(class, ...)
  for _, mixin in ipairs { ... } do
    if type(mixin) == "table" then
      for key, value in pairs(mixin) do
        if rawget(class, key) == nil then rawset(class, key, value) end
      end
    end
  end
  return class
end

local TESTS = { is = true, is_a = true, isInstanceOf = true, instanceOf = true, isSubclassOf = true, subclassOf = true }
local MIXING = { include = true, implement = true, with = true }
local DERIVING = { extend = true, subclass = true }

local function instance_fallback(object, class, key)
  local by_user = defined(class, "__index")
  if type(by_user) == "function" then
    local value = by_user(object, key)
    if value ~= nil then return value end
  elseif type(by_user) == "table" and not classes[by_user] then
    local value = by_user[key]
    if value ~= nil then return value end
  end
  return from_root(class, key)
end

-- The instances' metatable. Operators are looked up when they are used: the user defines them after deriving.
local function instance_meta(class)
  local state = classes[class]
  if state.meta then return state.meta end
  local meta = { __name = state.name }
  instances[meta] = class
  function meta.__index(object, key)
    local value = defined(class, key)
    if value ~= nil then return value end
    if key == "class" then return class end
    if key == "super" then return classes[class].base end
    if TESTS[key] then return is_derived end
    if math.type(key) == "integer" and asked_by_ipairs() then return nil end
    return instance_fallback(object, class, key)
  end
  local function operator(name, default)
    meta[name] = function(...)
      local f = defined(class, name)
      if f then return f(...) end
      return default(...)
    end
  end
  local function root()
    local above = root_of(class)
    return fake.is(above) and above or fake.root(state.name or "object")
  end
  for _, name in ipairs(ARITHMETIC) do operator(name, root) end
  for _, name in ipairs { "__lt", "__le" } do operator(name, function() return false end) end
  operator("__eq", rawequal)
  operator("__len", rawlen)
  operator("__close", nothing)
  operator("__concat", function(a, b) return tostring(a) .. tostring(b) end)
  operator("__tostring", function() return "instance of " .. tostring(class) end)
  operator("__pairs", function(object) return next, object, nil end)
  function meta.__call(...)
    local f = defined(class, "__call")
    if f then return f(...) end
    if debug.getinfo(1, "n").namewhat == "for iterator" then return nil end
    return new(root(), CALL)
  end
  local newindex = defined(class, "__newindex")
  if newindex then meta.__newindex = newindex end
  state.meta = meta
  return meta
end

local function construct(class, ...)
  local object = setmetatable({}, instance_meta(class))
  local f, name = constructor(class)
  if f then
    local made = f(object, ...)
    if name == "new" and type(made) == "table" then return made end -- it makes its own objects
  end
  return object
end

-- `new` as a class that does not define it answers it: as a constructor, called with the class or without; as what a
-- user's own `new` calls of the class above, with an instance, it does nothing.
local function inherited_new(class)
  return function(first, ...)
    if type(first) == "table" then
      local meta = getmetatable(first)
      if meta and (instances[meta] or classes[meta]) then return first end
      if is_class(first) and is_derived(first, class) then return construct(first, ...) end
    end
    return construct(class, first, ...)
  end
end

local function derive(base, name, fields)
  if type(name) == "table" then name, fields = nil, name end
  local class = setmetatable({}, Class)
  rawset(class, "__index", class) -- setmetatable({}, class) makes an instance too
  classes[class] = { base = base, name = type(name) == "string" and name or nil }
  if type(fields) == "table" and not fake.is(fields) then
    for key, value in pairs(fields) do rawset(class, key, value) end
  end
  return class
end

function Class.__index(class, key)
  local base = classes[class].base
  local value = defined(base, key)
  if value ~= nil then return value end
  if key == "static" then return class end
  if key == "super" then return base end
  if key == "name" and classes[class].name then return classes[class].name end
  if key == "new" then return inherited_new(class) end
  if DERIVING[key] then
    return function(self, ...)
      if type(self) == "table" then return derive(self, ...) end
      return derive(class, self, ...)
    end
  end
  if MIXING[key] then return mix end
  if TESTS[key] then return is_derived end
  if math.type(key) == "integer" and asked_by_ipairs() then return nil end
  return from_root(class, key)
end

function Class.__call(class, ...)
  if debug.getinfo(1, "n").namewhat == "for iterator" then return nil end
  return construct(class, ...)
end

function Class.__tostring(class)
  local state = classes[class]
  return "class " .. (state.name or "from " .. tostring(state.base))
end

function Class.__concat(a, b) return tostring(a) .. tostring(b) end

-- D(...) where D's metatable is a fake: an instance, when D has a constructor.
function call_derived(object, ...)
  if debug.getinfo(1, "n").namewhat == "for iterator" then return nil end
  local base = getmetatable(object)
  for _, name in ipairs(CONSTRUCTORS) do
    local f = rawget(object, name)
    if type(f) == "function" then
      local instance = setmetatable({}, { __index = object })
      local made = f(instance, ...)
      return name == "new" and type(made) == "table" and made or instance
    end
  end
  return fake.is(base) and new(base, CALL) or nil
end

-- Penlight, about to end class(Base): c._base is the base, and c's metatable waits for its __call.
function finish_penlight(class)
  local base = class._base
  local function handler(_, key)
    if is_private(key) or math.type(key) == "integer" and asked_by_ipairs() then return nil end
    return answer(base, key)
  end
  rawset(class, "_handler", handler) -- copied to the classes derived from this one
  getmetatable(class).__index = handler
  for _, name in ipairs(ARITHMETIC) do rawset(class, name, function() return base end) end
  rawset(class, "__call", function()
    if debug.getinfo(1, "n").namewhat == "for iterator" then return nil end
    return new(base, CALL)
  end)
end

-- torch.class("my.Name" [, parent] [, module]) and class(Base) of a mocked class library.
local function call_class(object, ...)
  local name, parent, module
  for _, value in ipairs { ... } do
    if type(value) == "string" then
      if name then parent = fake.resolve(value) or parent else name = value end
    elseif fake.is(value) or is_class(value) then
      if value ~= states[object].parent then parent = value end
    elseif type(value) == "table" then
      module = value
    end
  end
  if not name and not parent then return nil end
  parent = parent or new(object, CALL)
  local class = derive(parent, name)
  local prefix, last = (name or ""):match("^(.*)%.([^.]+)$")
  if not module and prefix then
    module = fake.resolve(prefix) or rawget(_G, prefix)
  end
  if type(module) == "table" then rawset(module, last or name, class) end
  return class, parent
end

---Finds the fake or class of a dotted name below a mocked module; set by xpm.mock.
---@type fun(name: string): table?
fake.resolve = nothing

-- Fakes themselves --------------------------------------------------------------------------------------------------

function Fake.__index(object, key)
  if math.type(key) == "integer" and asked_by_ipairs() then return nil end
  return answer(object, key)
end

function Fake.__call(object, ...)
  if debug.getinfo(1, "n").namewhat == "for iterator" then return nil end
  local state = states[object]
  local count, first = select("#", ...), (...)
  if count == 1 and type(first) == "function" then return first end
  local origin = object
  if DERIVING[state.key] and type(first) == "table" then return derive(...) end
  if state.key == "class" and count > 0 then
    local class, parent = call_class(object, ...)
    if class then return class, parent end
  end
  if state.key == "new" and state.parent then
    origin = state.parent
  end
  return new(object, CALL, origin)
end

local function operand(a, b) return fake.is(a) and a or b end
for _, name in ipairs(ARITHMETIC) do Fake[name] = operand end

function Fake.__concat(a, b) return tostring(a) .. tostring(b) end
-- As with NaN no order holds, so that `while x < n do ... end` ends.
function Fake.__lt() return false end
function Fake.__le() return false end
function Fake.__len() return 0 end
function Fake.__pairs() return nothing end
Fake.__close = nothing
Fake.__tostring = fake.path

return fake
