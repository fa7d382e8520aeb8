/* handles.c - who is in a handle, and who closes it: databases and their children. See core.h. */
#include "core.h"

#include <sched.h>

/* ---- calls on a database --------------------------------------------------------------------- */

bool database_enter(database_object *database) {
    if (is_forked(database)) {
        (void)raise_forked(database);
        return false;
    }
    int users = atomic_load(&database->users);
    while (users >= 0) {
        if (atomic_compare_exchange_weak(&database->users, &users, users + 1)) return true;
    }
    (void)raise_words(KH_FINISHED, "the database is closed");
    return false;
}

void database_leave(database_object *database) {
    atomic_fetch_sub(&database->users, 1);
}

/* ---- children -------------------------------------------------------------------------------- */

void child_attach(struct child *child, child_shut_fn *shut, child_shut_fn *cancel) {
    database_object *owner = child->owner;
    child->shut = shut;
    child->cancel = cancel;
    child->before = NULL;
    child->is_open = true;
    pthread_mutex_lock(&owner->lock);
    child->next = owner->first;
    if (child->next != NULL) child->next->before = child;
    owner->first = child;
    pthread_mutex_unlock(&owner->lock);
}

void child_close(struct child *child) {
    database_object *owner = child->owner;
    if (!child->is_open) return;
    pthread_mutex_lock(&owner->lock);
    child->is_open = false;
    if (child->next != NULL) child->next->before = child->before;
    if (child->before != NULL) {
        child->before->next = child->next;
    } else {
        owner->first = child->next;
    }
    child->next = child->before = NULL;
    pthread_mutex_unlock(&owner->lock);
    child->shut(child);
}

bool child_is_forked(const struct child *child) {
    return child->owner != NULL && is_forked(child->owner);
}

/* While it is in the list its handle is there. */
void child_cancel(struct child *child) {
    if (child_is_forked(child)) return;
    pthread_mutex_lock(&child->owner->lock);
    if (child->is_open) child->cancel(child);
    pthread_mutex_unlock(&child->owner->lock);
}

/* In `busy`, beside the thread: it only passes. Threads are addresses, which are even. */
#define PASSING 1ul

/* 0: it is held now; otherwise who holds it. */
static unsigned long take(struct child *child, unsigned long as) {
    unsigned long holder = 0;
    (void)atomic_compare_exchange_strong(&child->busy, &holder, as);
    return holder;
}

bool child_try(struct child *child) {
    return take(child, PyThread_get_thread_ident()) == 0;
}

bool child_pass(struct child *child) {
    return take(child, PyThread_get_thread_ident() | PASSING) == 0;
}

bool child_is_own(struct child *child) {
    return (atomic_load(&child->busy) & ~PASSING) == PyThread_get_thread_ident();
}

static void give_way(void) {
    Py_BEGIN_ALLOW_THREADS
    sched_yield();
    Py_END_ALLOW_THREADS
}

bool child_hold(struct child *child, const char *what) {
    if (child_is_forked(child)) {
        (void)raise_forked(child->owner);
        return false;
    }
    unsigned long self = PyThread_get_thread_ident();
    unsigned long holder;
    while (((holder = take(child, self)) & PASSING) != 0 && holder != (self | PASSING)) give_way();
    if (holder == 0) return true;
    bool is_own = (holder & ~PASSING) == self;
    char words[120];
    (void)PyOS_snprintf(words, sizeof words, "the %s is used by %s", what,
                        is_own ? "a call that this function is called from" : "another thread");
    (void)raise_words(KH_MISUSE, words);
    return false;
}

bool child_enter(struct child *child, const char *what) {
    if (!child_hold(child, what)) return false;
    if (child->is_open) return true;
    child_leave(child);
    char words[80];
    (void)PyOS_snprintf(words, sizeof words, "the %s is closed", what);
    (void)raise_words(KH_FINISHED, words);
    return false;
}

void child_leave(struct child *child) {
    atomic_store(&child->busy, 0);
}

void child_end(struct child *child) {
    if (child_is_forked(child)) return;
    while (!child_try(child)) give_way();
    if (child->owner != NULL) child_close(child);
}
