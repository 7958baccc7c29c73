/* SPDX-License-Identifier: Apache-2.0 */

/* Volumes of a pod: one source each, and paths and modes within it that stay within it. */

#include "kobj/kinds_private.h"
#include "kobj/quantity.h"

enum {
    MODE_MAX = 0777
};

/* --- paths and modes --- */

static bool has_back_step(const char *path) {
    for (const char *part = path; part;) {
        const char *slash = strchr(part, '/');
        size_t len = slash ? (size_t)(slash - part) : strlen(part);
        if (len == 2 && memcmp(part, "..", 2) == 0)
            return true;
        part = slash ? slash + 1 : NULL;
    }
    return false;
}

static void back_steps_validate(Place *place, const char *key, const json_t *path) {
    if (has_back_step(json_string_value(path)))
        place_invalid(place, key, path, "must not contain '..'");
}

void relative_path_validate(Place *place, const char *key, const json_t *path) {
    const char *text = json_string_value(path);

    if (text && text[0] == '/')
        place_invalid(place, key, path, "must be a relative path");
    back_steps_validate(place, key, path);
}

/* Names that begin with ".." are the kubelet's own. */
static void file_path_validate(Place *place, const json_t *path) {
    const char *text = json_string_value(path);

    relative_path_validate(place, "path", path);
    if (text && str_starts(text, "..") && !str_starts(text, "../"))
        place_invalid(place, "path", path, "must not start with '..'");
}

static void mode_validate(Place *place, const char *key, const json_t *source) {
    const json_t *mode = json_object_get(source, key);
    int64_t bits = json_integer_value(mode);

    if (bits < 0 || bits > MODE_MAX)
        place_invalid(place, key, mode,
                      "must be a number between 0 and 0777 (octal), both inclusive");
}

static void file_validate(Place *place, const json_t *item) {
    file_path_validate(place, json_object_get(item, "path"));
    mode_validate(place, "mode", item);
}

/* Items of a configMap or secret. */
static void key_paths_validate(Place *place, const json_t *source) {
    size_t i, len = place_key(place, "items");
    json_t *item;

    json_array_foreach(json_object_get(source, "items"), i, item) {
        size_t at = place_index(place, i);
        file_validate(place, item);
        place_pop(place, at);
    }
    place_pop(place, len);
}

/* Items of a downwardAPI: Kubernetes doesn't say which of them. */
static void field_paths_validate(Place *place, const json_t *source) {
    size_t i;
    json_t *item;

    json_array_foreach(json_object_get(source, "items"), i, item)
        file_validate(place, item);
}

/* --- sources --- */

typedef void SourceFn(Place *place, const json_t *source);

static void empty_dir_validate(Place *place, const json_t *source) {
    Quantity limit;

    if (quantity_from_json(json_object_get(source, "sizeLimit"), &limit) == 0 &&
        quantity_compare(limit, QUANTITY_ZERO) < 0)
        place_forbidden(place, "sizeLimit", "SizeLimit field must be a valid resource quantity");
}

static void host_path_validate(Place *place, const json_t *source) {
    back_steps_validate(place, "path", json_object_get(source, "path"));
}

static void config_map_validate(Place *place, const json_t *source) {
    if (str_empty(json_str_at(source, "name")))
        place_required(place, "name", "");
    mode_validate(place, "defaultMode", source);
    key_paths_validate(place, source);
}

static void secret_source_validate(Place *place, const json_t *source) {
    if (str_empty(json_str_at(source, "secretName")))
        place_required(place, "secretName", "");
    mode_validate(place, "defaultMode", source);
    key_paths_validate(place, source);
}

static void downward_validate(Place *place, const json_t *source) {
    mode_validate(place, "defaultMode", source);
    field_paths_validate(place, source);
}

/* The token's path is told of at the volume. */
static void projection_validate(Place *place, const json_t *projection) {
    static const struct {
        const char *name;
        SourceFn *validate;
    } kinds[] = { { "secret", key_paths_validate },
                  { "configMap", key_paths_validate },
                  { "downwardAPI", field_paths_validate } };

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        size_t len = place_key(place, kinds[i].name);
        kinds[i].validate(place, json_object_get(projection, kinds[i].name));
        place_pop(place, len);
    }
}

static void projected_validate(Place *place, const json_t *source) {
    size_t i;
    json_t *projection;

    mode_validate(place, "defaultMode", source);
    json_array_foreach(json_object_get(source, "sources"), i, projection) {
        size_t len = place_key(place, "sources"), at = place_index(place, i);
        projection_validate(place, projection);
        place_pop(place, at);
        place_pop(place, len);
        file_path_validate(place, json_at(projection, "serviceAccountToken", "path"));
    }
}

/* In the order Kubernetes looks: the second one found is the fault. */
static const struct {
    const char *name;
    SourceFn *validate; /* NULL: the schema says it all */
} sources[] = {
    { "emptyDir", empty_dir_validate },
    { "hostPath", host_path_validate },
    { "gitRepo", NULL },
    { "secret", secret_source_validate },
    { "nfs", NULL },
    { "persistentVolumeClaim", NULL },
    { "configMap", config_map_validate },
    { "downwardAPI", downward_validate },
    { "projected", projected_validate },
    { "ephemeral", NULL },
    { "csi", NULL },
    { "image", NULL },
};

static void volume_validate(Place *place, const json_t *volume) {
    size_t found = 0;

    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        const json_t *source = json_object_get(volume, sources[i].name);
        if (!source)
            continue;
        if (found++ > 0) {
            place_forbidden(place, sources[i].name, "may not specify more than 1 volume type");
            continue;
        }
        size_t len = place_key(place, sources[i].name);
        if (sources[i].validate)
            sources[i].validate(place, source);
        place_pop(place, len);
    }
}

void volumes_validate(Place *place, const json_t *volumes) {
    size_t i, len = place_key(place, "volumes");
    json_t *volume;

    json_array_foreach((json_t *)(uintptr_t)volumes, i, volume) {
        size_t at = place_index(place, i);
        volume_validate(place, volume);
        place_pop(place, at);
    }
    place_pop(place, len);
}
