/* SPDX-License-Identifier: Apache-2.0 */

/* Services as rules, variables and names; DNS messages; volumes on disk; container specs. */

#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/test.h"
#include "local/agent_container.h"
#include "local/agent_dns_packet.h"
#include "local/agent_service.h"
#include "local/agent_volume.h"

typedef struct World {
    json_t *services, *slices; /* arrays */
} World;

static const json_t *next(void *ctx, size_t *pos) {
    World *world = ctx;
    return json_array_get(world->services, (*pos)++);
}

static const json_t *get(void *ctx, const char *ns, const char *name) {
    World *world = ctx;
    size_t i;
    json_t *service;
    json_array_foreach(world->services, i, service)
        if (str_eq(json_str_at(service, "metadata", "namespace"), ns) &&
            str_eq(json_str_at(service, "metadata", "name"), name))
            return service;
    return NULL;
}

static json_t *const *slices(void *ctx, const char *ns, const char *name, size_t *ret_count) {
    static json_t *found[8];
    World *world = ctx;
    size_t i, count = 0;
    json_t *slice;
    _cleanup_free_ char *wanted = str_printf("%s/%s", ns, name);
    json_array_foreach(world->slices, i, slice) {
        _cleanup_free_ char *key = service_slice_key(slice);
        if (str_eq(key, wanted))
            found[count++] = slice;
    }
    *ret_count = count;
    return found;
}

static World world_new(void) {
    static const char services_text[] =
        "[{\"metadata\":{\"name\":\"web-x\",\"namespace\":\"n\"},\"spec\":{\"clusterIP\":"
        "\"10.96.0.7\",\"ports\":[{\"name\":\"http\",\"port\":80,\"nodePort\":30080}]}},"
        "{\"metadata\":{\"name\":\"head\",\"namespace\":\"n\"},\"spec\":{\"clusterIP\":\"None\","
        "\"ports\":[{\"name\":\"gcs\",\"port\":6379}]}},"
        "{\"metadata\":{\"name\":\"empty\",\"namespace\":\"m\"},\"spec\":{\"clusterIP\":"
        "\"10.96.0.8\",\"ports\":[{\"port\":53,\"protocol\":\"UDP\"}]}},"
        "{\"metadata\":{\"name\":\"out\",\"namespace\":\"n\"},\"spec\":{\"type\":\"ExternalName\","
        "\"externalName\":\"example.com\"}}]";
    static const char slices_text[] =
        "[{\"metadata\":{\"name\":\"w\",\"namespace\":\"n\",\"labels\":{"
        "\"kubernetes.io/service-name\":\"web-x\"}},\"ports\":[{\"name\":\"http\",\"port\":8080}],"
        "\"endpoints\":[{\"addresses\":[\"10.88.0.5\"],\"conditions\":{\"ready\":true}},"
        "{\"addresses\":[\"10.88.0.6\"],\"conditions\":{\"ready\":false}},"
        "{\"addresses\":[\"10.88.0.7\"]},{\"addresses\":[\"1; drop\"]}]},"
        "{\"metadata\":{\"name\":\"h\",\"namespace\":\"n\",\"labels\":{"
        "\"kubernetes.io/service-name\":\"head\"}},\"ports\":[{\"name\":\"gcs\",\"port\":6379}],"
        "\"endpoints\":[{\"addresses\":[\"10.88.0.9\"],\"hostname\":\"h0\"}]}]";
    World world;
    CHECK_OK(json_parse(services_text, strlen(services_text), NULL, 0, &world.services));
    CHECK_OK(json_parse(slices_text, strlen(slices_text), NULL, 0, &world.slices));
    return world;
}

static void world_done(World *world) {
    json_decref(world->services);
    json_decref(world->slices);
}

static void test_rules(void **state) {
    UNUSED(state);
    _cleanup_(world_done) World world = world_new();
    ServiceView view = { next, get, slices, &world };
    ServicePorts ports = { 0 };
    service_rules(&view, &ports);
    CHECK_INT(ports.len, 2);
    CHECK_INT(ports.items[0].targets.len, 2);
    CHECK_STR(ports.items[0].targets.items[1].address, "10.88.0.7");
    CHECK(ports.items[1].udp && ports.items[1].targets.len == 0);
    AgentNetwork network = { .tag = "t",
                             .bridge = "mb-t",
                             .pod_range = (char *)(uintptr_t)"10.88.0.0/16" };
    _cleanup_free_ char *nft = network_rules_nft(&network, &ports);
    _cleanup_free_ char *iptables = network_rules_iptables(&network, &ports);
    CHECK(strstr(nft, "10.96.0.7 . tcp . 80 : goto svc0"));
    CHECK(strstr(nft, "meta l4proto tcp dnat to numgen random mod 2 map { 0 : 10.88.0.5 . 8080, 1 "
                      ": 10.88.0.7 . 8080 }"));
    CHECK(strstr(nft, "ip daddr 10.96.0.8 udp dport 53 reject"));
    CHECK(!strstr(nft, "drop\n  }\n  chain svc") && !strstr(nft, "1; drop"));
    CHECK(strstr(iptables, "-d 10.96.0.7/32 -p tcp --dport 80 -m statistic --mode random "
                           "--probability 0.500000 -j DNAT --to-destination 10.88.0.5:8080"));
    CHECK(strstr(nft, "elements = {\n      tcp . 30080 : goto svc0\n    }"));
    CHECK(strstr(iptables, "-m addrtype --dst-type LOCAL -p tcp --dport 30080 -m statistic"));
    /* Sources are rewritten where a service was translated to, and nowhere else. */
    CHECK(strstr(nft, "    ct status & dnat == dnat ip saddr . ip daddr @hairpin masquerade\n"));
    CHECK(strstr(iptables, "-s 10.88.0.5/32 -d 10.88.0.5/32 -m conntrack --ctstate DNAT -j MASQ"));
    service_ports_done(&ports);
}

static void test_variables(void **state) {
    UNUSED(state);
    _cleanup_(world_done) World world = world_new();
    ServiceView view = { next, get, slices, &world };
    _cleanup_strlist_ StrList env = { 0 };
    service_variables(&view, "n", &env);
    CHECK(strlist_has(&env, "WEB_X_SERVICE_HOST=10.96.0.7"));
    CHECK(strlist_has(&env, "WEB_X_SERVICE_PORT_HTTP=80"));
    CHECK(strlist_has(&env, "WEB_X_PORT_80_TCP_ADDR=10.96.0.7"));
    CHECK(strlist_has(&env, "WEB_X_PORT=tcp://10.96.0.7:80"));
    for (size_t i = 0; i < env.len; i++)
        CHECK(!str_starts(env.items[i], "HEAD_") && !str_starts(env.items[i], "EMPTY_"));
}

static void check_name(const ServiceView *view, const char *name, NameKind kind,
                       const char *address) {
    NameAnswer answer;
    service_name(view, "cluster.local", name, &answer);
    CHECK_INT(answer.kind, kind);
    CHECK_INT(answer.addresses.len, address != NULL);
    if (address)
        CHECK_STR(answer.addresses.items[0], address);
    name_answer_done(&answer);
}

static void test_names(void **state) {
    UNUSED(state);
    _cleanup_(world_done) World world = world_new();
    ServiceView view = { next, get, slices, &world };
    check_name(&view, "web-x.n.svc.cluster.local", NAME_ADDRESSES, "10.96.0.7");
    check_name(&view, "WEB-X.n.svc.Cluster.Local", NAME_ADDRESSES, "10.96.0.7");
    check_name(&view, "head.n.svc.cluster.local", NAME_ADDRESSES, "10.88.0.9");
    check_name(&view, "h0.head.n.svc.cluster.local", NAME_ADDRESSES, "10.88.0.9");
    check_name(&view, "h1.head.n.svc.cluster.local", NAME_UNKNOWN, NULL);
    check_name(&view, "10-88-0-9.n.pod.cluster.local", NAME_ADDRESSES, "10.88.0.9");
    check_name(&view, "out.n.svc.cluster.local", NAME_ALIAS, NULL);
    check_name(&view, "_gcs._tcp.head.n.svc.cluster.local", NAME_SERVERS, "10.88.0.9");
    check_name(&view, "web-x.m.svc.cluster.local", NAME_UNKNOWN, NULL);
    check_name(&view, "pypi.org.n.svc.cluster.local", NAME_UNKNOWN, NULL);
    check_name(&view, "a.b.c.d.e.f.g.h.i.cluster.local", NAME_UNKNOWN, NULL);
    check_name(&view, "pypi.org", NAME_OUTSIDE, NULL);
    check_name(&view, "cluster.local", NAME_OUTSIDE, NULL);
    check_name(&view, "xcluster.local", NAME_OUTSIDE, NULL);
}

static void test_dns_packets(void **state) {
    UNUSED(state);
    static const uint8_t ask[] = { 0x12, 0x34, 0x01, 0x00, 0, 1,   0,   0, 0, 0, 0, 0,
                                   3,    'a',  'b',  'c',  2, 'd', 'e', 0, 0, 1, 0, 1 };
    DnsQuestion question;
    CHECK_OK(dns_question_parse(ask, sizeof(ask), &question));
    CHECK_STR(question.name, "abc.de");
    CHECK_INT(question.type, DNS_A);
    CHECK_INT(question.room, DNS_UDP_MAX);
    _cleanup_buf_ Buf out = { 0 };
    dns_answer_begin(ask, &question, DNS_OK, &out);
    CHECK_OK(dns_answer_address(&out, "10.0.0.1"));
    static const uint8_t want[] = { 0x12, 0x34, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0 };
    CHECK_MEM(out.data, want, sizeof(want));
    CHECK_INT(out.len, sizeof(ask) + 16);
    CHECK_MEM(out.data + out.len - 6, "\x00\x04\x0a\x00\x00\x01", 6);
    for (int i = 0; i < 100; i++)
        CHECK_OK(dns_answer_address(&out, "10.0.0.2"));
    dns_answer_fit(&out, &question, DNS_UDP_MAX);
    CHECK(out.len <= DNS_UDP_MAX && (out.data[2] & 2));
    for (size_t len = 0; len < sizeof(ask); len++) /* every way to cut it off */
        CHECK_INT(dns_question_parse(ask, len, &question), -EPROTO);
    uint8_t bad[sizeof(ask)];
    memcpy(bad, ask, sizeof(ask));
    bad[12] = 0xc0; /* a pointer has no place in a question */
    CHECK_INT(dns_question_parse(bad, sizeof(bad), &question), -EPROTO);
}

static void add(VolumeFiles *files, const char *path, const char *text) {
    vec_push(files, (VolumeFile){ str_dup(path), str_dup(text), strlen(text), 0644 });
}

static bool file_is(const char *dir, const char *name, const char *text) {
    _cleanup_free_ char *path = str_printf("%s/%s", dir, name);
    _cleanup_buf_ Buf content = { 0 };
    if (file_read(path, 1000, &content) < 0)
        return text == NULL;
    return text && slice_eq_str(buf_slice(&content), text);
}

static void test_volume_is_replaced_whole(void **state) {
    UNUSED(state);
    char dir[] = "/tmp/agent_volume_test.XXXXXX";
    CHECK(mkdtemp(dir) != NULL);
    char before[256] = { 0 }, after[256] = { 0 };
    _cleanup_free_ char *data = str_printf("%s/..data", dir);
    VolumeFiles files = { 0 };
    add(&files, "a", "1");
    add(&files, "deep/er/b", "2");
    CHECK_OK(volume_write(dir, &files, -1));
    CHECK(file_is(dir, "a", "1") && file_is(dir, "deep/er/b", "2"));
    CHECK(readlink(data, before, sizeof(before) - 1) > 0);
    CHECK_OK(volume_write(dir, &files, -1)); /* nothing new: nothing happens */
    CHECK(readlink(data, after, sizeof(after) - 1) > 0);
    CHECK_STR(before, after);
    volume_files_done(&files);
    add(&files, "c", "3");
    CHECK_OK(volume_write(dir, &files, -1));
    CHECK(file_is(dir, "c", "3") && file_is(dir, "a", NULL) && file_is(dir, "deep/er/b", NULL));
    add(&files, "../../etc/x", "no");
    CHECK_INT(volume_write(dir, &files, -1), -EINVAL);
    CHECK(file_is(dir, "c", "3"));
    volume_files_done(&files);
    CHECK_OK(dir_remove(dir));
}

static void test_container_spec_round_trip(void **state) {
    UNUSED(state);
    _cleanup_container_spec_ ContainerSpec spec = { .uid = 1000,
                                                    .capabilities =
                                                        container_capabilities_default(),
                                                    .log_files = 5,
                                                    .log_max = 7,
                                                    .read_only_root = true },
                                           back = { 0 };
    strlist_add(&spec.argv, "sh");
    strlist_add(&spec.env, "A=1");
    spec.log = str_dup("/x/log");
    vec_push(&spec.groups, 5);
    vec_push(&spec.mounts, (ContainerMount){ .target = str_dup("/m"), .size = 9 });
    _cleanup_json_ json_t *json = container_spec_encode(&spec);
    CHECK_OK(container_spec_decode(json, &back));
    _cleanup_json_ json_t *again = container_spec_encode(&back);
    CHECK(json_equal(json, again));
    json_set_at(json, json_string("relative"), "cwd");
    json_object_del(json, "argv");
    CHECK_INT(container_spec_decode(json, &(ContainerSpec){ 0 }), -EINVAL);
    CHECK_INT(container_capability_bits("CAP_NET_ADMIN"), 1 << 12);
    CHECK_INT(container_capability_bits("nonsense"), 0);
}

int main(void) {
    return TEST_RUN(TEST(test_rules), TEST(test_variables), TEST(test_names),
                    TEST(test_dns_packets), TEST(test_volume_is_replaced_whole),
                    TEST(test_container_spec_round_trip));
}
