/* Maps of up to SMALL entries are searched one by one, by hash first; larger ones get an index of open addressing, at
 * most half full, remade at double size as the map grows. So building and merging are linear in the number of keys. */
#include "config/value.h"

#include <string.h>

enum { SMALL = 8, MOST_SOURCES = 65535 };

void xpm_store_free(struct xpm_store *st)
{
    xpm_arena_free(&st->arena);
    *st = (struct xpm_store)XPM_STORE_INIT;
}

/* A copy of an array of the arena with twice the room. */
static void *grown(struct xpm_store *st, const void *old, uint32_t count, uint32_t *room, size_t size)
{
    if (*room >= UINT32_MAX / 2)
        return NULL;
    uint32_t n = *room ? *room * 2 : 4;
    void *p = xpm_arena_alloc(&st->arena, n * size);
    if (!p)
        return NULL;
    if (count)
        memcpy(p, old, count * size);
    *room = n;
    return p;
}

int xpm_source_add(struct xpm_store *st, uint32_t *out, const char *name, size_t len, int role)
{
    if (st->source_count >= MOST_SOURCES)
        return XPM_ELIMIT;
    if (len >= UINT32_MAX)
        return XPM_ENOMEM;
    if (st->source_count == st->source_room) {
        void *p = grown(st, st->sources, st->source_count, &st->source_room, sizeof *st->sources);
        if (!p)
            return XPM_ENOMEM;
        st->sources = p;
    }
    const char *text = xpm_arena_text(&st->arena, name, len);
    if (!text)
        return XPM_ENOMEM;
    st->sources[st->source_count] = (struct xpm_source){ text, (uint32_t)len, role };
    *out = st->source_count++;
    return 0;
}

struct xpm_value *xpm_value_new(struct xpm_store *st, enum xpm_kind kind, struct xpm_place at)
{
    struct xpm_value *v = xpm_arena_alloc(&st->arena, sizeof *v);
    if (!v)
        return NULL;
    *v = (struct xpm_value){ .kind = (uint8_t)kind, .source = (uint16_t)at.source,
                             .line = at.line, .column = at.column };
    return v;
}

bool xpm_value_set_text(struct xpm_store *st, struct xpm_value *v, const char *s, size_t len)
{
    const char *text = len < UINT32_MAX ? xpm_arena_text(&st->arena, s, len) : NULL;
    if (!text)
        return false;
    v->kind = XPM_STRING;
    v->len = (uint32_t)len;
    v->u.s = text;
    if (memmem(text, len, "${", 2)) {
        v->flags |= XPM_VALUE_DOLLAR;
        st->dollars = true;
    }
    return true;
}

struct xpm_value *xpm_value_map(struct xpm_store *st, struct xpm_place at, size_t room)
{
    struct xpm_value *v = xpm_value_new(st, XPM_MAP, at);
    struct xpm_map *m = v && room < UINT32_MAX / 4 ? xpm_arena_alloc(&st->arena, sizeof *m) : NULL;
    if (!m)
        return NULL;
    *m = (struct xpm_map){ .entries = NULL };
    if (room) {
        m->entries = xpm_arena_alloc(&st->arena, room * sizeof *m->entries);
        if (!m->entries)
            return NULL;
        m->room = (uint32_t)room;
    }
    v->u.map = m;
    return v;
}

struct xpm_value *xpm_value_list(struct xpm_store *st, struct xpm_place at, size_t room)
{
    struct xpm_value *v = xpm_value_new(st, XPM_LIST, at);
    struct xpm_list *l = v && room < UINT32_MAX / 4 ? xpm_arena_alloc(&st->arena, sizeof *l) : NULL;
    if (!l)
        return NULL;
    *l = (struct xpm_list){ .items = NULL };
    if (room) {
        l->items = xpm_arena_alloc(&st->arena, room * sizeof *l->items);
        if (!l->items)
            return NULL;
        l->room = (uint32_t)room;
    }
    v->u.list = l;
    return v;
}

struct xpm_place xpm_value_place(const struct xpm_value *v)
{
    return (struct xpm_place){ v->source, v->line, v->column };
}

struct xpm_place xpm_entry_place(const struct xpm_entry *e)
{
    return (struct xpm_place){ e->source, e->line, e->column };
}

int xpm_value_copy(struct xpm_store *st, struct xpm_value **out, const struct xpm_value *v)
{
    struct xpm_place at = xpm_value_place(v);
    struct xpm_value *copy, *child;
    int rc;
    if (++st->copies > XPM_CONFIG_COPIES)
        return XPM_ELIMIT;
    if (v->kind == XPM_MAP) {
        copy = xpm_value_map(st, at, v->u.map->count);
        for (uint32_t i = 0; copy && i < v->u.map->count; i++) {
            const struct xpm_entry *e = &v->u.map->entries[i];
            if ((rc = xpm_value_copy(st, &child, e->value)) != 0)
                return rc;
            if (!xpm_map_add(st, copy->u.map, e->key, e->len, xpm_entry_place(e), child))
                return XPM_ENOMEM;
        }
    } else if (v->kind == XPM_LIST) {
        copy = xpm_value_list(st, at, v->u.list->count);
        for (uint32_t i = 0; copy && i < v->u.list->count; i++) {
            if ((rc = xpm_value_copy(st, &child, v->u.list->items[i])) != 0)
                return rc;
            if (!xpm_list_add(st, copy->u.list, child))
                return XPM_ENOMEM;
        }
    } else {
        copy = xpm_value_new(st, v->kind, at);
        if (copy) {
            copy->u = v->u; /* texts are never changed in place: both may have the same */
            copy->len = v->len;
        }
    }
    if (!copy)
        return XPM_ENOMEM;
    copy->flags = v->flags & (XPM_VALUE_APPEND | XPM_VALUE_DOLLAR | XPM_VALUE_DONE);
    *out = copy;
    return 0;
}

const char *xpm_kind_word(const struct xpm_value *v)
{
    static const char *const words[] = { "null", "boolean", "integer", "float", "string", "list", "map" };
    return words[v->kind];
}

const char *xpm_kind_phrase(const struct xpm_value *v)
{
    static const char *const words[] = { "null", "a boolean", "an integer", "a float", "a string", "a list", "a map" };
    return words[v->kind];
}

uint32_t xpm_key_hash(const struct xpm_store *st, const char *key, size_t len)
{
    uint64_t h = st->seed ^ 0xCBF29CE484222325u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)key[i]) * 0x100000001B3u;
    return (uint32_t)(h ^ (h >> 32));
}

static void index_put(struct xpm_map *m, uint32_t hash, uint32_t number)
{
    uint32_t at = hash & (m->index_size - 1);
    while (m->index[at])
        at = (at + 1) & (m->index_size - 1);
    m->index[at] = number + 1;
}

static void index_fill(struct xpm_map *m)
{
    memset(m->index, 0, m->index_size * sizeof *m->index);
    for (uint32_t i = 0; i < m->count; i++)
        index_put(m, m->entries[i].hash, i);
}

static bool same_key(const struct xpm_entry *e, uint32_t hash, const char *key, size_t len)
{
    return e->hash == hash && e->len == len && memcmp(e->key, key, len) == 0;
}

struct xpm_entry *xpm_map_find(const struct xpm_store *st, const struct xpm_map *m, const char *key, size_t len)
{
    uint32_t hash = xpm_key_hash(st, key, len);
    if (!m->index) {
        for (uint32_t i = 0; i < m->count; i++)
            if (same_key(&m->entries[i], hash, key, len))
                return &m->entries[i];
        return NULL;
    }
    for (uint32_t at = hash & (m->index_size - 1); m->index[at]; at = (at + 1) & (m->index_size - 1)) {
        struct xpm_entry *e = &m->entries[m->index[at] - 1];
        if (same_key(e, hash, key, len))
            return e;
    }
    return NULL;
}

struct xpm_entry *xpm_map_add(struct xpm_store *st, struct xpm_map *m, const char *key, size_t len, struct xpm_place at,
                              struct xpm_value *v)
{
    if (len >= UINT32_MAX)
        return NULL;
    if (m->count == m->room) {
        void *p = grown(st, m->entries, m->count, &m->room, sizeof *m->entries);
        if (!p)
            return NULL;
        m->entries = p;
    }
    uint32_t hash = xpm_key_hash(st, key, len);
    struct xpm_entry *e = &m->entries[m->count];
    if (m->count + 1 > SMALL && (!m->index || (m->count + 1) * 2 > m->index_size)) {
        uint32_t size = m->index_size ? m->index_size * 2 : 64;
        while (size / 2 < m->room && size < UINT32_MAX / 4)
            size *= 2;
        uint32_t *index = xpm_arena_alloc(&st->arena, size * sizeof *index);
        if (!index)
            return NULL;
        m->index = index;
        m->index_size = size;
        index_fill(m);
    }
    *e = (struct xpm_entry){ .key = key, .value = v, .len = (uint32_t)len, .hash = hash,
                             .line = at.line, .column = at.column, .source = (uint16_t)at.source };
    if (m->index)
        index_put(m, hash, m->count);
    m->count++;
    return e;
}

void xpm_map_remove(struct xpm_map *m, struct xpm_entry *e)
{
    size_t i = (size_t)(e - m->entries);
    memmove(e, e + 1, (m->count - i - 1) * sizeof *e);
    m->count--;
    if (m->index)
        index_fill(m);
}

bool xpm_list_add(struct xpm_store *st, struct xpm_list *l, struct xpm_value *v)
{
    if (l->count == l->room) {
        void *p = grown(st, l->items, l->count, &l->room, sizeof *l->items);
        if (!p)
            return false;
        l->items = p;
    }
    l->items[l->count++] = v;
    return true;
}
