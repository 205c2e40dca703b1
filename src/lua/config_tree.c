/* Methods of a tree, and values as Lua values. */
#include <string.h>

#include "config/dotlist.h"
#include "config/json_out.h"
#include "lua/config.h"

/* --- buffers that Lua owns --- */

static int l_buf_gc(lua_State *L)
{
    xpm_buf_free(lua_touserdata(L, 1));
    return 0;
}

struct xpm_buf *xpm_lua_new_buf(lua_State *L)
{
    struct xpm_buf *b = lua_newuserdatauv(L, sizeof *b, 0);
    *b = (struct xpm_buf)XPM_BUF_INIT;
    if (luaL_newmetatable(L, "xpm.config.buf")) {
        lua_pushcfunction(L, l_buf_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return b;
}

void xpm_lua_push_buf(lua_State *L, struct xpm_buf *b)
{
    if (b->failed)
        luaL_error(L, "out of memory");
    lua_pushlstring(L, b->data ? b->data : "", b->len);
    xpm_buf_free(b);
}

/* --- values --- */

static void push(lua_State *L, const struct xpm_value *v, int order, int list)
{
    luaL_checkstack(L, 8, "nested too deep");
    switch (v->kind) {
    case XPM_NULL: xpm_lua_push_null(L); return;
    case XPM_BOOL: lua_pushboolean(L, v->u.b); return;
    case XPM_INT: lua_pushinteger(L, v->u.i); return;
    case XPM_FLOAT: lua_pushnumber(L, v->u.d); return;
    case XPM_STRING: lua_pushlstring(L, v->u.s, v->len); return;
    case XPM_LIST:
        lua_createtable(L, (int)v->u.list->count, 0);
        lua_pushvalue(L, -1);
        lua_pushboolean(L, 1);
        lua_rawset(L, list);
        for (uint32_t i = 0; i < v->u.list->count; i++) {
            push(L, v->u.list->items[i], order, list);
            lua_rawseti(L, -2, (lua_Integer)i + 1);
        }
        return;
    default:
        lua_createtable(L, 0, (int)v->u.map->count);
        lua_pushvalue(L, -1);
        lua_createtable(L, (int)v->u.map->count, 0);
        for (uint32_t i = 0; i < v->u.map->count; i++) {
            const struct xpm_entry *e = &v->u.map->entries[i];
            lua_pushlstring(L, e->key, e->len);
            lua_pushvalue(L, -1);
            lua_rawseti(L, -3, (lua_Integer)i + 1);
            push(L, e->value, order, list);
            lua_rawset(L, -5); /* map, map, keys, key, value */
        }
        lua_rawset(L, order);
        return;
    }
}

void xpm_lua_push_value(lua_State *L, const struct xpm_value *v)
{
    luaL_checkstack(L, 8, NULL);
    xpm_lua_push_weak(L, "xpm.order");
    xpm_lua_push_weak(L, "xpm.list");
    int list = lua_gettop(L);
    push(L, v, list - 1, list);
    lua_replace(L, list - 1);
    lua_settop(L, list - 1);
}

/* --- the tree --- */

static struct xpm_lua_tree *check_tree(lua_State *L)
{
    struct xpm_lua_tree *t = luaL_checkudata(L, 1, XPM_TREE);
    if (!t->open)
        luaL_error(L, XPM_TREE " is closed");
    return t;
}

static int l_tree_close(lua_State *L)
{
    struct xpm_lua_tree *t = luaL_checkudata(L, 1, XPM_TREE);
    if (t->open) {
        t->open = false;
        xpm_config_free(&t->config);
    }
    return 0;
}

static int l_tree_tostring(lua_State *L)
{
    const struct xpm_lua_tree *t = luaL_checkudata(L, 1, XPM_TREE);
    if (t->open)
        lua_pushfstring(L, XPM_TREE " (%d files)", (int)t->config.loaded_count);
    else
        lua_pushliteral(L, XPM_TREE " (closed)");
    return 1;
}

/* The value at the path in argument 2 (default: the root); NULL: nothing there. */
static struct xpm_value *find(lua_State *L, struct xpm_lua_tree *t, struct xpm_entry **entry)
{
    size_t len;
    if (!lua_isnoneornil(L, 2))
        luaL_checktype(L, 2, LUA_TSTRING);
    const char *path = luaL_optlstring(L, 2, "", &len);
    return xpm_path_find(&t->config.store, t->config.root, path, len, entry);
}

static int l_tree_get(lua_State *L)
{
    const struct xpm_value *v = find(L, check_tree(L), NULL);
    if (v)
        xpm_lua_push_value(L, v);
    else
        lua_pushnil(L);
    return 1;
}

static int l_tree_kind(lua_State *L)
{
    const struct xpm_value *v = find(L, check_tree(L), NULL);
    if (v)
        lua_pushstring(L, xpm_kind_word(v));
    else
        lua_pushnil(L);
    return 1;
}

static void push_place_text(lua_State *L, const struct xpm_store *st, struct xpm_place at)
{
    struct xpm_buf *b = xpm_lua_new_buf(L);
    xpm_place_text(b, st, at);
    xpm_lua_push_buf(L, b);
    lua_remove(L, -2);
}

static int push_place(lua_State *L, const struct xpm_store *st, struct xpm_place at)
{
    if (at.source >= st->source_count) {
        lua_pushnil(L);
        return 1;
    }
    const struct xpm_source *s = &st->sources[at.source];
    bool option = s->role == XPM_SOURCE_OVERRIDE;
    lua_createtable(L, 0, 4);
    push_place_text(L, st, at);
    lua_setfield(L, -2, "text");
    lua_pushlstring(L, s->name, s->len);
    lua_setfield(L, -2, option ? "option" : "file");
    if (at.line) {
        lua_pushinteger(L, at.line);
        lua_setfield(L, -2, "line");
        lua_pushinteger(L, at.column);
        lua_setfield(L, -2, "column");
    }
    return 1;
}

static int l_tree_where(lua_State *L)
{
    struct xpm_lua_tree *t = check_tree(L);
    luaL_checktype(L, 2, LUA_TSTRING);
    const struct xpm_value *v = find(L, t, NULL);
    if (v)
        return push_place(L, &t->config.store, xpm_value_place(v));
    lua_pushnil(L);
    return 1;
}

static int l_tree_where_key(lua_State *L)
{
    struct xpm_lua_tree *t = check_tree(L);
    struct xpm_entry *e;
    luaL_checktype(L, 2, LUA_TSTRING);
    find(L, t, &e);
    if (e)
        return push_place(L, &t->config.store, xpm_entry_place(e));
    lua_pushnil(L);
    return 1;
}

static int l_tree_to_json(lua_State *L)
{
    static const char *const names[] = { "indent", NULL };
    struct xpm_lua_tree *t = check_tree(L);
    lua_Integer indent = 0;
    if (!lua_isnoneornil(L, 2)) {
        xpm_lua_check_options(L, 2, names);
        if (lua_getfield(L, 2, "indent") != LUA_TNIL) {
            luaL_argcheck(L, lua_isinteger(L, -1), 2, "indent must be an integer");
            indent = lua_tointeger(L, -1);
            luaL_argcheck(L, indent >= 0 && indent <= 16, 2, "indent must be 0 to 16");
        }
    }
    struct xpm_buf *b = xpm_lua_new_buf(L);
    xpm_json_value(b, t->config.root, (int)indent);
    xpm_lua_push_buf(L, b);
    return 1;
}

static int l_tree_sources(lua_State *L)
{
    static const char *const roles[] = { "pre", "main", "post", "import" };
    struct xpm_lua_tree *t = check_tree(L);
    const struct xpm_config *c = &t->config;
    lua_createtable(L, (int)c->loaded_count, 0);
    for (uint32_t i = 0; i < c->loaded_count; i++) {
        const struct xpm_source *s = &c->store.sources[c->loaded[i].source];
        lua_createtable(L, 0, 2);
        lua_pushlstring(L, s->name, s->len);
        lua_setfield(L, -2, "path");
        lua_pushstring(L, roles[c->loaded[i].role]);
        lua_setfield(L, -2, "role");
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static int l_tree_warnings(lua_State *L)
{
    const struct xpm_buf *w = &check_tree(L)->config.warnings;
    lua_Integer n = 0;
    lua_newtable(L);
    for (size_t at = 0; at < w->len;) {
        const char *end = memchr(w->data + at, '\n', w->len - at);
        size_t len = end ? (size_t)(end - w->data) - at : w->len - at;
        lua_pushlstring(L, w->data + at, len);
        lua_rawseti(L, -2, ++n);
        at += len + 1;
    }
    return 1;
}

/* --- origins --- */

/* Values that stood at the same path as the value at hand and were replaced with a container above it, newest first. */
struct olds {
    struct xpm_value **v;
    uint32_t count;
};

struct origins {
    lua_State *L;
    const struct xpm_store *st;
    int result;
    lua_Integer count;
    struct xpm_buf *b;
};

static void push_json(struct origins *o, const struct xpm_value *v)
{
    xpm_buf_clear(o->b);
    if (!xpm_json_value(o->b, v, 0))
        luaL_error(o->L, "out of memory");
    lua_pushlstring(o->L, o->b->data, o->b->len);
}

static void origin_of(struct origins *o, const struct xpm_value *v, const struct xpm_step *path,
                      const struct olds *olds)
{
    lua_State *L = o->L;
    lua_createtable(L, 0, 4);
    xpm_buf_clear(o->b);
    if (!xpm_step_text(o->b, path))
        luaL_error(L, "out of memory");
    lua_pushlstring(L, o->b->data ? o->b->data : "", o->b->len);
    lua_setfield(L, -2, "path");
    push_json(o, v);
    lua_setfield(L, -2, "value");
    push_place_text(L, o->st, xpm_value_place(v));
    lua_setfield(L, -2, "where");
    lua_createtable(L, (int)olds->count, 0);
    for (uint32_t i = 0; i < olds->count; i++) {
        lua_createtable(L, 0, 2);
        push_json(o, olds->v[i]);
        lua_setfield(L, -2, "value");
        push_place_text(L, o->st, xpm_value_place(olds->v[i]));
        lua_setfield(L, -2, "where");
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "replaced");
    lua_rawseti(L, o->result, ++o->count);
}

/* The value of `v`'s child `step`, if `v` is the same kind of container as the one at hand and has it. */
static struct xpm_value *same_child(const struct origins *o, const struct xpm_value *v, const struct xpm_step *step)
{
    if (v->kind == XPM_MAP && step->key) {
        const struct xpm_entry *e = xpm_map_find(o->st, v->u.map, step->key, step->len);
        return e ? e->value : NULL;
    }
    return v->kind == XPM_LIST && !step->key && step->index < v->u.list->count ? v->u.list->items[step->index] : NULL;
}

static void visit(struct origins *o, struct xpm_value *v, const struct xpm_step *path, const struct olds *above)
{
    lua_State *L = o->L;
    struct olds olds = { NULL, 0 };
    uint32_t own = 0, children = v->kind == XPM_MAP ? v->u.map->count : v->kind == XPM_LIST ? v->u.list->count : 0;
    luaL_checkstack(L, 12, "nested too deep");
    for (const struct xpm_value *w = v->was; w; w = w->was)
        own++;
    if (own + above->count)
        olds.v = lua_newuserdatauv(L, (own + above->count) * sizeof *olds.v, 0);
    else
        lua_pushnil(L);
    for (struct xpm_value *w = v->was; w; w = w->was)
        olds.v[olds.count++] = w;
    for (uint32_t i = 0; i < above->count; i++)
        olds.v[olds.count++] = above->v[i];
    if (children == 0)
        origin_of(o, v, path, &olds);
    for (uint32_t i = 0; i < children; i++) {
        const struct xpm_entry *e = v->kind == XPM_MAP ? &v->u.map->entries[i] : NULL;
        struct xpm_step step = { .up = path, .key = e ? e->key : NULL, .len = e ? e->len : 0, .index = i };
        struct olds below = { olds.count ? lua_newuserdatauv(L, olds.count * sizeof *below.v, 0) : NULL, 0 };
        for (uint32_t k = 0; k < olds.count; k++) {
            struct xpm_value *old = same_child(o, olds.v[k], &step);
            if (old)
                below.v[below.count++] = old;
        }
        visit(o, e ? e->value : v->u.list->items[i], &step, &below);
        if (olds.count)
            lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static int l_tree_origins(lua_State *L)
{
    struct xpm_lua_tree *t = check_tree(L);
    struct olds none = { NULL, 0 };
    lua_settop(L, 1);
    lua_newtable(L);
    struct origins o = { L, &t->config.store, 2, 0, xpm_lua_new_buf(L) };
    if (t->config.root->u.map->count)
        visit(&o, t->config.root, NULL, &none);
    lua_settop(L, 2);
    return 1;
}

struct xpm_lua_tree *xpm_lua_new_tree(lua_State *L)
{
    static const luaL_Reg methods[] = {
        { "get", l_tree_get },           { "kind", l_tree_kind },       { "where", l_tree_where },
        { "where_key", l_tree_where_key }, { "origins", l_tree_origins }, { "to_json", l_tree_to_json },
        { "sources", l_tree_sources },   { "warnings", l_tree_warnings }, { "close", l_tree_close },
        { NULL, NULL },
    };
    struct xpm_lua_tree *t = lua_newuserdatauv(L, sizeof *t, 0);
    xpm_config_init(&t->config);
    t->open = false;
    if (luaL_newmetatable(L, XPM_TREE)) {
        luaL_newlib(L, methods);
        lua_setfield(L, -2, "__index");
        lua_pushcfunction(L, l_tree_close);
        lua_setfield(L, -2, "__gc");
        lua_pushcfunction(L, l_tree_close);
        lua_setfield(L, -2, "__close");
        lua_pushcfunction(L, l_tree_tostring);
        lua_setfield(L, -2, "__tostring");
    }
    lua_setmetatable(L, -2);
    return t;
}
