/* The plan: which jobs there are, what each waits for, and which may start now. No system calls, no clock, no
 * process: a runner behind an interface starts jobs and tells the plan how they fare.
 *
 * Jobs are numbered 1, 2, ... in the order they come; a dependency must have come before. There is no recursion, and
 * the cost of a step depends on the edges of the jobs that change, never on the size of the plan.
 *
 * Slots: a job that was handed to the runner holds one of `slots` until it ends; one that runs elsewhere holds none
 * unless it is said to. Ready jobs start first come, first served. */
#ifndef XPM_ENGINE_PLAN_H
#define XPM_ENGINE_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/hash.h"
#include "engine/states.h"

struct xpm_plan;

struct xpm_runner {
    void *ctx;
    /* Starts a job. 0: accepted, and one of xpm_plan_{running,elsewhere,requeue,done,failed,generated} follows,
     * perhaps from inside this call. Else: not now; the job stays first in the queue until the next xpm_plan_pump. */
    int (*start)(void *ctx, uint32_t job);
    /* Ends a job that is scheduled or running; xpm_plan_failed or _done follows, later. */
    void (*cancel)(void *ctx, uint32_t job);
    /* A job's state is now running, done, error, or (generated) unscheduled. Must not call the plan. */
    void (*changed)(void *ctx, uint32_t job);
};

/* What is known of a job when it comes. */
enum xpm_begin {
    XPM_BEGIN_NEW,
    XPM_BEGIN_DONE,      /* it ended well before */
    XPM_BEGIN_ELSEWHERE, /* it runs elsewhere */
    XPM_BEGIN_ORPHAN,    /* it runs elsewhere, and counts against the slots */
    XPM_BEGIN_BROKEN     /* it cannot be: error, start_failed */
};

struct xpm_plan_job {
    uint32_t task;               /* the caller's number of the task id: part of the job's identity */
    uint8_t key[XPM_HASH_SIZE];  /* its identifier */
    const uint32_t *deps;        /* jobs that must be done first; may repeat */
    uint32_t ndeps;
    enum xpm_begin begin;
    bool generate;               /* takes no slot; to be told as generated */
};

/* The caller owns *out. The runner's ctx must outlive it. `slots` >= 1. Errors: memory. */
int xpm_plan_new(struct xpm_plan **out, uint32_t slots, const struct xpm_runner *runner, struct xpm_err *err);
void xpm_plan_free(struct xpm_plan *p); /* NULL is fine; calls nobody */

/* The number of a job that came before, or 0. */
uint32_t xpm_plan_find(const struct xpm_plan *p, uint32_t task, const uint8_t key[XPM_HASH_SIZE]);

/* Adds a job that xpm_plan_find does not find; starts nothing (see xpm_plan_pump). Errors, which leave the plan as it
 * was: memory, invalid (an unknown dependency), limit (2^32 - 2 jobs or edges). */
int xpm_plan_add(struct xpm_plan *p, const struct xpm_plan_job *job, uint32_t *number, struct xpm_err *err);

/* Starts what can start. */
void xpm_plan_pump(struct xpm_plan *p);

/* The runner's reports. Each starts nothing by itself: xpm_plan_pump does. Reports on a job that ended are ignored. */
void xpm_plan_running(struct xpm_plan *p, uint32_t job);
void xpm_plan_elsewhere(struct xpm_plan *p, uint32_t job, bool slot);
void xpm_plan_requeue(struct xpm_plan *p, uint32_t job); /* it runs no more and did not end: it is ours to start */
void xpm_plan_done(struct xpm_plan *p, uint32_t job);
void xpm_plan_failed(struct xpm_plan *p, uint32_t job, int reason);
void xpm_plan_generated(struct xpm_plan *p, uint32_t job); /* unscheduled for good; generated dependants may follow */

/* No more starts: jobs that wait or are ready, and all that come, are unscheduled. */
void xpm_plan_stop(struct xpm_plan *p);

/* One job: it is asked to end, or, not started yet, is error/cancelled at once. */
void xpm_plan_cancel(struct xpm_plan *p, uint32_t job);

uint32_t xpm_plan_total(const struct xpm_plan *p);
uint32_t xpm_plan_count(const struct xpm_plan *p, int state);
uint32_t xpm_plan_used(const struct xpm_plan *p); /* slots held; may pass `slots` by orphans */
bool xpm_plan_idle(const struct xpm_plan *p);     /* nothing runs and nothing can start */
bool xpm_plan_wants(const struct xpm_plan *p);    /* a job could start now: the runner refused it */

/* `job` must be a number of this plan. */
int xpm_plan_state(const struct xpm_plan *p, uint32_t job);
int xpm_plan_reason(const struct xpm_plan *p, uint32_t job);
bool xpm_plan_is_elsewhere(const struct xpm_plan *p, uint32_t job);
bool xpm_plan_is_generate(const struct xpm_plan *p, uint32_t job);
uint32_t xpm_plan_cause(const struct xpm_plan *p, uint32_t job); /* the failed job a dependency error hangs on, or 0 */
uint32_t xpm_plan_task(const struct xpm_plan *p, uint32_t job);
const uint8_t *xpm_plan_key(const struct xpm_plan *p, uint32_t job);

#endif
