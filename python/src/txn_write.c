/* txn_write.c - writes of a transaction: whole batches, and rows of them. */
#include "core.h"
#include "examples.h"

#include <string.h>

static txn_object *of(PyObject *self) {
    return (txn_object *)self;
}

/* Answers None, or raises. Leaves the transaction. */
static PyObject *finish(txn_object *txn, kh_status status, const kh_error *error, struct key *key) {
    if (status == KH_OK) txn->has_written = true;
    PyObject *out =
        status == KH_OK ? Py_NewRef(Py_None) : raise_of_txn(status, error, txn, &key->bytes);
    txn_leave(txn);
    return out;
}

/* ---- put and delete -------------------------------------------------------------------------- */

static PyObject *put_array(txn_object *txn, struct key *key, kh_schema *schema,
                           struct ArrowArray *array, kh_policy policy) {
    PyObject *out = NULL;
    if (txn_enter(txn)) {
        kh_error error = {""};
        kh_status status;
        Py_BEGIN_ALLOW_THREADS
        status = kh_txn_put_array(txn->txn, key->bytes, schema, array, policy, &error);
        Py_END_ALLOW_THREADS
        out = finish(txn, status, &error, key);
    }
    if (array->release != NULL) array->release(array);
    kh_schema_release(schema);
    return out;
}

/* A workspace lists what it does; what has a policy of its own it has no call for. */
static kh_status put_now(txn_object *txn, kh_bytes key, const kh_batch *batch, kh_policy policy,
                         kh_error *error) {
    if (txn->workspace != NULL && policy == KH_DEFAULT_POLICY)
        return kh_workspace_put(txn->workspace, key, batch, error);
    return kh_txn_put_with(txn->txn, key, batch, policy, error);
}

static kh_status delete_now(txn_object *txn, kh_bytes key, kh_policy policy, kh_error *error) {
    if (txn->workspace != NULL && policy == KH_DEFAULT_POLICY)
        return kh_workspace_delete(txn->workspace, key, error);
    return kh_txn_delete_with(txn->txn, key, policy, error);
}

static PyObject *put_batch(txn_object *txn, struct key *key, PyObject *rows, kh_policy policy) {
    kh_batch *batch = rows_take(txn->child.owner->db, rows);
    PyObject *out = NULL;
    if (batch == NULL) return NULL;
    if (txn_enter(txn)) {
        kh_error error = {""};
        kh_status status;
        Py_BEGIN_ALLOW_THREADS
        status = put_now(txn, key->bytes, batch, policy, &error);
        Py_END_ALLOW_THREADS
        out = finish(txn, status, &error, key);
    }
    kh_batch_release(batch);
    return out;
}

/* A foreign array goes in by the short way. Python code may run while it is taken: the database is
 * held then, and not the transaction. */
static PyObject *put_rows(txn_object *txn, struct key *key, PyObject *rows, kh_policy policy) {
    kh_schema *schema;
    struct ArrowArray array;
    enum array_taken taken = ARRAY_NOT_OFFERED;
    if (!Py_IS_TYPE(rows, core.batch_type) && !txn->is_workspace)
        taken = array_take(txn->child.owner->db, rows, &schema, &array);
    if (taken == ARRAY_TAKEN) return put_array(txn, key, schema, &array, policy);
    return taken == ARRAY_FAILED ? NULL : put_batch(txn, key, rows, policy);
}

static PyObject *put(txn_object *txn, PyObject *object, PyObject *rows, kh_policy policy) {
    struct key key;
    PyObject *out = NULL;
    if (!key_take(object, &key)) return NULL;
    if (txn_hold_database(txn)) {
        out = put_rows(txn, &key, rows, policy);
        database_leave(txn->child.owner);
    }
    key_drop(&key);
    return out;
}

static PyObject *delete (txn_object *txn, PyObject *object, kh_policy policy) {
    struct key key;
    PyObject *out = NULL;
    if (!key_take(object, &key)) return NULL;
    if (txn_enter(txn)) {
        kh_error error = {""};
        kh_status status; /* it may wait for memory */
        Py_BEGIN_ALLOW_THREADS
        status = delete_now(txn, key.bytes, policy, &error);
        Py_END_ALLOW_THREADS
        out = finish(txn, status, &error, &key);
    }
    key_drop(&key);
    return out;
}

int txn_assign(PyObject *self, PyObject *key, PyObject *value) {
    PyObject *done = value == NULL ? delete (of(self), key, KH_DEFAULT_POLICY)
                                   : put(of(self), key, value, KH_DEFAULT_POLICY);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static PyObject *txn_put(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"key", "rows", "policy", NULL};
    PyObject *key;
    PyObject *rows;
    const char *name = NULL;
    kh_policy policy;
    if (!arguments_take(args, kwargs, "OO|z:put", names, &key, &rows, &name) ||
        !policy_take(name, &policy))
        return NULL;
    return put(of(self), key, rows, policy);
}

static PyObject *txn_delete(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"key", "policy", NULL};
    PyObject *key;
    const char *name = NULL;
    kh_policy policy;
    if (!arguments_take(args, kwargs, "O|z:delete", names, &key, &name) ||
        !policy_take(name, &policy))
        return NULL;
    return delete (of(self), key, policy);
}

static PyObject *txn_delete_range(PyObject *self, PyObject *args, PyObject *kwargs) {
    struct span span;
    uint64_t count = 0;
    kh_error error = {""};
    kh_status status;
    PyObject *out = NULL;
    if (!span_take(args, kwargs, &span)) return NULL;
    if (txn_enter(of(self))) {
        Py_BEGIN_ALLOW_THREADS
        status = kh_txn_delete_range(of(self)->txn, &span.options, &count, &error);
        Py_END_ALLOW_THREADS
        if (status == KH_OK && count > 0) of(self)->has_written = true;
        out = status == KH_OK ? PyLong_FromUnsignedLongLong(count)
                              : raise_of_txn(status, &error, of(self), NULL);
        txn_leave(of(self));
    }
    span_drop(&span);
    return out;
}

/* ---- rows ------------------------------------------------------------------------------------ */

typedef kh_status txn_rows_fn(kh_txn *txn, kh_bytes key, const kh_batch *rows, kh_error *error);
typedef kh_status batch_rows_fn(const kh_batch *base, const kh_batch *rows, const char *id_column,
                                kh_batch **out, kh_error *error);
struct row_operation {
    txn_rows_fn *of_txn;
    batch_rows_fn *of_batch;
};
static const struct row_operation insert = {kh_txn_insert_rows, kh_batch_insert_rows};
static const struct row_operation upsert = {kh_txn_upsert_rows, kh_batch_upsert_rows};
static const struct row_operation patch = {kh_txn_update_rows, kh_batch_update_rows};
static const struct row_operation erase = {kh_txn_delete_rows, kh_batch_delete_rows};

/* By another id column than the transaction's: the key is read, changed and written. */
static kh_status change_by(kh_txn *txn, kh_bytes key, const kh_batch *rows, const char *on,
                           batch_rows_fn *change, kh_error *error) {
    kh_batch *base = NULL;
    kh_batch *changed = NULL;
    kh_status status = kh_txn_get(txn, key, &base, error);
    if (status == KH_NOT_FOUND) status = KH_OK;
    if (status == KH_OK) status = change(base, rows, on, &changed, error);
    /* Nothing can be removed from an absent key. */
    if (status == KH_OK && changed != NULL) status = kh_txn_put(txn, key, changed, error);
    kh_batch_release(base);
    kh_batch_release(changed);
    return status;
}

static bool is_own_column(const txn_object *txn, const char *on) {
    if (on == NULL) return true;
    const char *own = "id";
    if (txn->id_column != NULL) own = PyUnicode_AsUTF8AndSize(txn->id_column, NULL);
    return own != NULL && strcmp(own, on) == 0;
}

static PyObject *change_rows(txn_object *txn, struct key *key, PyObject *rows, const char *on,
                             const struct row_operation *operation) {
    bool is_own = is_own_column(txn, on);
    kh_batch *batch = rows_take(txn->child.owner->db, rows);
    PyObject *out = NULL;
    if (batch == NULL) return NULL;
    if (txn_enter(txn)) {
        kh_error error = {""};
        kh_status status;
        Py_BEGIN_ALLOW_THREADS
        status = is_own ? operation->of_txn(txn->txn, key->bytes, batch, &error)
                        : change_by(txn->txn, key->bytes, batch, on, operation->of_batch, &error);
        Py_END_ALLOW_THREADS
        out = finish(txn, status, &error, key);
    }
    kh_batch_release(batch);
    return out;
}

static PyObject *change(PyObject *self, PyObject *args, PyObject *kwargs,
                        const struct row_operation *operation) {
    static char *names[] = {"key", "rows", "on", NULL};
    txn_object *txn = of(self);
    PyObject *object;
    PyObject *rows;
    const char *on = NULL;
    struct key key;
    if (!arguments_take(args, kwargs, "OO|z", names, &object, &rows, &on) ||
        !key_take(object, &key))
        return NULL;
    PyObject *out = NULL;
    if (txn_hold_database(txn)) {
        out = change_rows(txn, &key, rows, on, operation);
        database_leave(txn->child.owner);
    }
    key_drop(&key);
    return out;
}

static PyObject *txn_insert(PyObject *self, PyObject *args, PyObject *kwargs) {
    return change(self, args, kwargs, &insert);
}

static PyObject *txn_upsert(PyObject *self, PyObject *args, PyObject *kwargs) {
    return change(self, args, kwargs, &upsert);
}

static PyObject *txn_patch(PyObject *self, PyObject *args, PyObject *kwargs) {
    return change(self, args, kwargs, &patch);
}

static PyObject *txn_erase(PyObject *self, PyObject *args, PyObject *kwargs) {
    return change(self, args, kwargs, &erase);
}

/* ---- compare and swap ------------------------------------------------------------------------ */

static bool batch_or_null(kh_db *db, PyObject *object, kh_batch **out) {
    *out = NULL;
    if (object == Py_None) return true;
    *out = rows_take(db, object);
    return *out != NULL;
}

static PyObject *swap(txn_object *txn, struct key *key, kh_batch *expected, kh_batch *value) {
    kh_error error = {""};
    kh_status status;
    if (!txn_enter(txn)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    status =
        txn->workspace == NULL
            ? kh_txn_compare_and_swap(txn->txn, key->bytes, expected, value, &error)
            : kh_workspace_compare_and_swap(txn->workspace, key->bytes, expected, value, &error);
    Py_END_ALLOW_THREADS
    if (status == KH_OK) txn->has_written = true;
    if (status != KH_MISMATCH && status != KH_OK) return finish(txn, status, &error, key);
    txn_leave(txn);
    return PyBool_FromLong(status == KH_OK);
}

static PyObject *swap_rows(txn_object *txn, struct key *key, PyObject *expected, PyObject *value) {
    kh_batch *batches[2] = {NULL, NULL};
    kh_db *db = txn->child.owner->db;
    PyObject *out = NULL;
    if (batch_or_null(db, expected, &batches[0]) && batch_or_null(db, value, &batches[1]))
        out = swap(txn, key, batches[0], batches[1]);
    kh_batch_release(batches[0]);
    kh_batch_release(batches[1]);
    return out;
}

static PyObject *txn_swap(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"key", "expected", "rows", NULL};
    PyObject *objects[3];
    struct key key;
    if (!arguments_take(args, kwargs, "OOO:compare_and_swap", names, &objects[0], &objects[1],
                        &objects[2]) ||
        !key_take(objects[0], &key))
        return NULL;
    PyObject *out = NULL;
    if (txn_hold_database(of(self))) {
        out = swap_rows(of(self), &key, objects[1], objects[2]);
        database_leave(of(self)->child.owner);
    }
    key_drop(&key);
    return out;
}

PyMethodDef txn_write_methods[] = {
    {"put", KEYWORDS(txn_put), METH_VARARGS | METH_KEYWORDS,
     "put(key, rows, policy=None)\n--\n\nWrite the key; txn[key] = rows does it with the "
     "transaction's policy. rows: anything with Arrow data; several chunks are put "
     "together." EXAMPLE_PUT},
    {"delete", KEYWORDS(txn_delete), METH_VARARGS | METH_KEYWORDS,
     "delete(key, policy=None)\n--\n\nDelete the key; one that is absent, too." EXAMPLE_DELETE},
    {"delete_range", KEYWORDS(txn_delete_range), METH_VARARGS | METH_KEYWORDS,
     "delete_range(prefix='', *, start='', stop='', reverse=False, limit=0)\n--\n\nDelete what a "
     "scan would return; how many that were." EXAMPLE_DELETE_RANGE},
    {"insert_rows", KEYWORDS(txn_insert), METH_VARARGS | METH_KEYWORDS,
     "insert_rows(key, rows, on=None)\n--\n\nAdd rows with new ids; RowExistsError at "
     "commit." EXAMPLE_INSERT_ROWS},
    {"upsert", KEYWORDS(txn_upsert), METH_VARARGS | METH_KEYWORDS,
     "upsert(key, rows, on=None)\n--\n\nReplace the rows with the same id, add the others. on: the "
     "id column; another one than the transaction's reads the key and writes all of "
     "it." EXAMPLE_UPSERT},
    {"patch", KEYWORDS(txn_patch), METH_VARARGS | METH_KEYWORDS,
     "patch(key, rows, on=None)\n--\n\nReplace some columns' cells in the rows of these ids; "
     "RowNotFoundError at commit." EXAMPLE_PATCH},
    {"delete_rows", KEYWORDS(txn_erase), METH_VARARGS | METH_KEYWORDS,
     "delete_rows(key, ids, on=None)\n--\n\nRemove the rows of these ids."},
    {"compare_and_swap", KEYWORDS(txn_swap), METH_VARARGS | METH_KEYWORDS,
     "compare_and_swap(key, expected, rows)\n--\n\nWrite if the key's value equals the expected "
     "one "
     "(None: absent); whether it did." EXAMPLE_SWAP},
    {NULL, NULL, 0, NULL}};
