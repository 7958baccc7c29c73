/* SPDX-License-Identifier: Apache-2.0 */

/* `mobula down`: ends the cluster that `mobula run --keep` left. */

#include <stdio.h>

#include "base/error.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/run_local.h"

int cmd_down(int argc, char **argv) {
    const char *dir = NULL;
    bool keep_files = false;
    const Option options[] = {
        { "run-dir", OPTION_TEXT, &dir, "The folder that the cluster runs in.", .metavar = "DIR" },
        { "keep-files", OPTION_FLAG, &keep_files, "Leave logs and stored objects there." },
    };
    const OptionTable table = { .command = "mobula down",
                                .about = "End the cluster that `mobula run --keep` left running.",
                                .options = options,
                                .len = ARRAY_LEN(options) };
    int first, r = options_parse(&table, argc, argv, &first);
    if (r != 0)
        return options_exit(r);
    _cleanup_free_ char *chosen = dir ? str_dup(dir) : local_default_dir();
    r = local_end(chosen, !keep_files);
    if (r < 0) {
        fprintf(stderr, "mobula down: %s\n", error_text(r));
        return 1;
    }
    printf(r == LOCAL_NONE ? "Nothing runs in %s.\n" : "Ended the cluster in %s.\n", chosen);
    return 0;
}
