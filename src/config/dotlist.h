/* Paths ("a.b.0.'c.d'") and assignments of the command line ("a.b.0=v", "key+=[x]").
 *
 * A path is keys and list indices (from 0) with dots between them. A key that has dots, is empty or starts with a
 * quote is written in single quotes, with a quote inside it doubled. */
#ifndef XPM_CONFIG_DOTLIST_H
#define XPM_CONFIG_DOTLIST_H

#include "config/problems.h"
#include "config/value.h"

struct xpm_segment {
    const char *s;  /* the bytes; in the scratch buffer for quoted keys */
    size_t len;
    bool quoted;    /* never an index */
};

/* Cuts the next segment off *path (which ends at `end`; *path becomes NULL after the last one). Returns NULL, or what
 * is wrong. `scratch` holds the text of a quoted key until the next call. */
const char *xpm_path_next(const char **path, const char *end, struct xpm_segment *seg, struct xpm_buf *scratch);

/* The number of a segment that is an index (decimal digits, no sign, no leading zero); false for others. */
bool xpm_segment_index(const struct xpm_segment *seg, uint32_t *out);

/* The value at `path` ("" is the root); NULL if there is none or the path is malformed. *entry (may be NULL) is the map
 * entry that holds it, NULL for a list's item and the root. No memory reads as nothing there. */
struct xpm_value *xpm_path_find(const struct xpm_store *st, struct xpm_value *root, const char *path, size_t len,
                                struct xpm_entry **entry);

/* Applies one assignment to the tree at `root` (a map); with NULL only its form is checked. Problems are added, with
 * "-c TEXT" as their place. Returns 0 or a code. Missing maps on the way are made (a null on the way becomes one); an
 * index needs an existing list. */
int xpm_dotlist_apply(struct xpm_store *st, struct xpm_value *root, const char *text, size_t len,
                      struct xpm_problems *problems);

#endif
