/* SPDX-License-Identifier: Apache-2.0 */
#include "gcs/gcs_private.h"
#include "raylet/raylet_private.h"
#include "test/sim/proc.h"

/* What must be true at every step, after a restart of gcs, and at the end. */

/* ---- every step -------------------------------------------------------------------------------------- */

static void add_lease(const Lease *lease, ResourceSet *node) {
    if (lease->state != LEASE_STARTING && lease->state != LEASE_GRANTED)
        return;
    _cleanup_resources_ ResourceSet all = { 0 };
    resources_copy(&all, &lease->resources);
    if (lease->blocked)
        all.known[RESOURCE_CPU] = 0;
    if (!lease->held)
        resources_add(node, &all);
}

/* What is lent out of a bundle and what is there add up. */
static void check_bundle(const Machine *machine, const HeldBundle *held) {
    _cleanup_resources_ ResourceSet sum = { 0 };
    resources_copy(&sum, &held->available);
    LIST_EACH(item, &machine->raylet->granted) {
        const Lease *lease = LIST_ITEM(item, Lease, link);
        if (lease->held != held)
            continue;
        resources_add(&sum, &lease->resources);
        if (lease->blocked)
            sum.known[RESOURCE_CPU] -= lease->resources.known[RESOURCE_CPU];
    }
    if (!resources_equal(&sum, &held->total))
        fault("node %d: a bundle's resources do not add up", machine->index);
}

static void check_sum(const Machine *machine) {
    const Raylet *raylet = machine->raylet;
    _cleanup_resources_ ResourceSet sum = { 0 };
    resources_copy(&sum, &raylet->here.available);
    LIST_EACH(item, &raylet->granted)
        add_lease(LIST_ITEM(item, Lease, link), &sum);
    RayletGroup *group;
    MAP_EACH(&raylet->groups, pos, group)
        VEC_EACH(held, &group->held) {
            resources_add(&sum, &(*held)->total);
            check_bundle(machine, *held);
        }
    if (!resources_equal(&sum, &raylet->here.total)) {
        _cleanup_buf_ Buf text = { 0 };
        resources_format(&sum, &text);
        fault("node %d: lent out and available resources add up to %s", machine->index, text.data);
    }
}

/* Only CPUs may be owed, by those that were blocked and go on. */
static void check_debt(const Machine *machine) {
    const ResourceSet *available = &machine->raylet->here.available;
    const char *name;
    Quantity quantity, owed = 0;
    LIST_EACH(item, &machine->raylet->granted) {
        const Lease *lease = LIST_ITEM(item, Lease, link);
        owed += lease->state == LEASE_GRANTED && !lease->held ? lease->resources.known[RESOURCE_CPU]
                                                              : 0;
    }
    for (size_t i = 0; resources_at(available, i, &name, &quantity); i++)
        if (quantity < 0 && !(str_eq(name, "CPU") && -quantity <= owed))
            fault("node %d has %.4f %s to give", machine->index, quantity_to_double(quantity),
                  name);
}

static void check_workers(const Machine *machine) {
    const Raylet *raylet = machine->raylet;
    size_t starting = 0, idle = 0;
    LIST_EACH(item, &raylet->workers) {
        const Worker *worker = LIST_ITEM(item, Worker, link);
        starting += worker->state == WORKER_FORKING || worker->state == WORKER_STARTING;
        idle += worker->state == WORKER_IDLE;
        if (worker->lease && worker->lease->worker != worker)
            fault("node %d: a worker's lease is another's", machine->index);
        if (worker->local && worker->local->worker != worker)
            fault("node %d: a worker's connection is another's", machine->index);
    }
    if (starting != raylet->starting_len || idle != raylet->idle_len)
        fault("node %d: %zu workers start (counted: %zu), %zu are idle (%zu)", machine->index,
              starting, raylet->starting_len, idle, raylet->idle_len);
}

void check_raylet(const Machine *machine) {
    if (!machine->raylet)
        return;
    check_sum(machine);
    check_debt(machine);
    check_workers(machine);
}

static void check_strict(const GcsGroup *group) {
    for (size_t i = 1; i < group->len; i++)
        for (size_t j = 0; j < i; j++) {
            const NodeId *a = &group->bundles[i].node, *b = &group->bundles[j].node;
            if (id_is_unset(a) || id_is_unset(b))
                continue;
            if (group->policy == (id_equal(a, b) ? GROUP_STRICT_SPREAD : GROUP_STRICT_PACK))
                fault("gcs has bundles %zu and %zu of group %s on %s", j, i, ID_HEX(&group->id),
                      id_equal(a, b) ? "one node" : "two nodes");
        }
}

void check_groups(void) {
    const GcsGroup *group;
    if (sim->head.gcs)
        MAP_EACH(&sim->head.gcs->groups, pos, group)
            check_strict(group);
}

/* ---- gcs after a restart ----------------------------------------------------------------------------- */

/* Who made it has to tell it until it is known. */
static bool is_forgotten(const Gcs *gcs, const Group *group) {
    const Proc *owner = group->owner;
    const Machine *machine = owner->machine;
    if (!group->early || group->let_go || group->state == GROUP_STATE_REMOVED || !owner->alive ||
        !machine->raylet || machine->lives != owner->life || map_get(&gcs->groups, &group->id))
        return false;
    const RayletGroup *there = bundles_group(machine->raylet, &group->id);
    return !there || !there->telling;
}

void check_gcs(void) {
    Gcs *gcs = sim->head.gcs;
    Actor *actor;
    Group *group;
    MAP_EACH(&sim->actors, pos, actor) {
        const GcsActor *there = map_get(&gcs->actors, &actor->id);
        if (!there && actor->registered)
            fault("gcs has forgotten actor %s, which was registered", ID_HEX(&actor->id));
        else if (there && actor->killed && there->state != ACTOR_STATE_DEAD)
            fault("actor %s was killed, gcs has it in state %d", ID_HEX(&actor->id), there->state);
        else if (there && actor->created && !there->created && there->state != ACTOR_STATE_DEAD)
            fault("gcs has forgotten how actor %s is made", ID_HEX(&actor->id));
    }
    MAP_EACH(&sim->groups, again, group) {
        if (is_forgotten(gcs, group))
            fault("nobody tells gcs of group %s, which its raylet made", ID_HEX(&group->id));
        const GcsGroup *there = map_get(&gcs->groups, &group->id);
        if (!there && group->made)
            fault("gcs has forgotten group %s, which was made", ID_HEX(&group->id));
        else if (there && group->removed && there->state != GROUP_STATE_REMOVED)
            fault("group %s was removed, gcs has it in state %d", ID_HEX(&group->id), there->state);
    }
}

/* ---- the end ------------------------------------------------------------------------------------------ */

static const char *said(const ResourceSet *set, Buf *out) {
    buf_clear(out);
    resources_format(set, out);
    return out->data;
}

static void say_machine(const Machine *machine) {
    const Raylet *raylet = machine->raylet;
    const RayletGroup *group;
    const Lease *lease;
    const Remote *remote;
    _cleanup_buf_ Buf text = { 0 };
    note("node %d (%llx) has %s", machine->index, (unsigned long long)raylet->self,
         said(&raylet->here.available, &text));
    MAP_EACH(&raylet->remotes, each, remote)
        note("    of node number %u it knows %s", remote->index,
             said(&remote->sched.available, &text));
    MAP_EACH(&raylet->groups, pos, group)
        note("    group %s: %zu held, known %d, %zu refused", ID_HEX(&group->id), group->held.len,
             group->known, group->refused.len);
    MAP_EACH(&raylet->leases, at, lease)
        note("    lease %s in state %d (call %u to %.12s), of %llx, asked by %llx, actor %s, group "
             "%s, for %s",
             ID_HEX(&lease->id), lease->state, lease->spill_call, ID_HEX(&lease->spill_node),
             (unsigned long long)lease->requester, (unsigned long long)lease->asked_by,
             ID_HEX(&lease->actor), ID_HEX(&lease->group), said(&lease->resources, &text));
}

void check_tell(void) {
    for (int i = 0; i < NODES && sim->verbose; i++)
        if (sim->machines[i].raylet)
            say_machine(&sim->machines[i]);
}

static void check_quiet_raylet(const Machine *machine) {
    const Raylet *raylet = machine->raylet;
    const struct {
        const char *what;
        size_t count;
    } left[] = {
        { "leases", map_len(&raylet->leases) },    { "placement groups", map_len(&raylet->groups) },
        { "creations", map_len(&raylet->births) }, { "processes", raylet->locals_len },
        { "workers", raylet->workers_len },        { "rings", raylet->rings_len },
    };
    for (size_t i = 0; i < ARRAY_LEN(left); i++)
        if (left[i].count)
            fault("node %d: %zu %s are left", machine->index, left[i].count, left[i].what);
    if (!resources_equal(&raylet->here.available, &raylet->here.total)) {
        _cleanup_buf_ Buf text = { 0 };
        resources_format(&raylet->here.available, &text);
        fault("node %d: at the end %s are available", machine->index, text.data);
    }
    if (objects_used(raylet))
        fault("node %d: %llu bytes of objects are left", machine->index,
              (unsigned long long)objects_used(raylet));
}

static void check_quiet_gcs(const Gcs *gcs) {
    const GcsActor *actor;
    const GcsGroup *group;
    if (!list_empty(&gcs->pending) || !list_empty(&gcs->groups_pending))
        fault("gcs: something still waits for a place");
    MAP_EACH(&gcs->actors, pos, actor)
        if (actor->state != ACTOR_STATE_DEAD)
            fault("gcs: actor %s is left in state %d", ID_HEX(&actor->id), actor->state);
    MAP_EACH(&gcs->groups, again, group)
        if (group->state != GROUP_STATE_REMOVED)
            fault("gcs: group %s of %llx is left in state %d%s", ID_HEX(&group->id),
                  (unsigned long long)group->creator, group->state,
                  group->detached ? ", detached" : "");
    if (map_len(&gcs->drivers))
        fault("gcs: %zu jobs have not ended", map_len(&gcs->drivers));
    if (rpc_pending(gcs->rpc))
        fault("gcs: %zu calls have no answer", rpc_pending(gcs->rpc));
}

void check_quiet(void) {
    for (int i = 0; i < NODES; i++) {
        if (!sim->machines[i].raylet || !raylet_healthy(sim->machines[i].raylet))
            fault("node %d is not in the cluster at the end", i);
        else
            check_quiet_raylet(&sim->machines[i]);
    }
    if (sim->head.gcs) {
        check_quiet_gcs(sim->head.gcs);
        _cleanup_buf_ Buf why = { 0 };
        if (!still_views(&why))
            fault("%s", why.data);
    }
    VEC_EACH(proc, &sim->procs)
        if ((*proc)->alive)
            fault("%s is left", proc_name(*proc));
}
