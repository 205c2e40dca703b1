/* xpm.db over src/db. Arguments are read in db_args.c. Results are built in a protected call, so that a statement is
 * finalized also when Lua runs out of memory halfway. */
#include "lua/db.h"

#include <math.h>
#include <string.h>

#include "lua/common.h"

/* ---- the handle ---- */

static void close_index(struct xpm_lua_db *db)
{
    struct xpm_index *index = db->index;
    if (db->reading > 0) {
        db->close_later = true;
        return;
    }
    db->index = NULL;
    xpm_index_close(index);
}

struct xpm_lua_db *xpm_lua_db_check(lua_State *L, int arg)
{
    struct xpm_lua_db *db = luaL_checkudata(L, arg, XPM_LUA_DB);
    if (!db->index || db->close_later)
        luaL_error(L, "xpm.db is closed");
    return db;
}

static struct xpm_lua_db *check_writer(lua_State *L)
{
    struct xpm_lua_db *db = xpm_lua_db_check(L, 1);
    if (!db->writes)
        luaL_error(L, "xpm.db was opened to read");
    return db;
}

static int l_db_close(lua_State *L)
{
    close_index(luaL_checkudata(L, 1, XPM_LUA_DB));
    return 0;
}

static int l_db_tostring(lua_State *L)
{
    struct xpm_lua_db *db = luaL_checkudata(L, 1, XPM_LUA_DB);
    lua_pushfstring(L, "xpm.db (%s): %p", db->index ? "open" : "closed", (void *)db);
    return 1;
}

static int l_db_open(lua_State *L)
{
    static const char *const options[] = { "mode", "network", "patience", NULL };
    struct xpm_err err = XPM_ERR_INIT;
    unsigned flags = 0;
    lua_Number patience = 10;
    size_t len;
    luaL_checktype(L, 1, LUA_TSTRING);
    const char *path = luaL_checklstring(L, 1, &len);
    luaL_argcheck(L, strlen(path) == len && len > 0, 1, "not a path");
    if (!lua_isnoneornil(L, 2)) {
        xpm_lua_check_options(L, 2, options);
        int type = lua_getfield(L, 2, "mode");
        const char *mode = type == LUA_TSTRING ? lua_tostring(L, -1) : type == LUA_TNIL ? "read" : "";
        if (strcmp(mode, "write") == 0)
            flags |= XPM_SQL_WRITE;
        else if (strcmp(mode, "read") != 0)
            return luaL_error(L, "option 'mode' must be \"read\" or \"write\"");
        type = lua_getfield(L, 2, "network");
        if (type != LUA_TNIL && type != LUA_TBOOLEAN)
            return luaL_error(L, "option 'network' must be a boolean");
        flags |= lua_toboolean(L, -1) ? XPM_SQL_NETWORK : 0u;
        type = lua_getfield(L, 2, "patience");
        if (type == LUA_TNUMBER)
            patience = lua_tonumber(L, -1);
        if ((type != LUA_TNUMBER && type != LUA_TNIL) || !(patience >= 0 && patience <= 86400))
            return luaL_error(L, "option 'patience' must be a number of seconds, 0 to 86400");
    }
    struct xpm_lua_db *db = lua_newuserdatauv(L, sizeof *db, 0);
    *db = (struct xpm_lua_db){ .writes = flags & XPM_SQL_WRITE };
    luaL_setmetatable(L, XPM_LUA_DB);
    if (xpm_index_open(&db->index, path, flags, (int)(patience * 1000), &err) != 0)
        return xpm_lua_fail(L, &err);
    return 1;
}

static int l_db_version(lua_State *L)
{
    lua_pushstring(L, xpm_sql_version());
    return 1;
}

/* ---- writing ---- */

static int result(lua_State *L, int rc, const struct xpm_err *err)
{
    if (rc)
        return xpm_lua_fail(L, err);
    lua_pushboolean(L, 1);
    return 1;
}

static int l_db_put_run(lua_State *L)
{
    struct xpm_err err = XPM_ERR_INIT;
    struct xpm_index_run run;
    struct xpm_lua_db *db = check_writer(L);
    xpm_lua_db_read_run(L, 2, &run);
    return result(L, xpm_index_put_run(db->index, &run, &err), &err);
}

static int l_db_put_jobs(lua_State *L)
{
    struct xpm_err err = XPM_ERR_INIT;
    size_t count = 0;
    struct xpm_lua_db *db = check_writer(L);
    struct xpm_text experiment = xpm_lua_db_check_text(L, 2), run = xpm_lua_db_check_text(L, 3);
    struct xpm_lua_rows *rows = xpm_lua_db_new_rows(L);
    xpm_lua_db_read_jobs(L, 4, rows, &count);
    if (!db->index) /* a finalizer closed it while we allocated */
        return luaL_error(L, "xpm.db is closed");
    int rc = xpm_index_put_jobs(db->index, experiment, run, (void *)rows->jobs.data, count, &err);
    xpm_lua_db_free_rows(rows);
    return result(L, rc, &err);
}

static int l_db_checkpoint(lua_State *L)
{
    struct xpm_err err = XPM_ERR_INIT;
    struct xpm_lua_db *db = check_writer(L);
    return result(L, xpm_sql_checkpoint(xpm_index_sql(db->index), &err), &err);
}

static int l_db_wal_size(lua_State *L)
{
    struct xpm_lua_db *db = xpm_lua_db_check(L, 1);
    lua_pushinteger(L, xpm_sql_wal_size(xpm_index_sql(db->index)));
    return 1;
}

/* ---- reading ---- */

struct column {
    const char *name;
    enum { PLAIN, STATE, TAGS } kind;
};

struct fetch {
    struct xpm_sql *sql;
    struct sqlite3_stmt *stmt;    /* finalized by fetch() */
    const struct column *columns; /* NULL: by the statement's own names */
    struct xpm_err err;
};

static void push_plain(lua_State *L, struct sqlite3_stmt *s, int i)
{
    size_t len;
    const char *bytes;
    switch (xpm_sql_type(s, i)) {
    case XPM_SQL_NULL: lua_pushnil(L); break;
    case XPM_SQL_INTEGER: lua_pushinteger(L, xpm_sql_get_int(s, i)); break;
    case XPM_SQL_FLOAT: lua_pushnumber(L, xpm_sql_get_float(s, i)); break;
    case XPM_SQL_BYTES:
        bytes = xpm_sql_get_bytes(s, i, &len);
        lua_pushlstring(L, bytes, len);
        break;
    }
}

static void push_tags(lua_State *L, struct sqlite3_stmt *s, int i)
{
    struct xpm_text tags, name, value;
    size_t at = 0;
    tags.s = xpm_sql_get_bytes(s, i, &tags.len);
    lua_newtable(L);
    while (xpm_index_next_tag(tags, &at, &name, &value)) {
        lua_pushlstring(L, name.s, name.len);
        lua_pushlstring(L, value.s, value.len);
        lua_rawset(L, -3);
    }
}

static void push_column(lua_State *L, struct sqlite3_stmt *s, int i, const struct column *c)
{
    if (!c || c->kind == PLAIN) {
        push_plain(L, s, i);
    } else if (c->kind == TAGS) {
        push_tags(L, s, i);
    } else {
        int64_t state = xpm_sql_get_int(s, i);
        lua_pushstring(L, xpm_index_states[state >= 0 && state < 7 ? state : 0]);
    }
}

/* Argument 1: a struct fetch. Returns the list of rows, or nothing when its err is set. */
static int fetch_rows(lua_State *L)
{
    struct fetch *f = lua_touserdata(L, 1);
    int columns = xpm_sql_columns(f->stmt);
    luaL_checkstack(L, columns + 8, NULL);
    /* The names once, on the stack: a string made for each row would be hashed anew. */
    for (int i = 0; i < columns; i++)
        lua_pushstring(L, f->columns ? f->columns[i].name : xpm_sql_name(f->stmt, i));
    lua_newtable(L);
    bool row;
    for (lua_Integer n = 1;; n++) {
        if (xpm_sql_step(f->sql, f->stmt, &row, &f->err) != 0)
            return 0;
        if (!row)
            return 1;
        lua_createtable(L, 0, columns);
        for (int i = 0; i < columns; i++) {
            lua_pushvalue(L, 2 + i);
            push_column(L, f->stmt, i, f->columns ? &f->columns[i] : NULL);
            lua_rawset(L, -3);
        }
        lua_rawseti(L, -2, n);
    }
}

/* Steps a statement into a list, and finalizes it. `rc` says whether there is one. */
static int fetch(lua_State *L, struct xpm_lua_db *db, int rc, struct fetch *f)
{
    if (rc)
        return xpm_lua_fail(L, &f->err);
    f->sql = xpm_index_sql(db->index);
    db->reading++;
    lua_pushcfunction(L, fetch_rows);
    lua_pushlightuserdata(L, f);
    int status = lua_pcall(L, 1, 1, 0);
    xpm_sql_finalize(f->stmt);
    if (--db->reading == 0 && db->close_later) {
        db->close_later = false;
        close_index(db);
    }
    if (status != LUA_OK)
        return lua_error(L);
    return f->err.code ? xpm_lua_fail(L, &f->err) : 1;
}

static const struct column run_columns[] = {
    { "experiment", PLAIN }, { "run", PLAIN },  { "hostname", PLAIN }, { "started_at", PLAIN }, { "ended_at", PLAIN },
    { "status", PLAIN },     { "done", PLAIN }, { "total", PLAIN },    { "failed", PLAIN },     { "runs", PLAIN },
};

static const struct column job_columns[] = {
    { "task", PLAIN },         { "hash", PLAIN },        { "state", STATE },       { "reason", PLAIN },
    { "hostname", PLAIN },     { "submitted_at", PLAIN }, { "started_at", PLAIN }, { "ended_at", PLAIN },
    { "exit_code", PLAIN },    { "signal", PLAIN },      { "cpu_seconds", PLAIN }, { "peak_memory", PLAIN },
    { "tags", TAGS },
};

static int l_db_experiments(lua_State *L)
{
    struct fetch f = { .columns = run_columns, .err = XPM_ERR_INIT };
    struct xpm_lua_db *db = xpm_lua_db_check(L, 1);
    return fetch(L, db, xpm_index_experiments(db->index, &f.stmt, &f.err), &f);
}

static int l_db_runs(lua_State *L)
{
    struct fetch f = { .columns = run_columns, .err = XPM_ERR_INIT };
    struct xpm_text experiment = { NULL, 0 };
    struct xpm_lua_db *db = xpm_lua_db_check(L, 1);
    if (!lua_isnoneornil(L, 2))
        experiment = xpm_lua_db_check_text(L, 2);
    return fetch(L, db, xpm_index_runs(db->index, &f.stmt, experiment, &f.err), &f);
}

static int l_db_jobs(lua_State *L)
{
    struct fetch f = { .columns = job_columns, .err = XPM_ERR_INIT };
    struct xpm_index_filter filter;
    struct xpm_lua_db *db = xpm_lua_db_check(L, 1);
    lua_settop(L, 2);
    struct xpm_lua_rows *rows = xpm_lua_db_new_rows(L);
    xpm_lua_db_read_filter(L, 2, rows, &filter);
    if (!db->index)
        return luaL_error(L, "xpm.db is closed");
    return fetch(L, db, xpm_index_jobs(db->index, &f.stmt, &filter, &f.err), &f);
}

/* Parameter `at` from stack index `arg`; checked before. */
static void bind(lua_State *L, struct sqlite3_stmt *s, int at, int arg)
{
    size_t len;
    const char *text;
    switch (lua_type(L, arg)) {
    case LUA_TBOOLEAN: xpm_sql_bind_int(s, at, lua_toboolean(L, arg)); break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, arg))
            xpm_sql_bind_int(s, at, lua_tointeger(L, arg));
        else
            xpm_sql_bind_float(s, at, lua_tonumber(L, arg));
        break;
    case LUA_TSTRING:
        text = lua_tolstring(L, arg, &len);
        xpm_sql_bind_text(s, at, text, len);
        break;
    default: xpm_sql_bind_null(s, at);
    }
}

static int l_db_query(lua_State *L)
{
    struct fetch f = { .columns = NULL, .err = XPM_ERR_INIT };
    size_t len;
    struct xpm_lua_db *db = xpm_lua_db_check(L, 1);
    luaL_checktype(L, 2, LUA_TSTRING);
    const char *sql = luaL_checklstring(L, 2, &len);
    int params = lua_gettop(L) - 2;
    for (int i = 3; i < 3 + params; i++) {
        int type = lua_type(L, i);
        luaL_argcheck(L, type == LUA_TNIL || type == LUA_TBOOLEAN || type == LUA_TNUMBER || type == LUA_TSTRING ||
                      xpm_lua_is_null(L, i), i, "cannot be a parameter");
    }
    luaL_checkstack(L, 8, NULL);
    int rc = xpm_sql_prepare(xpm_index_sql(db->index), &f.stmt, sql, len, true, &f.err);
    if (rc == XPM_EINVAL)
        return luaL_error(L, "query: %s", f.err.msg);
    if (rc == 0 && xpm_sql_params(f.stmt) != params) {
        int wanted = xpm_sql_params(f.stmt);
        xpm_sql_finalize(f.stmt);
        return luaL_error(L, "query: the statement has %d parameters, got %d", wanted, params);
    }
    for (int i = 1; rc == 0 && i <= params; i++)
        bind(L, f.stmt, i, i + 2);
    return fetch(L, db, rc, &f);
}

/* ---- the module ---- */

static const luaL_Reg methods[] = {
    { "checkpoint", l_db_checkpoint },
    { "close", l_db_close },
    { "experiments", l_db_experiments },
    { "jobs", l_db_jobs },
    { "put_jobs", l_db_put_jobs },
    { "put_run", l_db_put_run },
    { "query", l_db_query },
    { "runs", l_db_runs },
    { "wal_size", l_db_wal_size },
    { NULL, NULL },
};

static const luaL_Reg metamethods[] = {
    { "__gc", l_db_close },
    { "__close", l_db_close },
    { "__tostring", l_db_tostring },
    { NULL, NULL },
};

static const luaL_Reg functions[] = {
    { "open", l_db_open },
    { "version", l_db_version },
    { NULL, NULL },
};

XPM_LUA_API luaopen_xpm_db(lua_State *L);

XPM_LUA_API luaopen_xpm_db(lua_State *L)
{
    luaL_newmetatable(L, XPM_LUA_DB);
    luaL_setfuncs(L, metamethods, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
