/* bracket.h - what a run's operations stand between: a transaction, plain or in a workspace with a
 * random mode and meaning, whose promises must be the same. One thread. */
#ifndef KHONSU_WORKLOAD_BRACKET_H
#define KHONSU_WORKLOAD_BRACKET_H

#include "dice.h"

#include <khonsu.h>

struct bracket {
    kh_txn *txn;             /* NULL: it did not begin */
    kh_workspace *workspace; /* NULL: plain */
};

kh_status bracket_begin(struct bracket *bracket, kh_db *db, const kh_txn_options *options,
                        kh_error *error);
/* In a workspace (read-write only), of policy fail. */
kh_status bracket_begin_workspace(struct bracket *bracket, kh_db *db, const kh_txn_options *options,
                                  struct dice *dice, kh_error *error);
kh_status bracket_commit(struct bracket *bracket, kh_timestamp *timestamp, kh_error *error);
void bracket_rollback(struct bracket *bracket);
void bracket_close(struct bracket *bracket);

#endif
