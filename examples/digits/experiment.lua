-- Which learning rate is best for a small network that reads handwritten digits? Trains one for each learning rate and
-- seed, evaluates each, and reports mean and spread of the accuracy over the seeds.

local config = require "xpm.config"
local text = require "xpm.text"
local xpm = require "xpm"
local tasks = require "tasks"

local configuration = xpm.configuration {
  learning_rates = { type = xpm.list("number"), default = { 0.1 } },
  seeds = { type = xpm.list("integer"), default = { 1 } },
  hidden = { type = "integer", default = 24, range = { 1, 10000 }, help = "units of the hidden layer" },
  epochs = { type = "integer", default = 15, range = { 1, 100000 } },
  batch = { type = "integer", default = 16, range = { 1, 10000 }, help = "samples per step" },
  data = { type = "path", default = "data/digits.csv", help = "relative to this file's folder" },
}

-- Jobs run in folders of their own, so what they are given must be absolute, as this folder is in the search path.
local function absolute(path)
  if path:sub(1, 1) == "/" then return path end
  return package.searchpath("tasks", package.path):match("^.*/") .. path
end

local function read_accuracy(path)
  local file = assert(io.open(path))
  local scores = assert(config.parse_json(file:read("a"), path))
  file:close()
  return scores.accuracy
end

-- Mean and standard deviation (of a sample; none of a single value).
local function mean_and_spread(values)
  local sum, squares = 0, 0
  for _, value in ipairs(values) do sum = sum + value end
  local mean = sum / #values
  for _, value in ipairs(values) do squares = squares + (value - mean) ^ 2 end
  return mean, #values > 1 and math.sqrt(squares / (#values - 1)) or nil
end

local function percent(value) return value and ("%.2f %%"):format(100 * value) or "-" end

local function run(helper, cfg)
  local data = absolute(cfg.data)
  local rows = {}
  for i, lr in ipairs(cfg.learning_rates) do
    rows[i] = { lr = lr, evaluations = {} }
    for j, seed in ipairs(cfg.seeds) do
      local trained = tasks.Train {
        lr = xpm.tag(lr), seed = xpm.tag(seed), data = data,
        hidden = cfg.hidden, epochs = cfg.epochs, batch = cfg.batch,
      }:submit()
      rows[i].evaluations[j] = tasks.Evaluate { trained = trained, data = data }:submit()
    end
  end
  helper.xp:wait()

  local lines = {}
  for i, row in ipairs(rows) do
    local accuracies = {}
    for _, evaluation in ipairs(row.evaluations) do
      if evaluation.state == "done" then accuracies[#accuracies + 1] = read_accuracy(evaluation.scores) end
    end
    local mean, spread
    if #accuracies > 0 then mean, spread = mean_and_spread(accuracies) end
    lines[i] = { row.lr, #accuracies, percent(mean), percent(spread) }
  end
  local report = table.concat(text.table(lines, { header = { "learning rate", "seeds", "test accuracy", "spread" },
    align = { "right", "right", "right", "right" } }), "\n")
  print(report)
  if helper.xp.results then
    local file = assert(io.open(helper.xp.results .. "/accuracy.txt", "w"))
    assert(file:write(report, "\n"))
    assert(file:close())
  end
end

return { run = run, configuration = configuration }
