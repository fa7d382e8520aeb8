"""Transactions that run again: khonsu._run."""

from __future__ import annotations

import functools
import threading
from typing import Any

import pyarrow as pa
import pytest

import khonsu
from khonsu import _run
from khonsu._errors import RetryError


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """No test waits: the pauses that would be made are collected."""
    made: list[float] = []
    monkeypatch.setattr(_run.time, "sleep", made.append)
    return made


def one(value: int) -> pa.RecordBatch:
    return pa.record_batch({"n": pa.array([value], pa.int64())})


def number(txn: Any, key: str) -> int:
    return int(txn[key].value("n"))


def rival(db: Any, key: str, value: int) -> None:
    """A commit of another thread, in the midst of this one's transaction."""

    def write() -> None:
        with db.begin() as txn:
            txn[key] = one(value)

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()


def test_result_and_commit() -> None:
    db = khonsu.open()

    def body(txn: Any, key: str, value: int) -> str:
        txn[key] = one(value)
        return "done"

    assert db.run(body, "k", 7) == "done"
    with db.begin() as txn:
        assert number(txn, "k") == 7


def test_conflict_runs_again(pauses: list[float]) -> None:
    db = khonsu.open()
    db.run(lambda txn: txn.put("k", one(1)))
    seen: list[int] = []

    def add(txn: Any) -> int:
        seen.append(number(txn, "k"))
        if len(seen) <= 2:
            rival(db, "k", 10 * len(seen))
        txn["k"] = one(seen[-1] + 5)
        return seen[-1] + 5

    assert db.run(add) == 25
    assert seen == [1, 10, 20]
    assert len(pauses) == 2
    with db.begin() as txn:
        assert number(txn, "k") == 25


def test_attempts_are_bounded(pauses: list[float]) -> None:
    db = khonsu.open()
    db.run(lambda txn: txn.put("k", one(1)))
    calls: list[int] = []

    def always_late(txn: Any) -> None:
        calls.append(number(txn, "k"))
        rival(db, "k", len(calls))
        txn["k"] = one(99)

    with pytest.raises(RetryError) as caught:
        db.run(always_late, attempts=4)
    assert isinstance(caught.value, khonsu.ConflictError)
    assert len(calls) == 4
    assert len(pauses) == 3


def test_other_exceptions_roll_back() -> None:
    db = khonsu.open()
    calls: list[int] = []

    def fails(txn: Any) -> None:
        calls.append(1)
        txn["k"] = one(1)
        raise LookupError("of the caller")

    with pytest.raises(LookupError, match="of the caller"):
        db.run(fails)
    assert calls == [1]
    with db.begin() as txn:
        assert "k" not in txn


def test_options_go_to_begin() -> None:
    db = khonsu.open()
    with pytest.raises(khonsu.ReadOnlyError):
        db.run(lambda txn: txn.put("k", one(1)), read_only=True)


def test_pauses_grow_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_run.random, "uniform", lambda low, high: high)
    bounds = [_run._pause(attempt) for attempt in (1, 2, 3, 9, 10, 50, 5000)]
    assert bounds == pytest.approx([50e-6, 100e-6, 200e-6, 12.8e-3, 20e-3, 20e-3, 20e-3])


def test_pauses_are_random_and_never_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(0 <= _run._pause(1) <= 50e-6 for _ in range(100))


def test_coroutine_functions_are_refused() -> None:
    db = khonsu.open()

    async def body(txn: Any) -> None:
        return None

    with pytest.raises(TypeError, match="coroutine"):
        db.run(body)
    with pytest.raises(TypeError, match="coroutine"):
        db.transactional()(body)


@pytest.mark.parametrize("attempts", [0, -1])
def test_attempts_below_one(attempts: int) -> None:
    db = khonsu.open()
    with pytest.raises(ValueError, match="at least 1"):
        db.run(lambda txn: None, attempts=attempts)


def test_decorator() -> None:
    db = khonsu.open()

    @db.transactional()
    def deposit(txn: Any, key: str, *, amount: int) -> int:
        """Adds to a balance."""
        old = txn.get(key)
        new = amount + (0 if old is None else int(old.value("n")))
        txn[key] = one(new)
        return new

    assert deposit("accounts/ann", amount=10) == 10
    assert deposit("accounts/ann", amount=5) == 15
    assert deposit.__name__ == "deposit"
    assert deposit.__doc__ == "Adds to a balance."


def test_decorator_retries(pauses: list[float]) -> None:
    db = khonsu.open()
    db.run(lambda txn: txn.put("k", one(1)))
    calls: list[int] = []

    @db.transactional(attempts=2)
    def add(txn: Any, amount: int) -> int:
        calls.append(number(txn, "k"))
        if len(calls) == 1:
            rival(db, "k", 50)
        txn["k"] = one(calls[-1] + amount)
        return calls[-1] + amount

    assert add(3) == 53
    assert len(pauses) == 1


def test_many_threads_lose_no_update() -> None:
    db = khonsu.open()
    db.run(lambda txn: txn.put("k", one(0)))

    def add(txn: Any) -> None:
        txn["k"] = one(number(txn, "k") + 1)

    def work() -> None:
        for _ in range(50):
            db.run(add, attempts=100_000)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with db.begin() as txn:
        assert number(txn, "k") == 200


def test_what_runs_after_the_commit_is_refused() -> None:
    db = khonsu.open()

    def generate(txn: Any) -> Any:
        txn["x"] = one(1)
        yield 1

    async def coroutine(txn: Any) -> None:
        txn["x"] = one(1)

    async def generate_later(txn: Any) -> Any:
        yield txn

    for fn in (generate, coroutine, generate_later):
        for call in (fn, lambda txn, fn=fn: fn(txn), functools.partial(fn)):
            before = db.stats()["commits"]
            with pytest.raises(TypeError, match="generator|coroutine"):
                db.run(call)
            with pytest.raises(TypeError, match="generator|coroutine"):
                db.transactional()(call)()
            assert db.stats()["commits"] == before
    assert db.get("x") is None
