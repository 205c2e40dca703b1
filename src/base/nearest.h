/* The nearest right name for a slip of the pen. */
#ifndef XPM_BASE_NEAREST_H
#define XPM_BASE_NEAREST_H

#include <stddef.h>

struct xpm_nearest {
    const char *word; /* borrowed */
    size_t len;
    const char *best; /* the best candidate so far, borrowed; NULL: none is near enough */
    size_t best_len;
    unsigned distance; /* of `best`; else one more than what is near enough */
};

/* Feed all candidates one by one; `n->best` is then the answer (the first one of equals). Near enough are candidates
 * within a third of the word's length in edits (insert, delete, replace, swap of neighbours; a change of case counts
 * nothing, but loses against an equal name), at least 1. Words past 64 bytes and the word itself match nothing. */
void xpm_nearest_start(struct xpm_nearest *n, const char *word, size_t len);
void xpm_nearest_try(struct xpm_nearest *n, const char *candidate, size_t len);

#endif
