/* database_history.c - what a database knows of the past, of transactions, and of itself. */
#include "core.h"

#include <stdlib.h>
#include <string.h>

static database_object *of(PyObject *self) {
    return (database_object *)self;
}

/* ---- versions -------------------------------------------------------------------------------- */

/* Called with the interpreter lock given away: it is taken for each version. */
struct versions {
    PyObject *list;
    bool is_failed;
    PyObject *raised[3];
};

static bool add_version(void *context, const kh_version_entry *version) {
    struct versions *versions = context;
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *batch = batch_or_none(version->value);
    PyObject *pair = NULL;
    if (batch != NULL) pair = Py_BuildValue("(KN)", (unsigned long long)version->timestamp, batch);
    versions->is_failed = pair == NULL || PyList_Append(versions->list, pair) < 0;
    Py_XDECREF(pair);
    if (versions->is_failed)
        PyErr_Fetch(&versions->raised[0], &versions->raised[1], &versions->raised[2]);
    PyGILState_Release(state);
    return !versions->is_failed;
}

static PyObject *read_history(kh_db *db, kh_bytes key, kh_timestamp from, kh_timestamp to) {
    struct versions versions = {.list = PyList_New(0)};
    kh_error error = {""};
    kh_status status;
    if (versions.list == NULL) return NULL;
    Py_BEGIN_ALLOW_THREADS
    status = kh_db_history(db, key, from, to, add_version, &versions, NULL, &error);
    Py_END_ALLOW_THREADS
    if (status == KH_OK && !versions.is_failed) return versions.list;
    Py_DECREF(versions.list);
    if (!versions.is_failed) return raise_status(status, &error);
    PyErr_Restore(versions.raised[0], versions.raised[1], versions.raised[2]);
    return NULL;
}

static PyObject *database_history(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"key", "start", "stop", NULL};
    PyObject *object;
    kh_timestamp from = 0;
    kh_timestamp to = UINT64_MAX;
    PyObject *stop = Py_None;
    struct key key;
    if (!arguments_take(args, kwargs, "O|O&O:history", names, &object, uint64_take, &from, &stop))
        return NULL;
    if (stop != Py_None && !uint64_take(stop, &to)) return NULL;
    if (!key_take(object, &key)) return NULL;
    PyObject *out = NULL;
    if (database_enter(of(self))) {
        out = read_history(of(self)->db, key.bytes, from, to);
        database_leave(of(self));
    }
    key_drop(&key);
    return out;
}

/* ---- transactions ---------------------------------------------------------------------------- */

static const char *outcome_name(kh_outcome outcome) {
    static const char *const names[] = {"active", "prepared", "committed", "aborted", "forgotten"};
    return names[outcome];
}

static PyObject *timestamp_or_none(kh_timestamp timestamp) {
    if (timestamp == 0) Py_RETURN_NONE;
    return PyLong_FromUnsignedLongLong(timestamp);
}

static PyObject *database_outcome(PyObject *self, PyObject *argument) {
    kh_txn_id id;
    kh_outcome outcome = KH_OUTCOME_ACTIVE;
    kh_timestamp timestamp = 0;
    kh_error error = {""};
    kh_status status;
    if (!txn_id_take(argument, &id) || !database_enter(of(self))) return NULL;
    Py_BEGIN_ALLOW_THREADS
    status = kh_db_outcome(of(self)->db, id, &outcome, &timestamp, &error);
    Py_END_ALLOW_THREADS
    database_leave(of(self));
    if (status != KH_OK) return raise_status(status, &error);
    return Py_BuildValue("(sN)", outcome_name(outcome), timestamp_or_none(timestamp));
}

static PyObject *database_decide(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"transaction", "commit", NULL};
    PyObject *object;
    int is_commit;
    kh_txn_id id;
    kh_timestamp timestamp = 0;
    kh_error error = {""};
    kh_status status;
    if (!arguments_take(args, kwargs, "Op:decide", names, &object, &is_commit) ||
        !txn_id_take(object, &id) || !database_enter(of(self)))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    status = kh_db_decide(of(self)->db, id, is_commit != 0, &timestamp, &error);
    Py_END_ALLOW_THREADS
    database_leave(of(self));
    return status == KH_OK ? timestamp_or_none(timestamp) : raise_status(status, &error);
}

static PyObject *database_cancel(PyObject *self, PyObject *argument) {
    kh_txn_id id;
    kh_error error = {""};
    if (!txn_id_take(argument, &id) || !database_enter(of(self))) return NULL;
    kh_status status = kh_db_cancel(of(self)->db, id, &error);
    database_leave(of(self));
    if (status != KH_OK) return raise_status(status, &error);
    Py_RETURN_NONE;
}

static PyObject *live_give(const kh_live_txn *txn) {
    return Py_BuildValue(
        "{s:N,s:z,s:N,s:N,s:d,s:K,s:K,s:K,s:s}", "id", txn_id_give(txn->id), "isolation",
        isolation_name(txn->isolation), "read_only", PyBool_FromLong(txn->is_read_only), "prepared",
        PyBool_FromLong(txn->is_prepared), "age", (double)txn->age_ms / 1000.0, "snapshot",
        (unsigned long long)txn->snapshot, "reads", (unsigned long long)txn->read_count, "writes",
        (unsigned long long)txn->write_count, "tag", txn->tag);
}

/* What is visited is copied: the visit may not use the database, and whatever makes Python objects
 * may, by the garbage collector. */
struct live {
    kh_live_txn *txns;
    char (*tags)[256];
    size_t count;
    size_t capacity;
    bool has_failed;
};

static bool live_grow(struct live *live) {
    if (live->count < live->capacity) return true;
    size_t capacity = live->capacity == 0 ? 16 : 2 * live->capacity;
    kh_live_txn *txns = realloc(live->txns, capacity * sizeof *txns);
    if (txns != NULL) live->txns = txns;
    void *tags = realloc(live->tags, capacity * sizeof *live->tags);
    if (tags != NULL) live->tags = tags;
    if (txns == NULL || tags == NULL) return false;
    live->capacity = capacity;
    return true;
}

static bool add_live(void *context, const kh_live_txn *txn) {
    struct live *live = context;
    live->has_failed = !live_grow(live);
    if (live->has_failed) return false;
    live->txns[live->count] = *txn;
    (void)PyOS_snprintf(live->tags[live->count++], sizeof *live->tags, "%s", txn->tag);
    return true;
}

static PyObject *live_list(struct live *live) {
    if (live->has_failed) return PyErr_NoMemory();
    PyObject *list = PyList_New((Py_ssize_t)live->count);
    for (size_t i = 0; list != NULL && i < live->count; i++) {
        live->txns[i].tag = live->tags[i];
        PyObject *row = live_give(&live->txns[i]);
        if (row == NULL || PyList_SetItem(list, (Py_ssize_t)i, row) < 0) Py_CLEAR(list);
    }
    return list;
}

static PyObject *database_live(PyObject *self, PyObject *unused) {
    struct live live = {NULL, NULL, 0, 0, false};
    kh_error error = {""};
    kh_status status;
    (void)unused;
    if (!database_enter(of(self))) return NULL;
    Py_BEGIN_ALLOW_THREADS
    status = kh_db_live(of(self)->db, add_live, &live, &error);
    Py_END_ALLOW_THREADS
    database_leave(of(self));
    PyObject *list = status == KH_OK ? live_list(&live) : raise_status(status, &error);
    free(live.txns);
    free(live.tags);
    return list;
}

/* ---- copies and proofs ----------------------------------------------------------------------- */

PyObject *backup_entry_give(const kh_backup_entry *entry) {
    return Py_BuildValue("{s:K,s:K,s:K,s:K,s:K}", "number", (unsigned long long)entry->number,
                         "timestamp", (unsigned long long)entry->timestamp, "horizon",
                         (unsigned long long)entry->horizon, "wall_ms",
                         (unsigned long long)entry->wall_ms, "size_bytes",
                         (unsigned long long)entry->size_bytes);
}

PyObject *head_give(const kh_head *head) {
    return Py_BuildValue("(KKy#)", (unsigned long long)head->number,
                         (unsigned long long)head->position, (const char *)head->digest,
                         (Py_ssize_t)KH_DIGEST_BYTES);
}

static PyObject *database_backup(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"directory", "quick", NULL};
    PyObject *directory = NULL;
    int is_quick = 0;
    kh_backup_options options = KH_BACKUP_OPTIONS_INIT;
    kh_backup_entry entry;
    kh_error error = {""};
    kh_status status;
    if (!arguments_take(args, kwargs, "O&|p:backup", names, PyUnicode_FSConverter, &directory,
                        &is_quick))
        return NULL;
    if (is_quick) options.flags = KH_BACKUP_QUICK;
    PyObject *out = NULL;
    if (database_enter(of(self))) {
        const char *path = PyBytes_AsString(directory);
        Py_BEGIN_ALLOW_THREADS
        status = kh_backup(of(self)->db, path, &options, &entry, &error);
        Py_END_ALLOW_THREADS
        database_leave(of(self));
        out = status == KH_OK ? backup_entry_give(&entry) : raise_status(status, &error);
    }
    Py_DECREF(directory);
    return out;
}

static PyObject *database_head(PyObject *self, PyObject *unused) {
    kh_head head;
    kh_error error = {""};
    kh_status status;
    (void)unused;
    if (!database_enter(of(self))) return NULL;
    Py_BEGIN_ALLOW_THREADS
    status = kh_db_head(of(self)->db, &head, &error);
    Py_END_ALLOW_THREADS
    database_leave(of(self));
    return status == KH_OK ? head_give(&head) : raise_status(status, &error);
}

static PyObject *prove(kh_db *db, kh_bytes key, kh_timestamp timestamp) {
    kh_bytes proof = {NULL, 0};
    kh_error error = {""};
    kh_status status;
    Py_BEGIN_ALLOW_THREADS
    status = kh_db_prove(db, key, timestamp, &proof, &error);
    Py_END_ALLOW_THREADS
    if (status != KH_OK) return raise_status(status, &error);
    PyObject *text = PyUnicode_DecodeUTF8(proof.data, (Py_ssize_t)proof.size_bytes, "strict");
    kh_bytes_free(proof);
    return text;
}

static PyObject *database_prove(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"key", "timestamp", NULL};
    PyObject *object;
    kh_timestamp timestamp = 0;
    struct key key;
    if (!arguments_take(args, kwargs, "O|O&:prove", names, &object, uint64_take, &timestamp) ||
        !key_take(object, &key))
        return NULL;
    PyObject *out = NULL;
    if (database_enter(of(self))) {
        out = prove(of(self)->db, key.bytes, timestamp);
        database_leave(of(self));
    }
    key_drop(&key);
    return out;
}

PyMethodDef database_history_methods[] = {
    {"history", KEYWORDS(database_history), METH_VARARGS | METH_KEYWORDS,
     "history(key, start=0, stop=None)\n--\n\nThe key's versions with timestamps in [start, stop] "
     "that are kept, newest first: (timestamp, Batch or None for a deletion)."},
    {"outcome", database_outcome, METH_O,
     "outcome(transaction)\n--\n\nWhat became of a transaction, by its id: ('committed', "
     "timestamp), "
     "('aborted', None), 'active', 'prepared' or 'forgotten'."},
    {"decide", KEYWORDS(database_decide), METH_VARARGS | METH_KEYWORDS,
     "decide(transaction, commit)\n--\n\nCommit or abort a prepared transaction by its id."},
    {"cancel", database_cancel, METH_O,
     "cancel(transaction)\n--\n\nCancel a transaction by its id: its next call raises "
     "CancelledError."},
    {"workspaces", database_workspaces, METH_NOARGS,
     "workspaces()\n--\n\nThe open workspaces, in order of id: (id, state, mode, age, operations, "
     "delta)."},
    {"cancel_workspace", database_cancel_workspace, METH_O,
     "cancel_workspace(id)\n--\n\nIts next call raises CancelledError, and it cannot commit. "
     "NotFoundError: none is open by that id; InUseError: it is prepared."},
    {"commit_together", database_commit_together, METH_O,
     "commit_together(workspaces)\n--\n\nCommit several workspaces, all or none: the commit "
     "timestamp of all."},
    {"live", database_live, METH_NOARGS, "live()\n--\n\nThe open transactions, a dict each."},
    {"backup", KEYWORDS(database_backup), METH_VARARGS | METH_KEYWORDS,
     "backup(directory, quick=False)\n--\n\nCopy the live database into a directory of backups, "
     "incrementally, and check what was written (quick: sizes only)."},
    {"head", database_head, METH_NOARGS,
     "head()\n--\n\n(number, position, digest): the digest stands for the whole history."},
    {"prove", KEYWORDS(database_prove), METH_VARARGS | METH_KEYWORDS,
     "prove(key, timestamp=0)\n--\n\nA proof (JSON) that the history has the key's version."},
    {NULL, NULL, 0, NULL}};
