-- xpm.config: reading and merging files, overrides, interpolation, and JSON and YAML both ways.
local config = require "xpm.config"

local function write(path, text)
  local f = assert(io.open(path, "w"))
  assert(f:write(text))
  assert(f:close())
end

return {
  setup = function()
    local p = assert(io.popen "mktemp -d")
    local dir = p:read "l"
    p:close()
    write(dir .. "/base.yaml", "id: stress\nlist: &l [1, 2.5, text]\nother: *l\nmap: {a: 1, b: {c: null}}\n")
    write(dir .. "/full.yaml", "imports: [base.yaml]\nlist: !append [more]\nmap: {b: {d: '${id}/x'}}\n")
    return dir
  end,
  run = function(dir)
    local tree, message = config.load { file = dir .. "/full.yaml", overrides = { "map.a=7", "list+=[y]", "map.e.f=1e-3" } }
    if not tree then return nil, message end
    local json = tree:to_json()
    local all = tree:get ""
    local origin = tree:where "map.a"
    local origins = tree:origins()
    tree:close()
    assert(json == '{"id": "stress", "list": [1, 2.5, "text", "more", "y"], "other": [1, 2.5, "text"], '
      .. '"map": {"a": 7, "b": {"c": null, "d": "stress/x"}, "e": {"f": 0.001}}}', json)
    assert(all.map.b.d == "stress/x" and origin and #origins > 5)
    local value
    value, message = config.parse_yaml("a: [x, {b: 1}]\nc: |\n  long\n  text\n")
    if value == nil then return nil, message end
    value, message = config.parse_yaml(config.encode_yaml(value))
    if value == nil then return nil, message end
    value, message = config.parse_json(config.encode_json(value, { indent = 2 }))
    if value == nil then return nil, message end
    assert(value.a[2].b == 1 and value.c == "long\ntext\n")
    value, message = config.parse_yaml("a: 1\na: 2\n", "name")
    assert(value == nil and type(message) == "string")
    assert(config.nearest("epcohs", { "lr", "epochs" }) == "epochs")
    return true
  end,
  check = function(dir) assert(os.execute("rm -rf '" .. dir .. "'")) end,
}
