-- xpm.sys: files, folders and what is read of the machine.
local sys = require "xpm.sys"

local function steps(dir)
  local file = dir .. "/a/b/file"
  local ok, message = sys.mkdirs(dir .. "/a/b")
  if not ok then return nil, message end
  ok, message = sys.write(file, ("text\0"):rep(100))
  if not ok then return nil, message end
  local text
  text, message = sys.read(file)
  if not text then return nil, message end
  assert(#text == 500)
  ok, message = sys.read(dir .. "/none")
  assert(not ok and message)
  local names
  names, message = sys.list(dir .. "/a/b")
  if not names then return nil, message end
  assert(#names == 1 and names[1] == "file")
  ok, message = sys.symlink("b/file", dir .. "/a/link")
  if not ok then return nil, message end
  local target
  target, message = sys.readlink(dir .. "/a/link")
  if not target then return nil, message end
  assert(target == "b/file")
  target, message = sys.realpath(dir .. "/a/link")
  if not target then return nil, message end
  text, message = sys.tail(file, 3)
  if not text then return nil, message end
  assert(sys.abspath "x/../y")
  assert(sys.stat(file) == "file")
  assert(#sys.hostname() > 0 and sys.cpus() >= 1)
  return true
end

return {
  setup = function()
    local p = assert(io.popen "mktemp -d")
    local dir = p:read "l"
    p:close()
    return dir
  end,
  run = steps,
  check = function(dir) assert(os.execute("rm -rf '" .. dir .. "'")) end,
}
