/* SPDX-License-Identifier: Apache-2.0 */

/* `ray memory` and `ray timeline`. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/vec.h"
#include "cmd/cluster_address.h"
#include "cmd/options.h"
#include "cmd/ray_state.h"
#include "cmd/say.h"
#include "cmd/state_client.h"
#include "cmd/state_text.h"

enum {
    WRAP_COLUMNS = 137, /* a terminal wider than that gets the formatted table */
    SITE_WIDTH = 22,
    STATUS_WIDTH = 12,
};

typedef struct MemoryOptions {
    const char *address, *group_by, *sort_by, *units;
    int64_t entries;
    bool unformatted, stats_only, entries_given;
    SayStyle style;
} MemoryOptions;

/* ---- entries ----------------------------------------------------------------------------------- */

static const char *text_at(const json_t *row, const char *key) {
    const char *text = json_string_value(json_object_get(row, key));
    return text ? text : "";
}

static int compare_rows(const char *by, const json_t *a, const json_t *b) {
    const char *key = str_eq(by, "PID")           ? "pid"
                      : str_eq(by, "OBJECT_SIZE") ? "object_size"
                                                  : "reference_type";
    if (str_eq(key, "reference_type"))
        return strcmp(text_at(a, key), text_at(b, key));
    int64_t x = json_int_at(a, 0, key), y = json_int_at(b, 0, key);
    return x < y ? -1 : x > y;
}

/* Stable, as Python's. */
static void sort_rows(json_t **rows, size_t len, const char *by) {
    for (size_t i = 1; i < len; i++)
        for (size_t k = i; k > 0 && compare_rows(by, rows[k - 1], rows[k]) > 0; k--) {
            json_t *swap = rows[k];
            rows[k] = rows[k - 1];
            rows[k - 1] = swap;
        }
}

static double unit_size(const char *unit) {
    return str_eq(unit, "KB") ? 1e3 : str_eq(unit, "MB") ? 1e6 : str_eq(unit, "GB") ? 1e9 : 1;
}

static char *sized(double bytes, const char *unit) {
    _cleanup_free_ char *number = python_float(bytes / unit_size(unit));
    return str_printf("%s %s", number, unit);
}

/* ---- text -------------------------------------------------------------------------------------- */

static bool wide(const MemoryOptions *o) {
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    int64_t width = 80;
    if (columns && str_to_i64(columns, &width) == 0 && width > 0)
        return width > WRAP_COLUMNS && !o->unformatted;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col)
        width = size.ws_col;
    return width > WRAP_COLUMNS && !o->unformatted;
}

static const char *piece(const char *text, size_t at, size_t width, char *out) {
    size_t len = strlen(text), from = MIN(at * width, len);
    snprintf(out, width + 1, "%s", text + from);
    return out;
}

static void print_entry(const json_t *row, const char *unit, bool formatted) {
    int64_t bytes = json_int_at(row, -1, "object_size");
    _cleanup_free_ char *size = bytes > -1 ? sized((double)bytes, unit) : str_dup("?");
    const char *status = text_at(row, "task_status"), *site = text_at(row, "call_site");
    const char *type = str_eq(text_at(row, "type"), "DRIVER") ? "Driver" : "Worker";
    long long pid = json_int_at(row, 0, "pid"), attempt = json_int_at(row, 0, "attempt_number");
    status = str_eq(status, "NIL") ? "-" : status;
    if (!formatted) {
        printf("\n%-13s | %-8lld | %-7s | %-9s | %-9s | %-8lld | %-8s | %-14s | %-10s\n\n",
               text_at(row, "ip"), pid, type, site, status, attempt, size,
               text_at(row, "reference_type"), text_at(row, "object_id"));
        return;
    }
    char site_part[SITE_WIDTH + 1], status_part[STATUS_WIDTH + 1], number[2][24];
    size_t lines = MAX((strlen(site) + SITE_WIDTH - 1) / SITE_WIDTH,
                       (strlen(status) + STATUS_WIDTH - 1) / STATUS_WIDTH);
    snprintf(number[0], sizeof(number[0]), "%lld", pid);
    snprintf(number[1], sizeof(number[1]), "%lld", attempt);
    for (size_t i = 0; i < MAX(lines, (size_t)1); i++)
        printf("%-15s  %-5s  %-6s  %-22s  %-14s  %-8s  %-6s  %-18s  %-56s\n",
               i ? "" : text_at(row, "ip"), i ? "" : number[0], i ? "" : type,
               piece(site, i, SITE_WIDTH, site_part), piece(status, i, STATUS_WIDTH, status_part),
               i ? "" : number[1], i ? "" : size, i ? "" : text_at(row, "reference_type"),
               i ? "" : text_at(row, "object_id"));
    printf("\n");
}

static void print_sums(json_t *const *rows, size_t len, const char *unit) {
    static const char *const kinds[] = { "LOCAL_REFERENCE", "PINNED_IN_MEMORY",
                                         "USED_BY_PENDING_TASK", "CAPTURED_IN_OBJECT",
                                         "ACTOR_HANDLE" };
    static const int widths[] = { 16, 12, 13, 19, 13 };
    double all = 0, bytes[ARRAY_LEN(kinds)] = { 0 };
    size_t counts[ARRAY_LEN(kinds)] = { 0 };
    for (size_t i = 0; i < len; i++) {
        double size = (double)MAX(json_int_at(rows[i], -1, "object_size"), (int64_t)0);
        all += size;
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
            if (str_eq(kinds[k], text_at(rows[i], "reference_type"))) {
                counts[k]++;
                bytes[k] += size;
            }
    }
    _cleanup_free_ char *total = sized(all, unit);
    printf("%-19s", total);
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        _cleanup_free_ char *size = sized(bytes[k], unit);
        _cleanup_free_ char *text = str_printf("%zu, (%s)", counts[k], size);
        printf("  %-*s", widths[k], text);
    }
    printf("\n\n");
}

static void print_group(const MemoryOptions *o, const char *kind, const char *key,
                        json_t *const *rows, size_t len) {
    bool formatted = wide(o);
    printf("--- Summary for %s: %s ---\n%-19s  %-16s  %-12s  %-13s  %-19s  %-13s\n", kind, key,
           "Mem Used by Objects", "Local References", "Pinned", "Used by task",
           "Captured in Objects", "Actor Handles");
    print_sums(rows, len, o->units);
    printf("--- Object references for %s: %s ---\n", kind, key);
    printf(formatted ? "%-15s  %-5s  %-6s  %-22s  %-14s  %-8s  %-6s  %-18s  %-56s\n"
                     : "%-13s | %-8s | %-7s | %-9s | %-9s | %-8s | %-8s | %-14s | %-10s\n",
           "IP Address", "PID", "Type", "Call Site", "Status", "Attempt", "Size", "Reference Type",
           "Object Ref");
    for (size_t i = 0; i < len && (!o->entries_given || (int64_t)i < o->entries); i++)
        print_entry(rows[i], o->units, formatted);
}

static void print_groups(const MemoryOptions *o, const json_t *result) {
    bool by_node = str_eq(o->group_by, "NODE_ADDRESS");
    const char *column = by_node ? "ip" : "call_site";
    size_t len = json_array_size(result), left = len;
    json_t **rows = mem_array(json_t *, len + 1), **group = mem_array(json_t *, len + 1);
    for (size_t i = 0; i < len; i++)
        rows[i] = json_array_get(result, i);
    sort_rows(rows, len, o->sort_by);
    while (left > 0) { /* groups in the order of their first entries */
        size_t first = 0, members = 0;
        while (!rows[first])
            first++;
        const char *key = text_at(rows[first], column);
        for (size_t i = first; i < len; i++)
            if (rows[i] && str_eq(text_at(rows[i], column), key)) {
                group[members++] = rows[i];
                rows[i] = NULL;
                left--;
            }
        print_group(o, by_node ? "node address" : "stack trace", key, group, members);
    }
    mem_free(rows);
    mem_free(group);
}

static void print_store(const json_t *sums) {
    int64_t used = json_int_at(sums, 0, "store_bytes_used");
    int64_t all = MAX(json_int_at(sums, 0, "store_bytes_total"), (int64_t)1);
    int64_t spilled = json_int_at(sums, 0, "spilled_bytes");
    _cleanup_free_ char *full = python_float((double)(10000 * used / all) / 100);
    printf("--- Aggregate object store stats across all nodes ---\nPlasma memory usage %lld MiB, "
           "%lld objects, %s%% full, %s%% needed\n",
           (long long)(used >> 20), (long long)json_int_at(sums, 0, "store_objects"), full, full);
    if (spilled)
        printf("Spilled %lld MiB, %lld objects\n", (long long)(spilled >> 20),
               (long long)json_int_at(sums, 0, "spilled_objects"));
    printf("Totals: %lld references (%lld borrowed), %lld pending tasks, %lld leases\n\n",
           (long long)(json_int_at(sums, 0, "references_owned") +
                       json_int_at(sums, 0, "references_borrowed")),
           (long long)json_int_at(sums, 0, "references_borrowed"),
           (long long)json_int_at(sums, 0, "tasks_pending"),
           (long long)json_int_at(sums, 0, "leases"));
}

static const char *lower_words(const char *name) {
    return str_eq(name, "PID")            ? "pid"
           : str_eq(name, "OBJECT_SIZE")  ? "object size"
           : str_eq(name, "NODE_ADDRESS") ? "node address"
           : str_eq(name, "STACK_TRACE")  ? "stack trace"
                                          : "reference type";
}

static int print_memory(const MemoryOptions *o) {
    _cleanup_json_ json_t *answer = NULL;
    int r = state_get(o->address, 60, "/api/v0/memory?limit=10000", &answer);
    if (r < 0)
        return say_error("%s", error_text(r));
    if (str_eq(o->style.output, "json")) {
        _cleanup_json_ json_t *all =
            json_pack("{s:O,s:O}", "totals", json_object_get(answer, "sums"), "references",
                      json_object_get(answer, "result"));
        say_json(all);
        return 0;
    }
    _cleanup_free_ char *now = python_time((double)time_wall_now() / USEC_PER_SEC);
    printf("======== Object references status: %s ========\n", now);
    if (!o->stats_only) {
        char entries[24] = "all";
        if (o->entries_given)
            snprintf(entries, sizeof(entries), "%lld", (long long)o->entries);
        printf("Grouping by %s...        Sorting by %s...        Display %s entries per "
               "group...\n\n\n",
               lower_words(o->group_by), lower_words(o->sort_by), entries);
        print_groups(o, json_object_get(answer, "result"));
        printf("To record callsite information for each ObjectRef created, set env variable "
               "RAY_record_ref_creation_sites=1\n\n");
    }
    print_store(json_object_get(answer, "sums"));
    return 0;
}

int ray_memory(int argc, char **argv) {
    MemoryOptions o = { .group_by = "NODE_ADDRESS", .sort_by = "OBJECT_SIZE", .units = "B" };
    const Option options[] = {
        { "address", OPTION_TEXT, &o.address, "Override the address to connect to." },
        { "group-by", OPTION_CHOICE, &o.group_by,
          "Group object references by a GroupByType (e.g. NODE_ADDRESS or STACK_TRACE).",
          .metavar = "[NODE_ADDRESS|STACK_TRACE]" },
        { "sort-by", OPTION_CHOICE, &o.sort_by,
          "Sort object references in ascending order by a SortingType (e.g. PID, OBJECT_SIZE, or "
          "REFERENCE_TYPE).",
          .metavar = "[PID|OBJECT_SIZE|REFERENCE_TYPE]" },
        { "units", OPTION_CHOICE, &o.units,
          "Specify unit metrics for displaying object sizes (e.g. B, KB, MB, GB).",
          .metavar = "[B|KB|MB|GB]" },
        { "no-format", OPTION_FLAG, &o.unformatted,
          "Display unformatted results. Defaults to true when terminal width is less than 137 "
          "characters." },
        { "stats-only", OPTION_FLAG, &o.stats_only, "Display plasma store stats only." },
        { "num-entries", OPTION_INT, &o.entries, "Specify number of sorted entries per group.",
          .given = &o.entries_given },
        { "n", OPTION_INT, &o.entries, "The same as --num-entries.", .given = &o.entries_given },
        SAY_OUTPUT_OPTION(&o.style),
    };
    const OptionTable table = { "ray memory", NULL,
                                "Print object references held in a Ray cluster, and totals, which "
                                "are zero when nothing is alive.",
                                options, ARRAY_LEN(options) };
    int first, r = options_parse(&table, argc, argv, &first);
    return r > 0 ? options_exit(r) : print_memory(&o);
}

/* ---- timeline ---------------------------------------------------------------------------------- */

static int write_timeline(const char *address, char **ret_path) {
    _cleanup_json_ json_t *trace = NULL;
    int r = state_get(address, 60, "/api/v0/tasks/timeline", &trace);
    if (r < 0)
        return r;
    _cleanup_free_ char *text = json_text(trace, 0), *dir = cluster_temp_dir();
    time_t now = (time_t)(time_wall_now() / USEC_PER_SEC);
    struct tm tm;
    char when[32];
    localtime_r(&now, &tm);
    strftime(when, sizeof(when), "%Y-%m-%d_%H-%M-%S", &tm);
    _cleanup_free_ char *path = str_printf("%s/ray-timeline-%s.json", dir, when);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return error_last("open %s", path);
    for (size_t at = 0, len = strlen(text); at < len;) {
        ssize_t n = write(fd, text + at, len - at);
        if (n < 0)
            return error_last("write %s", path);
        at += (size_t)n;
    }
    *ret_path = TAKE(path);
    return 0;
}

int ray_timeline(int argc, char **argv) {
    const char *address = NULL;
    const Option options[] = {
        { "address", OPTION_TEXT, &address, "Override the Ray address to connect to." },
    };
    const OptionTable table = { "ray timeline", NULL,
                                "Take a Chrome tracing timeline for a Ray cluster.", options,
                                ARRAY_LEN(options) };
    int first, r = options_parse(&table, argc, argv, &first);
    if (r > 0)
        return options_exit(r);
    _cleanup_free_ char *path = NULL;
    r = write_timeline(address, &path);
    if (r < 0)
        return say_error("%s", error_text(r));
    fprintf(stderr,
            "Trace file written to %s in the ray temp directory.\nYou can open this with "
            "chrome://tracing in the Chrome browser.\n",
            path);
    return 0;
}
