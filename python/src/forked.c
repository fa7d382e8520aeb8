/* forked.c - what a child that was forked from this process finds.
 *
 * The parent's databases are not its own: the threads that would answer are not there, and a lock
 * may be held for ever by one of them. So nothing of them is entered, waited for or freed: each
 * call raises ForkedError, closing does nothing, and objects that go leave their handles behind.
 *
 * RocksDB keeps threads for the whole process. A child that is forked after they were started
 * believes that it has them, and waits for ever when it writes to a database on disk, and as it
 * ends. Such a child is refused the first, and ends without the destructors of its libraries,
 * behind everything that Python does at its end. */
#include "core.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Atomic unsigned forked_count;

enum { NEVER = -1 };
static _Atomic long rocks_since = NEVER; /* forked_count as RocksDB was used first */

#if defined(__GLIBC__)
static void leave(int status, void *context) {
    (void)context;
    fflush(NULL);
    _exit(status);
}

/* What is registered last runs first. */
static void leave_early(void) {
    (void)on_exit(leave, NULL);
}
#else
static void leave_early(void) {}
#endif

static void in_child(void) {
    atomic_fetch_add(&forked_count, 1);
    if (atomic_load(&rocks_since) != NEVER) leave_early();
}

static int prepare_code = -1;

static void prepare(void) {
    prepare_code = pthread_atfork(NULL, NULL, in_child);
}

/* Once for the process; two threads may import at the same time. */
bool forked_ready(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, prepare);
    if (prepare_code == 0) return true;
    (void)PyErr_NoMemory();
    return false;
}

bool forked_begin_disk(bool is_writing) {
    long never = NEVER;
    long now = (long)atomic_load(&forked_count);
    (void)atomic_compare_exchange_strong(&rocks_since, &never, now);
    if (!is_writing || atomic_load(&rocks_since) == now) return true;
    (void)raise_words(
        KH_UNSUPPORTED,
        "a database on disk was in use before this process was forked, and the threads that would "
        "write are not here: start the process by multiprocessing's 'spawn' or 'forkserver', or "
        "open the database with read_only=True");
    return false;
}

PyObject *raise_forked(const database_object *database) {
    static const char *const words[] = {
        "the database in memory belongs to the process that this one was forked from: open another "
        "one here, and give results to the parent by a pipe or a queue",
        "the database belongs to the process that this one was forked from: open it here with "
        "read_only=True, or start the process by multiprocessing's 'spawn' or 'forkserver' and "
        "open it there"};
    return raise_words(KH_FORKED, words[database->path != NULL]);
}
