/* schema.c - khonsu.Schema: the columns of batches, and the quick way from Python values. */
#include "scalars.h"
#include "examples.h"

#include <stdlib.h>
#include <string.h>

enum { SCHEMAS_CACHED = 256, VALUES_ON_STACK = 32 };

/* A new reference. With free threads another one may empty the cache meanwhile. */
static PyObject *known_schema(PyObject *address) {
#if defined(Py_GIL_DISABLED)
    PyObject *known = NULL;
    (void)PyDict_GetItemRef(core.schemas, address, &known);
    return known;
#else
    return Py_XNewRef(PyDict_GetItemWithError(core.schemas, address));
#endif
}

/* One object for each schema that is met often, so that what pyarrow made of it is kept. */
PyObject *schema_give(const kh_schema *schema) {
    PyObject *address = PyLong_FromVoidPtr((void *)(uintptr_t)schema);
    if (address == NULL) return NULL;
    PyObject *known = known_schema(address);
    if (known != NULL || PyErr_Occurred()) {
        Py_DECREF(address);
        return known;
    }
    schema_object *made = PyObject_New(schema_object, core.schema_type);
    if (made != NULL) {
        made->schema = kh_schema_retain(schema);
        atomic_init(&made->arrow, NULL);
        if (PyDict_Size(core.schemas) >= SCHEMAS_CACHED) PyDict_Clear(core.schemas);
        if (PyDict_SetItem(core.schemas, address, (PyObject *)made) < 0) Py_CLEAR(made);
    }
    Py_DECREF(address);
    return (PyObject *)made;
}

static void schema_dealloc(PyObject *self) {
    schema_object *schema = (schema_object *)self;
    PyTypeObject *type = Py_TYPE(self);
    kh_schema_release(schema->schema);
    Py_XDECREF(atomic_load(&schema->arrow));
    PyObject_Free(self);
    Py_DECREF(type);
}

/* ---- making one ------------------------------------------------------------------------------ */

/* [(name, format), ...] as khonsu._convert.columns gives it. */
static kh_schema *build(PyObject *columns) {
    Py_ssize_t count = PyList_Size(columns);
    const char **texts = count < 0 ? NULL : calloc(2 * (size_t)count + 1, sizeof *texts);
    kh_schema *schema = NULL;
    if (texts == NULL) return count < 0 ? NULL : (kh_schema *)PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *pair = PyList_GetItem(columns, i);
        if (!PyArg_ParseTuple(pair, "ss", &texts[i], &texts[count + i])) goto out;
    }
    kh_error error = {""};
    kh_status status = kh_schema_build(NULL, texts, texts + count, count, &schema, &error);
    if (status != KH_OK) (void)raise_status(status, &error);
out:
    free(texts);
    return schema;
}

static kh_schema *build_of(PyObject *columns) {
    PyObject *known = PyObject_HasAttrString(columns, "__arrow_c_schema__") ? columns : NULL;
    if (known != NULL) return schema_take(NULL, known);
    PyObject *pairs = call_python("khonsu._convert", "columns", columns);
    if (pairs == NULL) return NULL;
    kh_schema *schema = PyList_Check(pairs) ? build(pairs) : schema_take(NULL, pairs);
    Py_DECREF(pairs);
    return schema;
}

static PyObject *schema_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"columns", NULL};
    PyObject *columns;
    (void)type;
    if (!arguments_take(args, kwargs, "O:Schema", names, &columns)) return NULL;
    kh_schema *schema = build_of(columns);
    if (schema == NULL) return NULL;
    PyObject *object = schema_give(schema);
    kh_schema_release(schema);
    return object;
}

typedef const char *column_text_fn(const kh_schema *schema, int64_t column);

static PyObject *texts(const kh_schema *schema, column_text_fn *text_of) {
    int64_t count = kh_schema_column_count(schema);
    PyObject *list = PyList_New(count);
    for (int64_t i = 0; list != NULL && i < count; i++) {
        PyObject *text = PyUnicode_FromString(text_of(schema, i));
        if (text == NULL || PyList_SetItem(list, i, text) < 0) Py_CLEAR(list);
    }
    return list;
}

/* ---- batches of Python values ---------------------------------------------------------------- */

static PyObject *finish_build(const kh_schema *schema, const kh_scalar *scalars, int64_t rows) {
    kh_batch *batch = NULL;
    kh_error error = {""};
    kh_status status = kh_batch_build(NULL, schema, scalars, rows, &batch, &error);
    return status == KH_OK ? batch_give(batch) : raise_status(status, &error);
}

static bool is_right_count(const kh_schema *schema, Py_ssize_t count) {
    if (count == kh_schema_column_count(schema)) return true;
    PyErr_Format(PyExc_ValueError, "%zd values for %lld columns", count,
                 (long long)kh_schema_column_count(schema));
    return false;
}

static PyObject *row_of(const kh_schema *schema, PyObject *const *values, Py_ssize_t count,
                        kh_scalar *scalars, PyObject **held) {
    struct scalar_room room = {held, 0};
    PyObject *batch = NULL;
    Py_ssize_t i = 0;
    while (i < count &&
           scalar_take(values[i], kh_schema_column_format(schema, i), &scalars[i], &room))
        i++;
    if (i == count) batch = finish_build(schema, scalars, 1);
    scalar_room_drop(&room);
    return batch;
}

static PyObject *schema_row(PyObject *self, PyObject *const *values, Py_ssize_t count) {
    const kh_schema *schema = ((schema_object *)self)->schema;
    kh_scalar scalars[VALUES_ON_STACK];
    PyObject *held[VALUES_ON_STACK];
    if (!is_right_count(schema, count)) return NULL;
    if (count <= VALUES_ON_STACK) return row_of(schema, values, count, scalars, held);
    kh_scalar *more = malloc((size_t)count * sizeof *more);
    PyObject **more_held = malloc((size_t)count * sizeof(PyObject *));
    PyObject *batch = NULL;
    if (more == NULL || more_held == NULL) {
        (void)PyErr_NoMemory();
    } else {
        batch = row_of(schema, values, count, more, more_held);
    }
    free(more);
    free(more_held);
    return batch;
}

/* Rows one after the other into one array of scalars. */
struct rows {
    const kh_schema *schema;
    kh_scalar *scalars;
    struct scalar_room room; /* values, and the rows that they are borrowed from */
    size_t columns;
};

/* A new tuple. What is neither a tuple nor a list is looked at by khonsu._scalars.row_values. */
static PyObject *values_of(struct rows *rows, PyObject *row) {
    if (PyTuple_Check(row) || PyList_Check(row)) return PySequence_Tuple(row);
    PyObject *module = PyImport_ImportModule("khonsu._scalars");
    PyObject *names = module == NULL ? NULL : texts(rows->schema, kh_schema_column_name);
    PyObject *values =
        names == NULL ? NULL : PyObject_CallMethod(module, "row_values", "OO", names, row);
    Py_XDECREF(module);
    Py_XDECREF(names);
    return values;
}

static bool add_row(struct rows *rows, size_t index, PyObject *row) {
    PyObject *values = values_of(rows, row);
    if (values == NULL) return false;
    rows->room.held[rows->room.count++] = values;
    if (!is_right_count(rows->schema, PyTuple_Size(values))) return false;
    for (size_t i = 0; i < rows->columns; i++) {
        if (!scalar_take(PyTuple_GetItem(values, (Py_ssize_t)i),
                         kh_schema_column_format(rows->schema, (int64_t)i),
                         &rows->scalars[index * rows->columns + i], &rows->room))
            return false;
    }
    return true;
}

static PyObject *schema_rows(PyObject *self, PyObject *argument) {
    const kh_schema *schema = ((schema_object *)self)->schema;
    PyObject *list = PySequence_List(argument);
    if (list == NULL) return NULL;
    size_t count = (size_t)PyList_Size(list);
    struct rows rows = {.schema = schema, .columns = (size_t)kh_schema_column_count(schema)};
    rows.scalars = calloc(count * rows.columns + 1, sizeof *rows.scalars);
    rows.room.held = calloc(count * (rows.columns + 1) + 1, sizeof(PyObject *));
    PyObject *batch = NULL;
    if (rows.scalars == NULL || rows.room.held == NULL) {
        (void)PyErr_NoMemory();
    } else {
        size_t i = 0;
        while (i < count && add_row(&rows, i, PyList_GetItem(list, (Py_ssize_t)i))) i++;
        if (i == count) batch = finish_build(schema, rows.scalars, (int64_t)count);
        scalar_room_drop(&rows.room);
    }
    free(rows.scalars);
    free(rows.room.held);
    Py_DECREF(list);
    return batch;
}

/* ---- looking at it --------------------------------------------------------------------------- */

static PyObject *schema_names(PyObject *self, void *closure) {
    (void)closure;
    return texts(((schema_object *)self)->schema, kh_schema_column_name);
}

static PyObject *schema_formats(PyObject *self, void *closure) {
    (void)closure;
    return texts(((schema_object *)self)->schema, kh_schema_column_format);
}

static PyObject *schema_c_schema(PyObject *self, PyObject *unused) {
    (void)unused;
    return schema_capsule(((schema_object *)self)->schema);
}

static PyObject *make_arrow(const kh_schema *schema) {
    struct ArrowSchema arrow = {.release = NULL};
    kh_error error = {""};
    kh_status status = kh_schema_export(schema, &arrow, &error);
    if (status != KH_OK) return raise_status(status, &error);
    PyObject *address = PyLong_FromVoidPtr(&arrow);
    PyObject *made = NULL;
    if (address != NULL) made = PyObject_CallFunctionObjArgs(core.import_schema, address, NULL);
    Py_XDECREF(address);
    if (arrow.release != NULL) arrow.release(&arrow);
    return made;
}

/* Two threads may both make it: the first one's stays. */
static PyObject *arrow_of(schema_object *schema) {
    PyObject *arrow = atomic_load_explicit(&schema->arrow, memory_order_acquire);
    if (arrow == NULL) {
        PyObject *none = NULL;
        arrow = make_arrow(schema->schema);
        if (arrow == NULL) return NULL;
        if (!atomic_compare_exchange_strong(&schema->arrow, &none, arrow)) {
            Py_DECREF(arrow);
            arrow = none;
        }
    }
    Py_INCREF(arrow);
    return arrow;
}

static bool find_importer(PyObject *pyarrow, const char *name, PyObject *_Atomic *out) {
    PyObject *none = NULL;
    PyObject *kind = PyObject_GetAttrString(pyarrow, name);
    PyObject *found = kind == NULL ? NULL : PyObject_GetAttrString(kind, "_import_from_c");
    Py_XDECREF(kind);
    if (found == NULL) return false;
    if (!atomic_compare_exchange_strong(out, &none, found)) Py_DECREF(found);
    return true;
}

/* The batch's is set last. */
static bool find_pyarrow(void) {
    if (core.import_batch != NULL) return true;
    PyObject *pyarrow = PyImport_ImportModule("pyarrow");
    if (pyarrow == NULL) {
        if (PyErr_ExceptionMatches(PyExc_ModuleNotFoundError))
            PyErr_SetString(PyExc_ModuleNotFoundError,
                            "pyarrow is not installed: pip install pyarrow");
        return false;
    }
    bool is_found = find_importer(pyarrow, "Schema", &core.import_schema) &&
                    find_importer(pyarrow, "RecordBatch", &core.import_batch);
    Py_DECREF(pyarrow);
    return is_found;
}

PyObject *batch_to_pyarrow(const kh_batch *batch) {
    if (!find_pyarrow()) return NULL;
    PyObject *schema = schema_give(kh_batch_schema(batch));
    PyObject *arrow = schema == NULL ? NULL : arrow_of((schema_object *)schema);
    Py_XDECREF(schema);
    if (arrow == NULL) return NULL;
    struct ArrowArray array = {.release = NULL};
    kh_error error = {""};
    kh_status status = kh_batch_export(batch, &array, NULL, &error);
    PyObject *made = NULL;
    PyObject *address = status == KH_OK ? PyLong_FromVoidPtr(&array) : raise_status(status, &error);
    if (address != NULL)
        made = PyObject_CallFunctionObjArgs(core.import_batch, address, arrow, NULL);
    Py_XDECREF(address);
    Py_DECREF(arrow);
    if (array.release != NULL) array.release(&array);
    return made;
}

static PyObject *schema_to_pyarrow(PyObject *self, PyObject *unused) {
    (void)unused;
    return find_pyarrow() ? arrow_of((schema_object *)self) : NULL;
}

static PyObject *schema_compare(PyObject *self, PyObject *other, int operation) {
    if (!Py_IS_TYPE(other, core.schema_type) || (operation != Py_EQ && operation != Py_NE))
        Py_RETURN_NOTIMPLEMENTED;
    bool is_equal =
        kh_schema_equal(((schema_object *)self)->schema, ((schema_object *)other)->schema);
    return PyBool_FromLong(is_equal == (operation == Py_EQ));
}

/* Of the names alone: equal schemas have equal ones. */
static Py_hash_t schema_hash(PyObject *self) {
    PyObject *names = schema_names(self, NULL);
    PyObject *tuple = names == NULL ? NULL : PyList_AsTuple(names);
    Py_hash_t hash = tuple == NULL ? -1 : PyObject_Hash(tuple);
    Py_XDECREF(names);
    Py_XDECREF(tuple);
    return hash;
}

static Py_ssize_t schema_length(PyObject *self) {
    return (Py_ssize_t)kh_schema_column_count(((schema_object *)self)->schema);
}

static PyObject *marked_format(const struct ArrowSchema *column) {
    const char *mark = column->flags & ARROW_FLAG_NULLABLE ? "" : "!";
    if (column->dictionary == NULL) return PyUnicode_FromFormat("%s%s", mark, column->format);
    return PyUnicode_FromFormat("%sdictionary:%s:%s", mark, column->format,
                                column->dictionary->format);
}

/* Formats for people: with "!" in front of those of columns without nulls, as Schema takes them,
 * and "dictionary:" in front of those of indexes and values. */
static PyObject *marked_formats(const kh_schema *schema) {
    struct ArrowSchema arrow = {.release = NULL};
    kh_error error = {""};
    kh_status status = kh_schema_export(schema, &arrow, &error);
    if (status != KH_OK) return raise_status(status, &error);
    PyObject *list = PyList_New(arrow.n_children);
    for (int64_t i = 0; list != NULL && i < arrow.n_children; i++) {
        PyObject *text = marked_format(arrow.children[i]);
        if (text == NULL || PyList_SetItem(list, i, text) < 0) Py_CLEAR(list);
    }
    arrow.release(&arrow);
    return list;
}

static PyObject *schema_repr(PyObject *self) {
    PyObject *names = schema_names(self, NULL);
    PyObject *formats = names == NULL ? NULL : marked_formats(((schema_object *)self)->schema);
    PyObject *pair = formats == NULL ? NULL : PyTuple_Pack(2, names, formats);
    PyObject *text = pair == NULL ? NULL : call_python("khonsu._convert", "schema_text", pair);
    Py_XDECREF(names);
    Py_XDECREF(formats);
    Py_XDECREF(pair);
    return text;
}

static PyObject *schema_types(PyObject *self, void *closure) {
    (void)closure;
    PyObject *formats = marked_formats(((schema_object *)self)->schema);
    PyObject *names =
        formats == NULL ? NULL : call_python("khonsu._formats", "type_names", formats);
    Py_XDECREF(formats);
    return names;
}

static PyMethodDef methods[] = {
    {"row", FAST(schema_row), METH_FASTCALL,
     "row(*values)\n--\n\nA batch of one row; None is null. ValueError, TypeError: a value does "
     "not "
     "fit its column." EXAMPLE_SCHEMA_ROW},
    {"rows", schema_rows, METH_O,
     "rows(rows)\n--\n\nA batch of an iterable of rows, each a sequence of values or a dict by "
     "names: a column that it does not name is null." EXAMPLE_SCHEMA_ROWS},
    {"to_pyarrow", schema_to_pyarrow, METH_NOARGS, "to_pyarrow()\n--\n\nThe pyarrow.Schema."},
    {"__arrow_c_schema__", schema_c_schema, METH_NOARGS, "The Arrow PyCapsule interface."},
    {NULL, NULL, 0, NULL}};

static PyGetSetDef properties[] = {
    {"names", schema_names, NULL, "Names of the columns.", NULL},
    {"formats", schema_formats, NULL,
     "Their types, as format strings of the Arrow C data interface.", NULL},
    {"types", schema_types, NULL, "Their types by name, as Schema takes them.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Schema(columns)\n--\n\n"
                "The columns of batches. columns: a dict or pairs of names and types (\"int64\", "
                "\"utf8\", \"float64 not null\"), or an object with __arrow_c_schema__. Immutable; "
                "any thread." EXAMPLE_SCHEMA},
    {Py_tp_new, schema_new},
    {Py_tp_dealloc, schema_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {Py_tp_richcompare, schema_compare},
    {Py_tp_hash, schema_hash},
    {Py_tp_repr, schema_repr},
    {Py_sq_length, schema_length},
    {0, NULL}};
static PyType_Spec spec = {"khonsu.Schema", sizeof(schema_object), 0, Py_TPFLAGS_DEFAULT, slots};

bool schema_ready(PyObject *module) {
    core.schema_type = type_ready(module, &spec, "Schema");
    return core.schema_type != NULL;
}
