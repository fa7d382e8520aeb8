/* workspace.c - khonsu._core.Workspace: a Transaction below which there is a kh_workspace.
 *
 * It is the same object as a Transaction, with the same calls: txn.c and txn_write.c ask for
 * `workspace` where the library has a call of its own for it. Its handle of the transaction is
 * borrowed, and another one after a retry. */
#include "workspace.h"

static txn_object *of(PyObject *self) {
    return (txn_object *)self;
}

/* ---- begin ----------------------------------------------------------------------------------- */

struct given {
    struct begin_given txn;
    const char *mode;
    PyObject *embed;
    PyObject *thresholds;
    uint32_t operations_max;
};

static bool parse(PyObject *args, PyObject *kwargs, PyObject **database, struct given *given) {
    static char *names[] = {"db",        "mode",    "embed",     "thresholds", "operations_max",
                            "isolation", "policy",  "timeout",   "tag",        "id_column",
                            "sync",      "resolve", "lock_wait", "priority",   NULL};
    *given = (struct given){.txn = BEGIN_GIVEN_INIT, .embed = Py_None, .thresholds = Py_None};
    return arguments_take(args, kwargs, "O!|$zOOO&zzOzOzOOi:Workspace", names, core.database_type,
                          database, &given->mode, &given->embed, &given->thresholds, uint32_take,
                          &given->operations_max, &given->txn.isolation, &given->txn.policy,
                          &given->txn.timeout, &given->txn.tag, &given->txn.id_column,
                          &given->txn.sync, &given->txn.resolve, &given->txn.lock_wait,
                          &given->txn.priority);
}

static bool fill(txn_object *txn, const struct given *given, kh_workspace_options *options) {
    if (given->embed != Py_None && !PyCallable_Check(given->embed)) {
        PyErr_SetString(PyExc_TypeError, "embed is a function of a list of operations");
        return false;
    }
    options->operations_max = given->operations_max;
    if (!mode_take(given->mode, &options->mode) ||
        !thresholds_take(given->thresholds, &options->thresholds) ||
        !txn_fill(txn, &given->txn, &options->txn))
        return false;
    if (given->embed != Py_None) txn->embed = Py_NewRef(given->embed);
    return true;
}

static bool start(txn_object *txn, const void *context) {
    const struct given *given = context;
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    kh_error error = {""};
    if (!fill(txn, given, &options)) return false;
    kh_status status = kh_workspace_begin(txn->child.owner->db, &options, &txn->workspace, &error);
    if (status != KH_OK) {
        (void)raise_status(status, &error);
        return false;
    }
    txn->txn = kh_workspace_txn(txn->workspace);
    txn->id = kh_workspace_id(txn->workspace);
    txn->is_workspace = true;
    return true;
}

static int workspace_init(PyObject *self, PyObject *args, PyObject *kwargs) {
    PyObject *database;
    struct given given;
    if (!parse(args, kwargs, &database, &given)) return -1;
    return txn_begin_as(of(self), database, start, &given);
}

/* ---- end ------------------------------------------------------------------------------------- */

/* What has not ended is rolled back by the close; what is prepared stays so. */
void workspace_shut(txn_object *txn) {
    kh_workspace *workspace = txn->workspace;
    struct workspace_end *end = &txn->end;
    end->state = kh_workspace_state_of(workspace);
    end->cause = kh_workspace_cause(workspace);
    if (end->state == KH_WORKSPACE_ACTIVE) end->state = KH_WORKSPACE_ROLLED_BACK;
    if (kh_workspace_delta(workspace, &end->delta) != KH_OK) end->delta = NULL;
    txn->workspace = NULL;
    txn->txn = NULL;
    Py_BEGIN_ALLOW_THREADS
    kh_workspace_close(workspace);
    Py_END_ALLOW_THREADS
}

bool workspace_goes_on(const txn_object *txn) {
    kh_workspace_state state = kh_workspace_state_of(txn->workspace);
    return state == KH_WORKSPACE_ACTIVE || state == KH_WORKSPACE_COMMITTING;
}

static bool is_final(kh_status status) {
    if (status == KH_LOCK_CONFLICT) return false; /* of a lock; a commit has told it itself */
    return kh_status_classify(status) == KH_CLASS_RETRY || status == KH_CANCELLED ||
           status == KH_POISONED;
}

/* A call of the transaction below has failed for good: the workspace learns of it by the next call
 * of its own. */
void workspace_learn(txn_object *txn, kh_status status) {
    kh_batch *batch = NULL;
    if (txn->workspace == NULL || !is_final(status)) return;
    if (kh_workspace_state_of(txn->workspace) != KH_WORKSPACE_ACTIVE) return;
    (void)!kh_workspace_get(txn->workspace, (kh_bytes){"?", 1}, &batch, NULL);
    kh_batch_release(batch);
}

/* Savepoints of before are gone with their transaction: the library knows no such number, or a new
 * one has it, with another serial. */
static void forget(txn_object *txn) {
    for (int i = 0; i < 3; i++) Py_CLEAR(txn->raised[i]);
    Py_CLEAR(txn->resolved);
    txn->timestamp = 0;
    txn->has_written = txn->has_before = txn->has_after = false;
    txn->is_ended = false;
}

static PyObject *workspace_retry(PyObject *self, PyObject *unused) {
    txn_object *txn = of(self);
    kh_error error = {""};
    kh_status status;
    (void)unused;
    if (!txn_enter(txn)) return NULL;
    txn_close_scans(txn);
    Py_BEGIN_ALLOW_THREADS
    status = kh_workspace_retry(txn->workspace, &error);
    Py_END_ALLOW_THREADS
    PyObject *out = NULL;
    if (status == KH_OK) {
        txn->txn = kh_workspace_txn(txn->workspace);
        forget(txn);
        out = Py_NewRef(Py_None);
    } else {
        out = raise_of_txn(status, &error, txn, NULL);
    }
    txn_leave(txn);
    return out;
}

/* ---- operations ------------------------------------------------------------------------------ */

typedef kh_status write_fn(kh_workspace *workspace, kh_bytes key, const kh_batch *value,
                           kh_error *error);

static PyObject *write_batch(txn_object *txn, PyObject *object, kh_bytes key, kh_batch *batch,
                             write_fn *write) {
    kh_error error = {""};
    kh_status status;
    if (!txn_enter(txn)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    status = write(txn->workspace, key, batch, &error);
    Py_END_ALLOW_THREADS
    if (status == KH_OK) txn->has_written = true;
    PyObject *out = NULL;
    if (status == KH_OK) {
        out = Py_NewRef(Py_None);
    } else if (status != KH_NOT_FOUND) {
        out = raise_of_txn(status, &error, txn, &key);
    }
    txn_leave(txn);
    return status == KH_NOT_FOUND ? raise_absent(txn, object) : out;
}

static PyObject *write_rows(PyObject *self, PyObject *object, PyObject *rows, write_fn *write) {
    txn_object *txn = of(self);
    struct key key;
    PyObject *out = NULL;
    if (!key_take(object, &key)) return NULL;
    if (txn_hold_database(txn)) {
        kh_batch *batch = rows_take(txn->child.owner->db, rows);
        if (batch != NULL) out = write_batch(txn, object, key.bytes, batch, write);
        kh_batch_release(batch);
        database_leave(txn->child.owner);
    }
    key_drop(&key);
    return out;
}

static PyObject *workspace_update(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"key", "rows", NULL};
    PyObject *key;
    PyObject *rows;
    if (!arguments_take(args, kwargs, "OO:update", names, &key, &rows)) return NULL;
    return write_rows(self, key, rows, kh_workspace_update);
}

static PyObject *workspace_embed(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"key", "vectors", NULL};
    PyObject *key;
    PyObject *rows;
    if (!arguments_take(args, kwargs, "OO:embed", names, &key, &rows)) return NULL;
    return write_rows(self, key, rows, kh_workspace_embed);
}

/* ---- the object ------------------------------------------------------------------------------ */

static PyMethodDef methods[] = {
    {"update", KEYWORDS(workspace_update), METH_VARARGS | METH_KEYWORDS,
     "update(key, rows)\n--\n\nWrite a key that is there; NotFoundError: it is not."},
    {"embed", KEYWORDS(workspace_embed), METH_VARARGS | METH_KEYWORDS,
     "embed(key, vectors)\n--\n\nWrite vector columns of rows that are there: the id column and "
     "fixed-size lists of floats."},
    {"retry", workspace_retry, METH_NOARGS,
     "retry()\n--\n\nBegin anew after a failure: the same id and options, a new snapshot, no "
     "operations and no embedding."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot slots[] = {
    {Py_tp_doc, "A workspace: Database.workspace makes one. One thread at a time."},
    {Py_tp_init, workspace_init},
    {Py_tp_methods, methods},
    {Py_tp_getset, workspace_properties},
    {0, NULL}};
static PyType_Spec spec = {"khonsu._core.Workspace", sizeof(txn_object), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};

bool workspace_ready(PyObject *module) {
    PyObject *type = PyType_FromSpecWithBases(&spec, (PyObject *)core.txn_type);
    if (type != NULL && PyModule_AddObjectRef(module, "Workspace", type) < 0) Py_CLEAR(type);
    core.workspace_type = (PyTypeObject *)type;
    return type != NULL && methods_add(core.workspace_type, workspace_meaning_methods);
}
