"""What workspaces mean: the embedding, who is refused and who is merged by it, and who fits."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from tables import ROWS, content, edit, get, meaning, put, row

import khonsu


# ---- its meaning ---------------------------------------------------------------------------------


def test_the_two_sides(db: Any) -> None:
    ws = db.workspace()
    ws["a"] = row(1)
    assert ws.delta is None
    ws.before(pa.array([1.0, 2.0]))
    assert ws.delta is None
    for wrong, kind in (
        ([1], khonsu.InvalidError),
        ([1, float("nan")], khonsu.InvalidError),
        ([1, "a"], TypeError),
    ):
        with pytest.raises(kind):
            ws.after(wrong)
    with pytest.raises(khonsu.MisuseError):
        ws.before([1, 2])
    ws.after((1.5, 2.0))
    assert ws.delta.values == [0.5, 0] and ws.delta.keys == ["a"]
    assert ws.delta.transaction == ws.id
    with pytest.raises(khonsu.MisuseError):
        ws.compute_delta()
    ws["b"] = row(1)  # its key is added by the commit
    ws.commit()
    ws.close()
    assert ws.delta.keys == ["a", "b"]


def test_one_side_alone(db: Any) -> None:
    ws = db.workspace()
    ws["a"] = row(1)
    ws.after([1])
    for call in (ws.compute_delta, ws.merge_candidates, ws.conflicts):
        with pytest.raises(khonsu.MisuseError, match="not set"):
            call()
    with pytest.raises(khonsu.InvalidError, match="one side"):
        ws.commit()
    assert (ws.state, ws.cause) == ("failed", "KH_INVALID") and get(db, "a") is None


def test_the_embed_function(db: Any) -> None:
    asked = []

    def embed(operations: list[khonsu.Operation]) -> Any:
        asked.append([(op.kind, op.key, content(op.value)) for op in operations])
        assert content(ws["a"]) == {2: 0}  # it may read
        return [0.0, 1.0], pa.array([1.0, 1.0])

    ws = db.workspace(embed=embed)
    assert ws.delta is None and asked == []
    ws["a"] = row(1)
    ws["a"] = row(2)
    ws.commit()
    assert asked == [[("put", "a", {1: 0}), ("put", "a", {2: 0})]]
    assert ws.delta.values == [1, 0]


@pytest.mark.parametrize("call", ["compute_delta", "merge_candidates", "conflicts", "prepare"])
def test_when_embed_is_called(db: Any, call: str) -> None:
    asked: list[int] = []

    def embed(operations: Any) -> Any:
        asked.append(len(operations))
        return [0, 0], [1, 0]

    ws = db.workspace(embed=embed)
    ws["a"] = row(1)
    getattr(ws, call)()
    assert asked == [1] and ws.delta.values == [1, 0]
    ws.commit()
    assert asked == [1]
    with db.workspace(embed=embed):
        pass  # nothing was written
    with db.workspace(embed=embed) as ws:
        meaning(ws, 1.0)["b"] = row(1)  # both are set
    assert asked == [1]
    with db.workspace(embed=embed) as ws:
        ws.upsert("a", row(2))  # written, if not listed
    assert asked == [1, 0] and ws.delta.keys == ["a"]


def test_embed_may_have_nothing_to_say(db: Any) -> None:
    with db.workspace(embed=lambda operations: None, mode="guard") as ws:
        ws["a"] = row(1)
    assert ws.state == "committed" and ws.delta is None


def test_what_was_set_stays(db: Any) -> None:
    with db.workspace(embed=lambda operations: ([9, 9], [2, 2])) as ws:
        ws["a"] = row(1)
        ws.before([1, 1])
    assert ws.delta.values == [1, 1]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (LookupError("no model"), LookupError),
        (([1],), ValueError),
        ([[1], [2], [3]], ValueError),
        (5, TypeError),
        (([1], ["x"]), TypeError),
        (([1], [1, 2]), khonsu.InvalidError),
    ],
)
def test_embed_that_fails(db: Any, answer: Any, kind: type[Exception]) -> None:
    """The commit raises it, and the workspace goes on."""

    def embed(operations: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    ws = db.workspace(embed=embed)
    ws["a"] = row(1)
    with pytest.raises(kind):
        ws.commit()
    assert ws.state == "active" and get(db, "a") is None
    with pytest.raises(kind), db.workspace(embed=embed) as other:
        other["a"] = row(1)
    assert other.state == "rolled_back"


def test_embed_may_end_it(db: Any) -> None:
    ws = db.workspace(embed=lambda operations: ws.close())
    ws["a"] = row(1)
    with pytest.raises(khonsu.FinishedError):
        ws.commit()
    assert ws.state == "rolled_back"


# ---- modes ---------------------------------------------------------------------------------------


def test_keys_decide_alone(db: Any) -> None:
    first, second = edit(db, "a", (1, 0)), edit(db, "b", (-1, 0), mode="keys")
    first.commit()
    second.commit()
    third, fourth = edit(db, "c", (1, 0)), edit(db, "c", (0, 1))
    third.commit()
    with pytest.raises(khonsu.ConflictError) as raised:
        fourth.commit()
    assert raised.value.key == "c" and (fourth.state, fourth.cause) == ("failed", "KH_CONFLICT")


@pytest.mark.parametrize("after, kind", [((1, 0.1), "conflicting"), ((-1, 0.1), "opposite")])
def test_guard(db: Any, after: tuple[float, ...], kind: str) -> None:
    first, second = edit(db, "a", (1, 0)), edit(db, "b", after, mode="guard")
    timestamp = first.commit()
    with pytest.raises(khonsu.SemanticConflictError) as raised:
        second.commit()
    error = raised.value
    assert (error.rival, error.rival_transaction, error.keys) == (timestamp, first.id, ["a"])
    assert error.kind == kind and abs(error.similarity) == pytest.approx(0.995, abs=1e-3)
    assert error.delta.values == [1, 0] and error.transaction == second.id
    assert kind in str(error) and str(first.id) in str(error)
    assert isinstance(error, khonsu.RetryError) and error.status == "KH_SEMANTIC_CONFLICT"
    assert (second.state, second.cause) == ("failed", "KH_SEMANTIC_CONFLICT")
    assert get(db, "b") is None

    second.retry()  # what it can read now it accepts
    assert (second.state, second.operations, second.delta) == ("active", [], None)
    assert second.cause is None and not second.closed
    assert content(second["a"]) == {1: 0}
    second["b"] = row(2)
    meaning(second, *after).commit()
    assert get(db, "b") == {2: 0}
    assert second.id != db.outcome(second.id) and second.state == "committed"


def test_guard_lets_others_pass(db: Any) -> None:
    first, second = edit(db, "a", (1, 0)), edit(db, "b", (0, 1), mode="guard")
    first.commit()
    second.commit()


def test_mode_of_the_database() -> None:
    db = khonsu.open(semantic="guard")
    first, second = edit(db, "a", (1, 0)), edit(db, "b", (1, 0))
    assert [entry.mode for entry in db.workspaces()] == ["guard"] * 2
    first.commit()
    with pytest.raises(khonsu.SemanticConflictError):
        second.commit()


def test_thresholds(db: Any) -> None:
    limits = khonsu.Thresholds(conflicting=0.9)
    for thresholds, is_refused in ((None, True), (limits, False)):
        first = edit(db, "a", (1, 0))
        second = edit(db, "b", (0.8, 0.6), mode="guard", thresholds=thresholds)
        first.commit()
        if is_refused:
            with pytest.raises(khonsu.SemanticConflictError):
                second.commit()
        else:
            second.commit()


@pytest.mark.parametrize("options", [{"semantic_recent": 2}, {"semantic_bytes": 1000}])
def test_what_is_remembered_is_bounded(options: dict[str, int]) -> None:
    db = khonsu.open(**options)
    old = edit(db, "old", (1, 0), mode="guard")
    for number in range(20):
        edit(db, f"k{number}", (0, 1)).commit()
    with pytest.raises(khonsu.SemanticConflictError, match="older than what is") as raised:
        old.commit()
    assert raised.value.delta is None and raised.value.keys == () and raised.value.kind is None
    old.retry()
    meaning(old, 1, 0)["old"] = row(1)
    old.commit()


def test_merge(db: Any) -> None:
    put(db, "k", (1, 10), (2, 20))
    first, second = db.workspace(mode="merge"), db.workspace(mode="merge")
    first["k"] = ROWS.rows([(1, 11), (2, 20)])
    second["k"] = ROWS.rows([(1, 10), (2, 22)])
    meaning(first, 1, 0).commit()
    meaning(second, 0, 1)
    second.commit()
    assert get(db, "k") == {1: 11, 2: 22}
    assert [fate[:2] for fate in second.resolved()] == [("k", "resolved")]


def test_merge_of_the_same_cell_is_a_conflict(db: Any) -> None:
    put(db, "k", (1, 10))
    first, second = db.workspace(mode="merge"), db.workspace(mode="merge")
    first["k"], second["k"] = row(1, 11), row(1, 12)
    meaning(first, 1, 0).commit()
    with pytest.raises(khonsu.ConflictError):
        meaning(second, 0, 1).commit()


# ---- others --------------------------------------------------------------------------------------


def test_the_list_of_open_ones(db: Any) -> None:
    first, second = db.workspace(), edit(db, "b", (1, 0), mode="merge")
    second.compute_delta()
    one, two = db.workspaces()
    assert (one.id, one.state, one.mode, one.operations, one.delta) == (
        first.id, "active", "keys", 0, None
    )  # fmt: skip
    assert (two.id, two.mode, two.operations, two.delta.keys) == (second.id, "merge", 1, ["b"])
    assert 0 <= one.age < 100 and isinstance(one, khonsu.OpenWorkspace)
    first.commit()
    assert [entry.state for entry in db.workspaces()] == ["committed", "active"]
    first.close(), second.close()
    assert db.workspaces() == [] and two.delta.values == [1, 0]


def test_candidates_and_conflicts(db: Any) -> None:
    committed = edit(db, "a", (1, 0, 0))
    mine = edit(db, "b", (0, 1, 0))
    open_one = edit(db, "b", (0.05, 0, 1))
    against = edit(db, "c", (0, -1, 0.01))
    silent = edit(db, "d", (0, 0, 5))
    timestamp = committed.commit()
    open_one.compute_delta(), against.compute_delta()
    found = mine.merge_candidates()
    assert found == [
        (committed.id, timestamp, "orthogonal", 0.0, 0),
        (open_one.id, None, "orthogonal", 0.0, 1),
    ] or [one.id for one in found] == [open_one.id, committed.id]
    assert isinstance(found[0], khonsu.Candidate)
    assert {one.id for one in mine.merge_candidates(1.5)} == {
        committed.id, open_one.id, against.id
    }  # fmt: skip
    assert mine.merge_candidates(0.0) == []
    [conflict] = mine.conflicts()
    assert (conflict.id, conflict.kind) == (against.id, "opposite") and conflict.similarity < -0.99
    assert committed.id in {one.id for one in mine.merge_candidates(window=1e6)}
    silent.close()
    for wrong in (lambda: mine.conflicts(-1), lambda: mine.merge_candidates(window=float("nan"))):
        with pytest.raises(ValueError):
            wrong()


def test_more_candidates_than_there_is_room_for(db: Any) -> None:
    for number in range(100):
        edit(db, f"k{number}", (0, 1)).commit()
    mine = edit(db, "mine", (1, 0))
    assert len(mine.merge_candidates()) == 100
