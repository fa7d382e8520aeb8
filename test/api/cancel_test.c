/* cancel_test.c - a view that peek has lent outlives the cancelling of its transaction, whatever
 * kind of transaction it is, until the handle is closed. The allocator overwrites what is freed. */
#include "support/kit.h"

#include <stdlib.h>
#include <string.h>

struct grave { /* freed blocks are overwritten, and given back at the end only */
    void *blocks[100000];
    size_t count;
};
static struct grave grave;

static void *allocate(void *context, size_t size_bytes, size_t alignment) {
    (void)context;
    (void)alignment;
    return aligned_alloc(64, (size_bytes + 64) & ~(size_t)63);
}

static void overwrite(void *context, void *block, size_t size_bytes) {
    (void)context;
    memset(block, 0xdd, size_bytes);
    if (grave.count < sizeof grave.blocks / sizeof *grave.blocks) {
        grave.blocks[grave.count++] = block;
    } else {
        free(block);
    }
}

/* With a value in the database's memory, so that the allocator sees it go. */
static void store(kh_db *db, int64_t number) {
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kh_batch *batch = kit_number(db, number);
    kit_is(kh_txn_put(txn, kit_key("k"), batch, NULL), KH_OK);
    kh_batch_release(batch);
    kit_commit_ok(txn);
}

static void check(kh_isolation isolation, uint32_t flags, bool is_at) {
    kh_options options = kit_options();
    options.allocator = (kh_allocator){allocate, overwrite, NULL};
    kh_db *db = kit_open_with(&options);
    store(db, 7);
    kh_txn *txn = NULL;
    const kh_batch *lent = NULL;
    if (is_at) {
        kit_is(kh_txn_begin_at(db, kh_db_now(db), &txn, NULL), KH_OK);
    } else {
        txn = kit_begin_with(db, isolation, KH_FAIL, flags);
    }
    kit_is(kh_txn_peek(txn, kit_key("k"), &lent, NULL), KH_OK);
    kit_is(kh_db_cancel(db, kh_txn_get_id(txn), NULL), KH_OK);
    for (int i = 0; i < 3; i++) {
        store(db, 100 + i);
        kh_db_step(db);
    }
    assert_int_equal(kh_batch_row_count(lent), 1);
    const kh_batch *again = NULL;
    kit_is(kh_txn_peek(txn, kit_key("k"), &again, NULL), KH_CANCELLED);
    kh_txn_close(txn);
    kh_db_step(db);
    kh_stats stats = {.size = sizeof stats};
    kit_is(kh_db_stats(db, &stats, NULL), KH_OK);
    assert_int_equal(stats.versions_live, 1); /* nothing is held once it is closed */
    kit_close(db);
    while (grave.count > 0) free(grave.blocks[--grave.count]);
}

static void test_tracked(void **state) {
    (void)state;
    check(KH_READ_COMMITTED, 0, false);
    check(KH_REPEATABLE_READ, 0, false);
    check(KH_SERIALIZABLE, 0, false);
}

static void test_untracked(void **state) {
    (void)state;
    check(KH_REPEATABLE_READ, KH_BEGIN_READ_ONLY, false);
    check(KH_SERIALIZABLE, KH_BEGIN_READ_ONLY, false);
    check(KH_SERIALIZABLE, KH_BEGIN_READ_ONLY | KH_BEGIN_DEFERRABLE, false);
    check(KH_REPEATABLE_READ, 0, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tracked),
                                       cmocka_unit_test(test_untracked)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
