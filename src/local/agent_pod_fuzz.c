/* SPDX-License-Identifier: Apache-2.0 */

/* Whatever a pod's JSON holds, it is refused or can be planned with: environment, command, status;
 * and what comes of a container spec reads back the same. */

#include "base/error.h"
#include "local/agent_container.h"
#include "local/agent_env.h"
#include "local/agent_log.h"
#include "local/agent_status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void plan(const PodDef *pod) {
    EnvSource source = { .pod = pod, .pod_ip = "10.0.0.1", .host_ip = "10.0.0.2" };
    RunRecord *runs = mem_array(RunRecord, pod->containers.len + 1);
    PodRecord record = { .runs = runs };
    VEC_EACH(container, &pod->containers) {
        _cleanup_strlist_ StrList env = { 0 }, argv = { 0 };
        if (env_resolve(&source, container, &env) == 0) {
            int r = env_command(container, &env, &argv);
            ASSERT(r == 0 || r == -EINVAL);
        }
    }
    _cleanup_json_ json_t *status =
        status_compute(pod, &record, json_object_get(pod->json, "status"), 1);
    ASSERT(json_is_object(status));
    mem_free(runs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const JsonLimits limits = { .bytes = 1u << 16, .values = 10000, .depth = 64 };
    _cleanup_json_ json_t *json = NULL;
    _cleanup_buf_ Buf shown = { 0 };
    LogReader reader;
    log_reader_init(&reader, &(LogQuery){ .tail_lines = -1, .limit_bytes = -1 });
    log_reader_feed(&reader, (Slice){ (const char *)data, size }, &shown);
    log_reader_done(&reader);
    ASSERT(shown.len <= size && log_tail_start((Slice){ (const char *)data, size }, 3) <= size);
    if (json_parse(data, size, &limits, 0, &json) < 0)
        return 0;
    PodDef pod;
    if (pod_def_parse(json, &pod) == 0) {
        plan(&pod);
        pod_def_done(&pod);
    }
    ContainerSpec spec;
    if (container_spec_decode(json, &spec) == 0) {
        _cleanup_json_ json_t *again = container_spec_encode(&spec);
        ASSERT(json_is_object(again));
        container_spec_done(&spec);
    }
    return 0;
}
