#include "engine/wire.h"

#include <stdlib.h>
#include <string.h>

static void put_u32(struct xpm_buf *b, size_t v)
{
    uint32_t n = (uint32_t)v;
    if (v > XPM_WIRE_LONGEST)
        b->failed = true;
    xpm_buf_add(b, &n, sizeof n);
}

static void put_bytes(struct xpm_buf *b, const char *s, size_t len)
{
    put_u32(b, len);
    xpm_buf_add(b, s, len);
    xpm_buf_addc(b, '\0');
}

static void put_list(struct xpm_buf *b, const char *const *list, uint32_t n)
{
    put_u32(b, n);
    for (uint32_t i = 0; i < n; i++)
        put_bytes(b, list[i], strlen(list[i]));
}

bool xpm_wire_env(struct xpm_buf *b, const char *const *changes, uint32_t n)
{
    put_list(b, changes, n);
    return !b->failed;
}

bool xpm_wire_work(struct xpm_buf *b, const char *task, const char *hash, const char *name, const char *params,
                   size_t params_len, const char *const *argv, uint32_t argc, const char *const *outputs,
                   uint32_t noutputs)
{
    put_bytes(b, task, strlen(task));
    put_bytes(b, hash, strlen(hash));
    put_bytes(b, name, strlen(name));
    put_bytes(b, params, params_len);
    put_list(b, argv, argc);
    put_list(b, outputs, noutputs);
    return !b->failed;
}

struct reader {
    const char *at;
    size_t left;
    bool bad;
};

static uint32_t get_u32(struct reader *r)
{
    uint32_t v = 0;
    if (r->bad || r->left < sizeof v) {
        r->bad = true;
        return 0;
    }
    memcpy(&v, r->at, sizeof v);
    r->at += sizeof v;
    r->left -= sizeof v;
    return v;
}

static const char *get_bytes(struct reader *r, size_t *len)
{
    uint32_t n = get_u32(r);
    const char *s = r->at;
    if (r->bad || r->left < (size_t)n + 1 || s[n] != '\0') {
        r->bad = true;
        *len = 0;
        return "";
    }
    r->at += (size_t)n + 1;
    r->left -= (size_t)n + 1;
    *len = n;
    return s;
}

/* A list's strings into `list` (NULL: only skip them). Returns their number. */
static uint32_t get_list(struct reader *r, const char **list)
{
    size_t len;
    uint32_t n = get_u32(r);
    for (uint32_t i = 0; i < n && !r->bad; i++) {
        const char *s = get_bytes(r, &len);
        if (list)
            list[i] = s;
    }
    return r->bad ? 0 : n;
}

int xpm_order_read(struct xpm_order *o, const char *body, size_t len, struct xpm_err *err)
{
    struct reader r = { body, len, false };
    size_t n;
    memset(o, 0, sizeof *o);
    if (len < sizeof o->head)
        return xpm_err_set(err, XPM_ECORRUPT, "an order is too short");
    memcpy(&o->head, body, sizeof o->head);
    r.at += sizeof o->head;
    r.left -= sizeof o->head;
    if (o->head.env_length > r.left)
        return xpm_err_set(err, XPM_ECORRUPT, "an order is too short");
    o->env = r.at;
    o->env_len = o->head.env_length;
    struct reader env = { o->env, o->env_len, false };
    o->nenv = get_list(&env, NULL);
    r.at += o->env_len;
    r.left -= o->env_len;
    o->task = get_bytes(&r, &n);
    o->hash = get_bytes(&r, &n);
    o->name = get_bytes(&r, &n);
    o->params = get_bytes(&r, &o->params_len);
    struct reader lists = r;
    o->argc = get_list(&r, NULL);
    o->noutputs = get_list(&r, NULL);
    if (r.bad || env.bad || o->argc == 0)
        return xpm_err_set(err, XPM_ECORRUPT, "an order is malformed");
    o->block = calloc((size_t)o->nenv + o->argc + o->noutputs + 3, sizeof *o->block);
    if (!o->block)
        return xpm_err_set(err, XPM_ENOMEM, "out of memory");
    o->changes = o->block;
    o->argv = o->changes + o->nenv + 1;
    o->outputs = o->argv + o->argc + 1;
    env = (struct reader){ o->env, o->env_len, false };
    get_list(&env, o->changes);
    get_list(&lists, o->argv);
    get_list(&lists, o->outputs);
    return 0;
}

void xpm_order_free(struct xpm_order *o)
{
    free(o->block);
    o->block = NULL;
}
