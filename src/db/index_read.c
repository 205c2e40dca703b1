/* Reading the index. Each filter of a listing is one condition; SQLite chooses the index. A listing without a filter, or by
 * state or task, walks an index that ends in submitted_at backwards and stops at the limit; one by hash, run or tag
 * sorts what it finds. */
#include "db/index.h"

#include <string.h>

#define RUN_COLUMNS                                                                                                    \
    "SELECT e.name, r.name, r.hostname, r.started_at, r.ended_at, r.status, r.done, r.total, r.failed"

static int prepare(struct xpm_index *x, struct sqlite3_stmt **out, const char *sql, struct xpm_err *err)
{
    return xpm_sql_prepare(xpm_index_sql(x), out, sql, strlen(sql), false, err);
}

int xpm_index_experiments(struct xpm_index *x, struct sqlite3_stmt **out, struct xpm_err *err)
{
    return prepare(x, out, RUN_COLUMNS ", (SELECT count(*) FROM runs WHERE experiment=e.id) FROM experiments e "
                   "JOIN runs r ON r.id=(SELECT id FROM runs WHERE experiment=e.id ORDER BY ordinal DESC LIMIT 1) "
                   "ORDER BY e.name", err);
}

int xpm_index_runs(struct xpm_index *x, struct sqlite3_stmt **out, struct xpm_text experiment, struct xpm_err *err)
{
    if (!experiment.s)
        return prepare(x, out, RUN_COLUMNS " FROM experiments e JOIN runs r ON r.experiment=e.id "
                       "ORDER BY e.name, r.ordinal", err);
    int rc = prepare(x, out, RUN_COLUMNS " FROM experiments e JOIN runs r ON r.experiment=e.id WHERE e.name=?1 "
                     "ORDER BY r.ordinal", err);
    if (rc == 0)
        xpm_sql_bind_text(*out, 1, experiment.s, experiment.len);
    return rc;
}

/* The hashes that begin with the hex digits of `prefix`: from the bytes `low` on, below `high`. false: none can. */
static bool prefix_range(struct xpm_text prefix, unsigned char low[XPM_INDEX_HASH], unsigned char high[XPM_INDEX_HASH],
                         bool *has_high)
{
    char digits[2 * XPM_INDEX_HASH];
    if (prefix.len > sizeof digits)
        return false;
    memset(digits, '0', sizeof digits);
    memcpy(digits, prefix.s, prefix.len);
    if (!xpm_index_hash(low, digits, sizeof digits))
        return false;
    memcpy(high, low, XPM_INDEX_HASH);
    /* Adds one to the last digit given, with carries to the left. */
    size_t digit = prefix.len;
    unsigned add = digit % 2 ? 16 : 1;
    for (size_t i = (digit + 1) / 2; add && i > 0; i--) {
        unsigned sum = high[i - 1] + add;
        high[i - 1] = (unsigned char)sum;
        add = sum >> 8;
    }
    *has_high = digit > 0 && add == 0;
    return true;
}

struct listing {
    struct xpm_buf sql;
    unsigned char low[XPM_INDEX_HASH], high[XPM_INDEX_HASH];
    bool nothing, has_low, has_high;
    bool walk; /* a run's jobs are so many that the newest are found soonest among all jobs */
};

/* Named parameters would cost a lookup each; these numbers are fixed, and tags follow from FIRST_TAG on in pairs. */
enum { EXPERIMENT = 1, RUN, TASK, STATE, LIMIT, LOW, LOW_KEY, HIGH, HIGH_KEY, FIRST_TAG };

/* With a limit, whether the experiment or run has a good part of all jobs. Else its jobs are collected and sorted. */
static int find_walk(struct xpm_index *x, struct listing *l, const struct xpm_index_filter *f, struct xpm_err *err)
{
    static const char sql[] = "SELECT 1 FROM runs r JOIN experiments e ON e.id=r.experiment WHERE e.name=?1 "
                              "AND (?2 IS NULL OR r.name=?2) AND r.total*4 > (SELECT max(id) FROM jobs) LIMIT 1";
    struct sqlite3_stmt *s;
    if (!f->experiment.s || f->limit < 0)
        return 0;
    int rc = prepare(x, &s, sql, err);
    if (rc)
        return rc;
    xpm_sql_bind_text(s, 1, f->experiment.s, f->experiment.len);
    xpm_sql_bind_text(s, 2, f->run.s, f->run.len);
    rc = xpm_sql_step(xpm_index_sql(x), s, &l->walk, err);
    xpm_sql_finalize(s);
    return rc;
}

static void write_sql(struct listing *l, const struct xpm_index_filter *f)
{
    struct xpm_buf *b = &l->sql;
    struct xpm_text name, value;
    int tag = FIRST_TAG;
    xpm_buf_adds(b, "SELECT t.name, lower(hex(j.hash)), j.state, j.reason, j.hostname, j.submitted_at, j.started_at, "
                    "j.ended_at, j.exit_code, j.signal, j.cpu_seconds, j.peak_memory, j.tags "
                    "FROM jobs j CROSS JOIN tasks t ON t.id=j.task WHERE 1");
    if (f->experiment.s)
        xpm_buf_addf(b, " AND %s run IN (SELECT r.id FROM runs r JOIN experiments e ON e.id=r.experiment WHERE e.name=?%d",
                     l->walk ? "EXISTS (SELECT 1 FROM run_jobs WHERE job=j.id AND"
                             : "j.id IN (SELECT job FROM run_jobs WHERE", EXPERIMENT);
    if (f->experiment.s && f->run.s)
        xpm_buf_addf(b, " AND r.name=?%d", RUN);
    if (f->experiment.s)
        xpm_buf_adds(b, "))");
    if (f->task.s)
        xpm_buf_addf(b, " AND j.task=(SELECT id FROM tasks WHERE name=?%d)", TASK);
    if (f->state >= 0)
        xpm_buf_addf(b, " AND j.state=?%d", STATE);
    if (l->has_low)
        xpm_buf_addf(b, " AND j.key>=?%d AND j.hash>=?%d", LOW_KEY, LOW);
    if (l->has_high)
        xpm_buf_addf(b, " AND j.key<=?%d AND j.hash<?%d", HIGH_KEY, HIGH);
    if (l->nothing)
        xpm_buf_adds(b, " AND 0");
    for (size_t at = 0; xpm_index_next_tag(f->tags, &at, &name, &value); tag += 2)
        xpm_buf_addf(b, " AND j.id IN (SELECT job FROM job_tags WHERE tag=(SELECT id FROM tags WHERE name=?%d) AND value=?%d)",
                     tag, tag + 1);
    xpm_buf_adds(b, " ORDER BY j.submitted_at DESC, j.id DESC");
    if (f->limit >= 0)
        xpm_buf_addf(b, " LIMIT ?%d", LIMIT);
}

int xpm_index_jobs(struct xpm_index *x, struct sqlite3_stmt **out, const struct xpm_index_filter *f, struct xpm_err *err)
{
    struct listing l = { .sql = XPM_BUF_INIT };
    struct xpm_text name, value;
    *out = NULL;
    if (f->hash_prefix.s) {
        l.has_low = prefix_range(f->hash_prefix, l.low, l.high, &l.has_high);
        l.nothing = !l.has_low;
    }
    int rc = find_walk(x, &l, f, err);
    if (rc)
        return rc;
    write_sql(&l, f);
    rc = l.sql.failed ? xpm_err_set(err, XPM_ENOMEM, "out of memory") : prepare(x, out, l.sql.data, err);
    xpm_buf_free(&l.sql);
    if (rc)
        return rc;
    int tag = FIRST_TAG;
    xpm_sql_bind_text(*out, EXPERIMENT, f->experiment.s, f->experiment.len);
    xpm_sql_bind_text(*out, RUN, f->run.s, f->run.len);
    xpm_sql_bind_text(*out, TASK, f->task.s, f->task.len);
    xpm_sql_bind_int(*out, STATE, f->state);
    xpm_sql_bind_int(*out, LIMIT, f->limit);
    xpm_sql_bind_int(*out, LOW_KEY, xpm_index_key(l.low));
    xpm_sql_bind_int(*out, HIGH_KEY, xpm_index_key(l.high));
    xpm_sql_copy_blob(*out, LOW, l.low, XPM_INDEX_HASH);
    xpm_sql_copy_blob(*out, HIGH, l.high, XPM_INDEX_HASH);
    for (size_t at = 0; xpm_index_next_tag(f->tags, &at, &name, &value); tag += 2) {
        xpm_sql_bind_text(*out, tag, name.s, name.len);
        xpm_sql_bind_text(*out, tag + 1, value.s, value.len);
    }
    return 0;
}
