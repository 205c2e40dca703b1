-- What a driver tells the index: batches, completed rows, a checkpoint under the lock, an index that fails.

local index_writer = require "xpm.index_writer"
local log = require "xpm.log"

describe("the index writer", function()
  local calls, now, index
  before_each(function()
    calls, now = {}, 100
    index = { wal = 0 }
    function index.put_jobs(_, _, _, rows) calls[#calls + 1] = { "jobs", table.unpack(rows) } return not index.broken, "full" end
    function index.put_run(_, row) calls[#calls + 1] = { "run", row } return true end
    function index.wal_size() return index.wal end
    function index.checkpoint() calls[#calls + 1] = { "checkpoint" } return true end
    function index.close() calls[#calls + 1] = { "close" } end
  end)
  local function open(options)
    return index_writer.new(index, "e", "r", { clock = function() return now end, lock_path = options and options.lock })
  end

  it("waits half a second, and completes rows that wait", function()
    local w = open()
    assert.is_nil(w:due())
    w:put_job { task = "t", hash = "h", state = "waiting" }
    now = 100.2
    w:put_job { task = "t", hash = "h", state = "running", started_at = 1 }
    assert.is_true(math.abs(w:due() - 0.3) < 1e-9)
    assert.same({}, calls)
    w:flush()
    assert.same({ { "jobs", { task = "t", hash = "h", state = "running", started_at = 1 } } }, calls)
    assert.is_nil(w:due())
    w:put_run { status = "done" }
    assert.same({ "run", { experiment = "e", run = "r", status = "done" } }, calls[2])
  end)

  it("writes a full batch at once", function()
    local w = open()
    for i = 1, 1000 do w:put_job { task = "t", hash = tostring(i) } end
    assert.equal(1001, #calls[1])
  end)

  it("checkpoints a long log at the end, if nobody holds the workspace's lock", function()
    local path = os.tmpname()
    index.wal = 5 * 1024 * 1024
    open({ lock = path }):close()
    assert.same({ { "checkpoint" }, { "close" } }, calls)
    calls = {}
    local lock <close> = assert(require("xpm.engine").lock(path))
    open({ lock = path }):close()
    assert.same({ { "close" } }, calls)
    lock:close()
    calls, index.wal = {}, 1000
    open({ lock = path }):close()
    assert.same({ { "close" } }, calls)
    os.remove(path)
  end)

  it("gives up an index that cannot be written, with one warning", function()
    local lines = {}
    local before = log.sink(function(line) lines[#lines + 1] = line end)
    index.broken = true
    local w = open()
    for _ = 1, 3 do
      w:put_job { task = "t", hash = "h" }
      w:flush()
    end
    w:close()
    log.sink(before)
    assert.equal(1, #calls)
    assert.equal(1, #lines)
    assert.is_truthy(lines[1]:find("the files are complete", 1, true))
  end)
end)
