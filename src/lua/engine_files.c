/* xpm.engine: what the files say of a job, and lock files. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/os.h"
#include "engine/jobdir.h"
#include "engine/lock.h"
#include "lua/engine_parts.h"

#define LOCK "xpm.engine.lock"

struct handle {
    struct xpm_lock *lock; /* NULL: released */
};

static const char *check_text(lua_State *L, int index)
{
    size_t len;
    const char *s = luaL_checklstring(L, index, &len);
    luaL_argcheck(L, strlen(s) == len, index, "a NUL byte in it");
    return s;
}

static int l_probe(lua_State *L)
{
    char boot_id[37];
    struct xpm_err err = XPM_ERR_INIT;
    struct xpm_facts facts;
    const char *workdir = check_text(L, 1);
    struct xpm_jobdir dir = { -1, check_text(L, 2), check_text(L, 3), check_text(L, 4) };
    int rc;
    dir.workdir = open(workdir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir.workdir < 0 && errno == ENOENT) {
        facts = (struct xpm_facts)XPM_FACTS_INIT;
        rc = 0;
    } else if (dir.workdir < 0) {
        rc = xpm_err_errno(&err, errno, "cannot open %s", workdir);
    } else {
        xpm_os_boot_id(boot_id);
        rc = xpm_jobdir_probe(&facts, &dir, boot_id, &err);
        close(dir.workdir);
    }
    if (rc)
        return xpm_lua_fail(L, &err);
    lua_createtable(L, 0, 10);
    xpm_lua_set_facts(L, &facts);
    if (facts.pid > 0) {
        lua_pushinteger(L, facts.pid);
        lua_setfield(L, -2, "pid");
    }
    return 1;
}

static int l_lock(lua_State *L)
{
    struct xpm_err err = XPM_ERR_INIT;
    const char *path = check_text(L, 1);
    struct handle *h = lua_newuserdatauv(L, sizeof *h, 0);
    h->lock = NULL;
    luaL_setmetatable(L, LOCK);
    if (xpm_lock_take(&h->lock, path, &err))
        return xpm_lua_fail(L, &err);
    return 1;
}

static int l_lock_close(lua_State *L)
{
    struct handle *h = luaL_checkudata(L, 1, LOCK);
    struct xpm_lock *lock = h->lock;
    h->lock = NULL;
    xpm_lock_release(lock);
    return 0;
}

static int l_lock_tostring(lua_State *L)
{
    struct handle *h = luaL_checkudata(L, 1, LOCK);
    lua_pushstring(L, h->lock ? "xpm.engine.lock (held)" : "xpm.engine.lock (released)");
    return 1;
}

static const luaL_Reg lock_methods[] = { { "close", l_lock_close }, { NULL, NULL } };

static const luaL_Reg lock_meta[] = {
    { "__gc", l_lock_close }, { "__close", l_lock_close }, { "__tostring", l_lock_tostring }, { NULL, NULL },
};

static const luaL_Reg functions[] = { { "probe", l_probe }, { "lock", l_lock }, { NULL, NULL } };

void xpm_lua_engine_files(lua_State *L)
{
    luaL_newmetatable(L, LOCK);
    luaL_setfuncs(L, lock_meta, 0);
    luaL_newlib(L, lock_methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
}
