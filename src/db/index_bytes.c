/* How states, tags and hashes stand in the index. */
#include "db/index.h"

const char *const xpm_index_states[] = { "unscheduled", "waiting", "ready", "scheduled", "running", "done", "error", NULL };

bool xpm_index_add_tag(struct xpm_buf *b, struct xpm_text name, struct xpm_text value)
{
    if (name.len > UINT32_MAX || value.len > UINT32_MAX)
        return false;
    uint32_t lengths[2] = { (uint32_t)name.len, (uint32_t)value.len };
    for (int i = 0; i < 2; i++) {
        uint32_t n = lengths[i];
        const unsigned char l[4] = { (unsigned char)n, (unsigned char)(n >> 8), (unsigned char)(n >> 16), (unsigned char)(n >> 24) };
        xpm_buf_add(b, l, 4);
    }
    xpm_buf_add(b, name.s, name.len);
    return xpm_buf_add(b, value.s, value.len) && !b->failed;
}

bool xpm_index_next_tag(struct xpm_text tags, size_t *at, struct xpm_text *name, struct xpm_text *value)
{
    size_t lengths[2];
    if (!tags.s || tags.len - *at < 8)
        return false;
    for (int i = 0; i < 2; i++) {
        const unsigned char *l = (const unsigned char *)tags.s + *at + 4 * i;
        lengths[i] = l[0] | (size_t)l[1] << 8 | (size_t)l[2] << 16 | (size_t)l[3] << 24;
    }
    if (lengths[0] > tags.len - *at - 8 || lengths[1] > tags.len - *at - 8 - lengths[0])
        return false;
    *name = (struct xpm_text){ tags.s + *at + 8, lengths[0] };
    *value = (struct xpm_text){ name->s + lengths[0], lengths[1] };
    *at += 8 + lengths[0] + lengths[1];
    return true;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool xpm_index_hash(unsigned char out[XPM_INDEX_HASH], const char *hex, size_t len)
{
    if (len != 2 * XPM_INDEX_HASH)
        return false;
    for (size_t i = 0; i < XPM_INDEX_HASH; i++) {
        int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

int64_t xpm_index_key(const unsigned char hash[XPM_INDEX_HASH])
{
    uint64_t key = 0;
    for (int i = 0; i < 8; i++)
        key = key << 8 | hash[i];
    return (int64_t)(key ^ (uint64_t)1 << 63);
}
