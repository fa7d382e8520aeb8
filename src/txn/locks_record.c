/* locks_record.c - see locks_record.h. */
#include "txn/locks_record.h"

#include "base/bytes.h"

enum {
    SLAB_NODES = 127,    /* with the link a slab is just below 16 KiB */
    SLABS_KEPT = 8,      /* by an empty table: 128 KiB */
    BUCKETS_KEPT = 4096, /* the same */
};

struct lock_slab {
    struct lock_slab *next;
    union lock_node nodes[SLAB_NODES];
};

/* ---- nodes ----------------------------------------------------------------------------------- */

static void add_nodes(struct locks *table, struct lock_slab *slab) {
    for (int i = SLAB_NODES - 1; i >= 0; i--) record_put_node(table, &slab->nodes[i]);
}

static bool add_slab(struct locks *table) {
    struct lock_slab *slab = mem_alloc(table->mem, NULL, sizeof *slab);
    if (slab == NULL) return false;
    slab->next = table->slabs;
    table->slabs = slab;
    table->slab_count++;
    add_nodes(table, slab);
    return true;
}

union lock_node *record_take_node(struct locks *table) {
    if (KH_UNLIKELY(table->free_nodes == NULL) && !add_slab(table)) return NULL;
    union lock_node *node = table->free_nodes;
    table->free_nodes = node->next_free;
    return node;
}

/* ---- buckets --------------------------------------------------------------------------------- */

static void free_buckets(struct locks *table) {
    if (table->buckets == table->few) return;
    mem_free(table->mem, NULL, table->buckets,
             (table->bucket_mask + (size_t)1) * sizeof *table->buckets);
}

static void use_few(struct locks *table) {
    table->buckets = table->few;
    table->bucket_mask = LOCKS_FEW - 1;
}

/* Twice as many. Without memory for that chains get longer, and nothing else happens. */
static void grow(struct locks *table) {
    uint32_t mask = table->bucket_mask * 2 + 1;
    struct lock_record **buckets =
        mem_alloc_zeroed(table->mem, NULL, (mask + (size_t)1) * sizeof *buckets);
    if (buckets == NULL) return;
    for (uint32_t i = 0; i <= table->bucket_mask; i++) {
        struct lock_record *record = table->buckets[i];
        table->buckets[i] = NULL;
        while (record != NULL) {
            struct lock_record *next = record->next;
            record->next = buckets[record->hash & mask];
            buckets[record->hash & mask] = record;
            record = next;
        }
    }
    free_buckets(table);
    table->buckets = buckets;
    table->bucket_mask = mask;
}

struct lock_record *record_find(const struct locks *table, kh_bytes key, uint64_t hash) {
    struct lock_record *record = table->buckets[hash & table->bucket_mask];
    for (; record != NULL; record = record->next)
        if (record->hash == hash && record->key_bytes == key.size_bytes &&
            memcmp(record->key, key.data, key.size_bytes) == 0)
            break;
    return record;
}

static bool copy_key(struct locks *table, struct lock_record *record, kh_bytes key) {
    unsigned char *copy = record->room;
    if (KH_UNLIKELY(key.size_bytes > sizeof record->room)) {
        copy = mem_alloc(table->mem, NULL, key.size_bytes);
        if (copy == NULL) return false;
    }
    bytes_copy_short(copy, key.data, key.size_bytes);
    record->key = copy;
    record->key_bytes = (uint32_t)key.size_bytes;
    return true;
}

static void count_records(struct locks *table, uint32_t change) {
    uint32_t count = atomic_load_explicit(&table->in_use, memory_order_relaxed);
    atomic_store_explicit(&table->in_use, count + change, memory_order_relaxed);
}

struct lock_record *record_make(struct locks *table, kh_bytes key, uint64_t hash) {
    union lock_node *node = record_take_node(table);
    if (node == NULL) return NULL;
    struct lock_record *record = &node->record;
    if (!copy_key(table, record, key)) {
        record_put_node(table, node);
        return NULL;
    }
    if (KH_UNLIKELY(atomic_load_explicit(&table->in_use, memory_order_relaxed) >
                    table->bucket_mask))
        grow(table);
    record->hash = hash;
    record->waiter_count = 0;
    record->holders = NULL;
    record->first_waiter = record->last_waiter = NULL;
    struct lock_record **bucket = &table->buckets[hash & table->bucket_mask];
    record->next = *bucket;
    *bucket = record;
    count_records(table, 1);
    return record;
}

/* Every node is free: those of the slabs that stay are made a list again. */
static void shrink(struct locks *table) {
    table->free_nodes = NULL;
    struct lock_slab *slab = table->slabs;
    table->slabs = NULL;
    for (table->slab_count = 0; slab != NULL;) {
        struct lock_slab *next = slab->next;
        if (table->slab_count < SLABS_KEPT) {
            slab->next = table->slabs;
            table->slabs = slab;
            table->slab_count++;
            add_nodes(table, slab);
        } else {
            mem_free(table->mem, NULL, slab, sizeof *slab);
        }
        slab = next;
    }
    if (table->bucket_mask < BUCKETS_KEPT) return;
    free_buckets(table);
    use_few(table);
}

void record_drop_unused(struct locks *table, struct lock_record *record) {
    if (record->holders != NULL || record->first_waiter != NULL) return;
    struct lock_record **link = &table->buckets[record->hash & table->bucket_mask];
    while (*link != record) link = &(*link)->next;
    *link = record->next;
    if (KH_UNLIKELY(record->key != record->room))
        mem_free(table->mem, NULL, record->key, record->key_bytes);
    record_put_node(table, (union lock_node *)record);
    count_records(table, UINT32_MAX); /* one less */
    bool is_empty = atomic_load_explicit(&table->in_use, memory_order_relaxed) == 0;
    if (KH_UNLIKELY(is_empty && table->slab_count > SLABS_KEPT)) shrink(table);
}

/* ---- holds ----------------------------------------------------------------------------------- */

void record_add_hold(struct locks *table, struct lock_record *record, struct lock_owner *owner,
                     kh_lock_mode mode, union lock_node *node) {
    struct lock_hold *hold = &node->hold;
    hold->owner = owner;
    hold->record = record;
    hold->before = NULL;
    hold->next = record->holders;
    if (hold->next != NULL) hold->next->before = hold;
    record->holders = hold;
    hold->next_of_owner = owner->holds;
    owner->holds = hold;
    owner->hold_count++;
    hold->call = owner->call;
    hold->mode = (uint8_t)mode;
    hold->mode_before = 0;
    table->counts.held++;
    table->counts.grants++;
}

void record_remove_hold(struct locks *table, struct lock_hold *hold) {
    if (hold->before != NULL) {
        hold->before->next = hold->next;
    } else {
        hold->record->holders = hold->next;
    }
    if (hold->next != NULL) hold->next->before = hold->before;
    hold->owner->hold_count--;
    table->counts.held--;
    record_put_node(table, (union lock_node *)hold);
}

void record_free_all(struct locks *table) {
    for (struct lock_slab *slab = table->slabs; slab != NULL;) {
        struct lock_slab *next = slab->next;
        mem_free(table->mem, NULL, slab, sizeof *slab);
        slab = next;
    }
    free_buckets(table);
}
