/* shim.c - the calls on descriptors: writing, sizes, syncs, close. shim.h has the whole.
 *
 * Each asks first, without the lock, what the descriptor is; what is elsewhere goes on to libc. A
 * write is recorded with its bytes and the offset at which they have landed, which for appends the
 * kernel decides: it is read off afterwards, still under the lock. What came out of other files
 * (copy_file_range, sendfile) is read back. A write through O_DSYNC or RWF_DSYNC is followed by a
 * sync of its range.
 *
 * After a short write the record has what was written. A failed call leaves none, but for syncs:
 * their beginning stands there without an end, and promises nothing. */
#include "shim.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/sendfile.h>

NEXT(write)
NEXT(pwrite)
NEXT(writev)
NEXT(pwritev)
NEXT(pwritev2)
NEXT(copy_file_range)
NEXT(sendfile)
NEXT(ftruncate)
NEXT(truncate)
NEXT(fallocate)
NEXT(posix_fallocate)
NEXT(fsync)
NEXT(fdatasync)
NEXT(sync_file_range)
NEXT(sync)
NEXT(syncfs)
NEXT(close)

struct target {
    enum place place;
    int fd;
    int flags; /* open's */
    struct node node;
};

/* Is it a file whose changes are recorded? */
static bool is_target(int fd, struct target *target) {
    if (!trace_is_on()) return false;
    int error = errno;
    target->fd = fd;
    target->place = place_of_fd(fd, &target->node);
    bool is_regular = target->place != ELSEWHERE && S_ISREG(target->node.mode);
    target->flags = is_regular ? fcntl(fd, F_GETFL) : 0;
    errno = error;
    return is_regular || target->place == MARKS;
}

static uint64_t size_of(int fd) {
    struct stat status;
    return fstat(fd, &status) == 0 ? (uint64_t)status.st_size : 0;
}

static struct record record_of(enum kind kind, const struct node *node) {
    return (struct record){.kind = (uint16_t)kind, .device = node->device, .inode = node->inode};
}

static void note_range_synced(const struct target *target, uint64_t at, uint64_t bytes) {
    struct record begun = record_of(KIND_SYNC, &target->node);
    begun.flags = SYNC_DATA | SYNC_RANGE;
    begun.offset = at;
    begun.length = bytes;
    struct record synced = record_of(KIND_SYNCED, &target->node);
    synced.offset = trace_append(&begun, NULL, 0, NULL);
    (void)trace_append(&synced, NULL, 0, NULL);
}

static void note_marks(const struct iovec *parts, size_t bytes) {
    for (; bytes != 0; parts++) {
        size_t part = parts->iov_len < bytes ? parts->iov_len : bytes;
        struct record record = {.kind = KIND_MARK};
        (void)trace_append(&record, parts->iov_base, part, NULL);
        bytes -= part;
    }
}

/* where: the offset that was asked for; negative: at the descriptor's position. */
static void note_written(const struct target *target, const struct iovec *parts, ssize_t done,
                         off_t where, int flags) {
    if (done <= 0) return;
    if (target->place == MARKS) {
        note_marks(parts, (size_t)done);
        return;
    }
    struct record record = record_of(KIND_WRITE, &target->node);
    record.length = (uint64_t)done;
    if (where < 0) {
        record.offset = (uint64_t)lseek(target->fd, 0, SEEK_CUR) - record.length;
    } else if ((target->flags & O_APPEND) != 0 || (flags & RWF_APPEND) != 0) {
        /* Linux appends, whatever offset pwrite is given. */
        record.offset = size_of(target->fd) - record.length;
    } else {
        record.offset = (uint64_t)where;
    }
    (void)trace_append(&record, NULL, 0, parts);
    if ((target->flags & O_DSYNC) != 0 || (flags & (RWF_DSYNC | RWF_SYNC)) != 0)
        note_range_synced(target, record.offset, record.length);
}

SHIM_CALL ssize_t write(int fd, const void *bytes, size_t count) {
    struct target target;
    if (!is_target(fd, &target)) return next_write()(fd, bytes, count);
    struct hold hold = trace_hold();
    ssize_t done = next_write()(fd, bytes, count);
    hold.error = errno;
    struct iovec part = {(void *)(uintptr_t)bytes, count};
    note_written(&target, &part, done, -1, 0);
    trace_release(&hold);
    return done;
}

SHIM_CALL ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    struct target target;
    if (!is_target(fd, &target)) return next_pwrite()(fd, bytes, count, offset);
    struct hold hold = trace_hold();
    ssize_t done = next_pwrite()(fd, bytes, count, offset);
    hold.error = errno;
    struct iovec part = {(void *)(uintptr_t)bytes, count};
    note_written(&target, &part, done, offset, 0);
    trace_release(&hold);
    return done;
}
SHIM_ALIAS(pwrite) ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset);

SHIM_CALL ssize_t writev(int fd, const struct iovec *parts, int count) {
    struct target target;
    if (!is_target(fd, &target)) return next_writev()(fd, parts, count);
    struct hold hold = trace_hold();
    ssize_t done = next_writev()(fd, parts, count);
    hold.error = errno;
    note_written(&target, parts, done, -1, 0);
    trace_release(&hold);
    return done;
}

SHIM_CALL ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    struct target target;
    if (!is_target(fd, &target)) return next_pwritev()(fd, parts, count, offset);
    struct hold hold = trace_hold();
    ssize_t done = next_pwritev()(fd, parts, count, offset);
    hold.error = errno;
    note_written(&target, parts, done, offset, 0);
    trace_release(&hold);
    return done;
}
SHIM_ALIAS(pwritev)
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset);

SHIM_CALL ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags) {
    struct target target;
    if (!is_target(fd, &target)) return next_pwritev2()(fd, parts, count, offset, flags);
    struct hold hold = trace_hold();
    ssize_t done = next_pwritev2()(fd, parts, count, offset, flags);
    hold.error = errno;
    note_written(&target, parts, done, offset, flags);
    trace_release(&hold);
    return done;
}
SHIM_ALIAS(pwritev2)
ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off64_t offset, int flags);

/* Record bytes that no buffer of the program holds: read them out of the file. */
static void note_copied(const struct target *target, ssize_t done, off_t where) {
    char link[32];
    if (done <= 0) return;
    off_t from = where >= 0 ? where : lseek(target->fd, 0, SEEK_CUR) - done;
    unsigned char *bytes = malloc((size_t)done);
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", target->fd);
    /* Again, because the program's descriptor may be for writing only. */
    int fd = open(link, O_RDONLY | O_CLOEXEC);
    if (bytes == NULL || fd < 0 || pread(fd, bytes, (size_t)done, from) != done)
        shim_die("reading back what was copied");
    struct iovec part = {bytes, (size_t)done};
    note_written(target, &part, done, from, 0);
    (void)next_close()(fd);
    free(bytes);
}

SHIM_CALL ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t count,
                                  unsigned flags) {
    struct target target;
    if (!is_target(out, &target))
        return next_copy_file_range()(in, in_at, out, out_at, count, flags);
    struct hold hold = trace_hold();
    off_t where = out_at == NULL ? -1 : *out_at;
    ssize_t done = next_copy_file_range()(in, in_at, out, out_at, count, flags);
    hold.error = errno;
    note_copied(&target, done, where);
    trace_release(&hold);
    return done;
}

SHIM_CALL ssize_t sendfile(int out, int in, off_t *in_at, size_t count) {
    struct target target;
    if (!is_target(out, &target)) return next_sendfile()(out, in, in_at, count);
    struct hold hold = trace_hold();
    ssize_t done = next_sendfile()(out, in, in_at, count);
    hold.error = errno;
    note_copied(&target, done, -1);
    trace_release(&hold);
    return done;
}
SHIM_ALIAS(sendfile) ssize_t sendfile64(int out, int in, off64_t *in_at, size_t count);

/* ---- sizes ---- */

SHIM_CALL int ftruncate(int fd, off_t length) {
    struct target target;
    if (!is_target(fd, &target) || target.place == MARKS) return next_ftruncate()(fd, length);
    struct hold hold = trace_hold();
    int result = next_ftruncate()(fd, length);
    hold.error = errno;
    struct record record = record_of(KIND_TRUNCATE, &target.node);
    record.length = (uint64_t)length;
    if (result == 0) (void)trace_append(&record, NULL, 0, NULL);
    trace_release(&hold);
    return result;
}
SHIM_ALIAS(ftruncate) int ftruncate64(int fd, off64_t length);

SHIM_CALL int truncate(const char *path, off_t length) {
    struct node node;
    if (!trace_is_on() || place_of_file(AT_FDCWD, path, 0, &node) != INSIDE)
        return next_truncate()(path, length);
    struct hold hold = trace_hold();
    int result = next_truncate()(path, length);
    hold.error = errno;
    struct record record = record_of(KIND_TRUNCATE, &node);
    record.length = (uint64_t)length;
    if (result == 0) (void)trace_append(&record, NULL, 0, NULL);
    trace_release(&hold);
    return result;
}
SHIM_ALIAS(truncate) int truncate64(const char *path, off64_t length);

static void note_allocated(const struct target *target, int mode, off_t offset, off_t length) {
    struct record record = record_of(KIND_ALLOCATE, &target->node);
    record.flags = (uint16_t)mode;
    record.offset = (uint64_t)offset;
    record.length = (uint64_t)length;
    (void)trace_append(&record, NULL, 0, NULL);
}

SHIM_CALL int fallocate(int fd, int mode, off_t offset, off_t length) {
    struct target target;
    if (!is_target(fd, &target) || target.place == MARKS)
        return next_fallocate()(fd, mode, offset, length);
    struct hold hold = trace_hold();
    int result = next_fallocate()(fd, mode, offset, length);
    hold.error = errno;
    if (result == 0) note_allocated(&target, mode, offset, length);
    trace_release(&hold);
    return result;
}
SHIM_ALIAS(fallocate) int fallocate64(int fd, int mode, off64_t offset, off64_t length);

SHIM_CALL int posix_fallocate(int fd, off_t offset, off_t length) {
    struct target target;
    if (!is_target(fd, &target) || target.place == MARKS)
        return next_posix_fallocate()(fd, offset, length);
    struct hold hold = trace_hold();
    int result = next_posix_fallocate()(fd, offset, length);
    hold.error = errno;
    if (result == 0) note_allocated(&target, 0, offset, length);
    trace_release(&hold);
    return result;
}
SHIM_ALIAS(posix_fallocate) int posix_fallocate64(int fd, off64_t offset, off64_t length);

/* ---- syncs ---- */

static uint64_t note_sync(const struct node *node, int flags) {
    struct hold hold = trace_hold();
    /* A sync takes the pages that a mapping has made dirty along. */
    mapping_record((flags & SYNC_ALL) != 0 ? NULL : node);
    struct record record = record_of(KIND_SYNC, node);
    record.flags = (uint16_t)flags;
    uint64_t at = trace_append(&record, NULL, 0, NULL);
    hold.error = errno;
    trace_release(&hold);
    return at;
}

static void note_synced(const struct node *node, uint64_t at) {
    struct hold hold = trace_hold();
    struct record record = record_of(KIND_SYNCED, node);
    record.offset = at;
    (void)trace_append(&record, NULL, 0, NULL);
    trace_release(&hold);
}

/* Directories are synced, too, so that is_target does not fit here. */
static bool is_inside(int fd, struct node *node) {
    return trace_is_on() && place_of_fd(fd, node) == INSIDE;
}

static int sync_by(int (*call)(int), int fd, int flags) {
    struct node node;
    if (!is_inside(fd, &node)) return call(fd);
    uint64_t at = note_sync(&node, flags);
    int result = call(fd);
    if (result == 0) note_synced(&node, at);
    return result;
}

SHIM_CALL int fsync(int fd) {
    return sync_by(next_fsync(), fd, 0);
}

SHIM_CALL int fdatasync(int fd) {
    return sync_by(next_fdatasync(), fd, SYNC_DATA);
}

SHIM_CALL int syncfs(int fd) {
    return sync_by(next_syncfs(), fd, SYNC_ALL);
}

SHIM_CALL void sync(void) {
    struct node none = {.device = 0};
    if (!trace_is_on()) {
        next_sync()();
        return;
    }
    uint64_t at = note_sync(&none, SYNC_ALL);
    next_sync()();
    note_synced(&none, at);
}

SHIM_CALL int sync_file_range(int fd, off64_t offset, off64_t length, unsigned flags) {
    struct node node;
    int result = next_sync_file_range()(fd, offset, length, flags);
    int error = errno;
    if (result == 0 && is_inside(fd, &node)) {
        struct hold hold = trace_hold();
        struct record record = record_of(KIND_HINT, &node);
        record.flags = (uint16_t)flags;
        record.offset = (uint64_t)offset;
        record.length = (uint64_t)length;
        (void)trace_append(&record, NULL, 0, NULL);
        trace_release(&hold);
    }
    errno = error;
    return result;
}

SHIM_CALL int close(int fd) {
    struct target target;
    if (!is_target(fd, &target) || target.place == MARKS) return next_close()(fd);
    struct hold hold = trace_hold();
    int result = next_close()(fd);
    hold.error = errno;
    struct record record = record_of(KIND_CLOSE, &target.node);
    (void)trace_append(&record, NULL, 0, NULL);
    trace_release(&hold);
    return result;
}
