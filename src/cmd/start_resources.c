/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <sys/statvfs.h>

#include "api/metrics.h"
#include "base/error.h"
#include "base/fd.h"
#include "cmd/ray_start.h"
#include "codec/yaml.h"
#include "model/labels.h"

enum {
    SMALL_FILE = 64 * 1024,
    LABELS_FILE_MAX = 1024 * 1024,
};
#define STORE_MIN      ((uint64_t)75 << 20)
#define STORE_MAX      ((uint64_t)200 << 30)
#define STORE_FRACTION 0.3
#define SHM_FRACTION   0.95

/* -------------------------------------------------------------------------------- machine */

/* The container's CPU quota in whole CPUs, rounded up; 0: none. */
static int64_t cpu_quota(void) {
    _cleanup_buf_ Buf v2 = { 0 }, quota_text = { 0 }, period_text = { 0 };
    int64_t quota = 0, period = 0;
    if (file_read("/sys/fs/cgroup/cpu.max", SMALL_FILE, &v2) == 0 && v2.len) {
        if (sscanf(v2.data, "%" SCNd64 " %" SCNd64, &quota, &period) != 2)
            return 0;
    } else if (file_read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", SMALL_FILE, &quota_text) == 0 &&
               file_read("/sys/fs/cgroup/cpu/cpu.cfs_period_us", SMALL_FILE, &period_text) == 0) {
        if (sscanf(quota_text.data, "%" SCNd64, &quota) != 1 ||
            sscanf(period_text.data, "%" SCNd64, &period) != 1)
            return 0;
    }
    return quota > 0 && period > 0 ? (quota + period - 1) / period : 0;
}

static int64_t count_cpus(void) {
    cpu_set_t set;
    int64_t cpus = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    int64_t quota = cpu_quota();
    return quota > 0 ? MIN(cpus, quota) : cpus;
}

static int64_t count_gpus(void) {
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    int64_t gpus = 0, named = visible && *visible;
    DIR *dir = opendir("/proc/driver/nvidia/gpus");
    if (!dir)
        return 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        gpus += entry->d_name[0] != '.';
    closedir(dir);
    if (!visible)
        return gpus;
    for (const char *p = visible; *p; p++)
        named += *p == ',';
    return MIN(gpus, named);
}

/* What is free, as the peer takes it: 30 % of it for objects, within shared memory. */
static void memory_defaults(int64_t *ret_store, int64_t *ret_memory) {
    MachineCounters counters = { 0 };
    NodeMetrics machine = { 0 };
    struct statvfs shm;
    metrics_read_machine(&counters, "/", &machine);
    uint64_t available = machine.mem_available;
    uint64_t store = (uint64_t)((double)available * STORE_FRACTION);
    if (statvfs("/dev/shm", &shm) == 0)
        store = MIN(store, (uint64_t)((double)shm.f_bavail * (double)shm.f_frsize * SHM_FRACTION));
    store = CLAMP(store, STORE_MIN, STORE_MAX);
    *ret_store = (int64_t)store;
    *ret_memory = (int64_t)(available > store ? available - store : 0);
}

/* ------------------------------------------------------------------------------- resources */

static int custom_resources(const char *text, json_t **ret_object) {
    _cleanup_json_ json_t *object = NULL;
    const char *name;
    json_t *amount;
    int r = json_parse(text, strlen(text), NULL, 0, &object);
    if (r < 0 || !json_is_object(object))
        return error_origin(-EINVAL,
                            "`--resources=%s` is not a valid JSON string, detailed error: "
                            "%s. Valid values look like this: `--resources='{\"Custom\": "
                            "1, \"Other\": 2}'`",
                            text, r < 0 ? error_text(r) : "it is no object");
    json_object_foreach(object, name, amount) {
        if (str_eq(name, "CPU") || str_eq(name, "GPU") || str_eq(name, "memory") ||
            str_eq(name, "object_store_memory"))
            return error_origin(-EINVAL,
                                "`--resources` can't set %s; use --num-cpus, --num-gpus, "
                                "--memory or --object-store-memory",
                                name);
        if (!json_is_number(amount) || json_number_value(amount) < 0)
            return error_origin(-EINVAL, "`--resources`: %s must be a number that is not negative",
                                name);
    }
    *ret_object = TAKE(object);
    return 0;
}

int start_resources(const StartArgs *args, json_t **ret_resources) {
    _cleanup_json_ json_t *custom = NULL;
    int64_t store, memory, cpus = args->num_cpus, gpus = args->num_gpus;
    int r = custom_resources(args->resources ? args->resources : "{}", &custom);
    if (r < 0)
        return r;
    memory_defaults(&store, &memory);
    if (args->object_store_memory >= 0) {
        store = args->object_store_memory;
        if ((uint64_t)store < STORE_MIN)
            return error_origin(-EINVAL,
                                "ValueError: Attempting to cap object store memory usage "
                                "at %lld bytes, but the minimum allowed is %llu bytes.",
                                (long long)store, (unsigned long long)STORE_MIN);
    }
    if (args->memory >= 0)
        memory = args->memory;
    json_t *all = json_object();
    json_object_set_new(all, "CPU", json_integer(cpus >= 0 ? cpus : count_cpus()));
    gpus = gpus >= 0 ? gpus : count_gpus();
    if (gpus > 0)
        json_object_set_new(all, "GPU", json_integer(gpus));
    json_object_set_new(all, "memory", json_integer(memory));
    json_object_set_new(all, "object_store_memory", json_integer(store));
    json_object_update(all, custom);
    *ret_resources = all;
    return 0;
}

/* --------------------------------------------------------------------------------- labels */

static int add_labels(const json_t *object, const char *option, Buf *out) {
    const char *key;
    json_t *value;
    if (!json_is_object(object))
        return error_origin(-EINVAL,
                            "`%s` is not a map of labels. Valid values look like this: "
                            "`--labels=\"key1=val1,key2=val2\"`",
                            option);
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        if (!json_is_string(value))
            return error_origin(-EINVAL, "`%s`: the value of %s is no string", option, key);
        buf_printf(out, "%s%s=%s", out->len ? "," : "", key, json_string_value(value));
    }
    return 0;
}

static int labels_from_file(const char *path, Buf *out) {
    _cleanup_buf_ Buf text = { 0 };
    _cleanup_json_ json_t *object = NULL;
    int r = file_read(path, LABELS_FILE_MAX, &text);
    if (r == 0)
        r = yaml_parse(text.data ? text.data : "", text.len, NULL, &object);
    if (r < 0)
        return error_origin(-EINVAL,
                            "The file at `--labels-file=%s` is not a valid YAML file, "
                            "detailed error: %s",
                            path, error_text(r));
    return add_labels(object, "--labels-file", out);
}

static int check_labels(const StartArgs *args, const char *text) {
    _cleanup_labels_ Labels labels = { 0 };
    int r = labels_parse(&labels, text);
    if (r == 0)
        return 0;
    return error_origin(
        -EINVAL,
        "`--labels=%s` is not a valid string of key-value pairs, detailed error: %s "
        "Valid values look like this: `--labels=\"key1=val1,key2=val2\"`",
        args->labels ? args->labels : "", error_text(r));
}

int start_labels(const StartArgs *args, char **ret_labels) {
    _cleanup_buf_ Buf out = { 0 };
    _cleanup_json_ json_t *object = NULL;
    int r = str_empty(args->labels_file) ? 0 : labels_from_file(args->labels_file, &out);
    if (r == 0 && !str_empty(args->labels)) {
        /* The later one of two equal keys wins, so those of the line come last. */
        if (args->labels[0] == '{')
            r = json_parse(args->labels, strlen(args->labels), NULL, 0, &object);
        if (r == 0 && object)
            r = add_labels(object, "--labels", &out);
        else if (r == 0)
            buf_printf(&out, "%s%s", out.len ? "," : "", args->labels);
    }
    if (r == 0 && out.len)
        r = check_labels(args, out.data);
    if (r == 0)
        *ret_labels = buf_steal(&out);
    return r;
}
