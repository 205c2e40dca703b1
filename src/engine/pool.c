/* Free supervisors are a stack, so that the one used last, whose memory is warm, is used next. A supervisor's number
 * is reused after its death; an event of epoll for a number that is free then finds no socket and is ignored.
 *
 * Sockets never block here: what the kernel does not take at once is copied and sent when epoll says so. */
#include "engine/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"

#define NONE UINT32_MAX

struct member {
    int socket;       /* -1: this number is free */
    pid_t starter;    /* to be reaped; 0: it was */
    uint32_t job;     /* 0: none */
    uint32_t next;    /* in the stack of free ones, or of free numbers */
    bool spoke;
    struct xpm_buf out;
    struct xpm_report in;
    size_t in_len;    /* bytes of `in` there are */
};

struct xpm_pool {
    struct xpm_pool_options o;
    struct xpm_pool_events events;
    char *program, *workdir;
    char pid_text[24], start_text[24];
    struct member *members;
    uint32_t count, cap; /* members in use at some time; room */
    uint32_t idle, unused, busy;
};

static char *copy(const char *s)
{
    size_t n = strlen(s) + 1;
    char *p = malloc(n);
    return p ? memcpy(p, s, n) : NULL;
}

int xpm_pool_new(struct xpm_pool **out, const struct xpm_pool_options *options, const struct xpm_pool_events *events,
                 struct xpm_err *err)
{
    struct xpm_pool *p = calloc(1, sizeof *p);
    *out = p;
    if (!p)
        return xpm_err_set(err, XPM_ENOMEM, "out of memory");
    p->o = *options;
    p->events = *events;
    p->idle = p->unused = NONE;
    p->program = copy(options->program);
    p->workdir = copy(options->workdir);
    snprintf(p->pid_text, sizeof p->pid_text, "%ld", (long)options->driver.pid);
    snprintf(p->start_text, sizeof p->start_text, "%" PRIu64, options->driver.start);
    if (p->program && p->workdir)
        return 0;
    xpm_pool_free(p);
    *out = NULL;
    return xpm_err_set(err, XPM_ENOMEM, "out of memory");
}

/* --- starting one --- */

static void reap_starter(struct member *m)
{
    int status;
    if (m->starter > 0)
        while (waitpid(m->starter, &status, 0) < 0 && errno == EINTR) {
        }
    m->starter = 0;
}

/* The descriptors of the program: 0 to 2 on /dev/null, the socket, nothing else. The socket is moved first: it may be
 * one of 0 to 2 in a host that has closed them. */
static int set_actions(posix_spawn_file_actions_t *actions, int socket)
{
    int rc = posix_spawn_file_actions_adddup2(actions, socket, XPM_WIRE_FD);
    if (!rc)
        rc = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDWR, 0);
    if (!rc)
        rc = posix_spawn_file_actions_adddup2(actions, 0, 1);
    if (!rc)
        rc = posix_spawn_file_actions_adddup2(actions, 0, 2);
    return rc ? rc : posix_spawn_file_actions_addclosefrom_np(actions, XPM_WIRE_FD + 1);
}

static int spawn(struct xpm_pool *p, int socket, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, all;
    char name[] = "xpm-supervisor";
    char *argv[] = { name, p->workdir, p->pid_text, p->start_text, NULL };
    sigemptyset(&none);
    sigfillset(&all);
    int rc = posix_spawn_file_actions_init(&actions);
    if (rc)
        return rc;
    rc = posix_spawnattr_init(&attr);
    if (rc == 0) {
        rc = set_actions(&actions, socket);
        if (!rc)
            rc = posix_spawnattr_setsigmask(&attr, &none);
        if (!rc)
            rc = posix_spawnattr_setsigdefault(&attr, &all);
        if (!rc)
            rc = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        if (!rc)
            rc = posix_spawn(pid, p->program, &actions, &attr, argv, p->o.env);
        posix_spawnattr_destroy(&attr);
    }
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

/* A number for a new member, its entry cleared. */
static uint32_t take_number(struct xpm_pool *p)
{
    uint32_t i = p->unused;
    if (i != NONE) {
        p->unused = p->members[i].next;
    } else {
        if (p->count == p->cap) {
            uint32_t cap = p->cap ? p->cap * 2 : 8;
            struct member *m = realloc(p->members, cap * sizeof *m);
            if (!m)
                return NONE;
            p->members = m;
            p->cap = cap;
        }
        i = p->count++;
    }
    memset(&p->members[i], 0, sizeof p->members[i]);
    p->members[i].socket = -1;
    return i;
}

static void free_number(struct xpm_pool *p, uint32_t i)
{
    p->members[i].next = p->unused;
    p->unused = i;
}

static int watch_socket(struct xpm_pool *p, uint32_t i, bool write, int op)
{
    struct epoll_event e = { .events = EPOLLIN | (write ? EPOLLOUT : 0), .data.u64 = p->o.tag | i };
    return epoll_ctl(p->o.epoll, op, p->members[i].socket, &e) < 0 ? errno : 0;
}

static int add_member(struct xpm_pool *p, uint32_t *which)
{
    int pair[2];
    uint32_t i = take_number(p);
    if (i == NONE)
        return ENOMEM;
    struct member *m = &p->members[i];
    int rc = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ? errno : 0;
    if (rc) {
        free_number(p, i);
        return rc;
    }
    m->socket = pair[0];
    if (fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0)
        rc = errno;
    if (!rc)
        rc = watch_socket(p, i, false, EPOLL_CTL_ADD);
    if (!rc)
        rc = spawn(p, pair[1], &m->starter);
    close(pair[1]);
    if (rc) {
        close(pair[0]);
        m->socket = -1;
        m->starter = 0;
        free_number(p, i);
        return rc;
    }
    *which = i;
    return 0;
}

/* Forgets a member whose socket is closed or useless, and tells of its job. */
static void bury(struct xpm_pool *p, uint32_t i)
{
    struct member *m = &p->members[i];
    uint32_t job = m->job;
    bool spoke = m->spoke;
    close(m->socket);
    m->socket = -1;
    reap_starter(m);
    xpm_buf_free(&m->out);
    if (job) {
        p->busy--;
    } else {
        uint32_t *at = &p->idle;
        while (*at != NONE && *at != i)
            at = &p->members[*at].next;
        if (*at == i)
            *at = m->next;
    }
    free_number(p, i);
    if (job)
        p->events.died(p->events.ctx, job, spoke);
}

/* --- sending --- */

/* Sends all pieces, or keeps what the socket does not take now. False: out of memory, or the socket is broken. */
static bool send_pieces(struct xpm_pool *p, uint32_t i, struct iovec *pieces, size_t n)
{
    struct member *m = &p->members[i];
    ssize_t sent = 0;
    if (m->out.len == 0) {
        struct msghdr msg = { .msg_iov = pieces, .msg_iovlen = n };
        do
            sent = sendmsg(m->socket, &msg, MSG_NOSIGNAL);
        while (sent < 0 && errno == EINTR);
        if (sent < 0 && errno != EAGAIN)
            return false;
    }
    size_t skip = sent > 0 ? (size_t)sent : 0;
    bool kept = false;
    for (size_t k = 0; k < n; k++) {
        size_t part = skip < pieces[k].iov_len ? skip : pieces[k].iov_len;
        skip -= part;
        if (part == pieces[k].iov_len)
            continue;
        kept = true;
        if (!xpm_buf_add(&m->out, (char *)pieces[k].iov_base + part, pieces[k].iov_len - part))
            return false;
    }
    return !kept || watch_socket(p, i, true, EPOLL_CTL_MOD) == 0;
}

static bool flush(struct xpm_pool *p, uint32_t i)
{
    struct member *m = &p->members[i];
    size_t done = 0;
    while (done < m->out.len) {
        ssize_t n = send(m->socket, m->out.data + done, m->out.len - done, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            return false;
        done += (size_t)n;
    }
    if (done == m->out.len) {
        xpm_buf_free(&m->out);
        return watch_socket(p, i, false, EPOLL_CTL_MOD) == 0;
    }
    if (done) {
        memmove(m->out.data, m->out.data + done, m->out.len - done);
        m->out.len -= done;
    }
    return true;
}

int xpm_pool_start(struct xpm_pool *p, const struct xpm_order_head *head, const char *env, const char *work,
                   size_t work_len)
{
    struct xpm_frame_head frame = { (uint32_t)(sizeof *head + head->env_length + work_len), XPM_FRAME_ORDER };
    struct iovec pieces[4] = { { &frame, sizeof frame },
                               { (void *)(uintptr_t)head, sizeof *head },
                               { (void *)(uintptr_t)env, head->env_length },
                               { (void *)(uintptr_t)work, work_len } };
    for (;;) {
        uint32_t i = p->idle;
        bool fresh = i == NONE;
        int rc = fresh ? add_member(p, &i) : 0;
        if (rc)
            return rc;
        if (!fresh)
            p->idle = p->members[i].next;
        struct member *m = &p->members[i];
        errno = 0;
        if (send_pieces(p, i, pieces, 4)) {
            m->job = head->job;
            p->busy++;
            return 0;
        }
        rc = errno ? errno : ENOMEM;
        bury(p, i); /* it has no job yet: the caller is told here */
        if (fresh || rc == ENOMEM)
            return rc;
        /* a free one that died meanwhile: the next */
    }
}

void xpm_pool_cancel(struct xpm_pool *p, uint32_t job)
{
    for (uint32_t i = 0; i < p->count; i++) {
        struct member *m = &p->members[i];
        if (m->socket < 0 || !m->job || (job && m->job != job))
            continue;
        struct xpm_frame_head frame = { sizeof m->job, XPM_FRAME_CANCEL };
        struct iovec pieces[2] = { { &frame, sizeof frame }, { &m->job, sizeof m->job } };
        send_pieces(p, i, pieces, 2); /* a broken socket is found when it is read */
    }
}

/* --- receiving --- */

static void take_report(struct xpm_pool *p, uint32_t i)
{
    struct member *m = &p->members[i];
    struct xpm_report r = m->in;
    r.facts.message[sizeof r.facts.message - 1] = '\0';
    r.facts.hostname[sizeof r.facts.hostname - 1] = '\0';
    if (r.kind == XPM_REPORT_HELLO) {
        m->spoke = true;
        reap_starter(m);
        return;
    }
    if (!m->job || r.job != m->job)
        return;
    if (r.kind != XPM_REPORT_STARTED) {
        m->job = 0;
        p->busy--;
        m->next = p->idle;
        p->idle = i;
    }
    p->events.report(p->events.ctx, &r);
}

void xpm_pool_ready(struct xpm_pool *p, uint32_t which, uint32_t epoll_events)
{
    if (which >= p->count || p->members[which].socket < 0)
        return;
    if ((epoll_events & EPOLLOUT) && !flush(p, which)) {
        bury(p, which);
        return;
    }
    if (!(epoll_events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    /* `members` may move while a report is handled: it starts the next job. One report a call is enough for a free
     * one. */
    for (;;) {
        struct member *m = &p->members[which];
        if (m->socket < 0)
            return;
        ssize_t n = recv(m->socket, (char *)&m->in + m->in_len, sizeof m->in - m->in_len, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            bury(p, which);
            return;
        }
        m->in_len += (size_t)n;
        if (m->in_len < sizeof m->in)
            continue;
        m->in_len = 0;
        bool last = m->in.kind != XPM_REPORT_HELLO;
        take_report(p, which);
        if (last)
            return; /* there is rarely more; epoll says so if there is */
    }
}

uint32_t xpm_pool_busy(const struct xpm_pool *p)
{
    return p->busy;
}

void xpm_pool_free(struct xpm_pool *p)
{
    if (!p)
        return;
    for (uint32_t i = 0; i < p->count; i++) {
        struct member *m = &p->members[i];
        if (m->socket < 0)
            continue;
        close(m->socket);
        reap_starter(m);
        xpm_buf_free(&m->out);
    }
    free(p->members);
    free(p->program);
    free(p->workdir);
    free(p);
}
