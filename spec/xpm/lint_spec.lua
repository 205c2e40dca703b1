-- Each rule of spec/support/lint can fail: on small made-up trees, one fault each.

local function write(path, text)
  assert(os.execute("mkdir -p '" .. path:match "^(.*)/" .. "'"))
  local f = assert(io.open(path, "w"))
  f:write(text)
  f:close()
end

local function output(command)
  local p = assert(io.popen(command))
  local text = p:read "a"
  return text, p:close() == true
end

describe("lint", function()
  local root
  before_each(function() root = output("mktemp -d"):gsub("%s", "") end)
  after_each(function() os.execute("rm -rf '" .. root .. "'") end)

  local function lint(rule, tree)
    for path, text in pairs(tree) do write(root .. "/" .. path, text) end
    return output(("lua5.4 spec/support/lint '%s' %s"):format(root, rule))
  end

  local function passes(rule, tree)
    local said, ok = lint(rule, tree)
    assert.equal("ok 1 - " .. rule .. "\n1..1\n", said)
    assert.is_true(ok)
  end

  local function fails(rule, tree, ...)
    local said, ok = lint(rule, tree)
    assert.is_false(ok)
    assert.equal("not ok 1 - " .. rule, said:match "^[^\n]*")
    for _, text in ipairs { ... } do
      assert.is_truthy(said:find(text, 1, true), "no '" .. text .. "' in:\n" .. said)
    end
  end

  describe("layers-c", function()
    it("lets each room include what lies below it", function()
      passes("layers-c", {
        ["src/base/a.c"] = '#include "base/a.h"\n#include <stdio.h>\n',
        ["src/engine/plan.c"] = '#include "engine/plan.h"\n#include "base/a.h"\n',
        ["src/lua/engine.c"] = '#include "lua/common.h"\n#include "engine/plan.h"\n#include "base/a.h"\n',
        ["src/git/c.c"] = '/* #include "engine/plan.h" */\n',
      })
    end)
    it("refuses one core in another", function()
      fails("layers-c", { ["src/db/a.c"] = '\n#include "engine/plan.h"\n' }, "src/db/a.c:2:", "src/engine")
    end)
    it("refuses a binding in a core", function()
      fails("layers-c", { ["src/git/a.h"] = '#  include "lua/common.h"\n' }, "src/git/a.h:1:")
    end)
    it("refuses a core in base", function()
      fails("layers-c", { ["src/base/a.h"] = '#include "config/tree.h"\n' }, "src/base/a.h:1:")
    end)
    it("refuses a path that climbs", function()
      fails("layers-c", { ["src/db/a.c"] = '#include "../engine/plan.h"\n' }, "../engine/plan.h")
    end)
  end)

  describe("layers-libraries", function()
    it("lets each adapter include its header", function()
      passes("layers-libraries", {
        ["src/config/yaml.c"] = "#include <yaml.h>\n", ["src/base/json.c"] = "#include <cjson/cJSON.h>\n",
        ["src/git/state.c"] = "#include <git2.h>\n", ["src/db/db.c"] = "#include <sqlite3.h>\n",
        ["src/base/hash.c"] = "#include <sodium.h>\n", ["src/lua/db.c"] = "#include <lua.h>\n",
        ["src/main.c"] = "#include <lualib.h>\n",
      })
    end)
    for header, path in pairs {
      ["yaml.h"] = "src/base/a.c", ["cjson/cJSON.h"] = "src/config/a.c", ["git2.h"] = "src/lua/git.c",
      ["git2/oid.h"] = "src/main.c", ["sqlite3.h"] = "src/lua/db.c", ["sodium.h"] = "src/engine/a.c",
      ["lua.h"] = "src/engine/a.c", ["lauxlib.h"] = "src/base/a.h", ["lualib.h"] = "src/config/a.c",
    } do
      it("refuses " .. header .. " in " .. path, function()
        fails("layers-libraries", { [path] = "#include <" .. header .. ">\n" }, path .. ":1:", header)
      end)
    end
  end)

  describe("layers-lua", function()
    it("lets commands require modules, and modules C modules", function()
      passes("layers-lua", {
        ["lua/xpm/cmd/run.lua"] = 'local a = require "xpm.a"\nlocal b = require("argparse")\n',
        ["lua/xpm/cmd/init.lua"] = 'local v = require("xpm.cmd." .. verb)\nreturn require "xpm.cmd.run"\n',
        ["lua/xpm/a.lua"] = '-- require "xpm.cmd.run"\nlocal e = require "xpm.engine"\nlocal m = self:require "xpm.x"\n',
        ["lua/xpm/meta/engine.lua"] = "",
      })
    end)
    it("refuses a command in a module", function()
      fails("layers-lua", { ["lua/xpm/a.lua"] = '\nrequire "xpm.cmd.run"\n', ["lua/xpm/cmd/run.lua"] = "" },
        "lua/xpm/a.lua:2:", "xpm.cmd.run")
    end)
    it("refuses a command in a module by a computed name", function()
      fails("layers-lua", { ["lua/xpm/a.lua"] = 'require("xpm.cmd." .. verb)\n' }, "lua/xpm/a.lua:1:")
    end)
    it("refuses a module that does not exist", function()
      fails("layers-lua", { ["lua/xpm/a.lua"] = 'require("xpm.nowhere")\n' }, "xpm.nowhere")
    end)
    it("refuses a library outside the commands", function()
      fails("layers-lua", { ["lua/xpm/a.lua"] = "local p = require 'argparse'\n" }, "argparse")
    end)
  end)

  describe("c-core", function()
    it("takes the program's main files, names that only end alike, comments and strings", function()
      passes("c-core", {
        ["src/main.c"] = "exit(1);\n", ["src/engine/supervisor_main.c"] = "abort();\n",
        ["src/engine/a.c"] = "_exit(1); snprintf(b, 1, \"exit(1)\"); /* abort() */ xpm_exit(2); // printf()\n",
      })
    end)
    for _, call in ipairs { "exit(1)", "abort()", 'printf("x")', "fprintf (stderr, x)", "strdup(s)", "assert(x)" } do
      it("refuses " .. call, function()
        fails("c-core", { ["src/git/a.c"] = "\n\n" .. call .. ";\n" }, "src/git/a.c:3:", call:match "%w+" .. "()")
      end)
    end
  end)

  describe("stubs", function()
    local source = [[
      static const luaL_Reg methods[] = { { "close", l_close }, { "__gc", l_close }, { NULL, NULL } };
      static const struct luaL_Reg functions[] = {
          { "open", l_open },   /* { "old", l_old }, */
          { NULL, NULL },
      };
      lua_pushcfunction(L, l_late);
      lua_setfield(L, -2, "late");
    ]]
    local meta = "function db.open(path) end\n---function db.gone()\nfunction index:close() end\nfunction db.late() end\n"
    it("takes stubs that match", function()
      passes("stubs", { ["src/lua/db.c"] = source, ["lua/xpm/meta/db.lua"] = meta })
    end)
    it("takes a module whose bindings are in several files", function()
      passes("stubs", { ["src/lua/db.c"] = source, ["lua/xpm/meta/db.lua"] = meta .. "function db.more() end\n",
        ["src/lua/db_more.c"] = 'const luaL_Reg more[] = { { "more", l_more }, { NULL, NULL } };\n' })
    end)
    it("refuses a function without a stub", function()
      fails("stubs", { ["src/lua/db.c"] = source, ["lua/xpm/meta/db.lua"] = meta:gsub("function db.open[^\n]*", "") },
        "registers open")
    end)
    it("refuses a stub without a function", function()
      fails("stubs", { ["src/lua/db.c"] = source, ["lua/xpm/meta/db.lua"] = meta .. "function db.ghost() end\n" },
        "has ghost")
    end)
    it("refuses a method that one of two classes lacks", function()
      fails("stubs", { ["src/lua/db.c"] = source, ["lua/xpm/meta/db.lua"] = meta .. "function lock:close() end\n" },
        "registers close 1 times")
    end)
    it("refuses the stub of a module that is not there", function()
      fails("stubs", { ["src/lua/db.c"] = source, ["lua/xpm/meta/db.lua"] = meta, ["lua/xpm/meta/x.lua"] = "" },
        "no module x")
    end)
  end)

  describe("machine-paths", function()
    it("takes paths that are not a machine's", function()
      passes("machine-paths", { ["lua/a.lua"] = '"$dir/ho' .. 'me/x" "/usr/lib"\n' })
    end)
    for _, path in ipairs { "/wo" .. "rk/x", "/ho" .. "me/me", "/ro" .. "ot/.x" } do
      it("refuses " .. path, function()
        fails("machine-paths", { ["README.md"] = "see\n`" .. path .. "`\n" }, "README.md:2:")
      end)
    end
  end)

  it("refuses tabs, but not in a Makefile", function()
    passes("tabs", { ["Makefile"] = "all:\n\techo\n" })
    fails("tabs", { ["src/a.c"] = "int a;\n\tint b;\n" }, "src/a.c:2:")
  end)

  it("refuses scripts that do not parse", function()
    passes("scripts", { ["a"] = "#!/bin/sh\nif true; then :; fi\n", ["b"] = "#!/usr/bin/env lua5.4\nreturn 1\n" })
    fails("scripts", { ["c"] = "#!/usr/bin/env bash\nif true; then\n" }, "c: ")
    fails("scripts", { ["c"] = "#!/usr/bin/env lua5.4\nreturn (\n" }, "c: ")
    fails("scripts", { ["c"] = "#!/bin/sh\nx=(\n" }, "c: ")
  end)

  it("refuses what luacheck refuses", function()
    passes("luacheck", { ["lua/a.lua"] = "local a <const> = 1\nreturn a\n" })
    fails("luacheck", { ["lua/a.lua"] = "leaked = 1\n" }, "leaked")
  end)
end)
