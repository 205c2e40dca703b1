---@meta xpm.git
-- The state of a git repository (C, libgit2). Reads only.

---@class xpm.git
local git = {}

---@class xpm.git.state
---@field root string       the work tree's folder, absolute; of a bare repository (never dirty) its own folder
---@field head? string      commit id, 40 hex digits; nil before the first commit
---@field branch? string    short name; nil when detached
---@field dirty boolean     modified, staged or untracked (not ignored) files anywhere in the repository, changed submodules
---@field paths string[]    some of these, relative to root, sorted, at most `limit`
---@field count integer     how many there are (counting stops at 10000)
---@field author? string    "Name <mail>" of the head commit
---@field date? integer     its author time, seconds since 1970
---@field message? string   its whole message

---@param path string   a folder (or file) inside the repository
---@param options? { exclude?: string[], limit?: integer }  absolute paths that do not count (the workspace; one that holds the whole work tree excludes nothing); default limit 20
---@return xpm.git.state? state, string? message, string? code  code "not_found": no repository, or no such path; others: state unknown
function git.state(path, options) end

---libgit2's version.
---@return string
function git.version() end

return git
