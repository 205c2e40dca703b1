/* Opening and closing, adding jobs, and questions about them. loop.c turns the loop.
 *
 * Memory of a job: its node in the plan, struct xpm_job, and, until it has ended, its work piece (one block: folder,
 * argv, params). Everything a job will need later is allocated when it is added, so that no report can fail for want
 * of memory. */
#include "engine/engine.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "engine/engine_parts.h"
#include "engine/lockfile.h"

#define LONGEST_NAME 200

static char *copy(const char *s)
{
    size_t n = strlen(s) + 1;
    char *p = malloc(n);
    return p ? memcpy(p, s, n) : NULL;
}

/* --- opening --- */

static int make_folders(const char *path, struct xpm_err *err)
{
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof part)
        return xpm_err_set(err, XPM_EINVAL, "the workspace's path is %s", len ? "too long" : "empty");
    memcpy(part, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        part[i] = '\0';
        if (mkdir(part, 0777) < 0 && errno != EEXIST)
            return xpm_err_errno(err, errno, "cannot make the folder %s", part);
        part[i] = i < len ? '/' : '\0';
    }
    return 0;
}

static int open_workspace(struct xpm_engine *e, const char *path, struct xpm_err *err)
{
    char real[PATH_MAX];
    int rc = make_folders(path, err);
    if (rc)
        return rc;
    if (!realpath(path, real))
        return xpm_err_errno(err, errno, "cannot find %s", path);
    e->workdir = copy(real);
    if (!e->workdir)
        return xpm_err_set(err, XPM_ENOMEM, "out of memory");
    e->dir = open(real, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (e->dir < 0)
        return xpm_err_errno(err, errno, "cannot open %s", real);
    if (mkdirat(e->dir, ".xpm", 0777) < 0 && errno != EEXIST)
        return xpm_err_errno(err, errno, "cannot make %s/.xpm", real);
    int inside = openat(e->dir, ".xpm", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (inside < 0)
        return xpm_err_errno(err, errno, "cannot open %s/.xpm", real);
    rc = xpm_lockfile_check(inside, real, err);
    close(inside);
    return rc;
}

/* "xpm-supervisor" beside the shared object (or program) that this code is in. */
static int find_supervisor(char out[PATH_MAX], const char *given, struct xpm_err *err)
{
    char path[PATH_MAX];
    Dl_info info;
    if (given) {
        if ((size_t)snprintf(path, sizeof path, "%s", given) >= sizeof path)
            return xpm_err_set(err, XPM_EINVAL, "the supervisor's path is too long");
    } else {
        if (!dladdr((void *)(uintptr_t)find_supervisor, &info) || !info.dli_fname)
            return xpm_err_set(err, XPM_ENOTFOUND, "cannot tell where xpm's own files are");
        const char *slash = strrchr(info.dli_fname, '/');
        const char *folder = slash ? info.dli_fname : ".";
        int len = slash ? (int)(slash - folder) : 1;
        if ((size_t)snprintf(path, sizeof path, "%.*s/xpm-supervisor", len, folder) >= sizeof path)
            return xpm_err_set(err, XPM_EINVAL, "the supervisor's path is too long");
    }
    if (!realpath(path, out))
        return xpm_err_errno(err, errno, "cannot find the program %s", path);
    if (access(out, X_OK) < 0)
        return xpm_err_errno(err, errno, "cannot run %s", out);
    return 0;
}

/* The environment in one block: pointers, then strings. */
static char **copy_environment(void)
{
    size_t n = 0, bytes = 0;
    for (; environ && environ[n]; n++)
        bytes += strlen(environ[n]) + 1;
    char **list = malloc((n + 1) * sizeof *list + bytes);
    if (!list)
        return NULL;
    char *at = (char *)(list + n + 1);
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(environ[i]) + 1;
        list[i] = memcpy(at, environ[i], len);
        at += len;
    }
    list[n] = NULL;
    return list;
}

static int open_parts(struct xpm_engine *e, const struct xpm_engine_options *o, const char *program,
                      struct xpm_err *err)
{
    const struct xpm_runner runner = { e, xpm_loop_start, xpm_loop_cancel, xpm_loop_changed };
    const struct xpm_pool_events events = { e, xpm_loop_report, xpm_loop_died };
    int rc = xpm_plan_new(&e->plan, o->jobs, &runner, err);
    if (rc)
        return rc;
    const struct xpm_pool_options pool = { e->epoll, XPM_TAG_SUPERVISOR, program, e->workdir, e->env, e->self };
    rc = xpm_pool_new(&e->pool, &pool, &events, err);
    if (rc)
        return rc;
    return xpm_watch_new(&e->watch, e->epoll, XPM_TAG_INOTIFY, e->dir, xpm_elsewhere_look, e, err);
}

int xpm_engine_open(struct xpm_engine **out, const struct xpm_engine_options *o, struct xpm_err *err)
{
    char program[PATH_MAX];
    *out = NULL;
    if (o->jobs < 1)
        return xpm_err_set(err, XPM_EINVAL, "jobs must be at least 1");
    struct xpm_engine *e = calloc(1, sizeof *e);
    if (!e)
        return xpm_err_set(err, XPM_ENOMEM, "out of memory");
    e->dir = e->epoll = e->timer = e->pending = e->watched = -1;
    e->jobs.size = sizeof(struct xpm_job);
    xpm_host_self(&e->host);
    xpm_who_self(&e->self);
    int rc = open_workspace(e, o->workdir, err);
    if (rc == 0)
        rc = find_supervisor(program, o->supervisor, err);
    if (rc == 0) {
        e->env = copy_environment();
        e->epoll = epoll_create1(EPOLL_CLOEXEC);
        if (!e->env)
            rc = xpm_err_set(err, XPM_ENOMEM, "out of memory");
        else if (e->epoll < 0)
            rc = xpm_err_errno(err, errno, "cannot watch descriptors");
        else
            rc = open_parts(e, o, program, err);
    }
    if (rc) {
        xpm_engine_close(e);
        return rc;
    }
    *out = e;
    return 0;
}

static void release_env(struct xpm_env_piece *p)
{
    if (p && --p->users == 0)
        free(p);
}

static void free_work(struct xpm_work_piece *w)
{
    if (!w)
        return;
    release_env(w->env);
    free(w);
}

void xpm_engine_close(struct xpm_engine *e)
{
    if (!e)
        return;
    xpm_pool_free(e->pool);
    xpm_watch_free(e->watch);
    uint32_t total = e->plan ? xpm_plan_total(e->plan) : 0;
    for (uint32_t job = 1; job <= total; job++) {
        free_work(xpm_job_at(e, job)->work);
        free(xpm_job_at(e, job)->message);
    }
    xpm_plan_free(e->plan);
    xpm_chunks_free(&e->jobs);
    release_env(e->last_env);
    for (uint32_t i = 0; i < e->ntasks; i++) {
        free(e->tasks[i].id);
        free(e->tasks[i].name);
    }
    free(e->tasks);
    free(e->task_index);
    free(e->hosts);
    free(e->env);
    free(e->workdir);
    const int fds[] = { e->timer, e->pending, e->epoll, e->dir };
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    free(e);
}

/* --- what is kept of a job --- */

struct xpm_jobdir xpm_job_dir(const struct xpm_engine *e, uint32_t job, char hash[65])
{
    const struct xpm_task *t = &e->tasks[xpm_plan_task(e->plan, job)];
    xpm_hash_to_hex(hash, xpm_plan_key(e->plan, job));
    return (struct xpm_jobdir){ e->dir, t->id, hash, t->name };
}

void xpm_job_drop_work(struct xpm_engine *e, uint32_t job)
{
    struct xpm_job *j = xpm_job_at(e, job);
    free_work(j->work);
    j->work = NULL;
}

void xpm_job_say(struct xpm_engine *e, uint32_t job, const char *message)
{
    struct xpm_job *j = xpm_job_at(e, job);
    free(j->message);
    j->message = message && *message ? copy(message) : NULL; /* without memory there is no message */
}

/* The index of a host's name; 0, the empty name, when there is no memory for another. */
static uint32_t host_index(struct xpm_engine *e, const char *name)
{
    if (!*name)
        return 0;
    for (uint32_t i = e->nhosts; i > 0; i--)
        if (strcmp(e->hosts[i - 1], name) == 0)
            return i;
    if (e->nhosts == e->hosts_cap) {
        uint32_t cap = e->hosts_cap ? e->hosts_cap * 2 : 4;
        void *p = realloc(e->hosts, cap * sizeof *e->hosts);
        if (!p)
            return 0;
        e->hosts = p;
        e->hosts_cap = cap;
    }
    snprintf(e->hosts[e->nhosts], sizeof *e->hosts, "%s", name);
    return ++e->nhosts;
}

void xpm_job_facts(struct xpm_engine *e, uint32_t job, const struct xpm_facts *f)
{
    struct xpm_job *j = xpm_job_at(e, job);
    j->started_at = f->started_at;
    j->ended_at = f->ended_at;
    j->peak_memory = f->peak_memory;
    j->pid = f->pid;
    j->cpu_seconds = f->cpu_seconds;
    j->host = host_index(e, f->hostname);
    j->exit_code = (int16_t)f->exit_code;
    j->signal = (uint8_t)f->signal;
    xpm_job_say(e, job, f->message);
}

/* --- adding --- */

/* A name that is one part of a path, and fits with a suffix. */
static bool good_name(const char *s)
{
    size_t len = strlen(s);
    return len > 0 && len <= LONGEST_NAME && s[0] != '.' && !strchr(s, '/');
}

static bool good_output(const char *s)
{
    if (!*s || *s == '/' || strlen(s) >= PATH_MAX / 2)
        return false;
    for (const char *p = s; *p; p += *p == '/') {
        size_t len = strcspn(p, "/");
        if (len == 2 && p[0] == '.' && p[1] == '.')
            return false;
        p += len;
    }
    return true;
}

static int check_spec(const struct xpm_job_spec *s, struct xpm_err *err)
{
    if (!good_name(s->task))
        return xpm_err_set(err, XPM_EINVAL, "task id '%s' cannot be the name of a folder", s->task);
    if (!good_name(s->name))
        return xpm_err_set(err, XPM_EINVAL, "name '%s' cannot be the name of a file", s->name);
    if (s->argc < 1 || !s->argv[0][0])
        return xpm_err_set(err, XPM_EINVAL, "argv names no program");
    for (uint32_t i = 0; i < s->noutputs; i++)
        if (!good_output(s->outputs[i]))
            return xpm_err_set(err, XPM_EINVAL, "output '%s' is no path inside the job's folder", s->outputs[i]);
    for (uint32_t i = 0; i < s->nenv; i++)
        if (!s->env[i][0] || s->env[i][0] == '=')
            return xpm_err_set(err, XPM_EINVAL, "a variable of env has no name");
    return 0;
}

static uint32_t text_slot(const char *s, uint32_t size)
{
    uint32_t h = 2166136261u;
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 16777619u;
    return h & (size - 1);
}

static bool grow_task_index(struct xpm_engine *e)
{
    if ((e->ntasks + 1) * 2 <= e->task_index_size)
        return true;
    uint32_t size = e->task_index_size ? e->task_index_size * 2 : 16;
    uint32_t *fresh = calloc(size, sizeof *fresh);
    if (!fresh)
        return false;
    for (uint32_t t = 0; t < e->ntasks; t++) {
        uint32_t i = text_slot(e->tasks[t].id, size);
        while (fresh[i])
            i = (i + 1) & (size - 1);
        fresh[i] = t + 1;
    }
    free(e->task_index);
    e->task_index = fresh;
    e->task_index_size = size;
    return true;
}

static int find_task(struct xpm_engine *e, const struct xpm_job_spec *s, uint32_t *task, struct xpm_err *err)
{
    uint32_t t = e->last_task;
    if (t >= e->ntasks || strcmp(e->tasks[t].id, s->task) != 0) {
        if (!grow_task_index(e))
            return xpm_err_set(err, XPM_ENOMEM, "out of memory");
        uint32_t i = text_slot(s->task, e->task_index_size);
        while (e->task_index[i] && strcmp(e->tasks[e->task_index[i] - 1].id, s->task) != 0)
            i = (i + 1) & (e->task_index_size - 1);
        if (!e->task_index[i]) {
            if (e->ntasks == e->tasks_cap) {
                uint32_t cap = e->tasks_cap ? e->tasks_cap * 2 : 8;
                struct xpm_task *p = realloc(e->tasks, cap * sizeof *p);
                if (!p)
                    return xpm_err_set(err, XPM_ENOMEM, "out of memory");
                e->tasks = p;
                e->tasks_cap = cap;
            }
            struct xpm_task fresh = { copy(s->task), copy(s->name) };
            if (!fresh.id || !fresh.name) {
                free(fresh.id);
                free(fresh.name);
                return xpm_err_set(err, XPM_ENOMEM, "out of memory");
            }
            e->tasks[e->ntasks++] = fresh;
            e->task_index[i] = e->ntasks;
        }
        t = e->task_index[i] - 1;
        e->last_task = t;
    }
    if (strcmp(e->tasks[t].name, s->name) != 0)
        return xpm_err_set(err, XPM_EINVAL, "task %s has the name '%s' already, not '%s'", s->task, e->tasks[t].name,
                           s->name);
    *task = t;
    return 0;
}

/* The piece for these changes: the last one if it is the same. The caller becomes a user. */
static struct xpm_env_piece *take_env(struct xpm_engine *e, const struct xpm_job_spec *s)
{
    struct xpm_buf b = XPM_BUF_INIT;
    struct xpm_env_piece *p = e->last_env;
    if (!xpm_wire_env(&b, s->env, s->nenv)) {
        xpm_buf_free(&b);
        return NULL;
    }
    if (!p || p->len != b.len || memcmp(p->data, b.data, b.len) != 0) {
        p = malloc(offsetof(struct xpm_env_piece, data) + b.len);
        if (p) {
            p->users = 1;
            p->len = (uint32_t)b.len;
            memcpy(p->data, b.data, b.len);
            release_env(e->last_env);
            e->last_env = p;
        }
    }
    xpm_buf_free(&b);
    if (p)
        p->users++;
    return p;
}

static struct xpm_work_piece *make_work(struct xpm_engine *e, const struct xpm_job_spec *s)
{
    struct xpm_buf b = XPM_BUF_INIT;
    struct xpm_work_piece *w = NULL;
    if (xpm_wire_work(&b, s->task, s->hash, s->name, s->params, s->params_len, s->argv, s->argc, s->outputs,
                      s->noutputs))
        w = malloc(offsetof(struct xpm_work_piece, data) + b.len);
    if (w) {
        *w = (struct xpm_work_piece){ .len = b.len };
        memcpy(w->data, b.data, b.len);
        /* behind the lengths and NULs of task, hash and name, and its own length */
        w->params_at = (uint32_t)(strlen(s->task) + strlen(s->hash) + strlen(s->name) + 3 * 5 + 4);
        w->params_len = (uint32_t)s->params_len;
        w->env = take_env(e, s);
        if (!w->env) {
            free(w);
            w = NULL;
        }
    }
    xpm_buf_free(&b);
    return w;
}

static int add_job(struct xpm_engine *e, const struct xpm_job_spec *s, struct xpm_plan_job *p,
                   const struct xpm_found *found, uint32_t *number, struct xpm_err *err)
{
    uint32_t job = xpm_plan_total(e->plan) + 1;
    if (!xpm_chunks_reserve(&e->jobs, job + 1))
        return xpm_err_set(err, XPM_ENOMEM, "out of memory");
    struct xpm_job *j = xpm_job_at(e, job);
    memset(j, 0, sizeof *j);
    j->exit_code = -1;
    j->peak_memory = -1;
    j->cpu_seconds = -1;
    if (found->begin != XPM_BEGIN_DONE && found->begin != XPM_BEGIN_BROKEN) {
        j->work = make_work(e, s);
        if (!j->work)
            return xpm_err_set(err, XPM_ENOMEM, "out of memory");
        j->work->ignore = found->ignore;
    }
    xpm_job_facts(e, job, &found->facts);
    if (found->begin == XPM_BEGIN_DONE)
        j->flags |= XPM_REUSED;
    int rc = xpm_plan_add(e->plan, p, number, err);
    if (rc) {
        xpm_job_drop_work(e, job);
        xpm_job_say(e, job, NULL);
        return rc;
    }
    if (found->begin == XPM_BEGIN_DONE)
        e->reused++;
    return 0;
}

int xpm_engine_submit(struct xpm_engine *e, const struct xpm_job_spec *s, uint32_t *number, bool *again,
                      struct xpm_err *err)
{
    struct xpm_plan_job p = { .deps = s->deps, .ndeps = s->ndeps, .generate = s->generate };
    struct xpm_found found;
    *again = false;
    if (!xpm_hash_from_hex(p.key, s->hash, strlen(s->hash)))
        return xpm_err_set(err, XPM_EINVAL, "hash must be 64 lower-case hexadecimal digits");
    int rc = check_spec(s, err);
    if (rc == 0)
        rc = find_task(e, s, &p.task, err);
    if (rc)
        return rc;
    *number = xpm_plan_find(e->plan, p.task, p.key);
    if (*number) {
        *again = true;
        return 0;
    }
    const struct xpm_jobdir dir = { e->dir, s->task, s->hash, s->name };
    memset(&found, 0, sizeof found);
    rc = xpm_elsewhere_find(e, &found, &dir, err);
    if (rc)
        return rc;
    p.begin = found.begin;
    rc = add_job(e, s, &p, &found, number, err);
    if (rc)
        return rc;
    if (p.begin == XPM_BEGIN_ELSEWHERE || p.begin == XPM_BEGIN_ORPHAN)
        xpm_elsewhere_watch(e, *number);
    xpm_plan_pump(e->plan);
    if (p.begin != XPM_BEGIN_NEW || e->retry_at != 0)
        xpm_loop_set_timer(e);
    return 0;
}

/* --- generate --- */

static int write_file(int dir, const char *name, const char *data, size_t len)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return errno;
    while (len) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int e = n < 0 ? errno : ENOSPC;
            close(fd);
            return e;
        }
        data += n;
        len -= (size_t)n;
    }
    return close(fd) < 0 ? errno : 0;
}

/* By rename, since no lock is held: whoever runs the job meanwhile reads the same bytes before and after. */
int xpm_engine_generate(struct xpm_engine *e, uint32_t job)
{
    char hash[65], path[PATH_MAX], temporary[64];
    struct xpm_err err = XPM_ERR_INIT;
    struct xpm_jobdir dir = xpm_job_dir(e, job, hash);
    const struct xpm_work_piece *w = xpm_job_at(e, job)->work;
    int fd = -1, rc = xpm_jobdir_path(path, sizeof path, &dir, "", &err);
    if (rc == 0) {
        char *last = strrchr(path, '/');
        mkdirat(e->dir, "jobs", 0777);
        *last = '\0';
        mkdirat(e->dir, path, 0777);
        *last = '/';
        mkdirat(e->dir, path, 0777);
        fd = openat(e->dir, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            rc = xpm_err_errno(&err, errno, "cannot make the folder %s", path);
    }
    if (rc == 0) {
        snprintf(temporary, sizeof temporary, ".params.%ld", (long)e->self.pid);
        int problem = write_file(fd, temporary, w->data + w->params_at, w->params_len);
        if (!problem && renameat(fd, temporary, fd, "params.json") < 0)
            problem = errno;
        if (problem) {
            unlinkat(fd, temporary, 0);
            rc = xpm_err_errno(&err, problem, "cannot write %s/params.json", path);
        }
    }
    if (fd >= 0)
        close(fd);
    xpm_job_say(e, job, rc ? err.msg : "generated");
    if (rc)
        xpm_plan_failed(e->plan, job, XPM_START_FAILED);
    else
        xpm_plan_generated(e->plan, job);
    return 0;
}

/* --- questions --- */

void xpm_engine_counts(const struct xpm_engine *e, struct xpm_counts *c)
{
    for (int s = 0; s < XPM_STATE_COUNT; s++)
        c->state[s] = xpm_plan_count(e->plan, s);
    c->total = xpm_plan_total(e->plan);
    c->reused = e->reused;
}

bool xpm_engine_job(const struct xpm_engine *e, uint32_t job, struct xpm_event *v, const char **task, const char **name,
                    char hash[65])
{
    if (job == 0 || job > xpm_plan_total(e->plan))
        return false;
    const struct xpm_job *j = xpm_job_at(e, job);
    memset(v, 0, sizeof *v);
    v->job = job;
    v->state = xpm_plan_state(e->plan, job);
    v->reason = xpm_plan_reason(e->plan, job);
    v->reused = j->flags & XPM_REUSED;
    v->elsewhere = (j->flags & XPM_RAN_ELSEWHERE) || xpm_plan_is_elsewhere(e->plan, job);
    v->cause = xpm_plan_cause(e->plan, job);
    struct xpm_facts *f = &v->facts;
    *f = (struct xpm_facts){ v->state, v->reason, j->exit_code, j->signal, j->started_at, j->ended_at,
                             j->cpu_seconds, j->peak_memory, j->pid, "", "" };
    if (j->host)
        memcpy(f->hostname, e->hosts[j->host - 1], sizeof f->hostname);
    if (j->message)
        xpm_facts_say(f, "%s", j->message);
    if (task) {
        const struct xpm_task *t = &e->tasks[xpm_plan_task(e->plan, job)];
        *task = t->id;
        *name = t->name;
        xpm_hash_to_hex(hash, xpm_plan_key(e->plan, job));
    }
    return true;
}

const char *xpm_engine_workdir(const struct xpm_engine *e)
{
    return e->workdir;
}
