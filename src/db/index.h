/* The index of a workspace: which runs there were, their jobs, and how these ended. The files are the truth; this can be
 * deleted at any time and made again from them.
 *
 * Codes are those of db/sqlite.h, and XPM_EVERSION: a newer xpm wrote it. Texts are bytes with a length; one whose `s`
 * is NULL is left out, and so are a NaN and a state of -1: what is stored is kept. */
#ifndef XPM_DB_INDEX_H
#define XPM_DB_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "db/sqlite.h"

#define XPM_INDEX_VERSION 1
#define XPM_INDEX_HASH 32 /* bytes of a hash; twice as many hex digits */

struct xpm_index; /* opaque */

struct xpm_text {
    const char *s; /* not owned; NULL: left out */
    size_t len;
};

struct xpm_index_run {
    struct xpm_text experiment, run; /* required */
    struct xpm_text hostname, status;
    double started_at, ended_at; /* seconds since 1970 */
};

struct xpm_index_int {
    bool given;
    int64_t value;
};

struct xpm_index_job {
    struct xpm_text task; /* required */
    unsigned char hash[XPM_INDEX_HASH];
    int state; /* index of xpm_index_states, or -1 */
    struct xpm_text reason, hostname;
    double submitted_at, started_at, ended_at, cpu_seconds;
    struct xpm_index_int exit_code, signal, peak_memory;
    struct xpm_text tags; /* as xpm_index_add_tag writes them, sorted by name */
};

extern const char *const xpm_index_states[]; /* "unscheduled" ... "error", NULL */

/* 64 hex digits as bytes; false for anything else. */
bool xpm_index_hash(unsigned char out[XPM_INDEX_HASH], const char *hex, size_t len);

/* Its first 8 bytes as an integer that sorts as they do. */
int64_t xpm_index_key(const unsigned char hash[XPM_INDEX_HASH]);

/* Tags travel as one run of bytes: for each its name and value, a length of 4 bytes before both. next_tag starts with
 * *at = 0 and is false at the end (or where the bytes are broken). */
bool xpm_index_add_tag(struct xpm_buf *b, struct xpm_text name, struct xpm_text value);
bool xpm_index_next_tag(struct xpm_text tags, size_t *at, struct xpm_text *name, struct xpm_text *value);

/* Opens the index with the flags and patience of xpm_sql_open; to write makes folder, file and tables. The caller owns *out.
 * XPM_ENOTFOUND to read: no file, or nothing in it yet. */
int xpm_index_open(struct xpm_index **out, const char *path, unsigned flags, int patience, struct xpm_err *err);
void xpm_index_close(struct xpm_index *x); /* NULL is fine */

/* The connection, for statements of the caller's own; owned by the index. */
struct xpm_sql *xpm_index_sql(struct xpm_index *x);

/* Inserts a run, or updates the fields given. */
int xpm_index_put_run(struct xpm_index *x, const struct xpm_index_run *run, struct xpm_err *err);

/* Inserts or updates jobs and links them to a run (made when it is not there), in one transaction. The counters of every
 * run that has one of the jobs follow its state. A state that differs from the stored one (or another reason) begins a new
 * story: what only an end has (reason, ended_at, exit_code, signal, cpu_seconds, peak_memory) is forgotten unless given
 * along, and before "running" started_at and hostname too. */
int xpm_index_put_jobs(struct xpm_index *x, struct xpm_text experiment, struct xpm_text run,
                       const struct xpm_index_job *jobs, size_t count, struct xpm_err *err);

/* ---- reading: statements that the caller steps and finalizes ---- */

/* experiment, run, hostname, started_at, ended_at, status, done, total, failed, and of experiments: runs. */
int xpm_index_experiments(struct xpm_index *x, struct sqlite3_stmt **out, struct xpm_err *err);
int xpm_index_runs(struct xpm_index *x, struct sqlite3_stmt **out, struct xpm_text experiment, struct xpm_err *err);

struct xpm_index_filter {
    struct xpm_text experiment, run, task; /* a run counts only with its experiment */
    int state;                             /* or -1 */
    struct xpm_text hash_prefix;           /* hex digits, any case; anything else matches nothing */
    struct xpm_text tags;                  /* all of them must match */
    int64_t limit;                         /* -1: none */
};

/* Newest submission first: task, hash (hex), state, reason, hostname, submitted_at, started_at, ended_at, exit_code,
 * signal, cpu_seconds, peak_memory, tags (bytes of xpm_index_next_tag, or NULL). `filter` must live until then. */
int xpm_index_jobs(struct xpm_index *x, struct sqlite3_stmt **out, const struct xpm_index_filter *filter,
                   struct xpm_err *err);

#endif
