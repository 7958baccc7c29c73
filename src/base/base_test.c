/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/test.h"
#include "base/vec.h"

static void test_error_keeps_its_sentence(void **state) {
    UNUSED(state);
    int r = error_origin(-EINVAL, "field %s", "a");
    CHECK_INT(r, -EINVAL);
    CHECK_STR(error_text(r), "field a");
    CHECK_INT(error_context(r, "pod %s", "p"), -EINVAL);
    CHECK_STR(error_text(r), "pod p: field a");
    CHECK_STR(error_text(-ENOENT), strerror(ENOENT));
}

static void map_against_a_model(bool inside) {
    enum {
        N = 4096
    };
    bool model[N] = { false };
    struct {
        char other;
        uint32_t key;
    } values[N], *value;
    Map map;
    if (inside)
        map_init_inside(&map, sizeof(uint32_t), (size_t)((char *)&values->key - (char *)values));
    else
        map_init(&map, sizeof(uint32_t));
    uint32_t random = 12345;
    size_t live = 0;
    for (uint32_t i = 0; i < N; i++)
        values[i].key = i;
    for (int step = 0; step < 200000; step++) {
        random = random * 1664525u + 1013904223u;
        uint32_t key = (random >> 8) % N;
        if (random >> 31) {
            CHECK((map_put(&map, &key, &values[key]) != NULL) == model[key]);
            live += !model[key];
            model[key] = true;
        } else {
            CHECK(map_remove(&map, &key) == (model[key] ? &values[key] : NULL));
            live -= model[key];
            model[key] = false;
        }
        CHECK(map_len(&map) == live);
    }
    size_t seen = 0, pos = 0;
    const void *key;
    while ((value = map_next(&map, &pos, &key))) {
        seen += model[value - values];
        CHECK(memcmp(key, &value->key, sizeof(value->key)) == 0);
    }
    CHECK(seen == live);
    map_done(&map);
}

static void test_map_against_a_model(void **state) {
    UNUSED(state);
    map_against_a_model(false);
    map_against_a_model(true);
}

static void test_strmap(void **state) {
    UNUSED(state);
    StrMap map = { 0 };
    int x, y;
    CHECK(strmap_put(&map, "a", &x) == NULL);
    CHECK(strmap_put(&map, "a", &y) == &x);
    for (int i = 0; i < 1000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i);
        strmap_put(&map, key, &x);
        if (i % 2)
            CHECK(strmap_remove(&map, key) == &x);
    }
    CHECK(strmap_len(&map) == 501);
    CHECK(strmap_get(&map, "a") == &y);
    CHECK(strmap_get(&map, "k1") == NULL);
    strmap_done(&map);
}

static void test_numbers_are_strict(void **state) {
    UNUSED(state);
    int64_t i = 7;
    uint64_t u = 7;
    CHECK_OK(str_to_i64("-12", &i));
    CHECK_INT(i, -12);
    CHECK_INT(str_to_i64("12 ", &i), -EINVAL);
    CHECK_INT(str_to_i64("", &i), -EINVAL);
    CHECK_INT(str_to_i64("99999999999999999999", &i), -ERANGE);
    CHECK_INT(str_to_u64("-1", &u), -EINVAL);
    CHECK_INT(i, -12);
}

static void test_base64_and_hex(void **state) {
    UNUSED(state);
    for (size_t len = 0; len < 40; len++) {
        uint8_t data[40];
        mem_random(data, sizeof(data));
        _cleanup_free_ char *text = base64_encode(data, len);
        _cleanup_free_ void *back = NULL;
        size_t back_len = 99;
        CHECK_OK(base64_decode(text, strlen(text), &back, &back_len));
        CHECK_INT(back_len, len);
        CHECK_MEM(back, data, len);
    }
    void *none;
    size_t n;
    CHECK_INT(base64_decode("a$==", 4, &none, &n), -EINVAL);
    CHECK_INT(base64_decode("abc", 3, &none, &n), -EINVAL);
    uint8_t two[2];
    CHECK_OK(hex_decode("0aFf", two, 2));
    CHECK_INT(two[1], 255);
    CHECK_INT(hex_decode("0aF", two, 2), -EINVAL);
    CHECK_INT(hex_decode("0aFfe", two, 2), -EINVAL);
}

static void test_time_text(void **state) {
    UNUSED(state);
    char text[TIME_TEXT_MAX];
    usec_t t;
    CHECK_OK(time_parse_rfc3339("2025-01-10T01:36:24Z", &t));
    time_format_rfc3339(t, text);
    CHECK_STR(text, "2025-01-10T01:36:24Z");
    CHECK_OK(time_parse_rfc3339("2025-01-10T03:36:24.5+02:00", &t));
    time_format_iso(t, text);
    CHECK_STR(text, "2025-01-10T01:36:24.500000Z");
    CHECK_INT(time_parse_rfc3339("2025-13-10T01:36:24Z", &t), -EINVAL);
    CHECK_INT(time_parse_rfc3339("2025-02-29T01:36:24Z", &t), -EINVAL);
    CHECK_OK(time_parse_rfc3339("0026-02-28T01:36:24Z", &t));
    time_format_rfc3339(t, text);
    CHECK_STR(text, "0026-02-28T01:36:24Z");
    CHECK_OK(time_parse_duration("1h2m3.5s", &t));
    CHECK_INT(t, 3723500000);
    CHECK_INT(time_parse_duration("5", &t), -EINVAL);
}

static void test_buf_list_vec_arena(void **state) {
    UNUSED(state);
    _cleanup_buf_ Buf buf = { 0 };
    buf_printf(&buf, "%d-%s", 12, "x");
    buf_drop(&buf, 3);
    CHECK_STR(buf.data, "x");
    List head = LIST_INIT(head), a, b;
    list_push(&head, &a);
    list_push_front(&head, &b);
    CHECK(list_pop(&head) == &b && list_pop(&head) == &a && !list_pop(&head));
    Vec(int) v = { 0 };
    for (int i = 0; i < 20; i++)
        vec_push(&v, i);
    vec_remove(&v, 3);
    CHECK(v.items[3] == 4 && v.len == 19);
    vec_done(&v);
    _cleanup_arena_ Arena arena = { 0 };
    for (int i = 0; i < 1000; i++)
        CHECK((uintptr_t)arena_alloc(&arena, (size_t)i) % 16 == 0);
    CHECK_STR(arena_printf(&arena, "%s", "text"), "text");
}

static void test_files(void **state) {
    UNUSED(state);
    char dir[] = "/tmp/base_test.XXXXXX";
    CHECK(mkdtemp(dir) != NULL);
    _cleanup_free_ char *deep = str_printf("%s/a/b/c", dir), *file = str_printf("%s/f", deep);
    CHECK_OK(dir_make(deep, 0700));
    CHECK_OK(dir_make(deep, 0700));
    CHECK_OK(file_write_atomic(file, "hello", 5, 0600));
    _cleanup_buf_ Buf text = { 0 };
    CHECK_OK(file_read(file, 5, &text));
    CHECK_STR(text.data, "hello");
    CHECK_INT(file_read(file, 4, &text), -EFBIG);
    CHECK_OK(dir_remove(dir));
    CHECK_OK(dir_remove(dir));
    CHECK_INT(file_read(file, 5, &text), -ENOENT);
}

/* Deeper than any path can say, and than files may be open. */
static void test_a_deep_tree_is_removed(void **state) {
    UNUSED(state);
    char memory[] = "/dev/shm/base_test.XXXXXX", disk[] = "/tmp/base_test.XXXXXX";
    const char *dir = mkdtemp(memory); /* quick, where there is one */
    dir = dir ? dir : mkdtemp(disk);
    CHECK(dir != NULL);
    int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 3000; i++) {
        CHECK_OK(mkdirat(at, "d", 0700));
        if (i % 500 == 0) {
            CHECK_OK(mkdirat(at, "empty", 0700));
            CHECK_OK(symlinkat(dir, at, "link"));
            fd_close(openat(at, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        }
        int down = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CHECK(down >= 0);
        fd_close(at);
        at = down;
    }
    fd_close(at);
    CHECK_OK(dir_remove(dir));
    CHECK(access(dir, F_OK) < 0 && errno == ENOENT);
}

static void test_removing_follows_no_link(void **state) {
    UNUSED(state);
    char dir[] = "/tmp/base_test.XXXXXX";
    CHECK(mkdtemp(dir) != NULL);
    _cleanup_free_ char *kept = str_printf("%s/kept/file", dir), *link = str_printf("%s/link", dir);
    _cleanup_free_ char *folder = str_printf("%s/kept", dir);
    CHECK_OK(dir_make(folder, 0700));
    CHECK_OK(file_write_atomic(kept, "x", 1, 0600));
    CHECK_OK(symlink(folder, link));
    CHECK_OK(dir_remove(link)); /* the link alone */
    CHECK_OK(access(kept, F_OK));
    CHECK_OK(dir_remove(dir));
}

int main(void) {
    return TEST_RUN(TEST(test_error_keeps_its_sentence), TEST(test_map_against_a_model),
                    TEST(test_strmap), TEST(test_numbers_are_strict), TEST(test_base64_and_hex),
                    TEST(test_time_text), TEST(test_buf_list_vec_arena), TEST(test_files),
                    TEST(test_a_deep_tree_is_removed), TEST(test_removing_follows_no_link));
}
