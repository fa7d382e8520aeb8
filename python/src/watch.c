/* watch.c - khonsu.Watch: the keys that commits change, as they change. */
#include "core.h"

typedef struct watch_object {
    struct child child; /* first */
    kh_watch *watch;
} watch_object;

static watch_object *of(PyObject *self) {
    return (watch_object *)self;
}

static void shut(struct child *child) {
    kh_watch_close(((watch_object *)child)->watch);
}

static void cancel(struct child *child) {
    kh_watch_cancel(((watch_object *)child)->watch);
}

PyObject *watch_make(database_object *database, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"prefix", NULL};
    PyObject *prefix = NULL;
    struct key key = {{NULL, 0}, NULL};
    kh_watch *handle = NULL;
    kh_error error = {""};
    if (!arguments_take(args, kwargs, "|O:watch", names, &prefix) ||
        (prefix != NULL && !key_take(prefix, &key)))
        return NULL;
    watch_object *watch = NULL;
    if (database_enter(database)) {
        kh_status status = kh_watch_open(database->db, key.bytes, &handle, &error);
        if (status != KH_OK) {
            (void)raise_status(status, &error);
        } else if ((watch = PyObject_GC_New(watch_object, core.watch_type)) == NULL) {
            kh_watch_close(handle);
        } else {
            watch->watch = handle;
            atomic_init(&watch->child.busy, 0);
            watch->child.owner = (database_object *)Py_NewRef((PyObject *)database);
            child_attach(&watch->child, shut, cancel);
            PyObject_GC_Track(watch);
        }
        database_leave(database);
    }
    key_drop(&key);
    return (PyObject *)watch;
}

static PyObject *event_give(const kh_watch_event *event) {
    PyObject *key = key_give(event->key);
    if (key == NULL) return NULL;
    return Py_BuildValue("(NKNN)", key, (unsigned long long)event->timestamp,
                         PyBool_FromLong(event->is_deleted), PyBool_FromLong(event->is_lossy));
}

/* None: nothing came within the time. */
static PyObject *next_within(struct child *child, uint32_t timeout_ms) {
    watch_object *watch = (watch_object *)child;
    kh_watch_event event;
    kh_error error = {""};
    kh_status status;
    if (!child_enter(&watch->child, "watch")) return NULL;
    Py_BEGIN_ALLOW_THREADS
    status = kh_watch_next(watch->watch, timeout_ms, &event, &error);
    Py_END_ALLOW_THREADS
    PyObject *out = NULL;
    if (status == KH_OK) {
        out = event_give(&event);
    } else if (status == KH_PENDING) {
        out = Py_NewRef(Py_None);
    } else {
        (void)raise_status(status, &error);
    }
    child_leave(&watch->child);
    return out;
}

static PyObject *watch_next(PyObject *self, PyObject *args, PyObject *kwargs) {
    return wait_as_asked(self, args, kwargs, next_within);
}

/* A watch that is cancelled or closed ends an iteration. */
static PyObject *watch_iterate(PyObject *self) {
    PyObject *event = wait_for(&of(self)->child, UINT32_MAX, next_within);
    if (event != NULL) return event;
    PyObject *ends[] = {core.exceptions[KH_CANCELLED], core.exceptions[KH_FINISHED]};
    for (int i = 0; i < 2; i++)
        if (ends[i] != NULL && PyErr_ExceptionMatches(ends[i])) PyErr_Clear();
    return NULL;
}

static PyObject *watch_close(PyObject *self, PyObject *unused) {
    (void)unused;
    if (child_is_forked(&of(self)->child)) Py_RETURN_NONE;
    if (!child_hold(&of(self)->child, "watch")) return NULL;
    child_close(&of(self)->child);
    child_leave(&of(self)->child);
    Py_RETURN_NONE;
}

static PyObject *watch_fileno(PyObject *self, PyObject *unused) {
    (void)unused;
    if (!child_enter(&of(self)->child, "watch")) return NULL;
    int descriptor = kh_watch_descriptor(of(self)->watch);
    child_leave(&of(self)->child);
    if (descriptor >= 0) return PyLong_FromLong(descriptor);
    PyErr_SetString(PyExc_OSError, "no descriptor can be had");
    return NULL;
}

static PyMethodDef methods[] = {
    {"next", KEYWORDS(watch_next), METH_VARARGS | METH_KEYWORDS,
     "next(timeout=None)\n--\n\nThe next event (key, timestamp, is_deleted, is_lossy), waiting so "
     "many seconds (None: for ever); None: there was none."},
    {"cancel", waited_cancel, METH_NOARGS,
     "cancel()\n--\n\nEnd a wait of another thread, and all later ones. Any thread."},
    {"close", watch_close, METH_NOARGS, "close()\n--\n\nEnd the watch."},
    {"fileno", watch_fileno, METH_NOARGS,
     "fileno()\n--\n\nA descriptor that is readable while events wait."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot slots[] = {
    {Py_tp_doc, "The keys that commits change from now on (Database.watch). One thread at a time."},
    {Py_tp_dealloc, waited_dealloc},
    {Py_tp_traverse, waited_traverse},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, watch_iterate},
    {Py_tp_methods, methods},
    {0, NULL}};
static PyType_Spec spec = {
    "khonsu.Watch", sizeof(watch_object), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_HAVE_GC, slots};

bool watch_ready(PyObject *module) {
    core.watch_type = type_ready(module, &spec, "Watch");
    return core.watch_type != NULL;
}
