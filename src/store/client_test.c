/* SPDX-License-Identifier: Apache-2.0 */
#include "store/client.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/test.h"

/* A process beside a store that is not as it should be: its raylet grants what it can't, other processes
 * write where they may not. (What a sane one does is in store_test.c.) */

enum {
    PEER = 7,
    ARENA = 4 * STORE_SLAB_ALONE
};

static int memory(const char *name, uint64_t size) {
    int fd = memfd_create(name, MFD_CLOEXEC);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
    return fd;
}

static int open_with(uint64_t bytes, uint64_t disk_bytes, StoreClient **ret_client) {
    StoreDoor door = { .arena_fd = memory("arena", bytes),
                       .disk_fd = disk_bytes ? memory("disk", 0) : -1,
                       .pins_fd = memory("pins", STORE_PINS * sizeof(uint64_t)),
                       .bytes = bytes,
                       .disk_bytes = disk_bytes };
    return store_client_open(&door, ret_client);
}

static ObjectId id_of(uint32_t n) {
    ObjectId id = { { 1 } };
    memcpy(id.byte + 4, &n, sizeof(n));
    return id;
}

static void test_a_store_that_is_none(void **state) {
    UNUSED(state);
    StoreClient *client;
    CHECK_INT(open_with(0, 0, &client), -EPROTO);
    CHECK_INT(open_with(STORE_ALIGN, 0, &client), -EPROTO);
    CHECK_INT(open_with(ARENA, UINT64_MAX, &client), -EPROTO);
    CHECK_INT(open_with(ARENA, ARENA, &client), -EPROTO); /* the file is shorter */
}

static void test_slabs_that_can_not_be(void **state) {
    UNUSED(state);
    StoreClient *client;
    CHECK_OK(open_with(ARENA, 0, &client));
    const StoreSlab refused[] = {
        { .offset = ARENA, .size = STORE_SLAB_UNIT },
        { .offset = 0, .size = ARENA + STORE_SLAB_UNIT },
        { .offset = 0, .size = 0 },
        { .offset = STORE_ALIGN, .size = STORE_SLAB_UNIT },
        { .offset = 0, .size = STORE_SLAB_UNIT + STORE_ALIGN },
        { .offset = UINT64_MAX - STORE_SLAB_UNIT + 1, .size = STORE_SLAB_UNIT },
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        CHECK_INT(store_client_add_slab(client, &refused[i]), -EPROTO);
    /* Two blocks in one place, of which the second slab is mapped in its first page only. */
    StoreSlab slab = { .offset = 0, .size = 4 * STORE_SLAB_UNIT, .generation = 1, .warm = true };
    CHECK_OK(store_client_add_slab(client, &slab));
    slab.offset = STORE_SLAB_UNIT;
    slab.size = 2 * STORE_SLAB_ALONE;
    CHECK_INT(store_client_add_slab(client, &slab), -EPROTO);
    store_client_free(client);
}

static void test_a_size_that_changes(void **state) {
    UNUSED(state);
    StoreClient *client;
    StoreBlock block;
    ObjectId id = id_of(1);
    uint64_t size = 0;
    CHECK_OK(open_with(ARENA, 0, &client));
    StoreSlab slab = { .offset = 0, .size = 4 * STORE_SLAB_UNIT, .generation = 1, .warm = true };
    CHECK_OK(store_client_add_slab(client, &slab));
    CHECK_OK(store_client_alloc(client, 100, &id, PEER, &block));
    StoreHeader *header = (StoreHeader *)(void *)((uint8_t *)block.data - STORE_HEADER);
    store_client_seal(client, &block);
    CHECK(store_client_pin(client, block.offset, 1, &id, &size));
    CHECK_INT(size, 100);
    header->size = UINT64_MAX / 2;
    header->generation = 2;
    CHECK(store_client_pin(client, block.offset, 1, &id, &size));
    CHECK_INT(size, 100);
    CHECK(!store_client_pin(client, block.offset, 2, &id, &size));
    CHECK(!store_client_unpin(client, block.offset));
    CHECK(!store_client_unpin(client, block.offset));
    header->generation = 1;
    CHECK(!store_client_pin(client, block.offset, 1, &id, &size));
    store_client_free(client);
}

/* More is read at once than the table has places for: that is no loss. */
static void test_no_more_pins(void **state) {
    UNUSED(state);
    StoreClient *client;
    StoreBlock block;
    ObjectId id = id_of(1);
    uint64_t size, last = 0;
    uint32_t pinned = 0;
    CHECK_OK(open_with((uint64_t)2 * STORE_PINS * STORE_HEADER, 0, &client));
    StoreSlab slab = { .size = store_client_slab_wanted(client, 0), .generation = 1, .warm = true };
    while (!store_client_pins_full(client)) {
        if (store_client_alloc(client, 0, &id, PEER, &block) == STORE_NEED_SLAB) {
            CHECK_OK(store_client_add_slab(client, &slab));
            slab.offset += slab.size;
            continue;
        }
        store_client_seal(client, &block);
        CHECK(store_client_pin(client, block.offset, 1, &id, &size));
        last = block.offset;
        pinned++;
    }
    CHECK_INT(pinned, STORE_PINS - 1);
    CHECK_OK(store_client_alloc(client, 0, &id, PEER, &block));
    store_client_seal(client, &block);
    CHECK(!store_client_pin(client, block.offset, 1, &id, &size));
    CHECK(!store_client_unpin(client, last));
    CHECK(!store_client_pins_full(client));
    CHECK(store_client_pin(client, block.offset, 1, &id, &size));
    store_client_free(client);
}

int main(void) {
    return TEST_RUN(TEST(test_a_store_that_is_none), TEST(test_slabs_that_can_not_be),
                    TEST(test_a_size_that_changes), TEST(test_no_more_pins));
}
