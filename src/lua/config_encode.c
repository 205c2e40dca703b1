/* Lua values as JSON and YAML text. The text grows in a buffer that a userdata owns, so raising in the middle loses
 * nothing. The tables on the way down stand in a set, which finds cycles. */
#include <math.h>
#include <string.h>

#include "base/number.h"
#include "base/utf8.h"
#include "config/json_out.h"
#include "config/scalar.h"
#include "lua/config.h"

enum { DEEPEST = 500 };

struct encoder {
    lua_State *L;
    struct xpm_buf *b;
    int way; /* index of the set of tables on the way down */
    int indent;
    int level;
};

static void enter(struct encoder *e, int index)
{
    lua_State *L = e->L;
    luaL_checkstack(L, 16, "nested too deep");
    if (++e->level > DEEPEST)
        luaL_error(L, "cannot encode: nested deeper than %d levels", DEEPEST);
    lua_pushvalue(L, index);
    if (lua_rawget(L, e->way) != LUA_TNIL)
        luaL_error(L, "cannot encode: a table contains itself");
    lua_pop(L, 1);
    lua_pushvalue(L, index);
    lua_pushboolean(L, 1);
    lua_rawset(L, e->way);
}

static void leave(struct encoder *e, int index)
{
    lua_pushvalue(e->L, index);
    lua_pushnil(e->L);
    lua_rawset(e->L, e->way);
    e->level--;
}

/* The length of a list; raises when it has other keys than 1..n. */
static lua_Integer list_length(struct encoder *e, int index)
{
    lua_State *L = e->L;
    lua_Unsigned n = lua_rawlen(L, index), count = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        if (!lua_isinteger(L, -2) || lua_tointeger(L, -2) < 1 || (lua_Unsigned)lua_tointeger(L, -2) > n)
            luaL_error(L, "cannot encode: a list with the key '%s'", luaL_tolstring(L, -2, NULL));
        count++;
    }
    if (count != n)
        luaL_error(L, "cannot encode: a list with holes");
    return (lua_Integer)n;
}

static const char *check_key(struct encoder *e, size_t *len)
{
    const char *type = luaL_typename(e->L, -1);
    if (lua_type(e->L, -1) != LUA_TSTRING)
        luaL_error(e->L, "cannot encode: a map's keys must be strings, not %s (%s)", type,
                   luaL_tolstring(e->L, -1, NULL));
    return lua_tolstring(e->L, -1, len);
}

static void refuse(struct encoder *e, int index)
{
    luaL_error(e->L, "cannot encode a %s", luaL_typename(e->L, index));
}

/* --- JSON --- */

static void json(struct encoder *e, int index);

static void json_table(struct encoder *e, int index)
{
    lua_State *L = e->L;
    enter(e, index);
    bool list = xpm_lua_is_list(L, index);
    lua_Integer n = list ? list_length(e, index) : xpm_lua_push_keys(L, index);
    int keys = lua_gettop(L);
    xpm_buf_addc(e->b, list ? '[' : '{');
    for (lua_Integer i = 1; i <= n; i++) {
        if (i > 1)
            xpm_buf_adds(e->b, e->indent ? "," : ", ");
        xpm_json_line(e->b, e->indent, e->level);
        if (list) {
            lua_rawgeti(L, index, i);
        } else {
            size_t len;
            lua_rawgeti(L, keys, i);
            const char *key = check_key(e, &len);
            xpm_buf_add_json(e->b, key, len);
            xpm_buf_adds(e->b, ": ");
            lua_rawget(L, index);
        }
        json(e, lua_gettop(L));
        lua_pop(L, 1);
    }
    leave(e, index);
    if (n)
        xpm_json_line(e->b, e->indent, e->level);
    xpm_buf_addc(e->b, list ? ']' : '}');
    if (!list)
        lua_pop(L, 1);
}

static void json(struct encoder *e, int index)
{
    lua_State *L = e->L;
    size_t len;
    switch (lua_type(L, index)) {
    case LUA_TBOOLEAN: xpm_buf_adds(e->b, lua_toboolean(L, index) ? "true" : "false"); break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, index))
            xpm_buf_addf(e->b, "%lld", (long long)lua_tointeger(L, index));
        else
            xpm_json_float_text(e->b, lua_tonumber(L, index));
        break;
    case LUA_TSTRING: {
        const char *s = lua_tolstring(L, index, &len);
        xpm_buf_add_json(e->b, s, len);
        break;
    }
    case LUA_TTABLE: json_table(e, index); break;
    default:
        if (!xpm_lua_is_null(L, index))
            refuse(e, index);
        xpm_buf_adds(e->b, "null");
    }
}

/* config.encode_json(value, options): raises on what JSON cannot hold. */
int xpm_l_config_encode_json(lua_State *L)
{
    static const char *const names[] = { "indent", NULL };
    lua_Integer indent = 0;
    luaL_checkany(L, 1);
    if (!lua_isnoneornil(L, 2)) {
        xpm_lua_check_options(L, 2, names);
        if (lua_getfield(L, 2, "indent") != LUA_TNIL) {
            luaL_argcheck(L, lua_isinteger(L, -1), 2, "indent must be an integer");
            indent = lua_tointeger(L, -1);
            luaL_argcheck(L, indent >= 0 && indent <= 16, 2, "indent must be 0 to 16");
        }
    }
    lua_settop(L, 1);
    lua_newtable(L);
    struct encoder e = { L, xpm_lua_new_buf(L), 2, (int)indent, 0 };
    json(&e, 1);
    xpm_lua_push_buf(L, e.b);
    return 1;
}

/* --- YAML --- */

/* True for texts that YAML (1.2, and 1.1 of other tools) reads back as the same text without quotes. */
static bool plain_text(const char *s, size_t len)
{
    static const char *const others[] = { "y", "n", "yes", "no", "on", "off" };
    static const char set[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-@=() ";
    struct xpm_value v;
    if (len == 0 || len > 200 || s[len - 1] == ' ' || strchr(" .+-@=()", s[0]) || memchr(s, '\0', len))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!strchr(set, s[i]))
            return false;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strlen(others[i]) == len && strncasecmp(s, others[i], len) == 0)
            return false;
    return !(s[0] >= '0' && s[0] <= '9') && xpm_scalar_plain(&v, s, len) == XPM_SCALAR_TEXT;
}

/* Characters that a YAML reader refuses or takes for line ends, unless escaped: C1, U+2028, U+2029, U+FEFF, U+FFFE,
 * U+FFFF. */
static unsigned must_escape(const unsigned char *p, size_t n)
{
    unsigned c = n == 2 ? (p[0] & 0x1Fu) << 6 | (p[1] & 0x3Fu)
               : n == 3 ? (p[0] & 0x0Fu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu) : 0;
    bool yes = (c >= 0x80 && c <= 0xA0) || c == 0x2028 || c == 0x2029 || c == 0xFEFF || c == 0xFFFE || c == 0xFFFF;
    return yes ? c : 0;
}

/* Plain where that is safe; else double quotes, as JSON has them, with more escapes. */
static void yaml_string(struct xpm_buf *b, const char *s, size_t len)
{
    size_t start = 0;
    if (plain_text(s, len)) {
        xpm_buf_add(b, s, len);
        return;
    }
    /* JSON strings of the pieces between the escaped characters, their inner quotes taken away */
    xpm_buf_addc(b, '"');
    for (size_t i = 0; i <= len;) {
        size_t n = i < len ? xpm_utf8_length(s + i, len - i) : 1;
        unsigned c = i < len && n > 1 ? must_escape((const unsigned char *)s + i, n) : 0;
        if (i == len || c) {
            size_t at = b->len;
            if (i > start && xpm_buf_add_json(b, s + start, i - start)) {
                memmove(b->data + at, b->data + at + 1, b->len - at - 1);
                b->len -= 2;
                b->data[b->len] = '\0';
            }
            if (c)
                xpm_buf_addf(b, "\\u%04x", c);
            start = i + n;
        }
        i += n ? n : 1;
    }
    xpm_buf_addc(b, '"');
}

static void yaml_scalar(struct encoder *e, int index)
{
    lua_State *L = e->L;
    struct xpm_value v = { .kind = XPM_NULL };
    size_t len;
    switch (lua_type(L, index)) {
    case LUA_TBOOLEAN: xpm_buf_adds(e->b, lua_toboolean(L, index) ? "true" : "false"); break;
    case LUA_TNUMBER:
        v.kind = lua_isinteger(L, index) ? XPM_INT : XPM_FLOAT;
        if (v.kind == XPM_INT)
            v.u.i = lua_tointeger(L, index);
        else
            v.u.d = lua_tonumber(L, index);
        xpm_scalar_text(e->b, &v);
        break;
    case LUA_TSTRING: {
        const char *s = lua_tolstring(L, index, &len);
        yaml_string(e->b, s, len);
        break;
    }
    default:
        if (!xpm_lua_is_null(L, index))
            refuse(e, index);
        xpm_buf_adds(e->b, "null");
    }
}

static void yaml_table(struct encoder *e, int index, int column, bool inlined);

/* A value behind "key:" or "-", at the column of its own children. */
static void yaml_child(struct encoder *e, int index, int column, bool item)
{
    lua_State *L = e->L;
    lua_pushnil(L);
    bool table = lua_istable(L, index), filled = table && lua_next(L, index);
    lua_settop(L, index);
    if (!table) {
        xpm_buf_addc(e->b, ' ');
        yaml_scalar(e, index);
        xpm_buf_addc(e->b, '\n');
    } else if (!filled) {
        xpm_buf_adds(e->b, xpm_lua_is_list(L, index) ? " []\n" : " {}\n");
    } else {
        xpm_buf_addc(e->b, item ? ' ' : '\n');
        yaml_table(e, index, column, item);
    }
}

static void spaces(struct xpm_buf *b, int n)
{
    while (n-- > 0)
        xpm_buf_addc(b, ' ');
}

/* The lines of a filled table, each `column` wide indented; the first one not when it stands behind "- ". */
static void yaml_table(struct encoder *e, int index, int column, bool inlined)
{
    lua_State *L = e->L;
    enter(e, index);
    bool list = xpm_lua_is_list(L, index);
    lua_Integer n = list ? list_length(e, index) : xpm_lua_push_keys(L, index);
    int keys = lua_gettop(L);
    for (lua_Integer i = 1; i <= n; i++) {
        if (i > 1 || !inlined)
            spaces(e->b, column);
        if (list) {
            xpm_buf_addc(e->b, '-');
            lua_rawgeti(L, index, i);
        } else {
            size_t len;
            lua_rawgeti(L, keys, i);
            const char *key = check_key(e, &len);
            /* longer than a simple key may be: the explicit form */
            if (len > 150) {
                xpm_buf_adds(e->b, "? ");
                yaml_string(e->b, key, len);
                xpm_buf_addc(e->b, '\n');
                spaces(e->b, column);
            } else {
                yaml_string(e->b, key, len);
            }
            xpm_buf_addc(e->b, ':');
            lua_rawget(L, index);
        }
        yaml_child(e, lua_gettop(L), column + 2, list);
        lua_pop(L, 1);
    }
    leave(e, index);
    if (!list)
        lua_pop(L, 1);
}

/* config.encode_yaml(value): raises on what YAML cannot hold. */
int xpm_l_config_encode_yaml(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_settop(L, 1);
    lua_newtable(L);
    struct encoder e = { L, xpm_lua_new_buf(L), 2, 2, 0 };
    lua_pushvalue(L, 1);
    int index = lua_gettop(L);
    lua_pushnil(L);
    bool table = lua_istable(L, index), filled = table && lua_next(L, index);
    lua_settop(L, index);
    if (filled) {
        yaml_table(&e, index, 0, false);
    } else if (table) {
        xpm_buf_adds(e.b, xpm_lua_is_list(L, index) ? "[]\n" : "{}\n");
    } else {
        yaml_scalar(&e, index);
        xpm_buf_addc(e.b, '\n');
    }
    xpm_lua_push_buf(L, e.b);
    return 1;
}
