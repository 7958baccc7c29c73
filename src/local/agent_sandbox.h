/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the containers of a pod share: network, host name, IPC, memory volumes. Made in the
 * keeper, which enters all of it. pod.json:
 *     {hostname, hostNetwork, cgroup, network: {address, gateway, bridge, link, mtu},
 *      tmpfs: [{dir, size}]}
 */

#include "codec/json.h"

_must_check_ int sandbox_enter(const json_t *pod);
