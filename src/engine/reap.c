/* Killing is repeated after every wait, since a child whose parent has just died is new to us. The list of children
 * comes from /proc/self/task/TID/children, or, on a kernel without it, from the parents of all processes. */
#include "engine/reap.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/os.h"

#define STRANGERS_MILLISECONDS 500 /* longest wait for processes that were killed to be gone */

void xpm_usage_add(struct xpm_usage *u, const struct rusage *r)
{
    int64_t peak = (int64_t)r->ru_maxrss * 1024;
    u->cpu_seconds += (double)(r->ru_utime.tv_sec + r->ru_stime.tv_sec) +
                      (double)(r->ru_utime.tv_usec + r->ru_stime.tv_usec) / 1e6;
    if (peak > u->peak_memory)
        u->peak_memory = peak;
}

/* The parent, group and session of a process; false if it is gone. */
static bool relations(long pid, long *parent, long *group, long *session)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return false;
    text[n] = '\0';
    const char *after = strrchr(text, ')'); /* the name between parentheses may hold anything */
    return after && sscanf(after + 1, " %*c %ld %ld %ld", parent, group, session) == 3;
}

/* Calls `visit` for every process there is. */
static void each_process(void (*visit)(long pid, void *arg), void *arg)
{
    DIR *proc = opendir("/proc");
    struct dirent *e;
    while (proc && (e = readdir(proc)))
        if (isdigit((unsigned char)e->d_name[0]))
            visit(strtol(e->d_name, NULL, 10), arg);
    if (proc)
        closedir(proc);
}

static void kill_child_of(long pid, void *arg)
{
    long parent, group, session;
    if (relations(pid, &parent, &group, &session) && parent == *(long *)arg)
        kill((pid_t)pid, SIGKILL);
}

struct strangers {
    long session;
    const char *folder;
    size_t len;
    unsigned found;
};

/* Whether /proc/PID/`link` leads into the folder. */
static bool leads_into(long pid, const char *link, const struct strangers *s)
{
    char path[64], target[PATH_MAX];
    snprintf(path, sizeof path, "/proc/%ld/%s", pid, link);
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n < 0 || (size_t)n < s->len || memcmp(target, s->folder, s->len) != 0)
        return false;
    target[n] = '\0';
    return target[s->len] == '\0' || target[s->len] == '/' || target[s->len] == ' '; /* " (deleted)" */
}

static void kill_member(long pid, void *arg)
{
    struct strangers *s = arg;
    long parent, group, session;
    if (pid > 1 && relations(pid, &parent, &group, &session) && session == s->session &&
        (leads_into(pid, "cwd", s) || leads_into(pid, "fd/1", s) || leads_into(pid, "fd/2", s))) {
        kill((pid_t)pid, SIGKILL);
        s->found++;
    }
}

static void kill_children(void)
{
    char path[64], text[4096];
    long self = (long)getpid(), pid = 0;
    snprintf(path, sizeof path, "/proc/self/task/%ld/children", self);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        each_process(kill_child_of, &self);
        return;
    }
    /* "12 345 6 ": numbers may be cut between two reads */
    ssize_t n;
    while ((n = read(fd, text, sizeof text)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (isdigit((unsigned char)text[i])) {
                pid = pid * 10 + (text[i] - '0');
            } else if (pid) {
                kill((pid_t)pid, SIGKILL);
                pid = 0;
            }
        }
    }
    if (pid)
        kill((pid_t)pid, SIGKILL);
    close(fd);
}

void xpm_reap_rest(pid_t pid, int sigfd, struct xpm_usage *usage)
{
    struct signalfd_siginfo info;
    struct rusage used;
    int status;
    for (;;) {
        pid_t r = wait4(-1, &status, WNOHANG, &used);
        if (r > 0) {
            xpm_usage_add(usage, &used);
            continue;
        }
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return; /* ECHILD: nothing is left */
        kill(-pid, SIGKILL);
        kill_children();
        struct pollfd wait = { .fd = sigfd, .events = POLLIN };
        poll(&wait, 1, 1000);
        if (read(sigfd, &info, sizeof info) == (ssize_t)sizeof info && info.ssi_signo == SIGTERM)
            continue; /* the job is at its end anyway */
    }
}

void xpm_reap_strangers(pid_t leader, double started_at, const char *folder)
{
    uint64_t ticks;
    long hertz = sysconf(_SC_CLK_TCK);
    if (leader <= 1 || started_at <= 0)
        return;
    if (xpm_os_process_start(leader, &ticks) == 0) {
        struct timespec boot = { 0, 0 };
        clock_gettime(CLOCK_BOOTTIME, &boot);
        double up = (double)boot.tv_sec + (double)boot.tv_nsec / 1e9;
        double began = xpm_os_now() - up + (double)ticks / (double)hertz;
        if (began < started_at - 2 || began > started_at + 2)
            return;
    }
    struct strangers s = { (long)leader, folder, strlen(folder), 1 };
    for (int i = 0; i < STRANGERS_MILLISECONDS && s.found; i++) {
        const struct timespec pause = { 0, 1000000 };
        if (i > 0)
            nanosleep(&pause, NULL);
        s.found = 0;
        each_process(kill_member, &s);
    }
}
