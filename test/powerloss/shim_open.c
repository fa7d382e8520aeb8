/* shim_open.c - the calls that open files, for what they create and what they empty.
 *
 * Whether a call has created a file is known by looking before it, under the lock: no other
 * recorded process can come between. The name that is recorded is the canonical one of the open
 * descriptor, which is right through symbolic links, too. Opens that may wait (a FIFO for its other
 * end) never hold the lock. */
#include "shim.h"

#include <stdarg.h>
#include <stdlib.h>

NEXT(openat)
NEXT(mkostemps)
NEXT(mkdtemp)

/* Only what these calls could create or empty below the root is worth the lock. */
static bool may_change(int directory, const char *path, int flags) {
    struct stat status;
    struct node node;
    struct spot spot;
    if (!trace_is_on()) return false;
    if ((flags & O_TMPFILE) == O_TMPFILE) return place_of_file(directory, path, 0, &node) == INSIDE;
    if ((flags & (O_CREAT | O_TRUNC)) == 0) return false;
    if (fstatat(directory, path, &status, 0) == 0 && !S_ISREG(status.st_mode)) return false;
    if (place_of_name(directory, path, &spot) == INSIDE) return true;
    return fstatat(directory, path, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode);
}

static void note_created(int fd, bool has_name) {
    struct spot spot;
    struct node node;
    if (place_of_fd(fd, &node) != INSIDE) return;
    struct record record = {
        .kind = KIND_CREATE, .flags = TYPE_FILE, .device = node.device, .inode = node.inode};
    if (has_name) {
        if (place_of_opened(fd, &spot) != INSIDE) shim_die("a file without a place");
        record.directory = spot.directory.inode;
        (void)trace_append(&record, spot.name, strlen(spot.name), NULL);
    } else {
        (void)trace_append(&record, NULL, 0, NULL);
    }
}

static void note_emptied(int fd) {
    struct node node;
    if (place_of_fd(fd, &node) != INSIDE || node.size != 0) return;
    struct record record = {.kind = KIND_TRUNCATE,
                            .flags = TRUNCATE_BY_OPEN,
                            .device = node.device,
                            .inode = node.inode};
    (void)trace_append(&record, NULL, 0, NULL);
}

int open_recorded(int directory, const char *path, int flags, mode_t mode) {
    struct stat before;
    if (!may_change(directory, path, flags)) return next_openat()(directory, path, flags, mode);
    struct hold hold = trace_hold();
    bool is_nameless = (flags & O_TMPFILE) == O_TMPFILE;
    bool was_there = fstatat(directory, path, &before, 0) == 0;
    int fd = next_openat()(directory, path, flags, mode);
    hold.error = errno;
    if (fd >= 0 && (is_nameless || !was_there)) {
        note_created(fd, !is_nameless);
    } else if (fd >= 0 && (flags & O_TRUNC) != 0 && before.st_size != 0) {
        note_emptied(fd);
    }
    trace_release(&hold);
    return fd;
}

/* The mode is there only when something may be created. */
static mode_t mode_of(int flags, va_list arguments) {
    bool has_mode = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
    return has_mode ? va_arg(arguments, mode_t) : 0;
}

SHIM_CALL int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_recorded(AT_FDCWD, path, flags, mode);
}
SHIM_ALIAS(open) int open64(const char *path, int flags, ...);

SHIM_CALL int openat(int directory, const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_recorded(directory, path, flags, mode);
}
SHIM_ALIAS(openat) int openat64(int directory, const char *path, int flags, ...);

SHIM_CALL int creat(const char *path, mode_t mode) {
    return open_recorded(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}
SHIM_ALIAS(creat) int creat64(const char *path, mode_t mode);

/* What -D_FORTIFY_SOURCE makes of open without a mode. */
SHIM_CALL int __open_2(const char *path, int flags);
int __open_2(const char *path, int flags) {
    return open_recorded(AT_FDCWD, path, flags, 0);
}
SHIM_ALIAS(__open_2) int __open64_2(const char *path, int flags);

SHIM_CALL int __openat_2(int directory, const char *path, int flags);
int __openat_2(int directory, const char *path, int flags) {
    return open_recorded(directory, path, flags, 0);
}
SHIM_ALIAS(__openat_2) int __openat64_2(int directory, const char *path, int flags);

/* ---- names that libc makes up ---- */

SHIM_CALL int mkostemps(char *path, int suffix, int flags) {
    struct spot spot;
    if (!trace_is_on() || place_of_name(AT_FDCWD, path, &spot) != INSIDE)
        return next_mkostemps()(path, suffix, flags);
    struct hold hold = trace_hold();
    int fd = next_mkostemps()(path, suffix, flags);
    hold.error = errno;
    if (fd >= 0) note_created(fd, true);
    trace_release(&hold);
    return fd;
}
SHIM_ALIAS(mkostemps) int mkostemps64(char *path, int suffix, int flags);

SHIM_CALL int mkstemp(char *path) {
    return mkostemps(path, 0, 0);
}
SHIM_ALIAS(mkstemp) int mkstemp64(char *path);

SHIM_CALL int mkostemp(char *path, int flags) {
    return mkostemps(path, 0, flags);
}
SHIM_ALIAS(mkostemp) int mkostemp64(char *path, int flags);

SHIM_CALL int mkstemps(char *path, int suffix) {
    return mkostemps(path, suffix, 0);
}
SHIM_ALIAS(mkstemps) int mkstemps64(char *path, int suffix);

SHIM_CALL char *mkdtemp(char *path) {
    struct spot spot;
    struct node node;
    if (!trace_is_on() || place_of_name(AT_FDCWD, path, &spot) != INSIDE)
        return next_mkdtemp()(path);
    struct hold hold = trace_hold();
    char *made = next_mkdtemp()(path);
    hold.error = errno;
    if (made != NULL && place_of_name(AT_FDCWD, path, &spot) == INSIDE &&
        place_of_file(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, &node) == INSIDE) {
        struct record record = {.kind = KIND_CREATE,
                                .flags = TYPE_DIRECTORY,
                                .device = node.device,
                                .inode = node.inode,
                                .directory = spot.directory.inode};
        (void)trace_append(&record, spot.name, strlen(spot.name), NULL);
    }
    trace_release(&hold);
    return made;
}
