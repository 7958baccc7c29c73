/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* DNS messages (RFC 1035), as far as a responder for one domain needs them. Pure and fuzzed. */

#include "base/str.h"

enum {
    DNS_NAME_MAX = 256,
    DNS_UDP_MAX = 512, /* of an answer, unless the question allows more (EDNS) */
    DNS_PACKET_MAX = 65535,
    DNS_TTL_SECONDS = 5
};

typedef enum DnsType {
    DNS_A = 1,
    DNS_CNAME = 5,
    DNS_AAAA = 28,
    DNS_SRV = 33,
    DNS_ANY = 255
} DnsType;

typedef enum DnsCode {
    DNS_OK = 0,
    DNS_FORMAT_ERROR = 1,
    DNS_SERVER_FAILURE = 2,
    DNS_NO_NAME = 3,
    DNS_REFUSED = 5
} DnsCode;

typedef struct DnsQuestion {
    uint16_t id, type;
    bool recursion;
    char name[DNS_NAME_MAX]; /* without the last dot; as asked */
    size_t end;              /* of the question in the message */
    size_t room;             /* the largest answer the asker takes over UDP */
} DnsQuestion;

/* Exactly one question of class IN, no answer. -EPROTO else. */
_must_check_ int dns_question_parse(const void *packet, size_t len, DnsQuestion *ret_question);

/* The answer's beginning: header and the question as it came in `packet`. */
void dns_answer_begin(const void *packet, const DnsQuestion *question, DnsCode code, Buf *out);
/* Records of the question's name. Adding nothing is an answer too: the name has none of that type. */
_must_check_ int dns_answer_address(Buf *out, const char *address); /* IPv4 text */
_must_check_ int dns_answer_server(Buf *out, uint16_t port, const char *target);
_must_check_ int dns_answer_alias(Buf *out, const char *target);
/* Cuts to `room` with the truncation bit set if it is longer (whole records go). */
void dns_answer_fit(Buf *out, const DnsQuestion *question, size_t room);
