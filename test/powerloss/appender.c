/* appender.c - a log in segments with a checkpoint, right and in ways that a loss of power
 * punishes.
 *
 *     appender DIR RECORDS VARIANT
 *
 * Records of number, length, adler32 and bytes go to segment-0001 and so on, 16 to a segment; each
 * is acknowledged by the mark "record N". After each segment the file checkpoint is replaced by
 * one that has the last number, and "checkpoint N" is acknowledged. _log_check.py judges it.
 *
 *     correct               as it should be
 *     skip-fsync            records are never synced
 *     acknowledge-early     records are acknowledged before they are synced
 *     no-directory-sync     a new segment's directory is not
 *     rename-without-fsync  the new checkpoint is not, before it takes the old one's name
 *     ride-along            two threads; one relies on a sync that the other had begun before */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SEGMENT_RECORDS = 16, HEAD_BYTES = 12, RECORD_BYTES_MAX = HEAD_BYTES + 3000 };

static const char *variant;
static void (*mark)(const char *);
static int directory;
static int segment = -1;
/* Of ride-along: the sync of one thread, for the other. */
static _Atomic bool has_begun, has_ended;

static bool is_variant(const char *name) {
    return strcmp(variant, name) == 0;
}

static void must(long result, const char *what) {
    if (result >= 0) return;
    perror(what);
    exit(1);
}

static void acknowledge(const char *what, unsigned number) {
    char line[32];
    (void)snprintf(line, sizeof line, "%s %u", what, number);
    mark(line);
}

static uint32_t adler32(const unsigned char *bytes, size_t count) {
    uint32_t low = 1, high = 0;
    for (size_t i = 0; i < count; i++) {
        low = (low + bytes[i]) % 65521;
        high = (high + low) % 65521;
    }
    return high << 16 | low;
}

static size_t make_record(unsigned number, unsigned char out[RECORD_BYTES_MAX]) {
    uint32_t head[3] = {number, 40 + number * 7919 % 2500, 0};
    for (uint32_t i = 0; i < head[1]; i++)
        out[HEAD_BYTES + i] = (unsigned char)(number * 31 + i * 7 + 1);
    memcpy(out, head, sizeof head);
    head[2] = adler32(out, HEAD_BYTES + head[1]);
    memcpy(out, head, sizeof head);
    return HEAD_BYTES + head[1];
}

static void begin_segment(unsigned number) {
    char name[32];
    (void)snprintf(name, sizeof name, "segment-%04u", number);
    if (segment >= 0) must(close(segment), "close");
    segment = openat(directory, name, O_CREAT | O_EXCL | O_WRONLY | O_APPEND, 0600);
    must(segment, name);
    if (!is_variant("no-directory-sync")) must(fsync(directory), "fsync of the directory");
}

static void append(unsigned number) {
    unsigned char record[RECORD_BYTES_MAX];
    size_t bytes = make_record(number, record);
    must(write(segment, record, bytes) == (ssize_t)bytes ? 0 : -1, "write");
}

static void append_and_say(unsigned number) {
    append(number);
    if (is_variant("acknowledge-early")) acknowledge("record", number);
    if (!is_variant("skip-fsync")) must(fdatasync(segment), "fdatasync");
    if (!is_variant("acknowledge-early")) acknowledge("record", number);
}

/* Appends its record once the other's sync is under way, and believes in that one. */
static void *ride(void *number) {
    while (!atomic_load(&has_begun)) continue;
    append(*(const unsigned *)number);
    while (!atomic_load(&has_ended)) continue;
    acknowledge("record", *(const unsigned *)number);
    return NULL;
}

static void append_together(unsigned number) {
    pthread_t rider;
    unsigned next = number + 1;
    atomic_store(&has_begun, false);
    atomic_store(&has_ended, false);
    must(-pthread_create(&rider, NULL, ride, &next), "thread");
    append(number);
    atomic_store(&has_begun, true);
    must(fdatasync(segment), "fdatasync");
    atomic_store(&has_ended, true);
    acknowledge("record", number);
    must(-pthread_join(rider, NULL), "join");
}

static void replace_checkpoint(unsigned number) {
    unsigned char record[RECORD_BYTES_MAX];
    size_t bytes = make_record(number, record);
    int fd = openat(directory, "checkpoint.new", O_CREAT | O_TRUNC | O_WRONLY, 0600);
    must(fd, "checkpoint.new");
    must(write(fd, record, bytes) == (ssize_t)bytes ? 0 : -1, "write");
    if (!is_variant("rename-without-fsync")) must(fsync(fd), "fsync");
    must(close(fd), "close");
    must(renameat(directory, "checkpoint.new", directory, "checkpoint"), "rename");
    must(fsync(directory), "fsync of the directory");
    acknowledge("checkpoint", number);
}

int main(int count, char **arguments) {
    if (count != 4) return 2;
    *(void **)&mark = dlsym(RTLD_DEFAULT, "powerloss_mark");
    if (mark == NULL) return 3;
    directory = open(arguments[1], O_RDONLY | O_DIRECTORY);
    must(directory, arguments[1]);
    variant = arguments[3];
    unsigned records = (unsigned)strtoul(arguments[2], NULL, 10);
    for (unsigned number = 1; number <= records; number++) {
        if (number % SEGMENT_RECORDS == 1) begin_segment(number / SEGMENT_RECORDS + 1);
        if (is_variant("ride-along")) {
            append_together(number++);
        } else {
            append_and_say(number);
        }
        if (number % SEGMENT_RECORDS == 0) replace_checkpoint(number);
    }
    return 0;
}
