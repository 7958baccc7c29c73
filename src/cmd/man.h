/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Pages of section 1 on stdout, in roff's man macros. `mobula run --man` and the like print them;
 * tools/man writes all of them into a folder. */

#include "cmd/options.h"

void man_print_table(const OptionTable *table);
void man_print_group(const CommandGroup *group);
