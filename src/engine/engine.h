/* The job engine of a driver: a plan, supervisors, and the jobs of others that are waited for; one thread, one loop.
 *
 * Jobs start inside xpm_engine_submit and xpm_engine_step. The engine takes no signal, changes nothing of its
 * process, and is found by one descriptor (xpm_engine_fd). Closing it leaves running jobs to their supervisors. */
#ifndef XPM_ENGINE_ENGINE_H
#define XPM_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "engine/states.h"

struct xpm_engine;

struct xpm_engine_options {
    const char *workdir;    /* made if it is not there */
    uint32_t jobs;          /* at a time, from 1 */
    const char *supervisor; /* program; NULL: xpm-supervisor beside the file this code is in */
};

/* The environment of the jobs is that of the process now, with each job's changes. The caller owns *out.
 * Errors: not_found (folder, program), unsupported (no locks there), io, memory. */
int xpm_engine_open(struct xpm_engine **out, const struct xpm_engine_options *options, struct xpm_err *err);
void xpm_engine_close(struct xpm_engine *e); /* NULL is fine */

/* All strings are NUL-ended and copied. */
struct xpm_job_spec {
    const char *task, *hash, *name; /* jobs/{task}/{hash}/{name}.*; hash: 64 lower-case hex digits */
    const char *const *argv;        /* argc of them, at least one */
    const char *const *env;         /* nenv of them: "NAME=value" sets, "NAME" removes */
    const char *const *outputs;     /* noutputs of them: relative, without ".." */
    const char *params;             /* the bytes of params.json */
    size_t params_len;
    const uint32_t *deps;           /* ndeps numbers of this engine */
    uint32_t argc, nenv, noutputs, ndeps;
    bool generate;                  /* only make the folder and params.json */
};

/* Adds a job; the same task and hash again gives the same number and *again. A job that is done or runs elsewhere is
 * found so. Errors: invalid (the spec), limit, memory. What the world refuses makes the job an error, not the call. */
int xpm_engine_submit(struct xpm_engine *e, const struct xpm_job_spec *spec, uint32_t *number, bool *again,
                      struct xpm_err *err);

enum xpm_step { XPM_STEP_EVENT, XPM_STEP_WAKE, XPM_STEP_TIMEOUT, XPM_STEP_IDLE };

/* Starts what can start and waits up to `timeout` seconds (negative: until something happens).
 * WAKE: the watched descriptor is readable (there may be events too). EVENT: xpm_engine_next has something.
 * IDLE: nothing runs and nothing can start. */
enum xpm_step xpm_engine_step(struct xpm_engine *e, double timeout);

struct xpm_event {
    uint32_t job;
    int state, reason;
    bool reused;    /* done before this engine came */
    bool elsewhere; /* run by another driver's supervisor */
    uint32_t cause; /* reason dependency: the failed job it hangs on */
    struct xpm_facts facts;
};

/* The next change to running, done or error (or unscheduled: generated). False: none. A job has at most two events
 * waiting, so that nothing is allocated here; changes of one job are in order. */
bool xpm_engine_next(struct xpm_engine *e, struct xpm_event *event);

struct xpm_counts {
    uint32_t state[XPM_STATE_COUNT];
    uint32_t total, reused;
};

void xpm_engine_counts(const struct xpm_engine *e, struct xpm_counts *counts);

/* One job as it is now; false: no such number. The strings live as long as the engine. */
bool xpm_engine_job(const struct xpm_engine *e, uint32_t job, struct xpm_event *event, const char **task,
                    const char **name, char hash[65]);

/* Readable when xpm_engine_step has something to do. Negative: -code. */
int xpm_engine_fd(struct xpm_engine *e);

/* Also wakes the step when `fd` is readable; -1: no more. Errors: io (a descriptor that cannot be waited for). */
int xpm_engine_watch(struct xpm_engine *e, int fd, struct xpm_err *err);

void xpm_engine_stop(struct xpm_engine *e); /* starts no more jobs */

/* Ends one job, or (0) all that run here and orphans that this engine waits for. False: no such job. */
bool xpm_engine_cancel(struct xpm_engine *e, uint32_t job);

const char *xpm_engine_workdir(const struct xpm_engine *e); /* absolute */

#endif
