/* file.c - reading and writing files of Arrow IPC.
 *
 * Failure modes: a file that cannot be opened, read or written ends in one line on the standard
 * error and exit code 1; a reader that has gone away (EPIPE on the standard output) is no failure:
 * the rest is not written and the exit code stays what it is. */
#include "file.h"

#include "complain.h"
#include "heap.h"
#include "text.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_in_place(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && !S_ISREG(status.st_mode);
}

int file_create(struct file_output *output, const char *path) {
    *output = (struct file_output){NULL, heap_copy(path, strlen(path)), NULL, 0};
    if (strcmp(path, "-") == 0) {
        output->stream = stdout;
        return CLI_OK;
    }
    if (is_in_place(path)) {
        output->stream = fopen(path, "wb");
    } else {
        struct text part = {NULL, 0, 0};
        text_printf(&part, "%s.%ld.part", path, (long)getpid());
        output->part = part.bytes;
        output->stream = fopen(output->part, "wb");
    }
    if (output->stream == NULL) {
        int code = complain_errno("write", path);
        free(output->part);
        free(output->path);
        *output = (struct file_output){NULL, NULL, NULL, 0};
        return code;
    }
    return CLI_OK;
}

void file_abandon(struct file_output *output) {
    if (output->stream != NULL && output->stream != stdout) {
        (void)fclose(output->stream);
    }
    if (output->part != NULL) {
        (void)remove(output->part);
    }
    free(output->part);
    free(output->path);
    *output = (struct file_output){NULL, NULL, NULL, 0};
}

/* Everything written reached the file. A write may have failed long before the last flush. */
static int flush(struct file_output *output) {
    errno = 0;
    bool is_flushed = fflush(output->stream) == 0;
    if (is_flushed && !ferror(output->stream)) {
        return CLI_OK;
    }
    if (output->stream == stdout && file_is_reader_gone()) {
        return CLI_OK;
    }
    int error = output->error != 0 ? output->error : errno;
    if (error == 0) {
        return complain(CLI_FAILED, "cannot write %s: is the disk full?", output->path);
    }
    errno = error;
    return complain_errno("write", output->path);
}

int file_finish(struct file_output *output) {
    int code = flush(output);
    if (code == CLI_OK && output->part != NULL) {
        if (fclose(output->stream) != 0 || rename(output->part, output->path) != 0) {
            code = complain_errno("write", output->path);
            (void)remove(output->part);
        }
        output->stream = NULL;
        free(output->part);
        output->part = NULL;
    }
    file_abandon(output);
    return code;
}

bool file_is_reader_gone(void) {
    if (!ferror(stdout)) {
        return false;
    }
    struct pollfd standard_output = {STDOUT_FILENO, 0, 0};
    return poll(&standard_output, 1, 0) == 1 && (standard_output.revents & POLLERR) != 0;
}

int file_write(struct file_output *output, const void *bytes, size_t size_bytes) {
    errno = 0;
    if (output->error == 0 && fwrite(bytes, 1, size_bytes, output->stream) != size_bytes) {
        output->error = errno == 0 ? EIO : errno;
    }
    return output->error;
}

static int sink_write(void *context, const void *bytes, size_t size_bytes) {
    return file_write(context, bytes, size_bytes);
}

kh_sink file_sink(struct file_output *output) {
    return (kh_sink){sink_write, output};
}

int file_complain(const struct file_output *output, kh_status status, const kh_error *error) {
    if (output->error != 0) {
        errno = output->error;
        return complain_errno("write", output->path);
    }
    return complain_status(output->path, status, error);
}

struct input {
    FILE *stream;
    int error;        /* errno of the failed read */
    struct text kept; /* what was read while it was kept, to be read again */
    bool is_keeping;
    size_t again; /* bytes of it that were */
};

static size_t read_again(struct input *input, void *bytes, size_t size_bytes) {
    size_t left = input->kept.size - input->again;
    size_t size = size_bytes < left ? size_bytes : left;
    memcpy(bytes, input->kept.bytes + input->again, size);
    input->again += size;
    return size;
}

static int64_t source_read(void *context, void *bytes, size_t size_bytes) {
    struct input *input = context;
    errno = 0;
    size_t size = 0;
    if (!input->is_keeping && input->again < input->kept.size) {
        size = read_again(input, bytes, size_bytes);
    }
    size += fread((char *)bytes + size, 1, size_bytes - size, input->stream);
    if (input->is_keeping) {
        text_append(&input->kept, bytes, size);
    }
    if (size < size_bytes && ferror(input->stream)) {
        input->error = errno == 0 ? EIO : errno;
        return -input->error;
    }
    return (int64_t)size;
}

static int complain_input(const char *path, const struct input *input, kh_status status,
                          const kh_error *error) {
    if (input->error != 0) {
        errno = input->error;
        return complain_errno("read", path);
    }
    if (status == KH_CORRUPT || status == KH_TOO_BIG || status == KH_INVALID_DATA) {
        return complain(CLI_FAILED, "%s is no whole Arrow IPC file or stream: %s (%s)", path,
                        error->message, kh_status_name(status));
    }
    return complain_status(path, status, error);
}

static int read_batches(kh_ipc_reader *reader, const char *path, const struct input *input,
                        file_batch_fn *on_batch, void *context) {
    for (;;) {
        kh_error error = {""};
        kh_batch *batch = NULL;
        kh_status status = kh_ipc_reader_next(reader, &batch, &error);
        if (status == KH_END) {
            return CLI_OK;
        }
        if (status != KH_OK) {
            return complain_input(path, input, status, &error);
        }
        int code = on_batch(context, batch);
        kh_batch_release(batch);
        if (code != CLI_OK) {
            return code;
        }
    }
}

static int open_input(struct input *input, const char *path) {
    bool is_stdin = strcmp(path, "-") == 0;
    *input = (struct input){.stream = is_stdin ? stdin : fopen(path, "rb")};
    return input->stream != NULL ? CLI_OK : complain_errno("read", path);
}

static void close_input(struct input *input) {
    if (input->stream != stdin) {
        (void)fclose(input->stream);
    }
    text_free(&input->kept);
}

static int read_input(kh_db *db, struct input *input, const char *path, file_schema_fn *on_schema,
                      file_batch_fn *on_batch, void *context) {
    kh_error error = {""};
    kh_source source = {source_read, input};
    kh_ipc_reader *reader = NULL;
    kh_status status = kh_ipc_reader_open(db, &source, &reader, &error);
    int code = CLI_OK;
    if (status != KH_OK) {
        code = complain_input(path, input, status, &error);
    } else if (on_schema != NULL) {
        code = on_schema(context, kh_ipc_reader_schema(reader));
    }
    if (code == CLI_OK && on_batch != NULL) {
        code = read_batches(reader, path, input, on_batch, context);
    }
    kh_ipc_reader_close(reader);
    return code;
}

int file_read(kh_db *db, const char *path, file_schema_fn *on_schema, file_batch_fn *on_batch,
              void *context) {
    struct input input;
    int code = open_input(&input, path);
    if (code == CLI_OK) {
        code = read_input(db, &input, path, on_schema, on_batch, context);
        close_input(&input);
    }
    return code;
}

/* The schema is read twice: the second reader is the database's, and its batches, too. */
int file_read_into(kh_db *const *db, const char *path, file_schema_fn *on_schema,
                   file_batch_fn *on_batch, void *context) {
    struct input input;
    int code = open_input(&input, path);
    if (code != CLI_OK) {
        return code;
    }
    input.is_keeping = true;
    code = read_input(NULL, &input, path, on_schema, NULL, context);
    input.is_keeping = false;
    if (code == CLI_OK) {
        code = read_input(*db, &input, path, NULL, on_batch, context);
    }
    close_input(&input);
    return code;
}

/* Neighbours pairwise, round by round: each row is copied log2(count) times, not count times. */
kh_status file_concat(kh_batch **parts, size_t count, kh_batch **out, kh_error *error) {
    kh_status status = KH_OK;
    while (count > 1 && status == KH_OK) {
        size_t kept = 0;
        for (size_t i = 0; i < count && status == KH_OK; i += 2) {
            if (i + 1 == count) {
                kh_batch *last = parts[i];
                parts[i] = NULL;
                parts[kept++] = last;
                break;
            }
            kh_batch *both = NULL;
            status = kh_batch_concat(parts[i], parts[i + 1], &both, error);
            kh_batch_release(parts[i]);
            kh_batch_release(parts[i + 1]);
            parts[i] = parts[i + 1] = NULL;
            parts[kept++] = both;
        }
        for (size_t i = kept; status != KH_OK && i < count; ++i) {
            kh_batch_release(parts[i]);
            parts[i] = NULL;
        }
        count = kept;
    }
    if (status != KH_OK) {
        for (size_t i = 0; i < count; ++i) {
            kh_batch_release(parts[i]);
        }
        return status;
    }
    *out = parts[0];
    return KH_OK;
}

struct whole {
    kh_db *db;
    const char *path;
    kh_batch **parts;
    size_t count;
    kh_batch *empty;
};

static int keep_schema(void *context, const kh_schema *schema) {
    struct whole *whole = context;
    /* A file of no batches still says what it would hold. Nested types cannot be built from
     * scalars: such a file is refused below. */
    if (kh_batch_build(whole->db, schema, NULL, 0, &whole->empty, NULL) != KH_OK) {
        whole->empty = NULL;
    }
    return CLI_OK;
}

static int keep_batch(void *context, const kh_batch *batch) {
    struct whole *whole = context;
    whole->parts = heap_resize(whole->parts, whole->count + 1, sizeof(kh_batch *));
    whole->parts[whole->count++] = kh_batch_retain(batch);
    return CLI_OK;
}

int file_read_whole(kh_db *db, const char *path, kh_batch **out) {
    struct whole whole = {db, path, NULL, 0, NULL};
    int code = file_read(db, path, keep_schema, keep_batch, &whole);
    if (code == CLI_OK && whole.count == 0 && whole.empty == NULL) {
        code = complain(CLI_FAILED, "%s holds no batch: write at least one, of 0 rows", path);
    }
    if (code != CLI_OK) {
        for (size_t i = 0; i < whole.count; ++i) {
            kh_batch_release(whole.parts[i]);
        }
        kh_batch_release(whole.empty);
    } else if (whole.count == 0) {
        *out = whole.empty;
    } else {
        kh_error error = {""};
        kh_status status = file_concat(whole.parts, whole.count, out, &error);
        code = status == KH_OK ? CLI_OK : complain_status(path, status, &error);
        kh_batch_release(whole.empty);
    }
    free(whole.parts);
    return code;
}
