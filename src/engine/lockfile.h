/* A lock that is a file: an open file description lock on it, held while the file has this name.
 *
 * An OFD lock belongs to the open file, not to the process: closing another descriptor of the file does not drop it,
 * and the kernel drops it when its last holder ends, however it ends. A file that was renamed or removed between
 * opening and locking is no longer the lock: the inode is compared with the name's after locking. */
#ifndef XPM_ENGINE_LOCKFILE_H
#define XPM_ENGINE_LOCKFILE_H

#include <stdbool.h>

#include "base/err.h"

/* Opens (makes) `name` in folder `dir` (AT_FDCWD: the current one) and locks it. On success *fd is the caller's;
 * closing it releases. `name` stands for the file in messages. Errors: locked, unsupported, not_found, io. */
int xpm_lockfile_take(int *fd, int dir, const char *name, struct xpm_err *err);

/* Whether somebody else holds a lock on the open file `fd`. Errors (negative): unsupported or io, as -code. */
int xpm_lockfile_held(int fd);

/* Tries in folder `dir` whether locks work there: XPM_EUNSUPPORTED, with the reason, if not. Leaves no file. */
int xpm_lockfile_check(int dir, const char *shown, struct xpm_err *err);

#endif
