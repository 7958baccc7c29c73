/* SPDX-License-Identifier: Apache-2.0 */
#include "local/store.h"

#include <unistd.h>

#include "base/test.h"
#include "codec/json.h"
#include "loop/loop.h"

static const StoreLimits LIMITS = { .window_events = 4, .window_bytes = 1 << 20 };

typedef struct Rig {
    Loop *loop;
    Kv *kv;
    Store *store;
    StoreTable *pods;
} Rig;

static void rig_open(Rig *rig, const char *path) {
    KvOptions options = { .path = path };
    CHECK_OK(loop_new(&rig->loop));
    CHECK_OK(kv_open(rig->loop, &options, &rig->kv));
    CHECK_OK(store_open(rig->kv, &LIMITS, &rig->store));
    rig->pods = store_table(rig->store, "pods");
}

static void rig_close(Rig *rig) {
    kv_close(rig->kv);
    store_close(rig->store);
    loop_free(rig->loop);
}

static void settle(Rig *rig) {
    for (int i = 0; i < 1000 && store_durable(rig->store) < store_revision(rig->store); i++)
        loop_tick(rig->loop, loop_now(rig->loop) + 100000);
    CHECK_INT(store_durable(rig->store), store_revision(rig->store));
}

static json_t *pod(const char *name, int n) {
    return json_pack("{s:{s:s, s:s}, s:i}", "metadata", "name", name, "namespace", "ns", "n", n);
}

static Object *create(Rig *rig, const char *name, int n) {
    Object *object = NULL;
    CHECK_OK(store_create(rig->store, rig->pods, "ns", name, pod(name, n), &object));
    return object;
}

typedef struct Seen {
    StoreWatch watch;
    char text[256];
} Seen;

static void note(Seen *seen, const StoreEvent *event) {
    size_t len = strlen(seen->text);
    snprintf(seen->text + len, sizeof(seen->text) - len, "%c%s%d ", "AMD"[event->type],
             event -> now -> name, (int)event -> revision);
}

static void on_event(StoreWatch *watch, const StoreEvent *event) {
    note(CONTAINER_OF(watch, Seen, watch), event);
}

static void on_past(void *userdata, const StoreEvent *event) {
    note(userdata, event);
}

static void test_order_and_watch(void **state) {
    Rig rig = { 0 };
    Seen seen = { .watch = { .on_event = on_event } };
    rig_open(&rig, NULL);
    seen.watch.table = rig.pods;
    store_watch(rig.store, &seen.watch);
    create(&rig, "b", 1);
    Object *a = create(&rig, "a", 1), *made;
    CHECK_STR(seen.text, ""); /* nothing before it is durable */
    CHECK_STR(rig.pods->objects.items[0]->name, "a");
    CHECK_INT(store_create(rig.store, rig.pods, "ns", "a", pod("a", 2), &made), STORE_EXISTS);
    CHECK_OK(store_update(rig.store, rig.pods, a, pod("a", 2), &made));
    CHECK_OK(store_delete(rig.store, rig.pods, made, &made));
    CHECK_INT(made->revision, 4);
    CHECK(store_get(rig.pods, "ns", "a") == NULL);
    settle(&rig);
    CHECK_STR(seen.text, "Ab1 Aa2 Ma3 Da4 ");
    store_unwatch(&seen.watch);
    rig_close(&rig);
}

static void test_window_slides(void **state) {
    Rig rig = { 0 };
    Seen seen = { 0 };
    rig_open(&rig, NULL);
    const char *names[] = { "a", "b", "c", "d", "e", "f" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        create(&rig, names[i], 0);
    settle(&rig);
    CHECK_INT(store_oldest(rig.store), 2);
    CHECK_INT(store_replay(rig.store, rig.pods, 1, on_past, &seen), STORE_GONE);
    CHECK_OK(store_replay(rig.store, rig.pods, 4, on_past, &seen));
    CHECK_STR(seen.text, "Ae5 Af6 ");
    rig_close(&rig);
}

static void check_snapshot(Rig *rig, uint64_t revision, const char *wanted) {
    StoreSnapshot snapshot;
    _cleanup_buf_ Buf text = { 0 };
    CHECK_OK(store_snapshot(rig->store, rig->pods, revision, &snapshot));
    buf_add_str(&text, "");
    VEC_EACH(object, &snapshot)
        buf_printf(&text, "%s%d ", (*object)->name, (int)(*object)->revision);
    CHECK_STR(text.data, wanted);
    store_snapshot_done(&snapshot);
}

static void test_past(void **state) {
    Rig rig = { 0 };
    rig_open(&rig, NULL);
    Object *made;
    create(&rig, "a", 1);
    create(&rig, "c", 1);
    create(&rig, "b", 1);
    CHECK_OK(store_update(rig.store, rig.pods, store_get(rig.pods, "ns", "c"), pod("c", 2), &made));
    CHECK_OK(store_delete(rig.store, rig.pods, store_get(rig.pods, "ns", "a"), &made));
    check_snapshot(&rig, 5, "b3 c4 ");
    check_snapshot(&rig, 4, "a1 b3 c4 ");
    check_snapshot(&rig, 2, "a1 c2 ");
    settle(&rig);
    StoreSnapshot snapshot;
    CHECK_INT(store_snapshot(rig.store, rig.pods, 0, &snapshot), STORE_GONE);
    rig_close(&rig);
}

static void on_durable(void *userdata) {
    ++*(int *)userdata;
}

static void test_waits_for_the_log(void **state) {
    Rig rig = { 0 };
    int called = 0;
    rig_open(&rig, NULL);
    store_when_durable(rig.store, on_durable, &called);
    CHECK_INT(called, 0);
    for (int i = 0; i < 100 && called < 1; i++)
        loop_tick(rig.loop, loop_now(rig.loop) + 100000);
    CHECK_INT(called, 1);
    create(&rig, "a", 0);
    store_when_durable(rig.store, on_durable, &called);
    store_forget(rig.store, &called);
    settle(&rig);
    CHECK_INT(called, 1);
    rig_close(&rig);
}

static void test_survives_reopening(void **state) {
    char path[] = "/tmp/store_test_XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    close(fd);
    unlink(path);
    Rig rig = { 0 };
    rig_open(&rig, path);
    Object *a = create(&rig, "a", 7), *gone;
    create(&rig, "b", 8);
    CHECK_OK(store_delete(rig.store, rig.pods, a, &gone));
    settle(&rig);
    rig_close(&rig);

    rig_open(&rig, path);
    CHECK_INT(store_revision(rig.store), 3); /* the deletion's revision is not given again */
    CHECK_INT(rig.pods->objects.len, 1);
    _cleanup_json_ json_t *value = object_value(store_get(rig.pods, "ns", "b"));
    CHECK_INT(json_int_at(value, 0, "n"), 8);
    CHECK_STR(json_str_at(value, "metadata", "resourceVersion"), "2");
    Seen seen = { 0 };
    CHECK_INT(store_replay(rig.store, rig.pods, 2, on_past, &seen), STORE_GONE);
    rig_close(&rig);
    unlink(path);
}

int main(void) {
    return TEST_RUN(TEST(test_order_and_watch), TEST(test_window_slides), TEST(test_past),
                    TEST(test_waits_for_the_log), TEST(test_survives_reopening));
}
