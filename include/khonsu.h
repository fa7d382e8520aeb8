/* khonsu.h - real transactions for Apache Arrow data, in one process: the whole embedded API.
 *
 * Reading order: what a call can answer (status.h), the Arrow C structs (arrow.h), schemas and
 * batches (batch.h), databases (db.h), transactions (txn.h), locks on keys (locks.h), what a
 * change means (delta.h) and transactions that know it (workspace.h), the change feed (changes.h),
 * the interfaces that users can implement (log.h), copies and backups (backup.h), and histories
 * that others can check (verify.h). Conventions everywhere:
 *   - Every fallible function returns a kh_status and takes a kh_error as its last parameter, which
 *     may be NULL. Out-parameters are written on KH_OK only, unless the function says otherwise.
 *   - Pointers are borrowed for the call unless the comment says moved (taken on KH_OK) or shared
 *     (reference-counted).
 *   - NULL is allowed where the comment says so, and nowhere else: elsewhere it is a programmer's
 *     error, as is closing twice; what the library can see of those it answers with KH_INVALID or
 * an assertion that says what is wrong.
 *   - Keys are byte strings of 1 to 65,535 bytes, ordered by memcmp.
 *   - Sizes are in bytes, durations in the unit that the name ends with. */
#ifndef KHONSU_H
#define KHONSU_H

#include "khonsu/status.h"
#include "khonsu/arrow.h"
#include "khonsu/batch.h"
#include "khonsu/db.h"
#include "khonsu/txn.h"
#include "khonsu/locks.h"
#include "khonsu/delta.h"
#include "khonsu/workspace.h"
#include "khonsu/changes.h"
#include "khonsu/log.h"
#include "khonsu/backup.h"
#include "khonsu/verify.h"

#endif
