/* Under AddressSanitizer each piece is an allocation of its own, so that it sees a step over an end, and the allocation
 * sweeps fail each one. */
#include "config/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct xpm_arena_chunk {
    struct xpm_arena_chunk *older;
    char data[];
};

#if defined(__SANITIZE_ADDRESS__)
#define ALL_ALONE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ALL_ALONE 1
#endif
#endif
#ifndef ALL_ALONE
#define ALL_ALONE 0
#endif

enum { FIRST_CHUNK = 4096, LARGEST_CHUNK = 1 << 18 };

/* Large pieces get a chunk of their own behind the newest one, whose free bytes stay in use. */
static void *own_chunk(struct xpm_arena *a, size_t size)
{
    struct xpm_arena_chunk *c = malloc(sizeof *c + size);
    if (!c)
        return NULL;
    if (a->chunks) {
        c->older = a->chunks->older;
        a->chunks->older = c;
    } else {
        c->older = NULL;
        a->chunks = c;
    }
    return c->data;
}

static void *take(struct xpm_arena *a, size_t size)
{
    if (size > a->left) {
        if (size > SIZE_MAX / 2)
            return NULL;
        if (ALL_ALONE || size > LARGEST_CHUNK / 4)
            return own_chunk(a, size);
        size_t n = a->chunk_size ? a->chunk_size : FIRST_CHUNK;
        while (n < size)
            n *= 2;
        struct xpm_arena_chunk *c = malloc(sizeof *c + n);
        if (!c)
            return NULL;
        c->older = a->chunks;
        a->chunks = c;
        a->next = c->data;
        a->left = n;
        a->chunk_size = n < LARGEST_CHUNK ? n * 2 : n;
    }
    void *p = a->next;
    a->next += size;
    a->left -= size;
    return p;
}

void *xpm_arena_alloc(struct xpm_arena *a, size_t size)
{
    size_t pad = (size_t)(-(uintptr_t)a->next & 7);
    if (size > SIZE_MAX / 2)
        return NULL;
    if (pad == 0) {
        /* aligned, or no chunk yet */
    } else if (pad <= a->left) {
        a->next += pad;
        a->left -= pad;
    } else {
        a->left = 0;
    }
    return take(a, (size + 7) & ~(size_t)7);
}

char *xpm_arena_text(struct xpm_arena *a, const char *s, size_t len)
{
    char *p = len < SIZE_MAX ? take(a, len + 1) : NULL;
    if (!p)
        return NULL;
    if (len)
        memcpy(p, s, len);
    p[len] = '\0';
    return p;
}

void xpm_arena_free(struct xpm_arena *a)
{
    struct xpm_arena_chunk *c = a->chunks;
    while (c) {
        struct xpm_arena_chunk *older = c->older;
        free(c);
        c = older;
    }
    *a = (struct xpm_arena)XPM_ARENA_INIT;
}
