/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What services mean to pods: packet rules, variables, names. Pure functions of Service and
 * EndpointSlice objects.
 */

#include "codec/json.h"
#include "local/agent_network.h"

/* All services, and for each the slices that carry its name. */
typedef struct ServiceView {
    const json_t *(*next)(void *ctx, size_t *pos); /* services; NULL at the end */
    const json_t *(*get)(void *ctx, const char *ns, const char *name);
    /* Slices of a service: borrowed array. */
    json_t *const *(*slices)(void *ctx, const char *ns, const char *name, size_t *ret_count);
    void *ctx;
} ServiceView;

/* Appends. */
void service_rules(const ServiceView *view, ServicePorts *ports);

/* NAME_SERVICE_HOST and what else a pod of `ns` gets for services that exist. Appends. */
void service_variables(const ServiceView *view, const char *ns, StrList *env);

/* What a name of the cluster means. `name` has no dot at the end, any case. */
typedef enum NameKind {
    NAME_OUTSIDE, /* not below the domain: somebody else knows */
    NAME_UNKNOWN, /* below it, and there is none */
    NAME_ADDRESSES,
    NAME_ALIAS,   /* an ExternalName service: look `alias` up instead */
    NAME_SERVERS  /* _port._tcp.service: port and addresses */
} NameKind;
typedef struct NameAnswer {
    NameKind kind;
    StrList addresses; /* may be empty: the name exists */
    char *alias;
    uint16_t port;
} NameAnswer;
void service_name(const ServiceView *view, const char *domain, const char *name,
                  NameAnswer *ret_answer);
void name_answer_done(NameAnswer *answer);

/* The index key of a slice: "namespace/service"; NULL if it carries none. Owned. */
char *service_slice_key(const json_t *slice);
