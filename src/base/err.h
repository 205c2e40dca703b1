/* Errors of the C core: one code from a closed list and one message, written once, where it happened.
 *
 * A function that can fail returns 0 or a code below, and fills `err` (which may be NULL). The first message stays:
 * xpm_err_set does nothing on an error that is already set, so that callers cannot overwrite the cause. */
#ifndef XPM_BASE_ERR_H
#define XPM_BASE_ERR_H

#include <stddef.h>

enum xpm_code {
    XPM_OK = 0,
    XPM_ENOMEM,       /* "memory"      out of memory */
    XPM_EINVAL,       /* "invalid"     malformed input */
    XPM_EIO,          /* "io"          the operating system said no; the message has strerror */
    XPM_ENOTFOUND,    /* "not_found"   file, job, repository ... does not exist */
    XPM_EEXISTS,      /* "exists"      it is there already */
    XPM_ELOCKED,      /* "locked"      another process holds it */
    XPM_ECORRUPT,     /* "corrupt"     a file is not what it should be */
    XPM_EVERSION,     /* "version"     a format newer than this program */
    XPM_ELIMIT,       /* "limit"       a documented limit was exceeded */
    XPM_ECLOSED,      /* "closed"      the handle is closed */
    XPM_EUNSUPPORTED, /* "unsupported" this file system or kernel cannot do it */
    XPM_CODE_COUNT
};

struct xpm_err {
    int code;       /* enum xpm_code */
    char msg[2000]; /* NUL-terminated; cut at a character boundary when too long */
};

#define XPM_ERR_INIT { 0, "" }

/* Sets code and message unless an error is already set. Returns `code`. `err` may be NULL. */
int xpm_err_set(struct xpm_err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* As xpm_err_set, with ": strerror(errnum)" after the message. The code is chosen from errnum (ENOENT: not_found, ...). */
int xpm_err_errno(struct xpm_err *err, int errnum, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The word of a code, as Lua sees it ("io", ...); "unknown" for others. */
const char *xpm_code_word(int code);

#endif
