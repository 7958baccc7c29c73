/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Running what a probe or a lifecycle hook asks for: a program in the container, an HTTP request or
 * a connection to the pod. One call of `done` each, unless freed before.
 */

#include "local/agent_keeper.h"
#include "local/agent_pod_spec.h"

typedef struct Action Action;

/* `text`: what the program wrote, or why it failed, as the kubelet puts it into its event. */
typedef void ActionFn(void *ctx, bool ok, const char *text);

typedef struct ActionPlace {
    Loop *loop;
    Keeper *keeper;
    const char *container, *pod_ip;
    uint64_t exec_id; /* for a program: the id its end will carry */
} ActionPlace;

Action *action_start(const ActionPlace *place, const ActionSpec *spec, usec_t timeout,
                     ActionFn *done, void *ctx);
/* A program that still runs is killed. */
Action *action_free(Action *action);
DEFINE_CLEANUP(Action *, action_free);

/* The keeper's answer for this action's exec_id. */
void action_exec_ended(Action *action, int code, const char *error);
uint64_t action_exec_id(const Action *action);
