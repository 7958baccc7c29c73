/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a fuzz target makes before its input and takes down after it, when that costs more than the
 * input does. Normally both happen each time (test/fuzz_world.c). With -Dfuzz_fast a world is made once
 * (test/fuzz_snapshot.c): after an input its memory is what it was, what the input opened and mapped
 * is closed, and only now and then is it taken down in its own way. An input may not close or unmap
 * what begin() made.
 */

#include "base/base.h"

typedef struct FuzzWorld {
    void *(*begin)(void); /* all it makes hangs on what it returns */
    void (*end)(void *world);
    void (*clean)(
        void *world); /* what is no memory of this process, before the next input; or NULL */
} FuzzWorld;

void *fuzz_world_begin(const FuzzWorld *kind);
void fuzz_world_end(const FuzzWorld *kind, void *world);
