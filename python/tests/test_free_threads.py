"""What the interpreter lock would hide: everything that can be shared is shared, by eight threads.

With a lock these are tests like others; without one (tools/python_freethreaded.py) they run under
the sanitizers too, and need neither pyarrow nor conftest.py for that.
"""

from __future__ import annotations

import gc
import os
import random
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from crowds import THREADS, in_threads
from tables import ROWS, content, python, row

import khonsu
from khonsu import _core, _database

ROUNDS = int(os.environ.get("KHONSU_HAMMER", "300"))
REFUSED = (khonsu.MisuseError, khonsu.FinishedError, khonsu.InvalidError, khonsu.NotFoundError)

without_lock = pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="the interpreter has a lock"
)


@pytest.fixture(autouse=True)
def often() -> Iterator[None]:
    """With a lock: threads change places often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def chance_of(actions: list[Callable[[], object]], number: int, refused: Any = REFUSED) -> int:
    """Does some of them at random; how many were refused."""
    chance = random.Random(number)
    count = 0
    for _ in range(ROUNDS):
        try:
            chance.choice(actions)()
        except refused:
            count += 1
    return count


# ---- the lock ------------------------------------------------------------------------------------


@without_lock
def test_the_lock_is_off_here() -> None:
    """Some package that was imported may have asked for it: PYTHON_GIL=0 keeps it off."""
    assert sys._is_gil_enabled() is False


@without_lock
def test_import_leaves_the_lock_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHON_GIL", raising=False)
    code = """
import sys, warnings
warnings.simplefilter("error")
import khonsu
with khonsu.open() as db, db.begin() as txn:
    txn["k"] = khonsu.Schema({"id": "int64"}).row(1)
print(sys._is_gil_enabled())
"""
    assert python(code) == "False\n"


# ---- a database for all --------------------------------------------------------------------------


def add(txn: Any, key: str, amount: int) -> None:
    old = txn.get(key)
    txn[key] = row(1, amount + (0 if old is None else old.value("v")))


def open_database(durable: bool, where: Path) -> Any:
    where.mkdir(exist_ok=True)
    return khonsu.open(where / "db", sync="none", retention=60) if durable else khonsu.open()


def looks(db: Any) -> list[Callable[[], object]]:
    """What a thread can ask of a database, and begin and leave."""

    def watch() -> None:
        watched = db.watch("account/")
        watched.next(0), watched.fileno(), watched.cancel()

    def scan_left_open() -> None:
        next(db.begin().scan(), None)

    def table() -> None:
        with db.begin() as txn:
            txn.table("account/")

    def in_a_cycle() -> None:
        cycle: list[Any] = [db.begin(resolve=lambda *_: cycle), db.watch()]

    def undone() -> None:
        with db.begin() as txn, txn.savepoint() as savepoint:
            txn["undone"] = row(1)
            savepoint.rollback()

    return [
        watch,
        scan_left_open,
        table,
        in_a_cycle,
        undone,
        lambda: db.get("account/1"),
        lambda: db.begin(read_only=True).get_many(["account/1", "account/2", b"\xff"]),
        lambda: list(db.begin(isolation="serializable").keys()),
        lambda: db.live(),
        lambda: db.history("account/1"),
        lambda: (db.now, db.horizon, db.identity, db.path, db.closed, db.messages()),
        lambda: db.stats(),
        lambda: db.step(),
        lambda: db.batch(row(1)),
        lambda: db.outcome(db.begin().id),
        lambda: gc.collect(0),
    ]


@pytest.mark.parametrize("durable", [False, True])
def test_one_database(durable: bool, tmp_path: Path) -> None:
    """Nothing is lost among transactions, whatever else is asked."""
    db = open_database(durable, tmp_path)
    added = [0] * THREADS

    def work(number: int) -> None:
        chance = random.Random(number)

        def deposit() -> None:
            db.run(add, f"account/{chance.randrange(8)}", number, isolation="serializable")
            added[number] += number

        def transfer() -> None:
            source, target = chance.sample(range(8), 2)
            with db.begin(isolation="serializable") as txn:
                add(txn, f"account/{source}", -1)
                add(txn, f"account/{target}", 1)

        actions = looks(db) + [deposit, transfer] * 6
        chance_of(actions, number, (khonsu.NotFoundError, khonsu.RetryError))

    in_threads(work)
    with db.begin() as txn:
        total = sum(batch.value("v") for _, batch in txn.scan("account/"))
    assert total == sum(added)
    gc.collect()
    db.close()


@pytest.mark.parametrize("durable", [False, True])
def test_close_beneath_all(durable: bool, tmp_path: Path) -> None:
    """One thread closes: the others are told so."""
    for attempt in range(10):
        db = open_database(durable, tmp_path / f"{attempt}")

        def work(number: int, db: Any = db) -> None:
            ends = (khonsu.RetryError, khonsu.InUseError, khonsu.CancelledError)
            if number > 0:
                actions = looks(db) + [lambda: db.run(add, "account/1", 1)] * 4
                chance_of(actions, number, REFUSED + ends)
            while number == 0 and not db.closed:
                try:
                    db.close()
                except khonsu.InUseError:
                    pass

        in_threads(work)
        db.close()


# ---- a transaction for all -----------------------------------------------------------------------


def test_one_transaction() -> None:
    """Each call is done or refused: what was done, and nothing else, is committed."""
    db = khonsu.open(timeout=600)
    txn = db.begin()
    wanted: dict[str, dict[int, int]] = {}

    def work(number: int) -> None:
        chance = random.Random(number)
        mine: dict[str, dict[int, int]] = {}

        def put(key: str, value: int) -> None:
            txn[key] = row(1, value)
            mine[key] = {1: value}

        def upsert(key: str, value: int) -> None:
            txn.upsert(key, row(2, value))
            mine.setdefault(key, {})[2] = value

        def delete(key: str, value: int) -> None:
            del txn[key]
            mine.pop(key, None)

        def read(key: str, value: int) -> None:
            found = txn.get(key)
            assert (None if found is None else content(found)) == mine.get(key)

        def look(key: str, value: int) -> None:
            key in txn, txn.get_many([key, "x"]), list(txn.scan(f"{number}/")), txn.table(key)
            txn.id, txn.snapshot, txn.timestamp, txn.closed, txn.id_column, txn.db, txn.resolved()

        for value in range(ROUNDS):
            act = chance.choice([put, put, upsert, delete, read, look])
            try:
                act(f"{number}/{chance.randrange(5)}", value)
            except (khonsu.MisuseError, khonsu.NotFoundError):
                pass
        wanted.update(mine)

    in_threads(work)
    txn.commit()
    with db.begin() as after:
        assert {key: content(batch) for key, batch in after.scan()} == wanted
    db.close()


def uses(txn: Any) -> list[Callable[[], object]]:
    """What a thread can do in a transaction, with a scan and a savepoint for all of them."""
    scan, savepoint = txn.scan(), txn.savepoint()

    def nested() -> None:
        with txn.savepoint():
            txn["own"] = row(1)
            raise khonsu.NotFoundError("undone")

    return [
        nested,
        lambda: txn.put("k", row(1)),
        lambda: txn.get("k"),
        lambda: next(scan, None),
        lambda: next(txn.scan("k"), None),
        lambda: scan.close(),
        lambda: savepoint.rollback(),
        lambda: txn.delete_range("k"),
        lambda: txn.compare_and_swap("k", None, row(2)),
        lambda: gc.collect(0),
    ]


@pytest.mark.parametrize("ends", [(), ("commit",), ("rollback",), ("close", "commit")])
def test_one_transaction_with_all_that_it_has(ends: tuple[str, ...]) -> None:
    """Savepoints, scans, resolve functions and ends: done or refused, and the heap stays whole."""
    db = khonsu.open(timeout=600)

    def resolve(key: str, base: Any, mine: Any, theirs: Any) -> Any:
        return mine

    txn = db.begin(policy="callback", resolve=resolve, isolation="read_committed")
    actions = uses(txn)
    refused = (*REFUSED, khonsu.RetryError)

    def work(number: int) -> None:
        chance_of(actions, number, refused)
        chance_of(actions * 5 + [getattr(txn, end) for end in ends], number, refused)

    in_threads(work)
    txn.close()
    assert txn.closed
    db.close()


def test_one_scan() -> None:
    """Each key comes once, to one of them."""
    db = khonsu.open(timeout=600)
    with db.begin() as txn:
        for i in range(1000):
            txn[f"{i:04}"] = row(i)
        keys = txn.keys()
        seen: list[list[str]] = [[] for _ in range(THREADS)]

        def work(number: int) -> None:
            while True:
                try:
                    seen[number].append(next(keys))
                except StopIteration:
                    break
                except khonsu.MisuseError:
                    pass

        in_threads(work)
        assert sorted(key for some in seen for key in some) == [f"{i:04}" for i in range(1000)]
        assert all(some == sorted(some) for some in seen)


def test_scans_that_others_drop() -> None:
    """As the garbage collector does, in any thread: whose transaction it is, is not refused."""
    db = khonsu.open(timeout=600)
    with db.begin() as txn:
        txn["k"] = row(1)
        boxes: list[list[Any]] = [[] for _ in range(THREADS)]
        turn, made = threading.Lock(), threading.Barrier(THREADS)

        def work(number: int) -> None:
            with turn:  # each drops its own: what is another thread's may be left to that one
                boxes[number] = [txn.keys() for _ in range(10 * ROUNDS)]
            made.wait()
            while number > 0 and boxes[number]:
                boxes[number].pop()
            while any(boxes[1:]):
                assert number > 0 or len(txn["k"]) == 1

        in_threads(work)
    db.close()


def test_one_savepoint() -> None:
    """It is released once."""
    db = khonsu.open(timeout=600)
    txn = db.begin()
    for _ in range(ROUNDS):
        savepoint = txn.savepoint()
        released: list[int] = []

        def work(number: int, savepoint: Any = savepoint, released: list[int] = released) -> None:
            while True:
                try:
                    savepoint.release()
                    released.append(number)
                except khonsu.MisuseError:
                    continue
                except khonsu.InvalidError:
                    pass
                return

        in_threads(work, 3)
        assert len(released) == 1
    txn.close()


def test_ends_of_one_transaction_at_once() -> None:
    """All want to end it: it is committed once, or not at all."""
    db = khonsu.open(timeout=600)
    for i in range(ROUNDS):
        txn = db.begin()
        txn[f"{i}"] = row(i)
        timestamps: list[int] = []

        def end(number: int, txn: Any = txn, timestamps: list[int] = timestamps) -> None:
            try:
                if number < 2:
                    timestamps.append(txn.commit())
                else:
                    [txn.rollback, txn.close][number % 2]()
            except (khonsu.MisuseError, khonsu.FinishedError):
                pass

        in_threads(end, 4)
        assert len(timestamps) <= 1 and (db.get(f"{i}") is not None) == bool(timestamps)
        txn.close()


# ---- watches and feeds ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["watch", "feed"])
def test_one_stream_of_events(kind: str, tmp_path: Path) -> None:
    """Each event comes once, to one of them; cancel() ends all."""
    db = open_database(True, tmp_path)
    events = db.watch() if kind == "watch" else db.feed(db.now)
    seen: list[list[str]] = [[] for _ in range(THREADS)]

    def work(number: int) -> None:
        if number == 0:
            for i in range(ROUNDS):
                with db.begin() as txn:
                    txn[f"{i}"] = row(i)
            while sum(map(len, seen)) < ROUNDS:
                db.step()
            events.cancel()
            return
        while True:
            try:
                event = events.next(0.001)
                if event is not None:
                    seen[number].append(event[0])
            except khonsu.MisuseError:
                pass
            except (khonsu.CancelledError, khonsu.FinishedError):
                break

    in_threads(work)
    assert sorted(key for some in seen for key in some) == sorted(map(str, range(ROUNDS)))
    db.close()


@pytest.mark.parametrize("kind", ["watch", "feed"])
def test_ends_of_one_stream_of_events(kind: str, tmp_path: Path) -> None:
    db = open_database(True, tmp_path)
    for _ in range(20):
        events = db.watch() if kind == "watch" else db.feed(db.now)

        def work(number: int, events: Any = events) -> None:
            acts = [events.cancel, events.close, lambda: events.next(0), lambda: events.next(1)]
            try:
                acts[number % 4]()
            except (khonsu.MisuseError, khonsu.FinishedError, khonsu.CancelledError):
                pass

        in_threads(work)
        with pytest.raises((khonsu.FinishedError, khonsu.CancelledError)):
            events.next(0)
        events.close()
    db.close()


# ---- batches, schemas and what is made lazily ----------------------------------------------------


def test_one_capsule_for_many() -> None:
    """It is consumed once: whoever is second is told so."""

    for i in range(ROUNDS):
        batch = ROWS.rows([(i, i) for i in range(5)])
        method = ["__arrow_c_array__", "__arrow_c_stream__", "__arrow_c_schema__"][i % 3]
        given = getattr(batch, method)()
        same = type("Same", (), {method: lambda self, *_, given=given: given})()
        taken: list[Any] = []

        def take(number: int, i: int = i, same: Any = same, taken: list[Any] = taken) -> None:
            try:
                taken.append((khonsu.Schema if i % 3 == 2 else khonsu.Batch)(same))
            except khonsu.InvalidError as error:
                assert "consumed already" in str(error)

        in_threads(take, 4)
        assert len(taken) == 1 and (taken[0] == batch or taken[0] == batch.schema)


def test_one_schema_and_more_than_are_kept() -> None:
    """The cache is filled and emptied at once."""
    shared = khonsu.Schema({"id": "int64"})

    def work(number: int) -> None:
        for i in range(3 * ROUNDS):
            schema = khonsu.Schema({"id": "int64", f"{(i * 7 + number) % 400}": "utf8"})
            batch = schema.row(number, "x")
            assert batch.schema == schema and hash(batch.schema) == hash(schema)
            assert shared.row(i).schema == shared and repr(shared) == "<khonsu.Schema: id int64>"

    in_threads(work)


def test_one_batch() -> None:
    batch = ROWS.rows([(i, i) for i in range(100)])
    whole = content(batch)

    def work(number: int) -> None:
        for i in range(ROUNDS):
            assert batch.row(i % 100) == (i % 100, i % 100)
            assert batch.slice(10, 5).value("id") == 10 and len(batch.take([1, 2])) == 2
            assert khonsu.from_ipc(batch.to_ipc())[0] == batch == khonsu.Batch(batch)
            capsules = batch.__arrow_c_array__(), batch.__arrow_c_stream__()
            assert len(batch.concat(batch.upsert(row(number, 1)))) == 200 and capsules

    in_threads(work)
    assert content(batch) == whole


def test_rows_that_change_meanwhile() -> None:
    """What is given is copied before it is looked at."""
    schema = khonsu.Schema({"id": "int64", "s": "utf8"})
    rows: list[Any] = [[i, f"text {i}"] for i in range(20)]
    keys: list[Any] = [f"key é {i}" for i in range(20)]
    db = khonsu.open()

    def work(number: int) -> None:
        for i in range(ROUNDS):
            if number < 2:
                rows[i % 19] = [i, f"é {i}" * (i % 9)]
                rows[(i + 5) % 19][1] = f"other {i}"
                rows.append(rows[0])
                del rows[20:]
                keys[i % 20] = f"key é {i}" * (i % 9 + 1)
            else:
                assert len(schema.rows(rows)) >= 19
                assert len(db.begin(read_only=True).get_many(keys)) == 20

    in_threads(work)


# ---- before the beginning and at the end ---------------------------------------------------------


def test_objects_that_are_shared_before_they_begin() -> None:
    """__init__ by all at once: one of them begins it."""
    for _ in range(ROUNDS):
        db = _core.Database.__new__(_core.Database)
        txn = _core.Transaction.__new__(_core.Transaction)
        begun: list[str] = []

        def work(number: int, db: Any = db, txn: Any = txn, begun: list[str] = begun) -> None:
            for what, begin in (
                ("db", lambda: db.__init__(id_column="n")),
                ("txn", lambda: txn.__init__(db, id_column="m")),
            ):
                try:
                    begin()
                    begun.append(what)
                except (RuntimeError, *REFUSED):
                    pass
                assert txn.id >= 0 and txn.id_column in ("id", "m") and txn.db in (None, db)
                db.closed, db.path, db.messages(), txn.closed, txn.timestamp
                try:
                    txn.put("k", row(1))
                except REFUSED:
                    pass

        in_threads(work, 4)
        assert begun.count("db") == 1 and begun.count("txn") <= 1
        txn.close()
        db.close()


def test_databases_that_come_and_go_at_the_end() -> None:
    """What is open is found, although other threads open and leave databases meanwhile."""
    kept = khonsu.open()

    def work(number: int) -> None:
        for _ in range(ROUNDS // 5):
            if number < 2:
                assert kept in _database._still_open()
            else:
                khonsu.open(threads=False)

    in_threads(work, 4)
    kept.close()


def test_threads_at_the_end_of_the_interpreter() -> None:
    code = """
import threading, khonsu
db = khonsu.open()
schema = khonsu.Schema({"id": "int64"})
began = threading.Barrier(9)
def work():
    began.wait()
    while True:
        try:
            db.run(lambda txn: txn.put("k", schema.row(1)), policy="replace")
            with db.begin() as txn:
                list(txn.scan())
        except khonsu.Error:
            pass
for _ in range(8):
    threading.Thread(target=work, daemon=True).start()
began.wait()
print("done")
"""
    for _ in range(5):
        assert python(code, seconds=60) == "done\n"
