/* Files and folders. Paths are NUL-terminated bytes. Functions return 0 or a code, and fill `err` (may be NULL) with a
 * message that names the path. What is put into a struct xpm_buf is appended; on failure the buffer may hold a part. */
#ifndef XPM_BASE_FS_H
#define XPM_BASE_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum xpm_fs_kind { XPM_FS_FILE, XPM_FS_DIRECTORY, XPM_FS_LINK, XPM_FS_OTHER };

struct xpm_fs_stat {
    enum xpm_fs_kind kind; /* XPM_FS_LINK only when links were not followed */
    int64_t size;          /* bytes */
    double mtime;          /* seconds since 1970 */
};

/* Makes a folder and the parents it lacks; one that is there already is fine, also when another process makes it at
 * the same time. A file in the way is XPM_EEXISTS. */
int xpm_fs_mkdirs(const char *path, struct xpm_err *err);
int xpm_fs_mkdir(const char *path, struct xpm_err *err); /* one folder; XPM_EEXISTS when something is there */

/* Writes a file whole by a temporary file beside it and rename: readers see the old bytes or the new ones, and on
 * failure the old file stands and nothing is left behind. The mode is 0666 less the umask; a link is replaced, not
 * followed. Not synced: it outlives the process, not a power cut. */
int xpm_fs_write(const char *path, const void *data, size_t len, struct xpm_err *err);

/* Reads a file whole. More than `limit` bytes is XPM_ELIMIT. */
int xpm_fs_read(struct xpm_buf *out, const char *path, size_t limit, struct xpm_err *err);

/* The last lines of a regular file: at most `lines` of them and at most `bytes` bytes. A first line that the bytes cut
 * is left out, unless it is the only one (then it starts at a whole UTF-8 character). */
int xpm_fs_tail(struct xpm_buf *out, const char *path, size_t lines, size_t bytes, struct xpm_err *err);

/* The absolute path without links, "." and ".."; the file must exist. */
int xpm_fs_realpath(struct xpm_buf *out, const char *path, struct xpm_err *err);

/* The absolute path without ".", ".." and repeated or final slashes, by text only: nothing needs to exist, and links are
 * not looked at. Fails only without memory or without a current folder. */
int xpm_fs_abspath(struct xpm_buf *out, const char *path, struct xpm_err *err);

int xpm_fs_cwd(struct xpm_buf *out, struct xpm_err *err);
int xpm_fs_chdir(const char *path, struct xpm_err *err);

int xpm_fs_stat(struct xpm_fs_stat *out, const char *path, bool nofollow, struct xpm_err *err);

/* The names in a folder without "." and "..", sorted by bytes, each followed by a NUL; `count` of them. */
int xpm_fs_list(struct xpm_buf *out, size_t *count, const char *path, struct xpm_err *err);

/* Makes `path` a symbolic link to `target`; one that is there (a file too, a folder not) is replaced atomically. */
int xpm_fs_symlink(const char *target, const char *path, struct xpm_err *err);
int xpm_fs_readlink(struct xpm_buf *out, const char *path, struct xpm_err *err);

int xpm_fs_remove(const char *path, struct xpm_err *err); /* a file, a link or an empty folder */

/* Where `path`, or the nearest parent that exists, lies. `network` is true for file systems that other machines may
 * write too, and for those that are not known: on them neither WAL nor inotify can be trusted. `name` (16 bytes) gets
 * its name, or its magic number in hexadecimal. */
int xpm_fs_network(bool *network, char name[16], const char *path, struct xpm_err *err);

#endif
