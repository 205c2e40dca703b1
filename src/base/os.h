/* Facts about the machine and its processes. Nothing here allocates, and every function may be called after fork. */
#ifndef XPM_BASE_OS_H
#define XPM_BASE_OS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* The id of this boot of the kernel: 36 characters and a NUL. Returns 0, or a code with `out` empty. */
int xpm_os_boot_id(char out[37]);

/* When process `pid` started, in clock ticks since boot (field 22 of /proc/PID/stat): with the host, the boot id and
 * the pid it names one process for ever. Returns 0, XPM_ENOTFOUND if there is no such process, or another code. */
int xpm_os_process_start(pid_t pid, uint64_t *ticks);

/* The machine's name, cut to `cap` - 1 bytes and always NUL-terminated ("localhost" if it has none). */
void xpm_os_hostname(char *out, size_t cap);

/* How many cores this process may use: the lesser of its affinity and its cgroups' quota, at least 1. */
int xpm_os_cpus(void);

/* The cores that the cgroup quota (v1 or v2) of this process allows, rounded up; 0 when there is no limit.
 * `root` stands before /proc and /sys ("" for the machine's own; tests give a folder). */
int xpm_os_cgroup_cpus(const char *root);

double xpm_os_now(void);       /* seconds since 1970 */
double xpm_os_monotonic(void); /* seconds of a clock that only goes forward; only differences mean something */

#endif
