/* Replay of a log: its records in order, its schemas, and what cannot be read. */
#include "log/log.h"

#include "base/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct failing {
    uint64_t countdown; /* UINT64_MAX: never fails */
};

static void *failing_allocate(void *context, size_t size_bytes, size_t alignment) {
    struct failing *failing = context;
    if (failing->countdown == 0) return NULL;
    if (failing->countdown != UINT64_MAX) failing->countdown--;
    return aligned_alloc(alignment, (size_bytes + alignment - 1) / alignment * alignment);
}

static void failing_free(void *context, void *block, size_t size_bytes) {
    (void)context;
    (void)size_bytes;
    free(block);
}

static void complete(void *context, uint64_t cookie, kh_log_answer answer) {
    (void)context;
    (void)cookie;
    (void)answer;
}

struct fixture {
    struct failing failing;
    struct mem *mem;
    struct schema_table *table;
    struct log_schemas schemas;
    struct record_codec codec;
    kh_log log;
    uint64_t cookie;
    uint64_t most_bytes;
};

static void begin(struct fixture *f, uint64_t keep_bytes) {
    memset(f, 0, sizeof *f);
    f->failing.countdown = UINT64_MAX;
    struct mem_hooks hooks = {failing_allocate, failing_free, &f->failing};
    f->mem = mem_create(&hooks);
    assert_non_null(f->mem);
    f->table = schema_table_create(f->mem);
    assert_non_null(f->table);
    log_schemas_init(&f->schemas, f->mem);
    f->codec = (struct record_codec){.mem = f->mem,
                                     .schemas = f->table,
                                     .schema_of = log_schemas_find,
                                     .number_of = log_schemas_number_of,
                                     .context = &f->schemas};
    assert_int_equal(log_memory_create(f->mem, keep_bytes, &f->log, NULL), KH_OK);
    assert_int_equal(f->log.open(f->log.context, complete, NULL), 0);
}

static void end(struct fixture *f) {
    f->log.close(f->log.context);
    log_memory_destroy(&f->log);
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

static void append_record(struct fixture *f, const struct record *record) {
    struct ipc_buffer out;
    ipc_buffer_init(&out, f->mem);
    assert_int_equal(record_encode(&f->codec, record, &out, NULL), KH_OK);
    kh_bytes bytes = {out.bytes, out.size_bytes};
    assert_int_equal(f->log.append(f->log.context, &bytes, 1, f->cookie++, KH_SYNC_FULL), 0);
    ipc_buffer_fini(&out);
}

static void append_schema(struct fixture *f, uint32_t number, const char *column) {
    const kh_schema *schema = make_schema(f, column);
    struct record record = {.kind = RECORD_SCHEMA, .schema = schema, .schema_number = number};
    append_record(f, &record);
    assert_int_equal(log_schemas_add(&f->schemas, number, schema, NULL), KH_OK);
    schema_drop(schema);
}

/* A commit that puts one row of value commit under "k". */
static void append_commit(struct fixture *f, const char *column, uint64_t commit) {
    const char *format = "l";
    kh_schema *handle = NULL;
    assert_int_equal(kh_schema_build(NULL, &column, &format, 1, &handle, NULL), KH_OK);
    kh_scalar scalar = {KH_SCALAR_INT64, {.uint64 = commit}};
    kh_batch *foreign = NULL;
    assert_int_equal(kh_batch_build(NULL, handle, &scalar, 1, &foreign, NULL), KH_OK);
    /* Into the fixture's context, by its bytes. */
    struct ipc_buffer bytes;
    ipc_buffer_init(&bytes, f->mem);
    assert_int_equal(ipc_encode_value(f->mem, foreign, KH_COMPRESS_NONE, &bytes, NULL), KH_OK);
    const kh_schema *schema = make_schema(f, column);
    kh_batch *batch = NULL;
    assert_int_equal(ipc_decode_value(f->mem, NULL, schema,
                                      (kh_bytes){bytes.bytes, bytes.size_bytes}, &batch, NULL),
                     KH_OK);
    struct record_write write = {{"k", 1}, batch, 0, 0};
    struct record record = {
        .kind = RECORD_COMMIT, .commit = commit, .writes = &write, .write_count = 1};
    append_record(f, &record);
    batch_release(batch, NULL);
    schema_drop(schema);
    ipc_buffer_fini(&bytes);
    kh_batch_release(foreign);
    kh_schema_release(handle);
}

struct seen {
    struct fixture *fixture;
    char text[256];   /* position:column=value for each record */
    uint64_t stop_at; /* commit timestamp */
    kh_status stop;
    kh_batch *kept;
};

static kh_status see(void *context, kh_log_position position, const struct record *record,
                     kh_error *error) {
    struct seen *seen = context;
    if (record->commit == seen->stop_at) {
        if (error != NULL) (void)snprintf(error->message, sizeof error->message, "stopped");
        return seen->stop;
    }
    size_t used = strlen(seen->text);
    if (record->kind != RECORD_COMMIT) {
        (void)snprintf(seen->text + used, sizeof seen->text - used, "%d:kind%d ", (int)position,
                       (int)record->kind);
        return KH_OK;
    }
    const kh_batch *batch = record->writes[0].batch;
    int64_t value = 0;
    assert_int_equal(kh_batch_int64(batch, 0, 0, &value), KH_OK);
    (void)snprintf(seen->text + used, sizeof seen->text - used, "%d:%s=%d ", (int)position,
                   kh_schema_column_name(kh_batch_schema(batch), 0), (int)value);
    batch_release(seen->kept, NULL);
    seen->kept = batch_retain(batch);
    return KH_OK;
}

/* Replay into a table of schemas of its own. */
static kh_status replay(struct fixture *f, kh_log_position from, struct seen *seen,
                        kh_log_position *next, kh_error *error) {
    struct log_schemas schemas;
    log_schemas_init(&schemas, f->mem);
    struct record_codec codec = {.mem = f->mem, .schemas = f->table};
    kh_status status = log_replay(&f->log, from, &codec, &schemas, see, seen, next, error);
    log_schemas_fini(&schemas);
    batch_release(seen->kept, NULL);
    seen->kept = NULL;
    return status;
}

static void a_log_is_replayed_with_its_schemas(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, UINT64_MAX);
    append_schema(&f, 3, "a"); /* numbers need not be those of the table, nor dense */
    append_commit(&f, "a", 10);
    append_schema(&f, 0, "b");
    append_commit(&f, "b", 11);
    struct record decision = {.kind = RECORD_DECIDE_ABORT};
    append_record(&f, &decision);
    append_commit(&f, "a", 12);
    struct seen seen = {.fixture = &f, .stop_at = UINT64_MAX};
    kh_log_position next = 0;
    assert_int_equal(replay(&f, 0, &seen, &next, NULL), KH_OK);
    assert_string_equal(seen.text, "1:a=10 3:b=11 4:kind4 5:a=12 ");
    assert_int_equal(next, 6);
    /* Nothing is left to do, and next says the same. */
    assert_int_equal(replay(&f, 6, &seen, &next, NULL), KH_OK);
    assert_int_equal(next, 6);
    end(&f);
}

static void the_middle_needs_what_was_before(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, UINT64_MAX);
    append_schema(&f, 0, "a");
    append_commit(&f, "a", 10);
    struct seen seen = {.fixture = &f, .stop_at = UINT64_MAX};
    kh_log_position next = 4711;
    kh_error error = {""};
    assert_int_equal(replay(&f, 1, &seen, &next, &error), KH_CORRUPT);
    assert_string_equal(error.message, "record 1: malformed record: unknown schema 0");
    assert_int_equal(next, 4711);
    /* With the schemas of the earlier part it goes. */
    struct record_codec codec = {.mem = f.mem, .schemas = f.table};
    assert_int_equal(log_replay(&f.log, 1, &codec, &f.schemas, see, &seen, &next, NULL), KH_OK);
    assert_string_equal(seen.text, "1:a=10 ");
    batch_release(seen.kept, NULL);
    end(&f);
}

static void the_visitor_can_stop(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, UINT64_MAX);
    append_schema(&f, 0, "a");
    for (uint64_t i = 10; i < 15; i++) append_commit(&f, "a", i);
    struct seen seen = {.fixture = &f, .stop_at = 12, .stop = KH_END};
    kh_log_position next = 0;
    kh_error error = {""};
    assert_int_equal(replay(&f, 0, &seen, &next, &error), KH_OK);
    assert_string_equal(seen.text, "1:a=10 2:a=11 ");
    assert_int_equal(next, 4);
    seen = (struct seen){.fixture = &f, .stop_at = 12, .stop = KH_BUSY};
    next = 4711;
    assert_int_equal(replay(&f, 0, &seen, &next, &error), KH_BUSY);
    assert_string_equal(error.message, "stopped");
    assert_int_equal(next, 4711);
    end(&f);
}

static void what_cannot_be_read_is_named(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, UINT64_MAX);
    append_schema(&f, 0, "a");
    append_commit(&f, "a", 10);
    kh_bytes garbage = {"garbage", 7};
    assert_int_equal(f.log.append(f.log.context, &garbage, 1, 99, KH_SYNC_FULL), 0);
    struct seen seen = {.fixture = &f, .stop_at = UINT64_MAX};
    kh_error error = {""};
    assert_int_equal(replay(&f, 0, &seen, NULL, &error), KH_CORRUPT);
    assert_string_equal(error.message, "record 2: malformed record: its size");
    assert_string_equal(seen.text, "1:a=10 ");
    assert_int_equal(f.log.trim(f.log.context, 1), 0);
    assert_int_equal(replay(&f, 0, &seen, NULL, &error), KH_TOO_OLD);
    end(&f);
}

static void a_number_belongs_to_one_schema(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, UINT64_MAX);
    append_schema(&f, 0, "a");
    append_schema(&f, 0, "a"); /* again, the same */
    const kh_schema *other = make_schema(&f, "b");
    struct record record = {.kind = RECORD_SCHEMA, .schema = other, .schema_number = 0};
    append_record(&f, &record);
    struct seen seen = {.fixture = &f, .stop_at = UINT64_MAX};
    kh_error error = {""};
    assert_int_equal(replay(&f, 0, &seen, NULL, &error), KH_CORRUPT);
    assert_string_equal(error.message, "schema number 0 is given twice");
    schema_drop(other);
    end(&f);
}

/* ---- logs of other people -------------------------------------------------------------------- */

struct strange {
    const kh_log *log;
    kh_log_visit_fn *visit;
    void *visit_context;
};

static bool shift_position(void *context, kh_log_position position, kh_bytes bytes) {
    struct strange *strange = context;
    return strange->visit(strange->visit_context, position + (position > 1), bytes);
}

static int read_with_a_gap(void *context, kh_log_position from, kh_log_visit_fn *visit,
                           void *visit_context) {
    struct strange strange = {context, visit, visit_context};
    return strange.log->read(strange.log->context, from, shift_position, &strange);
}

static int read_badly(void *context, kh_log_position from, kh_log_visit_fn *visit,
                      void *visit_context) {
    (void)context;
    (void)from;
    (void)visit;
    (void)visit_context;
    return EIO;
}

static void a_log_that_misbehaves_is_found_out(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, UINT64_MAX);
    append_schema(&f, 0, "a");
    append_commit(&f, "a", 10);
    append_commit(&f, "a", 11);
    struct seen seen = {.fixture = &f, .stop_at = UINT64_MAX};
    struct record_codec codec = {.mem = f.mem, .schemas = f.table};
    kh_log strange = {.context = &f.log, .read = read_with_a_gap};
    kh_error error = {""};
    assert_int_equal(log_replay(&strange, 0, &codec, &f.schemas, see, &seen, NULL, &error),
                     KH_CORRUPT);
    assert_string_equal(error.message, "the log gave record 3 in place of 2");
    strange.read = read_badly;
    assert_int_equal(log_replay(&strange, 0, &codec, &f.schemas, see, &seen, NULL, &error), KH_IO);
    batch_release(seen.kept, NULL);
    end(&f);
}

static kh_status see_bytes(void *context, kh_log_position position, const struct record *record,
                           kh_error *error) {
    struct fixture *f = context;
    (void)position;
    (void)error;
    assert_int_equal(record->tag.size_bytes, 200);
    uint64_t live_bytes = mem_live_bytes(f->mem);
    if (live_bytes > f->most_bytes) f->most_bytes = live_bytes;
    return KH_OK;
}

/* One record at a time is in memory. */
static void a_long_log_takes_little_memory(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, UINT64_MAX);
    static char tag[200];
    for (int i = 0; i < 1000; i++) {
        struct record record = {.kind = RECORD_COMMIT, .commit = 1, .tag = {tag, sizeof tag}};
        append_record(&f, &record);
    }
    uint64_t before = mem_live_bytes(f.mem);
    struct record_codec codec = {.mem = f.mem, .schemas = f.table};
    assert_int_equal(log_replay(&f.log, 0, &codec, &f.schemas, see_bytes, &f, NULL, NULL), KH_OK);
    assert_in_range(f.most_bytes, before, before + 5000);
    end(&f);
}

static void allocations_that_fail_leave_nothing(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, UINT64_MAX);
    append_schema(&f, 200, "a");
    append_commit(&f, "a", 10);
    uint64_t live_bytes = mem_live_bytes(f.mem);
    kh_status status = KH_NO_MEMORY;
    uint64_t failures = 0;
    for (uint64_t n = 0; status != KH_OK; n++) {
        struct seen seen = {.fixture = &f, .stop_at = UINT64_MAX};
        kh_log_position next = 4711;
        f.failing.countdown = n;
        status = replay(&f, 0, &seen, &next, NULL);
        f.failing.countdown = UINT64_MAX;
        assert_true(n < 100);
        assert_int_equal(mem_live_bytes(f.mem), live_bytes);
        if (status == KH_OK) break;
        assert_int_equal(status, KH_NO_MEMORY);
        assert_int_equal(next, 4711);
        failures++;
    }
    assert_true(failures >= 3);
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_is_replayed_with_its_schemas),
        cmocka_unit_test(the_middle_needs_what_was_before),
        cmocka_unit_test(the_visitor_can_stop),
        cmocka_unit_test(what_cannot_be_read_is_named),
        cmocka_unit_test(a_number_belongs_to_one_schema),
        cmocka_unit_test(a_log_that_misbehaves_is_found_out),
        cmocka_unit_test(a_long_log_takes_little_memory),
        cmocka_unit_test(allocations_that_fail_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
