/* A growing byte buffer. All functions return false when memory ran out, and then leave the buffer as it was;
 * the flag `failed` stays set, so that a long sequence may be checked once at its end. */
#ifndef XPM_BASE_BUF_H
#define XPM_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct xpm_buf {
    char *data;  /* owned; NUL-terminated when not NULL; may hold NULs */
    size_t len;  /* bytes before the final NUL */
    size_t cap;  /* bytes allocated */
    bool failed; /* an append found no memory */
};

#define XPM_BUF_INIT { NULL, 0, 0, false }

bool xpm_buf_add(struct xpm_buf *b, const void *data, size_t len);
bool xpm_buf_addc(struct xpm_buf *b, char c);
bool xpm_buf_adds(struct xpm_buf *b, const char *s);
bool xpm_buf_addf(struct xpm_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Adds `len` bytes as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD. */
bool xpm_buf_add_json(struct xpm_buf *b, const char *s, size_t len);
/* Room for `extra` more bytes beyond len (and the NUL). */
bool xpm_buf_reserve(struct xpm_buf *b, size_t extra);
void xpm_buf_clear(struct xpm_buf *b); /* keeps the memory */
void xpm_buf_free(struct xpm_buf *b);

#endif
