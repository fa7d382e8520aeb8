/* shim_place.c - is it below the root, and which file is it?
 *
 * The kernel answers: /proc/self/fd has the canonical path of each descriptor, as it is now, with
 * renames and symbolic links resolved; a file without a name any more still shows where it was.
 * Nothing is remembered, so nothing can be out of date. Names that may not exist are resolved by
 * opening the directory before them (O_PATH: closing such a descriptor drops no lock). */
#include "shim.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>

static char root_path[PATH_BYTES];
static size_t root_bytes;
static char marks_path[PATH_BYTES]; /* empty: none */

/* The canonical path of a name whose directory exists. */
static bool canonical(const char *path, char out[PATH_BYTES]) {
    char above[PATH_BYTES];
    if (realpath(path, out) != NULL) return true;
    const char *slash = strrchr(path, '/');
    if (slash == NULL || slash[1] == '\0' || (size_t)(slash - path) >= sizeof above) return false;
    memcpy(above, path, (size_t)(slash - path));
    above[slash - path] = '\0';
    if (realpath(slash == path ? "/" : above, out) == NULL) return false;
    size_t bytes = strcmp(out, "/") == 0 ? 0 : strlen(out);
    return (size_t)snprintf(out + bytes, PATH_BYTES - bytes, "%s", slash) < PATH_BYTES - bytes;
}

void place_begin(const char *root, const char *marks) {
    if (!canonical(root, root_path)) shim_die(root);
    root_bytes = strlen(root_path);
    if (marks != NULL && !canonical(marks, marks_path)) shim_die(marks);
}

const char *place_root(void) {
    return root_path;
}

static enum place place_of_path(const char *path) {
    if (strncmp(path, root_path, root_bytes) == 0 &&
        (path[root_bytes] == '/' || path[root_bytes] == '\0'))
        return INSIDE;
    return marks_path[0] != '\0' && strcmp(path, marks_path) == 0 ? MARKS : ELSEWHERE;
}

/* The path behind a descriptor; false for pipes, sockets and the like. */
static bool path_of_fd(int fd, char out[PATH_BYTES]) {
    char link[32];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t bytes = readlink(link, out, PATH_BYTES - 1);
    if (bytes <= 0 || out[0] != '/') return false;
    out[bytes] = '\0';
    return true;
}

static bool node_of_fd(int fd, struct node *node) {
    struct stat status;
    if (fstat(fd, &status) != 0) return false;
    *node = (struct node){.device = status.st_dev,
                          .inode = status.st_ino,
                          .size = (uint64_t)status.st_size,
                          .mode = status.st_mode};
    return true;
}

enum place place_of_fd(int fd, struct node *node) {
    char path[PATH_BYTES];
    if (!path_of_fd(fd, path)) return ELSEWHERE;
    enum place place = place_of_path(path);
    return place == ELSEWHERE || !node_of_fd(fd, node) ? ELSEWHERE : place;
}

enum place place_of_file(int directory, const char *path, int flags, struct node *node) {
    if ((flags & AT_EMPTY_PATH) != 0 && path[0] == '\0') return place_of_fd(directory, node);
    int follow = (flags & AT_SYMLINK_NOFOLLOW) != 0 ? O_NOFOLLOW : 0;
    int fd = (int)syscall(SYS_openat, directory, path, O_PATH | O_CLOEXEC | follow);
    if (fd < 0) return ELSEWHERE;
    enum place place = place_of_fd(fd, node);
    (void)syscall(SYS_close, fd);
    return place;
}

/* Cut a path into what is before its last name, and that name. */
static bool cut(const char *path, char above[PATH_BYTES], char name[NAME_MAX + 1]) {
    size_t end = strnlen(path, PATH_BYTES);
    while (end > 1 && path[end - 1] == '/') end--;
    size_t from = end;
    while (from > 0 && path[from - 1] != '/') from--;
    if (end >= PATH_BYTES || end == from || end - from > NAME_MAX) return false;
    memcpy(name, path + from, end - from);
    name[end - from] = '\0';
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return false;
    (void)snprintf(above, PATH_BYTES, "%.*s", (int)from, from == 0 ? "." : path);
    if (from == 0) (void)snprintf(above, PATH_BYTES, ".");
    return true;
}

enum place place_of_name(int directory, const char *path, struct spot *spot) {
    char above[PATH_BYTES];
    spot->place = ELSEWHERE;
    spot->is_root = false;
    if (!cut(path, above, spot->name)) return ELSEWHERE;
    int fd = (int)syscall(SYS_openat, directory, above, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return ELSEWHERE;
    if (path_of_fd(fd, above) && node_of_fd(fd, &spot->directory)) {
        spot->place = place_of_path(above) == INSIDE ? INSIDE : ELSEWHERE;
        size_t bytes = strcmp(above, "/") == 0 ? 0 : strlen(above);
        if (spot->place == ELSEWHERE && (size_t)snprintf(above + bytes, sizeof above - bytes, "/%s",
                                                         spot->name) < sizeof above - bytes) {
            enum place place = place_of_path(above);
            spot->is_root = place == INSIDE;
            if (place == MARKS) spot->place = MARKS;
        }
    }
    (void)syscall(SYS_close, fd);
    return spot->place;
}

enum place place_of_opened(int fd, struct spot *spot) {
    char path[PATH_BYTES];
    spot->place = ELSEWHERE;
    return path_of_fd(fd, path) ? place_of_name(AT_FDCWD, path, spot) : ELSEWHERE;
}

uint16_t place_type(uint32_t mode) {
    if (S_ISREG(mode)) return TYPE_FILE;
    if (S_ISDIR(mode)) return TYPE_DIRECTORY;
    return S_ISLNK(mode) ? TYPE_SYMLINK : TYPE_OTHER;
}
