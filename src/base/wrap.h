/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Defines what stands in for a function of the product or the system, which the linker's --wrap leads
 * here (tests and fuzz targets: their meson.build); __real_NAME() is the function itself. */
#define WRAPPED(type, name, ...)                                                                   \
    type __real_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__)
