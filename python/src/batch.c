/* batch.c - khonsu.Batch: an immutable record batch, shared with the store. */
#include "core.h"
#include "examples.h"

#include <stdlib.h>
#include <string.h>

static const kh_batch *of(PyObject *self) {
    return ((batch_object *)self)->batch;
}

PyObject *batch_give(kh_batch *batch) {
    batch_object *object = PyObject_New(batch_object, core.batch_type);
    if (object == NULL) {
        kh_batch_release(batch);
        return NULL;
    }
    object->batch = batch;
    return (PyObject *)object;
}

PyObject *batch_or_none(const kh_batch *batch) {
    if (batch == NULL) Py_RETURN_NONE;
    return batch_give(kh_batch_retain(batch));
}

static PyObject *batch_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"rows", NULL};
    PyObject *rows;
    (void)type;
    if (!arguments_take(args, kwargs, "O:Batch", names, &rows)) return NULL;
    kh_batch *batch = rows_take(NULL, rows);
    return batch == NULL ? NULL : batch_give(batch);
}

static void batch_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    kh_batch_release(((batch_object *)self)->batch);
    PyObject_Free(self);
    Py_DECREF(type);
}

/* ---- values ---------------------------------------------------------------------------------- */

static bool column_take(const kh_schema *schema, PyObject *object, int64_t *out) {
    if (PyUnicode_Check(object)) {
        const char *name = text_take(object);
        if (name == NULL) return false;
        *out = kh_schema_find(schema, name);
        if (*out < 0) PyErr_SetObject(PyExc_KeyError, object);
        return *out >= 0;
    }
    *out = PyLong_AsLongLong(object);
    return *out != -1 || !PyErr_Occurred();
}

static PyObject *batch_value(PyObject *self, PyObject *const *args, Py_ssize_t count,
                             PyObject *keywords) {
    static const struct two usage = {"value(column, row=0)", {"column", "row"}, 1};
    PyObject *given[2] = {NULL, NULL};
    int64_t column;
    int64_t row = 0;
    if (!two_take(&usage, args, count, keywords, given) ||
        !column_take(kh_batch_schema(of(self)), given[0], &column))
        return NULL;
    if (given[1] != NULL) row = PyLong_AsLongLong(given[1]);
    if (row == -1 && PyErr_Occurred()) return NULL;
    return value_give(of(self), column, row);
}

static PyObject *batch_row(PyObject *self, PyObject *const *args, Py_ssize_t count,
                           PyObject *keywords) {
    static const struct two usage = {"row(row=0)", {"row", NULL}, 0};
    PyObject *given[2] = {NULL, NULL};
    int64_t columns = kh_schema_column_count(kh_batch_schema(of(self)));
    int64_t row = 0;
    if (!two_take(&usage, args, count, keywords, given)) return NULL;
    if (given[0] != NULL) row = PyLong_AsLongLong(given[0]);
    if (row == -1 && PyErr_Occurred()) return NULL;
    PyObject *tuple = PyTuple_New(columns);
    for (int64_t i = 0; tuple != NULL && i < columns; i++) {
        PyObject *value = value_give(of(self), i, row);
        if (value == NULL || PyTuple_SetItem(tuple, i, value) < 0) Py_CLEAR(tuple);
    }
    return tuple;
}

/* ---- batches of batches ---------------------------------------------------------------------- */

static PyObject *answer(kh_status status, kh_batch *batch, const kh_error *error) {
    return status == KH_OK ? batch_give(batch) : raise_status(status, error);
}

static PyObject *batch_take(PyObject *self, PyObject *argument) {
    PyObject *list = PySequence_List(argument);
    if (list == NULL) return NULL;
    Py_ssize_t count = PyList_Size(list);
    int64_t *indexes = malloc((size_t)(count + 1) * sizeof *indexes);
    PyObject *out = NULL;
    if (indexes == NULL) {
        (void)PyErr_NoMemory();
    } else {
        for (Py_ssize_t i = 0; i < count && !PyErr_Occurred(); i++)
            indexes[i] = PyLong_AsLongLong(PyList_GetItem(list, i));
        kh_batch *batch = NULL;
        kh_error error = {""};
        if (!PyErr_Occurred()) {
            kh_status status = kh_batch_take(of(self), indexes, count, &batch, &error);
            out = answer(status, batch, &error);
        }
    }
    free(indexes);
    Py_DECREF(list);
    return out;
}

static PyObject *batch_slice(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"offset", "length", NULL};
    long long offset = 0;
    PyObject *length_object = Py_None;
    if (!arguments_take(args, kwargs, "|LO:slice", names, &offset, &length_object)) return NULL;
    long long rows = kh_batch_row_count(of(self));
    long long length = offset >= 0 && offset <= rows ? rows - offset : 0;
    if (length_object != Py_None) length = PyLong_AsLongLong(length_object);
    if (length == -1 && PyErr_Occurred()) return NULL;
    kh_batch *batch = NULL;
    kh_error error = {""};
    kh_status status = kh_batch_slice(of(self), offset, length, &batch, &error);
    return answer(status, batch, &error);
}

static PyObject *batch_concat(PyObject *self, PyObject *argument) {
    kh_batch *rows = rows_take(NULL, argument);
    if (rows == NULL) return NULL;
    kh_batch *batch = NULL;
    kh_error error = {""};
    kh_status status;
    Py_BEGIN_ALLOW_THREADS
    status = kh_batch_concat(of(self), rows, &batch, &error);
    Py_END_ALLOW_THREADS
    kh_batch_release(rows);
    return answer(status, batch, &error);
}

typedef kh_status rows_fn(const kh_batch *base, const kh_batch *rows, const char *id_column,
                          kh_batch **out, kh_error *error);

static PyObject *change_rows(PyObject *self, PyObject *args, PyObject *kwargs, rows_fn *change) {
    static char *names[] = {"rows", "on", NULL};
    PyObject *object;
    const char *on = "id";
    if (!arguments_take(args, kwargs, "O|s", names, &object, &on)) return NULL;
    kh_batch *rows = rows_take(NULL, object);
    if (rows == NULL) return NULL;
    kh_batch *batch = NULL;
    kh_error error = {""};
    kh_status status;
    Py_BEGIN_ALLOW_THREADS
    status = change(of(self), rows, on, &batch, &error);
    Py_END_ALLOW_THREADS
    kh_batch_release(rows);
    return answer(status, batch, &error);
}

static PyObject *batch_insert(PyObject *self, PyObject *args, PyObject *kwargs) {
    return change_rows(self, args, kwargs, kh_batch_insert_rows);
}

static PyObject *batch_upsert(PyObject *self, PyObject *args, PyObject *kwargs) {
    return change_rows(self, args, kwargs, kh_batch_upsert_rows);
}

static PyObject *batch_patch(PyObject *self, PyObject *args, PyObject *kwargs) {
    return change_rows(self, args, kwargs, kh_batch_update_rows);
}

static PyObject *batch_delete(PyObject *self, PyObject *args, PyObject *kwargs) {
    return change_rows(self, args, kwargs, kh_batch_delete_rows);
}

static PyObject *batch_merge(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"mine", "theirs", "on", NULL};
    PyObject *objects[2];
    const char *on = "id";
    if (!arguments_take(args, kwargs, "OO|s:merge", names, &objects[0], &objects[1], &on))
        return NULL;
    kh_batch *mine = rows_take(NULL, objects[0]);
    kh_batch *theirs = mine == NULL ? NULL : rows_take(NULL, objects[1]);
    kh_batch *batch = NULL;
    kh_error error = {""};
    kh_status status = KH_OK;
    if (theirs != NULL) {
        Py_BEGIN_ALLOW_THREADS
        status = kh_batch_merge(of(self), mine, theirs, on, &batch, NULL, &error);
        Py_END_ALLOW_THREADS
    }
    PyObject *out = theirs == NULL ? NULL : answer(status, batch, &error);
    kh_batch_release(mine);
    kh_batch_release(theirs);
    return out;
}

/* ---- out ------------------------------------------------------------------------------------- */

static bool compression_take(const char *name, kh_compression *out) {
    *out = KH_COMPRESS_NONE;
    if (name == NULL) return true;
    if (strcmp(name, "lz4") == 0) *out = KH_COMPRESS_LZ4;
    if (strcmp(name, "zstd") == 0) *out = KH_COMPRESS_ZSTD;
    if (*out != KH_COMPRESS_NONE) return true;
    PyErr_Format(PyExc_ValueError, "compression is lz4, zstd or None; not '%s'", name);
    return false;
}

/* Written once, into the bytes object. */
static PyObject *encode_plain(const kh_batch *batch, kh_ipc_format format) {
    uint64_t needed = 0;
    size_t used = 0;
    kh_error error = {""};
    kh_status status;
    Py_BEGIN_ALLOW_THREADS
    status = kh_ipc_encoded_bytes(&batch, 1, format, &needed, &error);
    Py_END_ALLOW_THREADS
    if (status != KH_OK) return raise_status(status, &error);
    PyObject *out = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)needed);
    char *to = out == NULL ? NULL : PyBytes_AsString(out); /* nobody else has it yet */
    if (to == NULL) return out;
    Py_BEGIN_ALLOW_THREADS
    status = kh_ipc_encode_into(&batch, 1, format, to, (size_t)needed, &used, &error);
    Py_END_ALLOW_THREADS
    if (status == KH_OK) return out;
    Py_DECREF(out);
    return raise_status(status, &error);
}

static PyObject *encode_compressed(const kh_batch *batch, kh_ipc_format format,
                                   kh_compression compression) {
    kh_bytes bytes = {NULL, 0};
    kh_error error = {""};
    kh_status status;
    Py_BEGIN_ALLOW_THREADS
    status = kh_ipc_encode(&batch, 1, format, compression, &bytes, &error);
    Py_END_ALLOW_THREADS
    if (status != KH_OK) return raise_status(status, &error);
    PyObject *out = PyBytes_FromStringAndSize(bytes.data, (Py_ssize_t)bytes.size_bytes);
    kh_bytes_free(bytes);
    return out;
}

static PyObject *batch_to_ipc(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"file", "compression", NULL};
    int is_file = 0;
    const char *name = NULL;
    kh_compression compression;
    if (!arguments_take(args, kwargs, "|$pz:to_ipc", names, &is_file, &name) ||
        !compression_take(name, &compression))
        return NULL;
    kh_ipc_format format = is_file ? KH_IPC_FILE : KH_IPC_STREAM;
    return compression == KH_COMPRESS_NONE ? encode_plain(of(self), format)
                                           : encode_compressed(of(self), format, compression);
}

static PyObject *batch_arrow(PyObject *self, PyObject *unused) {
    (void)unused;
    return batch_to_pyarrow(of(self));
}

static PyObject *batch_polars(PyObject *self, PyObject *unused) {
    (void)unused;
    return call_python("khonsu._convert", "to_polars", self);
}

static PyObject *batch_pandas(PyObject *self, PyObject *unused) {
    (void)unused;
    return call_python("khonsu._convert", "to_pandas", self);
}

static PyObject *batch_pylist(PyObject *self, PyObject *unused) {
    (void)unused;
    return call_python("khonsu._convert", "to_pylist", self);
}

/* requested_schema is a wish that the interface lets a producer pass over. */
static PyObject *batch_c_array(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"requested_schema", NULL};
    PyObject *wish = NULL;
    if (!arguments_take(args, kwargs, "|O", names, &wish)) return NULL;
    return array_capsules(of(self));
}

static PyObject *batch_c_stream(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"requested_schema", NULL};
    PyObject *wish = NULL;
    if (!arguments_take(args, kwargs, "|O", names, &wish)) return NULL;
    kh_batch *batch = ((batch_object *)self)->batch;
    return stream_capsule(kh_batch_schema(batch), &batch, 1);
}

static PyObject *batch_c_schema(PyObject *self, PyObject *unused) {
    (void)unused;
    return schema_capsule(kh_batch_schema(of(self)));
}

/* ---- looking at it --------------------------------------------------------------------------- */

static PyObject *get_num_rows(PyObject *self, void *closure) {
    (void)closure;
    return PyLong_FromLongLong(kh_batch_row_count(of(self)));
}

static PyObject *get_num_columns(PyObject *self, void *closure) {
    (void)closure;
    return PyLong_FromLongLong(kh_schema_column_count(kh_batch_schema(of(self))));
}

static PyObject *get_nbytes(PyObject *self, void *closure) {
    (void)closure;
    return PyLong_FromUnsignedLongLong(kh_batch_size_bytes(of(self)));
}

static PyObject *get_schema(PyObject *self, void *closure) {
    (void)closure;
    return schema_give(kh_batch_schema(of(self)));
}

static PyObject *get_column_names(PyObject *self, void *closure) {
    PyObject *schema = get_schema(self, closure);
    PyObject *names = schema == NULL ? NULL : PyObject_GetAttrString(schema, "names");
    Py_XDECREF(schema);
    return names;
}

static Py_ssize_t batch_length(PyObject *self) {
    return (Py_ssize_t)kh_batch_row_count(of(self));
}

static PyObject *batch_compare(PyObject *self, PyObject *other, int operation) {
    if (!Py_IS_TYPE(other, core.batch_type) || (operation != Py_EQ && operation != Py_NE))
        Py_RETURN_NOTIMPLEMENTED;
    bool is_equal = false;
    kh_error error = {""};
    kh_status status;
    Py_BEGIN_ALLOW_THREADS
    status = kh_batch_equal(of(self), of(other), &is_equal, &error);
    Py_END_ALLOW_THREADS
    if (status != KH_OK) return raise_status(status, &error);
    return PyBool_FromLong(is_equal == (operation == Py_EQ));
}

static PyObject *batch_repr(PyObject *self) {
    PyObject *schema = get_schema(self, NULL);
    if (schema == NULL) return NULL;
    PyObject *text = PyUnicode_FromFormat("<khonsu.Batch: %lld rows of %R>",
                                          (long long)kh_batch_row_count(of(self)), schema);
    Py_DECREF(schema);
    return text;
}

static PyMethodDef methods[] = {
    {"value", FAST(batch_value), METH_FASTCALL | METH_KEYWORDS,
     "value(column, row=0)\n--\n\nOne value, by the column's name or number. Numbers, text and "
     "bytes cost no import of pyarrow. KeyError, IndexError." EXAMPLE_VALUE},
    {"row", FAST(batch_row), METH_FASTCALL | METH_KEYWORDS,
     "row(row=0)\n--\n\nThe values of one row, a tuple." EXAMPLE_BATCH_ROW},
    {"take", batch_take, METH_O,
     "take(indexes)\n--\n\nThe rows at these places, in that order." EXAMPLE_TAKE},
    {"slice", KEYWORDS(batch_slice), METH_VARARGS | METH_KEYWORDS,
     "slice(offset=0, length=None)\n--\n\nSome rows; shares memory where that is worth "
     "it." EXAMPLE_SLICE},
    {"concat", batch_concat, METH_O,
     "concat(rows)\n--\n\nThese rows, then the others." EXAMPLE_CONCAT},
    {"insert_rows", KEYWORDS(batch_insert), METH_VARARGS | METH_KEYWORDS,
     "insert_rows(rows, on='id')\n--\n\nWith rows added; RowExistsError if an id is there."},
    {"upsert", KEYWORDS(batch_upsert), METH_VARARGS | METH_KEYWORDS,
     "upsert(rows, on='id')\n--\n\nWith rows of the same id replaced, the others "
     "added." EXAMPLE_BATCH_UPSERT},
    {"patch", KEYWORDS(batch_patch), METH_VARARGS | METH_KEYWORDS,
     "patch(rows, on='id')\n--\n\nWith some cells replaced; RowNotFoundError if an id is "
     "absent." EXAMPLE_BATCH_PATCH},
    {"delete_rows", KEYWORDS(batch_delete), METH_VARARGS | METH_KEYWORDS,
     "delete_rows(ids, on='id')\n--\n\nWithout the rows of these ids." EXAMPLE_BATCH_DELETE},
    {"merge", KEYWORDS(batch_merge), METH_VARARGS | METH_KEYWORDS,
     "merge(mine, theirs, on='id')\n--\n\nThree-way merge; this batch is the base. "
     "MergeConflictError." EXAMPLE_MERGE},
    {"to_ipc", KEYWORDS(batch_to_ipc), METH_VARARGS | METH_KEYWORDS,
     "to_ipc(*, file=False, compression=None)\n--\n\nAn Arrow IPC stream (or file) as "
     "bytes." EXAMPLE_TO_IPC},
    {"to_pyarrow", batch_arrow, METH_NOARGS,
     "to_pyarrow()\n--\n\nA pyarrow.RecordBatch over the same memory."},
    {"to_polars", batch_polars, METH_NOARGS, "to_polars()\n--\n\nA polars.DataFrame."},
    {"to_pandas", batch_pandas, METH_NOARGS, "to_pandas()\n--\n\nA pandas.DataFrame."},
    {"to_pylist", batch_pylist, METH_NOARGS, "to_pylist()\n--\n\nA list of a dict for each row."},
    {"__arrow_c_array__", KEYWORDS(batch_c_array), METH_VARARGS | METH_KEYWORDS,
     "The Arrow PyCapsule interface: no copy."},
    {"__arrow_c_stream__", KEYWORDS(batch_c_stream), METH_VARARGS | METH_KEYWORDS,
     "The Arrow PyCapsule interface: no copy."},
    {"__arrow_c_schema__", batch_c_schema, METH_NOARGS, "The Arrow PyCapsule interface."},
    {NULL, NULL, 0, NULL}};

static PyGetSetDef properties[] = {
    {"num_rows", get_num_rows, NULL, "Rows.", NULL},
    {"num_columns", get_num_columns, NULL, "Columns.", NULL},
    {"nbytes", get_nbytes, NULL, "Bytes that the batch keeps in memory.", NULL},
    {"schema", get_schema, NULL, "The khonsu.Schema.", NULL},
    {"column_names", get_column_names, NULL, "Names of the columns.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     "Batch(rows)\n--\n\n"
     "An immutable Arrow record batch. rows: anything with __arrow_c_array__ or "
     "__arrow_c_stream__; a stream of several is put together. Offers the same interface "
     "itself, so that pyarrow, Polars and DuckDB take it as it is, without a copy. Any "
     "thread; needs no open database."},
    {Py_tp_new, batch_new},
    {Py_tp_dealloc, batch_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {Py_tp_richcompare, batch_compare},
    {Py_tp_hash, PyObject_HashNotImplemented},
    {Py_tp_repr, batch_repr},
    {Py_sq_length, batch_length},
    {0, NULL}};
static PyType_Spec spec = {"khonsu.Batch", sizeof(batch_object), 0, Py_TPFLAGS_DEFAULT, slots};

bool batch_ready(PyObject *module) {
    core.batch_type = type_ready(module, &spec, "Batch");
    return core.batch_type != NULL;
}
