/* SPDX-License-Identifier: Apache-2.0 */
#include "host/mount.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/str.h"

enum {
    MOUNTINFO_MAX = 4 * 1024 * 1024,
    SUBMOUNT_MAX = 64
};

int mount_isolate(void) {
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return error_last("make the mounts private");
    return 0;
}

static int open_how(int fd, const char *path, uint64_t flags, uint64_t resolve) {
    struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = resolve };
    return (int)syscall(SYS_openat2, fd, path, &how, sizeof(how));
}

/* Opens a path of the new root without ever leaving it. */
static int open_inside(const RootFs *rootfs, const char *inside, uint64_t flags) {
    return open_how(rootfs->fd, inside, flags, RESOLVE_IN_ROOT);
}

static int mount_at(int fd, const char *source, const char *type, unsigned long flags,
                    const char *data) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return mount(source, path, type, flags, data);
}

static int make_one(const RootFs *rootfs, const char *path, unsigned mode) {
    _cleanup_free_ char *parent = str_dup(path);
    char *slash = strrchr(parent, '/');
    const char *name = path + (slash - parent) + 1;
    *slash = 0;
    _cleanup_close_ int dir = open_inside(rootfs, *parent ? parent : "/", O_PATH | O_DIRECTORY);
    if (dir < 0 || (mkdirat(dir, name, mode) < 0 && errno != EEXIST))
        return error_last("make folder %s", path);
    return 0;
}

int rootfs_mkdir(RootFs *rootfs, const char *inside, unsigned mode) {
    if (inside[0] != '/')
        return error_origin(-EINVAL, "the path %s is not absolute", inside);
    _cleanup_free_ char *path = str_dup(inside);
    for (char *at = path + 1;; at++) {
        if (*at && *at != '/')
            continue;
        char saved = *at;
        *at = 0;
        _cleanup_close_ int fd = open_inside(rootfs, path, O_PATH | O_DIRECTORY);
        int r = fd < 0 && errno != ENOENT ? error_last("open folder %s", path)
                : fd < 0                  ? make_one(rootfs, path, saved ? 0755 : mode)
                                          : 0;
        if (r < 0 || !saved)
            return r;
        *at = saved;
    }
}

/* An empty file to mount over, and the folders above it. */
static int make_file(RootFs *rootfs, const char *inside) {
    _cleanup_free_ char *parent = str_dup(inside);
    char *slash = strrchr(parent, '/');
    if (slash && slash != parent) {
        *slash = 0;
        int r = rootfs_mkdir(rootfs, parent, 0755);
        if (r < 0)
            return r;
    }
    _cleanup_close_ int fd = open_inside(rootfs, inside, O_PATH);
    if (fd >= 0)
        return 0;
    struct open_how how = { .flags = O_CREAT | O_WRONLY | O_CLOEXEC,
                            .mode = 0644,
                            .resolve = RESOLVE_IN_ROOT };
    _cleanup_close_ int made = (int)syscall(SYS_openat2, rootfs->fd, inside, &how, sizeof(how));
    return made < 0 ? error_last("make file %s", inside) : 0;
}

int rootfs_bind(RootFs *rootfs, const char *source, const char *inside, bool read_only) {
    struct stat st;
    if (stat(source, &st) < 0)
        return error_last("mount %s at %s", source, inside);
    int r = S_ISDIR(st.st_mode) ? rootfs_mkdir(rootfs, inside, 0755) : make_file(rootfs, inside);
    if (r < 0)
        return r;
    _cleanup_close_ int target = open_inside(rootfs, inside, O_PATH);
    if (target < 0 || mount_at(target, source, NULL, MS_BIND | MS_REC, NULL) < 0)
        return error_last("mount %s at %s", source, inside);
    if (!read_only)
        return 0;
    /* The name now leads to the new mount. */
    _cleanup_close_ int mounted = open_inside(rootfs, inside, O_PATH);
    struct mount_attr attributes = { .attr_set = MOUNT_ATTR_RDONLY };
    if (mounted < 0 || mount_setattr(mounted, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
                                     sizeof(attributes)) < 0)
        return error_last("make %s read-only", inside);
    return 0;
}

/* Folder by folder: each step starts where the one before ended. */
static int make_below(int base, const char *sub) {
    _cleanup_close_ int at = fcntl(base, F_DUPFD_CLOEXEC, 3);
    _cleanup_free_ char *copy = str_dup(sub);
    char *save = NULL;
    for (char *name = strtok_r(copy, "/", &save); at >= 0 && name;
         name = strtok_r(NULL, "/", &save)) {
        if (mkdirat(at, name, 0750) < 0 && errno != EEXIST)
            return error_last("make folder %s", sub);
        int next = open_how(at, name, O_PATH | O_DIRECTORY, RESOLVE_BENEATH);
        fd_close(at);
        at = next;
    }
    return at < 0 ? error_last("make folder %s", sub) : 0;
}

int rootfs_bind_below(RootFs *rootfs, const char *base, const char *sub, const char *inside,
                      bool read_only) {
    _cleanup_close_ int top = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (top < 0)
        return error_last("open %s", base);
    int fd = open_how(top, sub, O_PATH, RESOLVE_BENEATH);
    if (fd < 0 && errno == ENOENT) {
        int r = make_below(top, sub);
        if (r < 0)
            return r;
        fd = open_how(top, sub, O_PATH, RESOLVE_BENEATH);
    }
    _cleanup_close_ int found = fd;
    if (found < 0)
        return errno == EXDEV ? error_origin(-EXDEV, "subPath %s leads out of the volume", sub)
                              : error_last("open subPath %s", sub);
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", found);
    return rootfs_bind(rootfs, path, inside, read_only);
}

int rootfs_tmpfs(RootFs *rootfs, const char *inside, uint64_t size, unsigned mode) {
    int r = rootfs_mkdir(rootfs, inside, mode);
    if (r < 0)
        return r;
    char options[64];
    if (size)
        snprintf(options, sizeof(options), "mode=%o,size=%llu", mode, (unsigned long long)size);
    else
        snprintf(options, sizeof(options), "mode=%o", mode);
    _cleanup_close_ int target = open_inside(rootfs, inside, O_PATH);
    if (target < 0 || mount_at(target, "tmpfs", "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
        return error_last("mount a tmpfs at %s", inside);
    return 0;
}

int rootfs_hide(RootFs *rootfs, const char *inside) {
    _cleanup_close_ int target = open_inside(rootfs, inside, O_PATH);
    if (target < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : error_last("open %s", inside);
    struct stat st;
    if (fstat(target, &st) < 0)
        return error_last("stat %s", inside);
    int r = S_ISDIR(st.st_mode)
                ? mount_at(target, "tmpfs", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV, "size=0")
                : mount_at(target, "/dev/null", NULL, MS_BIND, NULL);
    return r < 0 ? error_last("hide %s", inside) : 0;
}

static int overlay(const char *lower, const char *upper, const char *work, const char *target) {
    if (strpbrk(lower, ",:\\") || strpbrk(upper, ",:\\") || strpbrk(work, ",:\\"))
        return error_origin(
            -EINVAL, "an overlay cannot be made of paths with , : or \\: %s over %s", upper, lower);
    _cleanup_free_ char *options =
        str_printf("lowerdir=%s,upperdir=%s,workdir=%s,index=off", lower, upper, work);
    _cleanup_free_ char *as_user = str_printf("%s,userxattr", options);
    if (mount("overlay", target, "overlay", 0, options) < 0 &&
        mount("overlay", target, "overlay", 0, as_user) < 0)
        return error_last("mount an overlay of %s with its changes in %s", lower, upper);
    return 0;
}

static bool under(const char *path, const char *folder) {
    return str_starts(path, folder) && (path[strlen(folder)] == '/' || !path[strlen(folder)]);
}

/* Whether a mount of the host is data that a pod should see too. */
static bool is_data(const char *where, const char *type) {
    static const char *const types[] = { "ext2", "ext3", "ext4",  "xfs",      "btrfs",
                                         "zfs",  "f2fs", "nfs",   "nfs4",     "virtiofs",
                                         "9p",   "vfat", "erofs", "squashfs", "tmpfs" };
    static const char *const own[] = { "/proc", "/sys", "/dev", "/run", "/tmp", "/var/run" };
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        if (under(where, own[i]))
            return false;
    if (str_eq(where, "/"))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (str_eq(type, types[i]))
            return true;
    return str_starts(type, "fuse.");
}

/* Undoes mountinfo's octal escapes, in place. */
static void unescape(char *text) {
    char *to = text;
    for (const char *at = text; *at; at++) {
        unsigned value;
        if (at[0] == '\\' && sscanf(at + 1, "%3o", &value) == 1) {
            *to++ = (char)value;
            at += 3;
        } else {
            *to++ = *at;
        }
    }
    *to = 0;
}

static int submount_mount(RootFs *rootfs, const char *where, int number) {
    _cleanup_free_ char *upper = str_printf("%s.%d", rootfs->upper, number);
    _cleanup_free_ char *work = str_printf("%s.%d", rootfs->work, number);
    _cleanup_free_ char *target = str_printf("%s%s", rootfs->root, where);
    struct stat st;
    if (stat(where, &st) < 0)
        return 0; /* covered by another mount by now */
    if (S_ISDIR(st.st_mode) && dir_make(upper, 0755) == 0 && dir_make(work, 0755) == 0 &&
        overlay(where, upper, work, target) == 0)
        return 0;
    return rootfs_bind(rootfs, where, where, true);
}

static int submounts(RootFs *rootfs) {
    _cleanup_buf_ Buf text = { 0 };
    int r = file_read("/proc/self/mountinfo", MOUNTINFO_MAX, &text);
    int number = 0;
    char *save = NULL;
    for (char *line = text.data ? strtok_r(text.data, "\n", &save) : NULL; r == 0 && line;
         line = strtok_r(NULL, "\n", &save)) {
        char where[4096], type[64];
        const char *dash = strstr(line, " - ");
        if (!dash || sscanf(line, "%*s %*s %*s %*s %4095s", where) != 1 ||
            sscanf(dash + 3, "%63s", type) != 1)
            continue;
        unescape(where);
        if (is_data(where, type) && !under(rootfs->root, where) && !under(where, rootfs->root) &&
            number < SUBMOUNT_MAX)
            r = submount_mount(rootfs, where, number++);
    }
    return r;
}

static void closedir_p(DIR **dir) {
    if (*dir)
        closedir(*dir);
}

/* One entry of the machine's root. A folder with mounts below it cannot be an overlay's lower side
 * in a user namespace; then it is seen read-only. */
static int top_mount(RootFs *rootfs, const char *name) {
    _cleanup_free_ char *from = str_printf("/%s", name);
    _cleanup_free_ char *target = str_printf("%s/%s", rootfs->root, name);
    _cleanup_free_ char *upper = str_printf("%s/%s", rootfs->upper, name);
    _cleanup_free_ char *work = str_printf("%s/%s", rootfs->work, name);
    char link[4096] = { 0 };
    struct stat st;
    if (lstat(from, &st) < 0)
        return 0;
    if (S_ISLNK(st.st_mode) && readlink(from, link, sizeof(link) - 1) > 0)
        return symlink(link, target) < 0 && errno != EEXIST ? error_last("link %s", target) : 0;
    if (!S_ISDIR(st.st_mode))
        return 0;
    int r = dir_make(target, 0755);
    if (r == 0 && dir_make(upper, 0755) == 0 && dir_make(work, 0755) == 0 &&
        overlay(from, upper, work, target) == 0)
        return 0;
    return r < 0 ? r : rootfs_bind(rootfs, from, from, true);
}

/* The root put together folder by folder, where it cannot be one overlay. */
static int tops_mount(RootFs *rootfs) {
    static const char *const own[] = { ".", "..", "proc", "sys", "dev", "run", "tmp" };
    _cleanup_(closedir_p) DIR *dir = opendir("/");
    if (!dir || mount(rootfs->root, rootfs->root, NULL, MS_BIND, NULL) < 0)
        return error_last("mount %s", rootfs->root);
    rootfs->fd = open(rootfs->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (rootfs->fd < 0)
        return error_last("open %s", rootfs->root);
    int r = 0;
    for (struct dirent *entry; r == 0 && (entry = readdir(dir));) {
        bool skip = false;
        for (size_t i = 0; i < ARRAY_LEN(own); i++)
            skip |= str_eq(entry->d_name, own[i]);
        if (!skip)
            r = top_mount(rootfs, entry->d_name);
    }
    return r;
}

/* The folder of the machine, links resolved, on the upper side; those above it are there. */
static int claim_folder(const RootFs *rootfs, const char *real, const struct stat *st) {
    _cleanup_free_ char *path = str_printf("%s%s", rootfs->upper, real);
    if (mkdir(path, (st->st_mode & 0777) | 0700) < 0 && errno != EEXIST)
        return error_last("make folder %s", path);
    return 0;
}

int rootfs_claim(const RootFs *rootfs, const char *inside) {
    struct stat st;
    if (stat("/", &st) < 0 || st.st_uid == geteuid())
        return 0;
    _cleanup_free_ char *path = str_dup(inside);
    for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = 0;
        int r = 0;
        if (lstat(path, &st) < 0)
            return 0; /* from here on all is made in the overlay */
        if (S_ISLNK(st.st_mode)) {
            char *real = realpath(path, NULL);
            _cleanup_free_ char *rest = real ? str_printf("%s/%s", real, at + 1) : NULL;
            mem_free(real);
            return rest ? rootfs_claim(rootfs, rest) : 0;
        }
        if (S_ISDIR(st.st_mode))
            r = claim_folder(rootfs, path, &st);
        *at = '/';
        if (r < 0)
            return r;
    }
    return 0;
}

int rootfs_mount(RootFs *rootfs) {
    int r = overlay("/", rootfs->upper, rootfs->work, rootfs->root);
    if (r == -EINVAL)
        return tops_mount(rootfs);
    if (r < 0)
        return r;
    rootfs->fd = open(rootfs->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (rootfs->fd < 0)
        return error_last("open %s", rootfs->root);
    return submounts(rootfs);
}

static int mount_dev(RootFs *rootfs, uint64_t shm_size) {
    static const char *const devices[] = { "null", "zero", "full", "random", "urandom", "tty" };
    static const char *const links[][2] = { { "/proc/self/fd", "fd" },
                                            { "/proc/self/fd/0", "stdin" },
                                            { "/proc/self/fd/1", "stdout" },
                                            { "/proc/self/fd/2", "stderr" },
                                            { "pts/ptmx", "ptmx" } };
    int r = rootfs_mkdir(rootfs, "/dev", 0755);
    _cleanup_close_ int under_fd = r < 0 ? -1 : open_inside(rootfs, "/dev", O_PATH);
    if (under_fd < 0 || mount_at(under_fd, "tmpfs", "tmpfs", MS_NOSUID, "mode=755,size=65536k") < 0)
        return r < 0 ? r : error_last("mount /dev");
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(devices); i++) {
        char path[32];
        snprintf(path, sizeof(path), "/dev/%s", devices[i]);
        r = rootfs_bind(rootfs, path, path, false);
    }
    _cleanup_close_ int dev = open_inside(rootfs, "/dev", O_PATH);
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(links); i++)
        if (symlinkat(links[i][0], dev, links[i][1]) < 0)
            r = error_last("link /dev/%s", links[i][1]);
    if (r == 0)
        r = rootfs_mkdir(rootfs, "/dev/pts", 0755);
    _cleanup_close_ int pts = r < 0 ? -1 : open_inside(rootfs, "/dev/pts", O_PATH);
    if (r == 0 && mount_at(pts, "devpts", "devpts", MS_NOSUID | MS_NOEXEC,
                           "newinstance,ptmxmode=0666,mode=0620") < 0)
        r = error_last("mount /dev/pts");
    return r < 0 ? r : rootfs_tmpfs(rootfs, "/dev/shm", shm_size, 01777);
}

static int mount_plain(RootFs *rootfs, const char *type, const char *inside, unsigned long flags) {
    int r = rootfs_mkdir(rootfs, inside, 0755);
    _cleanup_close_ int target = r < 0 ? -1 : open_inside(rootfs, inside, O_PATH);
    if (r == 0 && mount_at(target, type, type, MS_NOSUID | MS_NODEV | MS_NOEXEC | flags, NULL) < 0)
        r = error_last("mount %s", inside);
    return r;
}

/* What of /proc would let a process look at or change the machine. */
static int mask_proc(RootFs *rootfs) {
    static const char *const hidden[] = { "/proc/kcore",       "/proc/keys", "/proc/timer_list",
                                          "/proc/sched_debug", "/proc/scsi", "/proc/acpi",
                                          "/sys/firmware" };
    static const char *const fixed[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                         "/proc/sysrq-trigger" };
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(hidden); i++)
        r = rootfs_hide(rootfs, hidden[i]);
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(fixed); i++) {
        _cleanup_free_ char *path = str_printf("%s%s", rootfs->root, fixed[i]);
        if (access(path, F_OK) == 0)
            r = rootfs_bind(rootfs, path, fixed[i], true);
    }
    return r;
}

int rootfs_mount_system(RootFs *rootfs, uint64_t shm_size, bool privileged) {
    int r = mount_plain(rootfs, "proc", "/proc", 0);
    if (r == 0)
        r = mount_plain(rootfs, "sysfs", "/sys", privileged ? 0 : MS_RDONLY);
    if (r == 0)
        r = mount_dev(rootfs, shm_size);
    if (r == 0)
        r = rootfs_tmpfs(rootfs, "/run", 0, 0755);
    if (r == 0 && !privileged)
        r = mask_proc(rootfs);
    return r;
}

int rootfs_enter(RootFs *rootfs) {
    if (fchdir(rootfs->fd) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
        umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return error_last("enter the new root");
    rootfs->fd = fd_close(rootfs->fd);
    return 0;
}
