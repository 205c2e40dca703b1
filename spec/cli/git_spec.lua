-- dirty_git with the real program and real repositories, from YAML and from Lua.

local cli = require "support.cli"
local config = require "xpm.config"

describe("dirty_git", function()
  local box
  before_each(function()
    box = cli.sandbox()
    box:write("repo/exp/experiment.lua", "function run(helper, cfg) print 'ran' end")
    box:write("repo/exp/a.yaml", "id: a\n")
    box:write("repo/.gitignore", "ignored\n")
    box:shell [[cd repo && git init -q -b trunk && git add . &&
      GIT_AUTHOR_NAME="A. Thor" GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=C GIT_COMMITTER_EMAIL=c@example.org \
      git commit -qm "first words" && git config user.name C && git config user.email c@example.org]]
  end)
  after_each(function() box:close() end)

  local function run(...) return box:run { "run-experiment", "--workdir", "w", ... } end
  local error_mode = { "-c", "dirty_git=error", "repo/exp/a.yaml" }

  it("counts modified, staged and untracked files anywhere in the repository, not ignored ones", function()
    local function expect_clean()
      local r = run(table.unpack(error_mode))
      assert.same({ 0, "ran\n" }, { r.code, r.out }, r.err)
      assert.is_nil(r.err:find "uncommitted")
    end
    local function expect_dirty(name)
      box:shell "rm -rf w"
      local r = run("repo/exp/a.yaml")
      assert.same({ 0, "ran\n" }, { r.code, r.out }, r.err)
      assert.is_truthy(r.err:find("has uncommitted changes: " .. name, 1, true), r.err)
      r = run("-c", "dirty_git=ignore", "repo/exp/a.yaml")
      assert.is_nil(r.err:find "uncommitted")
      box:shell "rm -rf w"
      r = run(table.unpack(error_mode))
      assert.same({ 4, "" }, { r.code, r.out }, r.err)
      assert.is_truthy(r.err:find "uncommitted changes", r.err)
      assert.is_false(box:exists "w", "error leaves nothing behind")
    end
    expect_clean()
    box:write("repo/ignored", "x")
    expect_clean()
    box:write("repo/elsewhere/new.txt", "x")
    expect_dirty "elsewhere/"
    box:shell "cd repo && git add -A"
    expect_dirty "elsewhere/new.txt"
    box:shell "cd repo && git commit -qm second"
    expect_clean()
    box:write("repo/.gitignore", "ignored\nmore\n")
    expect_dirty ".gitignore"
  end)

  it("does not count a workspace inside the repository", function()
    for _ = 1, 2 do
      local r = box:run { "run-experiment", "--workdir", "repo/work", table.unpack(error_mode) }
      assert.same({ 0, "ran\n" }, { r.code, r.out }, r.err)
    end
  end)

  it("checks nothing outside a repository, and survives one of another owner", function()
    box:shell "cp -r repo/exp plain"
    local r = run("-c", "dirty_git=error", "plain/a.yaml")
    assert.same({ 0, "ran\n" }, { r.code, r.out }, r.err)
    box:write("repo/new", "x")
    if box:shell("id -u"):match "%d+" == "0" then
      box:shell "chown -R 12345 repo"
      r = run("repo/exp/a.yaml")
      assert.same({ 0, "ran\n" }, { r.code, r.out }, r.err)
    end
  end)

  it("is written down with the run", function()
    box:write("repo/new.txt", "x")
    assert.equal(0, run("repo/exp/a.yaml").code)
    local git = config.parse_json(box:shell "cat w/xp/a/current/environment.json").git
    assert.equal(box:shell("git -C repo rev-parse HEAD"):match "%x+", git.head)
    assert.same({ "trunk", true, "A. Thor <a@example.org>", "first words\n" },
      { git.branch, git.dirty, git.author, git.message })
    assert.is_truthy(git.date:find "^%d%d%d%d%-%d%d%-%d%dT")
    assert.same({ "new.txt" }, { table.unpack(git.paths) })
  end)

  it("raises DirtyGitError in Lua, which can be caught; nothing is left behind", function()
    box:write("repo/script.lua", [[
      local xpm = require "xpm"
      local ok, e = pcall(xpm.experiment, arg[1], "mine", { dirty_git = xpm.DirtyGitAction.ERROR })
      print(ok, xpm.is_error(e, xpm.DirtyGitError), tostring(e):find("uncommitted changes", 1, true) ~= nil)
      local xp <close> = xpm.experiment(arg[1], "mine", { dirty_git = "ignore" })
      print(xp.id)]])
    local out = box:shell(("LUA_PATH='%s/lua/?.lua;%s/lua/?/init.lua;;' LUA_CPATH='%s/lib/?.so;;' lua5.4 repo/script.lua w1 2>&1")
      :format(cli.root, cli.root, cli.build))
    assert.equal("false\ttrue\ttrue\nmine\n", out)
    assert.equal(1, select(2, box:shell("ls w1/xp/mine | grep ^2"):gsub("\n", "")))
  end)
end)
