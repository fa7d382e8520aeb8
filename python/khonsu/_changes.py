"""The change feed as an iterator and as an async iterator."""

import asyncio
import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import NamedTuple, Protocol

from khonsu import _core
from khonsu._core import Batch, Key
from khonsu._errors import BY_NAME, Error
from khonsu._options import Moment, timestamp_of

# A wait that nobody has ended by close() ends by itself after so many seconds: to look for signals
# (Ctrl-C), and so that a thread left behind by a cancelled task does not hold up the end of the
# event loop.
_WAIT = 0.25
# So many changes are taken by one visit to the worker thread: the visit costs more than a change.
_PORTION = 256


class Change(NamedTuple):
    """One key's change by one commit.

    Attributes:
        key: The key.
        timestamp: Of the commit.
        operation: ``"put"`` or ``"delete"``.
        batch: The new value; None for a deletion, and for keys_only.
        transaction: The id of the transaction.
        tag: The transaction's tag; empty without one.
        is_last: No more changes of this commit come (under the prefix that was asked for).
    """

    key: str
    timestamp: int
    operation: str
    batch: Batch | None
    transaction: int
    tag: str
    is_last: bool


class Feeds(Protocol):
    """What has a change feed: a database."""

    @property
    def closed(self) -> bool:
        """Whether it is closed, or about to be."""

    def feed(
        self, since: int = 0, prefix: Key = "", keys_only: bool = False, oldest: bool = False
    ) -> _core.Changes:
        """Open the feed."""


class ChangeFeed(Iterator[Change], AsyncIterator[Change]):
    """Changes in the order of their commits; made by ``db.changes``.

    It is an iterator, an async iterator, a context manager and an async context manager. One
    consumer at a time; ``close`` may be called by any thread, and ends a wait of the consumer. So
    does ``close`` of the database.
    """

    def __init__(
        self, feed: _core.Changes, *, follow: bool, since: int, db: Feeds | None = None
    ) -> None:
        """Take over an open feed of a database."""
        self._feed = feed
        self._db = db
        self._is_over = False  # the database was closed
        self._follow = follow
        self._position = since
        # What a worker thread has taken from the feed and nobody has got yet, each with the
        # position after it. A worker whose task was cancelled leaves its changes here: none is
        # lost.
        self._taken: deque[tuple[Change, int]] = deque()
        self._failure: Error | None = None
        self._lock = threading.Lock()  # of the feed: it takes one thread at a time
        self._closed = False
        self._process = os.getpid()

    @property
    def position(self) -> int:
        """The timestamp from which ``db.changes(since=position)`` goes on where this feed is.

        That of the last whole commit that was handed out, or passed over for having no key of the
        prefix. In the midst of a commit it is still before it.
        """
        return self._position

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def __iter__(self) -> "ChangeFeed":
        """Return self."""
        return self

    def __next__(self) -> Change:
        """The next change; waits for it if the feed follows.

        Raises:
            StopIteration: There are no more changes now (without follow), or the feed or the
                database was closed.
            TooOldError: The log no longer reaches back to where the feed is.
            PoisonedError: The log has failed: all that is durable was shown.
        """
        while not self._closed:
            if not self._taken and not self._take(1) and self._is_ended():
                break
            change = self._hand_out()
            if change is not None:
                return change
        raise StopIteration

    def __aiter__(self) -> "ChangeFeed":
        """Return self."""
        return self

    async def __anext__(self) -> Change:
        """As ``__next__``, without blocking the event loop: a thread waits.

        Cancelling the task loses no change: the next call goes on.
        """
        while not self._closed:
            change = self._hand_out()
            if change is not None:
                return change
            if not await asyncio.to_thread(self._take, _PORTION) and self._is_ended():
                break
        raise StopAsyncIteration

    def close(self) -> None:
        """End the feed, and a wait for its next change. Any thread; again is allowed."""
        if self._closed:
            return
        self._closed = True
        if os.getpid() != self._process:
            return  # the lock may be held by a thread of the parent
        self._feed.cancel()
        with self._lock:
            self._feed.close()

    def __enter__(self) -> "ChangeFeed":
        """Return self."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the feed."""
        self.close()

    async def __aenter__(self) -> "ChangeFeed":
        """Return self."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the feed."""
        # Not in a thread: cancel() has ended the wait that close() could meet, and what is awaited
        # here could be cancelled again.
        self.close()

    def _hand_out(self) -> Change | None:
        if self._taken:
            change, self._position = self._taken.popleft()
            return change
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        return None

    def _is_ended(self) -> bool:
        return self._is_over or not self._follow

    def _is_end_of_database(self, error: Error) -> bool:
        """Whether it is what close() of the database has left: it ends waits, then closes feeds."""
        is_end = isinstance(error, (BY_NAME["CancelledError"], BY_NAME["FinishedError"]))
        return is_end and self._db is not None and self._db.closed

    def _take(self, portion: int) -> bool:
        """Take up to `portion` changes; wait for the first if the feed follows.

        False: there was none (now, or within the bounded wait), which ends a feed that does not
        follow. A failure after some changes is kept until they were handed out.
        """
        if os.getpid() != self._process:
            self._feed.next(0)  # raises ForkedError; the lock may be held by a thread of the parent
        with self._lock:
            if self._taken or self._failure is not None:
                return True
            wait = _WAIT if self._follow else 0.0
            while len(self._taken) < portion and not self._closed:
                try:
                    taken = self._feed.next(wait)
                except Error as error:
                    self._is_over = self._is_end_of_database(error)
                    self._failure = None if self._closed or self._is_over else error
                    break
                if taken is None:
                    break
                self._taken.append((Change(*taken), self._feed.position))
                wait = 0.0
            if not self._taken and self._failure is None and not self._closed | self._is_over:
                self._position = self._feed.position  # commits without keys of the prefix
            return bool(self._taken) or self._failure is not None


def changes(
    db: Feeds,
    since: Moment | None = None,
    prefix: Key = "",
    *,
    follow: bool = False,
    keys_only: bool = False,
) -> ChangeFeed:
    """What was committed after a timestamp, in order.

    Args:
        db: A durable database.
        since: Changes of commits after this timestamp or datetime; None: all that the log still
            has, which is what ``retention`` keeps. To go on after a restart, keep a feed's
            ``position`` and pass it here: also when it is 0.
        prefix: Only keys that start with it.
        follow: Wait for further changes, instead of ending at what is there.
        keys_only: Without values, which is cheaper.

    Returns:
        A :class:`ChangeFeed`, for ``for`` and for ``async for``. Close it (``with``, ``close()``)
        when done.

    Raises:
        UnsupportedError: A database in memory, or one that is open as of a timestamp.
        TooOldError: Something after `since` is not in the log any more: read the database, and
            follow from there.
    """
    timestamp = 0 if since is None else timestamp_of(since)
    feed = db.feed(timestamp, prefix, keys_only, oldest=since is None)
    return ChangeFeed(feed, follow=follow, since=feed.position, db=db)
