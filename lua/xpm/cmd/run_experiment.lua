-- `xpm run-experiment FILE`: turns the command line into the options of xpm.run. `--show` is answered here, with the
-- configuration core alone.

local cmd = require "xpm.cmd"
local errors = require "xpm.errors"

local run_experiment = {}

run_experiment.summary = "Run an experiment, or show its configuration."
run_experiment.description = "Merges the configuration, runs the experiment's tasks as jobs, and waits for them. "
  .. "Jobs that are done already are not run again."
run_experiment.examples = [[
  xpm run-experiment full.yaml
  xpm run-experiment -c learning_rate=1e-3 -c model.layers=6 --pre-yaml base.yaml full.yaml
  xpm run-experiment --show --origin full.yaml
  xpm run-experiment --run-mode dry-run full.yaml
  xpm run-experiment -j 4 --workdir /data/xpm full.yaml -- arguments of the helper]]

local MODES = { "NORMAL", "DRY_RUN", "GENERATE_ONLY", "PREPARE" }

local function run_mode(word)
  local wanted = word:upper():gsub("-", "_")
  for _, mode in ipairs(MODES) do
    if mode == wanted then return mode end
  end
  return nil, ("unknown run mode '%s'%s (there are %s)"):format(word, cmd.suggestion(wanted, MODES),
    table.concat(MODES, ", "))
end

local function assignment(text)
  local name, value = text:match("^([^=]+)=(.*)$")
  if not name then return nil, ("--env %s: NAME=VALUE is wanted"):format(text) end
  return { name, value }
end

function run_experiment.configure(parser)
  parser:argument("file", "The YAML file."):argname("FILE")
  parser:argument("args", "Passed to the experiment's helper; after -- also what looks like options.")
    :argname("ARG"):args("*")
  parser:option("--pre-yaml", "Merge this YAML file before FILE (repeatable)."):argname("FILE"):count("*"):target("pre")
  parser:option("--post-yaml", "Merge this YAML file after FILE (repeatable)."):argname("FILE"):count("*")
    :target("post")
  parser:option("-c --conf", "Set a value of the configuration, last of all (repeatable); K+=[V] appends.")
    :argname("K=V"):count("*"):target("overrides")
  parser:flag("--show", "Print the merged configuration as JSON, and run nothing.")
  parser:flag("--origin", "With --show: say for each value where it was set, and what it replaced.")
  parser:option("--run-mode", "NORMAL, DRY_RUN (list the jobs), GENERATE_ONLY (make their folders) or PREPARE.")
    :argname("MODE"):convert(run_mode)
  parser:option("--file", "The Lua file with the run function, instead of the configuration's.")
    :argname("FILE"):target("code_file")
  parser:option("--module-name", "The Lua module with the run function, instead of the configuration's.")
    :argname("NAME")
  parser:mutex(parser._options[#parser._options - 1], parser._options[#parser._options])
  parser:option("--env", "Set a variable for the experiment and its jobs (repeatable).")
    :argname("NAME=VALUE"):count("*"):convert(assignment)
  parser:option("-j --jobs", "How many jobs run at a time (default: the cores there are)."):argname("N")
    :convert(cmd.integer("--jobs", 1))
  parser:option("--size-limit", "How many MB a YAML file may have (default: 64)."):argname("MB")
    :convert(cmd.integer("--size-limit", 1))
  parser:flag("--no-wait", "Fail if the experiment is running already, instead of waiting for it.")
end

-- What --show --origin prints of one leaf.
local function origin_line(text, leaf, width)
  local lines = { ("%-" .. width .. "s   %s"):format(text.line(leaf.path) .. " = " .. text.line(leaf.value),
    text.line(leaf.where)) }
  for _, old in ipairs(leaf.replaced) do
    lines[#lines + 1] = ("    replaced %s   %s"):format(text.line(old.value), text.line(old.where))
  end
  return table.concat(lines, "\n")
end

local function show(options)
  local tree, message = require("xpm.config").load { pre = options.pre, file = options.file, post = options.post,
    overrides = options.overrides, limit = options.limit }
  if not tree then error(errors.ConfigError(message)) end
  for _, warning in ipairs(tree:warnings()) do
    io.stderr:write("xpm: warning: ", require("xpm.text").line(warning), "\n")
  end
  if options.origin then
    local text = require "xpm.text"
    local leaves, width = tree:origins(), 0
    for _, leaf in ipairs(leaves) do
      local n = #leaf.path + 3 + #leaf.value
      if n <= 48 then width = math.max(width, n) end
    end
    for _, leaf in ipairs(leaves) do io.write(origin_line(text, leaf, math.max(width, 1)), "\n") end
  else
    io.write(tree:to_json { indent = 2 }, "\n")
  end
  tree:close()
  return 0
end

function run_experiment.run(options)
  if options.origin and not options.show then
    error(errors.UsageError("--origin belongs to --show", { hint = "'xpm run-experiment --show --origin FILE'" }))
  end
  options.limit = options.size_limit and math.min(options.size_limit, 1 << 40) << 20
  if options.show then return show(options) end
  local env = {}
  for _, pair in ipairs(options.env) do env[pair[1]] = pair[2] end
  options.env, options.command = env, options.command_line
  options.run_mode = options.run_mode or "NORMAL"
  local report = require "xpm.report"
  local reporter <close> = report.new(report.terminal(io.stderr, 2))
  options.reporter = reporter
  return require("xpm.run").main(options)
end

return run_experiment
