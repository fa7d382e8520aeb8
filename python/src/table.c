/* table.c - khonsu.Table: the batches under some keys, as of one snapshot. */
#include "core.h"

#include <stdlib.h>

static table_object *of(PyObject *self) {
    return (table_object *)self;
}

/* Takes over the array and its references, and the list of keys. */
PyObject *table_give(const kh_schema *schema, kh_batch **batches, size_t count, PyObject *keys) {
    table_object *table = PyObject_New(table_object, core.table_type);
    if (table == NULL) {
        for (size_t i = 0; i < count; i++) kh_batch_release(batches[i]);
        free(batches);
        Py_DECREF(keys);
        return NULL;
    }
    table->schema = kh_schema_retain(schema);
    table->batches = batches;
    table->count = count;
    table->keys = keys;
    return (PyObject *)table;
}

static void table_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    table_object *table = of(self);
    for (size_t i = 0; i < table->count; i++) kh_batch_release(table->batches[i]);
    free(table->batches);
    kh_schema_release(table->schema);
    Py_XDECREF(table->keys);
    PyObject_Free(self);
    Py_DECREF(type);
}

static int64_t row_count(const table_object *table) {
    int64_t rows = 0;
    for (size_t i = 0; i < table->count; i++) rows += kh_batch_row_count(table->batches[i]);
    return rows;
}

static PyObject *get_num_rows(PyObject *self, void *closure) {
    (void)closure;
    return PyLong_FromLongLong(row_count(of(self)));
}

static PyObject *get_nbytes(PyObject *self, void *closure) {
    uint64_t bytes = 0;
    (void)closure;
    for (size_t i = 0; i < of(self)->count; i++) bytes += kh_batch_size_bytes(of(self)->batches[i]);
    return PyLong_FromUnsignedLongLong(bytes);
}

static PyObject *get_schema(PyObject *self, void *closure) {
    (void)closure;
    return schema_give(of(self)->schema);
}

static PyObject *get_column_names(PyObject *self, void *closure) {
    PyObject *schema = get_schema(self, closure);
    PyObject *names = schema == NULL ? NULL : PyObject_GetAttrString(schema, "names");
    Py_XDECREF(schema);
    return names;
}

static PyObject *get_keys(PyObject *self, void *closure) {
    (void)closure;
    return PySequence_List(of(self)->keys);
}

static PyObject *get_batches(PyObject *self, void *closure) {
    (void)closure;
    PyObject *list = PyList_New((Py_ssize_t)of(self)->count);
    for (size_t i = 0; list != NULL && i < of(self)->count; i++) {
        PyObject *batch = batch_or_none(of(self)->batches[i]);
        if (batch == NULL || PyList_SetItem(list, (Py_ssize_t)i, batch) < 0) Py_CLEAR(list);
    }
    return list;
}

static Py_ssize_t table_length(PyObject *self) {
    return (Py_ssize_t)row_count(of(self));
}

static PyObject *table_c_stream(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"requested_schema", NULL};
    PyObject *wish = NULL;
    if (!arguments_take(args, kwargs, "|O", names, &wish)) return NULL;
    return stream_capsule(of(self)->schema, of(self)->batches, of(self)->count);
}

static PyObject *table_c_schema(PyObject *self, PyObject *unused) {
    (void)unused;
    return schema_capsule(of(self)->schema);
}

static PyObject *table_pyarrow(PyObject *self, PyObject *unused) {
    (void)unused;
    return call_python("khonsu._convert", "to_pyarrow_table", self);
}

static PyObject *table_polars(PyObject *self, PyObject *unused) {
    (void)unused;
    return call_python("khonsu._convert", "to_polars", self);
}

static PyObject *table_pandas(PyObject *self, PyObject *unused) {
    (void)unused;
    return call_python("khonsu._convert", "to_pandas", self);
}

static PyObject *table_pylist(PyObject *self, PyObject *unused) {
    (void)unused;
    return call_python("khonsu._convert", "to_pylist", self);
}

static PyObject *table_repr(PyObject *self) {
    PyObject *schema = get_schema(self, NULL);
    if (schema == NULL) return NULL;
    PyObject *text =
        PyUnicode_FromFormat("<khonsu.Table: %lld rows under %zd keys, %R>",
                             (long long)row_count(of(self)), (Py_ssize_t)of(self)->count, schema);
    Py_DECREF(schema);
    return text;
}

static PyMethodDef methods[] = {
    {"to_pyarrow", table_pyarrow, METH_NOARGS,
     "to_pyarrow()\n--\n\nA pyarrow.Table over the same memory, a chunk for each key."},
    {"to_polars", table_polars, METH_NOARGS, "to_polars()\n--\n\nA polars.DataFrame."},
    {"to_pandas", table_pandas, METH_NOARGS, "to_pandas()\n--\n\nA pandas.DataFrame."},
    {"to_pylist", table_pylist, METH_NOARGS, "to_pylist()\n--\n\nA list of a dict for each row."},
    {"__arrow_c_stream__", KEYWORDS(table_c_stream), METH_VARARGS | METH_KEYWORDS,
     "The Arrow PyCapsule interface: no copy, as often as it is asked for."},
    {"__arrow_c_schema__", table_c_schema, METH_NOARGS, "The Arrow PyCapsule interface."},
    {NULL, NULL, 0, NULL}};

static PyGetSetDef properties[] = {
    {"num_rows", get_num_rows, NULL, "Rows of all batches.", NULL},
    {"nbytes", get_nbytes, NULL, "Bytes that the batches keep in memory.", NULL},
    {"schema", get_schema, NULL, "The khonsu.Schema that all of them have.", NULL},
    {"column_names", get_column_names, NULL, "Names of the columns.", NULL},
    {"keys", get_keys, NULL, "The keys, in the order of the batches.", NULL},
    {"batches", get_batches, NULL, "A khonsu.Batch for each key.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Batches of one schema under some keys, as of one snapshot (Transaction.table). "
                "Immutable; any thread; outlives its transaction and its database."},
    {Py_tp_dealloc, table_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {Py_tp_repr, table_repr},
    {Py_sq_length, table_length},
    {0, NULL}};
static PyType_Spec spec = {"khonsu.Table", sizeof(table_object), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};

bool table_ready(PyObject *module) {
    core.table_type = type_ready(module, &spec, "Table");
    return core.table_type != NULL;
}
