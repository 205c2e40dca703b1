-- params.json: a job's parameters on disk, and back.
--
--   { "version": 1, "task": "digits.train", "identifier": "<64 hex>", "parameters": { ... }, "outputs": { name: path },
--     "argv": [...] (of a command) }
--
-- Values are JSON, with three marks: {"$job": "task/hash"} a task, {"$float": "inf"} what JSON has no word for,
-- {"$map": [[key, value], ...]} a map that has a key starting with "$".

local config = require "xpm.config"
local types = require "xpm.types"

local params = {}

params.VERSION = 1

local function encode(value)
  if value == nil or value == config.null then return config.null end
  if types.is_task(value) then return { ["$job"] = value:task_id() .. "/" .. value:identifier() } end
  if math.type(value) == "float" and (value ~= value or value == math.huge or value == -math.huge) then
    return { ["$float"] = value ~= value and "nan" or value > 0 and "inf" or "-inf" }
  end
  if type(value) ~= "table" then return value end
  if config.kind(value) == "list" then
    local out = {}
    for i = 1, #value do out[i] = encode(value[i]) end
    return config.list(out)
  end
  local out, pairs_list, marked, keys = {}, {}, false, {}
  for k, v in config.pairs(value) do
    marked = marked or k:sub(1, 1) == "$"
    out[k] = encode(v)
    keys[#keys + 1] = k
    pairs_list[#pairs_list + 1] = config.list { k, out[k] }
  end
  if marked then return { ["$map"] = config.list(pairs_list) } end
  return config.order(out, keys)
end

---The bytes of params.json for a task instance; `argv` is written down for a command.
---@param task xpm.Task
---@param argv? string[]
---@return string
function params.encode(task, argv)
  local doc = {
    version = params.VERSION,
    task = task:task_id(),
    identifier = task:identifier(),
    parameters = encode(task:parameters()),
    outputs = config.order(task:output_names(), task.xpm_class.output_order),
    argv = argv and config.list(argv),
  }
  return config.encode_json(config.order(doc,
    { "version", "task", "identifier", "parameters", "outputs", "argv" })) .. "\n"
end

---Turns a decoded value back; `job(task, hash)` makes what stands for a task.
---@param value any
---@param job fun(task: string, hash: string): any
---@return any
function params.decode(value, job)
  if type(value) ~= "table" then
    if value == config.null then return nil end
    return value
  end
  if config.kind(value) == "list" then
    local out = {}
    for i = 1, #value do
      local item = params.decode(value[i], job)
      out[i] = item == nil and config.null or item -- no holes in lists
    end
    return config.list(out)
  end
  if value["$job"] then
    local task, hash = value["$job"]:match("^([^/]+)/(%x+)$")
    return job(task, hash)
  end
  if value["$float"] then
    return ({ inf = math.huge, ["-inf"] = -math.huge, nan = 0 / 0 })[value["$float"]]
  end
  local out, keys = {}, {}
  if value["$map"] then
    for _, pair in ipairs(value["$map"]) do
      out[pair[1]] = params.decode(pair[2], job)
      keys[#keys + 1] = pair[1]
    end
  else
    for k, v in config.pairs(value) do
      out[k] = params.decode(v, job)
      keys[#keys + 1] = k
    end
  end
  return config.order(out, keys)
end

return params
