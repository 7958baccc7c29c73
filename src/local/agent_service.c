/* SPDX-License-Identifier: Apache-2.0 */
#include "local/agent_service.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>

#include "kobj/meta.h"

enum {
    TARGETS_MAX = 1000,
    LABELS_MAX = 8
};

char *service_slice_key(const json_t *slice) {
    const char *service = obj_label(slice, "kubernetes.io/service-name"),
               *ns = obj_namespace(slice);
    return service && ns ? str_printf("%s/%s", ns, service) : NULL;
}

static const char *cluster_ip(const json_t *service) {
    const char *ip = json_str_at(service, "spec", "clusterIP");
    struct in_addr in;
    return ip && inet_pton(AF_INET, ip, &in) == 1 ? ip : NULL;
}

static const char *service_type(const json_t *service) {
    const char *type = json_str_at(service, "spec", "type");
    return type ? type : "ClusterIP";
}

/* Whether an endpoint takes connections; absent means yes. */
static bool endpoint_ready(const json_t *endpoint) {
    return json_bool_at(endpoint, true, "conditions", "ready");
}

/* The slice's number for the service's port. 0: the slice has none of that name. */
static uint16_t slice_port(const json_t *slice, const json_t *service_port) {
    const char *wanted = json_str_at(service_port, "name");
    size_t i;
    json_t *port;
    json_array_foreach(json_object_get(slice, "ports"), i, port) {
        const char *name = json_str_at(port, "name");
        int64_t number = json_int_at(port, 0, "port");
        if (str_eq(name ? name : "", wanted ? wanted : "") && number > 0 && number <= UINT16_MAX)
            return (uint16_t)number;
    }
    return 0;
}

static void add_targets(const json_t *slice, uint16_t number, ServicePort *port) {
    size_t i, j;
    json_t *endpoint, *address;
    json_array_foreach(json_object_get(slice, "endpoints"), i, endpoint) {
        if (!endpoint_ready(endpoint))
            continue;
        json_array_foreach(json_object_get(endpoint, "addresses"), j, address) {
            const char *text = json_string_value(address);
            struct in_addr in;
            if (!text || inet_pton(AF_INET, text, &in) != 1 || port->targets.len >= TARGETS_MAX)
                continue;
            ServiceTarget target = { .port = number };
            inet_ntop(AF_INET, &in, target.address, sizeof(target.address));
            vec_push(&port->targets, target);
        }
    }
}

static uint16_t node_port(const json_t *port) {
    int64_t number = json_int_at(port, 0, "nodePort");
    return number > 0 && number <= UINT16_MAX ? (uint16_t)number : 0;
}

static void add_rules(const ServiceView *view, const json_t *service, ServicePorts *ports) {
    const char *ip = cluster_ip(service), *ns = obj_namespace(service), *name = obj_name(service);
    bool affinity = str_eq(json_str_at(service, "spec", "sessionAffinity"), "ClientIP");
    size_t i, count;
    json_t *item;
    if (!ip || !ns || !name)
        return;
    json_t *const *slices = view->slices(view->ctx, ns, name, &count);
    json_array_foreach(json_at(service, "spec", "ports"), i, item) {
        int64_t number = json_int_at(item, 0, "port");
        const char *protocol = json_str_at(item, "protocol");
        if (number < 1 || number > UINT16_MAX || str_eq(protocol, "SCTP"))
            continue;
        ServicePort port = { .port = (uint16_t)number,
                             .node_port = node_port(item),
                             .udp = str_eq(protocol, "UDP"),
                             .client_affinity = affinity };
        snprintf(port.address, sizeof(port.address), "%s", ip);
        for (size_t s = 0; s < count; s++) {
            uint16_t target = slice_port(slices[s], item);
            if (target)
                add_targets(slices[s], target, &port);
        }
        vec_push(ports, port);
    }
}

void service_rules(const ServiceView *view, ServicePorts *ports) {
    size_t pos = 0;
    for (const json_t *service; (service = view->next(view->ctx, &pos));)
        add_rules(view, service, ports);
}

static char *variable_name(const char *name) {
    char *upper = str_dup(name);
    for (char *at = upper; *at; at++)
        *at = *at == '-' ? '_' : (char)toupper((unsigned char)*at);
    return upper;
}

static void add_port_variables(const char *name, const char *ip, const json_t *port, bool first,
                               StrList *env) {
    int number = (int)json_int_at(port, 0, "port");
    const char *protocol = json_str_at(port, "protocol"), *port_name = json_str_at(port, "name");
    _cleanup_free_ char *upper = variable_name(protocol ? protocol : "TCP");
    _cleanup_free_ char *lower = str_dup(upper);
    for (char *at = lower; *at; at++)
        *at = (char)tolower((unsigned char)*at);
    if (first) {
        strlist_printf(env, "%s_SERVICE_HOST=%s", name, ip);
        strlist_printf(env, "%s_SERVICE_PORT=%d", name, number);
        strlist_printf(env, "%s_PORT=%s://%s:%d", name, lower, ip, number);
    }
    if (port_name) {
        _cleanup_free_ char *suffix = variable_name(port_name);
        strlist_printf(env, "%s_SERVICE_PORT_%s=%d", name, suffix, number);
    }
    strlist_printf(env, "%s_PORT_%d_%s=%s://%s:%d", name, number, upper, lower, ip, number);
    strlist_printf(env, "%s_PORT_%d_%s_PROTO=%s", name, number, upper, lower);
    strlist_printf(env, "%s_PORT_%d_%s_PORT=%d", name, number, upper, number);
    strlist_printf(env, "%s_PORT_%d_%s_ADDR=%s", name, number, upper, ip);
}

void service_variables(const ServiceView *view, const char *ns, StrList *env) {
    size_t pos = 0;
    for (const json_t *service; (service = view->next(view->ctx, &pos));) {
        const char *own = obj_namespace(service), *ip = cluster_ip(service);
        bool master = str_eq(own, "default") && str_eq(obj_name(service), "kubernetes");
        if (!ip || !obj_name(service) || (!str_eq(own, ns) && !master))
            continue;
        _cleanup_free_ char *name = variable_name(obj_name(service));
        size_t i;
        json_t *port;
        json_array_foreach(json_at(service, "spec", "ports"), i, port)
            add_port_variables(name, ip, port, i == 0, env);
    }
}

void name_answer_done(NameAnswer *answer) {
    strlist_done(&answer->addresses);
    mem_free(answer->alias);
    *answer = (NameAnswer){ 0 };
}

/* Addresses behind a service; `hostname`: only the endpoint of that name. */
static bool add_endpoints(const ServiceView *view, const json_t *service, const char *hostname,
                          StrList *addresses) {
    bool all = json_bool_at(service, false, "spec", "publishNotReadyAddresses"), found = false;
    size_t count, i, j;
    json_t *endpoint, *address;
    json_t *const *slices =
        view->slices(view->ctx, obj_namespace(service), obj_name(service), &count);
    for (size_t s = 0; s < count; s++)
        json_array_foreach(json_object_get(slices[s], "endpoints"), i, endpoint) {
            if (!all && !endpoint_ready(endpoint))
                continue;
            if (hostname && !str_eq_nocase(json_str_at(endpoint, "hostname"), hostname))
                continue;
            found = true;
            json_array_foreach(json_object_get(endpoint, "addresses"), j, address)
                if (json_is_string(address) && !strlist_has(addresses, json_string_value(address)))
                    strlist_add(addresses, json_string_value(address));
        }
    return found;
}

static void service_addresses(const ServiceView *view, const json_t *service, const char *hostname,
                              NameAnswer *answer) {
    const char *ip = cluster_ip(service);
    answer->kind = NAME_ADDRESSES;
    if (str_eq(service_type(service), "ExternalName")) {
        answer->kind = NAME_ALIAS;
        answer->alias = str_dup(json_str_at(service, "spec", "externalName"));
    } else if (ip && !hostname) {
        strlist_add(&answer->addresses, ip);
    } else if (!add_endpoints(view, service, hostname, &answer->addresses) && hostname) {
        answer->kind = NAME_UNKNOWN;
    }
}

/* "_http", "_tcp" and a service. */
static void service_servers(const ServiceView *view, const json_t *service, const char *port,
                            const char *protocol, NameAnswer *answer) {
    size_t i;
    json_t *item;
    json_array_foreach(json_at(service, "spec", "ports"), i, item) {
        const char *own = json_str_at(item, "protocol");
        if (!str_eq_nocase(json_str_at(item, "name"), port + 1) ||
            !str_eq_nocase(own ? own : "TCP", protocol + 1))
            continue;
        service_addresses(view, service, NULL, answer);
        answer->kind = NAME_SERVERS;
        answer->port = (uint16_t)json_int_at(item, 0, "port");
    }
}

/* "10-88-0-5" to an address. */
static bool dashed_address(const char *text, char out[static NETWORK_ADDRESS_MAX]) {
    struct in_addr in;
    snprintf(out, NETWORK_ADDRESS_MAX, "%s", text);
    for (char *at = out; *at; at++)
        if (*at == '-')
            *at = '.';
    return strlen(text) < NETWORK_ADDRESS_MAX && inet_pton(AF_INET, out, &in) == 1;
}

/* Labels before the domain, the last one first: "svc", namespace, service, ... */
static void lookup(const ServiceView *view, char **labels, size_t count, NameAnswer *answer) {
    char address[NETWORK_ADDRESS_MAX];
    answer->kind = NAME_UNKNOWN;
    if (count == 3 && str_eq_nocase(labels[0], "pod") && dashed_address(labels[2], address)) {
        answer->kind = NAME_ADDRESSES;
        strlist_add(&answer->addresses, address);
        return;
    }
    if (count < 3 || count > 5 || !str_eq_nocase(labels[0], "svc"))
        return;
    const json_t *service = view->get(view->ctx, labels[1], labels[2]);
    if (!service)
        return;
    if (count == 5 && labels[3][0] == '_' && labels[4][0] == '_')
        service_servers(view, service, labels[4], labels[3], answer);
    else if (count <= 4)
        service_addresses(view, service, count == 4 ? labels[3] : NULL, answer);
}

void service_name(const ServiceView *view, const char *domain, const char *name,
                  NameAnswer *ret_answer) {
    NameAnswer answer = { .kind = NAME_OUTSIDE };
    size_t len = strlen(name), domain_len = strlen(domain), count = 0;
    bool below = len > domain_len && name[len - domain_len - 1] == '.' &&
                 str_eq_nocase(name + len - domain_len, domain);
    if (below) {
        _cleanup_free_ char *copy = str_dup_slice((Slice){ name, len - domain_len - 1 });
        char *labels[LABELS_MAX];
        for (char *at = copy; *at; at++)
            *at = (char)tolower((unsigned char)*at);
        for (char *dot = copy; dot && count < LABELS_MAX; count++) {
            dot = strrchr(copy, '.');
            labels[count] = dot ? dot + 1 : copy;
            if (dot)
                *dot = 0;
        }
        lookup(view, labels, count, &answer);
    }
    *ret_answer = answer;
}
