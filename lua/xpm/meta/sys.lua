---@meta xpm.sys
-- What Lua lacks of the operating system (C).

---@class xpm.sys
local sys = {}

---Makes a folder and its parents. @return true? ok, string? message, string? code
---@param path string
function sys.mkdirs(path) end
---Writes a file whole, by a temporary file and rename. @return true? ok, string? message, string? code
---@param path string
---@param data string
function sys.write(path, data) end
---Reads a file whole (bytes). @return string? data, string? message, string? code
---@param path string
---@param limit? integer  default 1 GiB
function sys.read(path, limit) end
---Absolute path without links or dots; the file must exist. @return string? path, string? message, string? code
---@param path string
function sys.realpath(path) end
---Absolute path without "." and "..", by text only; need not exist. Fails only where the current folder is gone.
---@param path string
---@return string? path, string? message, string? code
function sys.abspath(path) end
---"file", "directory", "link", "other", or nil. Follows links unless `nofollow`. Second result: size in bytes; third: mtime.
---@param path string
---@param nofollow? boolean
---@return string? kind, integer? size, number? mtime
function sys.stat(path, nofollow) end
---Names in a folder, sorted, without "." and "..". @return string[]? names, string? message, string? code
---@param path string
function sys.list(path) end
---Makes `path` a link to `target`; a link or file that is there is replaced atomically. @return true? ok, string? message, string? code
---@param target string
---@param path string
function sys.symlink(target, path) end
---@param path string
---@return string? target, string? message, string? code
function sys.readlink(path) end
---Removes a file, link or empty folder. @return true? ok, string? message, string? code
---@param path string
function sys.remove(path) end
---Makes one folder; code "exists" when it is there. @return true? ok, string? message, string? code
---@param path string
function sys.mkdir(path) end
---The end of a regular file: at most `bytes`, and at most `lines` lines. @return string? text, string? message, string? code
---@param path string
---@param lines integer
---@param bytes? integer  default 65536
function sys.tail(path, lines, bytes) end
---@return string? path, string? message, string? code
function sys.cwd() end
---@param path string
---@return true? ok, string? message, string? code
function sys.chdir(path) end
---Sets (nil: removes) a variable in this process' environment, seen by os.getenv and children.
---@param name string
---@param value? string
function sys.setenv(name, value) end
---@return string
function sys.hostname() end
---@return integer
function sys.pid() end
---Cores this process may use (affinity and cgroup quota), at least 1.
---@return integer
function sys.cpus() end
---Seconds since 1970. @return number
function sys.now() end
---Seconds of a clock that only goes forward. @return number
function sys.monotonic() end
---@param fd integer
---@return boolean
function sys.isatty(fd) end
---Columns and rows of the terminal on `fd`, or nil. @return integer? columns, integer? rows
---@param fd integer
function sys.winsize(fd) end
---Whether the path (or its nearest parent that exists) lies on a file system that other machines may write or that is not
---known, and the file system's name. @return boolean? network, string name_or_message, string? code
---@param path string
function sys.network(path) end
---The program's own path (/proc/self/exe), or nil. @return string?
function sys.executable() end
---For a command line only: from now on SIGINT, SIGTERM and SIGHUP make the returned descriptor readable, and with
---`sys.interruptible(true)` raise the string "interrupted" in running Lua code. One that is ignored stays so (nohup). A
---second call returns the same descriptor; another Lua state of the process is refused. @return integer fd
function sys.catch_signals() end
---The signals caught since the last call, in order ("INT", "TERM", "HUP"). @return string[]
function sys.caught() end
---Whether a signal raises in running Lua code, once each, coroutines included (for that `true` replaces coroutine.resume
---and coroutine.wrap by ones that do the same). `false` also takes back one that is about to.
---@param on boolean
function sys.interruptible(on) end
---Waits until one of the descriptors is readable. @return integer? fd  nil: timeout, or "interrupted" is about to be raised
---@param fds integer[]
---@param timeout? number  seconds (default: for ever; negative: 0)
function sys.poll(fds, timeout) end

return sys
