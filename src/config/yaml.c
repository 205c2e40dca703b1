/* One loop over libyaml's events. The open maps and lists stand on an array of fixed size, so depth is checked as the
 * events come (libyaml needs quadratic time for deep flow collections). An alias is a copy of its anchor's value,
 * counted, so that a bomb ends at the limit; anchors are found by a map of the same kind as the values' maps, whose
 * entry is NULL while the value is still open. Merge keys are put in when their map ends. */
#include "config/yaml.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/err.h"
#include "base/utf8.h"
#include "config/scalar.h"

struct frame {
    struct xpm_value *v;          /* the open map or list */
    struct xpm_step step;         /* of the child that is read */
    struct xpm_place key_at;
    const char *anchor_name;      /* NULL: none */
    uint32_t anchor_len;
    bool have_key;                /* map: the next value belongs to step.key */
    bool drop;                    /* the value of a refused key is not kept */
    bool merge;                   /* the value of "<<" */
    struct xpm_value *merged;     /* value of "<<"; NULL: none */
    uint32_t merged_at;           /* entries before it */
    struct xpm_place merge_place; /* of the "<<" */
};

struct reader {
    struct xpm_store *st;
    struct xpm_problems *problems;
    uint32_t source;
    bool inlined;                 /* an override: lines say nothing */
    int rc;                       /* code of the last problem */
    bool stop;                    /* a problem that ends the reading */
    struct xpm_map anchors;
    struct xpm_value *root;
    uint32_t depth;
    struct frame frames[XPM_CONFIG_DEPTH];
};

static struct xpm_place place(const struct reader *r, const yaml_mark_t *m)
{
    struct xpm_place at = { r->source, 0, 0 };
    if (!r->inlined) {
        at.line = (uint32_t)m->line + 1;
        at.column = (uint32_t)m->column + 1;
    }
    return at;
}

static const struct xpm_step *here(struct reader *r)
{
    return r->depth ? &r->frames[r->depth - 1].step : NULL;
}

/* The path of what is read now: inside a map only while a key waits for its value. */
static const struct xpm_step *path_now(struct reader *r)
{
    if (!r->depth)
        return NULL;
    struct frame *f = &r->frames[r->depth - 1];
    return f->v->kind == XPM_MAP && !f->have_key ? f->step.up : &f->step;
}

static bool no_memory(struct reader *r)
{
    r->rc = xpm_problem_memory(r->problems);
    r->stop = true;
    return false;
}

/* One problem where `at` is; reading goes on unless `stop`. */
static bool wrong(struct reader *r, int code, struct xpm_place at, bool stop, const char *text)
{
    r->rc = xpm_problem(r->problems, code, at, path_now(r), "%s", text);
    r->stop = r->stop || stop;
    return false;
}

static bool copy_failed(struct reader *r, int rc, struct xpm_place at)
{
    if (rc == XPM_ENOMEM)
        return no_memory(r);
    return wrong(r, rc, at, true, "aliases make more values than the limit of 100000");
}

/* --- anchors --- */

static bool anchor_open(struct reader *r, const yaml_char_t *name, const char **kept, uint32_t *len)
{
    *kept = NULL;
    *len = 0;
    if (!name)
        return true;
    size_t n = strlen((const char *)name);
    struct xpm_entry *e = xpm_map_find(r->st, &r->anchors, (const char *)name, n);
    if (!e) {
        struct xpm_place none = { r->source, 0, 0 };
        const char *text = xpm_arena_text(&r->st->arena, (const char *)name, n);
        e = text ? xpm_map_add(r->st, &r->anchors, text, n, none, NULL) : NULL;
        if (!e)
            return no_memory(r);
    }
    e->value = NULL;
    *kept = e->key;
    *len = e->len;
    return true;
}

static void anchor_close(struct reader *r, const char *name, uint32_t len, struct xpm_value *v)
{
    struct xpm_entry *e = name ? xpm_map_find(r->st, &r->anchors, name, len) : NULL;
    if (e)
        e->value = v;
}

static bool alias(struct reader *r, const yaml_event_t *ev, struct xpm_value **out)
{
    const char *name = (const char *)ev->data.alias.anchor;
    struct xpm_place at = place(r, &ev->start_mark);
    struct xpm_entry *e = xpm_map_find(r->st, &r->anchors, name, strlen(name));
    struct xpm_buf text = XPM_BUF_INIT;
    if (e && e->value) {
        int rc = xpm_value_copy(r->st, out, e->value);
        return rc ? copy_failed(r, rc, at) : true;
    }
    xpm_buf_adds(&text, e ? "the alias '*" : "there is no anchor for the alias '*");
    xpm_shown_text(&text, name, strlen(name));
    xpm_buf_adds(&text, e ? "' is inside its own anchor" : "'");
    if (!e)
        xpm_near_text(&text, &r->anchors, name, strlen(name));
    if (text.failed)
        no_memory(r);
    else
        wrong(r, XPM_EINVAL, at, false, text.data);
    xpm_buf_free(&text);
    if (r->stop)
        return false;
    *out = xpm_value_new(r->st, XPM_NULL, at);
    return *out ? true : no_memory(r);
}

/* --- tags and scalars --- */

enum tag {
    TAG_NONE, TAG_TEXT, TAG_STR, TAG_INT, TAG_FLOAT, TAG_BOOL, TAG_NULL, /* of scalars */
    TAG_MAP, TAG_SEQ, TAG_APPEND, TAG_MERGE, TAG_OTHER
};

static enum tag tag_of(const yaml_char_t *tag)
{
    static const char core[] = "tag:yaml.org,2002:";
    static const struct { const char *name; enum tag tag; } known[] = {
        { "str", TAG_STR }, { "int", TAG_INT }, { "float", TAG_FLOAT }, { "bool", TAG_BOOL }, { "null", TAG_NULL },
        { "map", TAG_MAP }, { "seq", TAG_SEQ }, { "merge", TAG_MERGE },
    };
    const char *t = (const char *)tag;
    if (!t)
        return TAG_NONE;
    if (strcmp(t, "!") == 0)
        return TAG_TEXT;
    if (strcmp(t, "!append") == 0)
        return TAG_APPEND;
    if (strncmp(t, core, sizeof core - 1) == 0)
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (strcmp(t + sizeof core - 1, known[i].name) == 0)
                return known[i].tag;
    return TAG_OTHER;
}

static bool bad_tag(struct reader *r, const yaml_char_t *tag, struct xpm_place at)
{
    struct xpm_buf text = XPM_BUF_INIT;
    const char *t = (const char *)tag;
    static const char core[] = "tag:yaml.org,2002:";
    bool is_core = strncmp(t, core, sizeof core - 1) == 0;
    xpm_buf_adds(&text, tag_of(tag) == TAG_OTHER ? "unknown tag '" : "this value cannot have the tag '");
    if (is_core) {
        t += sizeof core - 1;
        xpm_buf_adds(&text, "!!");
    }
    xpm_shown_text(&text, t, strlen(t));
    xpm_buf_adds(&text, "'");
    if (text.failed)
        no_memory(r);
    else
        wrong(r, XPM_EINVAL, at, false, text.data);
    xpm_buf_free(&text);
    return false;
}

static bool scalar(struct reader *r, const yaml_event_t *ev, struct xpm_value **out)
{
    const char *s = (const char *)ev->data.scalar.value;
    size_t len = ev->data.scalar.length;
    struct xpm_place at = place(r, &ev->start_mark);
    struct xpm_value *v = xpm_value_new(r->st, XPM_NULL, at);
    enum tag tag = tag_of(ev->data.scalar.tag);
    bool plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (!v)
        return no_memory(r);
    *out = v;
    if (tag == TAG_OTHER || tag >= TAG_MAP) {
        bad_tag(r, ev->data.scalar.tag, at);
        return !r->stop;
    }
    if (memchr(s, '\0', len)) {
        wrong(r, XPM_EINVAL, at, false, "a string cannot hold a NUL character");
        return !r->stop;
    }
    if ((tag == TAG_NONE && plain) || tag > TAG_STR) {
        switch (xpm_scalar_plain(v, s, len)) {
        case XPM_SCALAR_TOO_LARGE:
            wrong(r, XPM_EINVAL, at, false, "the integer does not fit in 64 bits");
            return !r->stop;
        case XPM_SCALAR_NO_MEMORY: return no_memory(r);
        case XPM_SCALAR_TEXT: v->kind = XPM_STRING; break;
        case XPM_SCALAR_DONE: break;
        }
        if (tag == TAG_FLOAT && v->kind == XPM_INT) {
            v->kind = XPM_FLOAT;
            v->u.d = (double)v->u.i;
        }
        if ((tag == TAG_INT && v->kind != XPM_INT) || (tag == TAG_FLOAT && v->kind != XPM_FLOAT) ||
            (tag == TAG_BOOL && v->kind != XPM_BOOL) || (tag == TAG_NULL && v->kind != XPM_NULL)) {
            v->kind = XPM_NULL;
            bad_tag(r, ev->data.scalar.tag, at);
            return !r->stop;
        }
        if (v->kind != XPM_STRING)
            return true;
    }
    return xpm_value_set_text(r->st, v, s, len) ? true : no_memory(r);
}

/* --- merge keys --- */

/* Puts the entries of `from` into `into` that are in neither map. */
static bool merge_one(struct reader *r, struct xpm_map *into, struct xpm_map *own, const struct xpm_value *from)
{
    for (uint32_t i = 0; i < from->u.map->count; i++) {
        const struct xpm_entry *e = &from->u.map->entries[i];
        struct xpm_entry *mine = xpm_map_find(r->st, own, e->key, e->len);
        if (mine) {
            struct xpm_value *last = mine->value;
            if (last && !last->was)
                last->was = e->value;
        } else if (!xpm_map_find(r->st, into, e->key, e->len) &&
                   !xpm_map_add(r->st, into, e->key, e->len, xpm_entry_place(e), e->value)) {
            return no_memory(r);
        }
    }
    return true;
}

/* The entries of "<<" go where it stood; keys that the map has itself win, then those of earlier merged maps. */
static bool merge_keys(struct reader *r, struct frame *f)
{
    struct xpm_map *own = f->v->u.map;
    struct xpm_value *m = f->merged;
    struct xpm_value *made = xpm_value_map(r->st, xpm_value_place(f->v), own->count);
    if (!made)
        return no_memory(r);
    f->step.key = "<<";
    f->step.len = 2;
    f->have_key = true;
    for (uint32_t i = 0; i <= own->count; i++) {
        if (i == f->merged_at && m->kind == XPM_MAP) {
            if (!merge_one(r, made->u.map, own, m))
                return false;
        } else if (i == f->merged_at && m->kind == XPM_LIST) {
            for (uint32_t k = 0; k < m->u.list->count; k++) {
                struct xpm_value *item = m->u.list->items[k];
                if (item->kind != XPM_MAP)
                    wrong(r, XPM_EINVAL, f->merge_place, false, "'<<' needs a map or a list of maps");
                else if (!merge_one(r, made->u.map, own, item))
                    return false;
            }
        } else if (i == f->merged_at) {
            wrong(r, XPM_EINVAL, f->merge_place, false, "'<<' needs a map or a list of maps");
        }
        if (i < own->count) {
            const struct xpm_entry *e = &own->entries[i];
            if (!xpm_map_add(r->st, made->u.map, e->key, e->len, xpm_entry_place(e), e->value))
                return no_memory(r);
        }
    }
    f->have_key = false;
    *own = *made->u.map;
    return !r->stop;
}

/* --- building --- */

static bool take_key(struct reader *r, struct frame *f, const yaml_event_t *ev)
{
    struct xpm_place at = place(r, &ev->start_mark);
    if (ev->type != YAML_SCALAR_EVENT) {
        const char *what = ev->type == YAML_ALIAS_EVENT ? "an alias cannot be a key" : "a map or list cannot be a key";
        return wrong(r, XPM_EINVAL, at, true, what);
    }
    const char *s = (const char *)ev->data.scalar.value;
    size_t len = ev->data.scalar.length;
    bool plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    enum tag tag = tag_of(ev->data.scalar.tag);
    f->have_key = true;
    f->drop = f->merge = false;
    f->key_at = at;
    f->step.key = "";
    f->step.len = 0;
    if (plain && len == 2 && memcmp(s, "<<", 2) == 0 && (tag == TAG_NONE || tag == TAG_MERGE)) {
        f->step.key = "<<";
        f->step.len = 2;
        f->merge = true;
        if (f->merged) {
            f->drop = true;
            wrong(r, XPM_EINVAL, at, false, "'<<' stands twice in one map: give it a list of maps");
        }
        return !r->stop;
    }
    const char *key = len < UINT32_MAX ? xpm_arena_text(&r->st->arena, s, len) : NULL;
    if (!key)
        return no_memory(r);
    f->step.key = key;
    f->step.len = (uint32_t)len;
    if (ev->data.scalar.anchor) {
        f->drop = true;
        wrong(r, XPM_EINVAL, at, false, "a key cannot have an anchor");
        return !r->stop;
    }
    if (tag >= TAG_MAP) {
        f->drop = true;
        bad_tag(r, ev->data.scalar.tag, at);
    } else if (memchr(s, '\0', len)) {
        f->drop = true;
        wrong(r, XPM_EINVAL, at, false, "a key cannot hold a NUL character");
    } else if (plain && len == 0) {
        f->drop = true;
        wrong(r, XPM_EINVAL, at, false, "a key is missing before ':'");
    }
    const struct xpm_entry *e = f->drop ? NULL : xpm_map_find(r->st, f->v->u.map, s, len);
    if (e) {
        f->drop = true;
        if (r->inlined)
            r->rc = xpm_problem(r->problems, XPM_EINVAL, at, &f->step, "duplicate key");
        else
            r->rc = xpm_problem(r->problems, XPM_EINVAL, at, &f->step, "duplicate key (first in line %u)", e->line);
    }
    return !r->stop;
}

/* Gives a finished value to the map or list that is open, or makes it the root. */
static bool give(struct reader *r, struct xpm_value *v)
{
    if (r->depth == 0) {
        r->root = v;
        return true;
    }
    struct frame *f = &r->frames[r->depth - 1];
    if (f->v->kind == XPM_LIST) {
        f->step.index++;
        return xpm_list_add(r->st, f->v->u.list, v) ? true : no_memory(r);
    }
    f->have_key = false;
    if (f->drop)
        return true;
    if (f->merge) {
        f->merged = v;
        f->merged_at = f->v->u.map->count;
        f->merge_place = f->key_at;
        return true;
    }
    return xpm_map_add(r->st, f->v->u.map, f->step.key, f->step.len, f->key_at, v) ? true : no_memory(r);
}

static bool open_collection(struct reader *r, const yaml_event_t *ev, bool map)
{
    struct xpm_place at = place(r, &ev->start_mark);
    const yaml_char_t *tag = map ? ev->data.mapping_start.tag : ev->data.sequence_start.tag;
    enum tag t = tag_of(tag);
    if (r->depth == XPM_CONFIG_DEPTH)
        return wrong(r, XPM_ELIMIT, at, true, "nested deeper than the limit of 256 levels");
    if (t != TAG_NONE && t != TAG_TEXT && t != (map ? TAG_MAP : TAG_SEQ) && (map || t != TAG_APPEND)) {
        bad_tag(r, tag, at);
        if (r->stop)
            return false;
    }
    struct frame *f = &r->frames[r->depth];
    *f = (struct frame){ .v = map ? xpm_value_map(r->st, at, 0) : xpm_value_list(r->st, at, 0) };
    if (!f->v)
        return no_memory(r);
    if (t == TAG_APPEND && !map)
        f->v->flags |= XPM_VALUE_APPEND;
    f->step.up = here(r);
    const yaml_char_t *anchor = map ? ev->data.mapping_start.anchor : ev->data.sequence_start.anchor;
    if (!anchor_open(r, anchor, &f->anchor_name, &f->anchor_len))
        return false;
    r->depth++;
    return true;
}

static bool close_collection(struct reader *r)
{
    struct frame *f = &r->frames[r->depth - 1];
    if (f->merged && !merge_keys(r, f))
        return false;
    anchor_close(r, f->anchor_name, f->anchor_len, f->v);
    struct xpm_value *v = f->v;
    r->depth--;
    return give(r, v);
}

static bool take(struct reader *r, const yaml_event_t *ev)
{
    struct frame *f = r->depth ? &r->frames[r->depth - 1] : NULL;
    struct xpm_value *v = NULL;
    const char *anchor;
    uint32_t len;
    bool end = ev->type == YAML_MAPPING_END_EVENT || ev->type == YAML_SEQUENCE_END_EVENT;
    if (f && f->v->kind == XPM_MAP && !f->have_key && !end)
        return take_key(r, f, ev);
    switch (ev->type) {
    case YAML_SCALAR_EVENT:
        if (!scalar(r, ev, &v))
            return false;
        if (!anchor_open(r, ev->data.scalar.anchor, &anchor, &len))
            return false;
        anchor_close(r, anchor, len, v);
        return give(r, v);
    case YAML_ALIAS_EVENT: return alias(r, ev, &v) && give(r, v);
    case YAML_SEQUENCE_START_EVENT: return open_collection(r, ev, false);
    case YAML_MAPPING_START_EVENT: return open_collection(r, ev, true);
    case YAML_SEQUENCE_END_EVENT: case YAML_MAPPING_END_EVENT: return close_collection(r);
    default: return true;
    }
}

/* --- the text as bytes --- */

static struct xpm_place place_of_byte(const struct reader *r, const char *text, size_t at)
{
    struct xpm_place p = { r->source, 0, 0 };
    if (r->inlined)
        return p;
    p.line = p.column = 1;
    for (size_t i = 0; i < at; i++) {
        if (text[i] == '\n') {
            p.line++;
            p.column = 1;
        } else if (((unsigned char)text[i] & 0xC0) != 0x80) {
            p.column++;
        }
    }
    return p;
}

static size_t first_not_utf8(const char *s, size_t len)
{
    size_t i = 0;
    while (i < len) {
        uint64_t eight;
        while (len - i >= sizeof eight && (memcpy(&eight, s + i, sizeof eight), (eight & 0x8080808080808080u) == 0))
            i += sizeof eight;
        if (i < len) {
            size_t n = xpm_utf8_length(s + i, len - i);
            if (n == 0)
                return i;
            i += n;
        }
    }
    return len;
}

static bool check_bytes(struct reader *r, const char *text, size_t len)
{
    struct xpm_place top = { r->source, 0, 0 };
    if (len >= 2 && (memcmp(text, "\xFF\xFE", 2) == 0 || memcmp(text, "\xFE\xFF", 2) == 0))
        return wrong(r, XPM_EINVAL, top, true, "the text is UTF-16; xpm reads UTF-8");
    const char *nul = memchr(text, '\0', len);
    if (nul)
        return wrong(r, XPM_EINVAL, place_of_byte(r, text, (size_t)(nul - text)), true, "a NUL byte");
    size_t bad = first_not_utf8(text, len);
    if (bad < len)
        return wrong(r, XPM_EINVAL, place_of_byte(r, text, bad), true, "not UTF-8 from here");
    return true;
}

/* What libyaml says, in words that help; NULL: its own are clear. */
static const char *clearer(const char *problem)
{
    static const char *const words[][2] = {
        { "mapping values are not allowed", "a ':' is not allowed here (is a quote or an indentation missing?)" },
        { "found character that cannot start any token", "a value or key cannot start with this character (quote it; "
                                                         "indent with spaces, not tabs)" },
        { "found a tab character", "a tab cannot indent: use spaces" },
        { "could not find expected ':'", "a ':' after the key is missing" },
        { "did not find expected key", "a key is expected here (is the indentation right?)" },
        { "did not find expected '-' indicator", "a '-' is expected here (is the indentation right?)" },
        { "did not find expected ',' or ']'", "a ',' or ']' is missing" },
        { "did not find expected ',' or '}'", "a ',' or '}' is missing" },
        { "found unexpected end of stream", "the text ends inside a quoted string" },
        { "did not find expected <document start>", "text after the end of the document" },
        { "control characters are not allowed", "a control character" },
        { "block sequence entries are not allowed", "a '-' is not allowed here" },
        { "found unknown escape character", "unknown escape in a quoted string" },
        { "found undefined tag handle", "unknown tag" },
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strncmp(problem, words[i][0], strlen(words[i][0])) == 0)
            return words[i][1];
    return problem;
}

static bool syntax(struct reader *r, const yaml_parser_t *p, const char *text, size_t len)
{
    if (p->error == YAML_MEMORY_ERROR)
        return no_memory(r);
    struct xpm_place at = place(r, &p->problem_mark);
    if (p->error == YAML_READER_ERROR)
        at = place_of_byte(r, text, p->problem_offset < len ? p->problem_offset : len);
    const char *problem = p->problem ? clearer(p->problem) : "not YAML";
    /* what is not closed is best shown where it was opened */
    if (p->context && strstr(problem, "the text ends inside"))
        at = place(r, &p->context_mark);
    bool flow = p->context && strstr(p->context, "parsing a flow");
    if (flow && p->context_mark.line != p->problem_mark.line && !r->inlined)
        r->rc = xpm_problem(r->problems, XPM_EINVAL, at, NULL, "%s (the bracket was opened at %zu:%zu)", problem,
                            p->context_mark.line + 1, p->context_mark.column + 1);
    else
        r->rc = xpm_problem(r->problems, XPM_EINVAL, at, NULL, "%s", problem);
    r->stop = true;
    return false;
}

static bool events(struct reader *r, yaml_parser_t *p, const char *text, size_t len)
{
    yaml_event_t ev;
    int documents = 0;
    for (bool going = true; going;) {
        if (!yaml_parser_parse(p, &ev))
            return syntax(r, p, text, len);
        if (ev.type == YAML_STREAM_END_EVENT)
            going = false;
        else if (ev.type == YAML_DOCUMENT_START_EVENT && documents++ > 0)
            going = wrong(r, XPM_EINVAL, place(r, &ev.start_mark), true, "a second document: one is allowed in a file");
        else
            going = take(r, &ev) && !r->stop;
        yaml_event_delete(&ev);
    }
    return !r->stop;
}

int xpm_yaml_read(struct xpm_value **out, struct xpm_store *st, uint32_t source, const char *text, size_t len,
                  struct xpm_problems *problems)
{
    yaml_parser_t parser;
    *out = NULL;
    struct reader *r = malloc(sizeof *r);
    if (!r)
        return xpm_problem_memory(problems);
    memset(r, 0, offsetof(struct reader, frames));
    r->st = st;
    r->problems = problems;
    r->source = source;
    r->inlined = st->sources[source].role == XPM_SOURCE_OVERRIDE;
    if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
        text += 3;
        len -= 3;
    }
    if (check_bytes(r, text, len)) {
        if (yaml_parser_initialize(&parser)) {
            yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
            yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
            events(r, &parser, text, len);
            yaml_parser_delete(&parser);
        } else {
            no_memory(r);
        }
    }
    /* an empty document and an empty file are the same thing */
    int rc = r->rc;
    *out = r->stop ? NULL : r->root;
    free(r);
    return rc;
}
