/* SPDX-License-Identifier: Apache-2.0 */

/* Ray's command line. */

#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/version.h"

static const Command commands[] = {
    { 0 },
};

int cmd_ray(int argc, char **argv) {
    const CommandGroup group = {
        .command = "ray",
        .version = "ray, version " RAY_VERSION,
        .commands = commands,
        .len = 0,
    };
    return commands_run(&group, argc, argv);
}
