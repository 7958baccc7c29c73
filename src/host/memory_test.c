/* SPDX-License-Identifier: Apache-2.0 */
#include "host/memory.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "base/test.h"

static char root[] = "/tmp/host_memory_XXXXXX";

static void put(const char *path, const char *text) {
    _cleanup_free_ char *whole = str_printf("%s/%s", root, path);
    _cleanup_free_ char *folder = str_dup(whole);
    *strrchr(folder, '/') = '\0';
    CHECK_OK(dir_make(folder, 0755));
    CHECK_OK(file_write_atomic(whole, text, strlen(text), 0644));
}

static HostMemory get(void) {
    _cleanup_free_ char *proc = str_printf("%s/proc", root);
    _cleanup_free_ char *cgroup = str_printf("%s/cgroup", root);
    HostMemory memory;
    CHECK_OK(host_memory_at(proc, cgroup, &memory));
    return memory;
}

static void test_the_machine(void **state) {
    UNUSED(state);
    put("proc/meminfo", "MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:  400 kB\n");
    HostMemory memory = get();
    CHECK_INT(memory.limit, 1000 << 10);
    CHECK_INT(memory.used, 600 << 10);
}

static void test_version_2(void **state) {
    UNUSED(state);
    put("proc/self/cgroup", "0::/a/b\n");
    put("cgroup/a/b/memory.max", "max\n");
    put("cgroup/a/memory.max", "500000\n");
    put("cgroup/a/memory.current", "300000\n");
    put("cgroup/a/memory.stat", "anon 1\ninactive_file 40000\nactive_file 10000\n");
    HostMemory memory = get();
    CHECK_INT(memory.limit, 500000);
    CHECK_INT(memory.used, 250000);
    put("cgroup/a/b/memory.max", "200000\n");
    put("cgroup/a/b/memory.current", "150000\n");
    memory = get();
    CHECK_INT(memory.limit, 200000);
    CHECK_INT(memory.used, 150000);
}

static void test_version_1(void **state) {
    UNUSED(state);
    put("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/c\n");
    put("cgroup/memory/c/memory.limit_in_bytes", "100000\n");
    put("cgroup/memory/c/memory.usage_in_bytes", "90000\n");
    put("cgroup/memory/c/memory.stat", "total_inactive_file 30000\ntotal_active_file 0\n");
    HostMemory memory = get();
    CHECK_INT(memory.limit, 100000);
    CHECK_INT(memory.used, 60000);
}

static void test_what_a_process_has(void **state) {
    UNUSED(state);
    CHECK(host_memory_private(getpid()) > 0);
    CHECK_INT(host_memory_private(0), 0);
}

int main(void) {
    CHECK(mkdtemp(root) != NULL);
    int status = TEST_RUN(TEST(test_the_machine), TEST(test_version_2), TEST(test_version_1),
                          TEST(test_what_a_process_has));
    CHECK_OK(dir_remove(root));
    return status;
}
