/* fault_names.c - the calls on names and descriptors: open, rename, unlink, stat, lock, close. See
 * fault_shim.h. */
#include "fault_shim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

NEXT(openat)
NEXT(opendir)
NEXT(fopen)
NEXT(close)
NEXT(renameat)
NEXT(unlinkat)
NEXT(linkat)
NEXT(mkdirat)
NEXT(stat)
NEXT(lstat)
NEXT(fstat)
NEXT(access)
NEXT(statvfs)
NEXT(flock)
NEXT(fcntl)

/* ---- open and close -------------------------------------------------------------------------- */

static int open_any(int directory, const char *path, int flags, mode_t mode) {
    bool is_change = (flags & (O_CREAT | O_TRUNC)) != 0;
    bool is_growth = (flags & O_CREAT) != 0 && faccessat(directory, path, F_OK, 0) != 0;
    const struct fault_call call = {"open", FAULT_OPEN, is_change, is_growth};
    enum fault_act act = fault_ask_name(&call, directory, path);
    return FAULT_ANSWER(act, next_openat()(directory, path, flags, mode));
}

static mode_t mode_of(int flags, va_list arguments) {
    return (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
}

SHIM_CALL int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_any(AT_FDCWD, path, flags, mode);
}
SHIM_ALIAS(open) int open64(const char *path, int flags, ...);

SHIM_CALL int openat(int directory, const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_any(directory, path, flags, mode);
}
SHIM_ALIAS(openat) int openat64(int directory, const char *path, int flags, ...);

SHIM_CALL int creat(const char *path, mode_t mode) {
    return open_any(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}
SHIM_ALIAS(creat) int creat64(const char *path, mode_t mode);

/* What -D_FORTIFY_SOURCE makes of open without a mode. */
SHIM_CALL int __open_2(const char *path, int flags);
int __open_2(const char *path, int flags) {
    return open_any(AT_FDCWD, path, flags, 0);
}
SHIM_ALIAS(__open_2) int __open64_2(const char *path, int flags);

SHIM_CALL DIR *opendir(const char *path) {
    static const struct fault_call call = {"opendir", FAULT_OPEN, false, false};
    enum fault_act act = fault_ask_name(&call, AT_FDCWD, path);
    return act == ACT_FAIL ? NULL : next_opendir()(path);
}

SHIM_CALL FILE *fopen(const char *path, const char *mode) {
    const struct fault_call call = {"fopen", FAULT_OPEN, mode[0] != 'r', mode[0] != 'r'};
    enum fault_act act = fault_ask_name(&call, AT_FDCWD, path);
    if (act == ACT_FAIL) return NULL;
    FILE *file = next_fopen()(path, mode);
    fault_settle(act);
    return file;
}
SHIM_ALIAS(fopen) FILE *fopen64(const char *path, const char *mode);

/* Linux closes it also when it says that it could not. */
SHIM_CALL int close(int fd) {
    static const struct fault_call call = {"close", FAULT_CLOSE, false, false};
    enum fault_act act = fault_ask_descriptor(&call, fd);
    int error = errno;
    int result = next_close()(fd);
    if (act != ACT_FAIL) return result;
    errno = error;
    return -1;
}

/* ---- names ----------------------------------------------------------------------------------- */

static const struct fault_call renaming = {"rename", FAULT_NAME, true, false};
static const struct fault_call removing = {"unlink", FAULT_NAME, true, false};
static const struct fault_call linking = {"link", FAULT_NAME, true, true};

SHIM_CALL int renameat(int from_directory, const char *from, int to_directory, const char *to) {
    enum fault_act act = fault_ask_name(&renaming, to_directory, to);
    return FAULT_ANSWER(act, next_renameat()(from_directory, from, to_directory, to));
}

SHIM_CALL int rename(const char *from, const char *to) {
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

SHIM_CALL int unlinkat(int directory, const char *path, int flags) {
    enum fault_act act = fault_ask_name(&removing, directory, path);
    return FAULT_ANSWER(act, next_unlinkat()(directory, path, flags));
}

SHIM_CALL int unlink(const char *path) {
    return unlinkat(AT_FDCWD, path, 0);
}

SHIM_CALL int rmdir(const char *path) {
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

SHIM_CALL int linkat(int from_directory, const char *from, int to_directory, const char *to,
                     int flags) {
    enum fault_act act = fault_ask_name(&linking, to_directory, to);
    return FAULT_ANSWER(act, next_linkat()(from_directory, from, to_directory, to, flags));
}

SHIM_CALL int link(const char *from, const char *to) {
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

SHIM_CALL int mkdirat(int directory, const char *path, mode_t mode) {
    const struct fault_call call = {"mkdir", FAULT_NAME, true,
                                    faccessat(directory, path, F_OK, 0) != 0};
    enum fault_act act = fault_ask_name(&call, directory, path);
    return FAULT_ANSWER(act, next_mkdirat()(directory, path, mode));
}

SHIM_CALL int mkdir(const char *path, mode_t mode) {
    return mkdirat(AT_FDCWD, path, mode);
}

/* ---- looking --------------------------------------------------------------------------------- */

static const struct fault_call looking = {"stat", FAULT_LOOK, false, false};

SHIM_CALL int stat(const char *path, struct stat *out) {
    enum fault_act act = fault_ask_name(&looking, AT_FDCWD, path);
    return FAULT_ANSWER(act, next_stat()(path, out));
}
SHIM_CALL int lstat(const char *path, struct stat *out) {
    enum fault_act act = fault_ask_name(&looking, AT_FDCWD, path);
    return FAULT_ANSWER(act, next_lstat()(path, out));
}

SHIM_CALL int fstat(int fd, struct stat *out) {
    enum fault_act act = fault_ask_descriptor(&looking, fd);
    return FAULT_ANSWER(act, next_fstat()(fd, out));
}

SHIM_CALL int access(const char *path, int mode) {
    static const struct fault_call call = {"access", FAULT_LOOK, false, false};
    enum fault_act act = fault_ask_name(&call, AT_FDCWD, path);
    return FAULT_ANSWER(act, next_access()(path, mode));
}

SHIM_CALL int statvfs(const char *path, struct statvfs *out) {
    static const struct fault_call call = {"statvfs", FAULT_LOOK, false, false};
    enum fault_act act = fault_ask_name(&call, AT_FDCWD, path);
    int result = FAULT_ANSWER(act, next_statvfs()(path, out));
    if (result == 0 && fault_is_full_now()) out->f_bavail = out->f_bfree = 0;
    return result;
}

/* ---- locks ----------------------------------------------------------------------------------- */

static const struct fault_call locking = {"lock", FAULT_LOCK, false, false};

SHIM_CALL int flock(int fd, int operation) {
    enum fault_act act = fault_ask_descriptor(&locking, fd);
    return FAULT_ANSWER(act, next_flock()(fd, operation));
}

SHIM_CALL int fcntl(int fd, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    bool is_lock = command == F_SETLK || command == F_SETLKW;
    enum fault_act act = is_lock ? fault_ask_descriptor(&locking, fd) : ACT_GO;
    return FAULT_ANSWER(act, next_fcntl()(fd, command, argument));
}
SHIM_ALIAS(fcntl) int fcntl64(int fd, int command, ...);
