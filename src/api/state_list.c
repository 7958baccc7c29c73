/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdlib.h>

#include "api/state.h"
#include "base/error.h"
#include "base/vec.h"
#include "net/http.h"

/* ---- options ------------------------------------------------------------------------------- */

/* Python's bool() of the peer's parameters. */
static int bool_of(const char *text, bool *ret_value) {
    if (str_eq(text, "False") || str_eq(text, "false") || str_eq(text, "0"))
        *ret_value = false;
    else if (str_eq(text, "True") || str_eq(text, "true") || str_eq(text, "1"))
        *ret_value = true;
    else
        return error_origin(
            -EINVAL, "Failed to convert a value %s of type <class 'str'> to <class 'bool'>", text);
    return 0;
}

static int read_bool(const HttpQuery *query, const char *name, bool *value) {
    const char *text = http_query_get(query, name);
    return text ? bool_of(text, value) : 0;
}

static int read_limit(const HttpQuery *query, int64_t *limit) {
    const char *text = http_query_get(query, "limit");
    if (text && (str_to_i64(text, limit) < 0 || *limit < 0))
        return error_origin(-EINVAL, "limit has to be a number that is not negative");
    int64_t most = STATE_LIMIT_MAX;
    const char *setting = getenv("RAY_MAX_LIMIT_FROM_API_SERVER");
    if (setting && str_to_i64(setting, &most) < 0)
        most = STATE_LIMIT_MAX;
    if (*limit > most)
        return error_origin(-EINVAL,
                            "Given limit %lld exceeds the supported limit %lld. Use a lower limit, "
                            "or set the `RAY_MAX_LIMIT_FROM_API_SERVER` environment variable to a "
                            "larger value.",
                            (long long)*limit, (long long)most);
    return 0;
}

static int read_timeout(const HttpQuery *query, double *timeout) {
    const char *text = http_query_get(query, "timeout");
    if (text && (str_to_double(text, timeout) < 0 || *timeout <= 0))
        return error_origin(-EINVAL, "timeout has to be a number of seconds above 0");
    *timeout = CLAMP(*timeout, 1, 3600);
    return 0;
}

/* The three lists of one length that say what to filter by. */
static int read_filters(const HttpQuery *query, Arena *arena, StateOptions *options) {
    size_t keys = 0, values = 0, predicates = 0;
    options->filters = arena_array(arena, StateFilter, query->len + 1);
    for (size_t i = 0; i < query->len; i++) {
        const struct HttpParam *param = &query->items[i];
        if (str_eq(param->name, "filter_keys"))
            options->filters[keys++].column = arena_str(arena, param->value);
        else if (str_eq(param->name, "filter_values"))
            options->filters[values++].value = arena_str(arena, param->value);
        else if (str_eq(param->name, "filter_predicates")) {
            bool unequal = str_eq(param->value, "!=");
            if (!unequal && !str_eq(param->value, "="))
                return error_origin(-EINVAL,
                                    "Unsupported filter predicate %s is given. Available "
                                    "predicates: =, !=.",
                                    param->value);
            options->filters[predicates++].unequal = unequal;
        }
    }
    if (keys != values || keys != predicates)
        return error_origin(-EINVAL, "filter_keys, filter_predicates and filter_values have to be "
                                     "given equally often");
    options->filters_len = keys;
    return 0;
}

int state_options(const HttpQuery *query, Arena *arena, StateOptions *ret_options) {
    StateOptions options = { .limit = STATE_LIMIT_DEFAULT,
                             .timeout = 30,
                             .exclude_driver = true,
                             .summary_by = http_query_get(query, "summary_by"),
                             .job_id = http_query_get(query, "job_id") };
    int r = read_limit(query, &options.limit);
    if (r == 0)
        r = read_timeout(query, &options.timeout);
    if (r == 0)
        r = read_bool(query, "detail", &options.detail);
    if (r == 0)
        r = read_bool(query, "exclude_driver", &options.exclude_driver);
    if (r == 0)
        r = read_filters(query, arena, &options);
    if (r == 0)
        *ret_options = options;
    return r;
}

/* ---- filters --------------------------------------------------------------------------------- */

static int unknown_column(const StateSchema *schema, const char *name) {
    _cleanup_buf_ Buf all = { 0 };
    for (size_t i = 0; i < schema->len; i++)
        if (schema->columns[i].filter)
            buf_printf(&all, "%s'%s'", all.len ? ", " : "", schema->columns[i].name);
    return error_origin(-EINVAL,
                        "The given filter column %s is not supported. Enter filters with "
                        "–-filter key=value or –-filter key!=value Supported filter columns: {%s}",
                        name, all.data);
}

/* What an actor or a node can be. A state that is none is a slip, which an empty list would hide. */
static int check_state(const StateSchema *schema, const StateFilter *filter) {
    static const struct {
        const char *resource, *what, *states[6];
    } known[] = {
        { "actors",
          "actor",
          { "DEPENDENCIES_UNREADY", "PENDING_CREATION", "ALIVE", "RESTARTING", "DEAD" } },
        { "nodes", "node", { "ALIVE", "DEAD" } },
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        bool found = !str_eq(schema->name, known[i].resource);
        for (const char *const *state = known[i].states; *state && !found; state++)
            found = str_eq_nocase(*state, filter->value);
        if (!found)
            return error_origin(-EINVAL, "Invalid %s state for filtering: %s", known[i].what,
                                filter->value);
    }
    return 0;
}

/* A filter's column, and its value as the column's type wants it. */
static int check_filter(const StateSchema *schema, const StateFilter *filter,
                        const StateColumn **ret_column) {
    const StateColumn *column = NULL;
    for (size_t i = 0; i < schema->len && !column; i++)
        if (schema->columns[i].filter && str_eq_nocase(schema->columns[i].name, filter->column))
            column = &schema->columns[i];
    int64_t number;
    bool truth;
    if (!column)
        return unknown_column(schema, filter->column);
    if (column->type == STATE_INT && str_to_i64(filter->value, &number) < 0)
        return error_origin(-EINVAL,
                            "Invalid filter `--filter %s %s` for a int type column. Please provide "
                            "an integer filter `--filter %s [int]`",
                            filter->column, filter->value, filter->column);
    if (column->type == STATE_BOOL && bool_of(filter->value, &truth) < 0)
        return error_origin(-EINVAL,
                            "Invalid filter `--filter %s %s` for a boolean type column. Please "
                            "provide `--filter %s [True|true|1]` for True or `--filter %s "
                            "[False|false|0]` for False.",
                            filter->column, filter->value, filter->column, filter->column);
    *ret_column = column;
    return str_eq(column->name, "state") && !filter->unequal ? check_state(schema, filter) : 0;
}

static int value_matches(const json_t *value, const StateFilter *filter, bool *ret_matches) {
    int64_t number;
    bool truth, same = false;
    if (json_is_string(value)) {
        same = str_eq_nocase(json_string_value(value), filter->value);
    } else if (json_is_boolean(value)) {
        int r = bool_of(filter->value, &truth);
        if (r < 0)
            return r;
        same = truth == json_is_true(value);
    } else if (json_is_integer(value)) {
        if (str_to_i64(filter->value, &number) < 0)
            return error_origin(
                -EINVAL, "Failed to convert a value %s of type <class 'str'> to <class 'int'>",
                filter->value);
        same = number == json_integer_value(value);
    }
    *ret_matches = same != filter->unequal;
    return 0;
}

static int row_matches(const StateSchema *schema, const json_t *row, const StateOptions *options,
                       bool *ret_matches) {
    bool matches = true;
    for (size_t i = 0; i < options->filters_len && matches; i++) {
        const StateColumn *column;
        int r = check_filter(schema, &options->filters[i], &column);
        const json_t *value = r == 0 ? json_object_get(row, column->name) : NULL;
        if (r == 0)
            r = value_matches(value, &options->filters[i], &matches);
        if (r < 0)
            return r;
    }
    *ret_matches = matches;
    return 0;
}

/* ---- the list -------------------------------------------------------------------------------- */

static json_t *row_cut(const StateSchema *schema, const json_t *row, bool detail) {
    json_t *cut = json_object();
    for (size_t i = 0; i < schema->len; i++) {
        const StateColumn *column = &schema->columns[i];
        json_t *value = json_object_get(row, column->name);
        if (detail || !column->detail)
            json_object_set_new(cut, column->name, value ? json_incref(value) : json_null());
    }
    return cut;
}

typedef struct SortKey {
    const char *text;
    double number;
    size_t at; /* equal ones keep their order */
    json_t *row;
} SortKey;

static int compare_keys(const void *a, const void *b) {
    const SortKey *x = a, *y = b;
    if (x->text && y->text) {
        int r = strcmp(x->text, y->text);
        if (r)
            return r;
    } else if (x->number != y->number) { /* what takes longest comes first */
        return x->number > y->number ? -1 : 1;
    }
    return x->at < y->at ? -1 : x->at > y->at;
}

typedef Vec(SortKey) SortKeys;

static json_t *cut_sorted(const StateSchema *schema, SortKeys *keys, const StateOptions *options) {
    json_t *result = json_array();
    if (keys->len)
        qsort(keys->items, keys->len, sizeof(SortKey), compare_keys);
    for (size_t i = 0; i < MIN(keys->len, (size_t)options->limit); i++)
        json_array_append_new(result, row_cut(schema, keys->items[i].row, options->detail));
    return result;
}

static void sort_key_of(const StateSchema *schema, json_t *row, size_t at, SortKeys *keys) {
    const json_t *id = json_object_get(row, schema->id);
    bool number = str_eq(schema->name, "runtime_envs");
    SortKey key = { .at = at, .row = row };
    if (number)
        key.number = json_is_number(id) ? json_number_value(id) : 1e300;
    else
        key.text = json_is_string(id) ? json_string_value(id) : "";
    vec_push(keys, key);
}

int state_list(const StateSchema *schema, json_t *rows, const StateOptions *options,
               const StateTotals *totals, json_t **ret_result) {
    _cleanup_json_ json_t *owned = rows;
    SortKeys keys = { 0 };
    int r = 0;
    const StateColumn *column;
    for (size_t i = 0; i < options->filters_len && r == 0; i++)
        r = check_filter(schema, &options->filters[i], &column);
    for (size_t i = 0; i < json_array_size(owned) && r == 0; i++) {
        bool matches;
        json_t *row = json_array_get(owned, i);
        r = row_matches(schema, row, options, &matches);
        if (r == 0 && matches)
            sort_key_of(schema, row, i, &keys);
    }
    if (r == 0) {
        json_t *result = json_object();
        size_t len = json_array_size(owned);
        json_object_set_new(result, "total", json_integer((json_int_t)MAX(totals->total, len)));
        json_object_set_new(result, "num_after_truncation", json_integer((json_int_t)len));
        json_object_set_new(result, "num_filtered", json_integer((json_int_t)keys.len));
        json_object_set_new(result, "result", cut_sorted(schema, &keys, options));
        json_object_set_new(result, "partial_failure_warning",
                            totals->partial             ? json_string(totals->partial)
                            : totals->no_partial_column ? json_null()
                                                        : json_string(""));
        json_object_set_new(result, "warnings",
                            totals->warning ? json_pack("[s]", totals->warning) : json_null());
        *ret_result = result;
    }
    vec_done(&keys);
    return r;
}
