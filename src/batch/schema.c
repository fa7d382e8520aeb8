/* schema.c - tables of interned schemas, handles, and looking at a schema.
 *
 * Invariants: two schemas of one table that are both in use are never equal; a schema in a bucket
 * is complete and immutable; numbers rise with interning and are never given twice.
 * A database's schemas are freed with the memory context (mem_at_end), and a public handle holds
 * the context. The process' schemas carry a count; the last reference unlinks and frees. A lookup
 * may meet a schema whose count has just fallen to 0: it is passed over, as its owner will unlink
 * it. Failure: KH_BUSY when the table is full, KH_NO_MEMORY; the table is as before. */
#include "batch/home.h"
#include "base/env.h"
#include "base/limits.h"
#include "base/lock.h"
#include "base/status.h"
#include "batch/schema_body.h"

enum { FIRST_BUCKETS = 16 };

struct schema_table {
    struct mem *mem;
    bool is_counted;
    uint64_t seed;    /* names come from outside: no chosen collisions */
    struct lock lock; /* all below, and kh_schema.next */
    struct kh_schema **buckets;
    size_t bucket_count; /* a power of two */
    size_t schema_count;
    uint32_t next_number;
};

static void free_schema(struct kh_schema *schema) {
    mem_own_free(schema->mem, schema, schema->block_bytes);
}

static void destroy(void *argument) {
    struct schema_table *table = argument;
    for (size_t i = 0; i < table->bucket_count; i++) {
        while (table->buckets[i] != NULL) {
            struct kh_schema *schema = table->buckets[i];
            table->buckets[i] = schema->next;
            free_schema(schema);
        }
    }
    lock_fini(&table->lock);
    mem_own_free(table->mem, table->buckets, table->bucket_count * sizeof *table->buckets);
    mem_own_free(table->mem, table, sizeof *table);
}

static struct schema_table *create(struct mem *mem, bool is_counted) {
    struct schema_table *table = mem_own_alloc(mem, sizeof *table);
    if (table == NULL) return NULL;
    *table =
        (struct schema_table){.mem = mem, .is_counted = is_counted, .bucket_count = FIRST_BUCKETS};
    table->buckets = mem_own_alloc(mem, FIRST_BUCKETS * sizeof *table->buckets);
    if (table->buckets == NULL) {
        mem_own_free(mem, table, sizeof *table);
        return NULL;
    }
    memset(table->buckets, 0, FIRST_BUCKETS * sizeof *table->buckets);
    env_random(&table->seed, sizeof table->seed);
    lock_init(&table->lock, RANK_SCHEMA);
    return table;
}

struct schema_table *schema_table_create(struct mem *mem) {
    struct schema_table *table = create(mem, false);
    if (table != NULL) mem_at_end(mem, destroy, table);
    return table;
}

struct schema_table *schema_table_process(void) {
    static _Atomic(struct schema_table *) process;
    struct schema_table *table = atomic_load_explicit(&process, memory_order_acquire);
    struct schema_table *winner = NULL;
    struct mem *mem = mem_process();
    if (table != NULL || mem == NULL) return table;
    table = create(mem, true);
    if (table != NULL &&
        !atomic_compare_exchange_strong_explicit(&process, &winner, table, memory_order_acq_rel,
                                                 memory_order_acquire)) {
        destroy(table);
        table = winner;
    }
    return table;
}

/* One more reference, unless the count has fallen to 0. */
static bool try_hold(struct kh_schema *schema) {
    if (!schema->is_counted) return true;
    uint32_t refs = atomic_load_explicit(&schema->refs, memory_order_relaxed);
    while (refs != 0)
        if (atomic_compare_exchange_weak_explicit(&schema->refs, &refs, refs + 1,
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    return false;
}

/* The equal schema of the table, held; NULL: none. Lock held. */
static struct kh_schema *find(const struct schema_table *table, const struct field *root,
                              uint64_t hash) {
    struct kh_schema *schema = table->buckets[hash & (table->bucket_count - 1)];
    for (; schema != NULL; schema = schema->next)
        if (schema->hash == hash && field_equal(schema->root, root) && try_hold(schema))
            return schema;
    return NULL;
}

static void unlink_schema(struct schema_table *table, struct kh_schema *schema) {
    struct kh_schema **link = &table->buckets[schema->hash & (table->bucket_count - 1)];
    while (*link != schema) link = &(*link)->next;
    *link = schema->next;
    table->schema_count--;
}

/* Twice as many buckets; without memory the chains just grow longer. Lock held. */
static void grow(struct schema_table *table) {
    size_t count = table->bucket_count * 2;
    struct kh_schema **buckets = mem_own_alloc(table->mem, count * sizeof *buckets);
    if (buckets == NULL) return;
    memset(buckets, 0, count * sizeof *buckets);
    for (size_t i = 0; i < table->bucket_count; i++) {
        while (table->buckets[i] != NULL) {
            struct kh_schema *schema = table->buckets[i];
            table->buckets[i] = schema->next;
            schema->next = buckets[schema->hash & (count - 1)];
            buckets[schema->hash & (count - 1)] = schema;
        }
    }
    mem_own_free(table->mem, table->buckets, table->bucket_count * sizeof *table->buckets);
    table->buckets = buckets;
    table->bucket_count = count;
}

/* Take made into the table, or free it and give its twin; *out is held. */
static kh_status intern(struct schema_table *table, struct kh_schema *made, struct kh_schema **out,
                        kh_error *error) {
    kh_status status = KH_OK;
    made->hash = field_hash(made->root, table->seed);
    lock_take(&table->lock);
    struct kh_schema *found = find(table, made->root, made->hash);
    if (found == NULL && table->schema_count >= LIMIT_SCHEMAS) {
        status = status_fail(error, KH_BUSY, "%u schemas are interned already", LIMIT_SCHEMAS);
    } else if (found == NULL) {
        if (table->schema_count >= table->bucket_count) grow(table);
        struct kh_schema **bucket = &table->buckets[made->hash & (table->bucket_count - 1)];
        made->table = table;
        made->is_counted = table->is_counted;
        made->number = table->next_number++;
        atomic_init(&made->refs, 1);
        made->next = *bucket;
        *bucket = made;
        table->schema_count++;
        found = made;
        made = NULL;
    }
    lock_leave(&table->lock);
    if (made != NULL) free_schema(made);
    if (status == KH_OK) *out = found;
    return status;
}

void schema_hold(const kh_schema *schema) {
    kh_schema *shared = (kh_schema *)(uintptr_t)schema; /* the count is not part of the value */
    if (schema->is_counted) atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);
}

void schema_drop(const kh_schema *schema) {
    kh_schema *shared = (kh_schema *)(uintptr_t)schema;
    if (!schema->is_counted ||
        atomic_fetch_sub_explicit(&shared->refs, 1, memory_order_acq_rel) != 1)
        return;
    struct schema_table *table = shared->table;
    lock_take(&table->lock);
    unlink_schema(table, shared);
    lock_leave(&table->lock);
    free_schema(shared);
}

kh_status schema_intern(struct schema_table *table, const kh_schema *schema, const kh_schema **out,
                        kh_error *error) {
    struct ArrowSchema arrow = {.release = NULL};
    kh_schema *made = NULL;
    kh_schema *found = NULL;
    kh_status status = KH_OK;
    if (schema->table == table) {
        schema_hold(schema);
        *out = schema;
        return KH_OK;
    }
    uint64_t hash = field_hash(schema->root, table->seed);
    lock_take(&table->lock);
    found = find(table, schema->root, hash);
    lock_leave(&table->lock);
    if (found == NULL) {
        KH_TRY(kh_schema_export(schema, &arrow, error));
        KH_TRY(schema_parse(table->mem, &arrow, &made, error));
        KH_TRY(intern(table, made, &found, error));
    }
    *out = found;
done:
    if (arrow.release != NULL) arrow.release(&arrow);
    return status;
}

kh_status kh_schema_import(kh_db *db, struct ArrowSchema *arrow, kh_schema **out, kh_error *error) {
    kh_schema *made = NULL;
    kh_schema *found = NULL;
    kh_status status = KH_OK;
    if (arrow == NULL || out == NULL)
        return status_fail(error, KH_INVALID, "arrow and out must not be NULL");
    const struct batch_home *home;
    kh_status found_home = batch_home_find(db, &home, error);
    if (found_home != KH_OK) return found_home;
    KH_TRY(schema_parse(home->mem, arrow, &made, error));
    KH_TRY(intern(home->schemas, made, &found, error));
    if (!found->is_counted) mem_hold(found->mem);
    struct ArrowSchema moved = *arrow;
    arrow->release = NULL;
    moved.release(&moved);
    *out = found;
done:
    return status;
}

kh_schema *kh_schema_retain(const kh_schema *schema) {
    if (schema->is_counted) {
        schema_hold(schema);
    } else {
        mem_hold(schema->mem);
    }
    return (kh_schema *)(uintptr_t)schema;
}

void kh_schema_release(kh_schema *schema) {
    if (schema == NULL) return;
    if (schema->is_counted) {
        schema_drop(schema);
    } else {
        mem_drop(schema->mem);
    }
}

bool kh_schema_equal(const kh_schema *a, const kh_schema *b) {
    if (a == b) return true;
    if (a == NULL || b == NULL || a->table == b->table) return false;
    return field_equal(a->root, b->root);
}

const struct field *schema_root(const kh_schema *schema) {
    return schema->root;
}

struct mem *schema_mem(const kh_schema *schema) {
    return schema->mem;
}

uint32_t schema_number(const kh_schema *schema) {
    return schema->number;
}

int64_t kh_schema_column_count(const kh_schema *schema) {
    return schema->root->child_count;
}

static const struct field *column_of(const kh_schema *schema, int64_t column) {
    if (column < 0 || column >= schema->root->child_count) return NULL;
    return &schema->root->children[column];
}

const char *kh_schema_column_name(const kh_schema *schema, int64_t column) {
    const struct field *field = column_of(schema, column);
    return field != NULL ? field->name : NULL;
}

const char *kh_schema_column_format(const kh_schema *schema, int64_t column) {
    const struct field *field = column_of(schema, column);
    return field != NULL ? field->format : NULL;
}

int64_t kh_schema_find(const kh_schema *schema, const char *name) {
    for (int32_t i = 0; name != NULL && i < schema->root->child_count; i++)
        if (strcmp(schema->root->children[i].name, name) == 0) return i;
    return -1;
}
