-- What commands that list have in common: the workspace meant by the global options, times, JSON.

local listing = {}

---The workspace that a command without an experiment reads.
---@param options { workspace?: string, workdir?: string, config_dir?: string }
---@return xpm.ResolvedWorkspace
function listing.workspace(options)
  return require("xpm.workspace").resolve { settings = require("xpm.settings").load(options.config_dir),
    workspace = options.workspace, workdir = options.workdir }
end

---Seconds since 1970 as ISO 8601 in UTC; nil stays nil.
---@param seconds? number
---@return string?
function listing.time(seconds)
  return seconds and os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(seconds)) or nil
end

---Prints a value as JSON, the keys of its maps in the order given; fields whose name ends in `_at` become ISO 8601.
---@param list table[]
---@param keys string[]
function listing.json(list, keys)
  local config = require "xpm.config"
  local out = {}
  for i, entry in ipairs(list) do
    local map = {}
    for _, key in ipairs(keys) do
      local value = entry[key]
      if key:find("_at$") and type(value) == "number" then value = listing.time(value) end
      map[key] = value
    end
    out[i] = config.order(map, keys)
  end
  io.write(config.encode_json(config.list(out), { indent = 2 }), "\n")
end

return listing
