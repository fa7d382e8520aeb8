/* locks_wait.c - see locks.h: waiting in queues.
 *
 * A call asks for all of its keys at once, as a try does; only when somebody is in the way it takes
 * them one after the other, in the order of their bytes, and waits where it must. So two calls of
 * many keys each do not wait for one another; calls of the same two transactions may, and that is
 * what the search for deadlocks is for.
 * Sleeping: the owner's word is set to 0 under the latch and the owner sleeps while it is 0;
 * whoever grants, dooms or interrupts sets it to 1 under the latch first. No wake-up can be lost.
 */
#include "txn/locks_steps.h"

#include "base/status.h"
#include <stdlib.h>
#include <string.h>

static int compare_requests(const void *a, const void *b) {
    const struct lock_request *x = a;
    const struct lock_request *y = b;
    size_t x_bytes = x->key.size_bytes;
    size_t y_bytes = y->key.size_bytes;
    int order = memcmp(x->key.data, y->key.data, x_bytes < y_bytes ? x_bytes : y_bytes);
    if (order != 0) return order;
    if (x_bytes != y_bytes) return x_bytes < y_bytes ? -1 : 1;
    /* Of one key named twice the stronger first, or it would be an upgrade. */
    return (int)y->mode - (int)x->mode;
}

static kh_status take_all(struct locks *table, struct lock_owner *owner, size_t count,
                          struct lock_blocker *blocker) {
    kh_status status = KH_OK;
    for (size_t i = 0; i < count && status == KH_OK; i++)
        status = locks_take(table, owner, &owner->requests[i], blocker);
    return status;
}

/* From its position on, as far as it goes. */
static kh_status advance(struct locks *table, struct lock_owner *owner, uint64_t now_ns) {
    while (owner->position < owner->request_count) {
        kh_status status = locks_take(table, owner, &owner->requests[owner->position], NULL);
        if (status == KH_OK) {
            owner->position++;
            continue;
        }
        if (status != KH_LOCK_CONFLICT) return status;
        status = locks_enqueue(table, owner);
        if (status != KH_OK) return status;
        locks_resolve(table, owner, now_ns);
        if (owner->state == OWNER_DOOMED) return owner->doom;
        if (owner->waits_for != NULL) return KH_PENDING;
    }
    return KH_OK;
}

/* Before the latch is left. */
static kh_status settle(struct locks *table, struct lock_owner *owner, kh_status status,
                        uint64_t now_ns) {
    if (status == KH_PENDING) atomic_store_explicit(&owner->word, 0, memory_order_relaxed);
    if (status == KH_NO_MEMORY || status == KH_LOCK_CONFLICT) locks_undo_call(table, owner);
    locks_note_expiry(table, owner, now_ns);
    return status;
}

kh_status locks_ask(struct locks *table, struct lock_owner *owner, struct lock_request *requests,
                    size_t count, uint64_t now_ns, struct lock_blocker *blocker) {
    locks_enter(table);
    if (owner->state == OWNER_SEALED) owner->state = OWNER_RUNNING;
    kh_status status = locks_begin_call(table, owner, now_ns);
    owner->requests = requests;
    if (status == KH_OK) status = take_all(table, owner, count, blocker);
    if (status == KH_LOCK_CONFLICT) {
        locks_undo_call(table, owner);
        if (count > 1) qsort(requests, count, sizeof *requests, compare_requests);
        owner->request_count = count;
        owner->position = 0;
        owner->since_ns = now_ns;
        status = advance(table, owner, now_ns);
        if (status == KH_PENDING) table->counts.waits++;
    }
    status = settle(table, owner, status, now_ns);
    locks_leave(table);
    return status;
}

/* The next time at which something can have happened that nobody wakes it for. */
static uint64_t next_look(const struct lock_owner *owner, uint64_t now_ns) {
    uint64_t next_ns = now_ns + LOCKS_LOOK_MS * 1000000u;
    const struct lock_hold *hold = owner->waits_for->holders;
    for (; hold != NULL; hold = hold->next) {
        const struct lock_owner *holder = hold->owner;
        bool can_expire = holder->state == OWNER_RUNNING && holder->expires_ns != 0;
        bool is_barred = locks_is_barred_by(owner, (kh_lock_mode)owner->waits_as, hold);
        if (can_expire && is_barred && holder->expires_ns < next_ns) next_ns = holder->expires_ns;
    }
    return next_ns;
}

/* Under the latch: what has become of a call that waited. */
static kh_status look(struct locks *table, struct lock_owner *owner, uint64_t now_ns) {
    if (owner->waits_for != NULL) locks_resolve(table, owner, now_ns);
    if (owner->state == OWNER_DOOMED) return owner->doom;
    if (owner->waits_for != NULL) return KH_PENDING;
    return advance(table, owner, now_ns);
}

static void note_wait(struct locks *table, const struct lock_owner *owner, uint64_t now_ns) {
    if (now_ns > owner->since_ns) table->counts.wait_ns += now_ns - owner->since_ns;
}

kh_status locks_look(struct locks *table, struct lock_owner *owner, uint64_t now_ns,
                     uint64_t *next_ns) {
    locks_enter(table);
    kh_status status = look(table, owner, now_ns);
    if (status == KH_PENDING) {
        *next_ns = next_look(owner, now_ns);
    } else {
        note_wait(table, owner, now_ns);
    }
    status = settle(table, owner, status, now_ns);
    locks_leave(table);
    return status;
}

kh_status locks_give_up(struct locks *table, struct lock_owner *owner, uint64_t now_ns,
                        struct lock_blocker *blocker) {
    locks_enter(table);
    kh_status status = look(table, owner, now_ns);
    if (status == KH_PENDING) {
        locks_name_blocker(owner, blocker);
        locks_dequeue(table, owner);
        table->counts.timeouts++;
        status = KH_LOCK_CONFLICT;
    }
    note_wait(table, owner, now_ns);
    status = settle(table, owner, status, now_ns);
    locks_leave(table);
    return status;
}

static void sleep_until(struct lock_owner *owner, uint64_t now_ns, uint64_t until_ns) {
    struct env_clock system = env_clock_system();
    uint64_t left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    (void)env_word_wait(&owner->word, 0, env_monotonic_ns(&system) + left_ns);
}

kh_status locks_wait(struct locks *table, struct lock_owner *owner, struct lock_request *requests,
                     size_t count, const struct env_clock *clock, uint64_t deadline_ns,
                     struct lock_blocker *blocker) {
    uint64_t now_ns = env_monotonic_ns(clock);
    kh_status status = locks_ask(table, owner, requests, count, now_ns, blocker);
    while (status == KH_PENDING) {
        uint64_t next_ns = 0;
        now_ns = env_monotonic_ns(clock);
        if (now_ns >= deadline_ns) return locks_give_up(table, owner, now_ns, blocker);
        status = locks_look(table, owner, now_ns, &next_ns);
        if (status == KH_PENDING)
            sleep_until(owner, now_ns, next_ns < deadline_ns ? next_ns : deadline_ns);
    }
    return status;
}

bool locks_interrupt(struct locks *table, struct lock_owner *owner, kh_txn_id id) {
    locks_enter(table);
    bool is_waiting =
        owner->waits_for != NULL && owner->id.low == id.low && owner->id.high == id.high;
    if (is_waiting) locks_doom(table, owner, KH_CANCELLED);
    locks_leave(table);
    return is_waiting;
}
