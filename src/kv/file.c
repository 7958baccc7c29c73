/* SPDX-License-Identifier: Apache-2.0 */
#include "kv/file.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/fd.h"
#include "kv/kv.h"

/* Written into the file, so that no other SQLite file is taken for a store. */
#define APPLICATION_ID 0x4d6f626b /* "Mobk" */
#define FORMAT_VERSION 1

struct KvFile {
    unsigned refs;
    int lock_fd;
    int data_fd, log_fd;       /* of the file and its log, for their room; -1: none is kept */
    uint64_t reserve;
    off_t data_room, log_room; /* as far as the disk has been kept for them */
    sqlite3_mutex *apply_lock;
    sqlite3 *writer;
    sqlite3_stmt *begin, *commit, *rollback, *put, *del, *mark;
    bool writer_syncs; /* the writer's PRAGMA synchronous is FULL */
    sqlite3 *reader;
    sqlite3_stmt *get, *scan;
};

static int sql_code(int code) {
    switch (code & 0xff) {
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return -EBADMSG;
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return -EACCES;
    default:
        return -EIO;
    }
}

static int sql_fault(sqlite3 *db, const char *what) {
    int code = db ? sqlite3_extended_errcode(db) : SQLITE_NOMEM;
    return error_origin(sql_code(code), "%s: %s", what,
                        db ? sqlite3_errmsg(db) : sqlite3_errstr(code));
}

static int sql_exec(sqlite3 *db, const char *sql) {
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return sql_fault(db, sql);
    return 0;
}

static int sql_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret_stmt) {
    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_stmt, NULL) != SQLITE_OK)
        return sql_fault(db, sql);
    return 0;
}

/* Runs a statement that gives no rows. */
static int sql_run(sqlite3 *db, sqlite3_stmt *stmt) {
    int code = sqlite3_step(stmt);
    int r = code == SQLITE_DONE ? 0 : sql_fault(db, sqlite3_sql(stmt));
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return r;
}

static int sql_number(sqlite3 *db, const char *sql, int64_t *ret_value) {
    sqlite3_stmt *stmt;
    int r = sql_prepare(db, sql, &stmt);
    if (r < 0)
        return r;
    if (sqlite3_step(stmt) == SQLITE_ROW)
        *ret_value = sqlite3_column_int64(stmt, 0);
    else
        r = sql_fault(db, sql);
    sqlite3_finalize(stmt);
    return r;
}

static void bind_bytes(sqlite3_stmt *stmt, int at, Slice bytes) {
    int code =
        sqlite3_bind_blob(stmt, at, bytes.len ? bytes.data : "", (int)bytes.len, SQLITE_STATIC);
    ASSERT(code == SQLITE_OK); /* only sizes that kv.h forbids could fail */
}

static Slice column_bytes(sqlite3_stmt *stmt, int at) {
    const void *data = sqlite3_column_blob(stmt, at);
    return (Slice){ data, (size_t)sqlite3_column_bytes(stmt, at) };
}

/* A second process would not see our reads and writes in order: one at a time. */
static int lock_take(const char *path, int *ret_fd) {
    _cleanup_free_ char *lock_path = str_printf("%s-lock", path);
    _cleanup_close_ int fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_last("open %s", lock_path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? error_origin(-EBUSY, "%s is in use by another process", path)
                                    : error_last("lock %s", lock_path);
    /* SQLite makes its log and index with the rights of the file: secrets lie in it. */
    _cleanup_close_ int data = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (data < 0)
        return error_last("open %s", path);
    *ret_fd = fd;
    fd = -1;
    return 0;
}

static int connection_open(const char *path, int flags, sqlite3 **ret_db) {
    /* ret_db is set even on failure: the caller closes it. Serialised by apply_lock and by the
     * loop, so SQLite's own locks are left out. */
    if (sqlite3_open_v2(path, ret_db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        return error_context(sql_fault(*ret_db, "open"), "%s", path);
    sqlite3_busy_timeout(*ret_db, 5000);
    return 0;
}

static int format_make(sqlite3 *db) {
    int r = sql_exec(db, "PRAGMA journal_mode=WAL");
    if (r < 0)
        return r;
    return sql_exec(db, "BEGIN;"
                        "CREATE TABLE entry(key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL);"
                        "CREATE TABLE mark(id INTEGER PRIMARY KEY, count INTEGER NOT NULL);"
                        "INSERT INTO mark VALUES(1, 0);"
                        "PRAGMA application_id=0x4d6f626b;"
                        "PRAGMA user_version=1;"
                        "COMMIT");
}

static int format_check(sqlite3 *db, const char *path) {
    int64_t application = 0, version = 0, tables = 0;
    int r = sql_number(db, "PRAGMA application_id", &application);
    if (r == 0)
        r = sql_number(db, "PRAGMA user_version", &version);
    if (r == 0)
        r = sql_number(db, "SELECT count(*) FROM sqlite_master", &tables);
    if (r < 0)
        return error_context(r, "%s", path);
    if (application == 0 && version == 0 && tables == 0)
        return format_make(db);
    if (application != APPLICATION_ID)
        return error_origin(-EBADMSG, "%s is not a Mobula store", path);
    if (version != FORMAT_VERSION)
        return error_origin(-EBADMSG, "%s has format %lld; this program knows %d", path,
                            (long long)version, FORMAT_VERSION);
    return 0;
}

static int writer_open(KvFile *file, const char *path) {
    int r = connection_open(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &file->writer);
    if (r == 0)
        r = format_check(file->writer, path);
    if (r == 0)
        r = sql_exec(file->writer, "PRAGMA synchronous=NORMAL;"
                                   "PRAGMA journal_size_limit=16777216;"
                                   "PRAGMA cache_size=-1024");
    if (r == 0)
        r = sql_prepare(file->writer, "BEGIN IMMEDIATE", &file->begin);
    if (r == 0)
        r = sql_prepare(file->writer, "COMMIT", &file->commit);
    if (r == 0)
        r = sql_prepare(file->writer, "ROLLBACK", &file->rollback);
    if (r == 0)
        r = sql_prepare(file->writer,
                        "INSERT INTO entry VALUES(?1, ?2) "
                        "ON CONFLICT(key) DO UPDATE SET value=excluded.value",
                        &file->put);
    if (r == 0)
        r = sql_prepare(file->writer, "DELETE FROM entry WHERE key=?1", &file->del);
    if (r == 0)
        r = sql_prepare(file->writer, "UPDATE mark SET count=count+1 WHERE id=1", &file->mark);
    return r;
}

static int reader_open(KvFile *file, const char *path) {
    int r = connection_open(path, SQLITE_OPEN_READONLY, &file->reader);
    if (r == 0)
        r = sql_exec(file->reader, "PRAGMA cache_size=-512");
    if (r == 0)
        r = sql_prepare(file->reader, "SELECT value FROM entry WHERE key=?1", &file->get);
    if (r == 0)
        r = sql_prepare(file->reader, "SELECT key, value FROM entry WHERE key>=?1 ORDER BY key",
                        &file->scan);
    return r;
}

/* Room behind a file's end is nobody else's. Not there is no failure: a later try may find it. */
static void room_keep(int fd, uint64_t reserve, off_t *room) {
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || st.st_size + (off_t)(reserve / 2) < *room)
        return;
    off_t wanted = st.st_size + (off_t)reserve;
    if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, wanted) == 0)
        *room = wanted;
}

static void rooms_keep(KvFile *file) {
    room_keep(file->data_fd, file->reserve, &file->data_room);
    room_keep(file->log_fd, file->reserve, &file->log_room);
}

/* Held until SQLite has closed the file: closing another descriptor of it drops SQLite's locks. */
static void rooms_open(KvFile *file, const char *path) {
    _cleanup_free_ char *log = str_printf("%s-wal", path);
    if (!file->reserve)
        return;
    file->data_fd = open(path, O_WRONLY | O_CLOEXEC);
    file->log_fd = open(log, O_WRONLY | O_CLOEXEC);
    rooms_keep(file);
}

int kv_file_open(const char *path, uint64_t reserve, KvFile **ret_file) {
    _cleanup_(kv_file_unrefp) KvFile *file = mem_new(KvFile);
    file->refs = 1;
    file->lock_fd = file->data_fd = file->log_fd = -1;
    file->reserve = reserve;
    int r = lock_take(path, &file->lock_fd);
    if (r < 0)
        return r;
    file->apply_lock = sqlite3_mutex_alloc(SQLITE_MUTEX_FAST);
    r = writer_open(file, path);
    if (r < 0)
        return r;
    r = reader_open(file, path);
    if (r < 0)
        return r;
    rooms_open(file, path);
    *ret_file = TAKE(file);
    return 0;
}

KvFile *kv_file_ref(KvFile *file) {
    file->refs++;
    return file;
}

void kv_file_close(KvFile *file) {
    sqlite3_stmt **stmts[] = { &file->begin, &file->commit, &file->rollback, &file->put,
                               &file->del,   &file->mark,   &file->get,      &file->scan };
    for (size_t i = 0; i < ARRAY_LEN(stmts); i++)
        sqlite3_finalize(TAKE(*stmts[i]));
    sqlite3_close(TAKE(file->reader));
    sqlite3_close(TAKE(file->writer)); /* the last one to close folds the WAL into the file */
    file->data_fd = fd_close(file->data_fd);
    file->log_fd = fd_close(file->log_fd);
    file->lock_fd = fd_close(file->lock_fd);
}

KvFile *kv_file_unref(KvFile *file) {
    if (!file || --file->refs > 0)
        return NULL;
    kv_file_close(file);
    sqlite3_mutex_free(file->apply_lock);
    free(file);
    return NULL;
}

static int writer_set_sync(KvFile *file, bool sync) {
    if (file->writer_syncs == sync)
        return 0;
    int r = sql_exec(file->writer, sync ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
    if (r == 0)
        file->writer_syncs = sync;
    return r;
}

static int write_node(KvFile *file, const KvNode *node) {
    sqlite3_stmt *stmt = node->deleted ? file->del : file->put;
    bind_bytes(stmt, 1, kv_node_key(node));
    if (!node->deleted)
        bind_bytes(stmt, 2, kv_node_value(node));
    return sql_run(file->writer, stmt);
}

/* With nothing else to write, the mark makes the commit write a frame, and so sync the log. */
static int write_all(KvFile *file, const KvTree *batch) {
    if (batch->len == 0)
        return sql_run(file->writer, file->mark);
    const KvNode *node = kv_tree_seek(batch, (Slice){ 0 }, false);
    for (; node; node = kv_tree_seek(batch, kv_node_key(node), true)) {
        int r = write_node(file, node);
        if (r < 0)
            return r;
    }
    return 0;
}

void kv_file_lock(KvFile *file) {
    sqlite3_mutex_enter(file->apply_lock);
}

void kv_file_unlock(KvFile *file) {
    sqlite3_mutex_leave(file->apply_lock);
}

int kv_file_apply(KvFile *file, const KvTree *batch, bool sync) {
    int r = writer_set_sync(file, sync);
    if (r == 0)
        r = sql_run(file->writer, file->begin);
    if (r < 0)
        return r;
    r = write_all(file, batch);
    if (r == 0)
        r = sql_run(file->writer, file->commit);
    /* A failed statement may have rolled back by itself. */
    if (r < 0 && !sqlite3_get_autocommit(file->writer)) {
        sqlite3_step(file->rollback);
        sqlite3_reset(file->rollback);
    }
    rooms_keep(file);
    return r;
}

int kv_file_get(KvFile *file, Slice key, Buf *value) {
    bind_bytes(file->get, 1, key);
    int r, code = sqlite3_step(file->get);
    if (code == SQLITE_ROW) {
        Slice found = column_bytes(file->get, 0);
        buf_clear(value);
        buf_add(value, found.data, found.len);
        r = 0;
    } else {
        r = code == SQLITE_DONE ? KV_ABSENT : sql_fault(file->reader, "get");
    }
    sqlite3_reset(file->get);
    sqlite3_clear_bindings(file->get);
    return r;
}

int kv_file_begin(KvFile *file, Slice from) {
    ASSERT(!sqlite3_stmt_busy(file->scan));
    int code = sqlite3_bind_blob(file->scan, 1, from.len ? from.data : "", (int)from.len,
                                 SQLITE_TRANSIENT);
    return code == SQLITE_OK ? 0 : sql_fault(file->reader, "scan");
}

int kv_file_next(KvFile *file, Slice *ret_key, Slice *ret_value) {
    int code = sqlite3_step(file->scan);
    if (code == SQLITE_DONE)
        return 0;
    if (code != SQLITE_ROW)
        return sql_fault(file->reader, "scan");
    *ret_key = column_bytes(file->scan, 0);
    *ret_value = column_bytes(file->scan, 1);
    return 1;
}

void kv_file_end(KvFile *file) {
    sqlite3_reset(file->scan);
    sqlite3_clear_bindings(file->scan);
}
