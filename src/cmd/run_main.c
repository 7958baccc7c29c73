/* SPDX-License-Identifier: Apache-2.0 */

/* `mobula run`: manifests to finished jobs, on this machine or a cluster. */

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/run_folder.h"
#include "cmd/run_manifests.h"
#include "cmd/run_session.h"
#include "local/agent_nodes.h"

static const char ABOUT[] =
    "Run manifests (RayJob, RayCluster and what they need) and wait for their end: on a Kubernetes "
    "of its own on this machine, or with --kubeconfig or --context on another cluster. FILE may be "
    "a folder, or - for standard input. The job's log comes on standard output; the exit status is "
    "0 when every job has SUCCEEDED.";

/* Before there is a session that would say it. */
static int refuse(const RunOptions *options, int r) {
    fprintf(stderr, "mobula run: %s\n", error_text(r));
    if (options->json)
        run_print_summary(json_pack("{s:s}", "message", error_text(r)));
    return 1;
}

static int run_inside(void *ctx, RootlessNet *net) {
    RunOptions *options = ctx;
    options->net = net;
    fprintf(stderr,
            "Not root: the cluster has a user namespace of its own%s%s. Limits on CPU and "
            "memory hold only where control groups may be made.\n",
            net->lacks[0] ? ". " : "", net->lacks);
    return run_session(options);
}

/* The cluster's processes see this machine through namespaces of theirs: new ones, or those of the
 * cluster that is there. */
static int run_without_root(RunOptions *options) {
    _cleanup_json_ json_t *record = run_record_read(options->run_dir);
    pid_t there = json_bool_at(record, false, "keep") ? run_record_living(record) : 0;
    options->rootless = true;
    int r = there ? rootless_join(there) : rootless_run(true, options->keep, run_inside, options);
    if (r < 0)
        return refuse(options, r);
    return there ? run_session(options) : r;
}

static int check_nodes(const char *text) {
    NodeShapes nodes;
    int r = node_shapes_parse(text, &nodes);
    if (r == 0)
        node_shapes_done(&nodes);
    return r;
}

int cmd_run(int argc, char **argv) {
    RunOptions run = { .nodes = "3x8cpu,32Gi" };
    const char *output = "text", *dir = NULL;
    const Option options[] = {
        { "keep", OPTION_FLAG, &run.keep, "Leave the cluster running; `mobula down` ends it." },
        { "nodes", OPTION_TEXT, &run.nodes,
          "The pretended machines of the local cluster, as 3x8cpu,32Gi.", .metavar = "NODES",
          .given = &run.nodes_given },
        { "namespace", OPTION_TEXT, &run.namespace_, "For objects that name none.", 'n' },
        { "output", OPTION_TEXT, &output, "text, or json: a summary on standard output.", 'o' },
        { "kubeconfig", OPTION_TEXT, &run.kubeconfig, "Use this cluster.", .metavar = "FILE" },
        { "context", OPTION_TEXT, &run.context, "Use the cluster of this context." },
        { "run-dir", OPTION_TEXT, &dir, "Folder of the local cluster.", .metavar = "DIR" },
    };
    const OptionTable table = { .command = "mobula run",
                                .arguments = "FILE...",
                                .about = ABOUT,
                                .options = options,
                                .len = ARRAY_LEN(options) };
    int first, r = options_parse(&table, argc, argv, &first);
    if (r != 0)
        return options_exit(r);
    if (first == argc)
        return options_fail(&table, "Missing argument 'FILE...'.");
    if (!str_eq(output, "text") && !str_eq(output, "json"))
        return options_fail(&table, "--output: wanted text or json, got %s", output);
    r = check_nodes(run.nodes);
    if (r < 0)
        return options_fail(&table, "%s", error_text(r));
    run.json = str_eq(output, "json");
    log_setup("run", LOG_WARN, false);
    signal(SIGPIPE, SIG_IGN);
    _cleanup_json_ json_t *documents = json_array();
    _cleanup_free_ char *chosen = run_folder_path(dir);
    for (int i = first; r == 0 && i < argc; i++)
        r = manifests_load(argv[i], documents);
    if (r == 0 && json_array_size(documents) == 0)
        r = error_origin(-ENOENT, "there is nothing to run in it");
    if (r < 0)
        return refuse(&run, r);
    run.documents = documents;
    run.run_dir = chosen;
    bool outside = run.kubeconfig || run.context;
    return outside || geteuid() == 0 ? run_session(&run) : run_without_root(&run);
}
