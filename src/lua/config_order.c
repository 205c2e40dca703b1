/* Order and kind of plain Lua tables. Both stand in weak registry tables, keyed by the table: "xpm.order" has the
 * list of its keys, "xpm.list" true. So any table can have them, tables look like tables, and other modules see the
 * same marks. */
#include <stdlib.h>
#include <string.h>

#include "lua/config.h"

void xpm_lua_set_order(lua_State *L, int index)
{
    index = lua_absindex(L, index);
    xpm_lua_push_weak(L, "xpm.order");
    lua_pushvalue(L, index);
    lua_rotate(L, -3, -1); /* order, table, keys */
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

void xpm_lua_set_list(lua_State *L, int index)
{
    index = lua_absindex(L, index);
    xpm_lua_push_weak(L, "xpm.list");
    lua_pushvalue(L, index);
    lua_pushboolean(L, 1);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

static void forget(lua_State *L, int index, const char *what)
{
    xpm_lua_push_weak(L, what);
    lua_pushvalue(L, index);
    lua_pushnil(L);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

/* Pushes what a weak table says of the table at `index` (nil: nothing). */
static int marked(lua_State *L, int index, const char *what)
{
    index = lua_absindex(L, index);
    xpm_lua_push_weak(L, what);
    lua_pushvalue(L, index);
    int type = lua_rawget(L, -2);
    lua_remove(L, -2);
    return type;
}

bool xpm_lua_is_list(lua_State *L, int index)
{
    index = lua_absindex(L, index);
    luaL_checkstack(L, 6, NULL);
    bool list = marked(L, index, "xpm.list") != LUA_TNIL;
    bool map = !list && marked(L, index, "xpm.order") != LUA_TNIL;
    lua_pop(L, list ? 1 : 2);
    if (list || map)
        return list;
    lua_Unsigned n = lua_rawlen(L, index), count = 0;
    if (n == 0)
        return false;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        if (!lua_isinteger(L, -2) || lua_tointeger(L, -2) < 1 || (lua_Unsigned)lua_tointeger(L, -2) > n) {
            lua_pop(L, 2);
            return false;
        }
        count++;
    }
    return count == n;
}

const char *xpm_lua_table_kind(lua_State *L, int index)
{
    return xpm_lua_is_list(L, index) ? "list" : "map";
}

/* A key that the order does not know, for sorting: numbers, then strings, then the rest as it comes. */
struct other {
    const char *s;
    size_t len;
    lua_Number n;
    lua_Integer slot; /* in the list of the others */
    int rank;
};

static int compare(const void *pa, const void *pb)
{
    const struct other *a = pa, *b = pb;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    if (a->rank == 0 && a->n != b->n)
        return a->n < b->n ? -1 : 1;
    if (a->rank == 1) {
        int c = memcmp(a->s, b->s, a->len < b->len ? a->len : b->len);
        if (c != 0)
            return c;
        if (a->len != b->len)
            return a->len < b->len ? -1 : 1;
    }
    return a->slot < b->slot ? -1 : a->slot > b->slot;
}

/* Adds to the list at `keys` the keys of the table at `index` that are not in the set at `known` (0: all of them). */
static lua_Integer add_others(lua_State *L, int index, int keys, lua_Integer count, int known)
{
    lua_Integer n = 0;
    lua_newtable(L);
    int others = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        bool old = false;
        if (known) {
            lua_pushvalue(L, -2);
            old = lua_rawget(L, known) != LUA_TNIL;
            lua_pop(L, 1);
        }
        if (!old) {
            lua_pushvalue(L, -2);
            lua_rawseti(L, others, ++n);
        }
    }
    struct other *array = lua_newuserdatauv(L, n ? (size_t)n * sizeof *array : 1, 0);
    for (lua_Integer i = 0; i < n; i++) {
        struct other *o = &array[i];
        *o = (struct other){ .slot = i + 1, .rank = 2 };
        int type = lua_rawgeti(L, others, i + 1);
        if (type == LUA_TSTRING) {
            o->rank = 1;
            o->s = lua_tolstring(L, -1, &o->len); /* anchored by the list of the others */
        } else if (type == LUA_TNUMBER) {
            o->rank = 0;
            o->n = lua_tonumber(L, -1);
        }
        lua_pop(L, 1);
    }
    qsort(array, (size_t)n, sizeof *array, compare);
    for (lua_Integer i = 0; i < n; i++) {
        lua_rawgeti(L, others, array[i].slot);
        lua_rawseti(L, keys, count + i + 1);
    }
    lua_pop(L, 2);
    return n;
}

lua_Integer xpm_lua_push_keys(lua_State *L, int index)
{
    lua_Integer count = 0, total = 0;
    index = lua_absindex(L, index);
    luaL_checkstack(L, 12, NULL);
    lua_newtable(L);
    int keys = lua_gettop(L);
    if (marked(L, index, "xpm.order") != LUA_TTABLE) {
        lua_pop(L, 1);
        return add_others(L, index, keys, 0, 0);
    }
    int order = lua_gettop(L);
    lua_Integer n = (lua_Integer)lua_rawlen(L, order);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, order, i);
        lua_pushvalue(L, -1);
        if (lua_rawget(L, index) != LUA_TNIL) {
            lua_pushvalue(L, -2);
            lua_rawseti(L, keys, ++count);
        }
        lua_pop(L, 2);
    }
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1))
        total++;
    if (total > count) {
        lua_newtable(L);
        for (lua_Integer i = 1; i <= n; i++) {
            lua_rawgeti(L, order, i);
            lua_pushboolean(L, 1);
            lua_rawset(L, -3);
        }
        count += add_others(L, index, keys, count, lua_gettop(L));
    }
    lua_settop(L, keys);
    return count;
}

/* config.order(t, keys): raises unless both are tables; a key that stands twice counts once. */
int xpm_l_config_order(lua_State *L)
{
    lua_Integer n, count = 0;
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    n = (lua_Integer)lua_rawlen(L, 2);
    lua_newtable(L); /* 3: the order */
    lua_newtable(L); /* 4: keys met */
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, 2, i);
        luaL_argcheck(L, !lua_isnil(L, -1) && (!lua_isnumber(L, -1) || lua_tonumber(L, -1) == lua_tonumber(L, -1)), 2,
                      "nil or nan in the list of keys");
        lua_pushvalue(L, -1);
        if (lua_rawget(L, 4) == LUA_TNIL) {
            lua_pushvalue(L, -2);
            lua_pushboolean(L, 1);
            lua_rawset(L, 4);
            lua_pushvalue(L, -2);
            lua_rawseti(L, 3, ++count);
        }
        lua_pop(L, 2);
    }
    forget(L, 1, "xpm.list");
    lua_pushvalue(L, 3);
    xpm_lua_set_order(L, 1);
    lua_settop(L, 1);
    return 1;
}

/* config.list(t): raises unless t is a table. */
int xpm_l_config_list(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    forget(L, 1, "xpm.order");
    xpm_lua_set_list(L, 1);
    lua_settop(L, 1);
    return 1;
}

int xpm_l_config_kind(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_pushstring(L, xpm_lua_table_kind(L, 1));
    return 1;
}

/* Upvalues: the table, the list of its keys (nil: a list), the last index. Keys that were taken away are passed over.
 */
static int next_pair(lua_State *L)
{
    lua_Integer i = lua_tointeger(L, lua_upvalueindex(3));
    bool list = lua_isnil(L, lua_upvalueindex(2));
    for (;;) {
        i++;
        if (list)
            lua_pushinteger(L, i);
        else if (lua_rawgeti(L, lua_upvalueindex(2), i) == LUA_TNIL)
            return 1;
        lua_pushvalue(L, -1);
        if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)
            break;
        lua_pop(L, 2);
        if (list) {
            lua_pushnil(L);
            return 1;
        }
    }
    lua_pushinteger(L, i);
    lua_replace(L, lua_upvalueindex(3));
    return 2;
}

int xpm_l_config_pairs(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    if (xpm_lua_is_list(L, 1))
        lua_pushnil(L);
    else
        xpm_lua_push_keys(L, 1);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, next_pair, 3);
    return 1;
}
