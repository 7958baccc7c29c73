/* SPDX-License-Identifier: Apache-2.0 */

/* A question from any pod: what is read is inside the packet, and every answer to it is a message
 * that carries the question back and fits. */

#include "base/error.h"
#include "local/agent_dns_packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    DnsQuestion question;
    if (dns_question_parse(data, size, &question) < 0)
        return 0;
    ASSERT(question.end <= size && strlen(question.name) < DNS_NAME_MAX);
    ASSERT(question.room >= DNS_UDP_MAX);
    _cleanup_buf_ Buf out = { 0 };
    dns_answer_begin(data, &question, DNS_OK, &out);
    ASSERT(out.len == question.end && memcmp(out.data, data, 2) == 0);
    for (int i = 0; i < 40; i++)
        ASSERT(dns_answer_address(&out, "10.1.2.3") == 0);
    int r = dns_answer_alias(&out, question.name);
    ASSERT(r == 0 || r == -EINVAL);
    dns_answer_fit(&out, &question, DNS_UDP_MAX);
    ASSERT(out.len <= DNS_UDP_MAX || out.len == question.end);
    return 0;
}
