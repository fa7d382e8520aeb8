"""A child that was forked has the parent's objects, and none of its threads.

Whatever is called there raises ForkedError, or is harmless; whatever is dropped there goes; and the
parent works on, with everything as it was. Each case is run in an interpreter of its own, and each
child is ended by a signal when it waits.
"""

from __future__ import annotations

from typing import Any

import pytest
from tables import python

BEGIN = """
import gc, os, signal, sys, threading, warnings
import khonsu
from tables import ROWS, get, put, row

warnings.simplefilter("ignore")  # of a fork beside threads
path = sys.argv[1] or None
db = khonsu.open(path)
for i in range(3):
    put(db, f"k{i}", (i, i))

def forked(body):
    '''How a child ends that runs body: 7 when it returns.'''
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        try:
            body()
        except BaseException as error:
            print("child:", repr(error), flush=True)
            os._exit(1)
        sys.stdout.flush()
        os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def refused(call, *args, **options):
    try:
        call(*args, **options)
    except khonsu.ForkedError as error:
        assert ("read_only=True" in str(error)) == (path is not None), error
        assert "forked from" in str(error) and error.status == "KH_FORKED"
        return
    except ImportError as error:  # DuckDB is not everywhere, and is asked for first
        assert "duckdb" in str(error).lower(), error
        return
    raise AssertionError(f"{call} is not refused")

def sound():
    '''The parent's database: it takes commits, and all that was committed is there.'''
    put(db, "last", (9, 9))
    with db.begin() as txn:
        assert [len(batch) for _, batch in txn.scan()] == [1] * len(list(txn.keys()))
    if path is not None:
        db.verify()
        db.close()
        assert khonsu.verify(path)["ok"]
    db.close()

def is_asleep(thread):
    with open(f"/proc/self/task/{thread.native_id}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0] == "S"

def waiting(body):
    '''A thread that is in the call as the next statement runs: it runs no more, and the
    interpreter is free for it while the file is read.'''
    ready = threading.Event()
    def run():
        ready.set()
        try:
            body()
        except khonsu.Error as error:
            assert isinstance(error, khonsu.CancelledError | khonsu.FinishedError), error
    thread = threading.Thread(target=run)
    thread.start()
    ready.wait()
    while not is_asleep(thread):
        pass
    return thread
"""


@pytest.fixture(params=["memory", "disk"])
def path(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    return str(tmp_path / "db") if request.param == "disk" else ""


# ---- every call ----------------------------------------------------------------------------------

# How each public attribute is used; HARMLESS: the same in the child as in the parent.
CALLS = """
txn, watch = db.begin(timeout=600), db.watch()
savepoint, scan = txn.savepoint(), txn.scan()
next(scan)
batch = txn["k1"]
started = db.begin()
started["s"] = row(1)
started.commit_start()
feeds = [] if path is None else [db.feed()]
changes = [] if path is None else [db.changes()]
workspace = db.workspace(mode="guard", timeout=600)
workspace["ws"] = row(6)
workspace.before([0, 1])
workspace.after([1, 1])
delta = workspace.delta
HARMLESS = lambda *_: None

def iterate(thing):
    return lambda: next(iter(thing))

def within(thing):
    def run():
        with thing:
            pass
    return run

def of_database(db):
    return dict(
        at=lambda: db.at(1), backup=lambda: db.backup("/nowhere"), batch=lambda: db.batch(row(1)),
        begin=db.begin, cancel=lambda: db.cancel(1), changes=db.changes, close=HARMLESS,
        closed=HARMLESS, compact=db.compact, decide=lambda: db.decide(1, True), feed=db.feed,
        get=lambda: db.get("k1"), head=lambda: db.head(), history=lambda: db.history("k1"),
        horizon=lambda: db.horizon, identity=lambda: db.identity, live=db.live,
        load=lambda: db.load(row(1), "t"), messages=HARMLESS, now=lambda: db.now,
        outcome=lambda: db.outcome(txn.id), path=HARMLESS,
        prove=lambda: db.prove("k1", 1), run=lambda: db.run(HARMLESS),
        save=lambda: db.save("k1", "/nowhere.csv"), sql=lambda: db.sql("select * from k1"),
        stats=db.stats, stats_text=db.stats_text, step=db.step,
        transactional=lambda: db.transactional()(HARMLESS)(), verify=db.verify, watch=db.watch,
        workspace=db.workspace, workspaces=db.workspaces,
        cancel_workspace=lambda: db.cancel_workspace(1),
        commit_together=lambda: db.commit_together([workspace]),
    )

def of_transaction(txn):
    return dict(
        close=HARMLESS, closed=HARMLESS, commit=txn.commit, commit_start=txn.commit_start,
        compare_and_swap=lambda: txn.compare_and_swap("k1", None, None), db=HARMLESS,
        delete=lambda: txn.delete("k1"), delete_range=txn.delete_range,
        delete_rows=lambda: txn.delete_rows("k1", [1]), duckdb=lambda: txn.duckdb().sql("from k1"),
        fileno=txn.fileno, get=lambda: txn.get("k1"), get_many=lambda: txn.get_many(["k1"]),
        id=HARMLESS, id_column=HARMLESS, insert_rows=lambda: txn.insert_rows("k1", row(2)),
        keys=txn.keys, patch=lambda: txn.patch("k1", row(1)), poll=txn.poll, prepare=txn.prepare,
        put=lambda: txn.put("k1", row(2)), resolved=txn.resolved, rollback=txn.rollback,
        savepoint=txn.savepoint, scan=txn.scan, snapshot=lambda: txn.snapshot,
        sql=lambda: txn.sql("from k1"), table=txn.table, timestamp=HARMLESS,
        upsert=lambda: txn.upsert("k1", row(1)), wait=txn.wait,
        __getitem__=lambda: txn["k1"], __setitem__=lambda: txn.__setitem__("k1", row(1)),
        __delitem__=lambda: txn.__delitem__("k1"), __contains__=lambda: "k1" in txn,
        __iter__=iterate(txn), __enter__=within(txn), lock=lambda: txn.lock("k1"),
    )

def of_workspace(ws):
    return dict(
        of_transaction(ws), state=lambda: ws.state, cause=lambda: ws.cause, age=lambda: ws.age,
        delta=lambda: ws.delta, operations=lambda: ws.operations, retry=ws.retry,
        affected_keys=lambda: ws.affected_keys, update=lambda: ws.update("k1", row(1)),
        embed=lambda: ws.embed("k1", row(1)), before=lambda: ws.before([1]),
        after=lambda: ws.after([1]), compute_delta=ws.compute_delta, conflicts=ws.conflicts,
        merge_candidates=ws.merge_candidates,
    )

def of_waited(thing):
    return dict(cancel=HARMLESS, close=HARMLESS, fileno=getattr(thing, "fileno", None),
                next=lambda: thing.next(0), position=lambda: thing.position)

def of_changes(feed):
    return dict(close=HARMLESS, closed=HARMLESS, position=HARMLESS, __next__=iterate(feed))

def child():
    things = [(db, of_database), (txn, of_transaction), (started, of_transaction),
              (workspace, of_workspace),
              (savepoint, lambda s: dict(release=s.release, rollback=s.rollback)),
              (scan, lambda s: dict(close=HARMLESS, __next__=iterate(s))),
              (watch, lambda w: dict(of_waited(w), __next__=iterate(w)))]
    things += [(feed, of_waited) for feed in feeds] + [(feed, of_changes) for feed in changes]
    for thing, calls_of in things:
        calls = calls_of(thing)
        for name in dir(thing):
            if not name.startswith("_"):
                calls[name]
        for name, call in calls.items():
            if call is HARMLESS:
                found = getattr(thing, name)
                if name in ("messages", "cancel"):
                    assert not found()
            elif name in dir(thing):
                refused(call)
    try:
        with savepoint:
            raise LookupError
    except LookupError:
        pass
    assert batch.value("v") == 1 and batch.to_pyarrow().num_rows == 1
    assert delta.values == [1, 0] and khonsu.classify(delta, delta).kind == "identical"
    assert batch.concat(row(5)).num_rows == 2 and len(batch.to_ipc()) > 0
    for thing, _ in things:
        if hasattr(thing, "close"):
            thing.close()
            thing.close()

print(forked(child))
assert txn["k1"] == batch and next(scan)[0] == "k1"
with savepoint:
    txn["k1"] = row(3)
txn.commit()
started.wait()
workspace.commit()
keys = {watch.next(60)[0] for _ in range(3)}
assert keys == {"k1", "s", "ws"}, keys
for feed in feeds + changes:
    feed.close()
sound()
print("parent")
"""


def test_every_call(path: str) -> None:
    assert python(BEGIN + CALLS, path).split() == ["7", "parent"]


# ---- objects that go -----------------------------------------------------------------------------

GOING = {
    "at the end of the interpreter": "pass",
    "at once": "things.clear()",
    "as a cycle": "cycle = [things.copy()]; cycle.append(cycle); things.clear(); del cycle",
    "the database first": "del db; gc.collect(); things.clear()",
    "with an exception": "raise SystemExit(5)",
}


@pytest.mark.parametrize("how", GOING)
def test_objects_go(how: str, path: str) -> None:
    """Beside threads of the parent that are in all of the waits, and that write."""
    code = f"""
things = [db.begin(), db.watch(), db.begin()]
things += [things[0].scan(), things[0].savepoint(), things[0]["k1"], things[0].table(), ROWS]
next(things[3])
things[0]["new"] = row(1)
things[2]["other"] = row(1)
things[2].commit_start()
watches = [db.watch("never"), db.watch("never")]
threads = [waiting(lambda: watches[0].next()), waiting(lambda: list(watches[1]))]
things += watches
if path is not None:
    feeds = [db.feed(prefix="never"), db.changes(prefix="never", follow=True)]
    threads += [waiting(lambda: feeds[0].next()), waiting(lambda: list(feeds[1]))]
    things += feeds
is_over = False
def write():
    while not is_over:
        put(db, "k0", (1, 1))
threads.append(threading.Thread(target=write))
threads[-1].start()
for _ in range(5):
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        {GOING[how]}
        gc.collect()
        sys.exit(5)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
is_over = True
things[2].wait()
things[0].commit()
for thing in watches + ([] if path is None else feeds):
    thing.close() if isinstance(thing, khonsu.ChangeFeed) else thing.cancel()
for thread in threads:
    thread.join()
assert get(db, "new") == get(db, "other") == {{1: 0}}
if path is not None:
    feeds[0].close()
sound()
"""
    assert python(BEGIN + code, path).split() == ["5"] * 5


def test_child_closes_what_threads_wait_for(path: str) -> None:
    """Nor does it wait for locks that those threads had."""
    code = """
watch = db.watch("never")
threads = [waiting(lambda: watch.next())]
if path is not None:
    feed, changes = db.feed(prefix="never"), db.changes(prefix="never", follow=True)
    threads += [waiting(lambda: feed.next()), waiting(lambda: list(changes))]
def child():
    refused(watch.next)
    watch.cancel()
    watch.close()
    if path is not None:
        refused(feed.next)
        refused(next, changes)
        feed.cancel()
        feed.close()
        changes.close()
        assert changes.closed
    db.close()
print(forked(child), [thread.is_alive() for thread in threads] == [True] * len(threads))
watch.cancel()
if path is not None:
    feed.cancel()
    changes.close()
for thread in threads:
    thread.join()
watch.close()
if path is not None:
    feed.close()
sound()
"""
    assert python(BEGIN + code, path).split() == ["7", "True"]


# ---- forks in the midst of something -------------------------------------------------------------


def test_fork_inside_of_blocks(path: str) -> None:
    """The child leaves the parent's blocks: with an exception in peace, and otherwise refused."""
    code = """
parent = os.getpid()
for end in ("return", "raise"):
    try:
        with db.begin() as txn, txn.savepoint():
            txn["in"] = row(1)
            pid = os.fork()
            if pid == 0:
                signal.alarm(20)
                if end == "raise":
                    raise LookupError
            else:
                print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    except (LookupError, khonsu.ForkedError) as error:
        assert os.getpid() != parent
        os._exit(3 if type(error) is LookupError else 4)
    assert os.getpid() == parent
assert get(db, "in") == {1: 0}
sound()
"""
    assert python(BEGIN + code, path).split() == ["4", "3"]


def test_fork_inside_of_a_resolve_function(path: str) -> None:
    """The child is in the commit, and must not go on with it: the files are the parent's."""
    code = """
parent, codes = os.getpid(), []
def resolve(key, base, mine, theirs):
    pid = os.fork()
    if pid != 0:
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    else:
        signal.alarm(20)
    return row(5, os.getpid() == parent)
for _ in range(3):
    txn = db.begin(policy="callback", resolve=resolve)
    txn["k1"] = row(5)
    put(db, "k1", (4, 4))
    try:
        txn.commit()
    except khonsu.ForkedError:
        os._exit(3 if os.getpid() != parent else 4)
    assert os.getpid() == parent
    txn.close()
    assert get(db, "k1") == {5: 1}
print(codes)
sound()
"""
    assert python(BEGIN + code, path).strip() == "[3, 3, 3]"


def test_grandchildren(path: str) -> None:
    code = """
def child():
    own = khonsu.open()
    put(own, "k", (1, 1))
    def grandchild():
        for one in (db, own):
            try:
                one.begin()
                raise AssertionError("not refused")
            except khonsu.ForkedError:
                pass
        own.close(), db.close()
    assert forked(grandchild) == 7
    assert get(own, "k") == {1: 1}
    refused(db.begin)
    own.close()
print(forked(child))
sound()
"""
    assert python(BEGIN + code, path).split() == ["7"]


# ---- what a child opens itself -------------------------------------------------------------------


def test_child_opens_its_own(path: str, tmp_path: Any) -> None:
    """In memory, and what is on disk to read. To write there it would need RocksDB's threads."""
    code = """
other = sys.argv[2]
def reads():
    with khonsu.open() as own:
        put(own, "k", (1, 1))
        assert get(own, "k") == {1: 1} and own.watch() and own.stats()["commits"] == 1
    if path is not None:
        with khonsu.open(path, read_only=True) as own:
            assert get(own, "k1") == {1: 1}

def writes():
    with khonsu.open(other) as own:
        for i in range(100):
            put(own, f"k{i}", (1, 1))
        own.compact()
        own.verify()
    assert khonsu.verify(other)["ok"]

def writes_not():
    for call in (lambda: khonsu.open(other), lambda: khonsu.restore(path, other),
                 lambda: khonsu.backup_restore(other, other)):
        try:
            call()
            raise AssertionError("not refused")
        except khonsu.UnsupportedError as error:
            assert "'spawn'" in str(error) and "read_only=True" in str(error)

print(forked(reads), forked(writes if path is None else writes_not))
sound()
"""
    assert python(BEGIN + code, path, str(tmp_path / "other")).split() == ["7", "7"]


MULTIPROCESSING = """
import multiprocessing, os, signal, sys, warnings
from concurrent.futures import ProcessPoolExecutor
import khonsu
from tables import get, put, row

warnings.simplefilter("ignore")
path = sys.argv[1] or None
db = khonsu.open(path)
put(db, "k", (1, 1))
batch = db.get("k")

def ask(key):
    signal.alarm(20)
    try:
        db.get(key)
    except khonsu.ForkedError:
        return batch.value("v") if batch.num_rows else None

def own(number):
    signal.alarm(20)
    with khonsu.open() as own:
        put(own, "k", (1, number))
        return get(own, "k")

def fails():
    signal.alarm(20)
    db.begin()

if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool:
        print(pool.map(ask, ["k"] * 4), pool.map(own, range(2)))
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        print(list(pool.map(ask, ["k"] * 4)))
    process = context.Process(target=fails)
    process.start()
    process.join()
    print(process.exitcode)
    with db.begin() as txn:
        txn["k"] = row(2, 2)
        process = context.Process(target=own, args=[1])
        process.start()
        process.join()
        print(process.exitcode)
    assert get(db, "k") == {2: 2}
    if path is not None:
        db.verify()
    db.close()
"""


def test_multiprocessing(path: str) -> None:
    out = python(MULTIPROCESSING, path).splitlines()
    assert out == ["[1, 1, 1, 1] [{1: 0}, {1: 1}]", "[1, 1, 1, 1]", "1", "0"]
