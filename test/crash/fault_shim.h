/* fault_shim.h - what the files of the fault shim share.
 *
 * The shim is a shared object for LD_PRELOAD. It stands before libc, counts the calls by which a
 * process works on files below one directory, and makes one of them fail, or its process end:
 *
 *     KH_FAULT_ROOT   the directory, by an absolute path without links, as the program names it;
 *                     without it the shim does nothing
 *     KH_FAULT_CALLS  the kinds that count, by commas (write,sync,read,open,name,size,look,close,
 *                     lock); absent: all. "change" are those that a kill can fall between: write,
 *                     sync, name, size, and opens that may create or empty a file
 *     KH_FAULT_AT     the number of the call, from 1; 0 or absent: none, only count
 *     KH_FAULT_HOW    eio, enospc   it fails, with that errno (what changes nothing, with EIO)
 *                     short         it reads or writes half (at least a byte) of what it should
 *                     torn          it writes half, and the next write of the thread finds no room;
 *                                   a sector of 512 bytes is written as a whole or not at all, as
 *                                   the power-loss shim has it (docs/decisions/0036)
 *                     full          from there on the device is full: nothing grows, until the
 *                                   program has asked four times how much is free
 *                     dead          from there on all calls fail with EIO
 *                     kill-before, kill-half, kill-after   the process is killed there
 *
 * The shim writes lines to the standard output, between the program's own: "fault CALL KIND NAME"
 * before it acts, "space" when a full device has room again, "calls N" when the process ends by
 * itself. So whoever reads knows what came before.
 *
 * Invariants: the count of a call is taken once, in the order of an atomic counter; calls of other
 * files, and all calls when nothing is due, go to libc unchanged. What libc does within its own
 * walls (stdio's buffers of streams that write: RocksDB's LOG) is not seen. */
#ifndef TEST_CRASH_FAULT_SHIM_H
#define TEST_CRASH_FAULT_SHIM_H

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

/* What other objects may see: the calls that stand before libc's. */
#define SHIM_CALL __attribute__((visibility("default")))
/* The same call by another of libc's names. */
#define SHIM_ALIAS(name) __attribute__((visibility("default"), alias(#name)))

/* NEXT(call) defines next_call(): the function that the program would have called without us. */
#define NEXT(name)                                                                                 \
    static __typeof__(name) *next_##name(void) {                                                   \
        static _Atomic(void *) found;                                                              \
        __typeof__(name) *function;                                                                \
        void *address = fault_next(&found, #name);                                                 \
        memcpy(&function, &address, sizeof function);                                              \
        return function;                                                                           \
    }

enum fault_kind {
    FAULT_WRITE,
    FAULT_SYNC,
    FAULT_READ,
    FAULT_OPEN,
    FAULT_NAME,
    FAULT_SIZE,
    FAULT_LOOK,
    FAULT_CLOSE,
    FAULT_LOCK,
    FAULT_KINDS
};

/* What a call does. */
enum fault_act {
    ACT_GO,
    ACT_FAIL,      /* errno is set; libc is not asked */
    ACT_HALF,      /* half of the bytes */
    ACT_TORN,      /* whole sectors of about half of it; the next write of the thread fails */
    ACT_END_HALF,  /* the same sectors, then the process ends */
    ACT_END_AFTER, /* then the process ends */
};

struct fault_call {
    const char *name;
    enum fault_kind kind;
    bool is_change; /* something that a kill before and after it tells apart */
    bool is_growth; /* needs room on the device */
};

void *fault_next(_Atomic(void *) *found, const char *name);
/* Count a call and say what it does. Names are relative to a directory, as of openat. */
enum fault_act fault_ask_descriptor(const struct fault_call *call, int descriptor);
enum fault_act fault_ask_name(const struct fault_call *call, int directory, const char *name);
/* After the call: the process may end here. */
void fault_settle(enum fault_act act);
/* Of so many bytes the call may read. */
size_t fault_part(enum fault_act act, size_t count);
/* Of so many bytes it may write there. False: none of them; errno is set, or the process ends. */
bool fault_part_of_write(enum fault_act act, off_t offset, size_t *count);
/* Does the device have no room now? Counts as a look, after some of which it has. */
bool fault_is_full_now(void);

/* The result of a call that answers -1 on failure. */
#define FAULT_ANSWER(act, call) ((act) == ACT_FAIL ? -1 : fault_pass((act), (call)))
static inline int fault_pass(enum fault_act act, int result) {
    fault_settle(act);
    return result;
}

#endif
