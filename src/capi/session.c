/* SPDX-License-Identifier: Apache-2.0 */
#include "host/session.h"

#include <stdlib.h>

#include "api/auth.h"
#include "capi/capi_private.h"

#define WELCOME_TIMEOUT (30 * USEC_PER_SEC)

/* That of the session which was started last. */
static int find_raylet(char **ret_socket) {
    const char *folder = getenv("RAY_TMPDIR");
    _cleanup_free_ char *temp_dir = str_printf("%s/ray", str_empty(folder) ? "/tmp" : folder);
    _cleanup_session_ Session session = { 0 };
    int r = session_latest(temp_dir, &session);
    if (r < 0)
        return error_origin(-ENOENT,
                            "no cluster runs on this machine (nothing in %s): start one with `ray "
                            "start --head`, or name the raylet's socket",
                            temp_dir);
    *ret_socket = str_printf("%s/raylet", session.sockets);
    return 0;
}

int mobula_connect(const MobulaOptions *options, Mobula **ret_mobula) {
    static const MobulaOptions defaults = { 0 };
    options = options ? options : &defaults;
    _cleanup_free_ char *found = NULL;
    int r = options->raylet_socket ? 0 : find_raylet(&found);
    if (r < 0)
        return r;
    _cleanup_auth_ Auth auth = { 0 };
    r = options->token ? 0 : auth_load(&auth);
    if (r < 0)
        return r;
    const char *token = options->token ? options->token : auth.token;
    CoreOptions core = {
        .role = ROLE_DRIVER,
        .raylet_socket = options->raylet_socket ? options->raylet_socket : found,
        .token = token,
        .token_len = token ? strlen(token) : 0,
        .namespace_ = options->namespace_,
        .submission = getenv("RAY_JOB_SUBMISSION_ID"),
        .timeout = options->timeout_us > 0 ? (usec_t)options->timeout_us : WELCOME_TIMEOUT,
    };
    Mobula *mobula = mem_new(Mobula);
    r = core_connect(&core, &mobula->core);
    if (r < 0) {
        free(mobula);
        return r;
    }
    *ret_mobula = mobula;
    return 0;
}

void mobula_disconnect(Mobula *mobula) {
    if (!mobula)
        return;
    core_disconnect(mobula->core, 0);
    free(mobula);
}
