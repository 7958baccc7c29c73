/* SPDX-License-Identifier: Apache-2.0 */

/* `ray logs`: files of a node, or the log of an actor, a worker, a task, a job. */

#include <stdio.h>

#include "base/error.h"
#include "cmd/options.h"
#include "cmd/ray_state.h"
#include "cmd/say.h"
#include "cmd/state_client.h"
#include "cmd/state_text.h"

typedef struct LogsOptions {
    const char *address, *node_id, *node_ip, *encoding, *encoding_errors;
    const char *id, *pid;
    int64_t tail, timeout, attempt;
    double interval;
    bool follow, err;
} LogsOptions;

#define LOGS_DEFAULT                                                                               \
    { .tail = 1000, .timeout = 30, .encoding = "utf-8", .encoding_errors = "strict" }
#define LOGS_OPTIONS(o)                                                                            \
    { "address", OPTION_TEXT, &(o)->address,                                                       \
      "The address of Ray API server. If not provided, it will be configured automatically from "  \
      "querying the GCS server." },                                                                \
        { "follow", OPTION_FLAG, &(o)->follow,                                                     \
          "Streams the log file as it is updated instead of just tailing.", .letter = 'f' },       \
        { "tail", OPTION_INT, &(o)->tail,                                                          \
          "Number of lines to tail from log. Use -1 to fetch the whole file." },                   \
        { "interval", OPTION_NUMBER, &(o)->interval, NULL },                                       \
        { "timeout", OPTION_INT, &(o)->timeout,                                                    \
          "Timeout in seconds for the API requests. Default is 30. If --follow is specified, "     \
          "this option will be ignored." }
#define NODE_OPTIONS(o)                                                                            \
    { "node-id", OPTION_TEXT, &(o)->node_id, "Filters the logs by this NodeID" },                  \
        { "node-ip", OPTION_TEXT, &(o)->node_ip, "Filters the logs by this ip address" }
#define ERR_OPTION(o)                                                                              \
    { "err", OPTION_FLAG, &(o)->err,                                                               \
      "If supplied, querying stderr files for workers/actors, else defaults to stdout files." }

/* The peer's single dashes before long names: -ip, -id, -pid. */
static void long_dashes(int argc, char **argv) {
    static const struct {
        const char *was, *is;
    } names[] = { { "-ip", "--node-ip" }, { "-id", "--node-id" }, { "-pid", "--pid" } };
    for (int i = 1; i < argc; i++)
        for (size_t k = 0; k < ARRAY_LEN(names); k++)
            if (str_eq(argv[i], names[k].was))
                argv[i] = (char *)(uintptr_t)names[k].is;
}

/* The head, when no node was named. Owned; NULL: there is none. */
static int head_ip(const LogsOptions *o, char **ret_ip) {
    _cleanup_json_ json_t *answer = NULL;
    int r = state_get(o->address, (double)o->timeout,
                      "/api/v0/nodes?filter_keys=is_head_node&filter_predicates=%3D&filter_values="
                      "true&filter_keys=state&filter_predicates=%3D&filter_values=ALIVE",
                      &answer);
    if (r < 0)
        return r;
    const json_t *head = json_array_get(json_object_get(answer, "result"), 0);
    if (!head)
        return error_origin(-ENOENT, "the cluster has no head that is alive");
    *ret_ip = str_dup(json_str_at(head, "node_ip"));
    return 0;
}

static int print_log(const LogsOptions *o, const char *what, const char *value) {
    _cleanup_buf_ Buf target = { 0 };
    _cleanup_free_ char *head = NULL;
    char number[24];
    int r = 0;
    if (o->tail > 0) {
        printf("--- Log has been truncated to last %lld lines. Use `--tail` flag to toggle. Set to "
               "-1 for getting the entire file. ---\n\n",
               (long long)o->tail);
        fflush(stdout);
    }
    buf_printf(&target, "/api/v0/logs/%s", o->follow ? "stream" : "file");
    state_query(&target, what, value);
    if (!o->node_id && !o->node_ip)
        r = head_ip(o, &head);
    if (r < 0)
        return r;
    if (o->node_id)
        state_query(&target, "node_id", o->node_id);
    else
        state_query(&target, "node_ip", o->node_ip ? o->node_ip : head);
    snprintf(number, sizeof(number), "%lld", (long long)o->tail);
    state_query(&target, "lines", number);
    state_query(&target, "suffix", o->err ? "err" : "out");
    snprintf(number, sizeof(number), "%lld", (long long)o->attempt);
    state_query(&target, "attempt_number", number);
    return state_stream(o->address, o->follow ? 0 : (double)o->timeout, target.data);
}

static int refused(int r) {
    return r < 0 ? state_failed(r) : 0;
}

/* ---- a node's files ------------------------------------------------------------------------------ */

static const char *only_name(const json_t *groups) {
    const char *key, *name = NULL;
    json_t *names;
    size_t len = 0;
    json_object_foreach((json_t *)(uintptr_t)groups, key, names) {
        len += json_array_size(names);
        name = json_string_value(json_array_get(names, 0));
    }
    return len == 1 ? name : NULL;
}

static int print_files(LogsOptions *o, const char *glob) {
    _cleanup_buf_ Buf target = { 0 }, text = { 0 };
    _cleanup_free_ char *head = NULL;
    _cleanup_json_ json_t *groups = NULL;
    int r = o->node_id || o->node_ip ? 0 : head_ip(o, &head);
    if (r < 0)
        return r;
    if (head)
        o->node_ip = head;
    buf_add_str(&target, "/api/v0/logs");
    state_query(&target, o->node_id ? "node_id" : "node_ip", o->node_id ? o->node_id : o->node_ip);
    state_query(&target, "glob", glob);
    r = state_get(o->address, (double)o->timeout, target.data, &groups);
    const char *name = r == 0 ? only_name(groups) : NULL;
    if (r == 0 && name)
        r = print_log(o, "filename", name);
    else if (r == 0) {
        printf(o->node_id ? "Node ID: %s\n" : "Node IP: %s\n",
               o->node_id ? o->node_id : o->node_ip);
        pyyaml_text(groups, (PyYaml){ .indent = 4, .document = true }, &text);
        printf("%s\n", text.data);
    }
    o->node_ip = head ? NULL : o->node_ip;
    return r;
}

static int logs_cluster(int argc, char **argv) {
    LogsOptions o = LOGS_DEFAULT;
    const Option options[] = {
        LOGS_OPTIONS(&o),
        NODE_OPTIONS(&o),
        { "encoding", OPTION_TEXT, &o.encoding,
          "The encoding use to decode the log file; here its bytes are printed as they are." },
        { "encoding-errors", OPTION_TEXT, &o.encoding_errors,
          "The error handling scheme to use for decoding errors; see --encoding." },
    };
    const OptionTable table = { "ray logs cluster", "[GLOB_FILTER]",
                                "Get/List logs that matches the GLOB_FILTER in the cluster. By "
                                "default, it prints a list of log files that match the filter. By "
                                "default, it prints the head node logs. If there's only 1 match, "
                                "it will print the log file.",
                                options, ARRAY_LEN(options) };
    long_dashes(argc, argv);
    int first, r = options_parse(&table, argc, argv, &first);
    if (r > 0)
        return options_exit(r);
    return refused(print_files(&o, first < argc ? argv[first] : "*"));
}

/* ---- one's log ----------------------------------------------------------------------------------- */

static int logs_actor(int argc, char **argv) {
    LogsOptions o = LOGS_DEFAULT;
    const Option options[] = {
        { "id", OPTION_TEXT, &o.id, "Retrieves the logs corresponding to this ActorID.",
          .letter = 'a' },
        { "pid", OPTION_TEXT, &o.pid, "Retrieves the logs from the actor with this pid." },
        LOGS_OPTIONS(&o),
        NODE_OPTIONS(&o),
        ERR_OPTION(&o),
    };
    const OptionTable table = { "ray logs actor", NULL, "Get/List logs associated with an actor.",
                                options, ARRAY_LEN(options) };
    long_dashes(argc, argv);
    int first, r = options_parse(&table, argc, argv, &first);
    if (r > 0)
        return options_exit(r);
    if (!o.id && !o.pid)
        return options_fail(&table, "Missing option. At least one of `--pid` and `--id` has to be "
                                    "set");
    return refused(print_log(&o, o.id ? "actor_id" : "pid", o.id ? o.id : o.pid));
}

static int logs_worker(int argc, char **argv) {
    LogsOptions o = LOGS_DEFAULT;
    const Option options[] = {
        { "pid", OPTION_TEXT, &o.pid, "Retrieves the logs from the worker with this pid." },
        LOGS_OPTIONS(&o),
        NODE_OPTIONS(&o),
        ERR_OPTION(&o),
    };
    const OptionTable table = { "ray logs worker", NULL,
                                "Get logs associated with a worker process.", options,
                                ARRAY_LEN(options) };
    long_dashes(argc, argv);
    int first, r = options_parse(&table, argc, argv, &first);
    if (r > 0)
        return options_exit(r);
    if (!o.pid)
        return options_fail(&table, "Missing option '--pid' / '-pid'.");
    return refused(print_log(&o, "pid", o.pid));
}

static int logs_job(int argc, char **argv) {
    LogsOptions o = LOGS_DEFAULT;
    const Option options[] = {
        { "id", OPTION_TEXT, &o.id,
          "Retrieves the logs from a submission job with submission id,i.e. raysubmit_XXX" },
        LOGS_OPTIONS(&o),
    };
    const OptionTable table = { "ray logs job", NULL, "Get logs associated with a submission job.",
                                options, ARRAY_LEN(options) };
    int first, r = options_parse(&table, argc, argv, &first);
    if (r > 0)
        return options_exit(r);
    if (!o.id)
        return options_fail(&table, "Missing option '--id'.");
    return refused(print_log(&o, "submission_id", o.id));
}

static int logs_task(int argc, char **argv) {
    LogsOptions o = LOGS_DEFAULT;
    const Option options[] = {
        { "id", OPTION_TEXT, &o.id, "Retrieves the logs from the task with this task id." },
        { "attempt-number", OPTION_INT, &o.attempt,
          "Retrieves the logs from the attempt, default to 0", .letter = 'a' },
        LOGS_OPTIONS(&o),
        ERR_OPTION(&o),
    };
    const OptionTable table = { "ray logs task", NULL, "Get logs associated with a task.", options,
                                ARRAY_LEN(options) };
    int first, r = options_parse(&table, argc, argv, &first);
    if (r > 0)
        return options_exit(r);
    if (!o.id)
        return options_fail(&table, "Missing option '--id'.");
    return refused(print_log(&o, "task_id", o.id));
}

int ray_logs(int argc, char **argv) {
    static const Command commands[] = {
        { "actor", logs_actor, "Get/List logs associated with an actor." },
        { "cluster", logs_cluster, "Get/List logs that matches the GLOB_FILTER in the cluster." },
        { "job", logs_job, "Get logs associated with a submission job." },
        { "task", logs_task, "Get logs associated with a task." },
        { "worker", logs_worker, "Get logs associated with a worker process." },
    };
    const CommandGroup group = {
        .command = "ray logs",
        .about = "Get logs based on filename (cluster) or resource identifiers (actor). `ray logs "
                 "NAME` is short for `ray logs cluster NAME`.",
        .commands = commands,
        .len = ARRAY_LEN(commands),
    };
    bool known = argc < 2 || str_starts(argv[1], "--help") || str_eq(argv[1], "--man") ||
                 str_eq(argv[1], "--commands");
    for (size_t i = 0; i < ARRAY_LEN(commands) && !known; i++)
        known = str_eq(commands[i].name, argv[1]);
    return known ? commands_run(&group, argc, argv) : logs_cluster(argc, argv);
}
