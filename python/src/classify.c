/* classify.c - what deltas are to each other: classes, all pairs, an order to merge in. */
#include "core.h"

#include <stdlib.h>

bool thresholds_take(PyObject *object, kh_delta_thresholds *out) {
    *out = (kh_delta_thresholds)KH_DELTA_THRESHOLDS_INIT;
    if (object == Py_None) return true;
    if (!PyTuple_Check(object)) {
        PyErr_SetString(PyExc_TypeError, "thresholds is a khonsu.Thresholds");
        return false;
    }
    return PyArg_ParseTuple(object, "fffff;thresholds is a khonsu.Thresholds", &out->orthogonal,
                            &out->identical, &out->opposite, &out->conflicting, &out->jaccard);
}

static bool delta_or_null(PyObject *object, const kh_delta **out) {
    *out = NULL;
    return object == Py_None || delta_take(object, out);
}

static PyObject *classify(PyObject *module, PyObject *args) {
    PyObject *objects[2];
    PyObject *limits = Py_None;
    const kh_delta *deltas[2];
    kh_delta_thresholds thresholds;
    float cosine = 0;
    (void)module;
    if (!PyArg_ParseTuple(args, "OO|O:_classify", &objects[0], &objects[1], &limits) ||
        !delta_or_null(objects[0], &deltas[0]) || !delta_or_null(objects[1], &deltas[1]) ||
        !thresholds_take(limits, &thresholds))
        return NULL;
    kh_delta_class kind = kh_delta_classify(deltas[0], deltas[1], &thresholds, &cosine);
    PyObject *parts[] = {PyUnicode_FromString(kh_delta_class_name(kind)),
                         PyFloat_FromDouble((double)cosine)};
    return named_give(core.classified_type, parts, 2);
}

/* ---- many ------------------------------------------------------------------------------------ */

struct pairs {
    PyObject *list;
    bool is_failed;
};

static bool add_pair(void *context, size_t i, size_t j, kh_delta_class kind, float cosine) {
    struct pairs *pairs = context;
    PyObject *parts[] = {PyLong_FromSize_t(i), PyLong_FromSize_t(j),
                         PyUnicode_FromString(kh_delta_class_name(kind)),
                         PyFloat_FromDouble((double)cosine)};
    PyObject *pair = named_give(core.pair_type, parts, 4);
    pairs->is_failed = pair == NULL || PyList_Append(pairs->list, pair) < 0;
    Py_XDECREF(pair);
    return !pairs->is_failed;
}

static PyObject *classify_all(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"deltas", "thresholds", NULL};
    PyObject *object;
    PyObject *limits = Py_None;
    struct deltas deltas;
    kh_delta_thresholds thresholds;
    (void)module;
    if (!arguments_take(args, kwargs, "O|O:classify_all", names, &object, &limits) ||
        !thresholds_take(limits, &thresholds) || !deltas_take(object, true, &deltas))
        return NULL;
    struct pairs pairs = {PyList_New(0), false};
    if (pairs.list != NULL)
        (void)kh_delta_classify_all(deltas.items, deltas.count, &thresholds, add_pair, &pairs);
    if (pairs.is_failed) Py_CLEAR(pairs.list);
    deltas_drop(&deltas);
    return pairs.list;
}

static PyObject *order_give(const size_t *order, size_t count) {
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *index = PyLong_FromSize_t(order[i]);
        if (index == NULL || PyList_SetItem(list, (Py_ssize_t)i, index) < 0) Py_CLEAR(list);
    }
    return list;
}

static PyObject *merge_order(PyObject *module, PyObject *object) {
    struct deltas deltas;
    kh_error error = {""};
    kh_status status = KH_NO_MEMORY;
    (void)module;
    if (!deltas_take(object, false, &deltas)) return NULL;
    size_t *order = malloc((deltas.count + 1) * sizeof *order);
    if (order != NULL) {
        Py_BEGIN_ALLOW_THREADS
        status = kh_delta_merge_order(deltas.items, deltas.count, order, &error);
        Py_END_ALLOW_THREADS
    }
    PyObject *out =
        status == KH_OK ? order_give(order, deltas.count) : raise_status(status, &error);
    free(order);
    deltas_drop(&deltas);
    return out;
}

PyMethodDef classify_methods[] = {
    {"_classify", classify, METH_VARARGS, "The class of two deltas, and their cosine."},
    {"classify_all", KEYWORDS(classify_all), METH_VARARGS | METH_KEYWORDS,
     "classify_all(deltas, thresholds=None)\n--\n\nEvery pair (first, second, kind, cosine) of a "
     "sequence of deltas, None among them, by their indexes."},
    {"merge_order", merge_order, METH_O,
     "merge_order(deltas)\n--\n\nA greedy order to merge deltas in, as indexes: each is as little "
     "similar as can be to those before."},
    {NULL, NULL, 0, NULL}};
