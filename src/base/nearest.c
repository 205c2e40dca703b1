/* Optimal string alignment (Damerau-Levenshtein without overlapping edits) in three rows. */
#include "base/nearest.h"

#include <string.h>

#define LONGEST 64

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;
    return m < c ? m : c;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static unsigned distance(const char *a, size_t an, const char *b, size_t bn)
{
    unsigned rows[3][LONGEST + 1];
    unsigned *before = rows[0], *last = rows[1], *row = rows[2];
    memset(rows, 0, sizeof rows);
    for (size_t j = 0; j <= bn; j++)
        last[j] = (unsigned)j;
    for (size_t i = 1; i <= an; i++) {
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= bn; j++) {
            char x = lower(a[i - 1]), y = lower(b[j - 1]);
            row[j] = min3(last[j] + 1, row[j - 1] + 1, last[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == lower(b[j - 2]) && y == lower(a[i - 2]) && before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
        unsigned *t = before;
        before = last;
        last = row;
        row = t;
    }
    return last[bn];
}

void xpm_nearest_start(struct xpm_nearest *n, const char *word, size_t len)
{
    unsigned allowed = len > LONGEST || len == 0 ? 0 : len < 6 ? 1 : (unsigned)(len / 3);
    *n = (struct xpm_nearest){ .word = word, .len = len, .distance = allowed ? allowed + 1 : 0 };
}

void xpm_nearest_try(struct xpm_nearest *n, const char *candidate, size_t len)
{
    size_t gap = len > n->len ? len - n->len : n->len - len;
    if (n->distance == 0 || len == 0 || len > LONGEST || gap >= n->distance)
        return;
    if (len == n->len && memcmp(candidate, n->word, len) == 0)
        return;
    unsigned d = distance(n->word, n->len, candidate, len);
    /* a one-letter word is no slip of another one-letter word */
    if (d < n->distance && d < (len > n->len ? len : n->len)) {
        n->best = candidate;
        n->best_len = len;
        n->distance = d;
    }
}
