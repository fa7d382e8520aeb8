/* evict.c - see evict.h. Everything but the thresholds is the section's. */
#include "db/evict.h"

#include "base/status.h"
#include "db/db.h"
#include "db/durable.h"
#include "db/section.h"
#include "db/upkeep.h"
#include <string.h>

enum {
    CHUNK = 32,           /* entries in one hold of the section */
    CHUNKS = 64,          /* in one call */
    STRETCH_LEAST = 1024, /* entries that cool together */
    STRETCHES = 8,        /* of all keys */
    TRIM_SHARE = 8,       /* of the limit: so much must have gone before the heap is trimmed, */
    TRIM_MS = 200,        /* and so long ago the last time must be */
    KEY_BYTES = 64,       /* an entry with a short key, about */
    COLD_BYTES = 48,      /* a cold version */
    PATIENCE = 16         /* calls that wait for borrowers to end: most do at once */
};

struct place { /* a key, or the beginning (size 0) */
    unsigned char *key;
    size_t key_bytes;
    size_t capacity;
};

/* A snapshot that had lent values when the stretch had its marks. */
struct borrower {
    uint64_t serial; /* of the handle's use */
    uint64_t timestamp;
};

enum phase { COOLING, EVICTING };

struct evictor {
    uint64_t cool_above; /* bytes */
    uint64_t evict_above;
    uint64_t evict_below;
    uint64_t heat_below; /* values that come back stay */
    uint64_t for_keys;   /* what values leave to keys and heads that are still to come */
    enum phase phase;
    bool is_evicting;    /* from evict_above down to evict_below */
    bool is_end;         /* the stretch ends behind the last key */
    struct place hand;   /* the last key that was handled */
    struct place begin;  /* the stretch: keys after begin, */
    struct place end;    /* up to end */
    uint64_t untrimmed;  /* bytes that went since the heap was trimmed */
    uint64_t trimmed_ms; /* and when that was */
    uint64_t left;       /* entries to be marked */
    uint32_t patience;
    uint64_t vain;   /* entries looked at since a value went, or could go */
    uint64_t stored; /* as of the last look */
    uint64_t borrowed;
    struct borrower *borrowers; /* by handle */
    uint32_t borrower_count;
    uint32_t borrowers_max;
};

#if defined(KH_SLOW_CHECKS)
static _Atomic bool is_always;
static _Atomic uint32_t askings;

void evict_always(bool is_wanted) {
    is_always = is_wanted;
}

static bool is_short_always(void) {
    return is_always;
}

static bool has_room_now(void) {
    return askings++ % 3 != 0;
}
#else
static inline bool is_short_always(void) {
    return false;
}

static inline bool has_room_now(void) {
    return true;
}
#endif

/* ---- places ---------------------------------------------------------------------------------- */

static bool set_place(struct kh_db *db, struct place *place, kh_bytes key) {
    if (key.size_bytes > place->capacity) {
        size_t capacity = key.size_bytes < 64 ? 64 : key.size_bytes;
        unsigned char *grown =
            mem_resize(db->home.mem, NULL, place->key, place->capacity, capacity);
        if (grown == NULL) return false;
        place->key = grown;
        place->capacity = capacity;
    }
    if (key.size_bytes > 0) memcpy(place->key, key.data, key.size_bytes);
    place->key_bytes = key.size_bytes;
    return true;
}

static kh_bytes key_of(const struct place *place) {
    return (kh_bytes){place->key_bytes == 0 ? NULL : place->key, place->key_bytes};
}

static void free_place(struct kh_db *db, struct place *place) {
    mem_free(db->home.mem, NULL, place->key, place->capacity);
}

/* ---- borrowers ------------------------------------------------------------------------------- */

static void note_borrowers(struct kh_db *db) {
    struct evictor *evictor = db->evictor;
    uint32_t count = atomic_load_explicit(&db->handle_count, memory_order_acquire);
    if (count > evictor->borrowers_max) count = evictor->borrowers_max;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t word = atomic_load_explicit(&db->handles[i]->state, memory_order_acquire);
        uint64_t timestamp = snapshot_load(db->handles[i]->line, SLOT_READ);
        uint64_t lent = atomic_load_explicit(&db->handles[i]->lent_serial, memory_order_seq_cst);
        if (lent != word >> STATE_BITS) timestamp = SNAPSHOT_NONE;
        evictor->borrowers[i] = (struct borrower){word >> STATE_BITS, timestamp};
    }
    evictor->borrower_count = count;
}

/* A use of the handle that began before its use was noted: its serial number only grows. */
static bool is_left(const kh_txn *txn, const struct borrower *borrower) {
    return borrower->timestamp != SNAPSHOT_NONE &&
           snapshot_load(txn->line, SLOT_READ) == borrower->timestamp &&
           atomic_load_explicit(&txn->state, memory_order_acquire) >> STATE_BITS ==
               borrower->serial;
}

/* Leaving out one handle, by its record (NULL: none left out). */
static uint64_t newest_borrower(const struct kh_db *db, const struct epoch_record *except) {
    const struct evictor *evictor = db->evictor;
    uint64_t newest = 0;
    for (uint32_t i = 0; i < evictor->borrower_count; i++) {
        const struct borrower *borrower = &evictor->borrowers[i];
        if (&db->handles[i]->epoch == except) continue;
        if (borrower->timestamp > newest && is_left(db->handles[i], borrower))
            newest = borrower->timestamp;
    }
    return newest;
}

/* ---- the hand -------------------------------------------------------------------------------- */

static void begin_stretch(struct kh_db *db) {
    struct evictor *evictor = db->evictor;
    uint64_t keys = atomic_load_explicit(&db->store.keys, memory_order_relaxed);
    evictor->phase = COOLING;
    evictor->is_end = false;
    evictor->left = keys / STRETCHES > STRETCH_LEAST ? keys / STRETCHES : STRETCH_LEAST;
}

/* All marks of the stretch are set: once more from its beginning. */
static void turn_back(struct kh_db *db, bool is_end) {
    struct evictor *evictor = db->evictor;
    evictor->is_end = is_end;
    if (!set_place(db, &evictor->end, key_of(&evictor->hand)) ||
        !set_place(db, &evictor->hand, key_of(&evictor->begin)))
        return; /* the next call tries again */
    note_borrowers(db);
    evictor->patience = PATIENCE;
    evictor->phase = EVICTING;
}

/* On to the next stretch; behind the last key comes the first. */
static void go_on(struct kh_db *db) {
    struct evictor *evictor = db->evictor;
    kh_bytes from = evictor->is_end ? (kh_bytes){NULL, 0} : key_of(&evictor->end);
    if (!set_place(db, &evictor->begin, from) ||
        !set_place(db, &evictor->hand, key_of(&evictor->begin)))
        return;
    begin_stretch(db);
}

static size_t look_ahead(struct kh_db *db, struct entry **entries, size_t count) {
    struct evictor *evictor = db->evictor;
    return index_scan(db->store.index, (kh_bytes){NULL, 0}, key_of(&evictor->hand), true, false,
                      entries, count);
}

static void cool_chunk(struct kh_db *db, const struct cold_view *view) {
    struct evictor *evictor = db->evictor;
    struct entry *entries[CHUNK];
    size_t most = evictor->left < CHUNK ? (size_t)evictor->left : CHUNK;
    size_t count = look_ahead(db, entries, most);
    for (size_t i = 0; i < count; i++) cold_cool(entries[i], view);
    if (count > 0 && !set_place(db, &evictor->hand, entry_key(entries[count - 1]))) return;
    evictor->left -= count;
    if (count < most || evictor->left == 0) turn_back(db, count < most);
}

static bool is_behind_end(const struct evictor *evictor, const struct entry *entry) {
    return !evictor->is_end && key_compare(entry_key(entry), key_of(&evictor->end)) > 0;
}

static uint64_t evict_chunk(struct kh_db *db, const struct reclaimer *who, struct cold_view *view) {
    struct evictor *evictor = db->evictor;
    struct entry *entries[CHUNK];
    size_t count = look_ahead(db, entries, CHUNK);
    size_t inside = 0;
    uint64_t bytes = 0;
    for (; inside < count && !is_behind_end(evictor, entries[inside]); inside++)
        bytes += cold_evict(&db->store, who, entries[inside], view);
    bool is_over = inside < CHUNK;
    if (is_over) {
        go_on(db);
    } else {
        (void)set_place(db, &evictor->hand, entry_key(entries[inside - 1]));
    }
    return bytes;
}

static void make_view(struct kh_db *db, struct cold_view *view) {
    view->visible = db_visible(db);
    view->least_bytes = is_short_always() ? 1 : COLD_LEAST_BYTES;
    view->stored = upkeep_stored(db);
    view->swept = upkeep_horizon(db);
    view->borrowed = newest_borrower(db, NULL);
    view->list = db->store.snapshot_buffer;
    view->list_count = snapshot_list(&db->store.snapshots, db->store.snapshot_buffer);
}

/* Who had lent values when the marks were set is waited for, a little; but not by himself, nor
 * where there is only one thread. */
static bool is_waiting(struct kh_db *db, const struct reclaimer *who) {
    struct evictor *evictor = db->evictor;
    if (evictor->phase != EVICTING || evictor->patience == 0 || (db->flags & KH_OPEN_NO_THREADS) ||
        newest_borrower(db, who->record) == 0)
        return false;
    evictor->patience--;
    return true;
}

/* *is_over: no more in this call. In the section. */
static uint64_t move_hand(struct kh_db *db, const struct reclaimer *who, bool *is_over) {
    struct evictor *evictor = db->evictor;
    struct cold_view view;
    uint64_t bytes = 0;
    make_view(db, &view);
    *is_over = is_waiting(db, who);
    if (*is_over) return 0;
    if (evictor->phase == EVICTING) {
        bytes = evict_chunk(db, who, &view);
    } else {
        cool_chunk(db, &view);
    }
    bool is_new = view.stored != evictor->stored || view.borrowed != evictor->borrowed;
    evictor->stored = view.stored;
    evictor->borrowed = view.borrowed;
    evictor->vain = bytes > 0 || is_new ? 0 : evictor->vain + CHUNK;
    return bytes;
}

/* The hand has been everywhere, twice, and nothing can go: until the storage has more, or a reader
 * ends, one chunk a call is enough. */
static bool is_vain(const struct kh_db *db) {
    uint64_t keys = atomic_load_explicit(&db->store.keys, memory_order_relaxed);
    return db->evictor->vain > 4 * (keys + STRETCH_LEAST);
}

/* ---- when ------------------------------------------------------------------------------------ */

/* Memory that is used, or kept for keys that are still to come: what large values leave behind in
 * the heap does not serve small blocks, so that values must not fill it first. */
static uint64_t used_bytes(const struct kh_db *db) {
    const struct store *store = &db->store;
    uint64_t keys = atomic_load_explicit(&store->keys, memory_order_relaxed);
    uint64_t cold = atomic_load_explicit(&store->versions_cold, memory_order_relaxed);
    uint64_t there = index_size_bytes(store->index) + keys * KEY_BYTES + cold * COLD_BYTES;
    uint64_t for_keys = db->evictor->for_keys;
    return mem_live_bytes(db->home.mem) + (there < for_keys ? for_keys - there : 0);
}

bool evict_has_room(const struct kh_db *db) {
    if (db->evictor == NULL) return true;
    if (is_short_always()) return has_room_now();
    return used_bytes(db) < db->evictor->heat_below;
}

/* live: without what was taken out and is not free yet. In the section. */
static bool is_wanted(struct evictor *evictor, uint64_t live) {
    if (is_short_always()) return true;
    if (live <= evictor->evict_below) evictor->is_evicting = false;
    if (live > evictor->evict_above) evictor->is_evicting = true;
    if (evictor->phase == COOLING) return live > evictor->cool_above;
    return evictor->is_evicting;
}

/* Large values leave holes in the C library's heap, which it does not give back by itself. Now and
 * then: trimming looks at the whole heap. In the section; what is due is done outside of it. */
static bool is_trim_due(struct kh_db *db) {
    struct evictor *evictor = db->evictor;
    if (evictor->untrimmed < evictor->evict_above / TRIM_SHARE) return false;
    uint64_t now_ms = env_monotonic_ns(&db->clock) / 1000000u;
    if (now_ms - evictor->trimmed_ms < TRIM_MS) return false;
    evictor->untrimmed = 0;
    evictor->trimmed_ms = now_ms;
    return true;
}

bool evict_some(struct kh_db *db, const struct reclaimer *who) {
    struct evictor *evictor = db->evictor;
    if (evictor == NULL) return false;
    uint64_t live = used_bytes(db);
    if (live <= evictor->cool_above && !is_short_always()) return false;
    bool goes_on = true;
    bool is_due = false;
    epoch_open(&db->store.epoch, who->record);
    for (int chunk = 0; chunk < CHUNKS && goes_on; chunk++) {
        latch_take(&db->section);
        goes_on = is_wanted(evictor, live);
        if (goes_on) {
            bool is_over;
            uint64_t bytes = move_hand(db, who, &is_over);
            live = bytes < live ? live - bytes : 0;
            evictor->untrimmed += bytes;
            goes_on = !is_over && !is_vain(db);
        }
        is_due |= is_trim_due(db);
        latch_leave(&db->section);
    }
    epoch_close(&db->store.epoch, who->record);
    if (is_due) env_trim_heap();
    if (live > evictor->evict_above || is_short_always()) upkeep_hurry(db);
    return goes_on && !is_short_always();
}

void evict_at_open(struct kh_db *db) {
    struct evictor *evictor = db->evictor;
    struct reclaimer who = {&db->step_epoch, db->step_cache};
    if (evictor == NULL || used_bytes(db) <= evictor->evict_above) return;
    while (evict_some(db, &who)) epoch_drain(&db->store.epoch, who.record, who.cache);
    epoch_drain(&db->store.epoch, who.record, who.cache);
}

/* ---- open and close -------------------------------------------------------------------------- */

/* Without what RocksDB takes of it, but half of it at least. */
uint64_t evict_limit(const struct kh_db *db) {
    uint64_t limit = db->limits.memory_bytes;
    uint64_t others = durable_memory_bytes(db);
    return others < limit / 2 ? limit - others : limit / 2;
}

kh_status evict_open(struct kh_db *db, kh_error *error) {
    if (db->limits.memory_bytes == 0 || db->upkeep == NULL) return KH_OK;
    uint64_t limit = evict_limit(db);
    struct evictor *evictor = mem_own_alloc(db->home.mem, sizeof *evictor);
    if (evictor == NULL) return status_no_memory(error, sizeof *evictor);
    memset(evictor, 0, sizeof *evictor);
    size_t borrowers_bytes = db->limits.txns * sizeof *evictor->borrowers;
    evictor->borrowers = mem_own_alloc(db->home.mem, borrowers_bytes);
    if (evictor->borrowers == NULL) {
        mem_own_free(db->home.mem, evictor, sizeof *evictor);
        return status_no_memory(error, borrowers_bytes);
    }
    evictor->borrowers_max = db->limits.txns;
    evictor->cool_above = limit - limit / 4;
    evictor->evict_above = limit - limit / 8;
    evictor->evict_below = limit - limit / 16 * 3;
    evictor->heat_below = limit - limit / 16;
    evictor->for_keys = limit / 8 * 3;
    db->evictor = evictor;
    mem_be_thrifty(db->home.mem);
    begin_stretch(db);
    return KH_OK;
}

void evict_close(struct kh_db *db) {
    struct evictor *evictor = db->evictor;
    if (evictor == NULL) return;
    free_place(db, &evictor->hand);
    free_place(db, &evictor->begin);
    free_place(db, &evictor->end);
    mem_own_free(db->home.mem, evictor->borrowers,
                 evictor->borrowers_max * sizeof *evictor->borrowers);
    mem_own_free(db->home.mem, evictor, sizeof *evictor);
    db->evictor = NULL;
}
