#include "config/merge.h"

#include "base/err.h"

static int append(struct xpm_store *st, struct xpm_value **slot, struct xpm_value *over, const struct xpm_step *path,
                  struct xpm_problems *problems)
{
    struct xpm_value *base = *slot;
    if (base->kind != XPM_LIST) {
        struct xpm_buf b = XPM_BUF_INIT;
        xpm_place_text(&b, st, xpm_value_place(base));
        int rc = b.failed ? xpm_problem_memory(problems)
                          : xpm_problem(problems, XPM_EINVAL, xpm_value_place(over), path,
                                        "cannot append to %s (%s): a list is needed", xpm_kind_phrase(base), b.data);
        xpm_buf_free(&b);
        return rc;
    }
    for (uint32_t i = 0; i < over->u.list->count; i++)
        if (!xpm_list_add(st, base->u.list, over->u.list->items[i]))
            return xpm_problem_memory(problems);
    return 0;
}

int xpm_merge(struct xpm_store *st, struct xpm_value **slot, struct xpm_value *over, const struct xpm_step *path,
              struct xpm_problems *problems)
{
    struct xpm_value *base = *slot, *oldest = over;
    int rc = 0;
    if (!base || base == over) {
        *slot = over;
        return 0;
    }
    if (over->kind == XPM_LIST && (over->flags & XPM_VALUE_APPEND) && base->kind != XPM_NULL)
        return append(st, slot, over, path, problems);
    if (base->kind != XPM_MAP || over->kind != XPM_MAP) {
        while (oldest->was)
            oldest = oldest->was;
        oldest->was = base;
        *slot = over;
        return 0;
    }
    for (uint32_t i = 0; i < over->u.map->count; i++) {
        const struct xpm_entry *e = &over->u.map->entries[i];
        struct xpm_step step = { .up = path, .key = e->key, .len = e->len };
        struct xpm_entry *mine = xpm_map_find(st, base->u.map, e->key, e->len);
        if (!mine) {
            if (!xpm_map_add(st, base->u.map, e->key, e->len, xpm_entry_place(e), e->value))
                return xpm_problem_memory(problems);
            continue;
        }
        mine->source = e->source;
        mine->line = e->line;
        mine->column = e->column;
        int one = xpm_merge(st, &mine->value, e->value, &step, problems);
        rc = one ? one : rc;
    }
    return rc;
}
