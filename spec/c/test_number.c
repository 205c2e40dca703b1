#include <locale.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "../support/tap.h"

static void shown(double d, const char *want)
{
    char text[XPM_NUMBER_TEXT];
    size_t n = xpm_number_format(text, d);
    tap_ok(strcmp(text, want) == 0 && n == strlen(want), "%s as %s", want, text);
}

static void all(void)
{
    shown(1.0, "1.0");
    shown(-0.0, "-0.0");
    shown(0.0, "0.0");
    shown(1e-4, "0.0001");
    shown(1e-5, "1e-05");
    shown(0.1, "0.1");
    shown(0.1 + 0.2, "0.30000000000000004");
    shown(-12.5, "-12.5");
    shown(100.0, "100.0");
    shown(123456789012345680.0, "1.2345678901234568e+17");
    shown(1e15, "1000000000000000.0");
    shown(1e16, "1e+16");
    shown(9007199254740993.0, "9007199254740992.0");
    shown(5e-324, "5e-324");
    shown(1.7976931348623157e308, "1.7976931348623157e+308");
    shown(-2.2250738585072014e-308, "-2.2250738585072014e-308");
    shown(0.00012345678901234567, "0.00012345678901234567");
    shown(-0.00012345678901234567, "-0.00012345678901234567");
    shown(INFINITY, "inf");
    shown(-INFINITY, "-inf");
    shown(NAN, "nan");
}

int main(void)
{
    char text[XPM_NUMBER_TEXT], zeros[400];
    double back;
    uint64_t seed = 88172645463325252u;
    int wrong = 0;
    all();
    tap_ok(setlocale(LC_ALL, "C") != NULL, "the locale C");
    if (setlocale(LC_ALL, "de_DE.UTF-8"))
        all();
    for (int i = 0; i < 100000; i++) {
        double d;
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        memcpy(&d, &seed, sizeof d);
        if (isnan(d) || isinf(d))
            continue;
        size_t n = xpm_number_format(text, d);
        wrong += !(xpm_number_parse(&back, text, n) && back == d && strpbrk(text, ".e"));
    }
    tap_ok(wrong == 0, "100000 random floats read back");
    memset(zeros, '0', sizeof zeros);
    zeros[1] = '.';
    zeros[399] = '5';
    tap_ok(xpm_number_parse(&back, zeros, 400) && back == 0, "a long text");
    zeros[100] = '7';
    tap_ok(xpm_number_parse(&back, zeros, 101) && back > 6.9e-99 && back < 7.1e-99, "a text of 101 characters");
    tap_ok(!xpm_number_parse(&back, "1.5x", 4) && !xpm_number_parse(&back, "", 0), "other text");
    return tap_done();
}
