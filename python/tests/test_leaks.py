"""Nothing is left behind: objects, references, memory of the store, of pyarrow and of C."""

from __future__ import annotations

import ctypes
import functools
import gc
import sys
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from tables import ROWS, put, row

import khonsu


# One that no schema of khonsu can be, and one that is not copied.
DEEP = pa.record_batch(
    {"x": pa.array([None], functools.reduce(lambda t, _: pa.list_(t), range(300), pa.int8()))}
)
LARGE = pa.record_batch({"id": pa.array(range(4096))})


class Mallinfo(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks ford keep".split()
    ]


def heap_bytes() -> int:
    """Bytes of blocks that malloc has given out; 0 where the C library does not say."""
    mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo is None:
        return 0
    mallinfo.restype = Mallinfo
    found = mallinfo()
    return int(found.uordblks + found.hblkhd)


def failing(db: Any, schema: Any, rows: Any) -> list[Callable[[], object]]:
    """Calls that all raise."""
    txn, ended = db.begin(), db.begin()
    ended.rollback()
    return [
        lambda: txn["nothing"],
        lambda: txn.get(5),
        lambda: txn.get("\ud800"),
        lambda: txn.put("k", 5),
        lambda: txn.put("k", DEEP),
        lambda: ended.put("k", LARGE),
        lambda: ended.upsert("k", LARGE),
        lambda: txn.put("", rows),
        lambda: txn.put("k", rows, policy="x"),
        lambda: txn.upsert("k", ROWS.rows([(1, 1), (1, 1)])),
        lambda: txn.get_many(["a", 5]),
        lambda: txn.scan(limit=-1),
        lambda: txn.scan("a", start=5),
        lambda: txn.table("zzz"),
        lambda: schema.row(1),
        lambda: schema.row(1, 2, 3),
        lambda: schema.rows([(1, "a", 3), (1, "a")]),
        lambda: db.begin(isolation="x"),
        lambda: db.begin(at=1),
        lambda: db.outcome(5),
        lambda: db.history("k", -1),
        lambda: khonsu.open(limits={"x": 1}),
        lambda: khonsu.open("a\0b"),
        lambda: khonsu.from_ipc(b"garbage"),
        lambda: rows.value("x"),
        lambda: rows.value(0, 9),
        lambda: rows.take([9]),
    ]


def leaky_meaning(db: Any, rows: Any, arrow: Any) -> dict[str, Callable[[], object]]:
    def workspaces() -> None:
        def embed(operations: Any) -> Any:
            return pa.array([0.0, 1.0, 0.5]), [operations[0].key == "a", True, 2]

        with db.workspace(mode="merge", embed=embed, tag="t", thresholds=khonsu.Thresholds()) as ws:
            ws["a"], ws["b"] = rows, arrow
            ws.compare_and_swap("b", rows, None), ws.delete("c")
            ws.operations, ws.affected_keys, ws.merge_candidates(), ws.conflicts(), ws.delta
            ws.lock("b", "d"), db.workspaces()
        with pytest.raises(khonsu.SemanticConflictError):
            rival, mine = db.workspace(), db.workspace(mode="guard")
            for edit, key in ((rival, "x"), (mine, "y")):
                edit[key] = rows
                edit.before([0.0, 0.0]), edit.after([1.0, 1.0])
            rival.commit()
            mine.commit()
        for wrong in ([1, "a"], "ab", pa.array([None, 1.0]), [], [1], 5):
            with pytest.raises((khonsu.Error, TypeError)):
                rival = db.workspace()
                rival.before([1, 2])
                rival.after(wrong)

    def deltas() -> None:
        a, b = khonsu.Delta([1, 0, 0], ["k"]), khonsu.Delta.between(arrow["id"], [2], ["k", b"l"])
        (a + a) * 2, a.project(2 * a), khonsu.Delta.average([a, a], [1, 2])
        a.cosine(a), a.values, a.keys, repr(a), khonsu.Delta.from_bytes(b.to_bytes())
        khonsu.classify(a, b), khonsu.classify_all([a, None, b]), khonsu.merge_order([a, a])
        for wrong in (lambda: a + b, lambda: a.cosine(b), lambda: khonsu.Delta([1], "k")):
            with pytest.raises((khonsu.Error, TypeError)):
                wrong()

    def locks() -> None:
        first, second = db.begin(), db.begin()
        first.lock("a", b"b", shared=True)
        with pytest.raises(khonsu.LockConflictError):
            second.lock("a", wait=False)
        with pytest.raises(TypeError):
            second.lock("a", 5)

    return {f.__name__: f for f in (workspaces, deltas, locks)}


def leaky(db: Any) -> dict[str, Callable[[], object]]:
    schema = khonsu.Schema({"id": "int64", "s": "utf8", "t": "timestamp[us]"})
    rows = schema.row(1, "text", 5)
    arrow = rows.to_pyarrow()
    table = pa.table(rows)
    put(db, "k", (1, 1))

    def txn_of_everything() -> None:
        with db.begin(tag="t", id_column="id", resolve=lambda *_: None) as txn:
            txn["a"] = rows
            txn["b"] = arrow
            txn["c"] = table
            txn.get("\udcff\udcfe"), txn.get("a"), txn.get("x")
            txn.get_many(["a", b"b", "x"]), "a" in txn
            txn.upsert("a", arrow), txn.upsert("a", arrow, on="s"), txn.delete_rows("a", [1])
            txn.compare_and_swap("b", rows, None)
            list(txn.scan()), next(txn.keys()), txn.table("c").to_pyarrow()
            with txn.savepoint():
                del txn["c"]
            txn.resolved(), txn.id, txn.snapshot, txn.db, txn.id_column
            txn.delete_range()

    def failures() -> None:
        for call in failing(db, schema, rows):
            with pytest.raises((khonsu.Error, TypeError, ValueError, LookupError, OverflowError)):
                call()

    def conflict() -> None:
        txn = db.begin()
        txn["k"] = row(1)
        put(db, "k", (2, 2))
        with pytest.raises(khonsu.ConflictError):
            txn.commit()

    def capsules() -> None:
        for batch in (rows, khonsu.Batch(LARGE)):
            pair, stream = batch.__arrow_c_array__(), batch.__arrow_c_stream__()
            batch.__arrow_c_schema__()
            del pair, stream
            pa.table(batch), pa.record_batch(batch)

    def values() -> None:
        batch = schema.rows([(i, str(i), None) for i in range(3)])
        batch.row(1), batch.value("s"), batch.value("t"), batch.column_names, batch.schema.formats
        batch.to_pylist(), batch.to_pyarrow(), batch == batch, repr(batch), hash(batch.schema)
        batch.take([0]), batch.slice(1), batch.concat(batch), batch.upsert(batch)
        khonsu.from_ipc(batch.to_ipc()), khonsu.Batch(batch), khonsu.Batch(table)

    def database() -> None:
        db.live(), db.history("k"), db.stats_text(), db.identity, db.now
        watch = db.watch("k")
        put(db, "k", (3, 3))
        watch.next(60), watch.next(0)

    calls = (txn_of_everything, failures, conflict, capsules, values, database)
    return {f.__name__: f for f in calls} | leaky_meaning(db, rows, arrow)


@pytest.mark.parametrize("name", sorted(leaky(khonsu.open())))
def test_no_leaks(name: str) -> None:
    """Neither objects, nor references to those that are always there, nor the store's memory."""
    db = khonsu.open(semantic_recent=8)  # what is remembered is soon as much as it will be
    call = leaky(db)[name]
    # Immortal from 3.12 on: an extension of the older ABI counts them, the interpreter does not.
    singletons = [None, True] if sys.version_info < (3, 12) else []
    always = [*singletons, khonsu.Batch, khonsu.Transaction, ROWS, db, "id", khonsu.DROP]
    always += [khonsu.Workspace, khonsu.Delta, khonsu.Operation, khonsu.Pair]

    def measure(repeats: int) -> tuple[list[int], list[int]]:
        for _ in range(repeats):
            call()
        for _ in range(3):
            gc.collect()
            db.step()
        counts = [sys.getrefcount(thing) for thing in always] + [len(gc.get_objects())]
        counts.append(sys.getallocatedblocks())
        return counts, [db.stats()["memory_bytes"], pa.total_allocated_bytes(), heap_bytes()]

    repeats = 1000
    before, memory_before = measure(300)  # behind the bounded cache of schemas
    after, memory_after = measure(repeats)
    grown = [b - a for a, b in zip(before, after, strict=True)]
    assert max(grown) < 0.7 * repeats, grown
    for _ in range(2):  # what is made once, at some moment, is no leak
        grown = [b - a for a, b in zip(memory_before, memory_after, strict=True)]
        if max(grown) < 64 * repeats:
            break
        memory_before = memory_after
        _, memory_after = measure(repeats)
    assert max(grown) < 64 * repeats, grown
