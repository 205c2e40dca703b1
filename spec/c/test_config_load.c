/* Loading: files, overrides and interpolation together, with every allocation failing once. The rest is in
 * spec/fixtures/config, from Lua. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "config/dotlist.h"
#include "config/json_out.h"
#include "../support/allocfail.h"
#include "../support/tap.h"

static bool write_file(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");
    bool ok = f && fputs(text, f) >= 0;
    return f && fclose(f) == 0 && ok;
}

static const struct xpm_config_text overrides[] = {
    { "a.b.0.c=1e-3", 12 },
    { "l+=[x, y]", 9 },
    { "n.'k.k'={z: '${id}'}", 20 },
};

/* Loads and writes JSON; the code. `problems` text goes to `said`. */
static int run(const char *file, bool with_overrides, struct xpm_buf *json, char said[500])
{
    struct xpm_config c;
    struct xpm_config_input in = { .main = { file, strlen(file) }, .limit = XPM_CONFIG_LIMIT };
    struct xpm_problems p = XPM_PROBLEMS_INIT(NULL);
    if (with_overrides) {
        in.overrides = overrides;
        in.override_count = sizeof overrides / sizeof *overrides;
    }
    xpm_config_init(&c);
    int rc = xpm_config_load(&c, &in, &p);
    if (rc == 0 && !xpm_json_value(json, c.root, 0))
        rc = XPM_ENOMEM;
    snprintf(said, 500, "%s", p.text.data ? p.text.data : "");
    xpm_problems_free(&p);
    xpm_config_free(&c);
    xpm_config_free(&c);
    return rc;
}

static const char expected[] = "{\"l\": [1, \"x\", \"y\"], \"id\": \"base\", "
                               "\"a\": {\"b\": [{\"c\": 0.001}, 2]}, "
                               "\"t\": \"base [${x}] 3\", \"w\": {\"c\": 0.001}, \"n\": {\"k.k\": {\"z\": \"base\"}}}";

static void sweep(const char *file, bool with_overrides, int code)
{
    bool ok = true;
    long n = 0;
    for (; ok && allocfail_next(n); n++) {
        struct xpm_buf json = XPM_BUF_INIT;
        char said[500];
        int rc = run(file, with_overrides, &json, said);
        bool failed = allocfail_end();
        /* scratch memory may be missing without harm, never with another result */
        ok = rc == XPM_ENOMEM || (rc == code && (rc || strcmp(json.data, expected) == 0));
        ok = ok && (failed || rc == code);
        if (!ok)
            printf("# allocation %ld: code %d, %s %s\n", n, rc, json.data ? json.data : "", said);
        xpm_buf_free(&json);
    }
    tap_ok(ok && n > 5, "%s: %ld allocations failed one by one", file, n - 1);
}

static void paths(void)
{
    struct xpm_store st = XPM_STORE_INIT;
    struct xpm_problems p = XPM_PROBLEMS_INIT(&st);
    struct xpm_place none = { 0, 0, 0 };
    struct xpm_value *root = xpm_value_map(&st, none, 0);
    struct xpm_entry *e;
    static const char *const set[] = { "'a.b'.'it''s'.''=1", "x=[[1, 2], {y: z}]", "'0'=zero" };
    for (size_t i = 0; i < sizeof set / sizeof *set; i++)
        tap_ok(xpm_dotlist_apply(&st, root, set[i], strlen(set[i]), &p) == 0, "-c %s", set[i]);
    const struct xpm_value *v = xpm_path_find(&st, root, "'a.b'.'it''s'.''", 16, &e);
    tap_ok(v && v->kind == XPM_INT && e && e->len == 0, "quoted keys");
    v = xpm_path_find(&st, root, "x.0.1", 5, &e);
    tap_ok(v && v->kind == XPM_INT && v->u.i == 2 && !e, "indices");
    tap_ok(xpm_path_find(&st, root, "0", 1, NULL) && xpm_path_find(&st, root, "x.1.y", 5, NULL), "digits as a key");
    tap_ok(xpm_path_find(&st, root, "", 0, &e) == root && !e, "the root");
    static const char *const nothing[] = {
        "x.2", "x.00", "x.'0'", "x.-1", "x.0.0.0", "y", ".", "x.", "'x", "'x'y", "x..y", "x.99999999999",
    };
    for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++)
        tap_ok(!xpm_path_find(&st, root, nothing[i], strlen(nothing[i]), &e) && !e, "nothing at %s", nothing[i]);
    /* more parts than the limit, and the deepest allowed */
    struct xpm_buf b = XPM_BUF_INIT;
    for (int i = 0; i < XPM_CONFIG_DEPTH; i++)
        xpm_buf_adds(&b, i ? ".d" : "d");
    size_t len = b.len;
    xpm_buf_adds(&b, "=1");
    tap_ok(xpm_dotlist_apply(&st, root, b.data, b.len, &p) == 0, "256 parts");
    b.len = len;
    xpm_buf_adds(&b, ".d=1");
    tap_ok(xpm_dotlist_apply(&st, root, b.data, b.len, &p) == XPM_EINVAL, "257 parts");
    xpm_buf_free(&b);
    /* a failed path leaves a tree that can be used */
    struct xpm_buf json = XPM_BUF_INIT;
    static const char bad[] = "x.2.0=1", whole[] = "\"x\": [[1, 2], {\"y\": \"z\"}, null]";
    tap_ok(xpm_dotlist_apply(&st, root, bad, sizeof bad - 1, &p) == XPM_EINVAL, "an index below what is not there");
    tap_ok(xpm_json_value(&json, root, 0) && strstr(json.data, whole), "no hole in the tree");
    xpm_buf_free(&json);
    xpm_problems_free(&p);
    xpm_store_free(&st);
}

int main(void)
{
    char folder[] = "/tmp/xpm-test-XXXXXX", said[500], command[60];
    struct xpm_buf json = XPM_BUF_INIT;
    if (!tap_ok(mkdtemp(folder) && chdir(folder) == 0, "a folder"))
        return tap_done();
    tap_ok(write_file("base.yaml", "l: [1]\nid: base\n") &&
           write_file("main.yaml", "imports: [base.yaml]\na: {b: [{c: 1}, 2]}\n"
                                   "t: \"${id} [\\\\${x}] ${env:XPM_UNSET,3}\"\nw: ${a.b.0}\n") &&
           write_file("bad.yaml", "a: 1\na: *none\nb: !x 1\nimports: [gone.yaml, bad.yaml]\n") &&
           write_file("ref.yaml", "a: ${b}\nb: ${a}\nc: ${env:XPM_UNSET}\nd: x${dd}\n"), "files");
    int rc = run("main.yaml", true, &json, said);
    tap_ok(rc == 0 && strcmp(json.data, expected) == 0, "loaded: %s", said);
    xpm_buf_free(&json);
    sweep("main.yaml", true, 0);
    sweep("bad.yaml", false, XPM_EINVAL);
    sweep("ref.yaml", false, XPM_EINVAL);
    sweep("gone.yaml", true, XPM_ENOTFOUND);
    paths();
    if (chdir("/") == 0) {
        snprintf(command, sizeof command, "rm -rf %s", folder);
        tap_ok(system(command) == 0, "cleaned up");
    }
    return tap_done();
}
