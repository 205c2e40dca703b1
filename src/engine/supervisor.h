/* The supervisor: a small process that runs one job after another for a driver, and outlives it while one runs.
 *
 * It holds the job's lock, starts the command, reaps everything it started and writes the end marker. It ends when
 * the driver's socket is closed and no job runs. SIGTERM ends its job (error/cancelled), as the driver's cancel does:
 * TERM to the job's process group, XPM_GRACE_SECONDS, KILL. */
#ifndef XPM_ENGINE_SUPERVISOR_H
#define XPM_ENGINE_SUPERVISOR_H

#include "base/err.h"
#include "engine/record.h"

#define XPM_GRACE_SECONDS 5

/* Serves the socket until its end. The caller is alone in the process, with descriptors 0 to 2 on /dev/null, no
 * others but `socket`, all dispositions default. Errors: io (the workspace cannot be opened, no signalfd), memory. */
int xpm_supervisor_run(int socket, const char *workdir, const struct xpm_who *driver, struct xpm_err *err);

#endif
