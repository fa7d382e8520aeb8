"""The batch functions of the shared library through ctypes and the Arrow C Data Interface.

KHONSU_LIB names the library. A Batch owns one reference; results are read back as pyarrow record
batches, which pyarrow validates in full.
"""

import ctypes
import os

import pyarrow as pa

STATUS = {0: "OK", 48: "INVALID", 49: "INVALID_DATA", 51: "SCHEMA_MISMATCH", 52: "NO_ID_COLUMN",
          53: "NULL_ID", 54: "DUPLICATE_ID", 55: "ROW_EXISTS", 56: "ROW_NOT_FOUND",
          57: "MERGE_CONFLICT", 59: "TOO_BIG", 61: "NO_MEMORY", 69: "UNSUPPORTED"}


class ArrowSchema(ctypes.Structure):
    _fields_ = [("format", ctypes.c_char_p), ("name", ctypes.c_char_p),
                ("metadata", ctypes.c_void_p), ("flags", ctypes.c_int64),
                ("n_children", ctypes.c_int64), ("children", ctypes.c_void_p),
                ("dictionary", ctypes.c_void_p), ("release", ctypes.c_void_p),
                ("private_data", ctypes.c_void_p)]


class ArrowArray(ctypes.Structure):
    _fields_ = [("length", ctypes.c_int64), ("null_count", ctypes.c_int64),
                ("offset", ctypes.c_int64), ("n_buffers", ctypes.c_int64),
                ("n_children", ctypes.c_int64), ("buffers", ctypes.c_void_p),
                ("children", ctypes.c_void_p), ("dictionary", ctypes.c_void_p),
                ("release", ctypes.c_void_p), ("private_data", ctypes.c_void_p)]


class Conflict(ctypes.Structure):
    _fields_ = [("mine", ctypes.c_int64), ("theirs", ctypes.c_int64), ("base", ctypes.c_int64),
                ("column", ctypes.c_int64)]


class Failed(Exception):
    def __init__(self, status, message, conflict=None):
        super().__init__(f"{STATUS.get(status, status)}: {message}")
        self.status = STATUS.get(status, status)
        self.conflict = conflict


lib = ctypes.CDLL(os.environ["KHONSU_LIB"])
POINTER = ctypes.c_void_p
SIGNATURES = {
    "schema_import": [POINTER, POINTER, POINTER, POINTER],
    "batch_import": [POINTER, POINTER, POINTER, ctypes.c_int, POINTER, POINTER],
    "batch_export": [POINTER, POINTER, POINTER, POINTER],
    "batch_take": [POINTER, POINTER, ctypes.c_int64, POINTER, POINTER],
    "batch_slice": [POINTER, ctypes.c_int64, ctypes.c_int64, POINTER, POINTER],
    "batch_concat": [POINTER, POINTER, POINTER, POINTER],
    "batch_insert_rows": [POINTER, POINTER, ctypes.c_char_p, POINTER, POINTER],
    "batch_upsert_rows": [POINTER, POINTER, ctypes.c_char_p, POINTER, POINTER],
    "batch_update_rows": [POINTER, POINTER, ctypes.c_char_p, POINTER, POINTER],
    "batch_delete_rows": [POINTER, POINTER, ctypes.c_char_p, POINTER, POINTER],
    "batch_merge": [POINTER, POINTER, POINTER, ctypes.c_char_p, POINTER, POINTER, POINTER],
}
functions = {}
for name_, arguments_ in SIGNATURES.items():
    functions[name_] = getattr(lib, "kh_" + name_)
    functions[name_].argtypes = arguments_
    functions[name_].restype = ctypes.c_int
lib.kh_batch_release.argtypes = [POINTER]
lib.kh_batch_release.restype = None
lib.kh_schema_release.argtypes = [POINTER]
lib.kh_schema_release.restype = None
lib.kh_batch_row_count.argtypes = [POINTER]
lib.kh_batch_row_count.restype = ctypes.c_int64


def call(name, *arguments, conflict=None):
    error = ctypes.create_string_buffer(256)
    status = functions[name](*arguments, ctypes.addressof(error))
    if status != 0:
        raise Failed(status, error.value.decode("utf-8", "replace"), conflict)


class Batch:
    """One reference to a kh_batch; handle None stands for "no batch"."""

    def __init__(self, handle):
        self.handle = handle

    def __del__(self):
        if self.handle:
            lib.kh_batch_release(self.handle)

    def record_batch(self):
        array, schema = ArrowArray(), ArrowSchema()
        call("batch_export", self.handle, ctypes.addressof(array), ctypes.addressof(schema))
        result = pa.RecordBatch._import_from_c(ctypes.addressof(array), ctypes.addressof(schema))
        # Of no rows at an offset pyarrow takes the buffers to be empty, and then complains.
        if result.num_rows > 0:
            result.validate(full=True)
        return result


def import_batch(columns, schema, root_offset=0):
    """columns as one batch; root_offset: rows that come before those meant, in every column."""
    arrow_schema, arrow_array = ArrowSchema(), ArrowArray()
    schema._export_to_c(ctypes.addressof(arrow_schema))
    handle, out = POINTER(), POINTER()
    call("schema_import", None, ctypes.addressof(arrow_schema), ctypes.addressof(handle))
    try:
        rows = pa.StructArray.from_arrays(columns, fields=list(schema)).slice(root_offset)
        rows._export_to_c(ctypes.addressof(arrow_array))
        call("batch_import", None, handle, ctypes.addressof(arrow_array), 0,
             ctypes.addressof(out))
    finally:
        lib.kh_schema_release(handle)
    return Batch(out.value)


def handle_of(batch):
    return None if batch is None else batch.handle


def take(batch, rows):
    out = POINTER()
    indexes = (ctypes.c_int64 * max(1, len(rows)))(*rows)
    call("batch_take", batch.handle, ctypes.addressof(indexes), len(rows), ctypes.addressof(out))
    return Batch(out.value)


def slice_rows(batch, offset, length):
    out = POINTER()
    call("batch_slice", batch.handle, offset, length, ctypes.addressof(out))
    return Batch(out.value)


def concat(base, rows):
    out = POINTER()
    call("batch_concat", handle_of(base), rows.handle, ctypes.addressof(out))
    return Batch(out.value)


def by_id(name):
    def run(base, rows, id_column=None):
        out = POINTER()
        call(name, handle_of(base), rows.handle, id_column, ctypes.addressof(out))
        return Batch(out.value)
    return run


insert = by_id("batch_insert_rows")
upsert = by_id("batch_upsert_rows")
update = by_id("batch_update_rows")
delete = by_id("batch_delete_rows")


def merge(base, mine, theirs, id_column=None):
    out = POINTER()
    conflict = Conflict(-7, -7, -7, -7)
    call("batch_merge", handle_of(base), mine.handle, theirs.handle, id_column,
         ctypes.addressof(out), ctypes.addressof(conflict), conflict=conflict)
    return Batch(out.value)
