/* One loop for both: waiting for the next order, and waiting for the job's end. All signals stay blocked; SIGCHLD and
 * SIGTERM are read from a signalfd, the others do nothing here (the child starts with an empty mask).
 *
 * Signals and processes, in order: the main child is reaped by its own pid with wait4 (its rusage includes the
 * children it waited for); only then what is left is killed and reaped. Finished means reaped: no pipe is waited for.
 * A job that ends within a few milliseconds is not told as started: one report, one wake of the driver. */
#include "engine/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/os.h"
#include "engine/jobrun.h"
#include "engine/reap.h"
#include "engine/wire.h"

#define TELL_STARTED_AFTER 0.003
#define KEEP_BUFFER (256u * 1024u)

struct supervisor {
    int socket, sigfd;
    bool driver_gone;
    bool terminated;      /* SIGTERM came */
    uint32_t cancel;      /* the job that the driver wants ended, or 0 */
    struct xpm_buf in;    /* frames, from `at` */
    size_t at;
    struct xpm_crew crew;
};

static void report(struct supervisor *s, struct xpm_report *r)
{
    const char *at = (const char *)r;
    size_t left = sizeof *r;
    while (left && !s->driver_gone) {
        ssize_t n = send(s->socket, at, left, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            s->driver_gone = true;
            return;
        }
        at += n;
        left -= (size_t)n;
    }
}

/* --- reading --- */

/* Drops what was read; gives memory back after a big order. */
static void compact(struct supervisor *s)
{
    size_t left = s->in.len - s->at;
    if (left)
        memmove(s->in.data, s->in.data + s->at, left);
    s->in.len = left;
    s->at = 0;
    if (left == 0 && s->in.cap > KEEP_BUFFER)
        xpm_buf_free(&s->in);
}

static bool peek(const struct supervisor *s, struct xpm_frame_head *head)
{
    if (s->in.len - s->at < sizeof *head)
        return false;
    memcpy(head, s->in.data + s->at, sizeof *head);
    return true;
}

/* Whether a whole frame is there. */
static bool whole(const struct supervisor *s, struct xpm_frame_head *head)
{
    return peek(s, head) && s->in.len - s->at - sizeof *head >= head->length;
}

/* Reads what is there. Errors: memory. */
static int receive(struct supervisor *s, int flags)
{
    struct xpm_frame_head head;
    size_t want = 16384;
    if (peek(s, &head) && head.length > want)
        want = head.length;
    if (s->at)
        compact(s);
    if (!xpm_buf_reserve(&s->in, want))
        return XPM_ENOMEM;
    ssize_t n = recv(s->socket, s->in.data + s->in.len, want, flags);
    if (n > 0)
        s->in.len += (size_t)n;
    else if (n == 0 || (errno != EINTR && errno != EAGAIN))
        s->driver_gone = true;
    return 0;
}

/* Takes the cancels at the front; an order stays. */
static void take_cancels(struct supervisor *s)
{
    struct xpm_frame_head head;
    while (whole(s, &head) && head.kind == XPM_FRAME_CANCEL) {
        if (head.length == sizeof s->cancel)
            memcpy(&s->cancel, s->in.data + s->at + sizeof head, sizeof s->cancel);
        s->at += sizeof head + head.length;
    }
}

static void take_signals(struct supervisor *s)
{
    struct signalfd_siginfo info;
    while (read(s->sigfd, &info, sizeof info) == (ssize_t)sizeof info)
        if (info.ssi_signo == SIGTERM)
            s->terminated = true;
}

/* Waits at most `timeout` milliseconds (-1: for ever) for a signal or the driver. */
static int wait_for_news(struct supervisor *s, int timeout)
{
    struct pollfd fds[2] = { { .fd = s->sigfd, .events = POLLIN }, { .fd = s->socket, .events = POLLIN } };
    int n = poll(fds, s->driver_gone ? 1 : 2, timeout);
    if (n <= 0)
        return 0;
    if (fds[0].revents)
        take_signals(s);
    if (!s->driver_gone && fds[1].revents)
        return receive(s, MSG_DONTWAIT);
    return 0;
}

/* --- a job's life --- */

struct watch {
    struct xpm_report report;
    struct xpm_usage usage;
    double begun;
    double kill_at; /* 0: no cancel yet */
    bool told, cancelled, killed;
};

static int milliseconds_until(double when)
{
    double left = when - xpm_os_monotonic();
    return left <= 0 ? 0 : left > 3600 ? 3600 * 1000 : (int)(left * 1000) + 1;
}

static int next_timeout(const struct supervisor *s, const struct watch *w)
{
    if (w->cancelled)
        return w->killed ? -1 : milliseconds_until(w->kill_at);
    return w->told || s->driver_gone ? -1 : milliseconds_until(w->begun + TELL_STARTED_AFTER);
}

static void end_job(struct watch *w, pid_t pid)
{
    w->cancelled = true;
    w->kill_at = xpm_os_monotonic() + XPM_GRACE_SECONDS;
    kill(-pid, SIGTERM);
    kill(-pid, SIGCONT); /* a stopped process sees the TERM only when it goes on */
}

static bool reaped(pid_t pid, int *status, struct xpm_usage *usage)
{
    struct rusage used;
    pid_t r;
    do
        r = wait4(pid, status, WNOHANG, &used);
    while (r < 0 && errno == EINTR);
    if (r == pid)
        xpm_usage_add(usage, &used);
    return r == pid;
}

/* Waits for the end of the main child. */
static int watch_job(struct supervisor *s, struct watch *w, pid_t pid)
{
    int status = 0;
    w->begun = xpm_os_monotonic();
    for (;;) {
        take_cancels(s); /* one may have come with the order */
        wait_for_news(s, s->cancel && !w->cancelled ? 0 : next_timeout(s, w)); /* no memory: no cancel is read */
        if (reaped(pid, &status, &w->usage))
            return status;
        take_cancels(s);
        if ((s->terminated || s->cancel == w->report.job) && !w->cancelled)
            end_job(w, pid);
        double now = xpm_os_monotonic();
        if (w->cancelled && !w->killed && now >= w->kill_at) {
            kill(-pid, SIGKILL);
            kill(pid, SIGKILL);
            w->killed = true;
        }
        if (!w->told && now >= w->begun + TELL_STARTED_AFTER) {
            w->told = true;
            w->report.kind = XPM_REPORT_STARTED;
            w->report.facts.state = XPM_RUNNING;
            report(s, &w->report);
        }
    }
}

static void judge(struct xpm_facts *f, int status, const struct watch *w)
{
    f->state = XPM_DONE;
    if (WIFEXITED(status))
        f->exit_code = WEXITSTATUS(status);
    else if (WIFSIGNALED(status))
        f->signal = WTERMSIG(status);
    if (f->exit_code != 0) {
        f->state = XPM_ERROR;
        f->reason = XPM_FAILED;
    }
    if (w->cancelled) {
        f->state = XPM_ERROR;
        f->reason = XPM_CANCELLED;
    }
    f->cpu_seconds = w->usage.cpu_seconds;
    f->peak_memory = w->usage.peak_memory;
}

static void run_order(struct supervisor *s, const struct xpm_order *order)
{
    struct xpm_run run;
    struct watch w;
    memset(&w, 0, sizeof w);
    struct xpm_facts *f = &w.report.facts;
    *f = (struct xpm_facts)XPM_FACTS_INIT;
    w.report.job = order->head.job;
    f->pid = s->crew.self.pid;
    memcpy(f->hostname, s->crew.host.name, sizeof f->hostname);
    enum xpm_prepared prepared = xpm_run_prepare(&run, &s->crew, order, f);
    w.report.kind = XPM_REPORT_ENDED;
    if (prepared == XPM_PREPARED_BUSY || prepared == XPM_PREPARED_EXISTS) {
        w.report.kind = prepared == XPM_PREPARED_BUSY ? XPM_REPORT_BUSY : XPM_REPORT_EXISTS;
    } else if (prepared == XPM_PREPARED && xpm_run_start(&run, &s->crew, f)) {
        w.report.pid = run.pid;
        int status = watch_job(s, &w, run.pid);
        xpm_reap_rest(run.pid, s->sigfd, &w.usage);
        judge(f, status, &w);
        w.report.kind = XPM_REPORT_ENDED;
    } else {
        f->state = XPM_ERROR;
        f->reason = XPM_START_FAILED;
    }
    f->ended_at = xpm_os_now();
    xpm_run_finish(&run, &s->crew, f);
    s->terminated = false;
    s->cancel = 0;
    report(s, &w.report);
}

/* --- the process --- */

static int serve(struct supervisor *s, struct xpm_err *err)
{
    struct xpm_report hello;
    memset(&hello, 0, sizeof hello);
    hello.kind = XPM_REPORT_HELLO;
    hello.job = XPM_WIRE_VERSION;
    hello.pid = s->crew.self.pid;
    report(s, &hello);
    for (;;) {
        struct xpm_frame_head head;
        struct xpm_order order;
        take_cancels(s); /* of jobs that have ended meanwhile */
        if (!whole(s, &head)) {
            if (s->driver_gone)
                return 0;
            if (wait_for_news(s, -1) != 0)
                return xpm_err_set(err, XPM_ENOMEM, "out of memory");
            s->terminated = false; /* no job runs: nothing to end */
            continue;
        }
        s->cancel = 0;
        int rc = head.kind == XPM_FRAME_ORDER
                     ? xpm_order_read(&order, s->in.data + s->at + sizeof head, head.length, err)
                     : xpm_err_set(err, XPM_ECORRUPT, "a frame of unknown kind");
        if (rc)
            return rc;
        /* the order points into its frame: it is put aside, since more may be read while the job runs */
        struct xpm_buf frame = s->in;
        size_t end = s->at + sizeof head + head.length;
        s->in = (struct xpm_buf)XPM_BUF_INIT;
        s->at = 0;
        if (frame.len > end && !xpm_buf_add(&s->in, frame.data + end, frame.len - end))
            rc = xpm_err_set(err, XPM_ENOMEM, "out of memory");
        if (rc == 0)
            run_order(s, &order);
        xpm_order_free(&order);
        if (s->in.len == 0 && frame.cap <= KEEP_BUFFER) {
            xpm_buf_free(&s->in);
            s->in = frame;
            xpm_buf_clear(&s->in);
            s->at = 0;
        } else {
            xpm_buf_free(&frame);
        }
        if (rc)
            return rc;
    }
}

int xpm_supervisor_run(int socket, const char *workdir, const struct xpm_who *driver, struct xpm_err *err)
{
    struct supervisor s;
    sigset_t all, some;
    int rc;
    memset(&s, 0, sizeof s);
    s.socket = socket;
    s.sigfd = s.crew.workdir = -1;
    s.crew.driver = *driver;
    xpm_host_self(&s.crew.host);
    xpm_who_self(&s.crew.self);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    sigemptyset(&some);
    sigaddset(&some, SIGCHLD);
    sigaddset(&some, SIGTERM);
    s.crew.workdir = open(workdir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    s.sigfd = signalfd(-1, &some, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s.crew.workdir < 0)
        rc = xpm_err_errno(err, errno, "cannot open %s", workdir);
    else if (s.sigfd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        rc = xpm_err_errno(err, errno, "cannot watch processes");
    else
        rc = serve(&s, err);
    xpm_buf_free(&s.in);
    xpm_crew_free(&s.crew);
    if (s.sigfd >= 0)
        close(s.sigfd);
    if (s.crew.workdir >= 0)
        close(s.crew.workdir);
    return rc;
}
