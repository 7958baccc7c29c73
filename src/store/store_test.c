/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
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
    CHECK_OK(store_client_open(fcntl(store_server_fd(server), F_DUPFD_CLOEXEC, 0),
                               store_server_bytes(server), fcntl(pins, F_DUPFD_CLOEXEC, 0),
                               &client));
    return client;
}

static ObjectId id_of(uint32_t n) {
    ObjectId id = { { 1 } };
    memcpy(id.byte + 4, &n, sizeof(n));
    return id;
}

static int put(StoreServer *server, StoreClient *client, PeerId peer, uint32_t n, uint64_t size,
               StoreBlock *ret_block) {
    ObjectId id = id_of(n);
    int r;
    while ((r = store_client_alloc(client, size, &id, peer, ret_block)) == STORE_NEED_SLAB) {
        uint64_t offsets[64];
        size_t returned = store_client_returns(client, offsets, ARRAY_LEN(offsets));
        for (size_t i = 0; i < returned; i++)
            store_server_close_slab(server, peer, offsets[i]);
        StoreSlab slab;
        r = store_server_grant(server, peer, store_client_slab_wanted(client, size), &slab);
        if (r)
            return r;
        CHECK_OK(store_client_add_slab(client, &slab));
    }
    if (r == 0) {
        memset(ret_block->data, (int)n, size);
        store_client_seal(client, ret_block);
    }
    return r;
}

static void test_written_here_read_there(void **state) {
    UNUSED(state);
    StoreServer *server;
    CHECK_OK(store_server_new(ARENA, &server));
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
    CHECK_OK(store_server_new(ARENA, &server));
    StoreClient *a = join(server, 1), *b = join(server, 2);
    StoreBlock block;
    CHECK_OK(put(server, a, 1, 7, 3000000, &block));
    ObjectId id = id_of(7);
    uint64_t size;
    const uint8_t *data = store_client_pin(b, block.offset, block.generation, &id, &size);
    CHECK_OK(store_server_free_object(server, block.offset, block.generation, &id));
    CHECK_INT(store_server_free_object(server, block.offset, block.generation, &id), STORE_ABSENT);
    CHECK(!store_client_pin(a, block.offset, block.generation, &id, &size));
    uint64_t offsets[8];
    CHECK_INT(store_client_returns(a, offsets, 8), 0);
    StoreBlock next;
    CHECK_OK(put(server, a, 1, 9, 3000000, &next)); /* the first slab is returned on the way */
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
    CHECK_OK(store_server_new(ARENA, &server));
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
    CHECK_OK(store_server_new(ARENA, &server));
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
    CHECK_OK(store_server_new(ARENA, &server));
    StoreClient *a = join(server, 1);
    ObjectId id = id_of(5);
    StoreBlock block;
    CHECK_OK(store_server_copy_begin(server, 5000, &id, 77, &block));
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
    CHECK_OK(store_server_new(ARENA, &server));
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

int main(void) {
    return TEST_RUN(TEST(test_written_here_read_there), TEST(test_a_pinned_object_stays),
                    TEST(test_full_then_room), TEST(test_what_the_dead_left),
                    TEST(test_a_copy_from_another_node), TEST(test_random_life));
}
