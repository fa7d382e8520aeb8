/* named.c - tuples with names: what is told about operations, candidates, pairs and workspaces. */
#include "core.h"

static PyStructSequence_Field operation_fields[] = {
    {"kind", "put, delete, update, compare_and_swap or embed"},
    {"key", NULL},
    {"value", "the Batch; None: a deletion"},
    {NULL, NULL}};
static PyStructSequence_Field candidate_fields[] = {
    {"id", "of the workspace or transaction"},
    {"committed", "timestamp of its commit; None: it is open"},
    {"kind", "the class of the two deltas"},
    {"similarity", "their cosine"},
    {"shared_keys", "how many keys both have"},
    {NULL, NULL}};
static PyStructSequence_Field classified_fields[] = {
    {"kind", "the class"}, {"cosine", "0 in the class none"}, {NULL, NULL}};
static PyStructSequence_Field pair_fields[] = {{"first", "its index"},
                                               {"second", "its index"},
                                               {"kind", "the class"},
                                               {"cosine", "0 in the class none"},
                                               {NULL, NULL}};
static PyStructSequence_Field open_fields[] = {{"id", NULL},
                                               {"state", NULL},
                                               {"mode", NULL},
                                               {"age", "in seconds"},
                                               {"operations", "how many"},
                                               {"delta", "None: none was computed"},
                                               {NULL, NULL}};

static PyTypeObject *make(PyObject *module, const char *name, PyStructSequence_Desc *description) {
    PyTypeObject *type = PyStructSequence_NewType(description);
    if (type != NULL && PyModule_AddObjectRef(module, name, (PyObject *)type) < 0) Py_CLEAR(type);
    return type;
}

bool named_ready(PyObject *module) {
    static PyStructSequence_Desc operation = {
        "khonsu.Operation", "One call of a workspace that changed something.", operation_fields, 3};
    static PyStructSequence_Desc candidate = {
        "khonsu.Candidate", "Another workspace, or what was committed a short while ago.",
        candidate_fields, 5};
    static PyStructSequence_Desc classified = {
        "khonsu.Classified", "What two deltas are to each other.", classified_fields, 2};
    static PyStructSequence_Desc pair = {
        "khonsu.Pair", "What two of many deltas are to each other.", pair_fields, 4};
    static PyStructSequence_Desc open = {"khonsu.OpenWorkspace", "A workspace as others see it.",
                                         open_fields, 6};
    core.operation_type = make(module, "Operation", &operation);
    core.candidate_type = make(module, "Candidate", &candidate);
    core.classified_type = make(module, "Classified", &classified);
    core.pair_type = make(module, "Pair", &pair);
    core.open_workspace_type = make(module, "OpenWorkspace", &open);
    return core.operation_type != NULL && core.candidate_type != NULL &&
           core.classified_type != NULL && core.pair_type != NULL &&
           core.open_workspace_type != NULL;
}

PyObject *named_give(PyTypeObject *type, PyObject *const *parts, int count) {
    PyObject *tuple = PyStructSequence_New(type);
    bool is_whole = tuple != NULL;
    for (int i = 0; i < count; i++) {
        is_whole = is_whole && parts[i] != NULL;
        if (tuple != NULL) {
            PyStructSequence_SetItem(tuple, i, parts[i]);
        } else {
            Py_XDECREF(parts[i]);
        }
    }
    if (!is_whole) Py_CLEAR(tuple);
    return tuple;
}
