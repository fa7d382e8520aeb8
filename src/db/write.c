/* write.c - buffering writes: put, delete, row operations, compare-and-swap, savepoints.
 *
 * Nothing is shared before commit: a write copies its key into the arena and takes a reference of
 * its batch. Failures leave the pending writes as they were. At the memory limit a writer waits, up
 * to its timeout, for reclamation, and takes values out of memory that a storage has (evict.h); the
 * oldest snapshot is named in the message. */
#include "batch/import_row.h"
#include "db/evict.h"
#include "db/read.h"
#include "db/section.h"
#include "db/semantic.h"
#include "db/upkeep.h"
#include "db/workspace.h"

#include <string.h>

static bool is_over(const struct kh_db *db, uint64_t more_bytes) {
    uint64_t live = mem_live_bytes(db->home.mem);
    return live + more_bytes > evict_limit(db);
}

static kh_status wait_for_memory(kh_txn *txn, uint64_t more_bytes, kh_error *error) {
    struct kh_db *db = txn->db;
    struct reclaimer who = {&txn->epoch, txn->cache};
    for (;;) {
        latch_take(&db->section);
        epoch_open(&db->store.epoch, &txn->epoch);
        section_reclaim(db, &who, db->store.queue.count + db->store.parked.count);
        epoch_close(&db->store.epoch, &txn->epoch);
        latch_leave(&db->section);
        upkeep_step(db);
        while (is_over(db, more_bytes) && evict_some(db, &who) && db_tick(db) <= txn_deadline(txn))
            epoch_drain(&db->store.epoch, &txn->epoch, txn->cache);
        epoch_drain(&db->store.epoch, &txn->epoch, txn->cache);
        if (!is_over(db, more_bytes)) return KH_OK;
        latch_take(&db->section);
        uint64_t tick = db_tick(db);
        bool goes_on = tick <= txn_deadline(txn) && section_wait(db, tick + TICK_MS);
        latch_leave(&db->section);
        if (goes_on && db_tick(db) <= txn_deadline(txn)) continue;
        return status_fail(error, KH_BUSY,
                           "memory limit of %llu bytes reached; the oldest snapshot is %llu",
                           (unsigned long long)db->limits.memory_bytes,
                           (unsigned long long)snapshot_oldest(&db->store.snapshots));
    }
}

/* Why a write is not admitted, after waiting where that may help. */
__attribute__((noinline)) static kh_status admit_slowly(kh_txn *txn, kh_bytes key,
                                                        uint64_t value_bytes, kh_error *error) {
    kh_status status = read_check_key(key, error);
    if (status != KH_OK) return status;
    if (txn->is_read_only)
        return status_fail(error, KH_READ_ONLY, "a write in a read-only transaction");
    const struct kh_db *db = txn->db;
    if (value_bytes > db->limits.batch_bytes)
        return status_fail(error, KH_TOO_BIG, "the batch has %llu bytes: at most %llu are allowed",
                           (unsigned long long)value_bytes,
                           (unsigned long long)db->limits.batch_bytes);
    if (db->limits.memory_bytes == 0) return KH_OK;
    if (!is_over(db, value_bytes + key.size_bytes)) return KH_OK;
    return wait_for_memory(txn, value_bytes + key.size_bytes, error);
}

static inline kh_status admit(kh_txn *txn, kh_bytes key, uint64_t value_bytes, kh_error *error) {
    const kh_limits *limits = &txn->db->limits;
    if (KH_LIKELY(key.data != NULL && key.size_bytes - 1 < LIMIT_KEY_BYTES && !txn->is_read_only &&
                  value_bytes <= limits->batch_bytes && limits->memory_bytes == 0))
        return KH_OK;
    return admit_slowly(txn, key, value_bytes, error);
}

/* In a workspace that merges, only its own puts are merged (write_put_meaning). */
static uint8_t policy_of(const kh_txn *txn, kh_policy policy) {
    if (KH_LIKELY(policy != KH_DEFAULT_POLICY)) return (uint8_t)policy;
    return KH_LIKELY(txn->policy != POLICY_SEMANTIC) ? txn->policy : (uint8_t)txn->db->policy;
}

static inline kh_status check_policy(const kh_txn *txn, kh_policy policy, kh_error *error) {
    if (KH_LIKELY((unsigned)policy < KH_CALLBACK)) return KH_OK;
    if (KH_UNLIKELY((unsigned)policy > KH_CALLBACK))
        return status_fail(error, KH_INVALID, "unknown policy %d", (int)policy);
    if (KH_UNLIKELY(policy == KH_CALLBACK && txn->resolve == NULL))
        return status_fail(error, KH_INVALID, "policy callback without a resolve function");
    return KH_OK;
}

/* Moves the reference of value (NULL: delete) on KH_OK. */
static kh_status buffer(kh_txn *txn, kh_bytes key, kh_batch *value, kh_policy policy,
                        kh_error *error) {
    uint64_t hash = index_hash(txn->db->store.index, key);
    uint64_t value_bytes = value == NULL ? 0 : batch_size_bytes(value);
    struct write *write;
    kh_status status =
        writeset_claim(&txn->writes, &txn->arena, key, hash, value_bytes, &write, error);
    if (KH_UNLIKELY(status != KH_OK)) return status;
    writeset_set(&txn->writes, write, value == NULL ? WRITE_DELETE : WRITE_PUT,
                 policy_of(txn, policy), value);
    return KH_OK;
}

KH_ALWAYS_INLINE kh_status put_any(kh_txn *txn, kh_bytes key, const kh_batch *value,
                                   kh_policy policy, bool is_checked, kh_error *error) {
    kh_status status = handle_enter(txn, error);
    if (KH_UNLIKELY(status != KH_OK)) return status;
    status = is_checked ? KH_OK : check_policy(txn, policy, error);
    if (status == KH_OK)
        status = admit(txn, key, value == NULL ? 0 : batch_size_bytes(value), error);
    if (status == KH_OK) {
        kh_batch *shared = value == NULL ? NULL : batch_retain(value);
        status = buffer(txn, key, shared, policy, error);
        if (status != KH_OK) batch_release(shared, txn->cache);
    }
    return handle_answer(txn, status);
}

static kh_status put_shared(kh_txn *txn, kh_bytes key, const kh_batch *value, kh_policy policy,
                            kh_error *error) {
    return put_any(txn, key, value, policy, false, error);
}

kh_status write_put_meaning(kh_txn *txn, kh_bytes key, const kh_batch *value, kh_error *error) {
    if (value == NULL) return status_fail(error, KH_INVALID, "put without a value");
    return put_any(txn, key, value, (kh_policy)txn->policy, true, error);
}

kh_status kh_txn_put_with(kh_txn *txn, kh_bytes key, const kh_batch *value, kh_policy policy,
                          kh_error *error) {
    if (value == NULL) return status_fail(error, KH_INVALID, "put without a value");
    return put_shared(txn, key, value, policy, error);
}

kh_status kh_txn_put(kh_txn *txn, kh_bytes key, const kh_batch *value, kh_error *error) {
    return kh_txn_put_with(txn, key, value, KH_DEFAULT_POLICY, error);
}

kh_status kh_txn_delete_with(kh_txn *txn, kh_bytes key, kh_policy policy, kh_error *error) {
    return put_shared(txn, key, NULL, policy, error);
}

kh_status kh_txn_delete(kh_txn *txn, kh_bytes key, kh_error *error) {
    return put_shared(txn, key, NULL, KH_DEFAULT_POLICY, error);
}

/* What can refuse comes before the import: the array moves on success only. */
KH_ALWAYS_INLINE kh_status import_value(kh_txn *txn, const kh_schema *schema,
                                        struct ArrowArray *array, kh_batch **out, kh_error *error) {
    struct kh_db *db = txn->db;
    struct mem *mem = db->home.mem;
    const struct writeset *set = &txn->writes;
    uint64_t room = set->bytes_max > set->size_bytes ? set->bytes_max - set->size_bytes : 0;
    uint64_t most = room < db->limits.batch_bytes ? room : db->limits.batch_bytes;
    *out = import_row(mem, txn->cache, schema, array, db->validation, most);
    if (KH_LIKELY(*out != NULL)) return KH_OK;
    return batch_import_within(mem, txn->cache, schema, array, db->validation, most, out, error);
}

/* With a schema of this database. */
__attribute__((always_inline)) static inline kh_status
put_array(kh_txn *txn, kh_bytes key, const kh_schema *schema, struct ArrowArray *array,
          kh_policy policy, kh_error *error) {
    struct writeset *set = &txn->writes;
    kh_batch *value = NULL;
    uint64_t hash = index_hash(txn->db->store.index, key);
    struct write *write = writeset_slot_new(set, &txn->arena, key, hash);
    kh_status status = KH_OK;
    if (KH_UNLIKELY(write == NULL)) {
        status = writeset_slot(set, &txn->arena, key, hash, &write, error);
        if (status != KH_OK) return status;
    }
    status = import_value(txn, schema, array, &value, error);
    if (KH_UNLIKELY(status != KH_OK)) return status;
    writeset_take(set, txn->cache, write, batch_size_bytes(value));
    writeset_set(set, write, WRITE_PUT, policy_of(txn, policy), value);
    return KH_OK;
}

/* The schema is another database's, or the process' own. */
__attribute__((noinline)) static kh_status put_array_from(kh_txn *txn, kh_bytes key,
                                                          const kh_schema *schema,
                                                          struct ArrowArray *array,
                                                          kh_policy policy, kh_error *error) {
    const kh_schema *twin = NULL;
    kh_status status = schema_intern(txn->db->home.schemas, schema, &twin, error);
    if (status != KH_OK) return status;
    status = put_array(txn, key, twin, array, policy, error);
    schema_drop(twin);
    return status;
}

kh_status kh_txn_put_array(kh_txn *txn, kh_bytes key, const kh_schema *schema,
                           struct ArrowArray *array, kh_policy policy, kh_error *error) {
    kh_status status = handle_enter(txn, error);
    if (KH_UNLIKELY(status != KH_OK)) return status;
    status = check_policy(txn, policy, error);
    if (KH_LIKELY(status == KH_OK)) status = admit(txn, key, 0, error);
    if (KH_UNLIKELY(status != KH_OK)) return handle_answer(txn, status);
    if (KH_LIKELY(schema->mem == txn->db->home.mem)) {
        status = put_array(txn, key, schema, array, policy, error);
    } else {
        status = put_array_from(txn, key, schema, array, policy, error);
    }
    return handle_answer(txn, status);
}

/* ---- row operations -------------------------------------------------------------------------- */

static kh_status check_rows(kh_txn *txn, enum row_kind kind, const kh_batch *rows,
                            kh_error *error) {
    if (rows == NULL) return status_fail(error, KH_INVALID, "a row operation without rows");
    struct resolve_context context;
    read_resolve_context(txn, &context);
    kh_status status = rows_check_ids(&context.rows, rows, error);
    return status == KH_DUPLICATE_ID && kind == ROW_DELETE ? KH_OK : status;
}

/* The outcome of the own put or delete is known: apply the rows to it at once. */
static kh_status apply_to_own(kh_txn *txn, struct write *own, enum row_kind kind,
                              const kh_batch *rows, kh_error *error) {
    struct resolve_context context;
    read_resolve_context(txn, &context);
    struct row_op op = {NULL, (kh_batch *)rows, kind};
    kh_batch *value = NULL;
    kh_status status = resolve_rows(&context, own->mine, &op, &value, error);
    if (status != KH_OK) return status;
    status = buffer(txn, own->key, value, (kh_policy)own->policy, error);
    if (status != KH_OK) batch_release(value, txn->cache);
    return status;
}

static kh_status write_rows(kh_txn *txn, kh_bytes key, enum row_kind kind, const kh_batch *rows,
                            kh_error *error) {
    kh_status status = handle_enter(txn, error);
    if (status != KH_OK) return status;
    status = check_rows(txn, kind, rows, error);
    if (status == KH_OK) status = admit(txn, key, batch_size_bytes(rows), error);
    if (status != KH_OK) return handle_answer(txn, status);
    uint64_t hash = index_hash(txn->db->store.index, key);
    struct write *own = writeset_find(&txn->writes, key, hash);
    if (own != NULL && own->kind != WRITE_ROWS) {
        status = apply_to_own(txn, own, kind, rows, error);
    } else {
        kh_batch *shared = batch_retain(rows);
        status = writeset_add_rows(&txn->writes, &txn->arena, key, hash, kind, shared,
                                   policy_of(txn, KH_DEFAULT_POLICY), error);
        if (status != KH_OK) batch_release(shared, txn->cache);
    }
    return handle_answer(txn, status);
}

kh_status kh_txn_insert_rows(kh_txn *txn, kh_bytes key, const kh_batch *rows, kh_error *error) {
    return write_rows(txn, key, ROW_INSERT, rows, error);
}

kh_status kh_txn_upsert_rows(kh_txn *txn, kh_bytes key, const kh_batch *rows, kh_error *error) {
    return write_rows(txn, key, ROW_UPSERT, rows, error);
}

kh_status kh_txn_update_rows(kh_txn *txn, kh_bytes key, const kh_batch *rows, kh_error *error) {
    return write_rows(txn, key, ROW_UPDATE, rows, error);
}

kh_status kh_txn_delete_rows(kh_txn *txn, kh_bytes key, const kh_batch *ids, kh_error *error) {
    return write_rows(txn, key, ROW_DELETE, ids, error);
}

/* ---- compare and swap ------------------------------------------------------------------------ */

static kh_status read_current(kh_txn *txn, kh_bytes key, const kh_batch **out, kh_error *error) {
    uint64_t hash = index_hash(txn->db->store.index, key);
    struct write *own = writeset_find(&txn->writes, key, hash);
    kh_status status;
    read_statement(txn);
    epoch_open(&txn->db->store.epoch, &txn->epoch);
    if (own != NULL) {
        status = read_own(txn, own, out, error);
    } else {
        status = read_version(txn, key, hash, out, error);
    }
    /* At read committed nothing pins the value beyond the section. */
    if (status == KH_OK && *out != NULL) *out = batch_retain(*out);
    epoch_close(&txn->db->store.epoch, &txn->epoch);
    return status;
}

static kh_status compare(const kh_batch *current, const kh_batch *expected, kh_error *error) {
    bool is_equal = current == expected;
    if (current != NULL && expected != NULL) {
        kh_status status = kh_batch_equal(current, expected, &is_equal, error);
        if (status != KH_OK) return status;
    }
    return is_equal ? KH_OK : KH_MISMATCH;
}

kh_status kh_txn_compare_and_swap(kh_txn *txn, kh_bytes key, const kh_batch *expected,
                                  const kh_batch *value, kh_error *error) {
    kh_status status = handle_enter(txn, error);
    if (status != KH_OK) return status;
    status = admit(txn, key, value == NULL ? 0 : batch_size_bytes(value), error);
    const kh_batch *current = NULL;
    if (status == KH_OK) status = read_current(txn, key, &current, error);
    if (status == KH_OK) status = compare(current, expected, error);
    batch_release((kh_batch *)current, txn->cache);
    if (status == KH_OK) {
        kh_batch *shared = value == NULL ? NULL : batch_retain(value);
        status = buffer(txn, key, shared, KH_DEFAULT_POLICY, error);
        if (status != KH_OK) batch_release(shared, txn->cache);
    }
    return handle_answer(txn, status);
}

/* ---- savepoints ------------------------------------------------------------------------------ */

kh_status kh_txn_savepoint(kh_txn *txn, uint32_t *out, kh_error *error) {
    kh_status status = handle_enter(txn, error);
    if (status != KH_OK) return status;
    status = writeset_mark(&txn->writes, &txn->arena, out, error);
    if (status == KH_OK && txn->workspace != NULL)
        txn->writes.marks[*out - 1].step_count = WORKSPACE_GET(txn->workspace, operation_count);
    return handle_answer(txn, status);
}

/* An embed function has the steps in its hands. */
static kh_status roll_back_to(kh_txn *txn, uint32_t savepoint, kh_error *error) {
    kh_workspace *workspace = txn->workspace;
    if (workspace != NULL && workspace->is_embedding) return workspace_refuse_embedding(error);
    kh_status status = writeset_rollback_to(&txn->writes, txn->cache, savepoint, error);
    if (status == KH_OK && workspace != NULL)
        workspace_unlist(workspace, txn->writes.marks[savepoint - 1].step_count);
    return status;
}

kh_status kh_txn_rollback_to(kh_txn *txn, uint32_t savepoint, kh_error *error) {
    kh_status status = handle_enter(txn, error);
    if (status != KH_OK) return status;
    return handle_answer(txn, roll_back_to(txn, savepoint, error));
}

kh_status kh_txn_release_savepoint(kh_txn *txn, uint32_t savepoint, kh_error *error) {
    kh_status status = handle_enter(txn, error);
    if (status != KH_OK) return status;
    return handle_answer(txn, writeset_release_mark(&txn->writes, savepoint, error));
}
