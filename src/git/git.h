/* The state of a git repository, read only: head, branch and what is not committed. */
#ifndef XPM_GIT_GIT_H
#define XPM_GIT_GIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define XPM_GIT_COUNT_MAX 10000 /* dirty paths are not counted further */

struct xpm_git_state {
    struct xpm_buf root;    /* the work tree's folder, absolute; of a bare repository its own folder */
    char head[41];          /* the head commit, 40 hex digits; "" before the first commit */
    struct xpm_buf branch;  /* short name; data NULL when the head is detached */
    struct xpm_buf paths;   /* some dirty paths relative to root, sorted by bytes, each followed by a NUL */
    size_t path_count;      /* how many are in `paths` */
    size_t count;           /* how many there are, at most XPM_GIT_COUNT_MAX; 0: clean */
    struct xpm_buf author;  /* "Name <mail>" of the head commit; data NULL before the first commit */
    int64_t date;           /* its author time, seconds since 1970 */
    struct xpm_buf message; /* its whole message */
};

#define XPM_GIT_STATE_INIT                                                                                             \
    { XPM_BUF_INIT, "", XPM_BUF_INIT, XPM_BUF_INIT, 0, 0, XPM_BUF_INIT, 0, XPM_BUF_INIT }

/* Reads the state of the repository that holds `path` (a folder or file) into `out`, an initialised struct, which the
 * caller clears also after a failure. Modified, staged, conflicted and untracked files count, not ignored ones; a
 * submodule counts once when its commit or its files changed. What lies in one of the `exclude`d absolute paths does not
 * count and untracked folders there are not entered; a path that holds the whole work tree excludes nothing.
 * At most `limit` paths are told. Nothing is written, not even git's own cache of file times.
 *
 * XPM_ENOTFOUND: `path` does not exist or is in no repository. Other codes: there is one, but its state is unknown. The
 * owner of the repository does not matter. May be called from several threads; the process' libgit2 settings are left
 * as they were. */
int xpm_git_state_read(struct xpm_git_state *out, const char *path, const char *const *exclude, size_t excludes,
                       size_t limit, struct xpm_err *err);

void xpm_git_state_clear(struct xpm_git_state *s); /* frees what it holds; it may be used again */

void xpm_git_version(char out[32]); /* libgit2's */

#endif
