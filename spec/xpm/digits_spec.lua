-- The parts of the main example that know nothing of xpm.

local folder = "examples/digits/"

-- Its modules have short names, so they are loaded by file.
local dataset = dofile(folder .. "dataset.lua")
local network = dofile(folder .. "network.lua")

local function temporary(text)
  local name = os.tmpname()
  local file = assert(io.open(name, "w"))
  file:write(text or "")
  file:close()
  return name
end

describe("the data", function()
  local samples = dataset.read(folder .. "data/digits.csv")

  it("is 1797 images of 64 pixels and a digit", function()
    assert.equal(1797, #samples)
    local labels, brightest = {}, 0
    for _, sample in ipairs(samples) do
      assert.equal(64, #sample.pixels)
      labels[sample.label] = (labels[sample.label] or 0) + 1
      for _, pixel in ipairs(sample.pixels) do
        assert.is_true(pixel >= 0 and pixel <= 1)
        brightest = math.max(brightest, pixel)
      end
    end
    assert.equal(1, brightest)
    assert.same({ [0] = 178, 182, 177, 183, 181, 182, 181, 179, 174, 180 }, labels)
  end)

  it("is split into parts that share nothing", function()
    local training, testing = dataset.split(samples)
    assert.same({ 1348, 449 }, { #training, #testing })
    local seen = {}
    for _, sample in ipairs(training) do seen[sample] = true end
    for _, sample in ipairs(testing) do assert.is_nil(seen[sample]) end
  end)

  it("names the line of a wrong file", function()
    local short, wrong = temporary("1,2,3\n"), temporary(("0,"):rep(63) .. "17,3\n")
    for path, message in pairs { [short] = ":1: must be 64 pixels and a digit", [wrong] = ':1: "17" is no pixel' } do
      local ok, told = pcall(dataset.read, path)
      assert.is_false(ok)
      assert.equal(path .. message, told)
    end
    os.remove(short)
    os.remove(wrong)
  end)
end)

describe("the generator", function()
  it("gives the published numbers of splitmix64", function()
    local random = network.generator(1234567)
    assert.equal((6457827717110365317 >> 11) * 0x1p-53, random())
    assert.equal((3203168211198807973 >> 11) * 0x1p-53, random())
  end)

  it("is uniform enough, and differs by seed", function()
    local random, other, sum, same = network.generator(1), network.generator(2), 0, 0
    for _ = 1, 10000 do
      local a, b = random(), other()
      assert.is_true(a >= 0 and a < 1)
      sum = sum + a
      if a == b then same = same + 1 end
    end
    assert.is_true(math.abs(sum / 10000 - 0.5) < 0.02)
    assert.equal(0, same)
  end)
end)

describe("the network", function()
  local random = network.generator(7)
  local small = {}
  for i = 1, 12 do
    local pixels = {}
    for j = 1, 5 do pixels[j] = random() end
    small[i] = { pixels = pixels, label = i % 3 }
  end

  local function loss(net)
    local sum = 0
    for _, s in ipairs(small) do sum = sum - math.log((net:forward(s.pixels))[s.label + 1]) end
    return sum
  end

  it("has the gradient that finite differences give", function()
    local net = network.new(5, 4, 3, network.generator(3))
    local gradient, sum = net:zero_gradient(), 0
    for _, s in ipairs(small) do sum = sum + net:accumulate(gradient, s.pixels, s.label) end
    assert.is_true(math.abs(sum - loss(net)) < 1e-12)
    local checked = 0
    local function check(weights, of)
      for j = 1, #weights do
        local kept, step = weights[j], 1e-5
        weights[j] = kept + step
        local above = loss(net)
        weights[j] = kept - step
        local below = loss(net)
        weights[j] = kept
        assert.is_true(math.abs((above - below) / (2 * step) - of[j]) < 1e-7)
        checked = checked + 1
      end
    end
    for i = 1, 4 do check(net.w1[i], gradient.w1[i]) end
    for k = 1, 3 do check(net.w2[k], gradient.w2[k]) end
    check(net.b1, gradient.b1)
    check(net.b2, gradient.b2)
    assert.equal(4 * 5 + 3 * 4 + 4 + 3, checked)
  end)

  it("gives probabilities, for large activations too", function()
    local net = network.new(5, 4, 3, network.generator(3))
    net.b2[1], net.b1[1], net.b1[2] = 1000, 1000, -1000
    local p = net:forward(small[1].pixels)
    assert.equal(1, p[1] + p[2] + p[3])
    assert.equal(0, net:classify(small[1].pixels))
  end)

  it("learns, and the same seed learns the same", function()
    local training, testing = dataset.split(dataset.read(folder .. "data/digits.csv"))
    local function train(seed)
      local r, losses = network.generator(seed), {}
      local net = network.new(64, 8, 10, r)
      for epoch = 1, 3 do losses[epoch] = net:train_epoch(training, { lr = 0.5, batch = 16, random = r }) end
      return losses, net
    end
    local losses, net = train(1)
    assert.is_true(losses[1] > losses[2] and losses[2] > losses[3])
    assert.is_true(losses[3] < 0.5)
    assert.is_true(net:correct(testing) / #testing > 0.85)
    local again, same = train(1)
    assert.same(losses, again)
    assert.same(net.w1, same.w1)
    assert.not_same(losses, (train(2)))
  end)

  it("is the same after saving and loading", function()
    local net, path = network.new(5, 4, 3, network.generator(9)), temporary()
    net:save(path)
    assert.same(net, network.load(path))
    local file = assert(io.open(path, "w"))
    file:write("digits network 1 5 4 3\n0x1p+0\n")
    file:close()
    assert.error_matches(function() network.load(path) end, "is cut short")
    os.remove(path)
    local other = temporary("something else\n")
    assert.error_matches(function() network.load(other) end, "is no network")
    os.remove(other)
  end)
end)
