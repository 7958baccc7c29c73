/* SPDX-License-Identifier: Apache-2.0 */
#include <endian.h>

#include "base/test.h"
#include "codec/json.h"
#include "local/negotiate.h"
#include "local/protobuf.h"
#include "local/route.h"
#include "local/spdy.h"

static void test_route_of_resources(void **state) {
    Arena arena = { 0 };
    Route route;
    CHECK_OK(route_parse(&arena, "/api/v1/namespaces/a/pods/x/log?follow=true", &route));
    CHECK(route.is_resource);
    CHECK_STR(route.group, "");
    CHECK_STR(route.ns, "a");
    CHECK_STR(route.resource, "pods");
    CHECK_STR(route.name, "x");
    CHECK_STR(route.subresource, "log");
    CHECK_STR(route.query, "follow=true");
    CHECK_OK(route_parse(&arena, "/apis/ray.io/v1/rayclusters", &route));
    CHECK_STR(route.group, "ray.io");
    CHECK(route.name == NULL);
    CHECK_STR(route.ns, "");
    arena_done(&arena);
}

static void test_route_of_namespaces(void **state) {
    Arena arena = { 0 };
    Route route;
    CHECK_OK(route_parse(&arena, "/api/v1/namespaces/a", &route));
    CHECK_STR(route.resource, "namespaces");
    CHECK_STR(route.name, "a");
    CHECK_OK(route_parse(&arena, "/api/v1/namespaces/a/status", &route));
    CHECK_STR(route.resource, "namespaces");
    CHECK_STR(route.subresource, "status");
    CHECK_OK(route_parse(&arena, "/api/v1/namespaces/status/pods", &route));
    CHECK_STR(route.ns, "status");
    CHECK_STR(route.resource, "pods");
    CHECK_OK(route_parse(&arena, "/apis/batch", &route));
    CHECK(!route.is_resource);
    arena_done(&arena);
}

static void test_route_of_proxies(void **state) {
    Arena arena = { 0 };
    Route route;
    CHECK_OK(
        route_parse(&arena, "/api/v1/namespaces/n/services/http:s:dash/proxy/a%20b/c?x=1", &route));
    CHECK_STR(route.name, "http:s:dash");
    CHECK_STR(route.subresource, "proxy");
    CHECK_STR(route.rest, "/a%20b/c");
    CHECK_INT(route_parse(&arena, "/api/v1/pods/%zz", &route), -EINVAL);
    CHECK_INT(route_parse(&arena, "/api/v1/pods/%00", &route), -EINVAL);
    arena_done(&arena);
}

static void test_accept(void **state) {
    Accept accept;
    CHECK_OK(
        accept_parse("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", &accept));
    CHECK_INT(accept.shape, ACCEPT_TABLE);
    CHECK_OK(accept_parse("application/vnd.kubernetes.protobuf, application/json", &accept));
    CHECK_INT(accept.shape, ACCEPT_OBJECT);
    CHECK_OK(accept_parse("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
                          &accept));
    CHECK_INT(accept.shape, ACCEPT_DISCOVERY);
    CHECK_STR(accept.discovery_version, "v2");
    CHECK_INT(accept_parse("application/vnd.kubernetes.protobuf", &accept), NEGOTIATE_NONE);
    BodyKind kind;
    CHECK_OK(body_kind_parse("application/json; charset=utf-8", &kind));
    CHECK_INT(kind, BODY_JSON);
    CHECK_INT(body_kind_parse("application/cbor", &kind), NEGOTIATE_NONE);
}

static void test_protobuf(void **state) {
    /* kubectl create namespace foo: zero values are left out as JSON would. */
    Slice body = SLICE("\x6b\x38\x73\x00\x0a\x0f\x0a\x02\x76\x31\x12\x09\x4e\x61\x6d\x65\x73\x70"
                       "\x61\x63\x65\x12\x17\x0a\x0f\x0a\x03\x66\x6f\x6f\x12\x00\x1a\x00\x2a\x00"
                       "\x38\x00\x42\x00\x12\x00\x1a\x02\x0a\x00\x1a\x00\x22\x00");
    _cleanup_json_ json_t *object = NULL;
    CHECK_OK(protobuf_decode(body, &object));
    _cleanup_free_ char *text = json_text(object, JSON_SORTED);
    CHECK_STR(text,
              "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"foo\"}}");
    json_t *none;
    CHECK_INT(protobuf_decode(SLICE("k8s"), &none), -EINVAL);
    CHECK_INT(protobuf_decode(SLICE("k8s\0\n\x05\n\x03xyz"), &none), PROTOBUF_UNKNOWN_KIND);
}

typedef struct SpdySeen {
    Buf sent;
    char text[256];
} SpdySeen;

static void seen_send(void *ctx, Slice bytes) {
    SpdySeen *seen = ctx;
    buf_add(&seen->sent, bytes.data, bytes.len);
}

static void seen_opened(void *ctx, uint32_t stream, const HttpHeaders *headers, bool ends) {
    SpdySeen *seen = ctx;
    const char *type = http_headers_get(headers, "streamtype");
    snprintf(seen->text, sizeof(seen->text), "open %u %s", stream, type ? type : "-");
}

static void seen_data(void *ctx, uint32_t stream, Slice data, bool ends) {
    SpdySeen *seen = ctx;
    snprintf(seen->text, sizeof(seen->text), "data %u %.*s%s", stream, (int)data.len, data.data,
             ends ? " end" : "");
}

static void seen_reset(void *ctx, uint32_t stream) {
    SpdySeen *seen = ctx;
    snprintf(seen->text, sizeof(seen->text), "reset %u", stream);
}

static const SpdyEvents SEEN = { seen_send, seen_opened, seen_data, seen_reset };

static void test_spdy_data(void **state) {
    SpdySeen seen = { 0 }, back = { 0 };
    Spdy *spdy = spdy_new(&SEEN, &seen), *other = spdy_new(&SEEN, &back);
    spdy_data(spdy, 3, SLICE("hello"), true);
    /* Byte for byte: frames may be cut anywhere. */
    for (size_t i = 0; i < seen.sent.len; i++)
        CHECK_OK(spdy_feed(other, (Slice){ seen.sent.data + i, 1 }));
    CHECK_STR(back.text, "data 3 hello end");
    buf_clear(&seen.sent);
    spdy_reset(spdy, 5);
    CHECK_OK(spdy_feed(other, buf_slice(&seen.sent)));
    CHECK_STR(back.text, "reset 5");
    buf_done(&seen.sent);
    spdy_free(spdy);
    spdy_free(other);
}

static void test_spdy_headers(void **state) {
    /* SYN_STREAM 1 with streamtype=error, port=8080, requestid=0, compressed. */
    static const char frame[] =
        "\x80\x03\x00\x01\x00\x00\x00\x3d\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"
        "\x78\xf9\xe3\xc6\xa7\xc2\x02\x25\x3a\x70\x3a\x2b\x29\x4a\x4d\xcc\x85\x16"
        "\x25\xac\xa9\xa0\x80\x86\x14\xcb\x45\xe0\x1c\x60\x61\x60\x61\x00\xa4\x39"
        "\x8b\x20\xd1\x98\x09\x4a\xde\x8c\x06\x00\x00\x00\x00\xff\xff";
    SpdySeen seen = { 0 };
    Spdy *spdy = spdy_new(&SEEN, &seen);
    CHECK_OK(spdy_feed(spdy, (Slice){ frame, sizeof(frame) - 1 }));
    CHECK_STR(seen.text, "open 1 error");
    spdy_free(spdy);
    buf_done(&seen.sent);
}

static void test_spdy_refuses_nonsense(void **state) {
    SpdySeen seen = { 0 };
    Spdy *spdy = spdy_new(&SEEN, &seen);
    CHECK_INT(spdy_feed(spdy, SLICE("\x00\x00\x00\x01\x00\xff\xff\xff")), -EPROTO);
    spdy_free(spdy);
    spdy = spdy_new(&SEEN, &seen);
    CHECK_INT(spdy_feed(spdy, SLICE("\x80\x02\x00\x01\x00\x00\x00\x00")), -EPROTO);
    spdy_free(spdy);
    spdy = spdy_new(&SEEN, &seen);
    CHECK_INT(spdy_feed(spdy, SLICE("\x80\x03\x00\x01\x00\x00\x00\x0e"
                                    "\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"
                                    "nope")),
              -EPROTO);
    spdy_free(spdy);
    buf_done(&seen.sent);
}

int main(void) {
    return TEST_RUN(TEST(test_route_of_resources), TEST(test_route_of_namespaces),
                    TEST(test_route_of_proxies), TEST(test_accept), TEST(test_protobuf),
                    TEST(test_spdy_data), TEST(test_spdy_headers),
                    TEST(test_spdy_refuses_nonsense));
}
