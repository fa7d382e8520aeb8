/* locks.c - see locks.h: taking, granting and giving back. Waiting is in locks_wait.c, the search
 * for deadlocks in locks_graph.c. */
#include "txn/locks.h"

#include "base/status.h"
#include "txn/locks_steps.h"
#include <string.h>

void locks_init(struct locks *table, struct mem *mem, uint64_t timeout_ns, kh_lock_victim victim) {
    memset(table, 0, sizeof *table);
    table->mem = mem;
    table->timeout_ns = timeout_ns;
    table->victim = victim;
    table->buckets = table->few;
    table->bucket_mask = LOCKS_FEW - 1;
    latch_init(&table->latch, RANK_LOCKS);
}

void locks_fini(struct locks *table) {
    kh_assert(locks_is_empty(table));
    record_free_all(table);
    latch_fini(&table->latch);
}

void locks_enroll(struct lock_owner *owner, kh_txn_id id, uint64_t begun, int32_t priority) {
    owner->id = id;
    owner->begun = begun;
    owner->priority = priority;
    owner->cycle_length = 0;
}

/* ---- the latch, and who is to be woken ------------------------------------------------------- */

void locks_enter(struct locks *table) {
    latch_take(&table->latch);
}

__attribute__((noinline)) static void leave_and_wake(struct locks *table) {
    _Atomic uint32_t *words[LOCKS_WAKES];
    uint32_t count = table->wake_count;
    memcpy(words, table->wakes, count * sizeof *words);
    table->wake_count = 0;
    latch_leave(&table->latch);
    for (uint32_t i = 0; i < count; i++) env_word_wake(words[i]);
}

void locks_leave(struct locks *table) {
    if (KH_UNLIKELY(table->wake_count > 0)) {
        leave_and_wake(table);
    } else {
        latch_leave(&table->latch);
    }
}

static void wake(struct locks *table, struct lock_owner *owner) {
    atomic_store_explicit(&owner->word, 1, memory_order_release);
    if (table->wake_count < LOCKS_WAKES) {
        table->wakes[table->wake_count++] = &owner->word;
    } else {
        env_word_wake(&owner->word);
    }
}

/* ---- owners ---------------------------------------------------------------------------------- */

static bool has_expired(const struct lock_owner *owner, uint64_t now_ns) {
    return owner->state == OWNER_RUNNING && owner->expires_ns != 0 && now_ns >= owner->expires_ns;
}

kh_status locks_begin_call(struct locks *table, struct lock_owner *owner, uint64_t now_ns) {
    kh_assert(owner->waits_for == NULL);
    if (KH_UNLIKELY(has_expired(owner, now_ns))) {
        table->counts.expirations++;
        locks_doom(table, owner, KH_EXPIRED);
    }
    if (KH_UNLIKELY(owner->state == OWNER_DOOMED)) return owner->doom;
    owner->call++;
    if (owner->serial == 0) owner->serial = ++table->serial;
    return KH_OK;
}

void locks_note_expiry(const struct locks *table, struct lock_owner *owner, uint64_t now_ns) {
    if (owner->hold_count == 0) {
        owner->expires_ns = 0;
    } else if (owner->expires_ns == 0 && table->timeout_ns != 0) {
        owner->expires_ns = now_ns + table->timeout_ns;
    }
}

/* ---- granting -------------------------------------------------------------------------------- */

static void make_exclusive(struct locks *table, struct lock_hold *hold) {
    hold->mode = KH_LOCK_EXCLUSIVE;
    if (hold->call == hold->owner->call) return; /* the call that took it shared */
    hold->call = hold->owner->call;
    hold->mode_before = KH_LOCK_SHARED;
    table->counts.upgrades++;
}

static void unlink_waiter(struct locks *table, struct lock_owner *owner) {
    struct lock_record *record = owner->waits_for;
    struct lock_owner **front = owner->before != NULL ? &owner->before->behind : NULL;
    struct lock_owner **back = owner->behind != NULL ? &owner->behind->before : NULL;
    *(front != NULL ? front : &record->first_waiter) = owner->behind;
    *(back != NULL ? back : &record->last_waiter) = owner->before;
    owner->before = owner->behind = NULL;
    owner->waits_for = NULL;
    record->waiter_count--;
    table->counts.waiting--;
}

static void return_spare(struct locks *table, struct lock_owner *owner) {
    if (owner->spare != NULL) record_put_node(table, owner->spare);
    owner->spare = NULL;
}

static bool can_be_served(const struct lock_record *record, const struct lock_owner *owner) {
    if (owner->is_upgrade) return record_is_lone_hold(record);
    return record_admits(record, (kh_lock_mode)owner->waits_as);
}

/* From the front of the queue, as far as it goes. */
static void serve(struct locks *table, struct lock_record *record) {
    while (record->first_waiter != NULL && can_be_served(record, record->first_waiter)) {
        struct lock_owner *owner = record->first_waiter;
        unlink_waiter(table, owner);
        if (owner->is_upgrade) {
            make_exclusive(table, record->holders);
            return_spare(table, owner);
        } else {
            record_add_hold(table, record, owner, (kh_lock_mode)owner->waits_as, owner->spare);
            owner->spare = NULL;
        }
        owner->position++;
        wake(table, owner);
    }
}

static void release(struct locks *table, struct lock_hold *hold) {
    struct lock_record *record = hold->record;
    record_remove_hold(table, hold);
    if (KH_UNLIKELY(record->first_waiter != NULL)) serve(table, record);
    record_drop_unused(table, record);
}

/* The list is cut off first: who is served may look at nothing of it. */
static void release_all(struct locks *table, struct lock_owner *owner) {
    struct lock_hold *hold = owner->holds;
    owner->holds = NULL;
    while (hold != NULL) {
        struct lock_hold *next = hold->next_of_owner;
        release(table, hold);
        hold = next;
    }
}

/* ---- taking ---------------------------------------------------------------------------------- */

static void name_one(struct lock_blocker *blocker, const struct lock_owner *holder, kh_bytes key) {
    if (blocker != NULL) *blocker = (struct lock_blocker){holder->id, key};
}

/* The first that holds it in a way that bars the mode, else who is before it in the queue. */
static const struct lock_owner *find_bar(const struct lock_record *record,
                                         const struct lock_owner *owner, kh_lock_mode mode) {
    for (const struct lock_hold *hold = record->holders; hold != NULL; hold = hold->next)
        if (locks_is_barred_by(owner, mode, hold)) return hold->owner;
    return owner->waits_for == record ? owner->before : record->last_waiter;
}

static kh_status take_more(struct locks *table, struct lock_record *record,
                           struct lock_owner *owner, const struct lock_request *request,
                           struct lock_blocker *blocker) {
    struct lock_hold *own = record_hold_of(record, owner);
    if (own != NULL && own->mode >= request->mode) return KH_OK;
    if (own != NULL && record_is_lone_hold(record)) {
        make_exclusive(table, own);
        return KH_OK;
    }
    bool is_free = own == NULL && record->first_waiter == NULL;
    if (!is_free || !record_admits(record, request->mode)) {
        name_one(blocker, find_bar(record, owner, request->mode), request->key);
        return KH_LOCK_CONFLICT;
    }
    union lock_node *node = record_take_node(table);
    if (node == NULL) return KH_NO_MEMORY;
    record_add_hold(table, record, owner, request->mode, node);
    return KH_OK;
}

kh_status locks_take(struct locks *table, struct lock_owner *owner,
                     const struct lock_request *request, struct lock_blocker *blocker) {
    struct lock_record *record = record_find(table, request->key, request->hash);
    if (KH_UNLIKELY(record != NULL)) return take_more(table, record, owner, request, blocker);
    union lock_node *node = record_take_node(table);
    if (KH_UNLIKELY(node == NULL)) return KH_NO_MEMORY;
    record = record_make(table, request->key, request->hash);
    if (KH_UNLIKELY(record == NULL)) {
        record_put_node(table, node);
        return KH_NO_MEMORY;
    }
    record_add_hold(table, record, owner, request->mode, node);
    return KH_OK;
}

/* An upgrade becomes what it was, and others may come in again. */
static void undo_upgrade(struct locks *table, struct lock_hold *hold) {
    hold->mode = hold->mode_before;
    table->counts.upgrades--;
    serve(table, hold->record);
}

void locks_undo_call(struct locks *table, struct lock_owner *owner) {
    struct lock_hold **link = &owner->holds;
    while (*link != NULL) {
        struct lock_hold *hold = *link;
        if (hold->call != owner->call) {
            link = &hold->next_of_owner;
        } else if (hold->mode_before != 0) {
            undo_upgrade(table, hold);
            hold->call = 0;
            link = &hold->next_of_owner;
        } else {
            *link = hold->next_of_owner;
            table->counts.grants--;
            release(table, hold);
        }
    }
}

kh_status locks_try(struct locks *table, struct lock_owner *owner,
                    const struct lock_request *requests, size_t count, uint64_t now_ns,
                    struct lock_blocker *blocker) {
    locks_enter(table);
    kh_status status = locks_begin_call(table, owner, now_ns);
    for (size_t i = 0; i < count && status == KH_OK; i++) {
        status = locks_take(table, owner, &requests[i], blocker);
        if (KH_UNLIKELY(status == KH_LOCK_CONFLICT) &&
            locks_doom_expired(table, &requests[i], owner, now_ns))
            status = locks_take(table, owner, &requests[i], blocker);
    }
    if (KH_UNLIKELY(status != KH_OK && owner->state != OWNER_DOOMED)) locks_undo_call(table, owner);
    locks_note_expiry(table, owner, now_ns);
    locks_leave(table);
    return status;
}

/* ---- queues ---------------------------------------------------------------------------------- */

/* Behind all, or, to upgrade, behind those who do so too. */
static void link_waiter(struct lock_record *record, struct lock_owner *owner) {
    struct lock_owner *before = record->last_waiter;
    if (owner->is_upgrade)
        while (before != NULL && !before->is_upgrade) before = before->before;
    struct lock_owner *behind = before != NULL ? before->behind : record->first_waiter;
    owner->before = before;
    owner->behind = behind;
    *(before != NULL ? &before->behind : &record->first_waiter) = owner;
    *(behind != NULL ? &behind->before : &record->last_waiter) = owner;
}

kh_status locks_enqueue(struct locks *table, struct lock_owner *owner) {
    const struct lock_request *request = &owner->requests[owner->position];
    struct lock_record *record = record_find(table, request->key, request->hash);
    kh_assert(record != NULL && owner->waits_for == NULL);
    owner->is_upgrade = record_hold_of(record, owner) != NULL;
    owner->spare = owner->is_upgrade ? NULL : record_take_node(table);
    if (!owner->is_upgrade && owner->spare == NULL) return KH_NO_MEMORY;
    owner->waits_as = (uint8_t)request->mode;
    link_waiter(record, owner);
    owner->waits_for = record;
    if (++record->waiter_count > table->counts.queue_longest)
        table->counts.queue_longest = record->waiter_count;
    table->counts.waiting++;
    return KH_OK;
}

void locks_dequeue(struct locks *table, struct lock_owner *owner) {
    struct lock_record *record = owner->waits_for;
    unlink_waiter(table, owner);
    return_spare(table, owner); /* before the record: the last one takes free nodes with it */
    serve(table, record);
    record_drop_unused(table, record);
}

void locks_name_blocker(const struct lock_owner *owner, struct lock_blocker *blocker) {
    const struct lock_request *request = &owner->requests[owner->position];
    name_one(blocker, find_bar(owner->waits_for, owner, request->mode), request->key);
}

/* ---- ends ------------------------------------------------------------------------------------ */

void locks_doom(struct locks *table, struct lock_owner *owner, kh_status status) {
    kh_assert(owner->state == OWNER_RUNNING);
    owner->state = OWNER_DOOMED;
    owner->doom = status;
    if (owner->waits_for != NULL) {
        locks_dequeue(table, owner);
        wake(table, owner);
    }
    release_all(table, owner);
}

kh_status locks_seal(struct locks *table, struct lock_owner *owner, uint64_t now_ns) {
    locks_enter(table);
    kh_status status = owner->state == OWNER_SEALED ? KH_OK : KH_PENDING;
    if (status == KH_PENDING) status = locks_begin_call(table, owner, now_ns);
    if (status == KH_OK) owner->state = OWNER_SEALED;
    locks_leave(table);
    return status;
}

kh_status locks_join(struct locks *table, struct lock_owner *owner,
                     const struct lock_owner *company, uint64_t now_ns) {
    locks_enter(table);
    kh_status status = locks_begin_call(table, owner, now_ns);
    if (status == KH_OK) {
        owner->state = OWNER_SEALED;
        owner->company = company;
    }
    locks_leave(table);
    return status;
}

void locks_part(struct locks *table, struct lock_owner *owner) {
    locks_enter(table);
    if (owner->state == OWNER_SEALED) owner->state = OWNER_RUNNING;
    owner->company = NULL;
    locks_leave(table);
}

void locks_end(struct locks *table, struct lock_owner *owner) {
    locks_enter(table);
    kh_assert(owner->waits_for == NULL);
    release_all(table, owner);
    owner->state = OWNER_RUNNING;
    owner->serial = owner->expires_ns = 0;
    owner->company = NULL;
    locks_leave(table);
}

/* ---- questions ------------------------------------------------------------------------------- */

bool locks_find_blocker(struct locks *table, kh_bytes key, uint64_t hash,
                        const struct lock_owner *owner, uint64_t now_ns,
                        struct lock_blocker *blocker) {
    bool is_found = false;
    struct lock_request request = {key, hash, KH_LOCK_EXCLUSIVE};
    locks_enter(table);
    (void)locks_doom_expired(table, &request, owner, now_ns);
    const struct lock_record *record = record_find(table, key, hash);
    const struct lock_hold *hold = record == NULL ? NULL : record->holders;
    for (; hold != NULL && !is_found; hold = hold->next) {
        is_found = hold->owner != owner && (owner == NULL || hold->owner->company != owner);
        if (is_found) name_one(blocker, hold->owner, key);
    }
    locks_leave(table);
    return is_found;
}

void locks_count(struct locks *table, struct lock_counts *out) {
    locks_enter(table);
    *out = table->counts;
    locks_leave(table);
}
