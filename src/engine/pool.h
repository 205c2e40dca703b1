/* The driver's side of the supervisors: starting them when needed, orders out, reports in. One job each at a time.
 *
 * No signal is used and none is taken from the host: a dead supervisor is one whose socket is closed. What is started
 * from the driver forks once and ends at once; that process is reaped by its number. */
#ifndef XPM_ENGINE_POOL_H
#define XPM_ENGINE_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "engine/record.h"
#include "engine/wire.h"

struct xpm_pool;

struct xpm_pool_events {
    void *ctx;
    /* A report on `job` came. After ENDED, BUSY and EXISTS the supervisor is free again. */
    void (*report)(void *ctx, const struct xpm_report *r);
    /* A supervisor died that had `job`; `spoke`: it had come up at all. */
    void (*died)(void *ctx, uint32_t job, bool spoke);
};

struct xpm_pool_options {
    int epoll;              /* each socket is added with data.u64 = tag | its number */
    uint64_t tag;
    const char *program;    /* absolute path */
    const char *workdir;    /* absolute path */
    char *const *env;       /* for supervisors and so for jobs; must outlive the pool */
    struct xpm_who driver;
};

/* Strings are copied, except env. Errors: memory. */
int xpm_pool_new(struct xpm_pool **out, const struct xpm_pool_options *options, const struct xpm_pool_events *events,
                 struct xpm_err *err);

/* Closes the sockets: supervisors without a job end, the others end with their job. NULL is fine. */
void xpm_pool_free(struct xpm_pool *p);

/* Gives an order to a free supervisor, started if there is none. 0, or an errno: nothing was given. */
int xpm_pool_start(struct xpm_pool *p, const struct xpm_order_head *head, const char *env, const char *work,
                   size_t work_len);

/* Asks the supervisor of `job` (0: of every job) to end it. */
void xpm_pool_cancel(struct xpm_pool *p, uint32_t job);

/* A socket is ready: what epoll said of number `which`. */
void xpm_pool_ready(struct xpm_pool *p, uint32_t which, uint32_t epoll_events);

uint32_t xpm_pool_busy(const struct xpm_pool *p); /* supervisors with a job */

#endif
