-- Mocked modules: `require` gives fakes (xpm.fake) for the named modules and all below them, until the handle is
-- removed.
--
-- A searcher, first in package.searchers, answers for names that are mocked. Modules of these names that were loaded
-- before are taken out of package.loaded and kept in `hidden`; they come back when no handle covers their name any
-- more, so that handles may overlap and be removed in any order. What other modules, loaded meanwhile, have taken from
-- a fake stays with them.

local fake = require "xpm.fake"

local mock = {}

---@class xpm.MockHandle
---@field names string[]
---@field active boolean
local Handle = { __name = "xpm.mock" }
Handle.__index = Handle

local enabled = true
local handles = {} ---@type xpm.MockHandle[]
local hidden = {}  -- name -> the module that was really loaded
local given = {}   -- name -> the fake that require has given for it
local roots = {}   -- mocked name -> its fake

-- Modules that must stay what they are: without them nothing runs.
local KEPT = { _G = true, package = true, xpm = true }
for _, name in ipairs { "coroutine", "debug", "io", "math", "os", "string", "table", "utf8" } do KEPT[name] = true end

local function covers(mocked, name)
  return name == mocked or name:sub(1, #mocked + 1) == mocked .. "."
end

-- The shortest mocked name that covers this one: its fake is the root, whatever handles there are besides.
local function mocked_by(name)
  local shortest
  for _, handle in ipairs(handles) do
    for _, mocked in ipairs(handle.names) do
      if covers(mocked, name) and (not shortest or #mocked < #shortest) then shortest = mocked end
    end
  end
  return shortest
end

local function find(name)
  local root = mocked_by(name)
  if not root then return nil end
  local object = roots[root]
  if not object then
    object = fake.root(root)
    roots[root] = object
  end
  for key in name:sub(#root + 2):gmatch("[^.]+") do
    local own = rawget(object, key) -- what a user put there, such as a derived class
    if type(own) == "table" then object = own
    elseif fake.is(object) then object = fake.child(object, key)
    else return object end
  end
  return object
end

fake.resolve = find

local function load_fake(name)
  local object = find(name)
  given[name] = object
  return object
end

local function searcher(name)
  if mocked_by(name) then return load_fake, ":mock:" end
  return nil
end

local function install()
  for _, present in ipairs(package.searchers) do
    if present == searcher then return end
  end
  table.insert(package.searchers, 1, searcher)
end

local function uninstall()
  for i = #package.searchers, 1, -1 do
    if package.searchers[i] == searcher then table.remove(package.searchers, i) end
  end
end

local function hide(names)
  for name, value in pairs(package.loaded) do
    for _, mocked in ipairs(names) do
      if type(name) == "string" and covers(mocked, name) and (given[name] == nil or given[name] ~= value) then
        hidden[name] = value
        package.loaded[name] = nil
        break
      end
    end
  end
end

-- Puts back what no handle covers any more.
local function restore()
  for name, object in pairs(given) do
    if not mocked_by(name) then
      if package.loaded[name] == object then package.loaded[name] = nil end
      given[name] = nil
    end
  end
  for name, value in pairs(hidden) do
    if not mocked_by(name) then
      if package.loaded[name] == nil then package.loaded[name] = value end
      hidden[name] = nil
    end
  end
  for name in pairs(roots) do
    if not mocked_by(name) then roots[name] = nil end
  end
end

local function check_names(names)
  if type(names) == "string" then names = { names } end
  if type(names) ~= "table" or #names == 0 then error("xpm.mock_modules takes a list of module names", 3) end
  local copy = {}
  for i, name in ipairs(names) do
    if type(name) ~= "string" or name == "" then
      error(("xpm.mock_modules: name %d must be a module's name, is %s"):format(i, type(name) == "string" and "empty"
        or "a " .. type(name)), 3)
    end
    if name:find("*", 1, true) or name:find("^%.") or name:find("%.$") or name:find("..", 1, true) then
      error(("xpm.mock_modules: '%s' is no module's name (what is below a module is mocked with it)"):format(name), 3)
    end
    if KEPT[name:match("^[^.]+")] then error(("xpm.mock_modules: '%s' cannot be mocked"):format(name), 3) end
    copy[i] = name
  end
  for key in pairs(names) do
    if math.type(key) ~= "integer" or not copy[key] then
      error("xpm.mock_modules takes a list of module names", 3)
    end
  end
  return copy
end

---Makes `require` of these modules and everything below them give fakes: "torch" covers "torch" and "torch.nn", not
---"torchvision". Modules that are loaded already are shadowed. In a job (see mock.enable) it does nothing.
---@param names string[]|string
---@return xpm.MockHandle handle  handle:remove() restores `require`; so does closing it
function mock.mock_modules(names)
  names = check_names(names)
  local handle = setmetatable({ names = names, active = enabled }, Handle)
  if not enabled then return handle end
  handles[#handles + 1] = handle
  install()
  hide(names)
  return handle
end

---Restores `require` for the modules that no other handle covers. A second call does nothing.
function Handle:remove()
  if not self.active then return end
  self.active = false
  for i, handle in ipairs(handles) do
    if handle == self then
      table.remove(handles, i)
      break
    end
  end
  restore()
  if #handles == 0 then uninstall() end
end

Handle.__close = Handle.remove

function Handle:__tostring()
  return ("xpm.mock {%s}%s"):format(table.concat(self.names, ", "), self.active and "" or " (not active)")
end

---Whether mock_modules mocks at all: jobs turn it off, because they need the real modules. Turning it off removes all
---mocks there are.
---@param on boolean
function mock.enable(on)
  enabled = on
  if not on then
    for i = #handles, 1, -1 do handles[i]:remove() end
  end
end

---Whether `require` would give a fake for this name.
---@param name string
---@return boolean
function mock.is_mocked(name) return mocked_by(name) ~= nil end

return mock
