/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/quantity.h"

#include <ctype.h>
#include <stdio.h>

#include "base/error.h"

#define NANO     ((__int128)1000000000)
#define NANO_MAX (NANO * NANO * NANO * NANO) /* 10^27 units; sums of many still fit */

static const char bad_text[] = "quantities must match the regular expression "
                               "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
static const char bad_suffix[] = "unable to parse quantity's suffix";

typedef struct Suffix {
    const char *text;
    QuantityFormat format;
    int base, exponent;
} Suffix;

static const Suffix suffixes[] = {
    { "n", QUANTITY_DECIMAL, 10, -9 }, { "u", QUANTITY_DECIMAL, 10, -6 },
    { "m", QUANTITY_DECIMAL, 10, -3 }, { "", QUANTITY_DECIMAL, 10, 0 },
    { "k", QUANTITY_DECIMAL, 10, 3 },  { "M", QUANTITY_DECIMAL, 10, 6 },
    { "G", QUANTITY_DECIMAL, 10, 9 },  { "T", QUANTITY_DECIMAL, 10, 12 },
    { "P", QUANTITY_DECIMAL, 10, 15 }, { "E", QUANTITY_DECIMAL, 10, 18 },
    { "Ki", QUANTITY_BINARY, 2, 10 },  { "Mi", QUANTITY_BINARY, 2, 20 },
    { "Gi", QUANTITY_BINARY, 2, 30 },  { "Ti", QUANTITY_BINARY, 2, 40 },
    { "Pi", QUANTITY_BINARY, 2, 50 },  { "Ei", QUANTITY_BINARY, 2, 60 },
};

/* The digits of a number and where its point is; more digits than can matter are dropped. */
typedef struct Digits {
    uint8_t digit[64];
    int count;
    int point; /* value is 0.DIGITS * 10^point */
    bool more; /* a dropped digit was not 0 */
} Digits;

static const char *digits_parse(const char *p, Digits *digits, bool *ret_any) {
    bool point_seen = false;

    *ret_any = false;
    for (; isdigit((unsigned char)*p) || (*p == '.' && !point_seen); p++) {
        if (*p == '.') {
            point_seen = true;
            continue;
        }
        *ret_any = true;
        if (digits->count == 0 && *p == '0') {
            digits->point -= point_seen;
            continue;
        }
        digits->point += !point_seen;
        if (digits->count < (int)ARRAY_LEN(digits->digit))
            digits->digit[digits->count++] = (uint8_t)(*p - '0');
        else
            digits->more = digits->more || *p != '0';
    }
    return p;
}

/* An exponent "e3", "E-6": Go reads an int32 and then needs the whole suffix. */
static int exponent_parse(const char *p, int *ret_exponent) {
    int64_t value;

    if (*p != 'e' && *p != 'E')
        return -EINVAL;
    if (str_to_i64(p[1] == '+' ? p + 2 : p + 1, &value) < 0 || (p[1] == '+' && p[2] == '-'))
        return -EINVAL;
    if (value < INT32_MIN || value > INT32_MAX)
        return -EINVAL;
    *ret_exponent = (int)value;
    return 0;
}

static int suffix_parse(const char *text, Suffix *ret_suffix) {
    int exponent;

    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        if (str_eq(suffixes[i].text, text)) {
            *ret_suffix = suffixes[i];
            return 0;
        }
    }
    if (exponent_parse(text, &exponent) < 0)
        return -EINVAL;
    *ret_suffix = (Suffix){ text, QUANTITY_EXPONENT, 10, exponent };
    return 0;
}

/* The digits times 10^scale as a whole number, rounded up; NANO_MAX + 1 if it is larger. */
static __int128 digits_scale(const Digits *digits, int64_t scale) {
    int64_t whole = digits->point + scale; /* how many digits are before the point */
    __int128 value = 0;
    bool rest = digits->more;

    if (digits->count == 0)
        return 0;
    if (whole > 40)
        return NANO_MAX + 1;
    for (int64_t i = 0; i < MAX(whole, (int64_t)digits->count); i++) {
        int digit = i < digits->count ? digits->digit[i] : 0;
        if (i >= whole)
            rest = rest || digit != 0;
        else if (value > NANO_MAX / 10)
            return NANO_MAX + 1;
        else
            value = value * 10 + digit;
    }
    return value + rest;
}

/* Digits times 2^bits in billionths: an exact multiplication first, then rounding up. */
static __int128 digits_scale_binary(const Digits *digits, int bits) {
    Digits shifted = *digits;
    unsigned carry = 0;

    /* Multiply the digit string by 2^bits; it grows in front by as many places as needed. */
    for (int done = 0; done < bits; done += 10) {
        carry = 0;
        for (int i = shifted.count - 1; i >= 0; i--) {
            unsigned product = shifted.digit[i] * 1024u + carry;
            shifted.digit[i] = (uint8_t)(product % 10);
            carry = product / 10;
        }
        while (carry > 0) {
            int keep = MIN(shifted.count, (int)ARRAY_LEN(shifted.digit) - 1);
            shifted.more = shifted.more || (keep < shifted.count && shifted.digit[keep] != 0);
            memmove(shifted.digit + 1, shifted.digit, (size_t)keep);
            shifted.digit[0] = (uint8_t)(carry % 10);
            shifted.count = keep + 1;
            shifted.point++;
            carry /= 10;
        }
    }
    return digits_scale(&shifted, 9);
}

int quantity_parse(const char *text, Quantity *ret_quantity) {
    bool negative = *text == '-', any;
    Digits digits = { 0 };
    Suffix suffix;

    if (!*text)
        return error_origin(-EINVAL, "%s", bad_text);
    const char *rest = digits_parse(text + (*text == '-' || *text == '+'), &digits, &any);
    if (!any || strlen(rest) > 20)
        return error_origin(-EINVAL, "%s", bad_text);
    if (rest[strspn(rest, "eEinumkKMGTP+-0123456789")])
        return error_origin(-EINVAL, "%s", bad_text);
    if (suffix_parse(rest, &suffix) < 0)
        return error_origin(-EINVAL, "%s", bad_suffix);

    __int128 nano = suffix.base == 2
                        ? MIN(digits_scale_binary(&digits, suffix.exponent), INT64_MAX * NANO)
                        : MIN(digits_scale(&digits, (int64_t)suffix.exponent + 9), NANO_MAX);
    *ret_quantity = (Quantity){ negative ? -nano : nano, suffix.format };
    return 0;
}

int quantity_from_json(const json_t *value, Quantity *ret_quantity) {
    if (json_is_string(value))
        return quantity_parse(json_string_value(value), ret_quantity);
    if (!json_is_number(value))
        return error_origin(-EINVAL, "%s", bad_text);
    _cleanup_free_ char *text = json_text(value, JSON_GO);
    return quantity_parse(text, ret_quantity);
}

Quantity quantity_of(int64_t value, QuantityFormat format) {
    return (Quantity){ value * NANO, format };
}

Quantity quantity_of_milli(int64_t milli, QuantityFormat format) {
    return (Quantity){ milli * (NANO / 1000), format };
}

/* Divides by `base` while it leaves no rest; says how often. */
static int factors_remove(__int128 *value, int base, int most) {
    int times = 0;

    while (*value != 0 && *value % base == 0 && times < most) {
        *value /= base;
        times++;
    }
    return times;
}

static void format_binary(__int128 value, char *out) {
    static const char *const names[] = { "", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei" };
    int times = factors_remove(&value, 1024, 6);

    snprintf(out, QUANTITY_TEXT_MAX, "%lld%s", (long long)value, names[times]);
}

static void format_decimal(__int128 nano, bool exponent, char *out) {
    static const char *const names[] = { "n", "u", "m", "", "k", "M", "G", "T", "P", "E" };
    int times = factors_remove(&nano, 1000, 9);
    char digits[48];
    size_t n = sizeof(digits);
    bool negative = nano < 0;

    /* What stays can be beyond 64 bits: write it digit by digit. */
    digits[--n] = 0;
    for (unsigned __int128 rest = (unsigned __int128)(negative ? -nano : nano);
         rest > 0 || n == sizeof(digits) - 1; rest /= 10)
        digits[--n] = (char)('0' + (int)(rest % 10));
    if (negative)
        digits[--n] = '-';
    if (!exponent)
        snprintf(out, QUANTITY_TEXT_MAX, "%s%s", digits + n, names[times]);
    else if (times == 3)
        snprintf(out, QUANTITY_TEXT_MAX, "%s", digits + n);
    else
        snprintf(out, QUANTITY_TEXT_MAX, "%se%d", digits + n, (times - 3) * 3);
}

void quantity_format(Quantity quantity, char out[static QUANTITY_TEXT_MAX]) {
    bool small = quantity.nano > -1024 * NANO && quantity.nano < 1024 * NANO;

    if (quantity.nano == 0)
        snprintf(out, QUANTITY_TEXT_MAX, "0");
    else if (quantity.format == QUANTITY_BINARY && !small && quantity.nano % NANO == 0)
        format_binary(quantity.nano / NANO, out);
    else
        format_decimal(quantity.nano, quantity.format == QUANTITY_EXPONENT, out);
}

int quantity_compare(Quantity a, Quantity b) {
    return (a.nano > b.nano) - (a.nano < b.nano);
}

Quantity quantity_add(Quantity a, Quantity b) {
    __int128 nano = a.nano + b.nano;

    return (Quantity){ CLAMP(nano, -NANO_MAX, NANO_MAX), a.nano ? a.format : b.format };
}

Quantity quantity_sub(Quantity a, Quantity b) {
    return quantity_add(a, (Quantity){ -b.nano, b.format });
}

/* Away from zero, as Go's ScaledValue rounds. */
static int64_t divide_up(__int128 nano, __int128 unit) {
    __int128 whole = nano / unit;

    whole += nano % unit ? (nano > 0 ? 1 : -1) : 0;
    return (int64_t)CLAMP(whole, (__int128)INT64_MIN, (__int128)INT64_MAX);
}

int64_t quantity_ceil(Quantity quantity) {
    return divide_up(quantity.nano, NANO);
}

int64_t quantity_ceil_milli(Quantity quantity) {
    return divide_up(quantity.nano, NANO / 1000);
}

Quantity quantity_round_milli(Quantity quantity) {
    const __int128 unit = NANO / 1000;
    __int128 rest = quantity.nano % unit;

    if (rest != 0)
        quantity.nano += rest > 0 ? unit - rest : -unit - rest;
    return quantity;
}

double quantity_double(Quantity quantity) {
    return (double)quantity.nano / 1e9;
}
