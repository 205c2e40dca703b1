/* Writing the small JSON files: {name}.pid, {name}.done, {name}.failed, lock files. They are read by jobdir.h: a
 * program that only writes needs no JSON parser.
 *
 * A job's record is one block of fixed length from its first byte to its last: `.pid` is written with it, later
 * overwritten in place with the end marker and renamed. So a full disk cannot keep a job from ending. What a record
 * does not fill is blanks. */
#ifndef XPM_ENGINE_RECORD_H
#define XPM_ENGINE_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "engine/states.h"

#define XPM_RECORD_VERSION 1

/* A process, named for ever. */
struct xpm_who {
    pid_t pid;
    uint64_t start; /* field 22 of /proc/PID/stat */
};

/* The machine, as of now. */
struct xpm_host {
    char name[65];
    char boot_id[37];
};

void xpm_host_self(struct xpm_host *host);

/* This process; start is 0 if /proc does not say. */
void xpm_who_self(struct xpm_who *who);

/* Bytes to reserve for a job with these outputs (NULL-terminated names). */
size_t xpm_record_size(const char *const *outputs, uint32_t noutputs);

struct xpm_pid_record {
    const struct xpm_host *host;
    struct xpm_who supervisor, driver;
    pid_t job;           /* the job's first process, which leads its session; 0: not yet */
    double started_at;
};

/* The text of `.pid`, and of an end marker (`facts->state` is done or error). `sizes[i]` belongs to outputs[i]; -1: a
 * folder or missing. Both are filled up to `size` bytes. False: no memory. */
bool xpm_record_pid(struct xpm_buf *out, const struct xpm_pid_record *r, size_t size);
bool xpm_record_marker(struct xpm_buf *out, const struct xpm_facts *facts, const struct xpm_host *host,
                       const char *const *outputs, const int64_t *sizes, uint32_t noutputs, size_t size);

/* The text of a lock file that this process holds since `now`. */
bool xpm_record_holder(struct xpm_buf *out, const struct xpm_host *host, const struct xpm_who *who, double now);

#endif
