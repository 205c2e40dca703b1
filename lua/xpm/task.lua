-- Tasks: xpm.task declares a class of jobs; calling the class makes an instance with checked parameters; submitting
-- the instance makes it a job of an experiment. An instance has an identifier, a folder and outputs.

local config = require "xpm.config"
local ids = require "xpm.ids"
local source = require "xpm.source"
local sys = require "xpm.sys"
local tags = require "xpm.tags"
local types = require "xpm.types"

local task = {}

---@class xpm.TaskClass
---@field id string
---@field name string            last part of the id: the name of the job's files
---@field fields xpm.Field[]
---@field outputs table<string, string>   name -> path relative to the job's folder
---@field output_order string[]
---@field execute? fun(task: xpm.Task)
---@field command? fun(task: xpm.Task): string[]
---@field source xpm.Source
---@field help? string
local TaskClass = {}
TaskClass.__index = TaskClass
TaskClass.__name = "xpm.TaskClass"

---@class xpm.Task
---@field state? string   in the driver, after submit: the job's state
local methods = {}

local OPTIONS = { "id", "params", "outputs", "execute", "command", "help" }

-- What an instance answers itself; parameters and outputs cannot have these names.
local RESERVED = { id = true, state = true, job = true, wait = true }

local TAG_VALUES = 8

local registry = {} -- id -> class: the last definition, for jobs

local Instance = { __name = "xpm.Task", xpm_task = true }

local function refused_name(name)
  if not name:find("^[A-Za-z][A-Za-z0-9_]*$") then return "must be letters, digits and '_', starting with a letter" end
  if RESERVED[name] or methods[name] then return "is a name that tasks reserve" end
end

local function check_outputs(declared, fields, file_name)
  local order = {}
  for name, path in pairs(declared) do
    if type(name) ~= "string" then error(("output names must be strings, not %s"):format(tostring(name)), 0) end
    local why = refused_name(name)
    if why then error(("output '%s': %s"):format(name, why), 0) end
    if fields[name] then error(("'%s' is both a parameter and an output"):format(name), 0) end
    if type(path) ~= "string" or path == "" then error(("output '%s': must be a path"):format(name), 0) end
    if path:sub(1, 1) == "/" or path:find("[%c]") or ("/" .. path .. "/"):find("/%.%.?/") then
      error(("output '%s': %q must be a plain path inside the job's folder"):format(name, path), 0)
    end
    local first = path:match("^[^/]+")
    if first == "params.json" or first:sub(1, #file_name + 1) == file_name .. "." and
      ({ out = 1, err = 1, pid = 1, done = 1, failed = 1, progress = 1 })[first:sub(#file_name + 2)] then
      error(("output '%s': %q is a file of xpm's own"):format(name, path), 0)
    end
    order[#order + 1] = name
  end
  table.sort(order)
  return order
end

local function define(options, level)
  for key in pairs(options) do
    local known = false
    for _, name in ipairs(OPTIONS) do known = known or name == key end
    if not known then
      error(("unknown option '%s'%s"):format(tostring(key), types.suggestion(tostring(key), OPTIONS)), 0)
    end
  end
  local id = options.id
  local why = ids.problem(id)
  if why then error(("id %q: %s"):format(tostring(id), why), 0) end
  local name = id:match("[^.]+$")
  if not name then error(("id %q: ends with a dot"):format(id), 0) end
  if (options.execute == nil) == (options.command == nil) then
    error("needs either 'execute' or 'command'", 0)
  end
  for _, key in ipairs { "execute", "command" } do
    if options[key] ~= nil and type(options[key]) ~= "function" then
      error(("'%s' must be a function"):format(key), 0)
    end
  end
  for _, key in ipairs { "params", "outputs" } do
    if options[key] ~= nil and type(options[key]) ~= "table" then error(("'%s' must be a table"):format(key), 0) end
  end
  local fields = types.fields(options.params or {}, refused_name)
  local outputs = {}
  for k, v in pairs(options.outputs or {}) do outputs[k] = v end
  local order = check_outputs(outputs, fields, name)
  return setmetatable({ id = id, name = name, fields = fields, outputs = outputs, output_order = order,
    execute = options.execute, command = options.command, help = options.help,
    source = source.here(level + 1) }, TaskClass)
end

---@class xpm.TaskOptions
---@field id string
---@field params? table<string, any>          declarations (see xpm.types)
---@field outputs? table<string, string>      name -> path relative to the job's folder
---@field execute? fun(task: xpm.Task)        either this: Lua, in a process of its own
---@field command? fun(task: xpm.Task): string[]   or this: argv
---@field help? string

---Declares a task; raises on a wrong declaration, at the caller's line.
---@param options xpm.TaskOptions
---@return xpm.TaskClass
function task.define(options)
  if type(options) ~= "table" then error("xpm.task takes a table", 2) end
  local ok, class = pcall(define, options, 3)
  if not ok then
    error(("task %s: %s"):format(type(options.id) == "string" and options.id or "?", class), 2)
  end
  local known = registry[class.id]
  if known and known.source.file and class.source.file
    and (known.source.file ~= class.source.file or known.source.line ~= class.source.line) then
    error(("task %s: is already defined at %s:%d"):format(class.id, known.source.file, known.source.line), 2)
  end
  registry[class.id] = class
  return class
end

---The class that was defined with this id.
---@param id string
---@return xpm.TaskClass?
function task.find(id) return registry[id] end

---Makes an instance. All problems of the values are told together, at the caller's line.
---@param values? table
---@return xpm.Task
function TaskClass:__call(values)
  local problems, own_tags = {}, {}
  local ctx = {
    report = function(path, message) problems[#problems + 1] = ("%s: %s: %s"):format(self.id, path, message) end,
    tagged = function(tagged, path)
      own_tags[tagged.name or path:match("[^.]+$")] = tags.text(tagged.value)
    end,
    absolute = sys.abspath, -- a job runs in a folder of its own
  }
  if values ~= nil and type(values) ~= "table" then error(self.id .. ": parameters must be a table", 2) end
  local checked = types.check_fields(ctx, self.fields, values or {}, "")
  if #problems > 0 then error(table.concat(problems, "\n"), 2) end
  for name in pairs(own_tags) do tags.check_name(name, 2) end
  return setmetatable({ xpm_class = self, xpm_values = checked, xpm_tags = own_tags }, Instance)
end

function TaskClass:__tostring() return "xpm.TaskClass " .. self.id end

function Instance.__index(self, key)
  local method = methods[key]
  if method then return method end
  local class = rawget(self, "xpm_class")
  local value = rawget(self, "xpm_values")[key]
  if value ~= nil then return value end
  if class.fields[key] then return nil end
  if class.outputs[key] then return self:folder() .. "/" .. class.outputs[key] end
  if key == "state" then return rawget(self, "xpm_job") and self.xpm_job.state end
  if key == "id" then return class.id end
  if type(key) ~= "string" or key:sub(1, 4) == "xpm_" then return nil end
  local names = {}
  for _, field in ipairs(class.fields) do names[#names + 1] = field.name end
  for _, name in ipairs(class.output_order) do names[#names + 1] = name end
  for name in pairs(methods) do names[#names + 1] = name end
  error(("task %s has no parameter or output '%s'%s"):format(class.id, key, types.suggestion(key, names)), 2)
end

function Instance.__newindex(self, key, value)
  local class = rawget(self, "xpm_class")
  if class.fields[key] or class.outputs[key] or methods[key] or RESERVED[key] then
    error(("task %s: '%s' cannot be set"):format(class.id, tostring(key)), 2)
  end
  rawset(self, key, value)
end

function Instance.__tostring(self)
  return ("xpm.Task %s/%s"):format(self.xpm_class.id, rawget(self, "xpm_hash") and self.xpm_hash:sub(1, 8) or "-")
end

---@return string
function methods:task_id() return self.xpm_class.id end

---The checked values of the parameters, by name.
---@return table
function methods:parameters() return self.xpm_values end

---The declared outputs: name -> path relative to the job's folder.
---@return table<string, string>
function methods:output_names()
  local out = {}
  for k, v in pairs(self.xpm_class.outputs) do out[k] = v end
  return out
end

---The tasks that are in the parameters, each once, in order of their names.
---@return xpm.Task[]
function methods:dependencies()
  local found, seen = {}, {}
  local function walk(value)
    if types.is_task(value) then
      if not seen[value] then
        seen[value] = true
        found[#found + 1] = value
      end
    elseif type(value) == "table" then
      for _, v in config.pairs(value) do walk(v) end
    end
  end
  walk(self.xpm_values)
  return found
end

---The identifier: 64 hex digits (see xpm.identity).
---@return string
function methods:identifier()
  local hash = rawget(self, "xpm_hash")
  if not hash then
    hash = require("xpm.identity").of(self)
    rawset(self, "xpm_hash", hash)
  end
  return hash
end

---Adds a tag; returns the task.
---@param name string
---@param value string|number|boolean
---@return xpm.Task
function methods:tag(name, value)
  tags.check_name(name, 2)
  if type(value) == "table" or value == nil then error("a tag's value is a string, a number or a boolean", 2) end
  self.xpm_tags[name] = tags.text(value)
  return self
end

---All tags: its own, and those of the tasks it uses. Its own win; where the tasks differ, all their values are named
---("1,2,3", at most TAG_VALUES of them).
---@return table<string, string>
function methods:tags()
  local all, seen = {}, {}
  for _, dependency in ipairs(self:dependencies()) do
    local job = rawget(dependency, "xpm_job")
    for name, value in pairs(job and job.tags or dependency:tags()) do
      local values = seen[name] or { count = 0 }
      seen[name] = values
      if not values[value] then
        values[value], values.count = true, values.count + 1
        if values.count == 1 then all[name] = value
        elseif values.count <= TAG_VALUES then all[name] = all[name] .. "," .. value
        elseif values.count == TAG_VALUES + 1 then all[name] = all[name] .. ",..." end
      end
    end
  end
  for name, value in pairs(self.xpm_tags) do all[name] = value end
  return all
end

---The job's folder, absolute. Known once the task is submitted (and in the job itself).
---@return string
function methods:folder()
  local folder = rawget(self, "xpm_folder")
  if not folder then error(("task %s is not submitted: it has no folder yet"):format(self.xpm_class.id), 2) end
  return folder
end

---Submits to the innermost open experiment; returns the task.
---@param options? table
---@return xpm.Task
function methods:submit(options)
  local current = require("xpm.experiment").current()
  if not current then
    error(("task %s: there is no open experiment to submit to"):format(self.xpm_class.id), 2)
  end
  return current:submit(self, options)
end

---Calls f(task) in the driver once the job is done (at once if it is already). Returns the task.
---@param f fun(task: xpm.Task)
---@return xpm.Task
function methods:on_completed(f)
  if type(f) ~= "function" then error("on_completed takes a function", 2) end
  local callbacks = rawget(self, "xpm_callbacks")
  if not callbacks then
    callbacks = {}
    rawset(self, "xpm_callbacks", callbacks)
  end
  callbacks[#callbacks + 1] = f
  if self.state == "done" then self.xpm_job.experiment:completed(self.xpm_job) end
  return self
end

---In the job: tells how far it is. Levels nest (0 is the whole job, 1 a part of it, ...).
---@param fraction number  0 to 1
---@param description? string
---@param level? integer
function methods:progress(fraction, description, level)
  local report = rawget(self, "xpm_progress")
  if report then report(fraction, description, level or 0) end
end

return task
