/* SPDX-License-Identifier: Apache-2.0 */
#include "local/object.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"

static Object *object_make(uint64_t revision, const char *ns, const char *name) {
    size_t ns_size = strlen(ns) + 1, name_size = strlen(name) + 1;
    Object *object = mem_zalloc(sizeof(*object) + ns_size + name_size);
    char *strings = (char *)(object + 1);
    memcpy(strings, ns, ns_size);
    memcpy(strings + ns_size, name, name_size);
    object->refs = 1;
    object->revision = revision;
    object->ns = strings;
    object->name = strings + ns_size;
    object->keeps_value = true;
    return object;
}

Object *object_new(uint64_t revision, const char *ns, const char *name, json_t *value) {
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, revision);
    json_t *metadata = json_object_get(value, "metadata");
    ASSERT(json_is_object(metadata));
    json_object_set_new(metadata, "resourceVersion", json_string(text));

    Object *object = object_make(revision, ns, name);
    object->text = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(17));
    ASSERT(object->text);
    object->len = strlen(object->text);
    object->keeps_value = object->len <= OBJECT_TREE_MAX;
    if (object->keeps_value)
        object->value = value;
    else
        json_decref(value);
    return object;
}

Object *object_new_text(uint64_t revision, const char *ns, const char *name, const char *text,
                        size_t len) {
    Object *object = object_make(revision, ns, name);
    object->text = str_dup_slice((Slice){ text, len });
    object->len = len;
    object->keeps_value = len <= OBJECT_TREE_MAX;
    return object;
}

Object *object_ref(Object *object) {
    ASSERT(object->refs > 0);
    object->refs++;
    return object;
}

Object *object_unref(Object *object) {
    if (!object)
        return NULL;
    ASSERT(object->refs > 0);
    if (--object->refs > 0)
        return NULL;
    json_decref(object->value);
    free(object->text);
    free(object);
    return NULL;
}

json_t *object_value(Object *object) {
    object->used = true;
    if (object->value)
        return json_incref(object->value);
    json_t *value = json_loadb(object->text, object->len, 0, NULL);
    ASSERT(value); /* the text is our own or was checked when it was loaded */
    if (object->keeps_value)
        object->value = json_incref(value);
    return value;
}

void object_rest(Object *object) {
    bool used = object->used;
    object->used = false;
    if (used)
        return;
    json_decref(object->value);
    object->value = NULL;
}

void object_retire(Object *object) {
    object->keeps_value = false;
    json_decref(object->value);
    object->value = NULL;
}
