/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For simulations and fuzz targets, in which many processes end inside of one. */

#include "core/core.h"

/* Before core_disconnect(): the Core outlives it, for core_forget(). */
void core_keep(Core *core);
/* After it: references that others hold, or that hold each other, stay in a process until it ends,
 * since nobody takes them back. They go, and the Core with them. */
void core_forget(Core *core);
