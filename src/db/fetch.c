/* fetch.c - see fetch.h. */
#include "db/fetch.h"

#include "base/status.h"
#include "batch/ipc.h"
#include "db/evict.h"
#include "db/read.h"
#include "db/upkeep.h"
#include "log/state_key.h"
#include "store/cold.h"
#include <errno.h>

enum { SHORT_KEY = 512 }; /* stored keys up to this need no memory */

static kh_status corrupt(const char *what, kh_error *error) {
    return status_fail(error, KH_CORRUPT, "the storage has %s", what);
}

kh_status fetch_decode(struct kh_db *db, struct mem_cache *cache, uint64_t commit, kh_bytes value,
                       kh_batch **out, kh_error *error) {
    uint32_t number;
    uint32_t flags;
    kh_bytes bytes;
    *out = NULL;
    if (!state_parse_value(commit, value, &number, &flags, &bytes))
        return corrupt("a damaged value", error);
    if (flags & STATE_FLAG_DELETED) return KH_OK;
    const kh_schema *schema = log_schemas_find(&db->pipeline.schemas, number);
    if (schema == NULL) return corrupt("a value of an unknown schema", error);
    return ipc_decode_value(db->home.mem, cache, schema, bytes, out, error);
}

struct fetch {
    struct kh_db *db;
    struct mem_cache *cache;
    uint64_t commit;
    kh_batch *batch;
    kh_status status;
    kh_error *error;
};

static bool take(void *context, kh_bytes key, kh_bytes value) {
    struct fetch *fetch = context;
    (void)key;
    fetch->status =
        fetch_decode(fetch->db, fetch->cache, fetch->commit, value, &fetch->batch, fetch->error);
    return false;
}

static kh_status ask_once(struct fetch *fetch, kh_bytes stored_key) {
    const struct kh_storage *storage = fetch->db->storage;
    int code = storage->get(storage->context, stored_key, take, fetch);
    if (fetch->status != KH_OK || code == 0) return fetch->status;
    return status_fail(fetch->error, code == EBADMSG ? KH_CORRUPT : KH_IO,
                       "the storage cannot be read (errno %d)", code);
}

/* What is not there may be on its way back (upkeep.h, setbacks). */
static kh_status ask(struct fetch *fetch, kh_bytes stored_key) {
    struct kh_db *db = fetch->db;
    for (;;) {
        uint32_t setbacks = upkeep_setbacks(db);
        kh_status status = ask_once(fetch, stored_key);
        if (status != KH_OK || fetch->batch != NULL) return status;
        bool is_behind = upkeep_stored(db) < fetch->commit;
        if (!is_behind && upkeep_setbacks(db) == setbacks) return KH_OK;
        status = upkeep_await(db, fetch->commit, fetch->error);
        if (status != KH_OK) return status;
    }
}

kh_status fetch_value(struct kh_db *db, struct mem_cache *cache, kh_bytes key, uint64_t commit,
                      kh_batch **out, kh_error *error) {
    struct fetch fetch = {.db = db, .cache = cache, .commit = commit, .error = error};
    unsigned char room[SHORT_KEY];
    unsigned char *stored_key = room;
    size_t capacity = state_version_key_max(key);
    if (capacity > sizeof room) stored_key = mem_alloc(db->home.mem, cache, capacity);
    if (stored_key == NULL) return status_no_memory(error, capacity);
    size_t size_bytes = state_version_key(key, commit, stored_key);
    kh_status status = ask(&fetch, (kh_bytes){stored_key, size_bytes});
    if (stored_key != room) mem_free(db->home.mem, cache, stored_key, capacity);
    if (status == KH_OK) {
        *out = fetch.batch;
    } else {
        batch_release(fetch.batch, cache);
    }
    return status;
}

kh_status fetch_seen(kh_txn *txn, kh_bytes key, uint64_t commit, kh_batch **out, kh_error *error) {
    kh_batch *batch = NULL;
    kh_status status = fetch_value(txn->db, txn->cache, key, commit, &batch, error);
    txn_count(&txn->counters.fetches, 1);
    if (status == KH_OK && batch == NULL) status = corrupt("lost a value", error);
    if (status == KH_OK) *out = batch;
    return status;
}

/* The value is hot from now on. */
static bool heat(kh_txn *txn, kh_bytes key, uint64_t hash, uint64_t commit, kh_batch *batch) {
    struct kh_db *db = txn->db;
    struct reclaimer who = {&txn->epoch, txn->cache};
    if (!evict_has_room(db)) return false;
    struct version *hot = version_create(db->home.mem, txn->cache, batch_retain(batch));
    if (hot == NULL) {
        batch_release(batch, txn->cache);
        return false;
    }
    epoch_open(&db->store.epoch, &txn->epoch);
    latch_take(&db->section);
    struct entry *entry = index_find(db->store.index, key, hash);
    bool is_back = entry != NULL && cold_heat(&db->store, &who, entry, commit, hot);
    latch_leave(&db->section);
    epoch_close(&db->store.epoch, &txn->epoch);
    if (!is_back) version_discard(db->home.mem, txn->cache, hot);
    return is_back;
}

/* In the store the snapshot keeps what is lent, and the epoch section what is not; else the
 * transaction does, until its end or until it fetches again. Moves the reference. */
static kh_status keep(kh_txn *txn, kh_bytes key, uint64_t hash, uint64_t commit, kh_batch *batch,
                      bool is_lent, kh_error *error) {
    kh_assert_slow(epoch_is_open(&txn->epoch)); /* once it is in the store, others may evict it */
    if (heat(txn, key, hash, commit, batch)) {
        batch_release(batch, txn->cache);
        return KH_OK;
    }
    if (is_lent && txn->isolation != KH_READ_COMMITTED) return read_hold(txn, batch, error);
    return read_hold_for_now(txn, batch, error);
}

/* The section is open again before the value is in the store, where the evictor may find it. What
 * others' heating has left is freed while no section is open: a reader comes by nowhere else. */
kh_status fetch_for_read(kh_txn *txn, kh_bytes key, uint64_t hash, uint64_t commit, bool is_lent,
                         const kh_batch **out, kh_error *error) {
    struct epoch *epoch = &txn->db->store.epoch;
    kh_batch *batch = NULL;
    epoch_close(epoch, &txn->epoch);
    if (epoch_is_due(&txn->epoch)) (void)epoch_poll(epoch, &txn->epoch, txn->cache);
    kh_status status = fetch_seen(txn, key, commit, &batch, error);
    epoch_open(epoch, &txn->epoch);
    if (status != KH_OK) return status;
    *out = batch;
    return keep(txn, key, hash, commit, batch, is_lent, error);
}
