/* The `xpm` program: a Lua state with xpm's own modules in front, that runs require("xpm.cmd").main(args, version).
 *
 * Where its modules are, the first that is there:
 *   1. a checkout: this file is BUILD/xpm, BUILD/lib/xpm holds the C modules, and the Lua modules are in BUILD/../lua
 *      or in lua/ of the folder that BUILD/source-tree names (make writes that file; it is never installed)
 *   2. beside the program: ../share/lua/5.4 and ../lib/lua/5.4, so that an installation can be moved
 *   3. where `make install` was told to put them
 * A searcher of its own finds the modules of xpm there and nowhere else; so a copy elsewhere on LUA_PATH never mixes
 * with this one, and the user's LUA_PATH goes before the system's folders as with any Lua. The folders are also put at
 * the end of package.path and package.cpath, for what reads these. */
#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XPM_PATH_SIZE (PATH_MAX + 64)
#define XPM_BUG 70 /* exit code (DESIGN 9) */

struct xpm_home {
    char lua[XPM_PATH_SIZE]; /* folder with xpm/cmd/init.lua */
    char lib[XPM_PATH_SIZE]; /* folder with xpm/sys.so */
};

static const char boot[] =
    "local lua, lib = ...\n"
    "local path, cpath = lua .. '/?.lua;' .. lua .. '/?/init.lua', lib .. '/?.so'\n"
    "local function own(name)\n"
    "  if name ~= 'xpm' and name:sub(1, 4) ~= 'xpm.' then return nil end\n"
    "  local file = package.searchpath(name, path)\n"
    "  if file then return assert(loadfile(file)), file end\n"
    "  file = package.searchpath(name, cpath)\n"
    "  if not file then error('broken installation: no module ' .. name .. ' in ' .. lua .. ' and ' .. lib, 0) end\n"
    "  local open, message = package.loadlib(file, 'luaopen_' .. name:gsub('%.', '_'))\n"
    "  return open or error('broken installation: ' .. message, 0), file\n"
    "end\n"
    "table.insert(package.searchers, 2, own)\n"
    "package.path = package.path .. ';' .. path\n"
    "package.cpath = package.cpath .. ';' .. cpath\n";

static bool is_there(const char *folder, const char *name)
{
    char path[XPM_PATH_SIZE * 2];
    struct stat st;
    int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    return n > 0 && (size_t)n < sizeof path && stat(path, &st) == 0;
}

static bool join(char *out, const char *folder, const char *name)
{
    int n = snprintf(out, XPM_PATH_SIZE, "%s%s", folder, name);
    return n > 0 && n < XPM_PATH_SIZE;
}

/* True if the modules are there; the folders are then absolute, without links and "..". */
static bool has_modules(struct xpm_home *home)
{
    char real[PATH_MAX];
    if (!is_there(home->lua, "xpm/cmd/init.lua") || !is_there(home->lib, "xpm"))
        return false;
    if (realpath(home->lua, real))
        join(home->lua, real, "");
    if (realpath(home->lib, real))
        join(home->lib, real, "");
    return true;
}

/* The folder that BUILD/source-tree names, or false. */
static bool read_source_tree(char *out, const char *build)
{
    char path[XPM_PATH_SIZE];
    if (!join(path, build, "/source-tree"))
        return false;
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    bool ok = fgets(out, PATH_MAX, f) != NULL;
    fclose(f);
    if (ok)
        out[strcspn(out, "\n")] = '\0';
    return ok && out[0] == '/';
}

static bool find_home(struct xpm_home *home)
{
    char exe[PATH_MAX], tree[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n > 0) {
        exe[n] = '\0';
        char *slash = strrchr(exe, '/');
        if (slash)
            *slash = '\0';
        if (join(home->lib, exe, "/lib") && is_there(home->lib, "xpm")) {
            if (join(home->lua, exe, "/../lua") && has_modules(home))
                return true;
            if (read_source_tree(tree, exe) && join(home->lua, tree, "/lua") && has_modules(home))
                return true;
        }
        if (join(home->lua, exe, "/../share/lua/5.4") && join(home->lib, exe, "/../lib/lua/5.4") && has_modules(home))
            return true;
    }
    return join(home->lua, "", XPM_LUADIR) && join(home->lib, "", XPM_LIBDIR) && has_modules(home);
}

struct xpm_call {
    int argc;
    char **argv;
    const struct xpm_home *home;
    bool loaded; /* xpm.cmd could be loaded */
};

/* Only for errors that xpm.cmd.main did not catch, which are its own. */
static int on_error(lua_State *L)
{
    luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
    return 1;
}

/* Arguments: a light userdata, struct xpm_call. Returns the exit code. */
static int run(lua_State *L)
{
    struct xpm_call *call = lua_touserdata(L, 1);
    luaL_checkversion(L);
    luaL_openlibs(L);
    if (luaL_loadbuffer(L, boot, sizeof boot - 1, "=xpm") != LUA_OK)
        return lua_error(L);
    lua_pushstring(L, call->home->lua);
    lua_pushstring(L, call->home->lib);
    lua_call(L, 2, 0);

    lua_getglobal(L, "require");
    lua_pushliteral(L, "xpm.cmd");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "main");
    call->loaded = true;
    lua_createtable(L, call->argc > 0 ? call->argc - 1 : 0, 0);
    for (int i = 1; i < call->argc; i++) {
        lua_pushstring(L, call->argv[i]);
        lua_rawseti(L, -2, i);
    }
    lua_pushliteral(L, XPM_VERSION);
    lua_call(L, 2, 1);
    return 1;
}

/* What was printed counts as delivered only when the flush says so; a reader that went away is no failure of ours. */
static int close_streams(int code)
{
    errno = 0;
    bool failed = fflush(stdout) != 0 || ferror(stdout);
    if (failed && errno != EPIPE) {
        fprintf(stderr, "xpm: cannot write to standard output: %s\n", strerror(errno ? errno : EIO));
        return code ? code : 4;
    }
    return code;
}

int main(int argc, char **argv)
{
    static struct xpm_home home;
    if (!find_home(&home)) {
        fprintf(stderr, "xpm: broken installation: the Lua modules are neither beside the program nor in %s and %s\n",
                XPM_LUADIR, XPM_LIBDIR);
        return XPM_BUG;
    }
    lua_State *L = luaL_newstate();
    if (!L) {
        fputs("xpm: out of memory\n", stderr);
        return XPM_BUG;
    }
    struct xpm_call call = { argc, argv, &home, false };
    int code = XPM_BUG;
    lua_pushcfunction(L, on_error);
    lua_pushcfunction(L, run);
    lua_pushlightuserdata(L, &call);
    int status = lua_pcall(L, 1, 1, 1);
    if (status == LUA_OK) {
        int isnum;
        lua_Integer n = lua_tointegerx(L, -1, &isnum);
        code = isnum && n >= 0 && n <= 255 ? (int)n : XPM_BUG;
    } else if (status == LUA_ERRMEM) {
        fputs("xpm: out of memory\n", stderr);
    } else {
        const char *message = lua_tostring(L, -1);
        int line = message ? (int)strcspn(message, "\n") : 0;
        if (call.loaded)
            fprintf(stderr, "xpm: bug: %s\n", message ? message : "?");
        else
            fprintf(stderr, "xpm: %.*s\n", line, message ? message : "broken installation");
    }
    lua_close(L);
    return close_streams(code);
}
