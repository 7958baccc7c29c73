/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Defines what stands in for a function of the product, which the linker's --wrap leads here. */
#define WRAPPED(type, name, ...)                                                                   \
    type __wrap_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__)
