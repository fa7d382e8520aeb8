/* database.c - khonsu._core.Database: open, close, and what is asked of the whole. */
#include "messages.h"

#include <string.h>
#include <time.h>

static database_object *of(PyObject *self) {
    return (database_object *)self;
}

static PyObject *database_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)args;
    (void)kwargs;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    PyObject *self = allocate(type, 0);
    if (self == NULL) return NULL;
    atomic_init(&of(self)->users, -1);
    of(self)->forks = atomic_load(&forked_count);
    pthread_mutex_init(&of(self)->lock, NULL);
    return self;
}

/* ---- options --------------------------------------------------------------------------------- */

struct words {
    const char *isolation;
    const char *policy;
    const char *validation;
    const char *sync;
};

static bool take_words(const struct words *words, kh_options *options) {
    return isolation_take(words->isolation, &options->isolation) &&
           policy_take(words->policy, &options->policy) &&
           validation_take(words->validation, &options->validation) &&
           sync_take(words->sync, &options->sync);
}

struct limit {
    const char *name;
    size_t offset;
    size_t size;
};
#define LIMIT(field)                                                                               \
    { #field, offsetof(kh_limits, field), sizeof(((kh_limits *)0)->field) }
static const struct limit limits[] = {LIMIT(memory_bytes), LIMIT(batch_bytes),
                                      LIMIT(txn_bytes),    LIMIT(txn_writes),
                                      LIMIT(txn_reads),    LIMIT(txns),
                                      LIMIT(ranges),       LIMIT(outcomes),
                                      LIMIT(watch_events), LIMIT(max_snapshot_age_ms)};

static bool set_limit(kh_limits *out, const char *name, uint64_t value) {
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        if (strcmp(limits[i].name, name) != 0) continue;
        if (limits[i].size == sizeof value) {
            memcpy((char *)out + limits[i].offset, &value, sizeof value);
            return true;
        }
        uint32_t small = (uint32_t)value;
        memcpy((char *)out + limits[i].offset, &small, sizeof small);
        if (small == value) return true;
        break;
    }
    char words[120];
    (void)PyOS_snprintf(words, sizeof words, "no such limit, or too large: '%.80s'", name);
    (void)raise_words(KH_INVALID, words);
    return false;
}

static bool take_limit(PyObject *item, kh_limits *out) {
    const char *name;
    uint64_t value;
    return PyArg_ParseTuple(item, "sO&;limits is a dict of names and numbers", &name, uint64_take,
                            &value) &&
           set_limit(out, name, value);
}

static bool take_limits(PyObject *dict, kh_limits *out) {
    if (dict == Py_None) return true;
    if (!PyDict_Check(dict)) {
        PyErr_SetString(PyExc_TypeError, "limits is a dict");
        return false;
    }
    PyObject *items = PyDict_Items(dict);
    bool is_taken = items != NULL;
    for (Py_ssize_t i = 0; is_taken && i < PyList_Size(items); i++)
        is_taken = take_limit(PyList_GetItem(items, i), out);
    Py_XDECREF(items);
    return is_taken;
}

static bool take_times(PyObject *timeout, double retention, PyObject *sync_delay,
                       kh_options *options) {
    if (!seconds_take(timeout, 0, &options->timeout_ms)) return false;
    if (!(retention >= 0) || retention > 1e12) {
        PyErr_SetString(PyExc_ValueError, "retention is a number of seconds");
        return false;
    }
    options->retention_ms = (uint64_t)(retention * 1000.0);
    if (sync_delay == Py_None) return true;
    double seconds = PyFloat_AsDouble(sync_delay);
    if (!(seconds >= 0) || seconds > 1.0) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "sync_delay is between 0 and 1 second");
        return false;
    }
    options->sync_delay_us = (uint32_t)(seconds * 1e6);
    return true;
}

struct given {
    PyObject *path; /* bytes in the file system's encoding; NULL: none */
    PyObject *resolve;
    int flags[3];
    struct words words;
    PyObject *timeout;
    double retention;
    uint64_t retention_bytes;
    uint64_t memory;
    PyObject *limits;
    PyObject *sync_delay;
    PyObject *as_of;
    uint32_t node;
    const char *victim;
    PyObject *lock_wait;
    PyObject *lock_timeout;
    const char *mode;
    kh_semantic_options semantic;
};

static char *option_names[] = {"path",
                               "read_only",
                               "threads",
                               "ingest",
                               "isolation",
                               "policy",
                               "id_column",
                               "validation",
                               "timeout",
                               "retention",
                               "retention_bytes",
                               "memory",
                               "limits",
                               "sync",
                               "sync_delay",
                               "as_of",
                               "node",
                               "resolve",
                               "semantic",
                               "semantic_recent",
                               "semantic_bytes",
                               "lock_timeout",
                               "lock_victim",
                               "lock_wait",
                               NULL};

static bool parse(PyObject *args, PyObject *kwargs, struct given *given, const char **id_column) {
    PyObject *path = Py_None;
    *given = (struct given){.resolve = Py_None,
                            .flags = {0, 1, 0},
                            .timeout = Py_None,
                            .limits = Py_None,
                            .sync_delay = Py_None,
                            .as_of = Py_None,
                            .lock_wait = Py_None,
                            .lock_timeout = Py_None,
                            .semantic = KH_SEMANTIC_OPTIONS_INIT};
    if (!arguments_take(args, kwargs, "|O$pppzzzzOdO&O&OzOOO&OzO&O&OzO:Database", option_names,
                        &path, &given->flags[0], &given->flags[1], &given->flags[2],
                        &given->words.isolation, &given->words.policy, id_column,
                        &given->words.validation, &given->timeout, &given->retention, uint64_take,
                        &given->retention_bytes, uint64_take, &given->memory, &given->limits,
                        &given->words.sync, &given->sync_delay, &given->as_of, uint32_take,
                        &given->node, &given->resolve, &given->mode, uint32_take,
                        &given->semantic.recent_max, uint64_take, &given->semantic.recent_bytes,
                        &given->lock_timeout, &given->victim, &given->lock_wait))
        return false;
    return path == Py_None || PyUnicode_FSConverter(path, &given->path);
}

static bool fill(const struct given *given, kh_options *options) {
    options->path = given->path == NULL ? NULL : PyBytes_AsString(given->path);
    if (given->flags[0]) options->flags |= KH_OPEN_READ_ONLY;
    if (!given->flags[1]) options->flags |= KH_OPEN_NO_THREADS;
    if (given->flags[2]) options->flags |= KH_OPEN_INGEST;
    options->retention_bytes = given->retention_bytes;
    options->limits.memory_bytes = given->memory;
    options->node = given->node;
    if (given->as_of != Py_None && !uint64_take(given->as_of, &options->as_of)) return false;
    if (given->resolve != Py_None && !PyCallable_Check(given->resolve)) {
        PyErr_SetString(PyExc_TypeError, "resolve is a function of key, base, mine, theirs");
        return false;
    }
    return take_words(&given->words, options) && take_limits(given->limits, &options->limits) &&
           take_times(given->timeout, given->retention, given->sync_delay, options);
}

static bool fill_more(struct given *given, kh_options *options) {
    options->semantic = &given->semantic;
    return mode_take(given->mode, &given->semantic.mode) &&
           victim_take(given->victim, &options->lock_victim) &&
           lock_wait_take(given->lock_wait, &options->lock_wait) &&
           seconds_take(given->lock_timeout, 0, &options->lock_timeout_ms);
}

/* A database gives its resolve function to each of its transactions (txn_resolve): nobody else is
 * asked. */
static kh_resolution never_asked(void *context, kh_bytes key, const kh_batch *base,
                                 const kh_batch *mine, const kh_batch *theirs, kh_batch **out) {
    (void)context;
    (void)key;
    (void)base;
    (void)mine;
    (void)theirs;
    (void)out;
    return KH_RESOLVE_CONFLICT;
}

static int open_db(database_object *self, const kh_options *options) {
    kh_error error = {""};
    kh_status status;
    kh_db *db = NULL;
    self->forks = atomic_load(&forked_count);
    if (options->path != NULL && !forked_begin_disk(!(options->flags & KH_OPEN_READ_ONLY)))
        return -1;
    Py_BEGIN_ALLOW_THREADS
    status = kh_db_open(options, &db, &error);
    Py_END_ALLOW_THREADS
    if (status != KH_OK) {
        (void)raise_status(status, &error);
        return -1;
    }
    self->db = db;
    return 0;
}

/* While `users` says that it is opening. */
static int init_alone(database_object *self, PyObject *args, PyObject *kwargs) {
    struct given given;
    const char *id_column = NULL;
    kh_options options = KH_OPTIONS_INIT;
    int code = -1;
    if (self->messages != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "a database is opened once");
        return -1;
    }
    if (!parse(args, kwargs, &given, &id_column)) return -1;
    struct messages *messages = messages_new();
    self->messages = messages;
    if (messages == NULL) {
        (void)PyErr_NoMemory();
    } else if (fill(&given, &options) && fill_more(&given, &options)) {
        options.id_column = id_column;
        if (given.resolve != Py_None) options.resolve = never_asked;
        options.message = messages_say;
        options.message_context = messages;
        code = open_db(self, &options);
    }
    if (code == 0) {
        self->path = Py_XNewRef(given.path);
        if (given.resolve != Py_None) self->resolve = Py_NewRef(given.resolve);
        if (id_column != NULL) self->id_column = PyUnicode_FromString(id_column);
    }
    Py_XDECREF(given.path);
    return code;
}

static int database_init(PyObject *self, PyObject *args, PyObject *kwargs) {
    int closed = -1;
    if (!atomic_compare_exchange_strong(&of(self)->users, &closed, -2)) {
        PyErr_SetString(PyExc_RuntimeError, "a database is opened once");
        return -1;
    }
    int code = init_alone(of(self), args, kwargs);
    atomic_store(&of(self)->users, code == 0 ? 0 : -1);
    return code;
}

/* ---- close ----------------------------------------------------------------------------------- */

enum { NONE_IN_USE, ONE_IN_USE, ONE_IN_OWN_USE };

/* The first child that no thread is in, held; NULL: there is none (*use: but one in use). */
static struct child *hold_one(database_object *self, int *use) {
    struct child *found = NULL;
    *use = NONE_IN_USE;
    pthread_mutex_lock(&self->lock);
    for (struct child *child = self->first; child != NULL && found == NULL; child = child->next) {
        if (child->cancel != NULL) child->cancel(child);
        if (child_try(child)) {
            found = child;
        } else if (child_is_own(child)) {
            *use = ONE_IN_OWN_USE;
        } else if (*use == NONE_IN_USE) {
            *use = ONE_IN_USE;
        }
    }
    pthread_mutex_unlock(&self->lock);
    return found;
}

/* Waits that were cancelled end soon; a transaction that a thread is in may take its time. */
enum { CLOSE_TRIES = 2000 };

static bool close_children(database_object *self) {
    int use = ONE_IN_USE;
    for (int try = 0; use == ONE_IN_USE && try < CLOSE_TRIES; try++) {
        struct child *child;
        while ((child = hold_one(self, &use)) != NULL) {
            child_close(child);
            child_leave(child); /* its object may be gone now */
        }
        if (use != ONE_IN_USE) break;
        struct timespec pause = {0, 1000000};
        Py_BEGIN_ALLOW_THREADS
        nanosleep(&pause, NULL);
        Py_END_ALLOW_THREADS
    }
    return use == NONE_IN_USE;
}

static PyObject *shut(database_object *self) {
    kh_status status;
    Py_BEGIN_ALLOW_THREADS
    status = kh_db_close(self->db);
    Py_END_ALLOW_THREADS
    if (status == KH_IN_USE) {
        atomic_store(&self->users, 0);
        return raise_words(status, "an Arrow stream of a change feed is still in use");
    }
    self->db = NULL;
    if (status != KH_OK && status != KH_FORKED) return raise_status(status, NULL);
    Py_RETURN_NONE;
}

static PyObject *database_close(PyObject *object, PyObject *unused) {
    database_object *self = of(object);
    int users = 0;
    (void)unused;
    if (is_forked(self)) Py_RETURN_NONE;
    if (!atomic_compare_exchange_strong(&self->users, &users, -1)) {
        if (users < 0) Py_RETURN_NONE;
        return raise_words(KH_IN_USE, "a call of the database is under way");
    }
    if (!close_children(self)) {
        atomic_store(&self->users, 0);
        return raise_words(KH_IN_USE, "a transaction of the database is in a call");
    }
    return shut(self);
}

static int database_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(of(self)->resolve);
    return 0;
}

static int database_clear(PyObject *self) {
    Py_CLEAR(of(self)->resolve);
    return 0;
}

static void database_dealloc(PyObject *object) {
    database_object *self = of(object);
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (self->db != NULL) {
        kh_status status;
        Py_BEGIN_ALLOW_THREADS
        status = kh_db_close(self->db);
        Py_END_ALLOW_THREADS
        if (status != KH_OK) self->messages = NULL; /* it goes on, and may say something */
    }
    messages_free(self->messages);
    pthread_mutex_destroy(&self->lock);
    Py_XDECREF(self->path);
    Py_XDECREF(self->id_column);
    (void)database_clear(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

/* ---- what is asked of the whole -------------------------------------------------------------- */

static PyObject *get_now(PyObject *self, void *closure) {
    (void)closure;
    if (!database_enter(of(self))) return NULL;
    kh_timestamp now = kh_db_now(of(self)->db);
    database_leave(of(self));
    return PyLong_FromUnsignedLongLong(now);
}

static PyObject *get_horizon(PyObject *self, void *closure) {
    (void)closure;
    if (!database_enter(of(self))) return NULL;
    kh_timestamp horizon = kh_db_horizon(of(self)->db);
    database_leave(of(self));
    return PyLong_FromUnsignedLongLong(horizon);
}

static PyObject *get_identity(PyObject *self, void *closure) {
    (void)closure;
    if (!database_enter(of(self))) return NULL;
    kh_identity identity = kh_db_identity(of(self)->db);
    database_leave(of(self));
    return Py_BuildValue("(y#y#)", (char *)identity.database, (Py_ssize_t)sizeof identity.database,
                         (char *)identity.timeline, (Py_ssize_t)sizeof identity.timeline);
}

static PyObject *get_path(PyObject *self, void *closure) {
    PyObject *path = of(self)->path;
    (void)closure;
    if (path == NULL) Py_RETURN_NONE;
    return PyUnicode_DecodeFSDefaultAndSize(PyBytes_AsString(path), PyBytes_Size(path));
}

static PyObject *get_closed(PyObject *self, void *closure) {
    (void)closure;
    return PyBool_FromLong(atomic_load(&of(self)->users) < 0);
}

static PyObject *database_step(PyObject *self, PyObject *unused) {
    (void)unused;
    if (!database_enter(of(self))) return NULL;
    Py_BEGIN_ALLOW_THREADS
    kh_db_step(of(self)->db);
    Py_END_ALLOW_THREADS
    database_leave(of(self));
    Py_RETURN_NONE;
}

static PyObject *database_compact(PyObject *self, PyObject *unused) {
    kh_error error = {""};
    kh_status status;
    (void)unused;
    if (!database_enter(of(self))) return NULL;
    Py_BEGIN_ALLOW_THREADS
    status = kh_db_compact(of(self)->db, &error);
    Py_END_ALLOW_THREADS
    database_leave(of(self));
    if (status != KH_OK) return raise_status(status, &error);
    Py_RETURN_NONE;
}

static PyObject *database_stats_text(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"format", NULL};
    const char *format = "json";
    kh_bytes text = {NULL, 0};
    kh_error error = {""};
    kh_status status;
    if (!arguments_take(args, kwargs, "|s:stats_text", names, &format)) return NULL;
    bool is_json = strcmp(format, "json") == 0;
    if (!is_json && strcmp(format, "prometheus") != 0) {
        PyErr_SetString(PyExc_ValueError, "format is json or prometheus");
        return NULL;
    }
    if (!database_enter(of(self))) return NULL;
    Py_BEGIN_ALLOW_THREADS
    status = kh_db_stats_text(of(self)->db, is_json ? KH_STATS_JSON : KH_STATS_PROMETHEUS, &text,
                              &error);
    Py_END_ALLOW_THREADS
    database_leave(of(self));
    if (status != KH_OK) return raise_status(status, &error);
    PyObject *out = PyUnicode_DecodeUTF8(text.data, (Py_ssize_t)text.size_bytes, "replace");
    kh_bytes_free(text);
    return out;
}

static PyObject *database_messages(PyObject *self, PyObject *unused) {
    (void)unused;
    struct messages *messages = of(self)->messages;
    if (messages == NULL || is_forked(of(self))) return PyList_New(0);
    return messages_take(messages);
}

static PyObject *database_batch(PyObject *self, PyObject *rows) {
    if (!database_enter(of(self))) return NULL;
    kh_batch *batch = rows_take(of(self)->db, rows);
    database_leave(of(self));
    return batch == NULL ? NULL : batch_give(batch);
}

static PyObject *database_watch(PyObject *self, PyObject *args, PyObject *kwargs) {
    return watch_make(of(self), args, kwargs);
}

static PyObject *database_feed(PyObject *self, PyObject *args, PyObject *kwargs) {
    return changes_make(of(self), args, kwargs);
}

static PyMethodDef methods[] = {
    {"close", database_close, METH_NOARGS,
     "close()\n--\n\nClose; transactions that are open are rolled back, watches and feeds end. "
     "What "
     "was read stays valid. Closing twice is allowed. InUseError: another thread is in a call."},
    {"step", database_step, METH_NOARGS,
     "step()\n--\n\nDo the library's periodic work now (with threads=False: the only way)."},
    {"compact", database_compact, METH_NOARGS,
     "compact()\n--\n\nApply retention now; takes as long as reading the database."},
    {"stats_text", KEYWORDS(database_stats_text), METH_VARARGS | METH_KEYWORDS,
     "stats_text(format='json')\n--\n\nStatistics as JSON, or in Prometheus' text format."},
    {"messages", database_messages, METH_NOARGS,
     "messages()\n--\n\nWhat the database has said since the last call: (level, text), level 0 for "
     "errors, 1 warnings, 2 notices."},
    {"batch", database_batch, METH_O,
     "batch(rows)\n--\n\nA khonsu.Batch in the memory that is counted as this database's."},
    {"watch", KEYWORDS(database_watch), METH_VARARGS | METH_KEYWORDS,
     "watch(prefix='')\n--\n\nAn iterator over the keys that commits change from now on: (key, "
     "timestamp, is_deleted, is_lossy)."},
    {"feed", KEYWORDS(database_feed), METH_VARARGS | METH_KEYWORDS,
     "feed(since=0, prefix='', keys_only=False, oldest=False)\n--\n\nThe change feed; "
     "Database.changes is the comfortable form."},
    {NULL, NULL, 0, NULL}};

static PyGetSetDef properties[] = {
    {"now", get_now, NULL, "The newest commit timestamp that readers see.", NULL},
    {"horizon", get_horizon, NULL, "The oldest timestamp that can be read now.", NULL},
    {"identity", get_identity, NULL, "(database, timeline): 16 bytes each.", NULL},
    {"path", get_path, NULL, "The directory; None in memory.", NULL},
    {"closed", get_closed, NULL, "Whether it is closed.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot slots[] = {
    {Py_tp_doc, "A database: khonsu.open makes one. Any number of threads."},
    {Py_tp_new, database_new},
    {Py_tp_init, database_init},
    {Py_tp_dealloc, database_dealloc},
    {Py_tp_traverse, database_traverse},
    {Py_tp_clear, database_clear},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {0, NULL}};
static PyType_Spec spec = {"khonsu._core.Database", sizeof(database_object), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};

bool database_ready(PyObject *module) {
    core.database_type = type_ready(module, &spec, "Database");
    return core.database_type != NULL && methods_add(core.database_type, database_history_methods);
}
