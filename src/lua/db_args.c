/* Lua tables as rows of the index. Everything is read and checked before the index is touched, so that nothing raises
 * inside a transaction. Access is raw: no metamethod can change a table while we point into its strings. */
#include "lua/db.h"

#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lua/common.h"

#define ROWS "xpm.db.rows"

/* ---- rows ---- */

void xpm_lua_db_free_rows(struct xpm_lua_rows *rows)
{
    xpm_buf_free(&rows->jobs);
    xpm_buf_free(&rows->tags);
    xpm_buf_free(&rows->pairs);
}

static int l_rows_gc(lua_State *L)
{
    xpm_lua_db_free_rows(luaL_checkudata(L, 1, ROWS));
    return 0;
}

struct xpm_lua_rows *xpm_lua_db_new_rows(lua_State *L)
{
    struct xpm_lua_rows *rows = lua_newuserdatauv(L, sizeof *rows, 0);
    *rows = (struct xpm_lua_rows){ XPM_BUF_INIT, XPM_BUF_INIT, XPM_BUF_INIT };
    if (luaL_newmetatable(L, ROWS)) {
        lua_pushcfunction(L, l_rows_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return rows;
}

/* ---- single values ---- */

enum kind { TEXT, NAME, HASH, STATE, REAL, INTEGER, TAGS };

struct field {
    const char *name;
    enum kind kind; /* NAME and HASH must be there; a NAME is not empty */
    size_t at;      /* of the struct's field: xpm_text, double, int or xpm_index_int as the kind says */
};

static void bad(lua_State *L, const char *what, const char *name, const char *wanted)
{
    luaL_error(L, "%s: '%s' must be %s, is %s", what, name, wanted, luaL_typename(L, -1));
}

struct xpm_text xpm_lua_db_check_text(lua_State *L, int arg)
{
    struct xpm_text t;
    luaL_checktype(L, arg, LUA_TSTRING);
    t.s = lua_tolstring(L, arg, &t.len);
    luaL_argcheck(L, t.len > 0, arg, "is empty");
    return t;
}

static int read_state(lua_State *L, const char *what)
{
    const char *word = lua_tostring(L, -1);
    for (int i = 0; xpm_index_states[i]; i++)
        if (strcmp(xpm_index_states[i], word) == 0)
            return i;
    return luaL_error(L, "%s: unknown state '%s'", what, word);
}

/* The value on top into the field of the struct at `base`. TAGS are read by the caller. */
static void read_value(lua_State *L, const char *what, const struct field *f, void *base)
{
    void *field = (char *)base + f->at;
    bool string = lua_type(L, -1) == LUA_TSTRING;
    switch (f->kind) {
    case TEXT: case NAME: case HASH: case STATE:
        if (!string)
            bad(L, what, f->name, "a string");
        break;
    case REAL:
        if (lua_type(L, -1) != LUA_TNUMBER || isnan(lua_tonumber(L, -1)))
            bad(L, what, f->name, "a number");
        break;
    case INTEGER:
        if (lua_type(L, -1) != LUA_TNUMBER || !lua_isinteger(L, -1))
            bad(L, what, f->name, "an integer");
        break;
    case TAGS:
        if (lua_type(L, -1) != LUA_TTABLE)
            bad(L, what, f->name, "a table");
        return;
    }
    struct xpm_text text = { NULL, 0 };
    if (string)
        text.s = lua_tolstring(L, -1, &text.len);
    switch (f->kind) {
    case NAME:
        if (text.len == 0)
            luaL_error(L, "%s: '%s' is empty", what, f->name);
        /* fall through */
    case TEXT: memcpy(field, &text, sizeof text); break;
    case HASH:
        if (!xpm_index_hash(field, text.s, text.len))
            luaL_error(L, "%s: '%s' must be %d hex digits, is '%s'", what, f->name, 2 * XPM_INDEX_HASH, text.s);
        break;
    case STATE: {
        int state = read_state(L, what);
        memcpy(field, &state, sizeof state);
        break;
    }
    case REAL: {
        double value = lua_tonumber(L, -1);
        memcpy(field, &value, sizeof value);
        break;
    }
    case INTEGER: {
        struct xpm_index_int value = { true, lua_tointeger(L, -1) };
        memcpy(field, &value, sizeof value);
        break;
    }
    case TAGS: break;
    }
}

/* The fields of the table at `table` into the struct at `base`; unknown keys and missing names raise. Returns whether a
 * TAGS field is there. */
static bool read_fields(lua_State *L, int table, const char *what, const struct field *fields, void *base)
{
    bool tags = false;
    size_t required = 0, seen = 0;
    for (const struct field *f = fields; f->name; f++)
        required += f->kind == NAME || f->kind == HASH;
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
        const struct field *f = fields;
        while (key && f->name && strcmp(f->name, key) != 0)
            f++;
        if (!key || !f->name) { /* let the shared check write the message */
            const char *names[32];
            int n = 0;
            for (f = fields; f->name && n < 31; f++)
                names[n++] = f->name;
            names[n] = NULL;
            xpm_lua_check_options(L, table, names);
            return false;
        }
        read_value(L, what, f, base);
        tags = tags || f->kind == TAGS;
        seen += f->kind == NAME || f->kind == HASH;
    }
    for (const struct field *f = fields; f->name && seen < required; f++) {
        if (f->kind != NAME && f->kind != HASH)
            continue;
        lua_pushstring(L, f->name);
        if (lua_rawget(L, table) == LUA_TNIL)
            luaL_error(L, "%s: '%s' is missing", what, f->name);
        lua_pop(L, 1);
    }
    return tags;
}

/* ---- tags ---- */

struct pair {
    struct xpm_text name, value;
};

static int by_name(const void *a, const void *b)
{
    const struct xpm_text *x = a, *y = b; /* a pair begins with its name */
    int order = memcmp(x->s, y->s, x->len < y->len ? x->len : y->len);
    return order ? order : (x->len > y->len) - (x->len < y->len);
}

/* Appends the tags of the table on top to rows->tags, sorted by name. Returns where they begin. */
static size_t read_tags(lua_State *L, const char *what, struct xpm_lua_rows *rows, size_t *len)
{
    xpm_buf_clear(&rows->pairs);
    int table = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        struct pair p;
        if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
            luaL_error(L, "%s: 'tags' must map names to strings", what);
        p.name.s = lua_tolstring(L, -2, &p.name.len);
        p.value.s = lua_tolstring(L, -1, &p.value.len);
        if (!xpm_buf_add(&rows->pairs, &p, sizeof p))
            luaL_error(L, "not enough memory");
    }
    size_t start = rows->tags.len;
    struct pair *pairs = (struct pair *)(void *)rows->pairs.data;
    size_t count = rows->pairs.len / sizeof *pairs;
    if (count > 1)
        qsort(pairs, count, sizeof *pairs, by_name);
    for (size_t i = 0; i < count; i++)
        if (!xpm_index_add_tag(&rows->tags, pairs[i].name, pairs[i].value))
            luaL_error(L, "not enough memory");
    if (!xpm_buf_reserve(&rows->tags, 1)) /* so that no tags are not NULL either */
        luaL_error(L, "not enough memory");
    *len = rows->tags.len - start;
    return start;
}

/* ---- arguments ---- */

static const struct field job_fields[] = {
    { "task", NAME, offsetof(struct xpm_index_job, task) },
    { "hash", HASH, offsetof(struct xpm_index_job, hash) },
    { "state", STATE, offsetof(struct xpm_index_job, state) },
    { "submitted_at", REAL, offsetof(struct xpm_index_job, submitted_at) },
    { "started_at", REAL, offsetof(struct xpm_index_job, started_at) },
    { "ended_at", REAL, offsetof(struct xpm_index_job, ended_at) },
    { "tags", TAGS, 0 },
    { "reason", TEXT, offsetof(struct xpm_index_job, reason) },
    { "hostname", TEXT, offsetof(struct xpm_index_job, hostname) },
    { "exit_code", INTEGER, offsetof(struct xpm_index_job, exit_code) },
    { "signal", INTEGER, offsetof(struct xpm_index_job, signal) },
    { "cpu_seconds", REAL, offsetof(struct xpm_index_job, cpu_seconds) },
    { "peak_memory", INTEGER, offsetof(struct xpm_index_job, peak_memory) },
    { NULL, TEXT, 0 },
};

void xpm_lua_db_read_jobs(lua_State *L, int table, struct xpm_lua_rows *rows, size_t *count)
{
    luaL_checktype(L, table, LUA_TTABLE);
    size_t n = lua_rawlen(L, table);
    for (size_t i = 0; i < n; i++) {
        struct xpm_index_job job;
        memset(&job, 0, sizeof job);
        job.state = -1;
        job.submitted_at = job.started_at = job.ended_at = job.cpu_seconds = (double)NAN;
        if (lua_rawgeti(L, table, (lua_Integer)i + 1) != LUA_TTABLE)
            luaL_error(L, "job %I must be a table, is %s", (LUAI_UACINT)i + 1, luaL_typename(L, -1));
        if (read_fields(L, lua_gettop(L), "job", job_fields, &job)) {
            lua_pushliteral(L, "tags");
            lua_rawget(L, -2);
            size_t start = read_tags(L, "job", rows, &job.tags.len);
            job.tags.s = (const char *)(uintptr_t)(start + 1); /* an offset, until the buffer moves no more */
            lua_pop(L, 1);
        }
        if (!xpm_buf_add(&rows->jobs, &job, sizeof job))
            luaL_error(L, "not enough memory");
        lua_pop(L, 1);
    }
    struct xpm_index_job *jobs = (struct xpm_index_job *)(void *)rows->jobs.data;
    for (size_t i = 0; i < n; i++)
        if (jobs[i].tags.s)
            jobs[i].tags.s = rows->tags.data + ((uintptr_t)jobs[i].tags.s - 1);
    *count = n;
}

void xpm_lua_db_read_run(lua_State *L, int table, struct xpm_index_run *run)
{
    static const struct field fields[] = {
        { "experiment", NAME, offsetof(struct xpm_index_run, experiment) },
        { "run", NAME, offsetof(struct xpm_index_run, run) },
        { "hostname", TEXT, offsetof(struct xpm_index_run, hostname) },
        { "started_at", REAL, offsetof(struct xpm_index_run, started_at) },
        { "ended_at", REAL, offsetof(struct xpm_index_run, ended_at) },
        { "status", TEXT, offsetof(struct xpm_index_run, status) },
        { NULL, TEXT, 0 },
    };
    luaL_checktype(L, table, LUA_TTABLE);
    memset(run, 0, sizeof *run);
    run->started_at = run->ended_at = (double)NAN;
    read_fields(L, table, "run", fields, run);
}

void xpm_lua_db_read_filter(lua_State *L, int table, struct xpm_lua_rows *rows, struct xpm_index_filter *filter)
{
    struct {
        struct xpm_index_filter filter;
        struct xpm_index_int limit;
    } f;
    static const size_t limit_at = offsetof(__typeof__(f), limit);
    const struct field fields[] = {
        { "experiment", TEXT, offsetof(struct xpm_index_filter, experiment) },
        { "run", TEXT, offsetof(struct xpm_index_filter, run) },
        { "task", TEXT, offsetof(struct xpm_index_filter, task) },
        { "state", STATE, offsetof(struct xpm_index_filter, state) },
        { "hash_prefix", TEXT, offsetof(struct xpm_index_filter, hash_prefix) },
        { "tags", TAGS, 0 },
        { "limit", INTEGER, limit_at },
        { NULL, TEXT, 0 },
    };
    memset(&f, 0, sizeof f);
    f.filter.state = -1;
    f.filter.limit = -1;
    if (!lua_isnoneornil(L, table)) {
        luaL_checktype(L, table, LUA_TTABLE);
        if (read_fields(L, table, "options", fields, &f)) {
            lua_pushliteral(L, "tags");
            lua_rawget(L, table);
            size_t start = read_tags(L, "options", rows, &f.filter.tags.len);
            f.filter.tags.s = rows->tags.data + start;
            lua_pop(L, 1);
        }
    }
    if (f.limit.given) {
        if (f.limit.value < 0)
            luaL_error(L, "options: 'limit' must not be negative");
        f.filter.limit = f.limit.value;
    }
    if (f.filter.run.s && !f.filter.experiment.s)
        luaL_error(L, "options: 'run' needs 'experiment'");
    *filter = f.filter;
}
