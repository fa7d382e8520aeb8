/* seal.h - a transaction as the record that goes into the log. */
#ifndef KHONSU_DB_SEAL_H
#define KHONSU_DB_SEAL_H

#include "db/db.h"

/* Encode the record of a staged transaction into its frame, as it will be if nobody comes between;
 * timestamp and window are stamped later (record_seal). Outside of the section. */
kh_status seal_stage(kh_txn *txn, enum record_kind kind, kh_error *error);
/* In the section, after certify: is the frame still right? And if not, encode it again. */
bool seal_is_current(const kh_txn *txn);
kh_status seal_again(kh_txn *txn, enum record_kind kind, kh_error *error);
/* Encode the record of txn into frame (emptied first). */
kh_status seal_encode(kh_txn *txn, enum record_kind kind, struct ipc_buffer *frame,
                      kh_error *error);
/* Encode the record that numbers a schema into the pipeline's frame. */
kh_status seal_encode_schema(struct kh_db *db, const kh_schema *schema, uint32_t number,
                             kh_error *error);
struct record_codec seal_codec(struct kh_db *db, struct mem_cache *cache);

#endif
