/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Packet rules: service addresses to pods, pods to the outside. Replaced as a whole in one
 * transaction, so that there is no moment without them.
 *
 * A node port leads to its service from this machine (any address of it) and from pods; the network
 * around does not see it.
 *
 * A connection from a pod to a service that leads back to the same pod needs its source rewritten
 * too, else the pod would answer itself directly. Only what a service was translated to: a target
 * may be this host's loopback (the API server), whose other connections are nobody's business.
 */

#include <stdio.h>

#include "base/error.h"
#include "host/spawn.h"
#include "local/agent_network.h"

#define HELPER_TIMEOUT (10 * USEC_PER_SEC)

enum {
    AFFINITY_SECONDS = 10800 /* as Kubernetes: three hours */
};

void service_ports_done(ServicePorts *ports) {
    VEC_EACH(port, ports)
        vec_done(&port->targets);
    vec_done(ports);
}

static const char *protocol(const ServicePort *port) {
    return port->udp ? "udp" : "tcp";
}

static void nft_service(Buf *out, const ServicePort *port, size_t number) {
    buf_printf(out, "  chain svc%zu {\n", number);
    buf_printf(out, "    meta l4proto %s dnat to %s %zu map {", protocol(port),
               port->client_affinity ? "jhash ip saddr mod" : "numgen random mod",
               port->targets.len);
    for (size_t i = 0; i < port->targets.len; i++)
        buf_printf(out, "%s %zu : %s . %u", i ? "," : "", i, port->targets.items[i].address,
                   port->targets.items[i].port);
    buf_add_str(out, " }\n  }\n");
}

static void nft_map(Buf *out, const ServicePorts *ports) {
    bool any = false;
    buf_add_str(out,
                "  map services {\n    type ipv4_addr . inet_proto . inet_service : verdict\n");
    for (size_t i = 0; i < ports->len; i++) {
        const ServicePort *port = &ports->items[i];
        if (!port->targets.len)
            continue;
        buf_printf(out, "%s%s . %s . %u : goto svc%zu",
                   any ? ",\n      " : "    elements = {\n      ", port->address, protocol(port),
                   port->port, i);
        any = true;
    }
    buf_add_str(out, any ? "\n    }\n  }\n" : "  }\n");
}

static void nft_node_ports(Buf *out, const ServicePorts *ports) {
    bool any = false;
    buf_add_str(out, "  map node_ports {\n    type inet_proto . inet_service : verdict\n");
    for (size_t i = 0; i < ports->len; i++) {
        const ServicePort *port = &ports->items[i];
        if (!port->targets.len || !port->node_port)
            continue;
        buf_printf(out, "%s%s . %u : goto svc%zu", any ? ",\n      " : "    elements = {\n      ",
                   protocol(port), port->node_port, i);
        any = true;
    }
    buf_add_str(out, any ? "\n    }\n  }\n" : "  }\n");
}

/* Each target once: the pods that may talk to themselves through a service. */
static void nft_hairpin(Buf *out, const ServicePorts *ports) {
    _cleanup_strlist_ StrList seen = { 0 };
    buf_add_str(out, "  set hairpin {\n    type ipv4_addr . ipv4_addr\n");
    VEC_EACH(port, ports)
        VEC_EACH(target, &port->targets)
            if (!strlist_has(&seen, target->address))
                strlist_add(&seen, target->address);
    for (size_t i = 0; i < seen.len; i++)
        buf_printf(out, "%s%s . %s", i ? ", " : "    elements = { ", seen.items[i], seen.items[i]);
    buf_add_str(out, seen.len ? " }\n  }\n" : "  }\n");
}

/* A service without endpoints refuses, as Kubernetes' proxies do; nobody is left to time out. */
static void nft_refused(Buf *out, const AgentNetwork *network, const ServicePorts *ports) {
    VEC_EACH(port, ports)
        if (!port->targets.len)
            buf_printf(out, "    iifname \"%s\" ip daddr %s %s dport %u reject\n", network->bridge,
                       port->address, protocol(port), port->port);
}

char *network_rules_nft(const AgentNetwork *network, const ServicePorts *ports) {
    Buf out = { 0 };
    /* Named first, so that deleting it succeeds whether it was there or not. */
    buf_printf(&out, "table ip mobula_%s\ndelete table ip mobula_%s\ntable ip mobula_%s {\n",
               network->tag, network->tag, network->tag);
    for (size_t i = 0; i < ports->len; i++)
        if (ports->items[i].targets.len)
            nft_service(&out, &ports->items[i], i);
    nft_map(&out, ports);
    nft_node_ports(&out, ports);
    nft_hairpin(&out, ports);
    /* From our own pods only: another agent's may use the same addresses for its services. */
    static const char node[] = "fib daddr type local meta l4proto . th dport vmap @node_ports";
    buf_printf(&out,
               "  chain prerouting {\n    type nat hook prerouting priority dstnat\n    iifname "
               "\"%s\" ip daddr . meta l4proto . th dport vmap @services\n    iifname \"%s\" %s\n"
               "  }\n",
               network->bridge, network->bridge, node);
    buf_printf(&out,
               "  chain output {\n    type nat hook output priority -100\n    ip daddr . meta "
               "l4proto . th dport vmap @services\n    %s\n  }\n",
               node);
    /* Whoever called 127.0.0.1 cannot be answered there by a pod. */
    buf_printf(&out,
               "  chain postrouting {\n    type nat hook postrouting priority srcnat\n"
               "    ct status & dnat == dnat ip saddr . ip daddr @hairpin masquerade\n"
               "    ip saddr 127.0.0.0/8 oifname \"%s\" masquerade\n"
               "    ip saddr %s oifname != \"%s\" masquerade\n  }\n",
               network->bridge, network->pod_range, network->bridge);
    /* Loopback is reachable for what a service was translated to, and for nothing else. */
    buf_printf(&out,
               "  chain guard {\n    type filter hook input priority filter\n    iifname \"%s\" ip "
               "daddr 127.0.0.0/8 ct status & dnat != dnat drop\n  }\n",
               network->bridge);
    buf_add_str(&out, "  chain refuse {\n    type filter hook forward priority filter\n");
    nft_refused(&out, network, ports);
    buf_add_str(&out, "  }\n");
    buf_add_str(&out, "}\n");
    return buf_steal(&out);
}

/* Target `i` of `count` gets its share of what the ones before it left. */
static void add_share(Buf *out, size_t i, size_t count) {
    if (i + 1 < count)
        buf_printf(out, " -m statistic --mode random --probability %.6f",
                   1.0 / (double)(count - i));
}

static void iptables_service(Buf *out, const char *chain, const ServicePort *port) {
    size_t count = port->targets.len;
    for (size_t i = 0; i < count; i++) {
        const ServiceTarget *target = &port->targets.items[i];
        buf_printf(out, "-A %s -d %s/32 -p %s --dport %u", chain, port->address, protocol(port),
                   port->port);
        add_share(out, i, count);
        buf_printf(out, " -j DNAT --to-destination %s:%u\n", target->address, target->port);
    }
}

static void iptables_node_port(Buf *out, const char *chain, const ServicePort *port) {
    size_t count = port->node_port ? port->targets.len : 0;
    for (size_t i = 0; i < count; i++) {
        const ServiceTarget *target = &port->targets.items[i];
        buf_printf(out, "-A %s -m addrtype --dst-type LOCAL -p %s --dport %u", chain,
                   protocol(port), port->node_port);
        add_share(out, i, count);
        buf_printf(out, " -j DNAT --to-destination %s:%u\n", target->address, target->port);
    }
}

/* Chains of our own that are emptied and filled; the jumps to them are added once by `iptables`. */
char *network_rules_iptables(const AgentNetwork *network, const ServicePorts *ports) {
    Buf out = { 0 };
    _cleanup_free_ char *base = str_printf("mobula_%s", network->tag);
    _cleanup_free_ char *services = str_printf("%s_svc", base);
    _cleanup_strlist_ StrList seen = { 0 };
    buf_printf(&out, "*nat\n:%s - [0:0]\n:%s - [0:0]\n", services, base);
    VEC_EACH(port, ports) {
        iptables_service(&out, services, port);
        iptables_node_port(&out, services, port);
        VEC_EACH(target, &port->targets)
            if (!strlist_has(&seen, target->address))
                strlist_add(&seen, target->address);
    }
    for (size_t i = 0; i < seen.len; i++)
        buf_printf(&out, "-A %s -s %s/32 -d %s/32 -m conntrack --ctstate DNAT -j MASQUERADE\n",
                   base, seen.items[i], seen.items[i]);
    buf_printf(&out, "-A %s -s 127.0.0.0/8 -o %s -j MASQUERADE\n", base, network->bridge);
    buf_printf(&out, "-A %s -s %s ! -o %s -j MASQUERADE\nCOMMIT\n", base, network->pod_range,
               network->bridge);
    buf_printf(&out, "*filter\n:%s - [0:0]\n", base);
    buf_printf(&out, "-A %s -i %s -d 127.0.0.0/8 -m conntrack ! --ctstate DNAT -j DROP\n", base,
               network->bridge);
    VEC_EACH(port, ports)
        if (!port->targets.len)
            buf_printf(&out, "-A %s -i %s -d %s/32 -p %s --dport %u -j REJECT\n", base,
                       network->bridge, port->address, protocol(port), port->port);
    /* A host whose policy is to forward nothing (as Docker sets it) forwards for pods. */
    buf_printf(&out, "-A %s -i %s -j ACCEPT\n-A %s -o %s -j ACCEPT\nCOMMIT\n", base,
               network->bridge, base, network->bridge);
    return buf_steal(&out);
}

static int iptables_jumps(const AgentNetwork *network) {
    _cleanup_free_ char *script =
        str_printf("t=mobula_%s; a() { iptables -w \"$@\"; }; j() { x=$1; c=$2; shift 2; "
                   "a -t $x -C $c \"$@\" 2>/dev/null || a -t $x -I $c \"$@\"; }; "
                   "j nat PREROUTING -i %s -j ${t}_svc && j nat OUTPUT -j ${t}_svc && j nat "
                   "POSTROUTING -j $t && "
                   "j filter FORWARD -j $t && j filter INPUT -i %s -d 127.0.0.0/8 -j $t",
                   network->tag, network->bridge, network->bridge);
    return spawn_run(SPAWN_LIST("sh", "-c", script), NULL, HELPER_TIMEOUT, NULL);
}

void network_remove_rules(const AgentNetwork *network) {
    char table[32];
    snprintf(table, sizeof(table), "mobula_%s", network->tag);
    (void)!spawn_run(SPAWN_LIST("nft", "delete", "table", "ip", table), NULL, HELPER_TIMEOUT, NULL);
    _cleanup_free_ char *script = str_printf(
        "t=%s; i() { iptables -w -t \"$@\" 2>/dev/null; }; i nat -n -L $t >/dev/null || exit 0; "
        "i nat -D PREROUTING -i %s -j ${t}_svc; i nat -D OUTPUT -j ${t}_svc; "
        "i nat -D POSTROUTING -j $t; i filter -D FORWARD -j $t; "
        "i filter -D INPUT -i %s -d 127.0.0.0/8 -j $t; "
        "i nat -F ${t}_svc; i nat -X ${t}_svc; i nat -F $t; i nat -X $t; "
        "i filter -F $t; i filter -X $t",
        table, network->bridge, network->bridge);
    (void)!spawn_run(SPAWN_LIST("sh", "-c", script), NULL, HELPER_TIMEOUT, NULL);
}

int network_put_rules(bool nft, const char *rules) {
    return nft ? spawn_run(SPAWN_LIST("nft", "-f", "-"), rules, HELPER_TIMEOUT, NULL)
               : spawn_run(SPAWN_LIST("iptables-restore", "--noflush", "-w"), rules, HELPER_TIMEOUT,
                           NULL);
}

int network_apply(const AgentNetwork *network, const ServicePorts *ports) {
    _cleanup_free_ char *rules =
        network->nft ? network_rules_nft(network, ports) : network_rules_iptables(network, ports);
    int r = network_put_rules(network->nft, rules);
    return r == 0 && !network->nft ? iptables_jumps(network) : r;
}
