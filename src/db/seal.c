/* seal.c - see seal.h. */
#include "db/seal.h"

#include "base/status.h"
#include "db/handle.h"
#include "db/semantic.h"
#include <string.h>

struct record_codec seal_codec(struct kh_db *db, struct mem_cache *cache) {
    return (struct record_codec){.mem = db->home.mem,
                                 .cache = cache,
                                 .schemas = db->home.schemas,
                                 .schema_of = log_schemas_find,
                                 .number_of = log_schemas_number_of,
                                 .context = &db->pipeline.schemas};
}

enum { LARGE_BYTES = 256 << 10 }; /* a frame that its room is measured for beforehand */

struct parts { /* arrays of a record, in an arena */
    struct record_write *writes;
    kh_bytes *dropped;
    kh_bytes *reads;
    struct record_range *ranges;
};

static bool make_parts(const kh_txn *txn, struct arena *arena, struct parts *out) {
    out->writes = arena_alloc(arena, (txn->writes.count + 1u) * sizeof *out->writes);
    out->dropped = arena_alloc(arena, (txn->writes.count + 1u) * sizeof *out->dropped);
    out->reads = arena_alloc(arena, (txn->reads.item_count + 1u) * sizeof *out->reads);
    out->ranges = arena_alloc(arena, (txn->reads.range_count + 1u) * sizeof *out->ranges);
    return out->writes != NULL && out->dropped != NULL && out->reads != NULL && out->ranges != NULL;
}

static uint64_t newest_commit(const struct write *write) {
    const struct version *newest = entry_head(write->entry);
    return newest == NULL ? 0 : newest->commit;
}

/* What certify will say if nobody comes between. */
static uint8_t foretell(const kh_txn *txn, const struct write *write, uint64_t newest) {
    if (newest > write->rival_above) {
        if (write->policy == KH_IGNORE || write->is_callback_dropped) return FATE_DROPPED;
        return FATE_RESOLVED;
    }
    return write->kind == WRITE_ROWS && newest > txn->snapshot ? FATE_RESOLVED : FATE_PLAIN;
}

static void note_sealed(kh_txn *txn) {
    for (uint32_t i = 0; i < txn->writes.count; i++) {
        struct write *write = &txn->writes.writes[i];
        if (write->kind == WRITE_NONE) continue;
        write->sealed_base = newest_commit(write);
        write->sealed_fate = write->fate = foretell(txn, write, write->sealed_base);
    }
}

bool seal_is_current(const kh_txn *txn) {
    for (uint32_t i = 0; i < txn->writes.count; i++) {
        const struct write *write = &txn->writes.writes[i];
        if (write->kind == WRITE_NONE) continue;
        if (write->fate != write->sealed_fate || newest_commit(write) != write->sealed_base)
            return false;
    }
    return true;
}

static uint8_t policy_of(const struct write *write) {
    if (write->fate != FATE_RESOLVED) return 0;
    return write->policy == POLICY_SEMANTIC ? KH_MERGE : write->policy;
}

static void fill_writes(const kh_txn *txn, const struct parts *parts, struct record *record) {
    for (uint32_t i = 0; i < txn->writes.count; i++) {
        const struct write *write = &txn->writes.writes[i];
        if (write->kind == WRITE_NONE) continue;
        if (write->fate == FATE_DROPPED) {
            parts->dropped[record->dropped_count++] = write->key;
            continue;
        }
        const struct version *newest = entry_head(write->entry);
        parts->writes[record->write_count++] =
            (struct record_write){.key = write->key,
                                  .batch = version_batch(write->staged),
                                  .base = newest == NULL ? 0 : newest->commit,
                                  .policy = policy_of(write)};
    }
    record->writes = parts->writes;
    record->dropped = parts->dropped;
}

/* The record's spans end before `to`: the successor of an inclusive end is the key with a zero byte
 * behind it. */
static bool fill_ranges(const kh_txn *txn, struct arena *arena, const struct parts *parts,
                        struct record *record) {
    for (uint32_t i = 0; i < txn->reads.range_count; i++) {
        const struct read_range *range = &txn->reads.ranges[i];
        kh_bytes to = range->to;
        if (range->is_to_inclusive && to.data != NULL) {
            unsigned char *successor = arena_alloc_zeroed(arena, to.size_bytes + 1);
            if (successor == NULL) return false;
            memcpy(successor, to.data, to.size_bytes);
            to = (kh_bytes){successor, to.size_bytes + 1};
        }
        parts->ranges[i] = (struct record_range){
            .from = range->from, .to = to, .holes = range->holes, .hole_count = range->hole_count};
    }
    record->ranges = parts->ranges;
    record->range_count = txn->reads.range_count;
    return true;
}

static bool fill(const kh_txn *txn, struct arena *arena, struct record *record) {
    struct parts parts;
    if (!make_parts(txn, arena, &parts)) return false;
    fill_writes(txn, &parts, record);
    if (!txn->is_certified) return true;
    for (uint32_t i = 0; i < txn->reads.item_count; i++)
        parts.reads[i] = entry_key(txn->reads.items[i].entry);
    record->reads = parts.reads;
    record->read_count = txn->reads.item_count;
    return fill_ranges(txn, arena, &parts, record);
}

kh_status seal_stage(kh_txn *txn, enum record_kind kind, kh_error *error) {
    note_sealed(txn);
    for (uint32_t i = 0; i < txn->writes.count; i++) {
        const struct write *write = &txn->writes.writes[i];
        /* A conflict that certify will find: there is nothing to encode. */
        if (write->kind != WRITE_NONE && write->fate != FATE_DROPPED && write->staged == NULL)
            return KH_OK;
    }
    (void)handle_id(txn);
    return seal_encode(txn, kind, &txn->frame, error);
}

kh_status seal_again(kh_txn *txn, enum record_kind kind, kh_error *error) {
    for (uint32_t i = 0; i < txn->writes.count; i++) {
        struct write *write = &txn->writes.writes[i];
        if (write->kind == WRITE_NONE) continue;
        write->sealed_base = newest_commit(write);
        write->sealed_fate = write->fate;
    }
    return seal_encode(txn, kind, &txn->frame, error);
}

/* All that the frame will need, by and large: growing to it would copy it twice over. */
static void reserve(const kh_txn *txn, struct ipc_buffer *frame) {
    enum { BESIDE_BYTES = 1024 }; /* of a write: key, lengths, the message's metadata */
    uint64_t values = txn->writes.size_bytes;
    ipc_buffer_reserve(frame, values + values / 64 + (uint64_t)txn->writes.count * BESIDE_BYTES);
}

/* Also of a failure: it was the former record's. */
static void empty(struct ipc_buffer *frame) {
    frame->size_bytes = 0;
    frame->is_failed = false;
}

kh_status seal_encode(kh_txn *txn, enum record_kind kind, struct ipc_buffer *frame,
                      kh_error *error) {
    struct record record = {.kind = kind,
                            .id = txn->id,
                            .isolation = txn->isolation,
                            .rule = RECORD_RULE_STRICT_SSN,
                            .birth = txn->birth,
                            .snapshot = txn->snapshot,
                            .commit = txn->committed,
                            .eta = txn->verdict.eta,
                            .pi = txn->verdict.pi};
    struct arena arena;
    arena_init(&arena, txn->db->home.mem, txn->cache);
    kh_status status = KH_OK;
    bool has_body = kind == RECORD_COMMIT || kind == RECORD_PREPARE;
    /* A decision says only which: readers of the log refuse it with sections. */
    if (has_body) record.tag = (kh_bytes){txn->tag, txn->tag_bytes};
    if (has_body && !fill(txn, &arena, &record)) status = status_no_memory(error, sizeof record);
    if (has_body && txn->semantic != NULL && status == KH_OK)
        status = semantic_encode(txn, &arena, &record.delta, error);
    if (kind == RECORD_COMMIT && txn->semantic != NULL && status == KH_OK)
        status = semantic_encode_members(txn, &arena, &record.members, &record.member_count, error);
    struct record_codec codec = seal_codec(txn->db, txn->cache);
    empty(frame);
    if (has_body && txn->writes.size_bytes > LARGE_BYTES) reserve(txn, frame);
    if (status == KH_OK) status = record_encode(&codec, &record, frame, error);
    arena_fini(&arena);
    return status;
}

kh_status seal_encode_schema(struct kh_db *db, const kh_schema *schema, uint32_t number,
                             kh_error *error) {
    struct record record = {.kind = RECORD_SCHEMA, .schema = schema, .schema_number = number};
    struct record_codec codec = seal_codec(db, NULL);
    empty(&db->pipeline.frame);
    return record_encode(&codec, &record, &db->pipeline.frame, error);
}
