#include "lua/common.h"

#include <string.h>

int xpm_lua_fail(lua_State *L, const struct xpm_err *err)
{
    lua_pushnil(L);
    lua_pushstring(L, err->msg);
    lua_pushstring(L, xpm_code_word(err->code));
    return 3;
}

static int l_null_tostring(lua_State *L)
{
    lua_pushliteral(L, "null");
    return 1;
}

void xpm_lua_push_null(lua_State *L)
{
    if (lua_getfield(L, LUA_REGISTRYINDEX, "xpm.null.value") == LUA_TUSERDATA)
        return;
    lua_pop(L, 1);
    lua_newuserdatauv(L, 0, 0);
    if (luaL_newmetatable(L, "xpm.null")) {
        lua_pushcfunction(L, l_null_tostring);
        lua_setfield(L, -2, "__tostring");
    }
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, "xpm.null.value");
}

bool xpm_lua_is_null(lua_State *L, int index)
{
    if (lua_type(L, index) != LUA_TUSERDATA)
        return false;
    index = lua_absindex(L, index);
    xpm_lua_push_null(L);
    bool same = lua_rawequal(L, -1, index);
    lua_pop(L, 1);
    return same;
}

void xpm_lua_check_options(lua_State *L, int index, const char *const *names)
{
    index = lua_absindex(L, index);
    luaL_checktype(L, index, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
        const char *const *n = names;
        while (key && *n && strcmp(*n, key) != 0)
            n++;
        if (key && *n)
            continue;
        luaL_Buffer b;
        const char *shown = luaL_tolstring(L, -2, NULL);
        luaL_buffinit(L, &b);
        for (n = names; *n; n++) {
            if (n != names)
                luaL_addstring(&b, ", ");
            luaL_addstring(&b, *n);
        }
        luaL_pushresult(&b);
        luaL_error(L, "unknown option '%s' (allowed: %s)", shown, lua_tostring(L, -1));
    }
}

void xpm_lua_push_weak(lua_State *L, const char *name)
{
    if (lua_getfield(L, LUA_REGISTRYINDEX, name) == LUA_TTABLE)
        return;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, name);
}
