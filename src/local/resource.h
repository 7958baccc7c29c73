/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the API server serves: built-in resources from kobj/kinds.h and those of CRDs. A Resource is
 * a plural name in a group with its versions; its objects lie in one table of the store, in the
 * storage version. Two built-in resources share a table: events of "" and of events.k8s.io.
 *
 * A CRD's Resource is replaced as a whole when the CRD changes. Who keeps one beyond the call
 * (watches) holds a reference and sees `gone`.
 */

#include "base/arena.h"
#include "base/map.h"
#include "base/vec.h"
#include "kobj/kinds.h"
#include "kobj/schema.h"
#include "kobj/table.h"
#include "local/store.h"

typedef struct ResourceVersion {
    const char *version;
    const char *api_version;          /* "v1", "ray.io/v1" */
    const Schema *schema;
    const KindInfo *info;             /* built-in, or NULL */
    TablePrinter *printer;            /* made when first asked for */
    const json_t *columns;            /* CRD: additionalPrinterColumns, or NULL */
    const char *const *select_fields; /* beside metadata.name and .namespace; ended by NULL */
    bool served, storage;
    bool has_status, has_scale;
    const char *scale_spec, *scale_status, *scale_selector; /* CRD paths; selector may be NULL */
    const char *deprecation;                                /* warning for every use, or NULL */
} ResourceVersion;

typedef struct Resource {
    unsigned refs;
    bool gone;
    Arena arena;
    const char *group, *plural, *singular, *kind, *list_kind;
    const char *const *short_names;
    const char *const *categories;
    const char *qualified; /* "pods", "rayclusters.ray.io" */
    bool namespaced, custom;
    bool counts_generation;
    StoreTable *table;
    ResourceVersion *versions; /* preferred first */
    size_t version_count;
    json_t *columns;           /* CRD: what the versions' `columns` borrow from */
} Resource;

typedef struct Registry {
    Store *store;
    StrMap by_name;      /* "pods.", "rayclusters.ray.io" */
    Vec(Resource *) all;
    uint64_t generation; /* grows with every change: what discovery and OpenAPI cache by */
} Registry;

void registry_init(Registry *registry, Store *store);
void registry_done(Registry *registry);

/* Borrowed; NULL if it is not served. */
Resource *registry_find(const Registry *registry, const char *group, const char *plural);
Resource *registry_find_kind(const Registry *registry, const char *group, const char *kind);
/* The resource whose objects lie in that table, the first if several do. */
Resource *registry_of_table(const Registry *registry, const StoreTable *table);
/* NULL if the version is not served. */
ResourceVersion *resource_version(const Resource *resource, const char *version);
ResourceVersion *resource_storage(const Resource *resource);
TablePrinter *resource_printer(Resource *resource, ResourceVersion *version);

/* Serves the resource of a CRD, instead of the one it served before. `crd` has been validated. */
_must_check_ int registry_put_crd(Registry *registry, const json_t *crd);
void registry_remove(Registry *registry, const char *group, const char *plural);

Resource *resource_ref(Resource *resource);
Resource *resource_unref(Resource *resource);
DEFINE_CLEANUP(Resource *, resource_unref);

/* A value of the stored version as `to` says it (a new reference), and back. The value given is
 * not changed; where nothing differs it is the same one. */
json_t *resource_present(const Resource *resource, const ResourceVersion *to, json_t *stored);
json_t *resource_absorb(const Resource *resource, const ResourceVersion *from, json_t *value);
