#include "config/problems.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/nearest.h"
#include "base/utf8.h"

enum { LONGEST_SHOWN = 60 };

static bool escaped(struct xpm_buf *b, const char *s, size_t len)
{
    for (size_t i = 0; i < len;) {
        unsigned char c = (unsigned char)s[i];
        size_t n = xpm_utf8_length(s + i, len - i);
        /* C0 and DEL; C1 is 0xC2 0x80-0x9F; bytes that are no UTF-8 */
        bool c1 = n == 2 && c == 0xC2 && (unsigned char)s[i + 1] < 0xA0;
        if (n == 0 || c < 0x20 || c == 0x7F || c1) {
            if (c == '\n')
                xpm_buf_adds(b, "\\n");
            else if (c1)
                xpm_buf_addf(b, "\\x%02x", (unsigned char)s[i + 1]);
            else
                xpm_buf_addf(b, "\\x%02x", c);
        } else {
            xpm_buf_add(b, s + i, n);
        }
        i += n ? n : 1;
    }
    return !b->failed;
}

bool xpm_shown_text(struct xpm_buf *b, const char *s, size_t len)
{
    if (len <= LONGEST_SHOWN)
        return escaped(b, s, len);
    size_t n = LONGEST_SHOWN;
    while (n > LONGEST_SHOWN - 4 && ((unsigned char)s[n] & 0xC0) == 0x80)
        n--;
    escaped(b, s, n);
    return xpm_buf_adds(b, "...");
}

bool xpm_place_text(struct xpm_buf *b, const struct xpm_store *st, struct xpm_place at)
{
    if (at.source >= st->source_count)
        return xpm_buf_adds(b, "?");
    const struct xpm_source *s = &st->sources[at.source];
    if (s->role == XPM_SOURCE_OVERRIDE)
        xpm_buf_adds(b, "-c ");
    escaped(b, s->name, s->len);
    if (at.line)
        xpm_buf_addf(b, ":%u:%u", at.line, at.column);
    return !b->failed;
}

static bool plain_key(const char *key, size_t len)
{
    return len > 0 && key[0] != '\'' && !memchr(key, '.', len);
}

bool xpm_key_text(struct xpm_buf *b, const char *key, size_t len)
{
    if (plain_key(key, len))
        return escaped(b, key, len);
    xpm_buf_addc(b, '\'');
    for (size_t i = 0; i < len;) {
        const char *q = memchr(key + i, '\'', len - i);
        size_t n = q ? (size_t)(q - key) - i : len - i;
        escaped(b, key + i, n);
        if (q)
            xpm_buf_adds(b, "''");
        i += n + (q != NULL);
    }
    return xpm_buf_addc(b, '\'');
}

bool xpm_step_text(struct xpm_buf *b, const struct xpm_step *path)
{
    const struct xpm_step *steps[24];
    size_t depth = 0, n = 0;
    for (const struct xpm_step *s = path; s; s = s->up) {
        depth++;
        if (n < sizeof steps / sizeof *steps)
            steps[n++] = s;
    }
    if (depth > n) { /* the start of a very deep path is of no use to its reader */
        xpm_buf_adds(b, "(...)");
        if (n)
            xpm_buf_addc(b, '.');
    }
    while (n > 0) {
        const struct xpm_step *s = steps[--n];
        if (s->key)
            xpm_key_text(b, s->key, s->len);
        else
            xpm_buf_addf(b, "%u", s->index);
        if (n)
            xpm_buf_addc(b, '.');
    }
    return !b->failed;
}

bool xpm_near_text(struct xpm_buf *b, const struct xpm_map *m, const char *key, size_t len)
{
    struct xpm_nearest n;
    xpm_nearest_start(&n, key, len);
    for (uint32_t i = 0; i < m->count; i++)
        xpm_nearest_try(&n, m->entries[i].key, m->entries[i].len);
    if (!n.best)
        return true;
    xpm_buf_adds(b, " (did you mean '");
    escaped(b, n.best, n.best_len);
    return xpm_buf_adds(b, "'?)");
}

int xpm_problem_memory(struct xpm_problems *p)
{
    p->code = XPM_ENOMEM;
    return XPM_ENOMEM;
}

int xpm_problem(struct xpm_problems *p, int code, struct xpm_place at, const struct xpm_step *path,
                const char *fmt, ...)
{
    char small[512];
    va_list ap;
    if (!p->code)
        p->code = code;
    if (p->count++ >= XPM_CONFIG_PROBLEMS)
        return code;
    if (p->text.len)
        xpm_buf_addc(&p->text, '\n');
    xpm_place_text(&p->text, p->store, at);
    xpm_buf_adds(&p->text, ": ");
    if (path) {
        xpm_step_text(&p->text, path);
        xpm_buf_adds(&p->text, ": ");
    }
    va_start(ap, fmt);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof small) {
        xpm_buf_add(&p->text, small, (size_t)n);
    } else if (n >= 0 && xpm_buf_reserve(&p->text, (size_t)n)) {
        va_start(ap, fmt);
        vsnprintf(p->text.data + p->text.len, (size_t)n + 1, fmt, ap);
        va_end(ap);
        p->text.len += (size_t)n;
    }
    return p->text.failed ? xpm_problem_memory(p) : code;
}

void xpm_problems_end(struct xpm_problems *p)
{
    if (p->count > XPM_CONFIG_PROBLEMS)
        xpm_buf_addf(&p->text, "\n... and %u more problems", p->count - XPM_CONFIG_PROBLEMS);
    if (p->text.failed)
        p->code = XPM_ENOMEM;
}

void xpm_problems_free(struct xpm_problems *p)
{
    xpm_buf_free(&p->text);
}
