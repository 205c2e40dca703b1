/* An array that grows without moving its elements, so that pointers into it stay and growing never copies them. */
#ifndef XPM_ENGINE_CHUNKS_H
#define XPM_ENGINE_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XPM_CHUNK 4096u

struct xpm_chunks {
    char **chunk;   /* owned; XPM_CHUNK elements each, zeroed when made */
    uint32_t count; /* chunks there are */
    uint32_t cap;   /* pointers there is room for */
    size_t size;    /* bytes of an element */
};

/* Makes room for the elements 0 .. n-1. False when memory ran out; what was there stays. */
bool xpm_chunks_reserve(struct xpm_chunks *c, uint32_t n);
void xpm_chunks_free(struct xpm_chunks *c);

static inline void *xpm_chunks_at(const struct xpm_chunks *c, uint32_t i)
{
    return c->chunk[i / XPM_CHUNK] + (size_t)(i % XPM_CHUNK) * c->size;
}

#endif
