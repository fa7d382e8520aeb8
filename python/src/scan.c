/* scan.c - khonsu.Scan: an iterator over a transaction's keys, or keys and batches.
 *
 * A cursor belongs to its transaction: it is used and closed while the transaction is held, and the
 * transaction closes those that are still open when it ends. A Scan can go at any moment, also by
 * the garbage collector in the midst of a call that holds the transaction: it does not wait then,
 * and its cursor stays with the transaction. Nor does it get in the way of a call that begins. */
#include "core.h"

#include <stdlib.h>

/* Belongs to the transaction's list, while the cursor is open, and to the Scan. */
struct open_scan {
    kh_cursor *cursor; /* NULL: closed */
    struct open_scan *next;
    struct open_scan *before;
    bool is_cut;          /* the transaction ended first */
    _Atomic bool is_left; /* by one of the two: the other frees it */
};

typedef struct scan_object {
    PyObject_HEAD
    txn_object *txn;
    struct open_scan *open;
    bool is_keys_only;
} scan_object;

static scan_object *of(PyObject *self) {
    return (scan_object *)self;
}

static void leave(struct open_scan *open) {
    if (atomic_exchange(&open->is_left, true)) free(open);
}

static void close_held(txn_object *txn, struct open_scan *open) {
    if (open->cursor == NULL) return;
    kh_cursor_close(open->cursor);
    open->cursor = NULL;
    if (open->next != NULL) open->next->before = open->before;
    if (open->before != NULL) {
        open->before->next = open->next;
    } else {
        txn->scans = open->next;
    }
    leave(open);
}

void txn_close_scans(txn_object *txn) {
    while (txn->scans != NULL) {
        txn->scans->is_cut = true;
        close_held(txn, txn->scans);
    }
}

static bool open_cursor(txn_object *txn, const kh_scan_options *options, struct open_scan *open) {
    kh_error error = {""};
    if (!txn_enter(txn)) return false;
    kh_status status; /* it may make room for what it remembers, and wait for that */
    Py_BEGIN_ALLOW_THREADS
    status = kh_txn_scan(txn->txn, options, &open->cursor, &error);
    Py_END_ALLOW_THREADS
    if (status == KH_OK) {
        atomic_store(&open->is_left, false);
        open->next = txn->scans;
        if (open->next != NULL) open->next->before = open;
        txn->scans = open;
    } else {
        open->cursor = NULL;
        (void)raise_of_txn(status, &error, txn, NULL);
    }
    txn_leave(txn);
    return status == KH_OK;
}

PyObject *scan_make(txn_object *txn, const kh_scan_options *options) {
    struct open_scan *open = calloc(1, sizeof *open);
    if (open == NULL) return PyErr_NoMemory();
    atomic_init(&open->is_left, true); /* it is not in the list yet */
    scan_object *scan = PyObject_GC_New(scan_object, core.scan_type);
    if (scan == NULL) {
        free(open);
        return NULL;
    }
    scan->open = open;
    scan->txn = (txn_object *)Py_NewRef((PyObject *)txn);
    scan->is_keys_only = (options->flags & KH_SCAN_KEYS_ONLY) != 0;
    PyObject_GC_Track(scan);
    if (!open_cursor(txn, options, open)) Py_CLEAR(scan);
    return (PyObject *)scan;
}

static int scan_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(of(self)->txn);
    return 0;
}

static void scan_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    scan_object *scan = of(self);
    PyObject_GC_UnTrack(self);
    if (!child_is_forked(&scan->txn->child) && child_pass(&scan->txn->child)) {
        close_held(scan->txn, scan->open);
        txn_leave(scan->txn);
    }
    leave(scan->open);
    Py_DECREF(scan->txn);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyObject *entry_give(kh_bytes key, const kh_batch *value, bool is_keys_only) {
    PyObject *name = key_give(key);
    if (name == NULL || is_keys_only) return name;
    PyObject *batch = batch_or_none(value);
    PyObject *pair = batch == NULL ? NULL : PyTuple_Pack(2, name, batch);
    Py_DECREF(name);
    Py_XDECREF(batch);
    return pair;
}

static kh_status step(scan_object *scan, kh_bytes *key, const kh_batch **value, kh_error *error) {
    kh_status status;
    if (!scan->txn->is_durable) return kh_cursor_next(scan->open->cursor, key, value, error);
    Py_BEGIN_ALLOW_THREADS
    status = kh_cursor_next(scan->open->cursor, key, value, error);
    Py_END_ALLOW_THREADS
    return status;
}

/* NULL without an exception: the end. */
static PyObject *next_held(scan_object *scan) {
    kh_bytes key;
    const kh_batch *value = NULL;
    kh_error error = {""};
    if (scan->open->is_cut)
        return raise_words(KH_FINISHED, "the transaction ended before the end of the scan");
    if (scan->open->cursor == NULL) return NULL;
    kh_status status = step(scan, &key, &value, &error);
    if (status == KH_OK) return entry_give(key, value, scan->is_keys_only);
    close_held(scan->txn, scan->open);
    return status == KH_END ? NULL : raise_of_txn(status, &error, scan->txn, NULL);
}

static PyObject *scan_next(PyObject *self) {
    scan_object *scan = of(self);
    if (!child_hold(&scan->txn->child, "transaction")) return NULL;
    PyObject *out = next_held(scan);
    txn_leave(scan->txn);
    return out;
}

static PyObject *scan_close(PyObject *self, PyObject *unused) {
    scan_object *scan = of(self);
    (void)unused;
    if (child_is_forked(&scan->txn->child)) Py_RETURN_NONE;
    if (!child_hold(&scan->txn->child, "transaction")) return NULL;
    close_held(scan->txn, scan->open);
    scan->open->is_cut = false; /* whoever closes it knows */
    txn_leave(scan->txn);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"close", scan_close, METH_NOARGS,
     "close()\n--\n\nEnd the scan early: a serializable transaction has then read up to the last "
     "key that was returned."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot slots[] = {
    {Py_tp_doc, "An iterator over a range of keys, as of one moment. When its transaction ends "
                "first it raises FinishedError."},
    {Py_tp_dealloc, scan_dealloc},
    {Py_tp_traverse, scan_traverse},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, scan_next},
    {Py_tp_methods, methods},
    {0, NULL}};
static PyType_Spec spec = {
    "khonsu.Scan", sizeof(scan_object), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_HAVE_GC, slots};

bool scan_ready(PyObject *module) {
    core.scan_type = type_ready(module, &spec, "Scan");
    return core.scan_type != NULL;
}
