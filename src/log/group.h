/* group.h - the unit in which a durable log keeps records: a head and whole record frames, written
 * and synced as one.
 *
 * Invariants. Groups have numbers 1, 2, 3, ... without a gap; group n's first record is the one
 * after group n-1's last. Each head holds the digest of its predecessor's head (the chain) and of
 * the head of group n & (n - 1), n without its lowest bit (the skip), and the Merkle root of its
 * records, so that whoever knows the newest head's digest can check any record of the history with
 * a number of heads that grows as the square of the logarithm of n. Number 0 is no group: its
 * digest stands for the database and its timeline (chain_genesis). What compaction has cut off, an
 * exported chain stands for (chain_export).
 * The head's checksum covers the head, the body's the frames: damage by accident is found without
 * the digests; digests find what was done on purpose.
 *
 * The Merkle tree is that of RFC 6962, section 2.1: leaf = H(0x00, frame), node = H(0x01, left,
 * right), split at the largest power of two below the count. The digest of a head is H(0x02, head),
 * that of a genesis H(0x03, identity). The idea of skips that keep proofs short is that of
 * deterministic skip lists in tamper-evident logs (Crosby, Wallach: Efficient Data Structures for
 * Tamper-Evident Logging, 2009, uses a tree). docs/log-format.md has each byte.
 */
#ifndef KHONSU_LOG_GROUP_H
#define KHONSU_LOG_GROUP_H

#include "base/digest.h"
#include "log/record.h"

enum { GROUP_HEAD_BYTES = 192 };

struct group_head {
    uint64_t number;       /* of this group; the first of a log is 1 */
    uint64_t first;        /* position of its first record */
    uint32_t record_count; /* at least 1 */
    uint64_t body_bytes;   /* of all frames; multiple of 8 */
    uint64_t first_commit; /* lowest and highest commit timestamp in it, both 0: no commit */
    uint64_t last_commit;
    uint64_t wall_ms; /* when it was sealed */
    uint64_t term;    /* for a cluster: of the leader that agreed on it; 0 */
    uint64_t shard;   /* for a cluster; 0 */
    struct digest previous;
    struct digest skip;
    struct digest root;
};

/* The head as bytes, with the checksums. body: the frames one after the other, as they will lie
 * behind it (for its checksum). Asserts what group_decode would refuse, but for the frames. */
void group_encode_head(const struct group_head *head, kh_bytes body,
                       unsigned char out[GROUP_HEAD_BYTES]);
/* The digest that the next group's head has to hold. */
void group_digest(struct digester *digester, const unsigned char head[GROUP_HEAD_BYTES],
                  struct digest *out);
/* A whole group back. bytes may be hostile. *body is the frames' bytes, borrowed: as many frames
 * as the head says, each of a length that fits, with nothing left over; what is in them is the
 * record codec's matter. On failure *head and *body are untouched. KH_CORRUPT: a checksum, a length
 * or a field is wrong; KH_UNSUPPORTED: a newer version. */
kh_status group_decode(kh_bytes bytes, struct group_head *head, kh_bytes *body, kh_error *error);
/* The frames of a body, in order: the one at *at (0 to begin), which is moved behind it. False at
 * the end, and at a frame that cannot be (no room for a head, a length that is beyond the body or
 * no multiple of 8); *is_broken, written by each call, says which. A decoded body is never broken.
 */
bool group_next_frame(kh_bytes body, size_t *at, kh_bytes *frame, bool *is_broken);

/* ---- the chain ------------------------------------------------------------------------------- */

/* What the next group's head needs of the groups before it: their digests at 0 and at each number
 * that skips of later groups refer to. A value: copy it to try something and go back. */
struct chain {
    uint64_t number; /* of the newest group; 0: none yet */
    uint64_t next;   /* position of the next record */
    struct digest newest;
    struct {
        uint64_t number;
        struct digest digest;
    } stack[65];    /* rising from 0 to the newest; each is the next one without its lowest bit */
    uint32_t depth; /* the bits set in number, and one */
};

/* The digest that stands for a database and its timeline before the first group. */
void chain_genesis(struct digester *digester, const kh_identity *identity, struct digest *out);
/* A chain without groups: number 0 has the genesis' digest, the next record is the first. */
void chain_init(struct chain *chain, const struct digest *genesis);

/* Seal a body of at least one whole frame, the frames one after the other: fill in head->number,
 * first, record_count, body_bytes, previous, skip and root (the other fields are the caller's,
 * before the call), write the head's bytes into out, and move the chain on. Cannot fail; costs a
 * hash of the body. */
void chain_append(struct chain *chain, struct digester *digester, struct group_head *head,
                  kh_bytes body, unsigned char out[GROUP_HEAD_BYTES]);
/* Does a decoded group follow what the chain has? bytes: the group's (its head is enough). Checks
 * number, position, previous and skip, and the Merkle root of body unless body.data is NULL (that
 * root is nearly all of the cost). KH_OK: the chain has moved on. KH_CORRUPT names the group and
 * what differs; the chain is as before. */
kh_status chain_follow(struct chain *chain, struct digester *digester, kh_bytes bytes,
                       const struct group_head *head, kh_bytes body, kh_error *error);

/* A chain as bytes and back, for anchors and checkpoints: what compaction keeps of the groups that
 * it cuts off. Self-checked (XXH3). Export gives the count of bytes. KH_CORRUPT: these bytes are
 * no chain (they may be hostile); KH_UNSUPPORTED: a newer version; *out is untouched. */
enum { CHAIN_BYTES_MAX = 32 + 65 * DIGEST_BYTES };
size_t chain_export(const struct chain *chain, unsigned char out[CHAIN_BYTES_MAX]);
kh_status chain_import(kh_bytes bytes, struct chain *out, kh_error *error);

/* On the way from group `from` down to group `to` (from > to): the next number, by the skip where
 * that does not pass `to`. */
uint64_t chain_step(uint64_t from, uint64_t to);

/* ---- the Merkle tree of a group -------------------------------------------------------------- */

enum { MERKLE_PATH_MAX = 32 }; /* as many as a count has bits */

/* The root of the first count frames of a body that has them all. count is at least 1. */
void merkle_root(struct digester *digester, kh_bytes body, uint32_t count, struct digest *out);
/* The audit path of frame `index` of a body of count frames (RFC 6962, 2.1.1): its length, and the
 * frame itself in *frame. Hashes the whole body. */
uint32_t merkle_path(struct digester *digester, kh_bytes body, uint32_t count, uint32_t index,
                     kh_bytes *frame, struct digest path[MERKLE_PATH_MAX]);
/* The root that a frame and its path give. False: there is no such index, or the path has not the
 * length for it; *root is untouched. */
bool merkle_root_of_path(struct digester *digester, kh_bytes frame, uint32_t count, uint32_t index,
                         const struct digest *path, uint32_t path_count, struct digest *root);

#endif
