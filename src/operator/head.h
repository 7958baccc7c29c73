/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Talking to Ray heads: the state of one job each, asked again and again while it is wanted, and
 * submitting and stopping it. Straight to the head's Service, or through the API server's service
 * proxy. A head that does not answer costs nobody else anything: every request has its own
 * deadline, and a silent head is asked less and less often.
 */

#include "kube/client.h"
#include "operator/plan.h"

typedef struct Heads Heads;
typedef struct HeadWatch HeadWatch;

/* `http` for straight requests, `client` for proxied ones and for tokens. */
Heads *heads_new(KubeClient *client, HttpClient *http, bool proxy);
/* All watches have been freed before. */
Heads *heads_free(Heads *heads);
DEFINE_CLEANUP(Heads *, heads_free);

/* Where a job is to be found. Copied. */
typedef struct HeadTarget {
    const char *namespace_, *service; /* of the head, for the proxy */
    const char *address;              /* status.dashboardURL: "host:port" */
    const char *secret;               /* with the token; NULL: none is needed */
    const char *job_id;
} HeadTarget;

/* `changed` is called when the report has, never from inside a call of this header. */
HeadWatch *head_watch_new(Heads *heads, LoopFn *changed, void *ctx);
HeadWatch *head_watch_free(HeadWatch *watch);
DEFINE_CLEANUP(HeadWatch *, head_watch_free);
/* Another target than before forgets what the former one said. */
void head_watch_aim(HeadWatch *watch, const HeadTarget *target);
/* Begins or stops asking. */
void head_watch_ask(HeadWatch *watch, bool on);
/* Borrowed until the watch's next callback. */
HeadReport head_watch_report(const HeadWatch *watch);

/* Answers: 0, or negative with a sentence. One at a time for a watch; freeing it cancels. A call
 * that returns negative itself is not answered, and `changed` not called. */
typedef void HeadDoneFn(void *ctx, int r, const char *message);
/* POST /api/jobs/. A failure also becomes the report: HEAD_REFUSED, and the head is not asked any
 * more, or HEAD_BUSY, and it is asked again after a while, a longer one each time. Success asks anew
 * at once. */
_must_check_ int head_watch_submit(HeadWatch *watch, const json_t *body, HeadDoneFn *fn, void *ctx);
_must_check_ int head_watch_stop(HeadWatch *watch, const char *job_id, HeadDoneFn *fn, void *ctx);
/* The submission or stop under way gets no answer. */
void head_watch_cancel(HeadWatch *watch);
