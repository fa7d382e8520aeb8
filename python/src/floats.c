/* floats.c - numbers from Python as an array of float: buffers are read in place, anything else is
 * asked for a list. */
#include "core.h"

#include <stdlib.h>
#include <string.h>

static bool make_room(size_t count, struct floats *out) {
    *out = (struct floats){malloc((count + 1) * sizeof(float)), count};
    if (out->values == NULL) (void)PyErr_NoMemory();
    return out->values != NULL;
}

void floats_drop(struct floats *floats) {
    free(floats->values);
    floats->values = NULL;
}

/* ---- buffers --------------------------------------------------------------------------------- */

/* 'f' or 'd', in the machine's order; 0: another one. */
static char format_of(const Py_buffer *view) {
    const char *format = view->format == NULL ? "B" : view->format;
    if (*format == '<' || *format == '=' || *format == '@') format++;
    return (*format == 'f' || *format == 'd') && format[1] == '\0' ? *format : '\0';
}

static bool copy(const Py_buffer *view, struct floats *out) {
    if (view->ndim != 1) {
        PyErr_Format(PyExc_ValueError, "an embedding has one dimension, not %d", view->ndim);
        return false;
    }
    bool is_double = format_of(view) == 'd';
    if (!make_room((size_t)view->shape[0], out)) return false;
    const char *from = view->buf;
    for (size_t i = 0; i < out->count; i++, from += view->strides[0]) {
        double wide;
        if (is_double) {
            memcpy(&wide, from, sizeof wide);
            out->values[i] = (float)wide;
        } else {
            memcpy(&out->values[i], from, sizeof(float));
        }
    }
    return true;
}

enum taken { TAKEN, NOT_OFFERED, FAILED };

static enum taken take_buffer(PyObject *object, struct floats *out) {
    Py_buffer view;
    if (!PyObject_CheckBuffer(object)) return NOT_OFFERED;
    if (PyObject_GetBuffer(object, &view, PyBUF_STRIDED_RO | PyBUF_FORMAT) < 0) {
        PyErr_Clear();
        return NOT_OFFERED;
    }
    enum taken taken = NOT_OFFERED;
    if (format_of(&view) != '\0') taken = copy(&view, out) ? TAKEN : FAILED;
    PyBuffer_Release(&view);
    return taken;
}

/* ---- lists ----------------------------------------------------------------------------------- */

/* Of numpy, pandas and array; of Polars; of a cell of pyarrow. */
static const char *const listers[] = {"tolist", "to_list", "as_py"};

/* A list of its own, so that nobody changes it meanwhile. */
static PyObject *as_list(PyObject *object) {
    for (size_t i = 0; i < sizeof listers / sizeof listers[0]; i++) {
        PyObject *method = PyObject_GetAttrString(object, listers[i]);
        if (method == NULL) {
            PyErr_Clear();
            continue;
        }
        PyObject *found = PyObject_CallNoArgs(method);
        Py_DECREF(method);
        PyObject *list = found == NULL ? NULL : PySequence_List(found);
        Py_XDECREF(found);
        return list;
    }
    return PySequence_List(object);
}

static bool take_list(PyObject *object, struct floats *out) {
    PyObject *list = as_list(object);
    if (list == NULL || !make_room((size_t)PyList_Size(list), out)) {
        Py_XDECREF(list);
        return false;
    }
    bool is_taken = true;
    for (size_t i = 0; is_taken && i < out->count; i++) {
        double wide = PyFloat_AsDouble(PyList_GetItem(list, (Py_ssize_t)i));
        is_taken = wide != -1.0 || !PyErr_Occurred();
        out->values[i] = (float)wide;
    }
    Py_DECREF(list);
    if (!is_taken) floats_drop(out);
    return is_taken;
}

bool floats_take(PyObject *object, struct floats *out) {
    if (PyUnicode_Check(object) || PyBytes_Check(object)) {
        PyErr_Format(PyExc_TypeError, "numbers were expected, not %R", (PyObject *)Py_TYPE(object));
        return false;
    }
    enum taken taken = take_buffer(object, out);
    return taken == NOT_OFFERED ? take_list(object, out) : taken == TAKEN;
}
