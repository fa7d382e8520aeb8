"""What a transaction can be told when it begins, typed; and moments as timestamps."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, TypedDict

from ._core import Batch

Isolation: TypeAlias = Literal["read_committed", "repeatable_read", "snapshot", "serializable"]
Policy: TypeAlias = Literal["fail", "ignore", "replace", "append", "merge", "callback"]
Sync: TypeAlias = Literal["full", "group", "none"]
Resolve: TypeAlias = Callable[[str, Batch | None, Batch | None, Batch | None], Any]
Moment: TypeAlias = int | dt.datetime
"""A commit timestamp, or a datetime (a naive one is local time)."""


class TransactionOptions(TypedDict, total=False):
    """The keyword arguments of ``Database.begin``, which explains them."""

    isolation: Isolation | None
    policy: Policy | None
    read_only: bool
    deferrable: bool
    timeout: float | None
    tag: str | None
    id_column: str | None
    sync: Sync | None
    at: Moment | None
    resolve: Resolve | None


def timestamp_of(moment: Moment) -> int:
    """The first commit timestamp of a moment's millisecond. A naive datetime is local time."""
    if isinstance(moment, dt.datetime):
        return int(moment.timestamp() * 1000) << 16
    return moment


def datetime_of(timestamp: int) -> dt.datetime:
    """The moment of a commit timestamp, to the millisecond, in UTC.

    >>> import khonsu
    >>> khonsu.datetime_of(1_700_000_000_000 << 16).isoformat()
    '2023-11-14T22:13:20+00:00'
    """
    return dt.datetime.fromtimestamp((timestamp >> 16) / 1000, tz=dt.UTC)
