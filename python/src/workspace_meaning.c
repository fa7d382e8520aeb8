/* workspace_meaning.c - the embedding of a workspace's change, and who fits beside it.
 *
 * The library would call an embed function from within the commit, with the number of dimensions
 * told at begin. Here it is called before the commit, with nothing held: so it may read through the
 * workspace, and its arrays say themselves how long they are. */
#include "workspace.h"

#include <stdlib.h>

static txn_object *of(PyObject *self) {
    return (txn_object *)self;
}

/* ---- two sides ------------------------------------------------------------------------------- */

typedef kh_status set_fn(kh_workspace *workspace, kh_floats values, kh_error *error);

static bool set_side(txn_object *txn, PyObject *object, set_fn *set, _Atomic bool *is_set) {
    struct floats floats;
    kh_error error = {""};
    bool is_done = false;
    if (!floats_take(object, &floats)) return false;
    if (txn_enter(txn)) {
        kh_status status = set(txn->workspace, (kh_floats){floats.values, floats.count}, &error);
        is_done = status == KH_OK;
        if (is_done) {
            *is_set = true;
        } else {
            (void)raise_of_txn(status, &error, txn, NULL);
        }
        txn_leave(txn);
    }
    floats_drop(&floats);
    return is_done;
}

static PyObject *workspace_before(PyObject *self, PyObject *values) {
    txn_object *txn = of(self);
    if (!set_side(txn, values, kh_workspace_set_before, &txn->has_before)) return NULL;
    Py_RETURN_NONE;
}

static PyObject *workspace_after(PyObject *self, PyObject *values) {
    txn_object *txn = of(self);
    if (!set_side(txn, values, kh_workspace_set_after, &txn->has_after)) return NULL;
    Py_RETURN_NONE;
}

/* ---- the embed function ---------------------------------------------------------------------- */

/* The list of operations when it is the function's turn; NULL without an exception: it is not. */
static PyObject *asked(txn_object *txn, bool is_wanted) {
    PyObject *operations = NULL;
    if (!txn_enter(txn)) return NULL;
    bool is_active = kh_workspace_state_of(txn->workspace) == KH_WORKSPACE_ACTIVE;
    bool is_set = txn->has_before && txn->has_after;
    if (is_active && !is_set && (is_wanted || txn->has_written))
        operations = operations_give(txn->workspace);
    txn_leave(txn);
    return operations;
}

/* What was set by a call stays. */
static bool set_sides(txn_object *txn, PyObject *answer) {
    if (answer == Py_None) return true;
    PyObject *sides = PySequence_List(answer);
    if (sides == NULL) return false;
    bool is_set = PyList_Size(sides) == 2;
    if (!is_set) PyErr_SetString(PyExc_ValueError, "embed answers (before, after), or None");
    if (is_set && !txn->has_before)
        is_set = set_side(txn, PyList_GetItem(sides, 0), kh_workspace_set_before, &txn->has_before);
    if (is_set && !txn->has_after)
        is_set = set_side(txn, PyList_GetItem(sides, 1), kh_workspace_set_after, &txn->has_after);
    Py_DECREF(sides);
    return is_set;
}

static bool call_embed(txn_object *txn, bool is_wanted) {
    if (!txn->is_begun || txn->embed == NULL) return true;
    PyObject *operations = asked(txn, is_wanted);
    if (operations == NULL) return !PyErr_Occurred();
    PyObject *answer = PyObject_CallFunctionObjArgs(txn->embed, operations, NULL);
    Py_DECREF(operations);
    bool is_set = answer != NULL && set_sides(txn, answer);
    Py_XDECREF(answer);
    return is_set;
}

bool workspace_bring(txn_object *txn) {
    return call_embed(txn, false);
}

/* ---- the delta ------------------------------------------------------------------------------- */

static bool compute(txn_object *txn) {
    kh_error error = {""};
    kh_status status;
    Py_BEGIN_ALLOW_THREADS
    status = kh_workspace_compute_delta(txn->workspace, &error);
    Py_END_ALLOW_THREADS
    if (status != KH_OK) (void)raise_of_txn(status, &error, txn, NULL);
    return status == KH_OK;
}

static bool has_delta(const txn_object *txn) {
    kh_delta *delta = NULL;
    if (kh_workspace_delta(txn->workspace, &delta) != KH_OK) return false;
    kh_delta_release(delta);
    return true;
}

bool workspace_settle(txn_object *txn) {
    bool is_active = kh_workspace_state_of(txn->workspace) == KH_WORKSPACE_ACTIVE;
    if (!is_active || !txn->has_before || !txn->has_after || has_delta(txn)) return true;
    return compute(txn);
}

static PyObject *workspace_compute_delta(PyObject *self, PyObject *unused) {
    txn_object *txn = of(self);
    kh_delta *delta = NULL;
    (void)unused;
    if (!call_embed(txn, true) || !txn_enter(txn)) return NULL;
    if (compute(txn) && kh_workspace_delta(txn->workspace, &delta) != KH_OK) delta = NULL;
    txn_leave(txn);
    return delta == NULL ? NULL : delta_give(delta);
}

/* ---- who fits -------------------------------------------------------------------------------- */

struct search {
    bool is_against;
    float threshold;
    uint64_t window_ms;
};

static kh_status find(const kh_workspace *workspace, const struct search *search, kh_candidate *out,
                      size_t capacity, size_t *count, kh_error *error) {
    return search->is_against
               ? kh_workspace_find_conflicts(workspace, search->window_ms, out, capacity, count,
                                             error)
               : kh_workspace_find_merge_candidates(workspace, search->threshold, search->window_ms,
                                                    out, capacity, count, error);
}

/* Others come and go: again until there was room for all. */
static kh_status find_all(const kh_workspace *workspace, const struct search *search,
                          kh_candidate **out, size_t *count, kh_error *error) {
    size_t capacity = 16;
    for (;;) {
        kh_candidate *found = realloc(*out, capacity * sizeof *found);
        if (found == NULL) return KH_NO_MEMORY;
        *out = found;
        kh_status status = find(workspace, search, found, capacity, count, error);
        if (status != KH_OK || *count <= capacity) return status;
        capacity = *count + *count / 4;
    }
}

static PyObject *candidate_give(const kh_candidate *candidate) {
    unsigned long long committed = candidate->committed;
    PyObject *parts[] = {txn_id_give(candidate->id),
                         committed == 0 ? Py_NewRef(Py_None)
                                        : PyLong_FromUnsignedLongLong(committed),
                         PyUnicode_FromString(kh_delta_class_name(candidate->kind)),
                         PyFloat_FromDouble((double)candidate->similarity),
                         PyLong_FromSize_t(candidate->shared_keys)};
    return named_give(core.candidate_type, parts, 5);
}

static PyObject *candidates_give(const kh_candidate *found, size_t count) {
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *candidate = candidate_give(&found[i]);
        if (candidate == NULL || PyList_Append(list, candidate) < 0) Py_CLEAR(list);
        Py_XDECREF(candidate);
    }
    return list;
}

/* With the workspace held. */
static PyObject *look_held(txn_object *txn, const struct search *search) {
    kh_candidate *found = NULL;
    size_t count = 0;
    kh_error error = {""};
    kh_status status;
    if (!has_delta(txn) && !compute(txn)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    status = find_all(txn->workspace, search, &found, &count, &error);
    Py_END_ALLOW_THREADS
    PyObject *out =
        status == KH_OK ? candidates_give(found, count) : raise_of_txn(status, &error, txn, NULL);
    free(found);
    return out;
}

static PyObject *look(txn_object *txn, const struct search *search) {
    if (!call_embed(txn, true) || !txn_enter(txn)) return NULL;
    PyObject *out = look_held(txn, search);
    txn_leave(txn);
    return out;
}

static bool window_take(double seconds, struct search *search) {
    bool is_known = seconds >= 0 && seconds <= 1e12;
    if (!is_known) PyErr_SetString(PyExc_ValueError, "window is a number of seconds");
    if (is_known) search->window_ms = (uint64_t)(seconds * 1000.0);
    return is_known;
}

static PyObject *workspace_candidates(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"threshold", "window", NULL};
    struct search search = {false, 0.1f, 0};
    double window = 60.0;
    if (!arguments_take(args, kwargs, "|fd:merge_candidates", names, &search.threshold, &window) ||
        !window_take(window, &search))
        return NULL;
    return look(of(self), &search);
}

static PyObject *workspace_conflicts(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"window", NULL};
    struct search search = {true, 0, 0};
    double window = 60.0;
    if (!arguments_take(args, kwargs, "|d:conflicts", names, &window) ||
        !window_take(window, &search))
        return NULL;
    return look(of(self), &search);
}

PyMethodDef workspace_meaning_methods[] = {
    {"before", workspace_before, METH_O,
     "before(values)\n--\n\nWhat the data meant before: any sequence or buffer of numbers. Once."},
    {"after", workspace_after, METH_O,
     "after(values)\n--\n\nWhat it means after, with the same number of dimensions. Once."},
    {"compute_delta", workspace_compute_delta, METH_NOARGS,
     "compute_delta()\n--\n\nAfter minus before, now: from what was set, or by the embed function. "
     "Others see it from then on. MisuseError: it was computed, or a side is not set."},
    {"merge_candidates", KEYWORDS(workspace_candidates), METH_VARARGS | METH_KEYWORDS,
     "merge_candidates(threshold=0.1, window=60.0)\n--\n\nOpen workspaces that have a delta, and "
     "what was committed within so many seconds, with |cosine| below the threshold: the most "
     "orthogonal first."},
    {"conflicts", KEYWORDS(workspace_conflicts), METH_VARARGS | METH_KEYWORDS,
     "conflicts(window=60.0)\n--\n\nThe same for those that it is conflicting with or opposite "
     "to, the most similar first; without what is visible to its snapshot."},
    {NULL, NULL, 0, NULL}};
