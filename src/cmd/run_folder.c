/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/run_folder.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "host/process.h"

enum {
    RECORD_MAX = 1 << 16,
    RUNS_MAX = 99 /* at once, of one user */
};

static char *default_path(void) {
    const char *own = getenv("MOBULA_RUN_DIR"), *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    if (!str_empty(own))
        return str_dup(own);
    if (!str_empty(state))
        return str_printf("%s/mobula/run", state);
    return str_printf("%s/.local/state/mobula/run", str_empty(home) ? "/root" : home);
}

char *run_folder_path(const char *given) {
    _cleanup_free_ char *path = given ? str_dup(given) : default_path();
    char here[4096];
    return path[0] != '/' && getcwd(here, sizeof(here)) ? str_printf("%s/%s", here, path)
                                                        : TAKE(path);
}

void run_folder_done(RunFolder *folder) {
    folder->lock = fd_close(folder->lock);
    folder->dir = mem_free(folder->dir);
}

static char *record_path(const char *dir) {
    return str_printf("%s/run.json", dir);
}

json_t *run_record_read(const char *dir) {
    _cleanup_free_ char *path = record_path(dir);
    _cleanup_buf_ Buf text = { 0 };
    json_t *record = NULL;
    if (file_read(path, RECORD_MAX, &text) < 0 ||
        json_parse(text.data ? text.data : "", text.len, NULL, 0, &record) < 0)
        return NULL;
    return record;
}

int run_record_write(const char *dir, const json_t *record) {
    _cleanup_free_ char *path = record_path(dir);
    _cleanup_free_ char *text = json_text(record, JSON_PRETTY2);
    return file_write_atomic(path, text, strlen(text), 0600);
}

void run_record_remove(const char *dir) {
    _cleanup_free_ char *path = record_path(dir);
    (void)unlink(path);
}

const json_t *run_record_find(const json_t *record, const char *name) {
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(record, "processes"), i, entry) {
        if (str_eq(json_str_at(entry, "name"), name))
            return entry;
    }
    return NULL;
}

bool run_entry_lives(const json_t *entry) {
    uint64_t started;
    pid_t pid = (pid_t)json_int_at(entry, 0, "pid");
    return pid > 0 && process_alive(pid) && process_start_time(pid, &started) == 0 &&
           started == (uint64_t)json_int_at(entry, 0, "started");
}

pid_t run_record_living(const json_t *record) {
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(record, "processes"), i, entry)
        if (run_entry_lives(entry) && !str_eq(json_str_at(entry, "name"), "slirp4netns"))
            return (pid_t)json_int_at(entry, 0, "pid");
    return 0;
}

/* Whether the path still leads to the folder that is open: a run removes its own at its end. */
static bool is_the_same(int fd, const char *dir) {
    struct stat mine, there;
    return fstat(fd, &mine) == 0 && stat(dir, &there) == 0 && mine.st_dev == there.st_dev &&
           mine.st_ino == there.st_ino;
}

/* -EWOULDBLOCK: somebody else has it. */
static int lock_folder(const char *dir, int *ret_fd) {
    _cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_last("open %s", dir);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? -EWOULDBLOCK : error_last("lock %s", dir);
    if (!is_the_same(fd, dir))
        return -EWOULDBLOCK;
    *ret_fd = fd;
    fd = -1;
    return 0;
}

static char *numbered(const char *dir, unsigned number) {
    return number == 1 ? str_dup(dir) : str_printf("%s-%u", dir, number);
}

/* FOLDER_SHARED, FOLDER_STARTING, or 0: its cluster is another run's alone. */
static int look_at(const char *dir) {
    _cleanup_json_ json_t *record = run_record_read(dir);
    if (!record)
        return FOLDER_STARTING;
    if (!json_bool_at(record, false, "keep"))
        return 0;
    return json_bool_at(record, false, "ready") ? FOLDER_SHARED : FOLDER_STARTING;
}

int run_folder_claim(const char *dir, RunFolder *ret_folder) {
    for (unsigned number = 1; number <= RUNS_MAX; number++) {
        _cleanup_free_ char *path = numbered(dir, number);
        int lock = -1;
        int r = dir_make(path, 0700);
        if (r == 0)
            r = lock_folder(path, &lock);
        if (r < 0 && r != -EWOULDBLOCK)
            return r;
        int answer = r == 0 ? 0 : look_at(path);
        if (r < 0 && answer == 0)
            continue;
        *ret_folder = (RunFolder){ .dir = TAKE(path), .lock = lock };
        return answer;
    }
    return error_origin(-EBUSY, "%d runs have their clusters beside %s: end some of them", RUNS_MAX,
                        dir);
}

void run_folder_stale(const char *dir, StrList *ret_dirs) {
    for (unsigned number = 2; number <= RUNS_MAX; number++) {
        _cleanup_free_ char *path = numbered(dir, number);
        _cleanup_close_ int lock = -1;
        if (access(path, F_OK) == 0 && lock_folder(path, &lock) == 0)
            strlist_add(ret_dirs, path);
    }
}
