/* The one adapter of libgit2.
 *
 * The library is initialised and shut down around each reading: it counts its users, so that another Lua state or the
 * host program may have it too, and nothing of it is left when this module is unloaded.
 *
 * git_status_* lists everything before it says anything. Here the two comparisons that make a status (head with index,
 * index with files) run with a callback for each difference, which keeps the path and ends the comparison at the limit: an
 * untracked folder with a million files costs as much as one with ten thousand.
 *
 * Excluded paths become ignore rules that live in the memory of the open repository, so that untracked folders there
 * (a workspace with all its jobs) are not walked; tracked files under them are left out by their path. */
#include "git/git.h"

#include <git2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"

#define NESTING_MAX 16 /* submodules within submodules that hold an excluded path */

struct walk {
    struct xpm_buf found;    /* dirty paths relative to the outermost root, each followed by a NUL */
    size_t count;            /* how many */
    struct xpm_buf excluded; /* absolute paths without links, each followed by a NUL */
    struct xpm_buf scratch;
    const char *prefix;      /* of paths of the repository being read: "" or "sub/" */
    const char *root;        /* its work tree, ends in a slash */
    git_repository *repo;    /* borrowed */
    git_index *index;        /* while it is compared with the files; borrowed */
    int depth;
    bool no_memory;
    struct xpm_err *err;
};

static int no_memory(struct xpm_err *err)
{
    return xpm_err_set(err, XPM_ENOMEM, "out of memory");
}

static int git_failed(struct xpm_err *err, const char *what)
{
    const git_error *e = git_error_last();
    if (e && e->klass == GIT_ERROR_NOMEMORY)
        return no_memory(err);
    return xpm_err_set(err, XPM_EIO, "git: cannot %s: %s", what, e && e->message ? e->message : "unknown error");
}

/* ---- excluded paths ---- */

/* Adds an absolute path as it is after links, where it exists, else as its text says. */
static int add_excluded(struct walk *w, const char *path)
{
    size_t start = w->excluded.len;
    if (xpm_fs_realpath(&w->excluded, path, NULL) != 0) {
        w->excluded.len = start;
        if (xpm_fs_abspath(&w->excluded, path, NULL) != 0)
            return no_memory(w->err);
    }
    return xpm_buf_addc(&w->excluded, '\0') ? 0 : no_memory(w->err);
}

/* The part of `excluded` below `root` (which ends in a slash), or NULL. */
static const char *below(const char *excluded, const char *root)
{
    size_t n = strlen(root);
    return strncmp(excluded, root, n) == 0 && excluded[n] ? excluded + n : NULL;
}

/* Whether `path`, relative to w->root, lies in an excluded path. */
static bool is_excluded(const struct walk *w, const char *path)
{
    for (size_t i = 0; i < w->excluded.len; i += strlen(w->excluded.data + i) + 1) {
        const char *rest = below(w->excluded.data + i, w->root);
        size_t n = rest ? strlen(rest) : 0;
        if (rest && strncmp(path, rest, n) == 0 && (path[n] == '/' || path[n] == '\0'))
            return true;
    }
    return false;
}

/* Whether an excluded path lies in the folder `path`, relative to w->root. */
static bool holds_excluded(const struct walk *w, const char *path)
{
    size_t len = strlen(path);
    for (size_t i = 0; i < w->excluded.len; i += strlen(w->excluded.data + i) + 1) {
        const char *rest = below(w->excluded.data + i, w->root);
        if (rest && strncmp(rest, path, len) == 0 && rest[len] == '/')
            return true;
    }
    return false;
}

/* Rules are read line by line, so a path with a newline cannot be one: its files are left out one by one. */
static int add_rules(struct walk *w)
{
    for (size_t i = 0; i < w->excluded.len; i += strlen(w->excluded.data + i) + 1) {
        const char *rest = below(w->excluded.data + i, w->root);
        if (!rest || strchr(rest, '\n'))
            continue;
        xpm_buf_clear(&w->scratch);
        xpm_buf_addc(&w->scratch, '/');
        for (; *rest; rest++) {
            if (strchr("*?[]\\ \t\r", *rest))
                xpm_buf_addc(&w->scratch, '\\');
            xpm_buf_addc(&w->scratch, *rest);
        }
        xpm_buf_addc(&w->scratch, '\n');
        if (w->scratch.failed)
            return no_memory(w->err);
        if (git_ignore_add_rule(w->repo, w->scratch.data) != 0)
            return git_failed(w->err, "leave out a folder");
    }
    return 0;
}

/* ---- what is not committed ---- */

static int collect(struct walk *w, git_repository *repo, const char *prefix);

/* A submodule that holds an excluded path: its files are looked at one by one. 0: that is done; 1: it counts as a whole,
 * since its commit changed; negative: as collect. */
static int collect_submodule(struct walk *w, const char *path)
{
    unsigned flags = 0;
    git_submodule *sub = NULL;
    git_repository *inner = NULL;
    struct xpm_buf prefix = XPM_BUF_INIT;
    int rc = GIT_ERROR;
    if (w->depth >= NESTING_MAX)
        return 1;
    if (git_submodule_lookup(&sub, w->repo, path) != 0 ||
        git_submodule_status(&flags, w->repo, path, GIT_SUBMODULE_IGNORE_DIRTY) != 0 ||
        git_submodule_open(&inner, sub) != 0)
        goto out;
    if (!GIT_SUBMODULE_STATUS_IS_UNMODIFIED(flags)) {
        rc = 1;
        goto out;
    }
    if (!xpm_buf_addf(&prefix, "%s%s/", w->prefix, path)) {
        w->no_memory = true;
        rc = GIT_EUSER;
        goto out;
    }
    struct walk saved = *w;
    w->depth++;
    rc = collect(w, inner, prefix.data);
    w->prefix = saved.prefix;
    w->root = saved.root;
    w->repo = saved.repo;
    w->index = saved.index;
    w->depth = saved.depth;
out:
    xpm_buf_free(&prefix);
    git_repository_free(inner);
    git_submodule_free(sub);
    return rc;
}

/* Whether a file that is not there need not be (sparse checkouts; libgit2 1.5 does not know of them). */
static bool is_skipped(const struct walk *w, const char *path)
{
    const git_index_entry *e = w->index ? git_index_get_bypath(w->index, path, 0) : NULL;
    return e && e->flags_extended & GIT_INDEX_ENTRY_SKIP_WORKTREE;
}

/* Called for each difference. 1: it need not be kept; negative: stop. */
static int on_delta(const git_diff *so_far, const git_diff_delta *delta, const char *matched, void *payload)
{
    struct walk *w = payload;
    (void)so_far;
    (void)matched;
    if (delta->status == GIT_DELTA_UNMODIFIED || delta->status == GIT_DELTA_IGNORED)
        return 1;
    const char *path = delta->new_file.path ? delta->new_file.path : delta->old_file.path;
    if (is_excluded(w, path) || (delta->status == GIT_DELTA_DELETED && is_skipped(w, path)))
        return 1;
    if ((delta->old_file.mode == GIT_FILEMODE_COMMIT || delta->new_file.mode == GIT_FILEMODE_COMMIT) &&
        delta->status == GIT_DELTA_MODIFIED && holds_excluded(w, path)) {
        int rc = collect_submodule(w, path);
        if (rc <= 0)
            return rc == 0 ? 1 : rc;
    }
    if (!xpm_buf_adds(&w->found, w->prefix) || !xpm_buf_add(&w->found, path, strlen(path) + 1)) {
        w->no_memory = true;
        return GIT_EUSER;
    }
    return ++w->count >= 2 * XPM_GIT_COUNT_MAX ? GIT_EUSER : 1; /* one path may differ in both comparisons */
}

/* Adds the dirty paths of `repo`, which has a work tree. 0, GIT_EUSER when there is no need (or no memory) to go on, or
 * another negative number, with libgit2's error set. */
static int collect(struct walk *w, git_repository *repo, const char *prefix)
{
    git_diff_options options;
    git_index *index = NULL;
    git_object *tree = NULL;
    git_diff *diff = NULL;
    w->prefix = prefix;
    w->root = git_repository_workdir(repo);
    w->repo = repo;
    w->index = NULL;
    git_diff_options_init(&options, GIT_DIFF_OPTIONS_VERSION);
    options.flags = GIT_DIFF_INCLUDE_UNTRACKED | GIT_DIFF_RECURSE_UNTRACKED_DIRS | GIT_DIFF_INCLUDE_TYPECHANGE |
                    GIT_DIFF_DISABLE_PATHSPEC_MATCH;
    options.notify_cb = on_delta;
    options.payload = w;
    int rc = add_rules(w);
    if (rc) {
        w->no_memory = w->err && w->err->code == XPM_ENOMEM;
        return w->no_memory ? GIT_EUSER : GIT_ERROR;
    }
    rc = git_revparse_single(&tree, repo, "HEAD^{tree}");
    if (rc == GIT_ENOTFOUND && git_repository_head_unborn(repo) == 1)
        rc = 0; /* before the first commit: all that is staged is new */
    if (rc == 0)
        rc = git_repository_index(&index, repo);
    if (rc == 0)
        rc = git_diff_tree_to_index(&diff, repo, (git_tree *)tree, index, &options);
    git_diff_free(diff);
    diff = NULL;
    w->index = index;
    if (rc == 0)
        rc = git_diff_index_to_workdir(&diff, repo, index, &options);
    git_diff_free(diff);
    git_index_free(index);
    git_object_free(tree);
    return rc;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Counts the different paths found, and keeps the first `limit` of them in order. */
static int take_paths(struct xpm_git_state *out, struct walk *w, size_t limit)
{
    if (w->count == 0)
        return 0;
    const char **all = malloc(w->count * sizeof *all);
    if (!all)
        return no_memory(w->err);
    const char *p = w->found.data;
    for (size_t i = 0; i < w->count; i++, p += strlen(p) + 1)
        all[i] = p;
    qsort(all, w->count, sizeof *all, by_text);
    bool ok = true;
    for (size_t i = 0; ok && i < w->count; i++) {
        if (i > 0 && strcmp(all[i], all[i - 1]) == 0)
            continue;
        if (out->count == XPM_GIT_COUNT_MAX)
            break;
        out->count++;
        if (out->path_count < limit) {
            ok = xpm_buf_add(&out->paths, all[i], strlen(all[i]) + 1);
            out->path_count += ok;
        }
    }
    free(all);
    return ok ? 0 : no_memory(w->err);
}

static int read_dirty(struct xpm_git_state *out, git_repository *repo, const char *const *exclude, size_t excludes,
                      size_t limit, struct xpm_err *err)
{
    struct walk w = { XPM_BUF_INIT, 0, XPM_BUF_INIT, XPM_BUF_INIT, "", "", NULL, NULL, 0, false, err };
    int rc = 0;
    for (size_t i = 0; i < excludes && rc == 0; i++)
        rc = add_excluded(&w, exclude[i]);
    if (rc == 0) {
        int git = collect(&w, repo, "");
        if (w.no_memory)
            rc = no_memory(err);
        else if (git != 0 && git != GIT_EUSER)
            rc = git_failed(err, "compare the files");
    }
    if (rc == 0)
        rc = take_paths(out, &w, limit);
    xpm_buf_free(&w.found);
    xpm_buf_free(&w.excluded);
    xpm_buf_free(&w.scratch);
    return rc;
}

/* ---- head ---- */

static int read_commit(struct xpm_git_state *out, git_repository *repo, const git_oid *id, struct xpm_err *err)
{
    git_commit *commit = NULL;
    if (git_commit_lookup(&commit, repo, id) != 0)
        return git_failed(err, "read the head commit");
    const git_signature *author = git_commit_author(commit);
    const char *message = git_commit_message(commit);
    bool ok = xpm_buf_addf(&out->author, "%s <%s>", author ? author->name : "", author ? author->email : "") &&
              xpm_buf_adds(&out->message, message ? message : "");
    out->date = author ? author->when.time : 0;
    git_commit_free(commit);
    return ok ? 0 : no_memory(err);
}

/* Before the first commit HEAD names a branch that does not exist. */
static int read_unborn(struct xpm_git_state *out, git_repository *repo, struct xpm_err *err)
{
    git_reference *head = NULL;
    if (git_reference_lookup(&head, repo, "HEAD") != 0)
        return git_failed(err, "read HEAD");
    const char *name = git_reference_symbolic_target(head);
    if (name && strncmp(name, "refs/heads/", 11) == 0)
        name += 11;
    bool ok = !name || xpm_buf_adds(&out->branch, name);
    git_reference_free(head);
    return ok ? 0 : no_memory(err);
}

static int read_head(struct xpm_git_state *out, git_repository *repo, struct xpm_err *err)
{
    git_reference *head = NULL;
    int rc = git_repository_head(&head, repo);
    if (rc == GIT_EUNBORNBRANCH)
        return read_unborn(out, repo, err);
    if (rc != 0)
        return git_failed(err, "read HEAD");
    rc = 0;
    const git_oid *id = git_reference_target(head);
    if (!id)
        rc = xpm_err_set(err, XPM_EIO, "git: cannot read HEAD: it names no commit");
    if (rc == 0 && git_repository_head_detached(repo) != 1 && !xpm_buf_adds(&out->branch, git_reference_shorthand(head)))
        rc = no_memory(err);
    if (rc == 0) {
        git_oid_tostr(out->head, sizeof out->head, id);
        rc = read_commit(out, repo, id, err);
    }
    git_reference_free(head);
    return rc;
}

/* ---- all of it ---- */

static int read_root(struct xpm_git_state *out, git_repository *repo, struct xpm_err *err)
{
    const char *root = git_repository_workdir(repo);
    if (!xpm_buf_adds(&out->root, root ? root : git_repository_path(repo)))
        return no_memory(err);
    while (out->root.len > 1 && out->root.data[out->root.len - 1] == '/')
        out->root.data[--out->root.len] = '\0';
    return 0;
}

/* libgit2 takes a file at the start of its search for a ".git" file: give it the folder. */
static int folder_of(struct xpm_buf *folder, const char *path, struct xpm_err *err)
{
    struct xpm_fs_stat st;
    int rc = xpm_fs_realpath(folder, path, err);
    if (rc == 0)
        rc = xpm_fs_stat(&st, folder->data, false, err);
    if (rc == 0 && st.kind != XPM_FS_DIRECTORY) {
        char *slash = strrchr(folder->data, '/');
        folder->len = (size_t)(slash - folder->data) + (slash == folder->data);
        folder->data[folder->len] = '\0';
    }
    return rc;
}

int xpm_git_state_read(struct xpm_git_state *out, const char *path, const char *const *exclude, size_t excludes,
                       size_t limit, struct xpm_err *err)
{
    struct xpm_buf folder = XPM_BUF_INIT;
    git_repository *repo = NULL;
    int validation = 1;
    int rc = folder_of(&folder, path, err);
    if (rc) {
        xpm_buf_free(&folder);
        return rc;
    }
    if (git_libgit2_init() < 0) {
        xpm_buf_free(&folder);
        return git_failed(err, "start libgit2");
    }
    git_libgit2_opts(GIT_OPT_GET_OWNER_VALIDATION, &validation);
    git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
    int git = git_repository_open_ext(&repo, folder.data, 0, NULL);
    git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, validation);
    if (git == GIT_ENOTFOUND)
        rc = xpm_err_set(err, XPM_ENOTFOUND, "%s is in no git repository", path);
    else if (git != 0)
        rc = git_failed(err, "open the repository");
    if (rc == 0)
        rc = read_root(out, repo, err);
    if (rc == 0)
        rc = read_head(out, repo, err);
    if (rc == 0 && !git_repository_is_bare(repo))
        rc = read_dirty(out, repo, exclude, excludes, limit, err);
    git_repository_free(repo);
    git_libgit2_shutdown();
    xpm_buf_free(&folder);
    return rc;
}

void xpm_git_state_clear(struct xpm_git_state *s)
{
    xpm_buf_free(&s->root);
    xpm_buf_free(&s->branch);
    xpm_buf_free(&s->paths);
    xpm_buf_free(&s->author);
    xpm_buf_free(&s->message);
    *s = (struct xpm_git_state)XPM_GIT_STATE_INIT;
}

void xpm_git_version(char out[32])
{
    int major = 0, minor = 0, rev = 0;
    git_libgit2_version(&major, &minor, &rev);
    snprintf(out, 32, "%d.%d.%d", major, minor, rev);
}
