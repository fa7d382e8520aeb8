/* outcome.c - see outcome.h. */
#include "db/outcome.h"

#include "base/status.h"
#include "db/durable.h"
#include "db/upkeep.h"
#include "log/record_layout.h"
#include "log/record_raw.h"
#include "log/state_key.h"
#include <errno.h>

struct sought {
    kh_txn_id id;
    bool is_found;
    bool is_aborted;
    uint64_t commit;
};

static bool take_entry(void *context, kh_bytes key, kh_bytes value) {
    struct sought *sought = context;
    (void)key;
    sought->is_found = state_parse_outcome(value, &sought->commit, &sought->is_aborted);
    return false;
}

static int look_into_storage(const struct kh_db *db, struct sought *sought) {
    unsigned char key[STATE_FIXED_KEY_BYTES];
    size_t key_bytes = state_id_key(STATE_OUTCOME, sought->id, key);
    return db->storage->get(db->storage->context, (kh_bytes){key, key_bytes}, take_entry, sought);
}

static bool is_same(kh_txn_id a, kh_txn_id b) {
    return a.low == b.low && a.high == b.high;
}

static bool has_member(kh_bytes frame, kh_txn_id id) {
    struct raw_record record = {.kind = RECORD_COMMIT, .frame = frame};
    struct raw_members members;
    struct record_member member;
    kh_status status = raw_members(&record, &members, NULL);
    while (status == KH_OK && (status = raw_next_member(&members, &member, NULL)) == KH_OK)
        if (is_same(member.id, id)) return true;
    return false;
}

/* Without a look at the checksums: the log has checked its groups. */
static bool take_record(void *context, kh_log_position position, kh_bytes frame) {
    struct sought *sought = context;
    const unsigned char *bytes = frame.data;
    (void)position;
    uint8_t kind = bytes[AT_KIND];
    kh_txn_id id = {layout_u64(bytes + AT_ID_HIGH), layout_u64(bytes + AT_ID_LOW)};
    if (!is_same(id, sought->id) && !(kind == RECORD_COMMIT && has_member(frame, sought->id)))
        return true;
    if (kind != RECORD_COMMIT && kind != RECORD_DECIDE_COMMIT && kind != RECORD_DECIDE_ABORT)
        return true;
    sought->is_found = true;
    sought->is_aborted = kind == RECORD_DECIDE_ABORT;
    sought->commit = layout_u64(bytes + AT_COMMIT);
    return false;
}

/* The storage moves on meanwhile, and the log is trimmed behind it: then it is there. Or it goes
 * back (upkeep.h), and the log has it. */
static int look(struct kh_db *db, struct sought *sought) {
    const struct kh_log *log = db->pipeline.log;
    uint32_t setbacks;
    int code;
    do {
        setbacks = upkeep_setbacks(db);
        kh_log_position applied = upkeep_shown(db);
        code = look_into_storage(db, sought);
        if (code == 0 && !sought->is_found)
            code = log->read(log->context, applied, take_record, sought);
    } while (code == ENODATA || (!sought->is_found && upkeep_setbacks(db) != setbacks));
    return code;
}

/* What is not found was aborted, if it cannot have been forgotten and is not going on where a
 * read-only opening does not see it. Of ids of other nodes nothing is known. */
static kh_status judge_absent(struct kh_db *db, kh_txn_id id, kh_outcome *out, kh_error *error) {
    kh_timestamp forgotten;
    kh_status status = durable_forgotten(db, db_visible(db), &forgotten, error);
    if (status != KH_OK) return status;
    bool is_known = !(db->flags & KH_OPEN_READ_ONLY) && id.high == db->id_high &&
                    state_id_ms(id) >= KH_MS_OF_TIMESTAMP(forgotten);
    *out = is_known ? KH_OUTCOME_ABORTED : KH_OUTCOME_FORGOTTEN;
    return KH_OK;
}

kh_status outcome_find_kept(struct kh_db *db, kh_txn_id id, kh_outcome *out,
                            kh_timestamp *timestamp, kh_error *error) {
    struct sought sought = {.id = id};
    *timestamp = 0;
    int code = look(db, &sought);
    if (code == 0 && !sought.is_found) { /* what answered before it was written is written now */
        kh_status status = durable_sync_log(db, error);
        if (status != KH_OK) return status;
        code = look(db, &sought);
    }
    if (code != 0)
        return status_fail(error, code == EBADMSG ? KH_CORRUPT : KH_IO,
                           "outcomes cannot be read (errno %d)", code);
    if (!sought.is_found) return judge_absent(db, id, out, error);
    *out = sought.is_aborted ? KH_OUTCOME_ABORTED : KH_OUTCOME_COMMITTED;
    *timestamp = sought.is_aborted ? 0 : sought.commit;
    return KH_OK;
}
