-- xpm.git: the state of a small repository with a commit, a modified and an untracked file.
local git = require "xpm.git"

local ENV = "env GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=T GIT_AUTHOR_EMAIL=t@example.org "
  .. "GIT_COMMITTER_NAME=T GIT_COMMITTER_EMAIL=t@example.org git "

return {
  -- libgit2 1.5.1 dereferences NULL itself when memory runs out (in git_libgit2_init, for one).
  libraries = false,
  setup = function()
    local p = assert(io.popen "mktemp -d")
    local dir = p:read "l"
    p:close()
    assert(os.execute(("cd '%s' && %s init -q -b main && echo a >a && mkdir d && echo b >d/b && %s add . && "
      .. "%s commit -qm 'first' && echo more >>a && echo c >d/c"):format(dir, ENV, ENV, ENV)))
    return dir
  end,
  run = function(path)
    local state, message = git.state(path .. "/d", { exclude = { path .. "/none" }, limit = 5 })
    if not state then return nil, message end
    assert(state.dirty and state.count == 2 and state.branch == "main" and #state.head == 40)
    assert(state.paths[1] == "a" and state.paths[2] == "d/c")
    assert(state.author == "T <t@example.org>" and state.message:find "first")
    return true
  end,
  check = function(path) assert(os.execute("rm -rf '" .. path .. "'")) end,
}
