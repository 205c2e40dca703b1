-- A schema of nested configurations, lists and ranges against a merged file: xpm.configuration, xpm.types, xpm.config.
local config = require "xpm.config"
local configuration = require "xpm.configuration"
local errors = require "xpm.errors"
local types = require "xpm.types"

local Optimizer = configuration.define("opt", { lr = "number", betas = { type = types.list "number", default = { 0.9 } } })
local Schema = configuration.define {
  opt = Optimizer,
  epochs = { type = "integer", default = 10, range = { 1, 100 } },
  kind = { type = types.enum { "small", "large" }, default = "small" },
  extra = types.map "any",
}

return {
  setup = function()
    local p = assert(io.popen "mktemp -d")
    local dir = p:read "l"
    p:close()
    local f = assert(io.open(dir .. "/full.yaml", "w"))
    assert(f:write "id: stress\nopt: {lr: 1e-3}\nepochs: '20'\nextra: {a: [1, {b: x}]}\n")
    assert(f:close())
    return dir
  end,
  run = function(dir)
    local tree <close>, message = config.load { file = dir .. "/full.yaml" }
    if not tree then return nil, message end
    local cfg = configuration.build(tree, configuration.check_base(tree), Schema)
    assert(cfg.opt.lr == 0.001 and cfg.opt.betas[1] == 0.9 and cfg.epochs == 20 and cfg.extra.a[2].b == "x")
    local wrong <close> = config.load { file = dir .. "/full.yaml", overrides = { "epochs=200", "kinb=large" } }
    if not wrong then return nil, "out of memory" end
    local ok, problem = pcall(configuration.build, wrong, configuration.check_base(wrong), Schema)
    assert(not ok)
    if errors.is(problem, errors.ConfigError) then return true end
    error(problem, 0)
  end,
  check = function(dir) assert(os.execute("rm -rf '" .. dir .. "'")) end,
}
