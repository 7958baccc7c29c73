/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <time.h>

static usec_t clock_now(clockid_t clock) {
    struct timespec ts;
    clock_gettime(clock, &ts);
    return ts.tv_sec * USEC_PER_SEC + ts.tv_nsec / 1000;
}

usec_t time_wall_now(void) {
    return clock_now(CLOCK_REALTIME);
}

usec_t time_mono_now(void) {
    return clock_now(CLOCK_MONOTONIC);
}

usec_t time_mono_coarse(void) {
    return clock_now(CLOCK_MONOTONIC_COARSE);
}

/* To the second, as ISO 8601 has it: years have four digits. Returns the length. */
static size_t format_seconds(usec_t wall, char out[static TIME_TEXT_MAX], int *ret_usec) {
    usec_t sec = wall / USEC_PER_SEC, usec = wall % USEC_PER_SEC;
    if (usec < 0) {
        usec += USEC_PER_SEC;
        sec--;
    }
    time_t t = (time_t)sec;
    struct tm tm;
    gmtime_r(&t, &tm);
    *ret_usec = (int)usec;
    size_t n = (size_t)snprintf(out, TIME_TEXT_MAX, "%04d", tm.tm_year + 1900);
    return n + strftime(out + n, TIME_TEXT_MAX - n, "-%m-%dT%H:%M:%S", &tm);
}

void time_format_iso(usec_t wall, char out[static TIME_TEXT_MAX]) {
    int usec;
    size_t n = format_seconds(wall, out, &usec);
    snprintf(out + n, TIME_TEXT_MAX - n, ".%06dZ", usec);
}

void time_format_rfc3339(usec_t wall, char out[static TIME_TEXT_MAX]) {
    int usec;
    size_t n = format_seconds(wall, out, &usec);
    snprintf(out + n, TIME_TEXT_MAX - n, "Z");
}

static bool take_digits(const char **at, int count, int *ret_value) {
    int value = 0;
    for (int i = 0; i < count; i++, (*at)++) {
        if (!isdigit((unsigned char)**at))
            return false;
        value = value * 10 + (**at - '0');
    }
    *ret_value = value;
    return true;
}

static bool take_char(const char **at, const char *any) {
    if (!**at || !strchr(any, **at))
        return false;
    (*at)++;
    return true;
}

bool date_valid(int year, int month, int day) {
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1] + (month == 2 && leap);
}

int time_parse_rfc3339(const char *text, usec_t *ret_wall) {
    struct tm tm = { 0 };
    const char *at = text;
    bool ok = take_digits(&at, 4, &tm.tm_year) && take_char(&at, "-") &&
              take_digits(&at, 2, &tm.tm_mon) && take_char(&at, "-") &&
              take_digits(&at, 2, &tm.tm_mday) && take_char(&at, "Tt ") &&
              take_digits(&at, 2, &tm.tm_hour) && take_char(&at, ":") &&
              take_digits(&at, 2, &tm.tm_min) && take_char(&at, ":") &&
              take_digits(&at, 2, &tm.tm_sec);
    if (!ok || !date_valid(tm.tm_year, tm.tm_mon, tm.tm_mday) || tm.tm_hour > 23 ||
        tm.tm_min > 59 || tm.tm_sec > 60)
        return -EINVAL;
    usec_t fraction = 0, unit = USEC_PER_SEC / 10;
    if (take_char(&at, ".")) {
        if (!isdigit((unsigned char)*at))
            return -EINVAL;
        for (; isdigit((unsigned char)*at); at++, unit /= 10)
            fraction += (*at - '0') * unit;
    }
    int sign = 0, hours = 0, minutes = 0;
    if (!take_char(&at, "Zz")) {
        sign = *at == '+' ? 1 : *at == '-' ? -1 : 0;
        if (!sign || !take_char(&at, "+-") || !take_digits(&at, 2, &hours) ||
            !take_char(&at, ":") || !take_digits(&at, 2, &minutes) || hours > 23 || minutes > 59)
            return -EINVAL;
    }
    if (*at)
        return -EINVAL;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    usec_t offset = (usec_t)sign * (hours * 3600 + minutes * 60);
    *ret_wall = ((usec_t)timegm(&tm) - offset) * USEC_PER_SEC + fraction;
    return 0;
}

int time_parse_duration(const char *text, usec_t *ret_duration) {
    static const struct {
        const char *name;
        double usec;
    } units[] = { { "ns", 1e-3 }, { "us", 1 },   { "ms", 1e3 },
                  { "s", 1e6 },   { "m", 60e6 }, { "h", 3600e6 } };
    const char *at = text;
    double sign = *at == '-' ? -1 : 1, total = 0;
    if (*at == '-' || *at == '+')
        at++;
    if (strcmp(at, "0") == 0) {
        *ret_duration = 0;
        return 0;
    }
    if (!*at)
        return -EINVAL;
    while (*at) {
        double value = 0, scale = 1;
        bool any = false;
        for (; isdigit((unsigned char)*at); at++, any = true)
            value = value * 10 + (*at - '0');
        if (*at == '.')
            for (at++; isdigit((unsigned char)*at); at++, any = true)
                value += (*at - '0') * (scale /= 10);
        size_t letters = strspn(at, "nusmh");
        size_t i = 0;
        while (i < ARRAY_LEN(units) &&
               !(strlen(units[i].name) == letters && strncmp(at, units[i].name, letters) == 0))
            i++;
        if (!any || i == ARRAY_LEN(units))
            return -EINVAL;
        at += letters;
        total += value * units[i].usec;
    }
    if (total > 9e18)
        return -EINVAL;
    *ret_duration = (usec_t)(sign * total);
    return 0;
}
