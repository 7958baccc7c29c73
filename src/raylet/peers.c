/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "raylet/raylet_private.h"

/* Other raylets: what gcs tells of them, and what is sent to them (ways.c: how it gets there). */

Remote *peers_get(const Raylet *raylet, const NodeId *id) {
    return map_get(&raylet->remotes, id);
}

Remote *peers_of(const Raylet *raylet, PeerId peer) {
    Remote *remote = raylet->by_index[peer_node(peer)];
    return remote && remote->incarnation == peer_incarnation(peer) ? remote : NULL;
}

SchedView peers_view(Raylet *raylet) {
    vec_clear(&raylet->view);
    vec_push(&raylet->view, &raylet->here);
    Remote *remote;
    MAP_EACH(&raylet->remotes, pos, remote)
        vec_push(&raylet->view, &remote->sched);
    return (SchedView){ raylet->view.items, raylet->view.len };
}

static void remote_free(Remote *remote) {
    Raylet *raylet = remote->raylet;
    map_remove(&raylet->remotes, &remote->sched.id);
    if (raylet->by_index[remote->index] == remote)
        raylet->by_index[remote->index] = NULL;
    way_done(remote);
    locals_go_on(raylet, remote_peer(remote));
    sched_node_done(&remote->sched);
    free(remote->address);
    free(remote->ip);
    free(remote);
}

/* ---- sending ---- */

bool peers_has(const Raylet *raylet, PeerId peer) {
    return peers_of(raylet, peer) != NULL;
}

size_t peers_queued(const Raylet *raylet, PeerId peer) {
    const Remote *remote = peers_of(raylet, peer);
    return remote ? link_bytes(remote->link) : 0;
}

bool peers_send(Raylet *raylet, const FrameHeader *header, Slice body) {
    Remote *remote = peers_of(raylet, header->destination);
    if (!remote)
        return false;
    link_send(remote->link, header, body);
    way_wanted(remote);
    return true;
}

/* ---- what gcs tells ---- */

static void remote_die(Remote *remote) {
    Raylet *raylet = remote->raylet;
    leases_node_dead(raylet, remote);
    remote_free(remote);
    loop_task_arm(raylet->dispatch_task);
}

static void tell_of_death(Remote *remote, Slice reason) {
    Raylet *raylet = remote->raylet;
    PeerDead dead = { .peer = remote_peer(remote),
                      .node = remote->sched.id,
                      .text = reason,
                      .role = ROLE_RAYLET,
                      .whole_node = true };
    _cleanup_buf_ Buf body = { 0 };
    peer_dead_encode(&dead, &body);
    locals_tell_dead(raylet, &dead, &body);
    objects_owner_dead(raylet, dead.peer);
    remote_die(remote);
}

static Remote *remote_new(Raylet *raylet, const NodeInfo *info) {
    Remote *remote = mem_new(Remote);
    remote->raylet = raylet;
    remote->sched.id = info->node;
    remote->index = info->index;
    remote->incarnation = info->incarnation;
    way_init(remote);
    map_put(&raylet->remotes, &remote->sched.id, remote);
    raylet->by_index[remote->index] = remote;
    return remote;
}

static int remote_set(Remote *remote, const NodeInfo *info) {
    SchedNode *sched = &remote->sched;
    sched->schedulable = info->state == NODE_STATE_ALIVE;
    free(remote->address);
    remote->address = str_dup_slice(info->address);
    free(remote->ip);
    remote->ip = str_dup_slice(info->ip);
    int r = resources_from_wire(&sched->total, info->total, info->total_len);
    if (r == 0)
        r = resources_from_wire(&sched->available, info->available, info->available_len);
    if (r == 0)
        r = labels_from_wire(&sched->labels, info->labels, info->labels_len);
    return r;
}

static void update_one(Raylet *raylet, const NodeInfo *info) {
    route_heard(raylet, info->index);
    if (id_equal(&info->node, &raylet->id)) {
        raylet->here.schedulable = info->state == NODE_STATE_ALIVE;
        return;
    }
    Remote *remote = peers_get(raylet, &info->node);
    if (info->state == NODE_STATE_DEAD) {
        if (remote) /* it died while nobody could tell us */
            tell_of_death(remote, info->death_reason);
        return;
    }
    if (!remote && info->index != 0)
        remote = remote_new(raylet, info);
    int r = remote ? remote_set(remote, info) : -EPROTO;
    if (r < 0)
        log_warn("what gcs tells of a node can't be read: %s", error_text(r));
}

void peers_update(Raylet *raylet, const NodeInfo *infos, size_t len) {
    for (size_t i = 0; i < len; i++)
        update_one(raylet, &infos[i]);
    ways_nodes_known(raylet);
    route_early(raylet);
    loop_task_arm(raylet->dispatch_task);
}

void peers_on_view(Raylet *raylet, RayletCall *call) {
    NodeView view;
    RAYLET_DECODE(raylet, call, node_view_decode, &view);
    peers_update(raylet, view.nodes, view.nodes_len);
}

void peers_on_dead(Raylet *raylet, RayletCall *call) {
    PeerDead dead;
    RAYLET_DECODE(raylet, call, peer_dead_decode, &dead);
    if (dead.peer == raylet->self) {
        raylet_fail(raylet, -ESTALE, "the head declared this node dead");
        return;
    }
    Buf body = { .data = (char *)(uintptr_t)call->body.data, .len = call->body.len };
    locals_tell_dead(raylet, &dead, &body);
    objects_owner_dead(raylet, dead.peer);
    if (!dead.whole_node) {
        leases_requester_dead(raylet, dead.peer);
        return;
    }
    Remote *remote = peers_of(raylet, dead.peer);
    if (remote)
        remote_die(remote);
}

/* ---- life ---- */

void peers_init(Raylet *raylet) {
    map_init(&raylet->remotes, sizeof(NodeId));
    raylet->by_index = mem_array(Remote *, 65536);
    list_init(&raylet->incoming);
}

void peers_done(Raylet *raylet) {
    ways_done(raylet);
    for (;;) {
        size_t pos = 0;
        Remote *remote = map_next(&raylet->remotes, &pos, NULL);
        if (!remote)
            break;
        remote_free(remote);
    }
    map_done(&raylet->remotes);
    free(raylet->by_index);
    vec_done(&raylet->view);
}
