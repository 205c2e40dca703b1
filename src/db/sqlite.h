/* The one adapter of sqlite3: a database file, prepared statements, transactions.
 *
 * Functions return 0 or a code and fill `err`: XPM_ECORRUPT (not a database, or a broken one), XPM_ELOCKED (another
 * process held it for longer than the connection is patient), XPM_ENOTFOUND, XPM_ENOMEM, XPM_EIO for the rest of what the world does;
 * XPM_EINVAL for SQL that is wrong. */
#ifndef XPM_DB_SQLITE_H
#define XPM_DB_SQLITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct xpm_sql;      /* a connection */
struct sqlite3_stmt; /* a statement; sqlite3's own */

enum xpm_sql_flags {
    XPM_SQL_WRITE = 1,   /* may write, and makes the file (its folder must exist); without it nothing is ever written */
    XPM_SQL_NETWORK = 2, /* on a network file system: a rollback journal and no WAL */
};

/* Opens `path`; `patience` is how many milliseconds it waits for another process' lock. The caller owns *out
 * (xpm_sql_close). */
int xpm_sql_open(struct xpm_sql **out, const char *path, unsigned flags, int patience, struct xpm_err *err);

/* Finalizes the cached statements and closes; statements of xpm_sql_prepare must be finalized before. NULL is fine. */
void xpm_sql_close(struct xpm_sql *db);

/* Runs statements without parameters, and without results that anybody wants. */
int xpm_sql_exec(struct xpm_sql *db, const char *sql, struct xpm_err *err);

/* The integer that a statement without parameters gives in its first column; 0 when it gives no row. */
int xpm_sql_integer(struct xpm_sql *db, const char *sql, int64_t *out, struct xpm_err *err);

/* Transactions that may write (BEGIN IMMEDIATE). end commits if `ok`, else (also if committing fails) rolls back, which
 * may be done without a transaction too. */
int xpm_sql_begin(struct xpm_sql *db, struct xpm_err *err);
int xpm_sql_end(struct xpm_sql *db, bool ok, struct xpm_err *err);

/* A statement that the connection keeps, reset and without bindings. `sql` must be one and the same string for ever: it
 * is told by its address. */
int xpm_sql_cached(struct xpm_sql *db, struct sqlite3_stmt **out, const char *sql, struct xpm_err *err);

/* A statement that the caller finalizes. Exactly one statement, else XPM_EINVAL. With `select_only` one that does
 * anything but read (writing, attaching, transactions, pragmas that set) is XPM_EINVAL too. */
int xpm_sql_prepare(struct xpm_sql *db, struct sqlite3_stmt **out, const char *sql, size_t len, bool select_only,
                    struct xpm_err *err);
void xpm_sql_finalize(struct sqlite3_stmt *s); /* NULL is fine */
void xpm_sql_reset(struct sqlite3_stmt *s);    /* ends it; bindings are dropped */

/* Parameters count from 1; one that the statement does not have is nothing. Text and blobs are not copied: they must live until the statement is reset. A text without
 * bytes (`s` NULL) is NULL, as is a NaN. Binding fails only without memory, which the next step reports. */
void xpm_sql_bind_null(struct sqlite3_stmt *s, int at);
void xpm_sql_bind_int(struct sqlite3_stmt *s, int at, int64_t value);
void xpm_sql_bind_float(struct sqlite3_stmt *s, int at, double value);
void xpm_sql_bind_text(struct sqlite3_stmt *s, int at, const char *text, size_t len);
void xpm_sql_bind_blob(struct sqlite3_stmt *s, int at, const void *data, size_t len);
void xpm_sql_copy_blob(struct sqlite3_stmt *s, int at, const void *data, size_t len); /* copied */
int xpm_sql_params(struct sqlite3_stmt *s); /* how many there are */

/* *row: whether there is one. */
int xpm_sql_step(struct xpm_sql *db, struct sqlite3_stmt *s, bool *row, struct xpm_err *err);

/* Steps a statement that gives no rows, and resets it. */
int xpm_sql_run(struct xpm_sql *db, struct sqlite3_stmt *s, struct xpm_err *err);

int64_t xpm_sql_changes(struct xpm_sql *db);   /* rows that the last statement changed */
int64_t xpm_sql_insert_id(struct xpm_sql *db); /* rowid of the last insertion */

/* The current row; columns count from 0. Bytes live until the next step or reset. */
enum xpm_sql_type { XPM_SQL_NULL, XPM_SQL_INTEGER, XPM_SQL_FLOAT, XPM_SQL_BYTES };
int xpm_sql_columns(struct sqlite3_stmt *s);
const char *xpm_sql_name(struct sqlite3_stmt *s, int column); /* "" without memory */
enum xpm_sql_type xpm_sql_type(struct sqlite3_stmt *s, int column);
int64_t xpm_sql_get_int(struct sqlite3_stmt *s, int column);
double xpm_sql_get_float(struct sqlite3_stmt *s, int column); /* NaN for NULL */
const char *xpm_sql_get_bytes(struct sqlite3_stmt *s, int column, size_t *len); /* text or blob; NULL for NULL */

/* Moves the WAL into the file and empties it. Never in two processes at once. XPM_ELOCKED: somebody was reading or
 * writing, and as much as could be was moved. Nothing to do without a WAL. */
int xpm_sql_checkpoint(struct xpm_sql *db, struct xpm_err *err);

int64_t xpm_sql_wal_size(struct xpm_sql *db); /* bytes of the WAL after this connection's last commit; 0 before */

const char *xpm_sql_version(void);

#endif
