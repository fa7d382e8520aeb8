/* The numbers of a log's schemas, both ways. */
#include "log/log.h"

#include "base/env.h"
#include "base/limits.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct hook {
    void (*before)(void *context); /* called once, by the next allocation */
    void *before_context;
    bool is_failing;
};

static void *hook_allocate(void *context, size_t size_bytes, size_t alignment) {
    struct hook *hook = context;
    void (*before)(void *) = hook->before;
    if (before != NULL) {
        hook->before = NULL;
        before(hook->before_context);
    }
    if (hook->is_failing) return NULL;
    return aligned_alloc(alignment, (size_bytes + alignment - 1) / alignment * alignment);
}

static void hook_free(void *context, void *block, size_t size_bytes) {
    (void)context;
    (void)size_bytes;
    free(block);
}

struct fixture {
    struct hook hook;
    struct mem *mem;
    struct schema_table *table;
    struct log_schemas schemas;
};

static void begin(struct fixture *f) {
    memset(f, 0, sizeof *f);
    struct mem_hooks hooks = {hook_allocate, hook_free, &f->hook};
    f->mem = mem_create(&hooks);
    assert_non_null(f->mem);
    f->table = schema_table_create(f->mem);
    assert_non_null(f->table);
    log_schemas_init(&f->schemas, f->mem);
}

static void end(struct fixture *f) {
    log_schemas_fini(&f->schemas);
    assert_int_equal(mem_live_bytes(f->mem), 0);
    mem_close(f->mem);
}

/* A schema of one int64 column, of the fixture's table; with a reference. */
static const kh_schema *make_schema(struct fixture *f, const char *column) {
    const char *format = "l";
    kh_schema *handle = NULL;
    assert_int_equal(kh_schema_build(NULL, &column, &format, 1, &handle, NULL), KH_OK);
    const kh_schema *schema = NULL;
    assert_int_equal(schema_intern(f->table, handle, &schema, NULL), KH_OK);
    kh_schema_release(handle);
    return schema;
}

static void numbers_are_found_both_ways(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    const kh_schema *schemas[300];
    char column[16];
    uint32_t number = 0;
    for (uint32_t i = 0; i < 300; i++) {
        (void)snprintf(column, sizeof column, "c%u", i);
        schemas[i] = make_schema(&f, column);
        assert_false(log_schemas_number(&f.schemas, schemas[i], &number));
    }
    assert_int_equal(log_schemas_next(&f.schemas), 0);
    for (uint32_t i = 0; i < 300; i++) {
        uint32_t given = (i * 7) % 300; /* a permutation */
        assert_null(log_schemas_find(&f.schemas, given));
        assert_int_equal(log_schemas_add(&f.schemas, given, schemas[i], NULL), KH_OK);
        schema_drop(schemas[i]);
    }
    assert_int_equal(log_schemas_next(&f.schemas), 300);
    for (uint32_t i = 0; i < 300; i++) {
        assert_ptr_equal(log_schemas_find(&f.schemas, (i * 7) % 300), schemas[i]);
        assert_int_equal(log_schemas_number_of(&f.schemas, schemas[i]), (i * 7) % 300);
    }
    assert_null(log_schemas_find(&f.schemas, 300));
    assert_null(log_schemas_find(&f.schemas, UINT32_MAX));
    assert_int_equal(log_schemas_add(&f.schemas, LIMIT_SCHEMAS, schemas[0], NULL), KH_CORRUPT);
    assert_int_equal(log_schemas_add(&f.schemas, LIMIT_SCHEMAS - 1, schemas[0], NULL), KH_OK);
    assert_int_equal(log_schemas_add(&f.schemas, 0, schemas[1], NULL), KH_CORRUPT);
    assert_ptr_equal(log_schemas_find(&f.schemas, 0), schemas[0]);
    assert_int_equal(log_schemas_add(&f.schemas, 0, schemas[0], NULL), KH_OK);
    /* A second number does not take the first one's place. */
    assert_int_equal(log_schemas_number_of(&f.schemas, schemas[0]), 0);
    assert_ptr_equal(log_schemas_find(&f.schemas, LIMIT_SCHEMAS - 1), schemas[0]);
    end(&f);
}

/* Another thread makes a larger table between the look at the old one and the taking of its place:
 * here it is the allocator that does. */
struct intruder {
    struct log_schemas *schemas;
    const kh_schema *schema;
};

static void intrude(void *context) {
    struct intruder *intruder = context;
    assert_int_equal(log_schemas_add(intruder->schemas, 1000, intruder->schema, NULL), KH_OK);
}

static void a_larger_table_made_meanwhile_stays(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    const kh_schema *first = make_schema(&f, "a");
    const kh_schema *second = make_schema(&f, "b");
    struct intruder intruder = {&f.schemas, second};
    f.hook.before = intrude;
    f.hook.before_context = &intruder;
    assert_int_equal(log_schemas_add(&f.schemas, 3, first, NULL), KH_OK);
    assert_ptr_equal(log_schemas_find(&f.schemas, 3), first);
    assert_ptr_equal(log_schemas_find(&f.schemas, 1000), second);
    assert_int_equal(log_schemas_next(&f.schemas), 1001);
    schema_drop(first);
    schema_drop(second);
    end(&f);
}

enum { THREADS = 3, NUMBERS = 200 };

struct adders {
    struct log_schemas schemas;
    const kh_schema *made[NUMBERS];
};

static void add_all(void *context) {
    struct adders *adders = context;
    for (uint32_t i = 0; i < NUMBERS; i++) {
        assert_int_equal(log_schemas_add(&adders->schemas, i, adders->made[i], NULL), KH_OK);
        assert_ptr_equal(log_schemas_find(&adders->schemas, i), adders->made[i]);
    }
}

static void threads_may_add_the_same(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    static struct adders adders;
    log_schemas_init(&adders.schemas, f.mem);
    char column[16];
    for (uint32_t i = 0; i < NUMBERS; i++) {
        (void)snprintf(column, sizeof column, "c%u", i);
        adders.made[i] = make_schema(&f, column);
    }
    struct env_thread *threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        threads[i] = env_thread_start("add", add_all, &adders);
        assert_non_null(threads[i]);
    }
    for (int i = 0; i < THREADS; i++) env_thread_join(threads[i]);
    assert_int_equal(log_schemas_next(&adders.schemas), NUMBERS);
    for (uint32_t i = 0; i < NUMBERS; i++) schema_drop(adders.made[i]);
    log_schemas_fini(&adders.schemas);
    end(&f);
}

static void without_memory_nothing_changes(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    const kh_schema *schema = make_schema(&f, "a");
    f.hook.is_failing = true;
    assert_int_equal(log_schemas_add(&f.schemas, 0, schema, NULL), KH_NO_MEMORY);
    assert_int_equal(log_schemas_next(&f.schemas), 0);
    assert_null(log_schemas_find(&f.schemas, 0));
    f.hook.is_failing = false;
    assert_int_equal(log_schemas_add(&f.schemas, 0, schema, NULL), KH_OK);
    schema_drop(schema);
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_found_both_ways),
        cmocka_unit_test(a_larger_table_made_meanwhile_stays),
        cmocka_unit_test(threads_may_add_the_same),
        cmocka_unit_test(without_memory_nothing_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
