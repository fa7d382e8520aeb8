/* txn_read.c - reads of a transaction: by key, many keys, whole tables. */
#include "core.h"
#include "examples.h"

#include <stdlib.h>
#include <string.h>

static txn_object *of(PyObject *self) {
    return (txn_object *)self;
}

/* In memory a read waits for nothing and copies nothing: the interpreter lock is kept. */
static kh_status get(txn_object *txn, kh_bytes key, kh_batch **out, kh_error *error) {
    kh_status status;
    if (!txn->is_durable) return kh_txn_get(txn->txn, key, out, error);
    Py_BEGIN_ALLOW_THREADS
    status = kh_txn_get(txn->txn, key, out, error);
    Py_END_ALLOW_THREADS
    return status;
}

/* A new reference; NULL without an exception: there is no such key. */
static PyObject *look_up(txn_object *txn, PyObject *object) {
    struct key key;
    kh_batch *batch = NULL;
    kh_error error;
    if (!key_take(object, &key)) return NULL;
    if (!txn_enter(txn)) {
        key_drop(&key);
        return NULL;
    }
    error.message[0] = '\0';
    kh_status status = get(txn, key.bytes, &batch, &error);
    PyObject *out = NULL;
    if (status == KH_OK) {
        out = batch_give(batch);
    } else if (status != KH_NOT_FOUND) {
        (void)raise_of_txn(status, &error, txn, &key.bytes);
    }
    txn_leave(txn);
    key_drop(&key);
    return out;
}

static PyObject *txn_get(PyObject *self, PyObject *const *args, Py_ssize_t count,
                         PyObject *keywords) {
    static const struct two usage = {"get(key, default=None)", {"key", "default"}, 1};
    PyObject *given[2] = {NULL, Py_None};
    if (!two_take(&usage, args, count, keywords, given)) return NULL;
    PyObject *found = look_up(of(self), given[0]);
    return found != NULL || PyErr_Occurred() ? found : Py_NewRef(given[1]);
}

PyObject *txn_subscript(PyObject *self, PyObject *object) {
    PyObject *found = look_up(of(self), object);
    return found != NULL || PyErr_Occurred() ? found : raise_absent(of(self), object);
}

int txn_contains(PyObject *self, PyObject *object) {
    txn_object *txn = of(self);
    struct key key;
    bool is_there = false;
    kh_error error = {""};
    kh_status status;
    if (!key_take(object, &key)) return -1;
    if (!txn_enter(txn)) {
        key_drop(&key);
        return -1;
    }
    Py_BEGIN_ALLOW_THREADS
    status = kh_txn_exists(txn->txn, key.bytes, &is_there, &error);
    Py_END_ALLOW_THREADS
    if (status != KH_OK) (void)raise_of_txn(status, &error, txn, &key.bytes);
    txn_leave(txn);
    key_drop(&key);
    return status == KH_OK ? is_there : -1;
}

/* ---- many keys ------------------------------------------------------------------------------- */

struct many {
    struct keys keys;
    kh_batch **found;
};

static void many_drop(struct many *many) {
    keys_drop(&many->keys);
    free(many->found);
}

static bool many_take(PyObject *keys, struct many *many) {
    many->found = NULL;
    if (!keys_take(keys, &many->keys)) return false;
    many->found = calloc(many->keys.count + 1, sizeof(kh_batch *));
    if (many->found != NULL) return true;
    keys_drop(&many->keys);
    (void)PyErr_NoMemory();
    return false;
}

static PyObject *many_give(const struct many *many) {
    PyObject *out = PyList_New((Py_ssize_t)many->keys.count);
    for (size_t i = 0; i < many->keys.count; i++) {
        kh_batch *batch = many->found[i];
        PyObject *object = NULL;
        if (out == NULL) {
            kh_batch_release(batch);
            continue;
        }
        object = batch == NULL ? Py_NewRef(Py_None) : batch_give(batch);
        if (object == NULL || PyList_SetItem(out, (Py_ssize_t)i, object) < 0) Py_CLEAR(out);
    }
    return out;
}

static PyObject *txn_get_many(PyObject *self, PyObject *keys) {
    txn_object *txn = of(self);
    struct many many;
    PyObject *out = NULL;
    if (PyUnicode_Check(keys) || PyBytes_Check(keys)) {
        PyErr_SetString(PyExc_TypeError, "get_many takes a sequence of keys; get takes one");
        return NULL;
    }
    if (!many_take(keys, &many)) return NULL;
    if (txn_enter(txn)) {
        kh_error error = {""};
        kh_status status;
        Py_BEGIN_ALLOW_THREADS
        status = kh_txn_get_many(txn->txn, many.keys.spans, many.keys.count, many.found, &error);
        Py_END_ALLOW_THREADS
        out = status == KH_OK ? many_give(&many) : raise_of_txn(status, &error, txn, NULL);
        txn_leave(txn);
    }
    many_drop(&many);
    return out;
}

/* ---- scans ----------------------------------------------------------------------------------- */

bool span_take(PyObject *args, PyObject *kwargs, struct span *out) {
    static char *names[] = {"prefix", "start", "stop", "reverse", "limit", NULL};
    PyObject *objects[3] = {NULL, NULL, NULL};
    int is_reverse = 0;
    uint64_t limit = 0;
    *out = (struct span){.options = KH_SCAN_OPTIONS_INIT};
    if (!arguments_take(args, kwargs, "|O$OOpO&:scan", names, &objects[0], &objects[1], &objects[2],
                        &is_reverse, uint64_take, &limit))
        return false;
    kh_bytes *spans[] = {&out->options.prefix, &out->options.from, &out->options.to};
    for (int i = 0; i < 3; i++) {
        if (objects[i] == NULL) continue;
        if (!key_take(objects[i], &out->keys[i])) {
            span_drop(out);
            return false;
        }
        if (out->keys[i].bytes.size_bytes > 0) *spans[i] = out->keys[i].bytes;
    }
    out->options.limit = limit;
    if (is_reverse) out->options.flags |= KH_SCAN_REVERSE;
    return true;
}

void span_drop(struct span *span) {
    for (int i = 0; i < 3; i++) key_drop(&span->keys[i]);
}

static PyObject *txn_scan(PyObject *self, PyObject *args, PyObject *kwargs) {
    struct span span;
    if (!span_take(args, kwargs, &span)) return NULL;
    PyObject *scan = scan_make(of(self), &span.options);
    span_drop(&span);
    return scan;
}

static PyObject *txn_keys(PyObject *self, PyObject *args, PyObject *kwargs) {
    struct span span;
    if (!span_take(args, kwargs, &span)) return NULL;
    span.options.flags |= KH_SCAN_KEYS_ONLY;
    PyObject *scan = scan_make(of(self), &span.options);
    span_drop(&span);
    return scan;
}

PyObject *txn_iterate(PyObject *self) {
    kh_scan_options options = KH_SCAN_OPTIONS_INIT;
    options.flags = KH_SCAN_KEYS_ONLY;
    return scan_make(of(self), &options);
}

/* ---- tables ---------------------------------------------------------------------------------- */

struct gathered {
    kh_batch **batches;
    size_t count;
    size_t capacity;
    kh_bytes *keys; /* copies, one block each */
};

static void gathered_drop(struct gathered *all, bool with_batches) {
    for (size_t i = 0; i < all->count; i++) {
        free((void *)(uintptr_t)all->keys[i].data);
        if (with_batches) kh_batch_release(all->batches[i]);
    }
    free(all->keys);
    if (with_batches) free(all->batches);
}

static bool gathered_grow(struct gathered *all) {
    if (all->count < all->capacity) return true;
    size_t capacity = all->capacity == 0 ? 16 : 2 * all->capacity;
    kh_batch **batches = realloc(all->batches, capacity * sizeof(kh_batch *));
    if (batches != NULL) all->batches = batches;
    kh_bytes *keys = realloc(all->keys, capacity * sizeof *keys);
    if (keys != NULL) all->keys = keys;
    if (batches != NULL && keys != NULL) all->capacity = capacity;
    return batches != NULL && keys != NULL;
}

static int shown(size_t size_bytes) {
    return size_bytes > 80 ? 80 : (int)size_bytes;
}

/* Behind the words that are there: how the first batch and this one differ. Putting them together
 * is refused for it, and says so. */
static void add_difference(const struct gathered *all, const kh_batch *batch, kh_error *error) {
    kh_error refusal = {""};
    kh_batch *both = NULL;
    kh_status status = kh_batch_concat(all->batches[0], batch, &both, &refusal);
    kh_batch_release(both);
    const char *how = status == KH_SCHEMA_MISMATCH ? strchr(refusal.message, ':') : NULL;
    size_t length = strlen(error->message);
    if (how != NULL)
        (void)PyOS_snprintf(error->message + length, sizeof error->message - length, "%s", how);
}

static kh_status gathered_add(struct gathered *all, kh_bytes key, const kh_batch *batch,
                              kh_error *error) {
    void *copy = malloc(key.size_bytes);
    if (copy == NULL || !gathered_grow(all)) {
        free(copy);
        return KH_NO_MEMORY;
    }
    memcpy(copy, key.data, key.size_bytes);
    all->keys[all->count] = (kh_bytes){copy, key.size_bytes};
    all->batches[all->count++] = kh_batch_retain(batch);
    if (kh_schema_equal(kh_batch_schema(batch), kh_batch_schema(all->batches[0]))) return KH_OK;
    const kh_bytes *first = &all->keys[0];
    (void)PyOS_snprintf(error->message, sizeof error->message,
                        "a table has one schema: '%.*s' and '%.*s' have different ones",
                        shown(first->size_bytes), (const char *)first->data, shown(key.size_bytes),
                        (const char *)copy);
    add_difference(all, batch, error);
    return KH_SCHEMA_MISMATCH;
}

/* Without the interpreter lock. */
static kh_status gather(kh_txn *txn, const kh_scan_options *options, struct gathered *all,
                        kh_error *error) {
    kh_cursor *cursor = NULL;
    kh_status status = kh_txn_scan(txn, options, &cursor, error);
    if (status != KH_OK) return status;
    kh_bytes key;
    const kh_batch *batch;
    while (status == KH_OK) {
        status = kh_cursor_next(cursor, &key, &batch, error);
        if (status == KH_OK) status = gathered_add(all, key, batch, error);
    }
    kh_cursor_close(cursor);
    return status == KH_END ? KH_OK : status;
}

static PyObject *gathered_give(struct gathered *all) {
    PyObject *keys = PyList_New((Py_ssize_t)all->count);
    for (size_t i = 0; keys != NULL && i < all->count; i++) {
        PyObject *key = key_give(all->keys[i]);
        if (key == NULL || PyList_SetItem(keys, (Py_ssize_t)i, key) < 0) Py_CLEAR(keys);
    }
    gathered_drop(all, keys == NULL);
    if (keys == NULL) return NULL;
    return table_give(kh_batch_schema(all->batches[0]), all->batches, all->count, keys);
}

static PyObject *table_of(txn_object *txn, const kh_scan_options *options) {
    struct gathered all = {NULL, 0, 0, NULL};
    kh_error error = {""};
    kh_status status;
    if (!txn_enter(txn)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    status = gather(txn->txn, options, &all, &error);
    Py_END_ALLOW_THREADS
    PyObject *out = NULL;
    if (status == KH_OK && all.count > 0) {
        txn_leave(txn);
        return gathered_give(&all);
    }
    if (status != KH_OK) {
        out = raise_of_txn(status, &error, txn, NULL);
    } else {
        const kh_bytes *prefix = options->prefix.size_bytes > 0 ? &options->prefix : NULL;
        (void)PyOS_snprintf(error.message, sizeof error.message, "no key is in that range");
        out = raise_of_txn(KH_NOT_FOUND, &error, txn, prefix);
    }
    txn_leave(txn);
    gathered_drop(&all, true);
    return out;
}

static PyObject *txn_table(PyObject *self, PyObject *args, PyObject *kwargs) {
    struct span span;
    if (!span_take(args, kwargs, &span)) return NULL;
    PyObject *table = table_of(of(self), &span.options);
    span_drop(&span);
    return table;
}

PyMethodDef txn_read_methods[] = {
    {"get", FAST(txn_get), METH_FASTCALL | METH_KEYWORDS,
     "get(key, default=None)\n--\n\nThe key's Batch, or the default. txn[key] raises "
     "NotFoundError, "
     "a KeyError." EXAMPLE_GET},
    {"get_many", txn_get_many, METH_O,
     "get_many(keys)\n--\n\nA list: the Batch of each key, or None. One "
     "statement." EXAMPLE_GET_MANY},
    {"scan", KEYWORDS(txn_scan), METH_VARARGS | METH_KEYWORDS,
     "scan(prefix='', *, start='', stop='', reverse=False, limit=0)\n--\n\nAn iterator over (key, "
     "Batch) in the order of the keys' bytes: those with the prefix in [start, "
     "stop)." EXAMPLE_SCAN},
    {"keys", KEYWORDS(txn_keys), METH_VARARGS | METH_KEYWORDS,
     "keys(prefix='', *, start='', stop='', reverse=False, limit=0)\n--\n\nAs scan, the keys "
     "only." EXAMPLE_KEYS_OF},
    {"table", KEYWORDS(txn_table), METH_VARARGS | METH_KEYWORDS,
     "table(prefix='', *, start='', stop='', reverse=False, limit=0)\n--\n\nAll of the scan's "
     "batches as one Table, not copied. NotFoundError: there is none; SchemaMismatchError: they "
     "differ." EXAMPLE_TABLE},
    {NULL, NULL, 0, NULL}};
