"""The little of khonsu.h that the checks need, by ctypes: numbers in rows, under short keys."""

import ctypes
import os
from ctypes import (CFUNCTYPE, POINTER, Structure, byref, c_char_p, c_int, c_int64, c_size_t,
                    c_uint32, c_uint64, c_void_p)

OK, NOT_FOUND, END = 0, 1, 2
CONFLICT, NOT_SERIALIZABLE, BUSY = 16, 17, 18
READ_ONLY, DEFERRABLE = 1, 2
NO_THREADS = 1
RESOLVE_CONFLICT, RESOLVE_WRITE = 0, 1


class Bytes(Structure):
    _fields_ = [("data", c_void_p), ("size_bytes", c_size_t)]


class Scalar(Structure):
    _fields_ = [("kind", c_int), ("value", c_int64), ("unused", c_uint64)]


RESOLVE = CFUNCTYPE(c_int, c_void_p, Bytes, c_void_p, c_void_p, c_void_p, POINTER(c_void_p))
CLOCK = CFUNCTYPE(c_uint64, c_void_p)


class Limits(Structure):
    _fields_ = [("size", c_size_t), ("memory_bytes", c_uint64), ("batch_bytes", c_uint64),
                ("txn_bytes", c_uint64), ("txn_writes", c_uint32), ("txn_reads", c_uint32),
                ("txns", c_uint32), ("ranges", c_uint32), ("outcomes", c_uint32),
                ("watch_events", c_uint32), ("max_snapshot_age_ms", c_uint64)]


class Options(Structure):
    _fields_ = [("size", c_size_t), ("path", c_char_p), ("flags", c_uint32), ("isolation", c_int),
                ("policy", c_int), ("id_column", c_char_p), ("validation", c_int),
                ("timeout_ms", c_uint32), ("retention_ms", c_uint64),
                ("retention_bytes", c_uint64), ("resolve", RESOLVE),
                ("resolve_context", c_void_p), ("limits", Limits),
                ("allocator", c_void_p * 3), ("wall_ms", CLOCK), ("monotonic_ns", CLOCK),
                ("clock_context", c_void_p), ("message", c_void_p),
                ("message_context", c_void_p), ("log", c_void_p), ("storage", c_void_p),
                ("node", c_uint32)]


class TxnOptions(Structure):
    _fields_ = [("size", c_size_t), ("isolation", c_int), ("policy", c_int), ("flags", c_uint32),
                ("timeout_ms", c_uint32), ("tag", c_char_p), ("id_column", c_char_p),
                ("resolve", c_void_p), ("resolve_context", c_void_p)]


class ScanOptions(Structure):
    _fields_ = [("size", c_size_t), ("prefix", Bytes), ("low", Bytes), ("high", Bytes),
                ("limit", c_uint64), ("flags", c_uint32)]


def load():
    library = ctypes.CDLL(os.environ["KHONSU_LIB"])
    library.kh_status_name.restype = c_char_p
    library.kh_batch_row_count.restype = c_int64
    library.kh_batch_row_count.argtypes = [c_void_p]
    library.kh_batch_int64.argtypes = [c_void_p, c_int64, c_int64, POINTER(c_int64)]
    library.kh_batch_release.argtypes = [c_void_p]
    library.kh_batch_release.restype = None
    library.kh_schema_release.argtypes = [c_void_p]
    library.kh_schema_release.restype = None
    library.kh_txn_close.argtypes = [c_void_p]
    library.kh_txn_close.restype = None
    library.kh_cursor_close.argtypes = [c_void_p]
    library.kh_cursor_close.restype = None
    library.kh_db_step.argtypes = [c_void_p]
    library.kh_db_step.restype = None
    library.kh_db_close.argtypes = [c_void_p]
    return library


class Failed(Exception):
    pass


class Engine:
    """One database without threads. Its clock runs when it is read, so that waits end."""

    def __init__(self, callback=None, path=None, retention_ms=0):
        self.library = load()
        self.now_ns = 1
        self.keys = {}
        self.hooks = (CLOCK(lambda _: 1700000000000), CLOCK(self._tick))
        self.callback = callback
        self.resolve = RESOLVE(self._resolve)
        options = Options(size=ctypes.sizeof(Options), flags=NO_THREADS, timeout_ms=1 << 30,
                          resolve=self.resolve, wall_ms=self.hooks[0], monotonic_ns=self.hooks[1],
                          path=path and path.encode(), retention_ms=retention_ms)
        options.limits.size = ctypes.sizeof(Limits)
        self.db = c_void_p()
        self.must(self.library.kh_db_open(byref(options), byref(self.db), None))
        names = (c_char_p * 2)(b"id", b"a")
        formats = (c_char_p * 2)(b"!l", b"l")
        self.schema = c_void_p()
        self.must(self.library.kh_schema_build(None, names, formats, c_int64(2),
                                               byref(self.schema), None))

    def _tick(self, _):
        self.now_ns += 100000
        return self.now_ns

    def _resolve(self, _context, _key, _base, mine, theirs, out):
        value = self.callback(self.rows(mine), self.rows(theirs))
        if value is None:
            return RESOLVE_CONFLICT
        out[0] = self.batch(value)
        return RESOLVE_WRITE

    def must(self, status, *allowed):
        if status != OK and status not in allowed:
            raise Failed(self.library.kh_status_name(status).decode())
        return status

    def close(self):
        self.library.kh_schema_release(self.schema)
        self.must(self.library.kh_db_close(self.db))

    def step(self):
        self.library.kh_db_step(self.db)

    # ---- values ----

    def batch(self, rows):
        """A handle that the caller releases; None for None."""
        if rows is None:
            return None
        scalars = (Scalar * (2 * len(rows)))()
        for i, (row, number) in enumerate(sorted(rows.items())):
            scalars[2 * i] = Scalar(1, row)
            scalars[2 * i + 1] = Scalar(1, number)
        out = c_void_p()
        self.must(self.library.kh_batch_build(None, self.schema, scalars, c_int64(len(rows)),
                                              byref(out), None))
        return out.value

    def rows(self, batch):
        if not batch:
            return None
        found = {}
        row, number = c_int64(), c_int64()
        for at in range(self.library.kh_batch_row_count(batch)):
            self.must(self.library.kh_batch_int64(batch, 0, at, byref(row)))
            self.must(self.library.kh_batch_int64(batch, 1, at, byref(number)))
            found[row.value] = number.value
        return found

    def key(self, number):
        if number not in self.keys:
            self.keys[number] = ctypes.create_string_buffer(b"key%03d" % number)
        return Bytes(ctypes.addressof(self.keys[number]), 6)

    # ---- transactions ----

    def begin(self, level, policy, flags=0, timeout_ms=0):
        """A handle, or None: busy."""
        options = TxnOptions(size=ctypes.sizeof(TxnOptions), isolation=level, policy=policy,
                             flags=flags, timeout_ms=timeout_ms)
        txn = c_void_p()
        status = self.must(self.library.kh_txn_begin(self.db, byref(options), byref(txn), None),
                           BUSY)
        return None if status == BUSY else txn

    def get(self, txn, key):
        out = c_void_p()
        self.must(self.library.kh_txn_peek(txn, self.key(key), byref(out), None), NOT_FOUND)
        return self.rows(out.value)

    def put(self, txn, key, rows, policy=0):
        batch = self.batch(rows)
        if batch is None:
            self.must(self.library.kh_txn_delete_with(txn, self.key(key), policy, None))
        else:
            self.must(self.library.kh_txn_put_with(txn, self.key(key), c_void_p(batch), policy,
                                                   None))
            self.library.kh_batch_release(batch)

    def scan(self, txn, low, high, limit=0, is_reverse=False):
        options = ScanOptions(size=ctypes.sizeof(ScanOptions), low=self.key(low),
                              high=self.key(high), limit=limit, flags=int(is_reverse))
        cursor, key, value = c_void_p(), Bytes(), c_void_p()
        self.must(self.library.kh_txn_scan(txn, byref(options), byref(cursor), None))
        found = []
        try:
            while True:
                status = self.must(self.library.kh_cursor_next(cursor, byref(key), byref(value),
                                                               None), END)
                if status == END:
                    return found
                text = ctypes.string_at(key.data, key.size_bytes)
                found.append((int(text[3:]), self.rows(value.value)))
        finally:
            self.library.kh_cursor_close(cursor)

    def commit(self, txn):
        """The status; the handle is gone."""
        status = self.library.kh_txn_commit(txn, None, None)
        self.library.kh_txn_close(txn)
        return status

    def rollback(self, txn):
        self.library.kh_txn_close(txn)


