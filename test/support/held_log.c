/* held_log.c - records in an array, completed by hand. */
#include "support/held_log.h"

static int open_log(void *context, kh_log_complete_fn *complete, void *completion_context) {
    struct held_log *held = context;
    if (held->open_errno != 0) {
        return held->open_errno;
    }
    held->opens++;
    held->complete = complete;
    held->completion_context = completion_context;
    return 0;
}

static void grow(struct held_log *held, size_t more) {
    if (held->record_count + more <= held->record_capacity) {
        return;
    }
    held->record_capacity = (held->record_count + more) * 2;
    held->records = realloc(held->records, held->record_capacity * sizeof *held->records);
    if (held->records == NULL) {
        abort();
    }
}

static int append(void *context, const kh_bytes *bytes, size_t record_count, uint64_t cookie,
                  kh_sync sync) {
    (void)sync;
    struct held_log *held = context;
    if (held->append_errno != 0) {
        return held->append_errno;
    }
    (void)pthread_mutex_lock(&held->lock);
    grow(held, record_count);
    for (size_t i = 0; i < record_count; i++) {
        void *copy = malloc(bytes[i].size_bytes);
        if (copy == NULL) {
            abort();
        }
        memcpy(copy, bytes[i].data, bytes[i].size_bytes);
        held->records[held->record_count++] = (kh_bytes){copy, bytes[i].size_bytes};
    }
    held->appended = cookie;
    (void)pthread_mutex_unlock(&held->lock);
    if (held->mode == HELD_AT_ONCE) {
        held->completed = cookie;
        held->complete(held->completion_context, cookie, KH_LOG_KEPT);
    }
    return 0;
}

static void flush(void *context, uint64_t cookie) {
    struct held_log *held = context;
    held->flushes++;
    if (held->mode == HELD_ON_FLUSH) {
        held_log_answer(held, cookie, KH_LOG_KEPT);
    }
}

/* False: there is no such record. Another thread may append, and move the array. */
static bool take_record(struct held_log *held, size_t index, kh_bytes *out) {
    (void)pthread_mutex_lock(&held->lock);
    bool is_there = index < held->record_count;
    if (is_there) *out = held->records[index];
    (void)pthread_mutex_unlock(&held->lock);
    return is_there;
}

static int read_log(void *context, kh_log_position from, kh_log_visit_fn *visit,
                    void *visit_context) {
    struct held_log *held = context;
    if (held->read_errno != 0) {
        return held->read_errno;
    }
    kh_bytes record;
    for (size_t i = (size_t)from; take_record(held, i, &record); i++)
        if (!visit(visit_context, i, record)) break;
    return 0;
}

static void close_log(void *context) {
    struct held_log *held = context;
    held->closes++;
    held->complete = NULL;
}

void held_log_init(struct held_log *held, enum held_mode mode) {
    memset(held, 0, sizeof *held);
    held->mode = mode;
    held->log = (struct kh_log){.version = KH_LOG_VERSION,
                                .size = sizeof held->log,
                                .context = held,
                                .open = open_log,
                                .append = append,
                                .flush = flush,
                                .read = read_log,
                                .close = close_log};
    (void)pthread_mutex_init(&held->lock, NULL);
}

void held_log_cut(struct held_log *held, size_t count) {
    while (held->record_count > count) {
        free((void *)held->records[--held->record_count].data);
    }
}

void held_log_fini(struct held_log *held) {
    held_log_cut(held, 0);
    free(held->records);
    (void)pthread_mutex_destroy(&held->lock);
}

void held_log_answer(struct held_log *held, uint64_t cookie, kh_log_answer answer) {
    (void)pthread_mutex_lock(&held->lock);
    uint64_t last = cookie < held->appended ? cookie : held->appended;
    bool is_new = last > held->completed;
    if (is_new) held->completed = last;
    (void)pthread_mutex_unlock(&held->lock);
    if (is_new) held->complete(held->completion_context, last, answer);
}
