/* Temporary files are named by the process, a counter and the clock, and made with O_EXCL: two hosts that share the
 * folder may draw the same name, and then the second takes the next one. They lie in the target's folder, since a rename
 * works within one file system only, and their name does not hold the target's, which may already be as long as names
 * may be. */
#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/utf8.h"

static int no_memory(struct xpm_err *err)
{
    return xpm_err_set(err, XPM_ENOMEM, "out of memory");
}

static int open_retry(const char *path, int flags, mode_t mode)
{
    int fd;
    do
        fd = open(path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* ---- folders ---- */

int xpm_fs_mkdir(const char *path, struct xpm_err *err)
{
    return mkdir(path, 0777) == 0 ? 0 : xpm_err_errno(err, errno, "cannot make the folder %s", path);
}

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int xpm_fs_mkdirs(const char *path, struct xpm_err *err)
{
    if (mkdir(path, 0777) == 0 || (errno == EEXIST && is_folder(path)))
        return 0;
    if (errno != ENOENT || *path == '\0')
        return xpm_err_errno(err, errno, "cannot make the folder %s", path);
    struct xpm_buf b = XPM_BUF_INIT;
    int rc = 0;
    if (!xpm_buf_adds(&b, path))
        return no_memory(err);
    /* Each prefix that ends before a slash, then the whole. EROFS, EACCES ... of a parent that is there do not count. */
    for (size_t i = 1; i <= b.len && rc == 0; i++) {
        if (b.data[i] != '/' && b.data[i] != '\0')
            continue;
        char was = b.data[i];
        b.data[i] = '\0';
        if (mkdir(b.data, 0777) != 0) {
            int saved = errno;
            if (!is_folder(b.data))
                rc = xpm_err_errno(err, saved, "cannot make the folder %s", b.data);
        }
        b.data[i] = was;
    }
    xpm_buf_free(&b);
    return rc;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorts the NUL-ended names that `b` holds. Their order on disk is random, so a copy in sorted order replaces them. */
static int sort_names(struct xpm_buf *b, size_t count, struct xpm_err *err)
{
    if (count < 2)
        return 0;
    const char **names = malloc(count * sizeof *names);
    struct xpm_buf sorted = XPM_BUF_INIT;
    if (!names || !xpm_buf_reserve(&sorted, b->len)) {
        free(names);
        return no_memory(err);
    }
    const char *p = b->data;
    for (size_t i = 0; i < count; i++, p += strlen(p) + 1)
        names[i] = p;
    qsort(names, count, sizeof *names, by_name);
    for (size_t i = 0; i < count; i++)
        xpm_buf_add(&sorted, names[i], strlen(names[i]) + 1); /* cannot fail: reserved */
    free(names);
    xpm_buf_free(b);
    *b = sorted;
    return 0;
}

int xpm_fs_list(struct xpm_buf *out, size_t *count, const char *path, struct xpm_err *err)
{
    struct xpm_buf names = XPM_BUF_INIT;
    size_t n = 0;
    int rc = 0;
    DIR *dir = opendir(path);
    if (!dir)
        return xpm_err_errno(err, errno, "cannot list %s", path);
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (!entry) {
            if (errno)
                rc = xpm_err_errno(err, errno, "cannot list %s", path);
            break;
        }
        const char *name = entry->d_name;
        if (name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0')))
            continue;
        if (!xpm_buf_add(&names, name, strlen(name) + 1)) {
            rc = no_memory(err);
            break;
        }
        n++;
    }
    closedir(dir);
    if (rc == 0)
        rc = sort_names(&names, n, err);
    if (rc == 0 && !xpm_buf_add(out, names.data, names.len))
        rc = no_memory(err);
    xpm_buf_free(&names);
    if (rc == 0)
        *count = n;
    return rc;
}

/* ---- whole files ---- */

/* A name for a temporary file in the folder of `path`, in `b` (cleared first). */
static bool temporary_name(struct xpm_buf *b, const char *path)
{
    static atomic_uint counter;
    struct timespec t = { 0, 0 };
    clock_gettime(CLOCK_REALTIME, &t);
    const char *slash = strrchr(path, '/');
    xpm_buf_clear(b);
    if (slash)
        xpm_buf_add(b, path, (size_t)(slash - path) + 1);
    xpm_buf_addf(b, ".xpm-%ld-%u-%lx.tmp", (long)getpid(), atomic_fetch_add(&counter, 1u), (unsigned long)t.tv_nsec);
    return !b->failed;
}

/* Writes all of it. Returns 0 or errno. */
static int write_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

int xpm_fs_write(const char *path, const void *data, size_t len, struct xpm_err *err)
{
    struct xpm_buf temp = XPM_BUF_INIT;
    int fd = -1, e = 0;
    for (int tries = 0; fd < 0 && tries < 100; tries++) {
        if (!temporary_name(&temp, path)) {
            xpm_buf_free(&temp);
            return no_memory(err);
        }
        fd = open_retry(temp.data, O_WRONLY | O_CREAT | O_EXCL, 0666);
        e = fd < 0 ? errno : 0;
        if (fd < 0 && e != EEXIST)
            break;
    }
    if (fd >= 0) {
        e = write_all(fd, data, len);
        if (close(fd) != 0 && e == 0 && errno != EINTR) /* network file systems tell a full disk here */
            e = errno;
        if (e == 0 && rename(temp.data, path) != 0)
            e = errno;
        if (e)
            unlink(temp.data);
    }
    xpm_buf_free(&temp);
    return e ? xpm_err_errno(err, e, "cannot write %s", path) : 0;
}

int xpm_fs_read(struct xpm_buf *out, const char *path, size_t limit, struct xpm_err *err)
{
    struct stat st;
    int rc = 0;
    int fd = open_retry(path, O_RDONLY, 0);
    if (fd < 0)
        return xpm_err_errno(err, errno, "cannot read %s", path);
    /* The size is a hint: files of /proc say 0, pipes nothing, and a log may grow meanwhile. */
    size_t hint = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 ? (size_t)st.st_size : 0;
    size_t start = out->len;
    if (hint > limit)
        rc = xpm_err_set(err, XPM_ELIMIT, "cannot read %s: it is larger than %zu bytes", path, limit);
    else if (!xpm_buf_reserve(out, hint + 1))
        rc = no_memory(err);
    while (rc == 0) {
        if (out->cap - out->len < 2 && !xpm_buf_reserve(out, 65536)) {
            rc = no_memory(err);
            break;
        }
        ssize_t n = read(fd, out->data + out->len, out->cap - out->len - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = xpm_err_errno(err, errno, "cannot read %s", path);
        if (n <= 0)
            break;
        out->len += (size_t)n;
        if (out->len - start > limit)
            rc = xpm_err_set(err, XPM_ELIMIT, "cannot read %s: it is larger than %zu bytes", path, limit);
    }
    if (out->data)
        out->data[out->len] = '\0';
    close(fd);
    return rc;
}

/* The start of the last `lines` lines of `s`; `whole` says that it starts where a line starts. */
static size_t tail_start(const char *s, size_t len, size_t lines, bool whole)
{
    size_t at = len > 0 && s[len - 1] == '\n' ? len - 1 : len; /* the last line's own end */
    size_t first = len, seen = 0; /* where the earliest line that counts starts */
    while (at > 0 && seen < lines) {
        const char *nl = memrchr(s, '\n', at);
        if (!nl)
            break;
        at = (size_t)(nl - s);
        first = at + 1;
        seen++;
    }
    if (seen == lines)
        return first;
    if (whole)
        return 0;
    if (seen > 0)
        return first;
    size_t skip = 0;
    while (skip < len && skip < 3 && ((unsigned char)s[skip] & 0xC0) == 0x80)
        skip++;
    return skip;
}

int xpm_fs_tail(struct xpm_buf *out, const char *path, size_t lines, size_t bytes, struct xpm_err *err)
{
    struct stat st;
    int fd = open_retry(path, O_RDONLY | O_NONBLOCK, 0); /* a FIFO without a writer must not block */
    if (fd < 0 || fstat(fd, &st) != 0) {
        int rc = xpm_err_errno(err, errno, "cannot read %s", path);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return xpm_err_set(err, XPM_EINVAL, "cannot read %s: it is not a regular file", path);
    }
    size_t size = (size_t)st.st_size;
    size_t want = lines == 0 ? 0 : bytes < size ? bytes : size;
    bool whole = want == size;
    /* One byte more tells whether the first line is whole. */
    size_t extra = whole || want == 0 ? 0 : 1;
    size_t got = 0, from = size - want - extra;
    struct xpm_buf b = XPM_BUF_INIT;
    int rc = xpm_buf_reserve(&b, want + extra) ? 0 : no_memory(err);
    while (rc == 0 && got < want + extra) {
        ssize_t n = pread(fd, b.data + got, want + extra - got, (off_t)(from + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = xpm_err_errno(err, errno, "cannot read %s", path);
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    close(fd);
    if (rc == 0 && got > extra) {
        const char *s = b.data + extra;
        size_t start = tail_start(s, got - extra, lines, whole || b.data[0] == '\n');
        if (!xpm_buf_add(out, s + start, got - extra - start))
            rc = no_memory(err);
    } else if (rc == 0 && !xpm_buf_reserve(out, 0)) {
        rc = no_memory(err);
    }
    xpm_buf_free(&b);
    return rc;
}

/* ---- names ---- */

int xpm_fs_realpath(struct xpm_buf *out, const char *path, struct xpm_err *err)
{
    char real[PATH_MAX];
    if (!realpath(path, real))
        return xpm_err_errno(err, errno, "cannot resolve %s", path);
    return xpm_buf_adds(out, real) ? 0 : no_memory(err);
}

int xpm_fs_cwd(struct xpm_buf *out, struct xpm_err *err)
{
    char cwd[PATH_MAX];
    if (!getcwd(cwd, sizeof cwd))
        return xpm_err_errno(err, errno, "cannot tell the current folder");
    if (cwd[0] != '/') /* "(unreachable)/...": outside of this process' root */
        return xpm_err_set(err, XPM_ENOTFOUND, "cannot tell the current folder: it is unreachable");
    return xpm_buf_adds(out, cwd) ? 0 : no_memory(err);
}

int xpm_fs_chdir(const char *path, struct xpm_err *err)
{
    return chdir(path) == 0 ? 0 : xpm_err_errno(err, errno, "cannot change to %s", path);
}

int xpm_fs_abspath(struct xpm_buf *out, const char *path, struct xpm_err *err)
{
    size_t base = out->len; /* from here on: "" for the root, else "/a/b" */
    if (path[0] != '/') {
        int rc = xpm_fs_cwd(out, err);
        if (rc)
            return rc;
        if (out->len == base + 1)
            out->len = base;
    }
    const char *p = path;
    while (*p) {
        p += strspn(p, "/");
        size_t n = strcspn(p, "/");
        if (n == 2 && p[0] == '.' && p[1] == '.') {
            while (out->len > base && out->data[--out->len] != '/')
                continue;
        } else if (n > 0 && !(n == 1 && p[0] == '.')) {
            if (!xpm_buf_addc(out, '/') || !xpm_buf_add(out, p, n))
                return no_memory(err);
        }
        p += n;
    }
    if (!(out->len == base ? xpm_buf_addc(out, '/') : xpm_buf_reserve(out, 0)))
        return no_memory(err);
    out->data[out->len] = '\0';
    return 0;
}

int xpm_fs_stat(struct xpm_fs_stat *out, const char *path, bool nofollow, struct xpm_err *err)
{
    struct stat st;
    if ((nofollow ? lstat(path, &st) : stat(path, &st)) != 0)
        return xpm_err_errno(err, errno, "cannot look at %s", path);
    out->kind = S_ISREG(st.st_mode) ? XPM_FS_FILE : S_ISDIR(st.st_mode) ? XPM_FS_DIRECTORY
        : S_ISLNK(st.st_mode) ? XPM_FS_LINK : XPM_FS_OTHER;
    out->size = st.st_size;
    out->mtime = (double)st.st_mtim.tv_sec + (double)st.st_mtim.tv_nsec / 1e9;
    return 0;
}

int xpm_fs_symlink(const char *target, const char *path, struct xpm_err *err)
{
    struct xpm_buf temp = XPM_BUF_INIT;
    int e = EEXIST;
    for (int tries = 0; e == EEXIST && tries < 100; tries++) {
        if (!temporary_name(&temp, path)) {
            xpm_buf_free(&temp);
            return no_memory(err);
        }
        e = symlink(target, temp.data) == 0 ? 0 : errno;
    }
    if (e == 0 && rename(temp.data, path) != 0) {
        e = errno;
        unlink(temp.data);
    }
    xpm_buf_free(&temp);
    return e ? xpm_err_errno(err, e, "cannot link %s", path) : 0;
}

int xpm_fs_readlink(struct xpm_buf *out, const char *path, struct xpm_err *err)
{
    char target[PATH_MAX];
    ssize_t n = readlink(path, target, sizeof target);
    if (n < 0)
        return xpm_err_errno(err, errno, "cannot read the link %s", path);
    return xpm_buf_add(out, target, (size_t)n) ? 0 : no_memory(err);
}

int xpm_fs_remove(const char *path, struct xpm_err *err)
{
    return remove(path) == 0 ? 0 : xpm_err_errno(err, errno, "cannot remove %s", path);
}

/* ---- file systems ---- */

/* statfs(2) lists most of the numbers; the others are from the file systems' own sources. FUSE may be anything (sshfs,
 * a local NTFS), and 9p and the shared folders of virtual machines do not keep shared memory maps coherent. */
static const struct {
    uint32_t magic;
    bool network;
    char name[11];
} file_systems[] = {
    { 0xEF53, false, "ext4" },        { 0x58465342, false, "xfs" },     { 0x9123683E, false, "btrfs" },
    { 0x01021994, false, "tmpfs" },   { 0x794C7630, false, "overlay" }, { 0x2FC12FC1, false, "zfs" },
    { 0xF2F52010, false, "f2fs" },    { 0x858458F6, false, "ramfs" },   { 0xCA451A4E, false, "bcachefs" },
    { 0x3153464A, false, "jfs" },     { 0x52654973, false, "reiserfs" }, { 0x3434, false, "nilfs" },
    { 0x5346544E, false, "ntfs" },    { 0x7366746E, false, "ntfs3" },   { 0x4D44, false, "vfat" },
    { 0x2011BAB0, false, "exfat" },   { 0x4244, false, "hfs" },         { 0x482B, false, "hfsplus" },
    { 0x73717368, false, "squashfs" }, { 0xE0F5E1E2, false, "erofs" },  { 0x9660, false, "iso9660" },
    { 0x15013346, false, "udf" },     { 0x9FA0, false, "proc" },        { 0x62656572, false, "sysfs" },
    { 0x1CD1, false, "devpts" },      { 0x61756673, false, "aufs" },    { 0xF15F, false, "ecryptfs" },
    { 0x6969, true, "nfs" },          { 0x517B, true, "smb" },          { 0xFF534D42, true, "cifs" },
    { 0xFE534D42, true, "smb2" },     { 0x0BD00BD0, true, "lustre" },   { 0x47504653, true, "gpfs" },
    { 0x00C36400, true, "ceph" },     { 0x19830326, true, "beegfs" },   { 0x20030528, true, "orangefs" },
    { 0xAAD7AAEA, true, "panfs" },    { 0x73757245, true, "coda" },     { 0x5346414F, true, "afs" },
    { 0x6B414653, true, "afs" },      { 0x01161970, true, "gfs2" },     { 0x7461636F, true, "ocfs2" },
    { 0x65735546, true, "fuse" },     { 0x01021997, true, "9p" },       { 0x786F4256, true, "vboxsf" },
    { 0xBACBACBC, true, "vmhgfs" },   { 0x564C, true, "ncp" },
};

int xpm_fs_network(bool *network, char name[16], const char *path, struct xpm_err *err)
{
    struct statfs st;
    int e;
    while ((e = statfs(path, &st) == 0 ? 0 : errno) == EINTR)
        continue;
    if (e == ENOENT || e == ENOTDIR || e == EACCES) {
        struct xpm_buf at = XPM_BUF_INIT;
        int rc = xpm_fs_abspath(&at, path, err);
        if (rc) {
            xpm_buf_free(&at);
            return rc;
        }
        while (at.len > 1 && (e = statfs(at.data, &st) == 0 ? 0 : errno) != 0) {
            while (at.data[at.len - 1] != '/')
                at.len--;
            at.len -= at.len > 1;
            at.data[at.len] = '\0';
        }
        if (e)
            e = statfs("/", &st) == 0 ? 0 : errno;
        xpm_buf_free(&at);
    }
    if (e)
        return xpm_err_errno(err, e, "cannot tell the file system of %s", path);
    uint32_t magic = (uint32_t)st.f_type; /* the high bits are the sign's where the field is signed */
    *network = true;
    snprintf(name, 16, "0x%x", magic);
    for (size_t i = 0; i < sizeof file_systems / sizeof *file_systems; i++) {
        if (file_systems[i].magic == magic) {
            *network = file_systems[i].network;
            snprintf(name, 16, "%s", file_systems[i].name);
        }
    }
    return 0;
}
