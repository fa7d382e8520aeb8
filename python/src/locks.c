/* locks.c - key locks of a transaction: Transaction.lock (khonsu/locks.h). */
#include "core.h"

#include <stdlib.h>

struct wish {
    struct keys keys;
    kh_lock *locks;
    kh_lock_options options;
};

static bool parse(PyObject *args, PyObject *kwargs, struct wish *wish, kh_lock_mode *mode) {
    static char *names[] = {"shared", "timeout", "wait", NULL};
    int is_shared = 0;
    int does_wait = 1;
    PyObject *timeout = Py_None;
    PyObject *nothing = PyTuple_New(0);
    bool is_parsed =
        nothing != NULL &&
        arguments_take(nothing, kwargs, "|$pOp:lock", names, &is_shared, &timeout, &does_wait) &&
        seconds_take(timeout, 0, &wish->options.timeout_ms);
    Py_XDECREF(nothing);
    if (!is_parsed) return false;
    if (PyTuple_Size(args) == 0) {
        PyErr_SetString(PyExc_TypeError, "lock(*keys) takes one key or more");
        return false;
    }
    bool is_at_once = timeout != Py_None && wish->options.timeout_ms == 0;
    if (!does_wait || is_at_once) wish->options.flags = KH_LOCK_TRY;
    *mode = is_shared ? KH_LOCK_SHARED : KH_LOCK_EXCLUSIVE;
    return true;
}

static void wish_drop(struct wish *wish) {
    free(wish->locks);
    keys_drop(&wish->keys);
}

static bool wish_take(PyObject *args, PyObject *kwargs, struct wish *wish) {
    kh_lock_mode mode;
    *wish = (struct wish){.options = KH_LOCK_OPTIONS_INIT};
    if (!parse(args, kwargs, wish, &mode) || !keys_take(args, &wish->keys)) return false;
    wish->locks = calloc(wish->keys.count, sizeof *wish->locks);
    if (wish->locks == NULL) {
        (void)PyErr_NoMemory();
        keys_drop(&wish->keys);
        return false;
    }
    for (size_t i = 0; i < wish->keys.count; i++)
        wish->locks[i] = (kh_lock){wish->keys.spans[i], mode};
    return true;
}

/* Who closes the database ends the wait (txn_end_wait). */
static kh_status lock(txn_object *txn, const struct wish *wish, kh_error *error) {
    kh_status status;
    atomic_store(&txn->waiting, kh_txn_get_id(txn->txn).low);
    Py_BEGIN_ALLOW_THREADS
    status = kh_txn_lock(txn->txn, wish->locks, wish->keys.count, &wish->options, error);
    Py_END_ALLOW_THREADS
    atomic_store(&txn->waiting, 0);
    return status;
}

PyObject *txn_lock(PyObject *self, PyObject *args, PyObject *kwargs) {
    txn_object *txn = (txn_object *)self;
    struct wish wish;
    PyObject *out = NULL;
    if (!wish_take(args, kwargs, &wish)) return NULL;
    if (txn_enter(txn)) {
        kh_error error = {""};
        kh_status status = lock(txn, &wish, &error);
        out = status == KH_OK ? Py_NewRef(Py_None) : raise_of_txn(status, &error, txn, NULL);
        txn_leave(txn);
    }
    wish_drop(&wish);
    return out;
}

void txn_end_wait(struct child *child) {
    txn_object *txn = (txn_object *)child;
    kh_txn_id id = {txn->id.high, atomic_load(&txn->waiting)};
    if (id.low != 0) (void)!kh_db_cancel(child->owner->db, id, NULL);
}
