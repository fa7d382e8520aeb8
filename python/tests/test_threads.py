"""Many threads at once: sums that stay, and transactions that admit one of them."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
import pytest
from crowds import in_threads
from tables import content, get, put, row

import khonsu

ACCOUNTS = 8
TRANSFERS = 60
WORKERS = 4


@pytest.mark.parametrize("durable", [False, True])
def test_transfers(durable: bool, tmp_path: Any) -> None:
    """Serializable: whoever looks sees the same sum."""
    db = khonsu.open(tmp_path / "db", sync="none") if durable else khonsu.open()
    for i in range(ACCOUNTS):
        put(db, f"account/{i}", (i, 100))

    def total(txn: Any) -> int:
        return sum(batch.value("v") for _, batch in txn.scan("account/"))

    def transfer(txn: Any, source: int, target: int) -> None:
        for account, amount in ((source, -1), (target, 1)):
            key = f"account/{account}"
            txn[key] = row(account, txn[key].value("v") + amount)

    def work(number: int) -> None:
        chance = random.Random(number)
        for i in range(TRANSFERS):
            source, target = chance.sample(range(ACCOUNTS), 2)
            db.run(transfer, source, target, isolation="serializable")
            if i % 5 == 0:
                found = db.run(total, isolation="serializable", read_only=True)
                assert found == 100 * ACCOUNTS

    in_threads(work, WORKERS)
    with db.begin() as txn:
        assert total(txn) == 100 * ACCOUNTS
    db.close()


def test_rows_of_one_table(db: Any) -> None:
    """Each thread has rows of its own: nobody conflicts, and nothing is lost."""

    def work(number: int) -> None:
        for i in range(TRANSFERS):
            with db.begin() as txn:
                txn.upsert("table", row(number, i))

    in_threads(work, WORKERS)
    assert get(db, "table") == dict.fromkeys(range(WORKERS), TRANSFERS - 1)


def test_one_transaction_for_all(db: Any) -> None:
    """Whoever comes second is refused, and nothing is half done."""
    txn = db.begin()
    done = [0] * WORKERS
    refused = [0] * WORKERS
    rows = pa.record_batch({"id": range(3000), "v": range(3000)})

    def work(number: int) -> None:
        while done[number] < 20:
            try:
                key = f"{number}/{done[number]}"
                txn[key] = rows
                assert len(txn[key]) == 3000
                with txn.savepoint():
                    txn[f"undone/{number}"] = row(1)
                list(txn.scan(f"{number}/"))
                done[number] += 1
            except (khonsu.MisuseError, khonsu.InvalidError):
                refused[number] += 1

    in_threads(work, WORKERS)
    txn.delete_range("undone")
    assert len(list(txn)) >= 20 * WORKERS
    txn.commit()


def test_ends_of_one_transaction(db: Any) -> None:
    """All threads end it: one does."""
    for i in range(30):
        txn = db.begin()
        txn[f"{i}"] = row(i)
        outcomes: list[Any] = []

        def end(number: int, txn: Any = txn, outcomes: list[Any] = outcomes) -> None:
            try:
                outcomes.append([txn.commit, txn.rollback, txn.close, txn.commit][number]())
            except (khonsu.MisuseError, khonsu.FinishedError):
                pass

        in_threads(end, WORKERS)
        with pytest.raises(khonsu.FinishedError):
            txn.commit()
        txn.close()
        assert len([1 for outcome in outcomes if outcome is not None]) <= 1
        assert (get(db, f"{i}") is not None) == any(outcome is not None for outcome in outcomes)


def test_readers_beside_a_writer(db: Any) -> None:
    """Two keys are always written together."""
    rounds = 100

    def work(number: int) -> None:
        for i in range(rounds):
            if number == 0:
                with db.begin() as txn:
                    txn["a"] = txn["b"] = row(1, i)
            else:
                with db.begin(read_only=True) as txn:
                    a, b = txn.get_many(["a", "b"])
                    assert (a is None) == (b is None) and (a is None or a == b)
                    if a is not None:
                        table = pa.table(txn.table())
                        assert len(set(table.column("v").to_pylist())) == 1

    in_threads(work, WORKERS)
    assert get(db, "a") == {1: rounds - 1}


def test_one_schema_for_all_threads() -> None:
    """The cache of schemas and what pyarrow made of them."""

    def work(number: int) -> None:
        for i in range(100):
            schema = khonsu.Schema({"id": "int64", f"column {i}": "utf8"})
            batch = schema.row(number, "x")
            assert batch.to_pyarrow().schema == schema.to_pyarrow() == batch.schema.to_pyarrow()

    in_threads(work, WORKERS)


def test_watch_and_feed_beside_writers(tmp_path: Any) -> None:
    db = khonsu.open(tmp_path / "db", sync="none")
    watch, feed = db.watch("k/"), db.feed(db.now, "k/")
    seen: dict[str, list[str]] = {"watch": [], "feed": []}
    everything = WORKERS * 10

    def work(number: int) -> None:
        if number == WORKERS:
            seen["watch"] = [next(watch)[0] for _ in range(everything)]
        elif number == WORKERS + 1:
            seen["feed"] = [feed.next()[0] for _ in range(everything)]
        else:
            for i in range(10):
                put(db, f"k/{number}/{i}", (number, i))

    in_threads(work, WORKERS + 2)
    assert seen["watch"] == seen["feed"] and len(set(seen["feed"])) == everything
    db.close()


def test_memory_that_needs_the_interpreter_to_go(db: Any) -> None:
    """Arrays over numpy's memory: the store's threads, too, ask for the interpreter to free it."""
    import numpy as np

    def work(number: int) -> None:
        for i in range(TRANSFERS):
            with db.begin(policy="replace") as txn:
                txn[f"{i % 3}"] = pa.record_batch({"id": pa.array(np.arange(3000) + number)})
                del txn[f"{(i + 1) % 3}"]
            db.step()

    in_threads(work, WORKERS)
    with db.begin() as txn:
        assert all(len(content_) == 3000 for _, content_ in txn.scan())


def test_resolve_functions_at_once(db: Any) -> None:
    put(db, "sum", (1, 0))

    def add(key: str, base: Any, mine: Any, theirs: Any) -> Any:
        return row(1, theirs.value("v") + mine.value("v") - base.value("v"))

    def work(number: int) -> None:
        for _ in range(TRANSFERS):
            with db.begin(policy="callback", resolve=add) as txn:
                txn["sum"] = row(1, txn["sum"].value("v") + 1)

    in_threads(work, WORKERS)
    assert content(db.begin()["sum"]) == {1: WORKERS * TRANSFERS}
