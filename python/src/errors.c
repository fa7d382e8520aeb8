/* errors.c - a status becomes an exception: a class of khonsu._errors with its details. */
#include "core.h"

#include <string.h>

bool errors_set(PyObject *by_number) {
    for (int number = 0; number < STATUS_MAX; number++) {
        PyObject *key = PyLong_FromLong(number);
        if (key == NULL) return false;
        PyObject *kind = PyDict_GetItemWithError(by_number, key);
        Py_DECREF(key);
        if (kind == NULL && PyErr_Occurred()) return false;
        /* Those of before, if this is done again, stay: another thread may be raising one. */
        core.exceptions[number] = Py_XNewRef(kind);
    }
    return true;
}

static bool set_detail(PyObject *exception, const char *name, PyObject *value) {
    if (value == NULL) return false;
    int code = PyObject_SetAttrString(exception, name, value);
    Py_DECREF(value);
    return code == 0;
}

static PyObject *make(kh_status status, const char *words) {
    PyObject *kind = (int)status < STATUS_MAX ? core.exceptions[status] : NULL;
    if (kind == NULL) {
        PyErr_Format(PyExc_RuntimeError, "%s: %s", kh_status_name(status), words);
        return NULL;
    }
    PyObject *text = PyUnicode_DecodeUTF8(words, (Py_ssize_t)strlen(words), "replace");
    if (text == NULL) return NULL;
    PyObject *exception = PyObject_CallFunctionObjArgs(kind, text, NULL);
    Py_DECREF(text);
    return exception;
}

static bool is_ours(PyObject *exception) {
    for (int number = 0; number < STATUS_MAX; number++)
        if ((PyObject *)Py_TYPE(exception) == core.exceptions[number]) return true;
    return false;
}

void raise_names(txn_object *txn) {
    PyObject *type;
    PyObject *value;
    PyObject *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    if (is_ours(value) && PyObject_SetAttrString(value, "workspace", (PyObject *)txn) < 0)
        PyErr_Clear();
    PyErr_Restore(type, value, trace);
}

static void raise_made(PyObject *exception) {
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    Py_DECREF(exception);
}

static const char *words_of(kh_status status, const kh_error *error) {
    return error != NULL && error->message[0] != '\0' ? error->message : kh_status_meaning(status);
}

PyObject *raise_words(kh_status status, const char *words) {
    PyObject *exception = make(status, words);
    if (exception != NULL) raise_made(exception);
    return NULL;
}

PyObject *raise_status(kh_status status, const kh_error *error) {
    return raise_words(status, words_of(status, error));
}

static bool add_details(PyObject *exception, kh_txn_id id, const kh_bytes *key,
                        const kh_conflict *conflict) {
    if (!set_detail(exception, "transaction", txn_id_give(id))) return false;
    if (conflict != NULL && conflict->key.size_bytes > 0) key = &conflict->key;
    if (key != NULL && !set_detail(exception, "key", key_give(*key))) return false;
    if (conflict == NULL) return true;
    if (conflict->rival != 0 &&
        !set_detail(exception, "rival", PyLong_FromUnsignedLongLong(conflict->rival)))
        return false;
    return conflict->holder.low == 0 ||
           set_detail(exception, "holder", txn_id_give(conflict->holder));
}

static const char *meaning_of(kh_status status, const kh_conflict *conflict) {
    bool is_together = conflict != NULL && conflict->rival == 0 && conflict->holder.low != 0;
    if (is_together && status == KH_CONFLICT)
        return "another workspace of the same commit writes this key";
    if (is_together && status == KH_NOT_SERIALIZABLE)
        return "workspaces of the same commit have read what each other writes";
    return kh_status_meaning(status);
}

/* A conflict's words name the key: the library leaves the text to whoever shows it. */
static PyObject *make_of_conflict(kh_status status, const kh_error *error,
                                  const kh_conflict *conflict) {
    if (error != NULL && error->message[0] != '\0') return make(status, error->message);
    const char *meaning = meaning_of(status, conflict);
    if (conflict == NULL || conflict->key.size_bytes == 0) return make(status, meaning);
    PyObject *key = key_give(conflict->key);
    if (key == NULL) return NULL;
    PyObject *text = PyUnicode_FromFormat("%s: %R", meaning, key);
    Py_DECREF(key);
    Py_ssize_t size = 0;
    const char *words = text == NULL ? NULL : PyUnicode_AsUTF8AndSize(text, &size);
    if (words == NULL) PyErr_Clear(); /* a key that is not UTF-8 */
    PyObject *exception = make(status, words == NULL ? meaning : words);
    Py_XDECREF(text);
    return exception;
}

/* As a KeyError is: its argument is the key as it was given. */
PyObject *raise_absent(txn_object *txn, PyObject *object) {
    PyObject *kind = core.exceptions[KH_NOT_FOUND];
    PyObject *exception =
        PyObject_CallFunctionObjArgs(kind == NULL ? PyExc_KeyError : kind, object, NULL);
    struct key key;
    if (exception == NULL) return NULL;
    bool is_made = key_take(object, &key);
    if (is_made) {
        is_made = add_details(exception, txn->id, &key.bytes, NULL);
        key_drop(&key);
    }
    if (is_made) {
        raise_made(exception);
    } else {
        Py_DECREF(exception);
    }
    return NULL;
}

static void restore_raised(txn_object *txn) {
    PyErr_Restore(txn->raised[0], txn->raised[1], txn->raised[2]);
    txn->raised[0] = txn->raised[1] = txn->raised[2] = NULL;
}

/* ---- of workspaces and locks ----------------------------------------------------------------- */

static PyObject *make_of_meaning(const kh_semantic_conflict *conflict) {
    char words[200];
    if (conflict->rival_delta == NULL)
        return make(KH_SEMANTIC_CONFLICT, "the snapshot is older than what is remembered of the "
                                          "deltas that were committed: nobody knows what it met");
    bool is_together = conflict->rival_commit == 0;
    const char *when = is_together ? "commits together with it" : "has committed meanwhile";
    (void)PyOS_snprintf(words, sizeof words, "%s to what transaction %llu %s, cosine %.2f",
                        kh_delta_class_name(conflict->kind),
                        (unsigned long long)conflict->rival.low, when,
                        (double)conflict->similarity);
    return make(KH_SEMANTIC_CONFLICT, words);
}

static bool add_meaning(PyObject *exception, const kh_semantic_conflict *conflict) {
    const kh_delta *delta = conflict->rival_delta;
    if (delta == NULL) return true;
    unsigned long long commit = conflict->rival_commit;
    return (commit == 0 || set_detail(exception, "rival", PyLong_FromUnsignedLongLong(commit))) &&
           set_detail(exception, "rival_transaction", txn_id_give(conflict->rival)) &&
           set_detail(exception, "kind",
                      PyUnicode_FromString(kh_delta_class_name(conflict->kind))) &&
           set_detail(exception, "similarity", PyFloat_FromDouble((double)conflict->similarity)) &&
           set_detail(exception, "keys", delta_keys_give(delta)) &&
           set_detail(exception, "delta", delta_give(kh_delta_retain(delta)));
}

enum { CYCLE_MAX = 8 }; /* as many as the library knows */

static bool add_cycle(PyObject *exception, const kh_txn *txn) {
    kh_txn_id ids[CYCLE_MAX];
    size_t count = 0;
    if (kh_txn_deadlock(txn, ids, CYCLE_MAX, &count) != KH_OK) return true;
    if (count > CYCLE_MAX) count = CYCLE_MAX;
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *id = txn_id_give(ids[i]);
        if (id == NULL || PyList_SetItem(list, (Py_ssize_t)i, id) < 0) Py_CLEAR(list);
    }
    return set_detail(exception, "cycle", list);
}

static bool add_special(PyObject *exception, kh_status status, const txn_object *txn,
                        const kh_semantic_conflict *meaning) {
    if (status == KH_SEMANTIC_CONFLICT && meaning != NULL) return add_meaning(exception, meaning);
    return status != KH_DEADLOCK || txn->txn == NULL || add_cycle(exception, txn->txn);
}

PyObject *raise_of_txn(kh_status status, const kh_error *error, txn_object *txn,
                       const kh_bytes *key) {
    kh_conflict conflict = {.size = sizeof conflict};
    bool has_conflict = txn->txn != NULL && kh_txn_conflict(txn->txn, &conflict) == KH_OK &&
                        conflict.status == status;
    if (status == KH_CONFLICT && txn->raised[0] != NULL) {
        restore_raised(txn);
        return NULL;
    }
    kh_semantic_conflict met = {.size = sizeof met};
    const kh_semantic_conflict *meaning = NULL;
    workspace_learn(txn, status);
    if (status == KH_SEMANTIC_CONFLICT && txn->workspace != NULL &&
        kh_workspace_semantic_conflict(txn->workspace, &met) == KH_OK)
        meaning = &met;
    PyObject *exception = meaning != NULL
                              ? make_of_meaning(meaning)
                              : make_of_conflict(status, error, has_conflict ? &conflict : NULL);
    if (exception == NULL) return NULL;
    kh_txn_id id = txn->workspace == NULL ? txn->id : kh_txn_get_id(txn->txn);
    if (!add_details(exception, id, key, has_conflict ? &conflict : NULL) ||
        !add_special(exception, status, txn, meaning)) {
        Py_DECREF(exception);
        return NULL;
    }
    raise_made(exception);
    return NULL;
}
