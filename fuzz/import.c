/* import.c - arrays of fuzz bytes through the door.
 *
 * A type, then an array of it that may lie wherever a consumer can see it (kit/producer.h).
 * Refused: KH_INVALID_DATA, and the array is as it was. Accepted: an array made of the same bytes
 * again shows, by the specification alone (support/foreign.h), the rows that the batch exports;
 * trusted validation accepts it too; and the batch can be taken apart, put together, read by cell
 * and written. Every buffer is an exact heap block: the address sanitizer judges the rest. */
#include "kit/producer.h"
#include "khonsu/batch.h"
#include "support/foreign.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes);

static void fail(const char *what, kh_status status, const kh_error *error) {
    fprintf(stderr, "%s: %s: %s\n", what, kh_status_name(status), error->message);
    abort();
}

static void must(kh_status status, const kh_error *error, const char *what) {
    if (status != KH_OK) fail(what, status, error);
}

static void must_be_equal(const kh_batch *a, const kh_batch *b, const char *what) {
    kh_error error = {""};
    bool is_equal = false;
    must(kh_batch_equal(a, b, &is_equal, &error), &error, what);
    if (!is_equal) fail(what, KH_OK, &error);
}

/* Rows [first, first + length) of array, which owes nothing to the library. */
static void must_show(const kh_batch *batch, const struct ArrowSchema *type,
                      const struct ArrowArray *array, int64_t first, int64_t step) {
    struct ArrowArray shown;
    kh_error error = {""};
    must(kh_batch_export(batch, &shown, NULL, &error), &error, "export");
    for (int64_t row = 0; row < shown.length; row++) {
        char *ours = foreign_text(type, &shown, row);
        char *theirs = foreign_text(type, array, first + step * row);
        if (strcmp(ours, theirs) != 0) {
            fprintf(stderr, "row %lld: %s, and it was %s\n", (long long)row, ours, theirs);
            abort();
        }
        free(ours);
        free(theirs);
    }
    shown.release(&shown);
}

/* ---- what can be done with a batch ---- */

static void pass_through_ipc(const kh_batch *batch, kh_compression compression) {
    kh_error error = {""};
    kh_bytes written = {NULL, 0};
    kh_batch **again = NULL;
    size_t count = 0;
    must(kh_ipc_encode(&batch, 1, KH_IPC_FILE, compression, &written, &error), &error, "encode");
    must(kh_ipc_decode(NULL, written, &again, &count, &error), &error, "decode");
    if (count != 1) fail("decode: batches", KH_OK, &error);
    must_be_equal(batch, again[0], "decode");
    kh_batches_free(again, count);
    kh_bytes_free(written);
}

static void turn_round(const kh_batch *batch, const struct ArrowSchema *type,
                       const struct ArrowArray *array) {
    int64_t rows = kh_batch_row_count(batch);
    int64_t *indexes = calloc((size_t)rows + 1, sizeof *indexes);
    kh_error error = {""};
    kh_batch *out = NULL;
    if (indexes == NULL) abort();
    for (int64_t i = 0; i < rows; i++) indexes[i] = rows - 1 - i;
    must(kh_batch_take(batch, indexes, rows, &out, &error), &error, "take");
    must_show(out, type, array, rows - 1, -1);
    kh_batch_release(out);
    free(indexes);
}

static void cut_and_join(const kh_batch *batch, const struct ArrowSchema *type,
                         const struct ArrowArray *array, int64_t at) {
    int64_t rows = kh_batch_row_count(batch);
    kh_batch *head = NULL;
    kh_batch *tail = NULL;
    kh_batch *whole = NULL;
    kh_error error = {""};
    at = rows == 0 ? 0 : at % rows;
    must(kh_batch_slice(batch, 0, at, &head, &error), &error, "head");
    must(kh_batch_slice(batch, at, rows - at, &tail, &error), &error, "tail");
    must_show(tail, type, array, at, 1);
    must(kh_batch_concat(head, tail, &whole, &error), &error, "concat");
    must_be_equal(batch, whole, "concat");
    kh_batch_release(head);
    kh_batch_release(tail);
    kh_batch_release(whole);
}

static uint64_t add_up(const void *bytes, int64_t size_bytes) {
    uint64_t sum = 0;
    for (int64_t i = 0; i < size_bytes; i++) sum += ((const uint8_t *)bytes)[i];
    return sum;
}

static volatile uint64_t sum_of_bytes; /* so that no reading is left out */

/* Every byte that a view of a column and its cells lend. */
static uint64_t read_cells(const kh_batch *batch) {
    uint64_t sum = 0;
    kh_error error = {""};
    for (int64_t c = 0; c < kh_schema_column_count(kh_batch_schema(batch)); c++) {
        kh_column column;
        kh_status status = kh_batch_column(batch, c, &column, &error);
        if (status != KH_OK && status != KH_UNSUPPORTED) fail("column", status, &error);
        if (status == KH_OK && column.element_bytes > 0)
            sum += add_up(column.values, column.element_bytes * column.row_count);
        for (int64_t row = 0; row < kh_batch_row_count(batch); row++) {
            int64_t integer = 0;
            double number = 0;
            kh_bytes lent = {NULL, 0};
            if (kh_batch_int64(batch, c, row, &integer) == KH_OK) sum += (uint64_t)integer;
            if (kh_batch_double(batch, c, row, &number) == KH_OK) sum += number > 0;
            if (kh_batch_bytes(batch, c, row, &lent) == KH_OK)
                sum += add_up(lent.data, (int64_t)lent.size_bytes);
        }
    }
    return sum;
}

static void use(const kh_batch *batch, const struct ArrowSchema *type,
                const struct ArrowArray *array, int how) {
    must_show(batch, type, array, 0, 1);
    switch (how & 3) {
    case 0:
        pass_through_ipc(batch, how & 64 ? KH_COMPRESS_LZ4 : KH_COMPRESS_NONE);
        break;
    case 1:
        turn_round(batch, type, array);
        break;
    case 2:
        cut_and_join(batch, type, array, how >> 2);
        break;
    default:
        sum_of_bytes = read_cells(batch);
        break;
    }
}

/* ---- the door ---- */

static void refused(struct ArrowArray *array, const struct ArrowArray *before, kh_status status,
                    const kh_error *error) {
    if (status != KH_INVALID_DATA && status != KH_TOO_BIG) fail("import", status, error);
    if (error->message[0] == '\0') fail("no word of why", status, error);
    if (memcmp(array, before, sizeof *array) != 0) fail("array touched", status, error);
    array->release(array);
}

static void accepted(kh_batch *batch, const kh_schema *schema, const struct ArrowSchema *type,
                     struct feed from, int how) {
    struct ArrowArray array;
    struct feed again = from;
    kh_error error = {""};
    producer_array(&again, type, &array);
    use(batch, type, &array, how);
    if ((how & 0x80) != 0) {
        kh_batch *trusted = NULL;
        kh_status status =
            kh_batch_import(NULL, schema, &array, KH_VALIDATE_STRUCTURE, &trusted, &error);
        must(status, &error, "import without looking at contents");
        must_be_equal(batch, trusted, "import without looking at contents");
        kh_batch_release(trusted);
    } else {
        array.release(&array);
    }
    kh_batch_release(batch);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes) {
    struct feed feed = {bytes, bytes + size_bytes};
    struct ArrowSchema type;
    struct ArrowSchema given;
    struct ArrowArray array;
    kh_schema *schema = NULL;
    kh_batch *batch = NULL;
    kh_error error = {""};
    int how = feed_byte(&feed);
    struct feed from = feed;
    producer_type(&from, &given);
    producer_type(&feed, &type);
    kh_status status = kh_schema_import(NULL, &given, &schema, &error);
    if (status == KH_OK) {
        from = feed;
        producer_array(&feed, &type, &array);
        struct ArrowArray before = array;
        status = kh_batch_import(NULL, schema, &array, KH_VALIDATE_FULL, &batch, &error);
        if (status == KH_OK && array.release != NULL) fail("array not taken", status, &error);
        if (status == KH_OK)
            accepted(batch, schema, &type, from, how);
        else
            refused(&array, &before, status, &error);
        kh_schema_release(schema);
    } else {
        if (status != KH_INVALID_DATA) fail("schema", status, &error);
        given.release(&given);
    }
    type.release(&type);
    if (producer_live != 0) fail("trees not released", status, &error);
    return 0;
}
