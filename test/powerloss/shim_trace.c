/* shim_trace.c - the trace file: its lock, its records, and how the shim begins.
 *
 * The first page is the head: a magic word, where the records end, the root, and the lock, a robust
 * mutex shared by all processes that map it. Records follow, each a struct record with its text
 * and bytes. Writers copy into a window that is mapped over the end of the file; no descriptor
 * stays open, so a program may close all that it finds, and fork takes the window along.
 *
 * A record counts from the moment the head's end lies behind it. A process killed before that
 * leaves nothing, and the next to take the lock learns of the death: it appends a GAP, for the call
 * may have taken effect. When the trace cannot grow the process ends: a trace with holes would
 * prove things that are not so.
 *
 * The cost: calls on files below the root wait for each other in all processes, and take some five
 * microseconds more (most of it to find out which file it is), and the copy of what is written. */
#include "shim.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum { HEAD_BYTES = 8192, TRACE_VERSION = 1, WINDOW_BYTES = 4 << 20 };

struct head {
    char magic[8];
    uint32_t version;
    uint32_t head_bytes;
    _Atomic uint64_t end; /* written under the lock, read by whoever reads the trace */
    char root[PATH_BYTES];
    pthread_mutex_t lock;
};

static struct head *head; /* NULL: off; written before main, and before other threads */
static char trace_path[PATH_BYTES];
/* The window of this process; under the lock. */
static unsigned char *window;
static uint64_t window_at;
static uint64_t window_bytes;

_Noreturn void shim_die(const char *what) {
    char text[512];
    int bytes = snprintf(text, sizeof text, "powerloss shim: %s: %s\n", what, strerror(errno));
    (void)syscall(SYS_write, 2, text, (size_t)bytes);
    _exit(97);
}

void *shim_next(_Atomic(void *) *found, const char *name) {
    void *address = atomic_load_explicit(found, memory_order_relaxed);
    if (address == NULL) {
        address = dlsym(RTLD_NEXT, name);
        if (address == NULL) shim_die(name);
        atomic_store_explicit(found, address, memory_order_relaxed);
    }
    return address;
}

bool trace_is_on(void) {
    return head != NULL;
}

struct hold trace_hold(void) {
    struct hold hold = {.error = 0};
    sigset_t all;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &hold.signals);
    int locked = pthread_mutex_lock(&head->lock);
    if (locked == EOWNERDEAD) {
        (void)pthread_mutex_consistent(&head->lock);
        struct record record = {.kind = KIND_GAP};
        (void)trace_append(&record, NULL, 0, NULL);
    } else if (locked != 0) {
        errno = locked;
        shim_die("lock");
    }
    return hold;
}

void trace_release(const struct hold *hold) {
    (void)pthread_mutex_unlock(&head->lock);
    (void)pthread_sigmask(SIG_SETMASK, &hold->signals, NULL);
    errno = hold->error;
}

/* Map the trace from `at` on, for at least `bytes`; the file grows with the window. */
static void move_window(uint64_t at, uint64_t bytes) {
    if (window != NULL) (void)syscall(SYS_munmap, window, window_bytes);
    window_at = at & ~(uint64_t)4095;
    window_bytes = (at - window_at + bytes + WINDOW_BYTES) & ~(uint64_t)4095;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, trace_path, O_RDWR | O_CLOEXEC);
    if (fd < 0) shim_die(trace_path);
    /* Blocks, not a hole: a full disk must not become a SIGBUS. */
    if (syscall(SYS_fallocate, fd, 0, window_at, window_bytes) != 0) shim_die("trace cannot grow");
    long mapped =
        syscall(SYS_mmap, NULL, window_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, window_at);
    if (mapped == -1) shim_die("mmap of the trace");
    window = (unsigned char *)mapped;
    (void)syscall(SYS_close, fd);
}

/* Another thread may have been moving the window when this one forked. */
static void forget_window(void) { window = NULL; }

/* Room for bytes at the end of the trace. */
static unsigned char *reserve(uint64_t at, uint64_t bytes) {
    if (window == NULL || at < window_at || at + bytes > window_at + window_bytes)
        move_window(at, bytes);
    return window + (at - window_at);
}

static size_t padded(size_t bytes) {
    return (bytes + 7) & ~(size_t)7;
}

static void finish(struct record *record, uint64_t at, size_t bytes) {
    record->bytes = (uint32_t)bytes;
    record->thread = (uint32_t)syscall(SYS_gettid);
    memcpy(reserve(at, bytes), record, sizeof *record);
    atomic_store_explicit(&head->end, at + bytes, memory_order_release);
}

uint64_t trace_append(struct record *record, const char *text, size_t text_bytes,
                      const struct iovec *parts) {
    uint64_t at = atomic_load_explicit(&head->end, memory_order_relaxed);
    size_t payload = parts == NULL ? 0 : record->length;
    size_t before = sizeof *record + padded(text_bytes);
    size_t bytes = before + padded(payload);
    if (bytes > UINT32_MAX) shim_die("a write of 4 GiB");
    unsigned char *place = reserve(at, bytes);
    record->text_bytes = (uint32_t)text_bytes;
    if (text_bytes != 0) memcpy(place + sizeof *record, text, text_bytes);
    place += before;
    for (; payload != 0; parts++) {
        size_t part = parts->iov_len < payload ? parts->iov_len : payload;
        memcpy(place, parts->iov_base, part);
        place += part;
        payload -= part;
    }
    finish(record, at, bytes);
    return at;
}

void trace_append_memory(struct record *record, const void *address, size_t bytes) {
    uint64_t at = atomic_load_explicit(&head->end, memory_order_relaxed);
    if (bytes > INT32_MAX) shim_die("a mapping of 2 GiB");
    unsigned char *place = reserve(at, sizeof *record + padded(bytes)) + sizeof *record;
    /* Reading beyond the end of a mapped file is a SIGBUS for us; for the kernel a short read. */
    struct iovec to = {place, bytes};
    struct iovec from = {(void *)(uintptr_t)address, bytes};
    long got = syscall(SYS_process_vm_readv, getpid(), &to, 1, &from, 1, 0);
    if (got < 0 && errno != EFAULT) shim_die("process_vm_readv");
    record->length = got < 0 ? 0 : (uint64_t)got;
    finish(record, at, sizeof *record + padded(record->length));
}

void trace_note(const char *text) {
    struct record record = {.kind = KIND_NOTE};
    (void)trace_append(&record, text, strlen(text), NULL);
}

/* ---- the beginning ---- */

static void list_directory(const char *path, const struct node *directory);

/* Write down one thing that was there before; its content is in the copy that the reader has. */
static void list_entry(const char *path, const struct node *directory) {
    struct stat status;
    char target[PATH_BYTES + NAME_MAX];
    if (lstat(path, &status) != 0) return;
    struct record record = {.kind = KIND_ENTRY,
                            .flags = place_type(status.st_mode),
                            .device = status.st_dev,
                            .inode = status.st_ino,
                            .directory = directory->inode,
                            .length = (uint64_t)status.st_size};
    (void)snprintf(target, sizeof target, "%s", path + strlen(place_root()) + 1);
    (void)trace_append(&record, target, strlen(target), NULL);
    struct node node = {.device = status.st_dev, .inode = status.st_ino};
    if (S_ISDIR(status.st_mode)) list_directory(path, &node);
}

static void list_directory(const char *path, const struct node *directory) {
    DIR *listing = opendir(path);
    if (listing == NULL) return;
    const struct dirent *entry;
    while ((entry = readdir(listing)) != NULL) {
        char below[PATH_BYTES];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if ((size_t)snprintf(below, sizeof below, "%s/%s", path, entry->d_name) < sizeof below)
            list_entry(below, directory);
    }
    (void)closedir(listing);
}

static void list_root(void) {
    struct stat status;
    if (stat(place_root(), &status) != 0) return;
    struct record record = {.kind = KIND_ROOT, .device = status.st_dev, .inode = status.st_ino};
    (void)trace_append(&record, NULL, 0, NULL);
    struct node node = {.device = status.st_dev, .inode = status.st_ino};
    list_directory(place_root(), &node);
}

/* The first process of a trace makes its head and lists what the root holds. */
static void make_head(struct head *fresh) {
    pthread_mutexattr_t attributes;
    (void)pthread_mutexattr_init(&attributes);
    (void)pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    (void)pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    if (pthread_mutex_init(&fresh->lock, &attributes) != 0) shim_die("mutex");
    (void)pthread_mutexattr_destroy(&attributes);
    (void)snprintf(fresh->root, sizeof fresh->root, "%s", place_root());
    fresh->version = TRACE_VERSION;
    fresh->head_bytes = HEAD_BYTES;
    atomic_store_explicit(&fresh->end, HEAD_BYTES, memory_order_relaxed);
    head = fresh;
    struct hold hold = trace_hold();
    list_root();
    trace_release(&hold);
    memcpy(fresh->magic, "KHPOWER1", sizeof fresh->magic);
}

/* Before other constructors (100 and less are the compiler's): they may write, too. */
__attribute__((constructor(101))) static void begin(void) {
    const char *root = getenv("KH_POWERLOSS_ROOT");
    const char *trace = getenv("KH_POWERLOSS_TRACE");
    if (root == NULL || trace == NULL) return;
    _Static_assert(sizeof(struct head) <= HEAD_BYTES, "the head has its pages");
    if (root[0] != '/' || trace[0] != '/' || strlen(trace) >= sizeof trace_path) {
        errno = EINVAL;
        shim_die("root and trace need absolute paths");
    }
    place_begin(root, getenv("KH_POWERLOSS_MARK"));
    memcpy(trace_path, trace, strlen(trace) + 1);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, trace, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || flock(fd, LOCK_EX) != 0) shim_die(trace);
    struct stat status;
    if (fstat(fd, &status) != 0) shim_die(trace);
    if (status.st_size < HEAD_BYTES && syscall(SYS_ftruncate, fd, HEAD_BYTES) != 0) shim_die(trace);
    long mapped = syscall(SYS_mmap, NULL, HEAD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == -1) shim_die(trace);
    struct head *there = (struct head *)mapped;
    if (memcmp(there->magic, "KHPOWER1", sizeof there->magic) != 0) make_head(there);
    if (strcmp(there->root, place_root()) != 0) shim_die("the trace is of another root");
    head = there;
    /* The mapping keeps the open file alive, and its lock. */
    (void)flock(fd, LOCK_UN);
    (void)syscall(SYS_close, fd);
    if (pthread_atfork(NULL, NULL, forget_window) != 0) shim_die("pthread_atfork");
}

/* What a program does not unmap it has written all the same. */
__attribute__((destructor)) static void end(void) {
    if (!trace_is_on()) return;
    struct hold hold = trace_hold();
    mapping_record(NULL);
    trace_release(&hold);
}

/* For programs that know of the shim, by dlsym(RTLD_DEFAULT, "powerloss_mark"). */
SHIM_CALL void powerloss_mark(const char *text);
void powerloss_mark(const char *text) {
    if (!trace_is_on()) return;
    struct hold hold = trace_hold();
    struct record record = {.kind = KIND_MARK};
    (void)trace_append(&record, text, strlen(text), NULL);
    trace_release(&hold);
}
