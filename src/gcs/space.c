/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "gcs/gcs_private.h"

/* The cluster's key-value spaces: exported functions, packages, internal_kv. Kept in the Kv itself
 * (not held twice), under space, NUL, key; bounded in bytes. */

enum {
    SPACE_MAX = 255
};

/* The key in the Kv, or a failure. Appended to `out`. */
static int space_key(Slice space, Slice key, Buf *out) {
    if (space.len > SPACE_MAX || (space.len && memchr(space.data, 0, space.len)))
        return error_origin(-EINVAL, "a key-value space has a name of at most %d bytes", SPACE_MAX);
    buf_add(out, space.data, space.len);
    buf_add_char(out, 0);
    buf_add(out, key.data, key.len);
    return 0;
}

static void reply(Gcs *gcs, GcsCall *call, const KvReply *answer, bool logged) {
    _cleanup_buf_ Buf body = { 0 };
    kv_reply_encode(answer, &body);
    if (logged)
        gcs_reply_logged(gcs, call, MSG_KV_REPLY, &body, KV_SYNCED);
    else
        gcs_reply(gcs, call, MSG_KV_REPLY, &body);
}

void space_on_put(Gcs *gcs, GcsCall *call) {
    KvPut put;
    GCS_DECODE(gcs, call, kv_put_decode, &put);
    _cleanup_buf_ Buf key = { 0 }, old = { 0 };
    int r = space_key(put.space, put.key, &key);
    if (r == 0)
        r = kv_get(gcs->kv, "space", buf_slice(&key), &old);
    if (r < 0) {
        gcs_reply_error(gcs, call, r);
        return;
    }
    bool found = r == 0;
    size_t old_bytes = found ? key.len + old.len : 0, new_bytes = key.len + put.value.len;
    bool write = !found || (put.overwrite && !slice_eq(buf_slice(&old), put.value));
    if (write && gcs->kv_bytes - old_bytes + new_bytes > GCS_KV_BYTES_MAX) {
        gcs_reply_status(gcs, call, STATUS_CODE_FULL,
                         "the cluster's key-value store is full (%zu MiB): delete packages or keys",
                         GCS_KV_BYTES_MAX >> 20);
        return;
    }
    if (write) {
        r = kv_put(gcs->kv, "space", buf_slice(&key), put.value);
        if (r < 0) {
            gcs_reply_error(gcs, call, r);
            return;
        }
        gcs->kv_bytes += new_bytes - old_bytes;
    }
    /* An answer that tells of what another put still waits for waits as well. */
    reply(gcs, call, &(KvReply){ .found = found, .count = !found }, true);
}

void space_on_get(Gcs *gcs, GcsCall *call) {
    KvGet get;
    GCS_DECODE(gcs, call, kv_get_decode, &get);
    _cleanup_buf_ Buf key = { 0 }, value = { 0 };
    int r = space_key(get.space, get.key, &key);
    if (r == 0)
        r = kv_get(gcs->kv, "space", buf_slice(&key), &value);
    if (r < 0)
        gcs_reply_error(gcs, call, r);
    else
        reply(gcs, call, &(KvReply){ .found = r == 0, .value = buf_slice(&value) }, false);
}

/* Keys that begin with a prefix, gathered before anything is changed. */
typedef struct Found {
    Arena *arena;
    size_t skip; /* the space's name and its NUL */
    Vec(Slice) keys;
    size_t bytes;
} Found;

static int find_one(void *userdata, Slice key, Slice value) {
    Found *found = userdata;
    Slice copy = { arena_dup(found->arena, key.data, key.len), key.len };
    vec_push(&found->keys, copy);
    found->bytes += key.len + value.len;
    return 0;
}

static int find(Gcs *gcs, GcsCall *call, Slice space, Slice prefix, Found *ret_found) {
    *ret_found = (Found){ .arena = call->arena, .skip = space.len + 1 };
    _cleanup_buf_ Buf key = { 0 };
    int r = space_key(space, prefix, &key);
    if (r < 0)
        return r;
    return kv_scan(gcs->kv, "space", buf_slice(&key), (Slice){ 0 }, find_one, ret_found);
}

void space_on_del(Gcs *gcs, GcsCall *call) {
    KvDel del;
    GCS_DECODE(gcs, call, kv_del_decode, &del);
    Found found;
    int r = find(gcs, call, del.space, del.key, &found);
    uint64_t count = 0;
    for (size_t i = 0; r == 0 && i < found.keys.len; i++) {
        Slice key = found.keys.items[i];
        if (!del.prefix && key.len != found.skip + del.key.len)
            continue;
        _cleanup_buf_ Buf value = { 0 };
        r = kv_get(gcs->kv, "space", key, &value);
        if (r != 0)
            break;
        gcs_erase(gcs, "space", key);
        gcs->kv_bytes -= key.len + value.len;
        count++;
    }
    vec_done(&found.keys);
    if (r < 0)
        gcs_reply_error(gcs, call, r);
    else
        reply(gcs, call, &(KvReply){ .found = count > 0, .count = count }, true);
}

void space_on_keys(Gcs *gcs, GcsCall *call) {
    KvKeys keys;
    GCS_DECODE(gcs, call, kv_keys_decode, &keys);
    Found found;
    int r = find(gcs, call, keys.space, keys.prefix, &found);
    for (size_t i = 0; i < found.keys.len; i++) {
        Slice *key = &found.keys.items[i];
        *key = (Slice){ key->data + found.skip, key->len - found.skip };
    }
    if (r < 0)
        gcs_reply_error(gcs, call, r);
    else
        reply(gcs, call,
              &(KvReply){ .found = found.keys.len > 0,
                          .count = found.keys.len,
                          .keys = found.keys.items,
                          .keys_len = found.keys.len },
              false);
    vec_done(&found.keys);
}

static int load_one(void *userdata, Slice key, Slice value) {
    Gcs *gcs = userdata;
    gcs->kv_bytes += key.len + value.len;
    return 0;
}

int space_load(Gcs *gcs) {
    return kv_scan(gcs->kv, "space", (Slice){ 0 }, (Slice){ 0 }, load_one, gcs);
}
