/* Files are read whole: size, kind and encoding are checked before libyaml sees them. Each file of the command line has
 * its own list of files already merged (by realpath); a stack of the files being read finds import cycles. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"
#include "config/dotlist.h"
#include "config/interpolate.h"
#include "config/merge.h"
#include "config/yaml.h"

struct loader {
    struct xpm_config *c;
    struct xpm_store *st;
    struct xpm_problems *problems;
    uint64_t limit;
    const char **seen; /* real paths of this command-line file's tree; in the store */
    uint32_t seen_count, seen_room;
    int rc;
};

/* A file that is being read, and who imports it. */
struct opened {
    const struct opened *by;
    const char *real;
    const char *shown;
    uint32_t depth;
};

void xpm_config_init(struct xpm_config *c)
{
    *c = (struct xpm_config){ .store = XPM_STORE_INIT, .warnings = XPM_BUF_INIT };
}

void xpm_config_free(struct xpm_config *c)
{
    xpm_store_free(&c->store);
    xpm_buf_free(&c->warnings);
    xpm_config_init(c);
}

static int no_memory(struct loader *ld)
{
    return ld->rc = xpm_problem_memory(ld->problems);
}

static int wrong(struct loader *ld, int code, struct xpm_place at, const struct xpm_step *path, const char *text)
{
    return ld->rc = xpm_problem(ld->problems, code, at, path, "%s", text);
}

static int wrong_errno(struct loader *ld, int errnum, struct xpm_place at, const struct xpm_step *path,
                       const char *what)
{
    struct xpm_err err = XPM_ERR_INIT;
    xpm_err_errno(&err, errnum, "%s", what);
    return wrong(ld, err.code, at, path, err.msg);
}

/* --- reading a file --- */

static int read_all(struct loader *ld, int fd, size_t size, struct xpm_buf *b, struct xpm_place at)
{
    size_t max = ld->limit < SIZE_MAX / 4 ? (size_t)ld->limit : SIZE_MAX / 4;
    for (;;) {
        size_t want = size > b->len ? size - b->len + 1 : 4096;
        if (!xpm_buf_reserve(b, want))
            return no_memory(ld);
        ssize_t n = read(fd, b->data + b->len, want);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return wrong_errno(ld, errno, at, NULL, "cannot read the file");
        if (n == 0)
            break;
        b->len += (size_t)n;
        if (b->len > max)
            return wrong(ld, XPM_ELIMIT, at, NULL, "the file grew past the limit while it was read");
    }
    if (b->data)
        b->data[b->len] = '\0';
    return 0;
}

static int check_and_read(struct loader *ld, int fd, struct xpm_buf *b, struct xpm_place at)
{
    struct stat sb;
    if (fstat(fd, &sb) != 0)
        return wrong_errno(ld, errno, at, NULL, "cannot read the file");
    if (S_ISDIR(sb.st_mode))
        return wrong(ld, XPM_EINVAL, at, NULL, "this is a folder, not a file");
    if (!S_ISREG(sb.st_mode))
        return wrong(ld, XPM_EINVAL, at, NULL, "this is not a regular file");
    if ((uint64_t)sb.st_size > ld->limit)
        return ld->rc = xpm_problem(ld->problems, XPM_ELIMIT, at, NULL, "the file has %llu bytes, the limit is %llu",
                                    (unsigned long long)sb.st_size, (unsigned long long)ld->limit);
    return read_all(ld, fd, (size_t)sb.st_size, b, at);
}

/* The map at the root of a file, what could be read of it when something is wrong (said); NULL: nothing. The
 * descriptor is closed before YAML is read. */
static struct xpm_value *read_root(struct loader *ld, int fd, uint32_t source)
{
    struct xpm_place top = { source, 0, 0 };
    struct xpm_buf text = XPM_BUF_INIT;
    struct xpm_value *v = NULL;
    int rc = check_and_read(ld, fd, &text, top);
    close(fd);
    if (rc == 0 && (rc = xpm_yaml_read(&v, ld->st, source, text.data ? text.data : "", text.len, ld->problems)) != 0)
        ld->rc = rc;
    xpm_buf_free(&text);
    if (rc && (!v || v->kind != XPM_MAP))
        return NULL;
    if (!v || v->kind == XPM_NULL) {
        wrong(ld, XPM_EINVAL, top, NULL, "the file is empty");
        return NULL;
    }
    if (v->kind != XPM_MAP) {
        ld->rc = xpm_problem(ld->problems, XPM_EINVAL, xpm_value_place(v), NULL,
                             "a map of keys and values is needed, not %s", xpm_kind_phrase(v));
        return NULL;
    }
    return v;
}

/* --- imports --- */

static bool remember(struct loader *ld, const char *real)
{
    if (ld->seen_count == ld->seen_room) {
        uint32_t room = ld->seen_room ? ld->seen_room * 2 : 8;
        const char **p = xpm_arena_alloc(&ld->st->arena, room * sizeof *p);
        if (!p)
            return false;
        if (ld->seen_count)
            memcpy(p, ld->seen, ld->seen_count * sizeof *p);
        ld->seen = p;
        ld->seen_room = room;
    }
    ld->seen[ld->seen_count++] = real;
    return true;
}

static bool seen(const struct loader *ld, const char *real)
{
    for (uint32_t i = 0; i < ld->seen_count; i++)
        if (strcmp(ld->seen[i], real) == 0)
            return true;
    return false;
}

static int cycle(struct loader *ld, const struct opened *by, const char *real, const char *shown, struct xpm_place at,
                 const struct xpm_step *path)
{
    const struct opened *chain[XPM_CONFIG_IMPORTS + 1];
    struct xpm_buf b = XPM_BUF_INIT;
    size_t n = 0;
    for (const struct opened *o = by; o && n < sizeof chain / sizeof *chain; o = o->by) {
        chain[n++] = o;
        if (strcmp(o->real, real) == 0)
            break;
    }
    xpm_buf_adds(&b, "import cycle: ");
    while (n > 0) {
        xpm_shown_text(&b, chain[n - 1]->shown, strlen(chain[n - 1]->shown));
        xpm_buf_adds(&b, " -> ");
        n--;
    }
    xpm_shown_text(&b, shown, strlen(shown));
    int rc = b.failed ? no_memory(ld) : wrong(ld, XPM_EINVAL, at, path, b.data);
    xpm_buf_free(&b);
    return rc;
}

static int load_file(struct loader *ld, const char *shown, int role, const struct opened *by, struct xpm_place at,
                     const struct xpm_step *path);

/* One entry of `imports`, or the value of `parent`. */
static int import_one(struct loader *ld, const struct opened *by, const struct xpm_value *v,
                      const struct xpm_step *path)
{
    struct xpm_place at = xpm_value_place(v);
    if (v->kind != XPM_STRING)
        return ld->rc = xpm_problem(ld->problems, XPM_EINVAL, at, path, "the path of a YAML file is needed, not %s",
                                    xpm_kind_phrase(v));
    if (v->len == 0)
        return wrong(ld, XPM_EINVAL, at, path, "the path of a YAML file is needed, not an empty string");
    const char *slash = strrchr(by->shown, '/');
    size_t folder = slash && v->u.s[0] != '/' ? (size_t)(slash - by->shown) + 1 : 0;
    char *shown = xpm_arena_alloc(&ld->st->arena, folder + v->len + 1);
    if (!shown)
        return no_memory(ld);
    memcpy(shown, by->shown, folder);
    memcpy(shown + folder, v->u.s, (size_t)v->len + 1);
    return load_file(ld, shown, XPM_SOURCE_IMPORT, by, at, path);
}

static int warn_parent(struct loader *ld, struct xpm_place at)
{
    struct xpm_buf *w = &ld->c->warnings;
    if (w->len)
        xpm_buf_addc(w, '\n');
    xpm_place_text(w, ld->st, at);
    xpm_buf_adds(w, ": parent: deprecated, use imports (a list)");
    return w->failed ? no_memory(ld) : 0;
}

/* Takes `imports` and `parent` out of a file's map and loads what they name. */
static int imports_of(struct loader *ld, struct xpm_map *m, const struct opened *self)
{
    const struct xpm_step step = { .key = "imports", .len = 7 }, parent = { .key = "parent", .len = 6 };
    struct xpm_entry *e = xpm_map_find(ld->st, m, "imports", 7), *p = xpm_map_find(ld->st, m, "parent", 6);
    if (e && p)
        return ld->rc = xpm_problem(ld->problems, XPM_EINVAL, xpm_entry_place(p), &parent,
                                    "parent and imports (line %u) cannot both be in a file: use imports", e->line);
    if (p) {
        struct xpm_value *v = p->value;
        int rc = warn_parent(ld, xpm_entry_place(p));
        xpm_map_remove(m, p);
        return rc ? rc : v->kind == XPM_NULL ? 0 : import_one(ld, self, v, &parent);
    }
    if (!e)
        return 0;
    struct xpm_value *v = e->value;
    xpm_map_remove(m, e);
    if (v->kind == XPM_NULL)
        return 0;
    if (v->kind != XPM_LIST)
        return ld->rc = xpm_problem(ld->problems, XPM_EINVAL, xpm_value_place(v), &step,
                                    "a list of YAML files is needed, not %s", xpm_kind_phrase(v));
    int rc = 0;
    for (uint32_t i = 0; i < v->u.list->count && ld->problems->code != XPM_ENOMEM; i++) {
        struct xpm_step item = { .up = &step, .index = i };
        int one = import_one(ld, self, v->u.list->items[i], &item);
        rc = one ? one : rc;
    }
    return rc;
}

static int merge_file(struct loader *ld, struct xpm_value *root, uint32_t source, int role)
{
    struct xpm_config *c = ld->c;
    if (c->loaded_count == c->loaded_room) {
        uint32_t room = c->loaded_room ? c->loaded_room * 2 : 8;
        struct xpm_loaded *p = xpm_arena_alloc(&ld->st->arena, room * sizeof *p);
        if (!p)
            return no_memory(ld);
        if (c->loaded_count)
            memcpy(p, c->loaded, c->loaded_count * sizeof *p);
        c->loaded = p;
        c->loaded_room = room;
    }
    c->loaded[c->loaded_count++] = (struct xpm_loaded){ source, role };
    int rc = xpm_merge(ld->st, &c->root, root, NULL, ld->problems);
    return rc ? (ld->rc = rc) : 0;
}

/* Loads a file with its imports. Problems that have no place in it are told at `at` (the import's entry), if it is
 * one. */
static int load_file(struct loader *ld, const char *shown, int role, const struct opened *by, struct xpm_place at,
                     const struct xpm_step *path)
{
    char resolved[PATH_MAX];
    uint32_t source;
    int rc = xpm_source_add(ld->st, &source, shown, strlen(shown), role);
    if (rc == XPM_ENOMEM)
        return no_memory(ld);
    if (rc)
        return wrong(ld, rc, at, path, "too many files and options");
    if (!by)
        at = (struct xpm_place){ source, 0, 0 };
    if (!realpath(shown, resolved)) {
        struct xpm_buf b = XPM_BUF_INIT;
        int saved = errno;
        if (by) {
            xpm_buf_adds(&b, "cannot import ");
            xpm_shown_text(&b, shown, strlen(shown));
        } else {
            xpm_buf_adds(&b, "cannot open the file");
        }
        rc = b.failed ? no_memory(ld) : wrong_errno(ld, saved, at, path, b.data);
        xpm_buf_free(&b);
        return rc;
    }
    for (const struct opened *o = by; o; o = o->by)
        if (strcmp(o->real, resolved) == 0)
            return cycle(ld, by, resolved, shown, at, path);
    if (seen(ld, resolved))
        return 0;
    if (by && by->depth == XPM_CONFIG_IMPORTS)
        return wrong(ld, XPM_ELIMIT, at, path, "imports deeper than the limit of 64 files");
    const char *real = xpm_arena_text(&ld->st->arena, resolved, strlen(resolved));
    struct opened self = { by, real, shown, by ? by->depth + 1 : 1 };
    if (!self.real || !remember(ld, self.real))
        return no_memory(ld);
    int fd = open(shown, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return wrong_errno(ld, errno, at, path, "cannot open the file");
    struct xpm_value *root = read_root(ld, fd, source);
    if (!root)
        return ld->rc;
    rc = imports_of(ld, root->u.map, &self);
    int own = merge_file(ld, root, source, role);
    return rc ? rc : own;
}

int xpm_config_load(struct xpm_config *c, const struct xpm_config_input *in, struct xpm_problems *problems)
{
    struct loader ld = { .c = c, .st = &c->store, .problems = problems, .limit = in->limit };
    struct xpm_place none = { 0, 0, 0 };
    problems->store = &c->store;
    for (size_t i = 0; i < in->pre_count + 1 + in->post_count && problems->code != XPM_ENOMEM; i++) {
        bool pre = i < in->pre_count, is_main = i == in->pre_count;
        const struct xpm_config_text *t = pre ? &in->pre[i] : is_main ? &in->main : &in->post[i - in->pre_count - 1];
        int role = pre ? XPM_SOURCE_PRE : is_main ? XPM_SOURCE_MAIN : XPM_SOURCE_POST;
        ld.seen_count = 0;
        if (t->s)
            load_file(&ld, t->s, role, NULL, none, NULL);
    }
    if (!ld.rc && !c->root)
        c->root = xpm_value_map(&c->store, none, 0);
    if (!ld.rc && !c->root)
        xpm_problem_memory(problems);
    /* Without all the files, what an override says of the tree would mislead: then only its form is checked. */
    struct xpm_value *tree = ld.rc ? NULL : c->root;
    for (size_t i = 0; i < in->override_count && problems->code != XPM_ENOMEM; i++)
        xpm_dotlist_apply(&c->store, tree, in->overrides[i].s, in->overrides[i].len, problems);
    if (!problems->code)
        xpm_interpolate(&c->store, c->root, problems);
    xpm_problems_end(problems);
    return problems->code;
}
