/* The value tree: ordered maps, lists and leaves. Each value and each key knows where it was written, each value what
 * it replaced. Everything lives in the arena of a store and is freed with it. */
#ifndef XPM_CONFIG_VALUE_H
#define XPM_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "config/arena.h"

/* Levels of maps and lists in a file; and of any tree. */
#define XPM_CONFIG_DEPTH 256
/* Values that aliases, merge keys and interpolations may make by copying, in one load. */
#define XPM_CONFIG_COPIES 100000

enum xpm_kind { XPM_NULL, XPM_BOOL, XPM_INT, XPM_FLOAT, XPM_STRING, XPM_LIST, XPM_MAP };

enum {
    XPM_VALUE_APPEND = 1,   /* a list that is added to the one it meets (!append, key+=) */
    XPM_VALUE_DOLLAR = 2,   /* a string that has "${" */
    XPM_VALUE_VISITING = 4, /* interpolation is at work here */
    XPM_VALUE_DONE = 8,     /* interpolation is finished here */
    XPM_VALUE_FAILED = 16,  /* and a problem was told */
};

struct xpm_place {
    uint32_t source; /* index into the store's sources */
    uint32_t line;   /* from 1; 0: no position (overrides) */
    uint32_t column; /* from 1 */
};

struct xpm_map;
struct xpm_list;

struct xpm_value {
    uint8_t kind;           /* enum xpm_kind */
    uint8_t flags;
    uint16_t source;        /* place, packed */
    uint32_t line;
    uint32_t column;
    uint32_t len;           /* bytes of a string */
    union {
        bool b;
        int64_t i;
        double d;
        const char *s;      /* NUL-terminated */
        struct xpm_list *list;
        struct xpm_map *map;
    } u;
    struct xpm_value *was;  /* what this value replaced; NULL: nothing */
};

struct xpm_entry {
    const char *key;        /* NUL-terminated */
    struct xpm_value *value;
    uint32_t len;           /* bytes of the key */
    uint32_t hash;
    uint32_t line, column;  /* of the key */
    uint16_t source;
};

struct xpm_map {
    struct xpm_entry *entries; /* in order */
    uint32_t *index;           /* open addressing, entry number + 1; NULL while the map is small */
    uint32_t count, room, index_size;
};

struct xpm_list {
    struct xpm_value **items;
    uint32_t count, room;
};

enum { XPM_SOURCE_TEXT = -1, XPM_SOURCE_PRE, XPM_SOURCE_MAIN, XPM_SOURCE_POST, XPM_SOURCE_IMPORT, XPM_SOURCE_OVERRIDE };

struct xpm_source {
    const char *name; /* the path as given, or the text of the override without "-c " */
    uint32_t len;
    int role;
};

struct xpm_store {
    struct xpm_arena arena;
    struct xpm_source *sources; /* in the arena */
    uint32_t source_count, source_room;
    uint32_t copies;            /* values made by copying so far */
    uint64_t text;              /* bytes of text made by interpolation */
    uint32_t seed;              /* of the key hash */
    bool dollars;               /* some string has "${" */
};

#define XPM_STORE_INIT { XPM_ARENA_INIT, NULL, 0, 0, 0, 0, 0x9E3779B9u, false }
void xpm_store_free(struct xpm_store *st);

/* Adds a source; its number in *out. The name is copied. 65535 of them at most. Codes: memory, limit. */
int xpm_source_add(struct xpm_store *st, uint32_t *out, const char *name, size_t len, int role);

/* New values; NULL: no memory. Texts are copied, texts past 4 GB refused as no memory. */
struct xpm_value *xpm_value_new(struct xpm_store *st, enum xpm_kind kind, struct xpm_place at);
bool xpm_value_set_text(struct xpm_store *st, struct xpm_value *v, const char *s, size_t len);
/* New map or list with room for `room` children. */
struct xpm_value *xpm_value_map(struct xpm_store *st, struct xpm_place at, size_t room);
struct xpm_value *xpm_value_list(struct xpm_store *st, struct xpm_place at, size_t room);
struct xpm_place xpm_value_place(const struct xpm_value *v);
struct xpm_place xpm_entry_place(const struct xpm_entry *e);

/* A deep copy (history not included), its places those of the original. Codes: memory; limit (XPM_CONFIG_COPIES). */
int xpm_value_copy(struct xpm_store *st, struct xpm_value **out, const struct xpm_value *v);

/* The word of a value's kind for messages: "map", "list", "string", "integer", "float", "boolean", "null". */
const char *xpm_kind_word(const struct xpm_value *v);
/* The same with its article, for sentences: "a map", "an integer", "null". */
const char *xpm_kind_phrase(const struct xpm_value *v);

uint32_t xpm_key_hash(const struct xpm_store *st, const char *key, size_t len);
/* The entry of a key; NULL if there is none. Entries move when the map grows. */
struct xpm_entry *xpm_map_find(const struct xpm_store *st, const struct xpm_map *m, const char *key, size_t len);
/* Adds an entry that is not in the map yet. `key` is kept, not copied. NULL: no memory. */
struct xpm_entry *xpm_map_add(struct xpm_store *st, struct xpm_map *m, const char *key, size_t len, struct xpm_place at,
                              struct xpm_value *v);
/* Takes an entry out, keeping the order of the others; linear. */
void xpm_map_remove(struct xpm_map *m, struct xpm_entry *e);
bool xpm_list_add(struct xpm_store *st, struct xpm_list *l, struct xpm_value *v);

#endif
