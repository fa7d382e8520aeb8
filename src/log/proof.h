/* proof.h - a proof as text: that one record is part of the history whose newest head has a known
 * digest. tools/check_proof.py checks it with nothing of this library; docs/log-format.md, section
 * "Proofs", has the format. */
#ifndef KHONSU_LOG_PROOF_H
#define KHONSU_LOG_PROOF_H

#include "log/group.h"

/* Append the text (JSON, with a line end behind it) to out.
 * heads: of the newest group, whose digest is head_digest, then of each group on the way by
 * chain_step down to the record's, which may be the newest itself; encoded, at least one.
 * frame: the record, number index of the count of its group, at position of the log; path: as
 * merkle_path gives it. Nothing is checked: a wrong proof is written as given, and refused by the
 * checker. On failure out has the size that it had before. KH_NO_MEMORY. */
kh_status proof_write(const kh_identity *identity, const struct digest *head_digest,
                      const unsigned char (*heads)[GROUP_HEAD_BYTES], size_t head_count,
                      kh_bytes frame, uint32_t index, uint32_t count, const struct digest *path,
                      uint32_t path_count, uint64_t position, struct ipc_buffer *out);

/* One record of a proof. */
struct proof_record {
    kh_bytes frame; /* number index of the count of its group, at position of the log */
    uint64_t position;
    uint32_t index;
    uint32_t count;
    uint32_t path_count;
    struct digest path[MERKLE_PATH_MAX];
};

/* The same with, for a prepared transaction, the decision beside the record that has its writes
 * (decision NULL: none). The heads lead to the decision's group, too: it is one of them. */
kh_status proof_write_all(const kh_identity *identity, const struct digest *head_digest,
                          const unsigned char (*heads)[GROUP_HEAD_BYTES], size_t head_count,
                          const struct proof_record *record, const struct proof_record *decision,
                          struct ipc_buffer *out);

#endif
