/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/ray_start.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/error.h"
#include "kobj/quantity.h"
#include "operator/names.h"
#include "operator/spec.h"

static void set_default(json_t *params, const char *key, const char *value) {
    if (!json_object_get(params, key))
        json_object_set_new(params, key, json_string(value));
}

static void set_amount(json_t *params, const char *key, Quantity amount) {
    json_set_printf(params, key, "%" PRId64, quantity_ceil(amount));
}

/* Digits after "nvidia.com/mig-": "2g.32gb". */
static bool is_mig(const char *name) {
    const char *c = strstr(name, "nvidia.com/mig-");
    if (!c)
        return false;
    c += strlen("nvidia.com/mig-");
    size_t slices = strspn(c, "0123456789");
    if (slices == 0 || strncmp(c + slices, "g.", 2) != 0)
        return false;
    c += slices + 2;
    size_t memory = strspn(c, "0123456789");
    return memory > 0 && str_eq(c + memory, "gb");
}

bool resource_is_gpu(const char *name) {
    return str_ends(name, "gpu") || is_mig(name);
}

/* {"Custom": 2} in the single quotes that keep bash out of it. */
static void set_custom(json_t *params, const json_t *resources) {
    _cleanup_free_ char *text = json_text(resources, JSON_GO | JSON_SORTED);
    json_set_printf(params, "resources", "'%s'", text);
}

/* The group's own `resources`, which exclude the parameters they set. Names in any case. */
static void add_group_resources(json_t *params, const json_t *resources) {
    _cleanup_json_ json_t *custom = json_object();
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)resources, name, value) {
        Quantity amount;
        if (quantity_from_json(value, &amount) < 0)
            continue;
        _cleanup_free_ char *lower = str_dup(name);
        for (char *c = lower; *c; c++)
            *c = (char)tolower((unsigned char)*c);
        if (str_eq(lower, "cpu"))
            set_amount(params, "num-cpus", amount);
        else if (str_eq(lower, "memory"))
            set_amount(params, "memory", amount);
        else if (resource_is_gpu(lower))
            set_amount(params, "num-gpus", amount);
        else
            json_object_set_new(custom, name, json_real(quantity_double(amount)));
    }
    if (json_object_size(custom) > 0)
        set_custom(params, custom);
}

static int compare_keys(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The keys of an object in byte order; borrowed from it, the array is the caller's. */
static const char **sorted_keys(const json_t *object, size_t *ret_len) {
    size_t len = 0;
    const char **keys = mem_array(const char *, json_object_size(object) + 1);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
        keys[len++] = key;
    qsort(keys, len, sizeof(*keys), compare_keys);
    *ret_len = len;
    return keys;
}

static void add_group_labels(json_t *params, const json_t *labels) {
    if (json_object_size(labels) == 0)
        return;
    size_t len;
    _cleanup_free_ const char **keys = sorted_keys(labels, &len);
    _cleanup_buf_ Buf text = { 0 };
    for (size_t i = 0; i < len; i++) {
        const char *value = json_str_at(labels, keys[i]);
        buf_printf(&text, "%s%s=%s", i ? "," : "", keys[i], value ? value : "");
    }
    json_object_set_new(params, "labels", json_string(text.data));
}

static void add_defaults(json_t *params, const RayNode *node) {
    if (node->head) {
        set_default(params, "dashboard-host", "0.0.0.0");
        /* The autoscaler runs beside the head, so the head must not start its own. */
        if (spec_autoscaling(json_at(node->cluster, "spec")))
            json_object_set_new(params, "no-monitor", json_string("true"));
    } else if (!json_object_get(params, "address")) {
        json_set_printf(params, "address", "%s:%s", node->head_host, node->gcs_port);
    }
    set_default(params, "metrics-export-port", "8080");
    set_default(params, "dashboard-agent-listen-port", "52365");
    json_object_set_new(params, "block", json_string("true")); /* else the container ends */
}

/* Redis credentials travel by environment; the parameters only refer to it. */
static void add_redis(json_t *params, const RayNode *node) {
    const json_t *options = json_at(node->cluster, "spec", "gcsFaultToleranceOptions");
    if (!node->head || !options || spec_uses_rocksdb(json_at(node->cluster, "spec")))
        return;
    if (json_at(options, "redisUsername"))
        json_object_set_new(params, "redis-username", json_string("$REDIS_USERNAME"));
    if (json_at(options, "redisPassword"))
        json_object_set_new(params, "redis-password", json_string("$REDIS_PASSWORD"));
}

static bool nonzero(const json_t *value, Quantity *ret_amount) {
    return value && quantity_from_json(value, ret_amount) == 0 && ret_amount->nano != 0;
}

static void add_cpu_and_memory(json_t *params, const json_t *container) {
    Quantity amount;
    if (!json_object_get(params, "num-cpus") &&
        (nonzero(json_at(container, "resources", "limits", "cpu"), &amount) ||
         nonzero(json_at(container, "resources", "requests", "cpu"), &amount)))
        set_amount(params, "num-cpus", amount);
    if (!json_object_get(params, "memory") &&
        nonzero(json_at(container, "resources", "limits", "memory"), &amount))
        set_amount(params, "memory", amount);
}

/* Ray's own names for accelerators that are not GPUs. */
static const char *accelerator_name(const char *resource) {
    if (str_eq(resource, "aws.amazon.com/neuroncore"))
        return "neuron_cores";
    return str_eq(resource, "google.com/tpu") ? "TPU" : NULL;
}

/* The user's `resources` parameter as an object, whatever quotes are around it; -EINVAL if it is
 * no JSON object of numbers (then nothing can be merged into it). */
static int custom_of(const json_t *params, json_t **ret_custom) {
    const char *text = json_str_at(params, "resources");
    if (!text) {
        *ret_custom = json_object();
        return 0;
    }
    size_t begin = strspn(text, "'\"` "), len = strlen(text);
    while (len > begin && strchr("'\"` ", text[len - 1]))
        len--;
    _cleanup_json_ json_t *custom = NULL;
    int r = json_parse(text + begin, len - begin, NULL, 0, &custom);
    if (r < 0)
        return r;
    if (!json_is_object(custom))
        return -EINVAL;
    *ret_custom = TAKE(custom);
    return 0;
}

/* The first GPU limit by name becomes num-gpus, the first other accelerator a custom resource,
 * unless the user has given one of that kind. */
static void add_accelerators(json_t *params, const json_t *container) {
    const json_t *limits = json_at(container, "resources", "limits");
    _cleanup_json_ json_t *custom = NULL;
    if (json_object_size(limits) == 0 || custom_of(params, &custom) < 0)
        return;
    bool has_other = json_object_get(custom, "neuron_cores") || json_object_get(custom, "TPU");
    size_t len;
    _cleanup_free_ const char **names = sorted_keys(limits, &len);
    for (size_t i = 0; i < len; i++) {
        Quantity amount;
        if (!nonzero(json_object_get(limits, names[i]), &amount))
            continue;
        if (resource_is_gpu(names[i]) && !json_object_get(params, "num-gpus"))
            set_amount(params, "num-gpus", amount);
        const char *other = accelerator_name(names[i]);
        if (!other || has_other)
            continue;
        json_object_set_new(custom, other, json_real(quantity_double(amount)));
        set_custom(params, custom);
        has_other = true;
    }
}

json_t *ray_params_complete(const RayNode *node, const json_t *container) {
    json_t *params = json_object();
    const char *key;
    json_t *value;
    json_object_foreach(json_at(node->group, "rayStartParams"), key, value)
        json_object_set(params, key, value);
    add_group_resources(params, json_at(node->group, "resources"));
    add_group_labels(params, json_at(node->group, "labels"));
    add_defaults(params, node);
    add_redis(params, node);
    add_cpu_and_memory(params, container);
    add_accelerators(params, container);
    return params;
}

/* Flags that take "=false" as a value; for any other, false means to leave it out. */
static bool takes_false(const char *option) {
    return str_eq(option, "log-color") || str_eq(option, "include-dashboard") ||
           str_eq(option, "include-log-monitor");
}

void ray_params_render(const RayNode *node, const json_t *params, Buf *out) {
    buf_add_str(out, node->head ? "ray start --head " : "ray start ");
    size_t len;
    _cleanup_free_ const char **keys = sorted_keys(params, &len);
    for (size_t i = 0; i < len; i++) {
        const char *value = json_str_at(params, keys[i]);
        if (!value)
            value = "";
        bool on = str_eq_nocase(value, "true"), off = str_eq_nocase(value, "false");
        if ((!on && !off) || takes_false(keys[i]))
            buf_printf(out, " --%s=%s ", keys[i], value);
        else if (on)
            buf_printf(out, " --%s ", keys[i]);
    }
}
