#include "engine/lockfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define ATTEMPTS 100

static int set_lock(int fd)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int rc;
    do
        rc = fcntl(fd, F_OFD_SETLK, &lock);
    while (rc < 0 && errno == EINTR);
    return rc;
}

/* 1: `fd` is still what `name` names, 0: it is not, -1 with errno. */
static int still_named(int fd, int dir, const char *name)
{
    struct stat mine, named;
    if (fstat(fd, &mine) < 0)
        return -1;
    if (fstatat(dir, name, &named, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -1;
    return mine.st_ino == named.st_ino && mine.st_dev == named.st_dev;
}

static int open_lock(int dir, const char *name)
{
    int fd;
    do
        fd = openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    while (fd < 0 && errno == EINTR);
    return fd;
}

int xpm_lockfile_take(int *out, int dir, const char *name, struct xpm_err *err)
{
    for (int i = 0; i < ATTEMPTS; i++) {
        int fd = open_lock(dir, name);
        if (fd < 0)
            return xpm_err_errno(err, errno, "cannot open the lock file %s", name);
        if (set_lock(fd) < 0) {
            int e = errno;
            close(fd);
            if (e == EAGAIN || e == EACCES)
                return xpm_err_set(err, XPM_ELOCKED, "%s is locked", name);
            if (e == EINVAL || e == ENOSYS || e == ENOLCK || e == EOPNOTSUPP)
                return xpm_err_set(err, XPM_EUNSUPPORTED, "%s: file locks do not work here", name);
            return xpm_err_errno(err, e, "cannot lock %s", name);
        }
        int same = still_named(fd, dir, name);
        if (same > 0) {
            *out = fd;
            return 0;
        }
        int e = errno;
        close(fd);
        if (same < 0)
            return xpm_err_errno(err, e, "cannot look at %s", name);
    }
    return xpm_err_set(err, XPM_EIO, "%s: the file changes all the time", name);
}

int xpm_lockfile_held(int fd)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int rc;
    do
        rc = fcntl(fd, F_OFD_GETLK, &lock);
    while (rc < 0 && errno == EINTR);
    if (rc < 0)
        return -(errno == EINVAL || errno == ENOSYS || errno == ENOLCK ? XPM_EUNSUPPORTED : XPM_EIO);
    return lock.l_type != F_UNLCK;
}

int xpm_lockfile_check(int dir, const char *shown, struct xpm_err *err)
{
    char name[64];
    struct xpm_err local = XPM_ERR_INIT;
    int first = -1, second = -1;
    snprintf(name, sizeof name, ".locks.%ld", (long)getpid());
    int rc = xpm_lockfile_take(&first, dir, name, &local);
    if (rc == XPM_EUNSUPPORTED)
        return xpm_err_set(err, rc, "%s: file locks (OFD) do not work on this file system", shown);
    if (rc)
        return xpm_err_set(err, rc, "%s: %s", shown, local.msg);
    /* a file system that grants every lock would let two drivers run one job */
    second = open_lock(dir, name);
    if (second < 0)
        rc = xpm_err_errno(err, errno, "cannot open a lock file in %s", shown);
    else if (set_lock(second) == 0 || xpm_lockfile_held(second) != 1)
        rc = xpm_err_set(err, XPM_EUNSUPPORTED, "%s: this file system grants one lock twice", shown);
    unlinkat(dir, name, 0);
    if (second >= 0)
        close(second);
    close(first);
    return rc;
}
