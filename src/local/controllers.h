/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The controllers that run beside the API server, each on its own keys. */

#include "local/api.h"

typedef struct Controllers Controllers;

/* Listens and looks at everything that is there already. */
Controllers *controllers_new(Api *api);
Controllers *controllers_free(Controllers *controllers);
DEFINE_CLEANUP(Controllers *, controllers_free);

/* CRDs decide what is served: loaded before the first request, then kept up by a controller. */
void crd_serve_all(Api *api);
