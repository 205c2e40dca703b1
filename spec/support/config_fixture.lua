-- spec/fixtures/config: NAME.yaml, with the options in NAME.args (a line each), loads as NAME.json or fails as NAME.error.

local config = require "xpm.config"

local fixture = { folder = "spec/fixtures/config/" }

local function read(path)
  local f = io.open(path, "rb")
  local text = f and f:read "a"
  if f then f:close() end
  return text
end

---@return string[] names, sorted
function fixture.names()
  local names = {}
  local p = assert(io.popen("ls " .. fixture.folder .. "*.yaml"))
  for line in p:lines() do names[#names + 1] = line:match "([^/]+)%.yaml$" end
  p:close()
  table.sort(names)
  return names
end

---What loading the fixture gives, as it stands in its .json or .error file.
---@return string text, "json"|"error" kind
function fixture.run(name)
  local options = { file = fixture.folder .. name .. ".yaml", pre = {}, post = {}, overrides = {} }
  for line in (read(fixture.folder .. name .. ".args") or ""):gmatch "[^\n]+" do
    local option, value = line:match "^(%S+) (.*)$"
    if option == "-c" then options.overrides[#options.overrides + 1] = value
    elseif option == "--pre-yaml" then options.pre[#options.pre + 1] = fixture.folder .. value
    elseif option == "--post-yaml" then options.post[#options.post + 1] = fixture.folder .. value
    else error("unknown option in " .. name .. ".args: " .. line) end
  end
  local tree, message = config.load(options)
  if tree then
    local text = tree:to_json { indent = 2 }
    tree:close()
    return text .. "\n", "json"
  end
  local prefix = fixture.folder:gsub("%p", "%%%0")
  return (message:gsub(prefix, "")) .. "\n", "error"
end

---@return string? text, "json"|"error" kind
function fixture.expected(name)
  local json = read(fixture.folder .. name .. ".json")
  return json or read(fixture.folder .. name .. ".error"), json and "json" or "error"
end

return fixture
