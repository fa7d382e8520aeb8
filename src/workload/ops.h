/* ops.h - one operation of a transaction, run on the store. */
#ifndef KHONSU_WORKLOAD_OPS_H
#define KHONSU_WORKLOAD_OPS_H

#include "call.h"
#include "dice.h"

struct ops {
    kh_db *db;
    kh_schema *schema; /* one column of int64, "id" */
    struct dice *dice; /* which of two ways to do the same, and where to let others in */
};

/* KH_OK, or what the store answered. KH_MISMATCH: a transfer that the balance does not allow.
 * KH_CORRUPT: what was read is nothing that was ever written. */
kh_status ops_run(struct ops *ops, kh_txn *txn, const struct call *call, struct op *op,
                  kh_error *error);
/* All operations of a call that is_statement, as one. */
kh_status ops_run_statement(struct ops *ops, kh_txn *txn, struct call *call, kh_error *error);
/* Let another thread in, now and then: on few cores transactions would hardly overlap otherwise. */
void ops_yield(struct ops *ops);
/* Put a row of value under key. */
kh_status ops_put(struct ops *ops, kh_txn *txn, const char *key, int64_t value, kh_error *error);

#endif
