/* Merging: maps key by key, everything else replaces (null too); a list marked XPM_VALUE_APPEND is added to the list it
 * meets. Linear in the size of `over`. */
#ifndef XPM_CONFIG_MERGE_H
#define XPM_CONFIG_MERGE_H

#include "config/problems.h"
#include "config/value.h"

/* Merges `over` into *slot (which may be NULL: nothing there yet). The values of `over` become part of the tree; what
 * they replace stands in their `was`. `path` is that of the slot. Returns 0 or a code, with a problem added. */
int xpm_merge(struct xpm_store *st, struct xpm_value **slot, struct xpm_value *over, const struct xpm_step *path,
              struct xpm_problems *problems);

#endif
