/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/devices.h"

#include <stdlib.h>

#include "base/error.h"

int devices_init(Devices *devices, uint32_t count) {
    if (count > DEVICES_MAX)
        return error_origin(-E2BIG, "%u GPUs on one node; at most %d are supported", count,
                            DEVICES_MAX);
    *devices = (Devices){ .free_share = count ? mem_array(Quantity, count) : NULL, .len = count };
    for (uint32_t i = 0; i < count; i++)
        devices->free_share[i] = QUANTITY_ONE;
    return 0;
}

void devices_init_share(Devices *devices, const DeviceShare *share) {
    devices->free_share = mem_array(Quantity, share->len);
    devices->len = share->len;
    for (uint32_t i = 0; i < share->len; i++)
        devices->free_share[i] = share->each;
}

void devices_done(Devices *devices) {
    free(devices->free_share);
    *devices = (Devices){ 0 };
}

int devices_check(Quantity want) {
    if (want > QUANTITY_ONE && want % QUANTITY_ONE != 0)
        return error_origin(-EINVAL, "GPU quantities above 1 must be whole numbers");
    return 0;
}

static bool take_part(Devices *devices, Quantity want, DeviceShare *ret_share) {
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < devices->len; i++) {
        Quantity have = devices->free_share[i];
        if (have >= want && (best == UINT32_MAX || have < devices->free_share[best]))
            best = i;
    }
    if (best == UINT32_MAX)
        return false;
    devices->free_share[best] -= want;
    *ret_share = (DeviceShare){ .index = mem_new(uint32_t), .len = 1, .each = want };
    ret_share->index[0] = best;
    return true;
}

static bool take_whole(Devices *devices, uint32_t count, DeviceShare *ret_share) {
    uint32_t have = 0;
    for (uint32_t i = 0; i < devices->len; i++)
        have += devices->free_share[i] == QUANTITY_ONE;
    if (have < count)
        return false;
    *ret_share = (DeviceShare){ .index = mem_array(uint32_t, count), .each = QUANTITY_ONE };
    for (uint32_t i = 0; i < devices->len && ret_share->len < count; i++) {
        if (devices->free_share[i] != QUANTITY_ONE)
            continue;
        devices->free_share[i] = 0;
        ret_share->index[ret_share->len++] = i;
    }
    return true;
}

bool devices_take(Devices *devices, Quantity want, DeviceShare *ret_share) {
    if (want <= 0) {
        *ret_share = (DeviceShare){ 0 };
        return true;
    }
    if (want < QUANTITY_ONE)
        return take_part(devices, want, ret_share);
    return take_whole(devices, (uint32_t)MIN(want / QUANTITY_ONE, (Quantity)DEVICES_MAX + 1),
                      ret_share);
}

void devices_give(Devices *devices, DeviceShare *share) {
    for (uint32_t i = 0; i < share->len; i++) {
        devices->free_share[share->index[i]] += share->each;
        ASSERT(devices->free_share[share->index[i]] <= QUANTITY_ONE);
    }
    free(share->index);
    *share = (DeviceShare){ 0 };
}
