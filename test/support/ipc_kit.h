/* ipc_kit.h - batches of any type, their bytes, and sources and sinks that misbehave, for the tests
 * of IPC. */
#ifndef TEST_SUPPORT_IPC_KIT_H
#define TEST_SUPPORT_IPC_KIT_H

#include "batch/ipc.h"
#include "support/foreign.h"
#include "support/home.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ipc_kit_is(actual, expected, error)                                                        \
    do {                                                                                           \
        kh_status ipc_kit_status_ = (actual);                                                      \
        if (ipc_kit_status_ != (expected))                                                         \
            print_message("%s: %s\n", kh_status_name(ipc_kit_status_), (error)->message);          \
        assert_int_equal(ipc_kit_status_, (expected));                                             \
    } while (0)

/* What a decoder may say of bytes from outside. */
static inline bool ipc_kit_is_verdict(kh_status status) {
    return status == KH_OK || status == KH_CORRUPT || status == KH_TOO_BIG ||
           status == KH_UNSUPPORTED;
}

static inline kh_batch *ipc_kit_import(kh_db *db, struct ArrowSchema *type,
                                       struct ArrowArray *array) {
    kh_error error = {""};
    kh_schema *schema = NULL;
    kh_batch *batch = NULL;
    ipc_kit_is(kh_schema_import(db, type, &schema, &error), KH_OK, &error);
    ipc_kit_is(kh_batch_import(db, schema, array, KH_VALIDATE_FULL, &batch, &error), KH_OK, &error);
    kh_schema_release(schema);
    return batch;
}

/* Random rows of one column "c"; rows [first, first + count) of them. */
static inline kh_batch *ipc_kit_slice(kh_db *db, const char *type, int64_t rows, int64_t first,
                                      int64_t count, struct foreign_random random) {
    struct ArrowSchema arrow;
    struct ArrowArray array;
    foreign_table(&arrow, type);
    foreign_fill(&random, &arrow, rows, &array);
    if (first != 0 || count != rows)
        foreign_slice(&array, first, count);
    return ipc_kit_import(db, &arrow, &array);
}

static inline kh_batch *ipc_kit_batch(kh_db *db, const char *type, int64_t rows, uint64_t seed) {
    return ipc_kit_slice(db, type, rows, 0, rows, (struct foreign_random){seed, true, true});
}

/* Equal by the library's word and by the foreign reader's. */
static inline void ipc_kit_same(const kh_batch *a, const kh_batch *b) {
    struct ArrowArray a_array;
    struct ArrowArray b_array;
    struct ArrowSchema a_type;
    struct ArrowSchema b_type;
    kh_error error = {""};
    bool is_equal = false;
    assert_true(kh_schema_equal(kh_batch_schema(a), kh_batch_schema(b)));
    ipc_kit_is(kh_batch_equal(a, b, &is_equal, &error), KH_OK, &error);
    assert_true(is_equal);
    ipc_kit_is(kh_batch_export(a, &a_array, &a_type, &error), KH_OK, &error);
    ipc_kit_is(kh_batch_export(b, &b_array, &b_type, &error), KH_OK, &error);
    assert_true(foreign_equal(&a_type, &a_array, &b_array));
    a_array.release(&a_array);
    b_array.release(&b_array);
    a_type.release(&a_type);
    b_type.release(&b_type);
}

static inline kh_bytes ipc_kit_encode(const kh_batch *batch, kh_ipc_format format,
                                      kh_compression compression) {
    kh_bytes bytes = {NULL, 0};
    kh_error error = {""};
    ipc_kit_is(kh_ipc_encode(&batch, 1, format, compression, &bytes, &error), KH_OK, &error);
    return bytes;
}

/* A source of the given bytes, at most step a call; the call numbered fail_at (from 1) fails. */
struct ipc_kit_source {
    kh_bytes rest;
    size_t step;
    uint64_t calls;
    uint64_t fail_at;
};

static inline int64_t ipc_kit_read(void *context, void *bytes, size_t size_bytes) {
    struct ipc_kit_source *source = context;
    if (++source->calls == source->fail_at)
        return -5;
    size_t count = size_bytes < source->step ? size_bytes : source->step;
    if (count > source->rest.size_bytes)
        count = source->rest.size_bytes;
    memcpy(bytes, source->rest.data, count);
    source->rest.data = (const char *)source->rest.data + count;
    source->rest.size_bytes -= count;
    return (int64_t)count;
}

/* Read everything; the number of batches, or the first failure in *status. */
static inline size_t ipc_kit_read_all(kh_db *db, struct ipc_kit_source *from, kh_status *status,
                                      kh_error *error) {
    kh_source source = {ipc_kit_read, from};
    kh_ipc_reader *reader = NULL;
    size_t count = 0;
    *status = kh_ipc_reader_open(db, &source, &reader, error);
    if (*status != KH_OK)
        return 0;
    for (;;) {
        kh_batch *batch = NULL;
        *status = kh_ipc_reader_next(reader, &batch, error);
        if (*status != KH_OK)
            break;
        kh_batch_release(batch);
        count++;
    }
    kh_batch *none = NULL;
    assert_int_equal(kh_ipc_reader_next(reader, &none, error), *status);
    assert_null(none);
    if (*status == KH_END)
        *status = KH_OK;
    kh_ipc_reader_close(reader);
    return count;
}

static inline kh_status ipc_kit_try(kh_db *db, const void *bytes, size_t size_bytes) {
    struct ipc_kit_source source = {.rest = {bytes, size_bytes}, .step = SIZE_MAX};
    kh_status status;
    kh_error error = {""};
    (void)ipc_kit_read_all(db, &source, &status, &error);
    if (status != KH_OK)
        assert_true(error.message[0] != '\0');
    return status;
}

#endif
