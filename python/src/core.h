/* core.h - the C extension khonsu._core: what its files share.
 *
 * One interpreter: what would be module state stands in `core`; a second interpreter is refused.
 *
 * Threads. With the interpreter lock or without it, a call on a handle of khonsu holds that handle
 * by its `busy` word (one thread at a time, the second is refused with MisuseError), so that nobody
 * closes it meanwhile; a call on the database counts itself in `users`. What is read without either
 * is atomic, or does not change once `is_begun` says so; what is given in lists is copied first.
 * The interpreter lock is released around every call that may wait, copy much or run foreign code.
 *
 * Lifetimes. A transaction, watch or feed keeps its database object. Closing the database closes
 * what is open in it first: it knows its children by a list. Batches, tables and exported arrays
 * need no database. */
#ifndef KHONSU_PYTHON_CORE_H
#define KHONSU_PYTHON_CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <khonsu.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { STATUS_MAX = 128 };

struct core {
    PyObject *_Atomic module; /* set by whoever loads it first */
    PyTypeObject *schema_type;
    PyTypeObject *batch_type;
    PyTypeObject *table_type;
    PyTypeObject *database_type;
    PyTypeObject *txn_type;
    PyTypeObject *scan_type;
    PyTypeObject *savepoint_type;
    PyTypeObject *watch_type;
    PyTypeObject *changes_type;
    PyTypeObject *workspace_type;
    PyTypeObject *delta_type;
    PyTypeObject *operation_type; /* named.c */
    PyTypeObject *candidate_type;
    PyTypeObject *classified_type;
    PyTypeObject *pair_type;
    PyTypeObject *open_workspace_type;
    PyObject *_Atomic exceptions[STATUS_MAX]; /* by status number; set by khonsu._errors */
    PyObject *conflict;                       /* what a resolve function answers */
    PyObject *drop;
    PyObject *schemas;               /* dict: address of a kh_schema -> Schema, a bounded cache */
    PyObject *_Atomic import_batch;  /* pyarrow.RecordBatch._import_from_c; NULL until wanted */
    PyObject *_Atomic import_schema; /* pyarrow.Schema._import_from_c */
    _Atomic(PyObject *) arrow_batch_type; /* pyarrow.RecordBatch, once one was met */
    _Atomic(PyObject *) export_batch;     /* its method _export_to_c */
    /* Names that are looked up often. */
    PyObject *name_array;  /* __arrow_c_array__ */
    PyObject *name_stream; /* __arrow_c_stream__ */
    PyObject *name_schema; /* __arrow_c_schema__ */
};
extern struct core core;

/* ---- handles --------------------------------------------------------------------------------- */

struct child;
typedef void child_shut_fn(struct child *child);

typedef struct database_object {
    PyObject_HEAD
    kh_db *db;            /* NULL: closed */
    _Atomic int users;    /* calls that are under way; -1: closing or closed; -2: opening */
    unsigned forks;       /* forked_count as it was opened */
    pthread_mutex_t lock; /* of the list, and of the messages; no Python under it */
    struct child *first;
    struct messages *_Atomic messages; /* NULL: __init__ was not called */
    PyObject *_Atomic path;            /* bytes; NULL: in memory */
    PyObject *id_column;               /* str; NULL: "id" */
    PyObject *resolve;
} database_object;

/* The head of an object that has a handle in a database. */
struct child {
    PyObject_HEAD
    struct child *next;
    struct child *before;
    database_object *owner;     /* a reference; until dealloc */
    child_shut_fn *shut;        /* closes the handle; called with `busy` held */
    child_shut_fn *cancel;      /* ends a wait of another thread; NULL: there is none to end */
    _Atomic unsigned long busy; /* the thread that is in a call; 0: none; see child_pass */
    _Atomic bool is_open;
};

/* The number of forks between this process and the one that loaded the extension. */
extern _Atomic unsigned forked_count;
/* Whether the database was opened by a process that this one was forked from: see forked.c. */
static inline bool is_forked(const database_object *database) {
    return database->forks != atomic_load_explicit(&forked_count, memory_order_relaxed);
}
PyObject *raise_forked(const database_object *database);
bool forked_ready(void);
/* Before files of a database are opened. False: an exception is set. */
bool forked_begin_disk(bool is_writing);

/* Count a call in / out. False: an exception is set. */
bool database_enter(database_object *database);
void database_leave(database_object *database);
/* child->owner is set. */
void child_attach(struct child *child, child_shut_fn *shut, child_shut_fn *cancel);
/* Close the handle, if it is open, and leave the list. With `busy` held. */
void child_close(struct child *child);
/* End a wait that another thread is in, and all later ones. Any thread. */
void child_cancel(struct child *child);
/* Hold the handle for one call. False: an exception is set (in use by another thread, or closed).
 */
bool child_enter(struct child *child, const char *what);
void child_leave(struct child *child);
/* It belongs to the parent of this process: closing it does nothing. */
bool child_is_forked(const struct child *child);
/* For dealloc: whoever closes the database may be at it. Closes it and holds it for good. */
void child_end(struct child *child);
/* As child_enter, also when it is closed already. */
bool child_hold(struct child *child, const char *what);
/* The same without an exception. */
bool child_try(struct child *child);
/* As child_try, by who is no user and gone in a moment: whoever comes meanwhile waits and is not
 * refused. */
bool child_pass(struct child *child);
/* Whether it is this thread that holds it. */
bool child_is_own(struct child *child);

/* Which savepoint has a number now: the library gives the numbers of released ones out again. */
struct marks {
    uint64_t *serials; /* by number, from 1 */
    uint32_t capacity;
    uint64_t last;
};

/* What is left of a workspace that was closed. */
struct workspace_end {
    kh_workspace_state state;
    kh_status cause;
    kh_delta *delta;
};

typedef struct txn_object {
    struct child child;      /* first */
    kh_txn *txn;             /* NULL: closed */
    kh_workspace *workspace; /* that txn is borrowed from; NULL: a plain one, or closed */
    kh_txn_id id;
    _Atomic kh_timestamp timestamp; /* of its commit; 0: none */
    bool is_durable;                /* reads may go to the disk: without the interpreter lock */
    _Atomic bool is_begun;          /* owner, id and id_column are known, and stay */
    _Atomic bool is_ended;
    _Atomic bool is_started; /* its commit, and not known to have ended */
    struct open_scan *scans; /* with the transaction held */
    struct marks marks;
    PyObject *id_column; /* str; NULL: "id" */
    PyObject *resolve;
    PyObject *resolved;       /* a list, once a commit has met rivals; NULL: none */
    PyObject *raised[3];      /* by the resolve function, to be raised again */
    _Atomic uint64_t waiting; /* for a lock: the low word of its id now; 0: it is not */
    bool is_workspace;        /* stays so when it is closed */
    bool has_written;
    _Atomic bool has_before; /* the sides of a workspace's embedding */
    _Atomic bool has_after;
    PyObject *embed; /* NULL: none */
    struct workspace_end end;
} txn_object;

typedef struct batch_object {
    PyObject_HEAD
    kh_batch *batch;
} batch_object;

typedef struct schema_object {
    PyObject_HEAD
    kh_schema *schema;
    PyObject *_Atomic arrow; /* the pyarrow.Schema, once it was asked for */
} schema_object;

typedef struct table_object {
    PyObject_HEAD
    kh_schema *schema;
    kh_batch **batches;
    size_t count;
    PyObject *keys; /* list of str */
} table_object;

/* ---- errors.c -------------------------------------------------------------------------------- */

/* Set the exception of a status. error, key and txn may be NULL. Always returns NULL. */
PyObject *raise_status(kh_status status, const kh_error *error);
PyObject *raise_of_txn(kh_status status, const kh_error *error, txn_object *txn,
                       const kh_bytes *key);
PyObject *raise_words(kh_status status, const char *words);
PyObject *raise_absent(txn_object *txn, PyObject *key);
/* The exception that is set says which workspace it is about. One that is not khonsu's stays. */
void raise_names(txn_object *txn);
bool errors_set(PyObject *by_number);

/* ---- keys.c ---------------------------------------------------------------------------------- */

struct key {
    kh_bytes bytes;
    PyObject *held; /* a reference, or NULL */
};
struct keys {
    PyObject *list;
    struct key *each;
    kh_bytes *spans;
    size_t count;
};
/* str (UTF-8, surrogateescape) or bytes. False: TypeError is set. */
bool key_take(PyObject *object, struct key *out);
void key_drop(struct key *key);
/* Of a sequence that is not itself a key. False: an exception is set, and nothing is to be dropped.
 */
bool keys_take(PyObject *object, struct keys *out);
void keys_drop(struct keys *keys);
PyObject *key_give(kh_bytes bytes); /* str */
/* A str without NULs. NULL: an exception is set. */
const char *text_take(PyObject *object);
PyObject *txn_id_give(kh_txn_id id);
bool txn_id_take(PyObject *object, kh_txn_id *out);
/* For "O&": an int that is not negative, to a uint64_t or a uint32_t. */
int uint64_take(PyObject *object, void *out);
int uint32_take(PyObject *object, void *out);
/* Seconds to milliseconds; None: `none`. False: an exception is set. */
bool seconds_take(PyObject *object, uint32_t none, uint32_t *out_ms);

/* ---- names.c: isolation levels, policies, ... ------------------------------------------------ */

bool isolation_take(const char *name, kh_isolation *out);
bool policy_take(const char *name, kh_policy *out);
bool sync_take(const char *name, kh_sync *out);
bool validation_take(const char *name, kh_validation *out);
bool mode_take(const char *name, kh_semantic_mode *out);
bool victim_take(const char *name, kh_lock_victim *out);
/* None: the default; else true: wait. False: an exception is set. */
bool lock_wait_take(PyObject *object, kh_lock_wait *out);
const char *mode_name(kh_semantic_mode mode);
/* The arguments of a call by METH_FASTCALL | METH_KEYWORDS with one or two parameters. What is not
 * given stays as it is in out. usage: "get(key, default=None)". */
struct two {
    const char *usage;
    const char *names[2];
    Py_ssize_t least;
};
bool two_take(const struct two *two, PyObject *const *args, Py_ssize_t count, PyObject *keywords,
              PyObject *out[2]);
const char *isolation_name(kh_isolation isolation);
const char *policy_name(kh_policy policy);

/* ---- arrow_in.c, arrow_out.c ----------------------------------------------------------------- */

/* Any object with Arrow data as one batch (a new reference); NULL: an exception is set. db NULL:
 * the process heap. */
kh_batch *rows_take(kh_db *db, PyObject *object);
kh_schema *schema_take(kh_db *db, PyObject *object);
/* An object that offers one array: its schema and array, moved out of the capsules. */
enum array_taken { ARRAY_TAKEN, ARRAY_NOT_OFFERED, ARRAY_FAILED };
enum array_taken array_take(kh_db *db, PyObject *object, kh_schema **schema,
                            struct ArrowArray *array);

PyObject *array_capsules(const kh_batch *batch);
PyObject *schema_capsule(const kh_schema *schema);
PyObject *stream_capsule(const kh_schema *schema, kh_batch *const *batches, size_t count);

/* ---- objects --------------------------------------------------------------------------------- */

PyObject *batch_give(kh_batch *batch);          /* takes over the reference */
PyObject *batch_or_none(const kh_batch *batch); /* keeps its own */
PyObject *schema_give(const kh_schema *schema);
PyObject *batch_to_pyarrow(const kh_batch *batch);
PyObject *table_give(const kh_schema *schema, kh_batch **batches, size_t count, PyObject *keys);
PyObject *value_give(const kh_batch *batch, int64_t column, int64_t row);
/* The package's Python function of that name in that module, called with one argument. */
/* PyArg_ParseTupleAndKeywords, but a TypeError names the argument. */
int arguments_take(PyObject *args, PyObject *kwargs, const char *format, char **names, ...);
PyObject *call_python(const char *module, const char *function, PyObject *argument);

bool schema_ready(PyObject *module);
bool batch_ready(PyObject *module);
bool table_ready(PyObject *module);
bool database_ready(PyObject *module);
bool txn_ready(PyObject *module);
bool scan_ready(PyObject *module);
bool savepoint_ready(PyObject *module);
bool watch_ready(PyObject *module);
bool changes_ready(PyObject *module);
extern PyMethodDef offline_methods[];
PyTypeObject *type_ready(PyObject *module, PyType_Spec *spec, const char *name);
bool methods_add(PyTypeObject *type, PyMethodDef *methods);

/* ---- of transactions ------------------------------------------------------------------------- */

/* The arguments of a begin. */
struct begin_given {
    const char *isolation;
    const char *policy;
    int is_read_only;
    int is_deferrable;
    PyObject *timeout;
    const char *tag;
    PyObject *id_column;
    const char *sync;
    PyObject *at;
    PyObject *resolve;
    PyObject *lock_wait;
    int priority;
};
#define BEGIN_GIVEN_INIT                                                                           \
    {                                                                                              \
        .timeout = Py_None, .id_column = Py_None, .at = Py_None, .resolve = Py_None,               \
        .lock_wait = Py_None                                                                       \
    }
bool txn_fill(txn_object *txn, const struct begin_given *given, kh_txn_options *options);
/* Begin by start, which sets txn->txn and txn->id. 0, or -1 with an exception. */
typedef bool txn_start_fn(txn_object *txn, const void *given);
int txn_begin_as(txn_object *txn, PyObject *database, txn_start_fn *start, const void *given);
extern PyMethodDef txn_read_methods[];
extern PyMethodDef txn_write_methods[];
bool txn_enter(txn_object *txn);
void txn_leave(txn_object *txn);
/* What a commit was answered: the timestamp, and whether it has ended. It is held. */
void txn_settle(txn_object *txn, kh_status status, kh_timestamp timestamp);
/* Of a commit that succeeded. False: an exception is set. */
bool txn_keep_resolved(txn_object *txn);
/* While Python code may run that uses the transaction, or drops its scans: the database cannot be
 * closed. False: an exception is set. */
bool txn_hold_database(txn_object *txn);
/* Close what is open; the transaction is held. */
void txn_close_scans(txn_object *txn);
kh_resolution txn_resolve(void *context, kh_bytes key, const kh_batch *base, const kh_batch *mine,
                          const kh_batch *theirs, kh_batch **out);
PyObject *txn_subscript(PyObject *self, PyObject *key);
int txn_assign(PyObject *self, PyObject *key, PyObject *value);
int txn_contains(PyObject *self, PyObject *key);
PyObject *txn_iterate(PyObject *self);
PyObject *savepoint_make(txn_object *txn);
/* The options of scan, keys, table and delete_range. */
struct span {
    kh_scan_options options;
    struct key keys[3];
};
bool span_take(PyObject *args, PyObject *kwargs, struct span *out);
void span_drop(struct span *span);
PyObject *scan_make(txn_object *txn, const kh_scan_options *options);
PyObject *txn_lock(PyObject *self, PyObject *args, PyObject *kwargs);
/* Ends the wait for a lock that another thread is in. */
void txn_end_wait(struct child *child);

/* ---- of workspaces: a transaction is held where nothing else is said --------------------------
 */

bool workspace_ready(PyObject *module);
/* Call the embed function before a commit, if it is its turn; nothing is held. False: an exception
 * is set. */
bool workspace_bring(txn_object *txn);
void workspace_shut(txn_object *txn);
/* Whether it is active, or prepared. */
bool workspace_goes_on(const txn_object *txn);
/* A call of the transaction below was answered so. */
void workspace_learn(txn_object *txn, kh_status status);
PyObject *database_workspaces(PyObject *self, PyObject *unused);
PyObject *database_cancel_workspace(PyObject *self, PyObject *argument);
PyObject *database_commit_together(PyObject *self, PyObject *workspaces); /* together.c */

/* ---- deltas ---------------------------------------------------------------------------------- */

struct floats {
    float *values;
    size_t count;
};
/* Any sequence or buffer of numbers. False: an exception is set, and nothing is to be dropped. */
bool floats_take(PyObject *object, struct floats *out);
void floats_drop(struct floats *floats);
struct deltas {
    PyObject *list;
    const kh_delta **items; /* NULL: None */
    size_t count;
};
bool deltas_take(PyObject *object, bool with_none, struct deltas *out);
void deltas_drop(struct deltas *deltas);
bool delta_ready(PyObject *module);
PyObject *delta_give(kh_delta *delta);                   /* takes over the reference */
bool delta_take(PyObject *object, const kh_delta **out); /* borrowed */
PyObject *delta_keys_give(const kh_delta *delta);        /* list of str */
bool thresholds_take(PyObject *object, kh_delta_thresholds *out);
extern PyMethodDef classify_methods[];
bool named_ready(PyObject *module);
/* A tuple with names of these parts, which it takes over; one that is NULL: an exception is set. */
PyObject *named_give(PyTypeObject *type, PyObject *const *parts, int count);

/* ---- waits.c --------------------------------------------------------------------------------- */

/* One wait of at most so long: a result, None (not yet), or NULL with an exception. */
typedef PyObject *wait_step_fn(struct child *child, uint32_t timeout_ms);
/* Steps until one has a result or the time is over (UINT32_MAX: never); signals are seen. */
PyObject *wait_for(struct child *child, uint32_t timeout_ms, wait_step_fn *step);
/* The same with the arguments (timeout=None), in seconds. self begins with a struct child. */
PyObject *wait_as_asked(PyObject *self, PyObject *args, PyObject *kwargs, wait_step_fn *step);
/* Slots and methods of objects that begin with a struct child and have no references besides. */
int waited_traverse(PyObject *self, visitproc visit, void *arg);
void waited_dealloc(PyObject *self);
PyObject *waited_cancel(PyObject *self, PyObject *unused);

/* ---- of databases ---------------------------------------------------------------------------- */

extern PyMethodDef database_history_methods[];
PyObject *watch_make(database_object *database, PyObject *args, PyObject *kwargs);
PyObject *changes_make(database_object *database, PyObject *args, PyObject *kwargs);
PyObject *backup_entry_give(const kh_backup_entry *entry);
PyObject *head_give(const kh_head *head);

#define KEYWORDS(function) ((PyCFunction)(void (*)(void))(function))
#define FAST(function) ((PyCFunction)(void (*)(void))(function))

#endif
