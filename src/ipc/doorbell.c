/* SPDX-License-Identifier: Apache-2.0 */
#include "ipc/doorbell.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "ipc/fence.h"

static int doorbell_map(Doorbell *bell) {
    void *page = mmap(NULL, DOORBELL_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, bell->memfd, 0);
    if (page == MAP_FAILED)
        return error_last("map a doorbell page");
    bell->page = page;
    return 0;
}

int doorbell_create(Doorbell *ret_bell) {
    Doorbell bell = { .memfd = -1, .eventfd = -1 };
    bell.memfd = memfd_create("doorbell", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int r = bell.memfd < 0 || ftruncate(bell.memfd, DOORBELL_PAGE) < 0
                ? error_last("make a doorbell page")
                : 0;
    /* A peer that shrank the file would make the others fault. */
    if (r == 0 && fcntl(bell.memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        r = error_last("seal a doorbell page");
    if (r == 0 && (bell.eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
        r = error_last("make an eventfd");
    if (r == 0)
        r = doorbell_map(&bell);
    if (r < 0) {
        doorbell_done(&bell);
        return r;
    }
    *ret_bell = bell;
    return 0;
}

int doorbell_open(int memfd, int event_fd, Doorbell *ret_bell) {
    Doorbell bell = { .memfd = memfd, .eventfd = event_fd };
    struct stat st;
    int r = 0;
    if (fstat(memfd, &st) < 0 || st.st_size != DOORBELL_PAGE)
        r = error_origin(-EPROTO, "a doorbell page has the wrong size");
    if (r == 0)
        r = doorbell_map(&bell);
    if (r < 0) {
        doorbell_done(&bell);
        return r;
    }
    bell.memfd = fd_close(bell.memfd);
    *ret_bell = bell;
    return 0;
}

void doorbell_done(Doorbell *bell) {
    if (bell->page)
        munmap(bell->page, DOORBELL_PAGE);
    fd_close(bell->memfd);
    fd_close(bell->eventfd);
    *bell = (Doorbell){ .memfd = -1, .eventfd = -1 };
}

static void futex_wake(_Atomic uint32_t *word) {
    syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

void doorbell_call(Doorbell *bell) {
    uint64_t one = 1;
    ssize_t n = write(bell->eventfd, &one, sizeof(one)); /* full means: it is readable anyway */
    UNUSED(n);
}

void doorbell_ring(Doorbell *bell) {
    ipc_fence(&bell->page->mode);
    uint32_t mode = atomic_load_explicit(&bell->page->mode, memory_order_relaxed);
    if (mode == DOORBELL_BUSY) {
        if (!atomic_load_explicit(&bell->page->kicked, memory_order_relaxed) &&
            !atomic_exchange_explicit(&bell->page->kicked, 1, memory_order_acq_rel))
            doorbell_call(bell);
        return;
    }
    /* The sleeper may go from SPIN on to another mode meanwhile: then it must be woken all the same. */
    while (!atomic_compare_exchange_strong(&bell->page->mode, &mode, DOORBELL_BUSY))
        if (mode == DOORBELL_BUSY)
            return; /* somebody else woke it */
    if (mode == DOORBELL_FUTEX)
        futex_wake(&bell->page->mode);
    else if (mode == DOORBELL_EVENT)
        doorbell_call(bell);
}

void doorbell_poke(Doorbell *bell) {
    uint32_t mode = atomic_exchange(&bell->page->mode, DOORBELL_BUSY);
    if (mode == DOORBELL_FUTEX)
        futex_wake(&bell->page->mode);
    else if (mode == DOORBELL_EVENT)
        doorbell_call(bell);
}

bool doorbell_spin(Doorbell *bell, uint32_t rounds, uint32_t then) {
    for (uint32_t i = 0; i < rounds; i++) {
        if (atomic_load_explicit(&bell->page->mode, memory_order_acquire) != DOORBELL_SPIN)
            return true;
        __builtin_ia32_pause();
    }
    uint32_t spin = DOORBELL_SPIN;
    return !atomic_compare_exchange_strong(&bell->page->mode, &spin, then);
}

void doorbell_prepare(Doorbell *bell, uint32_t mode) {
    atomic_store(&bell->page->mode, mode);
    ipc_fence(&bell->page->mode);
}

void doorbell_wake_up(Doorbell *bell) {
    atomic_store_explicit(&bell->page->mode, DOORBELL_BUSY, memory_order_release);
}

bool doorbell_sleep(Doorbell *bell, usec_t timeout, bool *ret_signal) {
    struct timespec ts = { .tv_sec = timeout / USEC_PER_SEC,
                           .tv_nsec = timeout % USEC_PER_SEC * 1000 };
    long r = syscall(SYS_futex, &bell->page->mode, FUTEX_WAIT, DOORBELL_FUTEX,
                     timeout == USEC_INFINITY ? NULL : &ts, NULL, 0);
    *ret_signal = r < 0 && errno == EINTR;
    return !(r < 0 && (errno == ETIMEDOUT || errno == EINTR));
}

void doorbell_clear_event(Doorbell *bell) {
    uint64_t count;
    ssize_t n = read(bell->eventfd, &count, sizeof(count));
    UNUSED(n);
    atomic_store(&bell->page->kicked, 0);
}
