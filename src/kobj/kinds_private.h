/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between the generated tables, the checks of single kinds and kinds.c. */

#include "kobj/kinds.h"

extern const KindInfo kinds_table[];
extern const size_t kinds_table_len;
extern const char *const kinds_ray_crd_texts[]; /* ended by NULL */

/* Where in an object a check is. */
typedef struct Place {
    Faults *faults;
    Buf path;
} Place;

size_t place_key(Place *place, const char *key);
size_t place_index(Place *place, size_t index);
/* "data[k]": how map keys that are checked as values are named. */
size_t place_map_key(Place *place, const char *key);
void place_pop(Place *place, size_t len);

/* Faults at `key` below the place; "" is the place itself. */
void place_required(Place *place, const char *key, const char *detail);
void place_invalid(Place *place, const char *key, const json_t *value, const char *detail);
void place_invalid_text(Place *place, const char *key, const char *value, const char *detail);
void place_forbidden(Place *place, const char *key, const char *detail);
/* `supported` is "A,B". */
void place_unsupported(Place *place, const char *key, const json_t *value, const char *supported);
/* Keys and values of a label map, all told of at the place. */
void place_labels(Place *place, const json_t *labels);
/* "field is immutable" at `key` unless both have the same there. */
void place_immutable(Place *place, const char *key, const json_t *value, const json_t *old);

/* fill: defaults that hang on other fields; prepare: what the server decides; validate: checks. */
void pod_fill(json_t *pod);
void pod_prepare(json_t *pod);
void pod_spec_fill(json_t *spec); /* also for a Job's template */
void pod_validate(Place *place, const json_t *pod);
void pod_spec_validate(Place *place, const json_t *spec);
void volumes_validate(Place *place, const json_t *volumes);
/* A path below a volume's root, as Kubernetes allows it. */
void relative_path_validate(Place *place, const char *key, const json_t *path);
void container_validate(Place *place, const json_t *container, const json_t *volumes);
void pod_validate_update(Place *place, const json_t *pod, const json_t *old);
void job_fill(json_t *job);
void job_prepare(json_t *job);
void job_validate(Place *place, const json_t *job);
void job_validate_update(Place *place, const json_t *job, const json_t *old);
void service_fill(json_t *service);
void service_prepare(json_t *service);
void service_validate(Place *place, const json_t *service);
void configmap_validate(Place *place, const json_t *configmap);
void configmap_validate_update(Place *place, const json_t *configmap, const json_t *old);
void secret_fill(json_t *secret);
void secret_validate(Place *place, const json_t *secret);
void secret_validate_update(Place *place, const json_t *secret, const json_t *old);
void namespace_fill(json_t *space);
void namespace_prepare(json_t *space);
void node_fill(json_t *node);
void node_validate(Place *place, const json_t *node);
void event_prepare(json_t *event);
void event_validate(Place *place, const json_t *event);
void claim_validate(Place *place, const json_t *claim);
void claim_validate_update(Place *place, const json_t *claim, const json_t *old);
void role_validate(Place *place, const json_t *role);
void binding_fill(json_t *binding);
void binding_validate(Place *place, const json_t *binding);
void binding_validate_update(Place *place, const json_t *binding, const json_t *old);
void slice_validate(Place *place, const json_t *slice);
void crd_fill(json_t *crd);
void crd_validate(Place *place, const json_t *crd);
void crd_validate_update(Place *place, const json_t *crd, const json_t *old);
