-- xpm.db: runs and jobs written and read back; what was refused for want of memory leaves the index whole.
local db = require "xpm.db"

local HASH = ("0123456789abcdef"):rep(4)

return {
  setup = function()
    local p = assert(io.popen "mktemp -d")
    local dir = p:read "l"
    p:close()
    return dir
  end,
  run = function(dir)
    local index <close>, message = db.open(dir .. "/workspace.db", { mode = "write" })
    if not index then return nil, message end
    local ok
    ok, message = index:put_run { experiment = "e", run = "r", hostname = "h", started_at = 1.5 }
    if not ok then return nil, message end
    ok, message = index:put_jobs("e", "r", {
      { task = "t", hash = HASH, state = "running", tags = { lr = "0.1", seed = "1" } },
      { task = "u", hash = HASH, state = "done", exit_code = 0 },
    })
    if not ok then return nil, message end
    local list
    list, message = index:experiments()
    if not list then return nil, message end
    assert(#list == 1 and list[1].total == 2 and list[1].done == 1)
    list, message = index:jobs { experiment = "e", task = "t" }
    if not list then return nil, message end
    assert(#list == 1 and list[1].tags.lr == "0.1")
    list, message = index:query("select ?1 as a, ?2 as b", 1, "text\0more")
    if not list then return nil, message end
    assert(list[1].a == 1 and list[1].b == "text\0more")
    return true
  end,
  check = function(dir, done)
    if done then
      local index <close> = assert(db.open(dir .. "/workspace.db"))
      assert(index:query("pragma integrity_check")[1].integrity_check == "ok")
      assert(#index:jobs() == 2)
    end
    assert(os.execute("rm -rf '" .. dir .. "'"))
  end,
}
