/* Plain scalars by the YAML 1.2 core schema: null, booleans, integers (decimal, 0o17, 0x1F), floats; else text. */
#ifndef XPM_CONFIG_SCALAR_H
#define XPM_CONFIG_SCALAR_H

#include "config/value.h"

enum xpm_scalar { XPM_SCALAR_TEXT, XPM_SCALAR_DONE, XPM_SCALAR_TOO_LARGE, XPM_SCALAR_NO_MEMORY };

/* Sets kind and value of `v` (DONE), or leaves it alone: TEXT, or TOO_LARGE for an integer past 64 bits. */
enum xpm_scalar xpm_scalar_plain(struct xpm_value *v, const char *s, size_t len);

/* Text of a leaf for a message or inside another string: null, true, 3, 0.1, .inf, or the string itself. */
struct xpm_buf;
bool xpm_scalar_text(struct xpm_buf *b, const struct xpm_value *v);

#endif
