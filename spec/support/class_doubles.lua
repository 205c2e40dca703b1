-- Small stand-ins for class libraries that Debian does not have. Each follows what the library's documentation says of
-- deriving a class from a base and of making and initializing an object; none has anything else of it.

local doubles = {}

-- middleclass: `class(name, super)` is `super:subclass(name)` when there is a super; objects come from `C:new(...)` or
-- `C(...)`, which runs `initialize`.
function doubles.middleclass()
  local function create(name, super)
    local class = { name = name, super = super }
    class.__index = class
    function class.subclass(self, sub) return create(sub, self) end
    function class.new(self, ...)
      local object = setmetatable({ class = self }, self)
      if object.initialize then object:initialize(...) end
      return object
    end
    return setmetatable(class, { __index = super, __call = function(self, ...) return self:new(...) end })
  end
  return function(name, super)
    assert(type(name) == "string", "a name is needed for the new class")
    return super and super:subclass(name) or create(name)
  end
end

-- 30log: `class(name, params)`, `C:extend(name, params)`; objects from `C(...)` or `C:new(...)`, which runs `init`;
-- `C.super.init(self, ...)` calls the one above.
function doubles.log30()
  local function create(name, params, super)
    local class = { name = name, super = super }
    for k, v in pairs(params or {}) do class[k] = v end
    class.__index = class
    function class.extend(self, sub, more) return create(sub, more, self) end
    function class.new(self, ...)
      local object = setmetatable({ class = self }, self)
      if object.init then object:init(...) end
      return object
    end
    return setmetatable(class, { __index = super, __call = function(self, ...) return self:new(...) end })
  end
  return create
end

-- classic: `Base:extend()`; objects from `C(...)`, which runs `C:new(...)` on the object.
function doubles.classic()
  local Object = {}
  Object.__index = Object
  function Object.new() end
  function Object:extend()
    local class = { super = self }
    class.__index = class
    return setmetatable(class, self)
  end
  function Object:__call(...)
    local object = setmetatable({}, self)
    object:new(...)
    return object
  end
  return Object
end

return doubles
