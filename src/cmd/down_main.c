/* SPDX-License-Identifier: Apache-2.0 */

/* `mobula down`: ends the cluster that `mobula run --keep` left. */

#include <stdio.h>

#include "base/error.h"
#include "base/fd.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/run_folder.h"
#include "cmd/run_local.h"

/* What a run left that was killed beside another one. */
static int end_stale(const char *dir, bool keep_files) {
    int r = local_end(dir, !keep_files);
    return r == LOCAL_NONE && !keep_files ? dir_remove(dir) : MIN(r, 0);
}

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
    _cleanup_free_ char *chosen = dir ? str_dup(dir) : run_folder_default();
    _cleanup_strlist_ StrList stale = { 0 };
    run_folder_stale(chosen, &stale);
    for (size_t i = 0; r == 0 && i < stale.len; i++)
        r = end_stale(stale.items[i], keep_files);
    if (r == 0)
        r = local_end(chosen, !keep_files);
    if (r < 0) {
        fprintf(stderr, "mobula down: %s\n", error_text(r));
        return 1;
    }
    printf(r == LOCAL_NONE ? "Nothing runs in %s.\n" : "Ended the cluster in %s.\n", chosen);
    return 0;
}
