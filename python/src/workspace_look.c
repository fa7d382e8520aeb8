/* workspace_look.c - what a workspace is: state, operations, keys; and all that are open. */
#include "workspace.h"

#include <stdlib.h>

static txn_object *of(PyObject *self) {
    return (txn_object *)self;
}

static const char *const states[] = {
    [KH_WORKSPACE_ACTIVE] = "active",       [KH_WORKSPACE_COMMITTING] = "committing",
    [KH_WORKSPACE_COMMITTED] = "committed", [KH_WORKSPACE_ROLLED_BACK] = "rolled_back",
    [KH_WORKSPACE_FAILED] = "failed",
};

/* ---- its state, also after it was closed ----------------------------------------------------- */

static PyObject *get_state(PyObject *self, void *closure) {
    txn_object *txn = of(self);
    (void)closure;
    if (!child_hold(&txn->child, "transaction")) return NULL;
    kh_workspace_state state =
        txn->workspace == NULL ? txn->end.state : kh_workspace_state_of(txn->workspace);
    txn_leave(txn);
    return PyUnicode_FromString(states[state]);
}

static PyObject *get_cause(PyObject *self, void *closure) {
    txn_object *txn = of(self);
    (void)closure;
    if (!child_hold(&txn->child, "transaction")) return NULL;
    kh_status cause = txn->workspace == NULL ? txn->end.cause : kh_workspace_cause(txn->workspace);
    txn_leave(txn);
    if (cause == KH_OK) Py_RETURN_NONE;
    return PyUnicode_FromString(kh_status_name(cause));
}

static PyObject *get_delta(PyObject *self, void *closure) {
    txn_object *txn = of(self);
    kh_delta *delta = NULL;
    (void)closure;
    if (!child_hold(&txn->child, "transaction")) return NULL;
    bool is_there = true;
    if (txn->workspace == NULL) {
        if (txn->end.delta != NULL) delta = kh_delta_retain(txn->end.delta);
    } else if ((is_there = workspace_settle(txn))) {
        if (kh_workspace_delta(txn->workspace, &delta) != KH_OK) delta = NULL;
    }
    txn_leave(txn);
    if (!is_there) return NULL;
    if (delta == NULL) Py_RETURN_NONE;
    return delta_give(delta);
}

static PyObject *get_age(PyObject *self, void *closure) {
    (void)closure;
    if (!txn_enter(of(self))) return NULL;
    uint64_t age_ms = kh_workspace_age_ms(of(self)->workspace);
    txn_leave(of(self));
    return PyFloat_FromDouble((double)age_ms / 1000.0);
}

/* ---- its operations -------------------------------------------------------------------------- */

static const char *const kinds[] = {[KH_STEP_PUT] = "put",
                                    [KH_STEP_DELETE] = "delete",
                                    [KH_STEP_UPDATE] = "update",
                                    [KH_STEP_COMPARE_AND_SWAP] = "compare_and_swap",
                                    [KH_STEP_EMBED] = "embed"};

static PyObject *operation_give(const kh_step *step) {
    PyObject *parts[] = {PyUnicode_FromString(kinds[step->kind]), key_give(step->key),
                         batch_or_none(step->value)};
    return named_give(core.operation_type, parts, 3);
}

PyObject *operations_give(const kh_workspace *workspace) {
    PyObject *list = PyList_New(0);
    kh_step step;
    for (size_t i = 0; list != NULL && kh_workspace_operation(workspace, i, &step) == KH_OK; i++) {
        PyObject *operation = operation_give(&step);
        if (operation == NULL || PyList_Append(list, operation) < 0) Py_CLEAR(list);
        Py_XDECREF(operation);
    }
    return list;
}

static PyObject *get_operations(PyObject *self, void *closure) {
    (void)closure;
    if (!txn_enter(of(self))) return NULL;
    PyObject *list = operations_give(of(self)->workspace);
    txn_leave(of(self));
    return list;
}

static PyObject *keys_list(const kh_workspace *workspace) {
    size_t count = kh_workspace_affected_keys(workspace, NULL, 0);
    kh_bytes *keys = malloc((count + 1) * sizeof *keys);
    if (keys == NULL) return PyErr_NoMemory();
    (void)kh_workspace_affected_keys(workspace, keys, count);
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *key = key_give(keys[i]);
        if (key == NULL || PyList_SetItem(list, (Py_ssize_t)i, key) < 0) Py_CLEAR(list);
    }
    free(keys);
    return list;
}

static PyObject *get_affected_keys(PyObject *self, void *closure) {
    (void)closure;
    if (!txn_enter(of(self))) return NULL;
    PyObject *list = keys_list(of(self)->workspace);
    txn_leave(of(self));
    return list;
}

/* ---- all that are open ----------------------------------------------------------------------- */

struct open_list {
    kh_workspace_entry *entries;
    size_t count;
    size_t capacity;
    bool has_failed;
};

/* Without the interpreter lock. */
static bool add_open(void *context, const kh_workspace_entry *entry) {
    struct open_list *open = context;
    if (open->count == open->capacity) {
        size_t capacity = 2 * open->capacity + 16;
        kh_workspace_entry *entries = realloc(open->entries, capacity * sizeof *entries);
        open->has_failed = entries == NULL;
        if (open->has_failed) return false;
        open->entries = entries;
        open->capacity = capacity;
    }
    open->entries[open->count] = *entry;
    if (entry->delta != NULL) open->entries[open->count].delta = kh_delta_retain(entry->delta);
    open->count++;
    return true;
}

/* Takes over the delta. */
static PyObject *open_give(const kh_workspace_entry *entry) {
    PyObject *parts[] = {txn_id_give(entry->id),
                         PyUnicode_FromString(states[entry->state]),
                         PyUnicode_FromString(mode_name(entry->mode)),
                         PyFloat_FromDouble((double)entry->age_ms / 1000.0),
                         PyLong_FromSize_t(entry->operation_count),
                         entry->delta == NULL ? Py_NewRef(Py_None)
                                              : delta_give((kh_delta *)(uintptr_t)entry->delta)};
    return named_give(core.open_workspace_type, parts, 6);
}

static PyObject *open_list_give(struct open_list *open) {
    PyObject *list = PyList_New(0);
    for (size_t i = 0; i < open->count; i++) {
        PyObject *entry = open_give(&open->entries[i]); /* also when it is of no use any more */
        if (list != NULL && (entry == NULL || PyList_Append(list, entry) < 0)) Py_CLEAR(list);
        Py_XDECREF(entry);
    }
    return list;
}

PyObject *database_workspaces(PyObject *self, PyObject *unused) {
    database_object *database = (database_object *)self;
    struct open_list open = {NULL, 0, 0, false};
    kh_error error = {""};
    kh_status status;
    (void)unused;
    if (!database_enter(database)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    status = kh_db_workspaces(database->db, add_open, &open, &error);
    Py_END_ALLOW_THREADS
    database_leave(database);
    if (open.has_failed) status = KH_NO_MEMORY;
    PyObject *list = open_list_give(&open);
    free(open.entries);
    if (status == KH_OK) return list;
    Py_XDECREF(list);
    return raise_status(status, &error);
}

PyObject *database_cancel_workspace(PyObject *self, PyObject *argument) {
    database_object *database = (database_object *)self;
    kh_txn_id id;
    kh_error error = {""};
    if (!txn_id_take(argument, &id) || !database_enter(database)) return NULL;
    kh_status status = kh_db_remove_workspace(database->db, id, &error);
    database_leave(database);
    if (status != KH_OK) return raise_status(status, &error);
    Py_RETURN_NONE;
}

PyGetSetDef workspace_properties[] = {
    {"state", get_state, NULL, "active, committing, committed, rolled_back or failed.", NULL},
    {"cause", get_cause, NULL, "Why it has failed: the name of a status; None: it has not.", NULL},
    {"delta", get_delta, NULL,
     "What its change means, once both sides are set or it was computed; None before.", NULL},
    {"age", get_age, NULL, "Seconds since it began, or was retried.", NULL},
    {"operations", get_operations, NULL, "What it has done, in order: (kind, key, value).", NULL},
    {"affected_keys", get_affected_keys, NULL, "The keys of its operations, each once.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};
