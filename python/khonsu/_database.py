"""Databases: the C extension's, and what is made of it in Python."""

from __future__ import annotations

import atexit
import contextlib
import datetime as dt
import json
import logging
import weakref
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, TypeVarTuple, Unpack, overload

from . import _changes, _core, _files, _run, _save, _sql
from ._errors import BY_NAME, Error
from ._options import (
    Isolation,
    Moment,
    Policy,
    Sync,
    TransactionOptions,
    WorkspaceOptions,
    check_names,
    explain,
    timestamp_of,
)
from ._sources import PathLike
from ._transaction import Transaction
from ._workspace import Workspace

_P = ParamSpec("_P")
_R = TypeVar("_R")
_Args = TypeVarTuple("_Args")

_log = logging.getLogger("khonsu")
_LEVELS = {0: logging.ERROR, 1: logging.WARNING, 2: logging.INFO}
_open: weakref.WeakSet[Database] = weakref.WeakSet()


class Database(_core.Database):
    """A database: :func:`khonsu.open` makes one. Any number of threads may use it at once."""

    def __init__(self, path: Any = None, **options: Any) -> None:
        if options.get("as_of") is not None and not options.get("read_only"):
            raise BY_NAME["InvalidError"]("as_of shows a past state: say read_only=True with it")
        try:
            super().__init__(path, **options)
        except (TypeError, ValueError):
            explain(options)
            raise
        _open.add(self)
        self._tell()

    def _tell(self) -> None:
        for level, text in self.messages():
            _log.log(_LEVELS[level], "%s", text)

    def close(self) -> None:
        """Close; transactions that are open are rolled back, watches and feeds end.

        What was read stays valid. Closing twice is allowed. InUseError: another thread is in a
        call.
        """
        super().close()
        self._tell()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ---- transactions ----------------------------------------------------------------------------

    def begin(self, **options: Unpack[TransactionOptions]) -> Transaction:
        """Begin a transaction.

        Args:
            isolation: "read_committed", "repeatable_read" (a snapshot) or "serializable".
            policy: What happens to a write of a key of which a rival committed a version: "fail",
                "ignore", "replace", "append", "merge" (three-way, by row id) or "callback".
            read_only: Only reads; has no timeout.
            deferrable: Read-only and serializable, and never aborted: waits for a safe snapshot. A
                signal does not end this wait, `timeout` does (BusyError).
            timeout: Seconds from begin to commit; 0, as None, is the database's own.
            tag: Carried in the log's record and in the change feed.
            id_column: Of row operations and policies.
            sync: When a commit answers: "full", "group" or "none".
            at: Read as of this timestamp or datetime.
            resolve: Function of (key, base, mine, theirs) for policy "callback": answers rows, None
                (delete), khonsu.DROP or khonsu.CONFLICT.
            lock_wait: Whether its commit waits for keys that others have locked (True), or is
                refused with LockConflictError (False).
            priority: In a deadlock, of a database with lock_victim="lowest_priority".

        Raises:
            BusyError: Too many transactions are open.
            TooOldError: History does not reach back to `at`.
        """
        if options:
            moment = options.get("at")
            if moment is not None:
                options["at"] = timestamp_of(moment)
        try:
            return Transaction(self, **options)
        except (TypeError, ValueError):
            check_names("begin", options, TransactionOptions)
            explain(options)
            raise

    def workspace(self, **options: Unpack[WorkspaceOptions]) -> Workspace:
        """Begin a workspace: a transaction that carries an embedding of its change.

        Args:
            mode: What the embedding decides at commit: "keys" (nothing), "guard" (the commit is
                refused when its change is conflicting with or opposite to one that it has not
                seen) or "merge" (and changes of the same keys are merged where they may be).
                Default: the database's.
            embed: Function of the list of operations that answers (before, after), or None. Called
                by the commit when something was written and not both sides were set; it may read
                through the workspace. What it raises is passed on, and the workspace goes on.
            thresholds: Of the classes, when this workspace commits.
            operations_max: How many operations are allowed; default 1,000 (TooBigError).
            isolation: As of :meth:`begin`, like policy, tag, id_column, sync, resolve, lock_wait
                and priority.
            timeout: Seconds from begin to commit; default 5.

        Raises:
            BusyError: Too many transactions are open.
        """
        try:
            return Workspace(self, **options)
        except (TypeError, ValueError):
            check_names("workspace", options, WorkspaceOptions)
            explain(options)
            raise

    def commit_together(self, workspaces: Iterable[_core.Workspace]) -> int:
        """Commit several workspaces, all or none, as one commit; the timestamp that all have.

        Each is judged by its own rules, against what others have committed and against the rest of
        these. No order is asked for: one is found in which each could have committed right after
        the one before. The embed functions are called first, one after the other; what one raises
        is passed on.

        When it is refused, ``error.workspace`` is the one that it failed by, and it alone has
        failed: it can be retried. The others are active as before, and can be committed without it,
        together or by themselves. None: it failed by none of them (and when the log has failed,
        all have). In a ``with`` block of its own a workspace that was committed here is not
        committed again, and one that is active is committed at the end, by itself.

        Raises:
            ConflictError, NotSerializableError, SemanticConflictError, ...: As by
                ``Workspace.commit``. Of two that do not fit beside each other `rival` is None:
                `holder`, or `rival_transaction`, has the id of the other's transaction.
            InvalidError: None at all, one of them twice, or one of another database.
            TooBigError: More than 256.
            MisuseError: One is used by another thread, or prepared.

        >>> import khonsu
        >>> n = khonsu.Schema({"n": "int64"})
        >>> with khonsu.open() as db, db.workspace() as ann, db.workspace() as ben:
        ...     ann["a"], ben["b"] = n.row(1), n.row(2)
        ...     timestamp = db.commit_together([ann, ben])
        ...     ann.timestamp == ben.timestamp == db.now == timestamp
        True
        """
        return super().commit_together(workspaces)

    @overload
    def get(self, key: _core.Key) -> _core.Batch | None: ...

    @overload
    def get(self, key: _core.Key, default: _R) -> _core.Batch | _R: ...

    def get(self, key: _core.Key, default: Any = None) -> Any:
        """The newest committed batch of one key, in a transaction of its own.

        >>> import khonsu
        >>> with khonsu.open() as db:
        ...     with db.begin() as txn:
        ...         txn["x"] = khonsu.Schema({"n": "int64"}).row(1)
        ...     db.get("x").value("n")
        1
        """
        with Transaction(self, read_only=True) as txn:
            return txn.get(key, default)

    def history(
        self, key: _core.Key, start: Moment = 0, stop: Moment | None = None
    ) -> list[tuple[int, _core.Batch | None]]:
        """The key's versions with timestamps in [start, stop] that are kept, newest first.

        Each is (timestamp, Batch), or (timestamp, None) for a deletion. Versions are kept for the
        database's retention.
        """
        last = None if stop is None else timestamp_of(stop)
        return super().history(key, timestamp_of(start), last)

    def at(self, moment: Moment) -> Transaction:
        """A read-only transaction as of a moment: a commit timestamp, or a datetime.

        >>> import khonsu
        >>> n = khonsu.Schema({"n": "int64"})
        >>> with khonsu.open(retention=60) as db:
        ...     with db.begin() as txn:
        ...         txn["x"] = n.row(1)
        ...     before = db.now
        ...     with db.begin() as txn:
        ...         txn["x"] = n.row(2)
        ...     with db.at(before) as txn:
        ...         txn["x"].value("n")
        1
        """
        return Transaction(self, at=timestamp_of(moment))

    # Three signatures, for type checkers: lambdas have their types from one without "...".
    @overload
    def run(
        self,
        fn: Callable[[Transaction], _R],
        *,
        attempts: int = 100,
        on_retry: _run.OnRetry | None = None,
        **options: Unpack[TransactionOptions],
    ) -> _R: ...

    @overload
    def run(
        self,
        fn: Callable[[Transaction, *_Args], _R],
        *args: *_Args,
        attempts: int = 100,
        on_retry: _run.OnRetry | None = None,
        **options: Unpack[TransactionOptions],
    ) -> _R: ...

    @overload
    def run(
        self,
        fn: Callable[Concatenate[Transaction, ...], _R],
        *args: Any,
        attempts: int = 100,
        on_retry: _run.OnRetry | None = None,
        **options: Unpack[TransactionOptions],
    ) -> _R: ...

    def run(  # type: ignore[misc]  # mypy 2 does not match "*args: Any" with the second
        self,
        fn: Callable[..., _R],
        *args: Any,
        attempts: int = 100,
        on_retry: _run.OnRetry | None = None,
        **options: Unpack[TransactionOptions],
    ) -> _R:
        """Call ``fn(txn, *args)`` in a transaction, again while it is refused, and commit.

        See :func:`khonsu._run.run`.
        """
        return _run.run(self, fn, *args, attempts=attempts, on_retry=on_retry, **options)

    def transactional(
        self,
        *,
        attempts: int = 100,
        on_retry: _run.OnRetry | None = None,
        **options: Unpack[TransactionOptions],
    ) -> Callable[[Callable[Concatenate[Transaction, _P], _R]], Callable[_P, _R]]:
        """A decorator: the function's first argument is a transaction, with automatic retries.

        >>> import khonsu
        >>> n = khonsu.Schema({"n": "int64"})
        >>> db = khonsu.open()
        >>> @db.transactional(isolation="serializable")
        ... def count(txn, key):
        ...     before = txn.get(key)
        ...     txn[key] = n.row(1 + (before.value("n") if before is not None else 0))
        ...     return txn[key].value("n")
        >>> count("visits"), count("visits")
        (1, 2)
        """
        return _run.transactional(self, attempts=attempts, on_retry=on_retry, **options)

    # ---- SQL, files, changes ---------------------------------------------------------------------

    def sql(
        self,
        query: str,
        params: object = None,
        *,
        at: Moment | None = None,
        separator: str = "/",
        key_column: str | None = None,
    ) -> Any:
        """Ask DuckDB, over one snapshot of the database: see :func:`khonsu._sql.sql`."""
        moment = None if at is None else timestamp_of(at)
        return _sql.sql(self, query, params, at=moment, separator=separator, key_column=key_column)

    def load(
        self,
        source: Any,
        prefix: str,
        by: str | Sequence[str | tuple[str, str]] = (),
        **options: Unpack[_files.LoadOptions],
    ) -> _files.Loaded:
        """Store the rows of files or of Arrow data, partitioned into keys by columns.

        The options are format, columns, if_exists, on, batch_rows, separator, progress and resume:
        see :func:`khonsu._files.load`.
        """
        check_names("load", options, _files.LoadOptions)
        return _files.load(self, source, prefix, by, **options)

    def save(
        self, prefix: str, target: PathLike, **options: Unpack[_save.SaveOptions]
    ) -> _save.Saved:
        """Write the rows under a prefix to a file, or to one file a key.

        The options are format, partition and separator: see :func:`khonsu._save.save`.
        """
        check_names("save", options, _save.SaveOptions)
        return _save.save(self, prefix, target, **options)

    def changes(
        self,
        since: Moment | None = None,
        prefix: _core.Key = "",
        *,
        follow: bool = False,
        keys_only: bool = False,
    ) -> _changes.ChangeFeed:
        """What was committed after a timestamp, in order: for ``for`` and ``async for``.

        See :func:`khonsu._changes.changes`.
        """
        return _changes.changes(self, since, prefix, follow=follow, keys_only=keys_only)

    # ---- the database itself ---------------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """Counters and sizes, as in kh_stats of the C library.

        >>> import khonsu
        >>> with khonsu.open() as db:
        ...     db.stats()["commits"]
        0
        """
        self._tell()
        found: dict[str, Any] = json.loads(self.stats_text("json"))
        return found

    def verify(self) -> dict[str, Any]:
        """Check everything that is on disk, on a copy of it: the database is in use.

        A backup is made in a temporary directory beside it and read back, with every checksum, the
        chain of digests and every value. For a database that no process has open, and for the
        comparison of the log with the storage: :func:`khonsu.verify`.

        Raises:
            CorruptError: Something is wrong.
            UnsupportedError: The database is in memory.
        """
        import os
        import tempfile

        if self.path is None:
            return self.backup("")  # the library says why not
        parent = os.path.dirname(os.path.abspath(self.path))
        with tempfile.TemporaryDirectory(dir=parent, prefix=".khonsu-verify-") as directory:
            return self.backup(directory)


def open(
    path: Any = None,
    *,
    read_only: bool = False,
    isolation: Isolation | None = None,
    policy: Policy | None = None,
    id_column: str | None = None,
    timeout: float | None = None,
    retention: float | dt.timedelta = 0,
    retention_bytes: int = 0,
    memory: int = 0,
    sync: Sync | None = None,
    sync_delay: float | None = None,
    as_of: Moment | None = None,
    **options: Any,
) -> Database:
    """Open a database: in memory, or in a directory that is made if it is absent.

    Args:
        path: The directory; None: in memory.
        read_only: Change nothing, also while another process writes.
        isolation: Of transactions that do not say; default "repeatable_read".
        policy: Of writes that do not say; default "fail".
        id_column: Of row operations and of the policies append and merge; default "id".
        timeout: Seconds that a writing transaction may take; 0 or None: the default, 5.
        retention: How long history is kept, in seconds (or a timedelta); default 0.
        retention_bytes: And at most so many bytes of it; 0: no bound.
        memory: Bytes that the database may take; with a path, values that were not read lately
            leave memory. 0: no bound.
        sync: When commits answer: "full" (on disk; the default), "group" or "none".
        sync_delay: Seconds that a sync may wait for company.
        as_of: With read_only: the state at this timestamp or datetime.
        **options: threads=False (the caller runs step()), ingest, validation ("full" or
            "structure"), limits (a dict, as in kh_limits), node, resolve (for policy "callback");
            those of workspaces and locks are in the guide.

    Raises:
        InUseError, InvalidError, CorruptError, StorageError, UnsupportedError: as kh_db_open says.

    Whatever is open when the interpreter ends is closed.
    """
    if isinstance(retention, dt.timedelta):
        retention = retention.total_seconds()
    return Database(
        path,
        read_only=read_only,
        isolation=isolation,
        policy=policy,
        id_column=id_column,
        timeout=timeout,
        retention=retention,
        retention_bytes=retention_bytes,
        memory=memory,
        sync=sync,
        sync_delay=sync_delay,
        as_of=None if as_of is None else timestamp_of(as_of),
        **options,
    )


def _still_open() -> list[Database]:
    while True:
        try:
            return list(_open)
        except RuntimeError:  # another thread has opened or left one meanwhile
            continue


@atexit.register
def _close_all() -> None:
    for db in _still_open():
        with contextlib.suppress(Error):
            db.close()
