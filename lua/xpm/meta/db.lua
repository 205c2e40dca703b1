---@meta xpm.db
-- The index of a workspace (C, sqlite3). Files are the truth; this can be deleted at any time.

---@class xpm.db
local db = {}

---@class xpm.db.index
local index = {}

---Opens the index. "write" creates file, folder and tables, and sets WAL (not with `network`); "read" never writes.
---Times are seconds since 1970 as floats. "not_found" also for a file with nothing in it yet.
---@param path string
---Writing through a handle opened to read raises. `patience`: seconds to wait for another process before "locked".
---@param options? { mode?: "read"|"write", network?: boolean, patience?: number }  defaults "read", false, 10
---@return xpm.db.index? index, string? message, string? code  "not_found", "corrupt", "version", "locked", "io"
function db.open(path, options) end

---sqlite's version.
---@return string
function db.version() end

---Inserts a run or updates the given fields of it.
---@param run { experiment: string, run: string, hostname?: string, started_at?: number, ended_at?: number, status?: string }
---@return true? ok, string? message, string? code
function index:put_run(run) end

---Inserts or updates jobs, and links them to a run (made when it is not there), in one transaction. `hash` is 64 hex digits.
---Fields left out keep what is stored; `tags` replace all tags. But another state (or reason) than the stored one begins a
---new story: reason, ended_at, exit_code, signal, cpu_seconds and peak_memory are forgotten unless given along, and
---before "running" started_at and hostname too. A new job without a state is "unscheduled".
---@param experiment string
---@param run string
---@param jobs { task: string, hash: string, state?: string, reason?: string, hostname?: string, submitted_at?: number, started_at?: number, ended_at?: number, exit_code?: integer, signal?: integer, cpu_seconds?: number, peak_memory?: integer, tags?: table<string, string> }[]
---@return true? ok, string? message, string? code
function index:put_jobs(experiment, run, jobs) end

---The experiments, sorted by id, each with its newest run and that run's jobs counted.
---@return { experiment: string, run: string, hostname?: string, started_at?: number, ended_at?: number, status?: string, done: integer, total: integer, failed: integer, runs: integer }[]? list, string? message, string? code
function index:experiments() end

---The runs of one experiment, or of all (sorted by experiment, run): same fields as `experiments`, without `runs`.
---@param experiment? string
---@return table[]? list, string? message, string? code
function index:runs(experiment) end

---Jobs, newest submission first. `run` needs `experiment`; `tags` must all match; a `hash_prefix` that is not hex finds nothing.
---@param options? { experiment?: string, run?: string, task?: string, state?: string, hash_prefix?: string, tags?: table<string, string>, limit?: integer }
---@return { task: string, hash: string, state: string, reason?: string, hostname?: string, submitted_at?: number, started_at?: number, ended_at?: number, exit_code?: integer, signal?: integer, cpu_seconds?: number, peak_memory?: integer, tags: table<string, string> }[]? list, string? message, string? code
function index:jobs(options) end

---Any SELECT, read-only: rows as tables by column name. Integer, float, text and blob come as Lua values, NULL as nil.
---The parameters (nil, booleans, numbers, strings) bind to ?1, ?2 ...; their number must be right. The view `job_list` has
---the jobs with words for task and state. Raises if the SQL is wrong, writes, or is more than one statement.
---@param sql string
---@param ... any
---@return table[]? rows, string? message, string? code
function index:query(sql, ...) end

---Moves the WAL into the database file; call it only while holding the workspace's lock.
---Code "locked": somebody was reading; as much as could be was moved.
---@return true? ok, string? message, string? code
function index:checkpoint() end

---Bytes of the WAL after this handle's last commit (0 before it): nothing shrinks it but `checkpoint`.
---@return integer
function index:wal_size() end

---Finalizes the statements and closes. Safe to call twice.
function index:close() end

return db
