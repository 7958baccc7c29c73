/* SPDX-License-Identifier: Apache-2.0 */

/* `ray list`, `ray get`, `ray summary`. */

#include "cmd/ray_state.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/error.h"
#include "cmd/options.h"
#include "cmd/say.h"
#include "cmd/state_client.h"
#include "cmd/state_text.h"

#define TIMEOUT_HELP "Timeout in seconds for the API requests. Default is 30"
#define ADDRESS_HELP                                                                               \
    "The address of Ray API server. If not provided, it will be configured automatically from "    \
    "querying the GCS server."

/* "{actors|jobs|...}", without those that can't be had by an id; owned. */
static char *resource_choice(bool by_id) {
    size_t len;
    const StateSchema *schemas = state_schemas(&len);
    Buf text = { 0 };
    for (size_t i = 0; i < len; i++) {
        const char *name = schemas[i].name;
        if (by_id && (str_eq(name, "jobs") || str_eq(name, "runtime_envs")))
            continue;
        buf_add_char(&text, text.len ? '|' : '{');
        for (; *name; name++)
            buf_add_char(&text, *name == '_' ? '-' : *name);
    }
    buf_add_char(&text, '}');
    return buf_steal(&text);
}

/* No resource at all: those of `choice`, one a line. */
static int resource_missing(const OptionTable *table, const char *choice) {
    _cleanup_buf_ Buf all = { 0 };
    for (const char *at = choice + 1; *at;) {
        size_t len = strcspn(at, "|}");
        buf_printf(&all, "%s\n\t%.*s", all.len ? "," : "", (int)len, at);
        at += len + 1;
    }
    return options_fail(table, "Missing argument '%s'. Choose from:%s", choice, all.data);
}

/* The resource that the first argument names, or NULL and an error. */
static const StateSchema *resource_argument(const OptionTable *table, const char *choice,
                                            const char *name, bool by_id) {
    const StateSchema *schema = state_schema(name);
    if (schema && !strchr(name, '_') &&
        !(by_id && (str_eq(name, "jobs") || str_eq(name, "runtime-envs"))))
        return schema;
    Buf all = { 0 };
    for (const char *at = choice + 1; *at;) {
        size_t len = strcspn(at, "|}");
        buf_printf(&all, "%s'%.*s'", all.len ? ", " : "", (int)len, at);
        at += len + 1;
    }
    options_fail(table, "Invalid value for '%s': '%s' is not one of %s.", choice, name, all.data);
    buf_done(&all);
    return NULL;
}

/* ---- text -------------------------------------------------------------------------------------- */

static char *now_text(void) {
    return python_time((double)time_wall_now() / USEC_PER_SEC);
}

static json_t *columns_of(const StateSchema *schema, const json_t *rows, bool detail) {
    json_t *columns = json_array();
    for (size_t i = 0; i < schema->len && json_array_size(rows); i++)
        if (detail || !schema->columns[i].detail)
            json_array_append_new(columns, json_string(schema->columns[i].name));
    return columns;
}

static char *upper(const char *text) {
    char *copy = str_dup(text);
    for (char *c = copy; *c; c++)
        if (*c >= 'a' && *c <= 'z')
            *c = (char)(*c - 'a' + 'A');
    return copy;
}

static json_t *headers_of(const json_t *columns) {
    json_t *headers = json_array();
    for (size_t i = 0; i < json_array_size(columns); i++) {
        _cleanup_free_ char *name = upper(json_string_value(json_array_get(columns, i)));
        json_array_append_new(headers, json_string(name));
    }
    return headers;
}

/* Objects are YAML in their cell. */
static json_t *cell_of(const json_t *value) {
    if (json_is_object(value)) {
        _cleanup_buf_ Buf text = { 0 };
        pyyaml_text(value, (PyYaml){ .indent = 2, .sorted = true }, &text);
        while (text.len && text.data[text.len - 1] == '\n')
            text.data[--text.len] = 0;
        return json_string(text.data);
    }
    return value ? json_incref((json_t *)(uintptr_t)value) : json_null();
}

static json_t *cells_of(const json_t *columns, const json_t *rows) {
    json_t *cells = json_array();
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array();
        for (size_t c = 0; c < json_array_size(columns); c++)
            json_array_append_new(
                row, cell_of(json_object_get(json_array_get(rows, i),
                                             json_string_value(json_array_get(columns, c)))));
        json_array_append_new(cells, row);
    }
    return cells;
}

static void print_table(const StateSchema *schema, const json_t *rows, bool detail) {
    _cleanup_json_ json_t *columns = columns_of(schema, rows, detail);
    _cleanup_json_ json_t *headers = headers_of(columns), *cells = cells_of(columns, rows);
    _cleanup_buf_ Buf table = { 0 };
    _cleanup_free_ char *now = now_text();
    table_text(headers, cells, (TableStyle){ 0 }, &table);
    printf("\n======== List: %s ========\nStats:\n------------------------------\nTotal: "
           "%zu\n\nTable:\n------------------------------\n%s\n\n",
           now, json_array_size(rows), table.data);
}

/* Every column is there, as in the peer's records. */
static void complete(const StateSchema *schema, json_t *rows) {
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i), *whole = json_object();
        for (size_t c = 0; c < schema->len; c++) {
            json_t *value = json_object_get(row, schema->columns[c].name);
            json_object_set_new(whole, schema->columns[c].name,
                                value ? json_incref(value) : json_null());
        }
        row_humanize(schema, whole);
        json_array_set_new(rows, i, whole);
    }
}

static void print_yaml(const json_t *rows) {
    _cleanup_buf_ Buf text = { 0 };
    pyyaml_text(rows, (PyYaml){ .indent = 4, .document = true }, &text);
    printf("%s\n", text.data);
}

/* Compact JSON with the spaces that Python's dumps() writes. Owned. */
static char *spaced(const char *json) {
    Buf out = { 0 };
    bool inside = false;
    for (; *json; json++) {
        buf_add_char(&out, *json);
        if (inside && *json == '\\')
            buf_add_char(&out, *++json);
        else if (*json == '"')
            inside = !inside;
        else if (!inside && (*json == ',' || *json == ':'))
            buf_add_char(&out, ' ');
    }
    return buf_steal(&out);
}

static void print_rows(const StateSchema *schema, json_t *rows, const char *format, bool detail) {
    if (!json_array_size(rows)) {
        puts("No resource in the cluster");
        return;
    }
    complete(schema, rows);
    if (str_eq(format, "yaml")) {
        print_yaml(rows);
    } else if (str_eq(format, "json")) {
        _cleanup_free_ char *compact = json_text(rows, 0), *text = spaced(compact);
        puts(text);
    } else {
        print_table(schema, rows, detail);
    }
}

/* ---- ray list ------------------------------------------------------------------------------------ */

typedef struct ListOptions {
    const char *format, *address;
    StrList filters;
    int64_t limit, timeout;
    bool detail;
} ListOptions;

static int bad_filter(const OptionTable *table, const StateSchema *schema, const char *key) {
    _cleanup_buf_ Buf all = { 0 };
    for (size_t i = 0; i < schema->len; i++)
        buf_printf(&all, "%s%s", i ? ", " : "", schema->columns[i].name);
    return options_fail(table,
                        "Invalid value: Invalid filter key '%s' for resource '%s'. Available "
                        "filter keys are: %s",
                        key, schema->name, all.data);
}

/* "key=value" or "key!=value" as the query's three parameters. 0, or the exit status. */
static int add_filter(const OptionTable *table, const StateSchema *schema, const char *filter,
                      Buf *target) {
    size_t at = 0;
    while (filter[at] && filter[at] != '=' && !(filter[at] == '!' && filter[at + 1] == '='))
        at++;
    if (!filter[at])
        return say_error("ValueError: The format of a given filter %s is invalid: Cannot find the "
                         "predicate. Please provide key=val or key!=val format string.",
                         filter);
    bool unequal = filter[at] == '!';
    const char *value = filter + at + 1 + unequal, *name = NULL;
    _cleanup_free_ char *key = str_dup_slice((Slice){ filter, at });
    if (!at || !*value)
        return say_error("ValueError: The format of a given filter %s is invalid: Cannot identify "
                         "key %s or value, %s. Please provide key=val or key!=val format string.",
                         filter, key, value);
    for (size_t i = 0; i < schema->len; i++)
        if (str_eq_nocase(schema->columns[i].name, key))
            name = schema->columns[i].name;
    if (!name)
        return bad_filter(table, schema, key);
    state_query(target, "filter_keys", name);
    state_query(target, "filter_predicates", unequal ? "!=" : "=");
    state_query(target, "filter_values", value);
    return 0;
}

static int list_rows(const OptionTable *table, const StateSchema *schema, const ListOptions *o) {
    _cleanup_buf_ Buf target = { 0 };
    _cleanup_json_ json_t *answer = NULL;
    char limit[24];
    snprintf(limit, sizeof(limit), "%lld", (long long)o->limit);
    buf_printf(&target, "/api/v0/%s", schema->name);
    state_query(&target, "limit", limit);
    state_query(&target, "detail", o->detail ? "True" : "False");
    for (size_t i = 0; i < o->filters.len; i++) {
        int status = add_filter(table, schema, o->filters.items[i], &target);
        if (status)
            return status;
    }
    int r = state_get(o->address, (double)o->timeout, target.data, &answer);
    if (r < 0)
        return state_refused(r) ? options_fail(table, "%s", error_text(r)) : state_failed(r);
    const char *format = o->detail && str_eq(o->format, "default") ? "yaml" : o->format;
    if (!str_eq(o->format, "yaml") && !str_eq(o->format, "json"))
        state_warn(schema->name, answer, true);
    print_rows(schema, json_object_get(answer, "result"), format, o->detail);
    return 0;
}

int ray_list(int argc, char **argv) {
    ListOptions o = { .format = "default", .limit = STATE_LIMIT_DEFAULT, .timeout = 30 };
    const Option options[] = {
        { "format", OPTION_CHOICE, &o.format, "How the rows are written.",
          .metavar = "[default|json|yaml|table]" },
        { "filter", OPTION_LIST, &o.filters,
          "A key, predicate, and value to filter the result. E.g., --filter 'key=value' or "
          "--filter 'key!=value'. You can specify multiple --filter options. In this case all "
          "predicates are concatenated as AND. For example, --filter key=value --filter "
          "key2=value means (key==val) AND (key2==val2), String filter values are "
          "case-insensitive.",
          .letter = 'f' },
        { "limit", OPTION_INT, &o.limit, "Maximum number of entries to return. 100 by default." },
        { "detail", OPTION_FLAG, &o.detail,
          "If the flag is set, the output will contain data in more details. Note that the API "
          "could query more sources to obtain information in a greater detail." },
        { "timeout", OPTION_INT, &o.timeout, TIMEOUT_HELP },
        { "address", OPTION_TEXT, &o.address, ADDRESS_HELP },
    };
    _cleanup_free_ char *choice = resource_choice(false);
    const OptionTable table = { "ray list", choice,
                                "List all states of a given resource. Columns that can be filtered "
                                "by, and those that --detail adds, are those of ray.util.state.",
                                options, ARRAY_LEN(options) };
    int first, r = options_parse(&table, argc, argv, &first);
    if (r > 0)
        r = options_exit(r);
    else if (first >= argc)
        r = resource_missing(&table, choice);
    else if (first + 1 < argc)
        r = options_fail(&table, "Got unexpected extra argument (%s)", argv[first + 1]);
    else {
        const StateSchema *schema = resource_argument(&table, choice, argv[first], false);
        r = schema ? list_rows(&table, schema, &o) : 2;
    }
    strlist_done(&o.filters);
    return r;
}

/* ---- ray get ------------------------------------------------------------------------------------- */

static int get_rows(const OptionTable *table, const StateSchema *schema, const char *id,
                    const char *address, int64_t timeout) {
    _cleanup_buf_ Buf target = { 0 };
    _cleanup_json_ json_t *answer = NULL;
    buf_printf(&target, "/api/v0/%s", schema->name);
    state_query(&target, "detail", "True");
    state_query(&target, "filter_keys", schema->id);
    state_query(&target, "filter_predicates", "=");
    state_query(&target, "filter_values", id);
    int r = state_get(address, (double)timeout, target.data, &answer);
    if (r < 0)
        return state_refused(r) ? options_fail(table, "%s", error_text(r)) : state_failed(r);
    json_t *rows = json_object_get(answer, "result");
    if (!json_array_size(rows))
        printf("Resource with id=%s not found in the cluster.\n", id);
    else
        print_rows(schema, rows, "yaml", true);
    return 0;
}

int ray_get(int argc, char **argv) {
    const char *address = NULL;
    int64_t timeout = 30;
    const Option options[] = {
        { "address", OPTION_TEXT, &address, ADDRESS_HELP },
        { "timeout", OPTION_INT, &timeout, TIMEOUT_HELP },
    };
    _cleanup_free_ char *choice = resource_choice(true);
    _cleanup_free_ char *arguments = str_printf("%s [ID]", choice);
    const OptionTable table = { "ray get", arguments, "Get a state of a given resource by ID.",
                                options, ARRAY_LEN(options) };
    int first, r = options_parse(&table, argc, argv, &first);
    if (r > 0)
        return options_exit(r);
    if (first >= argc)
        return resource_missing(&table, choice);
    if (first + 2 < argc)
        return options_fail(&table, "Got unexpected extra argument (%s)", argv[first + 2]);
    const StateSchema *schema = resource_argument(&table, choice, argv[first], true);
    if (!schema)
        return 2;
    if (first + 1 >= argc)
        return options_fail(&table,
                            "Invalid value: Missing argument 'ID'. Do you mean 'ray list %s'?",
                            argv[first]);
    return get_rows(&table, schema, argv[first + 1], address, timeout);
}

/* ---- ray summary --------------------------------------------------------------------------------- */

static json_t *sorted_columns(const json_t *entry) {
    _cleanup_strlist_ StrList keys = { 0 };
    json_t *columns = json_array(), *value;
    const char *key;
    json_object_foreach((json_t *)(uintptr_t)entry, key, value)
        strlist_add(&keys, key);
    strlist_sort(&keys);
    for (size_t i = 0; i < keys.len; i++)
        json_array_append_new(columns, json_string(keys.items[i]));
    return columns;
}

/* The rows `entries` under the columns of the last one. */
static void summary_table(json_t *entries, bool ruled, Buf *out) {
    size_t len = json_array_size(entries);
    _cleanup_json_ json_t *columns = sorted_columns(len ? json_array_get(entries, len - 1) : NULL);
    _cleanup_json_ json_t *headers = headers_of(columns), *cells = cells_of(columns, entries);
    table_text(headers, cells, (TableStyle){ .ruled = ruled, .numbers_left = true }, out);
}

static void tables_of(json_t *summaries, bool objects, Buf *out) {
    const char *key;
    json_t *entry;
    _cleanup_json_ json_t *all = json_array();
    bool first = true;
    json_object_foreach(summaries, key, entry) {
        json_array_append(all, entry);
        if (!objects)
            continue;
        _cleanup_json_ json_t *one = json_pack("[O]", entry);
        buf_printf(out, "%s%s\n", first ? "" : "\n\n\n\n", key);
        summary_table(one, true, out);
        first = false;
    }
    if (!objects)
        summary_table(all, false, out);
}

static int print_summary(const char *resource, const char *title, const char *address,
                         int64_t timeout) {
    _cleanup_buf_ Buf stats = { 0 }, tables = { 0 };
    _cleanup_json_ json_t *answer = NULL;
    _cleanup_free_ char *target = str_printf("/api/v0/%s/summarize", resource);
    bool objects = str_eq(resource, "objects");
    int r = state_get(address, (double)timeout, target, &answer);
    if (r < 0)
        return state_failed(r);
    state_warn(resource, answer, false);
    json_t *cluster = json_at(answer, "result", "node_id_to_summary", "cluster");
    _cleanup_free_ char *by = str_dup(json_str_at(cluster, "summary_by"));
    tables_of(json_object_get(cluster, "summary"), objects, &tables);
    json_object_del(cluster, "summary_by");
    json_object_del(cluster, "summary");
    pyyaml_text(cluster, (PyYaml){ .indent = 2, .sorted = true }, &stats);
    _cleanup_free_ char *now = now_text();
    printf("\n======== %s Summary: %s ========\nStats:\n------------------------------------\n%s"
           "\n\nTable (group by %s)%s\n------------------------------------\n%s\n\n",
           title, now, stats.data, by ? by : "", objects ? "" : ":",
           tables.data ? tables.data : "");
    return 0;
}

static int summary(int argc, char **argv, const char *resource, const char *title,
                   const char *about) {
    const char *address = NULL;
    int64_t timeout = 30;
    const Option options[] = {
        { "timeout", OPTION_INT, &timeout, TIMEOUT_HELP },
        { "address", OPTION_TEXT, &address, ADDRESS_HELP },
    };
    _cleanup_free_ char *command = str_printf("ray summary %s", resource);
    const OptionTable table = { command, NULL, about, options, ARRAY_LEN(options) };
    int first, r = options_parse(&table, argc, argv, &first);
    if (r > 0)
        return options_exit(r);
    return print_summary(resource, title, address, timeout);
}

static int summary_tasks(int argc, char **argv) {
    return summary(argc, argv, "tasks", "Tasks", "Summarize the task state of the cluster.");
}

static int summary_actors(int argc, char **argv) {
    return summary(argc, argv, "actors", "Actors", "Summarize the actor state of the cluster.");
}

static int summary_objects(int argc, char **argv) {
    return summary(argc, argv, "objects", "Object", "Summarize the object state of the cluster.");
}

int ray_summary(int argc, char **argv) {
    static const Command commands[] = {
        { "actors", summary_actors, "Summarize the actor state of the cluster." },
        { "objects", summary_objects, "Summarize the object state of the cluster." },
        { "tasks", summary_tasks, "Summarize the task state of the cluster." },
    };
    const CommandGroup group = { .command = "ray summary",
                                 .about = "Return the summarized information of a given resource.",
                                 .commands = commands,
                                 .len = ARRAY_LEN(commands) };
    return commands_run(&group, argc, argv);
}
