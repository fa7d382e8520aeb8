/* offline.c - functions on directories that no process has open: verify, restore, backups. */
#include "core.h"

#include <stdlib.h>
#include <string.h>

/* ---- verify ---------------------------------------------------------------------------------- */

static const char *expectation_name(kh_expectation expectation) {
    static const char *const names[] = {"nothing", "head", "earlier", "too_old", "missing"};
    return names[expectation];
}

static PyObject *report_give(const kh_verify_report *report, kh_status status) {
    return Py_BuildValue(
        "{s:N,s:s,s:N,s:N,s:K,s:K,s:K,s:K,s:K,s:N,s:K,s:K,s:K,s:K,s:s,s:s}", "ok",
        PyBool_FromLong(status == KH_OK), "status", kh_status_name(status), "head",
        head_give(&report->head), "anchor", head_give(&report->anchor), "groups",
        (unsigned long long)report->groups, "records", (unsigned long long)report->records,
        "log_bytes", (unsigned long long)report->log_bytes, "first_timestamp",
        (unsigned long long)report->first_timestamp, "last_timestamp",
        (unsigned long long)report->last_timestamp, "torn_end",
        PyBool_FromLong(report->has_torn_end), "keys", (unsigned long long)report->keys, "versions",
        (unsigned long long)report->versions, "storage_bytes",
        (unsigned long long)report->storage_bytes, "prepared", (unsigned long long)report->prepared,
        "expectation", expectation_name(report->expectation), "finding", report->finding);
}

static bool is_report(kh_status status) {
    return status == KH_OK || status == KH_CORRUPT || status == KH_MISMATCH || status == KH_TOO_OLD;
}

static PyObject *verify(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"path", "expect", "expect_number", NULL};
    PyObject *path = NULL;
    const char *expect = NULL;
    Py_ssize_t expect_bytes = 0;
    uint64_t number = 0;
    kh_verify_options options = KH_VERIFY_OPTIONS_INIT;
    kh_verify_report report = {.size = sizeof report};
    kh_error error = {""};
    kh_status status = KH_INVALID;
    (void)module;
    if (!arguments_take(args, kwargs, "O&|z#O&:verify", names, PyUnicode_FSConverter, &path,
                        &expect, &expect_bytes, uint64_take, &number))
        return NULL;
    options.expect = (const uint8_t *)expect;
    options.expect_number = number;
    if (expect != NULL && expect_bytes != KH_DIGEST_BYTES) {
        Py_DECREF(path);
        PyErr_SetString(PyExc_ValueError, "expect is a digest of 32 bytes");
        return NULL;
    }
    const char *text = PyBytes_AsString(path);
    (void)forked_begin_disk(false);
    Py_BEGIN_ALLOW_THREADS
    status = kh_verify(text, &options, &report, &error);
    Py_END_ALLOW_THREADS
    Py_DECREF(path);
    return is_report(status) ? report_give(&report, status) : raise_status(status, &error);
}

/* ---- restore --------------------------------------------------------------------------------- */

static PyObject *restored_give(const kh_restored *restored) {
    return Py_BuildValue("{s:K,s:K,s:K}", "timestamp", (unsigned long long)restored->timestamp,
                         "keys", (unsigned long long)restored->keys, "bytes",
                         (unsigned long long)restored->bytes);
}

static void paths_drop(PyObject *paths[2]) {
    Py_XDECREF(paths[0]);
    Py_XDECREF(paths[1]);
}

static PyObject *restore(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"source", "target", "to", NULL};
    PyObject *paths[2] = {NULL, NULL};
    uint64_t to = 0;
    kh_restore_options options = KH_RESTORE_OPTIONS_INIT;
    kh_restored restored;
    kh_error error = {""};
    kh_status status;
    (void)module;
    if (!arguments_take(args, kwargs, "O&O&|O&:restore", names, PyUnicode_FSConverter, &paths[0],
                        PyUnicode_FSConverter, &paths[1], uint64_take, &to))
        return NULL;
    options.to = to;
    if (!forked_begin_disk(true)) {
        paths_drop(paths);
        return NULL;
    }
    const char *from = PyBytes_AsString(paths[0]);
    const char *target = PyBytes_AsString(paths[1]);
    Py_BEGIN_ALLOW_THREADS
    status = kh_restore(from, target, &options, &restored, &error);
    Py_END_ALLOW_THREADS
    paths_drop(paths);
    return status == KH_OK ? restored_give(&restored) : raise_status(status, &error);
}

static PyObject *backup_restore(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"directory", "target", "number", "to", NULL};
    PyObject *paths[2] = {NULL, NULL};
    uint64_t number = 0;
    uint64_t to = 0;
    kh_restore_options options = KH_RESTORE_OPTIONS_INIT;
    kh_restored restored;
    kh_error error = {""};
    kh_status status;
    (void)module;
    if (!arguments_take(args, kwargs, "O&O&|O&O&:backup_restore", names, PyUnicode_FSConverter,
                        &paths[0], PyUnicode_FSConverter, &paths[1], uint64_take, &number,
                        uint64_take, &to))
        return NULL;
    options.to = to;
    if (!forked_begin_disk(true)) {
        paths_drop(paths);
        return NULL;
    }
    const char *from = PyBytes_AsString(paths[0]);
    const char *target = PyBytes_AsString(paths[1]);
    Py_BEGIN_ALLOW_THREADS
    status = kh_backup_restore(from, number, target, &options, &restored, &error);
    Py_END_ALLOW_THREADS
    paths_drop(paths);
    return status == KH_OK ? restored_give(&restored) : raise_status(status, &error);
}

/* ---- backups --------------------------------------------------------------------------------- */

struct entries {
    kh_backup_entry *list;
    size_t count;
    bool has_failed;
};

static bool add_entry(void *context, const kh_backup_entry *entry) {
    struct entries *entries = context;
    kh_backup_entry *list = realloc(entries->list, (entries->count + 1) * sizeof *list);
    entries->has_failed = list == NULL;
    if (list == NULL) return false;
    entries->list = list;
    list[entries->count++] = *entry;
    return true;
}

static PyObject *entries_give(const struct entries *entries) {
    if (entries->has_failed) return PyErr_NoMemory();
    PyObject *list = PyList_New((Py_ssize_t)entries->count);
    for (size_t i = 0; list != NULL && i < entries->count; i++) {
        PyObject *row = backup_entry_give(&entries->list[i]);
        if (row == NULL || PyList_SetItem(list, (Py_ssize_t)i, row) < 0) Py_CLEAR(list);
    }
    return list;
}

static PyObject *backup_list(PyObject *module, PyObject *directory) {
    PyObject *path = NULL;
    kh_error error = {""};
    (void)module;
    struct entries entries = {NULL, 0, false};
    kh_status status;
    if (!PyUnicode_FSConverter(directory, &path)) return NULL;
    const char *text = PyBytes_AsString(path);
    Py_BEGIN_ALLOW_THREADS
    status = kh_backup_list(text, add_entry, &entries, &error);
    Py_END_ALLOW_THREADS
    Py_DECREF(path);
    PyObject *list = status == KH_OK ? entries_give(&entries) : raise_status(status, &error);
    free(entries.list);
    return list;
}

static PyObject *backup_purge(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"directory", "keep", NULL};
    PyObject *path = NULL;
    uint32_t keep;
    kh_error error = {""};
    kh_status status;
    (void)module;
    if (!arguments_take(args, kwargs, "O&O&:backup_purge", names, PyUnicode_FSConverter, &path,
                        uint32_take, &keep))
        return NULL;
    const char *text = PyBytes_AsString(path);
    Py_BEGIN_ALLOW_THREADS
    status = kh_backup_purge(text, keep, &error);
    Py_END_ALLOW_THREADS
    Py_DECREF(path);
    if (status != KH_OK) return raise_status(status, &error);
    Py_RETURN_NONE;
}

PyMethodDef offline_methods[] = {
    {"verify", KEYWORDS(verify), METH_VARARGS | METH_KEYWORDS,
     "verify(path, expect=None, expect_number=0)\n--\n\nCheck a database that no process has open: "
     "every checksum, the chain, and that replaying the log gives the storage. A dict; its 'ok' is "
     "False when something is wrong, 'finding' says what. expect: the digest of a head that was "
     "kept elsewhere."},
    {"restore", KEYWORDS(restore), METH_VARARGS | METH_KEYWORDS,
     "restore(source, target, to=0)\n--\n\nMake a new database with the state of another at a "
     "timestamp (0: the newest)."},
    {"backup_list", backup_list, METH_O,
     "backup_list(directory)\n--\n\nThe backups in a directory, oldest first, a dict each."},
    {"backup_restore", KEYWORDS(backup_restore), METH_VARARGS | METH_KEYWORDS,
     "backup_restore(directory, target, number=0, to=0)\n--\n\nMake a new database of a backup (0: "
     "the newest)."},
    {"backup_purge", KEYWORDS(backup_purge), METH_VARARGS | METH_KEYWORDS,
     "backup_purge(directory, keep)\n--\n\nRemove all but the newest backups."},
    {NULL, NULL, 0, NULL}};
