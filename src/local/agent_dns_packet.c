/* SPDX-License-Identifier: Apache-2.0 */
#include "local/agent_dns_packet.h"

#include <arpa/inet.h>

#include "base/error.h"

enum {
    HEADER = 12,
    LABEL_MAX = 63,
    CLASS_IN = 1,
    TYPE_OPT = 41,
    FLAG_ANSWER = 0x8000,
    FLAG_OPCODE = 0x7800,
    FLAG_AUTHORITATIVE = 0x0400,
    FLAG_TRUNCATED = 0x0200,
    FLAG_RECURSION_WANTED = 0x0100,
    FLAG_RECURSION = 0x0080,
    POINTER_TO_QUESTION = 0xc000 | HEADER,
    EDNS_MOST = 4096
};

static uint16_t get16(const uint8_t *at) {
    return (uint16_t)(at[0] << 8 | at[1]);
}

static void put16(Buf *out, uint16_t value) {
    buf_add_char(out, (char)(value >> 8));
    buf_add_char(out, (char)value);
}

static int bad(const char *why) {
    return error_origin(-EPROTO, "DNS: %s", why);
}

/* Questions are never compressed. */
static int parse_name(const uint8_t *data, size_t len, size_t *at, char out[static DNS_NAME_MAX]) {
    size_t used = 0;
    for (;;) {
        if (*at >= len)
            return bad("the question is cut off");
        size_t label = data[(*at)++];
        if (!label)
            break;
        if (label > LABEL_MAX || *at + label > len)
            return bad("a label is too long");
        if (used + label + 1 >= DNS_NAME_MAX)
            return bad("the name is too long");
        for (size_t i = 0; i < label; i++) {
            char c = (char)data[*at + i];
            if (c == '.' || c == 0)
                return bad("a label holds a dot or a NUL");
            out[used++] = c;
        }
        out[used++] = '.';
        *at += label;
    }
    out[used ? used - 1 : 0] = 0;
    return 0;
}

/* The size in an OPT record right behind the question, where resolvers put it. */
static size_t edns_room(const uint8_t *data, size_t len, size_t at) {
    if (get16(data + 10) < 1 || at + 11 > len || data[at] != 0 || get16(data + at + 1) != TYPE_OPT)
        return DNS_UDP_MAX;
    return CLAMP((size_t)get16(data + at + 3), (size_t)DNS_UDP_MAX, (size_t)EDNS_MOST);
}

int dns_question_parse(const void *packet, size_t len, DnsQuestion *ret_question) {
    const uint8_t *data = packet;
    DnsQuestion question = { 0 };
    if (len < HEADER)
        return bad("shorter than a header");
    uint16_t flags = get16(data + 2);
    if (flags & FLAG_ANSWER || flags & FLAG_OPCODE || get16(data + 4) != 1 || get16(data + 6) ||
        get16(data + 8))
        return bad("not one plain question");
    size_t at = HEADER;
    int r = parse_name(data, len, &at, question.name);
    if (r < 0)
        return r;
    if (at + 4 > len || get16(data + at + 2) != CLASS_IN)
        return bad("not of class IN");
    question.id = get16(data);
    question.recursion = flags & FLAG_RECURSION_WANTED;
    question.type = get16(data + at);
    question.end = at + 4;
    question.room = edns_room(data, len, question.end);
    *ret_question = question;
    return 0;
}

void dns_answer_begin(const void *packet, const DnsQuestion *question, DnsCode code, Buf *out) {
    uint16_t flags = (uint16_t)(FLAG_ANSWER | FLAG_AUTHORITATIVE | FLAG_RECURSION | code);
    if (question->recursion)
        flags |= FLAG_RECURSION_WANTED;
    buf_clear(out);
    put16(out, question->id);
    put16(out, flags);
    put16(out, 1);
    put16(out, 0);
    put16(out, 0);
    put16(out, 0);
    buf_add(out, (const char *)packet + HEADER, question->end - HEADER);
}

static void count_one(Buf *out) {
    uint8_t *count = (uint8_t *)out->data + 6;
    uint16_t value = (uint16_t)(get16(count) + 1);
    count[0] = (uint8_t)(value >> 8);
    count[1] = (uint8_t)value;
}

static void add_record(Buf *out, DnsType type, const void *data, size_t len) {
    put16(out, POINTER_TO_QUESTION);
    put16(out, type);
    put16(out, CLASS_IN);
    put16(out, 0);
    put16(out, DNS_TTL_SECONDS);
    put16(out, (uint16_t)len);
    buf_add(out, data, len);
    count_one(out);
}

/* A name in wire form. */
static int encode_name(const char *name, Buf *out) {
    size_t start = out->len;
    for (const char *at = name; *at;) {
        size_t len = strcspn(at, ".");
        if (!len || len > LABEL_MAX)
            return error_origin(-EINVAL, "%s is no DNS name", name);
        buf_add_char(out, (char)len);
        buf_add(out, at, len);
        at += len + (at[len] == '.');
    }
    buf_add_char(out, 0);
    return out->len - start < DNS_NAME_MAX ? 0 : error_origin(-EINVAL, "%s is too long", name);
}

int dns_answer_address(Buf *out, const char *address) {
    struct in_addr in;
    if (inet_pton(AF_INET, address, &in) != 1)
        return error_origin(-EINVAL, "%s is no IPv4 address", address);
    add_record(out, DNS_A, &in, sizeof(in));
    return 0;
}

int dns_answer_server(Buf *out, uint16_t port, const char *target) {
    _cleanup_buf_ Buf data = { 0 };
    put16(&data, 0);
    put16(&data, 100);
    put16(&data, port);
    int r = encode_name(target, &data);
    if (r == 0)
        add_record(out, DNS_SRV, data.data, data.len);
    return r;
}

int dns_answer_alias(Buf *out, const char *target) {
    _cleanup_buf_ Buf data = { 0 };
    int r = encode_name(target, &data);
    if (r == 0)
        add_record(out, DNS_CNAME, data.data, data.len);
    return r;
}

void dns_answer_fit(Buf *out, const DnsQuestion *question, size_t room) {
    if (out->len <= room)
        return;
    out->len = question->end;
    uint8_t *header = (uint8_t *)out->data;
    header[2] |= FLAG_TRUNCATED >> 8;
    header[6] = header[7] = 0;
}
