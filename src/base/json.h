/* Reading JSON: the one adapter of cJSON. A document is read-only; nodes live until the root is freed.
 *
 * Beyond cJSON: integers are exact in 64 bits (a literal without '.' or exponent that does not fit is an error), nesting
 * is limited to XPM_JSON_DEPTH, "\u0000" in a string, bytes that are not UTF-8 and anything after the value are errors. */
#ifndef XPM_BASE_JSON_H
#define XPM_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define XPM_JSON_DEPTH 512

struct xpm_json; /* opaque node */

enum xpm_json_type { XPM_JSON_NULL, XPM_JSON_BOOL, XPM_JSON_INT, XPM_JSON_FLOAT, XPM_JSON_STRING, XPM_JSON_LIST, XPM_JSON_MAP };

/* Parses `len` bytes. On success the caller owns *out (xpm_json_free). Errors: invalid (with the byte offset), memory. */
int xpm_json_parse(struct xpm_json **out, const char *text, size_t len, struct xpm_err *err);
void xpm_json_free(struct xpm_json *root); /* NULL is fine */

enum xpm_json_type xpm_json_type(const struct xpm_json *n);

/* Member `key` of a map; NULL if there is none, or `n` is NULL or no map. */
const struct xpm_json *xpm_json_get(const struct xpm_json *n, const char *key);

/* Children of a list or map in order; NULL at the end (or for other nodes, or NULL). */
const struct xpm_json *xpm_json_first(const struct xpm_json *n);
const struct xpm_json *xpm_json_next(const struct xpm_json *n);
const char *xpm_json_key(const struct xpm_json *n); /* of a map's child; else NULL */

/* Typed reads: false, and the output untouched, if `n` is NULL or of another type. A float read accepts integers. */
bool xpm_json_bool(const struct xpm_json *n, bool *out);
bool xpm_json_int(const struct xpm_json *n, int64_t *out);
bool xpm_json_float(const struct xpm_json *n, double *out);
const char *xpm_json_string(const struct xpm_json *n); /* NUL-terminated, owned by the document; NULL if no string */

#endif
