/* What the parts of the db module share: the handle, and the arguments as the index wants them. */
#ifndef XPM_LUA_DB_H
#define XPM_LUA_DB_H

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>

#include "base/buf.h"
#include "db/index.h"

#define XPM_LUA_DB "xpm.db"

struct xpm_lua_db {
    struct xpm_index *index; /* NULL: closed */
    bool writes;             /* opened to write */
    int reading;             /* listings that are being built */
    bool close_later;        /* close was called by a finalizer meanwhile */
};

/* Rows read from Lua: one block that the collector frees, with all that the rows point to beside Lua's own strings. */
struct xpm_lua_rows {
    struct xpm_buf jobs;  /* struct xpm_index_job, one after another */
    struct xpm_buf tags;  /* of all jobs; while rows are read a job's tags.s is an offset here */
    struct xpm_buf pairs; /* names and values of the tags of the job being read */
};

/* Raises "xpm.db is closed". */
struct xpm_lua_db *xpm_lua_db_check(lua_State *L, int arg);

/* Reading arguments; all raise on misuse. Strings stay anchored in the tables they come from. */
struct xpm_lua_rows *xpm_lua_db_new_rows(lua_State *L); /* pushes its userdata */
void xpm_lua_db_free_rows(struct xpm_lua_rows *rows);
void xpm_lua_db_read_jobs(lua_State *L, int table, struct xpm_lua_rows *rows, size_t *count);
void xpm_lua_db_read_run(lua_State *L, int table, struct xpm_index_run *run);
void xpm_lua_db_read_filter(lua_State *L, int table, struct xpm_lua_rows *rows, struct xpm_index_filter *filter);
struct xpm_text xpm_lua_db_check_text(lua_State *L, int arg); /* a string that is not empty */

#endif
