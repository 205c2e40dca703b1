-- The main example as a user runs it, with fewer seeds: real data, training and evaluation, the table, the second run.

local cli = require "support.cli"

describe("examples/digits", function()
  it("trains, evaluates, and reports; the second time nothing runs", function()
    local box <close> = cli.sandbox()
    local function run()
      return box:run { "run-experiment", "--workdir", "w", "-c", "dirty_git=ignore", "-c", "seeds=[1,2]",
        "-c", "learning_rates=[0.3, 1.0]", "-c", "epochs=5", cli.root .. "/examples/digits/full.yaml" }
    end
    local first = run()
    assert.equal(0, first.code, first.err)
    assert.is_truthy(first.err:find("8 jobs: 0 reused, 8 ran, 0 failed", 1, true), first.err)
    local best = 0
    for rate, seeds, mean, spread in first.out:gmatch "([%d.]+) +(%d) +([%d.]+) %% +([%d.]+) %%" do
      assert.is_truthy(rate == "0.3" or rate == "1.0")
      assert.equal("2", seeds)
      assert.is_true(tonumber(spread) >= 0)
      best = math.max(best, tonumber(mean))
    end
    assert.is_true(best > 93, first.out)
    assert.equal(first.out, box:shell "cat w/xp/digits/current/results/accuracy.txt")
    local second = run()
    assert.same({ 0, first.out }, { second.code, second.out }, second.err)
    assert.is_truthy(second.err:find("8 jobs: 8 reused, 0 ran, 0 failed", 1, true), second.err)
  end)
end)
