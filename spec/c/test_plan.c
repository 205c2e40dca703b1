/* The plan with a fake runner: after each step the exact calls and nothing else. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../support/allocfail.h"
#include "../support/tap.h"
#include "engine/plan.h"

/* What the plan did, as a text: "s3" started, "r3" running, "d3" done, "e3" error, "u3" unscheduled, "c3" asked to
 * end. */
struct fake {
    struct xpm_plan *plan;
    char log[512];
    size_t len;
    int refuse;      /* refuse this many starts */
    bool quiet;      /* only counts */
    unsigned long starts, errors;
};

static void note(struct fake *f, char what, uint32_t job)
{
    f->starts += what == 's';
    f->errors += what == 'e';
    if (f->quiet)
        return;
    int n = snprintf(f->log + f->len, sizeof f->log - f->len, "%s%c%u", f->len ? " " : "", what, job);
    if (n > 0 && (size_t)n < sizeof f->log - f->len)
        f->len += (size_t)n;
}

static int start(void *ctx, uint32_t job)
{
    struct fake *f = ctx;
    if (f->refuse > 0) {
        f->refuse--;
        return 1;
    }
    note(f, 's', job);
    if (xpm_plan_is_generate(f->plan, job))
        xpm_plan_generated(f->plan, job);
    return 0;
}

static void cancel(void *ctx, uint32_t job)
{
    note(ctx, 'c', job);
}

static void changed(void *ctx, uint32_t job)
{
    static const char letters[XPM_STATE_COUNT] = { 'u', '?', '?', '?', 'r', 'd', 'e' };
    struct fake *f = ctx;
    note(f, letters[xpm_plan_state(f->plan, job)], job);
}

static bool open_plan(struct fake *f, uint32_t slots)
{
    const struct xpm_runner runner = { f, start, cancel, changed };
    memset(f, 0, sizeof *f);
    return xpm_plan_new(&f->plan, slots, &runner, NULL) == 0;
}

static void key_of(uint8_t key[XPM_HASH_SIZE], uint32_t n)
{
    memset(key, 0, XPM_HASH_SIZE);
    memcpy(key, &n, sizeof n);
}

static uint32_t keys;

/* Adds a job of a new identity; 0 on an error. */
static uint32_t add_as(struct fake *f, enum xpm_begin begin, bool generate, uint32_t ndeps, const uint32_t *deps)
{
    struct xpm_plan_job job = { .deps = deps, .ndeps = ndeps, .begin = begin, .generate = generate };
    uint32_t number = 0;
    key_of(job.key, ++keys);
    return xpm_plan_add(f->plan, &job, &number, NULL) == 0 ? number : 0;
}

#define ADD(f, ...) \
    add_as(f, XPM_BEGIN_NEW, false, sizeof((uint32_t[]){ __VA_ARGS__ }) / 4, (uint32_t[]){ __VA_ARGS__ })
#define ADD0(f) add_as(f, XPM_BEGIN_NEW, false, 0, NULL)

/* Pumps, and compares what was done since the last look. */
static void sees(struct fake *f, const char *expected, const char *what)
{
    xpm_plan_pump(f->plan);
    tap_ok(strcmp(f->log, expected) == 0, "%s: \"%s\"%s%s", what, f->log, strcmp(f->log, expected) ? ", expected " : "",
           strcmp(f->log, expected) ? expected : "");
    f->log[0] = '\0';
    f->len = 0;
}

static void diamond(void)
{
    struct fake f;
    open_plan(&f, 2);
    uint32_t a = ADD0(&f), b = ADD(&f, a), c = ADD(&f, a), d = ADD(&f, b, c, b);
    sees(&f, "s1", "only the top of a diamond starts");
    tap_ok(xpm_plan_count(f.plan, XPM_WAITING) == 3 && xpm_plan_state(f.plan, d) == XPM_WAITING, "the others wait");
    xpm_plan_running(f.plan, a);
    sees(&f, "r1", "running is told once");
    xpm_plan_running(f.plan, a);
    sees(&f, "", "and not again");
    xpm_plan_done(f.plan, a);
    sees(&f, "d1 s2 s3", "both sides start");
    xpm_plan_done(f.plan, c);
    sees(&f, "d3", "one side is not enough");
    xpm_plan_done(f.plan, b);
    sees(&f, "d2 s4", "the bottom starts when both are done, also with a dependency named twice");
    tap_ok(!xpm_plan_idle(f.plan), "not idle while it runs");
    xpm_plan_done(f.plan, d);
    sees(&f, "d4", "the end");
    tap_ok(xpm_plan_idle(f.plan) && xpm_plan_count(f.plan, XPM_DONE) == 4 && xpm_plan_used(f.plan) == 0,
           "all done, no slot held");
    xpm_plan_failed(f.plan, d, XPM_FAILED);
    sees(&f, "", "a job that ended does not end again");
    xpm_plan_free(f.plan);
}

static void failures(void)
{
    struct fake f;
    open_plan(&f, 1);
    uint32_t a = ADD0(&f), b = ADD0(&f), c = ADD(&f, a, b), d = ADD(&f, c), e = ADD(&f, b);
    sees(&f, "s1", "one slot, one start");
    xpm_plan_failed(f.plan, a, XPM_TIMEOUT);
    sees(&f, "e1 e3 e4 s2", "what hangs on a failed job is in error at once, the next starts");
    tap_ok(xpm_plan_reason(f.plan, a) == XPM_TIMEOUT && xpm_plan_cause(f.plan, a) == 0,
           "the failed job has its own reason");
    tap_ok(xpm_plan_reason(f.plan, d) == XPM_DEPENDENCY && xpm_plan_cause(f.plan, d) == a &&
               xpm_plan_cause(f.plan, c) == a,
           "the others name the job that failed, not the next above");
    xpm_plan_done(f.plan, b);
    sees(&f, "d2 s5", "a failure stops nothing else");
    xpm_plan_failed(f.plan, e, XPM_FAILED);
    sees(&f, "e5", "");
    uint32_t late = ADD(&f, d), fine = ADD(&f, b);
    sees(&f, "e6 s7", "a job that comes after the failure of what it needs; one whose dependency is done");
    tap_ok(xpm_plan_cause(f.plan, late) == a && fine == 7, "it names the cause too");
    xpm_plan_free(f.plan);
}

static void slots(void)
{
    struct fake f;
    open_plan(&f, 2);
    for (int i = 0; i < 5; i++)
        ADD0(&f);
    sees(&f, "s1 s2", "as many as there are slots");
    xpm_plan_done(f.plan, 2);
    sees(&f, "d2 s3", "first come, first served");
    f.refuse = 1;
    xpm_plan_done(f.plan, 1);
    sees(&f, "d1", "a runner that refuses is not asked again in the same round");
    tap_ok(xpm_plan_wants(f.plan) && xpm_plan_state(f.plan, 4) == XPM_READY && xpm_plan_used(f.plan) == 1,
           "the job stays ready");
    sees(&f, "s4", "and is the first the next time");
    xpm_plan_cancel(f.plan, 5);
    sees(&f, "e5", "a job that is ready is cancelled at once");
    ADD0(&f);
    ADD0(&f);
    xpm_plan_cancel(f.plan, 6);
    xpm_plan_done(f.plan, 3);
    xpm_plan_done(f.plan, 4);
    sees(&f, "e6 d3 d4 s7", "what was cancelled in the queue is passed over, what is behind it starts");
    xpm_plan_cancel(f.plan, 7);
    sees(&f, "c7", "one that runs is asked to end");
    tap_ok(xpm_plan_state(f.plan, 7) == XPM_SCHEDULED, "and ends when the runner says so");
    xpm_plan_failed(f.plan, 7, XPM_CANCELLED);
    sees(&f, "e7", "");
    xpm_plan_free(f.plan);
}

static void elsewhere(void)
{
    struct fake f;
    open_plan(&f, 1);
    uint32_t a = add_as(&f, XPM_BEGIN_ELSEWHERE, false, 0, NULL);
    uint32_t o = add_as(&f, XPM_BEGIN_ORPHAN, false, 0, NULL), b = ADD(&f, a), x = ADD0(&f);
    sees(&f, "r1 r2", "an orphan takes the slot, a job of another driver none");
    tap_ok(xpm_plan_used(f.plan) == 1 && xpm_plan_is_elsewhere(f.plan, a), "counted");
    xpm_plan_done(f.plan, o);
    sees(&f, "d2 s4", "its end frees the slot");
    xpm_plan_requeue(f.plan, a);
    sees(&f, "", "a job that runs elsewhere no more, without an end, is ours, when there is a slot");
    tap_ok(xpm_plan_state(f.plan, a) == XPM_READY && !xpm_plan_is_elsewhere(f.plan, a), "ready");
    xpm_plan_done(f.plan, x);
    sees(&f, "d4 s1", "it starts");
    xpm_plan_elsewhere(f.plan, a, false);
    sees(&f, "r1", "somebody else was faster");
    tap_ok(xpm_plan_used(f.plan) == 0, "its slot is free");
    xpm_plan_done(f.plan, a);
    sees(&f, "d1 s3", "its dependants follow");
    xpm_plan_done(f.plan, b);
    uint32_t w = ADD0(&f);
    uint32_t y = add_as(&f, XPM_BEGIN_ELSEWHERE, false, 1, (uint32_t[]){ w });
    uint32_t z = add_as(&f, XPM_BEGIN_ELSEWHERE, false, 1, (uint32_t[]){ w });
    sees(&f, "d3 r6 r7 s5", "what runs elsewhere does not wait for its dependencies");
    xpm_plan_failed(f.plan, w, XPM_FAILED);
    sees(&f, "e5", "and does not fail with them");
    xpm_plan_requeue(f.plan, y);
    sees(&f, "e6", "unless it would have to be started");
    tap_ok(xpm_plan_reason(f.plan, y) == XPM_DEPENDENCY && xpm_plan_cause(f.plan, y) == w, "error, dependency");
    xpm_plan_done(f.plan, z);
    sees(&f, "d7", "done elsewhere is done");
    uint32_t v = add_as(&f, XPM_BEGIN_NEW, false, 0, NULL);
    uint32_t u = add_as(&f, XPM_BEGIN_ELSEWHERE, false, 1, &v);
    sees(&f, "r9 s8", "");
    xpm_plan_requeue(f.plan, u);
    sees(&f, "", "lost elsewhere while its dependency runs here");
    tap_ok(xpm_plan_state(f.plan, u) == XPM_WAITING, "it waits");
    xpm_plan_done(f.plan, v);
    sees(&f, "d8 s9", "and follows");
    xpm_plan_free(f.plan);
}

static void begun(void)
{
    struct fake f;
    open_plan(&f, 1);
    uint32_t a = add_as(&f, XPM_BEGIN_DONE, false, 0, NULL), b = add_as(&f, XPM_BEGIN_BROKEN, false, 0, NULL);
    uint32_t c = ADD(&f, a), d = ADD(&f, a, b);
    sees(&f, "d1 e2 e4 s3", "done before; broken; what hangs on them");
    tap_ok(xpm_plan_reason(f.plan, b) == XPM_START_FAILED && xpm_plan_cause(f.plan, d) == b && c == 3, "reasons");
    struct xpm_plan_job again = { .ndeps = 0 };
    key_of(again.key, keys);
    tap_ok(xpm_plan_find(f.plan, 0, again.key) == d && xpm_plan_find(f.plan, 1, again.key) == 0,
           "found by task and identity");
    uint32_t number = 0, none = 99;
    struct xpm_err err = XPM_ERR_INIT;
    struct xpm_plan_job bad = { .deps = &none, .ndeps = 1 };
    tap_ok(xpm_plan_add(f.plan, &bad, &number, &err) == XPM_EINVAL && xpm_plan_total(f.plan) == 4, "%s", err.msg);
    xpm_plan_free(f.plan);
}

static void generated(void)
{
    struct fake f;
    open_plan(&f, 1);
    uint32_t a = add_as(&f, XPM_BEGIN_NEW, true, 0, NULL);
    uint32_t b = add_as(&f, XPM_BEGIN_NEW, true, 1, &a), c = ADD(&f, a);
    sees(&f, "s1 u1 s2 u2", "generated in order, without a slot");
    uint32_t d = add_as(&f, XPM_BEGIN_NEW, true, 2, (uint32_t[]){ a, b });
    sees(&f, "s4 u4", "also what comes later");
    tap_ok(xpm_plan_state(f.plan, c) == XPM_WAITING && xpm_plan_idle(f.plan) && d == 4,
           "to run on a generated job is to wait");
    xpm_plan_free(f.plan);
}

static void stopped(void)
{
    struct fake f;
    open_plan(&f, 1);
    uint32_t a = ADD0(&f), b = ADD0(&f), c = ADD(&f, a);
    sees(&f, "s1", "");
    xpm_plan_stop(f.plan);
    uint32_t d = ADD0(&f);
    sees(&f, "", "nothing starts after the stop");
    tap_ok(xpm_plan_count(f.plan, XPM_UNSCHEDULED) == 3 && !xpm_plan_idle(f.plan),
           "what waited is unscheduled, what runs runs");
    xpm_plan_done(f.plan, a);
    sees(&f, "d1", "its end starts nothing");
    tap_ok(xpm_plan_idle(f.plan) && xpm_plan_state(f.plan, b) == XPM_UNSCHEDULED &&
               xpm_plan_state(f.plan, c) == XPM_UNSCHEDULED &&
               xpm_plan_state(f.plan, d) == XPM_UNSCHEDULED,
           "idle");
    xpm_plan_free(f.plan);
}

static void chain(uint32_t n, bool fail)
{
    struct fake f;
    open_plan(&f, 1);
    f.quiet = true;
    for (uint32_t i = 1; i <= n; i++) {
        uint32_t before = i - 1;
        add_as(&f, XPM_BEGIN_NEW, false, i > 1, &before);
    }
    xpm_plan_pump(f.plan);
    if (fail) {
        xpm_plan_failed(f.plan, 1, XPM_FAILED);
        tap_ok(f.errors == n && xpm_plan_cause(f.plan, n) == 1 && xpm_plan_idle(f.plan),
               "a chain of %u fails from its top", n);
    } else {
        bool one = true;
        for (uint32_t i = 1; i <= n; i++) {
            one = one && f.starts == i && xpm_plan_used(f.plan) == 1;
            xpm_plan_done(f.plan, i);
            xpm_plan_pump(f.plan);
        }
        tap_ok(one && xpm_plan_count(f.plan, XPM_DONE) == n && xpm_plan_idle(f.plan),
               "a chain of %u runs one by one", n);
    }
    xpm_plan_free(f.plan);
}

static void many_parents(uint32_t n)
{
    struct fake f;
    uint32_t *deps = malloc(n * sizeof *deps);
    if (!deps || !open_plan(&f, n)) {
        tap_ok(false, "memory");
        return;
    }
    f.quiet = true;
    for (uint32_t i = 0; i < n; i++)
        deps[i] = add_as(&f, XPM_BEGIN_NEW, false, 0, NULL);
    uint32_t last = add_as(&f, XPM_BEGIN_NEW, false, n, deps);
    xpm_plan_pump(f.plan);
    for (uint32_t i = 0; i + 1 < n; i++)
        xpm_plan_done(f.plan, deps[i]);
    bool waits = xpm_plan_state(f.plan, last) == XPM_WAITING && f.starts == n;
    xpm_plan_done(f.plan, deps[n - 1]);
    xpm_plan_pump(f.plan);
    tap_ok(waits && f.starts == n + 1 && xpm_plan_state(f.plan, last) == XPM_SCHEDULED, "one job with %u parents", n);
    free(deps);
    xpm_plan_free(f.plan);
}

static bool small_work(struct fake *f)
{
    bool ok = open_plan(f, 2);
    uint32_t a = ok ? ADD0(f) : 0, b = a ? ADD(f, a) : 0;
    ok = b != 0;
    if (ok) {
        xpm_plan_pump(f->plan);
        xpm_plan_done(f->plan, a);
        xpm_plan_pump(f->plan);
        xpm_plan_done(f->plan, b);
        ok = xpm_plan_idle(f->plan) && f->starts == 2;
    }
    xpm_plan_free(f->plan);
    return ok;
}

static void sweep(void)
{
    bool right = true;
    long n;
    for (n = 0; allocfail_next(n); n++) {
        struct fake f;
        bool ok = small_work(&f), failed = allocfail_end();
        right = right && ok == !failed;
    }
    tap_ok(right && n > 3, "%ld allocations failed one by one", n - 1);
}

int main(int argc, char **argv)
{
    struct rlimit stack = { 256 * 1024, 256 * 1024 };
    if (argc == 1 && setrlimit(RLIMIT_STACK, &stack) == 0) { /* it holds from the next exec */
        char *again[] = { argv[0], (char *)(uintptr_t)"small", NULL };
        execv("/proc/self/exe", again);
    }
    getrlimit(RLIMIT_STACK, &stack);
    tap_ok(stack.rlim_cur == 256 * 1024, "with a stack of 256 KiB");
    diamond();
    failures();
    slots();
    elsewhere();
    begun();
    generated();
    stopped();
    chain(100000, false);
    chain(100000, true);
    many_parents(100000);
    sweep();
    return tap_done();
}
