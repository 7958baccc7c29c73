/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The EndpointSlices of a Service: a pure function of the Service and the pods it selects. Pods
 * whose named target ports differ go to different slices; a slice holds at most 100 endpoints.
 */

#include <jansson.h>

#include "base/base.h"

#define ENDPOINTS_SERVICE_LABEL    "kubernetes.io/service-name"
#define ENDPOINTS_MANAGED_BY_LABEL "endpointslice.kubernetes.io/managed-by"
#define ENDPOINTS_MANAGED_BY       "endpointslice-controller.k8s.io"

enum {
    ENDPOINTS_PER_SLICE_MAX = 100
};

/* A new array of EndpointSlices without names (generateName is set). `pods` are those that the
 * selector takes. At least one slice, empty if need be, as Kubernetes keeps one. */
json_t *endpoints_plan_make(const json_t *service, json_t *const *pods, size_t len);
/* Whether a stored slice already says what the wanted one does. */
bool endpoints_same(const json_t *stored, const json_t *wanted);
