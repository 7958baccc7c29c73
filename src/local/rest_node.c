/* SPDX-License-Identifier: Apache-2.0 */
#include "local/rest_node.h"

#include "kobj/meta.h"

static bool has_container(const json_t *pod, const char *name, const char **ret_name) {
    static const char *const lists[] = { "containers", "initContainers", "ephemeralContainers" };
    for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
        const json_t *container;
        size_t i;
        json_array_foreach(json_at(pod, "spec", lists[l]), i, container) {
            const char *its = json_str_at(container, "name");
            if (!str_eq(its, name))
                continue;
            *ret_name = its;
            return true;
        }
    }
    return false;
}

static char *container_names(const json_t *pod, const char *list) {
    _cleanup_buf_ Buf names = { 0 };
    const json_t *container;
    size_t i;
    json_array_foreach(json_at(pod, "spec", list), i, container)
        buf_printf(&names, "%s%s", i ? " " : "", json_str_at(container, "name"));
    return buf_steal(&names);
}

int agent_pick_container(ApiCall *call, const json_t *pod, const char *container,
                         const char **ret_container) {
    const json_t *containers = json_at(pod, "spec", "containers");
    if (str_empty(container) && json_array_size(containers) == 1)
        container = json_str_at(json_array_get(containers, 0), "name");
    if (str_empty(container))
        container = obj_annotation(pod, "kubectl.kubernetes.io/default-container");
    if (str_empty(container)) {
        _cleanup_free_ char *names = container_names(pod, "containers");
        _cleanup_free_ char *init = container_names(pod, "initContainers");
        if (*init)
            return status_bad_request(&call->status,
                                      "a container name must be specified for pod %s, choose one "
                                      "of: [%s] or one of the init containers: [%s]",
                                      obj_name(pod), names, init);
        return status_bad_request(
            &call->status, "a container name must be specified for pod %s, choose one of: [%s]",
            obj_name(pod), names);
    }
    if (has_container(pod, container, ret_container))
        return 0;
    return status_bad_request(&call->status, "container %s is not valid for pod %s", container,
                              obj_name(pod));
}

int agent_url(ApiCall *call, const json_t *pod, char **ret_url) {
    const char *name = json_str_at(pod, "spec", "nodeName");
    if (str_empty(name))
        return status_bad_request(&call->status, "pod %s does not have a host assigned",
                                  obj_name(pod));
    _cleanup_json_ json_t *node = api_peek(call->api, "", "nodes", "", name);
    const char *url = node ? obj_annotation(node, "mobula.io/agent-url") : NULL;
    if (!url)
        return status_internal(&call->status, "node %s has no agent to ask", name);
    *ret_url = str_dup(url);
    return 0;
}
