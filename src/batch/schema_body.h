/* schema_body.h - what a schema and its table are made of, for the files of this room that make,
 * export and look up schemas. Everything of a schema but refs and next is immutable. */
#ifndef KHONSU_BATCH_SCHEMA_BODY_H
#define KHONSU_BATCH_SCHEMA_BODY_H

#include "batch/plan.h"
#include "batch/schema.h"
#include <stdatomic.h>

/* One block, from mem_own_alloc: this, the fields, the plan's columns, the text. */
struct kh_schema {
    _Atomic uint32_t refs; /* is_counted: handles and batches */
    bool is_counted;       /* in the process' table: freed when unused */
    uint32_t number;
    uint32_t field_count; /* all levels, the root and dictionaries included */
    struct mem *mem;
    struct schema_table *table; /* NULL: not interned yet */
    uint64_t hash;              /* of the fields, with the table's seed */
    size_t block_bytes;
    struct kh_schema *next; /* in its bucket; the table's lock */
    struct field *root;
    struct plan plan;
};

/* schema_parse.c: check *arrow and copy it into a block of mem, not interned. */
kh_status schema_parse(struct mem *mem, const struct ArrowSchema *arrow, kh_schema **out,
                       kh_error *error);

/* schema_field.c: fill layout and what follows from the format. False: *trouble says why. */
bool field_parse(const char *format, struct field *out, const char **trouble);
/* Is the field put together as its format asks (children, dictionary)? Its children are parsed. */
bool field_check(const struct field *field, const char **trouble);
bool field_equal(const struct field *a, const struct field *b);
uint64_t field_hash(const struct field *field, uint64_t seed);

#endif
