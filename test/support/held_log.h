/* held_log.h - a log of the test's own: keeps records in memory and answers when, and what, the
 * test says. Survives the database, so that a second one can be opened on it. Any thread may
 * append; the test completes from its own. */
#ifndef TEST_SUPPORT_HELD_LOG_H
#define TEST_SUPPORT_HELD_LOG_H

#include "support/kit.h"

#include <pthread.h>

enum held_mode {
    HELD_AT_ONCE,  /* append completes */
    HELD_ON_FLUSH, /* flush completes: whoever waits is answered */
    HELD_UNTIL_TOLD
};

struct held_log {
    struct kh_log log;
    enum held_mode mode;
    int append_errno; /* append, open, read answer this instead */
    int open_errno;
    int read_errno;
    kh_bytes *records;
    size_t record_count;
    size_t record_capacity;
    uint64_t completed; /* the largest cookie answered */
    uint64_t appended; /* the largest cookie seen */
    uint64_t flushes;
    uint64_t opens;
    uint64_t closes;
    kh_log_complete_fn *complete;
    void *completion_context;
    pthread_mutex_t lock;
};

void held_log_init(struct held_log *held, enum held_mode mode);
void held_log_fini(struct held_log *held);
/* Answer for everything appended up to cookie (UINT64_MAX: all). */
void held_log_answer(struct held_log *held, uint64_t cookie, kh_log_answer answer);
/* Forget the records after the first count. */
void held_log_cut(struct held_log *held, size_t count);

#endif
