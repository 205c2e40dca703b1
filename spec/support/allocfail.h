/* Makes allocations fail on demand. Include it in exactly one file of a program whose objects are linked with
 * allocfail.c (C unit tests are).
 *
 *     for (long n = 0; allocfail_next(n); n++) {      // n = 0, 1, 2 ... until the work needs fewer allocations
 *         int code = work();                          // the n-th allocation fails, and with `lasting` all after it
 *         bool failed = allocfail_end();              // true: one did fail
 *         tap_ok(code == (failed ? XPM_ENOMEM : XPM_OK), ...);
 *     }
 */
#ifndef XPM_SPEC_ALLOCFAIL_H
#define XPM_SPEC_ALLOCFAIL_H

#include <stdbool.h>

/* What allocfail.c asks. With ALLOCFAIL_OWN_HOOK the file that includes this defines it, by allocfail_may. */
__attribute__((visibility("default"))) bool xpm_alloc_may(void);

static struct {
    long at;      /* the allocation that fails, counted from 0; -1: none */
    long seen;    /* allocations since begin */
    long failed;  /* how many of them failed */
    bool lasting; /* all from `at` on fail */
} allocfail = { -1, 0, 0, false };

/* Counts one allocation; false if it is to fail. */
static inline bool allocfail_may(void)
{
    long n = allocfail.seen++;
    if (allocfail.at < 0 || (allocfail.lasting ? n < allocfail.at : n != allocfail.at))
        return true;
    allocfail.failed++;
    return false;
}

static inline void allocfail_begin(long at, bool lasting)
{
    allocfail.at = at;
    allocfail.seen = allocfail.failed = 0;
    allocfail.lasting = lasting;
}

/* Ends the failing; true if an allocation failed since begin. */
static inline bool allocfail_end(void)
{
    allocfail.at = -1;
    return allocfail.failed > 0;
}

/* Loop head of a sweep: false once the work of the iteration before met no failure. */
static inline bool allocfail_next(long n)
{
    if (n > 0 && allocfail.failed == 0)
        return false;
    allocfail_begin(n, false);
    return true;
}

#ifndef ALLOCFAIL_OWN_HOOK
bool xpm_alloc_may(void)
{
    return allocfail_may();
}
#endif

#endif
