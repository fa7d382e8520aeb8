/* writeset.c - the buffered writes and their undo list. */
#include "txn/writeset.h"

#include "base/limits.h"
#include "base/status.h"
#include "txn/readset.h"
#include <stddef.h>
#include <string.h>

enum {
    FIRST_CAPACITY = 8, /* of lists made at need */
    TABLE_FROM = 16     /* up to here a pass over the hashes is cheaper than a table */
};

static bool is_key(const struct write *write, kh_bytes key, uint64_t hash) {
    return write->hash == hash && write->key.size_bytes == key.size_bytes &&
           memcmp(write->key.data, key.data, key.size_bytes) == 0;
}

/* Also finds undone writes. */
static struct write *find_any(const struct writeset *set, kh_bytes key, uint64_t hash) {
    if (set->table == NULL) {
        for (uint32_t i = 0; i < set->count; i++)
            if (is_key(&set->writes[i], key, hash)) return &set->writes[i];
        return NULL;
    }
    for (uint32_t slot = (uint32_t)hash & set->table_mask; set->table[slot] != 0;
         slot = (slot + 1) & set->table_mask) {
        struct write *write = &set->writes[set->table[slot] - 1];
        if (is_key(write, key, hash)) return write;
    }
    return NULL;
}

void writeset_init(struct writeset *set, uint32_t writes_max, uint64_t bytes_max) {
    memset(set, 0, offsetof(struct writeset, first_writes));
    set->writes = set->first_writes;
    set->capacity = WRITESET_INLINE;
    set->writes_max = writes_max;
    set->bytes_max = bytes_max;
}

struct write *writeset_find_slow(const struct writeset *set, kh_bytes key, uint64_t hash) {
    struct write *write = find_any(set, key, hash);
    return write != NULL && write->kind != WRITE_NONE ? write : NULL;
}

static void enter_table(struct writeset *set, uint32_t index) {
    uint32_t slot = (uint32_t)set->writes[index].hash & set->table_mask;
    while (set->table[slot] != 0) slot = (slot + 1) & set->table_mask;
    set->table[slot] = index + 1;
}

static kh_status grow_writes(struct writeset *set, struct arena *arena, kh_error *error) {
    uint32_t capacity = set->capacity * 2;
    struct write *writes = arena_alloc(arena, capacity * sizeof *writes);
    if (writes == NULL) return status_no_memory(error, capacity * sizeof *writes);
    uint32_t *table = NULL;
    if (capacity > TABLE_FROM) {
        table = arena_alloc_zeroed(arena, capacity * 2 * sizeof *table);
        if (table == NULL) return status_no_memory(error, capacity * 2 * sizeof *table);
    }
    if (set->count > 0) memcpy(writes, set->writes, set->count * sizeof *writes);
    set->writes = writes;
    set->capacity = capacity;
    if (table != NULL) {
        set->table = table;
        set->table_mask = capacity * 2 - 1;
        for (uint32_t i = 0; i < set->count; i++) enter_table(set, i);
    }
    return KH_OK;
}

static kh_status reserve_undo(struct writeset *set, struct arena *arena, kh_error *error) {
    if (set->mark_count == 0 || set->undo_count < set->undo_capacity) return KH_OK;
    uint32_t capacity = set->undo_capacity == 0 ? FIRST_CAPACITY : set->undo_capacity * 2;
    struct write_undo *undo = arena_alloc(arena, capacity * sizeof *undo);
    if (undo == NULL) return status_no_memory(error, capacity * sizeof *undo);
    if (set->undo_count > 0) memcpy(undo, set->undo, set->undo_count * sizeof *undo);
    set->undo = undo;
    set->undo_capacity = capacity;
    return KH_OK;
}

static kh_status check_limits(const struct writeset *set, uint64_t value_bytes, bool is_new,
                              kh_error *error) {
    if (is_new && set->live_count >= set->writes_max)
        return status_fail(error, KH_TOO_BIG, "more than %u writes in one transaction",
                           set->writes_max);
    if (value_bytes > set->bytes_max || set->size_bytes > set->bytes_max - value_bytes)
        return status_fail(error, KH_TOO_BIG, "more than %llu bytes of values in one transaction",
                           (unsigned long long)set->bytes_max);
    return KH_OK;
}

static void release_ops(struct row_op *ops, struct mem_cache *cache) {
    for (struct row_op *op = ops; op != NULL; op = op->next) {
        batch_release(op->rows, cache);
        op->rows = NULL;
    }
}

static void save_undo(struct writeset *set, const struct write *write, bool is_new) {
    if (set->mark_count == 0) return;
    set->undo[set->undo_count++] = (struct write_undo){.index = (uint32_t)(write - set->writes),
                                                       .is_new = is_new,
                                                       .kind = write->kind,
                                                       .policy = write->policy,
                                                       .mine = write->mine,
                                                       .ops = write->ops,
                                                       .last_op = write->last_op};
}

static kh_status append_write(struct writeset *set, struct arena *arena, kh_bytes key,
                              uint64_t hash, struct write **out, kh_error *error) {
    if (set->count == set->capacity) {
        kh_status status = grow_writes(set, arena, error);
        if (status != KH_OK) return status;
    }
    void *copy = arena_copy(arena, key.data, key.size_bytes);
    if (copy == NULL) return status_no_memory(error, key.size_bytes);
    struct write *write = &set->writes[set->count];
    memset(write, 0, sizeof *write);
    write->hash = hash;
    write->key = (kh_bytes){copy, key.size_bytes};
    if (set->table != NULL) enter_table(set, set->count);
    set->count++;
    *out = write;
    return KH_OK;
}

kh_status writeset_slot(struct writeset *set, struct arena *arena, kh_bytes key, uint64_t hash,
                        struct write **out, kh_error *error) {
    struct write *write = set->count == 0 ? NULL : find_any(set, key, hash);
    kh_status status = check_limits(set, 0, write == NULL || write->kind == WRITE_NONE, error);
    if (status == KH_OK) status = reserve_undo(set, arena, error);
    if (status == KH_OK && write == NULL)
        status = append_write(set, arena, key, hash, &write, error);
    if (status == KH_OK) *out = write;
    return status;
}

void writeset_retake(struct writeset *set, struct mem_cache *cache, struct write *write,
                     uint64_t value_bytes) {
    bool is_new = write->kind == WRITE_NONE;
    save_undo(set, write, is_new);
    if (!is_new && set->mark_count == 0) {
        if (write->mine != NULL) set->size_bytes -= batch_size_bytes(write->mine);
        batch_release(write->mine, cache);
        release_ops(write->ops, cache);
    }
    write->mine = NULL;
    write->ops = write->last_op = NULL;
    write->kind = WRITE_NONE;
    set->live_count += is_new;
    set->size_bytes += value_bytes;
}

kh_status writeset_claim(struct writeset *set, struct arena *arena, kh_bytes key, uint64_t hash,
                         uint64_t value_bytes, struct write **out, kh_error *error) {
    kh_status status = check_limits(set, value_bytes, false, error);
    if (status == KH_OK) status = writeset_slot(set, arena, key, hash, out, error);
    if (status == KH_OK) writeset_take(set, arena->cache, *out, value_bytes);
    return status;
}

/* With a savepoint the operations so far must stay as they are: the list is copied before the new
 * one is linked, and the copies take references of their own. */
static kh_status copy_ops(struct write *write, struct arena *arena, kh_error *error) {
    struct row_op *first = NULL;
    struct row_op **link = &first;
    struct row_op *last = NULL;
    for (const struct row_op *op = write->ops; op != NULL; op = op->next) {
        struct row_op *copy = arena_alloc(arena, sizeof *copy);
        if (copy == NULL) {
            *link = NULL;
            release_ops(first, arena->cache);
            return status_no_memory(error, sizeof *copy);
        }
        *copy = (struct row_op){NULL, batch_retain(op->rows), op->kind};
        *link = copy;
        link = &copy->next;
        last = copy;
    }
    write->ops = first;
    write->last_op = last;
    return KH_OK;
}

kh_status writeset_add_rows(struct writeset *set, struct arena *arena, kh_bytes key, uint64_t hash,
                            enum row_kind kind, kh_batch *rows, uint8_t policy, kh_error *error) {
    uint64_t value_bytes = batch_size_bytes(rows);
    struct row_op *op = arena_alloc(arena, sizeof *op);
    if (op == NULL) return status_no_memory(error, sizeof *op);
    *op = (struct row_op){NULL, rows, kind};
    struct write *write = set->count == 0 ? NULL : find_any(set, key, hash);
    if (write == NULL || write->kind != WRITE_ROWS) {
        kh_status status = writeset_claim(set, arena, key, hash, value_bytes, &write, error);
        if (status != KH_OK) return status;
        writeset_set(set, write, WRITE_ROWS, policy, NULL);
        write->ops = write->last_op = op;
        write->op_count = 1;
        return KH_OK;
    }
    kh_status status = check_limits(set, value_bytes, false, error);
    if (status == KH_OK && write->op_count >= LIMIT_TXN_ROW_OPS)
        status = status_fail(error, KH_TOO_BIG, "more than %u row operations on one key",
                             LIMIT_TXN_ROW_OPS);
    if (status == KH_OK) status = reserve_undo(set, arena, error);
    if (status != KH_OK) return status;
    write->op_count++;
    if (set->mark_count > 0) {
        struct write former = *write;
        status = copy_ops(write, arena, error);
        if (status != KH_OK) return status;
        save_undo(set, &former, false);
        set->undo[set->undo_count - 1].index = (uint32_t)(write - set->writes);
    }
    write->last_op->next = op;
    write->last_op = op;
    write->policy = policy;
    set->size_bytes += value_bytes;
    return KH_OK;
}

kh_status writeset_mark(struct writeset *set, struct arena *arena, uint32_t *number,
                        kh_error *error) {
    if (set->mark_count >= LIMIT_TXN_SAVEPOINTS)
        return status_fail(error, KH_TOO_BIG, "more than %u savepoints", LIMIT_TXN_SAVEPOINTS);
    if (set->mark_count == set->mark_capacity) {
        uint32_t capacity = set->mark_capacity == 0 ? FIRST_CAPACITY : set->mark_capacity * 2;
        struct savepoint *marks = arena_alloc(arena, capacity * sizeof *marks);
        if (marks == NULL) return status_no_memory(error, capacity * sizeof *marks);
        if (set->mark_count > 0) memcpy(marks, set->marks, set->mark_count * sizeof *marks);
        set->marks = marks;
        set->mark_capacity = capacity;
    }
    set->marks[set->mark_count++] = (struct savepoint){set->undo_count, 0};
    *number = set->mark_count;
    return KH_OK;
}

static kh_status check_mark(const struct writeset *set, uint32_t number, kh_error *error) {
    if (number >= 1 && number <= set->mark_count) return KH_OK;
    return status_fail(error, KH_INVALID, "no savepoint %u: %u are set", number, set->mark_count);
}

static void undo_one(struct writeset *set, struct mem_cache *cache) {
    struct write_undo *undo = &set->undo[--set->undo_count];
    struct write *write = &set->writes[undo->index];
    batch_release(write->mine, cache);
    release_ops(write->ops, cache);
    bool was_live = write->kind != WRITE_NONE;
    write->kind = undo->kind;
    write->policy = undo->policy;
    write->mine = undo->mine;
    write->ops = undo->ops;
    write->last_op = undo->last_op;
    if (write->last_op != NULL) write->last_op->next = NULL;
    if (undo->is_new && was_live) set->live_count--;
}

static uint64_t sum_bytes(const struct writeset *set) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < set->count; i++) {
        const struct write *write = &set->writes[i];
        if (write->mine != NULL) sum += batch_size_bytes(write->mine);
        for (const struct row_op *op = write->ops; op != NULL; op = op->next)
            sum += batch_size_bytes(op->rows);
    }
    return sum;
}

kh_status writeset_rollback_to(struct writeset *set, struct mem_cache *cache, uint32_t number,
                               kh_error *error) {
    kh_status status = check_mark(set, number, error);
    if (status != KH_OK) return status;
    while (set->undo_count > set->marks[number - 1].undo_count) undo_one(set, cache);
    set->mark_count = number;
    set->size_bytes = sum_bytes(set);
    return KH_OK;
}

/* The undo entries stay: they belong to the savepoints before, and are dropped with the last. */
kh_status writeset_release_mark(struct writeset *set, uint32_t number, kh_error *error) {
    kh_status status = check_mark(set, number, error);
    if (status == KH_OK) set->mark_count = number - 1;
    return status;
}

void writeset_clear(struct writeset *set, struct mem_cache *cache) {
    for (uint32_t i = 0; i < set->count; i++) {
        batch_release(set->writes[i].mine, cache);
        release_ops(set->writes[i].ops, cache);
    }
    for (uint32_t i = 0; i < set->undo_count; i++) {
        batch_release(set->undo[i].mine, cache);
        release_ops(set->undo[i].ops, cache);
    }
    writeset_init(set, set->writes_max, set->bytes_max);
}
