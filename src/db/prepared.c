/* prepared.c - see prepared.h. The list is short (transactions between two phases): it is searched.
 */
#include "db/prepared.h"

#include "base/status.h"
#include "db/section.h"
#include "db/semantic.h"

static void add_flag(struct entry *entry, unsigned flag) {
    unsigned flags = atomic_load_explicit(&entry->flags, memory_order_relaxed) | flag;
    atomic_store_explicit(&entry->flags, (uint16_t)flags, memory_order_relaxed);
}

static void drop_flags(struct entry *entry) {
    unsigned flags = atomic_load_explicit(&entry->flags, memory_order_relaxed);
    flags &= ~(unsigned)(ENTRY_HELD | ENTRY_HELD_SHARED);
    atomic_store_explicit(&entry->flags, (uint16_t)flags, memory_order_relaxed);
}

static void mark(kh_txn *txn) {
    for (uint32_t i = 0; i < txn->writes.count; i++)
        if (txn->writes.writes[i].kind != WRITE_NONE)
            add_flag(txn->writes.writes[i].entry, ENTRY_HELD);
    if (!txn->is_certified) return;
    for (uint32_t i = 0; i < txn->reads.item_count; i++)
        add_flag(txn->reads.items[i].entry, ENTRY_HELD_SHARED);
}

void prepared_hold(kh_txn *txn) {
    struct kh_db *db = txn->db;
    mark(txn);
    txn->next_prepared = db->prepared;
    db->prepared = txn;
    atomic_fetch_add_explicit(&db->prepared_count, 1, memory_order_relaxed);
    /* Certified against the present, it comes after every snapshot that is open now: nobody has to
     * look at its slots any more. */
    snapshot_drop(txn->line);
}

void prepared_forget(kh_txn *txn) {
    struct kh_db *db = txn->db;
    struct kh_txn **link = &db->prepared;
    while (*link != NULL && *link != txn) link = &(*link)->next_prepared;
    if (*link == NULL) return;
    *link = txn->next_prepared;
    atomic_fetch_sub_explicit(&db->prepared_count, 1, memory_order_relaxed);
    for (uint32_t i = 0; i < txn->writes.count; i++)
        if (txn->writes.writes[i].kind != WRITE_NONE) drop_flags(txn->writes.writes[i].entry);
    if (txn->is_certified)
        for (uint32_t i = 0; i < txn->reads.item_count; i++) drop_flags(txn->reads.items[i].entry);
    for (kh_txn *other = db->prepared; other != NULL; other = other->next_prepared) mark(other);
}

static bool does_write(const kh_txn *holder, const struct entry *entry) {
    for (uint32_t i = 0; i < holder->writes.count; i++)
        if (holder->writes.writes[i].kind != WRITE_NONE && holder->writes.writes[i].entry == entry)
            return true;
    return false;
}

static bool holds(const kh_txn *holder, const struct write *write) {
    if (does_write(holder, write->entry)) return true;
    return holder->is_certified && readset_timestamp(&holder->reads, write->entry, write->key) != 0;
}

static kh_status refuse(kh_txn *txn, const kh_txn *holder, kh_bytes key, kh_error *error) {
    txn->has_conflict = true;
    txn->conflict = (kh_conflict){.size = sizeof(kh_conflict),
                                  .status = KH_HELD,
                                  .key = key,
                                  .snapshot = txn->snapshot,
                                  .holder = holder->id};
    return status_fail(error, KH_HELD, "a prepared transaction holds the key");
}

static kh_status check_writes(kh_txn *txn, const kh_txn *holder, kh_error *error) {
    for (uint32_t i = 0; i < txn->writes.count; i++) {
        const struct write *write = &txn->writes.writes[i];
        if (write->kind != WRITE_NONE && holds(holder, write))
            return refuse(txn, holder, write->key, error);
    }
    return KH_OK;
}

/* A hold on what was read cannot be had while another one holds it to write it: the one decided
 * last would have read a state that was gone. */
static kh_status check_reads(kh_txn *txn, const kh_txn *holder, kh_error *error) {
    for (uint32_t i = 0; i < holder->writes.count; i++) {
        const struct write *write = &holder->writes.writes[i];
        if (write->kind == WRITE_NONE) continue;
        if (readset_timestamp(&txn->reads, write->entry, write->key) != 0)
            return refuse(txn, holder, write->key, error);
    }
    return KH_OK;
}

kh_status prepared_check(kh_txn *txn, bool is_preparing, kh_error *error) {
    const struct kh_db *db = txn->db;
    for (const kh_txn *holder = db->prepared; holder != NULL; holder = holder->next_prepared) {
        kh_status status = check_writes(txn, holder, error);
        if (status == KH_OK && is_preparing && txn->is_certified)
            status = check_reads(txn, holder, error);
        if (status == KH_OK && txn->semantic != NULL && semantic_is_held(txn, holder))
            status = refuse(txn, holder, (kh_bytes){NULL, 0}, error);
        if (status != KH_OK) return status;
    }
    return KH_OK;
}

const kh_txn *prepared_holder(const struct kh_db *db, const struct entry *entry, kh_bytes key,
                              bool is_write) {
    for (const kh_txn *holder = db->prepared; holder != NULL; holder = holder->next_prepared) {
        if (entry != NULL && does_write(holder, entry)) return holder;
        if (is_write && holder->is_certified && readset_timestamp(&holder->reads, entry, key) != 0)
            return holder;
    }
    return NULL;
}

kh_txn *prepared_find(struct kh_db *db, kh_txn_id id) {
    for (kh_txn *txn = db->prepared; txn != NULL; txn = txn->next_prepared)
        if (txn->id.high == id.high && txn->id.low == id.low && txn_state_of(txn) == TXN_PREPARED)
            return txn;
    return NULL;
}
