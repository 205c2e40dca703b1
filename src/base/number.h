/* Floats as text, whatever the locale of the host program is. */
#ifndef XPM_BASE_NUMBER_H
#define XPM_BASE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>

#define XPM_NUMBER_TEXT 32 /* room for every float and its NUL */

/* The shortest text that reads back as `d`, always with '.' or an exponent: 1.0, 0.0001, 1e-05, 1e+16, -0.0; also inf,
 * -inf and nan. Returns its length. */
size_t xpm_number_format(char out[XPM_NUMBER_TEXT], double d);

/* Reads [+-]digits[.digits][e[+-]digits] that fills all of `s`; the caller has checked the form. Too large: inf, too
 * small: 0. False when there is no memory (for texts past 100 characters) or the text has another form. */
bool xpm_number_parse(double *out, const char *s, size_t len);

#endif
