/* log_schemas.c - the schemas of one log by number, and the numbers by schema.
 *
 * Invariants, under the lock: capacity is 0 or a power of two up to LIMIT_SCHEMAS; a schema has one
 * number at most, the first that it was given. Schemas are interned, and their own numbers (of the
 * database's table) are the index of the way back. The array is made outside of the lock and
 * swapped in under it. Failure: nothing has changed. */
#include "log/log.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include <string.h>

enum { FIRST_CAPACITY = 64 };

/* Two tables of one length: slot i has the schema whose number in the log is i, and the number in
 * the log of the schema whose own number is i. */
struct log_schema_slot {
    const kh_schema *schema;  /* with a reference; NULL: nothing has the number */
    uint32_t number_plus_one; /* 0: not in the log */
};

void log_schemas_init(struct log_schemas *schemas, struct mem *mem) {
    memset(schemas, 0, sizeof *schemas);
    schemas->mem = mem;
    lock_init(&schemas->lock, RANK_SCHEMA);
}

void log_schemas_fini(struct log_schemas *schemas) {
    for (uint32_t i = 0; i < schemas->capacity; i++)
        if (schemas->slots[i].schema != NULL) schema_drop(schemas->slots[i].schema);
    mem_free(schemas->mem, NULL, schemas->slots, schemas->capacity * sizeof *schemas->slots);
    lock_fini(&schemas->lock);
}

/* Slots up to index. When another thread has made them meanwhile, ours go. */
static kh_status reserve(struct log_schemas *schemas, uint32_t index, kh_error *error) {
    lock_take(&schemas->lock);
    uint32_t capacity = schemas->capacity;
    lock_leave(&schemas->lock);
    if (index < capacity) return KH_OK;
    capacity = capacity > 0 ? capacity : FIRST_CAPACITY;
    while (capacity <= index) capacity *= 2;
    size_t size_bytes = capacity * sizeof(struct log_schema_slot);
    struct log_schema_slot *made = mem_alloc_zeroed(schemas->mem, NULL, size_bytes);
    if (made == NULL) return status_no_memory(error, size_bytes);
    struct log_schema_slot *unused = made;
    uint32_t unused_count = capacity;
    lock_take(&schemas->lock);
    if (schemas->capacity < capacity) {
        unused = schemas->slots;
        unused_count = schemas->capacity;
        if (unused_count > 0) memcpy(made, unused, unused_count * sizeof *made);
        schemas->slots = made;
        schemas->capacity = capacity;
    }
    lock_leave(&schemas->lock);
    mem_free(schemas->mem, NULL, unused, unused_count * sizeof *unused);
    return KH_OK;
}

kh_status log_schemas_reserve(struct log_schemas *schemas, uint32_t number, const kh_schema *schema,
                              kh_error *error) {
    uint32_t own_number = schema_number(schema);
    uint32_t index = number > own_number ? number : own_number;
    if (index >= LIMIT_SCHEMAS)
        return status_fail(error, KH_CORRUPT, "schema number %u, there are %u at most", index,
                           LIMIT_SCHEMAS);
    return reserve(schemas, index, error);
}

kh_status log_schemas_add(struct log_schemas *schemas, uint32_t number, const kh_schema *schema,
                          kh_error *error) {
    uint32_t own_number = schema_number(schema);
    kh_status status = log_schemas_reserve(schemas, number, schema, error);
    if (status != KH_OK) return status;
    schema_hold(schema);
    lock_take(&schemas->lock);
    const kh_schema *before = schemas->slots[number].schema;
    if (before == NULL) {
        schemas->slots[number].schema = schema;
        if (schemas->slots[own_number].number_plus_one == 0)
            schemas->slots[own_number].number_plus_one = number + 1;
        if (number >= schemas->next) schemas->next = number + 1;
    }
    lock_leave(&schemas->lock);
    if (before == NULL) return KH_OK;
    schema_drop(schema);
    if (before == schema) return KH_OK;
    return status_fail(error, KH_CORRUPT, "schema number %u is given twice", number);
}

uint32_t log_schemas_next(struct log_schemas *schemas) {
    lock_take(&schemas->lock);
    uint32_t next = schemas->next;
    lock_leave(&schemas->lock);
    return next;
}

bool log_schemas_number(struct log_schemas *schemas, const kh_schema *schema, uint32_t *out) {
    const kh_schema *twin = schema;
    uint32_t found = 0;
    /* Allocates nothing when the twin is there, as it is when it has a number. */
    if (schemas->table != NULL && schema_intern(schemas->table, schema, &twin, NULL) != KH_OK)
        return false;
    uint32_t own_number = schema_number(twin);
    lock_take(&schemas->lock);
    if (own_number < schemas->capacity) found = schemas->slots[own_number].number_plus_one;
    lock_leave(&schemas->lock);
    if (schemas->table != NULL) schema_drop(twin);
    if (found == 0) return false;
    *out = found - 1;
    return true;
}

const kh_schema *log_schemas_find(void *context, uint32_t number) {
    struct log_schemas *schemas = context;
    const kh_schema *found = NULL;
    lock_take(&schemas->lock);
    if (number < schemas->capacity) found = schemas->slots[number].schema;
    lock_leave(&schemas->lock);
    return found;
}

uint32_t log_schemas_number_of(void *context, const kh_schema *schema) {
    uint32_t number = 0;
    bool is_there = log_schemas_number(context, schema, &number);
    kh_assert(is_there);
    return number;
}
