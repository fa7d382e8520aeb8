"""A program that uses the package as the guide does; mypy checks it, and a test runs it."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path

import khonsu

flight = khonsu.Schema({"id": "int64", "delay": "int64"})


def count(txn: khonsu.Transaction, prefix: str, least: int = 0) -> int:
    return sum(len(batch) >= least for _, batch in txn.scan(prefix))


def write(txn: khonsu.Transaction) -> None:
    txn["flights/AA"] = flight.rows([(1, 5), (2, 0)])
    txn["flights/UA"] = flight.rows([{"id": 3, "delay": 30}])
    txn.upsert("flights/UA", flight.row(4, 7))
    txn.delete_rows("flights/UA", [4])
    old: khonsu.Batch | None = txn.get("nobody")
    assert old is None and txn.get("nobody", 7) == 7
    with txn.savepoint():
        del txn["flights/UA"]
    txn.lock("flights/AA", wait=False)


def retries(db: khonsu.Database) -> None:
    removed: int = db.run(lambda txn: txn.delete_range("flights"))
    db.run(write)
    keys: list[str] = db.run(lambda txn: list(txn.keys("flights/")), read_only=True)
    assert removed == 0 and keys == ["flights/AA", "flights/UA"][: len(keys)]
    found: int = db.run(count, "flights/", 1, isolation="serializable", attempts=3)
    assert found == len(keys)
    db.run(lambda txn, key: txn.put(key, flight.row(1, 1)), "flights/one")

    @db.transactional(isolation="serializable")
    def delay(txn: khonsu.Transaction, key: str) -> int:
        batch = txn[key]
        return int(batch.value("delay"))

    late: int = delay("flights/AA")
    assert late == 5


def errors(db: khonsu.Database) -> None:
    first, second = db.begin(), db.begin(policy="fail")
    first["x"] = second["x"] = flight.row(1, 1)
    timestamp: int = first.commit()
    try:
        second.commit()
    except khonsu.ConflictError as error:
        key: str | None = error.key
        rival: int | None = error.rival
        assert key == "x" and rival == timestamp and error.transaction == second.id
    try:
        second.commit()
    except khonsu.RetryError:
        raise
    except (khonsu.FinishedError, khonsu.InvalidError) as error:
        status: str = error.status
        assert status == "KH_FINISHED" and error.holder is None and error.workspace is None
    try:
        db.begin()["nothing"]
    except khonsu.NotFoundError as error:
        missing: KeyError = error
        assert missing is error


def workspaces(db: khonsu.Database) -> None:
    with db.workspace(mode="guard") as ws:
        ws["notes"] = flight.row(1, 1)
        ws.before([0.0, 1.0])
        ws.after([0.5, 1.0])
    try:
        db.commit_together([])
    except khonsu.SemanticConflictError as error:
        ids: tuple[str, ...] = error.keys
        similarity: float | None = error.similarity
        culprit: khonsu.Workspace | None = error.workspace
        raise AssertionError(ids, similarity, culprit, error.delta, error.kind) from error
    except khonsu.DeadlockError as error:
        cycle: tuple[int, ...] = error.cycle
        raise AssertionError(cycle) from error
    except khonsu.InvalidError as error:
        assert error.workspace is None


def history(db: khonsu.Database, where: Path) -> None:
    before: int = db.now
    assert khonsu.datetime_of(before).tzinfo is not None
    with db.at(before) as txn:
        assert len(txn["flights/AA"]) == 2
    versions: list[tuple[int, khonsu.Batch | None]] = db.history("flights/AA")
    assert len(versions) == 1
    with db.changes() as feed:
        change: khonsu.Change = next(iter(feed))
        assert change.key.startswith("flights/")
    assert db.backup(str(where / "backups"))["number"] == 1


async def start(db: khonsu.Database) -> int | None:
    txn = db.begin()
    txn["later"] = flight.row(1, 1)
    txn.commit_start()
    ready = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(txn.fileno(), ready.set)
    await ready.wait()
    loop.remove_reader(txn.fileno())
    return txn.poll()


def main(where: Path) -> None:
    with khonsu.open(str(where / "db"), retention=dt.timedelta(hours=1)) as db:
        retries(db)
        errors(db)
        workspaces(db)
        history(db, where)
        assert asyncio.run(start(db)) is not None
