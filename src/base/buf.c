#include "base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

bool xpm_buf_reserve(struct xpm_buf *b, size_t extra)
{
    if (extra >= SIZE_MAX - b->len - 1) {
        b->failed = true;
        return false;
    }
    size_t need = b->len + extra + 1;
    if (need <= b->cap)
        return true;
    size_t cap = b->cap ? b->cap : 64;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    char *p = realloc(b->data, cap);
    if (!p) {
        b->failed = true;
        return false;
    }
    b->data = p;
    b->cap = cap;
    return true;
}

bool xpm_buf_add(struct xpm_buf *b, const void *data, size_t len)
{
    if (!xpm_buf_reserve(b, len))
        return false;
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
    return true;
}

bool xpm_buf_addc(struct xpm_buf *b, char c)
{
    return xpm_buf_add(b, &c, 1);
}

bool xpm_buf_adds(struct xpm_buf *b, const char *s)
{
    return xpm_buf_add(b, s, strlen(s));
}

bool xpm_buf_addf(struct xpm_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0 || !xpm_buf_reserve(b, (size_t)n))
        return false;
    va_start(ap, fmt);
    vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
    return true;
}

bool xpm_buf_add_json(struct xpm_buf *b, const char *s, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    xpm_buf_addc(b, '"');
    for (size_t i = 0; i < len;) {
        unsigned char c = (unsigned char)s[i];
        if (c >= 0x80) {
            size_t n = xpm_utf8_length(s + i, len - i);
            if (n)
                xpm_buf_add(b, s + i, n);
            else
                xpm_buf_adds(b, "\xEF\xBF\xBD");
            i += n ? n : 1;
            continue;
        }
        size_t j = i;
        while (j < len && (unsigned char)s[j] >= 0x20 && (unsigned char)s[j] < 0x7F && s[j] != '"' && s[j] != '\\')
            j++;
        if (j > i) {
            xpm_buf_add(b, s + i, j - i);
            i = j;
            continue;
        }
        switch (c) {
        case '"': xpm_buf_adds(b, "\\\""); break;
        case '\\': xpm_buf_adds(b, "\\\\"); break;
        case '\n': xpm_buf_adds(b, "\\n"); break;
        case '\r': xpm_buf_adds(b, "\\r"); break;
        case '\t': xpm_buf_adds(b, "\\t"); break;
        default: {
            char u[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };
            xpm_buf_add(b, u, 6);
        }
        }
        i++;
    }
    xpm_buf_addc(b, '"');
    return !b->failed;
}

void xpm_buf_clear(struct xpm_buf *b)
{
    b->len = 0;
    b->failed = false;
    if (b->data)
        b->data[0] = '\0';
}

void xpm_buf_free(struct xpm_buf *b)
{
    free(b->data);
    *b = (struct xpm_buf)XPM_BUF_INIT;
}
