/* savepoint.c - khonsu.Savepoint: what a block writes is undone when the block raises.
 *
 * The library numbers savepoints by their depth, so that a number comes again: the serial says
 * which savepoint is meant. */
#include "core.h"

#include <stdlib.h>

typedef struct savepoint_object {
    PyObject_HEAD
    txn_object *txn;
    uint32_t number;
    uint64_t serial;
    _Atomic bool is_gone; /* released */
} savepoint_object;

static savepoint_object *of(PyObject *self) {
    return (savepoint_object *)self;
}

static bool grow(struct marks *marks, uint32_t number) {
    if (number < marks->capacity) return true;
    uint32_t capacity = 2 * number + 6;
    uint64_t *serials = realloc(marks->serials, capacity * sizeof *serials);
    if (serials == NULL) return false;
    marks->serials = serials;
    marks->capacity = capacity;
    return true;
}

/* With the transaction held. */
static bool set(savepoint_object *savepoint) {
    txn_object *txn = savepoint->txn;
    kh_error error = {""};
    kh_status status = kh_txn_savepoint(txn->txn, &savepoint->number, &error);
    if (status == KH_OK && !grow(&txn->marks, savepoint->number)) status = KH_NO_MEMORY;
    if (status != KH_OK) {
        (void)raise_of_txn(status, &error, txn, NULL);
        return false;
    }
    savepoint->serial = ++txn->marks.last;
    txn->marks.serials[savepoint->number] = savepoint->serial;
    return true;
}

PyObject *savepoint_make(txn_object *txn) {
    savepoint_object *savepoint = PyObject_GC_New(savepoint_object, core.savepoint_type);
    if (savepoint == NULL) return NULL;
    savepoint->txn = (txn_object *)Py_NewRef((PyObject *)txn);
    atomic_init(&savepoint->is_gone, false);
    PyObject_GC_Track(savepoint);
    bool is_set = txn_enter(txn);
    if (is_set) {
        is_set = set(savepoint);
        txn_leave(txn);
    }
    if (!is_set) Py_CLEAR(savepoint);
    return (PyObject *)savepoint;
}

static int savepoint_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(of(self)->txn);
    return 0;
}

static void savepoint_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_DECREF(of(self)->txn);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

typedef kh_status savepoint_fn(kh_txn *txn, uint32_t savepoint, kh_error *error);

static PyObject *call(savepoint_object *savepoint, savepoint_fn *function) {
    kh_error error = {""};
    txn_object *txn = savepoint->txn;
    PyObject *out = NULL;
    if (!txn_enter(txn)) return NULL;
    if (savepoint->is_gone || txn->marks.serials[savepoint->number] != savepoint->serial) {
        (void)raise_words(KH_INVALID, "the savepoint, or one before it, is released");
    } else {
        kh_status status = function(txn->txn, savepoint->number, &error);
        out = status == KH_OK ? Py_NewRef(Py_None) : raise_of_txn(status, &error, txn, NULL);
    }
    txn_leave(txn);
    return out;
}

static PyObject *savepoint_rollback(PyObject *self, PyObject *unused) {
    (void)unused;
    return call(of(self), kh_txn_rollback_to);
}

static PyObject *savepoint_release(PyObject *self, PyObject *unused) {
    (void)unused;
    PyObject *done = call(of(self), kh_txn_release_savepoint);
    if (done != NULL) of(self)->is_gone = true;
    return done;
}

static PyObject *savepoint_enter(PyObject *self, PyObject *unused) {
    (void)unused;
    return Py_NewRef(self);
}

/* Released or ended inside of the block: nothing is left to do. */
static PyObject *savepoint_exit(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    savepoint_object *savepoint = of(self);
    bool is_failed = count > 0 && args[0] != Py_None;
    if (savepoint->is_gone || savepoint->txn->is_ended || !savepoint->txn->child.is_open)
        Py_RETURN_FALSE;
    PyObject *done = is_failed ? call(savepoint, kh_txn_rollback_to) : Py_NewRef(Py_None);
    if (done == NULL && is_failed) PyErr_Clear(); /* the block's exception says more */
    Py_XDECREF(done);
    done = savepoint_release(self, NULL);
    if (done == NULL && is_failed) {
        PyErr_Clear();
        Py_RETURN_FALSE;
    }
    if (done == NULL) return NULL;
    Py_DECREF(done);
    Py_RETURN_FALSE;
}

static PyMethodDef methods[] = {
    {"rollback", savepoint_rollback, METH_NOARGS,
     "rollback()\n--\n\nUndo the writes since; the savepoint stays."},
    {"release", savepoint_release, METH_NOARGS,
     "release()\n--\n\nForget it, and those after it; the writes stay."},
    {"__enter__", savepoint_enter, METH_NOARGS, NULL},
    {"__exit__", FAST(savepoint_exit), METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL}};

static PyType_Slot slots[] = {
    {Py_tp_doc, "A place in a transaction to go back to (Transaction.savepoint)."},
    {Py_tp_dealloc, savepoint_dealloc},
    {Py_tp_traverse, savepoint_traverse},
    {Py_tp_methods, methods},
    {0, NULL}};
static PyType_Spec spec = {
    "khonsu.Savepoint", sizeof(savepoint_object), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_HAVE_GC, slots};

bool savepoint_ready(PyObject *module) {
    core.savepoint_type = type_ready(module, &spec, "Savepoint");
    return core.savepoint_type != NULL;
}
