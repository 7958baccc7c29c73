/* SPDX-License-Identifier: Apache-2.0 */
#include "env/env.h"

enum {
    NAME_MAX_LEN = 200
};

static const char *const endings[] = { ".zip",    ".whl",     ".tar.gz", ".tgz",
                                       ".tar.xz", ".tar.bz2", ".jar" };

EnvScheme env_uri_scheme(const char *uri) {
    static const struct {
        const char *name;
        EnvScheme scheme;
    } schemes[] = {
        { "gcs", ENV_GCS },   { "http", ENV_HTTP },   { "https", ENV_HTTP },
        { "file", ENV_FILE }, { "local", ENV_LOCAL }, { "s3", ENV_CLOUD },
        { "gs", ENV_CLOUD },  { "azure", ENV_CLOUD }, { "abfss", ENV_CLOUD },
    };
    const char *colon = strstr(uri, "://");
    if (!colon || colon == uri)
        return ENV_PATH;
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (slice_eq_str((Slice){ uri, (size_t)(colon - uri) }, schemes[i].name))
            return schemes[i].scheme;
    return ENV_OTHER;
}

bool env_package_name_ok(const char *name) {
    size_t len = strlen(name);
    if (len == 0 || len > NAME_MAX_LEN || name[0] == '.')
        return false;
    for (const char *p = name; *p; p++)
        if (*p == '/' || *p == '\\' || (unsigned char)*p < 0x20 || *p == 0x7f)
            return false;
    for (size_t i = 0; i < ARRAY_LEN(endings); i++)
        if (str_ends(name, endings[i]))
            return true;
    return false;
}
