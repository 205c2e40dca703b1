/* The folder is kept open, so that releasing does not depend on the process' working folder. Nothing is trusted of
 * the text but for the message. */
#include "engine/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/os.h"
#include "engine/jobdir.h"
#include "engine/lockfile.h"
#include "engine/record.h"

struct xpm_lock {
    int fd, dir; /* -1: none */
    char *name;  /* within dir; owned */
};

static int say_holder(int dir, const char *name, const char *path, struct xpm_err *err)
{
    struct xpm_holder h;
    char since[64] = "";
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    bool known = fd >= 0 && xpm_holder_read(&h, fd) && h.who.pid > 0;
    if (fd >= 0)
        close(fd);
    if (!known)
        return xpm_err_set(err, XPM_ELOCKED, "held by another process (%s)", path);
    if (h.since > 0) {
        time_t t = (time_t)h.since;
        struct tm tm;
        if (localtime_r(&t, &tm))
            strftime(since, sizeof since, ", since %Y-%m-%d %H:%M:%S", &tm);
    }
    return xpm_err_set(err, XPM_ELOCKED, "held by %s, pid %ld%s", h.host.name, (long)h.who.pid, since);
}

static int write_holder(int fd, const char *path, struct xpm_err *err)
{
    struct xpm_buf text = XPM_BUF_INIT;
    struct xpm_host host;
    struct xpm_who self;
    int rc = 0;
    xpm_host_self(&host);
    xpm_who_self(&self);
    if (!xpm_record_holder(&text, &host, &self, xpm_os_now()))
        rc = xpm_err_set(err, XPM_ENOMEM, "out of memory");
    else if (ftruncate(fd, 0) < 0 || pwrite(fd, text.data, text.len, 0) != (ssize_t)text.len)
        rc = xpm_err_errno(err, errno, "cannot write %s", path);
    xpm_buf_free(&text);
    return rc;
}

int xpm_lock_take(struct xpm_lock **out, const char *path, struct xpm_err *err)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    size_t folder = slash ? (size_t)(slash - path) : 0;
    int rc;
    *out = NULL;
    struct xpm_lock *lock = calloc(1, sizeof *lock);
    char *parent = malloc(folder + 2);
    if (!lock || !parent) {
        rc = xpm_err_set(err, XPM_ENOMEM, "out of memory");
        goto fail;
    }
    lock->fd = lock->dir = -1;
    lock->name = malloc(strlen(name) + 1);
    if (!lock->name) {
        rc = xpm_err_set(err, XPM_ENOMEM, "out of memory");
        goto fail;
    }
    strcpy(lock->name, name);
    memcpy(parent, path, folder);
    strcpy(parent + folder, folder ? "" : slash ? "/" : ".");
    lock->dir = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (lock->dir < 0) {
        rc = xpm_err_errno(err, errno, "cannot open the folder %s", parent);
        goto fail;
    }
    struct xpm_err local = XPM_ERR_INIT;
    rc = xpm_lockfile_take(&lock->fd, lock->dir, name, &local);
    if (rc == XPM_ELOCKED)
        rc = say_holder(lock->dir, name, path, err);
    else if (rc)
        rc = xpm_err_set(err, rc, "%s: %s", path, local.msg);
    else
        rc = write_holder(lock->fd, path, err);
    if (rc)
        goto fail;
    free(parent);
    *out = lock;
    return 0;
fail:
    free(parent);
    if (lock && lock->fd >= 0)
        unlinkat(lock->dir, lock->name, 0);
    if (lock) {
        if (lock->fd >= 0)
            close(lock->fd);
        if (lock->dir >= 0)
            close(lock->dir);
        free(lock->name);
    }
    free(lock);
    return rc;
}

void xpm_lock_release(struct xpm_lock *lock)
{
    struct stat mine, named;
    if (!lock)
        return;
    /* while it is held the name is ours, unless somebody removed the file by hand */
    if (fstat(lock->fd, &mine) == 0 && fstatat(lock->dir, lock->name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
        mine.st_ino == named.st_ino && mine.st_dev == named.st_dev)
        unlinkat(lock->dir, lock->name, 0);
    close(lock->fd);
    close(lock->dir);
    free(lock->name);
    free(lock);
}
