/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/event.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "kobj/meta.h"

enum {
    SERIES_MAX = 1024, /* remembered; beyond, the oldest that is told is forgotten */
    NOTE_MAX = 1024,
    TRIES_MAX = 5
};
#define SERIES_WINDOW (6 * USEC_PER_MIN)
#define SEND_PERIOD   USEC_PER_SEC /* repetitions within it are one write */

/* One event object on the server and how often it happened. */
typedef struct Series {
    List link;
    EventRecorder *recorder;
    char *key, *namespace, *name;
    json_t *object; /* as its first occurrence has it */
    bool created;   /* it is on the server */
    int64_t count, sent_count;
    usec_t last, last_wall, try_at;
    unsigned tries;
    KubeCall *call;
} Series;

struct EventRecorder {
    KubeClient *client;
    char *controller, *instance;
    bool core;
    StrMap by_key;
    List series; /* Series.link, oldest first */
    size_t series_count;
    LoopTimer *timer;
    uint64_t dropped;
};

static void send_due(void *ctx);

EventRecorder *event_recorder_new(KubeClient *client, const char *controller,
                                  const char *instance) {
    EventRecorder *recorder = mem_new(EventRecorder);
    recorder->client = client;
    recorder->controller = str_dup(controller);
    recorder->instance = str_dup(instance);
    list_init(&recorder->series);
    recorder->timer = loop_timer_new(kube_client_loop(client), send_due, recorder);
    return recorder;
}

static void series_free(Series *series) {
    kube_call_free(series->call);
    list_remove(&series->link);
    strmap_remove(&series->recorder->by_key, series->key);
    series->recorder->series_count--;
    json_decref(series->object);
    mem_free(series->key);
    mem_free(series->namespace);
    mem_free(series->name);
    mem_free(series);
}

EventRecorder *event_recorder_free(EventRecorder *recorder) {
    if (!recorder)
        return NULL;
    LIST_EACH_SAFE(item, &recorder->series)
        series_free(LIST_ITEM(item, Series, link));
    strmap_done(&recorder->by_key);
    loop_timer_free(recorder->timer);
    mem_free(recorder->controller);
    mem_free(recorder->instance);
    return mem_free(recorder);
}

void event_recorder_use_core(EventRecorder *recorder) {
    recorder->core = true;
}

uint64_t event_recorder_dropped(const EventRecorder *recorder) {
    return recorder->dropped;
}

static KubeGvr gvr_of(const EventRecorder *recorder) {
    return recorder->core ? (KubeGvr){ "", "v1", "events" }
                          : (KubeGvr){ "events.k8s.io", "v1", "events" };
}

static json_t *reference_to(const json_t *object) {
    static const char *const fields[] = { "namespace", "name", "uid", "resourceVersion" };
    json_t *reference = json_object();
    if (obj_api_version(object))
        json_object_set_new(reference, "apiVersion", json_string(obj_api_version(object)));
    if (obj_kind(object))
        json_object_set_new(reference, "kind", json_string(obj_kind(object)));
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        const char *value = json_str_at(object, "metadata", fields[i]);
        if (value)
            json_object_set_new(reference, fields[i], json_string(value));
    }
    if (json_str_at(object, "fieldPath"))
        json_object_set(reference, "fieldPath", json_at(object, "fieldPath"));
    return reference;
}

static const char *type_text(EventType type) {
    return type == EVENT_WARNING ? "Warning" : "Normal";
}

/* An event object as the first occurrence has it. */
static json_t *make_object(const EventRecorder *recorder, const Series *series,
                           const json_t *regarding, EventType type, const char *reason,
                           const char *action, const char *note) {
    char iso[TIME_TEXT_MAX], seconds[TIME_TEXT_MAX];
    time_format_iso(series->last_wall, iso);
    time_format_rfc3339(series->last_wall, seconds);
    json_t *object =
        json_pack("{s:s,s:s,s:{s:s,s:s},s:s,s:s,s:s}", "apiVersion",
                  recorder->core ? "v1" : "events.k8s.io/v1", "kind", "Event", "metadata", "name",
                  series->name, "namespace", series->namespace, "type", type_text(type), "reason",
                  reason, "reportingInstance", recorder->instance);
    json_object_set_new(object, recorder->core ? "involvedObject" : "regarding",
                        reference_to(regarding));
    json_object_set_new(object, recorder->core ? "message" : "note", json_string(note));
    json_object_set_new(object, recorder->core ? "reportingComponent" : "reportingController",
                        json_string(recorder->controller));
    if (recorder->core) {
        json_object_set_new(object, "source",
                            json_pack("{s:s}", "component", recorder->controller));
        json_object_set_new(object, "firstTimestamp", json_string(seconds));
        json_object_set_new(object, "lastTimestamp", json_string(seconds));
        json_object_set_new(object, "count", json_integer(1));
    } else {
        json_object_set_new(object, "eventTime", json_string(iso));
        json_object_set_new(object, "action", json_string(action));
    }
    return object;
}

/* What repetitions change of it. */
static json_t *make_patch(const EventRecorder *recorder, const Series *series) {
    char text[TIME_TEXT_MAX];
    if (recorder->core) {
        time_format_rfc3339(series->last_wall, text);
        return json_pack("{s:I,s:s}", "count", (json_int_t)series->count, "lastTimestamp", text);
    }
    time_format_iso(series->last_wall, text);
    return json_pack("{s:{s:I,s:s}}", "series", "count", (json_int_t)series->count,
                     "lastObservedTime", text);
}

static void arm(EventRecorder *recorder) {
    if (!loop_timer_armed(recorder->timer))
        loop_timer_after(recorder->timer, SEND_PERIOD);
}

static void on_sent(void *ctx, const KubeReply *reply) {
    Series *series = ctx;
    EventRecorder *recorder = series->recorder;
    series->call = NULL;
    bool gone = series->created && reply->r == KUBE_NOT_FOUND; /* somebody deleted it */
    if (reply->r == 0 || reply->r == KUBE_EXISTS) {
        series->created = true;
        series->tries = 0;
    } else if ((gone || reply->r == KUBE_BUSY || reply->r < 0) && ++series->tries < TRIES_MAX) {
        usec_t wait = MAX(reply->retry_after, SEND_PERIOD << series->tries);
        series->try_at = loop_deadline(kube_client_loop(recorder->client), wait);
        series->created &= !gone;
        series->sent_count = series->created ? series->sent_count - 1 : 0; /* not delivered */
    } else {
        recorder->dropped++;
        series_free(series);
    }
    arm(recorder);
}

static void send(Series *series) {
    EventRecorder *recorder = series->recorder;
    series->sent_count = series->count;
    _cleanup_json_ json_t *patch = make_patch(recorder, series);
    if (!series->created) {
        if (series->count > 1)
            json_object_update(series->object, patch);
        series->call = kube_create(recorder->client, gvr_of(recorder), series->namespace,
                                   series->object, on_sent, series);
        return;
    }
    series->call = kube_patch(recorder->client, gvr_of(recorder), series->namespace, series->name,
                              KUBE_PATCH_MERGE, patch, on_sent, series);
}

static bool series_pending(const Series *series) {
    return !series->created || series->count > series->sent_count;
}

static void send_due(void *ctx) {
    EventRecorder *recorder = ctx;
    usec_t now = loop_now(kube_client_loop(recorder->client));
    LIST_EACH_SAFE(item, &recorder->series) {
        Series *series = LIST_ITEM(item, Series, link);
        bool pending = series_pending(series);
        if (!series->call && pending && now >= series->try_at)
            send(series);
        else if (!series->call && !pending && now - series->last > SERIES_WINDOW)
            series_free(series);
    }
    if (recorder->series_count)
        arm(recorder);
}

/* As in Kubernetes' own recorders: what core events say tells them apart, of the newer ones it is
 * what they are about. */
static char *series_key(const EventRecorder *recorder, const json_t *regarding,
                        const json_t *related, EventType type, const char *reason,
                        const char *action, const char *note) {
    const char *uid = obj_uid(regarding), *name = obj_name(regarding);
    const char *other = related ? obj_name(related) : NULL;
    return str_printf("%s\n%s\n%s\n%d\n%s\n%s\n%s", uid ? uid : "", name ? name : "",
                      other ? other : "", (int)type, reason, action, recorder->core ? note : "");
}

/* False: all that are remembered have yet to be told. */
static bool make_room(EventRecorder *recorder) {
    if (recorder->series_count < SERIES_MAX)
        return true;
    LIST_EACH(item, &recorder->series) {
        Series *series = LIST_ITEM(item, Series, link);
        if (series->call || series_pending(series))
            continue;
        series_free(series);
        return true;
    }
    return false;
}

/* Cut at a character's border. */
static void cut_note(char *note) {
    size_t len = strlen(note);
    if (len <= NOTE_MAX)
        return;
    for (len = NOTE_MAX; len && ((unsigned char)note[len] & 0xc0) == 0x80;)
        len--;
    note[len] = 0;
}

void event_record(EventRecorder *recorder, const json_t *regarding, const json_t *related,
                  EventType type, const char *reason, const char *action, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    _cleanup_free_ char *note = str_vprintf(format, ap);
    va_end(ap);
    cut_note(note);
    action = action ? action : reason;
    Loop *loop = kube_client_loop(recorder->client);
    _cleanup_free_ char *key = series_key(recorder, regarding, related, type, reason, action, note);
    Series *series = strmap_get(&recorder->by_key, key);
    if (series && loop_now(loop) - series->last <= SERIES_WINDOW) {
        series->count++;
        series->last = loop_now(loop);
        series->last_wall = loop_wall_now(loop);
        arm(recorder);
        return;
    }
    if (series)
        series_free(series); /* too long ago: a new one */
    if (!make_room(recorder)) {
        recorder->dropped++;
        return;
    }
    const char *namespace = obj_namespace(regarding), *name = obj_name(regarding);
    uint64_t random;
    mem_random(&random, sizeof(random));
    series = mem_new(Series);
    series->recorder = recorder;
    series->key = TAKE(key);
    series->namespace = str_dup(str_empty(namespace) ? "default" : namespace);
    series->name =
        str_printf("%.200s.%016llx", name ? name : "unnamed", (unsigned long long)random);
    series->count = 1;
    series->last = loop_now(loop);
    series->last_wall = loop_wall_now(loop);
    series->object = make_object(recorder, series, regarding, type, reason, action, note);
    if (related)
        json_object_set_new(series->object, "related", reference_to(related));
    strmap_put(&recorder->by_key, series->key, series);
    list_push(&recorder->series, &series->link);
    recorder->series_count++;
    send(series);
    arm(recorder);
}
