/* Several drivers may write one index, and Debian's SQLite 3.40 can corrupt a WAL when two connections checkpoint at
 * once. So no connection ever does it by itself: no automatic checkpoint, none at closing; xpm_sql_checkpoint is called under
 * the workspace's lock. The WAL and its shared memory stay on disk in between, which also lets those read who may not
 * write the folder.
 *
 * synchronous is NORMAL. In WAL mode that syncs at checkpoints only, so that a commit costs no sync, and a power cut
 * loses the newest commits, never the file; OFF would save nothing there. With the rollback journal of network file systems it
 * costs a few syncs for each batch, and OFF would risk the whole file for them. What is lost is rebuilt from the jobs' files. */
#include "db/sqlite.h"

#include <errno.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CACHE_MAX 48

struct xpm_sql {
    sqlite3 *handle;
    struct {
        const char *sql; /* static */
        sqlite3_stmt *stmt;
    } cache[CACHE_MAX];
    int cached;
    int64_t wal_pages; /* in the WAL after our last commit */
    int patience;      /* milliseconds */
    char path[];       /* for messages */
};

static int code_of(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_NOMEM: return XPM_ENOMEM;
    case SQLITE_BUSY: case SQLITE_LOCKED: return XPM_ELOCKED;
    case SQLITE_CORRUPT: case SQLITE_NOTADB: return XPM_ECORRUPT;
    case SQLITE_ERROR: case SQLITE_AUTH: case SQLITE_RANGE: case SQLITE_MISUSE: case SQLITE_TOOBIG: return XPM_EINVAL;
    default: return XPM_EIO;
    }
}

static int failed(struct xpm_sql *db, int rc, struct xpm_err *err)
{
    int code = code_of(rc);
    if (code == XPM_ENOMEM)
        return xpm_err_set(err, code, "out of memory");
    if (code == XPM_ELOCKED)
        return xpm_err_set(err, code, "%s: another process has locked it", db->path);
    if (code == XPM_ECORRUPT)
        return xpm_err_set(err, code, "%s: %s", db->path,
                           (rc & 0xff) == SQLITE_NOTADB ? "not a database" : "the database is damaged");
    const char *text = sqlite3_errcode(db->handle) == SQLITE_OK ? sqlite3_errstr(rc) : sqlite3_errmsg(db->handle);
    int system = code == XPM_EIO ? sqlite3_system_errno(db->handle) : 0;
    if (system)
        return xpm_err_set(err, code, "%s: %s (%s)", db->path, text, strerror(system));
    return xpm_err_set(err, code, "%s: %s", db->path, text);
}

static int on_commit(void *arg, sqlite3 *handle, const char *name, int pages)
{
    struct xpm_sql *db = arg;
    (void)handle;
    (void)name;
    db->wal_pages = pages;
    return SQLITE_OK;
}

/* Changing the journal needs the file for oneself, and SQLite does not wait for that: two processes that make the same
 * index at once would see "locked". */
static int set_journal(struct xpm_sql *db, bool wal, struct xpm_err *err)
{
    const char *wanted = wal ? "wal" : "delete";
    for (int waited = 0;; waited += 10) {
        sqlite3_stmt *s = NULL;
        int rc = sqlite3_prepare_v2(db->handle, wal ? "PRAGMA journal_mode=WAL" : "PRAGMA journal_mode=DELETE", -1, &s, NULL);
        if (rc == SQLITE_OK)
            rc = sqlite3_step(s);
        bool done = rc == SQLITE_ROW && sqlite3_stricmp((const char *)sqlite3_column_text(s, 0), wanted) == 0;
        sqlite3_finalize(s);
        if (done)
            return 0;
        if (rc != SQLITE_ROW && code_of(rc) != XPM_ELOCKED)
            return failed(db, rc, err);
        if (waited >= db->patience)
            return xpm_err_set(err, XPM_ELOCKED, "%s: another process has locked it", db->path);
        sqlite3_sleep(10);
    }
}

static int configure(struct xpm_sql *db, unsigned flags, struct xpm_err *err)
{
    int64_t version;
    sqlite3_busy_timeout(db->handle, db->patience);
    sqlite3_extended_result_codes(db->handle, 1);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_wal_autocheckpoint(db->handle, 0);
    sqlite3_wal_hook(db->handle, on_commit, db);
    /* The first read: a file that is no database shows itself before anything is done to it. */
    int rc = xpm_sql_integer(db, "PRAGMA schema_version", &version, err);
    if (rc == 0)
        rc = xpm_sql_exec(db, "PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-16000", err);
    if (rc == 0 && flags & XPM_SQL_WRITE)
        rc = set_journal(db, !(flags & XPM_SQL_NETWORK), err);
    return rc;
}

int xpm_sql_open(struct xpm_sql **out, const char *path, unsigned flags, int patience, struct xpm_err *err)
{
    struct stat st;
    *out = NULL;
    if (stat(path, &st) != 0 && (errno != ENOENT || !(flags & XPM_SQL_WRITE)))
        return xpm_err_errno(err, errno, "cannot open %s", path);
    size_t len = strlen(path);
    struct xpm_sql *db = calloc(1, sizeof *db + len + 1);
    if (!db)
        return xpm_err_set(err, XPM_ENOMEM, "out of memory");
    memcpy(db->path, path, len + 1);
    db->patience = patience;
    int open_flags = flags & XPM_SQL_WRITE ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
    int rc = sqlite3_open_v2(path, &db->handle, open_flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK)
        rc = configure(db, flags, err);
    else if (!db->handle)
        rc = xpm_err_set(err, XPM_ENOMEM, "out of memory");
    else
        rc = failed(db, rc, err);
    if (rc)
        xpm_sql_close(db);
    else
        *out = db;
    return rc;
}

void xpm_sql_close(struct xpm_sql *db)
{
    if (!db)
        return;
    for (int i = 0; i < db->cached; i++)
        sqlite3_finalize(db->cache[i].stmt);
    sqlite3_close(db->handle);
    free(db);
}

int xpm_sql_exec(struct xpm_sql *db, const char *sql, struct xpm_err *err)
{
    int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : failed(db, rc, err);
}

int xpm_sql_integer(struct xpm_sql *db, const char *sql, int64_t *out, struct xpm_err *err)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(db->handle, sql, -1, &s, NULL);
    *out = 0;
    if (rc == SQLITE_OK)
        rc = sqlite3_step(s);
    if (rc == SQLITE_ROW)
        *out = sqlite3_column_int64(s, 0);
    int code = rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : failed(db, rc, err);
    sqlite3_finalize(s);
    return code;
}

int xpm_sql_begin(struct xpm_sql *db, struct xpm_err *err)
{
    return xpm_sql_exec(db, "BEGIN IMMEDIATE", err);
}

int xpm_sql_end(struct xpm_sql *db, bool ok, struct xpm_err *err)
{
    int rc = ok ? xpm_sql_exec(db, "COMMIT", err) : 0;
    if ((rc || !ok) && !sqlite3_get_autocommit(db->handle))
        sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

int xpm_sql_cached(struct xpm_sql *db, struct sqlite3_stmt **out, const char *sql, struct xpm_err *err)
{
    *out = NULL;
    for (int i = 0; i < db->cached; i++) {
        if (db->cache[i].sql == sql) {
            *out = db->cache[i].stmt;
            xpm_sql_reset(*out);
            return 0;
        }
    }
    if (db->cached == CACHE_MAX)
        return xpm_err_set(err, XPM_ELIMIT, "%s: too many statements", db->path);
    int rc = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
    if (rc != SQLITE_OK)
        return failed(db, rc, err);
    db->cache[db->cached].sql = sql;
    db->cache[db->cached++].stmt = *out;
    return 0;
}

/* sqlite3_stmt_readonly would let ATTACH and BEGIN pass and knows nothing of pragmas; the authorizer is not asked about
 * VACUUM. *arg: whether the statement is a pragma. */
static int only_reads(void *arg, int action, const char *a, const char *b, const char *c, const char *d)
{
    static const char *const pragmas[] = { "integrity_check", "quick_check", "page_count", "page_size", "journal_mode",
                                           "user_version", "table_info", "index_list", "index_info", "freelist_count",
                                           "application_id" };
    bool *pragma = arg;
    (void)c;
    (void)d;
    *pragma = *pragma || action == SQLITE_PRAGMA;
    if (action == SQLITE_SELECT || action == SQLITE_READ || action == SQLITE_FUNCTION || action == SQLITE_RECURSIVE)
        return SQLITE_OK;
    for (size_t i = 0; action == SQLITE_PRAGMA && i < sizeof pragmas / sizeof *pragmas; i++) {
        bool names_something = strstr(pragmas[i], "_check") || strstr(pragmas[i], "_info") || strstr(pragmas[i], "_list");
        if (sqlite3_stricmp(a, pragmas[i]) == 0 && (!b || names_something))
            return SQLITE_OK;
    }
    return SQLITE_DENY;
}

/* Whether anything but space, semicolons and comments stands in the text; a comment is told by its compiling to nothing. */
static bool has_statement(sqlite3 *handle, const char *sql, const char *end)
{
    while (sql < end) {
        sqlite3_stmt *s = NULL;
        const char *rest = end;
        if (sqlite3_prepare_v2(handle, sql, (int)(end - sql), &s, &rest) != SQLITE_OK)
            return true;
        if (s) {
            sqlite3_finalize(s);
            return true;
        }
        if (rest <= sql)
            return false;
        sql = rest;
    }
    return false;
}

int xpm_sql_prepare(struct xpm_sql *db, struct sqlite3_stmt **out, const char *sql, size_t len, bool select_only,
                    struct xpm_err *err)
{
    const char *rest = NULL;
    *out = NULL;
    if (len > 1000000)
        return xpm_err_set(err, XPM_EINVAL, "the statement is longer than a million bytes");
    if (memchr(sql, '\0', len))
        return xpm_err_set(err, XPM_EINVAL, "the statement holds a NUL byte");
    bool pragma = false;
    if (select_only)
        sqlite3_set_authorizer(db->handle, only_reads, &pragma);
    int rc = sqlite3_prepare_v2(db->handle, sql, (int)len, out, &rest);
    int code = rc == SQLITE_OK ? 0 : (rc & 0xff) == SQLITE_AUTH
        ? xpm_err_set(err, XPM_EINVAL, "only reading is allowed here") : failed(db, rc, err);
    if (select_only)
        sqlite3_set_authorizer(db->handle, NULL, NULL);
    if (code == 0 && !*out)
        code = xpm_err_set(err, XPM_EINVAL, "there is no statement");
    if (code == 0 && has_statement(db->handle, rest, sql + len))
        code = xpm_err_set(err, XPM_EINVAL, "there is more than one statement");
    if (code == 0 && select_only && !pragma && !sqlite3_stmt_readonly(*out))
        code = xpm_err_set(err, XPM_EINVAL, "only reading is allowed here");
    if (code) {
        sqlite3_finalize(*out);
        *out = NULL;
    }
    return code;
}

void xpm_sql_finalize(struct sqlite3_stmt *s)
{
    sqlite3_finalize(s);
}

void xpm_sql_reset(struct sqlite3_stmt *s)
{
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
}

void xpm_sql_bind_null(struct sqlite3_stmt *s, int at)
{
    sqlite3_bind_null(s, at);
}

void xpm_sql_bind_int(struct sqlite3_stmt *s, int at, int64_t value)
{
    sqlite3_bind_int64(s, at, value);
}

void xpm_sql_bind_float(struct sqlite3_stmt *s, int at, double value)
{
    sqlite3_bind_double(s, at, value); /* a NaN becomes NULL */
}

void xpm_sql_bind_text(struct sqlite3_stmt *s, int at, const char *text, size_t len)
{
    sqlite3_bind_text64(s, at, text, len, SQLITE_STATIC, SQLITE_UTF8);
}

void xpm_sql_bind_blob(struct sqlite3_stmt *s, int at, const void *data, size_t len)
{
    sqlite3_bind_blob64(s, at, data, len, SQLITE_STATIC);
}

void xpm_sql_copy_blob(struct sqlite3_stmt *s, int at, const void *data, size_t len)
{
    sqlite3_bind_blob64(s, at, data, len, SQLITE_TRANSIENT);
}

int xpm_sql_params(struct sqlite3_stmt *s)
{
    return sqlite3_bind_parameter_count(s);
}

int xpm_sql_step(struct xpm_sql *db, struct sqlite3_stmt *s, bool *row, struct xpm_err *err)
{
    int rc = sqlite3_step(s);
    *row = rc == SQLITE_ROW;
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : failed(db, rc, err);
}

int xpm_sql_run(struct xpm_sql *db, struct sqlite3_stmt *s, struct xpm_err *err)
{
    bool row;
    int rc = xpm_sql_step(db, s, &row, err);
    xpm_sql_reset(s);
    return rc;
}

int64_t xpm_sql_changes(struct xpm_sql *db)
{
    return sqlite3_changes64(db->handle);
}

int64_t xpm_sql_insert_id(struct xpm_sql *db)
{
    return sqlite3_last_insert_rowid(db->handle);
}

int xpm_sql_columns(struct sqlite3_stmt *s)
{
    return sqlite3_column_count(s);
}

const char *xpm_sql_name(struct sqlite3_stmt *s, int column)
{
    const char *name = sqlite3_column_name(s, column);
    return name ? name : "";
}

enum xpm_sql_type xpm_sql_type(struct sqlite3_stmt *s, int column)
{
    switch (sqlite3_column_type(s, column)) {
    case SQLITE_NULL: return XPM_SQL_NULL;
    case SQLITE_INTEGER: return XPM_SQL_INTEGER;
    case SQLITE_FLOAT: return XPM_SQL_FLOAT;
    default: return XPM_SQL_BYTES;
    }
}

int64_t xpm_sql_get_int(struct sqlite3_stmt *s, int column)
{
    return sqlite3_column_int64(s, column);
}

double xpm_sql_get_float(struct sqlite3_stmt *s, int column)
{
    return sqlite3_column_type(s, column) == SQLITE_NULL ? (double)NAN : sqlite3_column_double(s, column);
}

const char *xpm_sql_get_bytes(struct sqlite3_stmt *s, int column, size_t *len)
{
    *len = 0;
    if (sqlite3_column_type(s, column) == SQLITE_NULL)
        return NULL;
    const char *data = sqlite3_column_blob(s, column); /* of text: its bytes as they are */
    *len = (size_t)sqlite3_column_bytes(s, column);
    return data ? data : "";
}

int xpm_sql_checkpoint(struct xpm_sql *db, struct xpm_err *err)
{
    sqlite3_busy_timeout(db->handle, db->patience < 1000 ? db->patience : 1000); /* a reader that stays is no reason to make the end of a run wait */
    int rc = sqlite3_wal_checkpoint_v2(db->handle, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    sqlite3_busy_timeout(db->handle, db->patience);
    if (rc != SQLITE_OK)
        return failed(db, rc, err);
    db->wal_pages = 0;
    return 0;
}

int64_t xpm_sql_wal_size(struct xpm_sql *db)
{
    return db->wal_pages * (4096 + 24);
}

const char *xpm_sql_version(void)
{
    return sqlite3_libversion();
}
