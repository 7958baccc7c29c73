/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "gcs/gcs_private.h"

/* Channels by name: what is published on one goes to every peer that subscribed to it, to all
 * keys or to that key. Ours are "node" (NodeView), "job" (JobInfo), "actor" (ActorInfo) and
 * "worker" (PeerDead); processes make up others. */

static size_t bytes_of(const char *channel, Slice key) {
    return sizeof(GcsSubscription) + strlen(channel) + key.len;
}

static void subscription_done(Gcs *gcs, GcsSubscription *s) {
    gcs->subscriptions_bytes -= bytes_of(s->channel, s->key);
    free(s->channel);
    free((void *)(uintptr_t)s->key.data);
}

static bool same(const GcsSubscription *s, PeerId peer, const char *channel, Slice key) {
    return s->peer == peer && str_eq(s->channel, channel) && slice_eq(s->key, key);
}

void pubsub_on_subscribe(Gcs *gcs, GcsCall *call) {
    Subscribe subscribe;
    GCS_DECODE(gcs, call, subscribe_decode, &subscribe);
    _cleanup_free_ char *channel = NULL;
    int r = text_from_wire(subscribe.channel, GCS_NAME_MAX, "the channel", &channel);
    if (r < 0) {
        gcs_reply_error(gcs, call, r);
        return;
    }
    bool have = false;
    VEC_EACH(s, &gcs->subscriptions)
        have |= same(s, call->header->source, channel, subscribe.key);
    size_t bytes = bytes_of(channel, subscribe.key);
    if (!have && (gcs->subscriptions.len >= GCS_SUBSCRIPTIONS_MAX ||
                  gcs->subscriptions_bytes + bytes > GCS_SUBSCRIPTIONS_BYTES_MAX)) {
        gcs_reply_status(gcs, call, STATUS_CODE_FULL, "too many subscriptions");
        return;
    }
    if (!have) {
        gcs->subscriptions_bytes += bytes;
        Slice key = { subscribe.key.len ? mem_dup(subscribe.key.data, subscribe.key.len) : NULL,
                      subscribe.key.len };
        vec_push(&gcs->subscriptions,
                 (GcsSubscription){ call->header->source, TAKE(channel), key });
    }
    gcs_reply_status(gcs, call, STATUS_CODE_OK, "%s", "");
}

void pubsub_publish(Gcs *gcs, const char *channel, Slice key, Slice payload) {
    _cleanup_buf_ Buf body = { 0 };
    VEC_EACH(s, &gcs->subscriptions) {
        if (!str_eq(s->channel, channel) || (s->key.len && !slice_eq(s->key, key)))
            continue;
        if (body.len == 0) {
            Publish publish = { .channel = slice_str(channel), .key = key, .payload = payload };
            publish_encode(&publish, &body);
        }
        gcs_send(gcs, s->peer, MSG_PUBLISH, &body);
    }
}

void pubsub_on_publish(Gcs *gcs, GcsCall *call) {
    Publish publish;
    GCS_DECODE(gcs, call, publish_decode, &publish);
    _cleanup_free_ char *channel = NULL;
    int r = text_from_wire(publish.channel, GCS_NAME_MAX, "the channel", &channel);
    if (r < 0) {
        gcs_reply_error(gcs, call, r);
        return;
    }
    pubsub_publish(gcs, channel, publish.key, publish.payload);
    gcs_reply_status(gcs, call, STATUS_CODE_OK, "%s", "");
}

void pubsub_peer_dead(Gcs *gcs, PeerId peer) {
    for (size_t i = 0; i < gcs->subscriptions.len;) {
        if (gcs->subscriptions.items[i].peer == peer) {
            subscription_done(gcs, &gcs->subscriptions.items[i]);
            vec_remove_swap(&gcs->subscriptions, i);
        } else {
            i++;
        }
    }
}

void pubsub_done(Gcs *gcs) {
    VEC_EACH(s, &gcs->subscriptions)
        subscription_done(gcs, s);
    vec_done(&gcs->subscriptions);
}
