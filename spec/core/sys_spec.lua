local sys = require "xpm.sys"

local folder
local function path(name) return folder .. "/" .. name end

local function output(command)
  local p = assert(io.popen(command))
  local text = p:read "a"
  local _, _, status = p:close()
  return text, status
end

setup(function() folder = output("mktemp -d"):gsub("\n", "") end)
teardown(function() os.execute("rm -rf '" .. folder .. "'") end)

-- What f returned: nil, a message that has `text`, the code.
local function refused(code, text, ok, message, got)
  assert.is_nil(ok)
  assert.is_string(message)
  assert.is_truthy(message:find(text, 1, true), message)
  assert.are.equal(code, got)
end

describe("files", function()
  it("are written whole and read back, any bytes", function()
    local bytes = "a\0b\255\n"
    assert.is_true(sys.write(path "f", bytes))
    assert.are.equal(bytes, sys.read(path "f"))
    assert.is_true(sys.write(path "f", ""))
    assert.are.equal("", sys.read(path "f"))
    assert.are.equal("", sys.read(path "f", 0))
  end)

  it("that are missing, too large or no files are refused with a code", function()
    refused("not_found", path "none", sys.read(path "none"))
    sys.write(path "large", ("x"):rep(100))
    refused("limit", "99 bytes", sys.read(path "large", 99))
    assert.are.equal(100, #sys.read(path "large", 100))
    refused("io", folder, sys.read(folder))
    refused("not_found", path "none/f", sys.write(path "none/f", "x"))
    refused("not_found", path "none", sys.tail(path "none", 3))
    refused("invalid", folder, sys.tail(folder, 3))
    refused("not_found", path "none", sys.remove(path "none"))
    refused("not_found", path "none", sys.readlink(path "none"))
    refused("not_found", path "none", sys.realpath(path "none"))
    refused("not_found", path "none", sys.list(path "none"))
    refused("not_found", path "none", sys.chdir(path "none"))
  end)

  it("are told apart", function()
    sys.write(path "kind", "1234")
    local kind, size, mtime = sys.stat(path "kind")
    assert.are.same({ "file", 4, "integer", "float" }, { kind, size, math.type(size), math.type(mtime) })
    assert.is_true(math.abs(sys.now() - mtime) < 100)
    assert.are.equal("directory", (sys.stat(folder)))
    assert.are.equal("other", (sys.stat "/dev/null"))
    assert.are.equal(1, select("#", sys.stat(path "none")))
    assert.is_nil(sys.stat(path "none"))
    sys.symlink("kind", path "kindlink")
    assert.are.equal("file", (sys.stat(path "kindlink")))
    assert.are.equal("file", (sys.stat(path "kindlink", false)))
    assert.are.equal("link", (sys.stat(path "kindlink", true)))
  end)

  it("show their end", function()
    sys.write(path "log", "one\ntwo\nthree\n")
    assert.are.equal("two\nthree\n", sys.tail(path "log", 2))
    assert.are.equal("three\n", sys.tail(path "log", 2, 7))
    assert.are.equal("", sys.tail(path "log", 0))
  end)

  it("have paths without links or dots", function()
    sys.mkdirs(path "real/sub")
    sys.symlink("real", path "alias")
    assert.are.equal(sys.realpath(path "real/sub"), sys.realpath(path "alias/./sub/../sub"))
    assert.are.equal(folder .. "/alias/sub", sys.abspath(folder .. "/alias/x/../sub/"))
    assert.are.equal(sys.cwd() .. "/x", sys.abspath "./x")
  end)

  it("take only paths that are strings without NUL bytes", function()
    for _, name in ipairs { "abspath", "chdir", "list", "mkdir", "mkdirs", "network", "read", "readlink", "realpath",
      "remove", "stat" } do
      assert.has_error(function() sys[name](folder .. "\0x") end,
        ("bad argument #1 to '?' (path holds a NUL byte)"))
      assert.has_error(function() sys[name](12) end)
      assert.has_error(function() sys[name]() end)
    end
    assert.has_error(function() sys.write(path "f", nil) end)
    assert.has_error(function() sys.write(path "f", 12) end)
    assert.has_error(function() sys.write("f\0", "x") end)
    assert.has_error(function() sys.symlink("f\0", path "x") end)
    assert.has_error(function() sys.read(path "f", -1) end)
    assert.has_error(function() sys.tail(path "f") end)
    assert.has_error(function() sys.tail(path "f", -1) end)
    assert.has_error(function() sys.tail(path "f", 1, -1) end)
    assert.has_error(function() sys.stat(path "f", 1) end)
  end)
end)

describe("folders", function()
  it("are made with their parents, listed and removed", function()
    assert.is_true(sys.mkdirs(path "a/b/c"))
    assert.is_true(sys.mkdirs(path "a/b/c"))
    assert.is_true(sys.mkdir(path "a/one"))
    refused("exists", path "a/one", sys.mkdir(path "a/one"))
    refused("not_found", path "none/x", sys.mkdir(path "none/x"))
    sys.write(path "a/file", "")
    refused("exists", path "a/file", sys.mkdirs(path "a/file"))
    assert.are.same({ "b", "file", "one" }, sys.list(path "a"))
    assert.are.same({}, sys.list(path "a/one"))
    refused("io", path "a", sys.remove(path "a"))
    assert.is_true(sys.remove(path "a/one"))
    assert.is_true(sys.remove(path "a/file"))
    assert.are.same({ "b" }, sys.list(path "a"))
  end)

  it("with many names come sorted", function()
    sys.mkdir(path "many")
    for i = 1, 300 do sys.write(path(("many/%03d"):format(i * 7 % 1000)), "") end
    local names = sys.list(path "many")
    assert.are.equal(300, #names)
    for i = 2, #names do assert.is_true(names[i - 1] < names[i]) end
  end)

  it("can be entered", function()
    local before = sys.cwd()
    assert.is_true(sys.chdir(folder))
    assert.are.equal(sys.realpath(folder), sys.cwd())
    assert.is_true(sys.chdir(before))
  end)

  it("know their file system", function()
    local network, name = sys.network "/proc/self"
    assert.are.same({ false, "proc" }, { network, name })
    network, name = sys.network(path "none/none")
    assert.are.equal("boolean", type(network))
    assert.is_true(#name > 0)
  end)

  it("hold links that are replaced at once", function()
    assert.is_true(sys.symlink("first", path "current"))
    assert.is_true(sys.symlink("second", path "current"))
    assert.are.equal("second", sys.readlink(path "current"))
    sys.mkdir(path "taken")
    refused("io", path "taken", sys.symlink("x", path "taken"))
  end)
end)

describe("the machine", function()
  it("has a name, cores, clocks and a process", function()
    assert.are.equal(output("uname -n"):gsub("\n", ""), sys.hostname())
    assert.is_true(sys.cpus() >= 1 and math.type(sys.cpus()) == "integer")
    assert.is_true(math.abs(sys.now() - os.time()) < 5)
    local a = sys.monotonic()
    assert.is_true(sys.monotonic() >= a)
    local f = assert(io.open "/proc/self/stat")
    assert.are.equal(f:read "n", sys.pid())
    f:close()
    assert.are.equal("file", (sys.stat(sys.executable())))
  end)

  it("counts only the cores that its affinity leaves", function()
    local got = output(("taskset -c 0 %s -e 'io.write(require(\"xpm.sys\").cpus())'"):format("lua5.4"))
    if got == "" then return pending("no taskset") end
    assert.are.equal("1", got)
  end)

  it("has variables that children see", function()
    sys.setenv("XPM_SYS_SPEC", "a=b")
    assert.are.equal("a=b", os.getenv "XPM_SYS_SPEC")
    assert.are.equal("a=b\n", (output "echo $XPM_SYS_SPEC"))
    sys.setenv("XPM_SYS_SPEC", nil)
    assert.is_nil(os.getenv "XPM_SYS_SPEC")
    for _, bad in ipairs { "", "A=B", "A\0B" } do assert.has_error(function() sys.setenv(bad, "x") end) end
    assert.has_error(function() sys.setenv("A", "x\0") end)
    assert.has_error(function() sys.setenv("A", 1) end)
  end)

  it("has no terminal where there is none", function()
    local got = output(([[%s -e 'local s = require "xpm.sys"; print(s.isatty(0), s.winsize(0))' </dev/null]])
      :format("lua5.4"))
    assert.are.equal("false\n", (got:gsub("\tnil", "")))
    assert.has_error(function() sys.isatty(-1) end)
    assert.has_error(function() sys.isatty "0" end)
    assert.is_false(sys.isatty(1000000))
  end)
end)

describe("waiting", function()
  it("ends at the timeout, late rather than early", function()
    local start = sys.monotonic()
    assert.is_nil(sys.poll({}, 0.02))
    assert.is_true(sys.monotonic() - start >= 0.02)
    assert.is_nil(sys.poll({}, 0))
    assert.is_nil(sys.poll({}, -1))
  end)

  it("tells the first descriptor that is readable", function()
    local script = [[
      local sys = require "xpm.sys"
      print(sys.poll({ 0 }, 10), sys.poll({ 1000, 0 }, 0))
    ]]
    sys.write(path "poll.lua", script)
    local text, status = output(("echo x | %s %s 2>&1"):format("lua5.4", path "poll.lua"))
    assert.is_truthy(text:find("descriptor 1000 is not open", 1, true))
    assert.are.equal(1, status)
    sys.write(path "poll.lua", "print(require('xpm.sys').poll({ 0 }, 10))")
    assert.are.equal("0\n", (output(("%s %s </dev/null"):format("lua5.4", path "poll.lua"))))
  end)

  it("refuses what is no list of descriptors", function()
    for _, bad in ipairs { { -1 }, { "x" }, { 1.5 }, { {} } } do
      assert.has_error(function() sys.poll(bad, 0) end)
    end
    assert.has_error(function() sys.poll(nil, 0) end)
    assert.has_error(function() sys.poll({}, 0 / 0) end)
    assert.has_error(function() sys.poll({}, "x") end)
  end)
end)

-- Each in a process of its own: signals are the process'. `send` waits until the signal was sent, not until it came.
describe("signals", function()
  local prelude = [[
    local sys = require "xpm.sys"
    local function send(...)
      for _, name in ipairs { ... } do io.popen(("kill -%s %d"):format(name, sys.pid())):close() end
    end
    local function forever() local x = 0; while true do x = x + 1 end end
    local function show(...) io.write(table.concat({ tostring((...)), tostring((select(2, ...))) }, " "), "\n") end
  ]]

  local function run(script)
    sys.write(path "signals.lua", prelude .. script)
    local text, status = output(("timeout -k 1 20 env --default-signal=INT,TERM,HUP %s %s 2>&1")
      :format("lua5.4", path "signals.lua"))
    return text, status
  end

  it("make a descriptor readable and are told in order", function()
    assert.are.equal("true\nINT HUP TERM INT\nnil\n0\ntrue\n", (run [[
      local fd = sys.catch_signals()
      send("INT", "HUP", "TERM", "INT")
      print(sys.poll({ fd }, 10) == fd)
      print(table.concat(sys.caught(), " "))
      print(sys.poll({ fd }, 0))
      print(#sys.caught())
      print(sys.catch_signals() == fd)
    ]]))
  end)

  it("do not raise unless asked to", function()
    assert.are.equal("done INT\n", (run [[
      sys.catch_signals()
      send "INT"
      local x = 0
      for i = 1, 1000000 do x = x + i end
      print("done " .. sys.caught()[1])
    ]]))
  end)

  it("raise in running Lua code when asked, once each", function()
    assert.are.equal("false interrupted\nfalse interrupted\nINT TERM\nfine\n", (run [[
      sys.catch_signals()
      sys.interruptible(true)
      show(pcall(function() send "INT"; forever() end))
      show(pcall(function() send "TERM"; forever() end))
      sys.interruptible(false)
      print(table.concat(sys.caught(), " "))
      print "fine"
    ]]))
  end)

  it("raise no more after interruptible(false)", function()
    assert.are.equal("true nil\nINT\n", (run [[
      sys.catch_signals()
      sys.interruptible(true)
      sys.interruptible(false)
      show(pcall(function() send "INT"; for _ = 1, 1000000 do end end))
      print(sys.caught()[1])
    ]]))
  end)

  it("end a wait that would not see them", function()
    assert.are.equal("false interrupted\ntrue\n", (run [==[
      sys.catch_signals()
      sys.interruptible(true)
      local start = sys.monotonic()
      local ready = os.tmpname()
      os.remove(ready)
      -- Sent when we sleep, after the file says that there is nothing else left to sleep in.
      io.popen(([[(until [ -e %s ]; do :; done; until grep -q ') S' /proc/%d/stat; do :; done; kill -HUP %d) &]])
        :format(ready, sys.pid(), sys.pid())):close()
      show(pcall(function() sys.write(ready, ""); return sys.poll({}, 15) end))
      os.remove(ready)
      sys.interruptible(false)
      print(sys.monotonic() - start < 14)
    ]==]))
  end)

  it("reach coroutines, and all that resumed them", function()
    assert.are.equal("false interrupted\nfalse interrupted\nfalse interrupted\nsuspended\n", (run [[
      sys.catch_signals()
      sys.interruptible(true)
      show(pcall(function()
        while true do coroutine.resume(coroutine.create(function() send "INT"; forever() end)) end
      end))
      show(pcall(function()
        while true do coroutine.wrap(function() send "INT"; forever() end)() end
      end))
      local inner = coroutine.create(function() coroutine.yield(1) end)
      show(pcall(function()
        local outer = coroutine.wrap(function()
          while true do
            coroutine.resume(coroutine.create(function()
              coroutine.resume(inner)
              send "INT"
              forever()
            end))
          end
        end)
        outer()
      end))
      sys.interruptible(false)
      print(coroutine.status(inner))
    ]]))
  end)

  it("may be kept by a coroutine as by any pcall", function()
    assert.are.equal("true false interrupted\ntrue\n", (run [[
      sys.catch_signals()
      sys.interruptible(true)
      local co = coroutine.create(function() return pcall(function() send "INT"; forever() end) end)
      local ok, inside, message = coroutine.resume(co)
      print(("%s %s %s"):format(ok, inside, message))
      for _ = 1, 100000 do end
      sys.interruptible(false)
      print "true"
    ]]))
  end)

  it("leave a hook of somebody else in place", function()
    assert.are.equal("false interrupted\ntrue 1000\n", (run [[
      local hook = function() end
      debug.sethook(hook, "", 1000)
      sys.catch_signals()
      sys.interruptible(true)
      show(pcall(function() send "INT"; forever() end))
      sys.interruptible(false)
      local f, _, count = debug.gethook()
      show(f == hook, count)
    ]]))
  end)

  it("stay ignored where they were (nohup)", function()
    sys.write(path "nohup.lua", prelude .. [[
      sys.catch_signals()
      send("HUP", "TERM")
      print(table.concat(sys.caught(), " "))
    ]])
    assert.are.equal("TERM\n", (output(("env --ignore-signal=HUP --default-signal=TERM %s %s")
      :format("lua5.4", path "nohup.lua"))))
  end)

  it("cannot be asked for before they are caught", function()
    local text, status = run "sys.interruptible(true)"
    assert.is_truthy(text:find("needs sys.catch_signals", 1, true))
    assert.are.equal(1, status)
    assert.are.equal("0\n", (run "print(#sys.caught())"))
  end)

  it("more than anyone counts do no harm", function()
    assert.are.equal("true\n", (run [[
      sys.catch_signals()
      for _ = 1, 4 do io.popen(("for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do kill -INT %d; done")
        :format(sys.pid())):close() end
      local n = #sys.caught()
      print(n >= 1 and n <= 64)
    ]]))
  end)
end)

describe("coroutines that know of signals", function()
  local function both(script)
    sys.write(path "co.lua", script)
    local run = ("%s %%s %s 2>&1"):format("lua5.4", path "co.lua")
    local plain = output(run:format "")
    local ours = output(run:format [[-e 'local s = require "xpm.sys"; s.catch_signals(); s.interruptible(true)']])
    return plain, ours
  end

  it("do what the library's do", function()
    local plain, ours = both [[
      local function show(...) print(select("#", ...), ...) end
      show(coroutine.resume(coroutine.create(function(...) show(...) return 1, nil, nil end), "a", nil))
      local co = coroutine.create(function(a) local b = coroutine.yield(a, 2) error({ b }) end)
      show(coroutine.resume(co, 1))
      local ok, e = coroutine.resume(co, "x")
      show(ok, type(e), e[1])
      show(coroutine.resume(co))
      show(coroutine.status(co))
      show(pcall(coroutine.resume, 1))
      show(pcall(coroutine.resume))
      show(pcall(coroutine.wrap, 1))
      show(pcall(coroutine.wrap(function() error "message" end)))
      show(pcall(function() coroutine.wrap(function() error "message" end)() end))
      show(pcall(coroutine.wrap(function() error() end)))
      local w = coroutine.wrap(function() return 1 end)
      show(w())
      show(pcall(w))
      for v in coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end) do show(v) end
      show(coroutine.wrap(function() local x <close> = setmetatable({}, { __close = function() print "closed" end })
        show(pcall(error, "e")) return select("#", table.unpack({}, 1, 100)) end)())
      show(pcall(coroutine.wrap(function() local x <close> = setmetatable({}, { __close = function() error "second" end })
        error "first" end)))
      show(coroutine.resume(coroutine.running()))
      show(pcall(coroutine.wrap(function() show(coroutine.isyieldable(), coroutine.resume(coroutine.running())) end)))
      local function deep(n) if n == 0 then return 0 end return 1 + coroutine.wrap(deep)(n - 1) end
      show(deep(150))
      local fine, overflow = pcall(deep, 250)
      show(fine, overflow:match "[^:]*$")
      show(coroutine.resume(coroutine.create(function() return table.unpack({}, 1, 200000) end)) == true)
    ]]
    assert.is_truthy(plain:find("closed", 1, true))
    assert.are.equal(plain, ours)
  end)
end)
