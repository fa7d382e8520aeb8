"""Exceptions, and what bad input gets."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from tables import ROWS, get, put, row

import khonsu
from khonsu import _core, _errors

# ---- the classes ---------------------------------------------------------------------------------


def test_a_class_for_each_status() -> None:
    kinds = {"DONE": khonsu.Error, "RETRY": khonsu.RetryError, "ASK": khonsu.AskError}
    for name, number, kind, meaning in _core.STATUSES:
        if name in ("KH_OK", "KH_END"):
            assert number not in _errors.BY_NUMBER
            continue
        made = _errors.BY_NUMBER[number]
        assert (made.status, made.number) == (name, number)
        assert issubclass(made, khonsu.Error) and made.__module__ == "khonsu"
        assert issubclass(made, kinds.get(kind, khonsu.StopError))
        assert made.__doc__ is not None and meaning[1:] in made.__doc__
        assert getattr(khonsu, made.__name__) is made


@pytest.mark.parametrize(
    ("name", "also"),
    [
        ("NotFoundError", KeyError),
        ("InvalidError", ValueError),
        ("InvalidDataError", ValueError),
        ("SchemaMismatchError", TypeError),
        ("OutOfMemoryError", MemoryError),
        ("StorageError", OSError),
        ("NoSpaceError", OSError),
        ("UnsupportedError", NotImplementedError),
        ("ConflictError", khonsu.RetryError),
        ("OutcomeUnknownError", khonsu.AskError),
        ("FinishedError", khonsu.StopError),
    ],
)
def test_what_they_are_besides(name: str, also: type[Exception]) -> None:
    kind = getattr(khonsu, name)
    assert issubclass(kind, also)
    error = kind("words")
    assert str(error) == "words"
    assert (error.key, error.rival, error.transaction, error.holder) == (None,) * 4


def test_classes_can_be_set_anew_by_nobody_in_passing() -> None:
    with pytest.raises(TypeError):
        _core._set_exceptions([])  # type: ignore[arg-type]


# ---- rows ----------------------------------------------------------------------------------------


class Offers:
    """An object that offers whatever it is given."""

    def __init__(self, array: Any = None, stream: Any = None, schema: Any = None) -> None:
        if array is not None:
            self.__arrow_c_array__ = array
        if stream is not None:
            self.__arrow_c_stream__ = stream
        if schema is not None:
            self.__arrow_c_schema__ = schema


@pytest.mark.parametrize(
    "nothing",
    [None, 5, 2.5, "rows", b"rows", [1, 2], {"a": [1]}, object(), pa.RecordBatch, print, Offers()],
)
def test_objects_without_arrow(db: Any, nothing: Any) -> None:
    with db.begin() as txn:
        for call in (
            lambda: txn.put("k", nothing),
            lambda: txn.upsert("k", nothing),
            lambda: khonsu.Batch(nothing),
            lambda: db.batch(nothing),
            lambda: row(1).concat(nothing),
        ):
            with pytest.raises(TypeError, match="offers no Arrow data.*pyarrow.RecordBatch"):
                call()
        assert list(txn) == []


@pytest.mark.parametrize("garbage", [None, 5, (), (1, 2), (1, 2, 3), "capsule"])
def test_garbage_instead_of_capsules(db: Any, garbage: Any) -> None:
    with db.begin() as txn:
        with pytest.raises(TypeError):
            txn["k"] = Offers(array=lambda: garbage)
        with pytest.raises(TypeError):
            txn["k"] = Offers(stream=lambda: garbage)
        with pytest.raises(TypeError):
            khonsu.Schema(Offers(schema=lambda: garbage))


def test_capsules_of_other_kinds(db: Any) -> None:
    batch = row(1)
    schema, array = batch.__arrow_c_array__()
    with db.begin() as txn:
        for pair in ((array, schema), (array, array), (schema, schema)):
            with pytest.raises(TypeError, match="capsule"):
                txn["k"] = Offers(array=lambda pair=pair: pair)
        with pytest.raises(TypeError, match="arrow_array_stream"):
            txn["k"] = Offers(stream=lambda: schema)


def test_what_was_consumed_already(db: Any) -> None:
    pair = row(1).__arrow_c_array__()
    stream = row(2).__arrow_c_stream__()
    once = Offers(array=lambda: pair), Offers(stream=lambda: stream)
    with db.begin() as txn:
        for offer in once:
            txn["k"] = offer
            with pytest.raises(khonsu.InvalidError, match="consumed already"):
                txn["k"] = offer
            with pytest.raises(khonsu.InvalidError, match="consumed already"):
                khonsu.Batch(offer)


def release_of(capsule: Any, name: bytes, place: int) -> int:
    """The release function of a struct in a capsule; 0: it was moved out."""
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return ctypes.cast(get(capsule, name), ctypes.POINTER(ctypes.c_size_t))[place]


@pytest.mark.parametrize("rows", [pa.record_batch({"id": [1]}), row(1)])
def test_what_is_taken_is_moved_out(db: Any, rows: Any) -> None:
    """Whose release is left in its capsule would be released twice."""
    schema, array = rows.__arrow_c_array__()
    stream = rows.__arrow_c_stream__()
    with db.begin() as txn:
        txn["k"] = Offers(array=lambda: (schema, array))
        txn["l"] = Offers(stream=lambda: stream)
    left = [(schema, b"arrow_schema", 7), (array, b"arrow_array", 8)]
    assert [release_of(*each) for each in [*left, (stream, b"arrow_array_stream", 3)]] == [0, 0, 0]


def test_exceptions_of_the_producer_pass(db: Any) -> None:
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError("mine")

    with db.begin() as txn:
        for offer in (Offers(array=fail), Offers(stream=fail)):
            with pytest.raises(ZeroDivisionError, match="mine"):
                txn["k"] = offer
        with pytest.raises(ZeroDivisionError):
            khonsu.Schema(Offers(schema=fail))


def test_stream_that_fails_in_the_midst(db: Any) -> None:
    def batches() -> Any:
        yield pa.record_batch({"id": [1]})
        raise ZeroDivisionError("in the midst")

    schema = pa.schema([("id", pa.int64())])
    with db.begin() as txn:
        with pytest.raises(OSError, match="in the midst"):
            txn["k"] = pa.RecordBatchReader.from_batches(schema, batches())
        assert "k" not in txn


def test_arrays_that_are_no_rows(db: Any) -> None:
    with db.begin() as txn:
        for array in (pa.array([1, 2]), pa.chunked_array([[1], [2]]), pa.array(["x"])):
            with pytest.raises(khonsu.InvalidDataError, match="no rows"):
                txn["k"] = array
        txn["k"] = pa.array([{"id": 1}])
        with pytest.raises(khonsu.Error):
            txn["k"] = pa.array([{"id": 1}, None])


def test_schemas_that_cannot_be_stored(db: Any) -> None:
    with db.begin() as txn:
        txn["twice"] = pa.record_batch([pa.array([1]), pa.array([2])], names=["x", "x"])
        txn["none"] = pa.table({})
        assert txn["none"].num_columns == 0
        deep = pa.int64()
        for _ in range(300):
            deep = pa.list_(deep)
        with pytest.raises(khonsu.Error):
            txn["deep"] = pa.record_batch({"x": pa.array([None], deep)})


def test_chunks_are_put_together(db: Any) -> None:
    table = pa.concat_tables([pa.table({"id": [i], "v": [i * i]}) for i in range(33)])
    assert table.column("id").num_chunks == 33
    with db.begin() as txn:
        txn["k"] = table
        assert txn["k"].to_pyarrow() == table.combine_chunks().to_batches()[0]


@pytest.mark.parametrize("chunks", [0, 1, 3])
def test_no_rows(db: Any, chunks: int) -> None:
    schema = pa.schema([("id", pa.int64()), ("v", pa.list_(pa.utf8())), ("w", pa.string_view())])
    empty = pa.RecordBatch.from_pylist([], schema=schema)
    table = pa.Table.from_batches([empty] * chunks, schema)
    with db.begin() as txn:
        txn["k"] = table
        txn["l"] = empty
        assert txn["k"].num_rows == 0 and txn["k"].to_pyarrow().schema == schema
        assert txn["k"] == txn["l"]


class Frame(pd.DataFrame):  # type: ignore[misc]
    """A class of somebody else."""


@pytest.mark.parametrize("kind", [pd.DataFrame, Frame])
def test_pandas_with_an_index(db: Any, kind: Any) -> None:
    frame = kind({"id": [1, 2], "v": [3, 4]}, index=pd.Index(["x", "y"], name="label"))
    with db.begin() as txn:
        with pytest.raises(ValueError, match="reset_index"):
            txn["k"] = frame
        txn["k"] = frame.reset_index()
        assert txn["k"].column_names == ["label", "id", "v"]
        with pytest.raises(TypeError, match="Series"):
            txn["k"] = frame["id"]


def test_pandas_with_an_index_without_a_name(db: Any) -> None:
    frame = pd.DataFrame({"id": [1, 2, 3], "v": [3, 4, 5]})
    with db.begin() as txn:
        txn["k"] = frame
        txn["sorted"] = frame.sort_values("v", ascending=False)
        txn["filtered"] = frame[frame.v > 3]
        txn["none"] = frame.set_index(pd.Index(["x", "y", "z"]))[:0]
        assert txn["k"].column_names == txn["sorted"].column_names == ["id", "v"]
        assert txn["filtered"] == ROWS.rows([(2, 4), (3, 5)])
        assert txn["none"].num_rows == 0
        levels = pd.MultiIndex.from_tuples([(1, 2), (1, 3), (2, 2)])
        for index, words in (
            (pd.Index(["x", "y", "z"]), "index of (object|str) without a name"),
            (pd.date_range("2013-01-01", periods=3), "index of datetime64"),
            (pd.Index([0.5, 1.5, 2.5]), "index of float64"),
            (levels, "index of several levels without a name"),
        ):
            with pytest.raises(ValueError, match=words + ".*name it.*reset_index"):
                txn["lost"] = frame.set_index(index)
        assert "lost" not in txn


def test_pandas_is_copied(db: Any) -> None:
    frame = pd.DataFrame({"id": range(10_000)})
    with db.begin() as txn:
        txn["k"] = frame
    frame.loc[0, "id"] = 777
    assert db.get("k").value("id") == 0


def test_wrong_id_columns(db: Any) -> None:
    put(db, "k", (1, 1))
    with db.begin() as txn:
        with pytest.raises(khonsu.NoIdColumnError) as caught:
            txn.upsert("k", pa.record_batch({"x": [1]}))
        assert caught.value.key == "k" and caught.value.transaction == txn.id
        with pytest.raises(khonsu.NoIdColumnError):
            txn.upsert("k", pa.record_batch({"id": [1.5], "v": [1]}))
        with pytest.raises(khonsu.NoIdColumnError):
            txn.upsert("k", row(1), on="nothing")
        with pytest.raises(khonsu.NullIdError):
            txn.upsert("k", ROWS.row(None, 1))
        with pytest.raises(khonsu.DuplicateIdError):
            txn.upsert("k", ROWS.rows([(1, 1), (1, 2)]))
        with pytest.raises(TypeError):
            txn.upsert("k", row(1), on=5)
        with pytest.raises(ValueError, match="null character"):
            txn.upsert("k", row(1), on="id\0")


def test_failures_of_rows_at_commit(db: Any) -> None:
    rival = put(db, "k", (1, 1))
    for operation, rows, kind in (
        ("insert_rows", row(1), khonsu.RowExistsError),
        ("patch", row(2), khonsu.RowNotFoundError),
        ("upsert", khonsu.Schema({"id": "utf8"}).row("x"), khonsu.SchemaMismatchError),
    ):
        txn = db.begin()
        getattr(txn, operation)("k", rows)
        with pytest.raises(kind) as caught:
            txn.commit()
        assert (caught.value.key, caught.value.rival) == ("k", rival)
        assert caught.value.transaction == txn.id


# ---- keys ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, 5, 1.5, bytearray(b"k"), memoryview(b"k"), ["k"], object()])
def test_keys_that_are_not_str_or_bytes(db: Any, key: Any) -> None:
    calls: list[Callable[[Any], object]] = [
        lambda txn: txn[key],
        lambda txn: txn.get(key),
        lambda txn: key in txn,
        lambda txn: txn.get_many([key]),
        lambda txn: txn.put(key, row(1)),
        lambda txn: txn.delete(key),
        lambda txn: txn.upsert(key, row(1)),
        lambda txn: txn.compare_and_swap(key, None, None),
        lambda txn: txn.scan(key),
        lambda txn: txn.keys(start=key),
        lambda txn: db.watch(key),
        lambda txn: db.history(key),
    ]
    with db.begin() as txn:
        for call in calls:
            with pytest.raises(TypeError, match="a key is str or bytes"):
                call(txn)


def test_empty_and_too_long_keys(db: Any) -> None:
    with db.begin() as txn:
        for key, kind in (("", ValueError), ("x" * 65536, khonsu.TooBigError)):
            for call in (
                lambda key=key: txn.put(key, row(1)),
                lambda key=key: txn.get(key),
                lambda key=key: txn.delete(key),
                lambda key=key: txn.upsert(key, row(1)),
            ):
                with pytest.raises(kind) as caught:
                    call()
                assert isinstance(caught.value, khonsu.Error) and caught.value.key == key
        txn["x" * 65535] = row(1)
        assert list(txn) == ["x" * 65535]


def test_surrogates_that_are_no_bytes(db: Any) -> None:
    with db.begin() as txn:
        for call in (lambda: txn.get("\ud800"), lambda: txn.put("k\ud800", row(1))):
            with pytest.raises(UnicodeEncodeError):
                call()


# ---- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"isolation": "chaos"}, ValueError),
        ({"policy": "chaos"}, ValueError),
        ({"sync": "never"}, ValueError),
        ({"validation": "none"}, ValueError),
        ({"isolation": 3}, TypeError),
        ({"timeout": -1}, ValueError),
        ({"timeout": float("nan")}, ValueError),
        ({"timeout": float("inf")}, ValueError),
        ({"timeout": "5"}, TypeError),
        ({"retention": -1}, ValueError),
        ({"retention": float("nan")}, ValueError),
        ({"retention_bytes": -1}, khonsu.InvalidError),
        ({"memory": -1}, khonsu.InvalidError),
        ({"memory": 1 << 64}, khonsu.InvalidError),
        ({"memory": 1.5}, TypeError),
        ({"node": 1 << 32}, khonsu.InvalidError),
        ({"limits": []}, TypeError),
        ({"limits": {"chaos": 1}}, ValueError),
        ({"limits": {"txns": -1}}, khonsu.InvalidError),
        ({"limits": {"txns": 1 << 40}}, ValueError),
        ({"limits": {1: 1}}, TypeError),
        ({"limits": {"txns": None}}, TypeError),
        ({"sync_delay": 2}, ValueError),
        ({"resolve": 5}, TypeError),
        ({"read_only": True}, khonsu.InvalidError),
        ({"as_of": -1}, khonsu.InvalidError),
        ({"path": "a\0b"}, ValueError),
        ({"path": 5}, TypeError),
        ({"path": "/proc/nothing/db"}, OSError),
        ({"id_column": "a\0b"}, ValueError),
        ({"semantic": "chaos"}, ValueError),
        ({"semantic_recent": -1}, khonsu.InvalidError),
        ({"semantic_bytes": 1 << 64}, khonsu.InvalidError),
        ({"lock_victim": "eldest"}, ValueError),
        ({"lock_timeout": -1}, ValueError),
        ({"chaos": 1}, TypeError),
    ],
)
def test_options_of_open(options: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        khonsu.open(**options)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"isolation": "chaos"}, ValueError),
        ({"policy": "chaos"}, ValueError),
        ({"timeout": -1}, ValueError),
        ({"tag": "x" * 256}, khonsu.TooBigError),
        ({"tag": b"x"}, TypeError),
        ({"id_column": 5}, TypeError),
        ({"id_column": "a\0b"}, ValueError),
        ({"at": -1}, khonsu.InvalidError),
        ({"at": "now"}, TypeError),
        ({"at": 1 << 63}, khonsu.InvalidError),
        ({"priority": 1 << 31}, OverflowError),
        ({"priority": "high"}, TypeError),
        ({"chaos": 1}, TypeError),
    ],
)
def test_options_of_begin(db: Any, options: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        db.begin(**options)
    assert db.live() == []


def test_numbers_of_other_kinds(db: Any) -> None:
    import numpy as np

    put(db, "a", (1, 1))
    with db.begin(at=np.uint64(db.now)) as txn:
        assert list(txn.keys(limit=np.int32(1))) == ["a"]
        for limit, kind in ((-1, ValueError), (1.5, TypeError), (1 << 64, ValueError)):
            with pytest.raises(kind):
                txn.scan(limit=limit)


def test_too_many_transactions() -> None:
    db = khonsu.open(limits={"txns": 2})
    open_ones = [db.begin(), db.begin()]
    with pytest.raises(khonsu.BusyError) as caught:
        db.begin()
    assert isinstance(caught.value, khonsu.RetryError)
    open_ones.pop().close()
    db.begin()


def test_limits_of_a_transaction() -> None:
    db = khonsu.open(limits={"txn_writes": 2})
    with db.begin() as txn:
        txn["a"] = row(1)
        txn["b"] = row(1)
        with pytest.raises(khonsu.TooBigError) as caught:
            txn["c"] = row(1)
        assert caught.value.key == "c"


# ---- who may use what, and when ------------------------------------------------------------------


def test_begun_once_and_opened_once(db: Any) -> None:
    txn = db.begin()
    with pytest.raises(RuntimeError, match="once"):
        txn.__init__(db)
    with pytest.raises(RuntimeError, match="once"):
        db.__init__()
    db.close()
    with pytest.raises(RuntimeError, match="once"):
        db.__init__()


def test_objects_that_were_never_begun(db: Any) -> None:
    txn = khonsu.Transaction.__new__(khonsu.Transaction)
    for call in (lambda: txn["a"], lambda: txn.put("a", row(1)), txn.commit, txn.scan):
        with pytest.raises(khonsu.FinishedError):
            call()
    assert txn.closed and txn.db is None and txn.timestamp is None
    txn.close()
    with pytest.raises(TypeError):
        txn.__init__(None)  # type: ignore[misc]
    closed = khonsu.Database.__new__(khonsu.Database)
    with pytest.raises(khonsu.FinishedError):
        closed.begin()
    assert closed.closed and closed.path is None and closed.messages() == []
    closed.close()
    for kind in (khonsu.Table, _core.Scan, _core.Savepoint, _core.Watch, _core.Changes):
        with pytest.raises(TypeError):
            kind()


def test_closed_database(db: Any) -> None:
    txn, watch = db.begin(), db.watch()
    scan = txn.scan()
    db.close()
    calls: list[Callable[[], object]] = [
        db.begin,
        lambda: db.now,
        lambda: db.horizon,
        lambda: db.identity,
        db.stats,
        db.live,
        db.step,
        db.compact,
        db.watch,
        db.feed,
        lambda: db.history("a"),
        lambda: db.outcome(1),
        lambda: db.batch(row(1)),
        lambda: txn["a"],
        lambda: txn.put("a", row(1)),
        lambda: next(scan),
        lambda: watch.next(0),
        txn.commit,
    ]
    for call in calls:
        with pytest.raises(khonsu.FinishedError):
            call()
    assert txn.closed and db.closed
    txn.close()
    db.close()


def test_two_threads_in_one_transaction(db: Any) -> None:
    txn = db.begin()
    inside, leave = threading.Event(), threading.Event()

    class Slow:
        """While it is asked, the transaction is free: nobody knows how long it takes."""

        def __arrow_c_array__(self, requested_schema: Any = None) -> Any:
            inside.set()
            leave.wait()
            return row(1).__arrow_c_array__()

    thread = threading.Thread(target=txn.put, args=("slow", Slow()))
    thread.start()
    inside.wait()
    txn["quick"] = row(2)
    with pytest.raises(khonsu.InUseError):
        db.close()
    leave.set()
    thread.join()
    txn.commit()
    assert get(db, "slow") == {1: 0} and get(db, "quick") == {2: 0}


def test_second_thread_is_refused(db: Any) -> None:
    """The first one is in the resolve function, and so in the commit."""
    refused: list[BaseException] = []

    def resolve(*_: Any) -> Any:
        def other() -> None:
            for call in (lambda: txn["k"], txn.close, txn.rollback, lambda: next(scan)):
                try:
                    call()
                except khonsu.Error as error:
                    refused.append(error)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return khonsu.DROP

    put(db, "k", (1, 1))
    txn = db.begin(policy="callback", resolve=resolve)
    txn["k"] = row(2)
    scan = txn.scan()
    put(db, "k", (3, 3))
    txn.commit()
    assert [type(error) for error in refused] == [khonsu.MisuseError] * 4
    assert "another thread" in str(refused[0])


BASE = pa.record_batch({"id": [1], "v": [1.5], "s": [{"a": 1}]})


@pytest.mark.parametrize(
    "other, words",
    [
        ({"id": [1], "v": ["x"], "s": [{"a": 1}]}, 'column "v" is float64 and utf8'),
        ({"id": [1], "v": [1.5]}, 'the second has no column "s"'),
        ({"id": [1], "w": [1], "v": [1.5], "s": [{"a": 1}]}, 'the first has no column "w"'),
        ({"v": [1.5], "id": [1], "s": [{"a": 1}]}, 'column "id" is number 1 and 2'),
        ({"id": [1], "v": [1.5], "s": [{"a": "x"}]}, 'column "s.a" is int64 and utf8'),
        ({"id": [1], "v": [1.5], "s": [{"b": 1}]}, 'the second has no column "s.a"'),
    ],
)
def test_schemas_that_differ(db: Any, other: Any, words: str) -> None:
    """The first difference is told, wherever two schemas meet."""
    rows = pa.record_batch(other)
    with db.begin() as txn:
        txn["a"], txn["b"] = BASE, rows
        calls = [lambda: khonsu.Batch(BASE).concat(rows), lambda: txn.table()]
        calls.append(lambda: khonsu.Batch(BASE).upsert(rows))
        for call in calls:
            with pytest.raises(khonsu.SchemaMismatchError) as raised:
                call()
            assert str(raised.value).endswith(": " + words), raised.value


def test_schemas_that_differ_in_nulls_and_metadata() -> None:
    one = pa.field("id", pa.int64())
    fields = [one.with_nullable(False), one.with_metadata({"a": "b"})]
    for field, words in zip(fields, ["is nullable in the first only", "has other metadata"]):
        rows = pa.record_batch([pa.array([1])], schema=pa.schema([field]))
        with pytest.raises(khonsu.SchemaMismatchError, match=f'column "id" {words}$'):
            khonsu.Batch(pa.record_batch({"id": [1]})).concat(rows)
