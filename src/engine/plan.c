/* Invariants, between calls:
 *   - counts[s] is the number of jobs in state s; `used` the number of jobs with HOLDS_SLOT.
 *   - `pending` of a job counts its edges from jobs that are not done (or generated, for a generate job).
 *   - a job that did not start is WAITING exactly while pending > 0 and no dependency is in error; it is READY when
 *     pending is 0; after the stop both are UNSCHEDULED.
 *   - `cause` is set on a job as soon as one of its dependencies is in error, also while it runs elsewhere, so that
 *     xpm_plan_requeue knows.
 *   - `next` links a job into one list only: the ready queue (a READY job, or one that left that state meanwhile and
 *     is skipped when popped), or the list of errors still to be passed on (jobs that were WAITING).
 *
 * Edges live in one growing array, linked per parent in order of coming, so that dependants become ready in that
 * order. The index from identity to number is open addressing over the numbers; identities are compared in the
 * nodes. */
#include "engine/plan.h"

#include <stdlib.h>
#include <string.h>

#include "engine/chunks.h"

enum { HOLDS_SLOT = 1, ELSEWHERE = 2, GENERATE = 4 };

struct node {
    uint32_t first_edge, last_edge; /* to its dependants; 0: none */
    uint32_t pending;
    uint32_t next;
    uint32_t cause;
    uint32_t task;
    uint8_t state, reason, flags;
    uint8_t key[XPM_HASH_SIZE];
};

struct edge {
    uint32_t child, next;
};

struct xpm_plan {
    struct xpm_runner runner;
    struct xpm_chunks nodes, edges; /* from 1 */
    uint32_t total, nedges;
    uint32_t *index; /* numbers; 0: free. Its size is a power of two, at most 2/3 full */
    uint32_t index_size;
    uint32_t counts[XPM_STATE_COUNT];
    uint32_t slots, used;
    uint32_t head, tail; /* the ready queue */
    bool stopped, pumping;
};

static struct node *node_at(const struct xpm_plan *p, uint32_t job)
{
    return xpm_chunks_at(&p->nodes, job);
}

static struct edge *edge_at(const struct xpm_plan *p, uint32_t i)
{
    return xpm_chunks_at(&p->edges, i);
}

int xpm_plan_new(struct xpm_plan **out, uint32_t slots, const struct xpm_runner *runner, struct xpm_err *err)
{
    struct xpm_plan *p = calloc(1, sizeof *p);
    *out = p;
    if (!p)
        return xpm_err_set(err, XPM_ENOMEM, "out of memory");
    p->runner = *runner;
    p->slots = slots;
    p->nodes.size = sizeof(struct node);
    p->edges.size = sizeof(struct edge);
    return 0;
}

void xpm_plan_free(struct xpm_plan *p)
{
    if (!p)
        return;
    xpm_chunks_free(&p->nodes);
    xpm_chunks_free(&p->edges);
    free(p->index);
    free(p);
}

/* --- identity -> number --- */

static uint32_t slot_of(uint32_t task, const uint8_t *key, uint32_t size)
{
    uint64_t h;
    memcpy(&h, key, sizeof h);
    h = (h ^ task) * UINT64_C(0x9E3779B97F4A7C15);
    return (uint32_t)(h >> 32) & (size - 1);
}

uint32_t xpm_plan_find(const struct xpm_plan *p, uint32_t task, const uint8_t key[XPM_HASH_SIZE])
{
    if (!p->index_size)
        return 0;
    for (uint32_t i = slot_of(task, key, p->index_size);; i = (i + 1) & (p->index_size - 1)) {
        uint32_t job = p->index[i];
        if (!job)
            return 0;
        const struct node *n = node_at(p, job);
        if (n->task == task && memcmp(n->key, key, XPM_HASH_SIZE) == 0)
            return job;
    }
}

static void index_put(uint32_t *index, uint32_t size, const struct node *n, uint32_t job)
{
    uint32_t i = slot_of(n->task, n->key, size);
    while (index[i])
        i = (i + 1) & (size - 1);
    index[i] = job;
}

static bool index_reserve(struct xpm_plan *p)
{
    if ((uint64_t)(p->total + 1) * 3 <= (uint64_t)p->index_size * 2)
        return true;
    uint64_t size = p->index_size ? (uint64_t)p->index_size * 2 : 64;
    if (size > UINT32_C(1) << 31)
        return false;
    uint32_t *fresh = calloc((size_t)size, sizeof *fresh);
    if (!fresh)
        return false;
    for (uint32_t job = 1; job <= p->total; job++)
        index_put(fresh, (uint32_t)size, node_at(p, job), job);
    free(p->index);
    p->index = fresh;
    p->index_size = (uint32_t)size;
    return true;
}

/* --- changes of state --- */

static void set_state(struct xpm_plan *p, struct node *n, int state)
{
    p->counts[n->state]--;
    p->counts[state]++;
    n->state = (uint8_t)state;
}

static void hold_slot(struct xpm_plan *p, struct node *n, bool hold)
{
    bool held = n->flags & HOLDS_SLOT;
    if (hold == held)
        return;
    n->flags ^= HOLDS_SLOT;
    p->used += hold ? 1u : -1u;
}

static void tell(struct xpm_plan *p, uint32_t job)
{
    if (p->runner.changed)
        p->runner.changed(p->runner.ctx, job);
}

static void push_ready(struct xpm_plan *p, struct node *n, uint32_t job)
{
    if (p->stopped) {
        set_state(p, n, XPM_UNSCHEDULED);
        return;
    }
    set_state(p, n, XPM_READY);
    n->next = 0;
    if (p->tail)
        node_at(p, p->tail)->next = job;
    else
        p->head = job;
    p->tail = job;
}

static bool has_ended(const struct node *n)
{
    return n->state == XPM_DONE || n->state == XPM_ERROR;
}

/* Puts `job` into error and passes that on to everything that hangs on it, breadth first. The list that is worked off
 * holds only jobs that waited: `job` itself may still be linked in the ready queue. */
static void fail(struct xpm_plan *p, uint32_t job, int reason)
{
    uint32_t first = 0, last = 0;
    node_at(p, job)->reason = (uint8_t)reason;
    for (;;) {
        struct node *n = node_at(p, job);
        set_state(p, n, XPM_ERROR);
        hold_slot(p, n, false);
        if (n->reason != XPM_DEPENDENCY)
            n->cause = 0;
        tell(p, job);
        uint32_t cause = n->cause ? n->cause : job;
        for (uint32_t e = n->first_edge; e; e = edge_at(p, e)->next) {
            uint32_t child = edge_at(p, e)->child;
            struct node *c = node_at(p, child);
            if (c->cause || has_ended(c))
                continue;
            c->cause = cause;
            if (c->state != XPM_WAITING && !(c->state == XPM_UNSCHEDULED && c->pending))
                continue;
            c->reason = XPM_DEPENDENCY;
            c->next = 0;
            if (last)
                node_at(p, last)->next = child;
            else
                first = child;
            last = child;
        }
        if (!first)
            return;
        job = first;
        first = node_at(p, job)->next;
        if (!first)
            last = 0;
    }
}

/* A dependency is satisfied for those dependants that `generated` suits. */
static void release(struct xpm_plan *p, struct node *n, bool generated)
{
    for (uint32_t e = n->first_edge; e; e = edge_at(p, e)->next) {
        uint32_t child = edge_at(p, e)->child;
        struct node *c = node_at(p, child);
        if (generated && !(c->flags & GENERATE))
            continue;
        c->pending--;
        if (c->pending == 0 && c->state == XPM_WAITING)
            push_ready(p, c, child);
    }
}

/* Where a job stands that neither runs nor ended. */
static void settle(struct xpm_plan *p, struct node *n, uint32_t job)
{
    if (n->cause) {
        fail(p, job, XPM_DEPENDENCY);
    } else if (n->pending == 0) {
        push_ready(p, n, job);
    } else {
        set_state(p, n, p->stopped ? XPM_UNSCHEDULED : XPM_WAITING);
    }
}

/* --- adding --- */

/* Whether a dependant of this kind need not wait for `dep`. */
static bool satisfied(const struct node *dep, bool generate)
{
    bool generated = (dep->flags & GENERATE) && dep->state == XPM_UNSCHEDULED && dep->reason;
    return dep->state == XPM_DONE || (generate && generated);
}

static void link_deps(struct xpm_plan *p, struct node *n, uint32_t job, const struct xpm_plan_job *spec)
{
    for (uint32_t i = 0; i < spec->ndeps; i++) {
        struct node *dep = node_at(p, spec->deps[i]);
        if (satisfied(dep, spec->generate))
            continue;
        if (dep->state == XPM_ERROR) {
            if (!n->cause)
                n->cause = dep->reason == XPM_DEPENDENCY ? dep->cause : spec->deps[i];
            continue;
        }
        uint32_t e = ++p->nedges;
        *edge_at(p, e) = (struct edge){ job, 0 };
        if (dep->last_edge)
            edge_at(p, dep->last_edge)->next = e;
        else
            dep->first_edge = e;
        dep->last_edge = e;
        n->pending++;
    }
}

int xpm_plan_add(struct xpm_plan *p, const struct xpm_plan_job *spec, uint32_t *number, struct xpm_err *err)
{
    for (uint32_t i = 0; i < spec->ndeps; i++)
        if (spec->deps[i] == 0 || spec->deps[i] > p->total)
            return xpm_err_set(err, XPM_EINVAL, "a dependency is no job of this engine: %u", spec->deps[i]);
    if (p->total >= UINT32_MAX - 2 * XPM_CHUNK || spec->ndeps >= UINT32_MAX - 2 * XPM_CHUNK - p->nedges)
        return xpm_err_set(err, XPM_ELIMIT, "too many jobs or dependencies");
    if (!xpm_chunks_reserve(&p->nodes, p->total + 2) || !xpm_chunks_reserve(&p->edges, p->nedges + spec->ndeps + 1) ||
        !index_reserve(p))
        return xpm_err_set(err, XPM_ENOMEM, "out of memory");
    uint32_t job = ++p->total;
    struct node *n = node_at(p, job);
    memset(n, 0, sizeof *n);
    n->task = spec->task;
    n->flags = spec->generate ? GENERATE : 0;
    memcpy(n->key, spec->key, XPM_HASH_SIZE);
    index_put(p->index, p->index_size, n, job);
    p->counts[XPM_UNSCHEDULED]++;
    link_deps(p, n, job, spec);
    *number = job;
    switch (spec->begin) {
    case XPM_BEGIN_NEW:
        settle(p, n, job);
        break;
    case XPM_BEGIN_DONE:
        set_state(p, n, XPM_DONE);
        tell(p, job);
        break;
    case XPM_BEGIN_ELSEWHERE:
    case XPM_BEGIN_ORPHAN:
        xpm_plan_elsewhere(p, job, spec->begin == XPM_BEGIN_ORPHAN);
        break;
    case XPM_BEGIN_BROKEN:
        fail(p, job, XPM_START_FAILED);
        break;
    }
    return 0;
}

/* --- starting and reports --- */

/* The first job in the queue that is still ready, or 0. */
static uint32_t first_ready(struct xpm_plan *p)
{
    while (p->head && node_at(p, p->head)->state != XPM_READY) {
        p->head = node_at(p, p->head)->next;
        if (!p->head)
            p->tail = 0;
    }
    return p->head;
}

static bool fits(const struct xpm_plan *p, const struct node *n)
{
    return (n->flags & GENERATE) || p->used < p->slots;
}

void xpm_plan_pump(struct xpm_plan *p)
{
    uint32_t job;
    if (p->pumping)
        return;
    p->pumping = true;
    while (!p->stopped && (job = first_ready(p)) != 0) {
        struct node *n = node_at(p, job);
        if (!fits(p, n))
            break;
        p->head = n->next;
        if (!p->head)
            p->tail = 0;
        n->next = 0;
        set_state(p, n, XPM_SCHEDULED);
        hold_slot(p, n, !(n->flags & GENERATE));
        if (p->runner.start(p->runner.ctx, job) == 0)
            continue;
        hold_slot(p, n, false);
        set_state(p, n, XPM_READY);
        n->next = p->head;
        p->head = job;
        if (!p->tail)
            p->tail = job;
        break;
    }
    p->pumping = false;
}

bool xpm_plan_wants(const struct xpm_plan *p)
{
    return !p->stopped && p->counts[XPM_READY] && p->used < p->slots;
}

void xpm_plan_running(struct xpm_plan *p, uint32_t job)
{
    struct node *n = node_at(p, job);
    if (n->state != XPM_SCHEDULED)
        return;
    set_state(p, n, XPM_RUNNING);
    tell(p, job);
}

void xpm_plan_elsewhere(struct xpm_plan *p, uint32_t job, bool slot)
{
    struct node *n = node_at(p, job);
    if (has_ended(n))
        return;
    set_state(p, n, XPM_RUNNING);
    n->flags |= ELSEWHERE;
    hold_slot(p, n, slot);
    tell(p, job);
}

void xpm_plan_requeue(struct xpm_plan *p, uint32_t job)
{
    struct node *n = node_at(p, job);
    if (n->state != XPM_RUNNING && n->state != XPM_SCHEDULED)
        return;
    n->next = 0;
    hold_slot(p, n, false);
    n->flags &= (uint8_t)~ELSEWHERE;
    settle(p, n, job);
}

void xpm_plan_done(struct xpm_plan *p, uint32_t job)
{
    struct node *n = node_at(p, job);
    if (has_ended(n))
        return;
    set_state(p, n, XPM_DONE);
    hold_slot(p, n, false);
    n->reason = XPM_NO_REASON;
    n->cause = 0;
    tell(p, job);
    release(p, n, false);
}

void xpm_plan_failed(struct xpm_plan *p, uint32_t job, int reason)
{
    if (!has_ended(node_at(p, job)))
        fail(p, job, reason);
}

/* `reason` of an unscheduled job says that it was generated; nobody else reads it in that state. */
void xpm_plan_generated(struct xpm_plan *p, uint32_t job)
{
    struct node *n = node_at(p, job);
    if (n->state != XPM_SCHEDULED)
        return;
    set_state(p, n, XPM_UNSCHEDULED);
    n->reason = XPM_REASON_COUNT;
    tell(p, job);
    release(p, n, true);
}

void xpm_plan_stop(struct xpm_plan *p)
{
    if (p->stopped)
        return;
    p->stopped = true;
    p->head = p->tail = 0;
    for (uint32_t job = 1; job <= p->total; job++) {
        struct node *n = node_at(p, job);
        if (n->state == XPM_WAITING || n->state == XPM_READY)
            set_state(p, n, XPM_UNSCHEDULED);
    }
}

void xpm_plan_cancel(struct xpm_plan *p, uint32_t job)
{
    struct node *n = node_at(p, job);
    if (n->state == XPM_SCHEDULED || n->state == XPM_RUNNING)
        p->runner.cancel(p->runner.ctx, job);
    else if (!has_ended(n) && !(n->flags & GENERATE && n->reason))
        fail(p, job, XPM_CANCELLED);
}

/* --- questions --- */

uint32_t xpm_plan_total(const struct xpm_plan *p)
{
    return p->total;
}

uint32_t xpm_plan_count(const struct xpm_plan *p, int state)
{
    return p->counts[state];
}

uint32_t xpm_plan_used(const struct xpm_plan *p)
{
    return p->used;
}

bool xpm_plan_idle(const struct xpm_plan *p)
{
    return p->counts[XPM_SCHEDULED] == 0 && p->counts[XPM_RUNNING] == 0 && (p->stopped || p->counts[XPM_READY] == 0);
}

int xpm_plan_state(const struct xpm_plan *p, uint32_t job)
{
    return node_at(p, job)->state;
}

int xpm_plan_reason(const struct xpm_plan *p, uint32_t job)
{
    const struct node *n = node_at(p, job);
    return n->state == XPM_ERROR ? n->reason : XPM_NO_REASON;
}

bool xpm_plan_is_elsewhere(const struct xpm_plan *p, uint32_t job)
{
    return node_at(p, job)->flags & ELSEWHERE;
}

bool xpm_plan_is_generate(const struct xpm_plan *p, uint32_t job)
{
    return node_at(p, job)->flags & GENERATE;
}

uint32_t xpm_plan_cause(const struct xpm_plan *p, uint32_t job)
{
    const struct node *n = node_at(p, job);
    return n->state == XPM_ERROR && n->reason == XPM_DEPENDENCY ? n->cause : 0;
}

uint32_t xpm_plan_task(const struct xpm_plan *p, uint32_t job)
{
    return node_at(p, job)->task;
}

const uint8_t *xpm_plan_key(const struct xpm_plan *p, uint32_t job)
{
    return node_at(p, job)->key;
}

