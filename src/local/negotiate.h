/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a client wants to get (Accept) and what it sends (Content-Type). Pure. */

#include "base/base.h"

typedef enum AcceptShape {
    ACCEPT_OBJECT,    /* the object or list itself */
    ACCEPT_TABLE,     /* as=Table;v=v1;g=meta.k8s.io */
    ACCEPT_METADATA,  /* as=PartialObjectMetadata, …List */
    ACCEPT_DISCOVERY, /* as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io */
} AcceptShape;

typedef struct Accept {
    AcceptShape shape;
    const char *discovery_version; /* "v2", "v2beta1" */
    bool yaml;
} Accept;

enum {
    NEGOTIATE_NONE = 1 /* nothing that the client takes can be made: 406, or 415 for bodies */
};

/* Takes the first of the list that can be made; q-values do not matter to Kubernetes' clients.
 * NULL or "" is JSON. */
_must_check_ int accept_parse(const char *header, Accept *ret_accept);

typedef enum BodyKind {
    BODY_JSON,
    BODY_YAML,
    BODY_PROTOBUF,
    BODY_JSON_PATCH,
    BODY_MERGE_PATCH,
    BODY_STRATEGIC_PATCH,
    BODY_APPLY_PATCH,
} BodyKind;
_must_check_ int body_kind_parse(const char *content_type, BodyKind *ret_kind);
