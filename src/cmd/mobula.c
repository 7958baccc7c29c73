/* SPDX-License-Identifier: Apache-2.0 */

/* The one binary: `mobula ROLE …`, or Ray's grammar when it is called `ray`. */

#include "base/str.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/version.h"

static const Command roles[] = {
#define ROLE(name, run, about) { name, run, about },
#include "cmd/roles.h"
#undef ROLE
};

int main(int argc, char **argv) {
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    const char *name = slash ? slash + 1 : argc > 0 ? argv[0] : "";
    if (str_eq(name, "ray"))
        return cmd_ray(argc, argv);
    if (str_eq(name, "manager")) /* as KubeRay's chart starts its operator */
        return cmd_operator(argc, argv);

    const CommandGroup group = {
        .command = "mobula",
        .about = "Ray on Kubernetes as one small native system.",
        .version = "mobula " MOBULA_VERSION " (Ray " RAY_VERSION ")",
        .commands = roles,
        .len = ARRAY_LEN(roles),
    };
    return commands_run(&group, argc, argv);
}
