/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/error.h"
#include "raylet/raylet_private.h"

/*
 * What makes a new gcs (a restart on the same records) unnoticeable to processes here: calls that
 * it has not answered are sent again once we are registered again, in their order, and so are
 * the subscriptions, which gcs does not keep. Every call that gcs takes may come twice.
 *
 * Every call is kept. So that they stay few, who sends them is held back while much is unanswered
 * (resend_crowded()); gcs answers at once, but for calls that wait for something to happen. Those hold
 * nobody back, who may be what they wait for: beyond a bound they are refused.
 */

enum {
    CROWDED_BYTES = 64 << 20,
    WAITING_BYTES_MAX = 64 << 20,
    SUBSCRIPTIONS_MAX = 100000,
    SUBSCRIPTIONS_BYTES_MAX = 64 << 20,
};

typedef struct CallKey {
    PeerId source;
    uint64_t stream;
} CallKey;

typedef struct KeptCall {
    CallKey key;
    List link; /* in Resend.calls, the oldest first */
    FrameHeader header;
    char *body;
} KeptCall;

typedef struct KeptSubscription {
    PeerId source;
    FrameHeader header;
    Buf body;
} KeptSubscription;

struct Resend {
    List calls;
    Map by_key;
    size_t bytes, waiting_bytes; /* of calls that gcs answers at once; of the others */
    Vec(KeptSubscription) subscriptions;
    size_t subscriptions_bytes;
};

static CallKey key_of(PeerId source, uint32_t stream) {
    return (CallKey){ .source = source, .stream = stream };
}

/* What this daemon asks itself gcs answers at once. */
static bool waits(const FrameHeader *header) {
    return header->type == MSG_GROUP_GET && peer_worker(header->source);
}

static size_t *sum_of(struct Resend *resend, const FrameHeader *header) {
    return waits(header) ? &resend->waiting_bytes : &resend->bytes;
}

static void call_free(struct Resend *resend, KeptCall *call) {
    map_remove(&resend->by_key, &call->key);
    list_remove(&call->link);
    *sum_of(resend, &call->header) -= sizeof(*call) + call->header.length;
    free(call->body);
    free(call);
}

static void subscription_keep(struct Resend *resend, const FrameHeader *header, Slice body) {
    VEC_EACH(have, &resend->subscriptions)
        if (have->source == header->source && have->header.type == header->type &&
            slice_eq(buf_slice(&have->body), body))
            return;
    if (resend->subscriptions.len >= SUBSCRIPTIONS_MAX ||
        resend->subscriptions_bytes + body.len > SUBSCRIPTIONS_BYTES_MAX)
        return;
    resend->subscriptions_bytes += body.len;
    KeptSubscription kept = { .source = header->source, .header = *header };
    kept.header.flags = 0; /* its call is answered; what it gets from now on are news */
    buf_add(&kept.body, body.data, body.len);
    vec_push(&resend->subscriptions, kept);
}

bool resend_keep(Raylet *raylet, const FrameHeader *header, Slice body) {
    struct Resend *resend = raylet->resend;
    if (header->type == MSG_SUBSCRIBE || header->type == MSG_ACTOR_SUBSCRIBE)
        subscription_keep(resend, header, body);
    if (!(header->flags & FRAME_CALL) || header->flags & FRAME_REPLY)
        return true;
    size_t bytes = sizeof(KeptCall) + body.len;
    CallKey key = key_of(header->source, header->stream);
    if (map_get(&resend->by_key, &key))
        return true;
    if (waits(header) && resend->waiting_bytes + bytes > WAITING_BYTES_MAX)
        return false;
    KeptCall *call = mem_new(KeptCall);
    call->key = key;
    call->header = *header;
    call->header.length = (uint32_t)body.len;
    call->body = body.len ? mem_dup(body.data, body.len) : NULL;
    list_push(&resend->calls, &call->link);
    map_put(&resend->by_key, &call->key, call);
    *sum_of(resend, header) += bytes;
    return true;
}

bool resend_crowded(const Raylet *raylet, unsigned part) {
    return raylet->resend->bytes >= (size_t)CROWDED_BYTES / part;
}

void resend_answered(Raylet *raylet, const FrameHeader *reply) {
    CallKey key = key_of(reply->destination, reply->stream);
    KeptCall *call = map_get(&raylet->resend->by_key, &key);
    if (call)
        call_free(raylet->resend, call);
}

void resend_all(Raylet *raylet, Link *link) {
    struct Resend *resend = raylet->resend;
    VEC_EACH(kept, &resend->subscriptions)
        link_send(link, &kept->header, buf_slice(&kept->body));
    LIST_EACH(item, &resend->calls) {
        KeptCall *call = LIST_ITEM(item, KeptCall, link);
        link_send(link, &call->header, (Slice){ call->body, call->header.length });
    }
}

void resend_forget(Raylet *raylet, PeerId source) {
    struct Resend *resend = raylet->resend;
    for (size_t i = 0; i < resend->subscriptions.len;) {
        KeptSubscription *kept = &resend->subscriptions.items[i];
        if (kept->source == source) {
            resend->subscriptions_bytes -= kept->body.len;
            buf_done(&kept->body);
            vec_remove_swap(&resend->subscriptions, i);
        } else {
            i++;
        }
    }
    LIST_EACH_SAFE(item, &resend->calls) {
        KeptCall *call = LIST_ITEM(item, KeptCall, link);
        if (call->key.source == source)
            call_free(resend, call);
    }
}

void resend_init(Raylet *raylet) {
    raylet->resend = mem_new(struct Resend);
    list_init(&raylet->resend->calls);
    map_init(&raylet->resend->by_key, sizeof(CallKey));
}

void resend_done(Raylet *raylet) {
    struct Resend *resend = raylet->resend;
    VEC_EACH(kept, &resend->subscriptions)
        buf_done(&kept->body);
    vec_done(&resend->subscriptions);
    LIST_EACH_SAFE(item, &resend->calls)
        call_free(resend, LIST_ITEM(item, KeptCall, link));
    map_done(&resend->by_key);
    raylet->resend = mem_free(resend);
}
