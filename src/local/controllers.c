/* SPDX-License-Identifier: Apache-2.0 */
#include "local/controllers.h"

#include "local/controllers_private.h"

enum {
    PLAIN_MAX = 5
};

struct Controllers {
    Controller *plain[PLAIN_MAX]; /* nothing but the common part */
    Controller *scheduler, *nodes, *garbage;
};

Controllers *controllers_new(Api *api) {
    Controllers *controllers = mem_new(Controllers);
    /* CRDs first: the others may meet objects of theirs in the same event round. */
    controllers->plain[0] = crd_controller_new(api);
    controllers->plain[1] = namespace_controller_new(api);
    controllers->plain[2] = job_controller_new(api);
    controllers->plain[3] = endpoints_controller_new(api);
    controllers->scheduler = scheduler_controller_new(api);
    controllers->plain[4] = event_controller_new(api);
    controllers->nodes = node_controller_new(api);
    controllers->garbage = garbage_controller_new(api);
    return controllers;
}

Controllers *controllers_free(Controllers *controllers) {
    if (!controllers)
        return NULL;
    for (size_t i = 0; i < PLAIN_MAX; i++) {
        controller_done(controllers->plain[i]);
        free(controllers->plain[i]);
    }
    scheduler_controller_free(controllers->scheduler);
    node_controller_free(controllers->nodes);
    garbage_controller_free(controllers->garbage);
    free(controllers);
    return NULL;
}
