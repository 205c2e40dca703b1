/* The C library formats and reads with the decimal point of the locale. Formatting takes only the digits and the
 * exponent of "%.*e", reading uses strtod_l with the C locale, which glibc hands out without allocating. */
#include "base/number.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static locale_t c_locale(void)
{
    return newlocale(LC_ALL_MASK, "C", (locale_t)0); /* a static object: nothing to free */
}

bool xpm_number_parse(double *out, const char *s, size_t len)
{
    char small[101], *text = small, *end;
    if (len >= sizeof small) {
        text = malloc(len + 1);
        if (!text)
            return false;
    }
    memcpy(text, s, len);
    text[len] = '\0';
    locale_t loc = c_locale();
    *out = loc ? strtod_l(text, &end, loc) : strtod(text, &end);
    bool whole = len > 0 && end == text + len;
    if (text != small)
        free(text);
    return whole;
}

/* The digits (without trailing zeros) and the decimal exponent of d > 0, with `n` digits at most. */
static int digits_of(char digits[20], int *exponent, double d, int n)
{
    char text[40];
    int count = 0;
    snprintf(text, sizeof text, "%.*e", n - 1, d);
    const char *p = text;
    for (; *p && *p != 'e'; p++)
        if (*p >= '0' && *p <= '9')
            digits[count++] = *p;
    *exponent = *p ? atoi(p + 1) : 0;
    while (count > 1 && digits[count - 1] == '0')
        count--;
    digits[count] = '\0';
    return count;
}

static bool reads_back(const char *digits, int count, int exponent, double d)
{
    char text[40];
    double back;
    int n = snprintf(text, sizeof text, "%se%d", digits, exponent - (count - 1));
    return n > 0 && xpm_number_parse(&back, text, (size_t)n) && back == d;
}

size_t xpm_number_format(char out[XPM_NUMBER_TEXT], double d)
{
    char digits[20];
    int exponent = 0, count = 0;
    size_t at = 0;
    if (isnan(d))
        return (size_t)snprintf(out, XPM_NUMBER_TEXT, "nan");
    if (signbit(d))
        out[at++] = '-';
    d = fabs(d);
    if (isinf(d))
        return at + (size_t)snprintf(out + at, XPM_NUMBER_TEXT - at, "inf");
    if (d == 0.0)
        return at + (size_t)snprintf(out + at, XPM_NUMBER_TEXT - at, "0.0");
    /* Any text of up to 15 digits survives; only subnormal numbers have a shorter form that 15 digits hide. */
    for (int n = d < 2.3e-308 ? 1 : 15; n <= 17; n++) {
        count = digits_of(digits, &exponent, d, n);
        if (reads_back(digits, count, exponent, d))
            break;
    }
    if (exponent < -4 || exponent >= 16) {
        out[at++] = digits[0];
        if (count > 1) {
            out[at++] = '.';
            memcpy(out + at, digits + 1, (size_t)count - 1);
            at += (size_t)count - 1;
        }
        char sign = exponent < 0 ? '-' : '+';
        return at + (size_t)snprintf(out + at, XPM_NUMBER_TEXT - at, "e%c%02d", sign, abs(exponent));
    }
    if (exponent < 0) {
        out[at++] = '0';
        out[at++] = '.';
        for (int i = -1; i > exponent; i--)
            out[at++] = '0';
    }
    for (int i = 0; i < count || i <= exponent; i++) {
        if (exponent >= 0 && i == exponent + 1)
            out[at++] = '.';
        out[at++] = i < count ? digits[i] : '0';
    }
    if (exponent >= 0 && count <= exponent + 1) {
        out[at++] = '.';
        out[at++] = '0';
    }
    out[at] = '\0';
    return at;
}
