local git = require "xpm.git"

local ENV = "HOME='%s' XDG_CONFIG_HOME='%s' GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 "
  .. "GIT_AUTHOR_NAME='Ada L' GIT_AUTHOR_EMAIL=ada@example.org GIT_AUTHOR_DATE='1700000000 +0100' "
  .. "GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=core.fsync GIT_CONFIG_VALUE_0=none "
  .. "GIT_COMMITTER_NAME=C GIT_COMMITTER_EMAIL=c@example.org GIT_COMMITTER_DATE='1700000500 +0000' "

local folder, count = nil, 0

local function output(command)
  local p = assert(io.popen(command))
  local text = p:read "a"
  local ok = p:close()
  return (text:gsub("\n$", "")), ok
end

-- Runs a shell script in a folder with a fixed identity; "git" is the program.
local function sh(dir, script)
  local text, ok = output(("cd '%s' && export %s && { %s\n} 2>&1"):format(dir, ENV:format(folder, folder), script))
  assert(ok, script .. ":\n" .. text)
  return text
end

-- A fresh repository after a script: its folder. With COMMIT in front a copy of one that has the files a and sub/deep/b.
local COMMIT = "cp -a ../committed/. .;"
local function repository(script)
  count = count + 1
  local dir = ("%s/r%d"):format(folder, count)
  local init = (script or ""):find(COMMIT, 1, true) and "" or "git init -q -b main --template=;"
  sh(folder, ("mkdir '%s'; cd '%s'; %s %s"):format(dir, dir, init, script or ""))
  return dir
end

local function paths(dir, options)
  local state = assert(git.state(dir, options))
  assert.are.equal(state.count > 0, state.dirty)
  return state.paths, state.count
end

setup(function()
  folder = output "cd \"$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d)\" && pwd -P" -- thousands of files: in memory
  sh(folder, [[git init -q -b main --template= committed; cd committed
    echo one >a; mkdir -p sub/deep; echo two >sub/deep/b; git add .; git commit -qm first]])
end)
teardown(function() os.execute("chmod -R u+rwX '" .. folder .. "'; rm -rf '" .. folder .. "'") end)

describe("a repository", function()
  it("that is clean says where it is and what its head is", function()
    local dir = repository(COMMIT)
    local state = assert(git.state(dir))
    assert.are.same({ root = dir, head = sh(dir, "git rev-parse HEAD"), branch = "main", dirty = false, paths = {}, count = 0,
      author = "Ada L <ada@example.org>", date = 1700000000, message = "first\n" }, state)
  end)

  it("is found from a folder or file inside it, by any path", function()
    local dir = repository(COMMIT .. "ln -s sub/deep link; git add .; git commit -qm link")
    for _, inside in ipairs { "/sub/deep", "/sub/deep/b", "/a", "/link", "/link/b", "/sub/../sub", "/" } do
      local state = assert(git.state(dir .. inside))
      assert.are.equal(dir, state.root)
      assert.is_false(state.dirty)
    end
  end)

  it("keeps the whole message and odd names", function()
    local dir = repository("echo x >a; git add a; GIT_AUTHOR_NAME='Zoë <Z>' git commit -qF - <<'X'\nTitle\n\nBody é\nlast\nX")
    local state = assert(git.state(dir))
    assert.are.equal("Title\n\nBody é\nlast\n", state.message)
    assert.are.equal("Zoë Z <ada@example.org>", state.author)
  end)

  it("that is not there is not_found", function()
    sh(folder, "mkdir -p plain/sub; echo x >plain/file")
    for _, path in ipairs { "/plain/sub", "/plain/file", "/none", "/plain/file/x" } do
      local state, message, code = git.state(folder .. path)
      assert.is_nil(state)
      assert.is_truthy(message:find(folder .. path, 1, true), message)
      assert.are.equal("not_found", code)
    end
  end)

  it("before its first commit has a branch, no head, and is dirty by what is in it", function()
    local dir = repository()
    assert.are.same({ root = dir, branch = "main", dirty = false, paths = {}, count = 0 }, assert(git.state(dir)))
    sh(dir, "echo x >staged; echo y >new; git add staged; git symbolic-ref HEAD refs/heads/topic/one")
    assert.are.same({ root = dir, branch = "topic/one", dirty = true, paths = { "new", "staged" }, count = 2 },
      assert(git.state(dir)))
  end)

  it("with a detached head has no branch", function()
    local dir = repository(COMMIT .. "git checkout -q --detach; git commit -q --allow-empty -m second")
    local state = assert(git.state(dir))
    assert.is_nil(state.branch)
    assert.are.equal(sh(dir, "git rev-parse HEAD"), state.head)
    assert.are.equal("second\n", state.message)
    assert.is_false(state.dirty)
  end)

  it("that is bare is never dirty", function()
    local from = repository(COMMIT)
    sh(folder, ("git clone -q --bare '%s' bare%d.git"):format(from, count))
    local state = assert(git.state(("%s/bare%d.git"):format(folder, count)))
    assert.are.equal(("%s/bare%d.git"):format(folder, count), state.root)
    assert.is_false(state.dirty)
    assert.are.equal("main", state.branch)
    assert.are.equal("first\n", state.message)
  end)

  it("may be a work tree beside another", function()
    local dir = repository(COMMIT .. "echo x >untracked")
    local tree = dir .. "-tree"
    sh(dir, ("git worktree add -q -b topic '%s'"):format(tree))
    local state = assert(git.state(tree .. "/sub"))
    assert.are.same({ tree, "topic", false }, { state.root, state.branch, state.dirty })
    sh(tree, "echo y >>a")
    assert.are.same({ "a" }, paths(tree))
    assert.are.same({ "untracked" }, paths(dir))
  end)

  it("may be shallow", function()
    local from = repository(COMMIT .. "echo more >>a; git commit -qam second")
    sh(folder, ("git clone -q --depth 1 'file://%s' shallow"):format(from))
    local state = assert(git.state(folder .. "/shallow"))
    assert.are.same({ "second\n", false }, { state.message, state.dirty })
  end)

  it("of another owner is read", function()
    if output "id -u" ~= "0" then return pending("needs root to give a repository away") end
    local dir = repository(COMMIT .. "echo x >>a")
    sh(folder, ("chown -R nobody '%s'"):format(dir))
    local state, message = git.state(dir)
    assert.is_nil(message)
    assert.are.same({ "a" }, state.paths)
  end)

  it("whose parts are broken is unknown, not missing", function()
    local damages = {
      "printf 'nonsense' >.git/HEAD",
      "printf 'x' >.git/refs/heads/main",
      "printf 'junk' >.git/index",
      "printf '[core' >.git/config",
      "printf '[core]\\nrepositoryformatversion = 99\\n' >.git/config",
      "rm -rf .git/objects/??",
      "mv .git elsewhere; echo 'gitdir: /nonexistent' >.git",
    }
    for _, damage in ipairs(damages) do
      local dir = repository(COMMIT .. damage)
      local state, message, code = git.state(dir)
      if state then
        assert.are.equal("a state", damage)
      elseif not damage:find("gitdir", 1, true) then
        assert.are_not.equal("not_found", code, damage)
      end
      assert.is_string(message)
      assert.is_nil(message:find("\n", 1, true), message)
    end
    assert.is_table(git.state(repository(COMMIT))) -- and the next one is read as ever
  end)
end)

describe("dirty", function()
  it("are files modified, staged, both, removed, renamed, made executable or replaced by links", function()
    for _, case in ipairs {
      { "echo x >>a", "a" },
      { "echo x >>sub/deep/b; git add .", "sub/deep/b" },
      { "echo x >>a; git add a; echo y >>a", "a" },
      { "echo x >>a; git add a; git show HEAD:a >a", "a" },
      { "rm a", "a" },
      { "git rm -q a", "a" },
      { "git rm -q --cached a", "a" },
      { "git mv a z", "a", "z" },
      { "chmod +x a", "a" },
      { "rm a; ln -s sub a", "a" },
      { "rm a; mkdir a; echo x >a/f", "a", "a/f" },
      { "echo new >sub/new", "sub/new" },
      { "mkdir -p n/m; echo 1 >n/m/x; echo 2 >n/y", "n/m/x", "n/y" },
      { "git add -N . ; echo x >n; git add -N n", "n" },
      { "echo x >'a b\tc'", "a b\tc" },
    } do
      local wanted = { table.unpack(case, 2) }
      assert.are.same(wanted, (paths(repository(COMMIT .. case[1]))), case[1])
    end
  end)

  it("are not files touched, ignored, or empty folders", function()
    for _, case in ipairs {
      "touch -d '2001-01-01' a",
      "cp a b; mv b a",
      "mkdir -p empty/er",
      "echo x >a; echo one >a",
      "echo '*.o' >.gitignore; git add .; git commit -qm i; echo x >x.o; mkdir o; echo x >o/y.o",
      "echo x >x.o; mkdir .git/info; echo '*.o' >.git/info/exclude",
      "echo '/big/' >.gitignore; git add .; git commit -qm i; mkdir -p big/big; echo x >big/big/f",
    } do
      assert.are.same({}, (paths(repository(COMMIT .. case))), case)
    end
  end)

  it("is the rest of an ignored folder that has a tracked file", function()
    local dir = repository(COMMIT .. "mkdir out; echo x >out/kept; echo '/out/' >.gitignore; git add -f .; git commit -qm o")
    sh(dir, "echo y >out/other")
    assert.are.same({}, (paths(dir)))
    sh(dir, "echo y >>out/kept")
    assert.are.same({ "out/kept" }, (paths(dir)))
  end)

  it("counts anywhere in the repository, seen from anywhere in it", function()
    local dir = repository(COMMIT .. "echo x >>a; echo y >top")
    assert.are.same({ "a", "top" }, (paths(dir .. "/sub/deep")))
  end)

  it("are not files that a sparse checkout leaves out", function()
    local dir = repository(COMMIT .. "mkdir other; echo x >other/c; git add .; git commit -qm c; git sparse-checkout set other")
    assert.is_nil(io.open(dir .. "/sub/deep/b"))
    assert.are.same({}, (paths(dir)))
    sh(dir, "echo y >>other/c; rm a")
    assert.are.same({ "a", "other/c" }, (paths(dir)))
  end)

  it("are conflicts", function()
    local dir = repository(COMMIT .. [[
      git checkout -q -b other; echo other >a; git commit -qam other
      git checkout -q main; echo main >a; git commit -qam main; git merge other || true]])
    assert.are.same({ "a" }, (paths(dir)))
  end)

  it("reading changes nothing on disk", function()
    local dir = repository(COMMIT .. "touch -d '2001-01-01' a; echo x >new")
    local list = "find . -printf '%p %s %T@ %C@ %m\\n' | sort"
    local before = sh(dir, list)
    assert(git.state(dir))
    assert.are.equal(before, sh(dir, list))
  end)

  it("gives as many paths as wanted, sorted, and counts all", function()
    local dir = repository(COMMIT .. "for i in 9 8 7 6 5 4 3 2 1; do for j in 1 2 3; do echo x >n$i$j; done; done")
    local list, n = paths(dir)
    assert.are.same({ 20, 27, "n11", "n72" }, { #list, n, list[1], list[20] })
    list, n = paths(dir, { limit = 2 })
    assert.are.same({ { "n11", "n12" }, 27 }, { list, n })
    list, n = paths(dir, { limit = 0 })
    assert.are.same({ {}, 27 }, { list, n })
    assert.are.equal(27, #paths(dir, { limit = 1000 }))
  end)

  it("stops counting at 10000", function()
    local dir = repository(COMMIT .. "mkdir many; cd many; seq 10050 | xargs touch")
    local list, n = paths(dir, { limit = 3 })
    assert.are.same({ 10000, 3 }, { n, #list })
  end)
end)

describe("submodules", function()
  local function with_submodule(script)
    local lib = repository(COMMIT)
    local dir = repository(COMMIT)
    sh(dir, ("git -c protocol.file.allow=always submodule add -q '%s' lib; git commit -qm lib\n%s"):format(lib, script))
    return dir
  end

  it("are clean as they were committed, or not checked out", function()
    assert.are.same({}, (paths(with_submodule "true")))
    assert.are.same({}, (paths(with_submodule "git submodule deinit -q -f lib")))
  end)

  it("count once, with their files or another commit", function()
    for _, script in ipairs { "echo x >>lib/a", "echo x >lib/new", "cd lib; echo x >>a; git add a",
      "cd lib; git commit -q --allow-empty -m other" } do
      assert.are.same({ "lib" }, (paths(with_submodule(script))), script)
    end
  end)

  it("are repositories of their own, seen from inside", function()
    local dir = with_submodule "echo x >>a; echo y >lib/new"
    local state = assert(git.state(dir .. "/lib/sub"))
    assert.are.same({ dir .. "/lib", { "new" } }, { state.root, state.paths })
  end)

  it("may hold what is excluded", function()
    local dir = with_submodule "mkdir -p lib/work/jobs; echo x >lib/work/jobs/f"
    assert.are.same({ "lib" }, (paths(dir)))
    assert.are.same({}, (paths(dir, { exclude = { dir .. "/lib/work" } })))
    sh(dir, "echo x >>lib/a")
    assert.are.same({ "lib/a" }, (paths(dir, { exclude = { dir .. "/lib/work" } })))
    sh(dir, "cd lib; git commit -qam other")
    assert.are.same({ "lib" }, (paths(dir, { exclude = { dir .. "/lib/work" } })))
    sh(dir, "git add lib; git commit -qm lib; echo z >z")
    assert.are.same({ "z" }, (paths(dir, { exclude = { dir .. "/lib/work" } })))
  end)

  it("that are only repositories within count as one folder", function()
    local dir = repository(COMMIT .. "git init -q inner; echo x >inner/f; echo y >inner/g")
    assert.are.same({ "inner/" }, (paths(dir)))
  end)
end)

describe("excluded paths", function()
  it("do not count, tracked or not", function()
    local dir = repository(COMMIT .. "mkdir -p wk/jobs; echo x >wk/jobs/1; echo y >wk/2; echo t >>sub/deep/b")
    assert.are.same({ "sub/deep/b" }, (paths(dir, { exclude = { dir .. "/wk" } })))
    assert.are.same({ "sub/deep/b", "wk/2" }, (paths(dir, { exclude = { dir .. "/wk/jobs/" } })))
    assert.are.same({}, (paths(dir, { exclude = { dir .. "/wk", dir .. "/sub" } })))
    assert.are.same({ "wk/jobs/1" }, (paths(dir, { exclude = { dir .. "/wk/2", dir .. "/sub/deep/b" } })))
  end)

  it("are whole names, not prefixes of them, and may not exist", function()
    local dir = repository(COMMIT .. [[
      mkdir -p wk in/wk; echo x >wk/1; echo y >wks; echo z >wkshop; echo >in/wk/x]])
    assert.are.same({ "in/wk/x", "wks", "wkshop" }, (paths(dir, { exclude = { dir .. "/wk" } })))
    assert.are.equal(4, #paths(dir, { exclude = { dir .. "/none", dir .. "/w", "/elsewhere" } }))
  end)

  it("may be written with dots and links", function()
    local dir = repository(COMMIT .. "mkdir wk; echo x >wk/1")
    sh(folder, ("ln -s '%s' alias%d"):format(dir, count))
    for _, path in ipairs { dir .. "/sub/../wk/.", ("%s/alias%d/wk"):format(folder, count), dir .. "//wk//" } do
      assert.are.same({}, (paths(dir, { exclude = { path } })), path)
    end
  end)

  it("may have names that are patterns elsewhere", function()
    for _, name in ipairs { "*", "a?", "[ab]", "!x", "#x", " lead", "trail ", "back\\slash", "tab\tin", "new\nline",
      "quo\"te", "ä" } do
      local dir = repository(COMMIT)
      assert(os.execute(("mkdir '%s/%s' && echo x >'%s/%s/f' && echo y >%s/other"):format(dir, name, dir, name, dir)))
      assert.are.same({ "other" }, (paths(dir, { exclude = { dir .. "/" .. name } })), name)
      assert.are.equal(2, #paths(dir), name)
    end
  end)

  it("that hold the whole wk tree exclude nothing", function()
    local dir = repository(COMMIT .. "echo x >>a")
    for _, path in ipairs { dir, folder, "/" } do
      assert.are.same({ "a" }, (paths(dir, { exclude = { path } })))
    end
  end)

  it("may hold any number of files", function()
    local dir = repository(COMMIT .. "mkdir wk; cd wk; seq 2000 | xargs touch; cd ..; echo x >z")
    assert.are.same({ "z" }, (paths(dir, { exclude = { dir .. "/wk" } })))
  end)
end)

describe("arguments", function()
  it("are checked", function()
    for _, case in ipairs {
      { "path", nil }, { "path", 12 }, { "NUL", "/tmp\0x" },
      { "unknown option 'excludes' (allowed: exclude, limit)", "/tmp", { excludes = {} } },
      { "exclude", "/tmp", { exclude = "/tmp" } }, { "exclude", "/tmp", { exclude = { 1 } } },
      { "'x/y' is not an absolute path", "/tmp", { exclude = { "x/y" } } }, { "limit", "/tmp", { limit = -1 } },
      { "limit", "/tmp", { limit = 1.5 } }, { "limit", "/tmp", { limit = "3" } }, { "table", "/tmp", 3 },
    } do
      local ok, message = pcall(git.state, case[2], case[3])
      assert.is_false(ok)
      if case[2] and case[2] ~= 12 then assert.is_truthy(message:find(case[1], 1, true), message) end
    end
  end)

  it("libgit2 has a version", function() assert.is_truthy(git.version():match "^%d+%.%d+%.%d+$") end)

  it("a reading leaves nothing open", function()
    local dir = repository(COMMIT)
    local function open_files()
      collectgarbage() -- what other tests have left
      collectgarbage()
      local open = {}
      for fd = 0, 255 do
        if require("xpm.sys").stat("/proc/self/fdinfo/" .. fd) then open[#open + 1] = fd end
      end
      return table.concat(open, " ")
    end
    assert(git.state(dir))
    local before = open_files()
    for _ = 1, 20 do assert(git.state(dir)) end
    assert.are.equal(before, open_files())
  end)
end)
