"""Locks on keys: taken, waited for, refused, and given back; deadlocks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tables import content, get, put, row

import khonsu


def in_thread(body: Callable[[], object]) -> tuple[threading.Thread, list[Any]]:
    """What it answers or raises is in the list, once it has ended."""
    answers: list[Any] = []

    def run() -> None:
        try:
            answers.append(body())
        except khonsu.Error as error:
            answers.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, answers


def until(is_true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not is_true():  # the database's statistics: others have the interpreter meanwhile
        assert time.monotonic() < end


def waiting(db: Any) -> int:
    return int(db.stats()["locks_waiting"])


@pytest.fixture
def pair(db: Any) -> Iterator[Any]:
    put(db, "a", (1, 1))
    first, second = db.begin(), db.begin()
    yield first, second
    first.close(), second.close()


def test_a_lock_names_its_holder_and_goes_with_its_transaction(pair: Any) -> None:
    first, second = pair
    first.lock("a", b"b", "absent")
    for options in ({"wait": False}, {"timeout": 0}, {"timeout": 0.01}):
        with pytest.raises(khonsu.LockConflictError) as raised:
            second.lock("x", "b", **options)
        error = raised.value
        assert (error.key, error.holder, error.transaction) == ("b", first.id, second.id)
        assert isinstance(error, khonsu.RetryError)
    assert content(second["a"]) == {1: 1}  # it goes on, and reads what it likes
    with pytest.raises(khonsu.LockConflictError):
        second.lock("absent", wait=False)
    first.commit()
    second.lock("a", "b", "absent", wait=False)
    second.lock("a")  # again
    second.commit()


def test_all_or_nothing(db: Any, pair: Any) -> None:
    first, second = pair
    first.lock("b")
    with pytest.raises(khonsu.LockConflictError):
        second.lock("a", "b", wait=False)
    assert db.stats()["locks_held"] == 1


def test_shared(db: Any, pair: Any) -> None:
    first, second = pair
    first.lock("a", shared=True)
    second.lock("a", shared=True)
    with pytest.raises(khonsu.LockConflictError):
        second.lock("a", wait=False)  # an upgrade
    third = db.begin()
    third["a"] = row(5)
    with pytest.raises(khonsu.LockConflictError) as raised:
        third.commit()
    assert raised.value.holder in (first.id, second.id) and raised.value.key == "a"
    first.rollback()
    second.lock("a", wait=False)
    second["a"] = row(6)
    second.commit()
    assert get(db, "a") == {6: 0}


def test_waiting_moves_the_snapshot(db: Any, pair: Any) -> None:
    first, second = pair
    first.lock("a")
    thread, answers = in_thread(lambda: second.lock("a"))
    until(lambda: waiting(db) == 1)
    first["a"] = row(1, 10)
    first.commit()
    thread.join()
    assert answers == [None]
    assert content(second["a"]) == {1: 10}
    second["a"] = row(1, 11)
    second.commit()


def test_a_lock_after_reading(db: Any, pair: Any) -> None:
    first, _ = pair
    first["a"]
    timestamp = put(db, "a", (2, 2))
    with pytest.raises(khonsu.ConflictError) as raised:
        first.lock("a")
    assert raised.value.rival == timestamp and raised.value.key == "a"


@pytest.mark.parametrize("how", ["of the database", "of the transaction"])
def test_commits_that_wait(how: str) -> None:
    db = khonsu.open(lock_wait=True if how == "of the database" else None)
    first = db.begin()
    first.lock("a")
    second = db.begin(lock_wait=None if how == "of the database" else True)
    second["a"] = row(2)
    thread, answers = in_thread(second.commit)
    until(lambda: waiting(db) == 1)
    third = db.begin(lock_wait=False)
    third["a"] = row(3)
    begun = time.monotonic()
    with pytest.raises(khonsu.LockConflictError):
        third.commit()
    assert time.monotonic() - begun < 2
    first.rollback()
    thread.join()
    assert answers == [second.timestamp] and get(db, "a") == {2: 0}


@pytest.mark.parametrize(
    ("policy", "priorities", "victim"),
    [
        (None, (0, 0), 1),
        ("youngest", (0, 0), 1),
        ("oldest", (0, 0), 0),
        ("lowest_priority", (-1, 0), 0),
        ("lowest_priority", (3, 2), 1),
        ("most_locks", (0, 0), 0),
    ],
)
def test_deadlock(policy: str | None, priorities: tuple[int, int], victim: int) -> None:
    db = khonsu.open(lock_victim=policy)
    txns = []
    for number, priority in enumerate(priorities):
        txns.append(db.begin(priority=priority))
        txns[-1].lock(*(["0", "also"] if number == 0 else ["1"]))
        if number == 0:
            until(lambda: db.stats()["oldest_snapshot_age_ms"] > 0)  # so that ages differ
    threads = [
        in_thread(lambda txn=txn, key=key: txn.lock(key))  # type: ignore[misc]
        for txn, key in zip(txns, ("1", "0"), strict=True)
    ]
    for thread, _ in threads:
        thread.join()
    [error] = threads[victim][1]
    assert isinstance(error, khonsu.DeadlockError) and isinstance(error, khonsu.RetryError)
    assert error.cycle == [txns[victim].id, txns[1 - victim].id]
    assert error.holder == txns[1 - victim].id and error.transaction == txns[victim].id
    assert threads[1 - victim][1] == [None]
    with pytest.raises(khonsu.DeadlockError):
        txns[victim].get("x")
    txns[1 - victim].commit()


def test_lock_timeout() -> None:
    db = khonsu.open(lock_timeout=0.05)
    first, second = db.begin(), db.begin()
    first.lock("a")
    first["a"] = row(1)
    second.lock("a")  # as the first one's is over
    with pytest.raises(khonsu.ExpiredError):
        first.commit()
    second.commit()


def test_nobody_waits_without_threads() -> None:
    with khonsu.open(threads=False) as db:
        first, second = db.begin(), db.begin()
        first.lock("a")
        with pytest.raises(khonsu.LockConflictError):
            second.lock("a")


def test_closing_ends_a_wait(db: Any, pair: Any) -> None:
    first, second = pair
    first.lock("a")
    thread, answers = in_thread(lambda: second.lock("a"))
    until(lambda: waiting(db) == 1)
    db.close()
    thread.join()
    assert isinstance(answers[0], khonsu.CancelledError) and db.closed


def test_cancel_ends_a_wait(db: Any, pair: Any) -> None:
    first, second = pair
    first.lock("a")
    thread, answers = in_thread(lambda: second.lock("a"))
    until(lambda: waiting(db) == 1)
    with pytest.raises(khonsu.MisuseError):
        second.get("a")
    db.cancel(second.id)
    thread.join()
    assert isinstance(answers[0], khonsu.CancelledError)


def test_wrong_calls(db: Any, pair: Any) -> None:
    first, _ = pair
    for keys, options in (
        ((), {}),
        ((5,), {}),
        (("a", None), {}),
        (("a",), {"timeout": "1"}),
        (("a",), {"chaos": 1}),
    ):
        with pytest.raises(TypeError):
            first.lock(*keys, **options)
    for keys, options in ((("a",), {"timeout": -1}), (("",), {}), (("\0" * 65536,), {})):
        with pytest.raises((ValueError, khonsu.TooBigError)):
            first.lock(*keys, **options)
    with pytest.raises(khonsu.ReadOnlyError):
        db.begin(read_only=True).lock("a")
    first.commit()
    with pytest.raises(khonsu.FinishedError):
        first.lock("a")
    assert db.stats()["locks_held"] == 0


def test_held_by_a_prepared_one(db: Any, pair: Any) -> None:
    first, second = pair
    first["a"] = row(2)
    first.prepare()
    with pytest.raises(khonsu.HeldError) as raised:
        second.lock("a")
    assert raised.value.holder == first.id
    first.rollback()
