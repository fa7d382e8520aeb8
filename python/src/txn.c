/* txn.c - khonsu._core.Transaction: begin and end. Reads: txn_read.c, writes: txn_write.c. */
#include "core.h"
#include "examples.h"

#include <stdlib.h>
#include <string.h>

static txn_object *of(PyObject *self) {
    return (txn_object *)self;
}

bool txn_enter(txn_object *txn) {
    return child_enter(&txn->child, "transaction");
}

void txn_leave(txn_object *txn) {
    child_leave(&txn->child);
}

bool txn_hold_database(txn_object *txn) {
    if (txn->is_begun) return database_enter(txn->child.owner);
    (void)raise_words(KH_FINISHED, "the transaction has not begun");
    return false;
}

static void shut(struct child *child) {
    txn_object *txn = (txn_object *)child;
    kh_txn *handle = txn->txn;
    txn_close_scans(txn);
    if (txn->workspace != NULL) {
        workspace_shut(txn);
        return;
    }
    txn->txn = NULL;
    Py_BEGIN_ALLOW_THREADS
    kh_txn_close(handle);
    Py_END_ALLOW_THREADS
}

/* ---- the resolve function -------------------------------------------------------------------- */

static PyObject *ask(txn_object *txn, kh_bytes key, const kh_batch *base, const kh_batch *mine,
                     const kh_batch *theirs) {
    PyObject *arguments[4] = {key_give(key), batch_or_none(base), batch_or_none(mine),
                              batch_or_none(theirs)};
    PyObject *answer = NULL;
    if (arguments[0] != NULL && arguments[1] != NULL && arguments[2] != NULL &&
        arguments[3] != NULL)
        answer = PyObject_CallFunctionObjArgs(txn->resolve, arguments[0], arguments[1],
                                              arguments[2], arguments[3], NULL);
    for (int i = 0; i < 4; i++) Py_XDECREF(arguments[i]);
    return answer;
}

static kh_resolution take_answer(PyObject *answer, kh_batch **out) {
    *out = NULL;
    if (answer == core.conflict) return KH_RESOLVE_CONFLICT;
    if (answer == core.drop) return KH_RESOLVE_DROP;
    if (answer == Py_None) return KH_RESOLVE_WRITE;
    *out = rows_take(NULL, answer);
    return *out == NULL ? KH_RESOLVE_CONFLICT : KH_RESOLVE_WRITE;
}

/* The function has forked: the child must not go on to write into the files of its parent. */
static void refuse_forked(txn_object *txn, kh_resolution *resolution, kh_batch **out) {
    kh_batch_release(*out);
    *out = NULL;
    *resolution = KH_RESOLVE_CONFLICT;
    if (!PyErr_Occurred()) (void)raise_forked(txn->child.owner);
}

/* On the committing thread, which has given the interpreter lock away. What it raises is raised
 * again by the commit. */
kh_resolution txn_resolve(void *context, kh_bytes key, const kh_batch *base, const kh_batch *mine,
                          const kh_batch *theirs, kh_batch **out) {
    txn_object *txn = context;
    kh_resolution resolution = KH_RESOLVE_CONFLICT;
    PyGILState_STATE state = PyGILState_Ensure();
    *out = NULL;
    PyObject *answer = ask(txn, key, base, mine, theirs);
    if (answer != NULL) resolution = take_answer(answer, out);
    Py_XDECREF(answer);
    if (child_is_forked(&txn->child)) refuse_forked(txn, &resolution, out);
    if (PyErr_Occurred()) {
        for (int i = 0; i < 3; i++) Py_CLEAR(txn->raised[i]);
        PyErr_Fetch(&txn->raised[0], &txn->raised[1], &txn->raised[2]);
    }
    PyGILState_Release(state);
    return resolution;
}

/* ---- begin ----------------------------------------------------------------------------------- */

static bool parse(PyObject *args, PyObject *kwargs, PyObject **database,
                  struct begin_given *given) {
    static char *names[] = {"db",      "isolation", "policy",    "read_only", "deferrable",
                            "timeout", "tag",       "id_column", "sync",      "at",
                            "resolve", "lock_wait", "priority",  NULL};
    *given = (struct begin_given)BEGIN_GIVEN_INIT;
    return arguments_take(args, kwargs, "O!|$zzppOzOzOOOi:Transaction", names, core.database_type,
                          database, &given->isolation, &given->policy, &given->is_read_only,
                          &given->is_deferrable, &given->timeout, &given->tag, &given->id_column,
                          &given->sync, &given->at, &given->resolve, &given->lock_wait,
                          &given->priority);
}

bool txn_fill(txn_object *txn, const struct begin_given *given, kh_txn_options *options) {
    database_object *owner = txn->child.owner;
    PyObject *resolve = given->resolve == Py_None ? owner->resolve : given->resolve;
    if (!isolation_take(given->isolation, &options->isolation) ||
        !policy_take(given->policy, &options->policy) || !sync_take(given->sync, &options->sync) ||
        !seconds_take(given->timeout, 0, &options->timeout_ms) ||
        !lock_wait_take(given->lock_wait, &options->lock_wait))
        return false;
    options->priority = given->priority;
    if (given->is_read_only) options->flags |= KH_BEGIN_READ_ONLY;
    if (given->is_deferrable) options->flags |= KH_BEGIN_READ_ONLY | KH_BEGIN_DEFERRABLE;
    options->tag = given->tag;
    txn->id_column = Py_XNewRef(given->id_column == Py_None ? owner->id_column : given->id_column);
    if (given->id_column != Py_None) {
        options->id_column = text_take(given->id_column);
        if (options->id_column == NULL) return false;
    }
    if (resolve == NULL) return true;
    if (!PyCallable_Check(resolve)) {
        PyErr_SetString(PyExc_TypeError, "resolve is a function of key, base, mine, theirs");
        return false;
    }
    txn->resolve = Py_NewRef(resolve);
    options->resolve = txn_resolve;
    options->resolve_context = txn;
    return true;
}

/* A begin waits only when it is deferrable. */
static kh_status begin(txn_object *txn, const struct begin_given *given,
                       const kh_txn_options *options, kh_error *error) {
    kh_db *db = txn->child.owner->db;
    kh_status status;
    if (given->at != Py_None) {
        kh_timestamp at;
        if (!uint64_take(given->at, &at)) return KH_INVALID;
        return kh_txn_begin_at(db, at, &txn->txn, error);
    }
    if (!given->is_deferrable) return kh_txn_begin(db, options, &txn->txn, error);
    Py_BEGIN_ALLOW_THREADS
    status = kh_txn_begin(db, options, &txn->txn, error);
    Py_END_ALLOW_THREADS
    return status;
}

static bool start(txn_object *txn, const void *context) {
    const struct begin_given *given = context;
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    kh_error error = {""};
    if (!txn_fill(txn, given, &options)) return false;
    kh_status status = begin(txn, given, &options, &error);
    if (PyErr_Occurred()) return false;
    if (status != KH_OK) {
        (void)raise_status(status, &error);
        return false;
    }
    txn->id = kh_txn_get_id(txn->txn);
    return true;
}

/* With the transaction held: a begin may wait, and others may see the object. */
static bool begin_held(txn_object *txn, PyObject *object, txn_start_fn *start, const void *given) {
    if (txn->child.owner != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "a transaction begins once");
        return false;
    }
    database_object *database = (database_object *)object;
    if (!database_enter(database)) return false;
    txn->child.owner = (database_object *)Py_NewRef(object);
    bool is_begun = start(txn, given);
    if (is_begun) {
        txn->is_durable = database->path != NULL;
        child_attach(&txn->child, shut, txn_end_wait);
        txn->is_begun = true;
    }
    database_leave(database);
    return is_begun;
}

int txn_begin_as(txn_object *txn, PyObject *database, txn_start_fn *start, const void *given) {
    if (!child_hold(&txn->child, "transaction")) return -1;
    bool is_begun = begin_held(txn, database, start, given);
    txn_leave(txn);
    return is_begun ? 0 : -1;
}

static int txn_init(PyObject *self, PyObject *args, PyObject *kwargs) {
    PyObject *database;
    struct begin_given given;
    if (!parse(args, kwargs, &database, &given)) return -1;
    return txn_begin_as(of(self), database, start, &given);
}

/* ---- end ------------------------------------------------------------------------------------- */

static int txn_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(of(self)->child.owner);
    Py_VISIT(of(self)->resolve);
    Py_VISIT(of(self)->resolved);
    Py_VISIT(of(self)->embed);
    for (int i = 0; i < 3; i++) Py_VISIT(of(self)->raised[i]);
    return 0;
}

/* The owner stays until dealloc: the handle needs it. */
static int txn_clear(PyObject *self) {
    Py_CLEAR(of(self)->resolve);
    Py_CLEAR(of(self)->resolved);
    Py_CLEAR(of(self)->embed);
    for (int i = 0; i < 3; i++) Py_CLEAR(of(self)->raised[i]);
    return 0;
}

static void txn_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    txn_object *txn = of(self);
    PyObject_GC_UnTrack(self);
    child_end(&txn->child);
    (void)txn_clear(self);
    free(txn->marks.serials);
    kh_delta_release(txn->end.delta);
    Py_XDECREF(txn->id_column);
    Py_XDECREF((PyObject *)txn->child.owner);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* A transaction that has not ended although its commit was refused goes on. */
static bool goes_on(const txn_object *txn, kh_status status) {
    if (txn->workspace != NULL) return workspace_goes_on(txn);
    return status == KH_IN_USE || status == KH_MISUSE;
}

static PyObject *resolved_give(const kh_resolved *resolved) {
    const char *policy = policy_name(resolved->policy);
    PyObject *key = key_give(resolved->key);
    if (key == NULL) return NULL;
    return Py_BuildValue("(NszK)", key, resolved->fate == KH_WRITE_DROPPED ? "dropped" : "resolved",
                         policy, (unsigned long long)resolved->rival);
}

/* Kept, for the handle may be given back before anybody asks. Mostly there is nothing. */
bool txn_keep_resolved(txn_object *txn) {
    kh_resolved resolved;
    if (txn->resolved != NULL) return true; /* a poll after a wait */
    for (size_t i = 0; kh_txn_resolved(txn->txn, i, &resolved) == KH_OK; i++) {
        if (txn->resolved == NULL) txn->resolved = PyList_New(0);
        PyObject *row = txn->resolved == NULL ? NULL : resolved_give(&resolved);
        int code = row == NULL ? -1 : PyList_Append(txn->resolved, row);
        Py_XDECREF(row);
        if (code < 0) return false;
    }
    return true;
}

void txn_settle(txn_object *txn, kh_status status, kh_timestamp timestamp) {
    if (status == KH_OK) txn->timestamp = timestamp;
    txn->is_started = false;
    if (!goes_on(txn, status)) txn->is_ended = true;
}

static PyObject *finish(txn_object *txn, kh_status status, kh_timestamp timestamp,
                        const kh_error *error) {
    txn_settle(txn, status, timestamp);
    PyObject *out = NULL;
    if (status != KH_OK) {
        out = raise_of_txn(status, error, txn, NULL);
    } else if (txn_keep_resolved(txn)) {
        out = PyLong_FromUnsignedLongLong(timestamp);
    }
    txn_leave(txn);
    return out;
}

static PyObject *txn_commit(PyObject *self, PyObject *unused) {
    txn_object *txn = of(self);
    kh_timestamp timestamp = 0;
    kh_error error = {""};
    kh_status status;
    (void)unused;
    if (!workspace_bring(txn) || !txn_enter(txn)) return NULL;
    txn_close_scans(txn);
    Py_BEGIN_ALLOW_THREADS
    status = txn->workspace == NULL ? kh_txn_commit(txn->txn, &timestamp, &error)
                                    : kh_workspace_commit(txn->workspace, &timestamp, &error);
    Py_END_ALLOW_THREADS
    return finish(txn, status, timestamp, &error);
}

static PyObject *txn_prepare(PyObject *self, PyObject *unused) {
    txn_object *txn = of(self);
    kh_error error = {""};
    kh_status status;
    (void)unused;
    if (!workspace_bring(txn) || !txn_enter(txn)) return NULL;
    txn_close_scans(txn);
    Py_BEGIN_ALLOW_THREADS
    status = txn->workspace == NULL ? kh_txn_prepare(txn->txn, &error)
                                    : kh_workspace_prepare(txn->workspace, &error);
    Py_END_ALLOW_THREADS
    if (status != KH_OK) return finish(txn, status, 0, &error);
    txn_leave(txn);
    Py_RETURN_NONE;
}

static PyObject *txn_commit_start(PyObject *self, PyObject *unused) {
    txn_object *txn = of(self);
    kh_error error = {""};
    kh_status status;
    (void)unused;
    if (!txn_enter(txn)) return NULL;
    if (txn->workspace != NULL) {
        txn_leave(txn);
        return raise_words(KH_UNSUPPORTED, "a workspace is committed by commit(), or in two steps");
    }
    txn_close_scans(txn);
    Py_BEGIN_ALLOW_THREADS
    status = kh_txn_commit_start(txn->txn, &error);
    Py_END_ALLOW_THREADS
    if (status != KH_OK) return finish(txn, status, 0, &error);
    txn->is_started = true;
    txn_leave(txn);
    Py_RETURN_NONE;
}

static PyObject *still_pending(txn_object *txn) {
    txn_leave(txn);
    Py_RETURN_NONE;
}

/* The library's answer to who asks for a commit that was not started. The transaction is as it was.
 */
static PyObject *not_started(txn_object *txn) {
    PyObject *out =
        txn->is_ended ? raise_words(KH_FINISHED, "the transaction is already committed or rolled "
                                                 "back: there is no commit to wait for")
                      : raise_words(KH_MISUSE, "no commit is under way: call commit_start() first");
    txn_leave(txn);
    return out;
}

static PyObject *txn_poll(PyObject *self, PyObject *unused) {
    txn_object *txn = of(self);
    kh_timestamp timestamp = 0;
    (void)unused;
    if (!txn_enter(txn)) return NULL;
    kh_status status = kh_txn_poll(txn->txn, &timestamp);
    if (status == KH_PENDING) return still_pending(txn);
    if (status == KH_MISUSE) return not_started(txn);
    return finish(txn, status, timestamp, NULL);
}

static PyObject *wait_within(struct child *child, uint32_t timeout_ms) {
    txn_object *txn = (txn_object *)child;
    kh_timestamp timestamp = 0;
    kh_status status;
    if (!txn_enter(txn)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    status = kh_txn_wait(txn->txn, timeout_ms, &timestamp);
    Py_END_ALLOW_THREADS
    if (status == KH_PENDING) return still_pending(txn);
    if (status == KH_MISUSE) return not_started(txn);
    return finish(txn, status, timestamp, NULL);
}

static PyObject *txn_wait(PyObject *self, PyObject *args, PyObject *kwargs) {
    return wait_as_asked(self, args, kwargs, wait_within);
}

static PyObject *txn_fileno(PyObject *self, PyObject *unused) {
    (void)unused;
    if (!txn_enter(of(self))) return NULL;
    kh_timestamp unused_timestamp;
    int descriptor = kh_txn_descriptor(of(self)->txn);
    if (descriptor < 0 && kh_txn_poll(of(self)->txn, &unused_timestamp) == KH_MISUSE)
        return not_started(of(self));
    txn_leave(of(self));
    if (descriptor >= 0) return PyLong_FromLong(descriptor);
    PyErr_SetString(PyExc_OSError, "no descriptor can be had");
    return NULL;
}

static PyObject *txn_rollback(PyObject *self, PyObject *unused) {
    txn_object *txn = of(self);
    kh_status status;
    (void)unused;
    if (!txn_enter(txn)) return NULL;
    txn_close_scans(txn);
    Py_BEGIN_ALLOW_THREADS
    status =
        txn->workspace == NULL ? kh_txn_rollback(txn->txn) : kh_workspace_rollback(txn->workspace);
    Py_END_ALLOW_THREADS
    if (!goes_on(txn, status)) txn->is_ended = true;
    PyObject *out = status == KH_OK || status == KH_FINISHED
                        ? Py_NewRef(Py_None)
                        : raise_of_txn(status, NULL, txn, NULL);
    txn_leave(txn);
    return out;
}

static PyObject *txn_close(PyObject *self, PyObject *unused) {
    txn_object *txn = of(self);
    (void)unused;
    if (child_is_forked(&txn->child)) Py_RETURN_NONE;
    if (!child_hold(&txn->child, "transaction")) return NULL;
    if (txn->child.owner != NULL) child_close(&txn->child);
    txn->is_ended = true;
    txn_leave(txn);
    Py_RETURN_NONE;
}

static PyObject *txn_enter_block(PyObject *self, PyObject *unused) {
    (void)unused;
    if (!txn_enter(of(self))) return NULL;
    txn_leave(of(self));
    return Py_NewRef(self);
}

/* What was ended inside of the block stays as it is. An exception rolls back, and goes on. */
static PyObject *txn_exit_block(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    txn_object *txn = of(self);
    bool is_failed = count > 0 && args[0] != Py_None;
    PyObject *done = Py_NewRef(Py_None);
    if (!txn->is_ended && txn->child.is_open && !is_failed) {
        Py_DECREF(done);
        done = txn->is_started ? wait_for(&txn->child, UINT32_MAX, wait_within)
                               : txn_commit(self, NULL);
    }
    PyObject *type = NULL;
    PyObject *value = NULL;
    PyObject *trace = NULL;
    if (done == NULL) PyErr_Fetch(&type, &value, &trace);
    PyObject *closed = txn_close(self, NULL);
    if (done == NULL) {
        if (closed == NULL) PyErr_Clear();
        PyErr_Restore(type, value, trace);
    }
    Py_XDECREF(closed);
    if (done == NULL || closed == NULL) {
        Py_XDECREF(done);
        return NULL;
    }
    Py_DECREF(done);
    Py_RETURN_FALSE;
}

/* ---- what happened --------------------------------------------------------------------------- */

static PyObject *txn_resolved(PyObject *self, PyObject *unused) {
    txn_object *txn = of(self);
    (void)unused;
    if (!child_hold(&txn->child, "transaction")) return NULL;
    PyObject *list = txn->resolved == NULL ? PyList_New(0) : PySequence_List(txn->resolved);
    txn_leave(txn);
    return list;
}

static PyObject *txn_savepoint(PyObject *self, PyObject *unused) {
    (void)unused;
    return savepoint_make(of(self));
}

static PyObject *get_id(PyObject *self, void *closure) {
    (void)closure;
    return of(self)->is_begun ? txn_id_give(of(self)->id) : PyLong_FromLong(0);
}

static PyObject *get_snapshot(PyObject *self, void *closure) {
    (void)closure;
    if (!txn_enter(of(self))) return NULL;
    kh_timestamp snapshot = kh_txn_snapshot(of(self)->txn);
    txn_leave(of(self));
    return PyLong_FromUnsignedLongLong(snapshot);
}

static PyObject *get_timestamp(PyObject *self, void *closure) {
    (void)closure;
    kh_timestamp timestamp = of(self)->timestamp;
    if (timestamp == 0) Py_RETURN_NONE;
    return PyLong_FromUnsignedLongLong(timestamp);
}

static PyObject *get_closed(PyObject *self, void *closure) {
    (void)closure;
    return PyBool_FromLong(of(self)->is_ended || !of(self)->child.is_open);
}

static PyObject *get_id_column(PyObject *self, void *closure) {
    (void)closure;
    PyObject *column = of(self)->is_begun ? of(self)->id_column : NULL;
    return column == NULL ? PyUnicode_FromString("id") : Py_NewRef(column);
}

static PyObject *get_db(PyObject *self, void *closure) {
    (void)closure;
    return Py_NewRef(of(self)->is_begun ? (PyObject *)of(self)->child.owner : Py_None);
}

static PyMethodDef methods[] = {
    {"commit", txn_commit, METH_NOARGS,
     "commit()\n--\n\nCommit all or nothing; the commit timestamp. Ends the transaction. Errors of "
     "class RetryError: run it again (Database.run does). OutcomeUnknownError: ask "
     "Database.outcome."},
    {"prepare", txn_prepare, METH_NOARGS,
     "prepare()\n--\n\nFirst of two steps: certify, log and hold; then commit() cannot conflict."},
    {"commit_start", txn_commit_start, METH_NOARGS,
     "commit_start()\n--\n\nCommit without waiting for the log; see poll, wait and fileno."},
    {"poll", txn_poll, METH_NOARGS,
     "poll()\n--\n\nThe commit timestamp, or None while the commit is under way."},
    {"wait", KEYWORDS(txn_wait), METH_VARARGS | METH_KEYWORDS,
     "wait(timeout=None)\n--\n\nAs poll, waiting so many seconds; None: for ever."},
    {"fileno", txn_fileno, METH_NOARGS,
     "fileno()\n--\n\nA descriptor that is readable when a started commit is decided."},
    {"rollback", txn_rollback, METH_NOARGS,
     "rollback()\n--\n\nUndo and end. After the end: nothing."},
    {"close", txn_close, METH_NOARGS,
     "close()\n--\n\nGive the handle back; rolls back first if it has not ended."},
    {"lock", KEYWORDS(txn_lock), METH_VARARGS | METH_KEYWORDS,
     "lock(*keys, shared=False, timeout=None, wait=True)\n--\n\nLock keys until the end: all of "
     "them or none, waiting so many seconds (None: until the transaction's own timeout; 0, or "
     "wait=False: not at all). "
     "LockConflictError: another has one, and this transaction goes on."},
    {"savepoint", txn_savepoint, METH_NOARGS,
     "savepoint()\n--\n\nA savepoint: a context manager that undoes the block's writes when it "
     "raises. They nest." EXAMPLE_SAVEPOINT},
    {"resolved", txn_resolved, METH_NOARGS,
     "resolved()\n--\n\nThe writes that met a rival in a commit that succeeded: (key, 'resolved' "
     "or "
     "'dropped', policy, timestamp of the rival)."},
    {"__enter__", txn_enter_block, METH_NOARGS, NULL},
    {"__exit__", FAST(txn_exit_block), METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL}};

static PyGetSetDef properties[] = {
    {"id", get_id, NULL, "The transaction's id, unique for ever.", NULL},
    {"snapshot", get_snapshot, NULL, "The timestamp that it reads at.", NULL},
    {"timestamp", get_timestamp, NULL, "Of its commit; None before.", NULL},
    {"closed", get_closed, NULL, "Whether it has ended.", NULL},
    {"id_column", get_id_column, NULL, "The id column of its row operations.", NULL},
    {"db", get_db, NULL, "Its database.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot slots[] = {
    {Py_tp_doc, "A transaction: Database.begin makes one. One thread at a time: a second one is "
                "refused with MisuseError."},
    {Py_tp_init, txn_init},
    {Py_tp_dealloc, txn_dealloc},
    {Py_tp_traverse, txn_traverse},
    {Py_tp_clear, txn_clear},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {Py_tp_iter, txn_iterate},
    {Py_mp_subscript, txn_subscript},
    {Py_mp_ass_subscript, txn_assign},
    {Py_sq_contains, txn_contains},
    {0, NULL}};
static PyType_Spec spec = {"khonsu._core.Transaction", sizeof(txn_object), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};

bool txn_ready(PyObject *module) {
    core.txn_type = type_ready(module, &spec, "Transaction");
    return core.txn_type != NULL && methods_add(core.txn_type, txn_read_methods) &&
           methods_add(core.txn_type, txn_write_methods);
}
