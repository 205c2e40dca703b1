#include "config/json_out.h"

#include <math.h>
#include <string.h>

#include "base/number.h"

bool xpm_json_float_text(struct xpm_buf *b, double d)
{
    char text[XPM_NUMBER_TEXT];
    if (isnan(d))
        return xpm_buf_adds(b, "\".nan\"");
    if (isinf(d))
        return xpm_buf_adds(b, d < 0 ? "\"-.inf\"" : "\".inf\"");
    return xpm_buf_add(b, text, xpm_number_format(text, d));
}

bool xpm_json_line(struct xpm_buf *b, int indent, int level)
{
    size_t n = (size_t)indent * (size_t)level;
    if (indent == 0)
        return true;
    if (!xpm_buf_addc(b, '\n') || !xpm_buf_reserve(b, n))
        return false;
    memset(b->data + b->len, ' ', n);
    b->len += n;
    b->data[b->len] = '\0';
    return true;
}

static bool add(struct xpm_buf *b, const struct xpm_value *v, int indent, int level)
{
    uint32_t count;
    switch (v->kind) {
    case XPM_NULL: return xpm_buf_adds(b, "null");
    case XPM_BOOL: return xpm_buf_adds(b, v->u.b ? "true" : "false");
    case XPM_INT: return xpm_buf_addf(b, "%lld", (long long)v->u.i);
    case XPM_FLOAT: return xpm_json_float_text(b, v->u.d);
    case XPM_STRING: return xpm_buf_add_json(b, v->u.s, v->len);
    case XPM_LIST:
        count = v->u.list->count;
        xpm_buf_addc(b, '[');
        for (uint32_t i = 0; i < count; i++) {
            if (i)
                xpm_buf_adds(b, indent ? "," : ", ");
            xpm_json_line(b, indent, level + 1);
            add(b, v->u.list->items[i], indent, level + 1);
        }
        if (count)
            xpm_json_line(b, indent, level);
        return xpm_buf_addc(b, ']');
    default:
        count = v->u.map->count;
        xpm_buf_addc(b, '{');
        for (uint32_t i = 0; i < count; i++) {
            const struct xpm_entry *e = &v->u.map->entries[i];
            if (i)
                xpm_buf_adds(b, indent ? "," : ", ");
            xpm_json_line(b, indent, level + 1);
            xpm_buf_add_json(b, e->key, e->len);
            xpm_buf_adds(b, ": ");
            add(b, e->value, indent, level + 1);
        }
        if (count)
            xpm_json_line(b, indent, level);
        return xpm_buf_addc(b, '}');
    }
}

bool xpm_json_value(struct xpm_buf *b, const struct xpm_value *v, int indent)
{
    add(b, v, indent, 0);
    return !b->failed;
}
