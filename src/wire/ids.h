/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The ids that cross the wire, each its own type. What they mean is in model/ids.h. */

#include "base/base.h"

/* A process of the cluster as seen by frames: node (u16) | incarnation (u16) | worker (u32), from
 * the highest bits down. Worker 0 is the node's raylet; node 0, worker 0 is gcs; 0 is nobody. */
typedef uint64_t PeerId;

#define ID_TYPE(Type, size)                                                                        \
    typedef struct Type {                                                                          \
        uint8_t byte[size];                                                                        \
    } Type

ID_TYPE(JobId, 4);
ID_TYPE(ActorId, 16);
ID_TYPE(GroupId, 18);
ID_TYPE(TaskId, 24);
ID_TYPE(ObjectId, 28);
ID_TYPE(NodeId, 28);
ID_TYPE(WorkerId, 28);
ID_TYPE(LeaseId, 28);
ID_TYPE(Hash, 28);

static inline bool id_is_zero(const uint8_t *byte, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (byte[i])
            return false;
    return true;
}
