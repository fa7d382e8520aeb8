/* waits.c - waiting for a handle: in pieces, so that a signal (Ctrl-C) is seen; and what the
 * handles that are waited for have in common (watches and change feeds). */
#include "core.h"

enum { PIECE_MS = 100 };

PyObject *wait_for(struct child *child, uint32_t timeout_ms, wait_step_fn *step) {
    for (;;) {
        uint32_t piece = timeout_ms < PIECE_MS ? timeout_ms : PIECE_MS;
        PyObject *out = step(child, piece);
        if (out != Py_None || piece == timeout_ms) return out;
        if (timeout_ms != UINT32_MAX) timeout_ms -= piece;
        Py_DECREF(out);
        if (PyErr_CheckSignals() < 0) return NULL;
    }
}

PyObject *wait_as_asked(PyObject *self, PyObject *args, PyObject *kwargs, wait_step_fn *step) {
    static char *names[] = {"timeout", NULL};
    PyObject *timeout = Py_None;
    uint32_t timeout_ms;
    if (!arguments_take(args, kwargs, "|O", names, &timeout) ||
        !seconds_take(timeout, UINT32_MAX, &timeout_ms))
        return NULL;
    return wait_for((struct child *)self, timeout_ms, step);
}

int waited_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((struct child *)self)->owner);
    return 0;
}

void waited_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    child_end((struct child *)self);
    Py_DECREF(((struct child *)self)->owner);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

PyObject *waited_cancel(PyObject *self, PyObject *unused) {
    (void)unused;
    child_cancel((struct child *)self);
    Py_RETURN_NONE;
}
