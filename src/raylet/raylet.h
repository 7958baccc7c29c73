/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The daemon of one node: it owns the node's worker processes, lends them to whoever asks (leases),
 * connects processes with rings, routes frames between nodes, keeps gcs informed.
 */

#include "model/labels.h"
#include "model/resources.h"
#include "net/address.h"

typedef struct Raylet Raylet;

/* Borrowed for the call. */
typedef struct RayletOptions {
    const char *gcs_address;  /* HOST:PORT */
    const char *gcs_socket;   /* of a gcs on this host: tried first; may be NULL */
    const char *temp_dir;
    const char *session_name; /* of the cluster, where that is known: workers' interpreter starts at
                               * once then; NULL: gcs tells it */
    const char *node_ip, *node_name, *hostname;
    NetAddress listen;        /* for other raylets; port 0 takes a free one */
    const char *socket_path;  /* NULL: one in the session's folder */
    const ResourceSet *total;
    const Labels *labels;     /* the default ones are added */
    bool head;
    const char *python;       /* interpreter of workers */
    const char *spill_folder; /* where objects go that memory has no room for;
                                              * NULL: the session's */
    Slice token;              /* empty: none is asked for */
    NetAddress agent_listen, metrics_listen; /* of net_address_parse_listen(); zeros: none */
    uint32_t prestart;                       /* workers kept ready before anybody asks */
} RayletOptions;

typedef struct RayletEvents {
    void *ctx;
    /* Registered: processes can connect. */
    void (*ready)(void *ctx, Raylet *raylet);
    /* It can't go on: gcs said that this node is dead, or is gone for good. The process ends. */
    void (*failed)(void *ctx, int r, const char *sentence);
} RayletEvents;

_must_check_ int raylet_new(Loop *loop, const RayletOptions *options, const RayletEvents *events,
                            Raylet **ret_raylet);
/* Ends the node: says goodbye to gcs, kills what it started. */
Raylet *raylet_free(Raylet *raylet);
DEFINE_CLEANUP(Raylet *, raylet_free);

typedef struct RayletInfo {                                         /* borrowed */
    const char *session_dir, *session_name, *socket_path, *node_id; /* hex */
    const NetAddress *address;
    uint16_t agent_port, metrics_port;                              /* 0: none */
} RayletInfo;
void raylet_info(const Raylet *raylet, RayletInfo *ret_info);
/* Connected to gcs, which has not declared this node dead. */
bool raylet_healthy(const Raylet *raylet);
