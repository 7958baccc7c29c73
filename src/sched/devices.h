/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Which of a node's GPUs a worker gets. A whole number gets that many unshared devices; a share
 * below one gets a part of one device, the fullest one that has room, so that whole devices stay
 * free.
 */

#include "model/resources.h"

enum {
    DEVICES_MAX = 256
};

typedef struct Devices {
    Quantity *free_share; /* per device, at most QUANTITY_ONE */
    uint32_t len;
} Devices;

/* What one holder has; zero-initialised is nothing. */
typedef struct DeviceShare {
    uint32_t *index;
    uint32_t len;
    Quantity each; /* of every device in `index` */
} DeviceShare;

/* -E2BIG beyond DEVICES_MAX. */
_must_check_ int devices_init(Devices *devices, uint32_t count);
/* Those of a share, to be shared out again: device i is share->index[i]. */
void devices_init_share(Devices *devices, const DeviceShare *share);
void devices_done(Devices *devices);
/* -EINVAL: neither a whole number nor below one. */
_must_check_ int devices_check(Quantity want);
/* False when there is no room; nothing is taken then. `want` passed devices_check(). */
bool devices_take(Devices *devices, Quantity want, DeviceShare *ret_share);
/* Gives back and empties the share. */
void devices_give(Devices *devices, DeviceShare *share);
