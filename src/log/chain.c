/* chain.c - the chain of digests through the heads of groups, and the steps of a proof along it.
 *
 * Invariants: the stack holds the digests of 0 and of what remains of the newest number as its bits
 * are taken away from the lowest on, so its top is the newest. The skip of the next number is
 * always among them: n + 1 without its lowest bit is n without its trailing ones.
 * Happy path: find the skip by leaving the trailing ones away, then push the new group.
 * Failure: a group that does not follow, or bytes that are no chain, are refused before anything is
 * changed. */
#include "log/group.h"

#include "base/status.h"
#include "log/group_layout.h"

/* As in group.c: what kind of thing the digest is of. */
enum { PREFIX_GENESIS = 3 };

static uint64_t without_lowest_bit(uint64_t number) {
    return number & (number - 1);
}

static uint32_t depth_of(uint64_t number) {
    return (uint32_t)__builtin_popcountll(number) + 1;
}

void chain_genesis(struct digester *digester, const kh_identity *identity, struct digest *out) {
    digest_of(digester, PREFIX_GENESIS, (kh_bytes){identity->database, sizeof identity->database},
              (kh_bytes){identity->timeline, sizeof identity->timeline}, out);
}

void chain_init(struct chain *chain, const struct digest *genesis) {
    memset(chain, 0, sizeof *chain);
    chain->newest = *genesis;
    chain->stack[0].digest = *genesis;
    chain->depth = 1;
}

/* The place in the stack of what the next group skips to. */
static uint32_t skip_of_next(const struct chain *chain) {
    uint64_t target = without_lowest_bit(chain->number + 1);
    uint32_t place = depth_of(target) - 1;
    kh_assert(place < chain->depth && chain->stack[place].number == target);
    return place;
}

static void move_on(struct chain *chain, const struct group_head *head,
                    const struct digest *digest) {
    uint32_t place = skip_of_next(chain) + 1;
    chain->number = head->number;
    chain->next = head->first + head->record_count;
    chain->newest = *digest;
    chain->stack[place].number = head->number;
    chain->stack[place].digest = *digest;
    chain->depth = place + 1;
}

static uint32_t count_frames(kh_bytes body) {
    size_t at = 0;
    uint32_t count = 0;
    kh_bytes frame;
    bool is_broken;
    while (group_next_frame(body, &at, &frame, &is_broken)) count++;
    kh_assert(!is_broken);
    return count;
}

void chain_append(struct chain *chain, struct digester *digester, struct group_head *head,
                  kh_bytes body, unsigned char out[GROUP_HEAD_BYTES]) {
    head->number = chain->number + 1;
    head->first = chain->next;
    head->record_count = count_frames(body);
    head->body_bytes = body.size_bytes;
    head->previous = chain->newest;
    head->skip = chain->stack[skip_of_next(chain)].digest;
    merkle_root(digester, body, head->record_count, &head->root);
    group_encode_head(head, body, out);
    struct digest digest;
    group_digest(digester, out, &digest);
    move_on(chain, head, &digest);
}

/* What of a group does not follow the chain; NULL: all does. */
static const char *difference(const struct chain *chain, struct digester *digester,
                              const struct group_head *head, kh_bytes body) {
    /* After the last number there is 0, which no decoded head has. */
    if (head->number != chain->number + 1) return "its number";
    if (head->first != chain->next) return "the position of its first record";
    if (!digest_is_equal(&head->previous, &chain->newest)) return "the digest of the group before";
    if (!digest_is_equal(&head->skip, &chain->stack[skip_of_next(chain)].digest))
        return "the digest of the group that it skips to";
    if (body.data == NULL) return NULL;
    struct digest root;
    merkle_root(digester, body, head->record_count, &root);
    return digest_is_equal(&head->root, &root) ? NULL : "the root of its records";
}

kh_status chain_follow(struct chain *chain, struct digester *digester, kh_bytes bytes,
                       const struct group_head *head, kh_bytes body, kh_error *error) {
    kh_assert(bytes.size_bytes >= GROUP_HEAD_BYTES);
    const char *what = difference(chain, digester, head, body);
    if (what != NULL)
        return status_fail(error, KH_CORRUPT, "group %llu does not follow group %llu: %s differs",
                           (unsigned long long)head->number, (unsigned long long)chain->number,
                           what);
    struct digest digest;
    group_digest(digester, bytes.data, &digest);
    move_on(chain, head, &digest);
    return KH_OK;
}

uint64_t chain_step(uint64_t from, uint64_t to) {
    kh_assert(from > to);
    uint64_t skip = without_lowest_bit(from);
    return skip >= to ? skip : from - 1;
}

/* ---- as bytes -------------------------------------------------------------------------------- */

size_t chain_export(const struct chain *chain, unsigned char out[CHAIN_BYTES_MAX]) {
    uint32_t magic = CHAIN_MAGIC;
    uint16_t version = CHAIN_VERSION;
    size_t size_bytes = CHAIN_AT_DIGESTS + (size_t)chain->depth * DIGEST_BYTES;
    memset(out, 0, CHAIN_AT_DIGESTS);
    memcpy(out + CHAIN_AT_MAGIC, &magic, sizeof magic);
    memcpy(out + CHAIN_AT_VERSION, &version, sizeof version);
    memcpy(out + CHAIN_AT_NUMBER, &chain->number, sizeof chain->number);
    memcpy(out + CHAIN_AT_NEXT, &chain->next, sizeof chain->next);
    for (uint32_t i = 0; i < chain->depth; i++)
        memcpy(out + CHAIN_AT_DIGESTS + i * DIGEST_BYTES, chain->stack[i].digest.bytes,
               DIGEST_BYTES);
    uint64_t checksum = chain_layout_checksum(out, size_bytes);
    memcpy(out + CHAIN_AT_CHECKSUM, &checksum, sizeof checksum);
    return size_bytes;
}

static kh_status corrupt(kh_error *error, const char *what) {
    return status_fail(error, KH_CORRUPT, "malformed chain: %s", what);
}

static kh_status check_bytes(kh_bytes bytes, kh_error *error) {
    const unsigned char *start = bytes.data;
    if (bytes.size_bytes < CHAIN_AT_DIGESTS) return corrupt(error, "its size");
    if (layout_u32(start + CHAIN_AT_MAGIC) != CHAIN_MAGIC)
        return corrupt(error, "no chain begins here");
    if (layout_u64(start + CHAIN_AT_CHECKSUM) != chain_layout_checksum(start, bytes.size_bytes))
        return corrupt(error, "its checksum");
    uint32_t version = layout_u16(start + CHAIN_AT_VERSION);
    if (version > CHAIN_VERSION)
        return status_fail(error, KH_UNSUPPORTED, "chain format %u, this build reads %u", version,
                           CHAIN_VERSION);
    if (version == 0 || layout_u16(start + CHAIN_AT_VERSION + 2) != 0)
        return corrupt(error, "its version");
    return KH_OK;
}

/* The stack of a number, whose digests lie one after the other. */
static void read_stack(const unsigned char *digests, struct chain *out) {
    uint64_t number = out->number;
    for (uint32_t i = out->depth; i-- > 0; number = without_lowest_bit(number)) {
        out->stack[i].number = number;
        memcpy(out->stack[i].digest.bytes, digests + i * DIGEST_BYTES, DIGEST_BYTES);
    }
    out->newest = out->stack[out->depth - 1].digest;
}

kh_status chain_import(kh_bytes bytes, struct chain *out, kh_error *error) {
    kh_status status = check_bytes(bytes, error);
    if (status != KH_OK) return status;
    const unsigned char *start = bytes.data;
    uint64_t number = layout_u64(start + CHAIN_AT_NUMBER);
    uint64_t next = layout_u64(start + CHAIN_AT_NEXT);
    uint32_t depth = depth_of(number);
    if (bytes.size_bytes != CHAIN_AT_DIGESTS + (size_t)depth * DIGEST_BYTES)
        return corrupt(error, "its size");
    /* Each group has a record at least. */
    if (next < number) return corrupt(error, "its position");
    memset(out, 0, sizeof *out);
    out->number = number;
    out->next = next;
    out->depth = depth;
    read_stack(start + CHAIN_AT_DIGESTS, out);
    return KH_OK;
}
