"""Databases in a directory: reopen, copies, proofs, and several processes."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from tables import content, get, put, python, row

import khonsu

pytestmark = pytest.mark.skipif(
    not khonsu.has_feature("durable"), reason="the library was built without RocksDB"
)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "db")


def test_reopen(path: str) -> None:
    with khonsu.open(path) as db:
        assert db.path == path
        txn = db.begin(tag="first")
        txn["k"] = row(1, 1)
        timestamp = txn.commit()
        held = db.begin()
        held["held"] = row(2)
        held.prepare()
        lost = db.begin()
        lost["lost"] = row(3)
        identity = db.identity
    with khonsu.open(Path(path)) as db:
        assert db.identity == identity and get(db, "k") == {1: 1} and get(db, "lost") is None
        assert db.outcome(txn.id) == ("committed", timestamp)
        assert db.outcome(held.id) == ("prepared", None)
        assert db.outcome(lost.id)[0] == "aborted"
        with pytest.raises(khonsu.HeldError):
            put(db, "held", (1, 1))
        db.decide(held.id, True)
        assert get(db, "held") == {2: 0}
    with khonsu.open(path) as db:
        assert db.outcome(held.id)[0] == "committed"


@pytest.mark.parametrize("sync", ["full", "group", "none"])
def test_syncs(path: str, sync: str) -> None:
    with khonsu.open(path, sync=sync, sync_delay=0.001) as db:
        put(db, "k", (1, 1))
        with db.begin(sync="full") as txn:
            txn["l"] = row(2, 2)
            txn.commit_start()
            while txn.poll() is None:
                pass
    with khonsu.open(path) as db:
        assert get(db, "k") == {1: 1} and get(db, "l") == {2: 2}


def test_reads_of_every_kind(path: str) -> None:
    with khonsu.open(path) as db:
        for i in range(20):
            put(db, f"k/{i:02}", (i, i))
    with khonsu.open(path) as db, db.begin() as txn:
        assert [content(batch) for _, batch in txn.scan("k/", reverse=True, limit=2)] == [
            {19: 19},
            {18: 18},
        ]
        assert txn.table("k/").num_rows == 20 and "k/07" in txn
        assert [b is None for b in txn.get_many(["k/03", "x"])] == [False, True]


def test_backup(path: str, tmp_path: Path) -> None:
    backups, target = str(tmp_path / "backups"), str(tmp_path / "restored")
    with khonsu.open(path) as db:
        put(db, "k", (1, 1))
        first = db.backup(backups)
        put(db, "k", (2, 2))
        second = db.backup(backups, quick=True)
        assert db.verify()["timestamp"] >= second["timestamp"]
    assert khonsu.backup_list(backups) == [first, second]
    khonsu.backup_restore(backups, target, first["number"])
    with khonsu.open(target) as db:
        assert get(db, "k") == {1: 1}
    khonsu.backup_purge(backups, 1)
    assert [entry["number"] for entry in khonsu.backup_list(backups)] == [second["number"]]
    with pytest.raises(khonsu.InvalidError):
        khonsu.backup_purge(backups, 0)
    with pytest.raises(khonsu.InvalidError):
        khonsu.backup_purge(backups, -1)
    with pytest.raises(khonsu.Error):
        khonsu.backup_restore(backups, target)


def test_restore_in_time(path: str, tmp_path: Path) -> None:
    target = str(tmp_path / "then")
    with khonsu.open(path, retention=3600) as db:
        first = put(db, "k", (1, 1))
        put(db, "k", (2, 2))
        identity = db.identity
    assert khonsu.restore(path, target, to=first)["keys"] == 1
    with khonsu.open(target) as db:
        assert get(db, "k") == {1: 1}
        assert db.identity[1] != identity[1]


def test_restore_to_a_datetime(path: str, tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    with khonsu.open(path, retention=3600) as db:
        first = put(db, "k", (1, 1))
        while put(db, "other", (1, 1)) >> 16 < (first >> 16) + 2:
            pass  # the next millisecond begins
        put(db, "k", (2, 2))
        db.backup(str(backups))
    moment = khonsu.datetime_of(first) + dt.timedelta(microseconds=1500)
    khonsu.restore(Path(path), tmp_path / "one", to=moment)
    local = moment.astimezone().replace(tzinfo=None)
    khonsu.backup_restore(backups, tmp_path / "two", to=local)
    for target in ("one", "two"):
        with khonsu.open(tmp_path / target) as db:
            assert get(db, "k") == {1: 1}
    with pytest.raises(TypeError, match="datetime or a commit timestamp"):
        khonsu.restore(path, tmp_path / "three", to="yesterday")  # type: ignore[arg-type]


def test_verify(path: str) -> None:
    with khonsu.open(path) as db:
        put(db, "k", (1, 1))
        number, _, digest = db.head()
        assert isinstance(db.prove("k"), str)
        with pytest.raises(khonsu.NotFoundError):
            db.prove("absent")
    report = khonsu.verify(path, expect=digest, expect_number=number)
    assert report["ok"] and report["keys"] == 1 and report["expectation"] in ("head", "earlier")
    assert not khonsu.verify(path, expect=bytes(32), expect_number=number)["ok"]
    with pytest.raises(ValueError, match="32"):
        khonsu.verify(path, expect=b"short")
    with pytest.raises(khonsu.InvalidError):
        khonsu.verify(path + "-not")


def test_read_only(path: str) -> None:
    with khonsu.open(path, retention=3600) as writer:
        first = put(writer, "k", (1, 1))
        put(writer, "k", (2, 2))
        with khonsu.open(path, read_only=True) as db:
            assert get(db, "k") == {2: 2}
            with pytest.raises(khonsu.ReadOnlyError):
                put(db, "k", (3, 3))
            with db.at(first) as txn:
                assert content(txn["k"]) == {1: 1}
        with khonsu.open(path, read_only=True, as_of=first) as db:
            assert get(db, "k") == {1: 1} and db.now == first


def test_in_use_by_another_process(path: str) -> None:
    code = """
import sys, khonsu
try:
    khonsu.open(sys.argv[1])
except khonsu.InUseError as error:
    print("in use", isinstance(error, khonsu.StopError))
with khonsu.open(sys.argv[1], read_only=True) as db, db.begin() as txn:
    print(txn["k"].value("v"))
"""
    with khonsu.open(path) as db:
        put(db, "k", (1, 5))
        assert python(code, path).split() == ["in", "use", "True", "5"]
        with pytest.raises(khonsu.InUseError):
            khonsu.open(path)


def test_another_process_dies_in_the_midst(path: str) -> None:
    code = """
import os, sys, khonsu
from tables import put, row
db = khonsu.open(sys.argv[1])
put(db, "k", (1, 1))
txn = db.begin()
txn["k"] = row(2)
os._exit(7)
"""
    python(code, path, expect=7)
    with khonsu.open(path) as db:
        assert get(db, "k") == {1: 1}


def test_feed(path: str) -> None:
    with khonsu.open(path) as db:
        put(db, "k", (1, 1))
        feed = db.feed(0, "k")
        key, timestamp, operation, batch, txn_id, tag, is_last = feed.next(60)
        assert (key, operation, content(batch), is_last) == ("k", "put", {1: 1}, True)
        assert feed.position == timestamp == db.now and db.outcome(txn_id)[0] == "committed"
        assert feed.next(0) is None
        feed.cancel()
        with pytest.raises(khonsu.CancelledError):
            feed.next()
        feed.close()
        with pytest.raises(khonsu.FinishedError):
            feed.next(0)
        with pytest.raises(khonsu.InvalidError):
            db.feed(-1)
    assert tag == ""


def test_messages(path: str) -> None:
    db: Any = khonsu._core.Database(path)
    assert all(isinstance(level, int) and text for level, text in db.messages())
    assert db.messages() == []
    db.close()
    assert db.messages() == []
