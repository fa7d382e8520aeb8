/* shim_stream.c - stdio: streams that write below the root go through calls that can be seen.
 *
 * libc's streams call its own write by an inner name that no other object can stand before. A
 * stream on a file below the root (or on the file of marks) is therefore made by fopencookie, with
 * functions that call write, lseek and close of the shim; buffering, printf and the rest stay
 * libc's. Such a stream knows no descriptor, so fileno looks it up here. */
#include "shim.h"

#include <stdio.h>
#include <stdlib.h>

NEXT(fopen)
NEXT(fdopen)
NEXT(fileno)

struct stream {
    struct stream *next;
    FILE *file;
    int fd;
};

static struct stream *streams; /* under the trace's lock, which no fork can leave locked */

static ssize_t stream_read(void *cookie, char *bytes, size_t count) {
    return read(((struct stream *)cookie)->fd, bytes, count);
}

static ssize_t stream_write(void *cookie, const char *bytes, size_t count) {
    /* 0 says that it failed, and anything less than all of it, too. */
    size_t done = 0;
    while (done < count) {
        ssize_t more = write(((struct stream *)cookie)->fd, bytes + done, count - done);
        if (more <= 0) break;
        done += (size_t)more;
    }
    return (ssize_t)done;
}

static int stream_seek(void *cookie, off64_t *offset, int whence) {
    off64_t at = lseek64(((struct stream *)cookie)->fd, *offset, whence);
    if (at < 0) return -1;
    *offset = at;
    return 0;
}

static int stream_close(void *cookie) {
    struct stream *stream = cookie;
    struct hold hold = trace_hold();
    struct stream **link = &streams;
    while (*link != stream) link = &(*link)->next;
    *link = stream->next;
    trace_release(&hold);
    int result = close(stream->fd);
    free(stream);
    return result;
}

/* A stream of ours over a descriptor; NULL with errno when there is no memory. */
static FILE *open_stream(int fd, const char *mode) {
    const char plain[3] = {mode[0], strchr(mode, '+') == NULL ? '\0' : '+', '\0'};
    cookie_io_functions_t functions = {stream_read, stream_write, stream_seek, stream_close};
    struct stream *stream = malloc(sizeof *stream);
    if (stream == NULL) return NULL;
    stream->fd = fd;
    stream->file = fopencookie(stream, plain, functions);
    if (stream->file == NULL) {
        free(stream);
        return NULL;
    }
    (void)setvbuf(stream->file, NULL, _IOFBF, 4096);
    FILE *file = stream->file;
    struct hold hold = trace_hold();
    stream->next = streams;
    streams = stream;
    trace_release(&hold);
    return file;
}

static bool is_writable(const char *mode) {
    return mode[0] == 'w' || mode[0] == 'a' || (mode[0] == 'r' && strchr(mode, '+') != NULL);
}

static bool is_recorded(int fd) {
    struct node node;
    return place_of_fd(fd, &node) != ELSEWHERE;
}

static int flags_of(const char *mode) {
    int flags = strchr(mode, '+') != NULL ? O_RDWR : O_WRONLY;
    if (mode[0] != 'r') flags |= O_CREAT;
    if (mode[0] == 'w') flags |= O_TRUNC;
    if (mode[0] == 'a') flags |= O_APPEND;
    if (strchr(mode, 'x') != NULL) flags |= O_EXCL;
    if (strchr(mode, 'e') != NULL) flags |= O_CLOEXEC;
    return flags;
}

SHIM_CALL FILE *fopen(const char *path, const char *mode) {
    if (!trace_is_on() || !is_writable(mode)) return next_fopen()(path, mode);
    int fd = open_recorded(AT_FDCWD, path, flags_of(mode), 0666);
    if (fd < 0) return NULL;
    FILE *file = is_recorded(fd) ? open_stream(fd, mode) : next_fdopen()(fd, mode);
    int error = errno;
    if (file == NULL) (void)close(fd);
    errno = error;
    return file;
}
SHIM_ALIAS(fopen) FILE *fopen64(const char *path, const char *mode);

SHIM_CALL FILE *fdopen(int fd, const char *mode) {
    if (!trace_is_on() || !is_writable(mode) || !is_recorded(fd)) return next_fdopen()(fd, mode);
    return open_stream(fd, mode);
}

SHIM_CALL int fileno(FILE *file) {
    int fd = -1;
    if (!trace_is_on()) return next_fileno()(file);
    struct hold hold = trace_hold();
    for (const struct stream *stream = streams; stream != NULL && fd < 0; stream = stream->next)
        if (stream->file == file) fd = stream->fd;
    trace_release(&hold);
    return fd >= 0 ? fd : next_fileno()(file);
}
SHIM_ALIAS(fileno) int fileno_unlocked(FILE *file);
