/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>
#ifdef __SSE2__
#    include <emmintrin.h>
#endif

#include "base/error.h"
#include "core/core_private.h"

/*
 * One core copies slower than the memory takes: large values are cut in pieces, one a thread. The
 * threads live as long as the copy; making one costs as much as copying a hundredth of a piece.
 * What is larger than the caches goes past them: a store that does not read its line first writes
 * twice as fast, and what is in the caches stays there.
 */

enum {
    THREADS_MAX = 4
};

static const size_t PIECE_MIN = 8 << 20;
static const size_t PAST_CACHES_MIN = 16 << 20;

typedef struct Piece {
    uint8_t *to;
    const struct iovec *parts;
    size_t parts_len;
    size_t from, size; /* of the whole */
    bool past_caches;
} Piece;

#ifdef __SSE2__
enum {
    LINE = 64
};

static void copy_past_caches(uint8_t *to, const uint8_t *from, size_t size) {
    size_t head = MIN(size, (size_t)-(uintptr_t)to % LINE);
    memcpy(to, from, head);
    to += head;
    from += head;
    size -= head;
    for (; size >= LINE; to += LINE, from += LINE, size -= LINE) {
        __m128i *t = (__m128i *)(void *)to;
        const __m128i *f = (const __m128i *)(const void *)from;
        __m128i a = _mm_loadu_si128(f), b = _mm_loadu_si128(f + 1);
        __m128i c = _mm_loadu_si128(f + 2), d = _mm_loadu_si128(f + 3);
        _mm_stream_si128(t, a);
        _mm_stream_si128(t + 1, b);
        _mm_stream_si128(t + 2, c);
        _mm_stream_si128(t + 3, d);
    }
    _mm_sfence();
    memcpy(to, from, size);
}
#else
static void copy_past_caches(uint8_t *to, const uint8_t *from, size_t size) {
    memcpy(to, from, size);
}
#endif

static void piece_copy(const Piece *piece) {
    size_t skip = piece->from, left = piece->size;
    uint8_t *to = piece->to + piece->from;
    for (size_t i = 0; i < piece->parts_len && left; i++) {
        size_t len = piece->parts[i].iov_len;
        if (skip >= len) {
            skip -= len;
            continue;
        }
        size_t n = MIN(len - skip, left);
        const uint8_t *from = (const uint8_t *)piece->parts[i].iov_base + skip;
        if (piece->past_caches)
            copy_past_caches(to, from, n);
        else
            memcpy(to, from, n);
        to += n;
        left -= n;
        skip = 0;
    }
}

static void *piece_main(void *data) {
    piece_copy(data);
    return NULL;
}

static size_t threads_for(size_t size) {
    cpu_set_t cpus;
    if (size < 2 * PIECE_MIN || sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
        return 1;
    return MIN(MIN((size_t)CPU_COUNT(&cpus), size / PIECE_MIN), (size_t)THREADS_MAX);
}

static void copy_to_memory(uint8_t *to, const struct iovec *parts, size_t parts_len, size_t size) {
    size_t count = threads_for(size), each = ALIGN_UP(size / count + 1, (size_t)4096), at = 0;
    Piece pieces[THREADS_MAX];
    pthread_t threads[THREADS_MAX];
    bool runs[THREADS_MAX] = { false };
    sigset_t all, before;
    if (count > 1) { /* the user's signals are for the user's threads */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
    }
    for (size_t i = 0; i < count; i++, at += each) {
        pieces[i] = (Piece){ to,
                             parts,
                             parts_len,
                             MIN(at, size),
                             MIN(each, size - MIN(at, size)),
                             size >= PAST_CACHES_MIN };
        runs[i] = i > 0 && pthread_create(&threads[i], NULL, piece_main, &pieces[i]) == 0;
    }
    if (count > 1)
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    for (size_t i = 0; i < count; i++)
        if (!runs[i])
            piece_copy(&pieces[i]);
    for (size_t i = 1; i < count; i++)
        if (runs[i])
            pthread_join(threads[i], NULL);
}

/* The kernel puts them into pages that it need not zero first. */
static int copy_to_file(const StoreBlock *block, const struct iovec *parts, size_t parts_len) {
    uint64_t at = block->at;
    for (size_t i = 0; i < parts_len; i++) {
        const uint8_t *from = parts[i].iov_base;
        for (size_t left = parts[i].iov_len; left;) {
            ssize_t n = pwrite(block->fd, from, left, (off_t)at);
            if (n < 0 && errno == EINTR)
                continue;
            if (n <= 0)
                return error_origin(n < 0 ? -errno : -EIO, "write %zu bytes to the object store",
                                    left);
            from += n;
            left -= (size_t)n;
            at += (uint64_t)n;
        }
    }
    return 0;
}

int large_copy(const StoreBlock *block, const struct iovec *parts, size_t parts_len) {
    if (!block->data)
        return copy_to_file(block, parts, parts_len);
    copy_to_memory(block->data, parts, parts_len, block->size);
    return 0;
}
