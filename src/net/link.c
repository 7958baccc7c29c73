/* SPDX-License-Identifier: Apache-2.0 */
#include "net/link.h"

#include "base/error.h"
#include "base/plant.h"
#include "wire/messages.h"

enum {
    ACK_FRAMES = 64, /* acknowledged at once; fewer within LINK_ACK_DELAY */
    ACK_BYTES = 256 << 10,
    RING_MIN = 16,
    /* What a kept frame costs beside its bytes: the allocator's share, and its place in the ring, which
     * is twice as long as it has to be at most, and half as long again while it grows. */
    FRAME_COST = sizeof(NetBytes) + 16 + 3 * sizeof(NetBytes *),
};

static size_t cost_of(const NetBytes *frame) {
    return FRAME_COST + frame->len;
}

struct Link {
    Loop *loop;
    const LinkEvents *events;
    void *ctx;
    uint64_t id, other;
    bool up, ended; /* ended: full */
    /* sending */
    uint64_t sent, acknowledged;
    NetBytes **ring; /* number n lies at n % size; those behind `acknowledged` */
    size_t size, bytes, bytes_max;
    LoopTimer *patience;
    usec_t moved_at;
    uint64_t progress;
    LoopTask *full_task;
    /* receiving */
    uint64_t received, told; /* told: acknowledged by us */
    size_t untold_bytes;
    LoopTimer *ack_timer;
};

static void on_patience(void *ctx);
static void on_ack_due(void *ctx);

static void on_full(void *ctx) {
    Link *link = ctx;
    link->events->full(link->ctx);
}

static uint64_t random_id(void) {
    uint64_t id = 0;
    while (id == 0)
        mem_random(&id, sizeof(id));
    return id;
}

Link *link_new(Loop *loop, size_t bytes_max, const LinkEvents *events, void *ctx) {
    Link *link = mem_new(Link);
    *link = (Link){ .loop = loop,
                    .events = events,
                    .ctx = ctx,
                    .id = random_id(),
                    .size = RING_MIN,
                    .bytes_max = bytes_max };
    link->ring = mem_array(NetBytes *, link->size);
    link->patience = loop_timer_new(loop, on_patience, link);
    link->ack_timer = loop_timer_new(loop, on_ack_due, link);
    link->full_task = loop_task_new(loop, on_full, link);
    return link;
}

static NetBytes **place_of(const Link *link, uint64_t number) {
    return &link->ring[number & (link->size - 1)];
}

/* Up to that number they need not be kept any more. */
static void drop_until(Link *link, uint64_t number) {
    while (link->acknowledged < number) {
        NetBytes **place = place_of(link, ++link->acknowledged);
        link->bytes -= cost_of(*place);
        *place = net_bytes_unref(*place);
    }
}

Link *link_free(Link *link) {
    if (!link)
        return NULL;
    drop_until(link, link->sent);
    mem_free(link->ring);
    loop_timer_free(link->patience);
    loop_timer_free(link->ack_timer);
    loop_task_free(link->full_task);
    return mem_free(link);
}

/* ---- is the carrier alive? ------------------------------------------------------------------- */

static uint64_t progress_of(const Link *link) {
    return link->events->progress ? link->events->progress(link->ctx) : 0;
}

static void moved(Link *link) {
    link->moved_at = loop_now(link->loop);
    link->progress = progress_of(link);
}

static void watch(Link *link) {
    if (!link->up || link->sent == link->acknowledged || loop_timer_armed(link->patience))
        return;
    moved(link);
    loop_timer_after(link->patience, LINK_PATIENCE);
}

static void on_patience(void *ctx) {
    Link *link = ctx;
    if (!link->up || link->sent == link->acknowledged)
        return;
    if (progress_of(link) != link->progress)
        moved(link);
    if (loop_now(link->loop) - link->moved_at < LINK_PATIENCE) {
        loop_timer_at(link->patience, link->moved_at + LINK_PATIENCE);
        return;
    }
    watch(link);
    if (link->events->stalled)
        link->events->stalled(link->ctx);
}

/* ---- carriers -------------------------------------------------------------------------------- */

LinkHello link_hello(const Link *link) {
    return (LinkHello){ .id = link->id, .other = link->other, .received = link->received };
}

int link_match(const Link *link, const LinkHello *theirs) {
    if (theirs->id == 0)
        return error_origin(-EPROTO, "the other side names no link: is it of an older release?");
    if (link->other == 0)
        return 0;
    if (link->other != theirs->id || (theirs->other && theirs->other != link->id))
        return 1;
    if (theirs->received < link->acknowledged || theirs->received > link->sent)
        return error_origin(-EPROTO,
                            "the other side says that it has %llu frames, but was sent %llu and "
                            "had acknowledged %llu",
                            (unsigned long long)theirs->received, (unsigned long long)link->sent,
                            (unsigned long long)link->acknowledged);
    return 0;
}

void link_up(Link *link, const LinkHello *theirs) {
    bool more = link->other && theirs->received > link->acknowledged;
    if (link->other)
        drop_until(link, theirs->received);
    link->other = theirs->id;
    link->up = true;
    link->told = link->received;
    link->untold_bytes = 0;
    loop_timer_stop(link->ack_timer);
    for (uint64_t number = link->acknowledged + 1; number <= link->sent && !link->ended; number++)
        link->events->send(link->ctx, *place_of(link, number));
    loop_timer_stop(link->patience);
    watch(link);
    if (more && link->events->acknowledged)
        link->events->acknowledged(link->ctx);
}

void link_down(Link *link) {
    link->up = false;
    loop_timer_stop(link->patience);
    loop_timer_stop(link->ack_timer);
}

bool link_is_up(const Link *link) {
    return link->up;
}

void link_reset(Link *link, LinkLostFn *each, void *ctx) {
    link_down(link);
    for (uint64_t number = link->acknowledged + 1; number <= link->sent && each; number++) {
        const NetBytes *frame = *place_of(link, number);
        FrameHeader header = frame_unpack(frame->data);
        header.sequence = 0;
        each(ctx, &header,
             (Slice){ frame->data + FRAME_HEADER_SIZE, frame->len - FRAME_HEADER_SIZE });
    }
    drop_until(link, link->sent);
    link->other = link->sent = link->acknowledged = link->received = link->told = 0;
    link->untold_bytes = 0;
}

bool link_is_own(unsigned type) {
    return type == MSG_HELLO || type == MSG_LINK_ACK || type == MSG_LINK_FRAME;
}

/* ---- frames ------------------------------------------------------------------------------------ */

static void ring_grow(Link *link) {
    NetBytes **former = link->ring;
    size_t mask = link->size - 1;
    link->size *= 2;
    link->ring = mem_array(NetBytes *, link->size);
    for (uint64_t number = link->acknowledged + 1; number < link->sent; number++)
        *place_of(link, number) = former[number & mask];
    mem_free(former);
}

static NetBytes *pack(const FrameHeader *header, uint64_t number, Slice body) {
    ASSERT(body.len <= UINT32_MAX);
    FrameHeader out = *header;
    out.length = (uint32_t)body.len;
    out.sequence = (uint32_t)number;
    /* What it came with stays where it came; a frame that is refused would come again for ever. */
    out.flags &= FRAME_REPLY | FRAME_ERROR | FRAME_CALL;
    NetBytes *frame = net_bytes_make(FRAME_HEADER_SIZE + body.len);
    frame_pack(&out, (uint8_t *)frame->data);
    if (body.len)
        memcpy(frame->data + FRAME_HEADER_SIZE, body.data, body.len);
    return frame;
}

void link_send(Link *link, const FrameHeader *header, Slice body) {
    if (link->ended || (PLANTED(15) && link->other && !link->up))
        return;
    if (link->sent == link->acknowledged)
        moved(link); /* nothing was awaited until now */
    NetBytes *frame = pack(header, ++link->sent, body);
    if (link->sent - link->acknowledged > link->size)
        ring_grow(link);
    *place_of(link, link->sent) = frame;
    link->bytes += cost_of(frame);
    if (link->up)
        link->events->send(link->ctx, frame);
    watch(link);
    if (link->bytes > link->bytes_max) {
        link->ended = true;
        loop_task_arm(link->full_task); /* not from within */
    }
}

static void tell(Link *link) {
    if (!link->up || link->told == link->received)
        return;
    link->told = link->received;
    link->untold_bytes = 0;
    loop_timer_stop(link->ack_timer);
    FrameHeader header = { .type = MSG_LINK_ACK };
    NetBytes *frame = pack(&header, link->received, (Slice){ 0 });
    link->events->send(link->ctx, frame);
    net_bytes_unref(frame);
}

static void on_ack_due(void *ctx) {
    tell(ctx);
}

static int take_ack(Link *link, const FrameHeader *header) {
    uint64_t number =
        link->acknowledged + (uint32_t)(header->sequence - (uint32_t)link->acknowledged);
    if (number == link->acknowledged || number > link->sent)
        return error_origin(-EPROTO,
                            "frame %u is acknowledged, but %llu were sent and %llu acknowledged "
                            "already",
                            header->sequence, (unsigned long long)link->sent,
                            (unsigned long long)link->acknowledged);
    drop_until(link, number);
    moved(link);
    if (link->events->acknowledged)
        link->events->acknowledged(link->ctx);
    return 1;
}

int link_take(Link *link, const FrameHeader *header) {
    if (!link->up)
        return error_origin(-EPROTO, "%s before a Welcome", message_name(header->type));
    if (header->type == MSG_LINK_ACK)
        return take_ack(link, header);
    if (header->sequence != (uint32_t)(link->received + 1))
        return error_origin(-EPROTO, "%s is frame %u, but %llu have come so far",
                            message_name(header->type), header->sequence,
                            (unsigned long long)link->received);
    link->received++;
    link->untold_bytes += FRAME_HEADER_SIZE + (size_t)header->length;
    if (link->received - link->told >= ACK_FRAMES || link->untold_bytes >= ACK_BYTES)
        tell(link);
    else if (!loop_timer_armed(link->ack_timer))
        loop_timer_after(link->ack_timer, LINK_ACK_DELAY);
    return 0;
}

uint64_t link_sent(const Link *link) {
    return link->sent;
}

uint64_t link_acknowledged(const Link *link) {
    return link->acknowledged;
}

size_t link_bytes(const Link *link) {
    return link->bytes;
}
