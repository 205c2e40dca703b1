-- In a real terminal (tmux): Ctrl-C once lets jobs go on, twice cancels them; the progress line leaves whole lines only.

local cli = require "support.cli"

describe("in a terminal", function()
  local box, socket
  before_each(function()
    box = cli.sandbox()
    socket = box:at "tmux.sock"
    box:write("experiment.lua", [[
      local xpm = require "xpm"
      local T = xpm.task { id = "hang", params = { n = "integer" },
        command = function() return { "sh", "-c", "while [ ! -e ../../../../go ]; do sleep 0.05; done" } end }
      function run(helper, cfg) for n = 1, 3 do T { n = n }:submit() end end]])
    box:write("a.yaml", "id: a\n")
  end)
  after_each(function()
    os.execute(("tmux -S '%s' kill-server 2>/dev/null"):format(socket))
    box:write("go", "")
    box:close()
  end)

  local function tmux(command) return box:shell(("tmux -S '%s' %s"):format(socket, command)) end
  local function screen() return tmux "capture-pane -p -S - -t 0" end
  local function until_seen(pattern)
    cli.eventually(function() return screen():find(pattern) end, 20, pattern)
  end
  local function start()
    box:write("start.sh", ("trap : INT\ncd '%s'\nHOME='%s' '%s' run-experiment --workdir w -j2 a.yaml\n"
      .. "echo code=$?\nread x\n"):format(box.path, box.home,
      cli.program))
    tmux(("-f /dev/null new-session -d -x 90 -y 20 'sh %s'"):format(box:at "start.sh"))
    until_seen "2 running"
  end

  it("the first Ctrl-C lets running jobs go on, and the same command comes back to them", function()
    start()
    tmux "send-keys -t 0 C-c"
    until_seen "interrupted: 2 running jobs go on without xpm"
    until_seen "code=130"
    assert.equal("2", box:shell("ls w/jobs/hang/*/hang.pid | wc -l"):match "%d+")
    box:write("go", "")
    cli.eventually(function() return box:shell("ls w/jobs/hang/*/hang.done 2>/dev/null | wc -l"):match "%d+" == "2" end)
    local r = box:run { "run-experiment", "--workdir", "w", "a.yaml" }
    assert.is_truthy(r.err:find "3 jobs: 2 reused, 1 ran, 0 failed", r.err)
  end)

  it("the second Ctrl-C cancels them", function()
    start()
    tmux "send-keys -t 0 C-c"
    until_seen "Ctrl%-C again"
    tmux "send-keys -t 0 C-c"
    until_seen "the running jobs were cancelled"
    until_seen "code=130"
    assert.equal("2", box:shell("ls w/jobs/hang/*/hang.failed | wc -l"):match "%d+")
    assert.is_truthy(box:shell("cat w/jobs/hang/*/hang.failed"):find '"cancelled"')
  end)

  it("the progress line is gone when the run has ended", function()
    start()
    box:write("go", "")
    until_seen "code=0"
    local text = screen()
    assert.is_truthy(text:find "3 jobs: 0 reused, 3 ran, 0 failed")
    assert.is_nil(text:find "2 running", 1, true)
  end)
end)
