"""What a transaction can be told when it begins, typed; and moments as timestamps."""

from __future__ import annotations

import datetime as dt
import difflib
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, SupportsFloat, TypeAlias, TypedDict, cast

from ._core import Batch, Operation
from ._errors import BY_NAME

Numbers: TypeAlias = Any
"""A sequence or buffer of numbers: list, array, of numpy, pandas, Polars or pyarrow."""

Isolation: TypeAlias = Literal["read_committed", "repeatable_read", "snapshot", "serializable"]
Policy: TypeAlias = Literal["fail", "ignore", "replace", "append", "merge", "callback"]
Sync: TypeAlias = Literal["full", "group", "none"]
Mode: TypeAlias = Literal["keys", "guard", "merge"]
"""What the embedding of a workspace decides at commit."""
Victim: TypeAlias = Literal["youngest", "oldest", "lowest_priority", "most_locks"]
"""Who of a circle of transactions that wait for one another has to go."""
Resolve: TypeAlias = Callable[[str, Batch | None, Batch | None, Batch | None], Any]
Embed: TypeAlias = Callable[[list[Operation]], "tuple[Numbers, Numbers] | None"]
"""Answers what the data meant before these operations and means after them; None: nothing."""
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
    lock_wait: bool | None
    priority: int


class Thresholds(NamedTuple):
    """From where on two deltas are of a class: kh_delta_thresholds, with its defaults."""

    orthogonal: float = 0.1
    identical: float = 0.99
    opposite: float = -0.95
    conflicting: float = 0.7
    jaccard: float = 0.5


class WorkspaceOptions(TypedDict, total=False):
    """The keyword arguments of ``Database.workspace``, which explains them."""

    mode: Mode | None
    embed: Embed | None
    thresholds: Thresholds | None
    operations_max: int
    isolation: Isolation | None
    policy: Policy | None
    timeout: float | None
    tag: str | None
    id_column: str | None
    sync: Sync | None
    resolve: Resolve | None
    lock_wait: bool | None
    priority: int


def check_names(call: str, given: Iterable[str], known: type) -> None:
    """That there are only keys of a TypedDict among the keyword arguments of a call.

    Raises:
        TypeError: There is another; the message says which there are.
    """
    names = sorted(known.__annotations__)
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise TypeError(
                f"{call}() has no option {name!r}{hint}; its options are {', '.join(names)}"
            )


_TEXTS = "isolation policy tag id_column sync validation semantic lock_victim mode".split()
_SECONDS = "timeout sync_delay lock_timeout retention".split()
_COUNTS = "memory retention_bytes semantic_recent semantic_bytes operations_max node".split()


def explain(options: Mapping[str, object]) -> None:
    """After the C extension has refused options: which of them it was, if their types tell.

    Raises:
        TypeError: An option is of another type than it can be.
        InvalidError: A number is outside its range.
    """
    for name, value in options.items():
        if name in _TEXTS:
            _check_type(name, value, "a str or None", value is None or isinstance(value, str))
        elif name in _SECONDS:
            is_number = isinstance(value, SupportsFloat) and not isinstance(value, str)
            is_number = is_number or hasattr(value, "__index__")
            _check_type(name, value, "a number of seconds", value is None or is_number)
            _check_seconds(name, value)
        elif name in _COUNTS or name == "priority":
            _check_type(name, value, "an int", hasattr(value, "__index__"))
        if name in _COUNTS and not 0 <= operator.index(cast(int, value)) < 1 << 64:
            raise BY_NAME["InvalidError"](f"{name} is {value}: it is negative or too large")


def _check_seconds(name: str, value: object) -> None:
    """Of those that the C extension does not name itself."""
    if name in ("timeout", "lock_timeout") and value is not None:
        if not 0 <= float(cast(float, value)) <= 4e6:
            raise ValueError(f"{name} is between 0 and 4,000,000 seconds, not {value}")


def _check_type(name: str, value: object, wanted: str, is_right: bool) -> None:
    if not is_right:
        raise TypeError(f"{name} is {wanted}, not {value!r:.80}")


def timestamp_of(moment: Moment) -> int:
    """The first commit timestamp of a moment's millisecond. A naive datetime is local time."""
    if isinstance(moment, dt.datetime):
        return int(moment.timestamp() * 1000) << 16
    if not hasattr(moment, "__index__"):
        raise TypeError(f"a moment is a datetime or a commit timestamp, not {moment!r:.80}")
    return moment


def datetime_of(timestamp: int) -> dt.datetime:
    """The moment of a commit timestamp, to the millisecond, in UTC.

    >>> import khonsu
    >>> khonsu.datetime_of(1_700_000_000_000 << 16).isoformat()
    '2023-11-14T22:13:20+00:00'
    """
    try:
        return dt.datetime.fromtimestamp((timestamp >> 16) / 1000, tz=dt.UTC)
    except (OverflowError, ValueError, OSError) as error:
        words = f"timestamp {timestamp} is of no moment that a datetime can be"
        raise BY_NAME["InvalidError"](words) from error
