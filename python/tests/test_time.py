"""What a database knows of the past and the present: history, watches, live transactions."""

from __future__ import annotations

import datetime as dt
import json
import select
import threading
import time
from typing import Any

import pytest
from tables import content, get, put, python, row

import khonsu
from khonsu._options import timestamp_of


@pytest.fixture
def kept() -> Any:
    return khonsu.open(retention=3600)


def test_history(kept: Any) -> None:
    first = put(kept, "k", (1, 1))
    second = put(kept, "k", (2, 2))
    with kept.begin() as txn:
        del txn["k"]
    found = kept.history("k")
    assert [entry[0] for entry in found] == [txn.timestamp, second, first]
    assert [None if b is None else content(b) for _, b in found] == [None, {2: 2}, {1: 1}]
    assert [t for t, _ in kept.history("k", first, second)] == [second, first]
    assert [t for t, _ in kept.history(b"k", start=second, stop=second)] == [second]
    assert kept.history("absent") == []


def test_at(kept: Any) -> None:
    first = put(kept, "k", (1, 1))
    second = put(kept, "k", (2, 2))
    with kept.at(first) as txn:
        assert content(txn["k"]) == {1: 1} and txn.snapshot == first
        with pytest.raises(khonsu.ReadOnlyError):
            txn["k"] = row(1)
    with kept.begin(at=second) as txn:
        assert content(txn["k"]) == {2: 2}
    with kept.at(khonsu.datetime_of(first)) as txn:
        assert "k" not in txn or txn["k"] is not None
    with pytest.raises(khonsu.InvalidError):
        kept.at(1 << 63)
    with pytest.raises(khonsu.TooOldError):
        kept.at(1)


def test_at_a_moment_without_a_commit(kept: Any) -> None:
    """By the clock, after the last commit: the newest state, also when more is committed then."""
    stamp = put(kept, "k", (1, 1))
    moment = khonsu.datetime_of(stamp)
    while timestamp_of(dt.datetime.now()) <= timestamp_of(moment):
        pass
    moment = dt.datetime.now()
    assert timestamp_of(moment) > kept.now
    with kept.at(moment) as txn:
        assert content(txn["k"]) == {1: 1}
        assert put(kept, "k", (2, 2)) > timestamp_of(moment)
        assert content(txn["k"]) == {1: 1}
    with kept.at(moment) as txn:
        assert content(txn["k"]) == {1: 1}
    with pytest.raises(khonsu.InvalidError, match="future"):
        kept.at(dt.datetime.now() + dt.timedelta(seconds=60))


def test_without_retention(db: Any) -> None:
    first = put(db, "k", (1, 1))
    put(db, "k", (2, 2))
    db.step()
    assert db.horizon > first
    with pytest.raises(khonsu.TooOldError):
        db.at(first)


# ---- watches -------------------------------------------------------------------------------------


def test_watch(db: Any) -> None:
    watch = db.watch("a/")
    assert watch.next(0) is None
    first = put(db, "a/1", (1, 1))
    put(db, "b/1", (1, 1))
    with db.begin() as txn:
        del txn["a/1"]
    assert watch.next(60) == ("a/1", first, False, False)
    assert next(watch) == ("a/1", txn.timestamp, True, False)
    assert watch.next(timeout=0) is None
    put(db, "a/2", (1, 1))
    assert select.select([watch], [], [], 60)[0] == [watch]
    assert next(iter(watch))[0] == "a/2"
    watch.close()
    watch.close()
    with pytest.raises(khonsu.FinishedError):
        watch.next(0)
    assert list(watch) == []


@pytest.mark.parametrize("timeout", [0.05, 0.25])
def test_waits_last_as_long_as_asked(db: Any, timeout: float) -> None:
    """Also when that is more than a piece of the wait, and no multiple of one."""
    watch = db.watch()
    began = time.monotonic()
    assert watch.next(timeout) is None
    assert timeout <= time.monotonic() - began < timeout + 30


def test_short_timeouts_are_no_default(db: Any) -> None:
    """One below a millisecond is a millisecond, not what zero would mean."""
    began = time.monotonic()
    txn = db.begin(timeout=0.0001)
    with pytest.raises(khonsu.ExpiredError):
        while time.monotonic() - began < 4:  # the default is 5
            txn.get("k")


def test_watch_is_woken(db: Any) -> None:
    watch = db.watch()
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(watch.next()))
    thread.start()
    put(db, "k", (1, 1))
    thread.join()
    assert got[0][0] == "k"


@pytest.mark.parametrize("end", ["cancel", "close the database"])
def test_watch_is_ended_by_another_thread(db: Any, end: str) -> None:
    watch = db.watch()
    entered = threading.Event()
    got: list[Any] = []

    def follow() -> None:
        entered.set()
        got.extend(watch)

    thread = threading.Thread(target=follow)
    thread.start()
    entered.wait()
    watch.cancel() if end == "cancel" else db.close()
    thread.join()
    assert got == []
    with pytest.raises((khonsu.CancelledError, khonsu.FinishedError)):
        watch.next(0)
    watch.cancel()


CTRL_C = """
import khonsu, signal, threading
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
db = khonsu.open()
watch = db.watch()
for wait in (watch.next, lambda: next(watch)):  # for ever: nothing but the signal ends them
    try:
        threading.Timer(0, signal.raise_signal, (signal.SIGINT,)).start()
        wait()
    except KeyboardInterrupt:
        print("ended")
"""


def test_watch_and_ctrl_c() -> None:
    """The signal comes at some moment of the wait, or before it."""
    assert python(CTRL_C, seconds=30).split() == ["ended", "ended"]


# ---- transactions --------------------------------------------------------------------------------


def test_live_and_cancel(db: Any) -> None:
    assert db.live() == []
    txn = db.begin(isolation="serializable", tag="täg")
    txn["a"] = row(1)
    other = db.begin(read_only=True)
    live = {entry["id"]: entry for entry in db.live()}
    assert set(live) == {txn.id, other.id}
    entry = live[txn.id]
    assert (entry["isolation"], entry["tag"], entry["writes"]) == ("serializable", "täg", 1)
    assert live[other.id]["read_only"] and not entry["read_only"] and entry["age"] >= 0
    db.cancel(txn.id)
    for call in (lambda: txn["a"], txn.commit):
        with pytest.raises(khonsu.CancelledError):
            call()
    txn.close()
    with pytest.raises(khonsu.NotFoundError):
        db.cancel(txn.id)
    assert len(db.live()) == 1


def test_many_live(db: Any) -> None:
    open_ones = [db.begin(tag=str(i)) for i in range(100)]
    assert {entry["tag"] for entry in db.live()} == {str(i) for i in range(100)}
    del open_ones
    assert db.live() == []


def test_outcome(db: Any) -> None:
    txn = db.begin()
    assert db.outcome(txn.id) == ("active", None)
    txn["a"] = row(1)
    timestamp = txn.commit()
    assert db.outcome(txn.id) == ("committed", timestamp)
    with pytest.raises(khonsu.NotFoundError):
        db.outcome(1)
    with pytest.raises(khonsu.InvalidError):
        db.outcome(-1)
    with pytest.raises(khonsu.InvalidError):
        db.outcome(1 << 128)
    with pytest.raises(TypeError):
        db.outcome("1")


def test_ids_with_a_node() -> None:
    db = khonsu.open(node=7)
    txn = db.begin()
    txn["a"] = row(1)
    assert txn.id >> 64 == 7
    assert db.outcome(txn.id) == ("active", None)
    with pytest.raises(khonsu.ConflictError) as caught:
        put(db, "a", (1, 1))
        txn.commit()
    assert caught.value.transaction == txn.id


def test_stats(db: Any) -> None:
    put(db, "k", (1, 1))
    get(db, "k")
    stats = db.stats()
    assert stats["commits"] == 1 and stats["keys"] == 1 and stats["reads"] == 1
    assert json.loads(db.stats_text("json"))["commits"] == 1
    assert "khonsu" in db.stats_text(format="prometheus")
    with pytest.raises(ValueError, match="prometheus"):
        db.stats_text("xml")


def test_database_itself(db: Any) -> None:
    before = db.now
    assert put(db, "k", (1, 1)) == db.now > before
    assert db.path is None and not db.closed
    assert [len(part) for part in db.identity] == [16, 16]
    assert db.batch({"id": [1]} and row(1)) == row(1)
    db.step()
    db.compact()
    with db:
        pass
    assert db.closed
    db.close()


def test_without_threads() -> None:
    with khonsu.open(threads=False) as db:
        put(db, "k", (1, 1))
        db.step()
        assert get(db, "k") == {1: 1}
