/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>

#include "base/error.h"
#include "kobj/meta.h"
#include "local/strategy.h"

/*
 * Services: cluster addresses out of one range and node ports out of another. Nothing is kept
 * beside the objects: what is in use is what Services say.
 */

enum {
    NODE_PORT_FIRST = 30000,
    NODE_PORT_LAST = 32767,
};

static bool is_taken(Api *api, const char *address) {
    const StoreTable *services = registry_find(&api->registry, "", "services")->table;
    VEC_EACH(item, &services->objects) {
        _cleanup_json_ json_t *service = object_value(*item);
        if (str_eq(json_str_at(service, "spec", "clusterIP"), address))
            return true;
    }
    return false;
}

/* Why a client may not have the address it asks for; NULL: it may. Owned. */
static char *refuse_address(Api *api, const char *address, const char **ret_field) {
    struct in_addr parsed;
    *ret_field = "spec.clusterIPs[0]";
    if (inet_pton(AF_INET, address, &parsed) != 1)
        return str_dup("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    *ret_field = "spec.clusterIPs";
    if (ntohl(parsed.s_addr) - api->service_base >= api->service_count)
        return str_printf(
            "failed to allocate IP %s: the provided IP (%s) is not in the valid range. "
            "The range of valid IPs is %s",
            address, address, api->settings.service_cidr);
    if (is_taken(api, address))
        return str_printf("failed to allocate IP %s: provided IP is already allocated", address);
    return NULL;
}

static bool allocate_address(Api *api, char out[static INET_ADDRSTRLEN]) {
    for (uint32_t tries = 0; tries + 2 < api->service_count; tries++) {
        /* The first is the API server's own, the last a broadcast address. */
        uint32_t offset = 2 + api->service_next++ % (api->service_count - 3);
        struct in_addr address = { htonl(api->service_base + offset) };
        inet_ntop(AF_INET, &address, out, INET_ADDRSTRLEN);
        if (!is_taken(api, out))
            return true;
    }
    return false;
}

static bool port_is_taken(Api *api, int64_t node_port) {
    const StoreTable *services = registry_find(&api->registry, "", "services")->table;
    VEC_EACH(item, &services->objects) {
        _cleanup_json_ json_t *service = object_value(*item);
        const json_t *port;
        size_t i;
        json_array_foreach(json_at(service, "spec", "ports"), i, port) {
            if (json_int_at(port, 0, "nodePort") == node_port)
                return true;
        }
    }
    return false;
}

static void allocate_node_ports(Api *api, json_t *service) {
    json_t *port;
    size_t i;
    int64_t candidate = NODE_PORT_FIRST;
    json_array_foreach(json_at(service, "spec", "ports"), i, port) {
        if (json_int_at(port, 0, "nodePort") != 0)
            continue;
        while (candidate <= NODE_PORT_LAST && port_is_taken(api, candidate))
            candidate++;
        if (candidate <= NODE_PORT_LAST)
            json_object_set_new(port, "nodePort", json_integer(candidate++));
    }
}

static void prepare_create(ApiCall *call, json_t *service) {
    json_set_at(service, json_object(), "status", "loadBalancer");
}

static bool has_node_ports(const json_t *service) {
    const char *type = json_str_at(service, "spec", "type");
    return str_eq(type, "NodePort") || str_eq(type, "LoadBalancer");
}

/* Ports that the client chose. */
static int check_node_ports(ApiCall *call, const json_t *service) {
    _cleanup_faults_ Faults faults = { 0 };
    const json_t *port;
    size_t i;
    json_array_foreach(json_at(service, "spec", "ports"), i, port) {
        const json_t *given = json_object_get(port, "nodePort");
        int64_t number = json_integer_value(given);
        _cleanup_free_ char *field = str_printf("spec.ports[%zu].nodePort", i);
        if (number == 0)
            continue;
        if (number < NODE_PORT_FIRST || number > NODE_PORT_LAST)
            faults_add_invalid(
                &faults, field, given,
                "provided port is not in the valid range. The range of valid ports is "
                "30000-32767");
        else if (port_is_taken(call->api, number))
            faults_add_invalid(&faults, field, given, "provided port is already allocated");
    }
    return faults.len == 0
               ? 0
               : status_invalid(&call->status, "", "Service", obj_name(service), &faults);
}

static int admit_create(ApiCall *call, json_t *service) {
    json_t *spec = json_make_object(service, "spec");
    if (str_eq(json_str_at(spec, "type"), "ExternalName"))
        return 0;
    char address[INET_ADDRSTRLEN];
    const char *given = json_str_at(spec, "clusterIP");
    if (str_empty(given)) {
        if (!allocate_address(call->api, address))
            return status_internal(&call->status, "failed to allocate a serviceIP: range is full");
        json_object_set_new(spec, "clusterIP", json_string(address));
    } else if (!str_eq(given, "None")) {
        const char *field;
        _cleanup_free_ char *why = refuse_address(call->api, given, &field);
        _cleanup_faults_ Faults faults = { 0 };
        _cleanup_json_ json_t *text = json_string(given), *list = json_pack("[s]", given);
        if (why) {
            faults_add_invalid(&faults, field, str_ends(field, "]") ? text : list, why);
            return status_invalid(&call->status, "", "Service", obj_name(service), &faults);
        }
    }
    int r = has_node_ports(service) ? check_node_ports(call, service) : 0;
    if (r != 0)
        return r;
    json_object_set_new(spec, "clusterIPs", json_pack("[O]", json_object_get(spec, "clusterIP")));
    if (has_node_ports(service))
        allocate_node_ports(call->api, service);
    return 0;
}

/* A patch or update that says nothing of the address keeps it. */
static void prepare_update(ApiCall *call, const json_t *old, json_t *service) {
    static const char *const kept[] = { "clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy",
                                        "internalTrafficPolicy" };
    json_t *spec = json_make_object(service, "spec");
    bool external = str_eq(json_str_at(spec, "type"), "ExternalName");
    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        const json_t *value = json_at(old, "spec", kept[i]);
        const char *given = json_str_at(spec, kept[i]);
        if (!external && value && (!json_object_get(spec, kept[i]) || (given && !*given)))
            json_object_set_new(spec, kept[i], json_deep_copy(value));
    }
    if (has_node_ports(service))
        allocate_node_ports(call->api, service);
}

static void validate(ApiCall *call, const json_t *service, const json_t *old, Faults *faults) {
    const json_t *before = json_at(old, "spec", "clusterIP"),
                 *after = json_at(service, "spec", "clusterIP");
    if (old && before && after && !json_same(before, after)) {
        _cleanup_json_ json_t *list = json_pack("[O]", after);
        faults_add_invalid(faults, "spec.clusterIPs[0]", list, "may not change once set");
    }
}

const Strategy strategy_service = {
    .plural = "services",
    .group = "",
    .prepare_create = prepare_create,
    .prepare_update = prepare_update,
    .admit_create = admit_create,
    .validate = validate,
};
