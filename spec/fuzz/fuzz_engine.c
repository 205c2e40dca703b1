/* What the engine reads from others: an order on the supervisor's socket, and the files of a job's folder. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/utf8.h"
#include "engine/jobdir.h"
#include "engine/wire.h"

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define FOLDER "jobs/t/" HASH
#define BOOT "11111111-2222-3333-4444-555555555555"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                    \
    do {                                                                      \
        if (!(condition)) {                                                   \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                          \
        }                                                                     \
    } while (0)

/* Every string of an order must end inside of the body: reading them all shows it to the sanitizer. */
static void read_order(const uint8_t *data, size_t size)
{
    char *body = malloc(size ? size : 1);
    struct xpm_order order;
    struct xpm_err err = XPM_ERR_INIT;
    size_t sum = 0;
    require(body);
    if (size)
        memcpy(body, data, size);
    int code = xpm_order_read(&order, body, size, &err);
    if (code == XPM_OK) {
        for (uint32_t i = 0; i < order.nenv; i++)
            sum += strlen(order.changes[i]);
        for (uint32_t i = 0; i < order.argc; i++)
            sum += strlen(order.argv[i]);
        for (uint32_t i = 0; i < order.noutputs; i++)
            sum += strlen(order.outputs[i]);
        sum += strlen(order.task) + strlen(order.hash) + strlen(order.name);
        for (size_t i = 0; i < order.params_len; i++)
            sum += (size_t)order.params[i];
        require(!order.argv[order.argc] && !order.outputs[order.noutputs] && sum < SIZE_MAX);
        xpm_order_free(&order);
    } else {
        require((code == XPM_ECORRUPT || code == XPM_ENOMEM) && err.msg[0]);
    }
    free(body);
}

static void write_file(const char *path, const uint8_t *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    require(fd >= 0 && write(fd, data, size) == (ssize_t)size && close(fd) == 0);
}

static void read_folder(int workdir, const char *suffix, const uint8_t *data, size_t size)
{
    char path[200];
    struct xpm_jobdir dir = { workdir, "t", HASH, "t" };
    struct xpm_facts facts = XPM_FACTS_INIT;
    struct xpm_err err = XPM_ERR_INIT;
    snprintf(path, sizeof path, FOLDER "/t.%s", suffix);
    write_file(path, data, size);
    int code = xpm_jobdir_probe(&facts, &dir, BOOT, &err);
    require(code == XPM_OK || (code == XPM_EVERSION && err.msg[0]));
    require(facts.state >= 0 && facts.state < XPM_STATE_COUNT && facts.reason >= 0 && facts.reason < XPM_REASON_COUNT);
    require(memchr(facts.hostname, 0, sizeof facts.hostname) && memchr(facts.message, 0, sizeof facts.message));
    require(xpm_utf8_check(facts.message, strlen(facts.message)) == strlen(facts.message));
    require(unlink(path) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int workdir = -1;
    if (workdir < 0) {
        char folder[4096];
        const char *tmp = getenv("TMPDIR"); /* removed by spec/support/fuzz */
        snprintf(folder, sizeof folder, "%s/XXXXXX", tmp ? tmp : "/tmp");
        require(mkdtemp(folder) && chdir(folder) == 0);
        require(mkdir("jobs", 0700) == 0 && mkdir("jobs/t", 0700) == 0 && mkdir(FOLDER, 0700) == 0);
        workdir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        require(workdir >= 0);
    }
    read_order(data, size);
    read_folder(workdir, "done", data, size);
    read_folder(workdir, "failed", data, size);
    read_folder(workdir, "pid", data, size);
    return 0;
}
