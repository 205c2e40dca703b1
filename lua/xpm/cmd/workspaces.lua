-- `xpm workspaces list`: the workspaces of the settings.

local cmd = require "xpm.cmd"

local workspaces = {}

workspaces.summary = "List the workspaces of the settings."
workspaces.examples = "  xpm workspaces list\n  xpm workspaces list --json"

function workspaces.configure(parser)
  parser:command_target("command")
  local list = cmd.subcommand(parser, "list", "List the workspaces: id, folder, triggers. The first is the default.",
    "  xpm workspaces list\n  xpm workspaces list --json")
  list:flag("--json", "Print JSON.")
end

function workspaces.run(options)
  local text = require "xpm.text"
  local settings = require("xpm.settings").load(options.config_dir)
  if options.json then
    local config = require "xpm.config"
    local list = {}
    for i, w in ipairs(settings.workspaces) do
      list[i] = config.order({ id = w.id, path = w.path, triggers = config.list { table.unpack(w.triggers) },
        env = w.env, history = w.history }, { "id", "path", "triggers", "env", "history" })
    end
    io.write(config.encode_json(config.list(list), { indent = 2 }), "\n")
    return 0
  end
  local rows = {}
  for i, w in ipairs(settings.workspaces) do rows[i] = { w.id, w.path, table.concat(w.triggers, " ") } end
  for _, line in ipairs(text.table(rows)) do io.write(line, "\n") end
  if #rows == 0 then
    io.stderr:write(("no workspaces in %s; the default is %s\n"):format(text.line(settings.file),
      text.line(require("xpm.settings").default_workspace())))
  end
  return 0
end

return workspaces
