-- `xpm version`: what this program is made of.

local version = {}

version.summary = "Show the versions of xpm and its libraries."
version.examples = "  xpm version\n  xpm version --json"

function version.configure(parser)
  parser:flag("--json", "Print JSON.")
end

function version.run(options)
  local list = { { "xpm", options.version }, { "lua", _VERSION:match("%S+$") },
    { "sqlite", require("xpm.db").version() }, { "libgit2", require("xpm.git").version() } }
  if options.json then
    local config = require "xpm.config"
    local map, keys = {}, {}
    for i, entry in ipairs(list) do
      map[entry[1]], keys[i] = entry[2], entry[1]
    end
    io.write(config.encode_json(config.order(map, keys), { indent = 2 }), "\n")
  else
    for _, entry in ipairs(list) do io.write(entry[1], " ", entry[2], "\n") end
  end
  return 0
end

return version
