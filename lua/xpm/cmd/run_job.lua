-- `xpm run-job`: the process of one Lua job. Started by supervisors, hidden from the help, and without a parser.

return {
  raw = true,
  run = function(args) return require("xpm.job").main(args, require("xpm.cmd").guarded) end,
}
