/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Changes JSON as JSON, for targets whose input is that: most changed bytes are no JSON any more, or
 * a name that nobody asks for. A value becomes a literal or another of the document's, moves under
 * another's name, goes, or comes twice; a third of the changes are libFuzzer's own, on the bytes.
 */

#include <jansson.h>

#include "base/map.h"
#include "base/vec.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

typedef struct Place { /* of a value */
    json_t *in;
    const char *key;   /* in an object */
    size_t index;      /* in an array */
    json_t *value;
} Place;

typedef struct Document {
    Vec(Place) places;
    uint64_t random;
} Document;

enum {
    PLACES_MAX = 4000,
    TEXT_MAX = 256
};

static size_t pick(Document *doc, size_t below) {
    doc->random = doc->random * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(doc->random >> 33) % below;
}

static void collect(Document *doc, json_t *value) {
    const char *key;
    json_t *member;
    size_t i;
    if (doc->places.len >= PLACES_MAX)
        return;
    json_object_foreach(value, key, member) {
        vec_push(&doc->places, ((Place){ value, key, 0, member }));
        collect(doc, member);
    }
    json_array_foreach(value, i, member) {
        vec_push(&doc->places, ((Place){ value, NULL, i, member }));
        collect(doc, member);
    }
}

static json_t *literal(Document *doc) {
    static const char *const texts[] = {
        "null",        "true",    "false",      "0",
        "1",           "-1",      "2147483648", "9223372036854775807",
        "0.5",         "1e30",    "\"\"",       "\"a\"",
        "\"1\"",       "\"0\"",   "\"100m\"",   "\"1Gi\"",
        "\"-1\"",      "\"a/b\"", "\"a.b\"",    "\"2001-01-02T03:04:05Z\"",
        "\"true\"",    "\"*\"",   "[]",         "{}",
        "[null]",      "[\"a\"]", "[{}]",       "{\"a\":\"b\"}",
        "{\"\":null}", "[[]]",
    };
    return json_loads(texts[pick(doc, ARRAY_LEN(texts))], JSON_DECODE_ANY, NULL);
}

/* Another text of about the same bytes; NULL: it is none. */
static json_t *text_changed(const json_t *value) {
    uint8_t text[TEXT_MAX];
    size_t len = MIN(json_string_length(value), (size_t)TEXT_MAX / 2);
    memcpy(text, json_string_value(value), len);
    len = LLVMFuzzerMutate(text, len, TEXT_MAX);
    return memchr(text, 0, len) ? NULL : json_stringn((const char *)text, len);
}

static json_t *changed(Document *doc, const Place *place, const Place *other) {
    json_t *value = NULL;
    switch (pick(doc, 4)) {
    case 0:
        return literal(doc);
    case 1:
        return json_deep_copy(other->value);
    case 2:
        if (json_is_string(place->value))
            value = text_changed(place->value);
        break;
    default:
        if (json_is_integer(place->value))
            value = json_integer((json_int_t)((uint64_t)json_integer_value(place->value) +
                                              (pick(doc, 2) ? 1 : UINT64_MAX)));
    }
    return value ? value : literal(doc);
}

static void change(Document *doc) {
    const Place *place = &doc->places.items[pick(doc, doc->places.len)];
    const Place *other = &doc->places.items[pick(doc, doc->places.len)];
    size_t how = pick(doc, 8);
    if (how == 0 && json_is_array(place->in)) {
        json_array_remove(place->in, place->index);
    } else if (how == 0) {
        json_object_del(place->in, place->key);
    } else if (how == 1 && json_is_array(place->in)) {
        json_array_append_new(place->in, json_deep_copy(other->value));
    } else if (how <= 2 && json_is_object(place->in) && other->key) {
        json_object_set_new(place->in, other->key, json_deep_copy(place->value));
    } else if (json_is_array(place->in)) {
        json_array_set_new(place->in, place->index, changed(doc, place, other));
    } else {
        json_object_set_new(place->in, place->key, changed(doc, place, other));
    }
}

/* NULL: there is nothing to change, or it is too long. */
static char *mutate(json_t *root, unsigned seed, size_t max) {
    Document doc = { .random = seed };
    for (size_t times = 1 + seed / 7 % 3; times > 0; times--) {
        vec_clear(&doc.places);
        collect(&doc, root);
        if (doc.places.len)
            change(&doc);
    }
    bool any = doc.places.len > 0;
    vec_done(&doc.places);
    char *text = any ? json_dumps(root, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    if (text && strlen(text) <= max)
        return text;
    free(text);
    return NULL;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed) {
    json_t *root = seed % 3 ? json_loadb((const char *)data, size, JSON_DECODE_ANY, NULL) : NULL;
    char *text = root ? mutate(root, seed / 3, max) : NULL;
    json_decref(root);
    if (!text)
        return LLVMFuzzerMutate(data, size, max);
    size = strlen(text);
    memcpy(data, text, size);
    free(text);
    return size;
}
