/* The program xpm-supervisor. It forks once and its parent ends: the driver reaps that one at once, so that a
 * supervisor that lives on is nobody's zombie later, and its end no SIGCHLD for the driver. It is started in a
 * session of its own. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/err.h"
#include "engine/record.h"
#include "engine/supervisor.h"
#include "engine/wire.h"

static const char usage[] = "xpm-supervisor runs jobs for xpm and is started by it (usage: WORKDIR PID START)\n";

int main(int argc, char **argv)
{
    struct xpm_err err = XPM_ERR_INIT;
    struct xpm_who driver;
    if (argc != 4) {
        fputs(usage, stderr);
        return 2;
    }
    driver.pid = (pid_t)strtol(argv[2], NULL, 10);
    driver.start = strtoull(argv[3], NULL, 10);
    if (fcntl(XPM_WIRE_FD, F_SETFD, FD_CLOEXEC) < 0) {
        fputs(usage, stderr);
        return 2;
    }
    pid_t pid = fork();
    if (pid != 0)
        _exit(pid < 0);
    return xpm_supervisor_run(XPM_WIRE_FD, argv[1], &driver, &err) ? 1 : 0;
}
