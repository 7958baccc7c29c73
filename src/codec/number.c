/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* The shortest digits of a positive number and where its point is: 0.DIGITS * 10^point. */
static int shortest_digits(double real, char digits[static 20], int *ret_count) {
    char text[NUMBER_TEXT_MAX];

    for (int precision = 0; precision <= 16; precision++) {
        snprintf(text, sizeof(text), "%.*e", precision, real);
        if (strtod(text, NULL) == real)
            break;
    }
    int count = 0;
    for (const char *p = text; *p && *p != 'e'; p++)
        if (*p != '.')
            digits[count++] = *p;
    while (count > 1 && digits[count - 1] == '0')
        count--;
    digits[count] = 0;
    *ret_count = count;
    return (int)strtol(strchr(text, 'e') + 1, NULL, 10) + 1;
}

static void format_exponent(char *out, const char *digits, int point, int width) {
    int n = snprintf(out, NUMBER_TEXT_MAX, "%c%s%s", digits[0], digits[1] ? "." : "", digits + 1);
    int exponent = point - 1;

    snprintf(out + n, (size_t)(NUMBER_TEXT_MAX - n), "e%c%0*d", exponent < 0 ? '-' : '+', width,
             abs(exponent));
}

static void format_plain(char *out, const char *digits, int count, int point) {
    if (point <= 0)
        snprintf(out, NUMBER_TEXT_MAX, "0.%0*d%s", -point, 0, digits);
    else if (point >= count)
        snprintf(out, NUMBER_TEXT_MAX, "%s%.*s", digits, point - count, "000000000000000000000");
    else
        snprintf(out, NUMBER_TEXT_MAX, "%.*s.%s", point, digits, digits + point);
    if (point == 0) /* "%0*d" prints one zero even for width 0 */
        snprintf(out, NUMBER_TEXT_MAX, "0.%s", digits);
}

void number_format(double real, NumberStyle style, char out[static NUMBER_TEXT_MAX]) {
    char digits[20];
    int count;

    ASSERT(isfinite(real));
    if (real == 0) {
        snprintf(out, NUMBER_TEXT_MAX, signbit(real) ? "-0" : "0");
        return;
    }
    if (real < 0)
        *out++ = '-';
    int point = shortest_digits(fabs(real), digits, &count);
    int exponent = point - 1;
    bool json = style == NUMBER_JSON;

    if (exponent < (json ? -6 : -4) || exponent >= (json ? 21 : 6))
        format_exponent(out, digits, point, json ? 1 : 2);
    else
        format_plain(out, digits, count, point);
}
