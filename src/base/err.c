#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const words[XPM_CODE_COUNT] = {
    [XPM_OK] = "ok",           [XPM_ENOMEM] = "memory",   [XPM_EINVAL] = "invalid",   [XPM_EIO] = "io",
    [XPM_ENOTFOUND] = "not_found", [XPM_EEXISTS] = "exists", [XPM_ELOCKED] = "locked", [XPM_ECORRUPT] = "corrupt",
    [XPM_EVERSION] = "version", [XPM_ELIMIT] = "limit",   [XPM_ECLOSED] = "closed",   [XPM_EUNSUPPORTED] = "unsupported",
};

const char *xpm_code_word(int code)
{
    return code >= 0 && code < XPM_CODE_COUNT ? words[code] : "unknown";
}

/* vsnprintf may cut inside a UTF-8 character: drop the incomplete tail. */
static void trim_utf8(char *s, size_t cap, int wanted)
{
    if (wanted < 0 || (size_t)wanted < cap)
        return;
    size_t n = strlen(s), i = n;
    while (i > 0 && n - i < 4 && ((unsigned char)s[i - 1] & 0xC0) == 0x80)
        i--;
    if (i > 0 && ((unsigned char)s[i - 1] & 0xC0) == 0xC0)
        s[i - 1] = '\0';
}

int xpm_err_set(struct xpm_err *err, int code, const char *fmt, ...)
{
    if (!err || err->code)
        return err ? err->code : code;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    trim_utf8(err->msg, sizeof err->msg, n);
    err->code = code;
    return code;
}

static int code_of_errno(int e)
{
    switch (e) {
    case ENOENT: case ENOTDIR: return XPM_ENOTFOUND;
    case EEXIST: return XPM_EEXISTS;
    case ENOMEM: return XPM_ENOMEM;
    case ENOSYS: case EOPNOTSUPP: case ENOLCK: return XPM_EUNSUPPORTED;
    default: return XPM_EIO;
    }
}

int xpm_err_errno(struct xpm_err *err, int errnum, const char *fmt, ...)
{
    int code = code_of_errno(errnum);
    if (!err || err->code)
        return err ? err->code : code;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof err->msg)
        n += snprintf(err->msg + n, sizeof err->msg - (size_t)n, ": %s", strerror(errnum));
    trim_utf8(err->msg, sizeof err->msg, n);
    err->code = code;
    return code;
}
