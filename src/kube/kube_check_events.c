/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/event.h"
#include "kube/kube_check.h"

static const KubeGvr events_gvr = { "events.k8s.io", "v1", "events" };

static json_t *find_event(Check *c, const KubeGvr gvr, const char *reason) {
    size_t i;
    json_t *item;
    ask(c, &(KubeRequest){ .gvr = gvr, .namespace = c->namespace });
    json_array_foreach(json_at(c->body, "items"), i, item) {
        if (str_eq(json_str_at(item, "reason"), reason))
            return item;
    }
    return NULL;
}

static int count_events(Check *c, const char *reason) {
    size_t i;
    json_t *item;
    int count = 0;
    ask(c, &(KubeRequest){ .gvr = events_gvr, .namespace = c->namespace });
    json_array_foreach(json_at(c->body, "items"), i, item) {
        count += str_eq(json_str_at(item, "reason"), reason);
    }
    return count;
}

static void check_related_events(Check *c, EventRecorder *recorder, json_t *subject) {
    static const char *const names[] = { "one", "two", "one" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        _cleanup_json_ json_t *related =
            json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", "ConfigMap", "metadata",
                      "name", names[i]);
        event_record(recorder, subject, related, EVENT_NORMAL, "Made", NULL, "made %s", names[i]);
    }
    WAIT_FOR(c, count_events(c, "Made") == 2);
    json_t *event = find_event(c, events_gvr, "Made");
    EXPECT(c, event && json_str_at(event, "related", "name"));
}

static void check_deleted_event(Check *c, EventRecorder *recorder, json_t *subject) {
    json_t *event = find_event(c, events_gvr, "Checked");
    _cleanup_free_ char *name = str_dup(json_str_at(event, "metadata", "name"));
    EXPECT(c, ask(c, &(KubeRequest){ .verb = KUBE_DELETE,
                                     .gvr = events_gvr,
                                     .namespace = c->namespace,
                                     .name = name }) == KUBE_OK);
    event_record(recorder, subject, NULL, EVENT_WARNING, "Checked", "Check", "try again");
    WAIT_FOR(c, (event = find_event(c, events_gvr, "Checked")) &&
                    json_int_at(event, 0, "series", "count") == 4);
}

void check_events(Check *c) {
    EXPECT(c, create_map(c, "subject", "1") == 0);
    _cleanup_json_ json_t *subject = json_incref(c->body);
    EventRecorder *recorder = event_recorder_new(c->client, "example.org/checker", "me");
    for (int i = 0; i < 3; i++)
        event_record(recorder, subject, NULL, EVENT_WARNING, "Checked", "Check", "try %d", i);
    json_t *event = NULL;
    WAIT_FOR(c, (event = find_event(c, events_gvr, "Checked")) &&
                    json_int_at(event, 0, "series", "count") == 3);
    EXPECT(c, event && str_eq(json_str_at(event, "note"), "try 0"));
    EXPECT(c, event && str_eq(json_str_at(event, "regarding", "name"), "subject"));
    check_related_events(c, recorder, subject);
    check_deleted_event(c, recorder, subject);
    event_recorder_free(recorder);
    static const KubeGvr core = { "", "v1", "events" };
    recorder = event_recorder_new(c->client, "checker", "");
    event_recorder_use_core(recorder);
    event_record(recorder, subject, NULL, EVENT_NORMAL, "Older", NULL, "same");
    event_record(recorder, subject, NULL, EVENT_NORMAL, "Older", NULL, "same");
    WAIT_FOR(c, (event = find_event(c, core, "Older")) && json_int_at(event, 0, "count") == 2);
    EXPECT(c, event_recorder_dropped(recorder) == 0);
    event_recorder_free(recorder);
}
