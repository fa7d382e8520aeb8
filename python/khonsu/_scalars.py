"""Python's dates, times and decimals as what Arrow stores: integers, or bytes."""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Collection, Mapping, Set
from typing import Any

from . import _core
from ._errors import BY_NAME
from ._optional import require

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NANOS = {"s": 1_000_000_000, "m": 1_000_000, "u": 1_000, "n": 1}
_UNITS = {"s": "seconds", "m": "milliseconds", "u": "microseconds", "n": "nanoseconds"}


def _of_delta(value: dt.timedelta, unit: str, told: object = None) -> int:
    """told: what the value was made of, for the message."""
    micros = (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds
    nanos = micros * 1_000 + getattr(value, "nanoseconds", 0)  # pandas' Timedelta has them
    whole, rest = divmod(nanos, _NANOS[unit])
    if rest:
        raise ValueError(f"{value if told is None else told} is no whole number of {_UNITS[unit]}")
    return whole


def _of_timestamp(value: Any, unit: str) -> int:
    if not isinstance(value, dt.datetime):
        raise TypeError(f"a datetime or an int is expected, not {type(value).__name__}")
    aware = value
    if value.tzinfo is None:  # Arrow's timestamps without a zone are wall clock readings
        aware = value.replace(tzinfo=dt.UTC)
    return _of_delta(aware - _EPOCH, unit, value)


def _of_time(value: Any, unit: str) -> int:
    if not isinstance(value, dt.time):
        raise TypeError(f"a time or an int is expected, not {type(value).__name__}")
    since = dt.timedelta(
        hours=value.hour,
        minutes=value.minute,
        seconds=value.second,
        microseconds=value.microsecond,
    )
    return _of_delta(since, unit, value)


def _within_a_day(value: int, unit: str) -> int:
    if not 0 <= value * _NANOS[unit] < 86_400 * _NANOS["s"]:
        raise ValueError(f"{value} {_UNITS[unit]} are no time of a day")
    return value


def _no_nanos(value: dt.datetime) -> dict[str, Any]:
    return {"nanosecond": 0} if hasattr(value, "nanosecond") else {}  # pandas' Timestamp


def _of_date(value: Any, unit: str) -> int:
    if not isinstance(value, dt.date):
        raise TypeError(f"a date or an int is expected, not {type(value).__name__}")
    if isinstance(value, dt.datetime) and value != value.replace(
        hour=0, minute=0, second=0, microsecond=0, **_no_nanos(value)
    ):
        raise ValueError(f"{value} has a time of day, which a column of dates has not")
    days = value.toordinal() - _EPOCH.toordinal()
    return days if unit == "D" else days * 86_400_000


_DECIMALS = decimal.Context(prec=200)  # the usual context would round to 28 digits


def _of_decimal(value: Any, format: str) -> bytes:
    """format: "d:precision,scale" or "d:precision,scale,bits"."""
    precision, scale, *bits = (int(part) for part in format[2:].split(","))
    size = (bits[0] if bits else 128) // 8
    if isinstance(value, bytes):
        number = _DECIMALS.create_decimal(int.from_bytes(value, "little", signed=True))
        number = _DECIMALS.scaleb(number, -scale)
    else:
        number = _number(value)
    if number.adjusted() + 1 + scale > precision:
        raise ValueError(f"{value!s:.80} has more than {precision - scale} digits before the point")
    scaled = _DECIMALS.scaleb(number, scale)
    whole = int(scaled)
    if whole != scaled:
        raise ValueError(f"{value!s:.80} has more than {scale} digits behind the point")
    return whole.to_bytes(size, "little", signed=True)


def _number(value: Any) -> decimal.Decimal:
    try:
        number = decimal.Decimal(value)
    except decimal.InvalidOperation:
        raise ValueError(f"{value!r:.80} is no decimal number") from None
    if not number.is_finite():
        raise ValueError(f"{value!s:.80} cannot be in a column of decimals")
    return number


def scalar(format: str, value: Any) -> int | bytes:
    """The value as a column of that format (Arrow C data interface) stores it.

    Raises:
        TypeError, ValueError: The value does not fit the column.
    """
    if format.startswith("d:"):
        return _of_decimal(value, format)
    if format.startswith("tt") and isinstance(value, int):
        return _within_a_day(value, format[2])
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


def row_values(names: list[str], row: Any) -> tuple[Any, ...]:
    """The values of a row that is neither a tuple nor a list, in the order of the columns.

    A mapping's are found by name; a column that it does not name is null.

    Raises:
        TypeError: It is text, bytes or a set: no row, although it can be iterated over.
        ValueError: A mapping names a column that there is not.
    """
    if isinstance(row, Mapping):
        unknown = [name for name in row if name not in names]
        if unknown:
            raise ValueError(f"the row names {unknown[0]!r}, the columns are {', '.join(names)}")
        return tuple(row.get(name) for name in names)
    if isinstance(row, (str, bytes, bytearray, memoryview, Set)):
        raise TypeError(
            f"a row is a sequence of values or a dict by names, not {type(row).__name__}"
        )
    return tuple(row)


def usual_ids(ids: Collection[Any], column: str) -> _core.Batch:
    """A batch with one column of ids: int (int64), str (utf8) or bytes (binary).

    Raises:
        TypeError: They are others.
    """
    kinds = {type(value) for value in ids}
    types = {int: "int64", str: "utf8", bytes: "binary"}
    if not kinds:
        return _core.Schema({column: "int64"}).rows([])
    if len(kinds) != 1 or not kinds <= types.keys():
        raise TypeError("ids are all int, all str or all bytes; for other types give Arrow data")
    return _core.Schema({column: types[kinds.pop()]}).rows([(value,) for value in ids])


def ids_like(ids: Collection[Any], column: str, schema: _core.Schema) -> _core.Batch:
    """A batch with one column of ids, of the type that this column of a schema has.

    Raises:
        SchemaMismatchError: An id is of another type.
        ValueError: An id does not fit the type.
        ImportError: The column is dictionary-encoded, and pyarrow is not installed.
    """
    if any(isinstance(value, bool) for value in ids):
        raise TypeError("a bool is no id")
    name = schema.types[schema.names.index(column)]
    if not name.startswith("dictionary["):
        try:
            return _core.Schema({column: name}).rows([(value,) for value in ids])
        except TypeError as error:
            words = f'the ids of column "{column}" are {name}: {error}'
            raise BY_NAME["SchemaMismatchError"](words) from error
    pa = require("pyarrow", "ids of a dictionary-encoded column")
    kind = schema.to_pyarrow().field(column).type
    encoded = pa.array(list(ids), kind.value_type).dictionary_encode()
    indexes = encoded.indices.cast(kind.index_type)
    values = pa.DictionaryArray.from_arrays(indexes, encoded.dictionary, ordered=kind.ordered)
    return _core.Batch(pa.record_batch({column: values}))
