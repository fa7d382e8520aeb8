"""Exceptions: one class for each status of khonsu.h, made from its list.

Every one is an :class:`Error`. What to do is told by a second base class, as the C library's
status classes tell it: :class:`RetryError` (run the whole transaction again), :class:`AskError`
(the outcome is not known yet: ask ``Database.outcome``), :class:`StopError` (change something
first).
Some are also an exception of Python that says the same: a missing key is a ``KeyError``, memory
that ran out is a ``MemoryError``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _core

if TYPE_CHECKING:
    from ._workspace import Workspace


class Error(Exception):
    """A call of khonsu failed."""

    status: str = "KH_?"
    """Name of the status in ``khonsu/status.h``."""
    number: int = -1
    """Its number, on which programs in other languages agree."""
    key: str | None = None
    """The key that it is about, if it is about one."""
    rival: int | None = None
    """Commit timestamp of the version that stood in the way, if it is known."""
    transaction: int | None = None
    """Id of the transaction that failed."""
    holder: int | None = None
    """Id of the transaction that holds the key, prepared (:class:`HeldError`) or by a lock
    (:class:`LockConflictError`, :class:`DeadlockError`)."""
    workspace: Workspace | None = None
    """Of ``Database.commit_together``: the workspace that it failed by; None: of none of them."""


class RetryError(Error):
    """Nothing was applied: run the whole transaction again. ``Database.run`` does."""


class AskError(Error):
    """The outcome is not known yet: ask ``Database.outcome`` by the transaction's id."""


class StopError(Error):
    """The same call gives the same answer: change something first."""


_CLASSES = {"DONE": Error, "RETRY": RetryError, "ASK": AskError, "STOP": StopError}

# Where the status' own name would be a poor one.
_NAMES = {
    "KH_UNKNOWN": "OutcomeUnknownError",
    "KH_NO_MEMORY": "OutOfMemoryError",
    "KH_IO": "StorageError",
    "KH_INVALID": "InvalidError",
}

# Exceptions of Python that mean the same.
_ALSO: dict[str, type[Exception]] = {
    "KH_NOT_FOUND": KeyError,
    "KH_INVALID": ValueError,
    "KH_INVALID_DATA": ValueError,
    "KH_SCHEMA_MISMATCH": TypeError,
    "KH_NO_MEMORY": MemoryError,
    "KH_IO": OSError,
    "KH_NO_SPACE": OSError,
    "KH_UNSUPPORTED": NotImplementedError,
}


# What some carry besides; documented in docs/python.md.
_DETAILS: dict[str, dict[str, object]] = {
    "KH_DEADLOCK": {"cycle": ()},
    "KH_SEMANTIC_CONFLICT": {
        "rival_transaction": None,
        "keys": (),
        "kind": None,
        "similarity": None,
        "delta": None,
    },
}


def _class_name(status: str) -> str:
    words = status.removeprefix("KH_").split("_")
    return _NAMES.get(status, "".join(word.capitalize() for word in words) + "Error")


def _make() -> dict[int, type[Error]]:
    made: dict[int, type[Error]] = {}
    for status, number, kind, meaning in _core.STATUSES:
        if kind == "DONE" and status != "KH_NOT_FOUND":
            continue
        bases: tuple[type[Exception], ...] = (_CLASSES[kind],)
        if status in _ALSO:
            bases += (_ALSO[status],)
        name = _class_name(status)
        body = {
            "__doc__": meaning[0].upper() + meaning[1:] + ".",
            "__module__": "khonsu",
            "__str__": Exception.__str__,
            "status": status,
            "number": number,
            **_DETAILS.get(status, {}),
        }
        made[number] = type(name, bases, body)
    return made


BY_NUMBER = _make()
BY_NAME = {kind.__name__: kind for kind in BY_NUMBER.values()}
_core._set_exceptions(BY_NUMBER)

if TYPE_CHECKING:  # what _make makes, for type checkers; a test compares them

    class NotFoundError(Error, KeyError): ...

    class ConflictError(RetryError): ...

    class NotSerializableError(RetryError): ...

    class BusyError(RetryError): ...

    class ExpiredError(RetryError): ...

    class HeldError(RetryError): ...

    class LockConflictError(RetryError): ...

    class DeadlockError(RetryError):
        cycle: tuple[int, ...]

    class SemanticConflictError(RetryError):
        rival_transaction: int | None
        keys: tuple[str, ...]
        kind: str | None
        similarity: float | None
        delta: _core.Delta | None

    class OutcomeUnknownError(AskError): ...

    class PendingError(AskError): ...

    class InvalidError(StopError, ValueError): ...

    class InvalidDataError(StopError, ValueError): ...

    class CorruptError(StopError): ...

    class SchemaMismatchError(StopError, TypeError): ...

    class NoIdColumnError(StopError): ...

    class NullIdError(StopError): ...

    class DuplicateIdError(StopError): ...

    class RowExistsError(StopError): ...

    class RowNotFoundError(StopError): ...

    class MergeConflictError(StopError): ...

    class MismatchError(StopError): ...

    class TooBigError(StopError): ...

    class TooOldError(StopError): ...

    class OutOfMemoryError(StopError, MemoryError): ...

    class FinishedError(StopError): ...

    class MisuseError(StopError): ...

    class ReadOnlyError(StopError): ...

    class CancelledError(StopError): ...

    class InUseError(StopError): ...

    class ForkedError(StopError): ...

    class PoisonedError(StopError): ...

    class UnsupportedError(StopError, NotImplementedError): ...

    class StorageError(StopError, OSError): ...

    class NoSpaceError(StopError, OSError): ...
else:
    globals().update(BY_NAME)
