/* Jobs that run elsewhere, watched until they end. On a local file system inotify tells when {name}.pid is renamed or
 * closed (a holder that is killed closes it); where inotify sees nothing of other hosts, or has no room, the job is
 * looked at from time to time.
 *
 * A holder's death is told a moment before its lock is gone: after such news the job is looked at again, for a
 * second. */
#ifndef XPM_ENGINE_WATCH_H
#define XPM_ENGINE_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct xpm_watch;

/* Looks at the job. Calls xpm_watch_remove if it runs no more. */
typedef void xpm_watch_look(void *ctx, uint32_t job);

/* `epoll`: the inotify descriptor is added to it with `tag` when it is first needed. `workdir`: descriptor of the
 * workspace. Errors: memory. */
int xpm_watch_new(struct xpm_watch **out, int epoll, uint64_t tag, int workdir, xpm_watch_look *look, void *ctx,
                  struct xpm_err *err);
void xpm_watch_free(struct xpm_watch *w);

/* Watches `folder` (below the workspace) for `job`. Look at the job once after this: it may have ended before.
 * Errors: memory. */
int xpm_watch_add(struct xpm_watch *w, uint32_t job, const char *folder, struct xpm_err *err);
void xpm_watch_remove(struct xpm_watch *w, uint32_t job);

uint32_t xpm_watch_count(const struct xpm_watch *w);
uint32_t xpm_watch_job(const struct xpm_watch *w, uint32_t i); /* i < count */

/* inotify is readable. */
void xpm_watch_ready(struct xpm_watch *w);

/* Looks at what is due at `now`; returns when next (a monotonic time), or 0 if never. */
double xpm_watch_due(struct xpm_watch *w, double now);

#endif
