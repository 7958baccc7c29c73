/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What runs in a cluster, for people: `ray list`, `get`, `summary`, `logs`, `memory`, `timeline`. */

int ray_list(int argc, char **argv);
int ray_get(int argc, char **argv);
int ray_summary(int argc, char **argv);
int ray_logs(int argc, char **argv);
int ray_memory(int argc, char **argv);
int ray_timeline(int argc, char **argv);
