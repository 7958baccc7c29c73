/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The HTTP server of a head (:8265): Jobs REST, packages, health, nodes. It keeps nothing: every
 * answer comes from gcs (over frames), from a job's log file, or from the agent of the node where
 * the log lies. It may die at any time.
 */

#include "api/auth.h"
#include "base/base.h"
#include "net/address.h"

typedef struct Dashboard Dashboard;

typedef struct DashboardOptions { /* borrowed for the call, but `auth` for life */
    NetAddress listen;
    const char *gcs_address;      /* host:port */
    const char *session_dir;      /* where logs of jobs of this node lie */
    const char *session_name;
    const char *ray_version, *ray_commit;
    const Auth *auth;
} DashboardOptions;

_must_check_ int dashboard_new(Loop *loop, const DashboardOptions *options,
                               Dashboard **ret_dashboard);
/* Cuts off what is open. */
Dashboard *dashboard_free(Dashboard *dashboard);
DEFINE_CLEANUP(Dashboard *, dashboard_free);

const NetAddress *dashboard_address(const Dashboard *dashboard);
