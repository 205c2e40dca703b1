/* src/config on arbitrary bytes: the input is a YAML file, then, after a line of "---c", assignments of the command line,
 * one a line. What loads is written as JSON, which must be JSON, and be the same when it is read as YAML. What does not
 * load says why. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "config/config.h"
#include "config/json_out.h"
#include "config/yaml.h"

#define MARK "\n---c\n"
#define MOST 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                    \
    do {                                                                      \
        if (!(condition)) {                                                   \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                          \
        }                                                                     \
    } while (0)

static void write_file(const char *path, const uint8_t *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    require(fd >= 0 && write(fd, data, size) == (ssize_t)size && close(fd) == 0);
}

/* Characters that JSON may hold as they are and libyaml refuses or takes for the end of a line: U+0080 to U+009F, U+2028,
 * U+2029, U+FFFE, U+FFFF. */
static bool has_foreign(const struct xpm_buf *json)
{
    for (size_t i = 0; i + 2 < json->len; i++) {
        const unsigned char *c = (const unsigned char *)json->data + i;
        if ((c[0] == 0xC2 && c[1] < 0xA0) || (c[0] == 0xE2 && c[1] == 0x80 && (c[2] == 0xA8 || c[2] == 0xA9)) ||
            (c[0] == 0xEF && c[1] == 0xBF && c[2] >= 0xBE))
            return true;
    }
    return false;
}

/* JSON is YAML: read back, it must be written the same again. */
static void reread(const struct xpm_buf *json)
{
    if (has_foreign(json))
        return;
    struct xpm_store st = XPM_STORE_INIT;
    struct xpm_problems problems = XPM_PROBLEMS_INIT(&st);
    struct xpm_value *v = NULL;
    struct xpm_buf again = XPM_BUF_INIT;
    uint32_t source;
    require(xpm_source_add(&st, &source, "again", 5, XPM_SOURCE_TEXT) == XPM_OK);
    if (xpm_yaml_read(&v, &st, source, json->data, json->len, &problems) == XPM_OK) {
        require(v && xpm_json_value(&again, v, 0));
        require(again.len == json->len && memcmp(again.data, json->data, json->len) == 0);
    } else {
        /* Our depth and the keys of libyaml (1024 bytes, escapes included) are limited; nothing else may be wrong. */
        require(problems.code == XPM_ELIMIT || json->len > 1024);
    }
    xpm_buf_free(&again);
    xpm_problems_free(&problems);
    xpm_store_free(&st);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char folder[4096];
    if (!folder[0]) {
        const char *tmp = getenv("TMPDIR"); /* removed by spec/support/fuzz */
        snprintf(folder, sizeof folder, "%s/XXXXXX", tmp ? tmp : "/tmp");
        require(mkdtemp(folder) && chdir(folder) == 0);
    }
    const uint8_t *mark = size > strlen(MARK) ? memmem(data, size, MARK, strlen(MARK)) : NULL;
    size_t yaml = mark ? (size_t)(mark - data) : size;
    write_file("main.yaml", data, yaml);
    struct xpm_config_text assignments[MOST];
    size_t count = 0;
    for (size_t at = mark ? yaml + strlen(MARK) : size; at < size && count < MOST;) {
        const uint8_t *end = memchr(data + at, '\n', size - at);
        size_t len = end ? (size_t)(end - data) - at : size - at;
        assignments[count++] = (struct xpm_config_text){ (const char *)data + at, len };
        at += len + 1;
    }

    struct xpm_config c;
    struct xpm_config_input in = { .overrides = assignments, .override_count = count, .main = { "main.yaml", 9 },
                                   .limit = XPM_CONFIG_LIMIT };
    xpm_config_init(&c);
    struct xpm_problems problems = XPM_PROBLEMS_INIT(&c.store);
    int code = xpm_config_load(&c, &in, &problems);
    if (code == XPM_OK) {
        struct xpm_buf json = XPM_BUF_INIT;
        struct xpm_json *root = NULL;
        require(c.root && xpm_json_value(&json, c.root, 0));
        require(xpm_json_parse(&root, json.data, json.len, NULL) == XPM_OK);
        xpm_json_free(root);
        reread(&json);
        xpm_buf_free(&json);
    } else {
        require(problems.count > 0 && problems.text.len > 0 && !memchr(problems.text.data, '\x1b', problems.text.len));
    }
    xpm_problems_free(&problems);
    xpm_config_free(&c);
    return 0;
}
