/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The environment, command and arguments of a container. Pure. */

#include "base/map.h"
#include "local/agent_pod_spec.h"

/* What references resolve to. */
typedef struct EnvSource {
    const PodDef *pod;
    const char *pod_ip, *host_ip;
    const StrList *base;     /* "NAME=value": what an image would bring */
    const StrList *services; /* variables of the namespace's services */
    uint64_t node_memory;    /* what resourceFieldRef says where no limit is set */
    uint64_t node_cpu_milli;
    /* ConfigMap or Secret of the pod's namespace, borrowed; NULL if it does not exist. */
    const json_t *(*object)(void *ctx, const char *kind, const char *name);
    void *ctx;
} EnvSource;

/* "NAME=value" strings in the order base, services, envFrom, env; a later one replaces an earlier.
 * -ENOENT with the kubelet's sentence ("configmap "x" not found", "couldn't find key k in Secret
 * ns/x") if something needed is missing; -EINVAL for what cannot be. */
_must_check_ int env_resolve(const EnvSource *source, const ContainerDef *container,
                             StrList *ret_env);

/* Replaces $(NAME) by its value in `env`; unknown ones stay; $$(NAME) is the text $(NAME). Owned. */
char *env_expand(const char *text, const StrList *env);

/* command and args, expanded. -EINVAL if there is neither: there is no image to bring one. */
_must_check_ int env_command(const ContainerDef *container, const StrList *env, StrList *ret_argv);

/* fieldRef (also of downwardAPI volumes) as text; owned. -EINVAL for an unknown path. */
_must_check_ int env_field(const EnvSource *source, const char *path, char **ret_text);
/* resourceFieldRef of `container` (NULL: the one it names). */
_must_check_ int env_resource(const EnvSource *source, const ContainerDef *container,
                              const json_t *reference, char **ret_text);

/* A list entry's value, the last one wins. Borrowed, or NULL. */
const char *env_get(const StrList *env, const char *name);
void env_set(StrList *env, const char *name, const char *value);
