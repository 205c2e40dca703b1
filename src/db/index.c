/* Made for a million jobs. Names of experiments, tasks and tags are stored once and stand as integers elsewhere. A job is
 * found by the first 8 bytes of its hash: random keys spoil every page of an index, so the entries are kept small, and
 * what else has the same 8 bytes is compared. Runs keep the numbers of their jobs instead of counting them. Listings, newest
 * first with a limit, walk an index that ends in submitted_at.
 *
 * put_jobs reads a job's row, merges, and writes only what differs: sending the same rows again changes nothing. `tags`
 * holds a job's tags as one value, to be read with the row and compared; job_tags holds them again, to be searched.
 *
 * All that is written is written in a BEGIN IMMEDIATE transaction, so that no other process changes a row between our
 * reading it and our writing it. */
#include "db/index.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "db/index_sql.h"

#define APPLICATION_ID 0x78706d31 /* "xpm1" */

enum { UNSCHEDULED, WAITING, READY, SCHEDULED, RUNNING, DONE, ERROR };

struct xpm_index {
    struct xpm_sql *sql;
};

/* ---- opening ---- */

/* What kind of database it is: 0 ours, 1 an empty one, or a code. */
static int look(struct xpm_sql *sql, const char *path, struct xpm_err *err)
{
    int64_t application, version, tables;
    int rc = xpm_sql_integer(sql, "PRAGMA application_id", &application, err);
    if (rc == 0)
        rc = xpm_sql_integer(sql, "PRAGMA user_version", &version, err);
    if (rc == 0)
        rc = xpm_sql_integer(sql, "SELECT count(*) FROM sqlite_master", &tables, err);
    if (rc)
        return rc;
    if (application == 0 && version == 0 && tables == 0)
        return -1;
    if (application != APPLICATION_ID || version < 1)
        return xpm_err_set(err, XPM_ECORRUPT, "%s: a database, but not an index of xpm", path);
    if (version > XPM_INDEX_VERSION)
        return xpm_err_set(err, XPM_EVERSION, "%s: written by a newer xpm (format %lld, this one knows %d)", path,
                           (long long)version, XPM_INDEX_VERSION);
    return 0;
}

static int make_folder(const char *path, struct xpm_err *err)
{
    struct xpm_buf folder = XPM_BUF_INIT;
    const char *slash = strrchr(path, '/');
    int rc = 0;
    if (slash && slash > path) {
        rc = xpm_buf_add(&folder, path, (size_t)(slash - path)) ? xpm_fs_mkdirs(folder.data, err)
                                                                : xpm_err_set(err, XPM_ENOMEM, "out of memory");
        xpm_buf_free(&folder);
    }
    if (rc && rc != XPM_ENOMEM) { /* "not_found" would say that there is no index */
        rc = XPM_EIO;
        if (err)
            err->code = rc;
    }
    return rc;
}

/* Makes the tables unless another process did so since we looked. */
static int make_tables(struct xpm_sql *sql, const char *path, struct xpm_err *err)
{
    char pragmas[96];
    int rc = xpm_sql_begin(sql, err);
    if (rc)
        return rc;
    rc = look(sql, path, err);
    if (rc == -1) {
        snprintf(pragmas, sizeof pragmas, "PRAGMA application_id=%d; PRAGMA user_version=%d", APPLICATION_ID,
                 XPM_INDEX_VERSION);
        rc = xpm_sql_exec(sql, XPM_INDEX_TABLES, err);
        if (rc == 0)
            rc = xpm_sql_exec(sql, pragmas, err);
    }
    int end = xpm_sql_end(sql, rc == 0, err);
    return rc ? rc : end;
}

int xpm_index_open(struct xpm_index **out, const char *path, unsigned flags, int patience, struct xpm_err *err)
{
    *out = NULL;
    struct xpm_index *x = calloc(1, sizeof *x);
    if (!x)
        return xpm_err_set(err, XPM_ENOMEM, "out of memory");
    int rc = flags & XPM_SQL_WRITE ? make_folder(path, err) : 0;
    if (rc == 0)
        rc = xpm_sql_open(&x->sql, path, flags, patience, err);
    if (rc == 0)
        rc = look(x->sql, path, err);
    if (rc == -1)
        rc = flags & XPM_SQL_WRITE ? make_tables(x->sql, path, err)
                                   : xpm_err_set(err, XPM_ENOTFOUND, "%s: nothing is in it yet", path);
    if (rc)
        xpm_index_close(x);
    else
        *out = x;
    return rc;
}

void xpm_index_close(struct xpm_index *x)
{
    if (!x)
        return;
    xpm_sql_close(x->sql);
    free(x);
}

struct xpm_sql *xpm_index_sql(struct xpm_index *x)
{
    return x->sql;
}

/* ---- names ---- */

/* The id that `find` gives for a name; `add` makes one when there is none. */
static int name_id(struct xpm_index *x, const char *find, const char *add, struct xpm_text name, int64_t *id,
                   struct xpm_err *err)
{
    struct sqlite3_stmt *s;
    bool row;
    int rc = xpm_sql_cached(x->sql, &s, find, err);
    if (rc)
        return rc;
    xpm_sql_bind_text(s, 1, name.s, name.len);
    rc = xpm_sql_step(x->sql, s, &row, err);
    if (rc == 0 && row)
        *id = xpm_sql_get_int(s, 0);
    xpm_sql_reset(s);
    if (rc || row)
        return rc;
    rc = xpm_sql_cached(x->sql, &s, add, err);
    if (rc)
        return rc;
    xpm_sql_bind_text(s, 1, name.s, name.len);
    rc = xpm_sql_run(x->sql, s, err);
    *id = xpm_sql_insert_id(x->sql);
    return rc;
}

static const char find_experiment[] = "SELECT id FROM experiments WHERE name=?1";
static const char add_experiment[] = "INSERT INTO experiments(name) VALUES(?1)";
static const char find_task[] = "SELECT id FROM tasks WHERE name=?1";
static const char add_task[] = "INSERT INTO tasks(name) VALUES(?1)";
static const char find_tag[] = "SELECT id FROM tags WHERE name=?1";
static const char add_tag[] = "INSERT INTO tags(name) VALUES(?1)";

/* ---- runs ---- */

/* Runs of one second are told by a number at the end (".2", ".10"), which must not sort as text. */
static bool ordinal_of(struct xpm_buf *b, struct xpm_text run)
{
    size_t dot = run.len;
    while (dot > 0 && run.s[dot - 1] >= '0' && run.s[dot - 1] <= '9')
        dot--;
    if (dot == 0 || run.s[dot - 1] != '.' || dot == run.len || run.len - dot > 10)
        return xpm_buf_add(b, run.s, run.len);
    xpm_buf_add(b, run.s, dot);
    for (size_t i = run.len - dot; i < 10; i++)
        xpm_buf_addc(b, '0');
    return xpm_buf_add(b, run.s + dot, run.len - dot) && !b->failed;
}

/* The id of a run, made when it is not there. In a transaction. */
static int run_id(struct xpm_index *x, struct xpm_text experiment, struct xpm_text run, int64_t *id, struct xpm_err *err)
{
    static const char find[] = "SELECT id FROM runs WHERE experiment=?1 AND name=?2";
    static const char add[] = "INSERT INTO runs(experiment, name, ordinal) VALUES(?1, ?2, ?3)";
    struct sqlite3_stmt *s;
    struct xpm_buf ordinal = XPM_BUF_INIT;
    int64_t experiment_id = 0;
    bool row = false;
    int rc = name_id(x, find_experiment, add_experiment, experiment, &experiment_id, err);
    if (rc == 0)
        rc = xpm_sql_cached(x->sql, &s, find, err);
    if (rc)
        return rc;
    xpm_sql_bind_int(s, 1, experiment_id);
    xpm_sql_bind_text(s, 2, run.s, run.len);
    rc = xpm_sql_step(x->sql, s, &row, err);
    if (rc == 0 && row)
        *id = xpm_sql_get_int(s, 0);
    xpm_sql_reset(s);
    if (rc || row)
        return rc;
    if (!ordinal_of(&ordinal, run))
        rc = xpm_err_set(err, XPM_ENOMEM, "out of memory");
    if (rc == 0)
        rc = xpm_sql_cached(x->sql, &s, add, err);
    if (rc == 0) {
        xpm_sql_bind_int(s, 1, experiment_id);
        xpm_sql_bind_text(s, 2, run.s, run.len);
        xpm_sql_bind_text(s, 3, ordinal.data, ordinal.len);
        rc = xpm_sql_run(x->sql, s, err);
        *id = xpm_sql_insert_id(x->sql);
    }
    xpm_buf_free(&ordinal);
    return rc;
}

int xpm_index_put_run(struct xpm_index *x, const struct xpm_index_run *run, struct xpm_err *err)
{
    static const char update[] = "UPDATE runs SET hostname=coalesce(?2, hostname), status=coalesce(?3, status), "
                                 "started_at=coalesce(?4, started_at), ended_at=coalesce(?5, ended_at) WHERE id=?1";
    struct sqlite3_stmt *s;
    int64_t id = 0;
    int rc = xpm_sql_begin(x->sql, err);
    if (rc)
        return rc;
    rc = run_id(x, run->experiment, run->run, &id, err);
    if (rc == 0)
        rc = xpm_sql_cached(x->sql, &s, update, err);
    if (rc == 0) {
        xpm_sql_bind_int(s, 1, id);
        xpm_sql_bind_text(s, 2, run->hostname.s, run->hostname.len);
        xpm_sql_bind_text(s, 3, run->status.s, run->status.len);
        xpm_sql_bind_float(s, 4, run->started_at);
        xpm_sql_bind_float(s, 5, run->ended_at);
        rc = xpm_sql_run(x->sql, s, err);
    }
    int end = xpm_sql_end(x->sql, rc == 0, err);
    return rc ? rc : end;
}

/* ---- jobs ---- */

struct put { /* one call of put_jobs */
    struct xpm_index *x;
    int64_t run;
    struct xpm_text task; /* the last job's, whose id is next */
    int64_t task_id;
    int64_t total, done, failed; /* how the run's counters change */
    struct xpm_buf kept;         /* texts of the stored row */
};

struct stored {
    int64_t id; /* 0: there is none */
    struct xpm_index_job job;
};

static bool same_text(struct xpm_text a, struct xpm_text b)
{
    return a.s && b.s ? a.len == b.len && memcmp(a.s, b.s, a.len) == 0 : !a.s == !b.s;
}

static bool same_float(double a, double b)
{
    return isnan(a) ? isnan(b) : a == b;
}

static bool same_int(struct xpm_index_int a, struct xpm_index_int b)
{
    return a.given == b.given && (!a.given || a.value == b.value);
}

/* Copies column `i` behind what `kept` holds, since its bytes end with the statement. As the buffer may move, the offset
 * stands in `s` until settle. */
static bool keep_text(struct xpm_buf *kept, struct sqlite3_stmt *s, int i, struct xpm_text *out, size_t *at)
{
    const char *bytes = xpm_sql_get_bytes(s, i, &out->len);
    out->s = bytes;
    *at = kept->len;
    return !bytes || xpm_buf_add(kept, bytes, out->len);
}

static struct xpm_index_int get_int(struct sqlite3_stmt *s, int i)
{
    return (struct xpm_index_int){ xpm_sql_type(s, i) != XPM_SQL_NULL, xpm_sql_get_int(s, i) };
}

/* Reads the stored row of a job into `out`. */
static int find_job(struct put *p, const struct xpm_index_job *job, struct stored *out, struct xpm_err *err)
{
    static const char find[] = "SELECT id, state, reason, hostname, submitted_at, started_at, ended_at, exit_code, signal, "
                               "cpu_seconds, peak_memory, tags FROM jobs INDEXED BY jobs_by_key WHERE key=?1 AND hash=?2 AND task=?3";
    struct sqlite3_stmt *s;
    bool row;
    out->id = 0;
    int rc = xpm_sql_cached(p->x->sql, &s, find, err);
    if (rc)
        return rc;
    xpm_sql_bind_int(s, 1, xpm_index_key(job->hash));
    xpm_sql_bind_blob(s, 2, job->hash, XPM_INDEX_HASH);
    xpm_sql_bind_int(s, 3, p->task_id);
    rc = xpm_sql_step(p->x->sql, s, &row, err);
    if (rc == 0 && row) {
        struct xpm_index_job *j = &out->job;
        struct xpm_text *texts[3] = { &j->reason, &j->hostname, &j->tags };
        const int columns[3] = { 2, 3, 11 };
        size_t at[3];
        bool ok = true;
        out->id = xpm_sql_get_int(s, 0);
        j->state = (int)xpm_sql_get_int(s, 1);
        j->submitted_at = xpm_sql_get_float(s, 4);
        j->started_at = xpm_sql_get_float(s, 5);
        j->ended_at = xpm_sql_get_float(s, 6);
        j->exit_code = get_int(s, 7);
        j->signal = get_int(s, 8);
        j->cpu_seconds = xpm_sql_get_float(s, 9);
        j->peak_memory = get_int(s, 10);
        xpm_buf_clear(&p->kept);
        ok = xpm_buf_reserve(&p->kept, 256);
        for (int i = 0; i < 3; i++)
            ok = ok && keep_text(&p->kept, s, columns[i], texts[i], &at[i]);
        for (int i = 0; ok && i < 3; i++)
            texts[i]->s = texts[i]->s ? p->kept.data + at[i] : NULL;
        if (!ok)
            rc = xpm_err_set(err, XPM_ENOMEM, "out of memory");
    }
    xpm_sql_reset(s);
    return rc;
}

/* What the row will be: `job` over what is stored. */
static struct xpm_index_job merge(const struct xpm_index_job *job, const struct stored *old)
{
    struct xpm_index_job m = *job;
    const struct xpm_index_job *o = &old->job;
    bool fresh = (job->state >= 0 && job->state != o->state) || (job->reason.s && !same_text(job->reason, o->reason));
    if (m.state < 0)
        m.state = o->state;
    if (isnan(m.submitted_at))
        m.submitted_at = o->submitted_at;
    if (!m.tags.s)
        m.tags = o->tags;
    if (!fresh || m.state >= RUNNING) {
        if (isnan(m.started_at))
            m.started_at = o->started_at;
        if (!m.hostname.s)
            m.hostname = o->hostname;
    }
    if (!fresh) {
        if (!m.reason.s)
            m.reason = o->reason;
        if (isnan(m.ended_at))
            m.ended_at = o->ended_at;
        if (isnan(m.cpu_seconds))
            m.cpu_seconds = o->cpu_seconds;
        if (!m.exit_code.given)
            m.exit_code = o->exit_code;
        if (!m.signal.given)
            m.signal = o->signal;
        if (!m.peak_memory.given)
            m.peak_memory = o->peak_memory;
    }
    return m;
}

static bool same_job(const struct xpm_index_job *a, const struct xpm_index_job *b)
{
    return a->state == b->state && same_text(a->reason, b->reason) && same_text(a->hostname, b->hostname) &&
           same_float(a->submitted_at, b->submitted_at) && same_float(a->started_at, b->started_at) &&
           same_float(a->ended_at, b->ended_at) && same_float(a->cpu_seconds, b->cpu_seconds) &&
           same_int(a->exit_code, b->exit_code) && same_int(a->signal, b->signal) &&
           same_int(a->peak_memory, b->peak_memory) && same_text(a->tags, b->tags);
}

static void bind_given(struct sqlite3_stmt *s, int at, struct xpm_index_int i)
{
    if (i.given)
        xpm_sql_bind_int(s, at, i.value);
    else
        xpm_sql_bind_null(s, at);
}

/* Parameters 1 to 11, the same ones in all statements that write a job. */
static void bind_job(struct sqlite3_stmt *s, const struct xpm_index_job *j)
{
    xpm_sql_bind_int(s, 1, j->state);
    xpm_sql_bind_text(s, 2, j->reason.s, j->reason.len);
    xpm_sql_bind_text(s, 3, j->hostname.s, j->hostname.len);
    xpm_sql_bind_float(s, 4, j->submitted_at);
    xpm_sql_bind_float(s, 5, j->started_at);
    xpm_sql_bind_float(s, 6, j->ended_at);
    bind_given(s, 7, j->exit_code);
    bind_given(s, 8, j->signal);
    xpm_sql_bind_float(s, 9, j->cpu_seconds);
    bind_given(s, 10, j->peak_memory);
    xpm_sql_bind_blob(s, 11, j->tags.s, j->tags.len);
}

static int insert_job(struct put *p, const struct xpm_index_job *j, int64_t *id, struct xpm_err *err)
{
    static const char insert[] =
        "INSERT INTO jobs(state, reason, hostname, submitted_at, started_at, ended_at, exit_code, signal, cpu_seconds, "
        "peak_memory, tags, task, key, hash) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    struct sqlite3_stmt *s;
    int rc = xpm_sql_cached(p->x->sql, &s, insert, err);
    if (rc)
        return rc;
    bind_job(s, j);
    xpm_sql_bind_int(s, 12, p->task_id);
    xpm_sql_bind_int(s, 13, xpm_index_key(j->hash));
    xpm_sql_bind_blob(s, 14, j->hash, XPM_INDEX_HASH);
    rc = xpm_sql_run(p->x->sql, s, err);
    *id = xpm_sql_insert_id(p->x->sql);
    return rc;
}

#define SET_REST                                                                                                       \
    "reason=?2, hostname=?3, started_at=?5, ended_at=?6, exit_code=?7, signal=?8, cpu_seconds=?9, peak_memory=?10, "   \
    "tags=?11 WHERE id=?12"

/* SQLite rewrites the entries of every index whose column is set, changed or not. */
static int update_job(struct put *p, const struct xpm_index_job *j, const struct stored *old, struct xpm_err *err)
{
    static const char rest[] = "UPDATE jobs SET " SET_REST;
    static const char state[] = "UPDATE jobs SET state=?1, " SET_REST;
    static const char both[] = "UPDATE jobs SET state=?1, submitted_at=?4, " SET_REST;
    struct sqlite3_stmt *s;
    bool moved = !same_float(j->submitted_at, old->job.submitted_at);
    int rc = xpm_sql_cached(p->x->sql, &s, moved ? both : j->state != old->job.state ? state : rest, err);
    if (rc)
        return rc;
    bind_job(s, j);
    xpm_sql_bind_int(s, 12, old->id);
    return xpm_sql_run(p->x->sql, s, err);
}

/* Runs `sql` for each tag of `tags`: ?1 the tag's id, ?2 its value, ?3 the job. */
static int each_tag(struct put *p, const char *sql, struct xpm_text tags, int64_t job, struct xpm_err *err)
{
    struct xpm_text name, value;
    struct sqlite3_stmt *s;
    int64_t tag = 0;
    int rc = 0;
    for (size_t at = 0; rc == 0 && xpm_index_next_tag(tags, &at, &name, &value);) {
        rc = name_id(p->x, find_tag, add_tag, name, &tag, err);
        if (rc == 0)
            rc = xpm_sql_cached(p->x->sql, &s, sql, err);
        if (rc)
            break;
        xpm_sql_bind_int(s, 1, tag);
        xpm_sql_bind_text(s, 2, value.s, value.len);
        xpm_sql_bind_int(s, 3, job);
        rc = xpm_sql_run(p->x->sql, s, err);
    }
    return rc;
}

static int put_tags(struct put *p, const struct xpm_index_job *j, const struct stored *old, int64_t id,
                    struct xpm_err *err)
{
    static const char remove[] = "DELETE FROM job_tags WHERE tag=?1 AND value=?2 AND job=?3";
    static const char insert[] = "INSERT OR IGNORE INTO job_tags(tag, value, job) VALUES(?1, ?2, ?3)";
    if (old->id && same_text(j->tags, old->job.tags))
        return 0;
    int rc = old->id ? each_tag(p, remove, old->job.tags, id, err) : 0;
    return rc ? rc : each_tag(p, insert, j->tags, id, err);
}

/* Links the job to the run, and lets the counters of all its runs follow its state (`before` -1: it is new). */
static int count_job(struct put *p, int64_t id, int before, int after, struct xpm_err *err)
{
    static const char link[] = "INSERT OR IGNORE INTO run_jobs(run, job) VALUES(?1, ?2)";
    static const char others[] = "UPDATE runs SET done=done+?3, failed=failed+?4 "
                                 "WHERE id IN (SELECT run FROM run_jobs WHERE job=?2 AND run<>?1)";
    struct sqlite3_stmt *s;
    int done = (after == DONE) - (before == DONE), failed = (after == ERROR) - (before == ERROR);
    int rc = xpm_sql_cached(p->x->sql, &s, link, err);
    if (rc)
        return rc;
    xpm_sql_bind_int(s, 1, p->run);
    xpm_sql_bind_int(s, 2, id);
    rc = xpm_sql_run(p->x->sql, s, err);
    if (rc)
        return rc;
    bool linked = xpm_sql_changes(p->x->sql) > 0;
    p->total += linked;
    p->done += linked ? after == DONE : done;
    p->failed += linked ? after == ERROR : failed;
    if (before < 0 || (done == 0 && failed == 0))
        return 0;
    rc = xpm_sql_cached(p->x->sql, &s, others, err);
    if (rc)
        return rc;
    xpm_sql_bind_int(s, 1, p->run);
    xpm_sql_bind_int(s, 2, id);
    xpm_sql_bind_int(s, 3, done);
    xpm_sql_bind_int(s, 4, failed);
    return xpm_sql_run(p->x->sql, s, err);
}

static int put_job(struct put *p, const struct xpm_index_job *job, struct xpm_err *err)
{
    struct stored old;
    int rc = 0;
    if (!p->task.s || !same_text(p->task, job->task)) {
        rc = name_id(p->x, find_task, add_task, job->task, &p->task_id, err);
        p->task = job->task;
    }
    if (rc == 0)
        rc = find_job(p, job, &old, err);
    if (rc)
        return rc;
    struct xpm_index_job merged = *job;
    int64_t id = old.id;
    if (!id) {
        if (merged.state < 0)
            merged.state = UNSCHEDULED;
        rc = insert_job(p, &merged, &id, err);
    } else {
        merged = merge(job, &old);
        if (!same_job(&merged, &old.job))
            rc = update_job(p, &merged, &old, err);
    }
    if (rc == 0)
        rc = put_tags(p, &merged, &old, id, err);
    return rc ? rc : count_job(p, id, old.id ? old.job.state : -1, merged.state, err);
}

int xpm_index_put_jobs(struct xpm_index *x, struct xpm_text experiment, struct xpm_text run,
                       const struct xpm_index_job *jobs, size_t count, struct xpm_err *err)
{
    static const char counters[] = "UPDATE runs SET total=total+?2, done=done+?3, failed=failed+?4 WHERE id=?1";
    struct put p = { .x = x, .kept = XPM_BUF_INIT };
    struct sqlite3_stmt *s;
    int rc = xpm_sql_begin(x->sql, err);
    if (rc)
        return rc;
    rc = run_id(x, experiment, run, &p.run, err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = put_job(&p, &jobs[i], err);
    if (rc == 0 && (p.total || p.done || p.failed)) {
        rc = xpm_sql_cached(x->sql, &s, counters, err);
        if (rc == 0) {
            xpm_sql_bind_int(s, 1, p.run);
            xpm_sql_bind_int(s, 2, p.total);
            xpm_sql_bind_int(s, 3, p.done);
            xpm_sql_bind_int(s, 4, p.failed);
            rc = xpm_sql_run(x->sql, s, err);
        }
    }
    xpm_buf_free(&p.kept);
    int end = xpm_sql_end(x->sql, rc == 0, err);
    return rc ? rc : end;
}
