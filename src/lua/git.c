/* xpm.git over src/git. What is read lives in a userdata until it has been pushed. */
#include "git/git.h"

#include <string.h>

#include "lua/common.h"

#define STATE "xpm.git.state"

static int l_state_gc(lua_State *L)
{
    xpm_git_state_clear(luaL_checkudata(L, 1, STATE));
    return 0;
}

static struct xpm_git_state *push_state(lua_State *L)
{
    struct xpm_git_state *s = lua_newuserdatauv(L, sizeof *s, 0);
    *s = (struct xpm_git_state)XPM_GIT_STATE_INIT;
    if (luaL_newmetatable(L, STATE)) {
        lua_pushcfunction(L, l_state_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return s;
}

/* Sets a field of the table on top; a buffer without data sets nothing. */
static void set_text(lua_State *L, const char *name, const struct xpm_buf *b)
{
    if (!b->data)
        return;
    lua_pushlstring(L, b->data, b->len);
    lua_setfield(L, -2, name);
}

static void push_result(lua_State *L, const struct xpm_git_state *s)
{
    lua_createtable(L, 0, 9);
    set_text(L, "root", &s->root);
    set_text(L, "branch", &s->branch);
    if (s->head[0]) {
        lua_pushstring(L, s->head);
        lua_setfield(L, -2, "head");
        set_text(L, "author", &s->author);
        set_text(L, "message", &s->message);
        lua_pushinteger(L, s->date);
        lua_setfield(L, -2, "date");
    }
    lua_pushboolean(L, s->count > 0);
    lua_setfield(L, -2, "dirty");
    lua_pushinteger(L, (lua_Integer)s->count);
    lua_setfield(L, -2, "count");
    lua_createtable(L, (int)s->path_count, 0);
    const char *path = s->paths.data;
    for (size_t i = 0; i < s->path_count; i++, path += strlen(path) + 1) {
        lua_pushstring(L, path);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "paths");
}

/* The list at `index` as an array that its userdata holds; the strings stay alive in the list. */
static const char **check_excludes(lua_State *L, int index, size_t *count)
{
    *count = 0;
    int type = lua_getfield(L, index, "exclude");
    if (type == LUA_TNIL)
        return NULL;
    if (type != LUA_TTABLE)
        luaL_error(L, "option 'exclude' must be a list of paths, is a %s", lua_typename(L, type));
    size_t n = lua_rawlen(L, -1);
    const char **paths = lua_newuserdatauv(L, (n + 1) * sizeof *paths, 0);
    for (size_t i = 0; i < n; i++) {
        if (lua_rawgeti(L, -2, (lua_Integer)i + 1) != LUA_TSTRING)
            luaL_error(L, "option 'exclude' must be a list of paths");
        paths[i] = lua_tostring(L, -1);
        if (paths[i][0] != '/' || strlen(paths[i]) != lua_rawlen(L, -1))
            luaL_error(L, "option 'exclude': '%s' is not an absolute path", paths[i]);
        lua_pop(L, 1);
    }
    *count = n;
    return paths;
}

static int l_git_state(lua_State *L)
{
    static const char *const options[] = { "exclude", "limit", NULL };
    struct xpm_err err = XPM_ERR_INIT;
    const char **exclude = NULL;
    size_t excludes = 0, len;
    lua_Integer limit = 20;
    luaL_checktype(L, 1, LUA_TSTRING);
    const char *path = luaL_checklstring(L, 1, &len);
    luaL_argcheck(L, strlen(path) == len, 1, "path holds a NUL byte");
    if (!lua_isnoneornil(L, 2)) {
        xpm_lua_check_options(L, 2, options);
        exclude = check_excludes(L, 2, &excludes);
        if (lua_getfield(L, 2, "limit") != LUA_TNIL) {
            if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 0)
                return luaL_error(L, "option 'limit' must be an integer, 0 or more");
            limit = lua_tointeger(L, -1);
        }
    }
    struct xpm_git_state *s = push_state(L);
    if (xpm_git_state_read(s, path, exclude, excludes, (size_t)limit, &err) != 0) {
        xpm_git_state_clear(s);
        return xpm_lua_fail(L, &err);
    }
    push_result(L, s);
    xpm_git_state_clear(s);
    return 1;
}

static int l_git_version(lua_State *L)
{
    char version[32];
    xpm_git_version(version);
    lua_pushstring(L, version);
    return 1;
}

static const luaL_Reg functions[] = {
    { "state", l_git_state },
    { "version", l_git_version },
    { NULL, NULL },
};

XPM_LUA_API luaopen_xpm_git(lua_State *L);

XPM_LUA_API luaopen_xpm_git(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
