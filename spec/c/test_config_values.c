/* Arena, maps, copies, scalars, merging. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/json_out.h"
#include "config/merge.h"
#include "config/scalar.h"
#include "config/yaml.h"
#include "../support/allocfail.h"
#include "../support/tap.h"

static const struct xpm_place nowhere = { 0, 0, 0 };

static void arena(void)
{
    struct xpm_arena a = XPM_ARENA_INIT;
    bool aligned = true, kept = true;
    char *first = xpm_arena_text(&a, "abc", 3);
    for (size_t n = 1; n < 300000; n = n * 3 + 1) {
        char *p = xpm_arena_alloc(&a, n);
        aligned = aligned && p && ((size_t)p & 7) == 0;
        if (p)
            memset(p, 'x', n);
        kept = kept && xpm_arena_text(&a, "y", 1) && strcmp(first, "abc") == 0;
    }
    tap_ok(aligned, "pieces of all sizes are aligned");
    tap_ok(kept, "and do not overlap");
    tap_ok(!xpm_arena_alloc(&a, (size_t)-1) && !xpm_arena_text(&a, "", (size_t)-1), "too much is refused");
    xpm_arena_free(&a);
    xpm_arena_free(&a);
    tap_ok(!a.chunks, "freed twice");
}

static void maps(void)
{
    struct xpm_store st = XPM_STORE_INIT;
    struct xpm_value *v = xpm_value_map(&st, nowhere, 0);
    char key[20];
    bool ok = true;
    for (int i = 0; i < 3000 && ok; i++) {
        snprintf(key, sizeof key, "key%d", i);
        struct xpm_value *n = xpm_value_new(&st, XPM_INT, nowhere);
        const char *kept = xpm_arena_text(&st.arena, key, strlen(key));
        n->u.i = i;
        ok = !xpm_map_find(&st, v->u.map, key, strlen(key));
        ok = ok && xpm_map_add(&st, v->u.map, kept, strlen(key), nowhere, n);
    }
    for (int i = 0; i < 3000 && ok; i++) {
        snprintf(key, sizeof key, "key%d", i);
        struct xpm_entry *e = xpm_map_find(&st, v->u.map, key, strlen(key));
        ok = e && e->value->u.i == i && e == &v->u.map->entries[i];
    }
    tap_ok(ok, "a map finds its 3000 keys, in order");
    xpm_map_remove(v->u.map, xpm_map_find(&st, v->u.map, "key10", 5));
    struct xpm_entry *after = xpm_map_find(&st, v->u.map, "key11", 5);
    tap_ok(!xpm_map_find(&st, v->u.map, "key10", 5), "one is taken out");
    tap_ok(after == &v->u.map->entries[10], "the others move up");
    tap_ok(!xpm_map_find(&st, v->u.map, "ke", 2) && !xpm_map_find(&st, v->u.map, "", 0), "parts of keys are other keys");
    struct xpm_value *copy = NULL;
    tap_ok(xpm_value_copy(&st, &copy, v) == 0 && copy->u.map->count == 2999 && st.copies == 3000, "a copy, counted");
    st.copies = XPM_CONFIG_COPIES - 1000;
    tap_ok(xpm_value_copy(&st, &copy, v) == XPM_ELIMIT, "too many copies");
    xpm_store_free(&st);
}

static void plain(const char *text, enum xpm_kind kind)
{
    struct xpm_value v = { .kind = XPM_STRING };
    enum xpm_scalar rc = xpm_scalar_plain(&v, text, strlen(text));
    bool ok = kind == XPM_STRING ? rc == XPM_SCALAR_TEXT : rc == XPM_SCALAR_DONE && v.kind == kind;
    tap_ok(ok, "'%s' is of kind %d", text, kind);
}

static void scalars(void)
{
    static const char *const texts[] = {
        "", "~", "null", "true", "FALSE", "1", "-1", "0o17", "0x1f", "1.5", "1e-4", ".inf", ".NaN",
        "no", "0o8", "0xg", "0x@", "1_0", "1e", "-", "+", ".", "e1", "nUll", "1 ",
    };
    static const enum xpm_kind kinds[] = { XPM_NULL, XPM_NULL, XPM_NULL, XPM_BOOL, XPM_BOOL, XPM_INT, XPM_INT, XPM_INT,
                                           XPM_INT, XPM_FLOAT, XPM_FLOAT, XPM_FLOAT, XPM_FLOAT };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        plain(texts[i], i < sizeof kinds / sizeof *kinds ? kinds[i] : XPM_STRING);
    struct xpm_value v = { .kind = XPM_STRING };
    tap_ok(xpm_scalar_plain(&v, "9223372036854775808", 19) == XPM_SCALAR_TOO_LARGE && v.kind == XPM_STRING, "2^63");
    tap_ok(xpm_scalar_plain(&v, "-9223372036854775808", 20) == XPM_SCALAR_DONE && v.u.i == INT64_MIN, "-2^63");
}

static struct xpm_value *yaml(struct xpm_store *st, const char *text, struct xpm_problems *p)
{
    struct xpm_value *v = NULL;
    uint32_t source;
    if (xpm_source_add(st, &source, "f", 1, XPM_SOURCE_TEXT))
        return NULL;
    return xpm_yaml_read(&v, st, source, text, strlen(text), p) ? NULL : v;
}

/* Merges two texts; 0 and the result as JSON in `json`, or a code. */
static int merged(const char *base, const char *over, struct xpm_buf *json)
{
    struct xpm_store st = XPM_STORE_INIT;
    struct xpm_problems p = XPM_PROBLEMS_INIT(&st);
    struct xpm_value *b = yaml(&st, base, &p), *o = b ? yaml(&st, over, &p) : NULL;
    int rc = o ? xpm_merge(&st, &b, o, NULL, &p) : p.code ? p.code : XPM_ENOMEM;
    if (rc == 0 && !xpm_json_value(json, b, 0))
        rc = XPM_ENOMEM;
    xpm_problems_free(&p);
    xpm_store_free(&st);
    return rc;
}

static void merge(const char *base, const char *over, const char *want)
{
    struct xpm_buf json = XPM_BUF_INIT;
    int rc = merged(base, over, &json);
    tap_ok(rc == 0 && strcmp(json.data, want) == 0, "%s + %s = %s", base, over, rc ? "(failed)" : json.data);
    xpm_buf_free(&json);
}

static void merges(void)
{
    struct xpm_buf json = XPM_BUF_INIT;
    merge("{a: 1, b: {c: 2, d: 3}}", "{b: {d: 4, e: 5}, f: 6}",
          "{\"a\": 1, \"b\": {\"c\": 2, \"d\": 4, \"e\": 5}, \"f\": 6}");
    merge("{a: {b: 1}}", "{a: null}", "{\"a\": null}");
    merge("{a: null}", "{a: {b: 1}}", "{\"a\": {\"b\": 1}}");
    merge("{a: [1, 2]}", "{a: [3]}", "{\"a\": [3]}");
    merge("{a: [1, 2]}", "{a: !append [3]}", "{\"a\": [1, 2, 3]}");
    merge("{a: null}", "{a: !append [3]}", "{\"a\": [3]}");
    merge("{}", "{a: !append [3]}", "{\"a\": [3]}");
    tap_ok(merged("{a: 1}", "{a: !append [3]}", &json) == XPM_EINVAL, "appending to no list");
    xpm_buf_free(&json);
}

int main(void)
{
    arena();
    maps();
    scalars();
    merges();
    bool ok = true;
    long n = 0;
    for (; allocfail_next(n); n++) {
        struct xpm_buf json = XPM_BUF_INIT;
        int rc = merged("{a: &a [1, *b], b: {<<: {x: 1}}}", "{c: 1}", &json);
        bool failed = allocfail_end();
        ok = ok && (rc == XPM_ENOMEM || (!failed && rc == XPM_EINVAL));
        xpm_buf_free(&json);
    }
    tap_ok(ok && n > 3, "%ld allocations failed one by one", n - 1);
    return tap_done();
}
