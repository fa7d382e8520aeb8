"""The change feed: khonsu._changes."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import khonsu


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Any]:
    database = khonsu.open(str(tmp_path / "db"), retention=3600)
    yield database
    database.close()


def rows(*values: int) -> pa.RecordBatch:
    return pa.record_batch({"n": pa.array(values, pa.int64())})


def put(db: Any, *keys: str, tag: str | None = None) -> int:
    txn = db.begin(tag=tag)
    for key in keys:
        txn[key] = rows(len(key))
    return int(txn.commit())


def keys_of(feed: Any) -> list[str]:
    return [change.key for change in feed]


def test_fields(db: Any) -> None:
    first = put(db, "a", "bb", tag="by hand")
    with db.begin() as txn:
        del txn["a"]
    with db.changes() as feed:
        a, bb, gone = list(feed)
    assert (a.key, a.operation, a.timestamp, a.tag) == ("a", "put", first, "by hand")
    assert a.batch.value("n") == 1
    assert (a.is_last, bb.is_last, gone.is_last) == (False, True, True)
    assert a.transaction == bb.transaction != gone.transaction
    assert (gone.key, gone.operation, gone.batch, gone.tag) == ("a", "delete", None, "")
    assert gone.timestamp > first


def test_prefix_and_keys_only(db: Any) -> None:
    put(db, "a/1", "b/1")
    put(db, "a/2")
    with db.changes(prefix="a/", keys_only=True) as feed:
        changes = list(feed)
    assert [change.key for change in changes] == ["a/1", "a/2"]
    assert [change.batch for change in changes] == [None, None]


def test_ends_now_and_goes_on_later(db: Any) -> None:
    put(db, "a")
    with db.changes() as feed:
        assert keys_of(feed) == ["a"]
        put(db, "b")
        assert keys_of(feed) == ["b"]


def test_position_resumes(db: Any) -> None:
    first = put(db, "a", "b")
    second = put(db, "c")
    with db.changes() as feed:
        assert feed.position == 0
        next(feed)
        assert feed.position < first  # in the midst of the commit
        next(feed)
        assert feed.position == first
        position = feed.position
    with db.changes(since=position) as feed:
        assert keys_of(feed) == ["c"]
        assert feed.position >= second


def test_position_passes_other_keys(db: Any) -> None:
    put(db, "a/1")
    last = put(db, "b/1")
    with db.changes(prefix="a/") as feed:
        assert keys_of(feed) == ["a/1"]
        assert feed.position >= last


def test_all_that_the_log_has_after_a_reopen(tmp_path: Path) -> None:
    path = str(tmp_path / "short")
    with khonsu.open(path) as db:
        put(db, "gone")
    with khonsu.open(path) as db:
        with db.changes() as feed:
            assert "later" not in keys_of(feed)
            position = feed.position
        put(db, "later")
        with db.changes() as feed:
            assert keys_of(feed)[-1] == "later"
        assert keys_of(db.changes(since=position)) == ["later"]
        for since in (0, 1):  # positions, behind which something is gone
            with pytest.raises(khonsu.TooOldError):
                db.changes(since=since)


def test_since_a_datetime(db: Any) -> None:
    put(db, "a")
    now = khonsu.datetime_of(put(db, "b"))
    assert keys_of(db.changes(since=now - dt.timedelta(minutes=1))) == ["a", "b"]
    assert keys_of(db.changes(since=now + dt.timedelta(minutes=1))) == []


@pytest.mark.parametrize("follow", [False, True])
def test_feed_ends_with_the_database(db: Any, follow: bool) -> None:
    put(db, "a")
    feed = db.changes(follow=follow)
    assert next(feed).key == "a"
    db.close()
    assert keys_of(feed) == []

    async def read() -> list[str]:
        return [change.key async for change in feed]

    assert asyncio.run(read()) == []


def test_closing_the_database_ends_a_wait(db: Any) -> None:
    put(db, "a")
    got_one = threading.Event()
    ends: list[Any] = []

    def consume() -> None:
        try:
            for _ in db.changes(follow=True):
                got_one.set()
            ends.append(None)
        except khonsu.Error as error:
            ends.append(error)

    consumer = threading.Thread(target=consume)
    consumer.start()
    assert got_one.wait(30)
    db.close()
    consumer.join(30)
    assert ends == [None]


def test_closing_the_database_ends_an_async_wait(db: Any) -> None:
    put(db, "a")

    async def consume() -> list[str]:
        got_one = asyncio.Event()
        keys: list[str] = []

        async def read() -> None:
            async for change in db.changes(follow=True):
                keys.append(change.key)
                got_one.set()

        reading = asyncio.ensure_future(read())
        await asyncio.wait_for(got_one.wait(), 30)
        await asyncio.to_thread(db.close)
        await reading
        return keys

    assert asyncio.run(consume()) == ["a"]


def test_cancelling_a_feed_is_an_error(db: Any) -> None:
    feed = db.changes(follow=True)
    feed._feed.cancel()
    with pytest.raises(khonsu.CancelledError):
        next(feed)


def test_closed_feed_ends(db: Any) -> None:
    put(db, "a", "b")
    feed = db.changes()
    next(feed)
    feed.close()
    feed.close()
    assert feed.closed
    assert keys_of(feed) == []


def test_memory_has_no_feed() -> None:
    with pytest.raises(khonsu.UnsupportedError):
        khonsu.open().changes()


def test_follow_waits_for_commits(db: Any) -> None:
    with db.changes(follow=True) as feed:
        put(db, "a")
        assert next(feed).key == "a"
        writer = threading.Thread(target=put, args=(db, "b"))
        writer.start()
        assert next(feed).key == "b"
        writer.join()


def test_close_ends_the_wait_of_another_thread(db: Any) -> None:
    feed = db.changes(follow=True)
    seen: list[str] = []
    got_one = threading.Event()

    def consume() -> None:
        for change in feed:
            seen.append(change.key)
            got_one.set()

    consumer = threading.Thread(target=consume)
    consumer.start()
    put(db, "a")
    assert got_one.wait(30)
    feed.close()
    consumer.join(30)
    assert not consumer.is_alive()
    assert seen == ["a"]


def test_async_without_follow(db: Any) -> None:
    names = [f"k/{number:04}" for number in range(700)]  # more than one portion
    put(db, *names)

    async def consume() -> list[str]:
        async with db.changes() as feed:
            return [change.key async for change in feed]

    assert asyncio.run(consume()) == names


def test_async_follow_lets_the_loop_run(db: Any) -> None:
    async def consume() -> list[str]:
        seen = []
        async with db.changes(follow=True) as feed:
            waiting = asyncio.ensure_future(anext(feed))
            await asyncio.to_thread(put, db, "a", "b")  # while anext waits
            seen.append((await waiting).key)
            async for change in feed:
                seen.append(change.key)
                if change.key == "b":
                    await asyncio.to_thread(put, db, "c")
                elif change.key == "c":
                    break
        return seen

    assert asyncio.run(consume()) == ["a", "b", "c"]


def test_async_position_is_of_what_was_handed_out(db: Any) -> None:
    first = put(db, "a")
    second = put(db, "b")

    async def consume() -> tuple[int, int]:
        async with db.changes() as feed:
            await anext(feed)  # the thread has taken both
            before = feed.position
            await anext(feed)
            return before, feed.position

    assert asyncio.run(consume()) == (first, second)


def test_cancelled_task_loses_no_change(db: Any) -> None:
    async def consume() -> list[str]:
        started = asyncio.Event()

        async def wait(feed: Any) -> Any:
            started.set()  # whoever waits for it runs once this is suspended in the next line
            return await anext(feed)

        async with db.changes(follow=True) as feed:
            waiting = asyncio.ensure_future(wait(feed))
            await started.wait()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await asyncio.to_thread(put, db, "a", "b")
            return [(await anext(feed)).key, (await anext(feed)).key]

    assert asyncio.run(consume()) == ["a", "b"]


def test_close_ends_an_async_wait(db: Any) -> None:
    async def consume() -> list[str]:
        feed = db.changes(follow=True)
        started = asyncio.Event()

        async def read() -> list[str]:
            started.set()
            return [change.key async for change in feed]

        reading = asyncio.ensure_future(read())
        await started.wait()
        feed.close()
        return await reading

    assert asyncio.run(consume()) == []


def test_cancelling_a_reader_ends_cleanly(db: Any) -> None:
    async def read(started: asyncio.Event) -> None:
        async with db.changes(follow=True) as feed:
            async for _ in feed:
                started.set()

    async def main() -> None:
        started = asyncio.Event()
        reading = asyncio.ensure_future(read(started))
        await asyncio.to_thread(put, db, "a")
        await started.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

    asyncio.run(main())
    db.close()  # no feed is left open


def test_failure_comes_after_what_was_taken(db: Any) -> None:
    from khonsu._changes import ChangeFeed

    class Feed:
        position = 5
        answers: list[Any] = [
            ("a", 5, "put", None, 1, "", True),
            khonsu.TooOldError("gone"),
            ("b", 6, "put", None, 2, "", True),
        ]

        def next(self, timeout: float | None = None) -> Any:
            answer = self.answers.pop(0) if self.answers else None
            if isinstance(answer, Exception):
                raise answer
            return answer

        def cancel(self) -> None: ...

        def close(self) -> None: ...

    async def consume() -> list[str]:
        feed = ChangeFeed(Feed(), follow=False, since=0)  # type: ignore[arg-type]
        seen = [(await anext(feed)).key]
        with pytest.raises(khonsu.TooOldError):
            await anext(feed)
        seen.append((await anext(feed)).key)
        return seen

    assert asyncio.run(consume()) == ["a", "b"]
