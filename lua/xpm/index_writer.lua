-- What a driver tells the workspace's index, in batches: the files are the truth, so an index that cannot be written is
-- a warning, once, and the run goes on.

local log = require "xpm.log"

local index_writer = {}

local BATCH = 1000
local WAL_BYTES = 4 * 1024 * 1024 -- a longer write-ahead log is moved into the database at the end
local SECONDS = 0.5 -- the longest a change waits while the driver is awake

---@class xpm.IndexWriter
local IndexWriter = {}
IndexWriter.__index = IndexWriter

---@param index xpm.db.index?  nil: writes nothing
---@param experiment string
---@param run string
---@param options { clock: fun(): number, lock_path?: string }  lock_path: the workspace's lock
---@return xpm.IndexWriter
function index_writer.new(index, experiment, run, options)
  return setmetatable({ index = index, experiment = experiment, run = run, clock = options.clock,
    lock_path = options.lock_path, pending = {}, rows = {} }, IndexWriter)
end

local function check(self, ok, message)
  if ok then return end
  log.warn("the workspace's index cannot be written (%s); the files are complete: "
    .. "it can be deleted", message)
  self.index = nil
end

---@param fields table  of put_run, without experiment and run
function IndexWriter:put_run(fields, run)
  if not self.index then return end
  local row = { experiment = self.experiment, run = run or self.run }
  for k, v in pairs(fields) do row[k] = v end
  check(self, self.index:put_run(row))
end

---Notes a job's row; one that still waits to be written is completed instead.
---@param row table  of put_jobs
function IndexWriter:put_job(row)
  if not self.index then return end
  local key = row.task .. "/" .. row.hash
  local waiting = self.rows[key]
  if waiting then
    for k, v in pairs(row) do waiting[k] = v end
    return
  end
  self.rows[key] = row
  self.pending[#self.pending + 1] = row
  self.since = self.since or self.clock()
  if #self.pending >= BATCH then self:flush() end
end

function IndexWriter:flush()
  if self.index and #self.pending > 0 then
    check(self, self.index:put_jobs(self.experiment, self.run, self.pending))
  end
  self.pending, self.rows, self.since = {}, {}, nil
end

---Seconds until the pending rows should be written; nil when there are none.
---@return number?
function IndexWriter:due()
  if not self.since then return nil end
  return math.max(0, self.since + SECONDS - self.clock())
end

-- Never two checkpointers (SQLite before 3.51.3 can corrupt a database that has two): under the workspace's lock, and
-- left to a later run when another holds that.
local function checkpoint(self)
  if not self.lock_path or self.index:wal_size() < WAL_BYTES then return end
  local lock = require("xpm.engine").lock(self.lock_path)
  if not lock then return end
  check(self, self.index:checkpoint())
  lock:close()
end

function IndexWriter:close()
  self:flush()
  if self.index then checkpoint(self) end
  if self.index then self.index:close() end
  self.index = nil
end

return index_writer
