/* The states of a job, the reasons of an error, and what is known of a job's end. The words are those of the files and
 * of Lua. */
#ifndef XPM_ENGINE_STATES_H
#define XPM_ENGINE_STATES_H

#include <stdint.h>

enum xpm_state {
    XPM_UNSCHEDULED, /* nobody asked for it, or the plan was stopped first */
    XPM_WAITING,     /* for another job */
    XPM_READY,       /* for a slot */
    XPM_SCHEDULED,   /* handed to the runner */
    XPM_RUNNING,
    XPM_DONE,
    XPM_ERROR,
    XPM_STATE_COUNT
};

enum xpm_reason {
    XPM_NO_REASON,
    XPM_FAILED,          /* the program said so */
    XPM_DEPENDENCY,      /* a job it needs is in error */
    XPM_MEMORY,
    XPM_TIMEOUT,
    XPM_CANCELLED,
    XPM_START_FAILED,
    XPM_MISSING_OUTPUTS, /* it ended well without what it was to make */
    XPM_LOST,            /* its supervisor died: nobody knows */
    XPM_DELETED,
    XPM_REASON_COUNT
};

const char *xpm_state_word(int state);   /* "" when there is no such state */
const char *xpm_reason_word(int reason); /* "" for none */
int xpm_reason_from_word(const char *word); /* XPM_FAILED for a word that is not known */

/* How a job ended (or, with state running, began). Of fixed size: it is filled where no memory may be asked for. */
struct xpm_facts {
    int state;           /* enum xpm_state */
    int reason;          /* enum xpm_reason */
    int exit_code;       /* -1: there is none */
    int signal;          /* 0: none */
    double started_at;   /* seconds since 1970; 0: it did not start */
    double ended_at;     /* 0: not yet */
    double cpu_seconds;  /* of all its processes; -1: unknown */
    int64_t peak_memory; /* bytes of its largest process; -1: unknown */
    int64_t pid;         /* of its supervisor; 0: unknown */
    char hostname[65];
    char message[320];   /* one line; "" when there is nothing to say */
};

/* Sets the message; what does not fit is cut at a character's end. */
void xpm_facts_say(struct xpm_facts *facts, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define XPM_FACTS_INIT { XPM_UNSCHEDULED, XPM_NO_REASON, -1, 0, 0, 0, -1, -1, 0, "", "" }

#endif
