"""Python's values in batches: rows of several kinds, and values that a column cannot hold."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import types
from typing import Any

import pandas as pd
import pytest
from tables import ROWS

import khonsu

NOON = dt.datetime(2013, 1, 31, 12)


# ---- rows ----------------------------------------------------------------------------------------


def test_rows_by_name() -> None:
    pairs = ROWS.rows([(1, 2), (3, None)])
    assert ROWS.rows([{"id": 1, "v": 2}, {"id": 3}]) == pairs
    assert ROWS.rows([{"v": 2, "id": 1}, [3, None]]) == pairs
    assert ROWS.rows([types.MappingProxyType({"v": 2, "id": 1}), iter((3, None))]) == pairs
    point = collections.namedtuple("point", "v id")
    assert ROWS.rows([point(1, 2)]) == ROWS.rows([(1, 2)])  # a tuple is in order
    with pytest.raises(ValueError, match="the row names 'w', the columns are id, v"):
        ROWS.rows([{"id": 1, "w": 2}])
    with pytest.raises(ValueError, match="not nullable|null"):
        khonsu.Schema({"id": "int64 not null"}).rows([{}])


@pytest.mark.parametrize(
    "rows", ["ab", ["ab"], [b"ab"], [bytearray(b"ab")], [{1, 2}], [{1: 1, 2: 2}.keys()], {"id": [1]}]
)
def test_what_is_no_row(rows: Any) -> None:
    with pytest.raises(TypeError, match="a row is a sequence of values or a dict by names, not"):
        ROWS.rows(rows)


# ---- what would be lost --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("timestamp[s]", NOON.replace(microsecond=1), "12:00:00.000001 is no whole number of sec"),
        ("timestamp[ms, UTC]", NOON.replace(microsecond=1500), "no whole number of milliseconds"),
        ("timestamp[us]", pd.Timestamp(1), "no whole number of microseconds"),
        ("time32[s]", dt.time(1, 2, 3, 4), "01:02:03.000004 is no whole number of seconds"),
        ("time32[ms]", dt.time(1, 2, 3, 4), "no whole number of milliseconds"),
        ("duration[s]", dt.timedelta(milliseconds=-1), "no whole number of seconds"),
        ("duration[us]", pd.Timedelta(1), "no whole number of microseconds"),
        ("date32", NOON, "2013-01-31 12:00:00 has a time of day"),
        ("date64", NOON, "has a time of day"),
        ("date32", pd.Timestamp(1), "has a time of day"),
        ("decimal128(5, 2)", decimal.Decimal("1.234"), "more than 2 digits behind the point"),
    ],
)
def test_values_are_not_rounded(kind: str, value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        khonsu.Schema({"x": kind}).row(value)


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        ("timestamp[s]", NOON, NOON),
        ("timestamp[ms]", NOON.replace(microsecond=2000), NOON.replace(microsecond=2000)),
        ("timestamp[ns]", pd.Timestamp(1_000), dt.datetime(1970, 1, 1, microsecond=1)),
        ("time64[ns]", dt.time(1, 2, 3, 4), dt.time(1, 2, 3, 4)),
        ("duration[s]", dt.timedelta(days=-1, seconds=1), dt.timedelta(days=-1, seconds=1)),
        ("date32", NOON.replace(hour=0), NOON.date()),
        ("date64", pd.Timestamp(NOON.date()), NOON.date()),
    ],
)
def test_values_that_fit(kind: str, value: Any, stored: Any) -> None:
    found = khonsu.Schema({"x": kind}).row(value).value("x")
    assert found == stored


def test_nanoseconds_of_pandas() -> None:
    batch = khonsu.Schema({"x": "timestamp[ns]", "d": "duration[ns]"}).row(
        pd.Timestamp(1_000_000_001), pd.Timedelta(7)
    )
    assert batch.value("x").value == 1_000_000_001 and batch.value("d").value == 7
