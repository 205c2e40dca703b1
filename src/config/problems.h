/* What is wrong with a configuration, all of it, a line each: `file:line:col: path: message`. */
#ifndef XPM_CONFIG_PROBLEMS_H
#define XPM_CONFIG_PROBLEMS_H

#include "base/buf.h"
#include "config/value.h"

/* Problems that are told; the rest is counted. */
#define XPM_CONFIG_PROBLEMS 100

/* One step of a path, innermost first; the root is NULL. */
struct xpm_step {
    const struct xpm_step *up;
    const char *key; /* NULL: a list's item */
    uint32_t len;    /* bytes of the key */
    uint32_t index;  /* of the item, from 0 */
};

struct xpm_problems {
    const struct xpm_store *store; /* for the names of sources */
    struct xpm_buf text;           /* lines, no newline at the end */
    uint32_t count;
    int code;                      /* of the first problem; XPM_ENOMEM when memory ran out */
};

#define XPM_PROBLEMS_INIT(st) { (st), XPM_BUF_INIT, 0, 0 }

/* Adds a line. `at` with line 0 has no position; `path` may be NULL. Returns `code`. */
int xpm_problem(struct xpm_problems *p, int code, struct xpm_place at, const struct xpm_step *path,
                const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
int xpm_problem_memory(struct xpm_problems *p);
/* "... and 12 more problems", when some were only counted. */
void xpm_problems_end(struct xpm_problems *p);
void xpm_problems_free(struct xpm_problems *p);

/* "file:line:col", "file" or "-c a.b=v". Control characters are shown as \x1b. */
bool xpm_place_text(struct xpm_buf *b, const struct xpm_store *st, struct xpm_place at);
/* "a.b.0.'c.d'": a key that is empty, has a dot, a quote at its start or control characters is quoted, as dot-lists
 * read it. */
bool xpm_step_text(struct xpm_buf *b, const struct xpm_step *path);
bool xpm_key_text(struct xpm_buf *b, const char *key, size_t len);
/* Text for a message: control characters escaped, cut after about 60 bytes. */
bool xpm_shown_text(struct xpm_buf *b, const char *s, size_t len);
/* " (did you mean 'x'?)" when a key of the map is near. */
bool xpm_near_text(struct xpm_buf *b, const struct xpm_map *m, const char *key, size_t len);

#endif
