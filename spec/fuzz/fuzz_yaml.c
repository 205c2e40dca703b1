/* The YAML reader on arbitrary bytes, without files: it ends, says why it refuses, and what it reads is a tree whose
 * every value and key has a place in the text and whose maps find their own keys. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void check(const struct xpm_store *st, const struct xpm_value *v, uint32_t lines, int level)
{
    require(v && level <= 2 * XPM_CONFIG_DEPTH && v->line >= 1 && v->line <= lines && v->column >= 1);
    require(v->kind != XPM_STRING || strlen(v->u.s) == v->len);
    if (v->kind == XPM_LIST)
        for (uint32_t i = 0; i < v->u.list->count; i++)
            check(st, v->u.list->items[i], lines, level + 1);
    if (v->kind == XPM_MAP)
        for (uint32_t i = 0; i < v->u.map->count; i++) {
            const struct xpm_entry *e = &v->u.map->entries[i];
            require(xpm_map_find(st, v->u.map, e->key, e->len) == e && e->line >= 1 && e->line <= lines);
            check(st, e->value, lines, level + 1);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct xpm_store st = XPM_STORE_INIT;
    struct xpm_problems problems = XPM_PROBLEMS_INIT(&st);
    struct xpm_value *v;
    uint32_t source;
    require(xpm_source_add(&st, &source, "f", 1, XPM_SOURCE_TEXT) == XPM_OK);
    int rc = xpm_yaml_read(&v, &st, source, (const char *)data, size, &problems);
    require((rc == 0) == (problems.count == 0));
    require(rc == 0 || (problems.text.len > 2 && memcmp(problems.text.data, "f:", 2) == 0));
    /* a line of YAML may end with CR, LF, NEL, LS or PS: never more lines than bytes */
    if (v)
        check(&st, v, (uint32_t)size + 1, 0);
    xpm_problems_free(&problems);
    xpm_store_free(&st);
    return 0;
}
