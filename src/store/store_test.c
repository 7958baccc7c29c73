/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/test.h"
#include "store/server.h"

enum {
    ARENA = 32 << 20
};

static StoreClient *join(StoreServer *server, PeerId peer) {
    int pins;
    StoreClient *client;
    CHECK_OK(store_server_join(server, peer, &pins));
    int disk = store_server_disk_fd(server);
    StoreDoor door = { .arena_fd = fcntl(store_server_fd(server), F_DUPFD_CLOEXEC, 0),
                       .disk_fd = disk < 0 ? -1 : fcntl(disk, F_DUPFD_CLOEXEC, 0),
                       .pins_fd = pins,
                       .bytes = store_server_bytes(server),
                       .disk_bytes = store_server_disk_bytes(server) };
    CHECK_OK(store_client_open(&door, &client));
    return client;
}

static ObjectId id_of(uint32_t n) {
    ObjectId id = { { 1 } };
    memcpy(id.byte + 4, &n, sizeof(n));
    return id;
}

static void return_slabs(StoreServer *server, StoreClient *client, PeerId peer) {
    StoreReturn r;
    while (store_client_returns(client, &r, 1)) {
        if (r.dropped)
            store_server_dropped(server, peer, r.offset, false);
        else
            store_server_close_slab(server, peer, r.offset, r.kept);
    }
}

/* What core/copy.c does. */
static void fill(const StoreBlock *block, uint8_t byte) {
    if (block->data) {
        memset(block->data, byte, block->size);
        return;
    }
    uint8_t page[4096];
    memset(page, byte, sizeof(page));
    for (uint64_t at = 0; at < block->size; at += sizeof(page)) {
        size_t n = MIN(block->size - at, sizeof(page));
        CHECK_INT(pwrite(block->fd, page, n, (off_t)(block->at + at)), (ssize_t)n);
    }
}

static int put(StoreServer *server, StoreClient *client, PeerId peer, uint32_t n, uint64_t size,
               StoreBlock *ret_block) {
    ObjectId id = id_of(n);
    int r;
    while ((r = store_client_alloc(client, size, &id, peer, ret_block)) == STORE_NEED_SLAB) {
        return_slabs(server, client, peer);
        StoreSlab slab;
        r = store_server_grant(server, peer, store_client_slab_wanted(client, size), &slab);
        if (r)
            return r;
        CHECK_OK(store_client_add_slab(client, &slab));
    }
    if (r == 0) {
        fill(ret_block, (uint8_t)n);
        store_client_seal(client, ret_block);
    }
    return r;
}

static void test_written_here_read_there(void **state) {
    UNUSED(state);
    StoreServer *server;
    CHECK_OK(store_server_new(ARENA, -1, 0, &server));
    StoreClient *a = join(server, 1), *b = join(server, 2);
    StoreBlock block;
    CHECK_OK(put(server, a, 1, 7, 3000000, &block));
    ObjectId id = id_of(7), other = id_of(8);
    uint64_t size;
    const uint8_t *data = store_client_pin(b, block.offset, block.generation, &id, &size);
    CHECK(data && size == 3000000 && data[0] == 7 && data[size - 1] == 7);
    CHECK(!store_client_pin(a, block.offset, block.generation, &other, &size));
    CHECK(!store_client_pin(a, block.offset, block.generation + 1, &id, &size));
    CHECK(!store_client_pin(a, block.offset + 64, block.generation, &id, &size));
    CHECK(!store_client_pin(a, UINT64_MAX - 63, block.generation, &id, &size));
    store_client_free(a);
    store_client_free(b);
    store_server_free(server);
}

static void test_a_pinned_object_stays(void **state) {
    UNUSED(state);
    StoreServer *server;
    CHECK_OK(store_server_new(ARENA, -1, 0, &server));
    StoreClient *a = join(server, 1), *b = join(server, 2);
    StoreBlock block;
    CHECK_OK(put(server, a, 1, 7, 3000000, &block));
    ObjectId id = id_of(7);
    uint64_t size;
    const uint8_t *data = store_client_pin(b, block.offset, block.generation, &id, &size);
    CHECK_OK(store_server_free_object(server, block.offset, block.generation, &id));
    CHECK_INT(store_server_free_object(server, block.offset, block.generation, &id), STORE_ABSENT);
    CHECK(!store_client_pin(a, block.offset, block.generation, &id, &size));
    return_slabs(server, a, 1); /* a large object's slab is its own */
    StoreBlock next;
    CHECK_OK(put(server, a, 1, 9, 3000000, &next));
    CHECK(next.offset != block.offset);
    CHECK(data[0] == 7 && data[2999999] == 7);
    CHECK(store_client_unpin(b, block.offset));
    store_server_unpinned(server, block.offset);
    StoreBlock again;
    CHECK_OK(put(server, b, 2, 11, 3000000, &again));
    CHECK(again.offset == block.offset && again.generation != block.generation);
    store_client_free(a);
    store_client_free(b);
    store_server_free(server);
}

static void test_full_then_room(void **state) {
    UNUSED(state);
    StoreServer *server;
    CHECK_OK(store_server_new(ARENA, -1, 0, &server));
    StoreClient *a = join(server, 1);
    StoreBlock blocks[40];
    uint32_t n = 0;
    while (put(server, a, 1, n, 2000000, &blocks[n]) == 0)
        n++;
    CHECK(n >= 15);
    for (uint32_t i = 0; i < n; i++) {
        ObjectId id = id_of(i);
        CHECK_OK(store_server_free_object(server, blocks[i].offset, blocks[i].generation, &id));
    }
    CHECK_OK(put(server, a, 1, 99, 2000000, &blocks[0]));
    store_client_free(a);
    store_server_leave(server, 1);
    CHECK_INT(store_server_used(server), 0);
    StoreSlab whole;
    CHECK_OK(store_server_grant(server, 3, ARENA, &whole));
    store_server_free(server);
}

static void test_what_the_dead_left(void **state) {
    UNUSED(state);
    StoreServer *server;
    CHECK_OK(store_server_new(ARENA, -1, 0, &server));
    StoreClient *a = join(server, 1), *b = join(server, 2);
    StoreBlock owned, foreign, half;
    CHECK_OK(put(server, a, 1, 1, 200000, &owned));
    CHECK_OK(put(server, a, 2, 2, 200000, &foreign)); /* a result: its owner is the caller */
    ObjectId id = id_of(3), id2 = id_of(2), id1 = id_of(1);
    CHECK_OK(store_client_alloc(a, 1000, &id, 1, &half));
    uint64_t size;
    CHECK(store_client_pin(a, foreign.offset, foreign.generation, &id2, &size));
    store_client_free(a);
    store_server_leave(server, 1);
    CHECK(!store_client_pin(b, owned.offset, owned.generation, &id1, &size));
    CHECK(store_client_pin(b, foreign.offset, foreign.generation, &id2, &size));
    CHECK(!store_client_unpin(b, foreign.offset));
    store_server_owner_dead(server, 2);
    CHECK_INT(store_server_used(server), 0);
    store_server_trim(server);
    store_client_free(b);
    store_server_free(server);
}

static void test_a_copy_from_another_node(void **state) {
    UNUSED(state);
    StoreServer *server;
    CHECK_OK(store_server_new(ARENA, -1, 0, &server));
    StoreClient *a = join(server, 1);
    ObjectId id = id_of(5);
    StoreBlock block;
    CHECK_OK(store_server_copy_begin(server, 5000, &id, 77, false, &block));
    memset(block.data, 5, 5000);
    uint64_t size;
    CHECK(!store_client_pin(a, block.offset, block.generation, &id, &size));
    store_server_copy_seal(server, &block);
    CHECK(store_client_pin(a, block.offset, block.generation, &id, &size));
    CHECK(store_server_data(server, block.offset, block.generation, &id, &size) && size == 5000);
    store_server_owner_dead(server, 77);
    CHECK(store_client_unpin(a, block.offset));
    store_server_unpinned(server, block.offset);
    CHECK_INT(store_server_used(server), 0);
    store_client_free(a);
    store_server_free(server);
}

/* Random puts, frees, pins, deaths against a model: what is pinned keeps its bytes. */
static void test_random_life(void **state) {
    UNUSED(state);
    enum {
        STEPS = 6000,
        OBJECTS = 64
    };
    struct {
        StoreBlock block;
        const uint8_t *pin;
        bool live;
    } o[OBJECTS] = { 0 };
    StoreServer *server;
    CHECK_OK(store_server_new(ARENA, -1, 0, &server));
    StoreClient *writer = join(server, 1), *reader = join(server, 2);
    uint32_t seed = 42;
    for (int step = 0; step < STEPS; step++) {
        seed = seed * 1664525u + 1013904223u;
        uint32_t i = (seed >> 8) % OBJECTS, what = (seed >> 20) % 4;
        ObjectId id = id_of(i);
        uint64_t size;
        if (!o[i].live && !o[i].pin && what < 2) {
            uint64_t want = seed % 7 ? seed % 300000 : seed % 4000000;
            o[i].live = put(server, writer, 1, i, want + 1, &o[i].block) == 0;
        } else if (o[i].live && what == 2) {
            CHECK_OK(
                store_server_free_object(server, o[i].block.offset, o[i].block.generation, &id));
            o[i].live = false;
        } else if (o[i].live && !o[i].pin) {
            o[i].pin =
                store_client_pin(reader, o[i].block.offset, o[i].block.generation, &id, &size);
            CHECK(o[i].pin && size == o[i].block.size);
        } else if (o[i].pin) {
            CHECK(o[i].pin[0] == (uint8_t)i && o[i].pin[o[i].block.size - 1] == (uint8_t)i);
            if (store_client_unpin(reader, o[i].block.offset))
                store_server_unpinned(server, o[i].block.offset);
            o[i].pin = NULL;
        }
    }
    store_client_free(reader);
    store_server_leave(server, 2);
    store_client_free(writer);
    store_server_leave(server, 1);
    CHECK_INT(store_server_used(server), 0);
    store_server_free(server);
}

static void free_block(StoreServer *server, const StoreBlock *block, uint32_t n) {
    ObjectId id = id_of(n);
    CHECK_OK(store_server_free_object(server, block->offset, block->generation, &id));
}

/* First by system calls, then through a mapping that stays; what one keeps others don't get. */
static void test_room_that_a_writer_keeps(void **state) {
    UNUSED(state);
    StoreServer *server;
    CHECK_OK(store_server_new(ARENA, -1, 0, &server));
    StoreClient *a = join(server, 1), *b = join(server, 2);
    StoreBlock block[3];
    for (uint32_t i = 0; i < 3; i++) {
        CHECK_OK(put(server, a, 1, i, 12000000, &block[i]));
        CHECK((block[i].data != NULL) == (i > 0));
        CHECK(block[i].offset == block[0].offset);
        return_slabs(server, a, 1);
        free_block(server, &block[i], i);
        CHECK_INT(store_server_used(server), 0);
    }
    CHECK(block[2].data == block[1].data);
    StoreBlock other;
    CHECK_OK(put(server, b, 2, 7, 12000000, &other));
    CHECK(other.offset != block[2].offset);
    StoreSlab slab;
    uint64_t size = store_client_slab_wanted(a, 12000000);
    CHECK_INT(store_server_grant(server, 2, size, &slab), STORE_FULL);
    PeerId who;
    CHECK(store_server_recall(server, &who) && who == 1);
    CHECK(!store_server_recall(server, &who) && store_server_recalling(server));
    CHECK_INT(store_server_grant(server, 1, size, &slab), STORE_FULL); /* nor it itself now */
    store_client_drop_kept(a);
    store_server_dropped(server, 1, 0, true);
    CHECK(!store_server_recalling(server));
    CHECK_OK(store_server_grant(server, 2, size, &slab));
    CHECK(slab.offset == block[2].offset && slab.warm);
    store_client_free(a);
    store_client_free(b);
    store_server_free(server);
}

static void test_only_so_many_are_kept(void **state) {
    UNUSED(state);
    enum {
        MANY = 20
    };
    StoreServer *server;
    CHECK_OK(store_server_new(2 * ARENA, -1, 0, &server));
    StoreClient *a = join(server, 1);
    StoreBlock block[MANY];
    for (int pass = 0; pass < 2; pass++) { /* with pages, the second time they are mapped */
        for (uint32_t i = 0; i < MANY; i++)
            CHECK_OK(put(server, a, 1, i, 2000000 + i * STORE_SLAB_UNIT, &block[i]));
        return_slabs(server, a, 1);
        for (uint32_t i = 0; i < MANY; i++)
            free_block(server, &block[i], i);
    }
    CHECK_INT(store_server_used(server), 0);
    StoreSlab slab;
    CHECK_INT(store_server_grant(server, 2, 2 * ARENA, &slab), STORE_FULL);
    store_client_free(a);
    store_server_leave(server, 1);
    CHECK_OK(store_server_grant(server, 2, 2 * ARENA, &slab));
    store_server_free(server);
}

static void test_what_could_not_be_written(void **state) {
    UNUSED(state);
    StoreServer *server;
    CHECK_OK(store_server_new(ARENA, -1, 0, &server));
    StoreClient *a = join(server, 1);
    ObjectId id = id_of(1);
    StoreSlab slab;
    CHECK_OK(store_server_grant(server, 1, store_client_slab_wanted(a, 5000000), &slab));
    CHECK_OK(store_client_add_slab(a, &slab));
    StoreBlock block;
    CHECK_OK(store_client_alloc(a, 5000000, &id, 1, &block));
    store_client_abort(a, &block);
    return_slabs(server, a, 1);
    CHECK_INT(store_server_used(server), 0);
    store_client_free(a);
    store_server_free(server);
}

static void test_pages_go_back_when_unused(void **state) {
    UNUSED(state);
    StoreServer *server;
    CHECK_OK(store_server_new(ARENA, -1, 0, &server));
    StoreClient *a = join(server, 1);
    StoreBlock block;
    CHECK_OK(put(server, a, 1, 1, 9000000, &block));
    return_slabs(server, a, 1);
    CHECK(!store_server_trim(server)); /* nothing is free that has pages */
    free_block(server, &block, 1);
    CHECK(store_server_trim(server));  /* it may be wanted again */
    struct stat st;
    CHECK(fstat(store_server_fd(server), &st) == 0 && st.st_blocks > 9000000 / 512);
    CHECK(!store_server_trim(server));
    CHECK(fstat(store_server_fd(server), &st) == 0);
    CHECK_INT(st.st_blocks, 0);
    store_client_free(a);
    store_server_free(server);
}

static void test_a_victim_is_old_whole_and_unread(void **state) {
    UNUSED(state);
    StoreServer *server;
    CHECK_OK(store_server_new(ARENA, -1, 0, &server));
    StoreClient *a = join(server, 1), *b = join(server, 2);
    StoreBlock block[3];
    StoreVictim second, third, none;
    CHECK(!store_server_victim(server, &none));
    for (uint32_t i = 0; i < 3; i++) {
        CHECK_OK(put(server, a, 1, i, 3000000, &block[i]));
        return_slabs(server, a, 1);
    }
    ObjectId id[3] = { id_of(0), id_of(1), id_of(2) };
    uint64_t size, used = store_server_used(server);
    CHECK(store_client_pin(b, block[0].offset, block[0].generation, &id[0], &size) != NULL);
    CHECK(store_server_victim(server, &second));
    CHECK_INT(second.objects.len, 1);
    CHECK_INT(second.objects.items[0].offset, block[1].offset);
    CHECK(store_server_victim(server, &third));
    CHECK_INT(third.objects.items[0].offset, block[2].offset);
    CHECK(store_client_pin(b, block[2].offset, block[2].generation, &id[2], &size) != NULL);
    CHECK_INT(store_server_evict(server, &third.objects.items[0]), STORE_PINNED);
    CHECK_OK(store_server_evict(server, &second.objects.items[0]));
    CHECK_INT(store_server_evict(server, &second.objects.items[0]), STORE_ABSENT);
    CHECK(!store_client_pin(b, block[1].offset, block[1].generation, &id[1], &size));
    store_server_victim_end(server, &second);
    store_server_victim_end(server, &third);
    CHECK(store_server_used(server) < used);
    CHECK(!store_server_victim(server, &none)); /* both others are read */
    store_client_free(a);
    store_client_free(b);
    store_server_free(server);
}

static void test_the_file_continues_the_arena(void **state) {
    UNUSED(state);
    FILE *file = tmpfile();
    CHECK(file && ftruncate(fileno(file), ARENA) == 0);
    StoreServer *server;
    CHECK_OK(store_server_new(ARENA, fcntl(fileno(file), F_DUPFD_CLOEXEC, 0), ARENA, &server));
    fclose(file);
    StoreClient *a = join(server, 1), *b = join(server, 2);
    StoreSlab slab;
    CHECK_OK(store_server_grant_disk(server, 1, 4 << 20, &slab));
    CHECK(slab.offset >= ARENA);
    CHECK_INT(store_server_used(server), 0);
    CHECK_OK(store_client_add_slab(a, &slab));
    StoreBlock block;
    CHECK_OK(put(server, a, 1, 9, 4000000, &block));
    CHECK(block.offset >= ARENA);
    ObjectId id = id_of(9);
    uint64_t size;
    const uint8_t *data = store_client_pin(b, block.offset, block.generation, &id, &size);
    CHECK(data && data[0] == 9 && data[size - 1] == 9);
    return_slabs(server, a, 1);
    StoreVictim none;
    CHECK(!store_server_victim(server, &none));
    CHECK_INT(store_server_grant_disk(server, 1, ARENA, &slab), STORE_FULL);
    store_client_free(a);
    store_client_free(b);
    store_server_free(server);
}

/* Another thread's small object does not keep a large one's slab. */
static void test_a_large_object_has_a_slab_of_its_own(void **state) {
    UNUSED(state);
    const uint64_t large = 3 << 20;
    StoreServer *server;
    CHECK_OK(store_server_new(ARENA, -1, 0, &server));
    StoreClient *a = join(server, 1);
    StoreSlab slab;
    CHECK_OK(store_server_grant(server, 1, store_client_slab_wanted(a, large), &slab));
    CHECK_OK(store_client_add_slab(a, &slab));
    StoreBlock block;
    CHECK_OK(put(server, a, 1, 1, 1000, &block));
    CHECK(block.offset < slab.offset || block.offset >= slab.offset + slab.size);
    CHECK_OK(put(server, a, 1, 2, large, &block));
    CHECK_INT(block.offset, slab.offset);
    store_client_free(a);
    store_server_free(server);
}

static void test_many_pins(void **state) {
    UNUSED(state);
    enum {
        MANY = 10000
    };
    StoreServer *server;
    CHECK_OK(store_server_new(ARENA, -1, 0, &server));
    StoreClient *a = join(server, 1);
    StoreBlock *block = mem_array(StoreBlock, MANY);
    uint64_t size;
    for (uint32_t i = 0; i < MANY; i++) {
        ObjectId id = id_of(i);
        CHECK_OK(put(server, a, 1, i, 1000, &block[i]));
        CHECK(store_client_pin(a, block[i].offset, block[i].generation, &id, &size) != NULL);
    }
    CHECK_INT(store_client_pinned(a), MANY);
    const StoreBlock *last = &block[MANY - 1];
    ObjectId id = id_of(MANY - 1);
    CHECK_OK(store_server_free_object(server, last->offset, last->generation, &id));
    CHECK(store_client_unpin(a, last->offset));
    mem_free(block);
    store_client_free(a);
    store_server_free(server);
}

int main(void) {
    return TEST_RUN(TEST(test_written_here_read_there), TEST(test_a_pinned_object_stays),
                    TEST(test_full_then_room), TEST(test_what_the_dead_left),
                    TEST(test_a_copy_from_another_node), TEST(test_random_life),
                    TEST(test_a_victim_is_old_whole_and_unread),
                    TEST(test_the_file_continues_the_arena),
                    TEST(test_a_large_object_has_a_slab_of_its_own), TEST(test_many_pins),
                    TEST(test_room_that_a_writer_keeps), TEST(test_only_so_many_are_kept),
                    TEST(test_what_could_not_be_written), TEST(test_pages_go_back_when_unused));
}
