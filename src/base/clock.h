/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Time as text and back; reading the clocks is for loop/, core/ and programs only: decisions
 * take `now` as a parameter. */

#include "base/base.h"

enum {
    TIME_TEXT_MAX = 40
};

usec_t time_wall_now(void); /* microseconds since 1970, UTC */
usec_t time_mono_now(void); /* microseconds, monotonic */
/* The same clock as the kernel last looked at it, up to 4 ms ago: a fifth of the cost. */
usec_t time_mono_coarse(void);

/* "2026-11-22T06:51:00.123456Z" */
void time_format_iso(usec_t wall, char out[static TIME_TEXT_MAX]);
/* "2026-11-22T06:51:00Z", as Kubernetes writes metav1.Time */
void time_format_rfc3339(usec_t wall, char out[static TIME_TEXT_MAX]);
bool date_valid(int year, int month, int day); /* Gregorian; months and days from 1 */
/* RFC 3339 with or without fraction and with Z or an offset. -EINVAL else. */
_must_check_ int time_parse_rfc3339(const char *text, usec_t *ret_wall);
/* Go's duration text: "300ms", "1h2m3.5s", "-1.5h", "0". -EINVAL else. */
_must_check_ int time_parse_duration(const char *text, usec_t *ret_duration);
