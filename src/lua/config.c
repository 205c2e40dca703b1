/* xpm.config: the functions of the module. See lua/xpm/meta/config.lua. */
#include "lua/config.h"

#include <string.h>

#include "base/json.h"
#include "base/nearest.h"
#include "config/yaml.h"

/* nil, the problems, and the code of the first; the text of the problems goes over to a buffer that Lua owns. */
static int fail(lua_State *L, struct xpm_buf *owned, struct xpm_problems *p)
{
    *owned = p->text;
    p->text = (struct xpm_buf)XPM_BUF_INIT;
    lua_pushnil(L);
    if (p->code == XPM_ENOMEM)
        lua_pushliteral(L, "out of memory");
    else
        xpm_lua_push_buf(L, owned);
    lua_pushstring(L, xpm_code_word(p->code));
    return 3;
}

/* The strings of option `name` as an array in a userdata that is left on the stack; the table keeps the strings. */
static struct xpm_config_text *texts(lua_State *L, const char *name, size_t *count, bool paths)
{
    *count = 0;
    int type = lua_getfield(L, 1, name);
    if (type == LUA_TNIL)
        return NULL;
    if (type != LUA_TTABLE)
        luaL_error(L, "option '%s' must be a list of strings, not a %s", name, lua_typename(L, type));
    size_t n = (size_t)lua_rawlen(L, -1);
    struct xpm_config_text *t = lua_newuserdatauv(L, n ? n * sizeof *t : 1, 1);
    for (size_t i = 0; i < n; i++) {
        if (lua_rawgeti(L, -2, (lua_Integer)i + 1) != LUA_TSTRING)
            luaL_error(L, "option '%s' must be a list of strings", name);
        t[i].s = lua_tolstring(L, -1, &t[i].len);
        if (paths && strlen(t[i].s) != t[i].len)
            luaL_error(L, "option '%s': a path holds a NUL byte", name);
        lua_pop(L, 1);
    }
    *count = n;
    return t;
}

/* config.load(options): raises on misuse; nil, message, code when the configuration is wrong. */
static int l_load(lua_State *L)
{
    static const char *const names[] = { "pre", "file", "post", "overrides", "limit", NULL };
    struct xpm_config_input in = { .limit = XPM_CONFIG_LIMIT };
    xpm_lua_check_options(L, 1, names);
    lua_settop(L, 1);
    in.pre = texts(L, "pre", &in.pre_count, true);
    in.post = texts(L, "post", &in.post_count, true);
    in.overrides = texts(L, "overrides", &in.override_count, false);
    int type = lua_getfield(L, 1, "file");
    if (type != LUA_TNIL) {
        if (type != LUA_TSTRING)
            luaL_error(L, "option 'file' must be a string");
        in.main.s = lua_tolstring(L, -1, &in.main.len);
        if (strlen(in.main.s) != in.main.len)
            luaL_error(L, "option 'file': a path holds a NUL byte");
    }
    if (lua_getfield(L, 1, "limit") != LUA_TNIL) {
        if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 0)
            luaL_error(L, "option 'limit' must be an integer from 0");
        in.limit = (uint64_t)lua_tointeger(L, -1);
    }
    struct xpm_buf *owned = xpm_lua_new_buf(L);
    struct xpm_lua_tree *t = xpm_lua_new_tree(L);
    struct xpm_problems problems = XPM_PROBLEMS_INIT(NULL);
    t->open = true;
    if (xpm_config_load(&t->config, &in, &problems) == 0) {
        xpm_problems_free(&problems);
        return 1;
    }
    t->open = false;
    xpm_config_free(&t->config);
    return fail(L, owned, &problems);
}

/* config.parse_yaml(text, name): raises on misuse only. */
static int l_parse_yaml(lua_State *L)
{
    size_t len, name_len;
    luaL_checktype(L, 1, LUA_TSTRING);
    const char *text = lua_tolstring(L, 1, &len);
    const char *name = luaL_optlstring(L, 2, "yaml", &name_len);
    struct xpm_buf *owned = xpm_lua_new_buf(L);
    struct xpm_lua_tree *t = xpm_lua_new_tree(L);
    struct xpm_store *st = &t->config.store;
    struct xpm_problems problems = XPM_PROBLEMS_INIT(st);
    struct xpm_value *v = NULL;
    uint32_t source;
    t->open = true;
    if (xpm_source_add(st, &source, name, name_len, XPM_SOURCE_TEXT))
        xpm_problem_memory(&problems);
    else
        xpm_yaml_read(&v, st, source, text, len, &problems);
    xpm_problems_end(&problems);
    if (problems.code)
        return fail(L, owned, &problems);
    xpm_problems_free(&problems);
    if (v)
        xpm_lua_push_value(L, v);
    else
        xpm_lua_push_null(L);
    t->open = false;
    xpm_config_free(&t->config);
    return 1;
}

/* --- JSON --- */

static int l_json_gc(lua_State *L)
{
    struct xpm_json **j = lua_touserdata(L, 1);
    struct xpm_json *doc = *j;
    *j = NULL;
    xpm_json_free(doc);
    return 0;
}

/* Pushes a JSON value; false when a map has a key twice (what is on the stack then is not to be used). */
static bool push_json(lua_State *L, const struct xpm_json *j)
{
    int64_t i = 0;
    double d = 0;
    bool b = false;
    lua_Integer n = 0;
    luaL_checkstack(L, 10, "nested too deep");
    switch (xpm_json_type(j)) {
    case XPM_JSON_BOOL: xpm_json_bool(j, &b); lua_pushboolean(L, b); return true;
    case XPM_JSON_INT: xpm_json_int(j, &i); lua_pushinteger(L, i); return true;
    case XPM_JSON_FLOAT: xpm_json_float(j, &d); lua_pushnumber(L, d); return true;
    case XPM_JSON_STRING: lua_pushstring(L, xpm_json_string(j)); return true;
    case XPM_JSON_LIST:
        lua_newtable(L);
        xpm_lua_set_list(L, -1);
        for (j = xpm_json_first(j); j; j = xpm_json_next(j)) {
            if (!push_json(L, j))
                return false;
            lua_rawseti(L, -2, ++n);
        }
        return true;
    case XPM_JSON_MAP:
        lua_newtable(L);
        lua_newtable(L);
        for (j = xpm_json_first(j); j; j = xpm_json_next(j)) {
            lua_pushstring(L, xpm_json_key(j));
            lua_pushvalue(L, -1);
            if (lua_rawget(L, -4) != LUA_TNIL)
                return false;
            lua_pop(L, 1);
            lua_pushvalue(L, -1);
            lua_rawseti(L, -3, ++n);
            if (!push_json(L, j))
                return false;
            lua_rawset(L, -4);
        }
        xpm_lua_set_order(L, -2);
        return true;
    default: xpm_lua_push_null(L); return true;
    }
}

/* config.parse_json(text, name): raises on misuse only. */
static int l_parse_json(lua_State *L)
{
    size_t len;
    struct xpm_err err = XPM_ERR_INIT;
    luaL_checktype(L, 1, LUA_TSTRING);
    const char *text = lua_tolstring(L, 1, &len);
    const char *name = luaL_optstring(L, 2, NULL);
    struct xpm_json **j = lua_newuserdatauv(L, sizeof *j, 0);
    *j = NULL;
    if (luaL_newmetatable(L, "xpm.config.json")) {
        lua_pushcfunction(L, l_json_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    int doc = lua_gettop(L);
    if (xpm_json_parse(j, text, len, &err) == 0) {
        if (push_json(L, *j)) {
            xpm_json_free(*j);
            *j = NULL;
            return 1;
        }
        xpm_err_set(&err, XPM_EINVAL, "invalid JSON: a key stands twice in a map");
    }
    lua_settop(L, doc);
    lua_pushnil(L);
    if (name)
        lua_pushfstring(L, "%s: %s", name, err.msg);
    else
        lua_pushstring(L, err.msg);
    lua_pushstring(L, xpm_code_word(err.code));
    return 3;
}

/* config.nearest(word, candidates): candidates that are no strings are passed over. */
static int l_nearest(lua_State *L)
{
    struct xpm_nearest n;
    size_t len;
    lua_Integer best = 0;
    luaL_checktype(L, 1, LUA_TSTRING);
    luaL_checktype(L, 2, LUA_TTABLE);
    const char *word = lua_tolstring(L, 1, &len);
    xpm_nearest_start(&n, word, len);
    for (lua_Integer i = 1, count = (lua_Integer)lua_rawlen(L, 2); i <= count; i++) {
        if (lua_rawgeti(L, 2, i) == LUA_TSTRING) {
            const char *before = n.best;
            unsigned distance = n.distance;
            const char *s = lua_tolstring(L, -1, &len);
            xpm_nearest_try(&n, s, len);
            if (n.best != before || n.distance != distance)
                best = i;
        }
        lua_pop(L, 1);
    }
    if (best)
        lua_rawgeti(L, 2, best);
    else
        lua_pushnil(L);
    return 1;
}

XPM_LUA_API luaopen_xpm_config(lua_State *L);

XPM_LUA_API luaopen_xpm_config(lua_State *L)
{
    static const luaL_Reg functions[] = {
        { "load", l_load },
        { "parse_yaml", l_parse_yaml },
        { "parse_json", l_parse_json },
        { "encode_json", xpm_l_config_encode_json },
        { "encode_yaml", xpm_l_config_encode_yaml },
        { "pairs", xpm_l_config_pairs },
        { "order", xpm_l_config_order },
        { "list", xpm_l_config_list },
        { "kind", xpm_l_config_kind },
        { "nearest", l_nearest },
        { NULL, NULL },
    };
    luaL_newlib(L, functions);
    xpm_lua_push_null(L);
    lua_setfield(L, -2, "null");
    return 1;
}
