#include "config/scalar.h"

#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "base/number.h"

static bool is(const char *s, size_t len, const char *word)
{
    return strlen(word) == len && memcmp(s, word, len) == 0;
}

static bool any(const char *s, size_t len, const char *a, const char *b, const char *c)
{
    return is(s, len, a) || is(s, len, b) || is(s, len, c);
}

static size_t count_digits(const char *s, size_t len)
{
    size_t n = 0;
    while (n < len && s[n] >= '0' && s[n] <= '9')
        n++;
    return n;
}

static enum xpm_scalar set_int(struct xpm_value *v, const char *s, size_t len, bool neg, unsigned base)
{
    uint64_t limit = neg ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX, n = 0;
    bool over = false;
    for (size_t i = 0; i < len; i++) {
        char c = s[i];
        unsigned d = 16;
        if (c >= '0' && c <= '9')
            d = (unsigned)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            d = (unsigned)((c | 32) - 'a') + 10;
        if (d >= base)
            return XPM_SCALAR_TEXT;
        over = over || n > (limit - d) / base;
        if (!over)
            n = n * base + d;
    }
    if (over)
        return XPM_SCALAR_TOO_LARGE;
    v->kind = XPM_INT;
    v->u.i = neg ? (int64_t)(0 - n) : (int64_t)n;
    return XPM_SCALAR_DONE;
}

static enum xpm_scalar set_float(struct xpm_value *v, double d)
{
    v->kind = XPM_FLOAT;
    v->u.d = d;
    return XPM_SCALAR_DONE;
}

static enum xpm_scalar number(struct xpm_value *v, const char *s, size_t len)
{
    size_t at = s[0] == '-' || s[0] == '+';
    bool neg = s[0] == '-';
    if (at == len)
        return XPM_SCALAR_TEXT;
    if (!at && len > 2 && s[0] == '0' && (s[1] == 'o' || s[1] == 'x'))
        return set_int(v, s + 2, len - 2, false, s[1] == 'o' ? 8 : 16);
    if (s[at] == '.' && any(s + at, len - at, ".inf", ".Inf", ".INF"))
        return set_float(v, neg ? -INFINITY : INFINITY);
    if (!at && any(s, len, ".nan", ".NaN", ".NAN"))
        return set_float(v, NAN);
    size_t start = at, whole = count_digits(s + at, len - at), part = 0;
    at += whole;
    if (at == len)
        return set_int(v, s + start, whole, neg, 10);
    if (s[at] == '.') {
        at++;
        part = count_digits(s + at, len - at);
        at += part;
    }
    if (whole + part == 0)
        return XPM_SCALAR_TEXT;
    if (at < len && (s[at] == 'e' || s[at] == 'E')) {
        at++;
        if (at < len && (s[at] == '-' || s[at] == '+'))
            at++;
        size_t n = count_digits(s + at, len - at);
        if (n == 0)
            return XPM_SCALAR_TEXT;
        at += n;
    }
    double d;
    if (at != len)
        return XPM_SCALAR_TEXT;
    return xpm_number_parse(&d, s, len) ? set_float(v, d) : XPM_SCALAR_NO_MEMORY;
}

enum xpm_scalar xpm_scalar_plain(struct xpm_value *v, const char *s, size_t len)
{
    bool yes;
    switch (len ? s[0] : '\0') {
    case '\0': case '~': case 'n': case 'N':
        if (len && !is(s, len, "~") && !any(s, len, "null", "Null", "NULL"))
            return XPM_SCALAR_TEXT;
        v->kind = XPM_NULL;
        return XPM_SCALAR_DONE;
    case 't': case 'T': case 'f': case 'F':
        yes = any(s, len, "true", "True", "TRUE");
        if (!yes && !any(s, len, "false", "False", "FALSE"))
            return XPM_SCALAR_TEXT;
        v->kind = XPM_BOOL;
        v->u.b = yes;
        return XPM_SCALAR_DONE;
    case '-': case '+': case '.': case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7':
    case '8': case '9':
        return number(v, s, len);
    default:
        return XPM_SCALAR_TEXT;
    }
}

bool xpm_scalar_text(struct xpm_buf *b, const struct xpm_value *v)
{
    char text[XPM_NUMBER_TEXT];
    switch (v->kind) {
    case XPM_NULL: return xpm_buf_adds(b, "null");
    case XPM_BOOL: return xpm_buf_adds(b, v->u.b ? "true" : "false");
    case XPM_INT: return xpm_buf_addf(b, "%lld", (long long)v->u.i);
    case XPM_FLOAT:
        if (isnan(v->u.d))
            return xpm_buf_adds(b, ".nan");
        if (isinf(v->u.d))
            return xpm_buf_adds(b, v->u.d < 0 ? "-.inf" : ".inf");
        return xpm_buf_add(b, text, xpm_number_format(text, v->u.d));
    case XPM_STRING: return xpm_buf_add(b, v->u.s, v->len);
    default: return true;
    }
}
