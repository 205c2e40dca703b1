/* What the files of the engine share: loop.c (the loop and the reports), engine.c (opening, submitting, questions),
 * elsewhere.c (jobs of others). Nobody else includes this. */
#ifndef XPM_ENGINE_ENGINE_PARTS_H
#define XPM_ENGINE_ENGINE_PARTS_H

#include "engine/chunks.h"
#include "engine/engine.h"
#include "engine/jobdir.h"
#include "engine/plan.h"
#include "engine/pool.h"
#include "engine/watch.h"
#include "engine/wire.h"

/* What an epoll event is about: in the upper half of its data. */
#define XPM_TAG_SUPERVISOR (UINT64_C(1) << 32)
#define XPM_TAG_INOTIFY (UINT64_C(2) << 32)
#define XPM_TAG_TIMER (UINT64_C(3) << 32)
#define XPM_TAG_WATCHED (UINT64_C(4) << 32)
#define XPM_TAG_PENDING (UINT64_C(5) << 32)

/* An environment's changes, shared by the jobs that have the same. */
struct xpm_env_piece {
    uint32_t users;
    uint32_t len;
    char data[];
};

/* What a supervisor needs to run a job; freed when the job has ended. */
struct xpm_work_piece {
    struct xpm_stamp ignore; /* a .done that does not count */
    struct xpm_env_piece *env;
    uint32_t looks;          /* how often a .done had appeared that does not count */
    uint32_t params_at, params_len; /* of params.json in data */
    size_t len;
    char data[];
};

enum { XPM_TELL_RUNNING = 1, XPM_TELL_END = 2, XPM_IN_QUEUE = 4, XPM_REUSED = 8, XPM_RAN_ELSEWHERE = 16 };

/* A job, beside its node in the plan. */
struct xpm_job {
    struct xpm_work_piece *work; /* owned; NULL once it has ended */
    char *message;               /* owned; NULL: none */
    double started_at, ended_at, cpu_seconds;
    int64_t peak_memory, pid;
    uint32_t host;               /* index into hosts */
    uint32_t next_event;         /* in the queue of events */
    int16_t exit_code;
    uint8_t signal, flags;
};

struct xpm_task {
    char *id, *name; /* owned */
};

struct xpm_engine {
    char *workdir;       /* absolute, without links */
    int dir, epoll, timer, pending; /* descriptors; timer and pending -1 until needed */
    int watched;         /* -1: none */
    bool has_fd;         /* somebody waits on the descriptor from outside */
    struct xpm_host host;
    struct xpm_who self;
    char **env;          /* the environment as it was at the opening, one block */
    struct xpm_plan *plan;
    struct xpm_pool *pool;
    struct xpm_watch *watch;
    struct xpm_chunks jobs; /* struct xpm_job, from 1 */
    struct xpm_task *tasks;
    uint32_t ntasks, tasks_cap, last_task;
    uint32_t *task_index, task_index_size;
    char (*hosts)[65];
    uint32_t nhosts, hosts_cap;
    struct xpm_env_piece *last_env; /* counted as a user */
    uint32_t first_event, last_event;
    uint32_t reused;
    double retry_at, retry_delay, refused_since; /* starting supervisors failed; 0: it did not */
    double timer_at;     /* what the timer is set to; 0: off */
};

static inline struct xpm_job *xpm_job_at(const struct xpm_engine *e, uint32_t job)
{
    return xpm_chunks_at(&e->jobs, job);
}

/* engine.c */
struct xpm_jobdir xpm_job_dir(const struct xpm_engine *e, uint32_t job, char hash[65]);
void xpm_job_facts(struct xpm_engine *e, uint32_t job, const struct xpm_facts *facts); /* keeps them */
void xpm_job_say(struct xpm_engine *e, uint32_t job, const char *message);             /* NULL: none */
void xpm_job_drop_work(struct xpm_engine *e, uint32_t job);
int xpm_engine_generate(struct xpm_engine *e, uint32_t job); /* makes folder and params.json; reports to the plan */

/* loop.c: the plan's runner, the pool's events */
int xpm_loop_start(void *engine, uint32_t job);
void xpm_loop_cancel(void *engine, uint32_t job);
void xpm_loop_changed(void *engine, uint32_t job);
void xpm_loop_report(void *engine, const struct xpm_report *r);
void xpm_loop_died(void *engine, uint32_t job, bool spoke);
bool xpm_loop_set_timer(struct xpm_engine *e);

/* elsewhere.c */
struct xpm_found {
    enum xpm_begin begin;
    struct xpm_facts facts;  /* of done and elsewhere; the message of broken */
    struct xpm_stamp ignore; /* of new */
};

/* How a job stands on disk before it is added. Kills what a lost one left behind. Errors: memory. */
int xpm_elsewhere_find(struct xpm_engine *e, struct xpm_found *found, const struct xpm_jobdir *dir,
                       struct xpm_err *err);
/* Watches a job that the plan has as elsewhere, and looks at it. */
void xpm_elsewhere_watch(struct xpm_engine *e, uint32_t job);
void xpm_elsewhere_look(void *engine, uint32_t job);
/* A supervisor found the lock held. */
void xpm_elsewhere_busy(struct xpm_engine *e, uint32_t job);
/* SIGTERM to the supervisor of a job that runs elsewhere, if it is on this machine. */
void xpm_elsewhere_cancel(struct xpm_engine *e, uint32_t job);
/* What a supervisor that died left of a job: its processes are killed. Only while the lock is free: the record is the
 * dead one's. */
void xpm_elsewhere_clean(struct xpm_engine *e, const struct xpm_jobdir *dir, const struct xpm_holder *holder);

#endif
