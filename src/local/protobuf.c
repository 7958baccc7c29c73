/* SPDX-License-Identifier: Apache-2.0 */
#include "local/protobuf.h"

#include <endian.h>
#include <inttypes.h>

#include "base/clock.h"
#include "base/error.h"
#include "codec/json.h"

/*
 *     body     "k8s\0" Unknown { 1 TypeMeta { 1 apiVersion, 2 kind }, 2 raw, … }
 *     field    varint (number << 3 | wire), then a varint, 8 bytes, length and bytes, or 4 bytes
 * A table (schema/protobuf.txt) names what a number means; unknown numbers are skipped, as newer
 * clients have fields that we do not.
 */

typedef enum ProtoKind {
    PROTO_STRING,
    PROTO_BYTES,
    PROTO_BOOL,
    PROTO_INT,
    PROTO_DOUBLE,
    PROTO_TIME,
    PROTO_MICROTIME,
    PROTO_QUANTITY,
    PROTO_INTORSTRING,
    PROTO_JSON,
    PROTO_STRINGS,
    PROTO_MESSAGE,
} ProtoKind;

typedef enum ProtoShape {
    PROTO_ONE,
    PROTO_LIST,
    PROTO_MAP,
} ProtoShape;

typedef struct ProtoField {
    const char *name; /* NULL: the message's fields belong to the one around it */
    uint16_t number, message;
    uint8_t kind, shape;
    bool optional; /* a zero value counts */
} ProtoField;

typedef struct ProtoMessage {
    const char *name;
    uint16_t first, len;
} ProtoMessage;

#include "local/protobuf_table.h"

enum {
    DEPTH_MAX = 48,
    WIRE_VARINT = 0,
    WIRE_FIXED64 = 1,
    WIRE_BYTES = 2,
    WIRE_FIXED32 = 5,
};

typedef struct Wire {
    uint32_t number;
    unsigned type;
    uint64_t value; /* varint and fixed */
    Slice bytes;
} Wire;

static int take_varint(Slice *in, uint64_t *ret_value) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (in->len == 0)
            break;
        uint8_t byte = (uint8_t)*in->data;
        in->data++;
        in->len--;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte & 0x80)
            continue;
        *ret_value = value;
        return 0;
    }
    return error_origin(-EINVAL, "protobuf: a number is cut off");
}

static int take_slice(Slice *in, uint64_t len, Slice *ret_slice) {
    if (len > in->len)
        return error_origin(-EINVAL, "protobuf: a field is longer than its message");
    *ret_slice = (Slice){ in->data, len };
    in->data += len;
    in->len -= len;
    return 0;
}

static int take_fixed(Slice *in, size_t len, uint64_t *ret_value) {
    Slice bytes = { 0 };
    uint64_t little = 0;
    int r = take_slice(in, len, &bytes);
    if (r < 0)
        return r;
    memcpy(&little, bytes.data, len);
    *ret_value = le64toh(little);
    return 0;
}

static int take_field(Slice *in, Wire *ret_wire) {
    Wire wire = { 0 };
    uint64_t tag = 0, len = 0;
    int r = take_varint(in, &tag);
    if (r < 0)
        return r;
    wire.number = (uint32_t)(tag >> 3);
    wire.type = tag & 7;
    switch (wire.type) {
    case WIRE_VARINT:
        r = take_varint(in, &wire.value);
        break;
    case WIRE_FIXED64:
        r = take_fixed(in, 8, &wire.value);
        break;
    case WIRE_FIXED32:
        r = take_fixed(in, 4, &wire.value);
        break;
    case WIRE_BYTES:
        r = take_varint(in, &len);
        if (r == 0)
            r = take_slice(in, len, &wire.bytes);
        break;
    default:
        r = error_origin(-EINVAL, "protobuf: wire type %u", wire.type);
    }
    if (r == 0)
        *ret_wire = wire;
    return r;
}

/* One field of a small message: its number or bytes; 0 and empty when absent. */
static int peek_field(Slice message, uint32_t number, Wire *ret_wire) {
    *ret_wire = (Wire){ 0 };
    while (message.len > 0) {
        Wire wire;
        int r = take_field(&message, &wire);
        if (r < 0)
            return r;
        if (wire.number == number)
            *ret_wire = wire;
    }
    return 0;
}

static int decode_text(Slice bytes, json_t **ret_value) {
    *ret_value = json_stringn(bytes.data, bytes.len);
    if (!*ret_value)
        return error_origin(-EINVAL, "protobuf: a string is not UTF-8");
    return 0;
}

static int decode_time(Slice message, bool micro, json_t **ret_value) {
    Wire seconds, nanos;
    char text[TIME_TEXT_MAX];
    int r = peek_field(message, 1, &seconds);
    if (r == 0)
        r = peek_field(message, 2, &nanos);
    if (r < 0)
        return r;
    if (message.len == 0) {
        *ret_value = NULL;
        return 0;
    }
    int64_t whole = (int64_t)seconds.value, part = (int64_t)nanos.value;
    if (whole < 0 || whole > (int64_t)253402300799 || part < 0 || part > 999999999)
        return error_origin(-EINVAL, "protobuf: a time out of range");
    usec_t wall = whole * USEC_PER_SEC + part / 1000;
    if (micro)
        time_format_iso(wall, text);
    else
        time_format_rfc3339(wall, text);
    *ret_value = json_string(text);
    return 0;
}

static int decode_int_or_string(Slice message, json_t **ret_value) {
    Wire type, number, text;
    int r = peek_field(message, 1, &type);
    if (r == 0)
        r = peek_field(message, 2, &number);
    if (r == 0)
        r = peek_field(message, 3, &text);
    if (r < 0)
        return r;
    if (type.value == 1)
        return decode_text(text.bytes, ret_value);
    *ret_value = json_integer((int32_t)number.value);
    return 0;
}

static int decode_quantity(Slice message, json_t **ret_value) {
    Wire text;
    int r = peek_field(message, 1, &text);
    return r < 0 ? r : decode_text(text.bytes, ret_value);
}

/* A message whose first field is JSON text. */
static int decode_json(Slice message, json_t **ret_value) {
    Wire text;
    int r = peek_field(message, 1, &text);
    if (r < 0)
        return r;
    *ret_value = NULL;
    return text.bytes.len == 0 ? 0
                               : json_parse(text.bytes.data, text.bytes.len, NULL, 0, ret_value);
}

static int decode_strings(Slice message, json_t **ret_value) {
    _cleanup_json_ json_t *list = json_array();
    while (message.len > 0) {
        Wire wire;
        json_t *text;
        int r = take_field(&message, &wire);
        if (r == 0)
            r = decode_text(wire.bytes, &text);
        if (r < 0)
            return r;
        json_array_append_new(list, text);
    }
    *ret_value = json_incref(list);
    return 0;
}

static double as_double(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static int decode_message(const ProtoMessage *message, Slice bytes, unsigned depth, json_t *object);

static int decode_nested(const ProtoField *field, Slice bytes, unsigned depth, json_t **ret_value) {
    _cleanup_json_ json_t *object = json_object();
    int r = decode_message(&PROTO_MESSAGES[field->message], bytes, depth + 1, object);
    if (r == 0)
        *ret_value = json_incref(object);
    return r;
}

static bool wire_fits(const ProtoField *field, const Wire *wire) {
    switch ((ProtoKind)field->kind) {
    case PROTO_BOOL:
    case PROTO_INT:
        return wire->type == WIRE_VARINT;
    case PROTO_DOUBLE:
        return wire->type == WIRE_FIXED64;
    default:
        return wire->type == WIRE_BYTES;
    }
}

/* *ret_value may be NULL: nothing was said. */
static int decode_value(const ProtoField *field, const Wire *wire, unsigned depth,
                        json_t **ret_value) {
    if (!wire_fits(field, wire))
        return error_origin(-EINVAL, "protobuf: field %s has wire type %u",
                            field->name ? field->name : "-", wire->type);
    switch ((ProtoKind)field->kind) {
    case PROTO_STRING:
        return decode_text(wire->bytes, ret_value);
    case PROTO_BYTES: {
        _cleanup_free_ char *text = base64_encode(wire->bytes.data, wire->bytes.len);
        *ret_value = json_string(text);
        return 0;
    }
    case PROTO_BOOL:
        *ret_value = json_boolean(wire->value);
        return 0;
    case PROTO_INT:
        *ret_value = json_integer((int64_t)wire->value);
        return 0;
    case PROTO_DOUBLE:
        *ret_value = json_real(as_double(wire->value));
        return *ret_value ? 0 : error_origin(-EINVAL, "protobuf: a number is not finite");
    case PROTO_TIME:
    case PROTO_MICROTIME:
        return decode_time(wire->bytes, field->kind == PROTO_MICROTIME, ret_value);
    case PROTO_QUANTITY:
        return decode_quantity(wire->bytes, ret_value);
    case PROTO_INTORSTRING:
        return decode_int_or_string(wire->bytes, ret_value);
    case PROTO_JSON:
        return decode_json(wire->bytes, ret_value);
    case PROTO_STRINGS:
        return decode_strings(wire->bytes, ret_value);
    case PROTO_MESSAGE:
        return decode_nested(field, wire->bytes, depth, ret_value);
    }
    return error_origin(-EINVAL, "protobuf: no such kind of field");
}

static int decode_map_entry(const ProtoField *field, const Wire *wire, unsigned depth,
                            json_t *map) {
    Wire key, value;
    json_t *decoded = NULL;
    if (wire->type != WIRE_BYTES)
        return error_origin(-EINVAL, "protobuf: a map entry has wire type %u", wire->type);
    int r = peek_field(wire->bytes, 1, &key);
    if (r == 0)
        r = peek_field(wire->bytes, 2, &value);
    if (r < 0)
        return r;
    if (value.number == 0)
        value.type = WIRE_BYTES; /* an empty value is not written */
    _cleanup_json_ json_t *name = NULL;
    r = decode_text(key.bytes, &name);
    if (r == 0)
        r = decode_value(field, &value, depth, &decoded);
    if (r == 0)
        json_object_set_new(map, json_string_value(name), decoded ? decoded : json_null());
    return r;
}

static bool is_zero(const json_t *value) {
    switch (json_typeof(value)) {
    case JSON_STRING:
        return json_string_length(value) == 0;
    case JSON_INTEGER:
        return json_integer_value(value) == 0;
    case JSON_REAL:
        return json_real_value(value) == 0;
    case JSON_OBJECT:
        return json_object_size(value) == 0;
    case JSON_FALSE:
        return true;
    default:
        return false;
    }
}

static int decode_field(const ProtoField *field, const Wire *wire, unsigned depth, json_t *object) {
    json_t *value = NULL;
    if (field->shape == PROTO_MAP)
        return decode_map_entry(field, wire, depth, json_make_object(object, field->name));
    if (!field->name)
        return wire->type != WIRE_BYTES
                   ? error_origin(-EINVAL, "protobuf: an inline message has wire type %u",
                                  wire->type)
                   : decode_message(&PROTO_MESSAGES[field->message], wire->bytes, depth + 1,
                                    object);
    int r = decode_value(field, wire, depth, &value);
    if (r < 0 || !value)
        return r;
    if (field->shape == PROTO_LIST)
        json_array_append_new(json_make_array(object, field->name), value);
    else if (field->optional || !is_zero(value))
        json_object_set_new(object, field->name, value);
    else
        json_decref(value);
    return 0;
}

static const ProtoField *find_field(const ProtoMessage *message, uint32_t number) {
    for (size_t i = 0; i < message->len; i++)
        if (PROTO_FIELDS[message->first + i].number == number)
            return &PROTO_FIELDS[message->first + i];
    return NULL;
}

static int decode_message(const ProtoMessage *message, Slice bytes, unsigned depth,
                          json_t *object) {
    if (depth > DEPTH_MAX)
        return error_origin(-EINVAL, "protobuf: nested deeper than %d", DEPTH_MAX);
    while (bytes.len > 0) {
        Wire wire;
        int r = take_field(&bytes, &wire);
        if (r < 0)
            return r;
        const ProtoField *field = find_field(message, wire.number);
        if (field)
            r = decode_field(field, &wire, depth, object);
        if (r < 0)
            return r;
    }
    return 0;
}

static const ProtoMessage *find_message(const char *package, size_t package_len,
                                        const char *version, const char *kind) {
    _cleanup_free_ char *name = str_printf("%.*s.%s.%s", (int)package_len, package, version, kind);
    for (size_t i = 0; i < ARRAY_LEN(PROTO_MESSAGES); i++)
        if (str_eq(PROTO_MESSAGES[i].name, name))
            return &PROTO_MESSAGES[i];
    return NULL;
}

/* "v1" and Pod: core.v1.Pod; "rbac.authorization.k8s.io/v1" and Role: rbac.v1.Role. What every
 * group has (DeleteOptions) is in meta. */
static const ProtoMessage *message_of(const char *api_version, const char *kind) {
    const char *slash = strchr(api_version, '/');
    const char *version = slash ? slash + 1 : api_version;
    const ProtoMessage *message =
        slash ? find_message(api_version, strcspn(api_version, "./"), version, kind)
              : find_message("core", strlen("core"), version, kind);
    return message ? message : find_message("meta", strlen("meta"), "v1", kind);
}

int protobuf_decode(Slice bytes, json_t **ret_object) {
    static const char magic[] = { 'k', '8', 's', 0 };
    Wire meta, raw, version, kind;
    if (bytes.len < sizeof(magic) || memcmp(bytes.data, magic, sizeof(magic)) != 0)
        return error_origin(-EINVAL, "protobuf: the body does not begin with k8s");
    bytes.data += sizeof(magic);
    bytes.len -= sizeof(magic);
    int r = peek_field(bytes, 1, &meta);
    if (r == 0)
        r = peek_field(bytes, 2, &raw);
    if (r == 0)
        r = peek_field(meta.bytes, 1, &version);
    if (r == 0)
        r = peek_field(meta.bytes, 2, &kind);
    if (r < 0)
        return r;
    _cleanup_free_ char *version_text = str_dup_slice(version.bytes);
    _cleanup_free_ char *kind_text = str_dup_slice(kind.bytes);
    const ProtoMessage *message = message_of(version_text, kind_text);
    if (!message)
        return PROTOBUF_UNKNOWN_KIND;
    _cleanup_json_ json_t *object = json_object();
    r = decode_message(message, raw.bytes, 0, object);
    if (r < 0)
        return r;
    json_object_set_new(object, "apiVersion", json_string(version_text));
    json_object_set_new(object, "kind", json_string(kind_text));
    *ret_object = json_incref(object);
    return 0;
}
