/* xpm.engine: Lua values in their canonical form (engine/identifier.h) and its hash.
 *
 * Values are read raw: no metamethod runs, so that nothing changes while it is read. The buffer is a userdata kept by
 * the module (an upvalue), so that an error in the middle leaks nothing. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "engine/identifier.h"
#include "lua/engine_parts.h"

#define BUFFER "xpm.engine.buffer"
#define MOST_DEPTH 190 /* C calls: Lua itself allows 200 */
#define FEW 12
#define KEEP (1u << 20)

static const char kind_key; /* its address is engine.KIND */

/* Where the value being read stands: for messages, and to find cycles. */
struct place {
    const struct place *up;
    const void *table;  /* the table that holds it; NULL: none */
    const char *key;    /* NULL: at `index` */
    lua_Integer index;
    int depth;
};

struct writer {
    lua_State *L;
    struct xpm_buf *b;
    int marks; /* stack index of the table of lists */
};

struct name {
    const char *s;
    size_t len;
};

static void push_path(lua_State *L, const struct place *at)
{
    const struct place *chain[MOST_DEPTH + 2];
    int n = 0;
    luaL_Buffer b;
    for (; at && at->up && n < MOST_DEPTH + 2; at = at->up)
        chain[n++] = at;
    luaL_buffinit(L, &b);
    while (n > 0) {
        at = chain[--n];
        if (at->key) {
            if (luaL_bufflen(&b))
                luaL_addchar(&b, '.');
            luaL_addstring(&b, at->key);
        } else {
            lua_pushfstring(L, "[%I]", at->index);
            luaL_addvalue(&b);
        }
    }
    luaL_pushresult(&b);
}

static void refuse(const struct writer *w, const struct place *at, const char *what)
{
    push_path(w->L, at);
    luaL_error(w->L, "%s%s%s", lua_tostring(w->L, -1), lua_rawlen(w->L, -1) ? ": " : "", what);
}

static int by_name(const void *a, const void *b)
{
    const struct name *x = a, *y = b;
    return xpm_canon_compare(x->s, x->len, y->s, y->len);
}

static void write_value(const struct writer *w, const struct place *at);

static void write_fields(const struct writer *w, const struct name *names, size_t n, const struct place *at)
{
    int table = lua_gettop(w->L);
    for (size_t i = 0; i < n; i++) {
        const struct place inner = { at, lua_topointer(w->L, table), names[i].s, 0, at->depth + 1 };
        xpm_canon_name(w->b, names[i].s, names[i].len);
        lua_pushlstring(w->L, names[i].s, names[i].len);
        lua_rawget(w->L, table);
        write_value(w, &inner);
        lua_pop(w->L, 1);
    }
}

static size_t count_names(const struct writer *w, const struct place *at)
{
    lua_State *L = w->L;
    size_t n = 0;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1), n++)
        if (lua_type(L, -2) != LUA_TSTRING)
            refuse(w, at, "the keys of a map must be strings (a list must have all of 1 to n)");
    return n;
}

/* The entries of the map at the top, after what `begin` writes for their number. */
static void write_map(const struct writer *w, const struct place *at,
                      void (*begin)(struct xpm_buf *b, size_t n, void *arg), void *arg)
{
    struct name few[FEW], *names = few;
    lua_State *L = w->L;
    int table = lua_gettop(L);
    size_t n = count_names(w, at), i = 0;
    if (n > FEW)
        names = lua_newuserdatauv(L, n * sizeof *names, 0);
    lua_pushvalue(L, table);
    for (lua_pushnil(L); lua_next(L, -2) && i < n; lua_pop(L, 1), i++)
        names[i].s = lua_tolstring(L, -2, &names[i].len); /* a string already: lua_next is not confused */
    qsort(names, n, sizeof *names, by_name);
    begin(w->b, n, arg);
    write_fields(w, names, n, at);
    lua_settop(L, table);
}

static void begin_map(struct xpm_buf *b, size_t n, void *arg)
{
    (void)arg;
    xpm_canon_map(b, n);
}

static void begin_config(struct xpm_buf *b, size_t n, void *arg)
{
    const struct name *id = arg;
    xpm_canon_config(b, id->s, id->len, n);
}

static void begin_document(struct xpm_buf *b, size_t n, void *arg)
{
    const struct name *task = arg;
    xpm_canon_begin(b, task->s, task->len, n);
}

static void write_list(const struct writer *w, lua_Unsigned n, const struct place *at)
{
    lua_State *L = w->L;
    int table = lua_gettop(L);
    xpm_canon_list(w->b, n);
    for (lua_Unsigned i = 1; i <= n; i++) {
        const struct place inner = { at, lua_topointer(L, table), NULL, (lua_Integer)i, at->depth + 1 };
        lua_rawgeti(L, table, (lua_Integer)i);
        write_value(w, &inner);
        lua_pop(L, 1);
    }
}

/* The length of the list at the top, or -1 if it is a map. */
static lua_Integer list_length(const struct writer *w, const struct place *at)
{
    lua_State *L = w->L;
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1), keys = 0;
    lua_pushvalue(L, -1);
    bool marked = lua_rawget(L, w->marks) != LUA_TNIL;
    lua_pop(L, 1);
    if (!marked && n == 0)
        return -1;
    bool only = true;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        keys++;
        only = only && lua_isinteger(L, -2) && lua_tointeger(L, -2) >= 1 && lua_tointeger(L, -2) <= n;
    }
    if (only && keys == n)
        return n;
    if (marked)
        refuse(w, at, "a list has holes, or keys that are not of a list");
    return -1;
}

/* Item i of the special value at the top, which must be a string; popped. It stays alive in its table. */
static struct name item_text(const struct writer *w, int i, const struct place *at)
{
    struct name out = { NULL, 0 };
    if (lua_rawgeti(w->L, -1, i) != LUA_TSTRING)
        refuse(w, at, "a special value lacks a string");
    out.s = lua_tolstring(w->L, -1, &out.len);
    lua_pop(w->L, 1);
    return out;
}

static void write_special(const struct writer *w, const char *kind, const struct place *at)
{
    lua_State *L = w->L;
    if (strcmp(kind, "job") == 0) {
        uint8_t hash[XPM_HASH_SIZE];
        struct name hex = item_text(w, 1, at);
        if (!xpm_hash_from_hex(hash, hex.s, hex.len))
            refuse(w, at, "the identifier of a job must be 64 lower-case hexadecimal digits");
        xpm_canon_job(w->b, hash);
    } else if (strcmp(kind, "bytes") == 0) {
        struct name tag = item_text(w, 1, at), bytes = item_text(w, 2, at);
        xpm_canon_bytes(w->b, tag.s, tag.len, bytes.s, bytes.len);
    } else if (strcmp(kind, "config") == 0) {
        struct name id = item_text(w, 1, at);
        if (lua_rawgeti(L, -1, 2) != LUA_TTABLE)
            refuse(w, at, "a configuration lacks its fields");
        write_map(w, at, begin_config, &id);
        lua_pop(L, 1);
    } else {
        refuse(w, at, "a special value of unknown kind");
    }
}

static void write_table(const struct writer *w, const struct place *at)
{
    lua_State *L = w->L;
    const void *self = lua_topointer(L, -1);
    for (const struct place *p = at; p; p = p->up)
        if (p->table == self)
            refuse(w, at, "the value contains itself");
    if (at->depth >= MOST_DEPTH)
        refuse(w, at, "nested too deep");
    luaL_checkstack(L, 10, "nested too deep");
    if (lua_rawgetp(L, -1, &kind_key) != LUA_TNIL) {
        const char *kind = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
        lua_insert(L, -2); /* the kind stays below, alive */
        write_special(w, kind, at);
        lua_remove(L, -2);
        return;
    }
    lua_pop(L, 1);
    lua_Integer n = list_length(w, at);
    if (n >= 0)
        write_list(w, (lua_Unsigned)n, at);
    else
        write_map(w, at, begin_map, NULL);
}

/* The value at the top, which stays. */
static void write_value(const struct writer *w, const struct place *at)
{
    lua_State *L = w->L;
    struct name s;
    switch (lua_type(L, -1)) {
    case LUA_TNIL:
        xpm_canon_null(w->b);
        break;
    case LUA_TBOOLEAN:
        xpm_canon_bool(w->b, lua_toboolean(L, -1));
        break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, -1))
            xpm_canon_int(w->b, lua_tointeger(L, -1));
        else
            xpm_canon_float(w->b, lua_tonumber(L, -1));
        break;
    case LUA_TSTRING:
        s.s = lua_tolstring(L, -1, &s.len);
        xpm_canon_string(w->b, s.s, s.len);
        break;
    case LUA_TTABLE:
        write_table(w, at);
        break;
    default:
        if (xpm_lua_is_null(L, -1)) {
            xpm_canon_null(w->b);
            break;
        }
        lua_pushfstring(L, "a %s cannot be part of an identifier", luaL_typename(L, -1));
        refuse(w, at, lua_tostring(L, -1));
    }
}

/* The document of (task, value), in the module's buffer. */
static struct xpm_buf *write_document(lua_State *L)
{
    struct xpm_buf *b = lua_touserdata(L, lua_upvalueindex(1));
    const struct place root = { NULL, NULL, NULL, 0, 0 };
    struct name task;
    task.s = luaL_checklstring(L, 1, &task.len);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    if (b->cap > KEEP)
        xpm_buf_free(b);
    xpm_buf_clear(b);
    xpm_lua_push_weak(L, "xpm.list");
    const struct writer w = { L, b, 3 };
    lua_pushvalue(L, 2);
    write_map(&w, &root, begin_document, &task);
    return b;
}

static int l_identifier(lua_State *L)
{
    uint8_t hash[XPM_HASH_SIZE];
    char hex[XPM_HASH_HEX + 1];
    struct xpm_err err = XPM_ERR_INIT;
    if (xpm_canon_hash(hash, write_document(L), &err))
        return luaL_error(L, "%s", err.msg);
    xpm_hash_to_hex(hex, hash);
    lua_pushlstring(L, hex, XPM_HASH_HEX);
    return 1;
}

static int l_canonical(lua_State *L)
{
    const struct xpm_buf *b = write_document(L);
    if (b->failed)
        return luaL_error(L, "out of memory");
    lua_pushlstring(L, b->data, b->len);
    return 1;
}

static int l_hash_file(lua_State *L)
{
    uint8_t hash[XPM_HASH_SIZE];
    char hex[XPM_HASH_HEX + 1];
    size_t len;
    struct xpm_err err = XPM_ERR_INIT;
    const char *path = luaL_checklstring(L, 1, &len);
    luaL_argcheck(L, strlen(path) == len, 1, "a NUL byte in it");
    if (xpm_hash_file(hash, path, &err))
        return xpm_lua_fail(L, &err);
    xpm_hash_to_hex(hex, hash);
    lua_pushlstring(L, hex, XPM_HASH_HEX);
    return 1;
}

static int l_buffer_gc(lua_State *L)
{
    xpm_buf_free(luaL_checkudata(L, 1, BUFFER));
    return 0;
}

static const luaL_Reg functions[] = {
    { "identifier", l_identifier }, { "canonical", l_canonical }, { "hash_file", l_hash_file }, { NULL, NULL },
};

void xpm_lua_engine_identifier(lua_State *L)
{
    struct xpm_buf *b = lua_newuserdatauv(L, sizeof *b, 0);
    *b = (struct xpm_buf)XPM_BUF_INIT;
    if (luaL_newmetatable(L, BUFFER)) {
        lua_pushcfunction(L, l_buffer_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    luaL_setfuncs(L, functions, 1);
    lua_pushlightuserdata(L, (void *)(uintptr_t)&kind_key);
    lua_setfield(L, -2, "KIND");
}
