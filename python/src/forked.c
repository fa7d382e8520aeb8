/* forked.c - a child that was forked from a process with a durable database can end.
 *
 * RocksDB waits for threads of its own as a process ends: in a child they are not there, and it
 * would wait for ever. Such a child therefore ends without the destructors of its libraries, behind
 * everything that Python does at its end. */
#include "core.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#if defined(__GLIBC__)
static void leave(int status, void *context) {
    (void)context;
    fflush(NULL);
    _exit(status);
}

/* What is registered last runs first. */
static void in_child(void) {
    (void)on_exit(leave, NULL);
}
#else
static void in_child(void) {}
#endif

static void prepare(void) {
    (void)pthread_atfork(NULL, NULL, in_child);
}

/* Whoever comes second waits for the first: its database must not be forked before. */
void forked_prepare(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, prepare);
}
