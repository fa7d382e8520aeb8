/* delta.c - khonsu.Delta: what a change means (khonsu/delta.h). Immutable: for any thread. */
#include "core.h"

#include <stdlib.h>

typedef struct delta_object {
    PyObject_HEAD
    kh_delta *delta;
} delta_object;

static const kh_delta *of(PyObject *self) {
    return ((delta_object *)self)->delta;
}

PyObject *delta_give(kh_delta *delta) {
    delta_object *object = PyObject_New(delta_object, core.delta_type);
    if (object == NULL) {
        kh_delta_release(delta);
        return NULL;
    }
    object->delta = delta;
    return (PyObject *)object;
}

static PyObject *answer(kh_status status, kh_delta *delta, const kh_error *error) {
    return status == KH_OK ? delta_give(delta) : raise_status(status, error);
}

bool delta_take(PyObject *object, const kh_delta **out) {
    if (!Py_IS_TYPE(object, core.delta_type)) {
        PyErr_Format(PyExc_TypeError, "a khonsu.Delta was expected, not %R",
                     (PyObject *)Py_TYPE(object));
        return false;
    }
    *out = of(object);
    return true;
}

static void delta_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    kh_delta_release(((delta_object *)self)->delta);
    PyObject_Free(self);
    Py_DECREF(type);
}

/* ---- making one ------------------------------------------------------------------------------ */

/* Of one side: a delta as it stands. */
static PyObject *build(const struct floats *before, const struct floats *after, PyObject *names,
                       PyObject *transaction) {
    kh_delta_options options = KH_DELTA_OPTIONS_INIT;
    struct keys keys = {NULL, NULL, NULL, 0};
    kh_delta *delta = NULL;
    kh_error error = {""};
    kh_status status;
    if (transaction != Py_None && !txn_id_take(transaction, &options.txn)) return NULL;
    if (names != NULL && !keys_take(names, &keys)) return NULL;
    options.keys = keys.spans;
    options.key_count = keys.count;
    kh_floats end = {after->values, after->count};
    Py_BEGIN_ALLOW_THREADS
    status = before == NULL ? kh_delta_build(NULL, end, &options, &delta, &error)
                            : kh_delta_between(NULL, (kh_floats){before->values, before->count},
                                               end, &options, &delta, &error);
    Py_END_ALLOW_THREADS
    keys_drop(&keys);
    return answer(status, delta, &error);
}

static PyObject *delta_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"values", "keys", "transaction", NULL};
    PyObject *object;
    PyObject *keys = NULL;
    PyObject *transaction = Py_None;
    struct floats values;
    (void)type;
    if (!arguments_take(args, kwargs, "O|OO:Delta", names, &object, &keys, &transaction) ||
        !floats_take(object, &values))
        return NULL;
    PyObject *out = build(NULL, &values, keys, transaction);
    floats_drop(&values);
    return out;
}

static PyObject *delta_between(PyObject *unused, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"before", "after", "keys", "transaction", NULL};
    PyObject *objects[2];
    PyObject *keys = NULL;
    PyObject *transaction = Py_None;
    struct floats before;
    struct floats after;
    (void)unused;
    if (!arguments_take(args, kwargs, "OO|OO:between", names, &objects[0], &objects[1], &keys,
                        &transaction) ||
        !floats_take(objects[0], &before))
        return NULL;
    PyObject *out = NULL;
    if (floats_take(objects[1], &after)) {
        out = build(&before, &after, keys, transaction);
        floats_drop(&after);
    }
    floats_drop(&before);
    return out;
}

static PyObject *delta_from_bytes(PyObject *unused, PyObject *object) {
    char *bytes;
    Py_ssize_t size;
    kh_delta *delta = NULL;
    kh_error error = {""};
    (void)unused;
    if (PyBytes_AsStringAndSize(object, &bytes, &size) < 0) return NULL;
    kh_status status = kh_delta_decode(NULL, (kh_bytes){bytes, (size_t)size}, &delta, &error);
    return answer(status, delta, &error);
}

/* ---- making one of others -------------------------------------------------------------------- */

static PyObject *delta_add(PyObject *left, PyObject *right) {
    kh_delta *sum = NULL;
    kh_error error = {""};
    if (!Py_IS_TYPE(left, core.delta_type) || !Py_IS_TYPE(right, core.delta_type))
        Py_RETURN_NOTIMPLEMENTED;
    kh_status status = kh_delta_add(of(left), of(right), &sum, &error);
    return answer(status, sum, &error);
}

static PyObject *delta_scale(PyObject *left, PyObject *right) {
    bool is_left = Py_IS_TYPE(left, core.delta_type);
    PyObject *number = is_left ? right : left;
    kh_delta *scaled = NULL;
    kh_error error = {""};
    if (!PyFloat_Check(number) && !PyLong_Check(number)) Py_RETURN_NOTIMPLEMENTED;
    double factor = PyFloat_AsDouble(number);
    if (factor == -1.0 && PyErr_Occurred()) return NULL;
    kh_status status = kh_delta_scale(of(is_left ? left : right), (float)factor, &scaled, &error);
    return answer(status, scaled, &error);
}

static PyObject *delta_project(PyObject *self, PyObject *object) {
    const kh_delta *other;
    kh_delta *rest = NULL;
    kh_error error = {""};
    if (!delta_take(object, &other)) return NULL;
    kh_status status = kh_delta_project(of(self), other, &rest, &error);
    return answer(status, rest, &error);
}

bool deltas_take(PyObject *object, bool with_none, struct deltas *out) {
    *out = (struct deltas){PySequence_List(object), NULL, 0};
    if (out->list == NULL) return false;
    out->count = (size_t)PyList_Size(out->list);
    out->items = calloc(out->count + 1, sizeof(kh_delta *));
    bool is_taken = out->items != NULL;
    if (!is_taken) (void)PyErr_NoMemory();
    for (size_t i = 0; is_taken && i < out->count; i++) {
        PyObject *item = PyList_GetItem(out->list, (Py_ssize_t)i);
        if (!with_none || item != Py_None) is_taken = delta_take(item, &out->items[i]);
    }
    if (!is_taken) deltas_drop(out);
    return is_taken;
}

void deltas_drop(struct deltas *deltas) {
    free(deltas->items);
    Py_CLEAR(deltas->list);
}

static PyObject *average(const struct deltas *deltas, const struct floats *weights) {
    kh_delta *mean = NULL;
    kh_error error = {""};
    kh_status status;
    if (weights->count != deltas->count)
        return PyErr_Format(PyExc_ValueError, "%zu weights for %zu deltas", weights->count,
                            deltas->count);
    Py_BEGIN_ALLOW_THREADS
    status = kh_delta_average(deltas->items, weights->values, deltas->count, &mean, &error);
    Py_END_ALLOW_THREADS
    return answer(status, mean, &error);
}

static bool weights_take(PyObject *object, size_t count, struct floats *out) {
    if (object != Py_None) return floats_take(object, out);
    *out = (struct floats){malloc((count + 1) * sizeof(float)), count};
    if (out->values == NULL) (void)PyErr_NoMemory();
    for (size_t i = 0; out->values != NULL && i < count; i++) out->values[i] = 1.0f;
    return out->values != NULL;
}

static PyObject *delta_average(PyObject *unused, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"deltas", "weights", NULL};
    PyObject *object;
    PyObject *numbers = Py_None;
    struct deltas deltas;
    struct floats weights;
    PyObject *out = NULL;
    (void)unused;
    if (!arguments_take(args, kwargs, "O|O:average", names, &object, &numbers) ||
        !deltas_take(object, false, &deltas))
        return NULL;
    if (weights_take(numbers, deltas.count, &weights)) {
        out = average(&deltas, &weights);
        floats_drop(&weights);
    }
    deltas_drop(&deltas);
    return out;
}

/* ---- comparing ------------------------------------------------------------------------------- */

typedef kh_status metric_fn(const kh_delta *a, const kh_delta *b, float *out);

static PyObject *measure(PyObject *self, PyObject *object, metric_fn *metric) {
    const kh_delta *other;
    float value = 0;
    if (!delta_take(object, &other)) return NULL;
    if (metric(of(self), other, &value) != KH_OK)
        return raise_words(KH_INVALID, "the deltas have different dimensions");
    return PyFloat_FromDouble((double)value);
}

#define METRIC(name)                                                                               \
    static PyObject *delta_##name(PyObject *self, PyObject *other) {                               \
        return measure(self, other, kh_delta_##name);                                              \
    }
METRIC(cosine)
METRIC(angular)
METRIC(euclidean)
METRIC(jaccard)
METRIC(weighted_jaccard)

static PyObject *delta_shared_keys(PyObject *self, PyObject *object) {
    const kh_delta *other;
    if (!delta_take(object, &other)) return NULL;
    return PyLong_FromSize_t(kh_delta_shared_keys(of(self), other));
}

/* ---- looking at one -------------------------------------------------------------------------- */

static Py_ssize_t delta_length(PyObject *self) {
    return (Py_ssize_t)kh_delta_dimension(of(self));
}

static PyObject *get_values(PyObject *self, void *closure) {
    size_t count = kh_delta_dimension(of(self));
    float *values = malloc(count * sizeof *values);
    PyObject *list = NULL;
    (void)closure;
    if (values == NULL) return PyErr_NoMemory();
    kh_delta_values(of(self), values);
    list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *number = PyFloat_FromDouble((double)values[i]);
        if (number == NULL || PyList_SetItem(list, (Py_ssize_t)i, number) < 0) Py_CLEAR(list);
    }
    free(values);
    return list;
}

PyObject *delta_keys_give(const kh_delta *delta) {
    size_t count = delta == NULL ? 0 : kh_delta_key_count(delta);
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *key = key_give(kh_delta_key(delta, i));
        if (key == NULL || PyList_SetItem(list, (Py_ssize_t)i, key) < 0) Py_CLEAR(list);
    }
    return list;
}

static PyObject *get_keys(PyObject *self, void *closure) {
    (void)closure;
    return delta_keys_give(of(self));
}

static PyObject *get_transaction(PyObject *self, void *closure) {
    kh_txn_id id = kh_delta_txn(of(self));
    (void)closure;
    if (id.low == 0) Py_RETURN_NONE;
    return txn_id_give(id);
}

static PyObject *get_magnitude(PyObject *self, void *closure) {
    (void)closure;
    return PyFloat_FromDouble((double)kh_delta_magnitude(of(self)));
}

static PyObject *get_filled(PyObject *self, void *closure) {
    (void)closure;
    return PyLong_FromSize_t(kh_delta_filled(of(self)));
}

static PyObject *get_is_sparse(PyObject *self, void *closure) {
    (void)closure;
    return PyBool_FromLong(kh_delta_is_sparse(of(self)));
}

static PyObject *get_nbytes(PyObject *self, void *closure) {
    (void)closure;
    return PyLong_FromUnsignedLongLong(kh_delta_size_bytes(of(self)));
}

static PyObject *delta_to_bytes(PyObject *self, PyObject *unused) {
    kh_bytes bytes = {NULL, 0};
    kh_error error = {""};
    (void)unused;
    kh_status status = kh_delta_encode(of(self), &bytes, &error);
    if (status != KH_OK) return raise_status(status, &error);
    PyObject *out = PyBytes_FromStringAndSize(bytes.data, (Py_ssize_t)bytes.size_bytes);
    kh_bytes_free(bytes);
    return out;
}

static PyObject *delta_repr(PyObject *self) {
    char text[160];
    (void)PyOS_snprintf(text, sizeof text, "<khonsu.Delta: %zu values%s, magnitude %.4g, %zu keys>",
                        kh_delta_dimension(of(self)),
                        kh_delta_is_sparse(of(self)) ? ", sparse" : "",
                        (double)kh_delta_magnitude(of(self)), kh_delta_key_count(of(self)));
    return PyUnicode_FromString(text);
}

static PyMethodDef methods[] = {
    {"between", KEYWORDS(delta_between), METH_VARARGS | METH_KEYWORDS | METH_STATIC,
     "between(before, after, keys=(), transaction=None)\n--\n\nAfter minus before, rounded once."},
    {"average", KEYWORDS(delta_average), METH_VARARGS | METH_KEYWORDS | METH_STATIC,
     "average(deltas, weights=None)\n--\n\nThe mean by weights (None: all the same), with all "
     "keys."},
    {"from_bytes", delta_from_bytes, METH_O | METH_STATIC,
     "from_bytes(data)\n--\n\nThe delta that to_bytes gave; CorruptError."},
    {"to_bytes", delta_to_bytes, METH_NOARGS,
     "to_bytes()\n--\n\nThe delta as bytes: the same ones for equal deltas."},
    {"project", delta_project, METH_O,
     "project(other)\n--\n\nWhat of it does not conflict: without its component along other."},
    {"cosine", delta_cosine, METH_O,
     "cosine(other)\n--\n\nOf the angle between them; 0 when one of them is zero."},
    {"angular", delta_angular, METH_O,
     "angular(other)\n--\n\nThe angle as a part of a half turn: 0 the same, 1 opposite."},
    {"euclidean", delta_euclidean, METH_O,
     "euclidean(other)\n--\n\nThe length of their difference."},
    {"jaccard", delta_jaccard, METH_O,
     "jaccard(other)\n--\n\nOf the positions that one of them fills, the part that both do."},
    {"weighted_jaccard", delta_weighted_jaccard, METH_O,
     "weighted_jaccard(other)\n--\n\nThe same, weighed by the sizes of the values."},
    {"shared_keys", delta_shared_keys, METH_O,
     "shared_keys(other)\n--\n\nHow many keys both have."},
    {NULL, NULL, 0, NULL}};

static PyGetSetDef properties[] = {
    {"values", get_values, NULL, "All values, zeros included, as a list of floats.", NULL},
    {"keys", get_keys, NULL, "The keys of the change, in order.", NULL},
    {"transaction", get_transaction, NULL, "Id of the transaction; None: of none.", NULL},
    {"magnitude", get_magnitude, NULL, "Its length; 0: the zero delta.", NULL},
    {"filled", get_filled, NULL, "How many values are not zero.", NULL},
    {"is_sparse", get_is_sparse, NULL, "Whether less than half of them are.", NULL},
    {"nbytes", get_nbytes, NULL, "Bytes that it keeps alive.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Delta(values, keys=(), transaction=None)\n--\n\nWhat a change means: an embedding "
                "after it minus the one before; with the keys that it touches. Immutable."},
    {Py_tp_new, delta_new},
    {Py_tp_dealloc, delta_dealloc},
    {Py_tp_repr, delta_repr},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {Py_nb_add, delta_add},
    {Py_nb_multiply, delta_scale},
    {Py_sq_length, delta_length},
    {0, NULL}};
static PyType_Spec spec = {"khonsu.Delta", sizeof(delta_object), 0, Py_TPFLAGS_DEFAULT, slots};

bool delta_ready(PyObject *module) {
    core.delta_type = type_ready(module, &spec, "Delta");
    return core.delta_type != NULL;
}
