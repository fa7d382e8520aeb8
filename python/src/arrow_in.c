/* arrow_in.c - whatever offers the Arrow PyCapsule interface becomes a schema or a batch.
 *
 * What stands in a capsule is moved out of it, as the interface asks: its release becomes NULL, and
 * of several threads with one capsule the one that has made it NULL has the struct. A stream of
 * several arrays is one batch: they are put behind one another. */
#include "core.h"

#include <stdlib.h>
#include <string.h>

static bool is_there(bool is_released, const char *what) {
    char words[100];
    if (!is_released) return true;
    (void)PyOS_snprintf(words, sizeof words, "the Arrow %s was consumed already", what);
    (void)raise_words(KH_INVALID, words);
    return false;
}

/* Moves a struct out of its capsule: whoever makes its release NULL has it. */
#define CLAIM(what, type)                                                                          \
    static bool claim_##what(struct type *given, struct type *out) {                               \
        void (*release)(struct type *) = __atomic_load_n(&given->release, __ATOMIC_ACQUIRE);       \
        while (release != NULL &&                                                                  \
               !__atomic_compare_exchange_n(&given->release, &release, NULL, true,                 \
                                            __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {                 \
        }                                                                                          \
        if (!is_there(release == NULL, #what)) return false;                                       \
        *out = *given;                                                                             \
        out->release = release;                                                                    \
        return true;                                                                               \
    }
/* What was refused stays in its capsule. */
#define GIVE_BACK(given, taken)                                                                    \
    __atomic_store_n(&(given)->release, (taken)->release, __ATOMIC_RELEASE)
CLAIM(schema, ArrowSchema)
CLAIM(array, ArrowArray)
CLAIM(stream, ArrowArrayStream)

/* The method's result; NULL without an exception: the object has no such method. */
static PyObject *offered(PyObject *object, PyObject *name) {
    if (PyType_Check(object)) return NULL;
    PyObject *method = PyObject_GetAttr(object, name);
    if (method == NULL) {
        if (PyErr_ExceptionMatches(PyExc_AttributeError)) PyErr_Clear();
        return NULL;
    }
    PyObject *result = PyObject_CallNoArgs(method);
    Py_DECREF(method);
    return result;
}

static void *pointer_in(PyObject *capsule, const char *name) {
    if (PyCapsule_IsValid(capsule, name)) return PyCapsule_GetPointer(capsule, name);
    PyErr_Format(PyExc_TypeError, "a capsule '%s' was expected", name);
    return NULL;
}

static kh_schema *import_schema(kh_db *db, struct ArrowSchema *arrow) {
    kh_schema *schema = NULL;
    kh_error error = {""};
    if (!is_there(arrow->release == NULL, "schema")) return NULL;
    kh_status status = kh_schema_import(db, arrow, &schema, &error);
    if (status == KH_OK) return schema;
    (void)raise_status(status, &error);
    return NULL;
}

/* An array or a Series is one column, without a name. */
static bool has_columns(const struct ArrowSchema *arrow) {
    if (arrow->format == NULL || strcmp(arrow->format, "+s") == 0) return true;
    (void)raise_words(KH_INVALID_DATA,
                      "Arrow data of one column without a name are no rows: give it a name, by "
                      "pyarrow.table({'name': data}) or polars.DataFrame({'name': data})");
    return false;
}

static kh_schema *schema_in(kh_db *db, struct ArrowSchema *given, bool is_of_rows) {
    struct ArrowSchema arrow;
    if (!claim_schema(given, &arrow)) return NULL;
    kh_schema *schema = !is_of_rows || has_columns(&arrow) ? import_schema(db, &arrow) : NULL;
    if (arrow.release != NULL) GIVE_BACK(given, &arrow);
    return schema;
}

kh_schema *schema_take(kh_db *db, PyObject *object) {
    if (Py_IS_TYPE(object, core.schema_type))
        return kh_schema_retain(((schema_object *)object)->schema);
    PyObject *capsule = offered(object, core.name_schema);
    if (capsule == NULL) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_TypeError, "%R has no __arrow_c_schema__",
                         (PyObject *)Py_TYPE(object));
        return NULL;
    }
    struct ArrowSchema *arrow = pointer_in(capsule, "arrow_schema");
    kh_schema *schema = arrow == NULL ? NULL : schema_in(db, arrow, false);
    Py_DECREF(capsule);
    return schema;
}

/* ---- one array ------------------------------------------------------------------------------- */

static enum array_taken take_pair(kh_db *db, PyObject *pair, kh_schema **schema,
                                  struct ArrowArray *array) {
    if (!PyTuple_Check(pair) || PyTuple_Size(pair) != 2) {
        PyErr_SetString(PyExc_TypeError, "__arrow_c_array__ gave no pair of capsules");
        return ARRAY_FAILED;
    }
    struct ArrowSchema *type = pointer_in(PyTuple_GetItem(pair, 0), "arrow_schema");
    struct ArrowArray *given =
        type == NULL ? NULL : pointer_in(PyTuple_GetItem(pair, 1), "arrow_array");
    if (given == NULL || !claim_array(given, array)) return ARRAY_FAILED;
    *schema = schema_in(db, type, true);
    if (*schema != NULL) return ARRAY_TAKEN;
    GIVE_BACK(given, array);
    return ARRAY_FAILED;
}

/* ---- a batch of pyarrow: the same structs, without capsules around them ---------------------- */

static bool is_named(PyObject *type, const char *attribute, const char *name) {
    PyObject *found = PyObject_GetAttrString(type, attribute);
    bool is_it = found != NULL && PyUnicode_Check(found) &&
                 PyUnicode_CompareWithASCIIString(found, name) == 0;
    Py_XDECREF(found);
    PyErr_Clear();
    return is_it;
}

/* Whoever is first keeps its references for good. */
static bool learn(PyObject *type) {
    PyObject *none = NULL;
    PyObject *export = PyObject_GetAttrString(type, "_export_to_c");
    if (export == NULL) {
        PyErr_Clear();
        return false;
    }
    if (atomic_compare_exchange_strong(&core.export_batch, &none, export)) {
        atomic_store(&core.arrow_batch_type, Py_NewRef(type));
        return true;
    }
    Py_DECREF(export);
    return false;
}

static bool is_of_pyarrow(PyObject *object) {
    PyObject *type = (PyObject *)Py_TYPE(object);
    PyObject *known = atomic_load_explicit(&core.arrow_batch_type, memory_order_acquire);
    if (known != NULL) return known == type;
    return is_named(type, "__name__", "RecordBatch") &&
           is_named(type, "__module__", "pyarrow.lib") && learn(type);
}

static enum array_taken take_of_pyarrow(kh_db *db, PyObject *object, kh_schema **schema,
                                        struct ArrowArray *array) {
    struct ArrowSchema type = {.release = NULL};
    array->release = NULL;
    PyObject *addresses[] = {PyLong_FromVoidPtr(array), PyLong_FromVoidPtr(&type)};
    PyObject *done = NULL;
    if (addresses[0] != NULL && addresses[1] != NULL)
        done = PyObject_CallFunctionObjArgs(atomic_load(&core.export_batch), object, addresses[0],
                                            addresses[1], NULL);
    Py_XDECREF(addresses[0]);
    Py_XDECREF(addresses[1]);
    Py_XDECREF(done);
    *schema = NULL;
    if (done != NULL && is_there(array->release == NULL, "array"))
        *schema = import_schema(db, &type);
    if (type.release != NULL) type.release(&type);
    if (*schema != NULL) return ARRAY_TAKEN;
    if (array->release != NULL) array->release(array);
    return ARRAY_FAILED;
}

enum array_taken array_take(kh_db *db, PyObject *object, kh_schema **schema,
                            struct ArrowArray *array) {
    if (is_of_pyarrow(object)) return take_of_pyarrow(db, object, schema, array);
    PyObject *pair = offered(object, core.name_array);
    if (pair == NULL) return PyErr_Occurred() ? ARRAY_FAILED : ARRAY_NOT_OFFERED;
    enum array_taken taken = take_pair(db, pair, schema, array);
    Py_DECREF(pair);
    return taken;
}

/* Takes over the array and the reference to the schema. */
static kh_batch *import_batch(kh_db *db, kh_schema *schema, struct ArrowArray *array) {
    kh_batch *batch = NULL;
    kh_error error = {""};
    kh_status status;
    Py_BEGIN_ALLOW_THREADS
    status = kh_batch_import(db, schema, array, KH_VALIDATE_FULL, &batch, &error);
    Py_END_ALLOW_THREADS
    if (array->release != NULL) array->release(array);
    kh_schema_release(schema);
    if (status == KH_OK) return batch;
    (void)raise_status(status, &error);
    return NULL;
}

/* ---- several --------------------------------------------------------------------------------- */

struct pieces {
    kh_batch **list;
    size_t count;
    size_t capacity;
};

static bool pieces_add(struct pieces *pieces, kh_batch *batch) {
    if (pieces->count == pieces->capacity) {
        size_t capacity = pieces->capacity == 0 ? 8 : 2 * pieces->capacity;
        kh_batch **list = realloc(pieces->list, capacity * sizeof(kh_batch *));
        if (list == NULL) {
            kh_batch_release(batch);
            (void)PyErr_NoMemory();
            return false;
        }
        pieces->list = list;
        pieces->capacity = capacity;
    }
    pieces->list[pieces->count++] = batch;
    return true;
}

static void pieces_drop(struct pieces *pieces) {
    for (size_t i = 0; i < pieces->count; i++) kh_batch_release(pieces->list[i]);
    free(pieces->list);
}

/* Neighbours are put together in rounds, so that each row is copied as often as there are rounds.
 */
static kh_status join_neighbours(struct pieces *pieces, kh_error *error) {
    size_t kept = 0;
    for (size_t i = 0; i < pieces->count; i += 2) {
        kh_batch *left = pieces->list[i];
        if (i + 1 == pieces->count) {
            pieces->list[kept++] = left;
            break;
        }
        kh_batch *both = NULL;
        kh_status status = kh_batch_concat(left, pieces->list[i + 1], &both, error);
        if (status != KH_OK) { /* what is left stays in the list, each once */
            memmove(pieces->list + kept, pieces->list + i,
                    (pieces->count - i) * sizeof(kh_batch *));
            pieces->count -= i - kept;
            return status;
        }
        kh_batch_release(left);
        kh_batch_release(pieces->list[i + 1]);
        pieces->list[kept++] = both;
    }
    pieces->count = kept;
    return KH_OK;
}

static kh_batch *join(struct pieces *pieces) {
    kh_error error = {""};
    kh_status status = KH_OK;
    Py_BEGIN_ALLOW_THREADS
    while (status == KH_OK && pieces->count > 1) status = join_neighbours(pieces, &error);
    Py_END_ALLOW_THREADS
    if (status == KH_OK) return pieces->list[--pieces->count];
    (void)raise_status(status, &error);
    return NULL;
}

/* ---- a stream -------------------------------------------------------------------------------- */

static void raise_stream(struct ArrowArrayStream *stream, int code) {
    const char *words = stream->get_last_error(stream);
    PyErr_Format(PyExc_OSError, "the Arrow stream failed: %s (errno %d)",
                 words == NULL ? "no more is known" : words, code);
}

/* 1: a piece was added; 0: the stream has ended; -1: an exception is set. */
static int take_next(kh_db *db, struct ArrowArrayStream *stream, const kh_schema *schema,
                     struct pieces *pieces) {
    struct ArrowArray array = {.release = NULL};
    int code;
    Py_BEGIN_ALLOW_THREADS
    code = stream->get_next(stream, &array);
    Py_END_ALLOW_THREADS
    if (code != 0) {
        raise_stream(stream, code);
        return -1;
    }
    if (array.release == NULL) return 0;
    if (array.length == 0 && pieces->count > 0) {
        array.release(&array);
        return 1;
    }
    kh_batch *batch = import_batch(db, kh_schema_retain(schema), &array);
    return batch != NULL && pieces_add(pieces, batch) ? 1 : -1;
}

/* A stream without any array: a batch without rows. pyarrow knows how one of each type looks. */
static kh_batch *empty_of(kh_db *db, const kh_schema *schema) {
    PyObject *object = schema_give(schema);
    PyObject *empty = object == NULL ? NULL : call_python("khonsu._convert", "empty_batch", object);
    Py_XDECREF(object);
    kh_batch *batch = empty == NULL ? NULL : rows_take(db, empty);
    Py_XDECREF(empty);
    return batch;
}

static kh_batch *drain(kh_db *db, struct ArrowArrayStream *stream, const kh_schema *schema) {
    struct pieces pieces = {NULL, 0, 0};
    int more = 1;
    while (more == 1) more = take_next(db, stream, schema, &pieces);
    kh_batch *batch = NULL;
    if (more == 0) batch = pieces.count == 0 ? empty_of(db, schema) : join(&pieces);
    pieces_drop(&pieces);
    return batch;
}

static kh_batch *read_stream(kh_db *db, struct ArrowArrayStream *stream) {
    struct ArrowSchema type = {.release = NULL};
    int code;
    Py_BEGIN_ALLOW_THREADS
    code = stream->get_schema(stream, &type);
    Py_END_ALLOW_THREADS
    if (code != 0) {
        raise_stream(stream, code);
        return NULL;
    }
    kh_schema *schema =
        type.release == NULL || has_columns(&type) ? import_schema(db, &type) : NULL;
    if (type.release != NULL) type.release(&type);
    if (schema == NULL) return NULL;
    kh_batch *batch = drain(db, stream, schema);
    kh_schema_release(schema);
    return batch;
}

static kh_batch *take_stream(kh_db *db, PyObject *capsule) {
    struct ArrowArrayStream *given = pointer_in(capsule, "arrow_array_stream");
    struct ArrowArrayStream stream;
    if (given == NULL || !claim_stream(given, &stream)) return NULL;
    kh_batch *batch = read_stream(db, &stream);
    Py_BEGIN_ALLOW_THREADS
    stream.release(&stream);
    Py_END_ALLOW_THREADS
    return batch;
}

/* ---- any object ------------------------------------------------------------------------------ */

static kh_batch *take_table(const table_object *table) {
    struct pieces pieces = {NULL, 0, 0};
    bool is_whole = true;
    for (size_t i = 0; is_whole && i < table->count; i++)
        is_whole = pieces_add(&pieces, kh_batch_retain(table->batches[i]));
    kh_batch *batch = NULL;
    if (is_whole) batch = pieces.count == 0 ? empty_of(NULL, table->schema) : join(&pieces);
    pieces_drop(&pieces);
    return batch;
}

/* pyarrow puts all chunks of a Table together at once, which copies each row once. */
static PyObject *stream_of(PyObject *object) {
    PyObject *whole = NULL;
    if (!PyType_Check(object) && PyObject_HasAttrString(object, "combine_chunks") &&
        PyObject_HasAttrString(object, "num_columns"))
        whole = PyObject_CallMethod(object, "combine_chunks", NULL);
    if (whole == NULL && PyErr_Occurred()) return NULL;
    PyObject *capsule = offered(whole == NULL ? object : whole, core.name_stream);
    Py_XDECREF(whole);
    return capsule;
}

/* Whether a class is of a package, by its module's name. */
static bool is_class_of(PyObject *type, const char *package) {
    PyObject *name = PyObject_GetAttrString(type, "__module__");
    bool is_it = false;
    if (name != NULL && PyUnicode_Check(name)) {
        PyObject *prefix = PyUnicode_FromString(package);
        is_it = prefix != NULL && PyUnicode_Tailmatch(name, prefix, 0, PY_SSIZE_T_MAX, -1) == 1;
        Py_XDECREF(prefix);
    }
    Py_XDECREF(name);
    PyErr_Clear();
    return is_it;
}

/* Also of a class derived from one of the package. */
static bool is_of(PyObject *object, const char *package) {
    PyObject *types = PyObject_GetAttrString((PyObject *)Py_TYPE(object), "__mro__");
    bool is_it = false;
    if (types != NULL && PyTuple_Check(types)) {
        for (Py_ssize_t i = 0; !is_it && i < PyTuple_Size(types); i++)
            is_it = is_class_of(PyTuple_GetItem(types, i), package);
    }
    Py_XDECREF(types);
    PyErr_Clear();
    return is_it;
}

/* Polars gives the addresses of Python objects away as if they were data. */
static bool has_no_objects(PyObject *object) {
    if (!is_of(object, "polars")) return true;
    PyObject *done = call_python("khonsu._convert", "check_polars", object);
    Py_XDECREF(done);
    return done != NULL;
}

static kh_batch *take_foreign(kh_db *db, PyObject *object) {
    kh_schema *schema = NULL;
    struct ArrowArray array;
    switch (array_take(db, object, &schema, &array)) {
    case ARRAY_TAKEN:
        return import_batch(db, schema, &array);
    case ARRAY_FAILED:
        return NULL;
    case ARRAY_NOT_OFFERED:
        break;
    }
    if (!has_no_objects(object)) return NULL;
    PyObject *capsule = stream_of(object);
    if (capsule == NULL) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_TypeError,
                         "%R offers no Arrow data (__arrow_c_array__ or __arrow_c_stream__): make "
                         "a pyarrow.RecordBatch, a polars.DataFrame or a khonsu.Batch of it",
                         (PyObject *)Py_TYPE(object));
        return NULL;
    }
    kh_batch *batch = take_stream(db, capsule);
    Py_DECREF(capsule);
    return batch;
}

kh_batch *rows_take(kh_db *db, PyObject *object) {
    if (Py_IS_TYPE(object, core.batch_type))
        return kh_batch_retain(((batch_object *)object)->batch);
    if (Py_IS_TYPE(object, core.table_type)) return take_table((table_object *)object);
    /* A frame's index would become a column that nobody asked for. */
    if (!is_of(object, "pandas")) return take_foreign(db, object);
    PyObject *table = call_python("khonsu._convert", "from_pandas", object);
    kh_batch *batch = table == NULL ? NULL : take_foreign(db, table);
    Py_XDECREF(table);
    return batch;
}
