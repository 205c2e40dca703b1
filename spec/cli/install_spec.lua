-- make install and uninstall: the installed files work by themselves, and nothing of them stays.

local build = os.getenv "BUILD" or "build"

local function output(command)
  local p = assert(io.popen("{ " .. command .. "; } 2>&1"))
  local text = p:read "a"
  return text, p:close() == true
end

local function succeeds(command)
  local text, ok = output(command)
  assert.is_true(ok, command .. "\n" .. text)
  return text
end

describe("make install", function()
  local dest, prefix
  setup(function()
    dest = succeeds("mktemp -d"):gsub("%s", "")
    prefix = dest .. "/usr/local"
  end)
  teardown(function() os.execute("rm -rf '" .. dest .. "'") end)

  -- Sanitized or fuzzing builds pass other flags than this make would; they are not what is installed.
  if os.getenv "XPM_SANITIZED" then
    it("is not for sanitizer builds", function() pending "the ordinary build is installed by make test" end)
    return
  end

  -- -o all: what is there is installed, and not built anew with other flags than it was.
  local function make(target)
    return succeeds(("make --no-print-directory -o all BUILD='%s' DESTDIR='%s' PREFIX=/usr/local %s"):format(build, dest, target))
  end

  local function files() return succeeds("cd '" .. dest .. "' && find . ! -type d | sort") end

  it("puts each kind of file in its place, readable by all", function()
    make "install"
    local have = files()
    for _, path in ipairs { "./usr/local/bin/xpm", "./usr/local/lib/lua/5.4/xpm/engine.so",
      "./usr/local/lib/lua/5.4/xpm/xpm-supervisor", "./usr/local/share/lua/5.4/xpm/errors.lua",
      "./usr/local/share/lua/5.4/xpm/meta/engine.lua" } do
      assert.is_truthy(have:find(path .. "\n", 1, true), path .. " is missing:\n" .. have)
    end
    assert.equal("", succeeds("find '" .. prefix .. "' ! -perm -444"))
    assert.is_nil(have:find("_spec", 1, true))
  end)

  it("installs a program that finds its modules", function()
    -- from another folder and another copy of the tree's names, so that nothing of the checkout helps
    local said = succeeds(("cd / && env -u LUA_PATH -u LUA_CPATH '%s/bin/xpm' --version"):format(prefix))
    assert.is_truthy(said:find "^xpm %d+%.%d+%.%d+", said)
  end)

  it("installs modules for any Lua 5.4 program", function()
    local said = succeeds(("cd / && LUA_PATH='%s/share/lua/5.4/?.lua;%s/share/lua/5.4/?/init.lua' "
      .. "LUA_CPATH='%s/lib/lua/5.4/?.so' lua5.4 -e '%s'"):format(prefix, prefix, prefix,
      [[local c = require "xpm.config"; print(c.encode_json(c.parse_yaml("a: [1, 2.5]"))); require "xpm.engine"; require "xpm"]]))
    assert.equal('{"a":[1,2.5]}', (said:gsub("%s", "")))
  end)

  it("leaves nothing behind when uninstalled", function()
    make "uninstall"
    assert.equal("", files())
    assert.equal("", succeeds("find '" .. dest .. "' -name xpm"))
    make "uninstall"
  end)
end)
