/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "local/controller.h"

Controller *job_controller_new(Api *api);
Controller *endpoints_controller_new(Api *api);
Controller *namespace_controller_new(Api *api);
Controller *crd_controller_new(Api *api);
Controller *scheduler_controller_new(Api *api);
Controller *scheduler_controller_free(Controller *controller);
Controller *event_controller_new(Api *api);   /* events grow old */
Controller *node_controller_new(Api *api);    /* silent ones, and pods that cannot stay there */
Controller *node_controller_free(Controller *controller);
Controller *garbage_controller_new(Api *api); /* owners */
Controller *garbage_controller_free(Controller *controller);
