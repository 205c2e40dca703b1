-- The program itself: verbs, help, usage errors, exit codes, finding its modules, streams.

local cli = require "support.cli"

describe("xpm", function()
  local box
  before_each(function() box = cli.sandbox() end)
  after_each(function() box:close() end)

  local function usage(args, message, hint)
    local r = box:run(args)
    assert.equal(2, r.code, r.err)
    assert.equal("", r.out)
    local first, second, more = r.err:match "^([^\n]*)\n([^\n]*)\n?(.*)$"
    assert.equal("xpm: " .. message, first)
    if hint then assert.equal("hint: " .. hint, second) end
    assert.equal("", more)
    assert.is_nil(r.err:find("Usage:", 1, true))
  end

  it("tells its version", function()
    local r = box:run { "--version" }
    assert.same({ 0, "" }, { r.code, r.err })
    assert.is_truthy(r.out:find "^xpm %d+%.%d+%.%d+\n$")
  end)

  it("shows help on standard output, by itself, by verb and by subcommand", function()
    for _, args in ipairs { { "--help" }, { "-h" }, { "help" } } do
      local r = box:run(args)
      assert.same({ 0, "" }, { r.code, r.err })
      for _, verb in ipairs { "run%-experiment", "experiments", "jobs", "workspaces", "version" } do
        assert.is_truthy(r.out:find("\n  " .. verb .. " +%u%l+"), verb)
      end
      assert.is_nil(r.out:find("run-job", 1, true))
    end
    for _, args in ipairs { { "run-experiment", "--help" }, { "help", "run-experiment" }, { "jobs", "log", "-h" },
      { "experiments", "--help" }, { "experiments", "list", "--help" }, { "workspaces", "list", "-h" },
      { "version", "--help" }, { "jobs", "path", "--help" }, { "jobs", "list", "--help" } } do
      local r = box:run(args)
      assert.same({ 0, "" }, { r.code, r.err }, table.concat(args, " "))
      assert.is_truthy(r.out:find("^Usage: xpm "), r.out)
      assert.is_truthy(r.out:find("Examples:\n  xpm", 1, true) or r.out:find("Examples:\n  ", 1, true), r.out)
    end
  end)

  it("answers a wrong command line with one line, the nearest name and a hint", function()
    local list = "'xpm --help' lists the commands"
    usage({}, "a command is missing", list)
    usage({ "run-experimnt", "x.yaml" }, "unknown command 'run-experimnt', did you mean 'run-experiment'?", list)
    usage({ "run_experiment" }, "unknown command 'run_experiment', did you mean 'run-experiment'?", list)
    usage({ "runexp" }, "unknown command 'runexp', did you mean 'run-experiment'?", list)
    usage({ "init" }, "unknown command 'init'", list)
    usage({ "../cmd/jobs" }, "unknown command '../cmd/jobs'", list)
    usage({ "--wrkdir", "x", "jobs" }, "unknown option '--wrkdir', did you mean '--workdir'?")
    usage({ "--workspace" }, "option '--workspace' requires an argument")
    local hint = "'xpm run-experiment --help' shows how it is used"
    usage({ "run-experiment" }, "missing argument 'file'", hint)
    usage({ "run-experiment", "--shw", "f" }, "unknown option '--shw', did you mean '--show'?", hint)
    usage({ "run-experiment", "--wrkdir", "f" }, "unknown option '--wrkdir', did you mean '--workdir'?", hint)
    usage({ "run-experiment", "--show=1", "f" }, "option '--show' does not take arguments", hint)
    usage({ "run-experiment", "--run-mode", "dri-run", "f" },
      "unknown run mode 'dri-run', did you mean 'DRY_RUN'? (there are NORMAL, DRY_RUN, GENERATE_ONLY, PREPARE)", hint)
    usage({ "run-experiment", "-j", "0", "f" }, "--jobs must be an integer from 1, is '0'", hint)
    usage({ "run-experiment", "-j", "1.5", "f" }, "--jobs must be an integer from 1, is '1.5'", hint)
    usage({ "run-experiment", "--env", "A", "f" }, "--env A: NAME=VALUE is wanted", hint)
    usage({ "run-experiment", "--file", "a", "--module-name", "b", "f" },
      "option '--module-name' can not be used together with option '--file'", hint)
    usage({ "run-experiment", "--origin", "f" }, "--origin belongs to --show")
    usage({ "jobs" }, "xpm jobs needs a command: list, log, path", "'xpm jobs --help' shows how it is used")
    usage({ "jobs", "lst" }, "unknown command 'lst', did you mean 'list'?")
    usage({ "jobs", "list", "--jsn" }, "unknown option '--jsn', did you mean '--json'?",
      "'xpm jobs list --help' shows how it is used")
    usage({ "jobs", "list", "--state", "runing" }, "unknown state 'runing', did you mean 'running'? "
      .. "(there are unscheduled, waiting, ready, scheduled, running, done, error)")
    usage({ "version", "more" }, "too many arguments")
  end)

  it("removes escape sequences from what it repeats", function()
    usage({ "a\27[31mb\27]0;x\7" }, "unknown command 'ab'")
  end)

  it("takes global options before and after the verb, and in both forms", function()
    local function without(args)
      local r = box:run(args)
      assert.equal(4, r.code, r.err)
      assert.equal("xpm: there is no workspace " .. box:at "gone" .. "\n", r.err)
    end
    without { "--workdir", "gone", "experiments", "list" }
    without { "--workdir=gone", "experiments", "list" }
    without { "experiments", "--workdir", "gone", "list" }
    without { "experiments", "list", "--workdir=gone" }
    without { "--workdir", "other", "jobs", "list", "--workdir", "gone" }
  end)

  it("shows where errors come from with --debug alone", function()
    local args = { "experiments", "list", "--workdir", "gone" }
    assert.is_nil(box:run(args).err:find("traceback", 1, true))
    args[#args + 1] = "--debug"
    local r = box:run(args)
    assert.equal(4, r.code)
    assert.is_truthy(r.err:find("stack traceback:", 1, true))
  end)

  it("says its libraries' versions", function()
    local r = box:run { "version" }
    assert.equal(0, r.code, r.err)
    assert.is_truthy(r.out:find "^xpm %d[%d.]+\nlua 5%.4\n")
    assert.is_truthy(r.out:find "\nlibgit2 %d" and r.out:find "\nsqlite 3%.")
    local doc = require("xpm.config").parse_json(box:run({ "version", "--json" }).out)
    assert.equal(r.out:match "^xpm (%S+)", doc.xpm)
    assert.is_truthy(doc.sqlite and doc.libgit2 and doc.lua)
  end)

  it("fails when its output cannot be written, and is quiet when nobody reads it", function()
    local r = box:run({ "--help" }, { stdout = "/dev/full" })
    assert.equal(4, r.code)
    assert.equal("xpm: cannot write to standard output: No space left on device\n", r.err)
    -- a pipe whose readers are gone, with and without SIGPIPE
    for trap, code in pairs { ["trap - PIPE"] = "141\n", ["trap '' PIPE"] = "0\n" } do
      local said = box:shell(("rm -f p; mkfifo p; exec 3<>p 4>p 3<&-; %s; %s --help >&4; echo $?"):format(trap,
        cli.quote(cli.program)))
      assert.equal(code, said)
    end
  end)

  describe("as a program in another place", function()
    local function copy(from, to) box:shell(("mkdir -p $(dirname %s) && cp -r %s %s"):format(to, cli.quote(from), to)) end

    it("tells a broken installation in a line", function()
      copy(cli.program, "bin/xpm")
      if box:run({ "--version" }, { program = box:at "bin/xpm" }).code == 0 then
        pending "an installed xpm is where this program was made to look"
        return
      end
      local r = box:run({ "--version" }, { program = box:at "bin/xpm" })
      assert.equal(70, r.code)
      assert.is_truthy(r.err:find("^xpm: broken installation: [^\n]+\n$"), r.err)
      copy(cli.root .. "/lua/xpm/cmd", "share/lua/5.4/xpm/cmd")
      box:shell "mkdir -p lib/lua/5.4/xpm"
      r = box:run({ "--version" }, { program = box:at "bin/xpm" })
      assert.equal(70, r.code)
      assert.equal(("xpm: broken installation: no module xpm.errors in %s and %s\n"):format(box:at "share/lua/5.4",
        box:at "lib/lua/5.4"), r.err)
    end)

    it("finds its modules beside itself, and no others before them", function()
      copy(cli.program, "bin/xpm")
      box:shell("mkdir -p share/lua/5.4 lib/lua/5.4; cp -r " .. cli.quote(cli.root .. "/lua/xpm") .. " share/lua/5.4/; cp -r "
        .. cli.quote(cli.build .. "/lib/xpm") .. " lib/lua/5.4/")
      box:write("other/xpm/cmd/init.lua", "error 'the wrong copy'")
      box:write("other/xpm/text.lua", "error 'the wrong copy'")
      local env = { LUA_PATH = box:at "other" .. "/?.lua;" .. box:at "other" .. "/?/init.lua;;" }
      local r = box:run({ "unknown-verb" }, { program = box:at "bin/xpm", env = env, cwd = "/" })
      assert.equal("xpm: unknown command 'unknown-verb'\nhint: 'xpm --help' lists the commands\n", r.err)
      assert.equal(2, r.code)
    end)

    it("runs a checkout through a link", function()
      box:shell("ln -s " .. cli.quote(cli.program) .. " x")
      assert.equal(0, box:run({ "--version" }, { program = box:at "x", cwd = "/" }).code)
    end)
  end)

  it("reports a fault of its own with a traceback", function()
    box:write("lua/xpm/cmd/broken.lua", "return { summary = 's', raw = true, run = function() local x; return x.y end }")
    box:shell("cp -rn " .. cli.quote(cli.root .. "/lua") .. " . && mkdir b && cp " .. cli.quote(cli.program)
      .. " b/xpm && ln -s " .. cli.quote(cli.build .. "/lib") .. " b/lib")
    local r = box:run({ "broken" }, { program = box:at "b/xpm" })
    assert.equal(70, r.code)
    assert.is_truthy(r.err:find("^xpm: bug: [^\n]*attempt to index a nil value"), r.err)
    assert.is_truthy(r.err:find("stack traceback:", 1, true))
    assert.is_truthy(r.err:find("Please report it", 1, true))
  end)
end)
