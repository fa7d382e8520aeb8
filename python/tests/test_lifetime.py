"""Objects that go in any order: cycles, leaks, other threads, and the end of the interpreter."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from tables import ROWS, get, put, python, row

import khonsu

# ---- cycles --------------------------------------------------------------------------------------


class Anchor:
    """What a cycle holds, to see it go."""


def cycle_of_resolve() -> Any:
    anchor = Anchor()
    db = khonsu.open(policy="callback", resolve=lambda *_: (db, anchor))
    return weakref.ref(anchor)


def cycle_of_attribute() -> Any:
    db: Any = khonsu.open()
    db.itself, db.anchor = db, Anchor()
    return weakref.ref(db.anchor)


def cycle_of_transaction() -> Any:
    db: Any = khonsu.open()
    db.anchor = Anchor()
    db.txn = db.begin()
    db.txn["a"] = row(1)
    return weakref.ref(db.anchor)


def cycle_of_transaction_resolve() -> Any:
    anchor = Anchor()
    txn = khonsu.open().begin(policy="callback", resolve=lambda *_: (txn, anchor))
    return weakref.ref(anchor)


def cycle_of_scan() -> Any:
    txn: Any = khonsu.open().begin()
    txn.anchor = Anchor()
    txn["a"] = row(1)
    txn.scan_of_it = txn.scan()
    next(txn.scan_of_it)
    txn.list_of_it = [txn.keys(), txn.list_of_it] if hasattr(txn, "list_of_it") else [txn.keys()]
    return weakref.ref(txn.anchor)


def cycle_of_savepoint() -> Any:
    txn: Any = khonsu.open().begin()
    txn.anchor = Anchor()
    txn.here = txn.savepoint()
    return weakref.ref(txn.anchor)


def cycle_of_watch() -> Any:
    db: Any = khonsu.open()
    db.anchor = Anchor()
    db.watch_of_it = db.watch()
    return weakref.ref(db.anchor)


def cycle_of_exception() -> Any:
    anchor = Anchor()

    def resolve(*_: Any) -> Any:
        raise LookupError(anchor)

    db = khonsu.open()
    put(db, "k", (1, 1))
    txn = db.begin(policy="callback", resolve=resolve)
    txn["k"] = row(2)
    put(db, "k", (3, 3))
    try:
        txn.commit()
    except LookupError as error:
        error.txn = txn  # type: ignore[attr-defined]
        txn.error = error  # type: ignore[attr-defined]
    return weakref.ref(anchor)


@pytest.mark.parametrize(
    "make",
    [
        cycle_of_resolve,
        cycle_of_attribute,
        cycle_of_transaction,
        cycle_of_transaction_resolve,
        cycle_of_scan,
        cycle_of_savepoint,
        cycle_of_watch,
        cycle_of_exception,
    ],
)
def test_cycles_are_collected(make: Callable[[], Any]) -> None:
    gone = make()
    gc.collect()
    assert gone() is None


def test_cycle_of_a_feed(tmp_path: Any) -> None:
    db: Any = khonsu.open(tmp_path / "db")
    anchor = db.anchor = Anchor()
    db.feed_of_it = db.feed()
    gone = weakref.ref(anchor)
    del anchor, db
    gc.collect()
    assert gone() is None
    khonsu.open(tmp_path / "db").close()  # and so it was closed


def test_collection_in_the_midst_of_a_call(db: Any) -> None:
    """The collector meets open scans of the transaction that is in a call: it does not wait."""

    class Keeper:
        scan: Any = None
        itself: Any = None

    for i in range(300):
        put(db, f"{i:03}", (i, i))
    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        with db.begin() as txn:
            for _ in range(20):
                keeper = Keeper()
                keeper.scan, keeper.itself = txn.scan(), keeper
                next(keeper.scan)
                del keeper
                assert len([pair for pair in txn.scan()]) == 300
                with pytest.raises(KeyError):
                    txn["nothing"]
                txn.table(limit=2)
                txn.get_many(["000", "001"])
                db.live()
                db.history("000")
    finally:
        gc.set_threshold(*before)


def test_collection_in_a_held_transaction(db: Any) -> None:
    """The next allocation after the garbage is an exception, made while the transaction is held."""
    put(db, "k", (1, 1))
    before = gc.get_threshold()
    with db.begin() as txn:
        gc.set_threshold(1)
        try:
            for _ in range(5):
                gc.disable()
                garbage: list[Any] = [[], [], [], txn.scan()]
                garbage.append(garbage)
                del garbage
                gc.enable()
                try:
                    txn.delete("")
                except khonsu.InvalidError:
                    pass
        finally:
            gc.enable()
            gc.set_threshold(*before)


def test_collection_runs_code_that_uses_everything(db: Any) -> None:
    class Finalizer:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            for call in (
                lambda: txn.get("k"),
                lambda: txn.put("f", row(1)),
                lambda: db.live(),
                lambda: put(db, "other", (1, 1)),
                lambda: db.close(),
            ):
                try:
                    call()
                except khonsu.Error as error:
                    seen.add(type(error))

    seen: set[Any] = set()
    put(db, "k", (1, 1))
    txn = db.begin()
    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(20):
            Finalizer()
            try:
                txn["k"], list(txn.scan()), txn.get_many(["k"]), db.live()
                txn.savepoint().release()
            except khonsu.FinishedError:
                break
    finally:
        gc.set_threshold(*before)
    assert seen <= {khonsu.MisuseError, khonsu.InUseError, khonsu.FinishedError}


# ---- threads -------------------------------------------------------------------------------------


def in_threads(*bodies: Callable[[], object]) -> list[BaseException]:
    """Runs them at once; what they raised."""
    raised: list[BaseException] = []
    ready = threading.Barrier(len(bodies))

    def run(body: Callable[[], object]) -> None:
        ready.wait()
        try:
            body()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_close_while_others_work() -> None:
    for _ in range(20):
        db = khonsu.open()

        def work(db: Any = db) -> None:
            while True:
                put(db, "k", (1, 1))
                with db.begin(read_only=True) as txn:
                    list(txn.scan())
                db.live()

        def close(db: Any = db) -> None:
            while not db.closed:
                try:
                    db.close()
                except khonsu.InUseError:
                    pass

        raised = in_threads(work, work, close)
        assert {type(error) for error in raised} == {khonsu.FinishedError}


def test_close_from_many_threads() -> None:
    for _ in range(20):
        db = khonsu.open()
        kept = [db.begin(), db.begin().scan(), db.watch()]
        assert in_threads(*[db.close] * 4) == []
        assert db.closed and kept


def test_deallocation_in_other_threads(db: Any) -> None:
    put(db, "k", (1, 1))
    for _ in range(50):
        txn = db.begin()
        boxes = [[txn], [txn.scan()], [txn.savepoint()], [db.watch()], [txn["k"]], [txn.table()]]
        del txn
        assert in_threads(*[box.clear for box in boxes]) == []
    assert db.live() == []


def test_scan_goes_while_its_transaction_is_in_use(db: Any) -> None:
    for i in range(200):
        put(db, f"{i:03}", (i, i))
    for _ in range(20):
        txn = db.begin()
        box = [txn.scan() for _ in range(50)]

        def use(txn: Any = txn) -> None:
            for _ in range(20):
                txn.table()

        assert in_threads(use, box.clear) == []
        txn.commit()


# ---- objects that strike back --------------------------------------------------------------------


class Striking:
    """Rows whose making does something first."""

    def __init__(self, act: Callable[[], object], as_stream: bool = False) -> None:
        self.act = act
        if as_stream:
            self.__arrow_c_stream__ = lambda: (self.act(), row(1).__arrow_c_stream__())[1]
        else:
            self.__arrow_c_array__ = lambda: (self.act(), row(1).__arrow_c_array__())[1]


@pytest.mark.parametrize("as_stream", [False, True])
def test_rows_that_use_the_same_transaction(db: Any, as_stream: bool) -> None:
    with db.begin() as txn:
        txn["k"] = Striking(lambda: txn.put("other", row(2)), as_stream)
        txn.upsert("k", Striking(lambda: txn.delete("other"), as_stream))
        assert list(txn) == ["k"]
        scans = [txn.scan()]
        txn["l"] = Striking(scans.clear, as_stream)
        txn.compare_and_swap("m", None, Striking(lambda: txn.savepoint().rollback(), as_stream))
        with pytest.raises(ZeroDivisionError):
            txn["x"] = Striking(lambda: 1 // 0, as_stream)


@pytest.mark.parametrize("as_stream", [False, True])
def test_rows_that_end_the_transaction(db: Any, as_stream: bool) -> None:
    for end in ("commit", "rollback", "close"):
        for write in ("__setitem__", "upsert", "put"):
            txn = db.begin()
            with pytest.raises(khonsu.FinishedError):
                getattr(txn, write)("k", Striking(getattr(txn, end), as_stream))
    assert get(db, "k") is None


@pytest.mark.parametrize("as_stream", [False, True])
def test_rows_that_close_the_database(db: Any, as_stream: bool) -> None:
    txn = db.begin()
    for call in (
        lambda rows: txn.put("k", rows),
        lambda rows: txn.patch("k", rows),
        lambda rows: txn.compare_and_swap("k", None, rows),
        db.batch,
    ):
        with pytest.raises(khonsu.InUseError):
            call(Striking(db.close, as_stream))
    batch = khonsu.Batch(Striking(db.close, as_stream))
    assert db.closed and batch == row(1)


def test_values_that_strike_back(db: Any) -> None:
    class Index:
        def __index__(self) -> int:
            db.close()
            gc.collect()
            return 1

        def __float__(self) -> float:
            raise ZeroDivisionError

        def __rshift__(self, other: Any) -> Any:
            db.close()
            return 0

    assert ROWS.row(Index(), 2) == row(1, 2) and db.closed
    assert ROWS.rows(iter([[Index(), 2]])) == row(1, 2)
    with pytest.raises(ZeroDivisionError):
        khonsu.Schema({"f": "float64"}).row(Index())
    with pytest.raises(khonsu.FinishedError):
        db.outcome(Index())
    with pytest.raises(khonsu.FinishedError):
        db.history("k", Index())
    assert row(1).take([Index()] and [0]) == row(1)
    with pytest.raises(khonsu.InvalidError):
        row(1).take([Index()])


def test_copies_are_refused(db: Any) -> None:
    txn = db.begin()
    for thing in (db, txn, txn.scan(), txn.savepoint(), row(1), ROWS, db.watch()):
        for make in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError):
                make(thing)


def test_weak_references_and_subclasses() -> None:
    class Mine(khonsu.Database):
        def __del__(self) -> None:
            seen.append(self.closed)

    seen: list[bool] = []
    db = Mine()
    gone = weakref.ref(db)
    put(db, "k", (1, 1))
    del db
    gc.collect()
    assert seen == [False] and gone() is None


# ---- the end of the interpreter ------------------------------------------------------------------

BEGIN = """
import sys, threading, time, khonsu
from tables import put, row
db = khonsu.open(sys.argv[1] or None)
put(db, "k", (1, 1))
ready = threading.Barrier(2)
def daemon(body):
    def run():
        ready.wait()
        try:
            body()
        except khonsu.Error:
            pass
    threading.Thread(target=run, daemon=True).start()
    ready.wait()
def forever(body):
    def run():
        while True:
            body()
    return run
"""
ENDS = {
    "open transactions": "txn = db.begin(); txn['a'] = row(1); scan = txn.scan(); sys.txn = txn",
    "watching": "daemon(lambda: list(db.watch()))",
    "waiting for a while": "daemon(forever(lambda: db.watch().next(0.01)))",
    "writing": "daemon(forever(lambda: put(db, 'k', (2, 2))))",
    "reading": "daemon(forever(lambda: list(db.begin().scan())))",
    "asking": "daemon(forever(lambda: (db.live(), db.stats(), db.history('k'))))",
    "in the resolve function": """
inside = threading.Event()
def resolve(*_):
    inside.set()
    threading.Event().wait()
txn = db.begin(policy='callback', resolve=resolve)
txn['k'] = row(2)
put(db, 'k', (3, 3))
daemon(txn.commit)
inside.wait()
""",
    "exception": "txn = db.begin(); txn['a'] = row(1); raise SystemExit(0)",
    "closed in a finalizer": """
class Late:
    def __init__(self): self.db, self.itself, self.txn = db, self, db.begin()
    def __del__(self): self.txn.close(); self.db.close()
late = Late()
""",
    "the module is taken away": """
txn, watch = db.begin(), db.watch()
for name in [name for name in sys.modules if name.startswith('khonsu')]:
    del sys.modules[name]
""",
}


@pytest.mark.parametrize("where", ["memory", "disk"])
@pytest.mark.parametrize("how", ENDS)
def test_end_of_the_interpreter(how: str, where: str, tmp_path: Any) -> None:
    path = str(tmp_path / "db") if where == "disk" else ""
    python(BEGIN + ENDS[how], path, seconds=60)


def test_second_interpreter_is_refused() -> None:
    """Not served, and told so; the first one goes on."""
    code = """
import khonsu, _xxsubinterpreters as interpreters
second = interpreters.create()
interpreters.run_string(second, '''
try:
    import khonsu
    print("imported")
except ImportError as error:
    print("refused", error)
''')
interpreters.destroy(second)
with khonsu.open() as db, db.begin() as txn:
    txn["k"] = khonsu.Schema({"id": "int64"}).row(1)
    print(len(txn["k"]))
"""
    if sys.version_info >= (3, 13):
        code = code.replace("_xxsubinterpreters", "_interpreters").replace("run_string", "exec")
    out = python(code)
    assert out.startswith("refused") and out.endswith("1\n")


def test_import_again_is_refused_and_harmless() -> None:
    code = """
import sys, khonsu
for name in [name for name in sys.modules if name.startswith('khonsu')]:
    del sys.modules[name]
try:
    import khonsu as again
except ImportError as error:
    print("refused")
with khonsu.open() as db, db.begin() as txn:
    print(list(txn))
"""
    assert python(code).split() == ["refused", "[]"]
