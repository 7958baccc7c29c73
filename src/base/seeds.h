/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What every simulation's program takes: `--seeds N --first N --expect-found --verbose`. */

#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"

typedef struct Seeds {
    uint32_t count, first;
    bool expect_found; /* a bug is planted: not to find it is the failure, to find it the end */
    bool verbose;
} Seeds;

static inline Seeds seeds_read(int argc, char **argv) {
    Seeds seeds = { .count = 2000, .first = 1 };
    for (int i = 1; i < argc; i++) {
        if (str_eq(argv[i], "--seeds") && i + 1 < argc) {
            seeds.count = (uint32_t)strtoul(argv[++i], NULL, 10);
        } else if (str_eq(argv[i], "--first") && i + 1 < argc) {
            seeds.first = (uint32_t)strtoul(argv[++i], NULL, 10);
        } else if (str_eq(argv[i], "--expect-found")) {
            seeds.expect_found = true;
        } else if (str_eq(argv[i], "--verbose")) {
            seeds.verbose = true;
        } else {
            fprintf(stderr, "%s [--seeds N] [--first N] [--expect-found] [--verbose]\n", argv[0]);
            exit(2);
        }
    }
    return seeds;
}

/* Whether the run has seen enough. */
static inline bool seeds_enough(const Seeds *seeds, uint32_t failed) {
    return failed >= (seeds->expect_found ? 1 : 5);
}

static inline int seeds_status(const Seeds *seeds, uint32_t failed) {
    return seeds->expect_found ? failed == 0 : failed > 0;
}
