/* Assignments, one a line, on a small tree; then every leaf must be found again by the path that is printed for it, and
 * interpolation must end. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/dotlist.h"
#include "config/interpolate.h"
#include "config/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

struct tree {
    struct xpm_store st;
    struct xpm_value *root;
};

/* Keys with control characters are printed escaped and steps past 24 are cut: such paths are for people only. */
static bool printable(const struct xpm_step *path)
{
    int steps = 0;
    for (const struct xpm_step *s = path; s; s = s->up, steps++)
        for (uint32_t i = 0; s->key && i < s->len; i++)
            if ((unsigned char)s->key[i] < 0x20 || (unsigned char)s->key[i] >= 0x7F)
                return false;
    return steps <= 24;
}

static void check(struct tree *t, struct xpm_value *v, const struct xpm_step *path, int level)
{
    require(v && level <= 1000);
    if (path && printable(path)) {
        struct xpm_buf b = XPM_BUF_INIT;
        require(xpm_step_text(&b, path) && xpm_path_find(&t->st, t->root, b.data, b.len, NULL) == v);
        xpm_buf_free(&b);
    }
    uint32_t count = v->kind == XPM_MAP ? v->u.map->count : v->kind == XPM_LIST ? v->u.list->count : 0;
    for (uint32_t i = 0; i < count; i++) {
        struct xpm_step step = { .up = path, .index = i };
        if (v->kind == XPM_MAP) {
            step.key = v->u.map->entries[i].key;
            step.len = v->u.map->entries[i].len;
        }
        check(t, v->kind == XPM_MAP ? v->u.map->entries[i].value : v->u.list->items[i], &step, level + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = "a: {b: [1, {c: text}, null], 'd.e': 2}\nn: null\n0: zero\n";
    struct tree t = { XPM_STORE_INIT, NULL };
    struct xpm_problems problems = XPM_PROBLEMS_INIT(&t.st);
    uint32_t source;
    require(xpm_source_add(&t.st, &source, "f", 1, XPM_SOURCE_TEXT) == XPM_OK);
    require(xpm_yaml_read(&t.root, &t.st, source, text, sizeof text - 1, &problems) == XPM_OK);
    for (size_t at = 0; at < size;) {
        const uint8_t *end = memchr(data + at, '\n', size - at);
        size_t len = end ? (size_t)(end - data) - at : size - at;
        uint32_t before = problems.count;
        int rc = xpm_dotlist_apply(&t.st, t.root, (const char *)data + at, len, &problems);
        require((rc == 0) == (problems.count == before));
        check(&t, t.root, NULL, 0);
        at += len + 1;
    }
    uint32_t before = problems.count;
    int rc = xpm_interpolate(&t.st, t.root, &problems);
    require((rc == 0) == (problems.count == before));
    check(&t, t.root, NULL, 0);
    xpm_problems_free(&problems);
    xpm_store_free(&t.st);
    return 0;
}
