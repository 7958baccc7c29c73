/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/plan.h"

#include "operator/object.h"

enum {
    RESTART_DELAY_MAX_S = 300,
    RESTART_FORGET_S = 600,
};

void plan_init(Plan *plan) {
    *plan = (Plan){ .due = USEC_INFINITY };
}

void plan_done(Plan *plan) {
    VEC_EACH(action, &plan->actions)
        json_decref(action->object);
    vec_done(&plan->actions);
    json_decref(plan->status);
    plan->status = NULL;
    arena_done(&plan->arena);
}

void plan_due(Plan *plan, usec_t wall) {
    plan->due = MIN(plan->due, wall);
}

Action *plan_add(Plan *plan, ActionType type, Resource resource, unsigned stage, json_t *object) {
    vec_push(&plan->actions, (Action){ .type = type,
                                       .resource = resource,
                                       .stage = stage,
                                       .object = object,
                                       .name = json_str_at(object, "metadata", "name") });
    return &plan->actions.items[plan->actions.len - 1];
}

void plan_tell(Plan *plan, bool warning, const char *reason, const char *action, const char *note) {
    Action *tell = plan_add(plan, ACTION_TELL, RESOURCE_COUNT, STAGE_FIRST, NULL);
    tell->done =
        (PlanEvent){ .warning = warning, .reason = reason, .action = action, .note = note };
}

void plan_trouble(Plan *plan, const char *reason, const char *sentence) {
    plan->trouble = arena_str(&plan->arena, sentence);
    plan->trouble_reason = reason;
}

Action *plan_delete(Plan *plan, Resource resource, unsigned stage, const json_t *object) {
    Action *action = plan_add(plan, ACTION_DELETE, resource, stage, NULL);
    action->name = arena_str(&plan->arena, object_name(object));
    action->uid = arena_str(&plan->arena, object_uid(object));
    return action;
}

void plan_finalizer(Plan *plan, Resource resource, unsigned stage, const json_t *object,
                    const char *finalizer, bool present) {
    json_t *changed = json_deep_copy(object);
    if (present)
        obj_add_finalizer(changed, finalizer);
    else
        obj_remove_finalizer(changed, finalizer);
    plan_add(plan, ACTION_REPLACE, resource, stage, changed);
}

void restarts_done(Restarts *restarts) {
    VEC_EACH(group, &restarts->groups)
        free(group->group);
    vec_done(&restarts->groups);
}

static const Restart *restarts_find(const Restarts *restarts, const char *group) {
    if (restarts)
        VEC_EACH(item, &restarts->groups)
            if (str_eq(item->group, group))
                return item;
    return NULL;
}

void restarts_note(Restarts *restarts, const char *group, usec_t now) {
    Restart *item = (Restart *)(uintptr_t)restarts_find(restarts, group);
    if (!item) {
        vec_push(&restarts->groups, (Restart){ .group = str_dup(group) });
        item = &restarts->groups.items[restarts->groups.len - 1];
    }
    if (now - item->last > RESTART_FORGET_S * USEC_PER_SEC)
        item->count = 0;
    item->count++;
    item->last = now;
}

usec_t restarts_allow(const Restarts *restarts, const char *group, usec_t now) {
    const Restart *item = restarts_find(restarts, group);
    if (!item || item->count < 2 || now - item->last > RESTART_FORGET_S * USEC_PER_SEC)
        return now;
    unsigned doublings = MIN(item->count - 2, 9u);
    usec_t delay = MIN(USEC_PER_SEC << doublings, RESTART_DELAY_MAX_S * USEC_PER_SEC);
    return MAX(now, item->last + delay);
}
