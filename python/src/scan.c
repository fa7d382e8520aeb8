/* scan.c - khonsu.Scan: an iterator over a transaction's keys, or keys and batches.
 *
 * A cursor belongs to its transaction: it is used and closed while the transaction is held, and the
 * transaction closes those that are still open when it ends. */
#include "core.h"

#include <sched.h>

typedef struct scan_object {
    PyObject_HEAD txn_object *txn;
    kh_cursor *cursor; /* NULL: closed */
    bool is_keys_only;
    struct scan_object *next;
    struct scan_object *before;
} scan_object;

static scan_object *of(PyObject *self) {
    return (scan_object *)self;
}

static void close_held(scan_object *scan) {
    txn_object *txn = scan->txn;
    if (scan->cursor == NULL) return;
    kh_cursor_close(scan->cursor);
    scan->cursor = NULL;
    if (scan->next != NULL) scan->next->before = scan->before;
    if (scan->before != NULL) {
        scan->before->next = scan->next;
    } else {
        txn->scans = scan->next;
    }
}

void txn_close_scans(txn_object *txn) {
    while (txn->scans != NULL) close_held(txn->scans);
}

PyObject *scan_make(txn_object *txn, const kh_scan_options *options) {
    scan_object *scan = PyObject_New(scan_object, core.scan_type);
    kh_error error = {""};
    if (scan == NULL) return NULL;
    scan->cursor = NULL;
    scan->txn = (txn_object *)Py_NewRef((PyObject *)txn);
    scan->is_keys_only = (options->flags & KH_SCAN_KEYS_ONLY) != 0;
    if (!txn_enter(txn)) {
        Py_DECREF(scan);
        return NULL;
    }
    kh_status status = kh_txn_scan(txn->txn, options, &scan->cursor, &error);
    if (status == KH_OK) {
        scan->before = NULL;
        scan->next = txn->scans;
        if (scan->next != NULL) scan->next->before = scan;
        txn->scans = scan;
    } else {
        scan->cursor = NULL;
        (void)raise_of_txn(status, &error, txn, NULL);
    }
    txn_leave(txn);
    if (status != KH_OK) Py_CLEAR(scan);
    return (PyObject *)scan;
}

/* Another thread may be in the transaction: it is soon out of it. */
static void hold(txn_object *txn) {
    int nobody = 0;
    while (!atomic_compare_exchange_strong(&txn->child.busy, &nobody, 1)) {
        nobody = 0;
        Py_BEGIN_ALLOW_THREADS(void) sched_yield();
        Py_END_ALLOW_THREADS
    }
}

static void scan_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    scan_object *scan = of(self);
    if (scan->cursor != NULL) {
        hold(scan->txn);
        close_held(scan);
        txn_leave(scan->txn);
    }
    Py_DECREF(scan->txn);
    PyObject_Free(self);
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
    if (!scan->txn->is_durable) return kh_cursor_next(scan->cursor, key, value, error);
    Py_BEGIN_ALLOW_THREADS status = kh_cursor_next(scan->cursor, key, value, error);
    Py_END_ALLOW_THREADS return status;
}

/* NULL without an exception: the end. */
static PyObject *scan_next(PyObject *self) {
    scan_object *scan = of(self);
    kh_bytes key;
    const kh_batch *value = NULL;
    kh_error error = {""};
    PyObject *out = NULL;
    if (!child_hold(&scan->txn->child, "transaction")) return NULL;
    if (scan->cursor != NULL) {
        kh_status status = step(scan, &key, &value, &error);
        if (status == KH_OK) {
            out = entry_give(key, value, scan->is_keys_only);
        } else {
            close_held(scan);
            if (status != KH_END) (void)raise_of_txn(status, &error, scan->txn, NULL);
        }
    }
    txn_leave(scan->txn);
    return out;
}

static PyObject *scan_close(PyObject *self, PyObject *unused) {
    (void)unused;
    if (!child_hold(&of(self)->txn->child, "transaction")) return NULL;
    close_held(of(self));
    txn_leave(of(self)->txn);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"close", scan_close, METH_NOARGS,
     "close()\n--\n\nEnd the scan early: a serializable transaction has then read up to the last "
     "key that was returned."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot slots[] = {
    {Py_tp_doc, "An iterator over a range of keys, as of one moment. Ends with its transaction."},
    {Py_tp_dealloc, scan_dealloc},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, scan_next},
    {Py_tp_methods, methods},
    {0, NULL}};
static PyType_Spec spec = {"khonsu.Scan", sizeof(scan_object), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};

bool scan_ready(PyObject *module) {
    core.scan_type = type_ready(module, &spec, "Scan");
    return core.scan_type != NULL;
}
