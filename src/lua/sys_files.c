/* sys: files and folders, over base/fs. All return nil, message, code when the world says no, and raise on misuse
 * (a path with a NUL byte too: the kernel would see another path). */
#include "lua/sys.h"

#include <string.h>

#include "base/fs.h"
#include "lua/common.h"

#define SCRATCH "xpm.sys.scratch"

static int l_scratch_gc(lua_State *L)
{
    xpm_buf_free(luaL_checkudata(L, 1, SCRATCH));
    return 0;
}

/* Pushes a buffer that the collector frees: what a function reads survives an error raised while it is pushed. */
static struct xpm_buf *push_scratch(lua_State *L)
{
    struct xpm_buf *b = lua_newuserdatauv(L, sizeof *b, 0);
    *b = (struct xpm_buf)XPM_BUF_INIT;
    if (luaL_newmetatable(L, SCRATCH)) {
        lua_pushcfunction(L, l_scratch_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return b;
}

static const char *check_path(lua_State *L, int arg)
{
    size_t len;
    luaL_checktype(L, arg, LUA_TSTRING);
    const char *path = luaL_checklstring(L, arg, &len);
    luaL_argcheck(L, strlen(path) == len, arg, "path holds a NUL byte");
    return path;
}

static int result(lua_State *L, int rc, const struct xpm_err *err)
{
    if (rc)
        return xpm_lua_fail(L, err);
    lua_pushboolean(L, 1);
    return 1;
}

static int text_result(lua_State *L, int rc, struct xpm_buf *b, const struct xpm_err *err)
{
    if (rc) {
        xpm_buf_free(b);
        return xpm_lua_fail(L, err);
    }
    lua_pushlstring(L, b->data ? b->data : "", b->len);
    xpm_buf_free(b);
    return 1;
}

static int l_sys_mkdirs(lua_State *L)
{
    struct xpm_err err = XPM_ERR_INIT;
    return result(L, xpm_fs_mkdirs(check_path(L, 1), &err), &err);
}

static int l_sys_mkdir(lua_State *L)
{
    struct xpm_err err = XPM_ERR_INIT;
    return result(L, xpm_fs_mkdir(check_path(L, 1), &err), &err);
}

static int l_sys_remove(lua_State *L)
{
    struct xpm_err err = XPM_ERR_INIT;
    return result(L, xpm_fs_remove(check_path(L, 1), &err), &err);
}

static int l_sys_chdir(lua_State *L)
{
    struct xpm_err err = XPM_ERR_INIT;
    return result(L, xpm_fs_chdir(check_path(L, 1), &err), &err);
}

static int l_sys_symlink(lua_State *L)
{
    struct xpm_err err = XPM_ERR_INIT;
    const char *target = check_path(L, 1), *path = check_path(L, 2);
    return result(L, xpm_fs_symlink(target, path, &err), &err);
}

static int l_sys_write(lua_State *L)
{
    struct xpm_err err = XPM_ERR_INIT;
    size_t len;
    const char *path = check_path(L, 1);
    luaL_checktype(L, 2, LUA_TSTRING);
    const char *data = luaL_checklstring(L, 2, &len);
    return result(L, xpm_fs_write(path, data, len, &err), &err);
}

static int l_sys_read(lua_State *L)
{
    struct xpm_err err = XPM_ERR_INIT;
    const char *path = check_path(L, 1);
    lua_Integer limit = luaL_optinteger(L, 2, (lua_Integer)1 << 30);
    luaL_argcheck(L, limit >= 0, 2, "limit must not be negative");
    struct xpm_buf *b = push_scratch(L);
    return text_result(L, xpm_fs_read(b, path, (size_t)limit, &err), b, &err);
}

static int l_sys_tail(lua_State *L)
{
    struct xpm_err err = XPM_ERR_INIT;
    const char *path = check_path(L, 1);
    lua_Integer lines = luaL_checkinteger(L, 2);
    lua_Integer bytes = luaL_optinteger(L, 3, 65536);
    luaL_argcheck(L, lines >= 0, 2, "lines must not be negative");
    luaL_argcheck(L, bytes >= 0, 3, "bytes must not be negative");
    struct xpm_buf *b = push_scratch(L);
    return text_result(L, xpm_fs_tail(b, path, (size_t)lines, (size_t)bytes, &err), b, &err);
}

static int l_sys_realpath(lua_State *L)
{
    struct xpm_err err = XPM_ERR_INIT;
    const char *path = check_path(L, 1);
    struct xpm_buf *b = push_scratch(L);
    return text_result(L, xpm_fs_realpath(b, path, &err), b, &err);
}

static int l_sys_abspath(lua_State *L)
{
    struct xpm_err err = XPM_ERR_INIT;
    const char *path = check_path(L, 1);
    struct xpm_buf *b = push_scratch(L);
    return text_result(L, xpm_fs_abspath(b, path, &err), b, &err);
}

static int l_sys_cwd(lua_State *L)
{
    struct xpm_err err = XPM_ERR_INIT;
    struct xpm_buf *b = push_scratch(L);
    return text_result(L, xpm_fs_cwd(b, &err), b, &err);
}

static int l_sys_readlink(lua_State *L)
{
    struct xpm_err err = XPM_ERR_INIT;
    const char *path = check_path(L, 1);
    struct xpm_buf *b = push_scratch(L);
    return text_result(L, xpm_fs_readlink(b, path, &err), b, &err);
}

static int l_sys_executable(lua_State *L)
{
    struct xpm_buf *b = push_scratch(L);
    if (xpm_fs_readlink(b, "/proc/self/exe", NULL) != 0) {
        lua_pushnil(L);
        return 1;
    }
    return text_result(L, 0, b, NULL);
}

static int l_sys_stat(lua_State *L)
{
    static const char *const kinds[] = {
        [XPM_FS_FILE] = "file", [XPM_FS_DIRECTORY] = "directory", [XPM_FS_LINK] = "link", [XPM_FS_OTHER] = "other",
    };
    struct xpm_fs_stat st;
    const char *path = check_path(L, 1);
    if (!lua_isnoneornil(L, 2))
        luaL_checktype(L, 2, LUA_TBOOLEAN);
    if (xpm_fs_stat(&st, path, lua_toboolean(L, 2), NULL) != 0) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushstring(L, kinds[st.kind]);
    lua_pushinteger(L, st.size);
    lua_pushnumber(L, st.mtime);
    return 3;
}

static int l_sys_list(lua_State *L)
{
    struct xpm_err err = XPM_ERR_INIT;
    size_t count = 0;
    const char *path = check_path(L, 1);
    struct xpm_buf *b = push_scratch(L);
    if (xpm_fs_list(b, &count, path, &err) != 0)
        return xpm_lua_fail(L, &err);
    lua_createtable(L, count < 1000000 ? (int)count : 1000000, 0);
    const char *name = b->data;
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(name);
        lua_pushlstring(L, name, len);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
        name += len + 1;
    }
    xpm_buf_free(b);
    return 1;
}

static int l_sys_network(lua_State *L)
{
    struct xpm_err err = XPM_ERR_INIT;
    bool network = true;
    char name[16];
    if (xpm_fs_network(&network, name, check_path(L, 1), &err) != 0)
        return xpm_lua_fail(L, &err);
    lua_pushboolean(L, network);
    lua_pushstring(L, name);
    return 2;
}

const luaL_Reg xpm_lua_sys_files[] = {
    { "abspath", l_sys_abspath },
    { "chdir", l_sys_chdir },
    { "cwd", l_sys_cwd },
    { "executable", l_sys_executable },
    { "list", l_sys_list },
    { "mkdir", l_sys_mkdir },
    { "mkdirs", l_sys_mkdirs },
    { "network", l_sys_network },
    { "read", l_sys_read },
    { "readlink", l_sys_readlink },
    { "realpath", l_sys_realpath },
    { "remove", l_sys_remove },
    { "stat", l_sys_stat },
    { "symlink", l_sys_symlink },
    { "tail", l_sys_tail },
    { "write", l_sys_write },
    { NULL, NULL },
};
