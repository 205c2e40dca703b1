/* Jobs that another driver's supervisor runs, or that were left by one. The only proof of a running job is its lock;
 * who holds it is told by the file, and used for three things alone: what is shown, whether the job counts against
 * our slots (its driver, on this machine, is gone: nobody else counts it), and whom to ask to end it. */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/os.h"
#include "engine/engine_parts.h"
#include "engine/reap.h"

static bool same_machine(const struct xpm_engine *e, const struct xpm_holder *h)
{
    return *h->host.boot_id && strcmp(h->host.boot_id, e->host.boot_id) == 0 && strcmp(h->host.name, e->host.name) == 0;
}

static bool is_orphan(const struct xpm_engine *e, const struct xpm_holder *h)
{
    return same_machine(e, h) && h->driver.pid > 0 && !xpm_holder_lives(&h->host, &h->driver, &e->host);
}

static void holder_facts(struct xpm_facts *f, const struct xpm_holder *h)
{
    *f = (struct xpm_facts)XPM_FACTS_INIT;
    f->state = XPM_RUNNING;
    f->started_at = h->since;
    f->pid = h->who.pid;
    memcpy(f->hostname, h->host.name, sizeof f->hostname);
}

void xpm_elsewhere_clean(struct xpm_engine *e, const struct xpm_jobdir *dir, const struct xpm_holder *h)
{
    char folder[PATH_MAX];
    pid_t pid = (pid_t)h->job;
    if (same_machine(e, h) && pid > 1 &&
        (size_t)snprintf(folder, sizeof folder, "%s/jobs/%s/%s", e->workdir, dir->task, dir->hash) < sizeof folder)
        xpm_reap_strangers(pid, h->since, folder);
}

int xpm_elsewhere_find(struct xpm_engine *e, struct xpm_found *found, const struct xpm_jobdir *dir, struct xpm_err *err)
{
    struct xpm_err local = XPM_ERR_INIT;
    struct xpm_holder holder;
    enum xpm_lockstate lock = XPM_LOCK_ABSENT;
    found->facts = (struct xpm_facts)XPM_FACTS_INIT;
    int rc = xpm_jobdir_done(&found->facts, &found->ignore, dir, e->host.boot_id, &local);
    if (rc == 0) {
        found->begin = XPM_BEGIN_DONE;
        return 0;
    }
    if (rc == XPM_ENOTFOUND)
        rc = xpm_jobdir_lock(&lock, &holder, dir, &local);
    if (rc == XPM_ENOMEM)
        return xpm_err_set(err, rc, "out of memory");
    if (rc) {
        found->begin = XPM_BEGIN_BROKEN;
        xpm_facts_say(&found->facts, "%s", local.msg);
        return 0;
    }
    found->begin = XPM_BEGIN_NEW;
    if (lock == XPM_LOCK_FREE)
        xpm_elsewhere_clean(e, dir, &holder);
    if (lock == XPM_LOCK_HELD) {
        found->begin = is_orphan(e, &holder) ? XPM_BEGIN_ORPHAN : XPM_BEGIN_ELSEWHERE;
        holder_facts(&found->facts, &holder);
    }
    return 0;
}

void xpm_elsewhere_watch(struct xpm_engine *e, uint32_t job)
{
    char hash[65], folder[PATH_MAX];
    struct xpm_jobdir dir = xpm_job_dir(e, job, hash);
    if (xpm_jobdir_path(folder, sizeof folder, &dir, "", NULL) != 0 ||
        xpm_watch_add(e->watch, job, folder, NULL) != 0) {
        xpm_job_say(e, job, "out of memory: its end cannot be waited for");
        xpm_plan_failed(e->plan, job, XPM_START_FAILED);
        return;
    }
    xpm_elsewhere_look(e, job);
}

/* Looks how a job stands that runs no more. Twice, since .pid may become a marker between two looks. */
static int how_ended(struct xpm_engine *e, struct xpm_facts *facts, const struct xpm_jobdir *dir,
                     enum xpm_lockstate *lock, struct xpm_holder *holder, struct xpm_err *err)
{
    int rc = XPM_ENOTFOUND;
    for (int i = 0; i < 2 && rc == XPM_ENOTFOUND; i++) {
        rc = xpm_jobdir_done(facts, NULL, dir, e->host.boot_id, err);
        if (rc != XPM_ENOTFOUND)
            return rc;
        rc = xpm_jobdir_lock(lock, holder, dir, err);
        if (rc)
            return rc;
        if (*lock != XPM_LOCK_ABSENT)
            return XPM_ENOTFOUND;
        rc = xpm_jobdir_failed(facts, dir, err);
    }
    return rc;
}

void xpm_elsewhere_look(void *engine, uint32_t job)
{
    struct xpm_engine *e = engine;
    char hash[65];
    struct xpm_err err = XPM_ERR_INIT;
    struct xpm_facts facts = XPM_FACTS_INIT;
    struct xpm_holder holder;
    enum xpm_lockstate lock = XPM_LOCK_ABSENT;
    struct xpm_jobdir dir = xpm_job_dir(e, job, hash);
    int rc = how_ended(e, &facts, &dir, &lock, &holder, &err);
    if (rc == XPM_ENOTFOUND && lock == XPM_LOCK_HELD)
        return;
    if (rc == XPM_ENOMEM)
        return; /* the watch looks again */
    xpm_watch_remove(e->watch, job);
    if (rc == 0) {
        xpm_job_at(e, job)->flags |= XPM_RAN_ELSEWHERE;
        xpm_job_facts(e, job, &facts);
        if (facts.state == XPM_DONE)
            xpm_plan_done(e->plan, job);
        else
            xpm_plan_failed(e->plan, job, facts.reason);
    } else if (rc == XPM_ENOTFOUND) {
        /* its supervisor died, or gave way before it started anything: ours to run */
        if (lock == XPM_LOCK_FREE)
            xpm_elsewhere_clean(e, &dir, &holder);
        xpm_plan_requeue(e->plan, job);
    } else {
        xpm_job_say(e, job, err.msg);
        xpm_plan_failed(e->plan, job, XPM_START_FAILED);
    }
}

void xpm_elsewhere_busy(struct xpm_engine *e, uint32_t job)
{
    char hash[65];
    struct xpm_holder holder;
    enum xpm_lockstate lock = XPM_LOCK_ABSENT;
    struct xpm_jobdir dir = xpm_job_dir(e, job, hash);
    struct xpm_facts facts;
    memset(&holder, 0, sizeof holder);
    xpm_jobdir_lock(&lock, &holder, &dir, NULL);
    holder_facts(&facts, &holder);
    xpm_job_facts(e, job, &facts);
    xpm_plan_elsewhere(e->plan, job, lock == XPM_LOCK_HELD && is_orphan(e, &holder));
    xpm_elsewhere_watch(e, job);
}

void xpm_elsewhere_cancel(struct xpm_engine *e, uint32_t job)
{
    char hash[65];
    struct xpm_holder holder;
    enum xpm_lockstate lock;
    struct xpm_jobdir dir = xpm_job_dir(e, job, hash);
    if (xpm_jobdir_lock(&lock, &holder, &dir, NULL) != 0 || lock != XPM_LOCK_HELD || !same_machine(e, &holder))
        return;
    /* the descriptor keeps the number from being reused between the check and the signal */
    int fd = (int)syscall(SYS_pidfd_open, holder.who.pid, 0);
    if (fd < 0)
        return;
    if (xpm_holder_lives(&holder.host, &holder.who, &e->host))
        syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0);
    close(fd);
}
