/* workspace.h - what the files of khonsu._core.Workspace share. */
#ifndef KHONSU_PYTHON_WORKSPACE_H
#define KHONSU_PYTHON_WORKSPACE_H

#include "core.h"

/* workspace_look.c: what it is, and who else is open. */
extern PyGetSetDef workspace_properties[];
PyObject *operations_give(const kh_workspace *workspace);

/* workspace_meaning.c: its embedding, and who fits. */
extern PyMethodDef workspace_meaning_methods[];
/* With the workspace held. Compute the delta, if both sides are set. False: an exception is set. */
bool workspace_settle(txn_object *txn);

#endif
