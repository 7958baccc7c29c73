/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which cluster a command means, and a connection to its gcs. */

#include "base/base.h"
#include "rpc/dial.h"

/* host:port of gcs: the option, else RAY_ADDRESS, else the cluster started last on this machine
 * (`temp_dir` may be NULL). "auto" is the same as no option. Owned.
 * -ENOENT with the peer's sentence when there is none. */
_must_check_ int cluster_address(const char *option, const char *temp_dir, char **ret_address);

/* Where sessions are: $RAY_TMPDIR/ray, else /tmp/ray. Owned. */
char *cluster_temp_dir(void);

/* Connected and welcomed; with the token of this user where there is one. */
typedef struct ClusterLink {
    Loop *loop;
    Dial *dial;
    char *dashboard_url; /* as gcs tells it; "" when it has none */
    char *session_dir, *session_name;
} ClusterLink;
_must_check_ int cluster_link(const char *address, usec_t timeout, ClusterLink *ret_link);
/* Says why a cluster was not reached, by the peer's name of the exception. Gives the exit status, 1. */
int cluster_failed(int r);

void cluster_link_done(ClusterLink *link);

/* The URL of the dashboard, as the gcs of the cluster that `option` means tells it. Owned. -ENOENT
 * when the cluster runs without one. */
_must_check_ int cluster_dashboard(const char *option, char **ret_url);
