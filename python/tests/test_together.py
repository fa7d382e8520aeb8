"""Several workspaces as one commit: all of them at one moment, and what happens on the way."""

from __future__ import annotations

import contextlib
import gc
import queue
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tables import ROWS, content, edit, get, meaning, put, row
from teams import begin, refused

import khonsu
from khonsu import _core

# ---- all of them ---------------------------------------------------------------------------------


def test_one_moment(db: Any) -> None:
    before = db.now
    team = [begin(db, "a", "b"), begin(db, "c"), db.workspace()]  # the last one writes nothing
    timestamp = db.commit_together(iter(team))
    assert db.now == timestamp > before
    for ws in team:
        assert (ws.state, ws.cause, ws.timestamp, ws.closed) == ("committed", None, timestamp, True)
        assert db.outcome(ws.id) == ("committed", timestamp) and ws.resolved() == []
        for call in (ws.commit, lambda ws=ws: ws.put("a", row(1))):
            with pytest.raises(khonsu.FinishedError):
                call()
        ws.rollback()  # after the end: nothing
        ws.close()
        assert (ws.state, ws.timestamp) == ("committed", timestamp)
    assert [[key for key, _ in txn.scan()] for txn in (db.begin(), db.begin())] == [list("abc")] * 2
    assert db.workspaces() == []


def test_one_alone(db: Any) -> None:
    ws = begin(db, "a")
    assert db.commit_together([ws]) == ws.timestamp == db.now
    empty = db.workspace()
    db.commit_together((empty,))
    assert empty.state == "committed"


def test_kinds_of_iterables(db: Any) -> None:
    class Mine(khonsu.Workspace):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    for make in (list, tuple, iter, lambda team: dict.fromkeys(map(id, team), 0) and iter(team)):
        team = [begin(db, "a"), Mine(db), _core.Workspace(db)]
        team[1]["b"] = team[2]["c"] = row(1)
        assert db.commit_together(make(team)) == team[2].timestamp


def test_reads_what_an_other_writes(db: Any) -> None:
    """An order is found; it is not that of the list."""
    put(db, "a", (1, 1))
    first, second = (db.workspace(isolation="serializable") for _ in range(2))
    first["a"] = row(1, 2)
    second["b"] = second["a"]
    db.commit_together([first, second])
    assert (get(db, "a"), get(db, "b")) == ({1: 2}, {1: 1})


def test_merged(db: Any) -> None:
    put(db, "t", (1, 1), (2, 2))
    team = [meaning(db.workspace(mode="merge"), *after) for after in ((1.0, 0.0), (0.0, 1.0))]
    team[0]["t"] = ROWS.rows([(1, 10), (2, 2)])
    team[1]["t"] = ROWS.rows([(1, 1), (2, 20)])
    db.commit_together(team)
    assert get(db, "t") == {1: 10, 2: 20}


def test_rows_and_locks_of_each_other(db: Any) -> None:
    put(db, "t", (1, 1))
    team = [db.workspace() for _ in range(2)]
    team[0].lock("t")
    team[0].upsert("t", row(2))
    team[1].upsert("t", row(3))
    db.commit_together(team)
    assert get(db, "t") == {1: 1, 2: 0, 3: 0}
    db.begin().lock("t", wait=False)


def test_scans_end_with_it(db: Any) -> None:
    put(db, "a", (1, 1))
    put(db, "b", (1, 1))
    ws, other = begin(db, "c"), begin(db, "d")
    scan = ws.scan()
    assert next(scan)[0] == "a"
    db.commit_together([ws, other])
    with pytest.raises(khonsu.FinishedError):
        next(scan)


def test_on_disk(tmp_path: Path) -> None:
    with khonsu.open(tmp_path / "d") as db:
        team = [edit(db, key, (1.0, 0.0), tag=f"by {key}", mode="keys") for key in "ab"]
        timestamp = db.commit_together(team)
        found = [(change.key, change.timestamp, change.tag) for change in db.changes()]
        assert found == [("a", timestamp, "by a"), ("b", timestamp, "by a")]  # one commit, one tag
    with khonsu.open(tmp_path / "d") as db:
        assert get(db, "a") == get(db, "b") == {1: 0} and db.verify()
        assert [db.outcome(ws.id) for ws in team] == [("committed", timestamp)] * 2


# ---- the blocks of a with statement --------------------------------------------------------------


def test_at_the_end_of_blocks(db: Any) -> None:
    with db.workspace() as ann, db.workspace() as ben:
        ann["a"], ben["b"] = row(1), row(2)
        timestamp = db.commit_together([ann, ben])
    assert db.now == timestamp == ann.timestamp == ben.timestamp
    assert ann.state == ben.state == "committed" and db.live() == []


def test_an_exception_after_it(db: Any) -> None:
    with pytest.raises(LookupError), begin(db, "a") as ann, begin(db, "b") as ben:
        db.commit_together([ann, ben])
        raise LookupError
    assert ann.state == ben.state == "committed" and get(db, "b") == {1: 0}


def test_a_failure_ends_the_blocks(db: Any) -> None:
    with pytest.raises(khonsu.ConflictError), begin(db, "a") as ann, begin(db, "a") as ben:
        db.commit_together([ann, ben])
    assert (ann.state, ben.state, get(db, "a")) == ("rolled_back", "failed", None)


def test_a_failure_that_is_caught_in_the_blocks(db: Any) -> None:
    """Who is active commits by himself, at the end of his block; who has failed stays so."""
    with begin(db, "a") as ann, begin(db, "a") as ben, begin(db, "c") as cleo:
        refused(db, [ann, ben, cleo], khonsu.ConflictError, ben)
    assert [ws.state for ws in (ann, ben, cleo)] == ["committed", "failed", "committed"]
    assert ann.timestamp > cleo.timestamp  # the inner block ends first


def test_retried_in_the_blocks(db: Any) -> None:
    with begin(db, "a") as ann, begin(db, "a") as ben:
        refused(db, [ann, ben], khonsu.ConflictError, ben)
        ben.retry()
        ben["b"] = row(2)
        db.commit_together([ann, ben])
        assert ann.closed and ben.closed
    assert get(db, "b") == {2: 0} and ann.timestamp == ben.timestamp


# ---- embed functions -----------------------------------------------------------------------------


def test_embed_functions_in_turn(db: Any) -> None:
    asked: list[tuple[str, list[str]]] = []

    def embed(name: str) -> Callable[[list[khonsu.Operation]], Any]:
        def answer(operations: list[khonsu.Operation]) -> Any:
            asked.append((name, [operation.key for operation in operations]))
            assert content(team[name]["k" + name]) == {1: 0}  # it may read
            return [0.0, 0.0], ([1.0, 0.0] if name == "a" else [0.0, 1.0])

        return answer

    team = {name: begin(db, "k" + name, embed=embed(name), mode="guard") for name in "ab"}
    silent = db.workspace(embed=lambda operations: 1 / 0)  # it has written nothing
    db.commit_together([team["b"], silent, team["a"]])
    assert asked == [("b", ["kb"]), ("a", ["ka"])]
    assert team["a"].delta.values == [1.0, 0.0] and team["a"].delta.keys == ["ka"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (LookupError("no model"), LookupError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (([1],), ValueError),
        (([1], [1, 2]), khonsu.InvalidError),
    ],
)
def test_embed_that_fails(db: Any, answer: Any, kind: type[BaseException]) -> None:
    """The call raises it, and all go on."""
    asked: list[int] = []
    faults = [answer]

    def embed(operations: Any) -> Any:
        fault = faults.pop() if faults else ([0], [1])
        if isinstance(fault, BaseException):
            raise fault
        return fault

    def count(operations: Any) -> Any:
        asked.append(len(operations))
        return [0], [0]

    team = [begin(db, "a", embed=count), begin(db, "b", embed=embed), begin(db, "c", embed=count)]
    with pytest.raises(kind) as raised:
        db.commit_together(team)
    if isinstance(raised.value, khonsu.Error):
        assert raised.value.workspace is team[1]
    assert asked == [1] and [ws.state for ws in team] == ["active"] * 3 and get(db, "a") is None
    if kind is khonsu.InvalidError:
        return  # its side before was set
    db.commit_together(team)
    assert asked == [1, 1]


def test_embed_may_end_another(db: Any) -> None:
    def embed(operations: Any) -> Any:
        other.close()
        return [0], [1]

    other, ws = begin(db, "a"), begin(db, "b", embed=embed)
    with pytest.raises(khonsu.FinishedError) as raised:
        db.commit_together([other, ws])
    assert raised.value.workspace is other and ws.state == "active"


def test_embed_may_close_the_database(db: Any) -> None:
    ws = begin(db, "b", embed=lambda operations: db.close())
    with pytest.raises(khonsu.FinishedError):
        db.commit_together([begin(db, "a"), ws])
    assert ws.state == "rolled_back" and db.closed


def test_embed_may_commit_others(db: Any) -> None:
    inner = [begin(db, "c"), begin(db, "d")]
    ws = begin(db, "b", embed=lambda operations: db.commit_together(inner) and None)
    db.commit_together([begin(db, "a"), ws])
    assert inner[0].timestamp == inner[1].timestamp < ws.timestamp


def test_one_side_alone(db: Any) -> None:
    """As by commit, it has failed: nobody can say what it means."""
    team = [begin(db, "a"), begin(db, "b")]
    team[1].before([1.0])
    with pytest.raises(khonsu.InvalidError, match="one side") as raised:
        db.commit_together(team)
    assert raised.value.workspace is team[1]
    assert [ws.state for ws in team] == ["active", "failed"] and team[1].cause == "KH_INVALID"


# ---- threads -------------------------------------------------------------------------------------


def test_agents_consent(db: Any) -> None:
    """Each writes in a thread of its own, and gives its workspace to whoever commits for all."""
    consent: queue.Queue[Any] = queue.Queue()
    done = threading.Barrier(4, timeout=60)
    found: list[Any] = []

    def agent(number: int) -> None:
        ws = db.workspace(mode="guard", timeout=60)
        after = [0.0] * 3
        after[number] = 1.0
        meaning(ws, *after)[f"note/{number}"] = row(number)
        consent.put(ws)
        done.wait()
        found.append((ws.state, ws.timestamp))

    agents = [threading.Thread(target=agent, args=(number,)) for number in range(3)]
    for thread in agents:
        thread.start()
    timestamp = db.commit_together(consent.get(timeout=60) for _ in agents)
    done.wait()
    for thread in agents:
        thread.join()
    assert found == [("committed", timestamp)] * 3


def test_one_that_is_in_use(db: Any) -> None:
    """Its thread is in the resolve function, and so in its commit."""
    errors: list[khonsu.Error] = []

    def call() -> None:
        with pytest.raises(khonsu.MisuseError) as raised:
            db.commit_together([other, busy])
        errors.append(raised.value)

    def resolve(*_: Any) -> Any:
        call()
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
        return khonsu.DROP

    other = begin(db, "a")
    busy = begin(db, "b", policy="callback", resolve=resolve)
    put(db, "b", (2, 2))
    busy.commit()
    assert [error.workspace is busy for error in errors] == [True, True]
    assert "called from" in str(errors[0]) and "another thread" in str(errors[1])
    other.commit()  # it was let go


def test_the_lock_is_given_away(tmp_path: Path) -> None:
    """While it commits other threads run, and are refused its workspaces."""
    with khonsu.open(tmp_path / "d", sync_delay=0.05) as db:
        is_refused = False
        for turn in range(100):
            team = [begin(db, f"{turn}/{n}") for n in range(5)]
            thread = threading.Thread(target=db.commit_together, args=(team,))
            thread.start()
            try:
                while team[4].state == "active":
                    pass
            except khonsu.MisuseError as error:
                is_refused = "another thread" in str(error)
            thread.join()
            assert {ws.state for ws in team} == {"committed"}
            if is_refused:
                break
        assert is_refused


# ---- what stays ----------------------------------------------------------------------------------


def test_nothing_is_kept(db: Any) -> None:
    for keys in ("ab", "aa"):
        team = [begin(db, key) for key in keys]
        counts = [sys.getrefcount(ws) for ws in team]
        with contextlib.suppress(TypeError):
            db.commit_together([*team, None])
        with contextlib.suppress(khonsu.ConflictError):
            db.commit_together(team)
        assert [sys.getrefcount(ws) for ws in team] == counts
        found = [weakref.ref(ws) for ws in team]
        del team
        gc.collect()
        assert [ref() for ref in found] == [None, None]
    assert db.workspaces() == [] and db.live() == []


def test_an_error_of_commit_names_no_workspace(db: Any) -> None:
    ws = begin(db, "a")
    put(db, "a", (1, 1))
    with pytest.raises(khonsu.ConflictError) as raised:
        ws.commit()
    assert raised.value.workspace is None and khonsu.Error("?").workspace is None
