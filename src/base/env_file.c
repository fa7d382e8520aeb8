/* env_file.c - see env_file.h. Calls that a signal interrupts are made again. */
#define _GNU_SOURCE
#include "base/env_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

int env_dir_sync(const char *path) {
    int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return errno;
    int code = fsync(descriptor) == 0 ? 0 : errno;
    (void)close(descriptor);
    return code;
}

/* The directory that an entry of this path lies in. */
static int sync_parent(const char *path) {
    char parent[PATH_MAX];
    size_t length = strnlen(path, sizeof parent);
    if (length >= sizeof parent) return ENAMETOOLONG;
    memcpy(parent, path, length + 1);
    while (length > 1 && parent[length - 1] == '/') parent[--length] = '\0';
    char *slash = strrchr(parent, '/');
    if (slash == NULL) return env_dir_sync(".");
    slash[slash == parent ? 1 : 0] = '\0';
    return env_dir_sync(parent);
}

int env_dir_make(const char *path, bool *is_new) {
    if (is_new != NULL) *is_new = false;
    if (mkdir(path, 0700) == 0) {
        if (is_new != NULL) *is_new = true;
        return sync_parent(path);
    }
    if (errno != EEXIST) return errno;
    struct stat status;
    if (stat(path, &status) != 0) return errno;
    return S_ISDIR(status.st_mode) ? 0 : ENOTDIR;
}

_Static_assert(PATH_MAX == 4096, "a path fits where env_file.h says so");

int env_path_resolve(const char *path, char out[4096]) {
    return realpath(path, out) != NULL ? 0 : errno;
}

static bool is_dots(const char *name) {
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

int env_dir_is_empty(const char *path, bool *is_empty) {
    DIR *directory = opendir(path);
    if (directory == NULL) return errno;
    *is_empty = true;
    for (const struct dirent *entry = readdir(directory); entry != NULL;
         entry = readdir(directory)) {
        if (is_dots(entry->d_name)) continue;
        *is_empty = false;
        break;
    }
    (void)closedir(directory);
    return 0;
}

int env_dir_remove(const char *path) {
    return rmdir(path) == 0 || errno == ENOENT ? 0 : errno;
}

static int remove_entries(const char *path) {
    char below[PATH_MAX];
    int code = 0;
    DIR *directory = opendir(path);
    if (directory == NULL) return errno;
    for (const struct dirent *entry = readdir(directory); entry != NULL && code == 0;
         entry = readdir(directory)) {
        if (is_dots(entry->d_name)) continue;
        int length = snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
        bool is_short = length > 0 && (size_t)length < sizeof below;
        code = is_short ? env_tree_remove(below) : ENAMETOOLONG;
    }
    (void)closedir(directory);
    return code;
}

int env_tree_remove(const char *path) {
    if (unlink(path) == 0 || errno == ENOENT) return 0;
    if (errno != EISDIR) return errno;
    int code = remove_entries(path);
    return code == 0 ? env_dir_remove(path) : code;
}

/* Cut off the last name of a path; of one name "." is left, of the root the root. */
static void cut_name(char path[PATH_MAX]) {
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') length--;
    while (length > 0 && path[length - 1] != '/') length--;
    while (length > 1 && path[length - 1] == '/') length--;
    if (length == 0) path[length++] = '.';
    path[length] = '\0';
}

/* The real path of what there is of it: itself, or the nearest directory above. */
static int resolve_above(const char *path, char out[PATH_MAX]) {
    char left[PATH_MAX];
    size_t length = strnlen(path, sizeof left);
    if (length >= sizeof left) return ENAMETOOLONG;
    memcpy(left, path, length + 1);
    for (;;) {
        int code = env_path_resolve(left, out);
        bool is_last = strcmp(left, ".") == 0 || strcmp(left, "/") == 0;
        if (code != ENOENT || is_last) return code;
        cut_name(left);
    }
}

int env_path_is_within(const char *path, const char *directory, bool *is_within) {
    char real[PATH_MAX];
    char above[PATH_MAX];
    *is_within = false;
    int code = env_path_resolve(directory, above);
    if (code != 0) return code == ENOENT ? 0 : code;
    code = resolve_above(path, real);
    if (code != 0) return code;
    size_t length = strcmp(above, "/") == 0 ? 0 : strlen(above);
    *is_within = strncmp(real, above, length) == 0 && (real[length] == '/' || real[length] == '\0');
    return 0;
}

int env_path_find_above(const char *path, const char *name, char out[4096]) {
    char entry[2 * PATH_MAX];
    struct stat status;
    int code = resolve_above(path, out);
    while (code == 0) {
        (void)snprintf(entry, sizeof entry, "%s/%s", out, name);
        if (stat(entry, &status) == 0) return 0;
        code = strcmp(out, "/") == 0 ? ENOENT : 0;
        cut_name(out);
    }
    return code;
}

int env_path_look(const char *path, bool *is_there) {
    struct stat status;
    int code = stat(path, &status) == 0 ? 0 : errno;
    *is_there = code == 0;
    return code == ENOENT || code == ENOTDIR ? 0 : code;
}

bool env_path_exists(const char *path) {
    bool is_there;
    return env_path_look(path, &is_there) != 0 || is_there;
}

int env_open(const char *path, enum env_open how) {
    static const int flags[] = {[ENV_READ] = O_RDONLY,
                                [ENV_WRITE] = O_RDWR | O_CREAT,
                                [ENV_NEW] = O_RDWR | O_CREAT | O_EXCL};
    int descriptor = open(path, flags[how] | O_CLOEXEC, 0600);
    return descriptor >= 0 ? descriptor : -errno;
}

void env_close(int descriptor) {
    if (descriptor >= 0) (void)close(descriptor);
}

int env_read_at(int descriptor, void *out, size_t size_bytes, uint64_t offset) {
    unsigned char *next = out;
    while (size_bytes > 0) {
        ssize_t got = pread(descriptor, next, size_bytes, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return errno;
        if (got == 0) return ENODATA;
        next += got;
        offset += (uint64_t)got;
        size_bytes -= (size_t)got;
    }
    return 0;
}

int env_write_at(int descriptor, const void *bytes, size_t size_bytes, uint64_t offset) {
    const unsigned char *next = bytes;
    while (size_bytes > 0) {
        ssize_t put = pwrite(descriptor, next, size_bytes, (off_t)offset);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return put < 0 ? errno : ENOSPC;
        next += put;
        offset += (uint64_t)put;
        size_bytes -= (size_t)put;
    }
    return 0;
}

int env_sync(int descriptor) {
    return fdatasync(descriptor) == 0 ? 0 : errno;
}

void env_begin_sync(int descriptor) {
    (void)sync_file_range(descriptor, 0, 0, SYNC_FILE_RANGE_WRITE);
}

int env_size(int descriptor, uint64_t *size_bytes) {
    struct stat status;
    if (fstat(descriptor, &status) != 0) return errno;
    *size_bytes = (uint64_t)status.st_size;
    return 0;
}

static int write_whole(const char *path, kh_bytes contents) {
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (descriptor < 0) return errno;
    int code = env_write_at(descriptor, contents.data, contents.size_bytes, 0);
    if (code == 0) code = env_sync(descriptor);
    (void)close(descriptor);
    return code;
}

int env_replace(const char *directory, const char *name, kh_bytes contents) {
    char path[PATH_MAX];
    char fresh[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/%s", directory, name);
    int fresh_length = snprintf(fresh, sizeof fresh, "%s/%s.new", directory, name);
    if (length < 0 || (size_t)length >= sizeof path || fresh_length < 0 ||
        (size_t)fresh_length >= sizeof fresh)
        return ENAMETOOLONG;
    int code = write_whole(fresh, contents);
    if (code == 0 && rename(fresh, path) != 0) code = errno;
    if (code == 0) return env_dir_sync(directory);
    (void)unlink(fresh);
    return code;
}

int env_rename(const char *from, const char *to) {
    return rename(from, to) == 0 ? sync_parent(to) : errno;
}

int env_remove(const char *path) {
    return unlink(path) == 0 || errno == ENOENT ? 0 : errno;
}

static uint64_t read_owner(int descriptor) {
    char text[24];
    ssize_t got = pread(descriptor, text, sizeof text - 1, 0);
    if (got <= 0) return 0;
    text[got] = '\0';
    return strtoull(text, NULL, 10);
}

int env_lock(const char *path, uint64_t *owner) {
    *owner = 0;
    int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (descriptor < 0) return -errno;
    if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
        int code = errno == EWOULDBLOCK ? EAGAIN : errno;
        if (code == EAGAIN) *owner = read_owner(descriptor);
        (void)close(descriptor);
        return -code;
    }
    char text[24];
    int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    int code = ftruncate(descriptor, 0) == 0 ? 0 : errno;
    if (code == 0) code = env_write_at(descriptor, text, (size_t)length, 0);
    if (code == 0) return descriptor;
    (void)close(descriptor);
    return -code;
}

int env_lock_shared(const char *path, uint64_t *owner) {
    *owner = 0;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return -errno;
    if (flock(descriptor, LOCK_SH | LOCK_NB) == 0) return descriptor;
    int code = errno == EWOULDBLOCK ? EAGAIN : errno;
    if (code == EAGAIN) *owner = read_owner(descriptor);
    (void)close(descriptor);
    return -code;
}

#if defined(KH_SLOW_CHECKS)
static _Atomic uint64_t pretended_free_bytes = UINT64_MAX;

void env_pretend_free_bytes(uint64_t size_bytes) {
    pretended_free_bytes = size_bytes;
}

static bool is_pretended(uint64_t *size_bytes) {
    *size_bytes = pretended_free_bytes;
    return *size_bytes != UINT64_MAX;
}
#else
static bool is_pretended(uint64_t *size_bytes) {
    (void)size_bytes;
    return false;
}
#endif

int env_free_bytes(const char *path, uint64_t *size_bytes) {
    struct statvfs status;
    if (is_pretended(size_bytes)) return 0;
    if (statvfs(path, &status) != 0) return errno;
    *size_bytes = (uint64_t)status.f_bavail * status.f_frsize;
    return 0;
}
