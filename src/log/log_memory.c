/* log_memory.c - the newest records in memory, bounded in bytes.
 *
 * Invariants, under the lock: records first to first + count - 1 are kept, each in a block of its
 * own, at ring[position % capacity]; the sum of their frames is kept_bytes <= keep_bytes. A block
 * has one reference from the ring and one from each read that visits it.
 * Happy path of append: copy the frames into blocks, make room in the ring, link them, drop what is
 * too old, say KEPT. Everything that can fail comes before the lock: a refused append changes
 * nothing. Nothing is allocated, freed or called back with the lock held. */
#include "log/log.h"

#include "base/lock.h"
#include "base/mem.h"
#include "base/status.h"
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

enum { FIRST_CAPACITY = 64 };

struct entry {
    _Atomic uint32_t refs;
    struct entry *next; /* in the chain of one append, and of what it drops */
    size_t size_bytes;
    unsigned char bytes[];
};

struct log_memory {
    struct mem *mem;
    uint64_t keep_bytes;
    kh_log_complete_fn *complete; /* NULL: no database has it open */
    void *completion_context;
    struct lock lock; /* RANK_LOG: all below; ring and capacity change in append only */
    struct entry **ring;
    size_t capacity;
    kh_log_position first;
    size_t count;
    uint64_t kept_bytes;
};

static void drop_entry(struct log_memory *memory, struct entry *entry) {
    if (atomic_fetch_sub_explicit(&entry->refs, 1, memory_order_acq_rel) == 1)
        mem_free(memory->mem, NULL, entry, sizeof *entry + entry->size_bytes);
}

static void drop_chain(struct log_memory *memory, struct entry *entry) {
    while (entry != NULL) {
        struct entry *next = entry->next;
        drop_entry(memory, entry);
        entry = next;
    }
}

/* Unlink the oldest and put it before chain. Lock held. */
static struct entry *unlink_oldest(struct log_memory *memory, struct entry *chain) {
    struct entry *entry = memory->ring[memory->first % memory->capacity];
    entry->next = chain;
    memory->first++;
    memory->count--;
    memory->kept_bytes -= entry->size_bytes;
    return entry;
}

static int open_log(void *context, kh_log_complete_fn *complete, void *completion_context) {
    struct log_memory *memory = context;
    if (memory->complete != NULL) return EBUSY;
    memory->complete = complete;
    memory->completion_context = completion_context;
    return 0;
}

static void close_log(void *context) {
    struct log_memory *memory = context;
    memory->complete = NULL;
}

/* The frames as a chain of blocks, in order. False: no memory, nothing is left over. */
static bool copy_frames(struct log_memory *memory, const kh_bytes *bytes, size_t record_count,
                        struct entry **out) {
    struct entry *first = NULL;
    struct entry **link = &first;
    for (size_t i = 0; i < record_count; i++) {
        size_t size_bytes = bytes[i].size_bytes;
        struct entry *entry = NULL;
        if (size_bytes <= SIZE_MAX - sizeof *entry)
            entry = mem_alloc(memory->mem, NULL, sizeof *entry + size_bytes);
        if (entry == NULL) {
            drop_chain(memory, first);
            return false;
        }
        atomic_init(&entry->refs, 1);
        entry->next = NULL;
        entry->size_bytes = size_bytes;
        if (size_bytes > 0) memcpy(entry->bytes, bytes[i].data, size_bytes);
        *link = entry;
        link = &entry->next;
    }
    *out = first;
    return true;
}

/* Room in the ring for more records. False: no memory. */
static bool reserve_ring(struct log_memory *memory, size_t record_count) {
    lock_take(&memory->lock);
    size_t needed = memory->count + record_count;
    size_t old_capacity = memory->capacity;
    lock_leave(&memory->lock);
    if (needed <= old_capacity) return true;
    size_t capacity = old_capacity > 0 ? old_capacity : FIRST_CAPACITY;
    while (capacity < needed) capacity *= 2;
    struct entry **ring = mem_alloc(memory->mem, NULL, capacity * sizeof(struct entry *));
    if (ring == NULL) return false;
    lock_take(&memory->lock);
    struct entry **old_ring = memory->ring;
    for (size_t i = 0; i < memory->count; i++)
        ring[(memory->first + i) % capacity] = old_ring[(memory->first + i) % old_capacity];
    memory->ring = ring;
    memory->capacity = capacity;
    lock_leave(&memory->lock);
    mem_free(memory->mem, NULL, old_ring, old_capacity * sizeof(struct entry *));
    return true;
}

static int append(void *context, const kh_bytes *bytes, size_t record_count, uint64_t cookie,
                  kh_sync sync) {
    (void)sync;
    struct log_memory *memory = context;
    struct entry *chain = NULL;
    if (!copy_frames(memory, bytes, record_count, &chain)) return ENOMEM;
    if (!reserve_ring(memory, record_count)) {
        drop_chain(memory, chain);
        return ENOMEM;
    }
    struct entry *dropped = NULL;
    lock_take(&memory->lock);
    while (chain != NULL) {
        struct entry *entry = chain;
        chain = entry->next;
        memory->ring[(memory->first + memory->count) % memory->capacity] = entry;
        memory->count++;
        memory->kept_bytes += entry->size_bytes;
    }
    while (memory->kept_bytes > memory->keep_bytes) dropped = unlink_oldest(memory, dropped);
    lock_leave(&memory->lock);
    drop_chain(memory, dropped);
    memory->complete(memory->completion_context, cookie, KH_LOG_KEPT);
    return 0;
}

static int read_log(void *context, kh_log_position from, kh_log_visit_fn *visit,
                    void *visit_context) {
    struct log_memory *memory = context;
    bool is_wanted = true;
    for (kh_log_position position = from; is_wanted; position++) {
        struct entry *entry = NULL;
        lock_take(&memory->lock);
        bool is_forgotten = position < memory->first;
        if (!is_forgotten && position - memory->first < memory->count) {
            entry = memory->ring[position % memory->capacity];
            atomic_fetch_add_explicit(&entry->refs, 1, memory_order_relaxed);
        }
        lock_leave(&memory->lock);
        if (is_forgotten) return ENODATA;
        if (entry == NULL) return 0;
        is_wanted = visit(visit_context, position, (kh_bytes){entry->bytes, entry->size_bytes});
        drop_entry(memory, entry);
    }
    return 0;
}

static int trim(void *context, kh_log_position before) {
    struct log_memory *memory = context;
    struct entry *dropped = NULL;
    lock_take(&memory->lock);
    while (memory->count > 0 && memory->first < before) dropped = unlink_oldest(memory, dropped);
    lock_leave(&memory->lock);
    drop_chain(memory, dropped);
    return 0;
}

kh_status log_memory_create(struct mem *mem, uint64_t keep_bytes, kh_log *out, kh_error *error) {
    struct log_memory *memory = mem_alloc_zeroed(mem, NULL, sizeof *memory);
    if (memory == NULL) return status_no_memory(error, sizeof *memory);
    memory->mem = mem;
    memory->keep_bytes = keep_bytes;
    lock_init(&memory->lock, RANK_LOG);
    *out = (kh_log){.version = KH_LOG_VERSION,
                    .size = sizeof(kh_log),
                    .context = memory,
                    .open = open_log,
                    .append = append,
                    .read = read_log,
                    .trim = trim,
                    .close = close_log};
    return KH_OK;
}

void log_memory_destroy(kh_log *log) {
    struct log_memory *memory = log->context;
    if (memory == NULL) return;
    kh_assert(memory->complete == NULL);
    (void)trim(memory, UINT64_MAX);
    mem_free(memory->mem, NULL, memory->ring, memory->capacity * sizeof(struct entry *));
    lock_fini(&memory->lock);
    mem_free(memory->mem, NULL, memory, sizeof *memory);
    memset(log, 0, sizeof *log);
}
