/* What a driver and its supervisors say to each other, over a stream socket between two programs of one build on one
 * machine.
 *
 * Driver to supervisor: frames `u32 length, u32 kind, body` (length counts the body). The body of an order is its
 * head and two pieces, of which jobs may share the first: `env` and `work`. Strings are `u32 length, bytes, NUL`,
 * read in place. Supervisor to driver: struct xpm_report, whole. Numbers are in the machine's own form. */
#ifndef XPM_ENGINE_WIRE_H
#define XPM_ENGINE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "engine/jobdir.h"
#include "engine/states.h"

#define XPM_WIRE_VERSION 1u
#define XPM_WIRE_LONGEST (1u << 30) /* a frame; nothing near that is sane */
#define XPM_WIRE_FD 3               /* the supervisor's end */

enum xpm_frame { XPM_FRAME_ORDER = 1, XPM_FRAME_CANCEL }; /* the body of a cancel is u32 job */

struct xpm_frame_head {
    uint32_t length, kind;
};

/* The start of an order's body; then env, then work. */
struct xpm_order_head {
    uint32_t job, env_length;
    struct xpm_stamp ignore; /* a .done with this stamp does not count */
};

/* One job as the supervisor sees it. Everything points into the frame. */
struct xpm_order {
    struct xpm_order_head head;
    const char *env; /* the piece: equal bytes, equal environment */
    size_t env_len;
    uint32_t nenv;
    const char **changes; /* "NAME=value" sets, "NAME" removes */
    const char *task, *hash, *name;
    const char *params;
    size_t params_len;
    uint32_t argc, noutputs;
    const char **argv;    /* NULL-ended */
    const char **outputs; /* NULL-ended */
    const char **block;   /* owned: the three lists above */
};

enum xpm_report_kind {
    XPM_REPORT_HELLO = 1, /* job: XPM_WIRE_VERSION */
    XPM_REPORT_STARTED,   /* only of a job that runs for more than a few milliseconds */
    XPM_REPORT_ENDED,
    XPM_REPORT_BUSY,      /* another one holds its lock */
    XPM_REPORT_EXISTS     /* a .done has appeared: look again */
};

struct xpm_report {
    uint32_t kind, job;
    int64_t pid; /* HELLO: of the supervisor; STARTED, ENDED: of the job's first process, or 0 */
    struct xpm_facts facts;
};

/* Builds the pieces; false: no memory (or a string that is too long). */
bool xpm_wire_env(struct xpm_buf *b, const char *const *changes, uint32_t n);
bool xpm_wire_work(struct xpm_buf *b, const char *task, const char *hash, const char *name, const char *params,
                   size_t params_len, const char *const *argv, uint32_t argc, const char *const *outputs,
                   uint32_t noutputs);

/* Reads the body of an order. The caller frees it with xpm_order_free. Errors: memory, corrupt. */
int xpm_order_read(struct xpm_order *o, const char *body, size_t len, struct xpm_err *err);
void xpm_order_free(struct xpm_order *o);

#endif
