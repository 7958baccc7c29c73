/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "api/jobs.h"
#include "base/error.h"
#include "base/log.h"
#include "codec/json.h"
#include "gcs/gcs_private.h"

/*
 * Finding a node for a submitted job and having it started there. The node is picked from the view
 * and its raylet looks for itself: what it answers BUSY it has not begun, and the job waits for
 * news as before. A start that is asked for again (gcs began anew, a connection broke) is none:
 * the raylet knows the job by its state file.
 */

enum {
    SHAPES_SEEN = 32
};

static int submission_save(const GcsSubmission *s) {
    int r = submission_store(s);
    if (r == 0)
        gcs_log(s->gcs);
    else
        log_warn("job %s: %s", s->id, error_text(r));
    return r;
}

void submission_wait(GcsSubmission *s) {
    list_remove(&s->waiting);
    list_push(&s->gcs->submissions_waiting, &s->waiting);
    loop_task_arm(s->gcs->schedule_task);
}

static void set_node(GcsSubmission *s, const GcsNode *node) {
    s->node = node ? node->sched.id : (NodeId){ 0 };
    s->asked = false;
    json_set_at(s->record, node ? json_string(ID_HEX(&s->node)) : json_null(), "driver_node_id");
    json_t *agent = json_null();
    if (node)
        agent = json_sprintf("http://%s:%u", node->ip ? node->ip : "", node->agent_port);
    json_set_at(s->record, agent, "driver_agent_http_address");
}

/* ---- asking the node ---- */

/* Nothing was begun there. */
static void not_begun(GcsSubmission *s) {
    set_node(s, NULL);
    if (s->stopping)
        submission_stopped(s);
    else
        list_push(&s->gcs->submissions_waiting, &s->waiting); /* the node reports after that */
    submission_save(s);
}

static void on_run_done(void *argument, const RpcReply *reply) {
    GcsSubmission *s = argument;
    s->run_call = 0;
    if (reply->result == -ECANCELED || submission_ended(s))
        return;
    /* The node may have begun it before its connection broke: it is asked again when it is back. */
    if (reply->result != 1 || reply->status.code == STATUS_CODE_OK)
        return;
    if (reply->status.code == STATUS_CODE_BUSY) {
        not_begun(s);
        return;
    }
    _cleanup_free_ char *text = str_dup_slice(reply->status.text);
    _cleanup_free_ char *message =
        str_printf("Job supervisor actor could not be scheduled: %s", text);
    submission_fail(s, "JOB_SUPERVISOR_ACTOR_START_FAILURE", message);
}

/* The node's name is in the log: a gcs that starts again knows that it may have been asked. And a
 * node that has just joined has our answer before this. */
static void ask_node(Gcs *gcs, const char *id) {
    GcsSubmission *s = strmap_get(&gcs->submissions, id);
    if (!s || s->run_call || id_is_unset(&s->node) || submission_ended(s))
        return;
    GcsNode *node = nodes_get(gcs, &s->node);
    if (!node || !node->conn) /* it is back soon, or dead */
        return;
    if (s->stopping && !s->asked) {
        nodes_uncharge(gcs, &s->node, &s->resources, s->charged);
        not_begun(s);
        return;
    }
    _cleanup_arena_ Arena arena = { 0 };
    _cleanup_buf_ Buf text = { 0 }, body = { 0 };
    json_encode(s->record, 0, &text);
    JobRun message = { .submission = slice_str(s->id),
                       .record = buf_slice(&text),
                       .token = buf_slice(&gcs->token) };
    message.resources = resources_to_wire(&s->resources, &arena, &message.resources_len);
    job_run_encode(&message, &body);
    s->run_call = rpc_call(gcs->rpc, peer_make(node->index, node->incarnation, 0), MSG_JOB_RUN,
                           &body, USEC_INFINITY, on_run_done, s);
    s->asked = true;
    if (s->stopping) /* it may not have had the former question, and begins it now */
        submission_stop(s);
}

void submission_stop(GcsSubmission *s) {
    Gcs *gcs = s->gcs;
    GcsNode *node = nodes_get(gcs, &s->node);
    s->stopping = true;
    if (!node || !s->asked)
        return;
    JobRunStop message = { .submission = slice_str(s->id) };
    _cleanup_buf_ Buf body = { 0 };
    job_run_stop_encode(&message, &body);
    gcs_send(gcs, peer_make(node->index, node->incarnation, 0), MSG_JOB_RUN_STOP, &body);
}

static void launch(GcsSubmission *s, GcsNode *node) {
    list_remove(&s->waiting);
    set_node(s, node);
    _cleanup_free_ char *message = job_usual_message(s->record, "PENDING");
    json_set_at(s->record, json_string(message), "message");
    s->charged = nodes_charge(node, &s->resources);
    if (submission_store(s) == 0)
        gcs_log_then(s->gcs, ask_node, s->id);
}

/* ---- what it waits for ---- */

/* The most that one node has of it. */
static Quantity most_of(const SchedView *view, const char *name) {
    Quantity most = 0;
    for (size_t i = 0; i < view->len; i++)
        if (view->nodes[i]->schedulable)
            most = MAX(most, resources_get(&view->nodes[i]->total, name));
    return most;
}

static bool labels_match_some(const SchedView *view, const LabelSelector *labels) {
    for (size_t i = 0; i < view->len; i++)
        if (view->nodes[i]->schedulable && label_selector_matches(labels, &view->nodes[i]->labels))
            return true;
    return false;
}

/* Why no node that is there could ever take it. */
static void say_missing(const GcsSubmission *s, const SchedView *view, Buf *out) {
    const char *name, *before = "";
    Quantity want;
    size_t start = out->len;
    for (size_t i = 0; resources_at(&s->resources, i, &name, &want); i++) {
        Quantity most = most_of(view, name);
        if (most >= want)
            continue;
        buf_printf(out, "%s", before);
        resource_quantity_format(want, out);
        buf_printf(out, " %s where no node has more than ", name);
        resource_quantity_format(most, out);
        before = ", ";
    }
    if (out->len > start)
        return;
    if (!labels_match_some(view, &s->labels))
        buf_printf(out, "a node with its labels, which none has");
    else
        buf_printf(out, "more than any single node has of all it asks for together");
}

/* A job that is bound to the head waits for that only. */
static void tell_why(GcsSubmission *s, SchedAnswer answer) {
    _cleanup_free_ char *usual = job_usual_message(s->record, "PENDING");
    _cleanup_buf_ Buf text = { 0 };
    buf_printf(&text, "%s", usual);
    if (s->placed && answer == SCHED_INFEASIBLE) {
        SchedView view = nodes_view(s->gcs);
        buf_printf(&text, " The entrypoint needs ");
        say_missing(s, &view, &text);
        buf_printf(&text, ": add a node that has it, or stop the job and ask for less.");
    }
    buf_add_char(&text, 0);
    if (str_eq(json_str_at(s->record, "message"), text.data))
        return;
    json_set_at(s->record, json_string(text.data), "message");
    submission_save(s);
}

static SchedAnswer pick(GcsSubmission *s, GcsNode **ret_node) {
    Gcs *gcs = s->gcs;
    if (!s->placed) {
        GcsNode *head = nodes_head(gcs);
        *ret_node = head;
        return head && head->conn ? SCHED_FOUND : SCHED_WAIT;
    }
    NodeId none = { 0 };
    const SchedNode *found = NULL;
    SchedRequest request = { .resources = &s->resources, .labels = &s->labels };
    SchedAnswer answer = sched_pick(&gcs->sched, nodes_view(gcs), &none, &request, &found);
    if (answer == SCHED_FOUND)
        *ret_node = nodes_get(gcs, &found->id);
    return answer;
}

static usec_t give_up_at(const GcsSubmission *s) {
    uint64_t started = (uint64_t)json_int_at(s->record, 0, "start_time");
    return (usec_t)started * USEC_PER_MSEC + s->gcs->job_start_timeout;
}

static bool given_up(GcsSubmission *s) {
    if ((usec_t)gcs_wall_ms(s->gcs) * USEC_PER_MSEC < give_up_at(s))
        return false;
    _cleanup_free_ char *message = str_printf(
        "Job supervisor actor failed to start within %g seconds. This timeout can be configured by "
        "setting the environment variable RAY_JOB_START_TIMEOUT_SECONDS.%s",
        (double)s->gcs->job_start_timeout / (double)USEC_PER_SEC,
        s->placed ? " This may be because the job entrypoint's specified resources "
                    "(entrypoint_num_cpus, entrypoint_num_gpus, entrypoint_resources, "
                    "entrypoint_memory) aren't available on the cluster. Try checking the "
                    "cluster's available resources with `ray status` and specifying fewer "
                    "resources for the job entrypoint."
                  : "");
    submission_fail(s, "JOB_SUPERVISOR_ACTOR_START_TIMEOUT", message);
    return true;
}

/* False: it waits on; *ret_full says that it would fit when something else ends. */
static bool try_launch(GcsSubmission *s, bool *ret_full) {
    GcsNode *node = NULL;
    SchedAnswer answer = pick(s, &node);
    *ret_full = s->placed && answer == SCHED_WAIT;
    if (answer == SCHED_FOUND) {
        launch(s, node);
        return true;
    }
    tell_why(s, answer);
    return false;
}

static uint64_t shape_of(const GcsSubmission *s) {
    return resources_hash(&s->resources) * 31 + label_selector_hash(&s->labels);
}

/* The oldest first; of those that ask for the same only the first is tried where it finds no room. */
void submissions_schedule_pending(Gcs *gcs) {
    uint64_t full[SHAPES_SEEN];
    size_t full_len = 0;
    usec_t next = USEC_INFINITY;
    List todo;
    list_init(&todo);
    list_splice(&todo, &gcs->submissions_waiting);
    List *link;
    while ((link = list_pop(&todo))) {
        GcsSubmission *s = LIST_ITEM(link, GcsSubmission, waiting);
        uint64_t shape = shape_of(s);
        bool seen = false, is_full = false;
        if (given_up(s))
            continue;
        for (size_t i = 0; i < full_len && s->placed; i++)
            seen |= full[i] == shape;
        if (!seen && try_launch(s, &is_full))
            continue;
        if (is_full && full_len < SHAPES_SEEN)
            full[full_len++] = shape;
        list_push(&gcs->submissions_waiting, &s->waiting);
        next = MIN(next, give_up_at(s));
    }
    usec_t wall = (usec_t)gcs_wall_ms(gcs) * USEC_PER_MSEC;
    if (next == USEC_INFINITY)
        loop_timer_stop(gcs->submission_timer);
    else /* a millisecond more: the wall clock is asked in those */
        loop_timer_after(gcs->submission_timer, MAX(next - wall, 0) + USEC_PER_MSEC);
}

static void on_timer(void *ctx) {
    submissions_schedule_pending(ctx);
}

size_t submissions_demands(const Gcs *gcs, Arena *arena, Demand **ret_demands) {
    enum {
        DEMANDS_MAX = 100
    };
    Demand *demands = arena_array(arena, Demand, DEMANDS_MAX);
    const ResourceSet *shapes[DEMANDS_MAX];
    size_t len = 0;
    LIST_EACH(item, &gcs->submissions_waiting) {
        const GcsSubmission *s = LIST_ITEM(item, GcsSubmission, waiting);
        size_t i = 0;
        while (i < len && !resources_equal(shapes[i], &s->resources))
            i++;
        if (i == DEMANDS_MAX || resources_empty(&s->resources))
            continue;
        if (i == len) {
            shapes[len++] = &s->resources;
            demands[i].resources =
                resources_to_wire(&s->resources, arena, &demands[i].resources_len);
        }
        demands[i].count++;
    }
    *ret_demands = demands;
    return len;
}

/* What was asked of it and not answered is asked again; a stop may have been lost on its way. */
void submissions_node_joined(Gcs *gcs, const GcsNode *node) {
    GcsSubmission *s;
    size_t pos = 0;
    while ((s = strmap_next(&gcs->submissions, &pos, NULL))) {
        if (submission_ended(s) || !id_equal(&s->node, &node->sched.id))
            continue;
        if (!s->run_call && str_eq(json_str_at(s->record, "status"), "PENDING"))
            gcs_log_then(gcs, ask_node, s->id);
        if (s->stopping)
            submission_stop(s);
    }
}

void submission_places_init(Gcs *gcs) {
    list_init(&gcs->submissions_waiting);
    gcs->submission_timer = loop_timer_new(gcs->loop, on_timer, gcs);
}
