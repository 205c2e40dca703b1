/* How: the text is first checked by a scanner of our own (grammar of RFC 8259, UTF-8, depth, integers in 64 bits), then
 * handed to cJSON. So cJSON never sees a text it would read laxly ("01", "+1"), and its failure means no memory.
 *
 * cJSON keeps numbers as doubles. A second pass visits the number nodes and the number literals, both in document
 * order, and puts the exact int64 into the eight bytes of `valuedouble` of every node whose literal is an integer,
 * marked by a flag of ours in `type`. cJSON looks only at its own bits there, also when it frees. */
#include "base/json.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <string.h>

#include "base/utf8.h"

#define EXACT (1 << 20)
#define LONGEST_NUMBER 63 /* what cJSON reads of one literal */

_Static_assert(sizeof(double) == sizeof(int64_t), "an int64 is kept in the place of a double");

struct scan {
    const char *s;
    size_t len, at;
    int depth;
    struct xpm_err *err;
};

static int bad(struct scan *p, const char *what)
{
    return xpm_err_set(p->err, XPM_EINVAL, "invalid JSON at byte %zu: %s", p->at, what);
}

static void skip_space(struct scan *p)
{
    while (p->at < p->len && (p->s[p->at] == ' ' || p->s[p->at] == '\t' || p->s[p->at] == '\n' || p->s[p->at] == '\r'))
        p->at++;
}

static bool is_digit(const struct scan *p)
{
    return p->at < p->len && p->s[p->at] >= '0' && p->s[p->at] <= '9';
}

/* The int64 of an integer literal; false if it does not fit. */
static bool to_int(const char *s, size_t len, int64_t *out)
{
    bool neg = len && s[0] == '-';
    uint64_t v = 0, limit = neg ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    for (size_t i = neg; i < len; i++) {
        uint64_t d = (uint64_t)(s[i] - '0');
        if (v > (limit - d) / 10)
            return false;
        v = v * 10 + d;
    }
    *out = neg ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

/* One literal; *integer says whether it has neither fraction nor exponent. */
static int scan_number(struct scan *p, bool *integer)
{
    size_t from = p->at;
    *integer = true;
    if (p->s[p->at] == '-')
        p->at++;
    if (!is_digit(p))
        return bad(p, "a digit is missing");
    if (p->s[p->at] == '0') {
        p->at++;
        if (is_digit(p))
            return bad(p, "a number starts with 0");
    }
    while (is_digit(p))
        p->at++;
    if (p->at < p->len && p->s[p->at] == '.') {
        *integer = false;
        p->at++;
        if (!is_digit(p))
            return bad(p, "a digit is missing");
        while (is_digit(p))
            p->at++;
    }
    if (p->at < p->len && (p->s[p->at] == 'e' || p->s[p->at] == 'E')) {
        *integer = false;
        p->at++;
        if (p->at < p->len && (p->s[p->at] == '+' || p->s[p->at] == '-'))
            p->at++;
        if (!is_digit(p))
            return bad(p, "a digit is missing");
        while (is_digit(p))
            p->at++;
    }
    int64_t v;
    size_t len = p->at - from;
    if (*integer && !to_int(p->s + from, len, &v)) {
        p->at = from;
        return bad(p, "the integer does not fit in 64 bits");
    }
    if (len > LONGEST_NUMBER) {
        p->at = from;
        return bad(p, "the number has too many characters");
    }
    return 0;
}

static int hex4(struct scan *p, unsigned *out)
{
    unsigned v = 0;
    for (int i = 0; i < 4; i++, p->at++) {
        unsigned char c = p->at < p->len ? (unsigned char)p->s[p->at] : 0;
        unsigned low = c | 32u, d = 16;
        if (c >= '0' && c <= '9')
            d = (unsigned)c - '0';
        else if (low >= 'a' && low <= 'f')
            d = low - 'a' + 10;
        if (d == 16)
            return bad(p, "\\u needs four hexadecimal digits");
        v = v * 16 + d;
    }
    *out = v;
    return 0;
}

static int scan_escape(struct scan *p)
{
    if (p->at >= p->len)
        return bad(p, "the string does not end");
    char c = p->s[p->at];
    if (c != 'u') {
        if (c == '\0' || !strchr("\"\\/bfnrt", c))
            return bad(p, "unknown escape");
        p->at++;
        return 0;
    }
    unsigned v, low;
    p->at++;
    if (hex4(p, &v))
        return XPM_EINVAL;
    if (v == 0)
        return bad(p, "\\u0000 is not allowed");
    if (v >= 0xDC00 && v <= 0xDFFF)
        return bad(p, "half of a surrogate pair");
    if (v < 0xD800 || v > 0xDBFF)
        return 0;
    if (p->len - p->at < 2 || p->s[p->at] != '\\' || p->s[p->at + 1] != 'u')
        return bad(p, "half of a surrogate pair");
    p->at += 2;
    if (hex4(p, &low))
        return XPM_EINVAL;
    return low >= 0xDC00 && low <= 0xDFFF ? 0 : bad(p, "half of a surrogate pair");
}

static int scan_string(struct scan *p)
{
    for (p->at++; p->at < p->len;) {
        unsigned char c = (unsigned char)p->s[p->at];
        if (c == '"') {
            p->at++;
            return 0;
        }
        if (c < 0x20)
            return bad(p, "a control character in a string");
        if (c == '\\') {
            p->at++;
            if (scan_escape(p))
                return XPM_EINVAL;
            continue;
        }
        size_t n = xpm_utf8_length(p->s + p->at, p->len - p->at);
        if (n == 0)
            return bad(p, "not UTF-8");
        p->at += n;
    }
    return bad(p, "the string does not end");
}

static int scan_key(struct scan *p)
{
    skip_space(p);
    if (p->at >= p->len || p->s[p->at] != '"')
        return bad(p, "a key in quotes is expected");
    if (scan_string(p))
        return XPM_EINVAL;
    skip_space(p);
    if (p->at >= p->len || p->s[p->at] != ':')
        return bad(p, "':' is expected");
    p->at++;
    return 0;
}

static int scan_word(struct scan *p, const char *word)
{
    size_t n = strlen(word);
    if (p->len - p->at < n || memcmp(p->s + p->at, word, n) != 0)
        return bad(p, "a value is expected");
    p->at += n;
    return 0;
}

static int scan_value(struct scan *p);

/* The inside of a list or map, after its opening bracket. */
static int scan_children(struct scan *p, char close)
{
    if (++p->depth > XPM_JSON_DEPTH)
        return bad(p, "nested too deep");
    skip_space(p);
    if (p->at < p->len && p->s[p->at] == close) {
        p->at++;
        p->depth--;
        return 0;
    }
    for (;;) {
        if ((close == '}' && scan_key(p)) || scan_value(p))
            return XPM_EINVAL;
        skip_space(p);
        if (p->at < p->len && p->s[p->at] == close) {
            p->at++;
            p->depth--;
            return 0;
        }
        if (p->at >= p->len || p->s[p->at] != ',')
            return bad(p, close == '}' ? "',' or '}' is expected" : "',' or ']' is expected");
        p->at++;
    }
}

static int scan_value(struct scan *p)
{
    bool integer;
    skip_space(p);
    if (p->at >= p->len)
        return bad(p, "the text ends too early");
    switch (p->s[p->at]) {
    case '"': return scan_string(p);
    case '{': p->at++; return scan_children(p, '}');
    case '[': p->at++; return scan_children(p, ']');
    case 't': return scan_word(p, "true");
    case 'f': return scan_word(p, "false");
    case 'n': return scan_word(p, "null");
    default:
        if (p->s[p->at] == '-' || is_digit(p))
            return scan_number(p, &integer);
        return bad(p, "a value is expected");
    }
}

/* Moves to the next number literal of a checked text. */
static void seek_number(struct scan *p)
{
    while (p->at < p->len) {
        if (p->s[p->at] == '"')
            scan_string(p);
        else if (p->s[p->at] == '-' || is_digit(p))
            return;
        else
            p->at++;
    }
}

/* Visits the number nodes below `node` and its siblings in document order. Depth is bounded by the check. */
static int make_exact(cJSON *node, struct scan *p)
{
    for (; node; node = node->next) {
        if ((node->type & 0xFF) == cJSON_Number) {
            bool integer;
            int64_t v;
            seek_number(p);
            size_t from = p->at;
            if (scan_number(p, &integer))
                return XPM_EINVAL;
            if (integer && to_int(p->s + from, p->at - from, &v)) {
                memcpy(&node->valuedouble, &v, sizeof v);
                node->type |= EXACT;
            } else if (!isfinite(node->valuedouble)) {
                p->at = from;
                return bad(p, "the number is out of range");
            }
        }
        if (node->child && make_exact(node->child, p))
            return XPM_EINVAL;
    }
    return 0;
}

int xpm_json_parse(struct xpm_json **out, const char *text, size_t len, struct xpm_err *err)
{
    struct xpm_err local = XPM_ERR_INIT;
    struct scan p = { text, len, 0, 0, err ? err : &local };
    *out = NULL;
    if (scan_value(&p))
        return XPM_EINVAL;
    skip_space(&p);
    if (p.at < len)
        return bad(&p, "text after the value");
    cJSON *root = cJSON_ParseWithLength(text, len);
    if (!root)
        return xpm_err_set(err, XPM_ENOMEM, "out of memory");
    p.at = 0;
    if (make_exact(root, &p)) {
        cJSON_Delete(root);
        return XPM_EINVAL;
    }
    *out = (struct xpm_json *)root;
    return 0;
}

void xpm_json_free(struct xpm_json *root)
{
    cJSON_Delete((cJSON *)root);
}

static const cJSON *node_of(const struct xpm_json *n)
{
    return (const cJSON *)n;
}

enum xpm_json_type xpm_json_type(const struct xpm_json *n)
{
    const cJSON *c = node_of(n);
    switch (c ? c->type & 0xFF : cJSON_NULL) {
    case cJSON_True: case cJSON_False: return XPM_JSON_BOOL;
    case cJSON_Number: return c->type & EXACT ? XPM_JSON_INT : XPM_JSON_FLOAT;
    case cJSON_String: return XPM_JSON_STRING;
    case cJSON_Array: return XPM_JSON_LIST;
    case cJSON_Object: return XPM_JSON_MAP;
    default: return XPM_JSON_NULL;
    }
}

const struct xpm_json *xpm_json_get(const struct xpm_json *n, const char *key)
{
    const cJSON *c = node_of(n);
    if (!c || (c->type & 0xFF) != cJSON_Object)
        return NULL;
    for (c = c->child; c; c = c->next)
        if (strcmp(c->string, key) == 0)
            return (const struct xpm_json *)c;
    return NULL;
}

const struct xpm_json *xpm_json_first(const struct xpm_json *n)
{
    return n ? (const struct xpm_json *)node_of(n)->child : NULL;
}

const struct xpm_json *xpm_json_next(const struct xpm_json *n)
{
    return n ? (const struct xpm_json *)node_of(n)->next : NULL;
}

const char *xpm_json_key(const struct xpm_json *n)
{
    return n ? node_of(n)->string : NULL;
}

bool xpm_json_bool(const struct xpm_json *n, bool *out)
{
    if (!n || xpm_json_type(n) != XPM_JSON_BOOL)
        return false;
    *out = (node_of(n)->type & 0xFF) == cJSON_True;
    return true;
}

bool xpm_json_int(const struct xpm_json *n, int64_t *out)
{
    if (!n || xpm_json_type(n) != XPM_JSON_INT)
        return false;
    memcpy(out, &node_of(n)->valuedouble, sizeof *out);
    return true;
}

bool xpm_json_float(const struct xpm_json *n, double *out)
{
    int64_t i;
    if (xpm_json_int(n, &i)) {
        *out = (double)i;
        return true;
    }
    if (!n || xpm_json_type(n) != XPM_JSON_FLOAT)
        return false;
    *out = node_of(n)->valuedouble;
    return true;
}

const char *xpm_json_string(const struct xpm_json *n)
{
    return n && xpm_json_type(n) == XPM_JSON_STRING ? node_of(n)->valuestring : NULL;
}
