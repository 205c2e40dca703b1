/* Memory that is freed all at once. */
#ifndef XPM_CONFIG_ARENA_H
#define XPM_CONFIG_ARENA_H

#include <stddef.h>

struct xpm_arena_chunk;

struct xpm_arena {
    struct xpm_arena_chunk *chunks; /* the newest first */
    char *next;                     /* free bytes of the newest chunk */
    size_t left;
    size_t chunk_size;              /* of the next chunk; grows */
};

#define XPM_ARENA_INIT { NULL, NULL, 0, 0 }

/* `size` bytes aligned for any value of this library (8); not cleared. NULL: no memory. */
void *xpm_arena_alloc(struct xpm_arena *a, size_t size);
/* The bytes and a NUL after them, unaligned. */
char *xpm_arena_text(struct xpm_arena *a, const char *s, size_t len);
void xpm_arena_free(struct xpm_arena *a);

#endif
