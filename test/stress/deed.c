/* deed.c - transactions that know what their commit must change.
 *
 * The first failure sticks: later calls on the deed do nothing, and its end is counted under that
 * status. What a commit changed is booked once, by whoever learns of it: at once, when a started
 * commit is waited for, or by the worker that decides a prepared transaction. */
#include "stress.h"

#include <poll.h>

bool is_retry(kh_status status) {
    return kh_status_classify(status) == KH_CLASS_RETRY || status == KH_CANCELLED;
}

void count_end(struct worker *worker, kh_status status) {
    worker->tally.ends[(int)status < STATUS_MAX ? (int)status : STATUS_MAX - 1]++;
    CHECK(worker, status == KH_OK || is_retry(status), "a transaction ends with %s",
          kh_status_name(status));
}

kh_isolation draw_level(struct worker *worker) {
    static const kh_isolation levels[3] = {KH_READ_COMMITTED, KH_REPEATABLE_READ, KH_SERIALIZABLE};
    return levels[draw(&worker->random, 3)];
}

bool deed_begin(struct worker *worker, struct deed *deed, kh_isolation level, kh_policy policy,
                uint32_t flags) {
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    *deed = (struct deed){.worker = worker, .level = level};
    options.isolation = level;
    options.policy = policy;
    options.flags = flags;
    if (worker->world->is_at_rest) options.timeout_ms = 10 * 60 * 1000;
    options.tag = atomic_load_explicit(&worker->doing, memory_order_relaxed);
    deed->is_read_only = (flags & KH_BEGIN_READ_ONLY) != 0;
    deed->is_misfit = policy != KH_DEFAULT_POLICY && policy != KH_FAIL;
    deed->status = kh_txn_begin(worker->world->db, &options, &deed->txn, NULL);
    if (deed->status != KH_OK) {
        CHECK(worker, deed->status == KH_BUSY, "kh_txn_begin answers %s",
              kh_status_name(deed->status));
        deed->txn = NULL;
        return false;
    }
    deed->id = kh_txn_get_id(deed->txn);
    deed->last_snapshot = kh_txn_snapshot(deed->txn);
    return true;
}

/* Before the first read: the snapshot may move, and nothing can have changed. Not to get them is no
 * failure. */
void deed_lock(struct deed *deed, const uint32_t *keys, int key_count) {
    struct random *random = &deed->worker->random;
    kh_lock_options options = KH_LOCK_OPTIONS_INIT;
    options.flags = one_in(random, 3) ? KH_LOCK_TRY : 0;
    options.timeout_ms = 1 + (uint32_t)draw(random, 20); /* a prepared one may have it for long */
    for (int i = 0; i < key_count && deed->status == KH_OK; i++) {
        struct key_text space;
        kh_lock lock = {key_bytes(keys[i], &space),
                        one_in(random, 3) ? KH_LOCK_SHARED : KH_LOCK_EXCLUSIVE};
        kh_status status = kh_txn_lock(deed->txn, &lock, 1, &options, NULL);
        CHECK(deed->worker, status != KH_CONFLICT, "a lock before the first read conflicts");
        if (status != KH_LOCK_CONFLICT) deed->status = status;
        if (one_in(random, 3)) let_others(deed->worker);
    }
    kh_timestamp snapshot = kh_txn_snapshot(deed->txn);
    CHECK(deed->worker, snapshot >= deed->last_snapshot, "a lock moves a snapshot back");
    deed->last_snapshot = snapshot;
}

/* ---- reading --------------------------------------------------------------------------------- */

static struct staged *find_own(struct deed *deed, uint32_t key) {
    for (int i = deed->write_count; i-- > 0;) {
        if (deed->writes[i].key == key) return &deed->writes[i];
    }
    return NULL;
}

/* Timestamps never go back; a snapshot does not move. */
static void check_snapshot(struct deed *deed) {
    kh_timestamp snapshot = kh_txn_snapshot(deed->txn);
    bool is_right = deed->level == KH_READ_COMMITTED ? snapshot >= deed->last_snapshot
                                                     : snapshot == deed->last_snapshot;
    CHECK(deed->worker, is_right, "a snapshot moves from %llu to %llu",
          (unsigned long long)deed->last_snapshot, (unsigned long long)snapshot);
    deed->last_snapshot = snapshot;
}

static void check_own(struct deed *deed, uint32_t key, bool is_there, const struct cell *cell) {
    const struct staged *own = find_own(deed, key);
    if (own == NULL || deed->is_misfit) return;
    bool is_right = own->is_deleted
                        ? !is_there
                        : is_there && (!own->is_number || (cell->n == own->n && cell->v == own->v));
    CHECK(deed->worker, is_right, "key %u: an own write is not read back", key);
}

kh_batch *deed_get_batch(struct deed *deed, uint32_t key) {
    struct key_text space;
    kh_batch *batch = NULL;
    if (deed->status != KH_OK) return NULL;
    let_others(deed->worker);
    kh_status status = kh_txn_get(deed->txn, key_bytes(key, &space), &batch, NULL);
    if (status == KH_NOT_FOUND) return NULL;
    deed->status = status;
    return status == KH_OK ? batch : NULL;
}

static bool read_cell(struct deed *deed, uint32_t key, const kh_batch *batch, struct cell *out) {
    bool is_sound = value_read(batch, out);
    CHECK(deed->worker, is_sound, "key %u: a value cannot be read", key);
    return is_sound;
}

static kh_status get_by_many(struct deed *deed, kh_bytes key, kh_batch **out) {
    kh_bytes keys[2] = {key, key};
    kh_batch *batches[2] = {NULL, NULL};
    kh_status status = kh_txn_get_many(deed->txn, keys, 2, batches, NULL);
    if (status != KH_OK) return status;
    CHECK(deed->worker, batches[0] == batches[1], "one statement reads a key twice, differently");
    kh_batch_release(batches[1]);
    *out = batches[0];
    return batches[0] == NULL ? KH_NOT_FOUND : KH_OK;
}

bool deed_get(struct deed *deed, uint32_t key, struct cell *out) {
    struct key_text space;
    kh_bytes bytes = key_bytes(key, &space);
    const kh_batch *peeked = NULL;
    kh_batch *owned = NULL;
    *out = (struct cell){0, 0};
    if (deed->status != KH_OK) return false;
    let_others(deed->worker);
    int how = draw(&deed->worker->random, 4);
    kh_status status = how == 0   ? kh_txn_get(deed->txn, bytes, &owned, NULL)
                       : how == 1 ? get_by_many(deed, bytes, &owned)
                                  : kh_txn_peek(deed->txn, bytes, &peeked, NULL);
    bool is_there = status == KH_OK;
    if (is_there) is_there = read_cell(deed, key, owned != NULL ? owned : peeked, out);
    kh_batch_release(owned);
    if (status != KH_OK && status != KH_NOT_FOUND) {
        deed->status = status;
        return false;
    }
    check_snapshot(deed);
    check_own(deed, key, is_there, out);
    return is_there;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void note(struct deed *deed, struct staged staged) {
    if (deed->write_count == WRITES_MAX) abort();
    deed->writes[deed->write_count++] = staged;
}

void deed_note(struct deed *deed, uint32_t key, bool is_deleted) {
    if (deed->status == KH_OK) note(deed, (struct staged){key, is_deleted, false, 0, 0});
}

void deed_effect(struct deed *deed, _Atomic int64_t *counter, int64_t delta, uint32_t key) {
    if (deed->effect_count == EFFECTS_MAX) abort();
    deed->effects[deed->effect_count++] = (struct effect){counter, delta, key};
}

void deed_put_array(struct deed *deed, uint32_t key, struct ArrowArray *array) {
    struct key_text space;
    if (deed->status == KH_OK)
        deed->status =
            kh_txn_put_array(deed->txn, key_bytes(key, &space), deed->worker->world->number_schema,
                             array, KH_DEFAULT_POLICY, NULL);
    CHECK(deed->worker, (deed->status == KH_OK) == (array->release == NULL),
          "kh_txn_put_array answers %s, the array is %s", kh_status_name(deed->status),
          array->release == NULL ? "gone" : "still here");
    if (array->release != NULL) array->release(array);
}

void deed_put_batch(struct deed *deed, uint32_t key, const kh_batch *batch, kh_policy policy) {
    struct key_text space;
    if (deed->status != KH_OK) return;
    kh_bytes bytes = key_bytes(key, &space);
    deed->status = policy == KH_DEFAULT_POLICY
                       ? kh_txn_put(deed->txn, bytes, batch, NULL)
                       : kh_txn_put_with(deed->txn, bytes, batch, policy, NULL);
    deed_note(deed, key, false);
}

void deed_put(struct deed *deed, uint32_t key, int64_t n, int64_t v) {
    struct worker *worker = deed->worker;
    if (deed->status != KH_OK) return;
    let_others(worker);
    int how = draw(&worker->random, 3);
    if (how == 0) {
        struct ArrowArray array;
        value_array(&array, n, v, one_in(&worker->random, 16) ? 200 : 1);
        deed_put_array(deed, key, &array);
    } else {
        kh_batch *batch = value_make(worker->world, how == 1, n, v);
        struct key_text space;
        deed->status = kh_txn_put(deed->txn, key_bytes(key, &space), batch, NULL);
        kh_batch_release(batch);
    }
    if (deed->status == KH_OK) note(deed, (struct staged){key, false, true, n, v});
    if (deed->status == KH_OK && one_in(&worker->random, 8)) {
        struct cell cell;
        (void)deed_get(deed, key, &cell);
    }
}

void deed_delete(struct deed *deed, uint32_t key) {
    struct key_text space;
    if (deed->status != KH_OK) return;
    let_others(deed->worker);
    deed->status = kh_txn_delete(deed->txn, key_bytes(key, &space), NULL);
    deed_note(deed, key, true);
    if (deed->status == KH_OK && one_in(&deed->worker->random, 8)) {
        struct cell cell;
        (void)deed_get(deed, key, &cell);
    }
}

void deed_detour(struct deed *deed, uint32_t key) {
    struct worker *worker = deed->worker;
    uint32_t outer = 0;
    uint32_t inner = 0;
    if (deed->status != KH_OK) return;
    int write_count = deed->write_count;
    deed->status = kh_txn_savepoint(deed->txn, &outer, NULL);
    deed_put(deed, key, -1000000, 77);
    if (deed->status == KH_OK) deed->status = kh_txn_savepoint(deed->txn, &inner, NULL);
    if (one_in(&worker->random, 2)) {
        deed_delete(deed, key);
    } else {
        deed_put(deed, key, -2000000, 78);
    }
    if (deed->status == KH_OK && one_in(&worker->random, 2))
        deed->status = kh_txn_release_savepoint(deed->txn, inner, NULL);
    if (deed->status == KH_OK) deed->status = kh_txn_rollback_to(deed->txn, outer, NULL);
    deed->write_count = write_count;
}

/* ---- ending ---------------------------------------------------------------------------------- */

void deed_roll_back(struct deed *deed) {
    if (deed->txn == NULL) return;
    kh_status status = deed_ask_rollback(deed);
    CHECK(deed->worker, status == KH_OK || deed->status != KH_OK, "kh_txn_rollback answers %s",
          kh_status_name(status));
    if (deed->status == KH_OK) {
        deed->worker->tally.rolled_back++;
    } else {
        count_end(deed->worker, deed->status);
    }
    deed_close(deed);
}

static bool is_key(kh_bytes bytes, uint32_t key) {
    uint32_t parsed = 0;
    return key_parse(bytes, &parsed) && parsed == key;
}

/* Writes that a policy dropped did not happen. */
static void forget_dropped(struct deed *deed) {
    kh_resolved resolved;
    for (size_t i = 0; kh_txn_resolved(deed->txn, i, &resolved) == KH_OK; i++) {
        if (resolved.fate != KH_WRITE_DROPPED) continue;
        deed->worker->tally.dropped++;
        for (int w = deed->write_count; w-- > 0;) {
            if (is_key(resolved.key, deed->writes[w].key))
                deed->writes[w] = deed->writes[--deed->write_count];
        }
        for (int e = deed->effect_count; e-- > 0;) {
            if (is_key(resolved.key, deed->effects[e].key))
                deed->effects[e] = deed->effects[--deed->effect_count];
        }
    }
}

static void book(struct deed *deed, kh_timestamp at) {
    struct worker *worker = deed->worker;
    for (int i = 0; i < deed->write_count; i++) {
        const struct staged *write = &deed->writes[i];
        if (find_own(deed, write->key) != write) continue; /* written again later */
        writes_add(&worker->writes, at, write->key, write->is_deleted);
        if (write->is_number && write->key < key_of(GROUPS, 0)) {
            worker->pasts[worker->past_count++ % PAST_MAX] =
                (struct past){at, write->key, write->n, write->v};
        }
    }
    for (int i = 0; i < deed->effect_count; i++)
        atomic_fetch_add_explicit(deed->effects[i].counter, deed->effects[i].delta,
                                  memory_order_relaxed);
}

bool deed_settle(struct deed *deed, kh_status status, kh_timestamp at) {
    struct worker *worker = deed->worker;
    bool is_committed = status == KH_OK;
    count_end(worker, status);
    if (is_committed) {
        forget_dropped(deed);
        if (deed->write_count == 0) worker->tally.read_only++;
        book(deed, at);
        CHECK(worker, at <= kh_db_now(worker->world->db), "a commit is answered before it is seen");
    }
    deed_close(deed);
    return is_committed;
}

bool deed_commit(struct deed *deed, kh_timestamp *at) {
    kh_timestamp committed = 0;
    if (deed->txn == NULL) return false;
    if (deed->status != KH_OK) {
        deed_roll_back(deed);
        return false;
    }
    let_others(deed->worker);
    deed->status = deed_ask_commit(deed, &committed);
    if (at != NULL) *at = committed;
    return deed_settle(deed, deed->status, committed);
}

/* ---- later, and by halves -------------------------------------------------------------------- */

static void commit_later(struct deed *deed) {
    struct worker *worker = deed->worker;
    if (worker->pending_count == PENDING_MAX) deed_drain(worker);
    deed->status = kh_txn_commit_start(deed->txn, NULL);
    if (deed->status != KH_OK) {
        (void)deed_settle(deed, deed->status, 0);
        return;
    }
    worker->pending[worker->pending_count++] = *deed;
}

/* The handle is given back: from here on the transaction is known by its id alone. */
static void commit_by_halves(struct deed *deed) {
    struct world *world = deed->worker->world;
    deed->status = deed_ask_prepare(deed);
    if (deed->status != KH_OK) {
        (void)deed_settle(deed, deed->status, 0);
        return;
    }
    deed_close(deed);
    (void)pthread_mutex_lock(&world->mailbox_lock);
    bool is_full = world->mailbox_count == MAILBOX_MAX;
    if (!is_full) world->mailbox[world->mailbox_count++] = *deed;
    (void)pthread_mutex_unlock(&world->mailbox_lock);
    if (!is_full) return;
    kh_status status = kh_db_decide(world->db, deed->id, false, NULL, NULL);
    CHECK(deed->worker, status == KH_OK, "kh_db_decide answers %s", kh_status_name(status));
    deed->worker->tally.rolled_back++;
}

bool deed_decide_one(struct worker *worker) {
    struct world *world = worker->world;
    struct deed deed;
    kh_timestamp at = 0;
    (void)pthread_mutex_lock(&world->mailbox_lock);
    bool is_there = world->mailbox_count > 0;
    if (is_there) {
        int which = draw(&worker->random, world->mailbox_count);
        deed = world->mailbox[which];
        world->mailbox[which] = world->mailbox[--world->mailbox_count];
    }
    (void)pthread_mutex_unlock(&world->mailbox_lock);
    if (!is_there) return false;
    bool is_commit = !one_in(&worker->random, 3);
    deed.worker = worker;
    kh_status status = kh_db_decide(world->db, deed.id, is_commit, &at, NULL);
    CHECK(worker, status == KH_OK, "kh_db_decide answers %s", kh_status_name(status));
    if (status == KH_OK && is_commit) {
        worker->tally.ends[KH_OK]++;
        book(&deed, at);
    } else {
        worker->tally.rolled_back++;
    }
    return true;
}

/* Wait as a program with an event loop does. */
static void await_descriptor(struct worker *worker, kh_txn *txn) {
    struct pollfd wait_for = {.fd = kh_txn_descriptor(txn), .events = POLLIN};
    CHECK(worker, wait_for.fd >= 0, "a started commit has no descriptor");
    if (wait_for.fd >= 0) (void)poll(&wait_for, 1, 60000);
    CHECK(worker, kh_txn_poll(txn, NULL) != KH_PENDING, "a descriptor tells of nothing");
}

void deed_drain(struct worker *worker) {
    for (int i = 0; i < worker->pending_count; i++) {
        struct deed *deed = &worker->pending[i];
        kh_timestamp at = 0;
        if (one_in(&worker->random, 3)) await_descriptor(worker, deed->txn);
        kh_status status = kh_txn_poll(deed->txn, &at);
        if (status == KH_PENDING) status = kh_txn_wait(deed->txn, UINT32_MAX, &at);
        (void)deed_settle(deed, status, at);
    }
    worker->pending_count = 0;
}

void deed_end_somehow(struct deed *deed) {
    struct worker *worker = deed->worker;
    if (deed->txn == NULL) return;
    if (deed->status != KH_OK) {
        deed_roll_back(deed);
        return;
    }
    int how = draw(&worker->random, 20);
    if (how == 0) {
        deed_roll_back(deed);
    } else if (how < 4 && deed->workspace == NULL) {
        commit_later(deed);
    } else if (how < 6) {
        commit_by_halves(deed);
    } else {
        (void)deed_commit(deed, NULL);
    }
}
