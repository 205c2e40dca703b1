/* How the program starts: clone with CLONE_VM and CLONE_VFORK (what vfork is, with a stack of its own, so that
 * nothing here can be clobbered). The child makes system calls only, in this order: setsid; PDEATHSIG; is the parent
 * still there (it may have died before the prctl); logs on 1 and 2 (0 is /dev/null already); folder; signal mask;
 * exec. What failed is left in memory that the parent, which the kernel holds until then, reads. Descriptors are
 * close-on-exec, dispositions default. */
#include "engine/jobrun.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/os.h"
#include "engine/lockfile.h"

#define STACK_SIZE 65536

static bool fail(struct xpm_facts *facts, const char *what, const char *which, int e)
{
    xpm_facts_say(facts, "%s %s%s%s", what, which, e ? ": " : "", e ? strerror(e) : "");
    return false;
}

/* --- before --- */

/* "{name}{suffix}" in the job's folder. */
static const char *file_name(char out[NAME_MAX + 1], const struct xpm_order *o, const char *suffix)
{
    snprintf(out, NAME_MAX + 1, "%s%s", o->name, suffix);
    return out;
}

static bool make_folder(struct xpm_run *run, struct xpm_crew *crew, struct xpm_facts *facts, bool *fresh)
{
    char path[PATH_MAX], parent[PATH_MAX];
    const struct xpm_order *o = run->order;
    if ((size_t)snprintf(path, sizeof path, "jobs/%s/%s", o->task, o->hash) >= sizeof path)
        return fail(facts, "cannot make the folder of", o->task, ENAMETOOLONG);
    snprintf(parent, sizeof parent, "jobs/%s", o->task);
    for (int i = 0; i < 10; i++) {
        *fresh = mkdirat(crew->workdir, path, 0777) == 0;
        if (!*fresh && errno == ENOENT && (mkdirat(crew->workdir, "jobs", 0777) == 0 || errno == EEXIST) &&
            (mkdirat(crew->workdir, parent, 0777) == 0 || errno == EEXIST))
            continue;
        if (!*fresh && errno != EEXIST)
            return fail(facts, "cannot make the folder", path, errno);
        run->dir = openat(crew->workdir, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (run->dir >= 0)
            return true;
        if (errno != ENOENT)
            break;
    }
    return fail(facts, "cannot open the folder", path, errno);
}

static bool write_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n == 0 ? ENOSPC : errno;
            return false;
        }
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static bool overwrite(int fd, const struct xpm_buf *text)
{
    size_t done = 0;
    while (done < text->len) {
        ssize_t n = pwrite(fd, text->data + done, text->len - done, (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n == 0 ? ENOSPC : errno;
            return false;
        }
        done += (size_t)n;
    }
    return true;
}

static bool same_content(int dir, const char *name, const char *data, size_t len)
{
    char piece[4096];
    struct stat st;
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    bool same = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == (off_t)len;
    while (same && len) {
        ssize_t n = read(fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR)
            continue;
        same = n > 0 && (size_t)n <= len && memcmp(piece, data, (size_t)n) == 0;
        if (same) {
            data += n;
            len -= (size_t)n;
        }
    }
    close(fd);
    return same;
}

/* In place: nobody else writes it while the lock is held, and a half-written one is written again by the next run. */
static bool write_params(struct xpm_run *run, struct xpm_facts *facts, bool fresh)
{
    const struct xpm_order *o = run->order;
    if (!fresh && same_content(run->dir, "params.json", o->params, o->params_len))
        return true;
    int fd = openat(run->dir, "params.json", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0 || !write_all(fd, o->params, o->params_len)) {
        fail(facts, "cannot write", "params.json", errno);
        if (fd >= 0)
            close(fd);
        return false;
    }
    close(fd);
    return true;
}

/* A .done that counts, as far as can be told here. One that does not is removed. */
static bool done_appeared(struct xpm_run *run)
{
    char name[NAME_MAX + 1];
    const struct xpm_stamp *ignore = &run->order->head.ignore;
    struct stat st;
    if (fstatat(run->dir, file_name(name, run->order, ".done"), &st, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    uint64_t mtime = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
    if (ignore->inode == 0 || ignore->inode != st.st_ino || ignore->mtime != mtime ||
        ignore->size != (uint64_t)st.st_size)
        return true;
    unlinkat(run->dir, name, 0);
    return false;
}

static void remove_stale(struct xpm_run *run)
{
    char name[NAME_MAX + 1];
    unlinkat(run->dir, file_name(name, run->order, ".failed"), 0);
    for (uint32_t i = 0; i < run->order->noutputs; i++)
        unlinkat(run->dir, run->order->outputs[i], 0); /* a folder stays: it may hold what a task resumes from */
}

static int open_log(struct xpm_run *run, const char *suffix)
{
    char name[NAME_MAX + 1];
    return openat(run->dir, file_name(name, run->order, suffix),
                  O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOCTTY, 0666);
}

static bool write_pid(struct xpm_run *run, struct xpm_crew *crew, double now)
{
    struct xpm_pid_record r = { &crew->host, crew->self, crew->driver, run->pid, now };
    xpm_buf_clear(&crew->text);
    if (!xpm_record_pid(&crew->text, &r, run->size)) {
        errno = ENOMEM;
        return false;
    }
    return overwrite(run->lock, &crew->text);
}

enum xpm_prepared xpm_run_prepare(struct xpm_run *run, struct xpm_crew *crew, const struct xpm_order *order,
                                  struct xpm_facts *facts)
{
    char name[NAME_MAX + 1];
    struct xpm_err err = XPM_ERR_INIT;
    bool fresh;
    *run = (struct xpm_run){ order, -1, -1, -1, -1, 0, 0 };
    if (!make_folder(run, crew, facts, &fresh))
        return XPM_PREPARED_FAILED;
    int rc = xpm_lockfile_take(&run->lock, run->dir, file_name(name, order, ".pid"), &err);
    if (rc == XPM_ELOCKED)
        return XPM_PREPARED_BUSY;
    if (rc) {
        fail(facts, "cannot take the job's lock:", err.msg, 0);
        return XPM_PREPARED_FAILED;
    }
    if (done_appeared(run)) {
        unlinkat(run->dir, name, 0);
        return XPM_PREPARED_EXISTS;
    }
    run->size = xpm_record_size(order->outputs, order->noutputs);
    if (!fresh) {
        remove_stale(run);
        if (ftruncate(run->lock, 0) < 0) { /* what it holds is overwritten anyway */
        }
    }
    bool ok = write_params(run, facts, fresh);
    if (ok) {
        run->out = open_log(run, ".out");
        run->err = run->out < 0 ? -1 : open_log(run, ".err");
        ok = run->err >= 0 || fail(facts, "cannot open the log of", order->name, errno);
    }
    if (ok)
        ok = write_pid(run, crew, xpm_os_now()) || fail(facts, "cannot write", name, errno);
    return ok ? XPM_PREPARED : XPM_PREPARED_FAILED;
}

/* --- environment and program --- */

static const char *change_for(char *const *list, size_t n, const char *var, size_t len)
{
    for (size_t i = n; i-- > 0;)
        if (strncmp(list[i], var, len) == 0 && (list[i][len] == '=' || list[i][len] == '\0'))
            return list[i];
    return NULL;
}

/* The environment of the order: kept from job to job while the env piece is the same. */
static bool build_environment(struct xpm_crew *crew, const struct xpm_order *o)
{
    if (crew->env_built && crew->env.len == o->env_len && memcmp(crew->env.data, o->env, o->env_len) == 0)
        return true;
    crew->env_built = false;
    xpm_buf_clear(&crew->env);
    if (!xpm_buf_add(&crew->env, o->env, o->env_len))
        return false;
    size_t own = 0, n = 0;
    while (environ[own])
        own++;
    char **list = calloc(own + o->nenv + 1, sizeof *list);
    if (!list)
        return false;
    /* the changes as they stand in the copy, at the front; then what they leave of our own */
    for (uint32_t i = 0; i < o->nenv; i++)
        list[i] = crew->env.data + (o->changes[i] - o->env);
    n = o->nenv;
    for (size_t i = 0; i < own; i++) {
        const char *eq = strchr(environ[i], '=');
        if (eq && !change_for(list, o->nenv, environ[i], (size_t)(eq - environ[i])))
            list[n++] = environ[i];
    }
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (strchr(list[i], '='))
            list[kept++] = list[i];
    list[kept] = NULL;
    free(crew->environ);
    crew->environ = list;
    crew->env_built = true;
    return true;
}

/* The program's path: itself if it has a "/", else the first one on the job's PATH that can be run. Empty and
 * relative entries of PATH are passed over: a job's folder is no place for programs. */
static const char *find_program(char out[PATH_MAX], const char *program, char *const *env, int *why)
{
    const char *path = "/usr/local/bin:/usr/bin:/bin";
    *why = ENOENT;
    if (strchr(program, '/'))
        return program;
    for (; *env; env++)
        if (strncmp(*env, "PATH=", 5) == 0)
            path = *env + 5;
    while (*path) {
        size_t len = strcspn(path, ":");
        struct stat st;
        if (*program && *path == '/' &&
            (size_t)snprintf(out, PATH_MAX, "%.*s/%s", (int)len, path, program) < PATH_MAX) {
            if (faccessat(AT_FDCWD, out, X_OK, 0) == 0 && stat(out, &st) == 0 && S_ISREG(st.st_mode))
                return out;
            if (errno == EACCES)
                *why = EACCES;
        }
        path += len + (path[len] == ':');
    }
    return NULL;
}

struct start {
    const struct xpm_run *run;
    const char *program;
    char **argv, **env;
    pid_t parent;
    sigset_t mask;
    int problem;     /* errno */
    bool in_exec;
};

static int child(void *arg)
{
    struct start *s = arg;
    setsid();
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != s->parent || dup2(s->run->out, 1) < 0 ||
        dup2(s->run->err, 2) < 0 || fchdir(s->run->dir) < 0 || sigprocmask(SIG_SETMASK, &s->mask, NULL) < 0) {
        s->problem = errno ? errno : ESRCH;
        _exit(127);
    }
    s->in_exec = true;
    execve(s->program, s->argv, s->env);
    s->problem = errno;
    _exit(127);
}

static void explain_exec(struct xpm_facts *facts, const char *program, int e)
{
    const char *hint = e == ENOEXEC ? " (a script needs a first line such as #!/bin/sh)" : "";
    if (e == ENOENT && access(program, F_OK) == 0)
        hint = " (the interpreter that its first line names)";
    xpm_facts_say(facts, "cannot run %s: %s%s", program, strerror(e), hint);
}

bool xpm_run_start(struct xpm_run *run, struct xpm_crew *crew, struct xpm_facts *facts)
{
    static char stack[STACK_SIZE] __attribute__((aligned(16)));
    char found[PATH_MAX];
    int why, status;
    if (!build_environment(crew, run->order))
        return fail(facts, "out of memory", "", 0);
    struct start s = { .run = run, .env = crew->environ, .parent = crew->self.pid };
    memcpy(&s.argv, &run->order->argv, sizeof s.argv); /* execve's argv is not const, though it does not write */
    s.program = find_program(found, s.argv[0], s.env, &why);
    if (!s.program) {
        xpm_facts_say(facts, "cannot run %s: %s", s.argv[0],
                      why == EACCES ? "what PATH has of this name may not be run" : "not found on PATH");
        return false;
    }
    sigemptyset(&s.mask);
    facts->started_at = xpm_os_now();
    errno = 0;
    pid_t pid = clone(child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &s);
    if (pid < 0) {
        facts->started_at = 0;
        return fail(facts, "cannot start a process for", s.program, errno);
    }
    if (s.problem) {
        facts->started_at = 0;
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
        if (s.in_exec)
            explain_exec(facts, s.program, s.problem);
        else
            fail(facts, "cannot set up the process of", s.program, s.problem);
        return false;
    }
    run->pid = pid;
    write_pid(run, crew, facts->started_at); /* only tells more; the block is there already */
    return true;
}

/* --- after --- */

/* The sizes of the outputs; a job that made not all of them is not done. */
static void look_at_outputs(struct xpm_run *run, struct xpm_facts *facts, int64_t *sizes)
{
    const struct xpm_order *o = run->order;
    uint32_t missing = 0;
    const char *first = "";
    for (uint32_t i = 0; i < o->noutputs; i++) {
        struct stat st;
        sizes[i] = -1;
        if (fstatat(run->dir, o->outputs[i], &st, 0) < 0) {
            if (missing++ == 0)
                first = o->outputs[i];
        } else if (S_ISREG(st.st_mode)) {
            sizes[i] = st.st_size;
        }
    }
    if (facts->state != XPM_DONE || !missing)
        return;
    facts->state = XPM_ERROR;
    facts->reason = XPM_MISSING_OUTPUTS;
    if (missing == 1)
        xpm_facts_say(facts, "it ended without making its output %s", first);
    else
        xpm_facts_say(facts, "it ended without making %u of its outputs (%s, ...)", missing, first);
}

static void close_log(struct xpm_run *run, int fd, const char *suffix)
{
    char name[NAME_MAX + 1];
    struct stat st;
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && st.st_size == 0)
        unlinkat(run->dir, file_name(name, run->order, suffix), 0);
    close(fd);
}

static bool write_marker(struct xpm_run *run, struct xpm_crew *crew, struct xpm_facts *facts)
{
    char from[NAME_MAX + 1], to[NAME_MAX + 1];
    const struct xpm_order *o = run->order;
    int64_t few[16], *sizes = o->noutputs <= 16 ? few : malloc(o->noutputs * sizeof *sizes);
    if (!sizes) {
        errno = ENOMEM;
        return false;
    }
    look_at_outputs(run, facts, sizes);
    xpm_buf_clear(&crew->text);
    bool ok = xpm_record_marker(&crew->text, facts, &crew->host, o->outputs, sizes, o->noutputs, run->size);
    if (!ok)
        errno = ENOMEM;
    file_name(from, o, ".pid");
    file_name(to, o, facts->state == XPM_DONE ? ".done" : ".failed");
    ok = ok && overwrite(run->lock, &crew->text) && renameat(run->dir, from, run->dir, to) == 0;
    if (sizes != few) {
        int e = errno;
        free(sizes);
        errno = e;
    }
    return ok;
}

void xpm_run_finish(struct xpm_run *run, struct xpm_crew *crew, struct xpm_facts *facts)
{
    close_log(run, run->out, ".out");
    close_log(run, run->err, ".err");
    if (run->lock >= 0 && run->size && !write_marker(run, crew, facts)) {
        int e = errno;
        if (facts->reason == XPM_START_FAILED) {
            char name[NAME_MAX + 1]; /* nothing ran: no lost job, but none at all */
            unlinkat(run->dir, file_name(name, run->order, ".pid"), 0);
        } else {
            facts->state = XPM_ERROR;
            facts->reason = XPM_LOST;
            fail(facts, "its end marker could not be written in", run->order->hash, e);
        }
    }
    if (run->lock >= 0)
        close(run->lock);
    if (run->dir >= 0)
        close(run->dir);
    run->dir = run->lock = run->out = run->err = -1;
}

void xpm_crew_free(struct xpm_crew *crew)
{
    xpm_buf_free(&crew->text);
    xpm_buf_free(&crew->env);
    free(crew->environ);
    crew->environ = NULL;
    crew->env_built = false;
}
