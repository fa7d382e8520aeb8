/* calls.h - every call on a transaction as a row of a table, so that a test can say of each what it
 * answers: after the end, in a child process, without memory, from a second thread. */
#ifndef TEST_SUPPORT_CALLS_H
#define TEST_SUPPORT_CALLS_H

#include "support/kit.h"

enum call_flag {
    CALL_WRITES = 1, /* refused in a read-only transaction */
    CALL_ENDS = 2,   /* the transaction has ended after it, whatever it answered */
    CALL_MAY_MISS = 4 /* KH_NOT_FOUND or KH_MISMATCH is an answer too */
};

struct call {
    const char *name;
    kh_status (*run)(kh_txn *txn);
    uint32_t flags;
};
extern const struct call calls[];
extern const size_t call_count;

/* The keys that the calls use: a number under "k" and "m", rows under "r". */
void calls_prepare(kh_db *db);

/* A struct array of one int64 column of one row, of kit_number_schema's type, built by hand;
 * *released counts its release. */
struct ArrowArray calls_array(int64_t number, int *released);

/* Is it an answer that leaves nothing to complain of? */
bool calls_is_done(const struct call *call, kh_status status);

#endif
