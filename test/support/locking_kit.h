/* locking_kit.h - locks on keys in few words, for tests through khonsu.h. */
#ifndef KHONSU_TEST_LOCKING_KIT_H
#define KHONSU_TEST_LOCKING_KIT_H

#include "support/kit.h"

static inline kh_status locking_lock(kh_txn *txn, const char *key, kh_lock_mode mode,
                                     uint32_t flags) {
    kh_lock lock = {kit_key(key), mode};
    kh_lock_options options = KH_LOCK_OPTIONS_INIT;
    options.flags = flags;
    return kh_txn_lock(txn, &lock, 1, &options, NULL);
}

static inline kh_status locking_try(kh_txn *txn, const char *key, kh_lock_mode mode) {
    return locking_lock(txn, key, mode, KH_LOCK_TRY);
}

static inline kh_conflict locking_conflict(const kh_txn *txn) {
    kh_conflict conflict = {.size = sizeof conflict};
    kit_is(kh_txn_conflict(txn, &conflict), KH_OK);
    return conflict;
}

static inline kh_stats locking_stats(kh_db *db) {
    kh_stats stats = {.size = sizeof stats};
    kit_is(kh_db_stats(db, &stats, NULL), KH_OK);
    return stats;
}

static inline bool locking_is_free(kh_db *db, const char *key) {
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kh_status status = locking_try(txn, key, KH_LOCK_EXCLUSIVE);
    assert_true(status == KH_OK || status == KH_LOCK_CONFLICT);
    kit_rollback(txn);
    return status == KH_OK;
}

#endif
