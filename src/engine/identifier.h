/* The canonical byte form of a task and its parameters, and its hash: the identifier of a job.
 *
 * The form is injective (every length is written before its bytes) and never changes; another form gets another magic.
 * Stored vectors: spec/fixtures/identifiers.json.
 *
 *   document  = "xpm1"  text(task id)  entries(parameters)
 *   text(s)   = u32 length, the bytes                    u32 is little-endian, as are all numbers
 *   entries   = u32 count, then text(name) value for each, ordered by the bytes of the names, no name twice
 *   value     = "n"                                      null
 *             | "f" | "t"                                false, true
 *             | "i" int64 (two's complement)             an integer, or a float that equals one in this range:
 *                                                        1, 1.0 are the same value, and so are 0.0, -0.0
 *             | "d" float64 (IEEE 754)                   any other float; every NaN is 7ff8000000000000
 *             | "s" text                                 a string: bytes, of any encoding
 *             | "l" u32 count, values                    a list
 *             | "m" entries                              a map; an entry whose value is absent is not there
 *             | "c" text(id) entries                     a configuration: its type's id and its fields that count
 *             | "j" 32 bytes                             a job: its identifier
 *             | "b" text(tag) text                       bytes of another meaning ("path.content": of a file)
 *
 * The identifier is the BLAKE2b-256 of the document, written as 64 lower-case hexadecimal digits.
 *
 * The functions append to a buffer. Running out of memory, and a length or count past 32 bits, set its `failed`; check
 * once at the end with xpm_canon_hash. The caller gives counts that hold and sorts entries with xpm_canon_compare. */
#ifndef XPM_ENGINE_IDENTIFIER_H
#define XPM_ENGINE_IDENTIFIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"

void xpm_canon_begin(struct xpm_buf *b, const char *task, size_t len, size_t parameters);
void xpm_canon_name(struct xpm_buf *b, const char *name, size_t len); /* before the value of each entry */
void xpm_canon_null(struct xpm_buf *b);
void xpm_canon_bool(struct xpm_buf *b, bool v);
void xpm_canon_int(struct xpm_buf *b, int64_t v);
void xpm_canon_float(struct xpm_buf *b, double v);
void xpm_canon_string(struct xpm_buf *b, const char *s, size_t len);
void xpm_canon_list(struct xpm_buf *b, size_t items);                              /* that many values follow */
void xpm_canon_map(struct xpm_buf *b, size_t entries);                             /* that many names and values */
void xpm_canon_config(struct xpm_buf *b, const char *id, size_t len, size_t fields); /* that many names and values */
void xpm_canon_job(struct xpm_buf *b, const uint8_t hash[XPM_HASH_SIZE]);
void xpm_canon_bytes(struct xpm_buf *b, const char *tag, size_t tag_len, const char *s, size_t len);

/* The order of names: by bytes, a prefix first. */
int xpm_canon_compare(const char *a, size_t a_len, const char *b, size_t b_len);

/* The identifier of a finished document. Errors: memory (also for what does not fit in 32 bits). */
int xpm_canon_hash(uint8_t out[XPM_HASH_SIZE], const struct xpm_buf *b, struct xpm_err *err);

#endif
