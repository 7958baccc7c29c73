/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/yaml.h"

#include <math.h>
#include <yaml.h>

#include "base/error.h"
#include "base/map.h"
#include "codec/number.h"
#include "codec/yaml_scalar.h"

const YamlLimits YAML_LIMITS_DEFAULT = {
    .bytes = 8u << 20,
    .documents = 4096,
    .values = 1000000,
    .depth = 100,
};

enum {
    NOTES_MAX = 20
};

typedef struct Anchor {
    json_t *value;
    size_t values; /* what a copy costs */
} Anchor;

typedef struct Reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    const YamlLimits *limits;
    size_t values;      /* made so far */
    unsigned depth;
    StrMap anchors;     /* of this document: name -> Anchor */
    StrList *notes;     /* NULL: nobody wants them */
} Reader;

static int read_value(Reader *reader, json_t **ret_value);

static int fail_at(const yaml_mark_t *mark, int code, const char *why) {
    return error_origin(code, "line %zu column %zu: %s", mark->line + 1, mark->column + 1, why);
}

static int fail_here(Reader *reader, int code, const char *why) {
    return fail_at(&reader->event.start_mark, code, why);
}

static int parser_failure(const yaml_parser_t *parser) {
    const char *why = parser->problem ? parser->problem : "not YAML";

    if (parser->error == YAML_READER_ERROR)
        return error_origin(-EINVAL, "byte %zu: %s", parser->problem_offset, why);
    return error_origin(-EINVAL, "line %zu column %zu: %s%s%s", parser->problem_mark.line + 1,
                        parser->problem_mark.column + 1, why, parser->context ? " " : "",
                        parser->context ? parser->context : "");
}

static int next_event(Reader *reader) {
    yaml_event_delete(&reader->event);
    if (!yaml_parser_parse(&reader->parser, &reader->event))
        return parser_failure(&reader->parser);
    return 0;
}

static int charge(Reader *reader, size_t values) {
    reader->values += values;
    if (reader->values > reader->limits->values)
        return fail_here(reader, -E2BIG, "the document has too many values (aliases count)");
    return 0;
}

static void anchors_done(StrMap *anchors) {
    const char *name;
    Anchor *anchor;

    for (size_t pos = 0; (anchor = strmap_next(anchors, &pos, &name));) {
        json_decref(anchor->value);
        mem_free(anchor);
    }
    strmap_done(anchors);
    *anchors = (StrMap){ 0 };
}

/* A name may be given again; the newer one counts from there on. */
static void anchor_add(Reader *reader, const char *name, json_t *value, size_t values) {
    Anchor *anchor = mem_new(Anchor);

    anchor->value = json_incref(value);
    anchor->values = values;
    Anchor *former = strmap_put(&reader->anchors, name, anchor);
    if (former) {
        json_decref(former->value);
        mem_free(former);
    }
}

static YamlTag tag_of(const yaml_char_t *tag) {
    static const struct {
        const char *name;
        YamlTag tag;
    } known[] = {
        { YAML_STR_TAG, YAML_TAG_STR },
        { YAML_BOOL_TAG, YAML_TAG_BOOL },
        { YAML_INT_TAG, YAML_TAG_INT },
        { YAML_FLOAT_TAG, YAML_TAG_FLOAT },
        { YAML_NULL_TAG, YAML_TAG_NULL },
        { YAML_TIMESTAMP_TAG, YAML_TAG_TIMESTAMP },
        { "tag:yaml.org,2002:binary", YAML_TAG_BINARY },
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_eq((const char *)tag, known[i].name))
            return known[i].tag;
    return YAML_TAG_OTHER;
}

static YamlTag scalar_tag(const yaml_event_t *event) {
    if (event->data.scalar.tag && !str_eq((const char *)event->data.scalar.tag, "!")) {
        YamlTag tag = tag_of(event->data.scalar.tag);
        return tag == YAML_TAG_OTHER ? YAML_TAG_STR : tag;
    }
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !event->data.scalar.tag;
    return plain ? YAML_TAG_NONE : YAML_TAG_STR;
}

/* Numbers take Go's way through JSON text, where 1.0 and 1e3 become whole. */
static json_t *number_settle(json_t *value) {
    if (!json_is_real(value))
        return value;
    double real = json_real_value(value);
    if (real != trunc(real) || fabs(real) >= 0x1p63)
        return value;
    json_decref(value);
    return json_integer((json_int_t)real);
}

static int read_scalar(Reader *reader, json_t **ret_value) {
    const char *text = (const char *)reader->event.data.scalar.value;
    size_t len = reader->event.data.scalar.length;
    json_t *value = NULL;

    if (memchr(text, 0, len))
        return fail_here(reader, -EINVAL, "a NUL character in a string");
    if (yaml_scalar_resolve(text, len, scalar_tag(&reader->event), &value) < 0)
        return error_origin(-EINVAL, "line %zu column %zu: `%.*s` can't be read as the type it has",
                            reader->event.start_mark.line + 1, reader->event.start_mark.column + 1,
                            (int)MIN(len, (size_t)80), text);
    *ret_value = number_settle(value);
    return 0;
}

static int read_sequence(Reader *reader, json_t **ret_value) {
    _cleanup_json_ json_t *array = json_array();

    for (;;) {
        json_t *item = NULL;
        int r = next_event(reader);
        if (r < 0)
            return r;
        if (reader->event.type == YAML_SEQUENCE_END_EVENT)
            break;
        r = read_value(reader, &item);
        if (r < 0)
            return r;
        json_array_append_new(array, item);
    }
    *ret_value = TAKE(array);
    return 0;
}

/* The text a key has in JSON. */
static int key_text(Reader *reader, const json_t *key, char **ret_text) {
    char number[NUMBER_TEXT_MAX];

    if (json_is_string(key))
        *ret_text = str_dup(json_string_value(key));
    else if (json_is_boolean(key))
        *ret_text = str_dup(json_is_true(key) ? "true" : "false");
    else if (json_is_integer(key))
        *ret_text = str_printf("%lld", (long long)json_integer_value(key));
    else if (json_is_real(key)) {
        number_format(json_real_value(key), NUMBER_YAML, number);
        *ret_text = str_dup(number);
    } else {
        return fail_here(reader, -EINVAL, "a key has to be a string, number or boolean");
    }
    return 0;
}

static bool is_merge_key(const yaml_event_t *event) {
    if (event->type != YAML_SCALAR_EVENT)
        return false;
    if (event->data.scalar.tag)
        return str_eq((const char *)event->data.scalar.tag, "tag:yaml.org,2002:merge");
    return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           str_eq((const char *)event->data.scalar.value, "<<");
}

/* `<<: {..}` or `<<: [{..}, {..}]`, where the first of a list wins. Keys before it are replaced
 * and keys behind it replace, as the Go library does. */
static int merge_into(Reader *reader, json_t *object) {
    _cleanup_json_ json_t *source = NULL;
    size_t count;

    int r = next_event(reader);
    if (r < 0)
        return r;
    const yaml_mark_t mark = reader->event.start_mark;
    r = read_value(reader, &source);
    if (r < 0)
        return r;
    if (json_is_object(source)) {
        json_object_update(object, source);
        return 0;
    }
    count = json_array_size(source);
    for (size_t i = count; i > 0; i--) {
        json_t *item = json_array_get(source, i - 1);
        if (!json_is_object(item))
            return fail_at(&mark, -EINVAL, "`<<` merges mappings only");
        json_object_update(object, item);
    }
    return json_is_array(source) ? 0 : fail_at(&mark, -EINVAL, "`<<` merges mappings only");
}

/* `on` where `key` became "true"; NULL where it says what it says. Owned. */
static char *other_spelling(const yaml_event_t *event, const json_t *key) {
    if (event->type != YAML_SCALAR_EVENT || !json_is_boolean(key))
        return NULL;
    const char *text = (const char *)event->data.scalar.value;
    return str_eq(text, json_is_true(key) ? "true" : "false") ? NULL : str_dup(text);
}

static void note_boolean_key(Reader *reader, const yaml_mark_t *mark, const char *spelling,
                             const char *text) {
    if (reader->notes && spelling && reader->notes->len < NOTES_MAX)
        strlist_printf(reader->notes,
                       "line %zu column %zu: YAML reads the key %s as the boolean %s; write \"%s\" "
                       "in quotes to mean the word",
                       mark->line + 1, mark->column + 1, spelling, text, spelling);
}

static int key_repeated(const yaml_mark_t *mark, const char *spelling, const char *text) {
    if (!spelling)
        return error_origin(-EINVAL, "line %zu column %zu: key \"%s\" already set in map",
                            mark->line + 1, mark->column + 1, text);
    return error_origin(-EINVAL,
                        "line %zu column %zu: key %s, which YAML reads as the boolean %s, already "
                        "set in map",
                        mark->line + 1, mark->column + 1, spelling, text);
}

static int read_member(Reader *reader, json_t *object, StrMap *keys) {
    _cleanup_json_ json_t *key = NULL;
    _cleanup_free_ char *text = NULL, *spelling = NULL;
    json_t *value = NULL;

    if (is_merge_key(&reader->event))
        return merge_into(reader, object);
    const yaml_mark_t mark = reader->event.start_mark;
    int r = read_value(reader, &key);
    if (r < 0)
        return r;
    r = key_text(reader, key, &text);
    if (r < 0)
        return r;
    spelling = other_spelling(&reader->event, key);
    if (strmap_put(keys, text, reader))
        return key_repeated(&mark, spelling, text);
    note_boolean_key(reader, &mark, spelling, text);
    r = next_event(reader);
    if (r < 0)
        return r;
    r = read_value(reader, &value);
    if (r < 0)
        return r;
    json_object_set_new(object, text, value);
    return 0;
}

static int read_mapping(Reader *reader, json_t **ret_value) {
    _cleanup_json_ json_t *object = json_object();
    _cleanup_(strmap_done) StrMap keys = { 0 };

    for (;;) {
        int r = next_event(reader);
        if (r < 0)
            return r;
        if (reader->event.type == YAML_MAPPING_END_EVENT)
            break;
        r = read_member(reader, object, &keys);
        if (r < 0)
            return r;
    }
    *ret_value = TAKE(object);
    return 0;
}

static int read_alias(Reader *reader, json_t **ret_value) {
    const char *name = (const char *)reader->event.data.alias.anchor;
    const Anchor *anchor = strmap_get(&reader->anchors, name);

    if (!anchor)
        return error_origin(-EINVAL, "line %zu column %zu: unknown anchor '%s' referenced",
                            reader->event.start_mark.line + 1, reader->event.start_mark.column + 1,
                            name);
    int r = charge(reader, anchor->values);
    if (r < 0)
        return r;
    *ret_value = json_deep_copy(anchor->value);
    return 0;
}

static int read_node(Reader *reader, json_t **ret_value) {
    switch (reader->event.type) {
    case YAML_SCALAR_EVENT:
        return read_scalar(reader, ret_value);
    case YAML_SEQUENCE_START_EVENT:
        return read_sequence(reader, ret_value);
    case YAML_MAPPING_START_EVENT:
        return read_mapping(reader, ret_value);
    default:
        return fail_here(reader, -EINVAL, "a value was expected");
    }
}

static const char *event_anchor(const yaml_event_t *event) {
    if (event->type == YAML_SCALAR_EVENT)
        return (const char *)event->data.scalar.anchor;
    if (event->type == YAML_SEQUENCE_START_EVENT)
        return (const char *)event->data.sequence_start.anchor;
    return event->type == YAML_MAPPING_START_EVENT ? (const char *)event->data.mapping_start.anchor
                                                   : NULL;
}

/* The value that starts at the current event; afterwards the current event is its last one. */
static int read_value(Reader *reader, json_t **ret_value) {
    _cleanup_free_ char *anchor = str_dup(event_anchor(&reader->event));
    size_t before = reader->values;

    if (reader->event.type == YAML_ALIAS_EVENT)
        return read_alias(reader, ret_value);
    int r = charge(reader, 1);
    if (r < 0)
        return r;
    if (++reader->depth > reader->limits->depth)
        return fail_here(reader, -E2BIG, "nested too deeply");
    r = read_node(reader, ret_value);
    reader->depth--;
    if (r < 0)
        return r;
    if (anchor)
        anchor_add(reader, anchor, *ret_value, reader->values - before);
    return 0;
}

static int read_document(Reader *reader, json_t *documents) {
    json_t *value = NULL;

    if (json_array_size(documents) >= reader->limits->documents)
        return fail_here(reader, -E2BIG, "too many documents in the stream");
    anchors_done(&reader->anchors);
    int r = next_event(reader);
    if (r < 0)
        return r;
    r = read_value(reader, &value);
    if (r < 0)
        return r;
    json_array_append_new(documents, value);
    return next_event(reader); /* the end of the document */
}

static int read_stream(Reader *reader, json_t *documents) {
    for (;;) {
        int r = next_event(reader);
        if (r < 0)
            return r;
        if (reader->event.type == YAML_STREAM_END_EVENT)
            return 0;
        if (reader->event.type != YAML_DOCUMENT_START_EVENT)
            continue;
        r = read_document(reader, documents);
        if (r < 0)
            return r;
    }
}

int yaml_parse_all(const void *data, size_t len, const YamlLimits *limits, json_t **ret_documents) {
    return yaml_parse_all_noting(data, len, limits, NULL, ret_documents);
}

int yaml_parse_all_noting(const void *data, size_t len, const YamlLimits *limits, StrList *notes,
                          json_t **ret_documents) {
    Reader reader = { .limits = limits ? limits : &YAML_LIMITS_DEFAULT, .notes = notes };
    _cleanup_json_ json_t *documents = json_array();

    if (len > reader.limits->bytes)
        return error_origin(-E2BIG, "YAML of %zu bytes is over the limit of %zu", len,
                            reader.limits->bytes);
    ASSERT(yaml_parser_initialize(&reader.parser));
    yaml_parser_set_input_string(&reader.parser, data ? data : (const void *)"", len);
    int r = read_stream(&reader, documents);
    yaml_event_delete(&reader.event);
    yaml_parser_delete(&reader.parser);
    anchors_done(&reader.anchors);
    if (r < 0)
        return r;
    *ret_documents = TAKE(documents);
    return 0;
}

static int parse_one(const void *data, size_t len, const YamlLimits *limits, bool or_none,
                     json_t **ret_value) {
    _cleanup_json_ json_t *documents = NULL;

    int r = yaml_parse_all(data, len, limits, &documents);
    if (r < 0)
        return r;
    size_t count = json_array_size(documents);
    if (count == 0 && or_none) {
        *ret_value = json_null();
        return 0;
    }
    if (count != 1)
        return error_origin(-EINVAL, "one YAML document was expected, the text has %zu", count);
    *ret_value = json_incref(json_array_get(documents, 0));
    return 0;
}

int yaml_parse(const void *data, size_t len, const YamlLimits *limits, json_t **ret_value) {
    return parse_one(data, len, limits, false, ret_value);
}

int yaml_parse_or_null(const void *data, size_t len, const YamlLimits *limits, json_t **ret_value) {
    return parse_one(data, len, limits, true, ret_value);
}
