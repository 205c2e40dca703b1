-- `xpm experiments list`: the experiments of a workspace and how far their newest runs are.

local cmd = require "xpm.cmd"
local listing = require "xpm.listing"

local experiments = {}

experiments.summary = "List the experiments of a workspace."
experiments.examples = "  xpm experiments list\n  xpm experiments --workdir /path/to/workdir list --json"

local KEYS = { "experiment", "run", "runs", "hostname", "status", "started_at", "ended_at", "done", "failed", "total" }

function experiments.configure(parser)
  parser:command_target("command")
  local list = cmd.subcommand(parser, "list", "List the experiments: name, host, jobs done of the newest run.",
    "  xpm experiments list\n  xpm experiments list --json")
  list:flag("--json", "Print JSON.")
end

function experiments.run(options)
  local text = require "xpm.text"
  local entries = require("xpm.workspace").experiments(listing.workspace(options).path)
  if options.json then
    listing.json(entries, KEYS)
    return 0
  end
  for _, e in ipairs(entries) do
    io.write(("%s [%s] (%d/%d jobs)\n"):format(text.line(e.experiment), text.line(e.hostname or "unknown host"),
      e.done, e.total))
  end
  return 0
end

return experiments
