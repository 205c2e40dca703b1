/* The form itself is described in the header. Numbers are written byte by byte: the machine's own order plays no
 * part. */
#include "engine/identifier.h"

#include <math.h>
#include <string.h>

static void put_u64(struct xpm_buf *b, uint64_t v)
{
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(v >> (8 * i));
    xpm_buf_add(b, bytes, sizeof bytes);
}

static void put_u32(struct xpm_buf *b, size_t v)
{
    unsigned char bytes[4];
    if (v > UINT32_MAX)
        b->failed = true;
    for (int i = 0; i < 4; i++)
        bytes[i] = (unsigned char)(v >> (8 * i));
    xpm_buf_add(b, bytes, sizeof bytes);
}

static void put_text(struct xpm_buf *b, const char *s, size_t len)
{
    put_u32(b, len);
    xpm_buf_add(b, s, len);
}

void xpm_canon_begin(struct xpm_buf *b, const char *task, size_t len, size_t parameters)
{
    xpm_buf_add(b, "xpm1", 4);
    put_text(b, task, len);
    put_u32(b, parameters);
}

void xpm_canon_name(struct xpm_buf *b, const char *name, size_t len)
{
    put_text(b, name, len);
}

void xpm_canon_null(struct xpm_buf *b)
{
    xpm_buf_addc(b, 'n');
}

void xpm_canon_bool(struct xpm_buf *b, bool v)
{
    xpm_buf_addc(b, v ? 't' : 'f');
}

void xpm_canon_int(struct xpm_buf *b, int64_t v)
{
    xpm_buf_addc(b, 'i');
    put_u64(b, (uint64_t)v);
}

void xpm_canon_float(struct xpm_buf *b, double v)
{
    uint64_t bits = UINT64_C(0x7ff8000000000000);
    /* 2^63 itself is past the integers, -2^63 is one of them */
    if (v >= -9223372036854775808.0 && v < 9223372036854775808.0 && v == trunc(v)) {
        xpm_canon_int(b, (int64_t)v);
        return;
    }
    if (!isnan(v))
        memcpy(&bits, &v, sizeof bits);
    xpm_buf_addc(b, 'd');
    put_u64(b, bits);
}

void xpm_canon_string(struct xpm_buf *b, const char *s, size_t len)
{
    xpm_buf_addc(b, 's');
    put_text(b, s, len);
}

void xpm_canon_list(struct xpm_buf *b, size_t items)
{
    xpm_buf_addc(b, 'l');
    put_u32(b, items);
}

void xpm_canon_map(struct xpm_buf *b, size_t entries)
{
    xpm_buf_addc(b, 'm');
    put_u32(b, entries);
}

void xpm_canon_config(struct xpm_buf *b, const char *id, size_t len, size_t fields)
{
    xpm_buf_addc(b, 'c');
    put_text(b, id, len);
    put_u32(b, fields);
}

void xpm_canon_job(struct xpm_buf *b, const uint8_t hash[XPM_HASH_SIZE])
{
    xpm_buf_addc(b, 'j');
    xpm_buf_add(b, hash, XPM_HASH_SIZE);
}

void xpm_canon_bytes(struct xpm_buf *b, const char *tag, size_t tag_len, const char *s, size_t len)
{
    xpm_buf_addc(b, 'b');
    put_text(b, tag, tag_len);
    put_text(b, s, len);
}

int xpm_canon_compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t least = a_len < b_len ? a_len : b_len;
    int c = least ? memcmp(a, b, least) : 0;
    return c ? c : (a_len > b_len) - (a_len < b_len);
}

int xpm_canon_hash(uint8_t out[XPM_HASH_SIZE], const struct xpm_buf *b, struct xpm_err *err)
{
    if (b->failed)
        return xpm_err_set(err, XPM_ENOMEM, "out of memory");
    xpm_hash_bytes(out, b->data, b->len);
    return 0;
}
