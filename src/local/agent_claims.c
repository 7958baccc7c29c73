/* SPDX-License-Identifier: Apache-2.0 */

/* The folders of PersistentVolumeClaims: each goes when its claim is gone and no pod has it. */

#include <dirent.h>

#include "kobj/meta.h"
#include "local/agent_private.h"

static void closedir_p(DIR **dir) {
    if (*dir)
        closedir(*dir);
}

static bool mounts_claim(const json_t *pod, const char *claim) {
    size_t i;
    json_t *volume;
    json_array_foreach(json_at(pod, "spec", "volumes"), i, volume)
        if (str_eq(json_str_at(volume, "persistentVolumeClaim", "claimName"), claim))
            return true;
    return false;
}

/* `folder` is NAMESPACE_CLAIM_UID, none of which has an underscore in it (agent_volume.c). */
static bool is_used(const Agent *agent, const char *folder) {
    _cleanup_free_ char *ns = str_dup(folder);
    char *claim = strchr(ns, '_'), *uid = claim ? strchr(claim + 1, '_') : NULL;
    if (!uid)
        return true; /* not made by us */
    *claim++ = 0;
    *uid++ = 0;
    const json_t *object = kube_informer_get(agent->claims, ns, claim);
    if (str_eq(obj_uid(object), uid))
        return true;
    size_t pos = 0;
    for (AgentEntry *entry; (entry = strmap_next(&agent->entries, &pos, NULL));) {
        const PodDef *def = agent_pod_def(entry->pod);
        if (str_eq(def->ns, ns) && mounts_claim(def->json, claim))
            return true;
    }
    return false;
}

void agent_claims_sweep(void *ctx) {
    Agent *agent = ctx;
    const char *folder = agent->host->pods.claims_dir;
    if (!kube_informer_synced(agent->claims) || !kube_informer_synced(agent->pods))
        return;
    _cleanup_(closedir_p) DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.' || is_used(agent, entry->d_name))
            continue;
        _cleanup_free_ char *path = str_printf("%s/%s", folder, entry->d_name);
        chores_remove(agent->host->pods.chores, path);
    }
}
