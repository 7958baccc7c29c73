/* SPDX-License-Identifier: Apache-2.0 */

/* `ray status` and `ray health-check`. */

#include "cmd/ray_status.h"

#include <stdio.h>

#include "api/auth.h"
#include "api/cluster.h"
#include "base/arena.h"
#include "base/error.h"
#include "cmd/cluster_address.h"
#include "cmd/say.h"
#include "model/ids.h"

#define CONNECT_PATIENCE (10 * USEC_PER_SEC)
#define HEALTH_PATIENCE  (30 * USEC_PER_SEC) /* a head that is coming up is waited for */
#define CALL_TIMEOUT     (10 * USEC_PER_SEC)

static int print_status(const char *option, bool verbose, bool as_json) {
    _cleanup_free_ char *address = NULL;
    _cleanup_(cluster_link_done) ClusterLink link = { 0 };
    _cleanup_buf_ Buf answer = { 0 }, text = { 0 };
    _cleanup_arena_ Arena arena = { 0 };
    ClusterStatus status;
    int r = cluster_address(option, NULL, &address);
    if (r == 0)
        r = cluster_link(address, CONNECT_PATIENCE, &link);
    if (r == 0)
        r = dial_call_wait(link.dial, PEER_GCS, MSG_CLUSTER_STATUS_GET, NULL, CALL_TIMEOUT,
                           &answer);
    if (r == 0)
        r = cluster_status_decode(&status, answer.data, answer.len, &arena);
    if (r < 0)
        return r;
    if (as_json) {
        _cleanup_json_ json_t *json = cluster_json(&status);
        say_json(json);
        return 0;
    }
    cluster_status_text(&status, verbose, cluster_idle_apart(), &text);
    fwrite(text.data, 1, text.len, stdout);
    return 0;
}

int ray_status(int argc, char **argv) {
    const char *address = NULL;
    SayStyle style = { 0 };
    const Option options[] = {
        { "address", OPTION_TEXT, &address, "Override the address to connect to." },
        { "verbose", OPTION_FLAG, &style.verbose, "Also show the usage of each node.",
          .letter = 'v' },
        SAY_OUTPUT_OPTION(&style),
    };
    const OptionTable table = { "ray status", NULL,
                                "Print cluster status, including autoscaling info.", options,
                                ARRAY_LEN(options) };
    int first, r = options_parse(&table, argc, argv, &first);
    if (r > 0)
        return options_exit(r);
    r = print_status(address, style.verbose, str_eq(style.output, "json"));
    return r < 0 ? cluster_failed(r) : 0;
}

static int check_health(const char *option) {
    _cleanup_free_ char *address = NULL;
    _cleanup_(cluster_link_done) ClusterLink link = { 0 };
    _cleanup_buf_ Buf answer = { 0 };
    int r = cluster_address(option, NULL, &address);
    if (r == 0)
        r = cluster_link(address, HEALTH_PATIENCE, &link);
    return r;
}

int ray_health_check(int argc, char **argv) {
    const char *address = NULL, *component = NULL;
    bool skip_version_check = false;
    const Option options[] = {
        { "address", OPTION_TEXT, &address, "Override the address to connect to." },
        { "component", OPTION_TEXT, &component,
          "Health check for a specific component. Currently supports: [ray_client_server]" },
        { "skip-version-check", OPTION_FLAG, &skip_version_check,
          "Skip comparison of GCS version with local Ray version." },
    };
    const OptionTable table = { "ray health-check", NULL,
                                "Health check a Ray or a specific component. Exit code 0 is "
                                "healthy.",
                                options, ARRAY_LEN(options) };
    int first, r = options_parse(&table, argc, argv, &first);
    if (r > 0)
        return options_exit(r);
    r = check_health(address);
    if (r == 0 && component) /* nothing here reports its health through gcs' key-value */
        return say_error("%s does not run in this cluster", component);
    return r < 0 ? cluster_failed(r) : 0;
}

int ray_get_auth_token(int argc, char **argv) {
    bool generate = false;
    const Option options[] = {
        { "generate", OPTION_FLAG, &generate,
          "Generate a new token if none exists instead of raising an error." },
    };
    const OptionTable table = { "ray get-auth-token", NULL,
                                "Prints the Ray authentication token to stdout. If --generate is "
                                "specified, a new token is made and kept in ~/.ray/auth_token if "
                                "there is none.",
                                options, ARRAY_LEN(options) };
    int first, r = options_parse(&table, argc, argv, &first);
    if (r > 0)
        return options_exit(r);
    unsetenv("RAY_AUTH_MODE"); /* the token, whether it is asked for or not */
    _cleanup_auth_ Auth auth = { 0 };
    r = generate ? auth_load_or_make(&auth) : auth_load(&auth);
    if (r < 0)
        return say_error("Error: %s", error_text(r));
    if (!auth.token)
        return say_error("Error: No authentication token found. Use ray `get-auth-token "
                         "--generate` to create one.");
    fputs(auth.token, stdout); /* no newline: it is read by $(…) and by files */
    return 0;
}

int ray_dashboard_url(int argc, char **argv) {
    const char *address = NULL;
    _cleanup_free_ char *url = NULL;
    const Option options[] = {
        { "address", OPTION_TEXT, &address, "The address of the cluster's gcs." },
    };
    const OptionTable table = { "ray dashboard-url", NULL,
                                "Prints where the dashboard of a cluster is.", options,
                                ARRAY_LEN(options) };
    int first, r = options_parse(&table, argc, argv, &first);
    if (r > 0)
        return options_exit(r);
    r = cluster_dashboard(address, &url);
    if (r < 0)
        return say_error("%s", error_text(r));
    puts(url);
    return 0;
}
