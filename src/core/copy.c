/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include "core/core_private.h"

/*
 * One core copies slower than the memory takes, and pages that are touched for the first time cost
 * more than their copying: large values are cut in pieces, one a thread. The threads live as long
 * as the copy; making one costs as much as copying a hundredth of a piece.
 */

enum {
    THREADS_MAX = 4
};

static const size_t PIECE_MIN = 8 << 20;

typedef struct Piece {
    uint8_t *to;
    const struct iovec *parts;
    size_t parts_len;
    size_t from, size; /* of the whole */
} Piece;

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
        memcpy(to, (const uint8_t *)piece->parts[i].iov_base + skip, n);
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

void large_copy(void *to, const struct iovec *parts, size_t parts_len, size_t size) {
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
        pieces[i] = (Piece){ to, parts, parts_len, MIN(at, size), MIN(each, size - MIN(at, size)) };
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
