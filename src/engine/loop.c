/* The loop: what epoll tells becomes reports to the plan, and the plan, pumped once after each round, starts the next
 * jobs. Changes of state are queued for whoever asks (xpm_engine_next): the queue is a list through the jobs
 * themselves, so that it needs no memory.
 *
 * A timer runs only while something is to be done at a time: looking at a job elsewhere, or trying again to start a
 * supervisor. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/os.h"
#include "engine/engine_parts.h"

#define EVENTS 64
#define MOST_LOOKS 5          /* at a .done that appears and does not count */
#define RETRY_FIRST 0.05
#define RETRY_LAST 2.0
#define GIVE_UP_AFTER 10.0    /* seconds without one supervisor that could be started */

/* --- events --- */

static void signal_pending(struct xpm_engine *e, bool on)
{
    uint64_t one = 1;
    if (!e->has_fd || e->pending < 0)
        return;
    ssize_t n = on ? write(e->pending, &one, sizeof one) : read(e->pending, &one, sizeof one);
    (void)n; /* a full counter and an empty one are as good */
}

void xpm_loop_changed(void *engine, uint32_t job)
{
    struct xpm_engine *e = engine;
    struct xpm_job *j = xpm_job_at(e, job);
    bool running = xpm_plan_state(e->plan, job) == XPM_RUNNING;
    j->flags |= running ? XPM_TELL_RUNNING : XPM_TELL_END;
    if (!running)
        xpm_job_drop_work(e, job);
    if (j->flags & XPM_IN_QUEUE)
        return;
    j->flags |= XPM_IN_QUEUE;
    j->next_event = 0;
    if (e->last_event) {
        xpm_job_at(e, e->last_event)->next_event = job;
    } else {
        e->first_event = job;
        signal_pending(e, true);
    }
    e->last_event = job;
}

bool xpm_engine_next(struct xpm_engine *e, struct xpm_event *v)
{
    uint32_t job = e->first_event;
    if (!job)
        return false;
    struct xpm_job *j = xpm_job_at(e, job);
    xpm_engine_job(e, job, v, NULL, NULL, NULL);
    if (j->flags & XPM_TELL_RUNNING) {
        j->flags &= (uint8_t)~XPM_TELL_RUNNING;
        v->state = v->facts.state = XPM_RUNNING;
        v->reason = v->facts.reason = XPM_NO_REASON;
        v->cause = 0;
        if (j->flags & XPM_TELL_END) { /* what is known by now is about the end */
            v->facts.ended_at = 0;
            v->facts.exit_code = -1;
            v->facts.signal = 0;
            v->facts.cpu_seconds = -1;
            v->facts.peak_memory = -1;
            v->facts.message[0] = '\0';
            return true;
        }
    } else {
        j->flags &= (uint8_t)~XPM_TELL_END;
    }
    j->flags &= (uint8_t)~XPM_IN_QUEUE;
    e->first_event = j->next_event;
    if (!e->first_event) {
        e->last_event = 0;
        signal_pending(e, false);
    }
    return true;
}

/* --- the plan's runner --- */

/* A supervisor could not be started. While others run, their end is the next occasion; else a timer is. */
static int refused(struct xpm_engine *e, uint32_t job, int problem)
{
    char message[400];
    double now = xpm_os_monotonic();
    bool hopeless = problem == ENOENT || problem == EACCES || problem == ENOEXEC || problem == E2BIG;
    if (!hopeless && xpm_pool_busy(e->pool) > 0)
        return problem;
    if (!hopeless && (e->refused_since == 0 || now - e->refused_since < GIVE_UP_AFTER)) {
        if (e->refused_since == 0) {
            e->refused_since = now;
            e->retry_delay = RETRY_FIRST;
        }
        e->retry_at = now + e->retry_delay;
        e->retry_delay = e->retry_delay * 2 > RETRY_LAST ? RETRY_LAST : e->retry_delay * 2;
        return problem;
    }
    snprintf(message, sizeof message, "cannot start a supervisor: %s", strerror(problem));
    xpm_job_say(e, job, message);
    xpm_plan_failed(e->plan, job, XPM_START_FAILED);
    return 0;
}

int xpm_loop_start(void *engine, uint32_t job)
{
    struct xpm_engine *e = engine;
    const struct xpm_work_piece *w = xpm_job_at(e, job)->work;
    if (xpm_plan_is_generate(e->plan, job))
        return xpm_engine_generate(e, job);
    if (e->retry_at != 0 && xpm_os_monotonic() < e->retry_at)
        return EAGAIN;
    struct xpm_order_head head;
    memset(&head, 0, sizeof head);
    head.job = job;
    head.env_length = w->env->len;
    head.ignore = w->ignore;
    int problem = xpm_pool_start(e->pool, &head, w->env->data, w->data, w->len);
    if (problem)
        return refused(e, job, problem);
    e->retry_at = e->refused_since = 0;
    return 0;
}

void xpm_loop_cancel(void *engine, uint32_t job)
{
    struct xpm_engine *e = engine;
    if (xpm_plan_is_elsewhere(e->plan, job))
        xpm_elsewhere_cancel(e, job);
    else
        xpm_pool_cancel(e->pool, job);
}

/* --- the pool's events --- */

static void ended(struct xpm_engine *e, uint32_t job, const struct xpm_facts *facts)
{
    xpm_job_facts(e, job, facts);
    if (facts->state == XPM_DONE)
        xpm_plan_done(e->plan, job);
    else
        xpm_plan_failed(e->plan, job, facts->reason);
}

/* A .done is there that was not, or did not count, when the job was added: by another driver, meanwhile. */
static void look_again(struct xpm_engine *e, uint32_t job)
{
    char hash[65];
    struct xpm_err err = XPM_ERR_INIT;
    struct xpm_facts facts = XPM_FACTS_INIT;
    struct xpm_jobdir dir = xpm_job_dir(e, job, hash);
    struct xpm_job *j = xpm_job_at(e, job);
    struct xpm_work_piece *w = j->work;
    int rc = xpm_jobdir_done(&facts, &w->ignore, &dir, e->host.boot_id, &err);
    if (rc == 0) {
        j->flags |= XPM_RAN_ELSEWHERE;
        ended(e, job, &facts);
    } else if ((rc == XPM_ENOTFOUND || rc == XPM_ENOMEM) && w->looks++ < MOST_LOOKS) {
        xpm_plan_requeue(e->plan, job);
    } else {
        xpm_job_say(e, job, rc == XPM_ENOTFOUND ? "its end marker cannot be read nor removed" : err.msg);
        xpm_plan_failed(e->plan, job, XPM_START_FAILED);
    }
}

void xpm_loop_report(void *engine, const struct xpm_report *r)
{
    struct xpm_engine *e = engine;
    switch (r->kind) {
    case XPM_REPORT_STARTED:
        xpm_job_facts(e, r->job, &r->facts);
        xpm_plan_running(e->plan, r->job);
        break;
    case XPM_REPORT_ENDED:
        ended(e, r->job, &r->facts);
        break;
    case XPM_REPORT_BUSY:
        xpm_elsewhere_busy(e, r->job);
        break;
    case XPM_REPORT_EXISTS:
        look_again(e, r->job);
        break;
    default:
        break;
    }
    xpm_plan_pump(e->plan);
}

/* It may have written the marker before it died. */
void xpm_loop_died(void *engine, uint32_t job, bool spoke)
{
    struct xpm_engine *e = engine;
    char hash[65];
    struct xpm_facts facts = XPM_FACTS_INIT;
    struct xpm_holder holder;
    enum xpm_lockstate lock = XPM_LOCK_ABSENT;
    struct xpm_jobdir dir = xpm_job_dir(e, job, hash);
    memset(&holder, 0, sizeof holder);
    if (!spoke) {
        xpm_job_say(e, job, "the supervisor ended before it came up");
        xpm_plan_failed(e->plan, job, XPM_START_FAILED);
    } else if (xpm_jobdir_done(&facts, NULL, &dir, e->host.boot_id, NULL) == 0) {
        ended(e, job, &facts);
    } else {
        xpm_jobdir_lock(&lock, &holder, &dir, NULL);
        if (lock == XPM_LOCK_FREE)
            xpm_elsewhere_clean(e, &dir, &holder);
        if (lock == XPM_LOCK_HELD) { /* not ours: it had not come to take it */
            xpm_elsewhere_busy(e, job);
        } else {
            xpm_job_say(e, job, "its supervisor died");
            xpm_plan_failed(e->plan, job, XPM_LOST);
        }
    }
    xpm_plan_pump(e->plan);
}

/* --- time --- */

bool xpm_loop_set_timer(struct xpm_engine *e)
{
    if (xpm_watch_count(e->watch) == 0 && e->retry_at == 0 && e->timer_at == 0)
        return true;
    double now = xpm_os_monotonic(), at = xpm_watch_due(e->watch, now);
    if (e->retry_at != 0 && e->retry_at <= now)
        e->retry_at = 0;
    xpm_plan_pump(e->plan);
    if (e->retry_at != 0 && (at == 0 || e->retry_at < at))
        at = e->retry_at;
    if (at == e->timer_at && at > now)
        return true;
    if (e->timer < 0) {
        if (at == 0)
            return true;
        struct epoll_event event = { .events = EPOLLIN, .data.u64 = XPM_TAG_TIMER };
        e->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (e->timer < 0)
            return false;
        if (epoll_ctl(e->epoll, EPOLL_CTL_ADD, e->timer, &event) < 0) {
            close(e->timer);
            e->timer = -1;
            return false;
        }
    }
    double left = at == 0 ? 0 : at > now ? at - now : 1e-6;
    struct itimerspec spec = { .it_value = { (time_t)left, (long)((left - floor(left)) * 1e9) } };
    if (at != 0 && spec.it_value.tv_sec == 0 && spec.it_value.tv_nsec == 0)
        spec.it_value.tv_nsec = 1;
    if (timerfd_settime(e->timer, 0, &spec, NULL) < 0)
        return false;
    e->timer_at = at;
    return true;
}

/* --- the loop --- */

/* One round of epoll; returns whether the watched descriptor is readable. */
static bool turn(struct xpm_engine *e, int timeout)
{
    struct epoll_event events[EVENTS];
    bool wake = false, due = false;
    uint64_t expired;
    int n = epoll_wait(e->epoll, events, EVENTS, timeout);
    for (int i = 0; i < n; i++) {
        uint64_t what = events[i].data.u64;
        switch (what & ~(uint64_t)UINT32_MAX) {
        case XPM_TAG_SUPERVISOR:
            xpm_pool_ready(e->pool, (uint32_t)what, events[i].events);
            break;
        case XPM_TAG_INOTIFY:
            xpm_watch_ready(e->watch);
            break;
        case XPM_TAG_TIMER:
            if (read(e->timer, &expired, sizeof expired) > 0) {
                e->timer_at = 0;
                due = true;
            }
            break;
        case XPM_TAG_WATCHED:
            wake = true;
            break;
        default: /* our own descriptor that says that events wait: the caller is about to take them */
            break;
        }
    }
    xpm_plan_pump(e->plan);
    if (due)
        xpm_loop_set_timer(e); /* now: the caller may wait outside next */
    return wake;
}

static int milliseconds(double seconds)
{
    return seconds <= 0 ? 0 : seconds > 1e6 ? 1000000000 : (int)ceil(seconds * 1000);
}

enum xpm_step xpm_engine_step(struct xpm_engine *e, double timeout)
{
    double until = timeout < 0 ? 0 : xpm_os_monotonic() + timeout;
    bool first = true;
    xpm_plan_pump(e->plan);
    for (;;) {
        bool timed = xpm_loop_set_timer(e);
        bool events = e->first_event != 0;
        /* idle: nothing can come but the watched descriptor, which is asked without waiting */
        bool idle = !events && xpm_plan_idle(e->plan);
        double left = timeout < 0 ? 1e6 : until - xpm_os_monotonic();
        int wait = events || idle ? 0 : timeout < 0 ? -1 : milliseconds(left);
        if (!timed && (wait < 0 || wait > 100))
            wait = 100;
        if (!first && wait == 0 && !events && !idle)
            return XPM_STEP_TIMEOUT;
        if (turn(e, wait))
            return XPM_STEP_WAKE;
        if (e->first_event)
            return XPM_STEP_EVENT;
        if (idle && xpm_plan_idle(e->plan))
            return XPM_STEP_IDLE;
        if (timeout >= 0 && xpm_os_monotonic() >= until)
            return xpm_plan_idle(e->plan) ? XPM_STEP_IDLE : XPM_STEP_TIMEOUT;
        first = false;
    }
}

int xpm_engine_fd(struct xpm_engine *e)
{
    if (!e->has_fd) {
        struct epoll_event event = { .events = EPOLLIN, .data.u64 = XPM_TAG_PENDING };
        e->pending = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (e->pending < 0)
            return -XPM_EIO;
        if (epoll_ctl(e->epoll, EPOLL_CTL_ADD, e->pending, &event) < 0) {
            close(e->pending);
            e->pending = -1;
            return -XPM_EIO;
        }
        e->has_fd = true;
        if (e->first_event)
            signal_pending(e, true);
    }
    return e->epoll;
}

int xpm_engine_watch(struct xpm_engine *e, int fd, struct xpm_err *err)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = XPM_TAG_WATCHED };
    if (e->watched >= 0)
        epoll_ctl(e->epoll, EPOLL_CTL_DEL, e->watched, NULL);
    e->watched = -1;
    if (fd < 0)
        return 0;
    if (epoll_ctl(e->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        return xpm_err_errno(err, errno, "cannot wait for descriptor %d", fd);
    e->watched = fd;
    return 0;
}

void xpm_engine_stop(struct xpm_engine *e)
{
    xpm_plan_stop(e->plan);
}

bool xpm_engine_cancel(struct xpm_engine *e, uint32_t job)
{
    if (job > xpm_plan_total(e->plan))
        return false;
    if (job) {
        xpm_plan_cancel(e->plan, job);
        return true;
    }
    xpm_pool_cancel(e->pool, 0);
    for (uint32_t i = 0; i < xpm_watch_count(e->watch); i++) {
        char hash[65];
        struct xpm_holder holder;
        enum xpm_lockstate lock;
        struct xpm_jobdir dir = xpm_job_dir(e, xpm_watch_job(e->watch, i), hash);
        if (xpm_jobdir_lock(&lock, &holder, &dir, NULL) == 0 && lock == XPM_LOCK_HELD &&
            !xpm_holder_lives(&holder.host, &holder.driver, &e->host))
            xpm_elsewhere_cancel(e, xpm_watch_job(e->watch, i));
    }
    return true;
}
