/* A module with the faults that the stress host and the sanitizers are there to find, one function each. Each is right as
 * long as memory lasts and the collector sleeps. spec/support/selftest shows that each one is found. */
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>

__attribute__((visibility("default"))) int luaopen_faulty(lua_State *L);

/* Writes to what malloc returned, without a look. */
static int l_unchecked(lua_State *L)
{
    volatile char *p = malloc(100);
    p[0] = 'x';
    free((void *)p);
    lua_pushboolean(L, 1);
    return 1;
}

/* Forgets the first allocation when the second fails. */
static int l_leaking(lua_State *L)
{
    char *volatile a = malloc(100);
    char *volatile b = a ? malloc(1000) : NULL;
    if (!b) {
        lua_pushnil(L);
        lua_pushliteral(L, "out of memory");
        return 2;
    }
    free(a);
    free(b);
    lua_pushboolean(L, 1);
    return 1;
}

/* Owns memory across a call that can raise. */
static int l_raising(lua_State *L)
{
    char *volatile a = malloc(100);
    if (!a)
        return luaL_error(L, "out of memory");
    lua_newuserdatauv(L, 10, 0);
    free(a);
    lua_pushboolean(L, 1);
    return 1;
}

/* Says nothing about why it failed. */
static int l_mute(lua_State *L)
{
    char *volatile a = malloc(100);
    lua_pushboolean(L, a != NULL);
    free(a);
    return 1;
}

static const char *kept;

static int l_keep(lua_State *L)
{
    lua_settop(L, 18); /* beyond the caller's registers, which count as alive */
    lua_pushfstring(L, "a string that is long enough not to be interned, and that nothing anchors %d", (int)lua_gettop(L));
    kept = lua_tostring(L, -1);
    return 0;
}

/* Reads a string that the collector may have taken. */
static int l_dangling(lua_State *L)
{
    lua_pushboolean(L, kept[0] == 'a' && strlen(kept) > 10);
    return 1;
}

/* Loses memory whatever happens. */
static int l_lose(lua_State *L)
{
    char *volatile a = malloc(100);
    (void)L;
    a = NULL;
    return a != NULL;
}

static const luaL_Reg functions[] = {
    { "unchecked", l_unchecked }, { "leaking", l_leaking },   { "raising", l_raising }, { "mute", l_mute },
    { "keep", l_keep },           { "dangling", l_dangling }, { "lose", l_lose },       { NULL, NULL },
};

int luaopen_faulty(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
