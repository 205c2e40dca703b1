-- The tasks of the experiment. Each job runs `execute` in a process of its own, which loads this file.

local config = require "xpm.config"
local dataset = require "dataset"
local network = require "network"
local xpm = require "xpm"

local tasks = {}

tasks.Train = xpm.task {
  id = "digits.train",
  help = "trains a network",
  params = {
    lr = { type = "number", help = "learning rate" },
    seed = { type = "integer", help = "of the initial weights and of the order of the samples" },
    hidden = { type = "integer", default = 24, range = { 1, 10000 }, help = "units of the hidden layer" },
    epochs = { type = "integer", default = 15, range = { 1, 100000 } },
    batch = { type = "integer", default = 16, range = { 1, 10000 }, help = "samples per step" },
    data = { type = "path", identity = "content", help = "the CSV file" },
  },
  outputs = { model = "model.txt" },
  execute = function(task)
    local training = dataset.split(dataset.read(task.data))
    local random = network.generator(task.seed)
    local net = network.new(dataset.PIXELS, task.hidden, dataset.CLASSES, random)
    for epoch = 1, task.epochs do
      local loss = net:train_epoch(training, { lr = task.lr, batch = task.batch, random = random })
      print(("epoch %d: loss %.4f"):format(epoch, loss))
      task:progress(epoch / task.epochs, ("epoch %d"):format(epoch))
    end
    net:save(task.model)
  end,
}

tasks.Evaluate = xpm.task {
  id = "digits.evaluate",
  help = "counts what a trained network gets right of the samples for testing",
  params = {
    trained = tasks.Train,
    data = { type = "path", identity = "content" },
  },
  outputs = { scores = "scores.json" },
  execute = function(task)
    local _, testing = dataset.split(dataset.read(task.data))
    local correct = network.load(task.trained.model):correct(testing)
    local file = assert(io.open(task.scores, "w"))
    assert(file:write(config.encode_json { accuracy = correct / #testing, correct = correct, total = #testing }, "\n"))
    assert(file:close())
  end,
}

return tasks
