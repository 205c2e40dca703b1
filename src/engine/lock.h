/* The lock of an experiment or a workspace: a file that says who holds it. */
#ifndef XPM_ENGINE_LOCK_H
#define XPM_ENGINE_LOCK_H

#include "base/err.h"

struct xpm_lock;

/* Takes the lock file `path` (its folder must exist) and writes this process into it. The caller owns *out.
 * Errors: locked ("held by HOST, pid N, since TIME"), unsupported, not_found, io, memory. */
int xpm_lock_take(struct xpm_lock **out, const char *path, struct xpm_err *err);

/* Removes the file and lets go. NULL is fine. */
void xpm_lock_release(struct xpm_lock *lock);

#endif
