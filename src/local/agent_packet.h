/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One JSON object and up to four file descriptors a packet, over SOCK_SEQPACKET: how the agent,
 * its launcher and the keepers talk. Both ends are ours; sizes are bounded all the same. */

#include "codec/json.h"

enum {
    PACKET_MAX = 128 * 1024,
    PACKET_FDS = 4
};

/* -EAGAIN if the peer does not read, -EPIPE if it is gone. The fds stay the caller's. */
_must_check_ int packet_send(int fd, const json_t *message, const int *fds, size_t fd_count);

/* fds that did not come are -1. 1: the peer closed; 2: nothing there now. */
enum {
    PACKET_END = 1,
    PACKET_NONE = 2
};
_must_check_ int packet_receive(int fd, json_t **ret_message, int ret_fds[static PACKET_FDS]);
