"""Rows into groups by the values of columns, with whole columns at a time and no loop over rows."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from khonsu._optional import require

NULL = "%null"  # the component of a key that stands for null: no value is written so,
EMPTY = "%empty"  # and that of the empty string: "%" in a value becomes "%25"

_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~")  # bytes

# How much of an ISO 8601 timestamp a unit keeps: 2013-01-31T05:59:59. The year may be longer: what
# is behind it counts.
_CUT = {"year": 4, "month": 7, "day": 10, "hour": 13, "minute": 16, "second": 19}


_YEAR = re.compile(r"-?\d{4,}(?=-)")
_DAY_MS = 86_400_000


class Group(NamedTuple):
    """Rows that lie together: their label, the first one, and how many there are."""

    label: str
    start: int
    length: int


class Column(NamedTuple):
    """A column to group by: a unit cuts timestamps and dates (``("time", "day")``)."""

    name: str
    unit: str | None


def columns_of(by: str | Sequence[str | tuple[str, str]]) -> list[Column]:
    """The columns to group by.

    Raises:
        ValueError: A unit is not known.
        TypeError: Something is neither a name nor a pair of a name and a unit.
    """
    columns = []
    if not isinstance(by, Iterable):
        raise TypeError(f"by is a list of names of columns, not {by!r:.80}")
    for item in [by] if isinstance(by, str) else by:
        name: object = item
        unit = None
        if not isinstance(item, str) and isinstance(item, Sequence) and len(item) == 2:
            name, unit = item[0], item[1]
        if not isinstance(name, str):
            raise TypeError(f"by has names of columns, or pairs of a name and a unit, not {item!r}")
        if unit is not None and unit not in _CUT:
            raise ValueError(f"column {name!r}: a unit is one of {', '.join(_CUT)}, not {unit!r}")
        columns.append(Column(name, unit))
    return columns


def partition(
    batch: Any, columns: Sequence[Column], separator: str = "/"
) -> tuple[Any, list[Group]]:
    """The rows of a pyarrow.RecordBatch in groups with equal values in all of the columns.

    Within a group the rows keep their order. Groups come in the order of their labels.

    Returns:
        A batch in which the rows of each group lie together (the given one, if they do so in it
        already), and the groups. A label is the columns' values as text with separators between
        them. Text is that of Arrow (dates and times in ISO 8601, with "T"); the separator, "%" and
        control characters are percent-escaped; null is "%null" and the empty string "%empty".
        Different values have different labels.

    Raises:
        KeyError: There is no such column.
        TypeError: A column's type has no text: nested types.
        ValueError: Different values have the same text after all, or the separator is "%".
    """
    if batch.num_rows == 0:
        return batch, []
    if separator == "%":
        raise ValueError("'%' escapes characters of values: take another separator for their keys")
    if not columns:
        return batch, [Group("", 0, batch.num_rows)]
    codes, labels = _encode_all(batch, columns, separator)
    if len(set(labels)) != len(labels):  # one of two groups would take the other's place
        twice = next(label for label in labels if labels.count(label) > 1)
        raise ValueError(f"different values of {[c.name for c in columns]} have the text {twice!r}")
    rows, runs = _bring_together(batch, codes, len(labels))
    groups, start = [], 0
    for code, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        groups.append(Group(labels[code], start, end - start))
        start = end
    groups.sort()  # labels differ
    return rows, groups


def _encode_all(
    batch: Any, columns: Sequence[Column], separator: str
) -> tuple[Any, list[str]]:
    """A number for each row, dense from 0, and the label of each number."""
    codes, labels = _encode(batch, columns[0], separator)
    for column in columns[1:]:
        more, more_labels = _encode(batch, column, separator)
        codes, pairs = _combine(codes, more, len(more_labels))
        count = len(more_labels)
        labels = [
            labels[pair // count] + separator + more_labels[pair % count] for pair in pairs
        ]
    return codes, labels


def _combine(codes: Any, more: Any, count: int) -> tuple[Any, list[int]]:
    """Pairs of numbers as dense numbers again: they stay few, and cannot overflow."""
    pa = require("pyarrow", "partitioning")
    pc = require("pyarrow.compute", "partitioning")
    wide = pc.multiply(codes.cast(pa.int64()), pa.scalar(count, pa.int64()))
    encoded = pc.add(wide, more.cast(pa.int64())).dictionary_encode()
    pairs: list[int] = encoded.dictionary.to_pylist()
    return encoded.indices, pairs


def _encode(batch: Any, column: Column, separator: str) -> tuple[Any, list[str]]:
    pa = require("pyarrow", "partitioning")
    at = batch.schema.get_field_index(column.name)
    if at < 0:
        raise KeyError(f"there is no column {column.name!r} (or two); {batch.schema.names}")
    values = batch.column(at)
    values = _plain(values, column)
    if column.unit is not None:
        values = _floor(values, column)
    encoded = values.dictionary_encode()
    labels = _labels(encoded.dictionary, column, separator)
    codes = encoded.indices
    if codes.null_count:
        codes = codes.fill_null(len(labels))
        labels.append(NULL)
    return codes, labels


def _plain(values: Any, column: Column) -> Any:
    """The values in a type that Arrow's functions on groups know."""
    pa = require("pyarrow", "partitioning")
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()  # it may have a value twice
    if pa.types.is_nested(values.type):
        raise TypeError(f"column {column.name!r} is {values.type}: rows cannot be grouped by it")
    if values.type == pa.string_view():
        return values.cast(pa.large_string())
    if values.type == pa.binary_view():
        return values.cast(pa.large_binary())
    return values


def _floor(values: Any, column: Column) -> Any:
    pa = require("pyarrow", "partitioning")
    pc = require("pyarrow.compute", "partitioning")
    if not pa.types.is_timestamp(values.type) and not pa.types.is_date(values.type):
        raise TypeError(f"column {column.name!r} is {values.type} and has no {column.unit}")
    if pa.types.is_timestamp(values.type) and values.type.tz is not None:
        values = pc.local_timestamp(values)  # a day is a day there
    return pc.floor_temporal(values, unit=column.unit)


def _labels(values: Any, column: Column, separator: str) -> list[str]:
    """The texts of distinct values that are not null."""
    pa = require("pyarrow", "partitioning")
    kinds = pa.types
    kind = values.type
    if kinds.is_binary(kind) or kinds.is_large_binary(kind) or kinds.is_fixed_size_binary(kind):
        return [_quote(value, separator) or EMPTY for value in values.to_pylist()]
    if kinds.is_null(kind):
        return []
    texts = values.cast(pa.string()).to_pylist()
    if kinds.is_date64(kind):
        texts = _with_times(values, texts)
    if kinds.is_timestamp(kind) or kinds.is_date(kind):
        texts = [_cut(text.replace(" ", "T"), column.unit) for text in texts]
    odd = re.compile(f"[%{re.escape(separator)}\x00-\x1f\x7f]")
    return [odd.sub(_escape, text) or EMPTY for text in texts]


def _quote(value: bytes, separator: str) -> str:
    plain = _PLAIN - {ord(separator)}
    return "".join(chr(byte) if byte in plain else f"%{byte:02X}" for byte in value)


def _with_times(values: Any, texts: list[str]) -> list[str]:
    """A date64 is in milliseconds, and may stand within a day: Arrow's text of it is the day."""
    pa = require("pyarrow", "partitioning")
    numbers = values.cast(pa.int64()).to_pylist()
    times = values.cast(pa.timestamp("ms")).cast(pa.string()).to_pylist()
    rows = zip(numbers, texts, times, strict=True)
    return [text if number % _DAY_MS == 0 else time for number, text, time in rows]


def _cut(text: str, unit: str | None) -> str:
    """As much of a timestamp as the unit keeps; all of a text that is none (out of range)."""
    year = _YEAR.match(text)
    if unit is None or year is None:
        return text
    return text[: year.end() + _CUT[unit] - 4]


def _escape(match: re.Match[str]) -> str:
    return f"%{ord(match.group()):02X}"


def _bring_together(batch: Any, codes: Any, count: int) -> tuple[Any, Any]:
    """The rows with those of equal codes together, and the runs of codes (run-end encoded)."""
    pc = require("pyarrow.compute", "partitioning")
    runs = pc.run_end_encode(codes)
    if len(runs.values) == count:  # as many runs as codes: they are together already
        return batch, runs
    # A stable sort; by counting, up to 65,536 codes.
    order = pc.sort_indices(codes)
    return _take(batch, order), pc.run_end_encode(codes.take(order))


def _take(batch: Any, order: Any) -> Any:
    """Rows in another order. pyarrow cannot take views yet: they go by the offsets of their kin."""
    pa = require("pyarrow", "partitioning")
    kin = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    fields = [field.with_type(kin.get(field.type, field.type)) for field in batch.schema]
    if all(field.type == before for field, before in zip(fields, batch.schema.types, strict=True)):
        return batch.take(order)
    taken = batch.cast(pa.schema(fields)).take(order)
    return taken.cast(batch.schema)
