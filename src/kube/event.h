/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Events that `kubectl describe` shows. The same event again within six minutes becomes a series
 * (one object with a count) instead of a new object; one whose object was deleted meanwhile gets it
 * anew. Sent in the background, bounded, best effort: an event that cannot be delivered is dropped
 * and counted.
 */

#include "kube/client.h"

typedef struct EventRecorder EventRecorder;

typedef enum EventType {
    EVENT_NORMAL,
    EVENT_WARNING,
} EventType;

/* `controller` such as "ray.io/raycluster-controller"; `instance` the process (pod name). */
EventRecorder *event_recorder_new(KubeClient *client, const char *controller, const char *instance);
EventRecorder *event_recorder_free(EventRecorder *recorder);
DEFINE_CLEANUP(EventRecorder *, event_recorder_free);

/* Note: what happened, at most 1 KiB. `regarding` has apiVersion, kind and metadata, and so has
 * `related`, a second object that it happened to (may be NULL). `reason` is a CamelCase word
 * ("CreatedHeadPod"), `action` what was done (NULL: the reason). Events that differ in none of these
 * are the same, whatever their notes say: the first one's is kept. */
void event_record(EventRecorder *recorder, const json_t *regarding, const json_t *related,
                  EventType type, const char *reason, const char *action, const char *format, ...)
    _printf_(7, 8);
/* events.k8s.io/v1 by default; core v1 events as client-go's older recorder writes them
 * (count, firstTimestamp; another note is another event). */
void event_recorder_use_core(EventRecorder *recorder);
uint64_t event_recorder_dropped(const EventRecorder *recorder);
