-- A classifier with one hidden layer (tanh) and a softmax output, trained by stochastic gradient descent on the cross
-- entropy, in plain Lua. The same seed gives the same network: random numbers come from a generator of its own.

local network = {}

---@class digits.Network
---@field inputs integer
---@field hidden integer
---@field outputs integer
---@field w1 number[][]   hidden x inputs
---@field b1 number[]
---@field w2 number[][]   outputs x hidden
---@field b2 number[]
local Network = {}
Network.__index = Network

---A generator of random numbers (splitmix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
---2014), the same on every machine.
---@param seed integer
---@return fun(): number   uniform in [0, 1)
function network.generator(seed)
  local state = seed
  return function()
    state = state + 0x9E3779B97F4A7C15
    local z = state
    z = (z ~ (z >> 30)) * 0xBF58476D1CE4E5B9
    z = (z ~ (z >> 27)) * 0x94D049BB133111EB
    return ((z ~ (z >> 31)) >> 11) * 0x1p-53
  end
end

---Shuffles a list in place.
---@param list any[]
---@param random fun(): number
function network.shuffle(list, random)
  for i = #list, 2, -1 do
    local j = 1 + math.floor(random() * i)
    list[i], list[j] = list[j], list[i]
  end
end

local function matrix(rows, columns, value)
  local m = {}
  for i = 1, rows do
    local row = {}
    for j = 1, columns do row[j] = value and value() or 0.0 end
    m[i] = row
  end
  return m
end

---A network with random weights (Glorot and Bengio 2010).
---@param inputs integer
---@param hidden integer
---@param outputs integer
---@param random fun(): number
---@return digits.Network
function network.new(inputs, hidden, outputs, random)
  local function uniform(fan_in, fan_out)
    local limit = math.sqrt(6 / (fan_in + fan_out))
    return function() return (2 * random() - 1) * limit end
  end
  return setmetatable({ inputs = inputs, hidden = hidden, outputs = outputs,
    w1 = matrix(hidden, inputs, uniform(inputs, hidden)), b1 = matrix(1, hidden)[1],
    w2 = matrix(outputs, hidden, uniform(hidden, outputs)), b2 = matrix(1, outputs)[1] }, Network)
end

local function tanh(x)
  if x > 20 then return 1.0 elseif x < -20 then return -1.0 end
  local e = math.exp(2 * x)
  return (e - 1) / (e + 1)
end

---The probabilities of the classes (class c at c + 1), and the activations of the hidden layer.
---@param x number[]
---@return number[] probabilities, number[] hidden
function Network:forward(x)
  local h, p = {}, {}
  for i = 1, self.hidden do
    local row, sum = self.w1[i], self.b1[i]
    for j = 1, self.inputs do sum = sum + row[j] * x[j] end
    h[i] = tanh(sum)
  end
  local largest = -math.huge
  for k = 1, self.outputs do
    local row, sum = self.w2[k], self.b2[k]
    for i = 1, self.hidden do sum = sum + row[i] * h[i] end
    p[k] = sum
    if sum > largest then largest = sum end
  end
  local total = 0
  for k = 1, self.outputs do
    p[k] = math.exp(p[k] - largest)
    total = total + p[k]
  end
  for k = 1, self.outputs do p[k] = p[k] / total end
  return p, h
end

---A gradient that is zero, in the shape of the network.
---@return { w1: number[][], b1: number[], w2: number[][], b2: number[] }
function Network:zero_gradient()
  return { w1 = matrix(self.hidden, self.inputs), b1 = matrix(1, self.hidden)[1],
    w2 = matrix(self.outputs, self.hidden), b2 = matrix(1, self.outputs)[1] }
end

---Adds a sample's part to the gradient of the loss.
---@param gradient table
---@param x number[]
---@param label integer
---@return number loss  the cross entropy of this sample
function Network:accumulate(gradient, x, label)
  local p, h = self:forward(x)
  local loss = -math.log(p[label + 1])
  local back = {} -- d loss / d hidden activation
  for i = 1, self.hidden do back[i] = 0.0 end
  for k = 1, self.outputs do
    local delta = p[k] - (k == label + 1 and 1 or 0)
    local row, into = self.w2[k], gradient.w2[k]
    for i = 1, self.hidden do
      into[i] = into[i] + delta * h[i]
      back[i] = back[i] + delta * row[i]
    end
    gradient.b2[k] = gradient.b2[k] + delta
  end
  for i = 1, self.hidden do
    local delta, into = back[i] * (1 - h[i] * h[i]), gradient.w1[i]
    for j = 1, self.inputs do into[j] = into[j] + delta * x[j] end
    gradient.b1[i] = gradient.b1[i] + delta
  end
  return loss
end

-- Moves weights against the gradient, which is zero afterwards.
local function descend(weights, gradient, rate)
  for j = 1, #weights do
    weights[j] = weights[j] - rate * gradient[j]
    gradient[j] = 0.0
  end
end

---One pass over the samples in a random order, in batches.
---@param samples digits.Sample[]
---@param options { lr: number, batch: integer, random: fun(): number }
---@return number loss  mean over the samples, while learning
function Network:train_epoch(samples, options)
  local order, sum = {}, 0
  for i = 1, #samples do order[i] = i end
  network.shuffle(order, options.random)
  local gradient = self:zero_gradient()
  for first = 1, #order, options.batch do
    local last = math.min(first + options.batch - 1, #order)
    for at = first, last do
      local sample = samples[order[at]]
      sum = sum + self:accumulate(gradient, sample.pixels, sample.label)
    end
    local rate = options.lr / (last - first + 1)
    for i = 1, self.hidden do descend(self.w1[i], gradient.w1[i], rate) end
    for k = 1, self.outputs do descend(self.w2[k], gradient.w2[k], rate) end
    descend(self.b1, gradient.b1, rate)
    descend(self.b2, gradient.b2, rate)
  end
  return sum / #samples
end

---The most probable class.
---@param x number[]
---@return integer
function Network:classify(x)
  local p, best = self:forward(x), 1
  for k = 2, #p do
    if p[k] > p[best] then best = k end
  end
  return best - 1
end

---How many samples are classified correctly.
---@param samples digits.Sample[]
---@return integer
function Network:correct(samples)
  local count = 0
  for _, sample in ipairs(samples) do
    if self:classify(sample.pixels) == sample.label then count = count + 1 end
  end
  return count
end

local HEADER = "digits network 1"

---Writes the network as text; hexadecimal floats keep every bit.
---@param path string
function Network:save(path)
  local file = assert(io.open(path, "w"))
  local function row(values)
    local words = {}
    for i, value in ipairs(values) do words[i] = ("%a"):format(value) end
    assert(file:write(table.concat(words, " "), "\n"))
  end
  assert(file:write(("%s %d %d %d\n"):format(HEADER, self.inputs, self.hidden, self.outputs)))
  for i = 1, self.hidden do row(self.w1[i]) end
  row(self.b1)
  for k = 1, self.outputs do row(self.w2[k]) end
  row(self.b2)
  assert(file:close())
end

---Reads what `save` wrote; raises on anything else.
---@param path string
---@return digits.Network
function network.load(path)
  local lines = io.lines(path)
  local inputs, hidden, outputs = (lines() or ""):match("^" .. HEADER .. " (%d+) (%d+) (%d+)$")
  if not inputs then error(path .. ": is no network", 0) end
  inputs, hidden, outputs = tonumber(inputs), tonumber(hidden), tonumber(outputs)
  local function row(count)
    local values = {}
    for word in (lines() or ""):gmatch("%S+") do values[#values + 1] = tonumber(word) end
    if #values ~= count then error(path .. ": is cut short", 0) end
    return values
  end
  local function rows(count, columns)
    local m = {}
    for i = 1, count do m[i] = row(columns) end
    return m
  end
  return setmetatable({ inputs = inputs, hidden = hidden, outputs = outputs,
    w1 = rows(hidden, inputs), b1 = row(hidden), w2 = rows(outputs, hidden), b2 = row(outputs) }, Network)
end

return network
