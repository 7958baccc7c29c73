/* SPDX-License-Identifier: Apache-2.0 */

/* What the agent decides without touching anything: environment, probes, back-off, status, logs,
 * nodes. */

#include <stdlib.h>
#include <unistd.h>

#include "base/test.h"
#include "local/agent_env.h"
#include "local/agent_log.h"
#include "local/agent_nodes.h"
#include "local/agent_probe.h"
#include "local/agent_status.h"

static json_t *parse(const char *text) {
    json_t *json;
    CHECK_OK(json_parse(text, strlen(text), NULL, 0, &json));
    return json;
}

static PodDef pod_of(const char *text) {
    _cleanup_json_ json_t *json = parse(text);
    PodDef def;
    CHECK_OK(pod_def_parse(json, &def));
    return def;
}

static const char env_pod[] =
    "{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\",\"uid\":\"u\",\"labels\":{\"a/b\":\"lab\"}},"
    "\"spec\":{\"containers\":[{\"name\":\"c\",\"command\":[\"sh\",\"$(A)\",\"$$(A)\",\"$(NONE)\"],"
    "\"args\":[\"$(B)\"],"
    "\"resources\":{\"limits\":{\"cpu\":\"1500m\",\"memory\":\"64Mi\"}},"
    "\"envFrom\":[{\"prefix\":\"X_\",\"configMapRef\":{\"name\":\"cm\"}},"
    "{\"secretRef\":{\"name\":\"none\",\"optional\":true}}],"
    "\"env\":[{\"name\":\"A\",\"value\":\"1\"},{\"name\":\"B\",\"value\":\"$(A)-$(BASE)\"},"
    "{\"name\":\"IP\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"status.podIP\"}}},"
    "{\"name\":\"L\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"metadata.labels['a/b']\"}}},"
    "{\"name\":\"CPU\",\"valueFrom\":{\"resourceFieldRef\":{\"resource\":\"limits.cpu\"}}},"
    "{\"name\":\"MEM\",\"valueFrom\":{\"resourceFieldRef\":{\"resource\":\"limits.memory\","
    "\"divisor\":\"1Mi\"}}},"
    "{\"name\":\"S\",\"valueFrom\":{\"secretKeyRef\":{\"name\":\"sec\",\"key\":\"k\"}}},"
    "{\"name\":\"O\",\"valueFrom\":{\"configMapKeyRef\":{\"name\":\"cm\",\"key\":\"no\","
    "\"optional\":true}}}]}]}}";

static const json_t *test_object(void *ctx, const char *kind, const char *name) {
    json_t *objects = ctx;
    _cleanup_free_ char *key = str_printf("%s/%s", kind, name);
    return json_object_get(objects, key);
}

static void test_environment(void **state) {
    UNUSED(state);
    PodDef pod = pod_of(env_pod);
    _cleanup_json_ json_t *objects =
        parse("{\"ConfigMap/cm\":{\"data\":{\"one\":\"1\",\"bad key\":\"x\"}},"
              "\"Secret/sec\":{\"data\":{\"k\":\"c2VjcmV0\"}}}");
    _cleanup_strlist_ StrList base = { 0 }, env = { 0 }, argv = { 0 };
    strlist_add(&base, "BASE=base");
    strlist_add(&base, "A=overridden");
    EnvSource source = {
        .pod = &pod, .pod_ip = "10.0.0.9", .base = &base, .object = test_object, .ctx = objects
    };
    CHECK_OK(env_resolve(&source, &pod.containers.items[0], &env));
    CHECK_STR(env_get(&env, "A"), "1");
    CHECK_STR(env_get(&env, "B"), "1-base");
    CHECK_STR(env_get(&env, "IP"), "10.0.0.9");
    CHECK_STR(env_get(&env, "L"), "lab");
    CHECK_STR(env_get(&env, "CPU"), "2");
    CHECK_STR(env_get(&env, "MEM"), "64");
    CHECK_STR(env_get(&env, "S"), "secret");
    CHECK_STR(env_get(&env, "X_one"), "1");
    CHECK(!env_get(&env, "X_bad key") && !env_get(&env, "O"));
    CHECK_OK(env_command(&pod.containers.items[0], &env, &argv));
    CHECK_INT(argv.len, 5);
    CHECK_STR(argv.items[1], "1");
    CHECK_STR(argv.items[2], "$(A)");
    CHECK_STR(argv.items[3], "$(NONE)");
    CHECK_STR(argv.items[4], "1-base");
    json_object_del(objects, "Secret/sec");
    _cleanup_strlist_ StrList none = { 0 };
    CHECK_INT(env_resolve(&source, &pod.containers.items[0], &none), -ENOENT);
    CHECK_STR(error_text(-ENOENT), "secret \"sec\" not found");
    pod_def_done(&pod);
}

static void test_command_is_needed(void **state) {
    UNUSED(state);
    PodDef pod = pod_of("{\"metadata\":{\"name\":\"p\",\"uid\":\"u\"},\"spec\":{\"containers\":"
                        "[{\"name\":\"c\",\"args\":[\"x\"]}]}}");
    _cleanup_strlist_ StrList env = { 0 }, argv = { 0 };
    CHECK_INT(env_command(&pod.containers.items[0], &env, &argv), -EINVAL);
    pod_def_done(&pod);
}

static void test_hostile_pods_are_refused(void **state) {
    UNUSED(state);
    static const char *const bad[] = {
        "{}",
        "{\"metadata\":{\"name\":\"p\",\"uid\":\"../x\"}}",
        "{\"metadata\":{\"name\":\"p\",\"uid\":\"u\"},\"spec\":{\"containers\":[{}]}}",
        "{\"metadata\":{\"name\":\"p\",\"uid\":\"u\"},\"spec\":{\"containers\":[{\"name\":\"c\","
        "\"livenessProbe\":{\"httpGet\":{\"port\":\"none\"}}}]}}",
        "{\"metadata\":{\"name\":\"p\",\"uid\":\"u\"},\"spec\":{\"containers\":[{\"name\":\"c\","
        "\"livenessProbe\":{\"tcpSocket\":{\"port\":70000}}}]}}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        _cleanup_json_ json_t *json = parse(bad[i]);
        PodDef def;
        CHECK_INT(pod_def_parse(json, &def), -EINVAL);
    }
}

static void test_probe_thresholds(void **state) {
    UNUSED(state);
    ProbeSpec spec = { .present = true,
                       .initial_delay = 5 * USEC_PER_SEC,
                       .period = 10 * USEC_PER_SEC,
                       .success_threshold = 2,
                       .failure_threshold = 3 };
    ProbeState probe;
    usec_t now = 100 * USEC_PER_SEC;
    probe_begin(&probe, &spec, PROBE_FAILURE, now);
    CHECK(!probe_due(&probe, now) && probe_due(&probe, now + 5 * USEC_PER_SEC));
    /* answers: two successes in a row count, a failure between them starts over */
    static const struct {
        bool ok, changes;
    } answers[] = { { true, false },  { false, false }, { true, false },  { true, true },
                    { true, false },  { false, false }, { false, false }, { true, false },
                    { false, false }, { false, false }, { false, true } };
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        now = probe.next;
        CHECK(probe_due(&probe, now));
        probe_asked(&probe);
        CHECK(!probe_due(&probe, now + USEC_PER_MIN));
        CHECK_INT(probe_answer(&probe, &spec, answers[i].ok, now), answers[i].changes);
        CHECK_INT(probe.next, now + spec.period);
    }
    /* A slow answer does not make the next question late twice. */
    probe_asked(&probe);
    CHECK(!probe_answer(&probe, &spec, false, now + 25 * USEC_PER_SEC));
    CHECK_INT(probe.next, now + 25 * USEC_PER_SEC);
}

static void test_backoff(void **state) {
    UNUSED(state);
    static const int seconds[] = { 0, 10, 20, 40, 80, 160, 300, 300 };
    usec_t memory = 0;
    for (size_t i = 0; i < ARRAY_LEN(seconds); i++)
        CHECK_INT(backoff_wait(&memory, USEC_PER_SEC), seconds[i] * USEC_PER_SEC);
    CHECK_INT(backoff_wait(&memory, 11 * USEC_PER_MIN), 0);
    CHECK_INT(backoff_wait(&memory, USEC_PER_SEC), 10 * USEC_PER_SEC);
}

static const char status_pod[] =
    "{\"metadata\":{\"name\":\"p\",\"uid\":\"u\"},\"spec\":{\"restartPolicy\":\"%s\","
    "\"initContainers\":[{\"name\":\"i\"},{\"name\":\"s\",\"restartPolicy\":\"Always\"}],"
    "\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]}}";

typedef struct PhaseCase {
    const char *restart;
    RunRecord runs[4];
    bool finished;
    PodPhase phase;
} PhaseCase;

#define WAITING                                                                                    \
    {                                                                                              \
        .now = {.state = RUN_WAITING }                                                             \
    }
#define CRASHED { .now = { .state = RUN_WAITING }, .has_last = true }
#define RUNNING { .now = { .state = RUN_RUNNING }, .started = true, .ready = true }
#define ENDED   { .now = { .state = RUN_TERMINATED, .exit_code = 143 }, .ever_started = true }
#define EXIT(n)                                                                                    \
    {                                                                                              \
        .now = {.state = RUN_TERMINATED, .exit_code = n }                                          \
    }

static void test_phases(void **state) {
    UNUSED(state);
    static const PhaseCase cases[] = {
        { "Always", { WAITING, WAITING, WAITING, WAITING }, false, POD_PENDING },
        { "Always", { RUNNING, WAITING, WAITING, WAITING }, false, POD_PENDING },
        { "Never", { EXIT(1), WAITING, WAITING, WAITING }, false, POD_FAILED },
        { "OnFailure", { EXIT(1), WAITING, WAITING, WAITING }, false, POD_PENDING },
        { "Always", { EXIT(0), RUNNING, RUNNING, WAITING }, false, POD_PENDING },
        { "Always", { EXIT(0), RUNNING, RUNNING, RUNNING }, false, POD_RUNNING },
        { "Always", { EXIT(0), RUNNING, RUNNING, CRASHED }, false, POD_RUNNING },
        { "Always", { EXIT(0), RUNNING, EXIT(0), EXIT(0) }, false, POD_RUNNING },
        { "Never", { EXIT(0), RUNNING, EXIT(0), EXIT(0) }, false, POD_RUNNING },
        { "Never", { EXIT(0), ENDED, EXIT(0), EXIT(0) }, false, POD_SUCCEEDED },
        { "Never", { EXIT(0), ENDED, EXIT(0), EXIT(2) }, false, POD_FAILED },
        { "Never", { EXIT(0), RUNNING, RUNNING, EXIT(2) }, false, POD_RUNNING },
        { "OnFailure", { EXIT(0), RUNNING, EXIT(0), EXIT(2) }, false, POD_RUNNING },
        { "Always", { EXIT(0), EXIT(0), EXIT(143), EXIT(143) }, true, POD_FAILED },
        { "Always", { WAITING, WAITING, WAITING, WAITING }, true, POD_FAILED },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[1024];
        snprintf(
            text, sizeof(text),
            "{\"metadata\":{\"name\":\"p\",\"uid\":\"u\"},\"spec\":{\"restartPolicy\":\"%s\"%s",
            cases[i].restart, strstr(status_pod, ",\"initContainers"));
        PodDef pod = pod_of(text);
        PodRecord record = { .runs = cases[i].runs, .finished = cases[i].finished };
        CHECK_INT(status_phase(&pod, &record), cases[i].phase);
        pod_def_done(&pod);
    }
}

static const json_t *condition(const json_t *status, const char *type) {
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(status, "conditions"), i, item)
        if (str_eq(json_str_at(item, "type"), type))
            return item;
    fail_msg("no condition %s", type);
    return NULL;
}

static void test_conditions(void **state) {
    UNUSED(state);
    PodDef pod = pod_of("{\"metadata\":{\"name\":\"p\",\"uid\":\"u\"},\"spec\":{\"containers\":"
                        "[{\"name\":\"a\"},{\"name\":\"b\"}]}}");
    RunRecord runs[] = { RUNNING, RUNNING };
    runs[1].ready = false;
    PodRecord record = { .runs = runs, .sandbox_ready = true, .pod_ip = "10.0.0.1" };
    usec_t now = 1763805093 * USEC_PER_SEC;
    _cleanup_json_ json_t *first = status_compute(&pod, &record, NULL, now);
    CHECK_STR(json_str_at(condition(first, "Ready"), "status"), "False");
    CHECK_STR(json_str_at(condition(first, "Ready"), "message"),
              "containers with unready status: [b]");
    CHECK_STR(json_str_at(condition(first, "Initialized"), "status"), "True");
    CHECK_STR(json_str_at(first, "qosClass"), "BestEffort");
    runs[1].ready = true;
    _cleanup_json_ json_t *second = status_compute(&pod, &record, first, now + 60 * USEC_PER_SEC);
    CHECK_STR(json_str_at(condition(second, "Ready"), "status"), "True");
    CHECK_STR(json_str_at(condition(second, "Ready"), "lastTransitionTime"),
              "2025-11-22T09:52:33Z");
    CHECK_STR(json_str_at(condition(second, "Initialized"), "lastTransitionTime"),
              "2025-11-22T09:51:33Z"); /* it stayed */
    pod_def_done(&pod);
}

static void test_log_round_trip(void **state) {
    UNUSED(state);
    char path[] = "/tmp/agent_log_test.XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    LogFile file;
    CHECK_OK(logfile_open(path, 0, 1, &file));
    LogStream out = { .name = "stdout" };
    usec_t wall = 1763805093 * USEC_PER_SEC;
    static char long_line[LOG_PIECE_MAX * 2 + 100];
    memset(long_line, 'x', sizeof(long_line) - 1);
    CHECK_OK(log_stream_feed(&out, &file, "one\ntw", 6, wall));
    CHECK_OK(log_stream_feed(&out, &file, "o\n", 2, wall + USEC_PER_SEC));
    CHECK_OK(log_stream_feed(&out, &file, long_line, sizeof(long_line) - 1, wall));
    CHECK_OK(log_stream_feed(&out, &file, "\nend without newline", 20, wall));
    CHECK_OK(log_stream_end(&out, &file, wall));
    logfile_done(&file);
    _cleanup_buf_ Buf raw = { 0 }, text = { 0 }, want = { 0 };
    char chunk[1000];
    for (ssize_t n; (n = read(fd, chunk, sizeof(chunk))) > 0;)
        buf_add(&raw, chunk, (size_t)n);
    LogReader reader;
    log_reader_init(&reader, &(LogQuery){ .tail_lines = -1, .limit_bytes = -1 });
    for (size_t i = 0; i < raw.len; i += 7) /* in odd pieces */
        log_reader_feed(&reader, (Slice){ raw.data + i, MIN((size_t)7, raw.len - i) }, &text);
    log_reader_done(&reader);
    buf_printf(&want, "one\ntwo\n%s\nend without newline", long_line);
    CHECK_STR(text.data, want.data);
    size_t tail = log_tail_start(buf_slice(&raw), 1);
    CHECK(strstr(raw.data + tail, "end without") && !memchr(raw.data + tail, 'x', raw.len - tail));
    tail = log_tail_start(buf_slice(&raw), 3);
    CHECK(strstr(raw.data + tail, "two") && !strstr(raw.data + tail, "one"));
    CHECK_INT(log_tail_start(buf_slice(&raw), 100), 0);
    buf_clear(&text);
    log_reader_init(&reader,
                    &(LogQuery){ .since = wall + 1, .limit_bytes = 3, .timestamps = false });
    CHECK_INT(log_reader_feed(&reader, buf_slice(&raw), &text), 1);
    CHECK_STR(text.data, "two");
    log_reader_done(&reader);
    close(fd);
    unlink(path);
}

static void test_nodes(void **state) {
    UNUSED(state);
    NodeShapes nodes;
    CHECK_OK(node_shapes_parse("3x8cpu,32Gi", &nodes));
    CHECK_INT(nodes.len, 3);
    CHECK_STR(nodes.items[2].name, "node-2");
    CHECK_INT(quantity_ceil(nodes.items[0].cpu), 8);
    CHECK_INT(quantity_ceil(nodes.items[0].memory), INT64_C(32) << 30);
    _cleanup_free_ char *logical = node_shapes_logical(&nodes, 2, UINT64_C(24) << 30);
    CHECK(logical && strstr(logical, "24 CPUs"));
    CHECK(node_shapes_logical(&nodes, 24, UINT64_C(96) << 30) == NULL);
    node_shapes_done(&nodes);
    CHECK_OK(node_shapes_parse("500mcpu,1Gi,nvidia.com/gpu=1+2x1cpu,512Mi", &nodes));
    CHECK_INT(nodes.len, 3);
    CHECK_STR(json_str_at(nodes.items[0].extra, "nvidia.com/gpu"), "1");
    node_shapes_done(&nodes);
    static const char *const bad[] = { "", "8cpu", "0x8cpu,1Gi", "3x", "-1x8cpu,1Gi", "8cpu,zGi" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK_INT(node_shapes_parse(bad[i], &nodes), -EINVAL);
}

int main(void) {
    return TEST_RUN(TEST(test_environment), TEST(test_command_is_needed),
                    TEST(test_hostile_pods_are_refused), TEST(test_probe_thresholds),
                    TEST(test_backoff), TEST(test_phases), TEST(test_conditions),
                    TEST(test_log_round_trip), TEST(test_nodes));
}
