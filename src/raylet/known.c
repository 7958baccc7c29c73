/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "raylet/raylet_private.h"

/*
 * Who hears of a worker's death: the processes here that know it, since a frame of the one came by for the
 * other, they share a ring, or one was granted a lease of the other. Who comes to know it later finds out by
 * what it sends there; only what a dead one has sent may still be on its way here, so the last deaths are
 * remembered, and told behind such a frame. Deaths of drivers and nodes, few, are told to all.
 */

enum {
    DEATHS_KEPT = 8192
};

typedef struct Death {
    PeerId peer;
    Buf body; /* the encoded PeerDead */
    List link;
} Death;

static void death_free(Raylet *raylet, Death *death) {
    map_remove(&raylet->deaths, &death->peer);
    list_remove(&death->link);
    buf_done(&death->body);
    free(death);
}

static void death_keep(Raylet *raylet, PeerId peer, const Buf *body) {
    if (map_get(&raylet->deaths, &peer))
        return;
    Death *death = mem_new(Death);
    death->peer = peer;
    buf_add(&death->body, body->data, body->len);
    map_put(&raylet->deaths, &death->peer, death);
    list_push(&raylet->deaths_kept, &death->link);
    if (map_len(&raylet->deaths) > DEATHS_KEPT)
        death_free(raylet, LIST_ITEM(raylet->deaths_kept.next, Death, link));
}

void local_knows(Local *local, PeerId peer) {
    if (peer_worker(peer) && peer != local->peer && !map_get(&local->known, &peer))
        map_put(&local->known, &peer, local);
}

void local_heard_from(Local *local, PeerId peer) {
    const Death *death = map_get(&local->raylet->deaths, &peer);
    if (!death)
        local_knows(local, peer);
    else if (local->frames)
        local_send(local, MSG_PEER_DEAD, &death->body);
}

/* Idle workers that never ran anything know nobody. */
static bool may_know(const Local *local) {
    return local->welcomed && local->frames && !(local->worker && id_is_unset(&local->worker->job));
}

void locals_tell_dead(Raylet *raylet, const PeerDead *dead, const Buf *body) {
    bool all = dead->whole_node || dead->role != ROLE_WORKER;
    if (!all)
        death_keep(raylet, dead->peer, body);
    LIST_EACH(item, &raylet->locals) {
        Local *local = LIST_ITEM(item, Local, link);
        if (map_remove(&local->known, &dead->peer) || all)
            if (may_know(local))
                local_send(local, MSG_PEER_DEAD, body);
    }
}

void known_init(Raylet *raylet) {
    map_init(&raylet->deaths, sizeof(PeerId));
    list_init(&raylet->deaths_kept);
}

void known_done(Raylet *raylet) {
    while (!list_empty(&raylet->deaths_kept))
        death_free(raylet, LIST_ITEM(raylet->deaths_kept.next, Death, link));
    map_done(&raylet->deaths);
}
