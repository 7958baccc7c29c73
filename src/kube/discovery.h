/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Kind to resource: what the server says that it serves. Asked once a group-version, kept, and
 * asked again for a kind that is not there yet (its CRD may just have been created). */

#include "kube/client.h"

typedef struct KubeMapper KubeMapper;

typedef struct KubeMapping {
    KubeGvr gvr; /* texts are borrowed until the mapper is freed */
    const char *kind;
    bool namespaced;
} KubeMapping;

KubeMapper *kube_mapper_new(KubeClient *client);
KubeMapper *kube_mapper_free(KubeMapper *mapper); /* open questions stay unanswered */
DEFINE_CLEANUP(KubeMapper *, kube_mapper_free);

/* r: 0; KUBE_NOT_FOUND when the server does not know the kind; others as in client.h. `mapping` is
 * NULL unless r is 0. Never called from inside kube_mapper_find(). */
typedef void KubeMapperFn(void *ctx, int r, const char *message, const KubeMapping *mapping);
typedef struct KubeQuestion KubeQuestion; /* gone after its answer */
KubeQuestion *kube_mapper_find(KubeMapper *mapper, const char *api_version, const char *kind,
                               KubeMapperFn *fn, void *ctx);
KubeQuestion *kube_question_free(KubeQuestion *question); /* no answer comes; NULL is fine */
