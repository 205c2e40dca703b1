/* src/base on arbitrary bytes: what the JSON reader takes keeps its promises, and what the writers write is well formed. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/nearest.h"
#include "base/number.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                    \
    do {                                                                      \
        if (!(condition)) {                                                   \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                          \
        }                                                                     \
    } while (0)

/* Visits all nodes; floats must survive being written and read. */
static void visit(const struct xpm_json *n, int depth)
{
    require(depth <= XPM_JSON_DEPTH);
    const char *s = xpm_json_string(n);
    double d;
    int64_t i;
    if (s)
        require(xpm_utf8_check(s, strlen(s)) == strlen(s));
    if (xpm_json_type(n) == XPM_JSON_FLOAT && xpm_json_float(n, &d)) {
        char text[XPM_NUMBER_TEXT];
        double back;
        size_t len = xpm_number_format(text, d);
        require(len < sizeof text);
        if (isfinite(d))
            require(xpm_number_parse(&back, text, len) && memcmp(&back, &d, sizeof d) == 0);
    }
    require(xpm_json_int(n, &i) == (xpm_json_type(n) == XPM_JSON_INT));
    for (const struct xpm_json *c = xpm_json_first(n); c; c = xpm_json_next(c)) {
        require((xpm_json_type(n) == XPM_JSON_MAP) == (xpm_json_key(c) != NULL));
        visit(c, depth + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct xpm_json *root = NULL;
    struct xpm_err err = XPM_ERR_INIT;
    int code = xpm_json_parse(&root, text, size, &err);
    require((code == XPM_OK) == (root != NULL) && (code == XPM_OK || (err.code == code && err.msg[0])));
    if (root)
        visit(root, 0);
    xpm_json_free(root);

    /* Any bytes as a JSON string: it parses, and is the same text if it was UTF-8 without NUL. */
    struct xpm_buf b = XPM_BUF_INIT;
    require(xpm_buf_add_json(&b, text, size));
    struct xpm_err again = XPM_ERR_INIT;
    root = NULL;
    code = xpm_json_parse(&root, b.data, b.len, &again);
    if (memchr(text, 0, size)) {
        require(code != XPM_OK);
    } else {
        require(code == XPM_OK);
        const char *s = xpm_json_string(root);
        require(s && (xpm_utf8_check(text, size) != size || (strlen(s) == size && memcmp(s, text, size) == 0)));
    }
    xpm_json_free(root);
    xpm_buf_free(&b);

    struct xpm_nearest n;
    size_t half = size / 2;
    xpm_nearest_start(&n, text, half);
    xpm_nearest_try(&n, text + half, size - half);
    return 0;
}
