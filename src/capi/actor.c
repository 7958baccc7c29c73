/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/arena.h"
#include "capi/capi_private.h"

struct MobulaActor {
    Mobula *mobula;
    CoreActor *core;
    bool weak;
};

struct MobulaMethod {
    Mobula *mobula;
    CoreTemplate *template_;
};

static MobulaActor *actor_new(Mobula *mobula, CoreActor *core, bool weak) {
    MobulaActor *actor = mem_new(MobulaActor);
    *actor = (MobulaActor){ mobula, core, weak };
    return actor;
}

static int check(const MobulaActorOptions *options) {
    if (options->detached && str_empty(options->name))
        return error_origin(-EINVAL, "a detached actor needs a name: nobody could find it");
    if (options->get_if_exists && str_empty(options->name))
        return error_origin(-EINVAL, "get_if_exists needs a name");
    if (options->max_restarts < -1 || options->max_task_retries < -1 || options->max_pending < -1)
        return error_origin(-EINVAL, "-1 (no limit) is the least of max_restarts, "
                                     "max_task_retries and max_pending");
    return 0;
}

int mobula_actor_new(MobulaLibrary *library, const char *symbol, const MobulaActorOptions *options,
                     const MobulaArg *args, size_t count, MobulaActor **ret_actor) {
    static const MobulaActorOptions defaults = MOBULA_ACTOR_OPTIONS;
    options = options ? options : &defaults;
    Mobula *mobula = library->mobula;
    CoreTemplateSpec spec = { .kind = CALL_KIND_ACTOR_CREATE,
                              .name = symbol,
                              .runtime_env = CAPI_ENV };
    CoreTemplate *template_ = NULL;
    CoreActor *core = NULL;
    CapiArgs call;
    int r = check(options);
    if (r == 0)
        r = capi_export(library, symbol, &spec.function);
    if (r == 0)
        r = capi_template(mobula, &spec, options->resources, options->resources_len, 0, &template_);
    if (r == 0 && (r = capi_args(mobula, args, count, &call)) == 0) {
        CoreActorSpec actor = {
            .name = options->name,
            .class_name = symbol,
            .detached = options->detached,
            .get_if_exists = options->get_if_exists,
            .max_restarts = options->max_restarts,
            .max_task_retries = options->max_task_retries,
            .max_pending_calls = options->max_pending ? options->max_pending : -1,
            .meta = CAPI_MAGIC,
            .meta_len = strlen(CAPI_MAGIC),
        };
        r = core_actor_create(mobula->core, template_, &actor, &call.core, CAPI_TIMEOUT, &core);
        capi_args_done(&call);
    }
    if (template_)
        core_template_free(template_);
    if (r == 0)
        *ret_actor = actor_new(mobula, core, false);
    return capi_answer(r);
}

int mobula_actor_find(Mobula *mobula, const char *name, const char *namespace_,
                      MobulaActor **ret_actor) {
    _cleanup_arena_ Arena arena = { 0 };
    ActorInfo info;
    CoreActor *core = NULL;
    int r = core_actor_find(mobula->core, name, namespace_, CAPI_TIMEOUT, &arena, &info, &core);
    if (r == 0)
        *ret_actor = actor_new(mobula, core, true);
    return capi_answer(r);
}

void mobula_actor_drop(MobulaActor *actor) {
    if (!actor)
        return;
    if (actor->weak)
        core_actor_drop_weak(actor->core);
    else
        core_actor_drop(actor->core);
    free(actor);
}

int mobula_actor_kill(MobulaActor *actor, bool no_restart) {
    return capi_answer(
        core_actor_kill(actor->mobula->core, core_actor_id(actor->core), no_restart));
}

int mobula_method_new(Mobula *mobula, const char *name, const MobulaCallOptions *options,
                      MobulaMethod **ret_method) {
    static const MobulaCallOptions defaults = MOBULA_CALL_OPTIONS;
    options = options ? options : &defaults;
    CoreTemplateSpec spec = { .kind = CALL_KIND_ACTOR_TASK,
                              .name = name,
                              .method = name,
                              .num_returns = options->num_returns };
    CoreTemplate *template_ = NULL;
    if (str_empty(name) || strlen(name) > CAPI_SYMBOL_MAX)
        return error_origin(-EINVAL, "a method's name has 1 to %d characters", CAPI_SYMBOL_MAX);
    int r = capi_template(mobula, &spec, NULL, 0, 0, &template_);
    if (r < 0)
        return r;
    MobulaMethod *method = mem_new(MobulaMethod);
    *method = (MobulaMethod){ mobula, template_ };
    *ret_method = method;
    return 0;
}

void mobula_method_free(MobulaMethod *method) {
    if (!method)
        return;
    core_template_free(method->template_);
    free(method);
}

int mobula_actor_submit(MobulaActor *actor, MobulaMethod *method, const MobulaArg *args,
                        size_t count, MobulaRef **ret_refs) {
    CapiArgs call;
    int r = capi_args(actor->mobula, args, count, &call);
    if (r != 0)
        return r;
    r = core_actor_submit(actor->mobula->core, actor->core, method->template_, &call.core,
                          (CoreRef **)ret_refs);
    capi_args_done(&call);
    return capi_answer(r);
}
