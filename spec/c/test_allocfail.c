/* base, when memory runs out: every function reports it, keeps what it had, and works again afterwards. */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "allocfail.h"
#include "base/buf.h"
#include "base/json.h"
#include "tap.h"

static void sweep_buf(void)
{
    char text[500];
    memset(text, 'x', sizeof text);
    long n;
    bool kept = true;
    for (n = 0; allocfail_next(n); n++) {
        struct xpm_buf b = XPM_BUF_INIT;
        size_t good = 0;
        for (size_t i = 0; i < 10; i++) {
            if (xpm_buf_add(&b, text, sizeof text))
                good += sizeof text;
        }
        bool formatted = xpm_buf_addf(&b, "%s%d", "number ", 7);
        good += formatted ? 8 : 0;
        bool failed = allocfail_end();
        kept = kept && b.len == good && b.failed == failed && (!b.data || b.data[b.len] == '\0');
        xpm_buf_clear(&b);
        kept = kept && xpm_buf_addc(&b, 'y') && b.len == 1 && !b.failed;
        xpm_buf_free(&b);
    }
    tap_ok(n > 3 && kept, "a buffer keeps what it has and says that it failed (%ld failures)", n - 1);
}

static void sweep_json(void)
{
    static const char text[] = "{\"a\": [1, -2.5, \"text\\u00e9\", null, true, {\"b\": 9223372036854775807}], \"c\": {}}";
    cJSON_Hooks hooks = { malloc, free }; /* cJSON's own allocations fail too */
    long n;
    bool right = true;
    cJSON_InitHooks(&hooks);
    for (n = 0; allocfail_next(n); n++) {
        struct xpm_json *root = NULL;
        struct xpm_err err = XPM_ERR_INIT;
        int code = xpm_json_parse(&root, text, sizeof text - 1, &err);
        bool failed = allocfail_end();
        right = right && (failed ? code == XPM_ENOMEM && !root && err.code == XPM_ENOMEM && err.msg[0] : code == XPM_OK);
        xpm_json_free(root);
    }
    cJSON_InitHooks(NULL);
    tap_ok(n > 1 && right, "JSON: out of memory is told as such (%ld failures)", n - 1);
}

int main(void)
{
    sweep_buf();
    sweep_json();
    return tap_done();
}
