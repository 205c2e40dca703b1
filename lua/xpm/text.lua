-- Text for people: made harmless for a terminal, measured in its columns, and laid out.

local text = {}

-- Escape sequences --------------------------------------------------------------------------------------------------
--
-- One pass from left to right, in which every ESC and every C1 control disappears: what is removed can therefore never
-- join what is around it into a new sequence. A string (OSC, DCS, ...) must end on its own line; where it does not,
-- only its introducer goes, so that a stray one cannot hide the rest of a log.

local STRING_INTRODUCERS = { ["]"] = true, P = true, X = true, ["^"] = true, ["_"] = true } -- after ESC
local C1_STRINGS = { [0x90] = true, [0x98] = true, [0x9D] = true, [0x9E] = true, [0x9F] = true }

-- The position after a CSI sequence whose parameters start at i.
local function after_csi(s, i)
  return (s:match("^[0-?]*[ -/]*[@-~]?()", i))
end

-- The position after a control string whose content starts at i.
local function after_string(s, i)
  local stop = s:find("[\n\7\27\xC2]", i)
  while stop do
    local c = s:byte(stop)
    if c == 7 then return stop + 1 end
    if c == 27 then return s:sub(stop + 1, stop + 1) == "\\" and stop + 2 or i end
    if c == 10 then return i end
    local second = s:byte(stop + 1) or 0
    if second == 0x9C then return stop + 2 end
    if second >= 0x80 and second < 0xA0 then return i end
    stop = s:find("[\n\7\27\xC2]", stop + 1)
  end
  return i
end

local function after_escape(s, i)
  local c = s:sub(i + 1, i + 1)
  if c == "[" then return after_csi(s, i + 2) end
  if STRING_INTRODUCERS[c] then return after_string(s, i + 2) end
  return s:match("^[ -/]*[0-~]()", i + 1) or i + 1
end

-- The bytes of a character. (utf8.offset would count stray continuation bytes after it as its own.)
local function size(code)
  return code < 0x80 and 1 or code < 0x800 and 2 or code < 0x10000 and 3 or 4
end

local function is_bidi_control(code)
  return code >= 0x202A and code <= 0x202E or code >= 0x2066 and code <= 0x2069
end

---Makes a string harmless for a terminal: removes escape sequences (CSI, OSC, DCS, ...), control characters but newline
---and tab, and bidirectional overrides; a byte that is no UTF-8 becomes \xNN.
---@param s any  what is no string goes through tostring
---@return string
function text.clean(s)
  s = type(s) == "string" and s or tostring(s)
  if not s:find("[^\n\t -~]") then return s end
  local out, i, n = {}, 1, #s
  while i <= n do
    local plain = s:match("^[\n\t -~]+", i)
    if plain then
      out[#out + 1] = plain
      i = i + #plain
    else
      local byte = s:byte(i)
      if byte == 27 then
        i = after_escape(s, i)
      elseif byte < 128 then
        i = i + 1
      elseif utf8.len(s, i, i) then
        local code = utf8.codepoint(s, i)
        local after = i + size(code)
        if code < 0xA0 then
          if code == 0x9B then after = after_csi(s, after)
          elseif C1_STRINGS[code] then after = after_string(s, after) end
        elseif not is_bidi_control(code) then
          out[#out + 1] = s:sub(i, after - 1)
        end
        i = after
      else
        out[#out + 1] = ("\\x%02X"):format(byte)
        i = i + 1
      end
    end
  end
  return table.concat(out)
end

---The same on one line: newlines and tabs become blanks.
---@param s any
---@return string
function text.line(s)
  return (text.clean(s):gsub("[\n\t]", " "))
end

-- Columns -----------------------------------------------------------------------------------------------------------

-- Pairs of first and last code point, ascending.
local ZERO = {
  0x0300, 0x036F, 0x0483, 0x0489, 0x0591, 0x05BD, 0x0610, 0x061A, 0x064B, 0x065F, 0x06D6, 0x06DC, 0x0900, 0x0902,
  0x093C, 0x093C, 0x0941, 0x0948, 0x094D, 0x094D, 0x0E31, 0x0E31, 0x0E34, 0x0E3A, 0x0E47, 0x0E4E, 0x1AB0, 0x1AFF,
  0x1DC0, 0x1DFF, 0x200B, 0x200F, 0x202A, 0x202E, 0x2060, 0x2069, 0x20D0, 0x20FF, 0x3099, 0x309A, 0xFE00, 0xFE0F,
  0xFE20, 0xFE2F, 0xFEFF, 0xFEFF, 0x1F3FB, 0x1F3FF, 0xE0000, 0xE01EF,
}
local WIDE = {
  0x1100, 0x115F, 0x231A, 0x231B, 0x23E9, 0x23EC, 0x25FD, 0x25FE, 0x2614, 0x2615, 0x2648, 0x2653, 0x26A1, 0x26A1,
  0x26AA, 0x26AB, 0x26BD, 0x26BE, 0x2705, 0x2705, 0x270A, 0x270B, 0x2728, 0x2728, 0x274C, 0x274C, 0x2753, 0x2755,
  0x2795, 0x2797, 0x2B1B, 0x2B1C, 0x2B50, 0x2B50, 0x2E80, 0x303E, 0x3041, 0x33FF, 0x3400, 0x4DBF, 0x4E00, 0xA4CF,
  0xA960, 0xA97F, 0xAC00, 0xD7A3, 0xF900, 0xFAFF, 0xFE10, 0xFE19, 0xFE30, 0xFE6F, 0xFF00, 0xFF60, 0xFFE0, 0xFFE6,
  0x1F300, 0x1F64F, 0x1F680, 0x1F6FF, 0x1F7E0, 0x1F7EB, 0x1F900, 0x1F9FF, 0x1FA70, 0x1FAFF, 0x20000, 0x3FFFD,
}

local function within(ranges, code)
  local low, high = 1, #ranges // 2
  while low <= high do
    local middle = (low + high) // 2
    if code < ranges[2 * middle - 1] then high = middle - 1
    elseif code > ranges[2 * middle] then low = middle + 1
    else return true end
  end
  return false
end

local function code_width(code)
  if code < 32 or code >= 0x7F and code < 0xA0 then return 0 end
  if code < 0x300 then return 1 end
  if within(ZERO, code) then return 0 end
  return within(WIDE, code) and 2 or 1
end

-- Calls f(first, last, columns) for each character, until f returns true; a byte that is no UTF-8 counts one column.
local function each_character(s, f)
  local i, n = 1, #s
  while i <= n do
    local last, columns = i, 1
    if utf8.len(s, i, i) then
      local code = utf8.codepoint(s, i)
      columns, last = code_width(code), i + size(code) - 1
    end
    if f(i, last, columns) then return end
    i = last + 1
  end
end

---The columns that a string takes on a terminal.
---@param s string
---@return integer
function text.width(s)
  if not s:find("[^ -~]") then return #s end
  local sum = 0
  each_character(s, function(_, _, columns) sum = sum + columns end)
  return sum
end

---Cuts a string to a number of columns; what was cut ends in "…". Characters stay whole.
---@param s string
---@param columns integer
---@return string
function text.truncate(s, columns)
  if text.width(s) <= columns then return s end
  if columns < 1 then return "" end
  local sum, keep = 0, 0
  each_character(s, function(_, last, width)
    if sum + width > columns - 1 then return true end
    sum, keep = sum + width, last
  end)
  return s:sub(1, keep) .. "…"
end

-- Quantities --------------------------------------------------------------------------------------------------------

---A time span: "35 ms", "3.2 s", "42 s", "5m 03s", "1h 02m", "2d 03h".
---@param seconds number
---@return string
function text.duration(seconds)
  if seconds ~= seconds or seconds == math.huge then return "?" end
  if seconds < 0 then return "-" .. text.duration(-seconds) end
  if seconds == 0 then return "0 s" end
  if seconds < 0.0995 then return ("%.0f ms"):format(seconds * 1000) end
  if seconds < 9.95 then return ("%.1f s"):format(seconds) end
  local whole = math.floor(seconds + 0.5)
  if whole < 60 then return ("%d s"):format(whole) end
  if whole < 3600 then return ("%dm %02ds"):format(whole // 60, whole % 60) end
  local minutes = math.floor(seconds / 60 + 0.5)
  if minutes < 24 * 60 then return ("%dh %02dm"):format(minutes // 60, minutes % 60) end
  local hours = math.floor(seconds / 3600 + 0.5)
  return ("%dd %02dh"):format(hours // 24, hours % 24)
end

local UNITS = { "kB", "MB", "GB", "TB", "PB", "EB" }

---A size in decimal units: "512 B", "1.4 GB".
---@param n number
---@return string
function text.bytes(n)
  if n < 0 then return "-" .. text.bytes(-n) end
  if n < 1000 then return ("%d B"):format(n) end
  local unit = 0
  repeat
    n = n / 1000
    unit = unit + 1
  until n < 999.95 or unit == #UNITS
  return ("%.1f %s"):format(n, UNITS[unit])
end

-- Tables ------------------------------------------------------------------------------------------------------------

local function pad(s, columns, right)
  local blanks = (" "):rep(columns - text.width(s))
  return right and blanks .. s or s .. blanks
end

---Rows as lines with aligned columns, two blanks between them. Cells are made harmless and put on one line; nil is
---empty. A column without an alignment is to the right when all its cells are numbers.
---@param rows any[][]
---@param options? { header?: string[], align?: ("left"|"right")[] }
---@return string[] lines
function text.table(rows, options)
  options = options or {}
  local header, align = options.header, options.align or {}
  for key in pairs(options) do
    if key ~= "header" and key ~= "align" then
      error(("text.table: unknown option '%s'; options are header, align"):format(tostring(key)), 2)
    end
  end
  local count = header and #header or 0
  for _, row in ipairs(rows) do
    for column in pairs(row) do count = math.max(count, column) end
  end
  local cells, widths, right = {}, {}, {}
  for column = 1, count do
    local numeric, seen = true, false
    for _, row in ipairs(rows) do
      if row[column] ~= nil then
        numeric, seen = numeric and type(row[column]) == "number", true
      end
    end
    if align[column] then right[column] = align[column] == "right" else right[column] = numeric and seen end
    widths[column] = 0
  end
  local function add(row)
    local line = {}
    for column = 1, count do
      line[column] = row[column] == nil and "" or text.line(row[column])
      widths[column] = math.max(widths[column], text.width(line[column]))
    end
    cells[#cells + 1] = line
  end
  if header then add(header) end
  for _, row in ipairs(rows) do add(row) end
  local lines = {}
  for i, line in ipairs(cells) do
    for column = 1, count do line[column] = pad(line[column], widths[column], right[column]) end
    lines[i] = (table.concat(line, "  "):gsub(" +$", ""))
  end
  return lines
end

return text
