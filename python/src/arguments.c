/* arguments.c - arguments of functions, with messages that name them: Python's own count them. */
#include "core.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* "open() argument 5 must be str" of the fifth name: "isolation must be str". NULL: other words. */
static PyObject *named(const char *words, char *const *names) {
    static const char counted[] = "argument ";
    const char *at = strstr(words, counted);
    if (at == NULL) return NULL;
    char *rest;
    long place = strtol(at + sizeof counted - 1, &rest, 10);
    for (long i = 1; place > 0 && names[i - 1] != NULL; i++)
        if (i == place) return PyUnicode_FromFormat("%s%s", names[i - 1], rest);
    return NULL;
}

static void name_argument(char *const *names) {
    PyObject *type;
    PyObject *value;
    PyObject *trace;
    if (!PyErr_ExceptionMatches(PyExc_TypeError)) return;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    PyObject *text = PyObject_Str(value);
    const char *words = text == NULL ? NULL : PyUnicode_AsUTF8AndSize(text, NULL);
    PyObject *better = words == NULL ? NULL : named(words, names);
    Py_XDECREF(text);
    PyErr_Clear();
    if (better == NULL) {
        PyErr_Restore(type, value, trace);
        return;
    }
    PyErr_SetObject(PyExc_TypeError, better);
    Py_DECREF(better);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
}

int arguments_take(PyObject *args, PyObject *kwargs, const char *format, char **names, ...) {
    va_list out;
    va_start(out, names);
    int code = PyArg_VaParseTupleAndKeywords(args, kwargs, format, names, out);
    va_end(out);
    if (!code) name_argument(names);
    return code;
}
