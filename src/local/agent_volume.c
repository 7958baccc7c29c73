/* SPDX-License-Identifier: Apache-2.0 */
#include "local/agent_volume.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "kobj/meta.h"
#include "kobj/quantity.h"

enum {
    MODE_DEFAULT = 0644,
    FILES_MAX = 4096
};

static char *volume_dir(const VolumeContext *context, const char *name) {
    return str_printf("%s/volumes/%s", context->pod_dir, name);
}

static const json_t *pod_json(const VolumeContext *context) {
    return context->env->pod->json;
}

static int64_t pod_group(const VolumeContext *context) {
    return json_int_at(pod_json(context), -1, "spec", "securityContext", "fsGroup");
}

static void add_file(VolumeFiles *files, const char *path, char *data, size_t len, unsigned mode) {
    VEC_EACH(file, files)
        if (str_eq(file->path, path)) { /* a later source wins */
            mem_free(file->data);
            *file = (VolumeFile){ file->path, data, len, mode };
            return;
        }
    vec_push(files, (VolumeFile){ str_dup(path), data, len, mode });
}

/* One key's bytes. 1: there is no such key. */
static int key_bytes(const json_t *object, const char *key, bool secret, char **ret_data,
                     size_t *ret_len) {
    const char *text = json_str_at(object, "data", key);
    const char *binary = secret ? text : json_str_at(object, "binaryData", key);
    if (binary) {
        void *bytes;
        int r = base64_decode(binary, strlen(binary), &bytes, ret_len);
        if (r < 0)
            return error_origin(r, "key %s is no base64", key);
        *ret_data = bytes;
        return 0;
    }
    if (!text)
        return 1;
    *ret_data = str_dup(text);
    *ret_len = strlen(text);
    return 0;
}

static int add_keys(const json_t *object, const char *field, bool secret, unsigned mode,
                    VolumeFiles *files) {
    const char *key;
    json_t *unused;
    json_object_foreach(json_object_get(object, field), key, unused) {
        UNUSED(unused);
        char *data;
        size_t len;
        int r = key_bytes(object, key, secret, &data, &len);
        if (r < 0)
            return r;
        if (r == 0)
            add_file(files, key, data, len, mode);
        if (files->len > FILES_MAX)
            return error_origin(-E2BIG, "a volume has more than %d files", FILES_MAX);
    }
    return 0;
}

static int add_items(const json_t *object, const json_t *items, bool secret, bool optional,
                     unsigned mode, VolumeFiles *files) {
    size_t i;
    json_t *item;
    json_array_foreach(items, i, item) {
        const char *key = json_str_at(item, "key"), *path = json_str_at(item, "path");
        char *data;
        size_t len;
        int r = key && path ? key_bytes(object, key, secret, &data, &len)
                            : error_origin(-EINVAL, "items[%zu] needs key and path", i);
        if (r == 1 && optional)
            continue;
        if (r == 1)
            r = error_origin(-ENOENT, "references non-existent %s key: %s",
                             secret ? "secret" : "config", key);
        if (r < 0)
            return r;
        add_file(files, path, data, len, (unsigned)json_int_at(item, mode, "mode"));
    }
    return 0;
}

/* A configMap or secret, as a volume or as a source of a projected one. */
static int add_object(const VolumeContext *context, const json_t *spec, bool secret, unsigned mode,
                      VolumeFiles *files) {
    const char *name = json_str_at(spec, secret ? "secretName" : "name");
    if (!name)
        name = json_str_at(spec, "name");
    bool optional = json_bool_at(spec, false, "optional");
    const EnvSource *env = context->env;
    const json_t *object =
        env->object && name ? env->object(env->ctx, secret ? "Secret" : "ConfigMap", name) : NULL;
    if (!object)
        return optional ? 0
                        : error_origin(-ENOENT, "%s \"%s\" not found",
                                       secret ? "secret" : "configmap", name ? name : "");
    const json_t *items = json_object_get(spec, "items");
    if (json_array_size(items))
        return add_items(object, items, secret, optional, mode, files);
    int r = add_keys(object, "data", secret, mode, files);
    return r < 0 || secret ? r : add_keys(object, "binaryData", false, mode, files);
}

static int add_downward(const VolumeContext *context, const json_t *spec, unsigned mode,
                        VolumeFiles *files) {
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(spec, "items"), i, item) {
        const json_t *field = json_object_get(item, "fieldRef");
        const json_t *resource = json_object_get(item, "resourceFieldRef");
        const char *path = json_str_at(item, "path");
        char *text;
        int r = !path   ? error_origin(-EINVAL, "downwardAPI: items[%zu].path is missing", i)
                : field ? env_field(context->env, json_str_at(field, "fieldPath"), &text)
                        : env_resource(context->env, NULL, resource, &text);
        if (r < 0)
            return r;
        add_file(files, path, text, strlen(text), (unsigned)json_int_at(item, mode, "mode"));
    }
    return 0;
}

static int add_token(const VolumeContext *context, const json_t *spec, unsigned mode,
                     VolumeFiles *files) {
    const char *path = json_str_at(spec, "path");
    char *token;
    if (!path || !context->token)
        return error_origin(-EINVAL, "serviceAccountToken needs a path and an API server");
    int r = context->token(context->ctx, json_str_at(spec, "audience"),
                           json_int_at(spec, 3600, "expirationSeconds"), &token);
    if (r == 0)
        add_file(files, path, token, strlen(token), mode);
    return r;
}

static int add_projected(const VolumeContext *context, const json_t *spec, unsigned mode,
                         VolumeFiles *files) {
    size_t i;
    json_t *source;
    int r = 0;
    json_array_foreach(json_object_get(spec, "sources"), i, source) {
        const json_t *config = json_object_get(source, "configMap");
        const json_t *secret = json_object_get(source, "secret");
        const json_t *downward = json_object_get(source, "downwardAPI");
        const json_t *token = json_object_get(source, "serviceAccountToken");
        r = config     ? add_object(context, config, false, mode, files)
            : secret   ? add_object(context, secret, true, mode, files)
            : downward ? add_downward(context, downward, mode, files)
            : token    ? add_token(context, token, mode, files)
                    : error_origin(-EINVAL, "sources[%zu] is of a kind that is not supported", i);
        if (r != 0)
            return r;
    }
    return r;
}

typedef enum ContentKind {
    CONTENT_CONFIG,
    CONTENT_SECRET,
    CONTENT_DOWNWARD,
    CONTENT_PROJECTED
} ContentKind;

static int prepare_content(const VolumeContext *context, const char *name, const json_t *spec,
                           ContentKind kind) {
    _cleanup_(volume_files_done) VolumeFiles files = { 0 };
    _cleanup_free_ char *dir = volume_dir(context, name);
    unsigned mode = (unsigned)json_int_at(spec, MODE_DEFAULT, "defaultMode") & 0777;
    int r = kind == CONTENT_CONFIG     ? add_object(context, spec, false, mode, &files)
            : kind == CONTENT_SECRET   ? add_object(context, spec, true, mode, &files)
            : kind == CONTENT_DOWNWARD ? add_downward(context, spec, mode, &files)
                                       : add_projected(context, spec, mode, &files);
    return r != 0 ? r : volume_write(dir, &files, pod_group(context));
}

static int open_to_group(const char *dir, int64_t group, unsigned mode) {
    if (group >= 0) {
        mode |= 02070;
        if (chown(dir, (uid_t)-1, (gid_t)group) < 0)
            return error_last("give %s to group %lld", dir, (long long)group);
    }
    return chmod(dir, mode) < 0 ? error_last("chmod %s", dir) : 0;
}

static int prepare_empty(const VolumeContext *context, const char *name, const json_t *spec,
                         json_t *tmpfs) {
    _cleanup_free_ char *dir = volume_dir(context, name);
    Quantity size = QUANTITY_ZERO;
    json_t *limit = json_object_get(spec, "sizeLimit");
    int r = dir_make(dir, 0777);
    if (r == 0 && limit)
        r = quantity_from_json(limit, &size);
    if (r == 0)
        r = open_to_group(dir, pod_group(context), 0777);
    if (r == 0 && str_eq(json_str_at(spec, "medium"), "Memory"))
        json_array_append_new(
            tmpfs, json_pack("{s:s,s:I}", "dir", dir, "size", (json_int_t)quantity_ceil(size)));
    return r;
}

/* hostPath: there is nothing to make but what `type` asks for. */
static int prepare_host(const json_t *spec) {
    const char *path = json_str_at(spec, "path"), *type = json_str_at(spec, "type");
    if (!path || path[0] != '/')
        return error_origin(-EINVAL, "hostPath needs an absolute path");
    if (str_eq(type, "DirectoryOrCreate") || str_empty(type))
        return access(path, F_OK) == 0 ? 0 : dir_make(path, 0755);
    struct stat st;
    if (str_eq(type, "FileOrCreate") && access(path, F_OK) < 0) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        return fd < 0 ? error_last("create %s", path) : 0;
    }
    if (stat(path, &st) < 0)
        return error_origin(-ENOENT, "hostPath type check failed: %s is not a %s", path,
                            str_eq(type, "Directory") ? "directory" : "file");
    if (str_eq(type, "Directory") && !S_ISDIR(st.st_mode))
        return error_origin(-ENOTDIR, "hostPath type check failed: %s is not a directory", path);
    return 0;
}

/* A claim is a folder that lives as long as the claim does: its uid is in the name. */
static int claim_dir(const VolumeContext *context, const char *claim, char **ret_dir) {
    const EnvSource *env = context->env;
    const json_t *object =
        env->object && claim ? env->object(env->ctx, "PersistentVolumeClaim", claim) : NULL;
    if (!object)
        return error_origin(-ENOENT, "persistentvolumeclaim \"%s\" not found", claim ? claim : "");
    const char *uid = obj_uid(object);
    *ret_dir = str_printf("%s/%s_%s_%s", context->claims_dir, env->pod->ns, claim, uid ? uid : "");
    return 0;
}

static int prepare_claim(const VolumeContext *context, const json_t *spec) {
    _cleanup_free_ char *dir = NULL;
    int r = claim_dir(context, json_str_at(spec, "claimName"), &dir);
    if (r == 0)
        r = dir_make(dir, 0777);
    return r < 0 ? r : open_to_group(dir, pod_group(context), 0777);
}

static int prepare_one(const VolumeContext *context, const json_t *volume, json_t *tmpfs) {
    const char *name = json_str_at(volume, "name");
    const json_t *spec;
    if (str_empty(name) || strchr(name, '/') || name[0] == '.')
        return error_origin(-EINVAL, "a volume has no valid name");
    if ((spec = json_object_get(volume, "configMap")))
        return prepare_content(context, name, spec, CONTENT_CONFIG);
    if ((spec = json_object_get(volume, "secret")))
        return prepare_content(context, name, spec, CONTENT_SECRET);
    if ((spec = json_object_get(volume, "downwardAPI")))
        return prepare_content(context, name, spec, CONTENT_DOWNWARD);
    if ((spec = json_object_get(volume, "projected")))
        return prepare_content(context, name, spec, CONTENT_PROJECTED);
    if ((spec = json_object_get(volume, "emptyDir")))
        return prepare_empty(context, name, spec, tmpfs);
    if ((spec = json_object_get(volume, "hostPath")))
        return prepare_host(spec);
    if ((spec = json_object_get(volume, "persistentVolumeClaim")))
        return prepare_claim(context, spec);
    if (json_object_get(volume, "ephemeral"))
        return prepare_empty(context, name, json_object_get(volume, "ephemeral"), tmpfs);
    return error_origin(-ENOTSUP, "this kind of volume is not supported here");
}

int volumes_prepare(const VolumeContext *context, json_t *tmpfs) {
    size_t i;
    json_t *volume;
    json_array_foreach(json_at(pod_json(context), "spec", "volumes"), i, volume) {
        int r = prepare_one(context, volume, tmpfs);
        if (r != 0)
            return r < 0 ? error_context(r, "MountVolume.SetUp failed for volume \"%s\"",
                                         json_str_at(volume, "name"))
                         : r;
    }
    return 0;
}

static const json_t *volume_named(const VolumeContext *context, const char *name) {
    size_t i;
    json_t *volume;
    json_array_foreach(json_at(pod_json(context), "spec", "volumes"), i, volume)
        if (str_eq(json_str_at(volume, "name"), name))
            return volume;
    return NULL;
}

static int volume_path(const VolumeContext *context, const json_t *volume, char **ret_path) {
    const json_t *host = json_object_get(volume, "hostPath");
    const json_t *claim = json_object_get(volume, "persistentVolumeClaim");
    if (claim)
        return claim_dir(context, json_str_at(claim, "claimName"), ret_path);
    *ret_path = host ? str_dup(json_str_at(host, "path"))
                     : volume_dir(context, json_str_at(volume, "name"));
    return 0;
}

static bool leads_out(const char *sub) {
    return sub[0] == '/' || str_eq(sub, "..") || str_starts(sub, "../") || strstr(sub, "/../") ||
           str_ends(sub, "/..");
}

/* What a subPath is on the disk is looked at by the keeper: only there memory volumes are mounted,
 * and links in a volume are the pod's. */
static int mount_one(const VolumeContext *context, const json_t *mount, const StrList *env,
                     ContainerSpec *spec) {
    const char *name = json_str_at(mount, "name"), *target = json_str_at(mount, "mountPath");
    const json_t *volume = name ? volume_named(context, name) : NULL;
    if (!volume || !target)
        return error_origin(-EINVAL, "volumeMount %s names no volume", name ? name : "");
    _cleanup_free_ char *base = NULL, *sub = NULL;
    int r = volume_path(context, volume, &base);
    const char *plain = json_str_at(mount, "subPath"), *expr = json_str_at(mount, "subPathExpr");
    if (expr)
        sub = env_expand(expr, env);
    else
        sub = str_dup(plain);
    if (r == 0 && sub && leads_out(sub))
        r = error_origin(-EINVAL, "subPath %s leads out of the volume", sub);
    if (r < 0)
        return r;
    bool content = json_object_get(volume, "configMap") || json_object_get(volume, "secret") ||
                   json_object_get(volume, "projected") || json_object_get(volume, "downwardAPI");
    vec_push(
        &spec->mounts,
        (ContainerMount){ .source = TAKE(base),
                          .sub = str_empty(sub) ? NULL : TAKE(sub),
                          .target = *target == '/' ? str_dup(target) : str_printf("/%s", target),
                          .read_only = content || json_bool_at(mount, false, "readOnly") });
    return 0;
}

static int compare_targets(const void *a, const void *b) {
    const ContainerMount *left = a, *right = b;
    size_t l = strlen(left->target), r = strlen(right->target);
    return l < r ? -1 : l > r;
}

int volumes_mounts(const VolumeContext *context, const ContainerDef *container, const StrList *env,
                   ContainerSpec *spec) {
    size_t i, first = spec->mounts.len;
    json_t *mount;
    json_array_foreach(json_object_get(container->json, "volumeMounts"), i, mount) {
        int r = mount_one(context, mount, env, spec);
        if (r < 0)
            return r;
    }
    if (spec->mounts.len > first)
        qsort(spec->mounts.items + first, spec->mounts.len - first, sizeof(ContainerMount),
              compare_targets);
    return 0;
}
