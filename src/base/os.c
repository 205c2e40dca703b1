/* The kernel's small text files are read whole into buffers on the stack.
 *
 * The quota of a cgroup binds all groups below it, so that the least along the path from the process' own group to the
 * root counts. In a container the path in /proc/self/cgroup may be one of the host, which is not to be found under
 * /sys/fs/cgroup: then only the groups that exist (in the end the mount itself) have a say. */
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Reads at most cap - 1 bytes of `path` and ends them with a NUL. Returns their number, or -1 with errno. */
static ssize_t read_small(const char *path, char *out, size_t cap)
{
    int fd;
    do
        fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return -1;
    size_t len = 0;
    ssize_t n = 0;
    while (len < cap - 1) {
        n = read(fd, out + len, cap - 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    int saved = errno;
    close(fd);
    errno = saved;
    out[len] = '\0';
    return n < 0 ? -1 : (ssize_t)len;
}

int xpm_os_boot_id(char out[37])
{
    char text[64];
    out[0] = '\0';
    if (read_small("/proc/sys/kernel/random/boot_id", text, sizeof text) < 36)
        return XPM_EIO;
    memcpy(out, text, 36);
    out[36] = '\0';
    return 0;
}

int xpm_os_process_start(pid_t pid, uint64_t *ticks)
{
    char path[64], text[2048];
    if (pid <= 0)
        return XPM_ENOTFOUND;
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    if (read_small(path, text, sizeof text) < 0)
        return errno == ENOENT || errno == ESRCH ? XPM_ENOTFOUND : XPM_EIO;
    /* Field 2 is the program's name in parentheses: any bytes, spaces and ')' too, so the last ')' ends it. */
    const char *p = strrchr(text, ')');
    for (int field = 2; p && field < 22; field++) {
        p = strchr(p + 1, ' ');
    }
    if (!p)
        return XPM_EIO;
    char *end;
    errno = 0;
    unsigned long long value = strtoull(p + 1, &end, 10);
    if (end == p + 1 || errno)
        return XPM_EIO;
    *ticks = value;
    return 0;
}

void xpm_os_hostname(char *out, size_t cap)
{
    char name[HOST_NAME_MAX + 1];
    if (gethostname(name, sizeof name) != 0)
        name[0] = '\0';
    name[sizeof name - 1] = '\0';
    snprintf(out, cap, "%s", name[0] ? name : "localhost");
}

static int cores_of(double quota, double period)
{
    if (!(quota > 0) || !(period > 0))
        return 0;
    double cores = quota / period;
    int whole = cores >= 65536 ? 65536 : (int)cores;
    return whole < cores ? whole + 1 : whole;
}

/* The quota in one group's folder, 0 for none. */
static int group_cpus(const char *folder)
{
    char path[PATH_MAX], text[128];
    double quota = 0, period = 0;
    if ((size_t)snprintf(path, sizeof path, "%s/cpu.max", folder) < sizeof path && read_small(path, text, sizeof text) > 0)
        return sscanf(text, "%lf %lf", &quota, &period) == 2 ? cores_of(quota, period) : 0; /* "max 100000" is none */
    if ((size_t)snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder) >= sizeof path ||
        read_small(path, text, sizeof text) <= 0)
        return 0;
    quota = strtod(text, NULL);
    if ((size_t)snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder) >= sizeof path ||
        read_small(path, text, sizeof text) <= 0)
        return 0;
    period = strtod(text, NULL);
    return cores_of(quota, period);
}

/* The least quota of `group` and all above it, below the mount `root`/sys/fs/cgroup/`mount`. */
static int path_cpus(const char *root, const char *mount, const char *group)
{
    char folder[PATH_MAX];
    int least = 0;
    int n = snprintf(folder, sizeof folder, "%s/sys/fs/cgroup%s", root, mount);
    if (n < 0 || (size_t)n >= sizeof folder)
        return 0;
    size_t base = (size_t)n, len = base;
    if (strlen(group) < sizeof folder - base) {
        strcpy(folder + base, group);
        len = strlen(folder);
    }
    for (;;) {
        int cores = group_cpus(folder);
        if (cores && (!least || cores < least))
            least = cores;
        if (len <= base)
            return least;
        while (len > base && folder[len - 1] != '/')
            len--;
        if (len > base)
            len--; /* the '/' itself */
        folder[len] = '\0';
    }
}

/* Whether the comma-separated `list` has the controller "cpu". */
static int has_cpu(const char *list)
{
    for (const char *p = list; p; p = strchr(p, ',')) {
        p += *p == ',';
        if (strncmp(p, "cpu", 3) == 0 && (p[3] == ',' || p[3] == '\0'))
            return 1;
    }
    return 0;
}

int xpm_os_cgroup_cpus(const char *root)
{
    char text[8192], path[PATH_MAX], mount[256];
    int least = 0;
    if ((size_t)snprintf(path, sizeof path, "%s/proc/self/cgroup", root) >= sizeof path ||
        read_small(path, text, sizeof text) <= 0)
        return 0;
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n"))) { /* ID:CONTROLLERS:PATH; "0::PATH" is version 2 */
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        controllers++;
        *group++ = '\0';
        int cores = 0;
        if (*controllers == '\0') {
            cores = path_cpus(root, "", group);
        } else if (has_cpu(controllers)) {
            cores = path_cpus(root, "/cpu", group);
            if (!cores && (size_t)snprintf(mount, sizeof mount, "/%s", controllers) < sizeof mount)
                cores = path_cpus(root, mount, group);
        }
        if (cores && (!least || cores < least))
            least = cores;
    }
    return least;
}

int xpm_os_cpus(void)
{
    /* Larger than cpu_set_t: with more than 1024 possible cores the kernel refuses a set that cannot name them all. */
    unsigned long set[65536 / (8 * sizeof(unsigned long))];
    int cores = 0;
    memset(set, 0, sizeof set);
    if (sched_getaffinity(0, sizeof set, (cpu_set_t *)(void *)set) == 0)
        cores = CPU_COUNT_S(sizeof set, (cpu_set_t *)(void *)set);
    if (cores < 1) {
        long online = sysconf(_SC_NPROCESSORS_ONLN);
        cores = online < 1 ? 1 : (int)online;
    }
    int quota = xpm_os_cgroup_cpus("");
    return quota && quota < cores ? quota : cores;
}

static double clock_seconds(clockid_t id)
{
    struct timespec t = { 0, 0 };
    clock_gettime(id, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double xpm_os_now(void)
{
    return clock_seconds(CLOCK_REALTIME);
}

double xpm_os_monotonic(void)
{
    return clock_seconds(CLOCK_MONOTONIC);
}
