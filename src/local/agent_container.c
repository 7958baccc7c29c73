/* SPDX-License-Identifier: Apache-2.0 */
#include "local/agent_container.h"

#include <linux/capability.h>

#include "base/error.h"

void container_spec_done(ContainerSpec *spec) {
    strlist_done(&spec->argv);
    strlist_done(&spec->env);
    strlist_done(&spec->hide);
    VEC_EACH(mount, &spec->mounts) {
        mem_free(mount->source);
        mem_free(mount->sub);
        mem_free(mount->target);
    }
    vec_done(&spec->mounts);
    vec_done(&spec->groups);
    mem_free(spec->cwd);
    mem_free(spec->cgroup);
    mem_free(spec->log);
    *spec = (ContainerSpec){ 0 };
}

static json_t *encode_list(const StrList *list) {
    json_t *array = json_array();
    for (size_t i = 0; i < list->len; i++)
        json_array_append_new(array, json_string_nocheck(list->items[i]));
    return array;
}

static json_t *encode_text(const char *text) {
    return text ? json_string_nocheck(text) : json_null();
}

static json_t *encode_mounts(const ContainerSpec *spec) {
    json_t *array = json_array();
    VEC_EACH(mount, &spec->mounts)
        json_array_append_new(
            array, json_pack("{s:o,s:o,s:o,s:I,s:b}", "source", encode_text(mount->source), "sub",
                             encode_text(mount->sub), "target", encode_text(mount->target), "size",
                             (json_int_t)mount->size, "readOnly", mount->read_only));
    return array;
}

static json_t *encode_limits(const CgroupLimits *limits) {
    return json_pack("{s:I,s:I,s:I,s:I}", "memory", (json_int_t)limits->memory_max, "cpu",
                     (json_int_t)limits->cpu_milli, "weight", (json_int_t)limits->cpu_weight_milli,
                     "pids", (json_int_t)limits->pids_max);
}

json_t *container_spec_encode(const ContainerSpec *spec) {
    json_t *groups = json_array();
    VEC_EACH(group, &spec->groups)
        json_array_append_new(groups, json_integer(*group));
    json_t *json = json_object();
    json_object_set_new(json, "argv", encode_list(&spec->argv));
    json_object_set_new(json, "env", encode_list(&spec->env));
    json_object_set_new(json, "hide", encode_list(&spec->hide));
    json_object_set_new(json, "cwd", encode_text(spec->cwd));
    json_object_set_new(json, "uid", json_integer(spec->uid));
    json_object_set_new(json, "gid", json_integer(spec->gid));
    json_object_set_new(json, "groups", groups);
    json_object_set_new(json, "mounts", encode_mounts(spec));
    json_object_set_new(json, "shmSize", json_integer((json_int_t)spec->shm_size));
    json_object_set_new(json, "capabilities", json_integer((json_int_t)spec->capabilities));
    json_object_set_new(json, "privileged", json_boolean(spec->privileged));
    json_object_set_new(json, "noNewPrivileges", json_boolean(spec->no_new_privileges));
    json_object_set_new(json, "readOnlyRoot", json_boolean(spec->read_only_root));
    json_object_set_new(json, "stdin", json_boolean(spec->input));
    json_object_set_new(json, "stdinOnce", json_boolean(spec->input_once));
    json_object_set_new(json, "tty", json_boolean(spec->tty));
    json_object_set_new(json, "cgroup", encode_text(spec->cgroup));
    json_object_set_new(json, "limits", encode_limits(&spec->limits));
    json_object_set_new(json, "log", encode_text(spec->log));
    json_object_set_new(json, "logMax", json_integer((json_int_t)spec->log_max));
    json_object_set_new(json, "logFiles", json_integer(spec->log_files));
    return json;
}

static int decode_list(const json_t *json, const char *field, StrList *list) {
    json_t *array = json_object_get(json, field);
    if (!json_is_array(array))
        return error_origin(-EINVAL, "container: %s is no list", field);
    size_t i;
    json_t *item;
    json_array_foreach(array, i, item) {
        if (!json_is_string(item))
            return error_origin(-EINVAL, "container: %s[%zu] is no string", field, i);
        strlist_add(list, json_string_value(item));
    }
    return 0;
}

static uint64_t decode_number(const json_t *json, const char *field) {
    return (uint64_t)json_int_at(json, 0, field);
}

static int decode_mounts(const json_t *json, ContainerSpec *spec) {
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(json, "mounts"), i, item) {
        const char *target = json_str_at(item, "target");
        if (!target || target[0] != '/')
            return error_origin(-EINVAL, "container: mounts[%zu].target is no absolute path", i);
        vec_push(&spec->mounts,
                 (ContainerMount){ .source = str_dup(json_str_at(item, "source")),
                                   .sub = str_dup(json_str_at(item, "sub")),
                                   .target = str_dup(target),
                                   .size = decode_number(item, "size"),
                                   .read_only = json_bool_at(item, false, "readOnly") });
    }
    return 0;
}

static void decode_plain(const json_t *json, ContainerSpec *spec) {
    size_t i;
    json_t *group;
    json_array_foreach(json_object_get(json, "groups"), i, group)
        vec_push(&spec->groups, (gid_t)json_integer_value(group));
    spec->cwd = str_dup(json_str_at(json, "cwd"));
    spec->cgroup = str_dup(json_str_at(json, "cgroup"));
    spec->log = str_dup(json_str_at(json, "log"));
    spec->uid = (uint32_t)decode_number(json, "uid");
    spec->gid = (uint32_t)decode_number(json, "gid");
    spec->shm_size = decode_number(json, "shmSize");
    spec->capabilities = decode_number(json, "capabilities");
    spec->log_max = decode_number(json, "logMax");
    spec->log_files = (unsigned)decode_number(json, "logFiles");
    spec->privileged = json_bool_at(json, false, "privileged");
    spec->no_new_privileges = json_bool_at(json, false, "noNewPrivileges");
    spec->read_only_root = json_bool_at(json, false, "readOnlyRoot");
    spec->input = json_bool_at(json, false, "stdin");
    spec->input_once = json_bool_at(json, false, "stdinOnce");
    spec->tty = json_bool_at(json, false, "tty");
    const json_t *limits = json_object_get(json, "limits");
    spec->limits = (CgroupLimits){ .memory_max = decode_number(limits, "memory"),
                                   .cpu_milli = decode_number(limits, "cpu"),
                                   .cpu_weight_milli = decode_number(limits, "weight"),
                                   .pids_max = decode_number(limits, "pids") };
}

int container_spec_decode(const json_t *json, ContainerSpec *ret_spec) {
    _cleanup_container_spec_ ContainerSpec spec = { 0 };
    int r = decode_list(json, "argv", &spec.argv);
    if (r == 0)
        r = decode_list(json, "env", &spec.env);
    if (r == 0)
        r = decode_list(json, "hide", &spec.hide);
    if (r == 0)
        r = decode_mounts(json, &spec);
    if (r < 0)
        return r;
    decode_plain(json, &spec);
    if (!spec.argv.len || !spec.log || !spec.log_files)
        return error_origin(-EINVAL, "container: argv, log and logFiles are needed");
    *ret_spec = spec;
    spec = (ContainerSpec){ 0 };
    return 0;
}

/* By number. */
static const char *const capability_names[] = {
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
};

uint64_t container_capability_bits(const char *name) {
    if (str_starts(name, "CAP_"))
        name += 4;
    if (str_eq_nocase(name, "ALL"))
        return (UINT64_C(1) << ARRAY_LEN(capability_names)) - 1;
    for (size_t i = 0; i < ARRAY_LEN(capability_names); i++)
        if (str_eq_nocase(name, capability_names[i]))
            return UINT64_C(1) << i;
    return 0;
}

uint64_t container_capabilities_default(void) {
    static const int defaults[] = { CAP_CHOWN,      CAP_DAC_OVERRIDE, CAP_FSETID,
                                    CAP_FOWNER,     CAP_NET_RAW,      CAP_SETGID,
                                    CAP_SETUID,     CAP_SETFCAP,      CAP_SETPCAP,
                                    CAP_KILL,       CAP_SYS_CHROOT,   CAP_NET_BIND_SERVICE,
                                    CAP_AUDIT_WRITE };
    uint64_t bits = 0;
    for (size_t i = 0; i < ARRAY_LEN(defaults); i++)
        bits |= UINT64_C(1) << defaults[i];
    return bits;
}
