/* The folder of a job, read: jobs/{task}/{hash} with {name}.pid, {name}.done, {name}.failed. Nothing here writes.
 *
 * What counts:
 *   .done, whole and of this boot: the job is done. Of another boot: only if every output has the size that it records
 *     (a machine that lost power may have lost data). Anything else that is called .done counts as absent.
 *   .pid, locked: the job runs. Not locked, without a marker: its supervisor died, the job is lost.
 *   .failed: how it ended when it was run last.
 * A file written by a newer version is an error (XPM_EVERSION) with a message, never a reason to run the job again. */
#ifndef XPM_ENGINE_JOBDIR_H
#define XPM_ENGINE_JOBDIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "engine/record.h"
#include "engine/states.h"

/* Which job, below the folder of the workspace. */
struct xpm_jobdir {
    int workdir;       /* descriptor of the workspace */
    const char *task;  /* the folder is jobs/{task}/{hash} */
    const char *hash;
    const char *name;  /* of its files */
};

/* The identity of a file's content as far as stat knows; all zero: no file. */
struct xpm_stamp {
    uint64_t inode, mtime, size; /* mtime in nanoseconds */
};

/* Who holds a lock, as its file says; zero or empty where it does not. */
struct xpm_holder {
    struct xpm_who who, driver;
    struct xpm_host host;
    int64_t job;
    double since;
};

/* The path of one of the job's files ("" for the folder) below the workspace. XPM_ELIMIT if it does not fit. */
int xpm_jobdir_path(char *out, size_t cap, const struct xpm_jobdir *dir, const char *suffix, struct xpm_err *err);

/* Reads .done: XPM_OK fills *facts; XPM_ENOTFOUND: there is none that counts, and *ignored (may be NULL) is the stamp
 * of one that does not. Other errors: version, memory, io. `boot_id`: this machine's. */
int xpm_jobdir_done(struct xpm_facts *facts, struct xpm_stamp *ignored, const struct xpm_jobdir *dir,
                    const char *boot_id, struct xpm_err *err);

/* Reads .failed, in the same way. */
int xpm_jobdir_failed(struct xpm_facts *facts, const struct xpm_jobdir *dir, struct xpm_err *err);

enum xpm_lockstate { XPM_LOCK_ABSENT, XPM_LOCK_FREE, XPM_LOCK_HELD };

/* Whether somebody runs the job. *holder (may be NULL) is what .pid says. Errors: io, unsupported. */
int xpm_jobdir_lock(enum xpm_lockstate *state, struct xpm_holder *holder, const struct xpm_jobdir *dir,
                    struct xpm_err *err);

/* All of it: state unscheduled, running (with pid), done, or error (lost included). Errors: version, memory, io. */
int xpm_jobdir_probe(struct xpm_facts *facts, const struct xpm_jobdir *dir, const char *boot_id, struct xpm_err *err);

/* What the open lock file says. False: it is empty or not whole. */
bool xpm_holder_read(struct xpm_holder *holder, int fd);

/* Whether that process lives on this machine (false when it is of another one: nobody can know). */
bool xpm_holder_lives(const struct xpm_host *theirs, const struct xpm_who *who, const struct xpm_host *mine);

#endif
