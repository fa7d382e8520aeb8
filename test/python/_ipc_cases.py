"""Arrays of every Arrow type, and khonsu's C functions by ctypes, for ipc_test.py."""
import ctypes
import decimal
import os

import pyarrow as pa

OK, END = 0, 2
CORRUPT, MISMATCH, TOO_BIG, UNSUPPORTED, IO = 50, 51, 59, 69, 70
STREAM, FILE = 0, 1
NONE, LZ4, ZSTD = 0, 1, 2


class Bytes(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("size_bytes", ctypes.c_size_t)]


class Error(ctypes.Structure):
    _fields_ = [("message", ctypes.c_char * 256)]


class CSchema(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_char * 72)]


class CArray(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_char * 80)]


WRITE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
READ = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class Sink(ctypes.Structure):
    _fields_ = [("write", WRITE), ("context", ctypes.c_void_p)]


class Source(ctypes.Structure):
    _fields_ = [("read", READ), ("context", ctypes.c_void_p)]


lib = ctypes.CDLL(os.environ["KHONSU_LIB"])
for function in ("kh_bytes_free", "kh_batches_free", "kh_batch_release", "kh_schema_release",
                 "kh_ipc_writer_close", "kh_ipc_reader_close"):
    getattr(lib, function).restype = None
lib.kh_bytes_free.argtypes = [Bytes]
lib.kh_batches_free.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
lib.kh_batch_release.argtypes = [ctypes.c_void_p]
lib.kh_schema_release.argtypes = [ctypes.c_void_p]
lib.kh_ipc_writer_close.argtypes = [ctypes.c_void_p]
lib.kh_ipc_decode.argtypes = [ctypes.c_void_p, Bytes, ctypes.c_void_p, ctypes.c_void_p,
                              ctypes.c_void_p]


class Failure(Exception):
    def __init__(self, status, error):
        super().__init__(f"status {status}: {error.message.decode('utf-8', 'replace')}")
        self.status = status


def check(status, error):
    if status != OK:
        raise Failure(status, error)


def to_khonsu(batch):
    """A kh_batch of a pyarrow batch; the caller releases it."""
    error = Error()
    schema_arrow, array_arrow = CSchema(), CArray()
    batch._export_to_c(ctypes.addressof(array_arrow), ctypes.addressof(schema_arrow))
    schema, out = ctypes.c_void_p(), ctypes.c_void_p()
    check(lib.kh_schema_import(None, ctypes.byref(schema_arrow), ctypes.byref(schema),
                               ctypes.byref(error)), error)
    status = lib.kh_batch_import(None, schema, ctypes.byref(array_arrow), 0, ctypes.byref(out),
                                 ctypes.byref(error))
    lib.kh_schema_release(schema)
    check(status, error)
    return out


def from_khonsu(handle):
    error = Error()
    schema_arrow, array_arrow = CSchema(), CArray()
    check(lib.kh_batch_export(handle, ctypes.byref(array_arrow), ctypes.byref(schema_arrow),
                              ctypes.byref(error)), error)
    return pa.RecordBatch._import_from_c(ctypes.addressof(array_arrow),
                                         ctypes.addressof(schema_arrow))


def decode(data):
    """The batches that khonsu reads out of a stream or file."""
    error, out, count = Error(), ctypes.c_void_p(), ctypes.c_size_t()
    held = ctypes.create_string_buffer(data, len(data)) if data else None
    view = Bytes(ctypes.addressof(held) if held else None, len(data))
    check(lib.kh_ipc_decode(None, view, ctypes.byref(out), ctypes.byref(count),
                            ctypes.byref(error)), error)
    handles = ctypes.cast(out, ctypes.POINTER(ctypes.c_void_p))
    batches = [from_khonsu(ctypes.c_void_p(handles[i])) for i in range(count.value)]
    lib.kh_batches_free(out, count)
    return batches


def encode(batches, file_format, compression):
    """The stream or file that khonsu writes."""
    error, out = Error(), Bytes()
    handles = []
    try:
        for batch in batches:
            handles.append(to_khonsu(batch))
        array = (ctypes.c_void_p * len(handles))(*handles)
        check(lib.kh_ipc_encode(array, ctypes.c_size_t(len(handles)), file_format, compression,
                                ctypes.byref(out), ctypes.byref(error)), error)
        data = ctypes.string_at(out.data, out.size_bytes)
        lib.kh_bytes_free(out)
        return data
    finally:
        for handle in handles:
            lib.kh_batch_release(handle)


# ---- arrays --------------------------------------------------------------------------------------

TEXTS = ["", "a", None, "twelve bytes", "more than twelve bytes", "żółw and ☂ 🐢", None, "x" * 300,
         "more than twelve bytes", "end"]
BLOBS = [None if t is None else t.encode() + b"\xff\x00" for t in TEXTS]


def numbers(kind, low, high):
    return pa.array([low, 0, None, 1, high, 7, None, 3, low, high], kind)


def primitive_cases():
    for bits in (8, 16, 32, 64):
        yield f"int{bits}", numbers(f"int{bits}", -(1 << (bits - 1)), (1 << (bits - 1)) - 1)
        yield f"uint{bits}", numbers(f"uint{bits}", 0, (1 << bits) - 1)
    for kind in (pa.float16(), pa.float32(), pa.float64()):
        yield str(kind), pa.array([0.0, -0.0, None, 1.5, float("inf"), -2.25, None, 3, 4, 5],
                                  pa.float64()).cast(kind)
    yield "null", pa.nulls(10)
    yield "bool", pa.array([True, False, None, True, True, False, None, False, True, True])
    yield "no_nulls", pa.array(range(10), pa.int32())
    for kind in (pa.decimal32(9, 2), pa.decimal64(18, 3), pa.decimal128(38, 5),
                 pa.decimal256(76, 10), pa.decimal128(10, -3)):
        scale = max(kind.scale, 0)
        values = [None if v is None else decimal.Decimal(v).scaleb(3 if kind.scale < 0 else -scale)
                  for v in (1, -1, None, 12345, 0, -99999, None, 7, 8, 9)]
        yield f"{kind}", pa.array(values, kind)


def time_cases():
    for kind in (pa.date32(), pa.time32("s"), pa.time32("ms")):
        yield str(kind), numbers(pa.int32(), 0, 80000).cast(kind)
    yield "date64", numbers(pa.int64(), 0, 9).cast(pa.int64()).cast(pa.timestamp("s")).cast(
        pa.date64())
    for unit in ("us", "ns"):
        yield f"time64 {unit}", numbers(pa.int64(), 0, 80000).cast(pa.time64(unit))
    for unit in ("s", "ms", "us", "ns"):
        yield f"timestamp {unit}", numbers(pa.int64(), -5, 1 << 40).cast(pa.timestamp(unit))
        yield f"zoned {unit}", numbers(pa.int64(), -5, 1 << 40).cast(
            pa.timestamp(unit, "Europe/Warsaw"))
        yield f"duration {unit}", numbers(pa.int64(), -5, 1 << 40).cast(pa.duration(unit))
    yield "interval", pa.array([None if i == 2 else (i, -i, i * 1000) for i in range(10)],
                               pa.month_day_nano_interval())


def bytes_cases():
    for kind in (pa.utf8(), pa.large_utf8(), pa.string_view()):
        yield str(kind), pa.array(TEXTS, kind)
    for kind in (pa.binary(), pa.large_binary(), pa.binary_view()):
        yield str(kind), pa.array(BLOBS, kind)
    yield "fixed binary", pa.array([b"abc", None, b"\0\1\2", b"xyz"] * 3, pa.binary(3))[:10]
    yield "short views", pa.array(["a", None, "bc"] * 4, pa.string_view())[:10]


LISTS = [[1, 2], [], None, [None, 4], [5], [], [6, 7, 8], None, [9], [10, None]]


def lists_of(kind, make):
    """LISTS with each number x turned into make(x)."""
    values = [None if v is None else [None if x is None else make(x) for x in v] for v in LISTS]
    return pa.array(values, kind)


def list_cases():
    for name, kind in (("list", pa.list_(pa.int16())), ("large_list", pa.large_list(pa.int16())),
                       ("list_view", pa.list_view(pa.int16())),
                       ("large_list_view", pa.large_list_view(pa.int16()))):
        yield name, pa.array(LISTS, kind)
    yield "list of bool", lists_of(pa.list_(pa.bool_()), lambda x: x % 2 == 0)
    yield "list of utf8", lists_of(pa.list_(pa.utf8()), lambda x: "text" * x)
    yield "list of views", lists_of(pa.list_(pa.string_view()), lambda x: "text" * x)
    yield "list of list", lists_of(pa.list_(pa.list_(pa.int8())), lambda x: [x, x])
    yield "list_view out of order", pa.ListViewArray.from_arrays(
        pa.array([6, 0, 3, 2, 2, 0, 1, 8, 4, 5], pa.int32()),
        pa.array([2, 1, 0, 3, 1, 4, 1, 0, 2, 1], pa.int32()), pa.array(range(8), pa.int32()))
    yield "fixed_size_list", pa.array([[1, 2], None, [3, None], [5, 6]] * 3,
                                      pa.list_(pa.int32(), 2))[:10]
    yield "fixed_size_list 0", pa.array([[], None, [], [], []] * 2,
                                        pa.list_(pa.int32(), 0))
    yield "map", pa.array([[("a", 1), ("b", None)], [], None, [("c", 3)]] * 3,
                          pa.map_(pa.utf8(), pa.int32()))[:10]
    yield "map sorted", pa.array([[("a", 1), ("b", None)], []] * 5,
                                 pa.map_(pa.utf8(), pa.int32(), keys_sorted=True))


def struct_cases():
    kind = pa.struct([("a", pa.int32()), ("b", pa.utf8()), ("c", pa.struct([("d", pa.bool_())]))])
    yield "struct", pa.array([None if i % 4 == 2 else
                              {"a": i, "b": TEXTS[i], "c": None if i == 5 else {"d": i % 2 == 0}}
                              for i in range(10)], kind)
    yield "struct sliced child", pa.StructArray.from_arrays(
        [pa.array(range(20), pa.int8())[7:17], pa.array(TEXTS * 2)[5:15]], ["x", "y"])
    yield "struct without fields", pa.array([{}, None, {}, {}, {}, None, {}, {}, {}, {}],
                                            pa.struct([]))
    codes = pa.array([0, 1, 0, 2, 1, 2, 0, 0, 1, 2], pa.int8())
    children = [pa.array(range(10), pa.int32()), pa.array(TEXTS),
                pa.array([[i] for i in range(10)], pa.list_(pa.int8()))]
    yield "sparse_union", pa.UnionArray.from_sparse(codes, children, ["i", "t", "l"])
    offsets = pa.array([0, 0, 1, 0, 1, 1, 2, 3, 2, 2], pa.int32())
    yield "dense_union", pa.UnionArray.from_dense(codes, offsets, children, ["i", "t", "l"])
    other = pa.array([5, 100, 5, 7, 100, 7, 5, 5, 100, 7], pa.int8())
    yield "dense_union codes", pa.UnionArray.from_dense(other, offsets, children,
                                                        ["i", "t", "l"], [5, 100, 7])
    for bits, kind in ((16, pa.int16()), (32, pa.int32()), (64, pa.int64())):
        yield f"run_end {bits}", pa.RunEndEncodedArray.from_arrays(
            pa.array([2, 3, 7, 10], kind), pa.array(["x", None, "yy", "z"]))


def dictionary_cases():
    values = pa.array(["red", "green", None, "blue is a long word"])
    indices = [0, 1, None, 3, 3, 2, None, 1, 0, 3]
    for kind in (pa.int8(), pa.uint8(), pa.int16(), pa.int32(), pa.uint32(), pa.int64()):
        yield f"dictionary {kind}", pa.DictionaryArray.from_arrays(pa.array(indices, kind), values)
    yield "dictionary ordered", pa.DictionaryArray.from_arrays(
        pa.array(indices, pa.int8()), values, ordered=True)
    inner = pa.DictionaryArray.from_arrays(pa.array([0, 1, 3, None, 2], pa.int8()), values)
    yield "list of dictionary", pa.ListArray.from_arrays(
        pa.array([0, 2, 2, 5, 5, 5, 5, 5, 5, 5, 5], pa.int32()), inner)
    yield "struct of dictionary", pa.StructArray.from_arrays(
        [pa.DictionaryArray.from_arrays(pa.array(indices, pa.int8()), values),
         pa.DictionaryArray.from_arrays(pa.array(indices, pa.int16()), pa.array([4, 5, 6, 7]))],
        ["p", "q"])
    nested = pa.StructArray.from_arrays([inner, pa.array(range(5))], ["d", "n"])
    yield "dictionary of struct of dictionary", pa.DictionaryArray.from_arrays(
        pa.array([0, 4, None, 3, 2, 1, 0, None, 4, 2], pa.int8()), nested)
    yield "dictionary of views", pa.DictionaryArray.from_arrays(
        pa.array(indices, pa.int8()), values.cast(pa.string_view()))
    yield "dictionary of list", pa.DictionaryArray.from_arrays(
        pa.array(indices, pa.int8()), pa.array([[1], [], None, [2, 3]], pa.list_(pa.int64())))
    yield "run_end of dictionary", pa.RunEndEncodedArray.from_arrays(
        pa.array([2, 5, 6, 8, 10], pa.int32()), inner)


class Tagged(pa.ExtensionType):
    def __init__(self):
        super().__init__(pa.list_(pa.int16()), "khonsu.tagged")

    def __arrow_ext_serialize__(self):
        return b"tag \x00\xff"

    @classmethod
    def __arrow_ext_deserialize__(cls, storage, serialized):
        assert serialized == b"tag \x00\xff"
        return cls()


pa.register_extension_type(Tagged())


def extension_cases():
    storage = pa.array([[1, 2], [], None, [None, 4]] * 3, pa.list_(pa.int16()))[:10]
    yield "extension", pa.ExtensionArray.from_storage(Tagged(), storage)
    yield "uuid", pa.ExtensionArray.from_storage(
        pa.uuid(), pa.array([bytes(range(i, i + 16)) for i in range(10)], pa.binary(16)))


def cases():
    for group in (primitive_cases, time_cases, bytes_cases, list_cases, struct_cases,
                  dictionary_cases, extension_cases):
        yield from group()


def batch_of(array, name="column ☂"):
    metadata = {b"field": b"\x00\xff", b"": b"empty key"}
    schema = pa.schema([pa.field(name, array.type, metadata=metadata)], {b"whose": b"schema's"})
    return pa.RecordBatch.from_arrays([array], schema=schema)


