/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fuzz_world.h"

void *fuzz_world_begin(const FuzzWorld *kind) {
    return kind->begin();
}

void fuzz_world_end(const FuzzWorld *kind, void *world) {
    kind->end(world);
}
