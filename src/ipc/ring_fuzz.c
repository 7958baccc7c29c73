/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The other end of a pair of rings writes what it likes: a place to begin at (1 byte, in the last
 * KiB of the ring), then portions (2 bytes' length, the bytes), each published, or a head that was
 * never reached. A reader gets frames that lie inside or an error; a writer stays in its ring.
 */

#include "ipc/ring.h"

#include <stdatomic.h>
#include <unistd.h>

#include "base/fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned take_two(Input *in) {
    unsigned first = take(in);
    return in->size > 0 ? first << 8 | take(in) : first;
}

static void check_frame(const RingReader *in, const FrameHeader *header, const uint8_t *body) {
    const uint8_t *partial = (const uint8_t *)in->partial.data;
    bool inside = body >= in->data && body + header->length <= in->data + RING_BYTES;
    bool whole = partial && body == partial + FRAME_HEADER_SIZE &&
                 header->length + FRAME_HEADER_SIZE == in->partial.len;
    ASSERT(inside || whole);
    ASSERT(frame_check(header) == 0);
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < header->length; i++)
        sum = (uint8_t)(sum + body[i]);
}

/* False: the ring is broken. */
static bool read_all(RingReader *in) {
    for (;;) {
        FrameHeader header;
        const void *body;
        bool want_room;
        int r = ring_read(in, &header, &body, &want_room);
        if (r == 1)
            check_frame(in, &header, body);
        else
            return r == 0;
    }
}

static void write_portion(uint8_t *ring, uint64_t at, const char *data, size_t len) {
    for (size_t i = 0; i < len; i++)
        ring[(at + i) & (RING_BYTES - 1)] = (uint8_t)data[i];
}

/* Ours to write: the head says what the other end pretends to have read. */
static void try_write(RingWriter *out, uint64_t head, size_t len) {
    static const uint8_t zeros[2 * RING_WHOLE_MAX];
    FrameHeader header = { .type = 1, .length = (uint32_t)MIN(len, sizeof(zeros)) };
    struct iovec body = { (void *)(uintptr_t)zeros, header.length };
    size_t sent = 0;
    atomic_store(&out->control->head, head);
    (void)ring_write(out, &header, &body, 1, &sent);
    ASSERT(sent <= header.length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static RingPair pair; /* one for all inputs: two MiB of pages cost more than an input */
    if (!pair.map) {
        int fd;
        ASSERT(ring_create(&fd) == 0 && ring_open(fd, 0, &pair) == 0);
        close(fd);
    }
    Input in = { data, size };
    uint8_t *ring = (uint8_t *)(uintptr_t)pair.in.data;
    uint64_t start = RING_BYTES - 8 * (uint64_t)(take(&in) % 128), tail = start;
    pair.in.head = pair.in.next = start;
    pair.in.partial_want = 0;
    pair.out.tail = pair.out.head_seen = start;
    atomic_store(&pair.out.control->tail, start);
    bool sound = true;
    while (in.size > 0 && sound) {
        unsigned len = take_two(&in);
        if (len & 0x8000) {
            try_write(&pair.out, start + (int16_t)take_two(&in) * 64, len << 3 & 0x3ffff);
            continue;
        }
        Slice portion = take_bytes(&in, len & 0xfff);
        write_portion(ring, tail, portion.data, portion.len);
        tail += len & 0x4000 ? RING_BYTES / 2 + len : ALIGN_UP(portion.len, 8);
        atomic_store(&pair.in.control->tail, tail);
        sound = read_all(&pair.in);
    }
    write_portion(ring, start, (const char[4096]){ 0 }, MIN(size, 4096u));
    buf_done(&pair.in.partial);
    return 0;
}
