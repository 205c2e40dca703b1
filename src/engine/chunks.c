#include "engine/chunks.h"

#include <stdlib.h>

bool xpm_chunks_reserve(struct xpm_chunks *c, uint32_t n)
{
    uint32_t need = n / XPM_CHUNK + (n % XPM_CHUNK != 0);
    while (c->count < need) {
        if (c->count == c->cap) {
            uint32_t cap = c->cap ? c->cap * 2 : 8;
            char **p = realloc(c->chunk, cap * sizeof *p);
            if (!p)
                return false;
            c->chunk = p;
            c->cap = cap;
        }
        char *fresh = calloc(XPM_CHUNK, c->size);
        if (!fresh)
            return false;
        c->chunk[c->count++] = fresh;
    }
    return true;
}

void xpm_chunks_free(struct xpm_chunks *c)
{
    for (uint32_t i = 0; i < c->count; i++)
        free(c->chunk[i]);
    free(c->chunk);
    c->chunk = NULL;
    c->count = c->cap = 0;
}
