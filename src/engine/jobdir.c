/* Every read is of a whole small file; a file that cannot be parsed, whatever it holds, is one that was being written
 * when a machine went down. Parsing tells the version first, so that a newer format is recognized whatever else it
 * changed. */
#include "engine/jobdir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/os.h"
#include "engine/lockfile.h"

#define LONGEST_FILE (16 * 1024 * 1024)

int xpm_jobdir_path(char *out, size_t cap, const struct xpm_jobdir *dir, const char *suffix, struct xpm_err *err)
{
    int n = *suffix ? snprintf(out, cap, "jobs/%s/%s/%s%s", dir->task, dir->hash, dir->name, suffix)
                    : snprintf(out, cap, "jobs/%s/%s", dir->task, dir->hash);
    if (n < 0 || (size_t)n >= cap)
        return xpm_err_set(err, XPM_ELIMIT, "the path of job %s/%.8s is too long", dir->task, dir->hash);
    return 0;
}

/* A fixed buffer does for every usual marker; a file that is longer takes memory. */
struct text {
    char small[4096];
    struct xpm_buf big;
    const char *data;
    size_t len;
};

/* Reads what is left of fd. Errors: memory, io, limit. */
static int read_text(struct text *t, int fd, struct xpm_err *err)
{
    ssize_t n;
    t->big = (struct xpm_buf)XPM_BUF_INIT;
    t->data = t->small;
    t->len = 0;
    while ((n = read(fd, t->small + t->len, sizeof t->small - t->len)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return xpm_err_errno(err, errno, "cannot read");
        t->len += (size_t)n;
        if (t->len == sizeof t->small)
            break;
    }
    if (t->len < sizeof t->small)
        return 0;
    if (!xpm_buf_add(&t->big, t->small, t->len))
        return xpm_err_set(err, XPM_ENOMEM, "out of memory");
    for (;;) {
        if (t->big.len > LONGEST_FILE)
            return xpm_err_set(err, XPM_ELIMIT, "too long");
        if (!xpm_buf_reserve(&t->big, sizeof t->small))
            return xpm_err_set(err, XPM_ENOMEM, "out of memory");
        n = read(fd, t->big.data + t->big.len, sizeof t->small);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return xpm_err_errno(err, errno, "cannot read");
        if (n == 0)
            break;
        t->big.len += (size_t)n;
    }
    t->data = t->big.data;
    t->len = t->big.len;
    return 0;
}

static void copy_text(char *out, size_t cap, const struct xpm_json *n)
{
    const char *s = xpm_json_string(n);
    size_t len = s ? strlen(s) : 0;
    if (len >= cap) {
        len = cap - 1;
        while (len > 0 && ((unsigned char)s[len] & 0xC0) == 0x80) /* not inside a character */
            len--;
    }
    if (len)
        memcpy(out, s, len);
    out[len] = '\0';
}

static bool whole_number(const struct xpm_json *n, int64_t least, int64_t most, int64_t *out)
{
    int64_t v;
    if (!xpm_json_int(n, &v) || v < least || v > most)
        return false;
    *out = v;
    return true;
}

/* --- markers --- */

/* Whether the outputs have the sizes that the marker records. */
static bool sizes_match(const struct xpm_json *doc, const struct xpm_jobdir *dir)
{
    char path[PATH_MAX];
    const struct xpm_json *outputs = xpm_json_get(doc, "outputs");
    if (xpm_json_type(outputs) != XPM_JSON_MAP)
        return false;
    for (const struct xpm_json *o = xpm_json_first(outputs); o; o = xpm_json_next(o)) {
        struct stat st;
        int64_t size;
        int n = snprintf(path, sizeof path, "jobs/%s/%s/%s", dir->task, dir->hash, xpm_json_key(o));
        if (n < 0 || (size_t)n >= sizeof path || fstatat(dir->workdir, path, &st, 0) < 0)
            return false;
        if (xpm_json_int(o, &size) && (!S_ISREG(st.st_mode) || st.st_size != size))
            return false;
    }
    return true;
}

/* Fills the facts from a whole marker; false if something that must be there is not. */
static bool read_facts(struct xpm_facts *f, const struct xpm_json *doc, int state)
{
    const char *word = xpm_json_string(xpm_json_get(doc, "state"));
    int64_t v;
    double seconds;
    *f = (struct xpm_facts)XPM_FACTS_INIT;
    f->state = state;
    if (!word || strcmp(word, xpm_state_word(state)) != 0 ||
        !xpm_json_float(xpm_json_get(doc, "ended_at"), &f->ended_at))
        return false;
    if (state == XPM_ERROR)
        f->reason = xpm_reason_from_word(xpm_json_string(xpm_json_get(doc, "reason")));
    if (whole_number(xpm_json_get(doc, "exit_code"), 0, 255, &v))
        f->exit_code = (int)v;
    if (whole_number(xpm_json_get(doc, "signal"), 1, 127, &v))
        f->signal = (int)v;
    if (xpm_json_float(xpm_json_get(doc, "started_at"), &seconds))
        f->started_at = seconds;
    if (xpm_json_float(xpm_json_get(doc, "cpu_seconds"), &seconds))
        f->cpu_seconds = seconds;
    if (whole_number(xpm_json_get(doc, "peak_memory"), 0, INT64_MAX, &v))
        f->peak_memory = v;
    copy_text(f->hostname, sizeof f->hostname, xpm_json_get(doc, "hostname"));
    copy_text(f->message, sizeof f->message, xpm_json_get(doc, "message"));
    return true;
}

static int newer(const struct xpm_json *doc, const char *path, struct xpm_err *err)
{
    int64_t version;
    if (!xpm_json_int(xpm_json_get(doc, "version"), &version) || version <= XPM_RECORD_VERSION)
        return 0;
    return xpm_err_set(err, XPM_EVERSION, "%s was written by a newer xpm (format %lld, this one knows %d)", path,
                       (long long)version, XPM_RECORD_VERSION);
}

/* Reads one marker. XPM_ENOTFOUND: none that counts. `boot_id` NULL: of any boot. */
static int read_marker(struct xpm_facts *f, struct xpm_stamp *ignored, const struct xpm_jobdir *dir, int state,
                       const char *boot_id, struct xpm_err *err)
{
    char path[PATH_MAX];
    struct text text;
    struct stat st;
    struct xpm_json *doc = NULL;
    if (ignored)
        *ignored = (struct xpm_stamp){ 0, 0, 0 };
    int rc = xpm_jobdir_path(path, sizeof path, dir, state == XPM_DONE ? ".done" : ".failed", err);
    if (rc)
        return rc;
    int fd = openat(dir->workdir, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
        return XPM_ENOTFOUND;
    if (fd < 0)
        return xpm_err_errno(err, errno, "cannot open %s", path);
    rc = read_text(&text, fd, NULL);
    if (rc == XPM_ENOMEM) {
        xpm_err_set(err, rc, "out of memory");
        goto out;
    }
    if (rc == 0) {
        /* a text that cannot be parsed counts as absent; one that there is no memory for does not */
        rc = xpm_json_parse(&doc, text.data, text.len, NULL);
        if (rc == XPM_ENOMEM)
            xpm_err_set(err, rc, "out of memory");
        else if (rc == 0)
            rc = newer(doc, path, err);
    }
    if (rc == XPM_ENOMEM || rc == XPM_EVERSION)
        goto out;
    bool counts = rc == 0 && read_facts(f, doc, state);
    if (counts && boot_id) {
        const char *theirs = xpm_json_string(xpm_json_get(doc, "boot_id"));
        counts = (theirs && *theirs && strcmp(theirs, boot_id) == 0) || sizes_match(doc, dir);
    }
    rc = counts ? 0 : XPM_ENOTFOUND;
    if (!counts && ignored && fstat(fd, &st) == 0) {
        ignored->inode = st.st_ino;
        ignored->mtime = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
        ignored->size = (uint64_t)st.st_size;
    }
out:
    xpm_json_free(doc);
    xpm_buf_free(&text.big);
    close(fd);
    return rc;
}

int xpm_jobdir_done(struct xpm_facts *facts, struct xpm_stamp *ignored, const struct xpm_jobdir *dir,
                    const char *boot_id, struct xpm_err *err)
{
    return read_marker(facts, ignored, dir, XPM_DONE, boot_id, err);
}

int xpm_jobdir_failed(struct xpm_facts *facts, const struct xpm_jobdir *dir, struct xpm_err *err)
{
    return read_marker(facts, NULL, dir, XPM_ERROR, NULL, err);
}

/* --- holders --- */

static void read_who(struct xpm_who *who, const struct xpm_json *n)
{
    int64_t v;
    if (whole_number(xpm_json_get(n, "pid"), 1, INT32_MAX, &v))
        who->pid = (pid_t)v;
    if (whole_number(xpm_json_get(n, "start"), 0, INT64_MAX, &v))
        who->start = (uint64_t)v;
}

bool xpm_holder_read(struct xpm_holder *h, int fd)
{
    struct text text;
    struct xpm_json *doc = NULL;
    memset(h, 0, sizeof *h);
    bool whole = read_text(&text, fd, NULL) == 0 && xpm_json_parse(&doc, text.data, text.len, NULL) == 0;
    if (whole) {
        read_who(&h->who, doc);
        read_who(&h->driver, xpm_json_get(doc, "driver"));
        whole_number(xpm_json_get(doc, "job"), 1, INT32_MAX, &h->job);
        copy_text(h->host.name, sizeof h->host.name, xpm_json_get(doc, "host"));
        copy_text(h->host.boot_id, sizeof h->host.boot_id, xpm_json_get(doc, "boot_id"));
        if (!xpm_json_float(xpm_json_get(doc, "since"), &h->since))
            xpm_json_float(xpm_json_get(doc, "started_at"), &h->since);
    }
    xpm_json_free(doc);
    xpm_buf_free(&text.big);
    return whole;
}

/* A process that ended and was not waited for still has its entry: it holds nothing. */
static bool is_zombie(pid_t pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return true;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *after = strrchr(text, ')');
    return !after || !after[1] || after[2] == 'Z' || after[2] == 'X';
}

bool xpm_holder_lives(const struct xpm_host *theirs, const struct xpm_who *who, const struct xpm_host *mine)
{
    uint64_t start;
    return who->pid > 0 && *theirs->boot_id && strcmp(theirs->boot_id, mine->boot_id) == 0 &&
           xpm_os_process_start(who->pid, &start) == 0 && start == who->start && !is_zombie(who->pid);
}

int xpm_jobdir_lock(enum xpm_lockstate *state, struct xpm_holder *holder, const struct xpm_jobdir *dir,
                    struct xpm_err *err)
{
    char path[PATH_MAX];
    *state = XPM_LOCK_ABSENT;
    int rc = xpm_jobdir_path(path, sizeof path, dir, ".pid", err);
    if (rc)
        return rc;
    int fd = openat(dir->workdir, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (fd < 0)
        return xpm_err_errno(err, errno, "cannot open %s", path);
    int held = xpm_lockfile_held(fd);
    if (held < 0)
        rc = xpm_err_set(err, -held, "%s: cannot tell whether it is locked", path);
    *state = held > 0 ? XPM_LOCK_HELD : XPM_LOCK_FREE;
    if (holder)
        xpm_holder_read(holder, fd);
    close(fd);
    return rc;
}

int xpm_jobdir_probe(struct xpm_facts *f, const struct xpm_jobdir *dir, const char *boot_id, struct xpm_err *err)
{
    struct xpm_holder holder;
    enum xpm_lockstate lock;
    /* twice: the job may end, and .pid become .done, between the looks */
    for (int i = 0; i < 2; i++) {
        int rc = xpm_jobdir_done(f, NULL, dir, boot_id, err);
        if (rc != XPM_ENOTFOUND)
            return rc;
        rc = xpm_jobdir_lock(&lock, &holder, dir, err);
        if (rc)
            return rc;
        if (lock == XPM_LOCK_HELD) {
            *f = (struct xpm_facts)XPM_FACTS_INIT;
            f->state = XPM_RUNNING;
            f->pid = holder.who.pid;
            f->started_at = holder.since;
            memcpy(f->hostname, holder.host.name, sizeof f->hostname);
            return 0;
        }
        rc = xpm_jobdir_failed(f, dir, err);
        if (rc != XPM_ENOTFOUND)
            return rc;
        if (lock == XPM_LOCK_FREE)
            break;
    }
    *f = (struct xpm_facts)XPM_FACTS_INIT;
    if (lock == XPM_LOCK_FREE) {
        f->state = XPM_ERROR;
        f->reason = XPM_LOST;
        f->started_at = holder.since;
        memcpy(f->hostname, holder.host.name, sizeof f->hostname);
        xpm_facts_say(f, "its supervisor died: nobody knows how it ended");
    }
    return 0;
}
