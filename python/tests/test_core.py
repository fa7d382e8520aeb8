"""Transactions: the mapping, scans, tables, rows of batches, savepoints, and ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from tables import ROWS, content, get, put, row

import khonsu
from khonsu import _errors

KEYS = ["a/1", "a/2", "b/1", "b/2", "c"]


@pytest.fixture
def full(db: Any) -> Any:
    with db.begin() as txn:
        for i, key in enumerate(KEYS):
            txn[key] = row(i, 10 * i)
    return db


# ---- the mapping ---------------------------------------------------------------------------------


def test_mapping(db: Any) -> None:
    with db.begin() as txn:
        assert "a" not in txn and txn.get("a") is None and txn.get("a", 7) == 7
        assert txn.get("a", default=8) == 8 and txn.get(key="a") is None
        txn["a"] = row(1, 2)
        assert "a" in txn and b"a" in txn and content(txn["a"]) == {1: 2}
        assert list(txn) == ["a"] and dict(txn) == {"a": row(1, 2)}
        del txn["a"]
        del txn["never there"]
        assert "a" not in txn and list(txn) == []


def test_absent_key_is_a_key_error_with_the_key(db: Any) -> None:
    with db.begin() as txn:
        with pytest.raises(KeyError) as caught:
            txn["nothing"]
        error = caught.value
        assert isinstance(error, khonsu.NotFoundError)
        assert error.args == ("nothing",) and str(error) == "nothing"
        assert error.key == "nothing" and error.transaction == txn.id
        with pytest.raises(khonsu.NotFoundError) as caught_bytes:
            txn[b"x\xff"]
        assert caught_bytes.value.key == "x\udcff"


def test_keys_that_are_bytes(db: Any) -> None:
    with db.begin() as txn:
        txn[b"\x00\xff\xfe"] = row(1)
        txn["\udc80"] = row(2)
        txn["ä"] = row(3)
        found = list(txn)
        assert found == ["\x00\udcff\udcfe", "\udc80", "ä"]
        assert [content(txn[key]) for key in found] == [{1: 0}, {2: 0}, {3: 0}]
        assert "ä".encode() in txn and b"\x80" in txn


def test_get_many(full: Any) -> None:
    with full.begin() as txn:
        found = txn.get_many(["c", b"a/1", "x", "c"])
        assert [None if b is None else b.value("id") for b in found] == [4, 0, None, 4]
        assert txn.get_many([]) == [] and txn.get_many(key for key in ("c",))[0] == row(4, 40)


# ---- scans ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, KEYS),
        ({"prefix": "a/"}, ["a/1", "a/2"]),
        ({"prefix": b"b"}, ["b/1", "b/2"]),
        ({"start": "a/2", "stop": "b/2"}, ["a/2", "b/1"]),
        ({"prefix": "b/", "start": "b/2"}, ["b/2"]),
        ({"prefix": "b/", "stop": "a"}, []),
        ({"reverse": True}, KEYS[::-1]),
        ({"reverse": True, "limit": 2, "stop": "c"}, ["b/2", "b/1"]),
        ({"limit": 3}, KEYS[:3]),
        ({"prefix": "zz"}, []),
    ],
)
def test_scan(full: Any, options: dict[str, Any], expected: list[str]) -> None:
    with full.begin() as txn:
        assert list(txn.keys(**options)) == expected
        assert [key for key, _ in txn.scan(**options)] == expected
        assert all(batch == txn[key] for key, batch in txn.scan(**options))
        if expected:
            table = txn.table(**options)
            assert table.keys == expected and table.num_rows == len(table) == len(expected)
        else:
            with pytest.raises(khonsu.NotFoundError):
                txn.table(**options)


def test_scan_sees_own_writes_from_before_it(full: Any) -> None:
    with full.begin() as txn:
        del txn["a/2"]
        txn["b/0"] = row(9)
        scan = txn.keys()
        assert next(scan) == "a/1"
        txn["b/3"] = row(9)
        assert list(scan) == ["b/0", "b/1", "b/2", "c"]
        with pytest.raises(StopIteration):
            next(scan)


def test_scan_closed_early(full: Any) -> None:
    with full.begin() as txn:
        scan = txn.scan()
        assert next(scan)[0] == "a/1"
        scan.close()
        scan.close()
        assert list(scan) == []


@pytest.mark.parametrize("end", ["commit", "rollback", "prepare", "commit_start", "close"])
def test_scan_cut_by_the_end_of_its_transaction(full: Any, end: str) -> None:
    """It is not over without a word: the loop would look complete."""
    txn = full.begin()
    scans = [txn.scan(), txn.keys(), iter(txn)]
    done = txn.keys(limit=1)
    assert list(done) == ["a/1"]
    for scan in scans:
        next(scan)
    getattr(txn, end)()
    for scan in scans:
        with pytest.raises(khonsu.FinishedError):
            next(scan)
        scan.close()
        assert list(scan) == []
    assert list(done) == []
    txn.close()


def test_scan_outlives_what_the_transaction_object_is_called(full: Any) -> None:
    scan = full.begin().keys()
    assert list(scan) == KEYS


def test_a_scan_alone_is_read_up_to_where_it_came(db: Any) -> None:
    """Serializable: a rival behind the last key that was returned is no conflict."""
    put(db, "a", (1, 1))
    put(db, "m", (1, 1))
    with db.begin(isolation="serializable") as txn:
        scan = txn.keys()
        assert next(scan) == "a"
        scan.close()
        put(db, "z", (1, 1))
        txn["out"] = row(1)


def test_table_of_different_schemas(full: Any) -> None:
    with full.begin() as txn:
        txn["d"] = khonsu.Schema({"x": "utf8"}).row("text")
        with pytest.raises(khonsu.SchemaMismatchError, match="'a/1' and 'd'"):
            txn.table()


def test_table(full: Any) -> None:
    with full.begin() as txn:
        table = txn.table("a/")
    full.close()
    assert table.schema == ROWS and table.column_names == ["id", "v"] and table.nbytes > 0
    assert table.batches == [row(0, 0), row(1, 10)]
    assert table.to_pylist() == [{"id": 0, "v": 0}, {"id": 1, "v": 10}]
    assert khonsu.Batch(table) == ROWS.rows([(0, 0), (1, 10)])
    assert "2 rows under 2 keys" in repr(table)


def test_delete_range(full: Any) -> None:
    with full.begin() as txn:
        assert txn.delete_range("a/") == 2
        assert txn.delete_range(start="b/2", limit=1) == 1
        assert txn.delete_range("nothing") == 0
    with full.begin() as txn:
        assert list(txn) == ["b/1", "c"]


# ---- rows of batches -----------------------------------------------------------------------------


def test_row_operations(db: Any) -> None:
    put(db, "k", (1, 1), (2, 2))
    with db.begin() as txn:
        txn.insert_rows("k", row(3, 3))
        txn.upsert("k", ROWS.rows([(1, 10), (4, 4)]))
        txn.patch("k", pa.record_batch({"id": [2], "v": [20]}))
        txn.delete_rows("k", [3])
        assert content(txn["k"]) == {1: 10, 2: 20, 4: 4}
        txn.upsert("new", row(7, 7))
    assert get(db, "k") == {1: 10, 2: 20, 4: 4} and get(db, "new") == {7: 7}


def test_row_operations_on_another_column(db: Any) -> None:
    put(db, "k", (1, 100), (2, 200))
    with db.begin() as txn:
        txn.upsert("k", ROWS.rows([(5, 100), (6, 300)]), on="v")
        assert content(txn["k"]) == {5: 100, 2: 200, 6: 300}
        txn.patch("k", row(7, 200), on="v")
        with pytest.raises(khonsu.RowExistsError):
            txn.insert_rows("k", row(9, 300), on="v")
        with pytest.raises(khonsu.RowNotFoundError):
            txn.patch("k", row(9, 999), on="v")
        txn.delete_rows("k", [300], on="v")
        assert content(txn["k"]) == {5: 100, 7: 200}
        txn.upsert("absent", row(1, 1), on="v")
        txn.insert_rows("absent too", row(1, 1), on="v")
        txn.delete_rows("never there", [1], on="v")
        assert "never there" not in txn and content(txn["absent"]) == {1: 1}


def test_id_column_of_database_and_transaction() -> None:
    db = khonsu.open(id_column="v")
    put(db, "k", (1, 100))
    with db.begin() as txn:
        assert txn.id_column == "v"
        txn.upsert("k", row(2, 100))
        assert content(txn["k"]) == {2: 100}
    with db.begin(id_column="id") as txn:
        assert txn.id_column == "id"
        txn.upsert("k", row(2, 200))
        assert content(txn["k"]) == {2: 200}


def test_two_transactions_change_different_rows(db: Any) -> None:
    put(db, "k", (1, 1), (2, 2))
    first, second = db.begin(), db.begin()
    first.upsert("k", row(1, 10))
    second.upsert("k", row(2, 20))
    first.commit()
    second.commit()
    assert get(db, "k") == {1: 10, 2: 20}
    assert second.resolved()[0][:2] == ("k", "resolved")


def test_compare_and_swap(db: Any) -> None:
    with db.begin() as txn:
        assert not txn.compare_and_swap("k", row(1), row(2))
        assert txn.compare_and_swap("k", None, row(1))
        assert not txn.compare_and_swap("k", None, row(3))
        assert txn.compare_and_swap("k", row(1).to_pyarrow(), row(2))
        assert txn.compare_and_swap("k", row(2), None)
        assert "k" not in txn


# ---- savepoints ----------------------------------------------------------------------------------


def test_savepoint_undoes_what_its_block_wrote(db: Any) -> None:
    with db.begin() as txn:
        txn["a"] = row(1)
        with pytest.raises(ZeroDivisionError), txn.savepoint():
            txn["a"] = row(2)
            with txn.savepoint():
                txn["b"] = row(3)
            assert list(txn) == ["a", "b"]
            raise ZeroDivisionError
        assert list(txn) == ["a"] and txn["a"] == row(1)
        with txn.savepoint():
            txn["c"] = row(4)
            with pytest.raises(KeyError), txn.savepoint():
                txn["d"] = row(5)
                raise KeyError
    assert get(db, "c") == {4: 0} and get(db, "d") is None


def test_savepoint_again_and_again(db: Any) -> None:
    with db.begin() as txn:
        savepoint = txn.savepoint()
        for _ in range(3):
            txn["a"] = row(1)
            savepoint.rollback()
            assert "a" not in txn
        txn["b"] = row(1)
        savepoint.release()
        with pytest.raises(khonsu.InvalidError):
            savepoint.rollback()
        assert "b" in txn


def test_released_savepoint_is_not_another_one(db: Any) -> None:
    """The library numbers savepoints by depth: the number of the released ones comes again."""
    with db.begin() as txn:
        outer = txn.savepoint()
        inner = txn.savepoint()
        outer.release()
        others = [txn.savepoint(), txn.savepoint()]
        txn["a"] = row(1)
        for stale in (outer, inner):
            with pytest.raises(khonsu.InvalidError):
                stale.rollback()
        assert "a" in txn
        others[0].rollback()
        assert "a" not in txn
        with pytest.raises(khonsu.InvalidError):
            others[1].rollback()


def test_savepoint_of_a_transaction_that_ends_in_its_block(db: Any) -> None:
    with db.begin() as txn, txn.savepoint():
        txn["a"] = row(1)
        txn.commit()
    assert get(db, "a") == {1: 0}
    with db.begin() as txn, pytest.raises(ValueError), txn.savepoint():
        txn.close()
        raise ValueError


def test_many_savepoints(db: Any) -> None:
    with db.begin() as txn:
        savepoints = []
        for i in range(100):
            savepoints.append(txn.savepoint())
            txn[f"{i:03}"] = row(i)
        savepoints[50].rollback()
        assert len(list(txn)) == 50


# ---- ends ----------------------------------------------------------------------------------------


def test_with_block(db: Any) -> None:
    with db.begin() as txn:
        txn["a"] = row(1)
        assert txn.timestamp is None and not txn.closed and txn.db is db
    assert txn.closed and txn.timestamp == db.now
    with pytest.raises(ZeroDivisionError), db.begin() as txn:
        txn["a"] = row(2)
        raise ZeroDivisionError
    assert txn.closed and txn.timestamp is None and get(db, "a") == {1: 0}


def test_end_inside_of_the_block(db: Any) -> None:
    for end in ("commit", "rollback", "close"):
        with db.begin() as txn:
            txn[end] = row(1)
            getattr(txn, end)()
        assert (get(db, end) == {1: 0}) == (end == "commit")


def test_after_the_end(db: Any) -> None:
    calls: list[Callable[[Any], object]] = [
        lambda txn: txn["a"],
        lambda txn: txn.put("a", row(1)),
        lambda txn: txn.scan(),
        lambda txn: txn.savepoint(),
        lambda txn: txn.commit(),
        lambda txn: txn.table(),
        lambda txn: txn.upsert("a", row(1)),
        lambda txn: txn.delete("a"),
        lambda txn: txn.compare_and_swap("a", None, None),
        lambda txn: txn.__enter__(),
    ]
    for close in (False, True):
        txn = db.begin()
        txn.commit()
        if close:
            txn.close()
        for call in calls[:-1] if not close else calls:
            with pytest.raises(khonsu.FinishedError):
                call(txn)
        txn.close()
        assert txn.closed and isinstance(txn.id, int)


def test_read_only(db: Any) -> None:
    put(db, "a", (1, 1))
    with db.begin(read_only=True) as txn:
        for write in (
            lambda: txn.put("a", row(2)),
            lambda: txn.delete("a"),
            lambda: txn.upsert("a", row(2)),
            lambda: txn.delete_range(),
            lambda: txn.compare_and_swap("a", None, row(1)),
        ):
            with pytest.raises(khonsu.ReadOnlyError):
                write()
        assert content(txn["a"]) == {1: 1}


def test_deferrable(db: Any) -> None:
    put(db, "a", (1, 1))
    writer = db.begin(isolation="serializable")
    writer["a"] = row(2)
    writer.commit()
    with db.begin(isolation="serializable", read_only=True, deferrable=True) as txn:
        assert content(txn["a"]) == {2: 0}


def test_isolation_levels(db: Any) -> None:
    put(db, "a", (1, 1))
    levels = ("read_committed", "repeatable_read", "snapshot", "serializable")
    open_ones = {level: db.begin(isolation=level) for level in levels}
    before = {level: content(txn["a"]) for level, txn in open_ones.items()}
    put(db, "a", (1, 2))
    after = {level: content(txn["a"]) for level, txn in open_ones.items()}
    assert all(value == {1: 1} for value in before.values())
    assert after.pop("read_committed") == {1: 2}
    assert all(value == {1: 1} for value in after.values())


def test_write_skew_is_refused_when_serializable(db: Any) -> None:
    put(db, "a", (1, 1))
    put(db, "b", (1, 1))
    first, second = (db.begin(isolation="serializable") for _ in range(2))
    first["a"] = row(1, second["b"].value("v"))
    second["b"] = row(1, 1 + first["a"].value("v"))
    assert first["b"].value("v") == second["a"].value("v") == 1
    first.commit()
    with pytest.raises(khonsu.NotSerializableError) as caught:
        second.commit()
    assert isinstance(caught.value, khonsu.RetryError)
    assert caught.value.transaction == second.id


def test_expired(db: Any) -> None:
    """With the clock of nobody: a database without threads sees the time when it is asked to."""
    txn = db.begin(timeout=0.001)
    with pytest.raises(khonsu.ExpiredError) as caught:
        while True:
            db.step()
            txn.get("a")
    assert isinstance(caught.value, khonsu.RetryError)
    with pytest.raises(khonsu.ExpiredError):
        txn.commit()
    txn.close()


def test_conflict(db: Any) -> None:
    txn = db.begin()
    txn.put("k/1", row(1))
    rival = put(db, "k/1", (2, 2))
    with pytest.raises(khonsu.ConflictError, match="k/1") as caught:
        txn.commit()
    error = caught.value
    assert (error.key, error.rival, error.transaction) == ("k/1", rival, txn.id)
    assert isinstance(error, khonsu.RetryError) and error.status == "KH_CONFLICT"
    assert txn.closed and db.outcome(txn.id)[0] == "aborted"


def test_prepare(db: Any) -> None:
    txn = db.begin()
    txn["a"] = row(1)
    txn.prepare()
    assert db.outcome(txn.id) == ("prepared", None)
    with pytest.raises(khonsu.MisuseError):
        txn.put("a", row(2))
    with pytest.raises(khonsu.HeldError) as caught:
        put(db, "a", (3, 3))
    assert (caught.value.key, caught.value.holder) == ("a", txn.id)
    assert [entry["prepared"] for entry in db.live() if entry["id"] == txn.id] == [True]
    timestamp = txn.commit()
    assert db.outcome(txn.id) == ("committed", timestamp)


@pytest.mark.parametrize("commit", [True, False])
def test_decide(db: Any, commit: bool) -> None:
    txn = db.begin()
    txn["a"] = row(1)
    txn.prepare()
    txn.close()
    timestamp = db.decide(txn.id, commit)
    assert (timestamp is not None) == commit and (get(db, "a") is not None) == commit
    assert db.outcome(txn.id)[0] == ("committed" if commit else "aborted")
    with pytest.raises(khonsu.NotFoundError):
        db.decide(txn.id, commit)


def test_commit_start(db: Any) -> None:
    txn = db.begin()
    txn["a"] = row(1)
    txn.commit_start()
    timestamp = txn.wait(60)
    assert timestamp == txn.poll() == txn.timestamp == db.now
    assert isinstance(txn.fileno(), int)
    with db.begin() as txn:  # the block waits for it
        txn["a"] = row(2)
        txn.commit_start()
    assert txn.timestamp == db.now and get(db, "a") == {2: 0}
    txn = db.begin()
    txn["a"] = row(3)
    put(db, "a", (4, 4))
    with pytest.raises(khonsu.ConflictError):
        txn.commit_start()


@pytest.mark.parametrize("call", ["poll", "wait", "fileno"])
def test_waiting_for_no_commit(db: Any, call: str) -> None:
    """A word too early costs nothing; one too late is told so."""
    with db.begin() as txn:
        txn["a"] = row(1)
        with pytest.raises(khonsu.MisuseError, match=r"call commit_start\(\) first"):
            getattr(txn, call)()
        txn["b"] = row(2)
    assert len(db.get("a")) == len(db.get("b")) == 1  # the block has committed
    committed, rolled_back, closed = db.begin(), db.begin(), db.begin()
    committed["c"] = row(3)
    committed.commit()
    rolled_back.rollback()
    closed.close()
    for ended in (txn, committed, rolled_back, closed):
        with pytest.raises(khonsu.FinishedError):
            getattr(ended, call)()


@pytest.mark.parametrize("count", [1, 15, 16, 17, 33, 200])
def test_table_of_many_keys(db: Any, count: int) -> None:
    with db.begin() as txn:
        for i in range(count):
            txn[f"k{i:03}"] = row(i)
        table = txn.table("k")
    assert table.keys == [f"k{i:03}" for i in range(count)]
    assert [content(batch) for batch in table.batches] == [{i: 0} for i in range(count)]


def test_tables_hold_their_schema(db: Any) -> None:
    schema = khonsu.Schema({"only here": "int64"})
    with db.begin() as txn:
        txn["k"] = schema.row(1)
        for _ in range(20):  # more than there are other references to it
            assert txn.table("k").schema == schema
        assert txn.table("k").column_names == ["only here"] == schema.names
        assert schema.row(2).concat(txn["k"]).row(1) == (1,)


def test_commit_start_and_waiting(tmp_path: Any) -> None:
    """A poll and a wait that come too early leave the transaction as it is."""
    with khonsu.open(tmp_path / "db", sync="group", sync_delay=0.2) as db:
        txn = db.begin()
        txn["a"] = row(1)
        txn.commit_start()
        early = [txn.poll(), txn.wait(0), txn.poll()]
        assert txn.wait() == txn.poll() == txn.timestamp
        assert set(early) <= {None, txn.timestamp}


def test_every_call_leaves_the_database(db: Any) -> None:
    put(db, "a", (1, 1))
    txn = db.begin()
    for call in (
        lambda: (db.now, db.horizon, db.identity, db.path),
        lambda: (db.live(), db.stats(), db.messages(), db.step()),
        lambda: (db.history("a"), db.outcome(txn.id), db.batch(row(1)), db.get("a")),
        lambda: (txn.put("a", row(1)), txn.upsert("a", row(2)), txn.get_many(["a"])),
        lambda: txn.compare_and_swap("a", None, None),
        lambda: db.cancel(txn.id),
    ):
        call()
    for wrong in (
        db.head,
        db.feed,
        lambda: db.backup(""),
        lambda: db.history(""),
        lambda: db.batch(5),
        lambda: db.decide(1, True),
        lambda: db.cancel(1),
        lambda: txn.put("a", 5),
        lambda: txn.patch("a", 5),
        lambda: txn.compare_and_swap("a", 5, None),
    ):
        with pytest.raises((khonsu.Error, TypeError, OverflowError)):
            wrong()
    db.close()
    assert db.closed


def test_resolved_is_told_once(db: Any) -> None:
    txn = db.begin(policy="replace")
    txn["a"] = row(1)
    put(db, "a", (2, 2))
    txn.commit_start()
    for _ in range(3):
        txn.wait()
        txn.poll()
    assert len(txn.resolved()) == 1
    txn.close()
    assert len(txn.resolved()) == 1


def test_errors_are_all_there() -> None:
    for name, number, _, _ in khonsu._core.STATUSES:
        if name not in ("KH_OK", "KH_END"):
            assert _errors.BY_NUMBER[number].status == name


def test_get_many_takes_no_single_key(db: Any) -> None:
    with db.begin() as txn:
        for key in ("ab", b"ab"):
            with pytest.raises(TypeError, match="sequence of keys"):
                txn.get_many(key)
