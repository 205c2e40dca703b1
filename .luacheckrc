std = "lua54"
max_line_length = 130
self = false
exclude_files = { "build*/", "lua/xpm/meta/" }

-- busted's globals and its extended assert
files["spec/**/*_spec.lua"] = { std = "+busted" }
-- An experiment file defines run(helper, cfg).
files["examples"] = { allow_defined_top = true, ignore = { "131" } }
