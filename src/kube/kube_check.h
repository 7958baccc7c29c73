/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of kube-check share: one scenario is one function, on a namespace of its own. */

#include <string.h>

#include "base/str.h"
#include "kobj/meta.h"
#include "kube/client.h"

#define CHECK_PATIENCE (20 * USEC_PER_SEC)

#define CHECK_CONFIGMAPS ((KubeGvr){ "", "v1", "configmaps" })
#define CHECK_NAMESPACES ((KubeGvr){ "", "v1", "namespaces" })

typedef struct Check {
    Loop *loop;
    HttpClient *http;
    KubeClient *client;
    char *namespace;
    int faults;
    /* The last answer. */
    bool answered;
    int r, status;
    json_t *body, *details;
    char *message, *reason;
} Check;

/* A condition that did not hold, with the last answer. */
void check_fault(Check *c, const char *file, int line, const char *what);

#define EXPECT(c, condition)                                                                       \
    do {                                                                                           \
        if (!(condition))                                                                          \
            check_fault((c), __FILE__, __LINE__, #condition);                                      \
    } while (0)

/* Until it holds, or for too long. */
#define WAIT_FOR(c, condition)                                                                     \
    do {                                                                                           \
        usec_t until_ = loop_deadline((c)->loop, CHECK_PATIENCE);                                  \
        while (!(condition) && loop_now((c)->loop) < until_)                                       \
            loop_tick((c)->loop, until_);                                                          \
        EXPECT(c, condition);                                                                      \
    } while (0)

/* Sends and waits; the answer's `r`. */
int ask(Check *c, const KubeRequest *request);

/* ConfigMaps with one label (app) and one key, both `value`. */
json_t *make_map(const Check *c, const char *name, const char *value);
int create_map(Check *c, const char *name, const char *value);
int get_map(Check *c, const char *name);
int delete_map(Check *c, const char *name, const char *uid);
int patch_map(Check *c, const char *name, KubePatch kind, const char *text, const char *manager,
              bool force);

/* ---- kube_check_objects.c ---- */
void check_raw(Check *c);
void check_objects(Check *c);
void check_patches(Check *c);
void check_lists(Check *c);
void check_manifests(Check *c);

/* ---- kube_check_follow.c ---- */
void check_watch(Check *c);
void check_informer(Check *c);
void check_leader(Check *c);

/* ---- kube_check_events.c ---- */
void check_events(Check *c);

/* ---- kube_check_modes.c: until SIGTERM ---- */
/* Prints what an informer of ConfigMaps tells. */
_must_check_ int follow(Check *c, const char *namespace);
/* Prints when it begins and ceases to lead. */
_must_check_ int lead(Check *c, const char *identity);
