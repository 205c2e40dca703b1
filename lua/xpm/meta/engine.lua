---@meta xpm.engine
-- The job engine (C): plan, scheduler, supervisors, locks, identifiers.

---@class xpm.engine
local engine = {}

---@class xpm.engine.handle
local handle = {}

---Opens an engine on a workspace folder (made if it is not there). Nothing is started yet; it takes no signal handler and no
---SIGCHLD. The jobs' environment is the process' environment as it is now, with each job's changes.
---@param options { workdir: string, jobs: integer, supervisor?: string }  jobs: how many run at a time (>= 1); supervisor: program (default: xpm-supervisor beside engine.so)
---@return xpm.engine.handle? engine, string? message, string? code  "unsupported": no OFD locks there; "not_found": no supervisor program; "io"
function engine.open(options) end

---@class xpm.engine.job_spec
---@field task string        task id; the job's folder is jobs/{task}/{hash}
---@field hash string        64 hex digits
---@field name string        {name} of the files in the folder
---@field argv string[]      program and arguments; a program without "/" is looked up in the job's PATH (absolute entries only), one with "/" and relative is taken from the job's folder
---@field env? table<string, string|false>  changes to the driver's environment; false removes
---@field params string      the bytes of params.json
---@field outputs? string[]  paths relative to the folder that must exist at the end; files left by an attempt that failed are removed before the start
---@field deps? integer[]    job numbers of this engine that must be done first
---@field mode? "run"|"generate"  generate: only make the folder and params.json, when its turn comes (default run)

---Adds a job and returns its number (1, 2, ...); the same task and hash again gives the same number and true.
---A job with a valid end marker is `done` at once (event with reused = true); one that runs elsewhere is watched. What can
---start starts here. Raises on a spec that is no job; what the world refuses is an error of the job (start_failed).
---@param spec xpm.engine.job_spec
---@return integer number, boolean? again
function handle:submit(spec) end

---Turns the loop: starts what can start, waits up to `timeout` seconds (nil: until something happens) and collects events.
---Returns "wake" when the watched descriptor is readable (there may be events too), "event" when next_event has something, "timeout", or
---"idle" when no job is left that could change.
---@param timeout? number
---@return "event"|"wake"|"timeout"|"idle"
function handle:step(timeout) end

---@class xpm.engine.event
---@field job integer        its number
---@field state "running"|"done"|"error"|"unscheduled"  unscheduled: generated (message says so)
---@field reason? "failed"|"dependency"|"memory"|"timeout"|"cancelled"|"start_failed"|"missing_outputs"|"lost"|"deleted"
---@field reused? boolean    done before this run
---@field elsewhere? boolean running under another driver (or an orphaned supervisor)
---@field message? string    for start_failed, missing_outputs, ...: one line
---@field exit_code? integer
---@field signal? integer
---@field started_at? number seconds since 1970
---@field ended_at? number
---@field cpu_seconds? number
---@field peak_memory? integer  bytes
---@field hostname? string
---@field cause? integer     reason "dependency": the number of the failed job it hangs on

---The next event in order, or nil. Only changes to running, done, error (and generated) are told; a job that ends within a few
---milliseconds may be told as done or error only.
---@return xpm.engine.event?
function handle:next_event() end

---How many jobs are in each state, plus total, reused and ran.
---@return { unscheduled: integer, waiting: integer, ready: integer, scheduled: integer, running: integer, done: integer, error: integer, total: integer, reused: integer }
function handle:counts() end

---State and marker of one job (fields as in the event, plus task, hash, name).
---@param number integer
---@return table
function handle:job(number) end

---A descriptor that is readable when step has something to do.
---@return integer
function handle:fd() end

---Also wake `step` when this descriptor is readable (one at a time; nil: none).
---@param fd? integer
---@return true? ok, string? message, string? code  "io": not a descriptor that can be waited for
function handle:watch(fd) end

---Starts no more jobs (waiting ones stay unscheduled); running ones go on.
function handle:stop() end

---Asks the supervisors of running jobs (all, or one) to end them: TERM, five seconds' grace, KILL. They end as error/cancelled, whatever
---they exit with. All: those of this engine and orphans (whose driver is dead) that it waits for. One: also a job that another driver
---runs on this machine; a job that has not started is error/cancelled at once.
---@param number? integer
function handle:cancel(number) end

---Closes. Running jobs go on without this driver. Safe to call twice.
function handle:close() end

---What the files say of one job. "lost" is a job whose supervisor died. nil only when they cannot be read.
---@param workdir string
---@param task string
---@param hash string
---@param name string
---@return { state: "unscheduled"|"running"|"done"|"error", reason?: string, exit_code?: integer, signal?: integer, started_at?: number, ended_at?: number, cpu_seconds?: number, peak_memory?: integer, hostname?: string, pid?: integer, message?: string }? probe, string? message, string? code  pid: of the supervisor; code "version": written by a newer xpm
function engine.probe(workdir, task, hash, name) end

---Takes the lock file of an experiment or workspace (OFD lock, inode checked, holder written as JSON {host, pid, start, boot_id}).
---@param path string
---@return xpm.engine.lock? lock, string? message, string? code  "locked": message says who holds it
function engine.lock(path) end

---@class xpm.engine.lock
local lock = {}
---Releases it and removes the file. Safe to call twice.
function lock:close() end

---The identifier (64 hex digits) of a task's canonical parameters: see src/engine/identifier.h for the byte form. `value` is a map of
---parameter name to value: nil/config.null, booleans, integers, floats, strings, lists, maps; special values are
---{ [engine.KIND] = "job", hash } (a dependency), { [engine.KIND] = "config", id, fields } and { [engine.KIND] = "bytes", tag, string }.
---A table is a list if `config.list` marked it or its keys are 1..n (n > 0), else a map with string keys. Metamethods are not
---used. Raises, with the path of the value, on anything else, on cycles, and past a depth of 190.
---@param task string
---@param value table
---@return string hash
function engine.identifier(task, value) end

---The canonical bytes that `identifier` is the hash of.
---@param task string
---@param value table
---@return string bytes
function engine.canonical(task, value) end

---The BLAKE2b-256 of a file's content, 64 hex digits.
---@param path string
---@return string? hash, string? message, string? code  "not_found", "io"
function engine.hash_file(path) end

---The key that marks a special value (see `identifier`).
---@type lightuserdata
engine.KIND = nil

return engine
