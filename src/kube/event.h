/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Events that `kubectl describe` shows. The same event again within six minutes becomes a series
 * (one object with a count) instead of a new object. Sent in the background, bounded, best effort:
 * an event that cannot be delivered is dropped and counted.
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

/* Note: what happened, at most 1 KiB. `regarding` has apiVersion, kind and metadata. `reason` is a
 * CamelCase word ("CreatedHeadPod"), `action` what was done (NULL: the reason). */
void event_record(EventRecorder *recorder, const json_t *regarding, EventType type,
                  const char *reason, const char *action, const char *format, ...) _printf_(6, 7);
/* events.k8s.io/v1 by default; core v1 events as client-go's older recorder writes them
 * (count, firstTimestamp), for users' field selectors on involvedObject. */
void event_recorder_use_core(EventRecorder *recorder);
uint64_t event_recorder_dropped(const EventRecorder *recorder);
