/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "gcs/gcs_private.h"

/*
 * Deaths of processes that a node could not be told of, because it is not connected at the moment. Whoever
 * reported one is answered when every node that lives has been told: until then it reports again to
 * a gcs that starts anew, so that no death is lost with a connection or with gcs.
 */

enum {
    DEATHS_MAX = 100000, /* beyond, those who are away are not waited for */
};

struct GcsDeath {
    List link; /* in Gcs.deaths */
    PeerId peer;
    Buf body;  /* the encoded PeerDead */
    GcsConnId conn;
    FrameHeader header;
    Vec(NodeId) untold;
};

static GcsDeath *death_of(const Gcs *gcs, PeerId peer) {
    LIST_EACH(item, &gcs->deaths)
        if (LIST_ITEM(item, GcsDeath, link)->peer == peer)
            return LIST_ITEM(item, GcsDeath, link);
    return NULL;
}

static void death_free(Gcs *gcs, GcsDeath *death) {
    list_remove(&death->link);
    gcs->deaths_len--;
    buf_done(&death->body);
    vec_done(&death->untold);
    free(death);
}

static void death_new(Gcs *gcs, const GcsCall *call, PeerId peer, const Buf *body) {
    GcsDeath *death = mem_new(GcsDeath);
    death->peer = peer;
    death->conn = call->conn->id;
    death->header = *call->header;
    buf_add(&death->body, body->data, body->len);
    list_push(&gcs->deaths, &death->link);
    gcs->deaths_len++;
    const GcsNode *node;
    MAP_EACH(&gcs->nodes, pos, node)
        if (node->state != NODE_STATE_DEAD && !node->conn)
            vec_push(&death->untold, node->sched.id);
}

/* Who reported it is answered, if all have been told. */
static void death_settle(Gcs *gcs, GcsDeath *death) {
    if (death->untold.len)
        return;
    GcsConn *conn = map_get(&gcs->conns, &death->conn);
    GcsCall call = { .conn = conn, .header = &death->header };
    if (conn)
        gcs_ok_logged(gcs, &call, KV_LOGGED);
    death_free(gcs, death);
}

void deaths_add(Gcs *gcs, const GcsCall *call, PeerId peer, const Buf *body) {
    GcsDeath *death = death_of(gcs, peer);
    if (death) { /* a resend */
        death->conn = call->conn->id;
        death->header = *call->header;
    } else if (gcs->deaths_len < DEATHS_MAX) {
        death_new(gcs, call, peer, body);
        death_settle(gcs, death_of(gcs, peer));
    } else {
        gcs_ok_logged(gcs, call, KV_LOGGED);
    }
}

static bool take(GcsDeath *death, const NodeId *node) {
    for (size_t i = 0; i < death->untold.len; i++) {
        if (!id_equal(&death->untold.items[i], node))
            continue;
        vec_remove_swap(&death->untold, i);
        return true;
    }
    return false;
}

void deaths_node_joined(Gcs *gcs, const GcsNode *node) {
    LIST_EACH_SAFE(item, &gcs->deaths) {
        GcsDeath *death = LIST_ITEM(item, GcsDeath, link);
        if (!take(death, &node->sched.id))
            continue;
        gcs_send(gcs, peer_make(node->index, node->incarnation, 0), MSG_PEER_DEAD, &death->body);
        death_settle(gcs, death);
    }
}

void deaths_node_dead(Gcs *gcs, const GcsNode *node) {
    LIST_EACH_SAFE(item, &gcs->deaths) {
        GcsDeath *death = LIST_ITEM(item, GcsDeath, link);
        if (take(death, &node->sched.id))
            death_settle(gcs, death);
    }
}

void deaths_init(Gcs *gcs) {
    list_init(&gcs->deaths);
}

void deaths_done(Gcs *gcs) {
    LIST_EACH_SAFE(item, &gcs->deaths)
        death_free(gcs, LIST_ITEM(item, GcsDeath, link));
}
