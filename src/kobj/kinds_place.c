/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/kinds_private.h"
#include "kobj/names.h"

static size_t place_enter(Place *place, const char *key) {
    return *key ? place_key(place, key) : place->path.len;
}

static const char *place_field(const Place *place) {
    return place->path.data ? place->path.data : "";
}

void place_required(Place *place, const char *key, const char *detail) {
    size_t len = place_enter(place, key);

    faults_add_required(place->faults, place_field(place), detail);
    place_pop(place, len);
}

void place_invalid(Place *place, const char *key, const json_t *value, const char *detail) {
    size_t len = place_enter(place, key);

    faults_add_invalid(place->faults, place_field(place), value, detail);
    place_pop(place, len);
}

void place_invalid_text(Place *place, const char *key, const char *value, const char *detail) {
    _cleanup_json_ json_t *text = json_string(value);

    place_invalid(place, key, text, detail);
}

void place_forbidden(Place *place, const char *key, const char *detail) {
    size_t len = place_enter(place, key);

    faults_add_forbidden(place->faults, place_field(place), detail);
    place_pop(place, len);
}

void place_unsupported(Place *place, const char *key, const json_t *value, const char *supported) {
    _cleanup_json_ json_t *list = json_array();
    _cleanup_free_ char *copy = str_dup(supported);
    char *rest = NULL;

    for (char *word = strtok_r(copy, ",", &rest); word; word = strtok_r(NULL, ",", &rest))
        json_array_append_new(list, json_string(word));
    size_t len = place_enter(place, key);
    faults_add_unsupported(place->faults, place_field(place), value, list);
    place_pop(place, len);
}

void place_labels(Place *place, const json_t *labels) {
    const char *key, *why;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)labels, key, value) {
        why = name_check_qualified(key);
        if (why)
            place_invalid_text(place, "", key, why);
        const char *text = json_is_string(value) ? json_string_value(value) : "";
        why = name_check_label_value(text);
        if (why)
            place_invalid_text(place, "", text, why);
    }
}

void place_immutable(Place *place, const char *key, const json_t *value, const json_t *old) {
    const json_t *now = json_object_get(value, key), *before = json_object_get(old, key);

    if (!json_same(now, before))
        place_invalid(place, key, now, "field is immutable");
}
