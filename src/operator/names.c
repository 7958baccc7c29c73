/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/names.h"

#include <ctype.h>

#include "kobj/names.h"

enum {
    SHORT_MAX = 50,
    LABEL_MAX = 63,
    PREFIX_MAX = 50,
};

/* xorshift64*: names need to differ, not to be secret. */
static uint64_t random_next(NameRandom *random) {
    uint64_t x = random->state ? random->state : 0x9E3779B97F4A7C15u;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    random->state = x;
    return x * 0x2545F4914F6CDD1Du;
}

const char *name_random(Arena *arena, NameRandom *random, const char *base) {
    _cleanup_free_ char *dashed = str_ends(base, "-") ? str_dup(base) : str_printf("%s-", base);
    _cleanup_free_ char *name = name_generate(dashed, random_next(random));
    return arena_str(arena, name);
}

static char *last(Arena *arena, const char *name, size_t max) {
    size_t len = strlen(name);
    return arena_str(arena, len > max ? name + len - max : name);
}

const char *name_short(Arena *arena, const char *name) {
    char *out = last(arena, name, SHORT_MAX);
    if (isdigit((unsigned char)out[0]) || ispunct((unsigned char)out[0]))
        out[0] = 'r';
    return out;
}

const char *name_label(Arena *arena, const char *name) {
    char *out = last(arena, name, LABEL_MAX);
    if (ispunct((unsigned char)out[0]))
        out[0] = 'r';
    return out;
}

const char *name_pod_prefix(Arena *arena, const char *cluster, const char *group) {
    char *base = group ? arena_printf(arena, "%s-%s", cluster, group) : arena_str(arena, cluster);
    char *out = arena_printf(arena, "%.*s-%s-", PREFIX_MAX, base, group ? NODE_WORKER : NODE_HEAD);
    for (char *c = out; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return out;
}

const char *name_head_identifier(Arena *arena, const char *cluster) {
    return name_label(arena, arena_printf(arena, "%s-" NODE_HEAD, cluster));
}

const char *name_head_service(Arena *arena, const json_t *cluster) {
    const char *own =
        json_str_at(cluster, "spec", "headGroupSpec", "headService", "metadata", "name");
    if (!str_empty(own))
        return arena_str(arena, own);
    return arena_printf(arena, "%s-head-svc", json_str_at(cluster, "metadata", "name"));
}

const char *name_head_account(const json_t *cluster) {
    const char *own =
        json_str_at(cluster, "spec", "headGroupSpec", "template", "spec", "serviceAccountName");
    return str_empty(own) ? json_str_at(cluster, "metadata", "name") : own;
}

const char *name_auth_secret(Arena *arena, const char *cluster, const json_t *auth_options) {
    const char *own = json_str_at(auth_options, "secretName");
    return str_empty(own) ? name_short(arena, cluster) : arena_str(arena, own);
}
