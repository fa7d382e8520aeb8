/* slow_log.c - a log that keeps its records in memory and answers either at once or from a thread
 * of its own, for several at a time, in order. It can be read again by a second database. */
#include "stress.h"

struct slow_log {
    struct kh_log face;
    pthread_mutex_t lock;
    pthread_cond_t change;
    pthread_t thread;
    kh_bytes *records;
    size_t count;
    size_t room;
    uint64_t appended;
    uint64_t completed;
    bool is_slow;
    bool is_over;
    kh_log_complete_fn *complete;
    void *complete_context;
};

static int open_log(void *context, kh_log_complete_fn *complete, void *complete_context) {
    struct slow_log *log = context;
    (void)pthread_mutex_lock(&log->lock);
    log->complete = complete;
    log->complete_context = complete_context;
    log->appended = 0;
    log->completed = 0;
    (void)pthread_mutex_unlock(&log->lock);
    return 0;
}

static void keep(struct slow_log *log, kh_bytes record) {
    if (log->count == log->room) {
        log->room = log->room == 0 ? 1024 : log->room * 2;
        log->records = realloc(log->records, log->room * sizeof *log->records);
        if (log->records == NULL) abort();
    }
    void *copy = malloc(record.size_bytes);
    if (copy == NULL) abort();
    memcpy(copy, record.data, record.size_bytes);
    log->records[log->count++] = (kh_bytes){copy, record.size_bytes};
}

static int append(void *context, const kh_bytes *bytes, size_t record_count, uint64_t cookie,
                  kh_sync sync) {
    (void)sync;
    struct slow_log *log = context;
    (void)pthread_mutex_lock(&log->lock);
    for (size_t i = 0; i < record_count; i++) keep(log, bytes[i]);
    log->appended = cookie;
    (void)pthread_cond_broadcast(&log->change);
    (void)pthread_mutex_unlock(&log->lock);
    if (!log->is_slow) log->complete(log->complete_context, cookie, KH_LOG_KEPT);
    return 0;
}

static int read_log(void *context, kh_log_position from, kh_log_visit_fn *visit,
                    void *visit_context) {
    struct slow_log *log = context;
    for (size_t i = (size_t)from; i < log->count; i++)
        if (!visit(visit_context, i, log->records[i])) break;
    return 0;
}

static void *answer(void *argument) {
    struct slow_log *log = argument;
    (void)pthread_mutex_lock(&log->lock);
    for (;;) {
        while (!log->is_over && log->appended == log->completed)
            (void)pthread_cond_wait(&log->change, &log->lock);
        if (log->is_over && log->appended == log->completed) break;
        uint64_t cookie = log->appended;
        log->completed = cookie;
        (void)pthread_mutex_unlock(&log->lock);
        log->complete(log->complete_context, cookie, KH_LOG_KEPT);
        (void)pthread_mutex_lock(&log->lock);
    }
    (void)pthread_mutex_unlock(&log->lock);
    return NULL;
}

struct slow_log *slow_log_create(bool is_slow) {
    struct slow_log *log = calloc(1, sizeof *log);
    if (log == NULL) abort();
    log->is_slow = is_slow;
    log->face = (struct kh_log){.version = KH_LOG_VERSION,
                                .size = sizeof log->face,
                                .context = log,
                                .open = open_log,
                                .append = append,
                                .read = read_log};
    (void)pthread_mutex_init(&log->lock, NULL);
    (void)pthread_cond_init(&log->change, NULL);
    if (is_slow && pthread_create(&log->thread, NULL, answer, log) != 0) abort();
    return log;
}

struct kh_log *slow_log_face(struct slow_log *log) {
    return &log->face;
}

void slow_log_destroy(struct slow_log *log) {
    if (log == NULL) return;
    (void)pthread_mutex_lock(&log->lock);
    log->is_over = true;
    (void)pthread_cond_broadcast(&log->change);
    (void)pthread_mutex_unlock(&log->lock);
    if (log->is_slow) (void)pthread_join(log->thread, NULL);
    for (size_t i = 0; i < log->count; i++) free((void *)(uintptr_t)log->records[i].data);
    free(log->records);
    (void)pthread_cond_destroy(&log->change);
    (void)pthread_mutex_destroy(&log->lock);
    free(log);
}
