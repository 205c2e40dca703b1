#include "config/dotlist.h"

#include <string.h>

#include "base/err.h"
#include "base/utf8.h"
#include "config/merge.h"
#include "config/scalar.h"
#include "config/yaml.h"

const char *xpm_path_next(const char **path, const char *end, struct xpm_segment *seg, struct xpm_buf *scratch)
{
    const char *p = *path;
    if (p < end && *p == '\'') {
        xpm_buf_clear(scratch);
        for (p++;;) {
            const char *q = memchr(p, '\'', (size_t)(end - p));
            if (!q)
                return "a quote in the path does not end";
            xpm_buf_add(scratch, p, (size_t)(q - p));
            p = q + 1;
            if (p == end || *p != '\'')
                break;
            xpm_buf_addc(scratch, *p++);
        }
        if (scratch->failed)
            return "out of memory";
        *seg = (struct xpm_segment){ scratch->data ? scratch->data : "", scratch->len, true };
        if (p < end && *p != '.')
            return "a '.' is missing after a quoted key";
    } else {
        const char *dot = memchr(p, '.', (size_t)(end - p));
        const char *stop = dot ? dot : end;
        *seg = (struct xpm_segment){ p, (size_t)(stop - p), false };
        if (seg->len == 0)
            return "a key is empty (write '' for an empty one)";
        p = stop;
    }
    *path = p == end ? NULL : p + 1;
    return NULL;
}

bool xpm_segment_index(const struct xpm_segment *seg, uint32_t *out)
{
    uint64_t n = 0;
    if (seg->quoted || seg->len == 0 || seg->len > 9 || (seg->len > 1 && seg->s[0] == '0'))
        return false;
    for (size_t i = 0; i < seg->len; i++) {
        if (seg->s[i] < '0' || seg->s[i] > '9')
            return false;
        n = n * 10 + (unsigned)(seg->s[i] - '0');
    }
    *out = (uint32_t)n;
    return true;
}

struct xpm_value *xpm_path_find(const struct xpm_store *st, struct xpm_value *root, const char *path, size_t len,
                                struct xpm_entry **entry)
{
    struct xpm_buf scratch = XPM_BUF_INIT;
    struct xpm_segment seg;
    struct xpm_value *v = root;
    struct xpm_entry *e = NULL;
    const char *p = path, *end = path + len;
    while (v && len && p) {
        uint32_t i;
        if (xpm_path_next(&p, end, &seg, &scratch)) {
            v = NULL;
        } else if (v->kind == XPM_MAP) {
            e = xpm_map_find(st, v->u.map, seg.s, seg.len);
            v = e ? e->value : NULL;
        } else {
            e = NULL;
            v = v->kind == XPM_LIST && xpm_segment_index(&seg, &i) && i < v->u.list->count ? v->u.list->items[i] : NULL;
        }
    }
    xpm_buf_free(&scratch);
    if (entry)
        *entry = v ? e : NULL;
    return v;
}

/* One assignment at work. */
struct assign {
    struct xpm_store *st;
    struct xpm_problems *problems;
    struct xpm_place at;
    uint32_t depth;
    struct xpm_step steps[XPM_CONFIG_DEPTH];
};

static int wrong(struct assign *a, const char *fmt, const char *detail)
{
    const struct xpm_step *path = a->depth ? &a->steps[a->depth - 1] : NULL;
    return xpm_problem(a->problems, XPM_EINVAL, a->at, path, fmt, detail);
}

/* Reads the value of an assignment: flow YAML, or one plain scalar. */
static int read_value(struct assign *a, const char *s, size_t len, struct xpm_value **out)
{
    *out = NULL;
    if (len && memchr("[{\"'", s[0], 4)) {
        int rc = xpm_yaml_read(out, a->st, a->at.source, s, len, a->problems);
        return rc ? rc : *out ? 0 : XPM_EINVAL;
    }
    struct xpm_value *v = xpm_value_new(a->st, XPM_NULL, a->at);
    if (!v)
        return xpm_problem_memory(a->problems);
    *out = v;
    switch (xpm_scalar_plain(v, s, len)) {
    case XPM_SCALAR_DONE: return 0;
    case XPM_SCALAR_TOO_LARGE: return wrong(a, "%s", "the integer does not fit in 64 bits");
    case XPM_SCALAR_TEXT: return xpm_value_set_text(a->st, v, s, len) ? 0 : xpm_problem_memory(a->problems);
    default: return xpm_problem_memory(a->problems);
    }
}

/* "it is a string (full.yaml:3:4)" and so on: the path leads below a value that has nothing below it. */
static int below_leaf(struct assign *a, const struct xpm_value *v)
{
    struct xpm_buf b = XPM_BUF_INIT;
    a->depth--;
    xpm_buf_addf(&b, "it is %s", xpm_kind_phrase(v));
    if (v->source != a->at.source) {
        xpm_buf_adds(&b, " (");
        xpm_place_text(&b, a->st, xpm_value_place(v));
        xpm_buf_adds(&b, ")");
    }
    xpm_buf_adds(&b, ", nothing can be set below it");
    int rc = b.failed ? xpm_problem_memory(a->problems) : wrong(a, "%s", b.data);
    xpm_buf_free(&b);
    return rc;
}

static int bad_index(struct assign *a, const struct xpm_segment *seg, const struct xpm_value *list)
{
    struct xpm_buf b = XPM_BUF_INIT;
    uint32_t i, n = list->u.list->count;
    if (xpm_segment_index(seg, &i))
        xpm_buf_addf(&b, "the index is past the end: the list has %u item%s", n, n == 1 ? "" : "s");
    else
        xpm_buf_adds(&b, "a name in a list: an index from 0 is needed");
    if (!b.failed && xpm_segment_index(seg, &i))
        xpm_buf_addf(&b, ", the next index is %u", n);
    int rc = b.failed ? xpm_problem_memory(a->problems) : wrong(a, "%s", b.data);
    xpm_buf_free(&b);
    return rc;
}

/* The slot below `v` that a segment names; *slot may hold NULL when it is new. */
static int step_into(struct assign *a, struct xpm_value *v, const struct xpm_segment *seg, struct xpm_value ***slot)
{
    struct xpm_step *step = &a->steps[a->depth];
    *step = (struct xpm_step){ .up = a->depth ? step - 1 : NULL };
    step->key = xpm_arena_text(&a->st->arena, seg->s, seg->len);
    if (!step->key)
        return xpm_problem_memory(a->problems);
    step->len = (uint32_t)seg->len;
    a->depth++;
    if (v->kind == XPM_MAP) {
        struct xpm_entry *e = xpm_map_find(a->st, v->u.map, seg->s, seg->len);
        if (!e)
            e = xpm_map_add(a->st, v->u.map, step->key, seg->len, a->at, NULL);
        if (!e)
            return xpm_problem_memory(a->problems);
        *slot = &e->value;
        return 0;
    }
    if (v->kind != XPM_LIST)
        return below_leaf(a, v);
    if (!xpm_segment_index(seg, &step->index) || step->index > v->u.list->count)
        return bad_index(a, seg, v);
    step->key = NULL;
    if (step->index == v->u.list->count && !xpm_list_add(a->st, v->u.list, NULL))
        return xpm_problem_memory(a->problems);
    *slot = &v->u.list->items[step->index];
    return 0;
}

/* Takes the newest child of `v` away again. */
static void take_back(struct xpm_value *v)
{
    if (v->kind == XPM_LIST)
        v->u.list->count--;
    else
        xpm_map_remove(v->u.map, &v->u.map->entries[v->u.map->count - 1]);
}

static int assign_path(struct assign *a, struct xpm_value *root, const char *path, const char *end,
                       struct xpm_value *value, struct xpm_buf *scratch)
{
    struct xpm_value *v = root, **slot = NULL;
    struct xpm_segment seg;
    uint32_t number;
    const char *bad;
    int rc;
    while (path) {
        if ((bad = xpm_path_next(&path, end, &seg, scratch)) != NULL)
            return scratch->failed ? xpm_problem_memory(a->problems) : wrong(a, "%s", bad);
        if (a->depth == 0 && ((seg.len == 7 && memcmp(seg.s, "imports", 7) == 0) ||
                              (seg.len == 6 && memcmp(seg.s, "parent", 6) == 0)))
            return wrong(a, "%s", "imports and parent can only be written in a file");
        if (slot) {
            struct xpm_value *was = *slot;
            if (!was || was->kind == XPM_NULL) {
                if (xpm_segment_index(&seg, &number))
                    return wrong(a, "%s", "an index needs an existing list: write the list in brackets, [a, b]");
                struct xpm_value *map = xpm_value_map(a->st, a->at, 1);
                if (!map)
                    return xpm_problem_memory(a->problems);
                map->was = was;
                *slot = map;
            }
            v = *slot;
        }
        if (a->depth == XPM_CONFIG_DEPTH)
            return wrong(a, "%s", "the path has more than 256 parts");
        if ((rc = step_into(a, v, &seg, &slot)) != 0)
            return rc;
    }
    /* the key is now where the override says */
    if (v->kind == XPM_MAP) {
        const struct xpm_step *last = &a->steps[a->depth - 1];
        struct xpm_entry *e = xpm_map_find(a->st, v->u.map, last->key, last->len);
        if (e) {
            e->source = (uint16_t)a->at.source;
            e->line = e->column = 0;
        }
    }
    return xpm_merge(a->st, slot, value, &a->steps[a->depth - 1], a->problems);
}

/* A slot that was made and never filled (a path that failed half way) becomes null: the load fails anyway. */
static void fill_holes(struct assign *a, struct xpm_value *v)
{
    for (uint32_t i = 0; i < a->depth && v; i++) {
        const struct xpm_step *s = &a->steps[i];
        struct xpm_value **slot = NULL;
        if (v->kind == XPM_MAP && s->key) {
            struct xpm_entry *e = xpm_map_find(a->st, v->u.map, s->key, s->len);
            slot = e ? &e->value : NULL;
        } else if (v->kind == XPM_LIST && !s->key && s->index < v->u.list->count) {
            slot = &v->u.list->items[s->index];
        }
        if (slot && !*slot) {
            struct xpm_value *null = xpm_value_new(a->st, XPM_NULL, a->at);
            if (null)
                *slot = null;
            else
                take_back(v);
            return;
        }
        v = slot ? *slot : NULL;
    }
}

int xpm_dotlist_apply(struct xpm_store *st, struct xpm_value *root, const char *text, size_t len,
                      struct xpm_problems *problems)
{
    struct assign a = { .st = st, .problems = problems };
    struct xpm_buf scratch = XPM_BUF_INIT;
    struct xpm_value *value;
    int rc = xpm_source_add(st, &a.at.source, text, len, XPM_SOURCE_OVERRIDE);
    if (rc == XPM_ENOMEM)
        return xpm_problem_memory(problems);
    if (rc)
        return xpm_problem(problems, rc, a.at, NULL, "too many files and options");
    if (memchr(text, '\0', len))
        return wrong(&a, "%s", "a NUL byte");
    if (xpm_utf8_check(text, len) < len)
        return wrong(&a, "%s", "not UTF-8");
    const char *equal = memchr(text, '=', len);
    if (!equal)
        return wrong(&a, "%s", "there is no '=': write -c key=value");
    const char *end = equal;
    bool append = end > text && end[-1] == '+';
    end -= append;
    if (end == text)
        return wrong(&a, "%s", "there is no key before '='");
    if ((rc = read_value(&a, equal + 1, len - (size_t)(equal + 1 - text), &value)) != 0)
        return rc;
    if (append && value->kind != XPM_LIST)
        return wrong(&a, "%s", "'+=' appends a list: write key+=[value]");
    if (append)
        value->flags |= XPM_VALUE_APPEND;
    if (!root)
        return 0;
    rc = assign_path(&a, root, text, end, value, &scratch);
    if (rc)
        fill_holes(&a, root);
    xpm_buf_free(&scratch);
    return rc;
}
