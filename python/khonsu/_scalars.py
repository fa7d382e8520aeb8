"""Python's dates, times and decimals as what Arrow stores: integers, or bytes."""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Collection
from typing import Any

from . import _core

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
_PER_SECOND = {"s": 1, "m": 1_000, "u": 1_000_000, "n": 1_000_000_000}


def _of_delta(value: dt.timedelta, unit: str) -> int:
    micros = (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds
    return micros * _PER_SECOND[unit] // 1_000_000


def _of_timestamp(value: Any, unit: str) -> int:
    if not isinstance(value, dt.datetime):
        raise TypeError(f"a datetime or an int is expected, not {type(value).__name__}")
    if value.tzinfo is None:  # Arrow's timestamps without a zone are wall clock readings
        value = value.replace(tzinfo=dt.timezone.utc)
    return _of_delta(value - _EPOCH, unit)


def _of_time(value: Any, unit: str) -> int:
    if not isinstance(value, dt.time):
        raise TypeError(f"a time or an int is expected, not {type(value).__name__}")
    since = dt.timedelta(
        hours=value.hour,
        minutes=value.minute,
        seconds=value.second,
        microseconds=value.microsecond,
    )
    return _of_delta(since, unit)


def _of_date(value: Any, unit: str) -> int:
    if not isinstance(value, dt.date):
        raise TypeError(f"a date or an int is expected, not {type(value).__name__}")
    days = value.toordinal() - _EPOCH.toordinal()
    return days if unit == "D" else days * 86_400_000


def _of_decimal(value: Any, format: str) -> bytes:
    """format: "d:precision,scale" or "d:precision,scale,bits"."""
    _, scale, *bits = (int(part) for part in format[2:].split(","))
    scaled = decimal.Decimal(value).scaleb(scale)
    whole = int(scaled)
    if whole != scaled:
        raise ValueError(f"{value} has more than {scale} digits behind the point")
    return whole.to_bytes((bits[0] if bits else 128) // 8, "little", signed=True)


def scalar(format: str, value: Any) -> int | bytes:
    """The value as a column of that format (Arrow C data interface) stores it.

    Raises:
        TypeError, ValueError: The value does not fit the column.
    """
    if format.startswith("d:") and not isinstance(value, bytes):
        return _of_decimal(value, format)
    if isinstance(value, (int, bytes)):
        return value
    if format.startswith("td"):
        return _of_date(value, format[2])
    if format.startswith("tt"):
        return _of_time(value, format[2])
    if format.startswith("ts"):
        return _of_timestamp(value, format[2])
    if format.startswith("tD") and isinstance(value, dt.timedelta):
        return _of_delta(value, format[2])
    raise TypeError(
        f"no value of Python's for a column of format {format!r}: make the batch with pyarrow"
    )


def ids_batch(ids: Collection[Any], column: str) -> _core.Batch:
    """A batch with one column of ids: int (int64), str (utf8) or bytes (binary)."""
    kinds = {type(value) for value in ids}
    types = {int: "int64", str: "utf8", bytes: "binary"}
    if not kinds:
        return _core.Schema({column: "int64"}).rows([])
    if len(kinds) != 1 or not kinds <= types.keys():
        raise TypeError("ids are all int, all str or all bytes; for other types give Arrow data")
    return _core.Schema({column: types[kinds.pop()]}).rows([(value,) for value in ids])
