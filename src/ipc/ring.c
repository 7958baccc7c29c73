/* SPDX-License-Identifier: Apache-2.0 */
#include "ipc/ring.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "ipc/fence.h"

enum {
    RECORD_HEAD = 8
};
enum {
    RECORD_WHOLE = 0,
    RECORD_FIRST = 1,
    RECORD_MORE = 2,
    RECORD_WRAP = 3
};

static const size_t MAP_BYTES = 2 * (size_t)RING_CONTROL + 2 * (size_t)RING_BYTES;

int ring_create(int *ret_memfd) {
    _cleanup_close_ int fd = memfd_create("ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, (off_t)MAP_BYTES) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return error_last("make a ring");
    *ret_memfd = fd;
    fd = -1;
    return 0;
}

int ring_open(int memfd, int side, RingPair *ret_pair) {
    struct stat st;
    if (fstat(memfd, &st) < 0 || st.st_size != (off_t)MAP_BYTES)
        return error_origin(-EPROTO, "a ring has the wrong size");
    uint8_t *map = mmap(NULL, MAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
    if (map == MAP_FAILED)
        return error_last("map a ring");
    RingControl *control[2] = { (RingControl *)(void *)map,
                                (RingControl *)(void *)(map + RING_CONTROL) };
    uint8_t *data[2] = { map + 2 * RING_CONTROL, map + 2 * RING_CONTROL + RING_BYTES };
    int mine = side ? 1 : 0, theirs = 1 - mine;
    *ret_pair = (RingPair){
        .map = map,
        .out = { .control = control[mine], .data = data[mine] },
        .in = { .control = control[theirs], .data = data[theirs] },
    };
    /* A pair may be opened again (a peer that reconnects): go on where the memory stands. */
    ret_pair->out.tail = atomic_load(&control[mine]->tail);
    ret_pair->out.head_seen = atomic_load(&control[mine]->head);
    ret_pair->in.head = ret_pair->in.next = atomic_load(&control[theirs]->head);
    return 0;
}

void ring_close(RingPair *pair) {
    if (pair->map)
        munmap(pair->map, MAP_BYTES);
    buf_done(&pair->in.partial);
    *pair = (RingPair){ 0 };
}

void ring_mark_dead(RingPair *pair) {
    atomic_store(&pair->out.control->dead, 1);
    atomic_store(&pair->in.control->dead, 1);
}

bool ring_dead(const RingPair *pair) {
    return atomic_load_explicit(&pair->in.control->dead, memory_order_acquire) != 0;
}

/* Room for `need` bytes in one piece at the tail, after a wrap record if the end is too near. */
static uint8_t *ring_room(RingWriter *out, size_t need) {
    uint64_t tail = out->tail;
    if ((tail & (RING_BYTES - 1)) > RING_RESTART ||
        RING_BYTES - (tail - out->head_seen) < need + RECORD_HEAD)
        out->head_seen = atomic_load_explicit(&out->control->head, memory_order_acquire);
    /* A head beyond the tail can only be a broken peer: treat the ring as full. */
    if (tail - out->head_seen > RING_BYTES)
        return NULL;
    size_t at = tail & (RING_BYTES - 1), to_end = RING_BYTES - at;
    bool restart = out->head_seen == tail && at > RING_RESTART && to_end + need <= RING_BYTES;
    size_t skip = to_end < need || restart ? to_end : 0;
    if (RING_BYTES - (tail - out->head_seen) < skip + need)
        return NULL;
    if (skip) {
        uint32_t wrap[2] = { 0, RECORD_WRAP };
        memcpy(out->data + at, wrap, sizeof(wrap));
        out->tail += skip;
        at = 0;
    }
    return out->data + at;
}

static bool ring_put(RingWriter *out, uint32_t kind, const FrameHeader *header,
                     const struct iovec *body, size_t body_len, size_t skip, size_t take) {
    size_t head = header ? FRAME_HEADER_SIZE : 0, len = head + take;
    uint64_t tail_before = out->tail;
    uint8_t *at = ring_room(out, RECORD_HEAD + ALIGN_UP(len, 8));
    if (!at) {
        out->tail = tail_before;
        return false;
    }
    uint32_t record[2] = { (uint32_t)len, kind };
    memcpy(at, record, sizeof(record));
    at += RECORD_HEAD;
    if (header)
        frame_pack(header, at);
    at += head;
    for (size_t i = 0; i < body_len && take; i++) {
        if (skip >= body[i].iov_len) {
            skip -= body[i].iov_len;
            continue;
        }
        size_t n = MIN(body[i].iov_len - skip, take);
        memcpy(at, (const char *)body[i].iov_base + skip, n);
        at += n;
        take -= n;
        skip = 0;
    }
    out->tail += RECORD_HEAD + ALIGN_UP(len, 8);
    atomic_store_explicit(&out->control->tail, out->tail, memory_order_release);
    return true;
}

/* Like ring_put; when there is no room, asks to be rung and looks once more. */
static bool ring_put_or_ask(RingWriter *out, uint32_t kind, const FrameHeader *header,
                            const struct iovec *body, size_t body_len, size_t skip, size_t take) {
    if (LIKELY(ring_put(out, kind, header, body, body_len, skip, take)))
        return true;
    atomic_store(&out->control->want_room, 1);
    ipc_fence(&out->control->want_room);
    out->head_seen = out->tail - RING_BYTES; /* forces a fresh look at the head */
    return ring_put(out, kind, header, body, body_len, skip, take);
}

bool ring_room_came(const RingWriter *out) {
    return !atomic_load_explicit(&out->control->want_room, memory_order_acquire);
}

bool ring_write(RingWriter *out, const FrameHeader *header, const struct iovec *body,
                size_t body_len, size_t *sent) {
    size_t total = header->length;
    if (LIKELY(*sent == 0 && total <= RING_WHOLE_MAX))
        return ring_put_or_ask(out, RECORD_WHOLE, header, body, body_len, 0, total);
    if (*sent == 0) {
        if (!ring_put_or_ask(out, RECORD_FIRST, header, body, body_len, 0, RING_WHOLE_MAX))
            return false;
        *sent = RING_WHOLE_MAX;
    }
    while (*sent < total) {
        size_t take = MIN(total - *sent, (size_t)RING_WHOLE_MAX);
        if (!ring_put_or_ask(out, RECORD_MORE, NULL, body, body_len, *sent, take))
            return false;
        *sent += take;
    }
    return true;
}

bool ring_readable(const RingReader *in) {
    return atomic_load_explicit(&in->control->tail, memory_order_acquire) != in->next;
}

static void ring_release(RingReader *in, bool *ret_want_room) {
    if (in->head == in->next)
        return;
    in->head = in->next;
    atomic_store_explicit(&in->control->head, in->head, memory_order_release);
    ipc_fence(&in->control->want_room);
    if (UNLIKELY(atomic_load_explicit(&in->control->want_room, memory_order_relaxed)) &&
        atomic_exchange(&in->control->want_room, 0))
        *ret_want_room = true;
}

static int ring_nonsense(void) {
    return error_origin(-EPROTO, "a ring holds a malformed record");
}

/* 1: a whole frame is in hand; 0: a piece was taken, look again. */
static int ring_take_record(RingReader *in, uint32_t kind, const uint8_t *bytes, size_t len,
                            FrameHeader *ret_header, const void **ret_body) {
    if (kind == RECORD_MORE) {
        if (!in->partial_want || len > in->partial_want - in->partial.len)
            return ring_nonsense();
        buf_add(&in->partial, bytes, len);
    } else {
        if (len < FRAME_HEADER_SIZE || in->partial_want)
            return ring_nonsense();
        FrameHeader h = frame_unpack(bytes);
        int r = frame_check(&h);
        if (r < 0)
            return r;
        size_t body = len - FRAME_HEADER_SIZE;
        if (kind == RECORD_WHOLE) {
            if (body != h.length)
                return ring_nonsense();
            *ret_header = h;
            *ret_body = bytes + FRAME_HEADER_SIZE;
            return 1;
        }
        if (body >= h.length)
            return ring_nonsense();
        in->partial_want = FRAME_HEADER_SIZE + (size_t)h.length;
        buf_clear(&in->partial);
        buf_add(&in->partial, bytes, len);
    }
    if (in->partial.len < in->partial_want)
        return 0;
    *ret_header = frame_unpack(in->partial.data);
    *ret_body = in->partial.data + FRAME_HEADER_SIZE;
    in->partial_want = 0;
    return 1;
}

int ring_read(RingReader *in, FrameHeader *ret_header, const void **ret_body, bool *ret_want_room) {
    *ret_want_room = false;
    for (;;) {
        ring_release(in, ret_want_room);
        uint64_t tail = atomic_load_explicit(&in->control->tail, memory_order_acquire);
        uint64_t ready = tail - in->head;
        if (ready == 0)
            return 0;
        size_t at = in->head & (RING_BYTES - 1), to_end = RING_BYTES - at;
        if (ready > RING_BYTES || ready < RECORD_HEAD)
            return ring_nonsense();
        uint32_t record[2];
        memcpy(record, in->data + at, sizeof(record));
        size_t len = record[0], whole = RECORD_HEAD + ALIGN_UP(len, 8);
        if (record[1] == RECORD_WRAP) {
            if (ready < to_end)
                return ring_nonsense();
            in->next = in->head + to_end;
            continue;
        }
        if (record[1] > RECORD_MORE || len > RING_WHOLE_MAX + FRAME_HEADER_SIZE || whole > ready ||
            whole > to_end)
            return ring_nonsense();
        in->next = in->head + whole;
        int r =
            ring_take_record(in, record[1], in->data + at + RECORD_HEAD, len, ret_header, ret_body);
        if (r != 0)
            return r;
    }
}
