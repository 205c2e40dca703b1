/* xpm.sys: what Lua lacks of the operating system. Files are in sys_files.c, signals in sys_signals.c. */
#include "lua/sys.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/os.h"
#include "lua/common.h"

static int check_fd(lua_State *L, int arg)
{
    luaL_checktype(L, arg, LUA_TNUMBER);
    lua_Integer fd = luaL_checkinteger(L, arg);
    luaL_argcheck(L, fd >= 0 && fd <= 0x7fffffff, arg, "not a descriptor");
    return (int)fd;
}

static const char *check_text(lua_State *L, int arg)
{
    size_t len;
    luaL_checktype(L, arg, LUA_TSTRING);
    const char *text = luaL_checklstring(L, arg, &len);
    luaL_argcheck(L, strlen(text) == len, arg, "holds a NUL byte");
    return text;
}

static int l_sys_setenv(lua_State *L)
{
    const char *name = check_text(L, 1);
    luaL_argcheck(L, *name && !strchr(name, '='), 1, "not the name of a variable");
    const char *value = lua_isnoneornil(L, 2) ? NULL : check_text(L, 2);
    if ((value ? setenv(name, value, 1) : unsetenv(name)) != 0)
        return luaL_error(L, "cannot set %s: %s", name, strerror(errno));
    return 0;
}

static int l_sys_hostname(lua_State *L)
{
    char name[256];
    xpm_os_hostname(name, sizeof name);
    lua_pushstring(L, name);
    return 1;
}

static int l_sys_pid(lua_State *L)
{
    lua_pushinteger(L, getpid());
    return 1;
}

static int l_sys_cpus(lua_State *L)
{
    lua_pushinteger(L, xpm_os_cpus());
    return 1;
}

static int l_sys_now(lua_State *L)
{
    lua_pushnumber(L, xpm_os_now());
    return 1;
}

static int l_sys_monotonic(lua_State *L)
{
    lua_pushnumber(L, xpm_os_monotonic());
    return 1;
}

static int l_sys_isatty(lua_State *L)
{
    lua_pushboolean(L, isatty(check_fd(L, 1)) == 1);
    return 1;
}

static int l_sys_winsize(lua_State *L)
{
    struct winsize size;
    if (ioctl(check_fd(L, 1), TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, size.ws_col);
    lua_pushinteger(L, size.ws_row);
    return 2;
}

/* The deadline and not the rest is kept, so that signals do not stretch the wait. A signal that may raise "interrupted"
 * ends it: the hook runs as soon as this function has returned. */
static int l_sys_poll(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_Number timeout = luaL_optnumber(L, 2, HUGE_VAL);
    luaL_argcheck(L, !isnan(timeout), 2, "timeout is not a number");
    lua_Integer count = luaL_len(L, 1);
    luaL_argcheck(L, count >= 0 && count <= 65536, 1, "too many descriptors");
    struct pollfd *fds = lua_newuserdatauv(L, (size_t)(count ? count : 1) * sizeof *fds, 0);
    for (lua_Integer i = 0; i < count; i++) {
        int isnum;
        lua_geti(L, 1, i + 1);
        lua_Integer fd = lua_tointegerx(L, -1, &isnum);
        luaL_argcheck(L, isnum && fd >= 0 && fd <= 0x7fffffff, 1, "not a list of descriptors");
        fds[i] = (struct pollfd){ .fd = (int)fd, .events = POLLIN };
        lua_pop(L, 1);
    }
    lua_Number deadline = xpm_os_monotonic() + timeout;
    for (;;) {
        lua_Number rest = deadline - xpm_os_monotonic();
        rest = rest < 0 ? 0 : rest > 86400 ? 86400 : rest; /* of a longer wait, a day at a time */
        struct timespec t = { (time_t)rest, (long)((rest - floor(rest)) * 1e9) };
        int n = xpm_lua_sys_ppoll(L, fds, (nfds_t)count, &t);
        if (n == -2)
            break;
        if (n < 0 && errno != EINTR)
            return luaL_error(L, "cannot poll: %s", strerror(errno));
        for (lua_Integer i = 0; n > 0 && i < count; i++) {
            if (fds[i].revents & POLLNVAL)
                return luaL_error(L, "descriptor %d is not open", fds[i].fd);
            if (fds[i].revents) {
                lua_pushinteger(L, fds[i].fd);
                return 1;
            }
        }
        if (n == 0 && xpm_os_monotonic() >= deadline)
            break;
    }
    lua_pushnil(L);
    return 1;
}

static const luaL_Reg functions[] = {
    { "cpus", l_sys_cpus },
    { "hostname", l_sys_hostname },
    { "isatty", l_sys_isatty },
    { "monotonic", l_sys_monotonic },
    { "now", l_sys_now },
    { "pid", l_sys_pid },
    { "poll", l_sys_poll },
    { "setenv", l_sys_setenv },
    { "winsize", l_sys_winsize },
    { NULL, NULL },
};

XPM_LUA_API luaopen_xpm_sys(lua_State *L);

XPM_LUA_API luaopen_xpm_sys(lua_State *L)
{
    luaL_newlib(L, functions);
    luaL_setfuncs(L, xpm_lua_sys_files, 0);
    luaL_setfuncs(L, xpm_lua_sys_signals, 0);
    return 1;
}
