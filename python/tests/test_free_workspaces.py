"""Workspaces, deltas and locks, shared by eight threads: see test_free_threads.py."""

from __future__ import annotations

import gc
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
from crowds import THREADS, in_threads
from tables import ROWS, edit, row
from test_free_threads import REFUSED, ROUNDS, add, chance_of

import khonsu


def uses(ws: Any) -> list[Callable[[], object]]:
    """What a thread can do in a workspace that all share."""
    savepoint = ws.savepoint()

    def sides() -> None:
        ws.before([1.0, 0.0])
        ws.after([2.0, 0.0])

    return [
        sides,
        savepoint.rollback,
        ws.retry,
        ws.compute_delta,
        ws.merge_candidates,
        ws.conflicts,
        lambda: ws.put("k", row(1)),
        lambda: ws.update("k", row(2)),
        lambda: ws.upsert("k", row(3)),
        lambda: ws.compare_and_swap("k", None, row(2)),
        lambda: ws.lock("k", wait=False),
        lambda: next(ws.scan("k"), None),
        lambda: (ws.state, ws.cause, ws.age, ws.delta, ws.operations, ws.affected_keys),
        lambda: gc.collect(0),
    ]


@pytest.mark.parametrize("ends", [(), ("commit", "retry"), ("prepare", "rollback"), ("close",)])
def test_one_workspace(ends: tuple[str, ...]) -> None:
    """Each call is done or refused, and the heap stays whole."""
    db = khonsu.open(timeout=600)
    asked: list[int] = []

    def embed(operations: list[khonsu.Operation]) -> Any:
        asked.append(len(operations))
        return [0.0, 1.0], [1.0, 1.0]

    ws = db.workspace(mode="guard", embed=embed, operations_max=10**6, timeout=600)
    others = (khonsu.RetryError, khonsu.TooBigError, khonsu.InvalidError)
    alone = db.workspace(timeout=600)
    actions = [*uses(ws), db.workspaces]
    if "commit" in ends:
        actions.append(lambda: db.commit_together([alone, ws]))

    def work(number: int) -> None:
        chance_of(actions, number, REFUSED + others)
        chance_of(actions * 3 + [getattr(ws, end) for end in ends], number, REFUSED + others)

    in_threads(work)
    ws.close()
    assert ws.state in ("rolled_back", "committed", "failed", "committing")
    if ws.state == "committing":
        db.decide(ws.id, False)
    db.close()


def test_guard_among_all() -> None:
    """Of those that are open at the same time and mean the same, one commits."""
    db = khonsu.open(semantic="guard", timeout=600)
    for turn in range(ROUNDS // 10):
        after = [0.0] * 40
        after[turn % 40] = 1.0
        open_ones = [edit(db, f"{turn}/{n}", tuple(after)) for n in range(THREADS)]
        committed: list[int] = []

        def end(number: int, open_ones: Any = open_ones, committed: Any = committed) -> None:
            try:
                open_ones[number].commit()
                committed.append(number)
            except khonsu.SemanticConflictError as error:
                assert error.kind == "conflicting" and len(error.keys) == 1
            open_ones[number].close()

        in_threads(end)
        assert len(committed) == 1
    assert db.workspaces() == []
    db.close()


def test_committed_together_by_all() -> None:
    """Each takes some of those that are open: one of the calls has them, nobody waits for ever."""
    db = khonsu.open(timeout=600)
    teams: list[Any] = []

    def work(number: int) -> None:
        chance = random.Random(number)
        for turn in range(ROUNDS // 3):
            ws = db.workspace(timeout=600, isolation="serializable")
            ws[f"{number}/{turn}"] = row(turn)
            teams.append(ws)
            others = teams[-2 * THREADS :]
            try:
                db.commit_together(chance.sample(others, min(len(others), 4)))
            except (khonsu.FinishedError, khonsu.MisuseError) as error:
                assert error.workspace in others  # another call has it, or had it

    in_threads(work)
    committed = {ws.timestamp for ws in teams if ws.state == "committed"}
    assert {ws.state for ws in teams} <= {"committed", "active"} and committed
    db.commit_together([ws for ws in teams if ws.state == "active"][:256])
    keys = list(db.begin().keys())
    assert len(keys) == sum(ws.state == "committed" for ws in teams)
    db.close()


def test_transfers_together() -> None:
    """Two serializable workspaces move an amount, one takes and one gives: the sum stays.

    All threads have read before the first one commits: more than the accounts have room for.
    """
    db = khonsu.open(timeout=600)
    with db.begin() as txn:
        for account in range(6):
            txn[f"{account}"] = row(1, 100)

    def move(ws: Any, key: str, amount: int) -> None:
        ws[key] = row(1, ws[key].value("v") + amount)

    refused = [0] * THREADS
    meeting = threading.Barrier(THREADS)

    def work(number: int) -> None:
        chance = random.Random(number)
        is_first = True
        for _ in range(ROUNDS // 10):
            source, target = chance.sample(range(6), 2)
            amount = chance.randrange(1, 9)
            is_done = False
            while not is_done:
                team = [db.workspace(isolation="serializable", timeout=600) for _ in range(2)]
                move(team[0], f"{source}", -amount)
                move(team[1], f"{target}", amount)
                if is_first:
                    meeting.wait(60)
                is_first = False
                try:
                    is_done = db.commit_together(team) > 0
                except khonsu.RetryError as error:
                    refused[number] += 1
                    assert error.workspace is None or error.workspace.state == "failed"
                with db.begin(read_only=True) as txn:
                    assert sum(batch.value("v") for _, batch in txn.scan()) == 600

    in_threads(work)
    assert sum(refused) > 0 and db.workspaces() == []
    db.close()


def test_one_delta() -> None:
    """Read, added and dropped by all; those of open workspaces are looked at while they end."""
    db = khonsu.open(semantic_recent=16)
    shared = khonsu.Delta([1, 2, 3], ["k"])

    def work(number: int) -> None:
        for i in range(ROUNDS):
            with db.workspace() as ws:
                ws[f"{number}"] = row(i)
                ws.before([0.0, 0, 0])
                ws.after([i, number + 1, 1])
                mine = ws.delta
                ws.merge_candidates()
            found = [entry.delta for entry in db.workspaces() if entry.delta is not None]
            for delta in [*found, mine, shared]:
                assert len(delta.values) == 3 and 0 <= shared.angular(delta) <= 1
            assert khonsu.classify(shared, mine + shared).kind != "none"
            assert len(khonsu.classify_all([shared, mine, *found])) >= 1

    in_threads(work)
    db.close()


def test_locks_among_all() -> None:
    """Whoever locks first needs no second try, and nothing is lost."""
    db = khonsu.open(timeout=600, lock_timeout=600)
    added = [0] * THREADS

    def work(number: int) -> None:
        chance = random.Random(number)
        for _ in range(ROUNDS // 3):
            source, target = chance.sample(range(4), 2)
            with db.begin() as txn:
                txn.lock(f"{source}", f"{target}")
                add(txn, f"{source}", number)
                add(txn, f"{target}", 1)
            added[number] += number + 1

    in_threads(work)
    assert sum(batch.value("v") for _, batch in db.begin().scan()) == sum(added)
    db.close()


def test_deadlocks_among_all() -> None:
    """Locked one by one, in any order: somebody goes, and runs again."""
    db = khonsu.open(timeout=600, lock_timeout=600)
    with db.begin() as txn:
        txn["n"] = ROWS.rows([])
    refused = [0] * THREADS

    def work(number: int) -> None:
        chance = random.Random(number)

        def both(txn: Any) -> None:
            for key in chance.sample("abc", 2):
                txn.lock(key)
                add(txn, key, 1)

        def count(attempt: int, error: Any) -> None:
            assert not isinstance(error, khonsu.DeadlockError) or error.cycle[0] != error.cycle[1]
            refused[number] += 1

        for _ in range(ROUNDS // 10):
            db.run(both, attempts=10**6, on_retry=count)

    in_threads(work)
    total = sum(batch.value("v") for key, batch in db.begin().scan() if key != "n")
    assert total == THREADS * (ROUNDS // 10) * 2
    db.close()
