/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cluster_address.h"

#include "api/auth.h"
#include "base/error.h"
#include "cmd/say.h"
#include "host/session.h"
#include "loop/loop.h"

#define LINK_TIMEOUT (10 * USEC_PER_SEC)

char *cluster_temp_dir(void) {
    const char *dir = getenv("RAY_TMPDIR");
    return str_empty(dir) ? str_dup(SESSION_TEMP_DEFAULT) : str_printf("%s/ray", dir);
}

int cluster_address(const char *option, const char *temp_dir, char **ret_address) {
    const char *env = getenv("RAY_ADDRESS");
    if (!str_empty(option) && !str_eq(option, "auto")) {
        *ret_address = str_dup(option);
        return 0;
    }
    if (!str_empty(env) && !str_eq(env, "auto") && !strstr(env, "://")) {
        *ret_address = str_dup(env);
        return 0;
    }
    _cleanup_free_ char *usual = cluster_temp_dir();
    int r = session_address_read(temp_dir ? temp_dir : usual, ret_address);
    if (r == 0)
        return 0;
    _cleanup_session_ Session latest = { 0 }; /* of a driver that started its own */
    r = session_latest(temp_dir ? temp_dir : usual, &latest);
    if (r == 0)
        r = session_gcs_read(&latest, ret_address);
    if (r == 0)
        return 0;
    return error_origin(-ENOENT, "Could not find any running Ray instance. Please specify the one "
                                 "to connect to by setting the `--address` flag or `RAY_ADDRESS` "
                                 "environment variable.");
}

static void on_ready(void *ctx, const Welcome *welcome) {
    ClusterLink *link = ctx;
    mem_free(link->dashboard_url);
    mem_free(link->session_dir);
    link->dashboard_url = str_dup_slice(welcome->dashboard_url);
    mem_free(link->session_name);
    link->session_dir = str_dup_slice(welcome->session_dir);
    link->session_name = str_dup_slice(welcome->session_name);
}

static const DialEvents events = { .ready = on_ready };

int cluster_link(const char *address, usec_t timeout, ClusterLink *ret_link) {
    _cleanup_auth_ Auth auth = { 0 };
    *ret_link = (ClusterLink){ 0 };
    int r = auth_load(&auth);
    if (r == 0)
        r = loop_new(&ret_link->loop);
    if (r < 0)
        return r;
    const DialSpec spec = { .address = address,
                            .role = ROLE_CLI,
                            .token = slice_str(auth.token),
                            .connect_timeout = MIN(timeout, 5 * USEC_PER_SEC) };
    r = dial_new(ret_link->loop, &spec, &events, ret_link, &ret_link->dial);
    if (r == 0)
        r = dial_wait_ready(ret_link->dial, timeout);
    if (r < 0)
        cluster_link_done(ret_link);
    return r;
}

int cluster_dashboard(const char *option, char **ret_url) {
    _cleanup_free_ char *gcs = NULL;
    _cleanup_(cluster_link_done) ClusterLink link = { 0 };
    int r = cluster_address(option, NULL, &gcs);
    if (r == 0)
        r = cluster_link(gcs, LINK_TIMEOUT, &link);
    if (r < 0)
        return r;
    if (str_empty(link.dashboard_url))
        return error_origin(-ENOENT,
                            "Couldn't obtain the API server address from GCS: the cluster "
                            "at %s runs without a dashboard.",
                            gcs);
    *ret_url = strstr(link.dashboard_url, "://") ? str_dup(link.dashboard_url)
                                                 : str_printf("http://%s", link.dashboard_url);
    return 0;
}

int cluster_failed(int r) {
    return say_error("%s: %s",
                     r == -EACCES ? "ray.exceptions.AuthenticationError" : "ConnectionError",
                     error_text(r));
}

void cluster_link_done(ClusterLink *link) {
    dial_free(link->dial);
    loop_free(link->loop);
    mem_free(link->dashboard_url);
    mem_free(link->session_dir);
    mem_free(link->session_name);
    *link = (ClusterLink){ 0 };
}
