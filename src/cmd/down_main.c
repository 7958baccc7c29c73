/* SPDX-License-Identifier: Apache-2.0 */

/* `mobula down`: ends the cluster that `mobula run --keep` left. */

#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/rootless.h"
#include "cmd/run_folder.h"
#include "cmd/run_local.h"

/* What a run left that was killed beside another one. */
static int end_stale(const char *dir, bool keep_files) {
    int r = local_end(dir, !keep_files);
    return r == LOCAL_NONE && !keep_files ? dir_remove(dir) : MIN(r, 0);
}

typedef struct Down {
    const char *dir;
    bool keep_files;
} Down;

static int end_all(const Down *down) {
    _cleanup_strlist_ StrList stale = { 0 };
    int r = 0;
    run_folder_stale(down->dir, &stale);
    for (size_t i = 0; r == 0 && i < stale.len; i++)
        r = end_stale(stale.items[i], down->keep_files);
    if (r == 0)
        r = local_end(down->dir, !down->keep_files);
    if (r < 0) {
        fprintf(stderr, "mobula down: %s\n", error_text(r));
        return 1;
    }
    printf(r == LOCAL_NONE ? "Nothing runs in %s.\n" : "Ended the cluster in %s.\n", down->dir);
    return 0;
}

static int end_inside(void *ctx, RootlessNet *net) {
    UNUSED(net);
    return end_all(ctx);
}

/* What a cluster without root left can be removed from within namespaces like its own. */
static int end_without_root(Down *down) {
    _cleanup_json_ json_t *record = run_record_read(down->dir);
    pid_t there = run_record_living(record);
    int r = there ? rootless_join(there) : rootless_run(false, false, end_inside, down);
    if (r < 0) {
        fprintf(stderr, "mobula down: %s\n", error_text(r));
        return 1;
    }
    return there ? end_all(down) : r;
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
    _cleanup_free_ char *chosen = run_folder_path(dir);
    Down down = { .dir = chosen, .keep_files = keep_files };
    return geteuid() == 0 ? end_all(&down) : end_without_root(&down);
}
