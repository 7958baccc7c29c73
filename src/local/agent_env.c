/* SPDX-License-Identifier: Apache-2.0 */
#include "local/agent_env.h"

#include <ctype.h>
#include <stdio.h>

#include "base/error.h"
#include "kobj/meta.h"
#include "kobj/quantity.h"

enum {
    VALUE_MAX = 2 * 1024 * 1024
};

static size_t env_find(const StrList *env, const char *name, size_t len) {
    for (size_t i = 0; i < env->len; i++)
        if (strncmp(env->items[i], name, len) == 0 && env->items[i][len] == '=')
            return i;
    return SIZE_MAX;
}

const char *env_get(const StrList *env, const char *name) {
    size_t len = strlen(name), i = env_find(env, name, len);
    return i == SIZE_MAX ? NULL : env->items[i] + len + 1;
}

void env_set(StrList *env, const char *name, const char *value) {
    size_t i = env_find(env, name, strlen(name));
    if (i == SIZE_MAX) {
        strlist_printf(env, "%s=%s", name, value);
        return;
    }
    mem_free(env->items[i]);
    env->items[i] = str_printf("%s=%s", name, value);
}

char *env_expand(const char *text, const StrList *env) {
    Buf out = { 0 };
    for (const char *at = text; *at;) {
        const char *close = at[0] == '$' && at[1] == '(' ? strchr(at, ')') : NULL;
        if (at[0] == '$' && at[1] == '$') {
            buf_add_char(&out, '$');
            at += 2;
        } else if (close) {
            _cleanup_free_ char *name = str_dup_slice((Slice){ at + 2, (size_t)(close - at - 2) });
            const char *value = env_get(env, name);
            if (value)
                buf_add_str(&out, value);
            else
                buf_add(&out, at, (size_t)(close - at + 1));
            at = close + 1;
        } else {
            buf_add_char(&out, *at++);
        }
        if (out.len > VALUE_MAX)
            break;
    }
    return buf_steal(&out);
}

/* metadata.labels['k'] and metadata.annotations['k'] */
static bool subscript(const char *path, const char *prefix, char **ret_key) {
    size_t len = strlen(prefix), total = strlen(path);
    if (!str_starts(path, prefix) || !str_starts(path + len, "['") || !str_ends(path, "']"))
        return false;
    *ret_key = str_dup_slice((Slice){ path + len + 2, total - len - 4 });
    return true;
}

/* All labels or annotations, as the downward API writes them to a file. */
static char *map_text(const json_t *map) {
    _cleanup_strlist_ StrList keys = { 0 };
    Buf out = { 0 };
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, key, value)
        strlist_add(&keys, key);
    strlist_sort(&keys);
    for (size_t i = 0; i < keys.len; i++) {
        _cleanup_free_ char *quoted = json_text(json_object_get(map, keys.items[i]), 0);
        buf_printf(&out, "%s%s=%s", i ? "\n" : "", keys.items[i], quoted);
    }
    return buf_steal(&out);
}

int env_field(const EnvSource *source, const char *path, char **ret_text) {
    const json_t *pod = source->pod->json;
    const char *account = json_str_at(pod, "spec", "serviceAccountName");
    const struct {
        const char *path, *value;
    } plain[] = {
        { "metadata.name", source->pod->name },
        { "metadata.namespace", source->pod->ns },
        { "metadata.uid", source->pod->uid },
        { "spec.nodeName", source->pod->node },
        { "spec.serviceAccountName", account ? account : "default" },
        { "status.podIP", source->pod_ip },
        { "status.podIPs", source->pod_ip },
        { "status.hostIP", source->host_ip },
        { "status.hostIPs", source->host_ip },
    };
    _cleanup_free_ char *key = NULL;
    const char *text = NULL;
    if (!path)
        return error_origin(-EINVAL, "fieldRef.fieldPath is missing");
    for (size_t i = 0; i < ARRAY_LEN(plain); i++)
        if (str_eq(path, plain[i].path)) {
            *ret_text = str_dup(plain[i].value ? plain[i].value : "");
            return 0;
        }
    if (subscript(path, "metadata.labels", &key))
        text = obj_label(pod, key);
    else if (subscript(path, "metadata.annotations", &key))
        text = obj_annotation(pod, key);
    else if (str_eq(path, "metadata.labels") || str_eq(path, "metadata.annotations")) {
        *ret_text = map_text(json_at(pod, "metadata", path + strlen("metadata.")));
        return 0;
    } else
        return error_origin(-EINVAL, "unsupported fieldPath: %s", path);
    *ret_text = str_dup(text ? text : "");
    return 0;
}

static const ContainerDef *container_named(const PodDef *pod, const char *name) {
    VEC_EACH(container, &pod->containers)
        if (str_eq(container->name, name))
            return container;
    return NULL;
}

/* The amount in billionths, or the node's where no limit is set. */
static int resource_amount(const EnvSource *source, const ContainerDef *container,
                           const char *resource, Quantity *ret_amount) {
    _cleanup_free_ char *copy = str_dup(resource);
    char *dot = strchr(copy, '.');
    if (!dot)
        return error_origin(-EINVAL, "unsupported container resource: %s", resource);
    *dot = 0;
    json_t *value = json_at(container->json, "resources", copy, dot + 1);
    if (value)
        return quantity_from_json(value, ret_amount);
    bool limit = str_eq(copy, "limits");
    if (str_eq(dot + 1, "cpu"))
        *ret_amount =
            quantity_of_milli(limit ? (int64_t)source->node_cpu_milli : 0, QUANTITY_DECIMAL);
    else if (str_eq(dot + 1, "memory"))
        *ret_amount = quantity_of(limit ? (int64_t)source->node_memory : 0, QUANTITY_BINARY);
    else
        *ret_amount = QUANTITY_ZERO;
    return 0;
}

int env_resource(const EnvSource *source, const ContainerDef *container, const json_t *reference,
                 char **ret_text) {
    const char *resource = json_str_at(reference, "resource");
    const char *named = json_str_at(reference, "containerName");
    if (named)
        container = container_named(source->pod, named);
    if (!container || !resource)
        return error_origin(-EINVAL, "resourceFieldRef: no such container or resource");
    Quantity amount, divisor = QUANTITY_ZERO;
    int r = resource_amount(source, container, resource, &amount);
    json_t *given = json_object_get(reference, "divisor");
    if (r == 0 && given)
        r = quantity_from_json(given, &divisor);
    if (r < 0)
        return r;
    __int128 by = divisor.nano > 0 ? divisor.nano : (__int128)1000000000;
    __int128 value = (amount.nano + by - 1) / by; /* rounded up, as the downward API does */
    *ret_text = str_printf("%lld", (long long)value);
    return 0;
}

static const json_t *object_get(const EnvSource *source, const char *kind, const char *name) {
    return source->object && name ? source->object(source->ctx, kind, name) : NULL;
}

/* A key of a ConfigMap (text) or Secret (base64). 1: absent and optional. */
static int key_value(const EnvSource *source, const char *kind, const json_t *reference,
                     char **ret_value) {
    const char *name = json_str_at(reference, "name"), *key = json_str_at(reference, "key");
    bool optional = json_bool_at(reference, false, "optional"), secret = str_eq(kind, "Secret");
    const json_t *object = object_get(source, kind, name);
    if (!object && !optional)
        return error_origin(-ENOENT, "%s \"%s\" not found", secret ? "secret" : "configmap",
                            name ? name : "");
    const char *text = key ? json_str_at(object, "data", key) : NULL;
    if (!text)
        return optional ? 1
                        : error_origin(-ENOENT, "couldn't find key %s in %s %s/%s", key ? key : "",
                                       kind, source->pod->ns, name);
    if (!secret) {
        *ret_value = str_dup(text);
        return 0;
    }
    _cleanup_free_ void *bytes = NULL;
    size_t len;
    int r = base64_decode(text, strlen(text), &bytes, &len);
    if (r < 0)
        return error_origin(r, "key %s of secret %s is no base64", key, name);
    *ret_value = str_dup_slice((Slice){ bytes, len });
    return 0;
}

static int value_from(const EnvSource *source, const ContainerDef *container, const json_t *from,
                      char **ret_value) {
    const json_t *field = json_object_get(from, "fieldRef");
    const json_t *resource = json_object_get(from, "resourceFieldRef");
    const json_t *config = json_object_get(from, "configMapKeyRef");
    const json_t *secret = json_object_get(from, "secretKeyRef");
    if (field)
        return env_field(source, json_str_at(field, "fieldPath"), ret_value);
    if (resource)
        return env_resource(source, container, resource, ret_value);
    if (config)
        return key_value(source, "ConfigMap", config, ret_value);
    if (secret)
        return key_value(source, "Secret", secret, ret_value);
    return error_origin(-EINVAL, "valueFrom names no source that is supported");
}

/* What a shell could name; Kubernetes leaves other keys of envFrom out. */
static bool name_valid(const char *name) {
    if (!*name || isdigit((unsigned char)*name))
        return false;
    for (const char *at = name; *at; at++)
        if (!isalnum((unsigned char)*at) && !strchr("_.-", *at))
            return false;
    return true;
}

static int add_from(const EnvSource *source, const json_t *entry, StrList *env) {
    const json_t *config = json_object_get(entry, "configMapRef");
    const json_t *secret = json_object_get(entry, "secretRef");
    const char *kind = config ? "ConfigMap" : "Secret", *prefix = json_str_at(entry, "prefix");
    const json_t *reference = config ? config : secret;
    const json_t *object = object_get(source, kind, json_str_at(reference, "name"));
    if (!object)
        return json_bool_at(reference, false, "optional")
                   ? 0
                   : error_origin(-ENOENT, "%s \"%s\" not found", config ? "configmap" : "secret",
                                  json_str_at(reference, "name") ? json_str_at(reference, "name")
                                                                 : "");
    const char *key;
    json_t *unused;
    json_object_foreach(json_object_get(object, "data"), key, unused) {
        UNUSED(unused);
        _cleanup_json_ json_t *one =
            json_pack("{s:s,s:s}", "name", json_str_at(reference, "name"), "key", key);
        _cleanup_free_ char *value = NULL;
        _cleanup_free_ char *name = str_printf("%s%s", prefix ? prefix : "", key);
        int r = key_value(source, kind, one, &value);
        if (r < 0)
            return r;
        if (name_valid(name))
            env_set(env, name, value);
    }
    return 0;
}

static int add_entry(const EnvSource *source, const ContainerDef *container, const json_t *entry,
                     StrList *env) {
    const char *name = json_str_at(entry, "name"), *plain = json_str_at(entry, "value");
    const json_t *from = json_object_get(entry, "valueFrom");
    _cleanup_free_ char *value = NULL;
    if (str_empty(name) || strchr(name, '='))
        return error_origin(-EINVAL, "an environment variable has no valid name");
    if (from) {
        int r = value_from(source, container, from, &value);
        if (r != 0)
            return r < 0 ? r : 0;
    } else {
        value = env_expand(plain ? plain : "", env);
    }
    env_set(env, name, value);
    return 0;
}

int env_resolve(const EnvSource *source, const ContainerDef *container, StrList *ret_env) {
    _cleanup_strlist_ StrList env = { 0 };
    const StrList *bases[] = { source->base, source->services };
    for (size_t b = 0; b < ARRAY_LEN(bases); b++)
        for (size_t i = 0; bases[b] && i < bases[b]->len; i++)
            strlist_add(&env, bases[b]->items[i]);
    env_set(&env, "HOSTNAME", source->pod->name);
    size_t i;
    json_t *entry;
    int r = 0;
    json_array_foreach(json_object_get(container->json, "envFrom"), i, entry)
        if ((r = add_from(source, entry, &env)) < 0)
            return r;
    json_array_foreach(json_object_get(container->json, "env"), i, entry)
        if ((r = add_entry(source, container, entry, &env)) < 0)
            return r;
    *ret_env = env;
    env = (StrList){ 0 };
    return 0;
}

int env_command(const ContainerDef *container, const StrList *env, StrList *ret_argv) {
    static const char *const fields[] = { "command", "args" };
    _cleanup_strlist_ StrList argv = { 0 };
    for (size_t f = 0; f < ARRAY_LEN(fields); f++) {
        size_t i;
        json_t *item;
        json_array_foreach(json_object_get(container->json, fields[f]), i, item) {
            const char *text = json_string_value(item);
            strlist_take(&argv, env_expand(text ? text : "", env));
        }
    }
    if (!json_array_size(json_object_get(container->json, "command")))
        return error_origin(-EINVAL,
                            "no command specified: images are not pulled here, so "
                            "container %s needs a `command`",
                            container->name);
    *ret_argv = argv;
    argv = (StrList){ 0 };
    return 0;
}
