/* Values as JSON text. */
#ifndef XPM_CONFIG_JSON_OUT_H
#define XPM_CONFIG_JSON_OUT_H

#include "base/buf.h"
#include "config/value.h"

/* Adds the value in its order; `indent` 0: one line, else spaces a level. Floats in their shortest form with '.' or
 * exponent, inf and nan as the strings ".inf", "-.inf", ".nan". False: no memory. */
bool xpm_json_value(struct xpm_buf *b, const struct xpm_value *v, int indent);

/* The pieces, for others who write JSON: a float; a new line of `level` levels (nothing when indent is 0). */
bool xpm_json_float_text(struct xpm_buf *b, double d);
bool xpm_json_line(struct xpm_buf *b, int indent, int level);

#endif
