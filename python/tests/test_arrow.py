"""Arrow in and out: without copies, as pointers tell, and for as long as anybody has an array."""

from __future__ import annotations

import datetime
import decimal
import gc
from typing import Any

import nanoarrow as na
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tables import ROWS, python, row

import khonsu

N = 20_000  # rows: enough to be adopted rather than copied


def buffers(array: Any) -> list[int]:
    """Addresses of all buffers that hold something, of children and dictionaries too."""
    found = [b.address for b in array.buffers() if b is not None and b.size > 0]
    if isinstance(array, pa.DictionaryArray):
        found += buffers(array.dictionary)
    return found


def addresses(batch: pa.RecordBatch) -> list[list[int]]:
    return [buffers(column) for column in batch.columns]


def views(kind: Any) -> pa.Array:
    return pa.array([f"{i} " * (i % 7) for i in range(N)], pa.utf8()).cast(kind)


def run_ends() -> pa.Array:
    values = pa.array(range(N))
    ends = pa.array(range(1, N + 1), pa.int32())
    return pa.RunEndEncodedArray.from_arrays(ends, values)


def union(dense: bool) -> pa.Array:
    types = pa.array([i % 2 for i in range(N)], pa.int8())
    if dense:
        offsets = pa.array([i // 2 for i in range(N)], pa.int32())
        halves = [pa.array(range(N // 2)), pa.array([float(i) for i in range(N // 2)])]
        return pa.UnionArray.from_dense(types, offsets, halves)
    wholes = [pa.array(range(N)), pa.array([float(i) for i in range(N)])]
    return pa.UnionArray.from_sparse(types, wholes)


def ints(kind: Any) -> pa.Array:
    return pa.array([i % 100 if i % 5 else None for i in range(N)], kind)


LISTS = [[i, i + 1] if i % 3 else None for i in range(N)]
ARRAYS: dict[str, Any] = {
    "null": lambda: pa.nulls(N),
    "bool": lambda: pa.array([i % 2 == 0 for i in range(8 * N)]),
    **{str(k): (lambda k=k: ints(k)) for k in (pa.int8(), pa.uint16(), pa.int32(), pa.uint64())},
    "float16": lambda: pa.array(np.arange(N, dtype=np.float16)),
    "float64": lambda: pa.array(np.arange(N, dtype=np.float64)),
    "decimal128": lambda: pa.array([decimal.Decimal(i) for i in range(N)], pa.decimal128(20, 2)),
    "decimal256": lambda: pa.array([decimal.Decimal(i) for i in range(N)], pa.decimal256(50, 2)),
    "date32": lambda: pa.array(range(N), pa.int32()).cast(pa.date32()),
    "timestamp": lambda: pa.array(range(N), pa.timestamp("us", "UTC")),
    "time64": lambda: pa.array(range(N), pa.time64("ns")),
    "duration": lambda: pa.array(range(N), pa.duration("ms")),
    "interval": lambda: pa.array([pa.MonthDayNano([1, 2, i]) for i in range(N)]),
    "utf8": lambda: views(pa.utf8()),
    "large_utf8": lambda: views(pa.large_utf8()),
    "binary": lambda: views(pa.binary()),
    "fixed binary": lambda: pa.array([bytes(16)] * N, pa.binary(16)),
    "utf8 view": lambda: views(pa.string_view()),
    "binary view": lambda: views(pa.utf8()).cast(pa.binary()).cast(pa.binary_view()),
    "list": lambda: pa.array(LISTS),
    "large list": lambda: pa.array(LISTS, pa.large_list(pa.int64())),
    "list view": lambda: pa.array(LISTS, pa.list_view(pa.int64())),
    "fixed list": lambda: pa.array(LISTS, pa.list_(pa.int64(), 2)),
    "struct": lambda: pa.array([{"a": i, "b": {"c": str(i)}} for i in range(N)]),
    "map": lambda: pa.array([[(str(i), i)] for i in range(N)], pa.map_(pa.utf8(), pa.int64())),
    "dictionary": lambda: views(pa.utf8()).dictionary_encode(),
    "dictionary of views": lambda: pa.DictionaryArray.from_arrays(
        pa.array(range(N), pa.int32()), views(pa.string_view())
    ),
    "dense union": lambda: union(True),
    "sparse union": lambda: union(False),
    "run ends": run_ends,
    "nested": lambda: pa.array([[{"a": [str(i)] * (i % 3)}] for i in range(N)]),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_same_pointers_in_and_out(db: Any, name: str) -> None:
    batch = pa.record_batch({"x": ARRAYS[name]()})
    with db.begin() as txn:
        txn["k"] = batch
        inside = txn["k"].to_pyarrow()
    with db.begin() as txn:
        outside = txn["k"].to_pyarrow()
        protocol = pa.record_batch(txn["k"])
        stream = pa.table(txn["k"]).to_batches()[0]
        table = pa.table(txn.table("k")).to_batches()[0]
    db.close()
    for got in (inside, outside, protocol, stream, table):
        got.validate(full=True)
        assert got.schema == batch.schema and got.equals(batch)
        assert addresses(got) == addresses(batch)


@pytest.mark.parametrize("name", ["int32", "utf8", "utf8 view", "list", "struct", "bool"])
def test_slices(db: Any, name: str) -> None:
    """Of an offset that no byte ends at, too."""
    batch = pa.record_batch({"x": ARRAYS[name]()}).slice(3, N - 100)
    with db.begin() as txn:
        txn["k"] = batch
        assert txn["k"].to_pyarrow().equals(batch)
        piece = txn["k"].slice(5, 1000)
        assert piece.to_pyarrow().equals(batch.slice(5, 1000))
        rows = batch.slice(0, 3).to_pylist()
        assert txn["k"].take([0, 2, 0]).to_pylist() == [rows[0], rows[2], rows[0]]


@pytest.mark.parametrize("name", ARRAYS)
def test_small_ones_of_each_type(db: Any, name: str) -> None:
    """Copied, each in its own way, and one value read out of each."""
    batch = pa.record_batch({"x": ARRAYS[name]().slice(7, 3)})
    with db.begin() as txn:
        txn["k"] = batch
        txn["none"] = batch.slice(0, 0)
        got = txn["k"]
        assert got.to_pyarrow().equals(batch) and txn["none"].to_pyarrow().schema == batch.schema
        if name != "interval":  # pyarrow makes tuples of them that are not equal to themselves
            assert [got.value("x", i) for i in range(3)] == batch.column("x").to_pylist()
            assert got.row(1) == (batch.column("x")[1].as_py(),)


# ---- other libraries -----------------------------------------------------------------------------


def test_chunked(db: Any) -> None:
    table = pa.table({"id": pa.chunked_array([list(range(N)), list(range(N, 2 * N))])})
    with db.begin() as txn:
        txn["k"] = table
        assert txn["k"].to_pyarrow().column("id").to_pylist() == list(range(2 * N))
        one = pa.table({"id": list(range(N))})
        txn["one"] = one
        assert addresses(txn["one"].to_pyarrow()) == addresses(one.to_batches()[0])
        txn["chunked"] = pa.chunked_array([pa.array([{"id": 1}]), pa.array([{"id": 2}])])
        assert txn["chunked"].to_pylist() == [{"id": 1}, {"id": 2}]


def test_reader_is_drained(db: Any) -> None:
    table = pa.table({"id": list(range(10))})
    with db.begin() as txn:
        txn["k"] = table.to_reader(max_chunksize=3)
        reader = table.to_reader(max_chunksize=3)
        reader.read_next_batch()
        txn["rest"] = reader
        assert len(txn["k"]) == 10 and len(txn["rest"]) == 7


def test_polars(db: Any) -> None:
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"id": range(N), "s": [f"text of row {i}" for i in range(N)]})
    with db.begin() as txn:
        txn["k"] = frame
        batch = txn["k"]
        txn["two"] = pl.concat([frame, frame], rechunk=False)
        assert len(txn["two"]) == 2 * N
    assert batch.to_pyarrow().schema.field("s").type == pa.string_view()
    assert pl.DataFrame(batch).equals(frame) and batch.to_polars().equals(frame)
    given = frame["id"].to_arrow().buffers()[1].address
    assert batch.to_pyarrow().column("id").buffers()[1].address == given
    assert pl.DataFrame(batch)["id"].to_arrow().buffers()[1].address == given


def test_null_columns_of_polars(db: Any) -> None:
    """Polars gives the null type a bitmap, which Arrow's format has not."""
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"id": [1, 2], "x": [None, None]})
    nested = pl.DataFrame({"id": [1, 2], "x": [[None], []], "s": [{"a": None}, {"a": None}]})
    with db.begin() as txn:
        for key, rows in {"k": frame, "n": nested, "big": pl.concat([frame] * 500)}.items():
            txn[key] = rows
            assert txn[key].to_polars().equals(rows)
            assert pa.table(txn[key]).to_pydict() == rows.to_dict(as_series=False)
        txn.upsert("k", pl.DataFrame({"id": [2, 3], "x": [None, None]}))
        txn.patch("k", pl.DataFrame({"id": [1], "x": [None]}))
        assert txn["k"].to_pylist() == [{"id": i, "x": None} for i in (1, 2, 3)]
        table = db.batch(pa.table(txn["k"]))
        assert khonsu.from_ipc(txn["k"].to_ipc()) == [table]


def test_duckdb(db: Any) -> None:
    duckdb = pytest.importorskip("duckdb")
    connection = duckdb.connect()
    with db.begin() as txn:
        txn["k"] = connection.sql("select i as id, 'row ' || i as s from range(10000) t(i)")
        batch, table = txn["k"], txn.table("k")
        txn["none"] = connection.sql("select 1 as id where false")
        assert txn["none"].column_names == ["id"] and len(txn["none"]) == 0
    for source in (batch, table):
        assert source is not None
        assert connection.sql("select sum(id), max(s) from source").fetchall() == [
            (49995000, "row 9999")
        ]


def test_nanoarrow(db: Any) -> None:
    with db.begin() as txn:
        txn["k"] = na.Array(pa.array([{"id": i} for i in range(N)]))
        array = na.Array(txn["k"])
        assert array.to_pylist()[-1] == {"id": N - 1}
        assert na.ArrayStream(txn.table("k")).read_all().to_pylist() == array.to_pylist()
        assert khonsu.Schema(na.struct({"id": na.int64()})).names == ["id"]


def test_pandas(db: Any) -> None:
    frame = pd.DataFrame({"id": range(5), "s": list("abcde")})
    with db.begin() as txn:
        txn["k"] = frame
        assert txn["k"].to_pandas().equals(frame) and txn.table("k").to_pandas().equals(frame)


# ---- the protocol --------------------------------------------------------------------------------


def test_requested_schema_is_a_wish(db: Any) -> None:
    batch = row(1, 2)
    wish = pa.schema([("id", pa.int32())]).__arrow_c_schema__()
    for offered in (batch.__arrow_c_array__(wish), batch.__arrow_c_array__(requested_schema=None)):
        assert len(offered) == 2
    assert pa.table(batch, schema=pa.schema([("id", pa.int64()), ("v", pa.int64())])).num_rows == 1
    assert batch.__arrow_c_stream__(wish) is not None
    with pytest.raises(TypeError):
        batch.__arrow_c_array__(wish, wish)


def test_streams_are_offered_as_often_as_they_are_asked_for(db: Any) -> None:
    with db.begin() as txn:
        for i in range(3):
            txn[f"k/{i}"] = row(i)
        table = txn.table("k/")
    assert [pa.table(table).num_rows for _ in range(3)] == [3, 3, 3]
    assert pa.table(table).column("id").num_chunks == 3
    assert pa.table(row(1)) == pa.table(row(1))


def test_capsules_that_nobody_takes() -> None:
    batch = row(1)
    for _ in range(100):
        batch.__arrow_c_array__()
        batch.__arrow_c_stream__()
        batch.__arrow_c_schema__()
    pa.RecordBatchReader.from_stream(batch)


def test_schema() -> None:
    arrow = pa.schema([("id", pa.int64()), ("s", pa.dictionary(pa.int32(), pa.utf8()))])
    schema = khonsu.Schema(arrow)
    assert schema.to_pyarrow() == arrow and pa.schema(schema) == arrow
    assert schema == khonsu.Schema(arrow) and hash(schema) == hash(khonsu.Schema(arrow))
    assert schema != ROWS and schema != 5 and len(schema) == 2 and schema.names == ["id", "s"]
    assert len({schema, khonsu.Schema(arrow), ROWS}) == 2
    many = [khonsu.Schema({f"column {i}": "int64"}) for i in range(600)]
    assert [schema.to_pyarrow().names[0] for schema in many[::100]] == [
        f"column {i}" for i in range(0, 600, 100)
    ]


def test_metadata_of_schemas(db: Any) -> None:
    batch = pa.record_batch({"id": [1]}).replace_schema_metadata({"a": "b"})
    with db.begin() as txn:
        txn["k"] = batch
        assert txn["k"].to_pyarrow().equals(batch)


def test_batches_compare(db: Any) -> None:
    assert row(1) == row(1) and row(1) != row(2) and row(1) != 5 and row(1) != row(1).to_pyarrow()
    assert row(1) != khonsu.Schema({"x": "int64"}).row(1)
    with pytest.raises(TypeError, match="unhashable"):
        hash(row(1))
    with pytest.raises(TypeError):
        assert row(1) < row(2)  # type: ignore[operator]


def test_ipc() -> None:
    batch = khonsu.Batch(pa.record_batch({"s": [str(i) for i in range(1000)]}))
    for file in (False, True):
        for compression in (None, "lz4", "zstd"):
            if compression is None or khonsu.has_feature(compression):
                data = batch.to_ipc(file=file, compression=compression)
                assert khonsu.from_ipc(data) == [batch]
                reader = pa.ipc.open_file if file else pa.ipc.open_stream
                assert reader(data).read_all().num_rows == 1000
    with pytest.raises(ValueError, match="compression"):
        batch.to_ipc(compression="gzip")
    for garbage in (b"", b"garbage", batch.to_ipc()[:-20], batch.to_ipc()[20:]):
        try:
            khonsu.from_ipc(garbage)
        except khonsu.Error:
            pass
    with pytest.raises(TypeError):
        khonsu.from_ipc("text")  # type: ignore[arg-type]


# ---- for how long --------------------------------------------------------------------------------


def frame_of(batch: khonsu.Batch) -> Any:
    """A frame over the batch's memory: of Polars, where there is one (free threads have none)."""
    try:
        import polars
    except ImportError:
        return batch.to_pandas()
    return polars.DataFrame(batch)


def test_arrays_outlive_everything() -> None:
    db = khonsu.open()
    big = pa.record_batch({"id": np.arange(N), "s": [str(i) for i in range(N)]})
    with db.begin() as txn:
        txn["k"] = big
        del big
        batch, table = txn["k"], txn.table()
        arrow = txn["k"].to_pyarrow()
        frame = frame_of(txn["k"])
        lazy = pa.RecordBatchReader.from_stream(txn.table())
        piece = txn["k"].slice(N - 1)
        with db.begin() as other:
            other.delete_range()
    db.step()
    db.close()
    del txn, db
    gc.collect()
    assert arrow.column("id")[N - 1].as_py() == N - 1 and frame["s"][N - 1] == str(N - 1)
    assert lazy.read_all().num_rows == N and pa.table(table).num_rows == N
    assert piece.row() == (N - 1, str(N - 1)) and batch.value("s", 7) == "7"
    buffer = arrow.column("id").buffers()[1]
    del batch, table, arrow, frame, lazy, piece
    gc.collect()
    assert np.frombuffer(buffer, np.int64)[5] == 5


def test_numpy_memory_is_given_back() -> None:
    """The store's threads release it, for which they need the interpreter."""
    import weakref

    class Memory(np.ndarray):  # type: ignore[type-arg]
        pass

    db = khonsu.open()
    memory = np.arange(N).view(Memory)
    gone = weakref.ref(memory)
    with db.begin() as txn:
        txn["k"] = pa.record_batch({"id": pa.array(memory)})
    del memory, txn
    assert gone() is not None
    with db.begin() as txn:
        del txn["k"]
    for _ in range(1000):
        db.step()
        if gone() is None:
            break
    db.close()
    assert gone() is None


AT_EXIT = """
import sys, threading, khonsu, pyarrow as pa, numpy as np
try:
    from polars import DataFrame
except ImportError:  # there is none for free-threaded interpreters
    DataFrame = pa.record_batch
db = khonsu.open(sys.argv[1] or None)
with db.begin() as txn:
    txn["k"] = pa.record_batch({"id": pa.array(np.arange(20000)), "s": ["x" * 30] * 20000})
    batch, table = txn["k"], txn.table()
    arrow, frame = batch.to_pyarrow(), DataFrame(batch)
    reader = pa.RecordBatchReader.from_stream(table)
txn, scan, watch = db.begin(), db.begin().scan(), db.watch()
capsules = batch.__arrow_c_array__(), batch.__arrow_c_stream__()
sys.kept = [batch, table, arrow, frame, reader, txn, scan, capsules]
cycle = [batch, arrow]
cycle.append(cycle)
class Late:
    def __del__(self):
        batch.value("id"); batch.to_pyarrow(); self.kept.num_rows
late = Late()
late.kept, late.itself = arrow, late
if sys.argv[2] == "close":
    db.close()
print("done")
"""


@pytest.mark.parametrize("close", ["close", "leave open"])
@pytest.mark.parametrize("where", ["memory", "disk"])
def test_arrays_at_the_end_of_the_interpreter(where: str, close: str, tmp_path: Any) -> None:
    path = str(tmp_path / "db") if where == "disk" else ""
    assert python(AT_EXIT, path, close) == "done\n"


# ---- rows of Python values ----------------------------------------------------------------------


def test_rows_of_many_columns() -> None:
    for columns in (31, 32, 33, 40, 200):
        schema = khonsu.Schema({f"c{i}": "int64" for i in range(columns)})
        assert schema.row(*range(columns)).row() == tuple(range(columns))
        assert schema.rows([range(columns)] * 2).row(1) == tuple(range(columns))


def test_rows_of_made_bytes() -> None:
    """What is made of a value lives until the batch is built."""
    schema = khonsu.Schema({"a": "decimal128(20, 2)", "b": "decimal128(38, 0)"})
    values = decimal.Decimal("123456.78"), decimal.Decimal(10**37)
    assert schema.row(*values).row() == values
    assert schema.rows([values, values]).row(1) == values


def test_row_behind_the_last() -> None:
    batch = ROWS.rows([(1, 1), (2, 2)])
    for place in (2, -1):
        with pytest.raises(IndexError, match="no such row"):
            batch.value("id", place)
        with pytest.raises(IndexError, match="no such row"):
            batch.row(place)


def test_one_column_is_no_rows(db: Any) -> None:
    polars = pytest.importorskip("polars")
    for data in (pa.array([1]), pa.chunked_array([[1], [2]]), polars.Series("a", [1])):
        with db.begin() as txn, pytest.raises(khonsu.InvalidDataError, match=r"pyarrow\.table"):
            txn["x"] = data
    assert db.get("x") is None


def test_polars_objects_are_refused(db: Any) -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"id": [1], "o": polars.Series([object()], dtype=polars.Object)})
    with db.begin() as txn, pytest.raises(TypeError, match="'o' has Python objects"):
        txn["x"] = frame
    with pytest.raises(TypeError, match="'o' has Python objects"):
        db.load(frame, "x")
    with db.begin() as txn:
        txn["x"] = frame.drop("o")


def test_repr_of_dictionaries() -> None:
    words = pa.array(["a"]).dictionary_encode()
    batch = khonsu.Batch(pa.record_batch({"d": words, "n": [1]}))
    assert repr(batch.schema) == "<khonsu.Schema: d dictionary[int32, utf8], n int64>"


def test_moments_out_of_range(db: Any) -> None:
    for timestamp in (1 << 64, 1 << 200, -(1 << 100)):
        with pytest.raises(khonsu.InvalidError):
            khonsu.datetime_of(timestamp)
    with pytest.raises(khonsu.InvalidError):
        db.at(datetime.datetime(1900, 1, 1))
    with pytest.raises(khonsu.InvalidError):
        db.history("x", -1)
