/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A pod's volumes as folders of the host, and the mounts a container makes of them.
 *
 * Volumes whose content comes from the API (configMap, secret, downwardAPI, projected) are written
 * the way the kubelet does: files in a new time-stamped folder, `..data` pointing to it changed in
 * one step, and links from the visible names through `..data`. So a reader sees the old content or
 * the new, and an update reaches running containers.
 */

#include "local/agent_container.h"
#include "local/agent_env.h"

typedef struct VolumeContext {
    const EnvSource *env;
    const char *pod_dir;    /* POD_DIR/volumes/NAME is where they lie */
    const char *claims_dir; /* one folder a PersistentVolumeClaim */
    /* A service account token; owned. 1: asked for, not there yet. */
    int (*token)(void *ctx, const char *audience, int64_t seconds, char **ret_token);
    void *ctx;
} VolumeContext;

/* Makes or refreshes all volumes of the pod. Appends to `tmpfs` what the sandbox has to mount
 * ({dir, size}). -ENOENT and a kubelet's sentence ("configmap \"x\" not found") if something is
 * missing; 1: a token is on its way. */
_must_check_ int volumes_prepare(const VolumeContext *context, json_t *tmpfs);

/* The mounts of one container, in the order of volumeMounts; shorter targets first, so that a mount
 * inside another is made after it. */
_must_check_ int volumes_mounts(const VolumeContext *context, const ContainerDef *container,
                                const StrList *env, ContainerSpec *spec);

/* The same as what volumes_prepare() writes, for tests and other writers: replaces the content of
 * `dir` if it differs. Paths are relative and may hold folders. */
typedef struct VolumeFile {
    char *path, *data;
    size_t len;
    unsigned mode;
} VolumeFile;
typedef Vec(VolumeFile) VolumeFiles;
void volume_files_done(VolumeFiles *files);
_must_check_ int volume_write(const char *dir, const VolumeFiles *files, int64_t gid);
