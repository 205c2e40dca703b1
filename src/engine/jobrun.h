/* One job on disk and as a process: the supervisor's work before the start, the start, and the end marker.
 *
 * The order of things, which is what makes a crash at any moment harmless:
 *   folder; .pid opened and locked (held until the marker has its name); no valid .done; params.json; stale .failed and
 *   outputs removed; logs; .pid written in full length; start; .pid names the process.
 *   At the end: outputs looked at; the marker over .pid, in place; .pid renamed to .done or .failed; lock let go.
 * Before the rename a crash leaves an unlocked .pid: the job is lost and is made again. */
#ifndef XPM_ENGINE_JOBRUN_H
#define XPM_ENGINE_JOBRUN_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "engine/record.h"
#include "engine/wire.h"

/* What is the same for all jobs of one supervisor. */
struct xpm_crew {
    int workdir;
    struct xpm_host host;
    struct xpm_who self, driver;
    struct xpm_buf text;  /* scratch */
    struct xpm_buf env;   /* the env piece that `environ` was built for */
    char **environ;       /* owned array; strings of the process' own environment and of `env`. NULL: not built */
    bool env_built;
};

struct xpm_run {
    const struct xpm_order *order;
    int dir, lock, out, err; /* -1: not open */
    size_t size;             /* of the record */
    pid_t pid;               /* of the job's first process; 0: it did not start */
};

enum xpm_prepared { XPM_PREPARED, XPM_PREPARED_BUSY, XPM_PREPARED_EXISTS, XPM_PREPARED_FAILED };

/* Makes folder and files and takes the lock. FAILED: facts->message says why; finish the run all the same. */
enum xpm_prepared xpm_run_prepare(struct xpm_run *run, struct xpm_crew *crew, const struct xpm_order *order,
                                  struct xpm_facts *facts);

/* Starts the program. False: facts->message says why. */
bool xpm_run_start(struct xpm_run *run, struct xpm_crew *crew, struct xpm_facts *facts);

/* Looks at the outputs of a job that is done (which may make it missing_outputs), writes the marker, lets go of
 * everything. When the marker cannot be written the facts say error, lost. */
void xpm_run_finish(struct xpm_run *run, struct xpm_crew *crew, struct xpm_facts *facts);

void xpm_crew_free(struct xpm_crew *crew);

#endif
