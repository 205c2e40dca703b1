-- The images of digits.csv: 64 pixels scaled to 0..1 and the digit they show, and their parts for training and testing.

local dataset = {}

dataset.PIXELS, dataset.CLASSES = 64, 10

---@class digits.Sample
---@field pixels number[]   64, from 0 to 1
---@field label integer     the digit, 0 to 9

---Reads the file; raises with the line on a wrong one.
---@param path string
---@return digits.Sample[]
function dataset.read(path)
  local samples, number = {}, 0
  for line in io.lines(path) do
    number = number + 1
    local values = {}
    for word in line:gmatch("[^,]+") do
      local value = math.tointeger(tonumber(word))
      if not value or value < 0 or value > 16 then error(("%s:%d: %q is no pixel"):format(path, number, word), 0) end
      values[#values + 1] = value
    end
    local label = table.remove(values)
    if #values ~= dataset.PIXELS or label >= dataset.CLASSES then
      error(("%s:%d: must be %d pixels and a digit"):format(path, number, dataset.PIXELS), 0)
    end
    for i = 1, #values do values[i] = values[i] / 16 end
    samples[number] = { pixels = values, label = label }
  end
  return samples
end

---Every fourth sample is for testing, the others are for training. (The file is in order of writers: both parts have
---images of all of them.)
---@param samples digits.Sample[]
---@return digits.Sample[] training, digits.Sample[] testing
function dataset.split(samples)
  local training, testing = {}, {}
  for i, sample in ipairs(samples) do
    local part = i % 4 == 0 and testing or training
    part[#part + 1] = sample
  end
  return training, testing
end

return dataset
