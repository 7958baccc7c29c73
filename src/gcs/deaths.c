/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "gcs/gcs_private.h"

/*
 * Deaths of processes that not all nodes are known to have heard of. Whoever reported one is answered
 * when every node that lives has acknowledged the news: until then it reports again to a gcs that starts
 * anew, so that no death is lost with gcs.
 */

enum {
    DEATHS_MAX = 100000, /* beyond, nobody is waited for */
};

struct GcsDeath {
    PeerId peer;
    Buf body; /* the encoded PeerDead */
    uint64_t conn;
    FrameHeader header;
    size_t untold; /* nodes */
};

static void death_free(Gcs *gcs, GcsDeath *death) {
    map_remove(&gcs->deaths, &death->peer);
    buf_done(&death->body);
    free(death);
}

/* Every node's link has the news already, among what was sent on it so far. */
static GcsDeath *death_new(Gcs *gcs, PeerId peer, const Buf *body, const GcsNode *from) {
    GcsDeath *death = mem_new(GcsDeath);
    death->peer = peer;
    buf_add(&death->body, body->data, body->len);
    map_put(&gcs->deaths, &death->peer, death);
    GcsNode *node;
    MAP_EACH(&gcs->nodes, pos, node) {
        if (node->state == NODE_STATE_DEAD || node == from)
            continue;
        vec_push(&node->untold, (GcsUntold){ death, node->conn ? link_sent(node->conn->link) : 0 });
        death->untold++;
    }
    return death;
}

/* Who reported it is answered, if all have been told. */
static void death_settle(Gcs *gcs, GcsDeath *death) {
    if (death->untold)
        return;
    GcsConn *conn = map_get(&gcs->conns, &death->conn);
    GcsCall call = { .conn = conn, .header = &death->header };
    if (conn)
        gcs_ok_logged(gcs, &call, KV_LOGGED);
    death_free(gcs, death);
}

void deaths_add(Gcs *gcs, const GcsCall *call, PeerId peer, const Buf *body) {
    GcsDeath *death = map_get(&gcs->deaths, &peer);
    if (!death && map_len(&gcs->deaths) >= DEATHS_MAX) {
        gcs_ok_logged(gcs, call, KV_LOGGED);
        return;
    }
    if (!death)
        death = death_new(gcs, peer, body, call->conn->node);
    death->conn = call->conn->id;
    death->header = *call->header;
    death_settle(gcs, death);
}

/* The node has heard of the first `len` of those that it was not known to have heard of. */
static void heard(Gcs *gcs, GcsNode *node, size_t len) {
    for (size_t i = 0; i < len; i++) {
        GcsDeath *death = node->untold.items[i].death;
        death->untold--;
        death_settle(gcs, death);
    }
    node->untold.len -= len;
    if (len)
        memmove(node->untold.items, node->untold.items + len,
                node->untold.len * sizeof(*node->untold.items));
}

void deaths_acknowledged(Gcs *gcs, GcsNode *node) {
    uint64_t until = link_acknowledged(node->conn->link);
    size_t len = 0;
    while (len < node->untold.len && node->untold.items[len].number <= until)
        len++;
    heard(gcs, node, len);
}

void deaths_node_joined(Gcs *gcs, GcsNode *node) {
    VEC_EACH(untold, &node->untold) {
        gcs_send(gcs, peer_make(node->index, node->incarnation, 0), MSG_PEER_DEAD,
                 &untold->death->body);
        untold->number = link_sent(node->conn->link);
    }
}

void deaths_node_dead(Gcs *gcs, GcsNode *node) {
    heard(gcs, node, node->untold.len);
}

void deaths_init(Gcs *gcs) {
    map_init(&gcs->deaths, sizeof(PeerId));
}

void deaths_done(Gcs *gcs) {
    for (;;) {
        size_t pos = 0;
        GcsDeath *death = map_next(&gcs->deaths, &pos, NULL);
        if (!death)
            break;
        death_free(gcs, death);
    }
    map_done(&gcs->deaths);
}
