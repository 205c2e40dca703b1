/* ${a.b}, ${.x}, ${..x}, ${env:NAME}, ${env:NAME,default}, and \${ for a plain "${"; see interpolate.c for the rules.
 */
#ifndef XPM_CONFIG_INTERPOLATE_H
#define XPM_CONFIG_INTERPOLATE_H

#include "config/problems.h"
#include "config/value.h"

/* References that follow one another, and levels of the tree they make. */
#define XPM_CONFIG_CHAIN 256
/* Bytes of text that interpolation may make in one load. */
#define XPM_CONFIG_TEXT (16u << 20)

/* Resolves every string of the tree in place. Returns 0, or the code of the last problem. */
int xpm_interpolate(struct xpm_store *st, struct xpm_value *root, struct xpm_problems *problems);

#endif
