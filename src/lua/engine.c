/* xpm.engine: the handle. What raises: wrong arguments, a closed handle, no memory. What returns nil, message, code:
 * open, watch.
 *
 * A job's strings stay where they are while it is submitted: scalars on the stack, list elements in their tables,
 * which are on the stack. Arrays of pointers to them are small ones on the C stack, or a userdata on the Lua stack. */
#include <string.h>

#include "engine/engine.h"
#include "lua/engine_parts.h"

#define HANDLE "xpm.engine"
#define FEW 24

struct handle {
    struct xpm_engine *e; /* NULL: closed */
};

static const char *const step_words[] = { "event", "wake", "timeout", "idle" };

static struct handle *to_handle(lua_State *L)
{
    return luaL_checkudata(L, 1, HANDLE);
}

static struct xpm_engine *to_engine(lua_State *L)
{
    struct handle *h = to_handle(L);
    if (!h->e)
        luaL_error(L, "xpm.engine is closed");
    return h->e;
}

static const char *check_text(lua_State *L, int index, const char *what)
{
    size_t len;
    if (lua_type(L, index) != LUA_TSTRING)
        luaL_error(L, "%s must be a string, not %s", what, luaL_typename(L, index));
    const char *s = lua_tolstring(L, index, &len);
    if (strlen(s) != len)
        luaL_error(L, "%s holds a NUL byte", what);
    return s;
}

/* --- open --- */

static int l_open(lua_State *L)
{
    static const char *const names[] = { "workdir", "jobs", "supervisor", NULL };
    struct xpm_engine_options o = { NULL, 0, NULL };
    struct xpm_err err = XPM_ERR_INIT;
    xpm_lua_check_options(L, 1, names);
    lua_settop(L, 1);
    lua_getfield(L, 1, "workdir");
    lua_getfield(L, 1, "jobs");
    lua_getfield(L, 1, "supervisor");
    o.workdir = check_text(L, 2, "workdir");
    int whole;
    lua_Integer jobs = lua_tointegerx(L, 3, &whole);
    if (!whole || lua_type(L, 3) != LUA_TNUMBER || jobs < 1 || jobs > 1000000)
        return luaL_error(L, "jobs must be an integer from 1 to 1000000");
    o.jobs = (uint32_t)jobs;
    if (!lua_isnil(L, 4))
        o.supervisor = check_text(L, 4, "supervisor");
    struct handle *h = lua_newuserdatauv(L, sizeof *h, 0);
    h->e = NULL;
    luaL_setmetatable(L, HANDLE);
    if (xpm_engine_open(&h->e, &o, &err))
        return xpm_lua_fail(L, &err);
    return 1;
}

static int l_close(lua_State *L)
{
    struct handle *h = to_handle(L);
    struct xpm_engine *e = h->e;
    h->e = NULL;
    xpm_engine_close(e);
    return 0;
}

static int l_tostring(lua_State *L)
{
    struct handle *h = to_handle(L);
    struct xpm_counts c;
    if (!h->e) {
        lua_pushliteral(L, "xpm.engine (closed)");
        return 1;
    }
    xpm_engine_counts(h->e, &c);
    lua_pushfstring(L, "xpm.engine (%s: %d jobs, %d running, %d done, %d in error)", xpm_engine_workdir(h->e),
                    (int)c.total, (int)c.state[XPM_RUNNING], (int)c.state[XPM_DONE], (int)c.state[XPM_ERROR]);
    return 1;
}

/* --- submit --- */

/* The length of the optional list `field` of the spec at 2, which is pushed (nil: none). */
static uint32_t push_list(lua_State *L, const char *field)
{
    int type = lua_getfield(L, 2, field);
    if (type == LUA_TNIL)
        return 0;
    if (type != LUA_TTABLE)
        luaL_error(L, "%s must be a list, not %s", field, lua_typename(L, type));
    lua_Unsigned n = lua_rawlen(L, -1);
    if (n > 100000000)
        luaL_error(L, "%s is too long", field);
    return (uint32_t)n;
}

/* Room for n items, pushed (or nil) so that it lives until the submit is over. */
static void *push_room(lua_State *L, uint32_t n, size_t size, void *few)
{
    if (n <= FEW) {
        lua_pushnil(L);
        return few;
    }
    return lua_newuserdatauv(L, n * size, 0);
}

static const char *const *push_texts(lua_State *L, const char *field, const char **few, uint32_t *n)
{
    *n = push_list(L, field);
    int list = lua_gettop(L);
    const char **out = push_room(L, *n, sizeof *out, few);
    for (uint32_t i = 0; i < *n; i++) {
        lua_rawgeti(L, list, (lua_Integer)i + 1);
        out[i] = check_text(L, -1, field);
        lua_pop(L, 1);
    }
    return out;
}

static const uint32_t *push_deps(lua_State *L, uint32_t *few, uint32_t *n)
{
    *n = push_list(L, "deps");
    int list = lua_gettop(L);
    uint32_t *out = push_room(L, *n, sizeof *out, few);
    for (uint32_t i = 0; i < *n; i++) {
        int whole;
        lua_rawgeti(L, list, (lua_Integer)i + 1);
        lua_Integer v = lua_tointegerx(L, -1, &whole);
        if (!whole || lua_type(L, -1) != LUA_TNUMBER || v < 1 || v > UINT32_MAX)
            luaL_error(L, "deps must hold numbers of jobs");
        out[i] = (uint32_t)v;
        lua_pop(L, 1);
    }
    return out;
}

/* The changes of the environment as "NAME=value" or "NAME", kept in a table that is pushed. */
static const char *const *push_env(lua_State *L, const char **few, uint32_t *n)
{
    int type = lua_getfield(L, 2, "env"), env = lua_gettop(L);
    *n = 0;
    if (type == LUA_TNIL)
        return few;
    if (type != LUA_TTABLE)
        luaL_error(L, "env must be a table, not %s", lua_typename(L, type));
    lua_newtable(L);
    int texts = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, env); lua_pop(L, 1)) {
        const char *name = check_text(L, -2, "a name in env");
        if (!*name || strchr(name, '='))
            luaL_error(L, "env: '%s' is no name of a variable", name);
        if (lua_type(L, -1) == LUA_TBOOLEAN && !lua_toboolean(L, -1)) {
            lua_pushvalue(L, -2);
        } else {
            const char *value = check_text(L, -1, "a value in env");
            lua_pushfstring(L, "%s=%s", name, value);
        }
        lua_rawseti(L, texts, ++*n);
    }
    const char **out = push_room(L, *n, sizeof *out, few);
    for (uint32_t i = 0; i < *n; i++) {
        lua_rawgeti(L, texts, (lua_Integer)i + 1);
        out[i] = lua_tostring(L, -1);
        lua_pop(L, 1);
    }
    return out;
}

static bool is_generate(lua_State *L)
{
    bool generate = false;
    if (lua_getfield(L, 2, "mode") != LUA_TNIL) {
        const char *mode = check_text(L, -1, "mode");
        generate = strcmp(mode, "generate") == 0;
        if (!generate && strcmp(mode, "run") != 0)
            luaL_error(L, "unknown mode '%s' (allowed: run, generate)", mode);
    }
    return generate;
}

static int l_submit(lua_State *L)
{
    static const char *const names[] = { "task",   "hash",    "name", "argv", "env",
                                         "params", "outputs", "deps", "mode", NULL };
    const char *argv[FEW], *env[FEW], *outputs[FEW];
    uint32_t deps[FEW], number;
    struct xpm_job_spec s = { .task = NULL };
    struct xpm_err err = XPM_ERR_INIT;
    bool again;
    struct xpm_engine *e = to_engine(L);
    xpm_lua_check_options(L, 2, names);
    lua_settop(L, 2);
    luaL_checkstack(L, 24, NULL);
    lua_getfield(L, 2, "task");
    s.task = check_text(L, -1, "task");
    lua_getfield(L, 2, "hash");
    s.hash = check_text(L, -1, "hash");
    lua_getfield(L, 2, "name");
    s.name = check_text(L, -1, "name");
    if (lua_getfield(L, 2, "params") != LUA_TSTRING)
        return luaL_error(L, "params must be a string, not %s", luaL_typename(L, -1));
    s.params = lua_tolstring(L, -1, &s.params_len);
    s.argv = push_texts(L, "argv", argv, &s.argc);
    s.outputs = push_texts(L, "outputs", outputs, &s.noutputs);
    s.env = push_env(L, env, &s.nenv);
    s.deps = push_deps(L, deps, &s.ndeps);
    s.generate = is_generate(L);
    if (xpm_engine_submit(e, &s, &number, &again, &err))
        return luaL_error(L, "%s", err.msg);
    lua_pushinteger(L, number);
    if (!again)
        return 1;
    lua_pushboolean(L, true);
    return 2;
}

/* --- the loop --- */

static int l_step(lua_State *L)
{
    struct xpm_engine *e = to_engine(L);
    lua_Number timeout = luaL_optnumber(L, 2, -1);
    if (!lua_isnoneornil(L, 2))
        luaL_argcheck(L, timeout >= 0, 2, "a number of seconds from 0 is expected");
    lua_pushstring(L, step_words[xpm_engine_step(e, timeout)]);
    return 1;
}

static void set_text(lua_State *L, const char *key, const char *value)
{
    if (*value) {
        lua_pushstring(L, value);
        lua_setfield(L, -2, key);
    }
}

static void set_number(lua_State *L, const char *key, double value, bool known)
{
    if (known) {
        lua_pushnumber(L, value);
        lua_setfield(L, -2, key);
    }
}

static void set_integer(lua_State *L, const char *key, lua_Integer value, bool known)
{
    if (known) {
        lua_pushinteger(L, value);
        lua_setfield(L, -2, key);
    }
}

static void set_flag(lua_State *L, const char *key, bool value)
{
    if (value) {
        lua_pushboolean(L, true);
        lua_setfield(L, -2, key);
    }
}

void xpm_lua_set_facts(lua_State *L, const struct xpm_facts *f)
{
    set_text(L, "state", xpm_state_word(f->state));
    set_text(L, "reason", xpm_reason_word(f->reason));
    set_text(L, "message", f->message);
    set_text(L, "hostname", f->hostname);
    set_integer(L, "exit_code", f->exit_code, f->exit_code >= 0);
    set_integer(L, "signal", f->signal, f->signal > 0);
    set_number(L, "started_at", f->started_at, f->started_at > 0);
    set_number(L, "ended_at", f->ended_at, f->ended_at > 0);
    set_number(L, "cpu_seconds", f->cpu_seconds, f->cpu_seconds >= 0);
    set_integer(L, "peak_memory", f->peak_memory, f->peak_memory >= 0);
}

static void push_event(lua_State *L, const struct xpm_event *v)
{
    lua_createtable(L, 0, 10);
    set_integer(L, "job", v->job, true);
    xpm_lua_set_facts(L, &v->facts);
    set_flag(L, "reused", v->reused);
    set_flag(L, "elsewhere", v->elsewhere);
    set_integer(L, "cause", v->cause, v->cause > 0);
}

static int l_next_event(lua_State *L)
{
    struct xpm_event v;
    struct xpm_engine *e = to_engine(L);
    luaL_checkstack(L, 4, NULL);
    if (!xpm_engine_next(e, &v))
        return 0;
    push_event(L, &v);
    return 1;
}

static int l_counts(lua_State *L)
{
    struct xpm_counts c;
    xpm_engine_counts(to_engine(L), &c);
    lua_createtable(L, 0, XPM_STATE_COUNT + 2);
    for (int s = 0; s < XPM_STATE_COUNT; s++)
        set_integer(L, xpm_state_word(s), c.state[s], true);
    set_integer(L, "total", c.total, true);
    set_integer(L, "reused", c.reused, true);
    return 1;
}

static uint32_t check_number(lua_State *L, int index)
{
    lua_Integer n = luaL_checkinteger(L, index);
    luaL_argcheck(L, n >= 1 && n <= UINT32_MAX, index, "no such job");
    return (uint32_t)n;
}

static int l_job(lua_State *L)
{
    struct xpm_event v;
    const char *task, *name;
    char hash[65];
    struct xpm_engine *e = to_engine(L);
    uint32_t job = check_number(L, 2);
    luaL_argcheck(L, xpm_engine_job(e, job, &v, &task, &name, hash), 2, "no such job");
    push_event(L, &v);
    set_text(L, "task", task);
    set_text(L, "name", name);
    set_text(L, "hash", hash);
    return 1;
}

static int l_fd(lua_State *L)
{
    int fd = xpm_engine_fd(to_engine(L));
    if (fd < 0)
        return luaL_error(L, "no descriptor can be had for the engine");
    lua_pushinteger(L, fd);
    return 1;
}

static int l_watch(lua_State *L)
{
    struct xpm_err err = XPM_ERR_INIT;
    struct xpm_engine *e = to_engine(L);
    lua_Integer fd = luaL_optinteger(L, 2, -1);
    luaL_argcheck(L, lua_isnoneornil(L, 2) || (fd >= 0 && fd <= INT32_MAX), 2, "no descriptor");
    if (xpm_engine_watch(e, (int)fd, &err))
        return xpm_lua_fail(L, &err);
    lua_pushboolean(L, true);
    return 1;
}

static int l_stop(lua_State *L)
{
    xpm_engine_stop(to_engine(L));
    return 0;
}

static int l_cancel(lua_State *L)
{
    struct xpm_engine *e = to_engine(L);
    uint32_t job = lua_isnoneornil(L, 2) ? 0 : check_number(L, 2);
    luaL_argcheck(L, xpm_engine_cancel(e, job), 2, "no such job");
    return 0;
}

static const luaL_Reg methods[] = {
    { "submit", l_submit }, { "step", l_step }, { "next_event", l_next_event }, { "counts", l_counts },
    { "job", l_job },       { "fd", l_fd },     { "watch", l_watch },           { "stop", l_stop },
    { "cancel", l_cancel }, { "close", l_close }, { NULL, NULL },
};

static const luaL_Reg meta[] = {
    { "__gc", l_close }, { "__close", l_close }, { "__tostring", l_tostring }, { NULL, NULL },
};

static const luaL_Reg functions[] = { { "open", l_open }, { NULL, NULL } };

XPM_LUA_API luaopen_xpm_engine(lua_State *L);
XPM_LUA_API luaopen_xpm_engine(lua_State *L)
{
    luaL_newmetatable(L, HANDLE);
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    xpm_lua_engine_identifier(L);
    xpm_lua_engine_files(L);
    return 1;
}
