/* A configuration: files with their imports, merged in order, then assignments, then interpolation. */
#ifndef XPM_CONFIG_CONFIG_H
#define XPM_CONFIG_CONFIG_H

#include "base/buf.h"
#include "base/err.h"
#include "config/problems.h"
#include "config/value.h"

#define XPM_CONFIG_LIMIT (64u << 20) /* bytes a file may have, unless told otherwise */
#define XPM_CONFIG_IMPORTS 64        /* files that import one another in a chain */

struct xpm_config_text {
    const char *s; /* borrowed; paths are NUL-terminated and hold no NUL */
    size_t len;
};

struct xpm_config_input {
    const struct xpm_config_text *pre, *post, *overrides;
    size_t pre_count, post_count, override_count;
    struct xpm_config_text main; /* s NULL: none */
    uint64_t limit;              /* bytes of a file */
};

struct xpm_loaded {
    uint32_t source;
    int role; /* XPM_SOURCE_PRE ... XPM_SOURCE_IMPORT */
};

struct xpm_config {
    struct xpm_store store;
    struct xpm_value *root;       /* a map; NULL until something is loaded */
    struct xpm_loaded *loaded;    /* the files in order of merging; in the store */
    uint32_t loaded_count, loaded_room;
    struct xpm_buf warnings;      /* lines */
};

/* Starts empty; xpm_config_free may then be called at any time, and again. */
void xpm_config_init(struct xpm_config *c);
void xpm_config_free(struct xpm_config *c);

/* Loads into an initialized `c`. Returns 0, or a code with `problems` (the caller frees it) filled, a line each; when
 * memory ran out the code is XPM_ENOMEM and the lines are not complete.
 *
 * A file's imports are merged before it. Within the tree of one file of the input a file is merged once, at its first
 * place; files are the same when realpath says so. */
int xpm_config_load(struct xpm_config *c, const struct xpm_config_input *in, struct xpm_problems *problems);

#endif
