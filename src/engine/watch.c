#include "engine/watch.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/os.h"

#define POLL_FIRST 1.0
#define POLL_LAST 10.0
#define AGAIN_FIRST 0.002
#define AGAIN_LAST 0.5

struct entry {
    uint32_t job;
    int wd;       /* -1: polled */
    bool look;    /* now */
    double at;    /* look at that time; 0: not by time */
    double delay; /* the last pause */
};

struct xpm_watch {
    int epoll, workdir, inotify;
    uint64_t tag;
    bool blind; /* inotify does not see what other hosts do */
    xpm_watch_look *look;
    void *ctx;
    struct entry *entries;
    uint32_t count, cap;
};

static bool sees_one_host_only(int workdir)
{
    static const uint32_t shared[] = {
        0x6969 /* NFS */,      0xFF534D42 /* CIFS */, 0xFE534D42 /* SMB2 */,  0x517B /* SMB */,
        0x0BD00BD0 /* Lustre */, 0x47504653 /* GPFS */, 0x00C36400 /* Ceph */, 0x65735546 /* FUSE */,
        0x01021997 /* 9P */,   0x5346414F /* AFS */,  0x19830326 /* BeeGFS */, 0x7461636F /* OCFS2 */,
        0x01161970 /* GFS2 */, 0x73757245 /* Coda */,
    };
    struct statfs fs;
    if (fstatfs(workdir, &fs) < 0)
        return true;
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
        if ((uint32_t)fs.f_type == shared[i])
            return true;
    return false;
}

int xpm_watch_new(struct xpm_watch **out, int epoll, uint64_t tag, int workdir, xpm_watch_look *look, void *ctx,
                  struct xpm_err *err)
{
    struct xpm_watch *w = calloc(1, sizeof *w);
    *out = w;
    if (!w)
        return xpm_err_set(err, XPM_ENOMEM, "out of memory");
    w->epoll = epoll;
    w->tag = tag;
    w->workdir = workdir;
    w->inotify = -1;
    w->blind = sees_one_host_only(workdir);
    w->look = look;
    w->ctx = ctx;
    return 0;
}

void xpm_watch_free(struct xpm_watch *w)
{
    if (!w)
        return;
    if (w->inotify >= 0)
        close(w->inotify);
    free(w->entries);
    free(w);
}

static bool open_inotify(struct xpm_watch *w)
{
    struct epoll_event e = { .events = EPOLLIN, .data.u64 = w->tag };
    if (w->inotify >= 0)
        return true;
    w->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (w->inotify >= 0 && epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->inotify, &e) < 0) {
        close(w->inotify);
        w->inotify = -1;
    }
    return w->inotify >= 0;
}

static void poll_it(struct entry *e)
{
    e->wd = -1;
    e->delay = POLL_FIRST;
    e->at = xpm_os_monotonic() + e->delay;
}

int xpm_watch_add(struct xpm_watch *w, uint32_t job, const char *folder, struct xpm_err *err)
{
    char path[PATH_MAX];
    if (w->count == w->cap) {
        uint32_t cap = w->cap ? w->cap * 2 : 16;
        struct entry *p = realloc(w->entries, cap * sizeof *p);
        if (!p)
            return xpm_err_set(err, XPM_ENOMEM, "out of memory");
        w->entries = p;
        w->cap = cap;
    }
    struct entry *e = &w->entries[w->count++];
    *e = (struct entry){ job, -1, false, 0, 0 };
    if (!w->blind && open_inotify(w) &&
        (size_t)snprintf(path, sizeof path, "/proc/self/fd/%d/%s", w->workdir, folder) < sizeof path)
        e->wd = inotify_add_watch(w->inotify, path, IN_MOVED_FROM | IN_CLOSE_WRITE | IN_DELETE | IN_DELETE_SELF |
                                                        IN_MOVE_SELF | IN_ONLYDIR);
    if (e->wd < 0)
        poll_it(e);
    return 0;
}

void xpm_watch_remove(struct xpm_watch *w, uint32_t job)
{
    for (uint32_t i = 0; i < w->count; i++) {
        if (w->entries[i].job != job)
            continue;
        if (w->entries[i].wd >= 0)
            inotify_rm_watch(w->inotify, w->entries[i].wd);
        w->entries[i] = w->entries[--w->count];
        return;
    }
}

uint32_t xpm_watch_count(const struct xpm_watch *w)
{
    return w->count;
}

uint32_t xpm_watch_job(const struct xpm_watch *w, uint32_t i)
{
    return w->entries[i].job;
}

/* Looks at all that are marked. A look may remove entries, and add some. */
static void look_at_marked(struct xpm_watch *w)
{
    for (uint32_t i = 0; i < w->count;) {
        if (!w->entries[i].look) {
            i++;
            continue;
        }
        w->entries[i].look = false;
        w->look(w->ctx, w->entries[i].job);
        i = 0;
    }
}

static bool is_pid_file(const struct inotify_event *e)
{
    size_t n = e->len ? strlen(e->name) : 0;
    return n > 4 && strcmp(e->name + n - 4, ".pid") == 0;
}

static void note(struct xpm_watch *w, const struct inotify_event *e)
{
    for (uint32_t i = 0; i < w->count; i++) {
        struct entry *t = &w->entries[i];
        if (!(e->mask & IN_Q_OVERFLOW) && t->wd != e->wd)
            continue;
        if (e->mask & IN_IGNORED) { /* the folder is gone: the number may be used again */
            poll_it(t);
            t->look = true;
        } else if (!e->len || is_pid_file(e)) {
            t->look = true;
            t->delay = AGAIN_FIRST;
            t->at = xpm_os_monotonic() + t->delay;
        }
    }
}

void xpm_watch_ready(struct xpm_watch *w)
{
    char events[4096] __attribute__((aligned(8)));
    ssize_t n;
    while ((n = read(w->inotify, events, sizeof events)) > 0 || (n < 0 && errno == EINTR)) {
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *e = (const struct inotify_event *)(const void *)(events + at);
            note(w, e);
            at += (ssize_t)(sizeof *e + e->len);
        }
    }
    look_at_marked(w);
}

double xpm_watch_due(struct xpm_watch *w, double now)
{
    double next = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        struct entry *e = &w->entries[i];
        if (e->at == 0 || e->at > now)
            continue;
        e->look = true;
        if (e->wd < 0)
            e->delay = e->delay * 1.5 > POLL_LAST ? POLL_LAST : e->delay * 1.5;
        else
            e->delay *= 2;
        e->at = e->wd >= 0 && e->delay > AGAIN_LAST ? 0 : now + e->delay;
    }
    look_at_marked(w);
    for (uint32_t i = 0; i < w->count; i++)
        if (w->entries[i].at != 0 && (next == 0 || w->entries[i].at < next))
            next = w->entries[i].at;
    return next;
}
