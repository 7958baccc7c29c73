/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/error.h"
#include "raylet/raylet_private.h"

/*
 * What users list of this node: its drivers and workers, what each says of its calls and objects, its
 * runtime environments and its store. Whoever asks waits for the slowest process, but not long:
 * one that is stopped or busy in a way that keeps its runtime's thread from running is left out, and so is
 * what is more than one answer holds.
 */

#define PROCESS_PATIENCE (2 * USEC_PER_SEC)
#define STATES_BYTES_MAX ((size_t)256 << 20) /* of all processes: the answer fits its message */

enum {
    STATE_QUESTIONS_MAX = 64, /* at a time */
};

typedef struct Asked { /* one process */
    struct StateQuestion *question;
    PeerId peer;
    uint32_t call; /* 0: it has answered */
    bool answered;
    Buf state;     /* an encoded ProcessState */
} Asked;

typedef struct StateQuestion {
    List link; /* in Raylet.questions */
    Raylet *raylet;
    StateDone *done;
    void *ctx;
    Asked *asked;
    size_t len, awaited;
    size_t bytes; /* of what has come */
} StateQuestion;

static void question_free(StateQuestion *question) {
    list_remove(&question->link);
    question->raylet->questions_len--;
    for (size_t i = 0; i < question->len; i++) {
        if (question->asked[i].call)
            raylet_forget(question->raylet, question->asked[i].call);
        buf_done(&question->asked[i].state);
    }
    free(question->asked);
    free(question);
}

void state_done(Raylet *raylet) {
    while (!list_empty(&raylet->questions)) {
        StateQuestion *question = LIST_ITEM(raylet->questions.next, StateQuestion, link);
        question->done(question->ctx, NULL);
        question_free(question);
    }
}

static size_t list_len(const List *list) {
    size_t len = 0;
    LIST_EACH(item, list)
        len++;
    return len;
}

static void add_process(const Raylet *raylet, const Asked *asked, NodeDetails *m) {
    const Local *local = local_get(raylet, asked->peer);
    if (!local)
        return; /* it has ended meanwhile */
    m->processes[m->processes_len++] = (ProcessEntry){
        .peer = local->peer,
        .worker_id = local->worker_id,
        .pid = (uint32_t)local->pid,
        .role = (uint8_t)local->role,
        .job = local->worker ? local->worker->job : local->job,
        .started_wall = (uint64_t)local->welcomed_wall,
        .answered = asked->answered,
        .state = buf_slice(&asked->state),
    };
}

static void question_answer(StateQuestion *question) {
    Raylet *raylet = question->raylet;
    _cleanup_arena_ Arena arena = { 0 };
    NodeDetails m = {
        .node = raylet->id,
        .processes = arena_array(&arena, ProcessEntry, question->len + 1),
        .store_used = objects_used(raylet),
        .store_total =
            (uint64_t)(raylet->here.total.known[RESOURCE_OBJECT_STORE_MEMORY] / QUANTITY_ONE),
        .leases = list_len(&raylet->granted),
        .leases_waiting = list_len(&raylet->waiting),
    };
    for (size_t i = 0; i < question->len; i++)
        add_process(raylet, &question->asked[i], &m);
    m.envs_len = workenvs_list(raylet, &arena, &m.envs);
    objects_count(raylet, &m.store_places, &m.spilled_objects, &m.spilled_bytes);
    question->done(question->ctx, &m);
    question_free(question);
}

static void on_process(void *argument, const RpcReply *reply) {
    Asked *asked = argument;
    StateQuestion *question = asked->question;
    asked->call = 0;
    if (reply->result == -ECANCELED)
        return;
    asked->answered = reply->result == 0 && reply->len <= STATES_BYTES_MAX - question->bytes;
    if (asked->answered) {
        buf_add(&asked->state, reply->body, reply->len);
        question->bytes += reply->len;
    }
    if (--question->awaited == 0)
        question_answer(question);
}

/* An idle worker that never ran anything has nothing to tell. */
static bool worth_asking(const Local *local) {
    return local->role == ROLE_DRIVER || (local->worker && !id_is_unset(&local->worker->job));
}

void state_ask(Raylet *raylet, const StateGet *get, StateDone *done, void *ctx) {
    StateQuestion *question = mem_new(StateQuestion);
    question->raylet = raylet;
    question->done = done;
    question->ctx = ctx;
    question->asked = mem_array(Asked, raylet->locals_len + 1);
    list_push(&raylet->questions, &question->link);
    raylet->questions_len++;
    _cleanup_buf_ Buf body = { 0 };
    state_get_encode(get, &body);
    question->awaited = 1; /* ours, until all are asked */
    LIST_EACH(item, &raylet->locals) {
        const Local *local = LIST_ITEM(item, Local, link);
        if (!local->welcomed || (local->role != ROLE_DRIVER && local->role != ROLE_WORKER))
            continue;
        Asked *asked = &question->asked[question->len++];
        *asked = (Asked){ .question = question, .peer = local->peer };
        if (!worth_asking(local))
            continue;
        question->awaited++;
        asked->call = raylet_call(raylet, local->peer, MSG_STATE_GET, &body, PROCESS_PATIENCE,
                                  on_process, asked);
    }
    if (--question->awaited == 0)
        question_answer(question);
}

typedef struct Caller { /* who asked by a frame */
    Raylet *raylet;
    FrameHeader call;
} Caller;

static void answer_caller(void *ctx, const NodeDetails *details) {
    Caller *caller = ctx;
    _cleanup_buf_ Buf body = { 0 };
    if (details) {
        node_details_encode(details, &body);
        raylet_reply(caller->raylet, &caller->call, MSG_NODE_DETAILS, &body);
    }
    free(caller);
}

void state_on_get(Raylet *raylet, RayletCall *call) {
    StateGet get;
    RAYLET_DECODE(raylet, call, state_get_decode, &get);
    if (raylet->questions_len >= STATE_QUESTIONS_MAX) {
        raylet_reply_status(raylet, call->header, STATUS_CODE_BUSY,
                            "this node is asked for its state too often at a time");
        return;
    }
    Caller *caller = mem_new(Caller);
    *caller = (Caller){ raylet, *call->header };
    state_ask(raylet, &get, answer_caller, caller);
}
