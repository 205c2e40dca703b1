/* Rules. "${path}" names a value from the root, "${.x}" one of the map that holds the string (of the nearest map,
 * when the string stands in a list), each further dot one map up. A string that is one whole interpolation becomes a
 * copy of the value; inside other text only leaves are allowed. "${env:NAME}" and "${env:NAME,default}" are texts; a
 * whole one is read as a plain YAML scalar (an integer past 64 bits stays text). "\${" is "${". Interpolations do not
 * nest.
 *
 * Values are resolved in place, depth first, on demand: a reference first resolves what it names. A value that is
 * being resolved and is named again closes a cycle; paths may lead through maps that are being resolved. Recursion is
 * bounded by one counter over all functions here, so that no input can use up the stack. */
#include "config/interpolate.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/utf8.h"
#include "config/dotlist.h"
#include "config/scalar.h"

enum { MOST_FRAMES = 3000, MOST_LEVELS = 2 * XPM_CONFIG_DEPTH };

struct scope {
    struct xpm_step step;   /* how `v` is reached from `up` */
    const struct scope *up; /* NULL: `v` is the root */
    struct xpm_value *v;
};

/* A string that is being resolved, and the one that needs it. */
struct active {
    const struct active *by;
    const struct scope *scope;
    uint32_t chain;
};

struct work {
    struct xpm_store *st;
    struct xpm_problems *problems;
    const struct scope *root;
    const struct active *active;
    uint32_t frames;
    int rc;
};

/* One "${...}": its text between the braces. */
struct reference {
    const char *s;
    size_t len;
};

typedef int use_fn(struct work *w, void *arg, const struct scope *target);

static int resolve(struct work *w, const struct scope *sc);

static const struct xpm_step *path_of(const struct scope *sc)
{
    return sc->up ? &sc->step : NULL;
}

/* A problem of the string that is being resolved. Takes the buffer's text. */
static int wrong(struct work *w, int code, struct xpm_buf *b)
{
    const struct scope *sc = w->active->scope;
    if (b->failed)
        w->rc = xpm_problem_memory(w->problems);
    else
        w->rc = xpm_problem(w->problems, code, xpm_value_place(sc->v), path_of(sc), "%s", b->data ? b->data : "");
    xpm_buf_free(b);
    return w->rc;
}

static int wrong_ref(struct work *w, int code, const struct reference *ref, const char *what)
{
    struct xpm_buf b = XPM_BUF_INIT;
    xpm_buf_adds(&b, "${");
    xpm_shown_text(&b, ref->s, ref->len);
    xpm_buf_addf(&b, "}: %s", what);
    return wrong(w, code, &b);
}

static int no_memory(struct work *w)
{
    return w->rc = xpm_problem_memory(w->problems);
}

static bool within(const struct scope *sc, const struct xpm_value *v)
{
    for (; sc; sc = sc->up)
        if (sc->v == v)
            return true;
    return false;
}

static int cycle(struct work *w, const struct scope *target)
{
    struct xpm_buf b = XPM_BUF_INIT;
    const struct active *chain[XPM_CONFIG_CHAIN + 1];
    size_t n = 0;
    for (const struct active *a = w->active; a && n < sizeof chain / sizeof *chain; a = a->by) {
        chain[n++] = a;
        if (within(a->scope, target->v))
            break;
    }
    xpm_buf_adds(&b, "interpolation cycle: ");
    while (n > 0) {
        xpm_step_text(&b, path_of(chain[--n]->scope));
        xpm_buf_adds(&b, " -> ");
    }
    xpm_step_text(&b, path_of(target));
    return wrong(w, XPM_EINVAL, &b);
}

static int missing(struct work *w, const struct reference *ref, const struct scope *in, const struct xpm_segment *seg)
{
    struct xpm_buf b = XPM_BUF_INIT;
    xpm_buf_adds(&b, "${");
    xpm_shown_text(&b, ref->s, ref->len);
    xpm_buf_adds(&b, "}: there is no '");
    xpm_shown_text(&b, seg->s, seg->len);
    xpm_buf_adds(&b, "'");
    if (in->up) {
        xpm_buf_adds(&b, in->v->kind <= XPM_STRING ? " below '" : " in '");
        xpm_step_text(&b, path_of(in));
        xpm_buf_adds(&b, "'");
        if (in->v->kind <= XPM_STRING)
            xpm_buf_addf(&b, ", %s", xpm_kind_phrase(in->v));
    }
    if (in->v->kind == XPM_MAP)
        xpm_near_text(&b, in->v->u.map, seg->s, seg->len);
    return wrong(w, XPM_EINVAL, &b);
}

/* Follows the rest of a path from `sc`, and calls `use` with what it names. */
static int follow(struct work *w, const struct reference *ref, const struct scope *sc, const char *path,
                  const char *end, use_fn *use, void *arg)
{
    struct xpm_segment seg;
    struct xpm_buf scratch = XPM_BUF_INIT;
    struct scope child = { .up = sc };
    uint32_t i = 0;
    int rc;
    if (!path)
        return use(w, arg, sc);
    if (w->frames >= MOST_FRAMES)
        return wrong_ref(w, XPM_ELIMIT, ref, "interpolations are nested too deep");
    if (sc->v->kind == XPM_STRING && !(sc->v->flags & XPM_VALUE_DONE)) {
        if (sc->v->flags & XPM_VALUE_VISITING)
            return cycle(w, sc);
        if ((rc = resolve(w, sc)) != 0)
            return rc;
    }
    const char *bad = xpm_path_next(&path, end, &seg, &scratch);
    if (bad) {
        rc = scratch.failed ? no_memory(w) : wrong_ref(w, XPM_EINVAL, ref, bad);
        goto out;
    }
    child.step.up = path_of(sc);
    if (sc->v->kind == XPM_MAP) {
        const struct xpm_entry *e = xpm_map_find(w->st, sc->v->u.map, seg.s, seg.len);
        if (e) {
            child.v = e->value;
            child.step.key = e->key;
            child.step.len = e->len;
        }
    } else if (sc->v->kind == XPM_LIST && xpm_segment_index(&seg, &i) && i < sc->v->u.list->count) {
        child.v = sc->v->u.list->items[i];
        child.step.index = i;
    }
    if (!child.v) {
        rc = missing(w, ref, sc, &seg);
        goto out;
    }
    w->frames++;
    rc = follow(w, ref, &child, path, end, use, arg);
    w->frames--;
out:
    xpm_buf_free(&scratch);
    return rc;
}

/* The scope that the dots at the start of a reference mean; NULL: above the root. Moves past the dots. */
static const struct scope *start_of(const struct scope *sc, const char **path, const char *end)
{
    while (*path < end && **path == '.') {
        sc = sc->up;
        while (sc && sc->v->kind != XPM_MAP)
            sc = sc->up;
        if (!sc)
            return NULL;
        ++*path;
    }
    return sc;
}

static int refer(struct work *w, const struct scope *self, const struct reference *ref, use_fn *use, void *arg)
{
    const char *path = ref->s, *end = ref->s + ref->len;
    const char *colon = memchr(path, ':', ref->len), *quote = memchr(path, '\'', ref->len);
    const struct scope *from = w->root;
    if (ref->len == 0)
        return wrong_ref(w, XPM_EINVAL, ref, "a name is missing");
    if (colon && (!quote || colon < quote))
        return wrong_ref(w, XPM_EINVAL, ref, "only env: may stand before a name");
    if (*path == '.') {
        from = start_of(self, &path, end);
        if (!from)
            return wrong_ref(w, XPM_EINVAL, ref, "there is no map so far up");
        if (path == end)
            return wrong_ref(w, XPM_EINVAL, ref, "a name is missing after the dots");
    }
    return follow(w, ref, from, path, end, use, arg);
}

/* Resolves what a reference names; a cycle when it is being resolved. */
static int need(struct work *w, const struct scope *target)
{
    if (target->v->flags & XPM_VALUE_VISITING)
        return cycle(w, target);
    int rc = resolve(w, target);
    return rc ? rc : target->v->flags & XPM_VALUE_FAILED ? XPM_EINVAL : 0;
}

static uint32_t levels_of(const struct xpm_value *v)
{
    uint32_t most = 0;
    if (v->kind == XPM_MAP)
        for (uint32_t i = 0; i < v->u.map->count; i++) {
            uint32_t n = levels_of(v->u.map->entries[i].value) + 1;
            most = n > most ? n : most;
        }
    if (v->kind == XPM_LIST)
        for (uint32_t i = 0; i < v->u.list->count; i++) {
            uint32_t n = levels_of(v->u.list->items[i]) + 1;
            most = n > most ? n : most;
        }
    return most;
}

/* The string becomes the value that it names. */
static int use_whole(struct work *w, void *arg, const struct scope *target)
{
    struct xpm_value *v = arg, *t = target->v, *copy = t;
    struct xpm_buf b = XPM_BUF_INIT;
    uint32_t levels = 0;
    int rc = need(w, target);
    if (rc)
        return rc;
    if (t->kind >= XPM_LIST) {
        for (const struct scope *s = w->active->scope; s; s = s->up)
            levels++;
        rc = xpm_value_copy(w->st, &copy, t);
        if (rc == XPM_ENOMEM)
            return no_memory(w);
        if (rc)
            xpm_buf_adds(&b, "interpolations make more values than the limit of 100000");
        else if (levels + levels_of(copy) > MOST_LEVELS)
            xpm_buf_addf(&b, "interpolations nest the tree deeper than the limit of %d levels", MOST_LEVELS);
        if (b.len || b.failed)
            return wrong(w, XPM_ELIMIT, &b);
    }
    v->kind = copy->kind;
    v->len = copy->len;
    v->u = copy->u;
    return 0;
}

static int add_text(struct work *w, struct xpm_buf *out, const char *s, size_t len)
{
    w->st->text += len;
    if (w->st->text > XPM_CONFIG_TEXT) {
        struct xpm_buf b = XPM_BUF_INIT;
        xpm_buf_adds(&b, "interpolations make more text than the limit of 16 MB");
        return wrong(w, XPM_ELIMIT, &b);
    }
    return xpm_buf_add(out, s, len) ? 0 : no_memory(w);
}

struct text_use {
    struct xpm_buf *out;
    const struct reference *ref;
};

/* The value that a reference names, as text inside other text. */
static int use_text(struct work *w, void *arg, const struct scope *target)
{
    struct text_use *u = arg;
    struct xpm_buf text = XPM_BUF_INIT;
    int rc = need(w, target);
    if (rc)
        return rc;
    if (target->v->kind >= XPM_LIST) {
        bool map = target->v->kind == XPM_MAP;
        return wrong_ref(w, XPM_EINVAL, u->ref,
                         map ? "a map cannot be part of a text" : "a list cannot be part of a text");
    }
    if (xpm_scalar_text(&text, target->v))
        rc = add_text(w, u->out, text.data ? text.data : "", text.len);
    else
        rc = no_memory(w);
    xpm_buf_free(&text);
    return rc;
}

/* The text of "${env:NAME,default}"; *text is borrowed. */
static int environment(struct work *w, const struct reference *ref, const char **text, size_t *len)
{
    const char *name = ref->s + 4, *end = ref->s + ref->len;
    const char *comma = memchr(name, ',', (size_t)(end - name));
    size_t n = (size_t)((comma ? comma : end) - name);
    if (n == 0)
        return wrong_ref(w, XPM_EINVAL, ref, "the name of a variable is missing");
    char *copy = xpm_arena_text(&w->st->arena, name, n);
    if (!copy)
        return no_memory(w);
    const char *value = getenv(copy);
    if (value) {
        *text = value;
        *len = strlen(value);
        return xpm_utf8_check(value, *len) == *len ? 0 : wrong_ref(w, XPM_EINVAL, ref, "the variable is not UTF-8");
    }
    if (!comma)
        return wrong_ref(w, XPM_EINVAL, ref, "the environment variable is not set, and there is no default");
    *text = comma + 1;
    *len = (size_t)(end - comma) - 1;
    return 0;
}

static int whole_environment(struct work *w, struct xpm_value *v, const struct reference *ref)
{
    const char *s;
    size_t len;
    int rc = environment(w, ref, &s, &len);
    if (rc)
        return rc;
    enum xpm_scalar as = xpm_scalar_plain(v, s, len);
    if (as == XPM_SCALAR_DONE)
        return 0;
    return as != XPM_SCALAR_NO_MEMORY && xpm_value_set_text(w->st, v, s, len) ? 0 : no_memory(w);
}

/* The reference that starts at s ("${..."); *end is behind its brace. */
static int reference_at(struct work *w, const char *s, const char *stop, struct reference *ref, const char **end)
{
    const char *close = memchr(s, '}', (size_t)(stop - s));
    *ref = (struct reference){ s + 2, (size_t)((close ? close : stop) - s) - 2 };
    if (!close) {
        struct xpm_buf b = XPM_BUF_INIT;
        xpm_buf_adds(&b, "the '}' of a '${' is missing (write \\${ for plain text)");
        return wrong(w, XPM_EINVAL, &b);
    }
    if (memmem(ref->s, ref->len, "${", 2))
        return wrong_ref(w, XPM_EINVAL, ref, "interpolations cannot be nested");
    *end = close + 1;
    while (ref->len && ref->s[0] == ' ') {
        ref->s++;
        ref->len--;
    }
    while (ref->len && ref->s[ref->len - 1] == ' ')
        ref->len--;
    return 0;
}

static bool is_environment(const struct reference *ref)
{
    return ref->len >= 4 && memcmp(ref->s, "env:", 4) == 0;
}

static int mixed_text(struct work *w, const struct scope *sc, struct xpm_buf *out)
{
    const char *s = sc->v->u.s, *stop = s + sc->v->len;
    struct reference ref;
    int rc = 0;
    while (rc == 0 && s < stop) {
        const char *dollar = memmem(s, (size_t)(stop - s), "${", 2), *text;
        size_t len;
        bool plain = dollar && dollar > s && dollar[-1] == '\\';
        if (!dollar || plain) {
            const char *until = dollar ? dollar - 1 : stop;
            rc = add_text(w, out, s, (size_t)(until - s));
            s = until;
            if (rc == 0 && plain) {
                rc = add_text(w, out, "${", 2);
                s = dollar + 2;
            }
            continue;
        }
        rc = add_text(w, out, s, (size_t)(dollar - s));
        if (rc || (rc = reference_at(w, dollar, stop, &ref, &s)) != 0)
            break;
        if (is_environment(&ref)) {
            rc = environment(w, &ref, &text, &len);
            rc = rc ? rc : add_text(w, out, text, len);
        } else {
            rc = refer(w, sc, &ref, use_text, &(struct text_use){ out, &ref });
        }
    }
    return rc;
}

static int resolve_string(struct work *w, const struct scope *sc)
{
    struct xpm_value *v = sc->v;
    struct reference ref;
    const char *stop = v->u.s + v->len, *end;
    if (v->len > 2 && memcmp(v->u.s, "${", 2) == 0 && memchr(v->u.s, '}', v->len) == stop - 1) {
        int rc = reference_at(w, v->u.s, stop, &ref, &end);
        if (rc)
            return rc;
        return is_environment(&ref) ? whole_environment(w, v, &ref) : refer(w, sc, &ref, use_whole, v);
    }
    struct xpm_buf out = XPM_BUF_INIT;
    int rc = mixed_text(w, sc, &out);
    if (rc == 0 && !xpm_value_set_text(w->st, v, out.data ? out.data : "", out.len))
        rc = no_memory(w);
    xpm_buf_free(&out);
    return rc;
}

static int resolve_children(struct work *w, const struct scope *sc)
{
    uint32_t count = sc->v->kind == XPM_MAP ? sc->v->u.map->count : sc->v->u.list->count;
    int rc = 0;
    for (uint32_t i = 0; i < count && w->problems->code != XPM_ENOMEM; i++) {
        struct scope child = { .up = sc, .step = { .up = path_of(sc), .index = i } };
        if (sc->v->kind == XPM_MAP) {
            const struct xpm_entry *e = &sc->v->u.map->entries[i];
            child.step.key = e->key;
            child.step.len = e->len;
            child.v = e->value;
        } else {
            child.v = sc->v->u.list->items[i];
        }
        /* a child that is at work below us names us: need() tells the cycle */
        int one = child.v->flags & XPM_VALUE_VISITING ? 0 : resolve(w, &child);
        rc = one ? one : rc;
    }
    return rc;
}

/* Resolves a value and all below it. Returns a code when that failed, now or before. */
static int resolve(struct work *w, const struct scope *sc)
{
    struct xpm_value *v = sc->v;
    int rc = 0;
    if (v->flags & XPM_VALUE_DONE)
        return v->flags & XPM_VALUE_FAILED ? XPM_EINVAL : 0;
    if (v->kind < XPM_STRING || (v->kind == XPM_STRING && !(v->flags & XPM_VALUE_DOLLAR)))
        return 0;
    struct active self = { w->active, sc, w->active ? w->active->chain + 1 : 1 };
    if (v->kind == XPM_STRING)
        w->active = &self;
    v->flags |= XPM_VALUE_VISITING;
    if (self.chain > XPM_CONFIG_CHAIN || w->frames >= MOST_FRAMES) {
        struct xpm_buf b = XPM_BUF_INIT;
        w->active = &self;
        xpm_buf_addf(&b, "interpolations follow one another further than the limit of %d", XPM_CONFIG_CHAIN);
        rc = wrong(w, XPM_ELIMIT, &b);
    } else {
        w->frames++;
        rc = v->kind == XPM_STRING ? resolve_string(w, sc) : resolve_children(w, sc);
        w->frames--;
    }
    w->active = self.by;
    v->flags &= (uint8_t)~XPM_VALUE_VISITING;
    v->flags |= XPM_VALUE_DONE;
    if (rc)
        v->flags |= XPM_VALUE_FAILED;
    return rc;
}

int xpm_interpolate(struct xpm_store *st, struct xpm_value *root, struct xpm_problems *problems)
{
    struct scope top = { .v = root };
    struct work w = { .st = st, .problems = problems, .root = &top };
    if (!st->dollars)
        return 0;
    resolve(&w, &top);
    return w.rc;
}
