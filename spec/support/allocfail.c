/* Allocations of our objects, by the linker's --wrap: each asks xpm_alloc_may() first and fails when that says no.
 *
 * The hook is weak. A C unit test or the stress host defines it (by including allocfail.h in one file); a module of a
 * sanitizer build finds the host's by the dynamic linker, and under a stock Lua there is none and nothing fails. */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

__attribute__((weak, visibility("default"))) bool xpm_alloc_may(void);

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);

static bool may(void)
{
    if (!xpm_alloc_may || xpm_alloc_may())
        return true;
    errno = ENOMEM;
    return false;
}

void *__wrap_malloc(size_t size)
{
    return may() ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t count, size_t size)
{
    return may() ? __real_calloc(count, size) : NULL;
}

void *__wrap_realloc(void *p, size_t size)
{
    return may() ? __real_realloc(p, size) : NULL;
}
