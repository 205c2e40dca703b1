/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing past U+10FFFF. */
#ifndef XPM_BASE_UTF8_H
#define XPM_BASE_UTF8_H

#include <stddef.h>

/* Bytes of the character at `s` (1 to 4), or 0 if the bytes there are not one whole character. */
size_t xpm_utf8_length(const char *s, size_t len);

/* Offset of the first byte that is not UTF-8, or `len` when all of it is. */
size_t xpm_utf8_check(const char *s, size_t len);

#endif
