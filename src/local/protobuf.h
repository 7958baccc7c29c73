/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Bodies in Kubernetes' protobuf encoding, which the typed clients of kubectl (`create namespace`,
 * `drain`) and of Go controllers send. Reading only: answers are JSON, which they all accept.
 */

#include <jansson.h>

#include "base/base.h"
#include "base/str.h"

#define PROTOBUF_CONTENT_TYPE "application/vnd.kubernetes.protobuf"

enum {
    PROTOBUF_UNKNOWN_KIND = 1 /* well-formed, but no kind we have a table for: 415 */
};

/* The object in an envelope ("k8s\0" and runtime.Unknown), as JSON would have said it, with
 * apiVersion and kind: a new reference. -EINVAL with a sentence if it is none. */
_must_check_ int protobuf_decode(Slice bytes, json_t **ret_object);
