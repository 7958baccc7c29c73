/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The structural schema engine: one description of a type drives validation, defaulting, pruning,
 * strict-field checks, strategic merge and server-side apply, for built-in kinds (tables made at
 * build time from schema/, see kobj/kinds.h) and for CRDs (made at run time from their OpenAPI).
 * A Schema is an immutable value; those of CRDs live as long as the arena they were made in.
 */

#include "base/arena.h"
#include "base/base.h"
#include "codec/json.h"
#include "kobj/fault.h"

typedef enum SchemaType {
    SCHEMA_ANY, /* no type given: preserve-unknown, JSON values */
    SCHEMA_OBJECT,
    SCHEMA_ARRAY,
    SCHEMA_STRING,
    SCHEMA_INTEGER,
    SCHEMA_NUMBER,
    SCHEMA_BOOLEAN,
    SCHEMA_INT_OR_STRING, /* x-kubernetes-int-or-string */
    SCHEMA_QUANTITY,      /* int-or-string that resource.Quantity reads */
} SchemaType;

typedef enum SchemaList { /* x-kubernetes-list-type */
    SCHEMA_LIST_ATOMIC,
    SCHEMA_LIST_SET,
    SCHEMA_LIST_MAP,
} SchemaList;

enum {                                /* Schema.flags */
    SCHEMA_NULLABLE = 1 << 0,         /* null is a value of it */
    SCHEMA_PRESERVE_UNKNOWN = 1 << 1, /* x-kubernetes-preserve-unknown-fields */
    SCHEMA_EMBEDDED = 1 << 2,         /* x-kubernetes-embedded-resource */
    SCHEMA_ATOMIC = 1 << 3,           /* x-kubernetes-map-type: atomic */
    SCHEMA_PATCH_MERGE = 1 << 4,      /* strategic merge merges this list */
    SCHEMA_RETAIN_KEYS = 1 << 5,      /* x-kubernetes-patch-strategy: retainKeys */
    SCHEMA_EXCLUSIVE_MIN = 1 << 6,
    SCHEMA_EXCLUSIVE_MAX = 1 << 7,
    SCHEMA_UNIQUE = 1 << 8, /* uniqueItems; built-in: keys of the list are checked */
    SCHEMA_HAS_MIN = 1 << 9,
    SCHEMA_HAS_MAX = 1 << 10,
    SCHEMA_RULES = 1 << 11,       /* this node or one below has rules */
    SCHEMA_ANY_OF_INT = 1 << 12,  /* int-or-string that says so again by anyOf: two more faults */
    SCHEMA_BUILTIN = 1 << 13,     /* a Go struct there: null and "" are absent */
    SCHEMA_ZERO_ABSENT = 1 << 14, /* ... and so is 0 */
    SCHEMA_SERVER_DEFAULT = 1 << 15, /* the default is not told in OpenAPI */
    SCHEMA_UNCHECKED = 1 << 16,      /* required, but the kind's own checks word the fault */
};

typedef struct Schema Schema;

typedef struct SchemaField {
    const char *name;
    const Schema *schema;
    bool required;
} SchemaField;

typedef struct SchemaRule {     /* x-kubernetes-validations */
    const char *rule, *message, *message_expression, *reason, *field_path;
    const struct CelExpr *expr; /* compiled */
} SchemaRule;

typedef struct SchemaLogic { /* schemas of one facet only: bounds, required, enum; ended by NULL */
    const Schema *const *all_of, *const *any_of, *const *one_of;
    const Schema *not_of;
} SchemaLogic;

struct Schema {
    SchemaType type;
    SchemaList list;
    unsigned flags;
    int64_t min_count, max_count;         /* of characters, items or properties; 0 and -1: none */
    double minimum, maximum, multiple_of; /* with SCHEMA_HAS_*; multiple_of 0 is none */
    const char *type_name;                /* built-in: "io.k8s.api.core.v1.Container", or NULL */
    const char *type_text;                /* built-in: the type's description, or NULL */
    const char *description;              /* of the field, or NULL */
    const char *format;                   /* "date-time", "int32", "byte"... or NULL */
    const char *pattern;                  /* or NULL */
    const char *default_text;             /* JSON, or NULL */
    const char *const *enum_values;       /* JSON texts, ended by NULL; or NULL */
    const char *const *list_keys;         /* x-kubernetes-list-map-keys, ended by NULL */
    const char *patch_key;                /* x-kubernetes-patch-merge-key, or NULL */
    const SchemaField *fields;            /* properties, sorted by name */
    size_t field_count;
    const Schema *items;                  /* of an array */
    const Schema *additional;             /* additionalProperties, or NULL */
    const SchemaRule *rules;
    size_t rule_count;
    const SchemaLogic *logic; /* or NULL */
};

/* Makes a schema from an `openAPIV3Schema`, checking that it is structural. Faults name fields
 * below `spec.versions[0].schema.openAPIV3Schema` or what `at` says. -EINVAL if there are any. */
_must_check_ int schema_from_openapi(Arena *arena, const json_t *openapi, const char *at,
                                     Faults *faults, const Schema **ret_schema);

/* The field, or NULL. */
const SchemaField *schema_field(const Schema *schema, const char *name);
/* The schema of member `name`: property, additionalProperties or NULL (unknown). */
const Schema *schema_member(const Schema *schema, const char *name);
/* As OpenAPI v3, new reference. Built-in types below become {"$ref": ...} with `refs`; each type
 * met is then added to the object `refs` by its name. NULL writes everything in place. */
json_t *schema_to_openapi(const Schema *schema, json_t *refs);

/* Removes what the schema does not name; each removed path is appended to `unknown` (may be NULL)
 * in order, as `spec.foo`. metadata, apiVersion and kind of the root are kept. */
void schema_prune(const Schema *schema, json_t *object, StrList *unknown);
/* The same without removing: what strict field validation reports as `unknown field "spec.foo"`. */
void schema_find_unknown(const Schema *schema, const json_t *object, StrList *unknown);
/* Fills absent fields. A null where null is no value becomes the default, or goes. */
void schema_default(const Schema *schema, json_t *object);
/* Brings a value of a built-in type into the form that a Go server would store: null members are
 * dropped, quantities canonical. Does nothing to CRD schemas. */
void schema_normalize(const Schema *schema, json_t *object);
/* Checks types, bounds, enums, patterns, lists, rules. `old` is the stored object or NULL: rules
 * with oldSelf run only then. metadata of the root is not checked here. */
void schema_validate(const Schema *schema, const json_t *object, const json_t *old, Faults *faults);

/* The JSON text of the default as a value, or NULL. New reference. */
json_t *schema_default_value(const Schema *schema);

/* A wrong JSON type anywhere below a built-in schema is a decoding failure (400) in Kubernetes:
 * `json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container`.
 * Here: -EINVAL with such a sentence for the first one. */
_must_check_ int schema_check_types(const Schema *schema, const json_t *object);
