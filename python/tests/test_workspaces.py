"""Workspaces: they are transactions, what they list, and their ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from tables import content, edit, get, put, row

import khonsu

# ---- a transaction -------------------------------------------------------------------------------


def test_it_is_a_transaction(db: Any) -> None:
    put(db, "a", (1, 1))
    with db.workspace(tag="edits", isolation="serializable") as ws:
        assert isinstance(ws, khonsu.Transaction) and ws.id_column == "id" and ws.db is db
        assert content(ws["a"]) == {1: 1} and ws.get("x") is None and "a" in ws
        ws["b"] = row(2)
        ws.upsert("b", row(3))
        with ws.savepoint() as place:
            ws["c"] = row(4)
            place.rollback()
        ws.delete_rows("b", [2])
        assert list(ws) == ["a", "b"] and ws.table("a").num_rows == 1
        assert [key for key, _ in ws.scan("a")] == ["a"]
        assert ws.state == "active" and db.live()[0]["tag"] == "edits"
        assert db.live()[0]["isolation"] == "serializable"
    assert ws.state == "committed" and ws.timestamp == db.now and ws.closed and ws.cause is None
    assert get(db, "b") == {3: 0}


def test_an_exception_rolls_back(db: Any) -> None:
    with pytest.raises(LookupError), db.workspace() as ws:
        ws["a"] = row(1)
        raise LookupError
    assert ws.state == "rolled_back" and get(db, "a") is None and ws.timestamp is None


@pytest.mark.parametrize("end", ["rollback", "close", "drop", "database"])
def test_other_ends(db: Any, end: str) -> None:
    ws = db.workspace()
    ws["a"] = row(1)
    if end == "drop":
        del ws
        assert db.workspaces() == [] and db.live() == []
        return
    db.close() if end == "database" else getattr(ws, end)()
    assert ws.state == "rolled_back" and ws.closed
    for call in (ws.commit, lambda: ws.put("a", row(1)), ws.retry, lambda: ws.before([1])):
        with pytest.raises((khonsu.FinishedError, khonsu.MisuseError)):
            call()
    ws.close()


def test_operations(db: Any) -> None:
    put(db, "a", (1, 1))
    put(db, "v", (1, 1))
    vectors = pa.record_batch(
        {"id": pa.array([1]), "e": pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2))}
    )
    with db.begin() as txn:
        txn["e"] = vectors
    with db.workspace() as ws:
        ws["b"] = row(2)
        ws.put("b", pa.record_batch({"id": [3], "v": [4]}))
        ws.update("a", row(5))
        del ws["v"]
        assert ws.compare_and_swap("c", None, row(6)) is True
        assert ws.compare_and_swap("c", None, row(7)) is False
        ws.embed("e", vectors.slice(0))
        ws.upsert("d", row(8))  # written, and not listed
        ws.put("f", row(9), policy="replace")
        operations = ws.operations
        assert [(op.kind, op.key) for op in operations] == [
            ("put", "b"), ("put", "b"), ("update", "a"), ("delete", "v"),
            ("compare_and_swap", "c"), ("embed", "e"),
        ]  # fmt: skip
        assert operations[0].value == row(2) and operations[3].value is None
        assert ws.affected_keys == ["b", "a", "v", "c", "e"] and ws.age >= 0
    assert operations[1].value.row() == (3, 4)  # it outlives the workspace
    assert {key: get(db, key) for key in "abcdf"} == {
        "a": {5: 0}, "b": {3: 4}, "c": {6: 0}, "d": {8: 0}, "f": {9: 0}
    }  # fmt: skip
    for call in (lambda: ws.operations, lambda: ws.affected_keys, lambda: ws.age):
        with pytest.raises(khonsu.FinishedError):
            call()


def test_update_and_embed_need_what_is_there(db: Any) -> None:
    ws = db.workspace()
    with pytest.raises(KeyError) as raised:
        ws.update("a", row(1))
    assert isinstance(raised.value, khonsu.NotFoundError) and raised.value.args == ("a",)
    assert raised.value.key == "a" and ws.operations == []
    with pytest.raises(khonsu.InvalidDataError):
        ws.embed("a", row(1))
    ws["a"] = row(1)
    ws.update("a", row(2))
    ws.commit()
    for wrong in (lambda: ws.update("a", 5), lambda: ws.embed(5, row(1)), lambda: ws.update("a")):
        with pytest.raises((TypeError, khonsu.FinishedError)):
            wrong()


def test_too_many_operations(db: Any) -> None:
    ws = db.workspace(operations_max=2)
    ws["a"] = ws["b"] = row(1)
    with pytest.raises(khonsu.TooBigError):
        ws["c"] = row(1)
    ws.commit()
    assert get(db, "b") == {1: 0}


def test_it_has_no_commit_start(db: Any) -> None:
    ws = db.workspace()
    with pytest.raises(khonsu.UnsupportedError):
        ws.commit_start()
    with pytest.raises(khonsu.MisuseError):
        ws.poll()
    ws["a"] = row(1)
    ws.commit()


def test_expired(db: Any) -> None:
    ws = db.workspace(timeout=0.02)
    ws["a"] = row(1)
    with pytest.raises(khonsu.ExpiredError):
        while ws.age < 10:
            ws.get("a")
    assert (ws.state, ws.cause) == ("failed", "KH_EXPIRED")
    ws.retry()
    assert ws.state == "active"


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"mode": "chaos"}, ValueError),
        ({"embed": 5}, TypeError),
        ({"thresholds": 0.7}, TypeError),
        ({"thresholds": (1, 2)}, TypeError),
        ({"operations_max": -1}, khonsu.InvalidError),
        ({"isolation": "chaos"}, ValueError),
        ({"timeout": -1}, ValueError),
        ({"tag": "x" * 256}, khonsu.TooBigError),
        ({"read_only": True}, TypeError),
        ({"resolve": 5}, TypeError),
        ({"chaos": 1}, TypeError),
    ],
)
def test_options(db: Any, options: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        db.workspace(**options)
    assert db.live() == [] and db.workspaces() == []


# ---- savepoints ----------------------------------------------------------------------------------


def listed(ws: khonsu.Workspace) -> str:
    return "".join(operation.key for operation in ws.operations)


def test_what_a_savepoint_undoes_leaves_the_list(db: Any) -> None:
    with db.workspace() as ws:
        ws["a"] = row(1)
        kept = ws.operations
        with pytest.raises(LookupError), ws.savepoint():
            ws["b"] = row(2)
            del ws["a"]
            undone = ws.operations
            assert listed(ws) == "aba" and ws.affected_keys == ["a", "b"]
            raise LookupError
        assert ws.operations == kept and ws.affected_keys == ["a"]
        assert [entry.operations for entry in db.workspaces()] == [1]
        assert undone[1].value == row(2) and undone[2].value is None  # they outlive the block
        with ws.savepoint() as outer:
            with ws.savepoint():
                ws["c"] = row(3)
            assert listed(ws) == "ac"  # released, and kept
            outer.rollback()
            assert listed(ws) == "a"
            ws["b"] = row(4)
        assert listed(ws) == "ab" and ws.affected_keys == ["a", "b"]
    assert {key: get(db, key) for key in "abc"} == {"a": {1: 0}, "b": {4: 0}, "c": None}


def test_what_is_undone_is_not_counted(db: Any) -> None:
    ws = db.workspace(operations_max=2)
    ws["a"] = row(1)
    for _ in range(3):
        with pytest.raises(khonsu.TooBigError), ws.savepoint():
            ws["b"] = row(1)
            ws["c"] = row(1)
    ws["d"] = row(1)
    ws.commit()
    assert get(db, "b") is None and get(db, "d") == {1: 0}


def test_what_is_undone_means_nothing(db: Any) -> None:
    seen: list[list[str]] = []

    def embed(operations: list[khonsu.Operation]) -> tuple[list[float], list[float]]:
        seen.append([operation.key for operation in operations])
        return [0.0, 0.0], [float(len(operations)), 1.0]

    ws = db.workspace(embed=embed)
    ws["a"] = row(1)
    with ws.savepoint() as place:
        ws["b"] = row(1)
        place.rollback()
        ws["c"] = row(1)
    ws.commit()
    assert seen == [["a", "c"]]
    assert ws.delta.values == [2.0, 1.0] and ws.delta.keys == ["a", "c"]

    ws = db.workspace(embed=embed)
    with ws.savepoint() as place:
        ws["a"] = ws["d"] = row(2)
        ws.compute_delta()
        place.rollback()
        assert ws.delta.keys == ["a", "d"]  # as of then
        ws["e"] = row(2)
    ws.commit()
    assert ws.delta.values == [2.0, 1.0] and ws.delta.keys == ["e"]  # of the commit
    assert seen[1:] == [["a", "d"]]


def test_a_savepoint_of_before_a_retry(db: Any) -> None:
    put(db, "a", (1, 1))
    ws = db.workspace()
    assert content(ws["a"]) == {1: 1}
    place = ws.savepoint()
    ws["a"] = row(2)
    put(db, "a", (3, 3))
    with pytest.raises(khonsu.ConflictError):
        ws.commit()
    ws.retry()
    ws["b"] = row(1)
    with pytest.raises(khonsu.InvalidError):
        place.rollback()
    assert listed(ws) == "b"
    with ws.savepoint() as place:
        ws["a"] = row(4)
        place.rollback()
    assert listed(ws) == "b"
    ws.commit()
    assert get(db, "a") == {3: 3} and get(db, "b") == {1: 0}


# ---- two steps -----------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["commit", "rollback", "decide", "close"])
def test_prepare(db: Any, end: str) -> None:
    ws = edit(db, "a", (1, 0))
    ws.prepare()
    assert ws.state == "committing" and not ws.closed
    with pytest.raises(khonsu.MisuseError):
        ws["b"] = row(1)
    against = edit(db, "b", (1, 0), mode="guard")
    with pytest.raises(khonsu.HeldError):
        against.commit()
    if end == "decide":
        db.decide(ws.id, True)
        ws.commit()
    else:
        getattr(ws, end)()
    expected = {"rollback": "rolled_back", "close": "committing"}.get(end, "committed")
    assert ws.state == expected
    if end == "close":
        with pytest.raises(khonsu.HeldError):
            put(db, "a", (1, 1))
        db.decide(ws.id, False)
    assert (get(db, "a") is not None) == (end in ("commit", "decide"))


# ---- failures and retries ------------------------------------------------------------------------


def test_a_retry_is_for_what_has_failed(db: Any) -> None:
    ws = db.workspace()
    with pytest.raises(khonsu.MisuseError):
        ws.retry()
    ws["a"] = row(1)
    ws.commit()
    with pytest.raises(khonsu.MisuseError):
        ws.retry()


def test_what_a_retry_leaves_behind(db: Any) -> None:
    ws = db.workspace(tag="t")
    ws["a"] = row(1)
    savepoint, scan = ws.savepoint(), ws.scan()
    next(scan)
    put(db, "a", (2, 2))
    with pytest.raises(khonsu.ConflictError):
        ws.commit()
    ws.retry()
    with pytest.raises(khonsu.FinishedError):
        next(scan)
    for _ in range(2):
        with pytest.raises(khonsu.InvalidError):
            savepoint.rollback()
        ws.savepoint()
    assert content(ws["a"]) == {2: 2} and ws.timestamp is None
    assert db.live()[0]["tag"] == "t" and ws.affected_keys == []


def test_a_loop_of_retries_in_the_block(db: Any) -> None:
    put(db, "n", (1, 0))
    turns = []
    with db.workspace(embed=lambda operations: ([0], [len(operations)])) as ws:
        while True:
            old = ws["n"].value("v")
            ws["n"] = row(1, old + 1)
            if len(turns) < 2:
                put(db, "n", (1, old + 10))
            try:
                ws.commit()
                break
            except khonsu.ConflictError as error:
                turns.append(error.transaction)
                ws.retry()
    assert get(db, "n") == {1: 21} and ws.delta.values == [1]
    assert turns[0] == ws.id != turns[1] == db.outcome(turns[1]) or len(set(turns)) == 2


def test_calls_of_the_transaction_fail_the_workspace(db: Any) -> None:
    first, second = db.workspace(), db.workspace()
    first.lock("a")
    with pytest.raises(khonsu.LockConflictError):
        second.lock("a", wait=False)
    assert second.state == "active"  # it goes on, and has not read
    put(db, "z", (1, 1))
    second.lock("z")
    assert content(second["z"]) == {1: 1}
    second["b"] = row(1)
    second.get("a")
    put(db, "c", (1, 1))
    with pytest.raises(khonsu.ConflictError):
        second.lock("c")
    assert (second.state, second.cause) == ("failed", "KH_CONFLICT")
    second.retry()
    second.lock("c")
    second.commit()


def test_cancelled(db: Any) -> None:
    ws = db.workspace()
    ws["a"] = row(1)
    db.cancel_workspace(ws.id)
    with pytest.raises(khonsu.CancelledError):
        ws.upsert("a", row(2))
    assert (ws.state, ws.cause) == ("failed", "KH_CANCELLED")
    ws.retry()
    db.cancel_workspace(ws.id)  # by the same id, which the transaction below has not any more
    with pytest.raises(khonsu.CancelledError):
        ws.commit()
    ws.close()
    for wrong, kind in ((ws.id, khonsu.NotFoundError), (-1, khonsu.InvalidError), ("a", TypeError)):
        with pytest.raises(kind):
            db.cancel_workspace(wrong)


def test_cancelling_what_is_prepared(db: Any) -> None:
    ws = edit(db, "a", (1, 0))
    ws.prepare()
    with pytest.raises(khonsu.InUseError):
        db.cancel_workspace(ws.id)
    ws.commit()


# ---- threads -------------------------------------------------------------------------------------


def test_one_thread_at_a_time(db: Any) -> None:
    inside, leave = threading.Event(), threading.Event()

    def embed(operations: Any) -> Any:
        inside.set()
        leave.wait()
        return [0], [1]

    ws = db.workspace(embed=embed)
    ws["a"] = row(1)
    thread = threading.Thread(target=ws.commit)
    thread.start()
    inside.wait()
    ws["b"] = row(2)  # nothing is held while it is asked
    assert [entry.operations for entry in db.workspaces()] == [2]
    leave.set()
    thread.join()
    assert ws.state == "committed" and ws.delta.keys == ["a", "b"]


def test_many_threads_with_guard(db: Any) -> None:
    """Of those that were open at the same time and say the same, one passes."""
    edits = [edit(db, f"k{i}", (1, i / 100), mode="guard") for i in range(8)]
    outcomes: list[str] = []

    def end(ws: Any) -> None:
        try:
            ws.commit()
            outcomes.append("committed")
        except khonsu.SemanticConflictError as error:
            outcomes.append(str(error.kind))

    bodies: list[Callable[[], None]] = [lambda ws=ws: end(ws) for ws in edits]  # type: ignore[misc]
    threads = [threading.Thread(target=body) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["committed"] + ["conflicting"] * 7
    assert len(db.begin().table().keys) == 1


def test_on_disk(tmp_path: Any) -> None:
    with khonsu.open(tmp_path / "db", semantic="guard") as db:
        edit(db, "a", (1, 0)).commit()
        prepared = edit(db, "b", (1, 0))
        prepared.prepare()
        prepared.close()
    with khonsu.open(tmp_path / "db") as db:
        with pytest.raises(khonsu.HeldError):
            edit(db, "c", (1, 0), mode="guard").commit()
        db.decide(prepared.id, True)
        assert get(db, "b") == {1: 0}
