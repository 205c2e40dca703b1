---@meta xpm.config
-- The configuration core (C): an ordered value tree with the source position of every leaf.

---@class xpm.config
---@field null userdata  the value of YAML and JSON null; prints as "null"
local config = {}

---A merged configuration. Paths are dotted, list indices count from 0 ("data.transforms.0.name"); "" is the root. A key
---that has dots, is empty or starts with a quote is written in single quotes, a quote inside doubled ("a.'b.c'.d"); so
---are keys in the paths of messages and of `origins`, and in dot-lists. Methods of a closed tree raise.
---@class xpm.config.tree
local tree = {}

---@class xpm.config.load_options
---@field pre? string[]        YAML files merged before the main one
---@field file? string         the main YAML file
---@field post? string[]       YAML files merged after it
---@field overrides? string[]  dot-list assignments ("a.b.0=v", "key+=[x]"), merged last
---@field limit? integer       bytes a file may have (default 67108864)

---Reads, merges, applies the overrides and resolves interpolations. All problems are reported together, a line each
---(`file:line:col: path: message`; `-c a.b=v: path: message`; problems of a whole file `file: message`); `code` is that
---of the first: "invalid", "not_found", "limit", "io" ... At most 100 are told, the others counted.
---
---Limits: 256 levels of maps and lists in a file; 100000 values that aliases and interpolations make by copying; 16 MB of
---text that interpolations make; 256 references one behind another; 64 files in a chain of imports; 65535 files and
---overrides. Keys are strings: other scalars are taken as their text (`1: x` has the key "1"). Strings hold no NUL.
---`imports:` and `parent:` may be null. A null on the way of a dot-list path becomes a map.
---@param options xpm.config.load_options
---@return xpm.config.tree? tree, string? message, string? code
function config.load(options) end

---Parses one YAML document (1.2 core schema) or JSON text into Lua values; `name` stands for the file in messages.
---Maps remember their order, lists are marked as lists, null is `config.null`. Imports and `${}` are left as they are.
---@param text string
---@param name? string
---@return any value, string? message, string? code
function config.parse_yaml(text, name) end

---Parses JSON text: integers exact in 64 bits, at most 512 levels, no key twice, no "\u0000".
---@param text string
---@param name? string  stands before the message
---@return any value, string? message, string? code
function config.parse_json(text, name) end

---Lua values as JSON. Maps in their order (`config.pairs`), then other keys sorted. Integers exact, floats in their
---shortest round-trip form (always with `.` or an exponent), inf and nan as the strings ".inf", "-.inf", ".nan". Raises on functions, cycles, mixed keys.
---@param value any
---@param options? { indent?: integer }  indent 0 (default): one line
---@return string
function config.encode_json(value, options) end

---Lua values as a YAML document (block style) that `parse_yaml` reads back equal (strings with NUL bytes or other than
---UTF-8 excepted). Raises as `encode_json` does.
---@param value any
---@return string
function config.encode_yaml(value) end

---Iterates a map in its order: keys the order knows and that still are there, then the others (strings sorted). Lists go 1..n.
---@param t table
---@return fun(): any, any
function config.pairs(t) end

---Sets the order of a map's keys (any table; kept in a weak table, the table itself is not changed). Returns `t`.
---@param t table
---@param keys any[]
---@return table
function config.order(t, keys) end

---Marks a table as a list, so that it is one even while empty. Returns `t`.
---@param t table
---@return table
function config.list(t) end

---"list" or "map": what a mark says, else a non-empty table whose keys are 1..n is a list, everything else a map.
---@param t table
---@return "list"|"map"
function config.kind(t) end

---The candidate nearest to `word` by edit distance, if one is near enough to be a likely slip.
---@param word string
---@param candidates string[]
---@return string?
function config.nearest(word, candidates) end

---The subtree or leaf at `path` as Lua values (default: all of it); nil where there is nothing.
---@param path? string
---@return any
function tree:get(path) end

---"map", "list", "string", "integer", "float", "boolean", "null", or nil where there is nothing.
---@param path? string
---@return string?
function tree:kind(path) end

---Where the value at `path` was written. `text` is "file:line:col" or "-c a.b=v". `file` is the path as the user gave it
---(imports: joined to their importer's folder); nil for an override.
---@param path string
---@return { text: string, file?: string, line?: integer, column?: integer, option?: string }?
function tree:where(path) end

---Where the *key* of a map entry stands (for "unknown key"), same shape as `where`.
---@param path string
---@return { text: string, file?: string, line?: integer, column?: integer, option?: string }?
function tree:where_key(path) end

---Every leaf in order: its path, its value as JSON text, where it was set, and what it replaced (newest first).
---@return { path: string, value: string, where: string, replaced: { value: string, where: string }[] }[]
function tree:origins() end

---The whole tree as JSON text.
---@param options? { indent?: integer }
---@return string
function tree:to_json(options) end

---The files that were read, in order of merging: path as given, and whether it came by "pre", "main", "post" or "import".
---@return { path: string, role: string }[]
function tree:sources() end

---Warnings met while loading (deprecated `parent`), with positions.
---@return string[]
function tree:warnings() end

function tree:close() end

return config
