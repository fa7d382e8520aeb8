/* keys.c - keys, transaction ids and durations between Python and khonsu.h. */
#include "core.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool key_take(PyObject *object, struct key *out) {
    Py_ssize_t size = 0;
    out->held = NULL;
    if (PyUnicode_Check(object)) {
        const char *text = PyUnicode_AsUTF8AndSize(object, &size);
        if (text != NULL) {
            out->bytes = (kh_bytes){text, (size_t)size};
            return true;
        }
        PyErr_Clear(); /* surrogates: bytes of a key that is not UTF-8 */
        out->held = PyUnicode_AsEncodedString(object, "utf-8", "surrogateescape");
        if (out->held == NULL) return false;
        out->bytes = (kh_bytes){PyBytes_AsString(out->held), (size_t)PyBytes_Size(out->held)};
        return true;
    }
    if (PyBytes_Check(object)) {
        out->bytes = (kh_bytes){PyBytes_AsString(object), (size_t)PyBytes_Size(object)};
        return true;
    }
    PyErr_Format(PyExc_TypeError, "a key is str or bytes, not %R", (PyObject *)Py_TYPE(object));
    return false;
}

void key_drop(struct key *key) {
    Py_CLEAR(key->held);
}

void keys_drop(struct keys *keys) {
    for (size_t i = 0; i < keys->count; i++) key_drop(&keys->each[i]);
    free(keys->each);
    free(keys->spans);
    Py_CLEAR(keys->list);
}

static bool take_each(struct keys *keys, size_t count) {
    keys->each = calloc(count + 1, sizeof *keys->each);
    keys->spans = calloc(count + 1, sizeof *keys->spans);
    if (keys->each == NULL || keys->spans == NULL) {
        (void)PyErr_NoMemory();
        return false;
    }
    while (keys->count < count) {
        struct key *key = &keys->each[keys->count];
        if (!key_take(PyList_GetItem(keys->list, (Py_ssize_t)keys->count), key)) return false;
        keys->spans[keys->count++] = key->bytes;
    }
    return true;
}

/* The list is a copy: it keeps the strings whose bytes are looked at. */
bool keys_take(PyObject *object, struct keys *out) {
    *out = (struct keys){NULL, NULL, NULL, 0};
    if (PyUnicode_Check(object) || PyBytes_Check(object)) {
        PyErr_SetString(PyExc_TypeError, "a sequence of keys was expected, not one key");
        return false;
    }
    out->list = PySequence_List(object);
    if (out->list == NULL) return false;
    if (take_each(out, (size_t)PyList_Size(out->list))) return true;
    keys_drop(out);
    return false;
}

const char *text_take(PyObject *object) {
    Py_ssize_t size = 0;
    if (!PyUnicode_Check(object)) {
        PyErr_Format(PyExc_TypeError, "a str was expected, not %R", (PyObject *)Py_TYPE(object));
        return NULL;
    }
    const char *text = PyUnicode_AsUTF8AndSize(object, &size);
    if (text == NULL || strlen(text) == (size_t)size) return text;
    PyErr_SetString(PyExc_ValueError, "embedded null character");
    return NULL;
}

PyObject *key_give(kh_bytes bytes) {
    if (bytes.size_bytes == 0) return PyUnicode_FromString("");
    return PyUnicode_DecodeUTF8(bytes.data, (Py_ssize_t)bytes.size_bytes, "surrogateescape");
}

PyObject *txn_id_give(kh_txn_id id) {
    if (id.high == 0) return PyLong_FromUnsignedLongLong(id.low);
    PyObject *high = PyLong_FromUnsignedLongLong(id.high);
    PyObject *shift = PyLong_FromLong(64);
    PyObject *low = PyLong_FromUnsignedLongLong(id.low);
    PyObject *out = NULL;
    PyObject *shifted = high && shift && low ? PyNumber_Lshift(high, shift) : NULL;
    if (shifted != NULL) out = PyNumber_Or(shifted, low);
    Py_XDECREF(shifted);
    Py_XDECREF(high);
    Py_XDECREF(shift);
    Py_XDECREF(low);
    return out;
}

/* OverflowError becomes InvalidError: an argument is outside its contract. */
static void refuse_range(void) {
    if (!PyErr_ExceptionMatches(PyExc_OverflowError)) return;
    PyErr_Clear();
    (void)raise_words(KH_INVALID, "the number is negative or too large");
}

bool txn_id_take(PyObject *object, kh_txn_id *out) {
    PyObject *shift = PyLong_FromLong(64);
    PyObject *high = shift == NULL ? NULL : PyNumber_Rshift(object, shift);
    Py_XDECREF(shift);
    if (high == NULL) return false;
    out->high = PyLong_AsUnsignedLongLong(high);
    Py_DECREF(high);
    if (PyErr_Occurred()) {
        refuse_range();
        return false;
    }
    out->low = PyLong_AsUnsignedLongLongMask(object);
    return !PyErr_Occurred();
}

int uint64_take(PyObject *object, void *out) {
    PyObject *number = PyNumber_Index(object);
    if (number == NULL) return 0;
    *(uint64_t *)out = PyLong_AsUnsignedLongLong(number);
    Py_DECREF(number);
    if (PyErr_Occurred() == NULL) return 1;
    refuse_range();
    return 0;
}

int uint32_take(PyObject *object, void *out) {
    uint64_t number = 0;
    if (!uint64_take(object, &number)) return 0;
    *(uint32_t *)out = (uint32_t)number;
    if (number <= UINT32_MAX) return 1;
    (void)raise_words(KH_INVALID, "the number is too large");
    return 0;
}

bool seconds_take(PyObject *object, uint32_t none, uint32_t *out_ms) {
    *out_ms = none;
    if (object == NULL || object == Py_None) return true;
    double seconds = PyFloat_AsDouble(object);
    if (seconds == -1.0 && PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_TypeError))
            PyErr_Format(PyExc_TypeError, "a timeout is a number of seconds or None, not %R",
                         (PyObject *)Py_TYPE(object));
        return false;
    }
    if (!(seconds >= 0.0) || seconds > 4e6) {
        PyErr_SetString(PyExc_ValueError, "a time in seconds is between 0 and 4,000,000");
        return false;
    }
    *out_ms = (uint32_t)ceil(seconds * 1000.0);
    return true;
}
