/* scalars.h - Python values and the scalars of khonsu's builder and readers, by column format. */
#ifndef KHONSU_PYTHON_SCALARS_H
#define KHONSU_PYTHON_SCALARS_H

#include "core.h"

/* What a scalar borrows from while a batch is built. */
struct scalar_room {
    PyObject **held;
    size_t count;
};

/* The value as a scalar of a column of that format. False: an exception is set. room->held has
 * space for one more. */
bool scalar_take(PyObject *value, const char *format, kh_scalar *out, struct scalar_room *room);
void scalar_room_drop(struct scalar_room *room);

#endif
