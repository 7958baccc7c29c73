/* SPDX-License-Identifier: Apache-2.0 */

/* Ray's command line. */

#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/ray_job.h"
#include "cmd/ray_start.h"
#include "cmd/ray_status.h"
#include "cmd/version.h"

int cmd_ray(int argc, char **argv) {
    static const Command commands[] = {
        { "start", ray_start, "Start Ray processes manually on the local machine." },
        { "stop", ray_stop, "Stop Ray processes manually on the local machine." },
        { "status", ray_status, "Print cluster status, including autoscaling info." },
        { "job", ray_job, "Submit, stop, delete, or list Ray jobs." },
        { "get-auth-token", ray_get_auth_token, "Prints the Ray authentication token to stdout." },
        { "health-check", ray_health_check, NULL },
    };
    const CommandGroup group = {
        .command = "ray",
        .version = "ray, version " RAY_VERSION,
        .commands = commands,
        .len = ARRAY_LEN(commands),
    };
    return commands_run(&group, argc, argv);
}
