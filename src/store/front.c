/* front.c - changing the hash front: adding, removing, moving to a larger or smaller table.
 * The argument why no retired entry can be found here is in front.h. */
#include "store/front.h"

#if KH_HASH_FRONT

#include "store/guard.h"

enum {
    FIRST_LINES = 16,
    /* Lines moved per call while a table is on its way out, and how many calls share one: few
     * enough for some microseconds under the lock, enough to be done long before the next. */
    MOVE_LINES = 32,
    MOVE_EVERY = 4
};

/* Simulated with growth by a half: at most 3/4 full loses 2.2 % of the entries to full lines, for
 * 13 bytes an entry on average; 0.85 loses 4.9 % for 12, and each loss costs a walk of the tree. */
static uint64_t capacity(uint32_t line_count) {
    return (uint64_t)line_count * FRONT_LINE_SLOTS / 4 * 3;
}

static size_t table_size(uint32_t line_count) {
    return sizeof(struct front_table) + (size_t)line_count * sizeof(struct front_line);
}

static struct front_table *table_create(struct mem *mem, struct mem_cache *cache,
                                        uint32_t line_count) {
    struct front_table *table = mem_alloc_zeroed(mem, cache, table_size(line_count));
    if (table == NULL) return NULL;
    table->mem = mem;
    table->line_count = line_count;
    return table;
}

static void table_free(struct epoch_entry *limbo, struct mem_cache *cache) {
    struct front_table *table = (struct front_table *)(void *)limbo;
    mem_free(table->mem, cache, table, table_size(table->line_count));
}

static void set_limits(struct front *front, uint32_t line_count) {
    uint64_t most = capacity(line_count);
    uint64_t least = line_count == FIRST_LINES ? 0 : most / 8;
    atomic_store_explicit(&front->grow_above, most, memory_order_relaxed);
    atomic_store_explicit(&front->shrink_below, least, memory_order_relaxed);
}

bool front_init(struct front *front, struct mem *mem, struct epoch *epoch) {
    struct front_table *table = table_create(mem, NULL, FIRST_LINES);
    if (table == NULL) return false;
    atomic_init(&front->current, table);
    atomic_init(&front->previous, NULL);
    atomic_init(&front->is_resizing, false);
    atomic_init(&front->grow_above, 0);
    atomic_init(&front->shrink_below, 0);
    front->mem = mem;
    front->epoch = epoch;
    front->moved = 0;
    lock_init(&front->lock, RANK_INDEX);
    set_limits(front, FIRST_LINES);
    return true;
}

void front_fini(struct front *front) {
    struct front_table *previous = atomic_load_explicit(&front->previous, memory_order_relaxed);
    if (previous != NULL) table_free(&previous->limbo, NULL);
    table_free(&atomic_load_explicit(&front->current, memory_order_relaxed)->limbo, NULL);
    lock_fini(&front->lock);
}

bool front_reserve(struct front *front, struct mem_cache *cache, uint64_t entry_count) {
    struct front_table *empty = atomic_load_explicit(&front->current, memory_order_relaxed);
    uint64_t lines = empty->line_count;
    while (entry_count > capacity((uint32_t)lines) && lines <= UINT32_MAX) lines += lines / 2;
    if (lines > UINT32_MAX) return false;
    if (lines == empty->line_count) return true;
    struct front_table *table = table_create(front->mem, cache, (uint32_t)lines);
    if (table == NULL) return false;
    atomic_store_explicit(&front->current, table, memory_order_release);
    set_limits(front, table->line_count);
    atomic_store_explicit(&front->shrink_below, 0, memory_order_relaxed);
    table_free(&empty->limbo, cache);
    return true;
}

void front_settle(struct front *front) {
    const struct front_table *table = atomic_load_explicit(&front->current, memory_order_relaxed);
    set_limits(front, table->line_count);
}

static struct entry *line_find(const struct front_line *line, kh_bytes key, uint64_t tag) {
    for (unsigned i = 0; i < FRONT_LINE_SLOTS; i++) {
        uint64_t slot = atomic_load_explicit(&line->slots[i], memory_order_acquire) ^ tag;
        if (slot > ~FRONT_TAG_MASK) continue;
        struct entry *entry = (struct entry *)(uintptr_t)slot;
        if (entry->key_bytes == key.size_bytes &&
            key_is_equal(entry->key, key.data, key.size_bytes))
            return entry;
    }
    return NULL;
}

/* An entry goes to its second line only while its first is full: a first line whose last slot is
 * free is not followed there (who is still there because of that is found in the tree). */
static struct entry *table_find(struct front_table *table, kh_bytes key, uint64_t hash) {
    struct front_line *line = front_line_first(table, (uint32_t)hash);
    struct entry *entry = line_find(line, key, front_tag(hash));
    if (entry != NULL ||
        atomic_load_explicit(&line->slots[FRONT_LINE_SLOTS - 1], memory_order_relaxed) == 0)
        return entry;
    return line_find(front_line_second(table, (uint32_t)hash), key, front_tag(hash));
}

struct entry *front_find_further(const struct front *front, kh_bytes key, uint64_t hash) {
    struct entry *entry =
        table_find(atomic_load_explicit(&front->current, memory_order_acquire), key, hash);
    if (entry != NULL) return entry;
    struct front_table *previous = atomic_load_explicit(&front->previous, memory_order_acquire);
    return KH_LIKELY(previous == NULL) ? NULL : table_find(previous, key, hash);
}

static bool line_put(struct front_line *line, uint64_t word) {
    for (unsigned i = 0; i < FRONT_LINE_SLOTS; i++) {
        uint64_t empty = atomic_load_explicit(&line->slots[i], memory_order_relaxed);
        if (empty == 0 &&
            atomic_compare_exchange_strong_explicit(&line->slots[i], &empty, word,
                                                    memory_order_release, memory_order_relaxed))
            return true;
    }
    return false;
}

static void table_put(struct front_table *table, uint64_t word, uint32_t hash) {
    if (!line_put(front_line_first(table, hash), word))
        (void)line_put(front_line_second(table, hash), word); /* full: the tree answers */
}

void front_add(struct front *front, struct entry *entry, uint64_t hash) {
    uint64_t address = (uint64_t)(uintptr_t)entry;
    if ((address & FRONT_TAG_MASK) != 0) return; /* no room for the tag above this address */
    struct front_table *table = atomic_load_explicit(&front->current, memory_order_acquire);
    guard_disturb();
    table_put(table, front_tag(hash) | address, (uint32_t)hash);
}

static void line_cut(struct front_line *line, const struct entry *entry) {
    for (unsigned i = 0; i < FRONT_LINE_SLOTS; i++) {
        uint64_t slot = atomic_load_explicit(&line->slots[i], memory_order_relaxed);
        if ((slot & ~FRONT_TAG_MASK) == (uint64_t)(uintptr_t)entry)
            atomic_store_explicit(&line->slots[i], 0, memory_order_release);
    }
}

static void table_cut(struct front_table *table, const struct entry *entry) {
    if (table == NULL) return;
    line_cut(front_line_first(table, entry->hash), entry);
    line_cut(front_line_second(table, entry->hash), entry);
}

void front_remove(struct front *front, struct entry *entry) {
    lock_take(&front->lock);
    table_cut(atomic_load_explicit(&front->current, memory_order_relaxed), entry);
    table_cut(atomic_load_explicit(&front->previous, memory_order_relaxed), entry);
    lock_leave(&front->lock);
}

/* The lines that the front should have for so many entries; 0: as it is. */
static uint64_t wanted_lines(const struct front *front, uint64_t entry_count) {
    uint64_t most = atomic_load_explicit(&front->grow_above, memory_order_relaxed);
    uint64_t least = atomic_load_explicit(&front->shrink_below, memory_order_relaxed);
    if (KH_LIKELY(entry_count <= most && entry_count >= least)) return 0;
    struct front_table *table = atomic_load_explicit(&front->current, memory_order_acquire);
    uint64_t lines = table->line_count;
    if (entry_count > most) return lines + lines / 2;
    return lines / 4 < FIRST_LINES ? FIRST_LINES : lines / 4;
}

/* Asked again when the claim is won: a rival may have resized in between. */
static void start_resize(struct front *front, struct mem_cache *cache, uint64_t entry_count) {
    if (atomic_exchange_explicit(&front->is_resizing, true, memory_order_acq_rel)) return;
    struct front_table *table = NULL;
    uint64_t lines = wanted_lines(front, entry_count);
    if (lines > 0 && lines <= UINT32_MAX) table = table_create(front->mem, cache, (uint32_t)lines);
    if (table == NULL) {
        if (lines > 0) { /* no memory: not again at each upsert */
            uint64_t most = atomic_load_explicit(&front->grow_above, memory_order_relaxed);
            atomic_store_explicit(&front->grow_above, most + most / 8, memory_order_relaxed);
            atomic_store_explicit(&front->shrink_below, 0, memory_order_relaxed);
        }
        atomic_store_explicit(&front->is_resizing, false, memory_order_release);
        return;
    }
    lock_take(&front->lock);
    struct front_table *old = atomic_load_explicit(&front->current, memory_order_relaxed);
    front->moved = 0;
    /* previous first: a reader that misses in the new table must find the old one. */
    atomic_store_explicit(&front->previous, old, memory_order_release);
    atomic_store_explicit(&front->current, table, memory_order_release);
    set_limits(front, table->line_count);
    lock_leave(&front->lock);
}

static void move_line(struct front_table *to, const struct front_line *line) {
    for (unsigned i = 0; i < FRONT_LINE_SLOTS; i++) {
        uint64_t slot = atomic_load_explicit(&line->slots[i], memory_order_acquire);
        if (slot == 0) continue;
        guard_disturb();
        const struct entry *entry = (const struct entry *)(uintptr_t)(slot & ~FRONT_TAG_MASK);
        table_put(to, slot, entry->hash);
    }
}

static void move_lines(struct front *front, struct epoch_record *record) {
    lock_take(&front->lock);
    struct front_table *from = atomic_load_explicit(&front->previous, memory_order_relaxed);
    bool is_done = false;
    if (from != NULL) {
        struct front_table *to = atomic_load_explicit(&front->current, memory_order_relaxed);
        uint32_t left = from->line_count - front->moved;
        uint32_t end = front->moved + (left < MOVE_LINES ? left : MOVE_LINES);
        while (front->moved < end) move_line(to, &from->lines[front->moved++]);
        is_done = end == from->line_count;
        if (is_done) atomic_store_explicit(&front->previous, NULL, memory_order_release);
    }
    lock_leave(&front->lock);
    if (!is_done) return;
    epoch_retire(front->epoch, record, &from->limbo, table_free);
    atomic_store_explicit(&front->is_resizing, false, memory_order_release);
}

void front_maintain(struct front *front, struct epoch_record *record, struct mem_cache *cache,
                    uint64_t entry_count) {
    if (atomic_load_explicit(&front->is_resizing, memory_order_relaxed)) {
        if (entry_count % MOVE_EVERY == 0) move_lines(front, record);
        return;
    }
    if (wanted_lines(front, entry_count) > 0) start_resize(front, cache, entry_count);
}

uint64_t front_size_bytes(const struct front *front) {
    struct front_table *table = atomic_load_explicit(&front->current, memory_order_acquire);
    struct front_table *previous = atomic_load_explicit(&front->previous, memory_order_acquire);
    return table_size(table->line_count) +
           (previous == NULL ? 0 : table_size(previous->line_count));
}

#endif
