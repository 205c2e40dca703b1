-- `xpm run-experiment`, after the command line is read: merge, base options, git, pre_experiment, experiment code,
-- schema, the run itself, waiting, summary (DESIGN, "the order of a start").

local config = require "xpm.config"
local errors = require "xpm.errors"
local log = require "xpm.log"
local sys = require "xpm.sys"

local run = {}

local CANCEL_SECONDS = 3 -- after the first Ctrl-C a second one within this time cancels the running jobs

---@class xpm.RunOptions
---@field file string
---@field pre? string[]
---@field post? string[]
---@field overrides? string[]
---@field limit? integer          bytes a YAML file may have
---@field run_mode? string
---@field code_file? string
---@field module_name? string
---@field env? table<string, string>
---@field jobs? integer
---@field workdir? string
---@field workspace? string
---@field config_dir? string
---@field no_wait? boolean
---@field args? string[]          for the helper
---@field reporter? table
---@field signals? boolean        false: SIGINT, SIGTERM and SIGHUP stay the host's
---@field command? string[]       the command line, for the record

local function load_tree(options)
  local tree, message = config.load { pre = options.pre, file = options.file, post = options.post,
    overrides = options.overrides, limit = options.limit }
  if not tree then error(errors.ConfigError(message)) end
  for _, warning in ipairs(tree:warnings()) do log.warn("%s", warning) end
  return tree
end

-- What to do on signals: the first Ctrl-C starts no more jobs and lets the driver go; the second, on a terminal,
-- cancels what runs. SIGTERM and SIGHUP let go at once.
local function signal_control(fd, say)
  local control = { fd = fd, interrupts = 0 }
  ---What is said on leaving; before the experiment is detached.
  function control.farewell(xp)
    if control.cancelled then return "interrupted: the running jobs were cancelled; the same command makes them again" end
    local running = xp.engine and xp.engine:counts().running or 0
    if running == 0 then return "interrupted: no job is running; the same command does the rest" end
    return ("interrupted: %d %s on; the same command comes back to %s"):format(running,
      running == 1 and "job goes" or "jobs go", running == 1 and "it" or "them")
  end
  local function leave(xp) error(errors.Interrupted(control.farewell(xp))) end
  -- While the loop waits it hears of signals by the descriptor; in the user's own code they raise "interrupted".
  function control.waiting(on) sys.interruptible(control.in_user_code and not on or false) end
  function control.ready(xp)
    for _, name in ipairs(sys.caught()) do
      if name ~= "INT" then leave(xp) end
      control.interrupts = control.interrupts + 1
    end
    if control.interrupts == 0 then return end
    local running = xp.engine and xp.engine:counts().running or 0
    if control.interrupts == 1 and running > 0 and sys.isatty(0) then
      if not control.deadline then
        xp.engine:stop()
        control.deadline = sys.monotonic() + CANCEL_SECONDS
        say(("interrupted: %d running jobs go on without xpm; Ctrl-C again within %d seconds cancels them"):format(
          running, CANCEL_SECONDS))
      end
      return
    end
    if control.interrupts >= 2 and running > 0 and not control.cancelled then
      control.cancelled, control.deadline = true, nil
      xp.engine:stop()
      xp.engine:cancel()
      say(("cancelling %d running jobs"):format(running))
      return
    end
    if not control.cancelled or control.interrupts > 2 then leave(xp) end
  end
  function control.patience()
    return control.deadline and math.max(0, control.deadline - sys.monotonic())
  end
  -- Called whenever the loop has turned: is it time to leave?
  function control.check(xp, idle)
    if control.deadline and sys.monotonic() >= control.deadline then leave(xp) end
    if idle and (control.cancelled or control.deadline) then leave(xp) end
  end
  return control
end

local function experiment_id(base)
  if not base.add_timestamp then return base.id end
  return base.id .. "-" .. os.date("%Y%m%d-%H%M")
end

local function user_run(args, loaded, xp, cfg, control)
  local experiment = require "xpm.experiment"
  local helper = require("xpm.helper").of(loaded.run, xp)
  local function in_user_code(on)
    if control then
      control.in_user_code = on
      control.waiting(false)
    end
  end
  in_user_code(true)
  local ok, e = require("xpm.usercode").try(helper.run, helper, args, cfg)
  in_user_code(false)
  if not ok and e.value ~= experiment.STOP then
    if control and e.message == "interrupted" then e.message = control.farewell(xp) end
    error(e, 0)
  end
end

---Runs an experiment; returns the exit code. Raises error objects for what the user can put right.
---@param options xpm.RunOptions
---@return integer exit_code
function run.main(options)
  local configuration = require "xpm.configuration"
  local dirty_git = require "xpm.dirty_git"
  local environment = require "xpm.environment"
  local experiment = require "xpm.experiment"
  local loader = require "xpm.loader"
  local settings = require("xpm.settings").load(options.config_dir)
  local workspaces = require "xpm.workspace"

  local mode = experiment.mode(options.run_mode)
  local tree = load_tree(options)
  local base = configuration.check_base(tree)
  local id = experiment_id(base)
  local workspace = workspaces.resolve { settings = settings, workspace = options.workspace,
    workdir = options.workdir, experiment = id }
  local located = loader.locate(tree, base, options.file, options)
  local state = dirty_git.check(located.folder, base.dirty_git, workspace.path)

  for name, value in pairs(workspace.env) do environment.setenv(name, value) end
  for name, value in pairs(options.env or {}) do environment.setenv(name, value) end
  loader.add_path(located.path)
  loader.pre_experiment(tree, base, options.file)
  local loaded = loader.load(located)
  local cfg = configuration.build(tree, base, loaded.configuration)

  local reporter = options.reporter
  local function say(text)
    if reporter then reporter:log(text) else log.warn("%s", text) end
  end
  if not options.workdir and not options.workspace then
    say(("workspace %s (%s)"):format(workspace.path, workspace.source))
  end
  local control = options.signals ~= false and signal_control(sys.catch_signals(), say) or nil
  local xp = experiment.open(workspace.path, id, { jobs = options.jobs or settings.jobs, run_mode = mode,
    wait = not options.no_wait, reporter = reporter }, { checked_git = true, git = state, tree = tree,
    overrides = options.overrides, command = options.command, control = control, driven = true })

  local ok, e = pcall(user_run, options.args or {}, loaded, xp, cfg, control)
  if ok and mode ~= "DRY_RUN" then ok, e = pcall(xp.wait, xp) end
  if not ok and e == experiment.STOP then ok = true end
  if not ok then
    if reporter then reporter:close() end
    xp:detach()
    error(e, 0)
  end
  if mode == "DRY_RUN" then
    require("xpm.report").plan(xp.jobs, io.stdout)
    xp:detach()
    return 0
  end
  local summary = xp:close()
  if reporter then reporter:finish(summary) end
  return #summary.failed > 0 and 1 or 0
end

return run
