/* shim.h - what the files of the shim share.
 *
 * The shim is a shared object for LD_PRELOAD. It stands before libc and writes down, in one trace
 * file, each call by which a process changes or syncs files below one directory:
 *
 *     KH_POWERLOSS_ROOT   the directory, by an absolute path; it need not exist yet
 *     KH_POWERLOSS_TRACE  the trace, by an absolute path outside of the root
 *     KH_POWERLOSS_MARK   optional: what is written to this file becomes marks in the trace
 *
 * A call and its record are made under one lock (shim_trace.c), which all processes of the trace
 * share: the order of the records is the order in which the calls took effect. Syncs alone have a
 * record before and one after, and others may work meanwhile: a sync promises nothing about what
 * was written after it began, and programs that believe otherwise shall be seen.
 *
 * Files are known by device and inode (shim_place.c), descriptors are asked each time what they
 * are: there is no table of descriptors that dup, fork or exec could leave behind. Whoever reads
 * the trace counts generations: an inode number begins anew with each record of its creation.
 *
 * Not seen: system calls made without libc (syscall, io_uring, static programs), freopen and
 * streams that were open before (stdout into the root), splice, mknod and sockets, ioctl. What they
 * change shows at the end, when the directory differs from what the trace explains. */
#ifndef TEST_POWERLOSS_SHIM_H
#define TEST_POWERLOSS_SHIM_H

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* What other objects may see: the calls that stand before libc's. */
#define SHIM_CALL __attribute__((visibility("default")))
/* The same call by another of libc's names. */
#define SHIM_ALIAS(name) __attribute__((visibility("default"), alias(#name)))

/* NEXT(call) defines next_call(): the function that the program would have called without us. */
#define NEXT(name)                                                                                 \
    static __typeof__(name) *next_##name(void) {                                                   \
        static _Atomic(void *) found;                                                              \
        __typeof__(name) *function;                                                                \
        void *address = shim_next(&found, #name);                                                  \
        memcpy(&function, &address, sizeof function);                                              \
        return function;                                                                           \
    }

/* ---- shim_trace.c ---- */

enum { PATH_BYTES = PATH_MAX, TEXT_BYTES = 2 * NAME_MAX + 2 };

/* The numbers stand in traces; trace.py has them, too. */
enum kind {
    KIND_ROOT = 1,     /* inode is the root directory */
    KIND_ENTRY = 2,    /* was there before: inode, directory, type; text: its path in the root */
    KIND_CREATE = 3,   /* inode, directory (0: has no name), type; text: name, symlink's target */
    KIND_WRITE = 4,    /* inode, offset, length bytes */
    KIND_MAPPED = 5,   /* as WRITE, but never beyond the file's size: what a mapping shows */
    KIND_TRUNCATE = 6, /* inode, length; flags: enum truncate */
    KIND_ALLOCATE = 7, /* inode, offset, length; flags: fallocate's mode */
    KIND_RENAME = 8,   /* inode, directory, to_directory; flags: renameat2's; text: both names */
    KIND_UNLINK = 9,   /* inode, directory; text: name */
    KIND_LINK = 10,    /* inode, directory; text: name */
    KIND_SYNC = 11,    /* a sync begins: inode, offset and length; flags: enum sync */
    KIND_SYNCED = 12,  /* it has returned well; offset: where its beginning is in the trace */
    KIND_HINT = 13,    /* sync_file_range: promises nothing */
    KIND_CLOSE = 14,   /* inode */
    KIND_MARK = 15,    /* text: what the program said */
    KIND_NOTE = 16,    /* text: what the shim has to say */
    KIND_GAP = 17,     /* a process was killed between a call and its record */
};

enum truncate { TRUNCATE_BY_OPEN = 1 };
enum sync { SYNC_DATA = 1, SYNC_RANGE = 2, SYNC_ALL = 4 };
enum type { TYPE_FILE = 1, TYPE_DIRECTORY = 2, TYPE_SYMLINK = 3, TYPE_OTHER = 4 };

struct record {
    uint32_t bytes; /* of all of it: a multiple of 8 */
    uint16_t kind;
    uint16_t flags; /* or type */
    uint32_t thread;
    uint32_t text_bytes; /* behind the record; then, from a multiple of 8, what was written */
    uint64_t device;
    uint64_t inode;
    uint64_t directory;
    uint64_t to_directory;
    uint64_t offset;
    uint64_t length;
};

struct hold {
    sigset_t signals;
    int error; /* becomes errno at the end */
};

/* Is there anything to record? False before the shim is set up and in programs without a root. */
bool trace_is_on(void);
/* From here to the release no other thread or process records, and no signal handler of this thread
 * runs (it might write, and wait for itself). Set hold.error to errno after the call. */
struct hold trace_hold(void);
void trace_release(const struct hold *hold);
/* Append a record, while held. parts: where record->length bytes are; none: NULL. Returns the
 * record's place in the trace. */
uint64_t trace_append(struct record *record, const char *text, size_t text_bytes,
                      const struct iovec *parts);
/* A record of memory that may end before it: as much as can be read, which sets record->length. */
void trace_append_memory(struct record *record, const void *address, size_t bytes);
void trace_note(const char *text);
void *shim_next(_Atomic(void *) *found, const char *name);
/* An instrument that cannot write down what it sees must not go on. */
_Noreturn void shim_die(const char *what);

/* ---- shim_place.c ---- */

enum place { ELSEWHERE, INSIDE, MARKS };

struct node {
    uint64_t device;
    uint64_t inode;
    uint64_t size;
    uint32_t mode;
};

/* A name in a directory, whether or not there is anything of that name. */
struct spot {
    enum place place; /* of the directory; MARKS: the file of marks */
    bool is_root;     /* the root's own name in the directory above */
    struct node directory;
    char name[NAME_MAX + 1];
};

/* Remember the root and the file of marks (NULL: none), from the environment. */
void place_begin(const char *root, const char *marks);
const char *place_root(void);
enum place place_of_fd(int fd, struct node *node);
/* The file itself; flags: as of fstatat. ELSEWHERE also when there is none. */
enum place place_of_file(int directory, const char *path, int flags, struct node *node);
enum place place_of_name(int directory, const char *path, struct spot *spot);
/* Where an open file has its name: the spot of its canonical path. */
enum place place_of_opened(int fd, struct spot *spot);
uint16_t place_type(uint32_t mode);

/* ---- shim_open.c ---- */

/* open, with the record of what it has created or emptied. */
int open_recorded(int directory, const char *path, int flags, mode_t mode);

/* ---- shim_mapping.c ---- */

/* Record what this process' mappings of a file show, while held. NULL: of all files. */
void mapping_record(const struct node *node);

#endif
