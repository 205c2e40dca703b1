#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "../support/tap.h"

static struct xpm_json *read_text(const char *text, struct xpm_err *err)
{
    struct xpm_json *j = NULL;
    *err = (struct xpm_err)XPM_ERR_INIT;
    /* an exact heap copy, so that a sanitizer sees a read past the end */
    size_t n = strlen(text);
    char *copy = malloc(n ? n : 1);
    if (!copy)
        return NULL;
    memcpy(copy, text, n);
    int rc = xpm_json_parse(&j, copy, n, err);
    free(copy);
    return rc == 0 ? j : NULL;
}

static void refused(const char *text, const char *why)
{
    struct xpm_err err;
    struct xpm_json *j = read_text(text, &err);
    tap_ok(!j && err.code == XPM_EINVAL && strstr(err.msg, why), "refused (%s): %s", why, err.msg);
    xpm_json_free(j);
}

static void integer(const char *text, int64_t want)
{
    struct xpm_err err;
    struct xpm_json *j = read_text(text, &err);
    int64_t v = 0;
    tap_ok(j && xpm_json_type(j) == XPM_JSON_INT && xpm_json_int(j, &v) && v == want, "integer %s", text);
    xpm_json_free(j);
}

static void documents(void)
{
    struct xpm_err err;
    struct xpm_json *j = read_text("{\"a\": [1, 2.5, \"x1,2\", 9007199254740993],"
                                   " \"b\": {\"c\": null, \"d\": true}, \"e\": 1e3}", &err);
    const struct xpm_json *a = xpm_json_get(j, "a"), *n = xpm_json_first(a);
    int64_t i = 0;
    double d = 0;
    bool b = false;
    tap_ok(j && xpm_json_type(j) == XPM_JSON_MAP, "a map");
    tap_ok(xpm_json_type(a) == XPM_JSON_LIST, "a list in it");
    tap_ok(xpm_json_int(n, &i) && i == 1 && xpm_json_float(n, &d) && d == 1.0, "an integer reads as both");
    n = xpm_json_next(n);
    tap_ok(!xpm_json_int(n, &i) && xpm_json_float(n, &d) && d == 2.5, "a float reads as a float only");
    n = xpm_json_next(n);
    tap_ok(xpm_json_string(n) && strcmp(xpm_json_string(n), "x1,2") == 0, "a string with digits shifts no number");
    n = xpm_json_next(n);
    tap_ok(xpm_json_int(n, &i) && i == 9007199254740993, "past 2^53 exact");
    tap_ok(!xpm_json_next(n), "end of the list");
    n = xpm_json_first(xpm_json_get(j, "b"));
    tap_ok(strcmp(xpm_json_key(n), "c") == 0 && xpm_json_type(n) == XPM_JSON_NULL, "null");
    n = xpm_json_next(n);
    tap_ok(xpm_json_bool(n, &b) && b, "true");
    n = xpm_json_get(j, "e");
    tap_ok(xpm_json_float(n, &d) && d == 1000 && !xpm_json_int(n, &i), "an exponent is a float");
    tap_ok(!xpm_json_get(j, "zz") && !xpm_json_get(NULL, "a") && !xpm_json_get(a, "a"), "nothing there");
    tap_ok(!xpm_json_first(NULL) && !xpm_json_next(NULL), "children of NULL");
    tap_ok(!xpm_json_key(NULL) && !xpm_json_string(NULL), "texts of NULL");
    xpm_json_free(j);
    j = read_text(" \"\\u00e9\\ud83d\\ude00\\n\" ", &err);
    tap_ok(j && strcmp(xpm_json_string(j), "\xC3\xA9\xF0\x9F\x98\x80\n") == 0, "escapes");
    xpm_json_free(j);
    xpm_json_free(NULL);
}

static void depth(void)
{
    char text[2 * XPM_JSON_DEPTH + 3];
    struct xpm_err err;
    memset(text, '[', XPM_JSON_DEPTH);
    memset(text + XPM_JSON_DEPTH, ']', XPM_JSON_DEPTH);
    text[2 * XPM_JSON_DEPTH] = '\0';
    struct xpm_json *j = read_text(text, &err);
    tap_ok(j != NULL, "the deepest allowed");
    xpm_json_free(j);
    memset(text, '[', XPM_JSON_DEPTH + 1);
    memset(text + XPM_JSON_DEPTH + 1, ']', XPM_JSON_DEPTH + 1);
    text[2 * XPM_JSON_DEPTH + 2] = '\0';
    refused(text, "nested too deep");
}

int main(void)
{
    documents();
    depth();
    integer("0", 0);
    integer("-0", 0);
    integer("9223372036854775807", INT64_MAX);
    integer("-9223372036854775808", INT64_MIN);
    integer("999999999999999999", 999999999999999999);
    refused("9223372036854775808", "64 bits");
    refused("-9223372036854775809", "64 bits");
    refused("1e999", "out of range");
    refused("01", "starts with 0");
    refused("+1", "a value is expected");
    refused("1.", "digit");
    refused("-", "digit");
    refused("", "ends too early");
    refused("{} x", "text after");
    refused("[1,]", "value is expected");
    refused("{\"a\" 1}", "':'");
    refused("{a: 1}", "key in quotes");
    refused("[1 2]", "','");
    refused("\"abc", "does not end");
    refused("\"\\", "does not end");
    refused("\"a\nb\"", "control");
    refused("\"\\u0000\"", "\\u0000");
    refused("{\"\\u0000\": 1}", "\\u0000");
    refused("\"\\ud800x\"", "surrogate");
    refused("\"\\udc00\"", "surrogate");
    refused("\"\xC3(\"", "not UTF-8");
    refused("nul", "value is expected");
    refused("\"\\x\"", "unknown escape");
    return tap_done();
}
