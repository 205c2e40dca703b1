/* Nothing that a job started outlives it: killing and reaping every process below this one.
 *
 * The caller is a child subreaper (PR_SET_CHILD_SUBREAPER): whoever loses its parent becomes our child, so that there
 * are descendants exactly while there are children. */
#ifndef XPM_ENGINE_REAP_H
#define XPM_ENGINE_REAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/* What ended processes used. */
struct xpm_usage {
    double cpu_seconds;
    int64_t peak_memory; /* bytes of the largest */
};

void xpm_usage_add(struct xpm_usage *u, const struct rusage *r);

/* After the job's first process `pid` (leader of its session) was reaped: kills what is left and waits for it on
 * `sigfd`, a signalfd of a blocked SIGCHLD. Costs one system call when nothing is left. */
void xpm_reap_rest(pid_t pid, int sigfd, struct xpm_usage *usage);

/* Kills what a dead supervisor's job left behind: the members of the session that `leader` led which work in `folder`
 * (an absolute path without links) or write there, and waits (half a second at most) until they are gone. Does
 * nothing when the number is now that of a process that started at another time than `started_at` (seconds since
 * 1970). */
void xpm_reap_strangers(pid_t leader, double started_at, const char *folder);

#endif
