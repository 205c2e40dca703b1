#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/os.h"
#include "../support/allocfail.h"
#include "../support/tap.h"

static char folder[256];

/* Writes text to a file below a made-up root, with its folders. */
static void put(const char *root, const char *name, const char *text)
{
    struct xpm_buf path = XPM_BUF_INIT;
    xpm_buf_addf(&path, "%s/%s/%s", folder, root, name);
    char *slash = strrchr(path.data, '/');
    *slash = '\0';
    xpm_fs_mkdirs(path.data, NULL);
    *slash = '/';
    xpm_fs_write(path.data, text, strlen(text), NULL);
    xpm_buf_free(&path);
}

static void expect_cpus(const char *root, int want, const char *what)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", folder, root);
    int got = xpm_os_cgroup_cpus(path);
    tap_ok(got == want, "%s: %d (%d)", what, want, got);
}

static void test_cgroups(void)
{
    expect_cpus("none", 0, "no cgroup file at all");

    put("v2", "proc/self/cgroup", "0::/user/job\n");
    expect_cpus("v2", 0, "v2, no cpu.max");
    put("v2", "sys/fs/cgroup/user/job/cpu.max", "max 100000\n");
    expect_cpus("v2", 0, "v2, max");
    put("v2", "sys/fs/cgroup/user/job/cpu.max", "150000 100000\n");
    expect_cpus("v2", 2, "v2, 1.5 cores are 2");
    put("v2", "sys/fs/cgroup/user/cpu.max", "100000 100000\n");
    expect_cpus("v2", 1, "v2, the parent's lesser quota counts");
    put("v2", "sys/fs/cgroup/user/cpu.max", "1000000 100000\n");
    expect_cpus("v2", 2, "v2, the parent's greater quota does not");
    put("v2", "sys/fs/cgroup/user/job/cpu.max", "1000 100000\n");
    expect_cpus("v2", 1, "v2, a hundredth of a core is 1");

    put("contained", "proc/self/cgroup", "0::/../../docker/abc\n");
    put("contained", "sys/fs/cgroup/cpu.max", "300000 100000\n");
    expect_cpus("contained", 3, "v2, a path of the host: the mount's own quota");

    put("v1", "proc/self/cgroup", "3:memory:/m\n2:cpuset:/s\n1:cpu,cpuacct:/docker/x\n");
    put("v1", "sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us", "-1\n");
    put("v1", "sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_period_us", "100000\n");
    expect_cpus("v1", 0, "v1, quota -1");
    put("v1", "sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us", "250000\n");
    expect_cpus("v1", 3, "v1, 2.5 cores are 3");
    put("v1", "sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us", "400000\n");
    put("v1", "sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us", "100000\n");
    expect_cpus("v1", 4, "v1, mounted as cpu");

    put("odd", "proc/self/cgroup", "garbage\n1:cpuacct:/a\n2:xcpu,cpuset:/b\n::\n0::relative\n");
    put("odd", "sys/fs/cgroup/cpuacct/a/cpu.cfs_quota_us", "100000\n");
    put("odd", "sys/fs/cgroup/cpu.max", "what\n");
    expect_cpus("odd", 0, "lines that are not the cpu controller's");
}

static void test_processes(void)
{
    uint64_t mine = 0, again = 0, child = 0;
    tap_ok(xpm_os_process_start(getpid(), &mine) == 0 && mine > 0, "our own start");
    tap_ok(xpm_os_process_start(getpid(), &again) == 0 && again == mine, "is always the same");
    tap_ok(xpm_os_process_start(0, &again) == XPM_ENOTFOUND, "pid 0 is no process");
    tap_ok(xpm_os_process_start(-5, &again) == XPM_ENOTFOUND, "a group is no process");

    int ready[2], end[2];
    char c = 0;
    if (pipe(ready) != 0 || pipe(end) != 0)
        return;
    pid_t pid = fork();
    if (pid == 0) { /* a name that looks like the end of the name and more fields */
        close(end[1]);
        prctl(PR_SET_NAME, "a) R 1 1 (b");
        ssize_t n = write(ready[1], &c, 1);
        n = read(end[0], &c, 1);
        _exit(n < 0);
    }
    ssize_t n = read(ready[0], &c, 1);
    tap_ok(n == 1 && xpm_os_process_start(pid, &child) == 0 && child >= mine, "a child whose name holds ') '");
    close(end[1]);
    waitpid(pid, NULL, 0);
    tap_ok(xpm_os_process_start(pid, &child) == XPM_ENOTFOUND, "after it was reaped there is no such process");
}

int main(void)
{
    char boot[37], again[37], host[65], little[3];
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/xpm-test-os-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(folder))
        return 1;

    tap_ok(xpm_os_boot_id(boot) == 0 && strlen(boot) == 36 && boot[8] == '-' && boot[23] == '-', "a boot id: %s", boot);
    tap_ok(xpm_os_boot_id(again) == 0 && strcmp(boot, again) == 0, "is the same within a boot");
    xpm_os_hostname(host, sizeof host);
    tap_ok(strlen(host) > 0, "a host name: %s", host);
    xpm_os_hostname(little, sizeof little);
    tap_ok(strlen(little) <= 2 && strncmp(host, little, strlen(little)) == 0, "cut to the room there is");
    tap_ok(xpm_os_cpus() >= 1, "at least one core");
    double a = xpm_os_monotonic(), b = xpm_os_monotonic();
    tap_ok(b >= a, "the monotonic clock does not go back");
    tap_ok(xpm_os_now() > 1.6e9, "the time of day is after 2020");
    test_processes();
    test_cgroups();

    allocfail_begin(0, true);
    uint64_t ticks;
    bool fine = xpm_os_boot_id(boot) == 0 && xpm_os_process_start(getpid(), &ticks) == 0 && xpm_os_cpus() >= 1;
    tap_ok(fine && !allocfail_end(), "nothing here allocates");

    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) != 0 ? 1 : tap_done();
}
