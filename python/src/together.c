/* together.c - Database.commit_together: several workspaces as one commit (khonsu/workspace.h).
 *
 * As Workspace.commit does it with one: embed functions are called first, with nothing held, and
 * what they raise ends the call. Then all are held; the first that is in use, or closed, refuses
 * the call. Nobody waits for a workspace: calls that have some in common do not deadlock. */
#include "core.h"

#include <stdlib.h>

struct company {
    PyObject *tuple;      /* of the workspaces, which it keeps */
    txn_object **members; /* borrowed from it */
    kh_workspace **handles;
    size_t count;
    size_t held; /* the first of them are */
};

static void company_drop(struct company *company) {
    free(company->handles);
    free(company->members);
    Py_XDECREF(company->tuple);
}

/* An iterable may be code of others. False: an exception is set; drop it in any case. */
static bool company_take(PyObject *workspaces, struct company *out) {
    *out = (struct company){.tuple = PySequence_Tuple(workspaces)};
    if (out->tuple == NULL) return false;
    out->count = (size_t)PyTuple_Size(out->tuple);
    out->members = calloc(out->count + 1, sizeof(txn_object *));
    out->handles = calloc(out->count + 1, sizeof(kh_workspace *));
    if (out->members == NULL || out->handles == NULL) {
        (void)PyErr_NoMemory();
        return false;
    }
    for (size_t i = 0; i < out->count; i++) {
        PyObject *item = PyTuple_GetItem(out->tuple, (Py_ssize_t)i);
        if (!PyObject_TypeCheck(item, core.workspace_type)) {
            PyErr_SetString(PyExc_TypeError, "what commits together are workspaces");
            return false;
        }
        out->members[i] = (txn_object *)item;
    }
    return true;
}

/* The library says the same of handles: here it is before they are entered, one of them twice, and
 * before anything is computed for this call. */
static bool check(const database_object *database, const struct company *company) {
    for (size_t i = 0; i < company->count; i++) {
        txn_object *txn = company->members[i];
        const char *wrong = NULL;
        if (!txn->is_begun) {
            (void)raise_words(KH_FINISHED, "the transaction has not begun");
            raise_names(txn);
            return false;
        }
        if (txn->child.owner != database) wrong = "a workspace of another database";
        for (size_t j = 0; j < i; j++)
            if (company->members[j] == txn) wrong = "a workspace comes twice";
        if (wrong == NULL) continue;
        (void)raise_words(KH_INVALID, wrong);
        return false;
    }
    return true;
}

static bool bring(const struct company *company) {
    for (size_t i = 0; i < company->count; i++) {
        if (workspace_bring(company->members[i])) continue;
        raise_names(company->members[i]);
        return false;
    }
    return true;
}

static bool hold(struct company *company) {
    for (; company->held < company->count; company->held++) {
        if (txn_enter(company->members[company->held])) continue;
        raise_names(company->members[company->held]);
        return false;
    }
    return true;
}

static void leave(struct company *company) {
    while (company->held > 0) txn_leave(company->members[--company->held]);
}

/* By nobody in particular: when the log has failed all have, and the first one's id is as good as
 * another's to ask for the outcome. */
static PyObject *refuse(const struct company *company, kh_status status, size_t culprit,
                        const kh_error *error) {
    if (culprit < company->count) {
        (void)raise_of_txn(status, error, company->members[culprit], NULL);
        raise_names(company->members[culprit]);
        return NULL;
    }
    if (kh_status_classify(status) == KH_CLASS_ASK)
        return raise_of_txn(status, error, company->members[0], NULL);
    return raise_status(status, error);
}

static PyObject *commit_held(const struct company *company) {
    kh_timestamp timestamp = 0;
    size_t culprit = company->count;
    kh_error error = {""};
    kh_status status;
    for (size_t i = 0; i < company->count; i++) {
        txn_close_scans(company->members[i]);
        company->handles[i] = company->members[i]->workspace;
    }
    Py_BEGIN_ALLOW_THREADS
    status = kh_workspace_commit_together(company->handles, company->count, &timestamp, &culprit,
                                          &error);
    Py_END_ALLOW_THREADS
    for (size_t i = 0; i < company->count; i++) txn_settle(company->members[i], status, timestamp);
    if (status != KH_OK) return refuse(company, status, culprit, &error);
    for (size_t i = 0; i < company->count; i++)
        if (!txn_keep_resolved(company->members[i])) return NULL;
    return PyLong_FromUnsignedLongLong(timestamp);
}

static PyObject *commit(database_object *database, struct company *company) {
    PyObject *out = NULL;
    if (!database_enter(database)) return NULL; /* closed, or another process's */
    database_leave(database);
    if (!check(database, company) || !bring(company) || !database_enter(database)) return NULL;
    if (hold(company)) out = commit_held(company);
    leave(company);
    database_leave(database);
    return out;
}

PyObject *database_commit_together(PyObject *self, PyObject *workspaces) {
    struct company company;
    PyObject *out = NULL;
    if (company_take(workspaces, &company)) out = commit((database_object *)self, &company);
    company_drop(&company);
    return out;
}
