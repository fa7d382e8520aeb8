/* changes.c - khonsu._core.Changes: the change feed; Database.changes wraps it. */
#include "core.h"

typedef struct changes_object {
    struct child child; /* first */
    kh_changes *changes;
} changes_object;

static changes_object *of(PyObject *self) {
    return (changes_object *)self;
}

static void shut(struct child *child) {
    kh_changes_close(((changes_object *)child)->changes);
}

static void cancel(struct child *child) {
    kh_changes_cancel(((changes_object *)child)->changes);
}

static kh_status open_feed(kh_db *db, kh_timestamp since, const kh_changes_options *options,
                           kh_changes **out, kh_error *error) {
    kh_status status;
    Py_BEGIN_ALLOW_THREADS
    status = kh_changes_open(db, since, options, out, error);
    Py_END_ALLOW_THREADS
    return status;
}

static PyObject *make(database_object *database, kh_timestamp since,
                      const kh_changes_options *options) {
    changes_object *changes = NULL;
    kh_changes *handle = NULL;
    kh_error error = {""};
    if (!database_enter(database)) return NULL;
    kh_status status = open_feed(database->db, since, options, &handle, &error);
    if (status != KH_OK) {
        (void)raise_status(status, &error);
    } else if ((changes = PyObject_GC_New(changes_object, core.changes_type)) == NULL) {
        kh_changes_close(handle);
    } else {
        changes->changes = handle;
        atomic_init(&changes->child.busy, 0);
        changes->child.owner = (database_object *)Py_NewRef((PyObject *)database);
        child_attach(&changes->child, shut, cancel);
        PyObject_GC_Track(changes);
    }
    database_leave(database);
    return (PyObject *)changes;
}

PyObject *changes_make(database_object *database, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"since", "prefix", "keys_only", "oldest", NULL};
    uint64_t since = 0;
    PyObject *prefix = NULL;
    int is_keys_only = 0;
    int is_from_oldest = 0;
    struct key key = {{NULL, 0}, NULL};
    kh_changes_options options = KH_CHANGES_OPTIONS_INIT;
    if (!arguments_take(args, kwargs, "|O&Opp:feed", names, uint64_take, &since, &prefix,
                        &is_keys_only, &is_from_oldest) ||
        (prefix != NULL && !key_take(prefix, &key)))
        return NULL;
    options.prefix = key.bytes;
    if (is_keys_only) options.flags |= KH_CHANGES_KEYS_ONLY;
    if (is_from_oldest) options.flags |= KH_CHANGES_OLDEST;
    PyObject *changes = make(database, since, &options);
    key_drop(&key);
    return changes;
}

/* (key, timestamp, operation, batch or None, transaction, tag, is_last) */
static PyObject *change_give(const kh_change *change) {
    PyObject *key = key_give(change->key);
    PyObject *batch = key == NULL ? NULL : batch_or_none(change->value);
    PyObject *id = batch == NULL ? NULL : txn_id_give(change->id);
    PyObject *tag = id == NULL ? NULL : key_give(change->tag);
    if (tag != NULL)
        return Py_BuildValue("(NKsNNNN)", key, (unsigned long long)change->timestamp,
                             change->operation == KH_OPERATION_PUT ? "put" : "delete", batch, id,
                             tag, PyBool_FromLong(change->is_last_of_commit));
    Py_XDECREF(key);
    Py_XDECREF(batch);
    Py_XDECREF(id);
    return NULL;
}

static PyObject *next_within(struct child *child, uint32_t timeout_ms) {
    changes_object *changes = (changes_object *)child;
    kh_change change;
    kh_error error = {""};
    kh_status status;
    if (!child_enter(&changes->child, "change feed")) return NULL;
    Py_BEGIN_ALLOW_THREADS
    status = kh_changes_next(changes->changes, timeout_ms, &change, &error);
    Py_END_ALLOW_THREADS
    PyObject *out = NULL;
    if (status == KH_OK) {
        out = change_give(&change);
    } else if (status == KH_PENDING) {
        out = Py_NewRef(Py_None);
    } else {
        (void)raise_status(status, &error);
    }
    child_leave(&changes->child);
    return out;
}

static PyObject *changes_next(PyObject *self, PyObject *args, PyObject *kwargs) {
    return wait_as_asked(self, args, kwargs, next_within);
}

static PyObject *get_position(PyObject *self, void *closure) {
    (void)closure;
    if (!child_enter(&of(self)->child, "change feed")) return NULL;
    kh_timestamp position = kh_changes_position(of(self)->changes);
    child_leave(&of(self)->child);
    return PyLong_FromUnsignedLongLong(position);
}

static PyObject *changes_close(PyObject *self, PyObject *unused) {
    (void)unused;
    if (child_is_forked(&of(self)->child)) Py_RETURN_NONE;
    if (!child_hold(&of(self)->child, "change feed")) return NULL;
    child_close(&of(self)->child);
    child_leave(&of(self)->child);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"next", KEYWORDS(changes_next), METH_VARARGS | METH_KEYWORDS,
     "next(timeout=None)\n--\n\nThe next change, waiting so many seconds (None: for ever); None: "
     "there was none."},
    {"cancel", waited_cancel, METH_NOARGS,
     "cancel()\n--\n\nEnd a wait of another thread, and all later ones. Any thread."},
    {"close", changes_close, METH_NOARGS, "close()\n--\n\nEnd the feed."},
    {NULL, NULL, 0, NULL}};

static PyGetSetDef properties[] = {
    {"position", get_position, NULL, "The timestamp after which a new feed would go on.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot slots[] = {{Py_tp_doc, "A change feed (Database.feed). One thread at a time."},
                              {Py_tp_dealloc, waited_dealloc},
                              {Py_tp_traverse, waited_traverse},
                              {Py_tp_methods, methods},
                              {Py_tp_getset, properties},
                              {0, NULL}};
static PyType_Spec spec = {
    "khonsu._core.Changes", sizeof(changes_object), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_HAVE_GC, slots};

bool changes_ready(PyObject *module) {
    core.changes_type = type_ready(module, &spec, "Changes");
    return core.changes_type != NULL;
}
