/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The built-in kinds, generated from schema/kinds/ (tables in read-only memory, no start-up cost),
 * and the CRDs of the Ray kinds as JSON. Everything is static and borrowed for life.
 */

#include "base/base.h"
#include "codec/json.h"
#include "kobj/fault.h"
#include "kobj/schema.h"

enum {                        /* KindInfo.flags */
    KIND_NAMESPACED = 1 << 0,
    KIND_STATUS = 1 << 1,     /* has the status subresource */
    KIND_GENERATION = 1 << 2, /* metadata.generation counts changes of spec */
    KIND_SCALE = 1 << 3,
};

typedef struct KindInfo {
    const char *group, *version, *kind;
    const char *plural, *singular;
    const char *list_kind;
    const char *const *short_names;   /* ended by NULL */
    const char *const *categories;    /* ended by NULL */
    const char *const *select_fields; /* paths field selectors may use, ended by NULL */
    unsigned flags;
    const Schema *schema;
} KindInfo;

size_t kinds_count(void);
const KindInfo *kinds_at(size_t index);
/* NULL if it is none of ours. */
const KindInfo *kinds_find(const char *group, const char *version, const char *kind);
const KindInfo *kinds_find_resource(const char *group, const char *version, const char *plural);

/* What the schema can't say: checks and defaults that hang on other fields, as kube-apiserver's
 * strategies make them (a pod's restartPolicy for a Job, port names, label syntax...). */
void kinds_default(const KindInfo *kind, json_t *object);
/* What the server decides from the object alone (a Job's selector, a pod's tolerations): after
 * apply_track_update(), since nobody owns it. A second time changes nothing. */
void kinds_prepare(const KindInfo *kind, json_t *object);
void kinds_validate(const KindInfo *kind, const json_t *object, const json_t *old, Faults *faults);
/* metadata of any object: names, labels, annotations, owner references, finalizers. `check` is one
 * of name_check_*(). */
void kinds_validate_meta(const json_t *object, bool namespaced,
                         const char *(*check)(const char *name), Faults *faults);

/* What an update may not do to metadata of any object: add finalizers to one that is being deleted. */
void kinds_validate_meta_update(const json_t *object, const json_t *old, Faults *faults);

/* Whether metadata has the JSON types of an ObjectMeta: for custom objects, whose schemas leave it to
 * the server. -EINVAL with Go's sentence, to be answered 400 as for schema_check_types(). */
_must_check_ int kinds_check_meta_types(const json_t *object);

/* The CRDs of RayCluster, RayJob, RayService, RayCronJob as JSON texts, ended by NULL: as they are,
 * the body of a create or of a server-side apply, without a tree of 3 MB each. */
const char *const *kinds_ray_crd_list(void);
/* The same as a new array of objects. */
json_t *kinds_ray_crds(void);
