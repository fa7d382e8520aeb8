/* module.c - the module khonsu._core. */
#include "core.h"

struct core core;

PyTypeObject *type_ready(PyObject *module, PyType_Spec *spec, const char *name) {
    PyObject *type = PyType_FromSpec(spec);
    if (type != NULL && PyModule_AddObjectRef(module, name, type) < 0) Py_CLEAR(type);
    return (PyTypeObject *)type;
}

bool methods_add(PyTypeObject *type, PyMethodDef *methods) {
    for (; methods->ml_name != NULL; methods++) {
        PyObject *method = PyDescr_NewMethod(type, methods);
        if (method == NULL) return false;
        int code = PyObject_SetAttrString((PyObject *)type, methods->ml_name, method);
        Py_DECREF(method);
        if (code < 0) return false;
    }
    return true;
}

PyObject *call_python(const char *module, const char *function, PyObject *argument) {
    PyObject *found = PyImport_ImportModule(module);
    PyObject *callable = found == NULL ? NULL : PyObject_GetAttrString(found, function);
    Py_XDECREF(found);
    if (callable == NULL) return NULL;
    PyObject *result = PyObject_CallFunctionObjArgs(callable, argument, NULL);
    Py_DECREF(callable);
    return result;
}

static PyObject *set_exceptions(PyObject *module, PyObject *by_number) {
    (void)module;
    if (!PyDict_Check(by_number)) {
        PyErr_SetString(PyExc_TypeError, "a dict was expected");
        return NULL;
    }
    if (!errors_set(by_number)) return NULL;
    Py_RETURN_NONE;
}

static PyObject *has_feature(PyObject *module, PyObject *name) {
    (void)module;
    const char *text = text_take(name);
    return text == NULL ? NULL : PyBool_FromLong(kh_has_feature(text));
}

static PyObject *from_ipc(PyObject *module, PyObject *data) {
    char *bytes;
    Py_ssize_t size;
    kh_batch **batches = NULL;
    size_t count = 0;
    kh_error error = {""};
    kh_status status;
    (void)module;
    if (PyBytes_AsStringAndSize(data, &bytes, &size) < 0) return NULL;
    Py_BEGIN_ALLOW_THREADS
    status = kh_ipc_decode(NULL, (kh_bytes){bytes, (size_t)size}, &batches, &count, &error);
    Py_END_ALLOW_THREADS
    if (status != KH_OK) return raise_status(status, &error);
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *batch = batch_or_none(batches[i]);
        if (batch == NULL || PyList_SetItem(list, (Py_ssize_t)i, batch) < 0) Py_CLEAR(list);
    }
    kh_batches_free(batches, count);
    return list;
}

static const char *class_name(kh_status status) {
    static const char *const names[] = {"DONE", "RETRY", "ASK", "STOP"};
    return names[kh_status_classify(status)];
}

static PyObject *statuses(void) {
    PyObject *list = PyList_New(0);
#define ADD_(name, number, class_, meaning)                                                        \
    if (list != NULL) {                                                                            \
        PyObject *row = Py_BuildValue("(siss)", #name, number, class_name(name), meaning);         \
        if (row == NULL || PyList_Append(list, row) < 0) Py_CLEAR(list);                           \
        Py_XDECREF(row);                                                                           \
    }
    KH_STATUS_LIST(ADD_)
#undef ADD_
    PyObject *tuple = list == NULL ? NULL : PyList_AsTuple(list);
    Py_XDECREF(list);
    return tuple;
}

static PyMethodDef methods[] = {
    {"_set_exceptions", set_exceptions, METH_O, "The exception class of each status number."},
    {"has_feature", has_feature, METH_O,
     "has_feature(name)\n--\n\nWhether the library was built with it: durable, lz4, zstd, ..."},
    {"from_ipc", from_ipc, METH_O,
     "from_ipc(data)\n--\n\nThe batches of an Arrow IPC stream or file, copied. CorruptError."},
    {NULL, NULL, 0, NULL}};

/* str | bytes, for annotations. */
static bool add_key(PyObject *module) {
    PyObject *key = PyNumber_Or((PyObject *)&PyUnicode_Type, (PyObject *)&PyBytes_Type);
    bool is_added = key != NULL && PyModule_AddObjectRef(module, "Key", key) == 0;
    Py_XDECREF(key);
    return is_added;
}

static bool add_markers(PyObject *module) {
    core.conflict = PyUnicode_FromString("khonsu.CONFLICT");
    core.drop = PyUnicode_FromString("khonsu.DROP");
    PyObject *table = statuses();
    bool is_added = table != NULL && core.conflict != NULL && core.drop != NULL &&
                    PyModule_AddObjectRef(module, "CONFLICT", core.conflict) == 0 &&
                    PyModule_AddObjectRef(module, "DROP", core.drop) == 0 &&
                    PyModule_AddObjectRef(module, "STATUSES", table) == 0 &&
                    PyModule_AddStringConstant(module, "__version__", kh_version()) == 0;
    Py_XDECREF(table);
    return is_added;
}

static bool prepare(void) {
    core.schemas = PyDict_New();
    core.name_array = PyUnicode_InternFromString("__arrow_c_array__");
    core.name_stream = PyUnicode_InternFromString("__arrow_c_stream__");
    core.name_schema = PyUnicode_InternFromString("__arrow_c_schema__");
    return core.schemas != NULL && core.name_array != NULL && core.name_stream != NULL &&
           core.name_schema != NULL;
}

static int fill(PyObject *module) {
    PyObject *none = NULL;
    if (!atomic_compare_exchange_strong(&core.module, &none, module)) {
        PyErr_SetString(PyExc_ImportError, "khonsu is for one interpreter of a process");
        return -1;
    }
    static bool (*const ready[])(PyObject *) = {
        schema_ready, batch_ready,     table_ready, database_ready, txn_ready,
        scan_ready,   savepoint_ready, watch_ready, changes_ready,  workspace_ready,
        delta_ready,  named_ready,     add_markers, add_key};
    bool is_ready = forked_ready() && prepare() &&
                    PyModule_AddFunctions(module, offline_methods) == 0 &&
                    PyModule_AddFunctions(module, classify_methods) == 0;
    for (size_t i = 0; is_ready && i < sizeof ready / sizeof ready[0]; i++)
        is_ready = ready[i](module);
    if (!is_ready) core.module = NULL;
    return is_ready ? 0 : -1;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, fill},
#if !defined(Py_LIMITED_API) && PY_VERSION_HEX >= 0x030D0000
                                   {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
                                   {0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT,
                                        .m_name = "khonsu._core",
                                        .m_doc = "The C extension of the package khonsu.",
                                        .m_size = 0,
                                        .m_methods = methods,
                                        .m_slots = slots};

PyMODINIT_FUNC PyInit__core(void) {
    return PyModuleDef_Init(&definition);
}
