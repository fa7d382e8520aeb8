/* calls.c - the table of calls on a transaction. */
#include "support/calls.h"

static kh_bytes key(void) {
    return kit_key("k");
}

static kh_bytes rows_key(void) {
    return kit_key("r");
}

/* Made once and kept: while allocations fail, the calls need no memory of their own. */
static struct {
    kh_schema *numbers;
    kh_batch *two, *three, *seven;
    kh_batch *inserted, *upserted, *updated, *ids;
} kept;

static void keep_batches(void) {
    if (kept.numbers == NULL) {
        kept.two = kit_number(NULL, 2);
        kept.three = kit_number(NULL, 3);
        kept.seven = kit_number(NULL, 7);
        kept.inserted = kit_rows(NULL, "7=7/7");
        kept.upserted = kit_rows(NULL, "1=11/111 8=8/8");
        kept.updated = kit_rows(NULL, "2=21/_");
        kept.ids = kit_rows(NULL, "1=_/_");
        kept.numbers = kit_number_schema(NULL);
    }
}

void calls_prepare(kh_db *db) {
    keep_batches();
    kit_store(db, "k", 1);
    kit_store(db, "m", 2);
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kh_batch *rows = kit_rows(NULL, "1=10/100 2=20/200");
    kit_is(kh_txn_put(txn, rows_key(), rows, NULL), KH_OK);
    kh_batch_release(rows);
    kit_commit_ok(txn);
}

bool calls_is_done(const struct call *call, kh_status status) {
    return status == KH_OK || ((call->flags & CALL_MAY_MISS) != 0 &&
                               (status == KH_NOT_FOUND || status == KH_MISMATCH));
}

/* ---- reads ----------------------------------------------------------------------------------- */

static kh_status call_get(kh_txn *txn) {
    kh_batch *batch = NULL;
    kh_status status = kh_txn_get(txn, key(), &batch, NULL);
    kh_batch_release(batch);
    return status;
}

static kh_status call_peek(kh_txn *txn) {
    const kh_batch *batch = NULL;
    return kh_txn_peek(txn, key(), &batch, NULL);
}

static kh_status call_get_many(kh_txn *txn) {
    const kh_bytes keys[3] = {kit_key("k"), kit_key("absent"), kit_key("m")};
    kh_batch *batches[3] = {NULL, NULL, NULL};
    kh_status status = kh_txn_get_many(txn, keys, 3, batches, NULL);
    for (int i = 0; i < 3; i++) {
        kh_batch_release(batches[i]);
    }
    return status;
}

static kh_status call_exists(kh_txn *txn) {
    bool is_there = false;
    return kh_txn_exists(txn, key(), &is_there, NULL);
}

static kh_status call_scan(kh_txn *txn) {
    kh_cursor *cursor = NULL;
    kh_bytes found;
    const kh_batch *value = NULL;
    kh_status status = kh_txn_scan(txn, NULL, &cursor, NULL);
    if (status != KH_OK) {
        return status;
    }
    while ((status = kh_cursor_next(cursor, &found, &value, NULL)) == KH_OK) {
        continue;
    }
    kh_cursor_close(cursor);
    return status == KH_END ? KH_OK : status;
}

static kh_status call_scan_stream(kh_txn *txn) {
    struct ArrowArrayStream stream;
    memset(&stream, 0, sizeof stream);
    kh_scan_options options = kit_range("k", "n", 0, 0);
    kh_status status = kh_txn_scan_stream(txn, &options, NULL, &stream, NULL);
    if (stream.release != NULL) {
        stream.release(&stream);
    }
    return status;
}

/* ---- writes ---------------------------------------------------------------------------------- */

static kh_status call_put(kh_txn *txn) {
    return kh_txn_put(txn, key(), kept.seven, NULL);
}

static kh_status call_put_with(kh_txn *txn) {
    return kh_txn_put_with(txn, kit_key("new"), kept.three, KH_REPLACE, NULL);
}

struct block {
    int64_t number;
    const void *child_buffers[2];
    const void *buffers[1];
    struct ArrowArray child;
    struct ArrowArray *children[1];
    int *released;
};

static void release_child(struct ArrowArray *array) {
    array->release = NULL;
}

static void release_parts(struct ArrowArray *array) {
    struct block *block = array->private_data;
    if (block->child.release != NULL) {
        block->child.release(&block->child);
    }
    ++*block->released;
    array->release = NULL;
}

static void release_block(struct ArrowArray *array) {
    struct block *block = array->private_data;
    release_parts(array);
    free(block);
}

static struct ArrowArray array_in(struct block *block, int64_t number, int *released) {
    memset(block, 0, sizeof *block);
    block->number = number;
    block->released = released;
    block->child_buffers[1] = &block->number;
    block->child = (struct ArrowArray){.length = 1,
                                       .n_buffers = 2,
                                       .buffers = block->child_buffers,
                                       .release = release_child};
    block->children[0] = &block->child;
    return (struct ArrowArray){.length = 1,
                               .n_buffers = 1,
                               .n_children = 1,
                               .buffers = block->buffers,
                               .children = block->children,
                               .release = release_parts,
                               .private_data = block};
}

struct ArrowArray calls_array(int64_t number, int *released) {
    struct block *block = calloc(1, sizeof *block);
    assert_non_null(block);
    struct ArrowArray array = array_in(block, number, released);
    array.release = release_block;
    return array;
}

static kh_status call_put_array(kh_txn *txn) {
    struct block block;
    int released = 0;
    struct ArrowArray array = array_in(&block, 9, &released);
    kh_status status = kh_txn_put_array(txn, key(), kept.numbers, &array, KH_DEFAULT_POLICY, NULL);
    if ((status == KH_OK) != (array.release == NULL)) {
        status = KH_CORRUPT; /* ownership moves on KH_OK, and then only */
    }
    if (array.release != NULL) {
        array.release(&array);
    }
    return released == 1 ? status : KH_CORRUPT;
}

static kh_status call_delete(kh_txn *txn) {
    return kh_txn_delete(txn, key(), NULL);
}

static kh_status call_delete_with(kh_txn *txn) {
    return kh_txn_delete_with(txn, kit_key("absent"), KH_REPLACE, NULL);
}

static kh_status call_delete_range(kh_txn *txn) {
    kh_scan_options options = kit_range("k", "n", 0, 0);
    return kh_txn_delete_range(txn, &options, NULL, NULL);
}

static kh_status call_insert_rows(kh_txn *txn) {
    return kh_txn_insert_rows(txn, rows_key(), kept.inserted, NULL);
}

static kh_status call_upsert_rows(kh_txn *txn) {
    return kh_txn_upsert_rows(txn, rows_key(), kept.upserted, NULL);
}

static kh_status call_update_rows(kh_txn *txn) {
    return kh_txn_update_rows(txn, rows_key(), kept.updated, NULL);
}

static kh_status call_delete_rows(kh_txn *txn) {
    return kh_txn_delete_rows(txn, rows_key(), kept.ids, NULL);
}

static kh_status call_compare_and_swap(kh_txn *txn) {
    return kh_txn_compare_and_swap(txn, kit_key("m"), kept.two, kept.three, NULL);
}

/* More than a call has room for by itself. */
static kh_status call_lock(kh_txn *txn) {
    static const char *const names[] = {"l0", "l1", "l2", "l3", "l4", "l5", "l6", "l7", "l8"};
    enum { COUNT = sizeof names / sizeof names[0] };
    kh_lock locks[COUNT];
    for (int i = 0; i < COUNT; i++)
        locks[i] = (kh_lock){kit_key(names[i]), i % 2 ? KH_LOCK_SHARED : KH_LOCK_EXCLUSIVE};
    return kh_txn_lock(txn, locks, COUNT, NULL, NULL);
}

/* ---- savepoints and ends --------------------------------------------------------------------- */

static kh_status call_savepoint(kh_txn *txn) {
    uint32_t savepoint = 0;
    return kh_txn_savepoint(txn, &savepoint, NULL);
}

static kh_status call_rollback_to(kh_txn *txn) {
    uint32_t savepoint = 0;
    kh_status status = kh_txn_savepoint(txn, &savepoint, NULL);
    return status == KH_OK ? kh_txn_rollback_to(txn, savepoint, NULL) : status;
}

static kh_status call_release_savepoint(kh_txn *txn) {
    uint32_t savepoint = 0;
    kh_status status = kh_txn_savepoint(txn, &savepoint, NULL);
    return status == KH_OK ? kh_txn_release_savepoint(txn, savepoint, NULL) : status;
}

static kh_status call_prepare(kh_txn *txn) {
    return kh_txn_prepare(txn, NULL);
}

static kh_status call_commit(kh_txn *txn) {
    return kh_txn_commit(txn, NULL, NULL);
}

static kh_status call_commit_start(kh_txn *txn) {
    kh_status status = kh_txn_commit_start(txn, NULL);
    return status == KH_OK ? kh_txn_wait(txn, UINT32_MAX, NULL) : status;
}

const struct call calls[] = {
    {"get", call_get, CALL_MAY_MISS},
    {"peek", call_peek, CALL_MAY_MISS},
    {"get_many", call_get_many, 0},
    {"exists", call_exists, 0},
    {"scan", call_scan, 0},
    {"scan_stream", call_scan_stream, CALL_MAY_MISS},
    {"put", call_put, CALL_WRITES},
    {"put_with", call_put_with, CALL_WRITES},
    {"put_array", call_put_array, CALL_WRITES},
    {"delete", call_delete, CALL_WRITES},
    {"delete_with", call_delete_with, CALL_WRITES},
    {"delete_range", call_delete_range, CALL_WRITES},
    {"insert_rows", call_insert_rows, CALL_WRITES},
    {"upsert_rows", call_upsert_rows, CALL_WRITES},
    {"update_rows", call_update_rows, CALL_WRITES},
    {"delete_rows", call_delete_rows, CALL_WRITES},
    {"compare_and_swap", call_compare_and_swap, CALL_WRITES | CALL_MAY_MISS},
    {"lock", call_lock, CALL_WRITES},
    {"savepoint", call_savepoint, 0},
    {"rollback_to", call_rollback_to, 0},
    {"release_savepoint", call_release_savepoint, 0},
    {"prepare", call_prepare, CALL_ENDS},
    {"commit", call_commit, CALL_ENDS},
    {"commit_start", call_commit_start, CALL_ENDS},
};
const size_t call_count = sizeof calls / sizeof calls[0];
