/* SPDX-License-Identifier: Apache-2.0 */
#include "local/meta.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "codec/json.h"

usec_t meta_time(const json_t *value) {
    usec_t wall = 0;
    const char *text = json_string_value(value);
    if (!text || time_parse_rfc3339(text, &wall) < 0)
        return 0;
    return wall;
}

usec_t meta_created(const json_t *object) {
    return meta_time(json_at(object, "metadata", "creationTimestamp"));
}

bool condition_is_true(const json_t *object, const char *type) {
    return str_eq(json_str_at(obj_condition(object, type), "status"), "True");
}

bool condition_set(json_t *status, const char *type, const char *value, const char *reason,
                   const char *message, usec_t now_wall) {
    json_t *conditions = json_make_array(status, "conditions");
    return obj_set_condition(conditions, type, value, reason, message, 0, now_wall);
}

json_t *meta_time_json(usec_t wall) {
    char text[TIME_TEXT_MAX];
    time_format_rfc3339(wall, text);
    return json_string(text);
}

void meta_random_uid(char out[static 37]) {
    uint8_t b[16];
    mem_random(b, sizeof(b));
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    snprintf(out, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
             b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
             b[14], b[15]);
}
