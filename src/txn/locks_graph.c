/* locks_graph.c - see locks.h: who waits for whom, and what is done about circles.
 *
 * The graph is not kept: it is read off the queues. A waiter waits for
 *   - the holders that bar it, and
 *   - those before it in the queue that bar it, back to the nearest that wants the key alone (who
 *     in turn waits for those before): a queue is served in order, so they are really in its way.
 * Only who blocks can close a circle (a grant gives edges to one that runs), so the search starts
 * there, breadth first: it finds a shortest circle, and fewest have to go. Each waiter is marked
 * once: waiters plus edges, and no memory but links in the owners.
 * Ending one circle may leave another, so it is searched for until there is none. */
#include "txn/locks_steps.h"

/* One search. The list of waiters found and not looked at yet goes by their links. */
struct search {
    uint64_t mark;
    struct lock_owner *start;
    struct lock_owner *last;
    bool is_closed; /* somebody waits for the start */
};

static void reach(struct search *search, struct lock_owner *from, struct lock_owner *to) {
    if (to->mark == search->mark) return;
    to->mark = search->mark;
    to->parent = from;
    if (to == search->start) {
        search->is_closed = true;
    } else if (to->waits_for != NULL) {
        to->link = NULL;
        search->last->link = to;
        search->last = to;
    }
}

static void expand(struct search *search, struct lock_owner *waiter) {
    struct lock_hold *hold = waiter->waits_for->holders;
    for (; hold != NULL && !search->is_closed; hold = hold->next)
        if (locks_is_barred_by(waiter, (kh_lock_mode)waiter->waits_as, hold))
            reach(search, waiter, hold->owner);
    struct lock_owner *before = waiter->before;
    for (; before != NULL && !search->is_closed; before = before->before) {
        bool is_exclusive = before->waits_as == KH_LOCK_EXCLUSIVE;
        if (is_exclusive || waiter->waits_as == KH_LOCK_EXCLUSIVE) reach(search, waiter, before);
        if (is_exclusive) break;
    }
}

/* The circle that start is part of, if there is one, by the members' links: each waits for the
 * next. */
static bool find_circle(struct locks *table, struct lock_owner *start) {
    struct search search = {++table->mark, start, start, false};
    start->link = NULL;
    for (struct lock_owner *waiter = start; waiter != NULL; waiter = waiter->link) {
        expand(&search, waiter);
        if (!search.is_closed) continue;
        struct lock_owner *member = start;
        do {
            member->parent->link = member;
            member = member->parent;
        } while (member != start);
        return true;
    }
    return false;
}

/* ---- victims --------------------------------------------------------------------------------- */

static bool is_younger(const struct lock_owner *a, const struct lock_owner *b) {
    return a->begun != b->begun ? a->begun > b->begun : a->serial > b->serial;
}

/* Rather a than b? What the policy leaves open goes by age: the youngest has done the least. */
static bool is_preferred(kh_lock_victim policy, const struct lock_owner *a,
                         const struct lock_owner *b) {
    switch (policy) {
    case KH_VICTIM_OLDEST:
        return is_younger(b, a);
    case KH_VICTIM_LOWEST_PRIORITY:
        if (a->priority != b->priority) return a->priority < b->priority;
        break;
    case KH_VICTIM_MOST_LOCKS:
        if (a->hold_count != b->hold_count) return a->hold_count > b->hold_count;
        break;
    default:
        break;
    }
    return is_younger(a, b);
}

static struct lock_owner *choose_victim(const struct locks *table, struct lock_owner *start) {
    struct lock_owner *victim = start;
    for (struct lock_owner *member = start->link; member != start; member = member->link)
        if (is_preferred(table->victim, member, victim)) victim = member;
    return victim;
}

static void describe_circle(struct lock_owner *victim) {
    const struct lock_owner *member = victim;
    victim->cycle_length = 0;
    do {
        if (victim->cycle_length < LOCKS_CYCLE_IDS)
            victim->cycle[victim->cycle_length] = member->id;
        victim->cycle_length++;
        member = member->link;
    } while (member != victim);
}

/* ---- what is in a waiter's way --------------------------------------------------------------- */

static bool doom_one_expired(struct locks *table, const struct lock_record *record,
                             const struct lock_owner *owner, kh_lock_mode mode, uint64_t now_ns) {
    for (struct lock_hold *hold = record->holders; hold != NULL; hold = hold->next) {
        struct lock_owner *holder = hold->owner;
        if (!locks_is_barred_by(owner, mode, hold) || holder->state != OWNER_RUNNING) continue;
        if (holder->expires_ns == 0 || now_ns < holder->expires_ns) continue;
        table->counts.expirations++;
        locks_doom(table, holder, KH_EXPIRED);
        return true;
    }
    return false;
}

/* Looked up again after each: with its locks the record may have gone. */
bool locks_doom_expired(struct locks *table, const struct lock_request *request,
                        const struct lock_owner *owner, uint64_t now_ns) {
    bool has_doomed = false;
    for (;;) {
        const struct lock_record *record = record_find(table, request->key, request->hash);
        if (record == NULL || !doom_one_expired(table, record, owner, request->mode, now_ns))
            return has_doomed;
        has_doomed = true;
    }
}

void locks_resolve(struct locks *table, struct lock_owner *owner, uint64_t now_ns) {
    while (owner->waits_for != NULL) {
        if (locks_doom_expired(table, &owner->requests[owner->position], owner, now_ns)) continue;
        if (!find_circle(table, owner)) return;
        struct lock_owner *victim = choose_victim(table, owner);
        describe_circle(victim);
        table->counts.deadlocks++;
        table->counts.victims++;
        locks_doom(table, victim, KH_DEADLOCK);
    }
}
