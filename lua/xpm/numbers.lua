-- Numbers as text: the shortest form that reads back the same (0.1, 1e-07, 1.0, 3), as in JSON and in identifiers.

local config = require "xpm.config"

local numbers = {}

---@param n number
---@return string
function numbers.text(n)
  if n ~= n then return "nan" end
  if n == math.huge then return "inf" elseif n == -math.huge then return "-inf" end
  return config.encode_json(n)
end

return numbers
