/* fault_bytes.c - the calls on what files hold: read, write, size, sync. See fault_shim.h. */
#include "fault_shim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#undef fread_unlocked /* a macro, which would stand before the definition */

NEXT(read)
NEXT(pread)
NEXT(fread_unlocked)
NEXT(write)
NEXT(pwrite)
NEXT(writev)
NEXT(pwritev)
NEXT(fsync)
NEXT(fdatasync)
NEXT(sync_file_range)
NEXT(ftruncate)
NEXT(truncate)
NEXT(fallocate)
NEXT(posix_fallocate)

/* ---- reading --------------------------------------------------------------------------------- */

static const struct fault_call reading = {"read", FAULT_READ, false, false};

SHIM_CALL ssize_t read(int fd, void *out, size_t count) {
    enum fault_act act = fault_ask_descriptor(&reading, fd);
    return act == ACT_FAIL ? -1 : next_read()(fd, out, fault_part(act, count));
}

SHIM_CALL ssize_t pread(int fd, void *out, size_t count, off_t offset) {
    enum fault_act act = fault_ask_descriptor(&reading, fd);
    return act == ACT_FAIL ? -1 : next_pread()(fd, out, fault_part(act, count), offset);
}
SHIM_ALIAS(pread) ssize_t pread64(int fd, void *out, size_t count, off64_t offset);

/* A stream gives less than it was asked for at its end and on errors only. */
SHIM_CALL size_t fread_unlocked(void *out, size_t size, size_t count, FILE *file) {
    enum fault_act act = fault_ask_descriptor(&reading, fileno(file));
    if (act == ACT_FAIL || act == ACT_HALF) {
        errno = EIO;
        return 0;
    }
    return next_fread_unlocked()(out, size, count, file);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Does a write need room that the file does not have? Blocks may have been allocated ahead. */
static bool is_growing(int fd, off_t offset, size_t count) {
    struct stat status;
    /* fstat would be counted. */
    if (fstatat(fd, "", &status, AT_EMPTY_PATH) != 0 || !S_ISREG(status.st_mode)) return false;
    return offset + (off_t)count > status.st_blocks * 512;
}

/* False: nothing is written. */
static bool begin_write(int fd, off_t offset, size_t *count, enum fault_act *act) {
    const struct fault_call call = {"write", FAULT_WRITE, true, is_growing(fd, offset, *count)};
    *act = fault_ask_descriptor(&call, fd);
    return fault_part_of_write(*act, offset, count);
}

static ssize_t end_write(enum fault_act act, ssize_t done) {
    fault_settle(act);
    return done;
}

/* Pipes and the like have no place. */
static off_t place_of(int fd) {
    int error = errno;
    off_t offset = lseek(fd, 0, SEEK_CUR);
    errno = error;
    return offset < 0 ? 0 : offset;
}

SHIM_CALL ssize_t write(int fd, const void *bytes, size_t count) {
    enum fault_act act;
    if (!begin_write(fd, place_of(fd), &count, &act)) return -1;
    return end_write(act, next_write()(fd, bytes, count));
}

SHIM_CALL ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    enum fault_act act;
    if (!begin_write(fd, offset, &count, &act)) return -1;
    return end_write(act, next_pwrite()(fd, bytes, count, offset));
}
SHIM_ALIAS(pwrite) ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset);

/* Only the first part is cut. */
SHIM_CALL ssize_t writev(int fd, const struct iovec *parts, int count) {
    enum fault_act act;
    size_t first = parts[0].iov_len;
    if (!begin_write(fd, place_of(fd), &first, &act)) return -1;
    if (first == parts[0].iov_len) return end_write(act, next_writev()(fd, parts, count));
    return end_write(act, next_write()(fd, parts[0].iov_base, first));
}

SHIM_CALL ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    enum fault_act act;
    size_t first = parts[0].iov_len;
    if (!begin_write(fd, offset, &first, &act)) return -1;
    if (first == parts[0].iov_len) return end_write(act, next_pwritev()(fd, parts, count, offset));
    return end_write(act, next_pwrite()(fd, parts[0].iov_base, first, offset));
}
SHIM_ALIAS(pwritev)
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset);

/* ---- syncs ----------------------------------------------------------------------------------- */

SHIM_CALL int fsync(int fd) {
    static const struct fault_call call = {"fsync", FAULT_SYNC, true, false};
    enum fault_act act = fault_ask_descriptor(&call, fd);
    return FAULT_ANSWER(act, next_fsync()(fd));
}

SHIM_CALL int fdatasync(int fd) {
    static const struct fault_call call = {"fdatasync", FAULT_SYNC, true, false};
    enum fault_act act = fault_ask_descriptor(&call, fd);
    return FAULT_ANSWER(act, next_fdatasync()(fd));
}

SHIM_CALL int sync_file_range(int fd, off64_t offset, off64_t length, unsigned flags) {
    static const struct fault_call call = {"sync_file_range", FAULT_SYNC, true, false};
    /* RocksDB asks once a file whether there is such a call, by one that does nothing. */
    if (flags == 0) return next_sync_file_range()(fd, offset, length, flags);
    enum fault_act act = fault_ask_descriptor(&call, fd);
    return FAULT_ANSWER(act, next_sync_file_range()(fd, offset, length, flags));
}

/* ---- sizes ----------------------------------------------------------------------------------- */

static const struct fault_call cutting = {"truncate", FAULT_SIZE, true, false};
static const struct fault_call allocating = {"fallocate", FAULT_SIZE, true, true};

SHIM_CALL int ftruncate(int fd, off_t length) {
    enum fault_act act = fault_ask_descriptor(&cutting, fd);
    return FAULT_ANSWER(act, next_ftruncate()(fd, length));
}
SHIM_ALIAS(ftruncate) int ftruncate64(int fd, off64_t length);

SHIM_CALL int truncate(const char *path, off_t length) {
    enum fault_act act = fault_ask_name(&cutting, AT_FDCWD, path);
    return FAULT_ANSWER(act, next_truncate()(path, length));
}
SHIM_ALIAS(truncate) int truncate64(const char *path, off64_t length);

SHIM_CALL int fallocate(int fd, int mode, off_t offset, off_t length) {
    const struct fault_call *call = (mode & FALLOC_FL_PUNCH_HOLE) != 0 ? &cutting : &allocating;
    enum fault_act act = fault_ask_descriptor(call, fd);
    return FAULT_ANSWER(act, next_fallocate()(fd, mode, offset, length));
}
SHIM_ALIAS(fallocate) int fallocate64(int fd, int mode, off64_t offset, off64_t length);

/* It answers an errno. */
SHIM_CALL int posix_fallocate(int fd, off_t offset, off_t length) {
    enum fault_act act = fault_ask_descriptor(&allocating, fd);
    if (act == ACT_FAIL) return errno;
    return fault_pass(act, next_posix_fallocate()(fd, offset, length));
}
SHIM_ALIAS(posix_fallocate) int posix_fallocate64(int fd, off64_t offset, off64_t length);
