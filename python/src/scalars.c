/* scalars.c - see scalars.h. Numbers, text and bytes are converted here; dates, times and decimals
 * by khonsu._convert.scalar, which makes an int or bytes of them. */
#include "scalars.h"

#include <string.h>

enum kind { KIND_INT, KIND_FLOAT, KIND_BOOL, KIND_TEXT, KIND_BYTES, KIND_OTHER };

static enum kind kind_of(const char *format) {
    switch (format[0]) {
    case 'b':
        return KIND_BOOL;
    case 'c':
    case 'C':
    case 's':
    case 'S':
    case 'i':
    case 'I':
    case 'l':
    case 'L':
        return KIND_INT;
    case 'e':
    case 'f':
    case 'g':
        return KIND_FLOAT;
    case 'u':
    case 'U':
        return KIND_TEXT;
    case 'z':
    case 'Z':
        return KIND_BYTES;
    case 'v':
        return format[1] == 'u' ? KIND_TEXT : KIND_BYTES;
    case 'w':
        return KIND_BYTES;
    default:
        return KIND_OTHER;
    }
}

static bool take_int(PyObject *value, kh_scalar *out) {
    int overflow = 0;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow == 0) {
        *out = (kh_scalar){.kind = KH_SCALAR_INT64, .as.int64 = number};
        return number != -1 || !PyErr_Occurred();
    }
    unsigned long long large = overflow > 0 ? PyLong_AsUnsignedLongLong(value) : 0;
    if (overflow < 0)
        PyErr_SetString(PyExc_OverflowError,
                        "an integer below the smallest that a column can hold");
    *out = (kh_scalar){.kind = KH_SCALAR_UINT64, .as.uint64 = large};
    return !PyErr_Occurred();
}

static bool take_text(PyObject *value, kh_scalar *out) {
    Py_ssize_t size = 0;
    if (!PyUnicode_Check(value)) {
        PyErr_Format(PyExc_TypeError, "str was expected, not %R", (PyObject *)Py_TYPE(value));
        return false;
    }
    const char *text = PyUnicode_AsUTF8AndSize(value, &size);
    *out = (kh_scalar){.kind = KH_SCALAR_BYTES, .as.bytes = {text, (size_t)size}};
    return text != NULL;
}

static bool take_bytes(PyObject *value, kh_scalar *out) {
    if (!PyBytes_Check(value)) {
        PyErr_Format(PyExc_TypeError, "bytes were expected, not %R", (PyObject *)Py_TYPE(value));
        return false;
    }
    *out = (kh_scalar){.kind = KH_SCALAR_BYTES,
                       .as.bytes = {PyBytes_AsString(value), (size_t)PyBytes_Size(value)}};
    return true;
}

static bool take_other(PyObject *value, const char *format, kh_scalar *out,
                       struct scalar_room *room) {
    PyObject *module = PyImport_ImportModule("khonsu._convert");
    PyObject *made =
        module == NULL ? NULL : PyObject_CallMethod(module, "scalar", "sO", format, value);
    Py_XDECREF(module);
    if (made == NULL) return false;
    room->held[room->count++] = made;
    return PyLong_Check(made) ? take_int(made, out) : take_bytes(made, out);
}

bool scalar_take(PyObject *value, const char *format, kh_scalar *out, struct scalar_room *room) {
    if (value == Py_None) {
        *out = (kh_scalar){.kind = KH_SCALAR_NULL};
        return true;
    }
    switch (kind_of(format)) {
    case KIND_INT:
    case KIND_BOOL:
        return take_int(value, out);
    case KIND_FLOAT:
        *out = (kh_scalar){.kind = KH_SCALAR_DOUBLE, .as.float64 = PyFloat_AsDouble(value)};
        return out->as.float64 != -1.0 || !PyErr_Occurred();
    case KIND_TEXT:
        return take_text(value, out);
    case KIND_BYTES:
        return take_bytes(value, out);
    case KIND_OTHER:
        return take_other(value, format, out, room);
    }
    return false;
}

void scalar_room_drop(struct scalar_room *room) {
    for (size_t i = 0; i < room->count; i++) Py_DECREF(room->held[i]);
    room->count = 0;
}

/* ---- the other way --------------------------------------------------------------------------- */

static PyObject *give_by_pyarrow(const kh_batch *batch, int64_t column, int64_t row) {
    kh_batch *one = NULL;
    kh_error error = {""};
    kh_status status = kh_batch_slice(batch, row, 1, &one, &error);
    if (status != KH_OK) return raise_status(status, &error);
    PyObject *arrow = batch_to_pyarrow(one);
    kh_batch_release(one);
    PyObject *values =
        arrow == NULL ? NULL : PyObject_CallMethod(arrow, "column", "L", (long long)column);
    Py_XDECREF(arrow);
    PyObject *scalar = values == NULL ? NULL : PySequence_GetItem(values, 0);
    Py_XDECREF(values);
    PyObject *value = scalar == NULL ? NULL : PyObject_CallMethod(scalar, "as_py", NULL);
    Py_XDECREF(scalar);
    return value;
}

static PyObject *give_int(const kh_batch *batch, int64_t column, int64_t row, bool is_bool) {
    int64_t number = 0;
    kh_status status = kh_batch_int64(batch, column, row, &number);
    if (status == KH_NOT_FOUND) Py_RETURN_NONE;
    if (status != KH_OK) return give_by_pyarrow(batch, column, row); /* above INT64_MAX */
    return is_bool ? PyBool_FromLong(number != 0) : PyLong_FromLongLong(number);
}

static PyObject *give_float(const kh_batch *batch, int64_t column, int64_t row) {
    double number = 0;
    kh_status status = kh_batch_double(batch, column, row, &number);
    if (status == KH_NOT_FOUND) Py_RETURN_NONE;
    return status == KH_OK ? PyFloat_FromDouble(number) : give_by_pyarrow(batch, column, row);
}

static PyObject *give_bytes(const kh_batch *batch, int64_t column, int64_t row, bool is_text) {
    kh_bytes bytes;
    kh_status status = kh_batch_bytes(batch, column, row, &bytes);
    if (status == KH_NOT_FOUND) Py_RETURN_NONE;
    if (status != KH_OK) return give_by_pyarrow(batch, column, row);
    const char *data = bytes.size_bytes == 0 ? "" : bytes.data;
    if (is_text) return PyUnicode_DecodeUTF8(data, (Py_ssize_t)bytes.size_bytes, NULL);
    return PyBytes_FromStringAndSize(data, (Py_ssize_t)bytes.size_bytes);
}

/* A dictionary's format is that of its indexes: the reader refuses it, and pyarrow answers. */
PyObject *value_give(const kh_batch *batch, int64_t column, int64_t row) {
    const char *format = kh_schema_column_format(kh_batch_schema(batch), column);
    if (format == NULL || row < 0 || row >= kh_batch_row_count(batch)) {
        PyErr_SetString(PyExc_IndexError, format == NULL ? "no such column" : "no such row");
        return NULL;
    }
    switch (kind_of(format)) {
    case KIND_INT:
        return give_int(batch, column, row, false);
    case KIND_BOOL:
        return give_int(batch, column, row, true);
    case KIND_FLOAT:
        return give_float(batch, column, row);
    case KIND_TEXT:
        return give_bytes(batch, column, row, true);
    case KIND_BYTES:
        return give_bytes(batch, column, row, false);
    case KIND_OTHER:
        break;
    }
    return give_by_pyarrow(batch, column, row);
}
