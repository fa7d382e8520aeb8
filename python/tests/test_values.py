"""Python's values in batches: rows of several kinds, and values that a column cannot hold."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import types
from typing import Any

import pandas as pd
import pyarrow as pa
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
    "rows",
    ["ab", ["ab"], [b"ab"], [bytearray(b"ab")], [{1, 2}], [{1: 1, 2: 2}.keys()], {"id": [1]}],
)
def test_what_is_no_row(rows: Any) -> None:
    with pytest.raises(TypeError, match="a row is a sequence of values or a dict by names, not"):
        ROWS.rows(rows)


# ---- ids -----------------------------------------------------------------------------------------

DAY = dt.date(2013, 1, 31)
WORDS = ["aa", "bb"]
IDS = {
    pa.string_view(): WORDS,
    pa.large_string(): WORDS,
    pa.dictionary(pa.int8(), pa.string()): WORDS,
    pa.large_binary(): [b"aa", b"bb"],
    pa.binary_view(): [b"aa", b"bb"],
    pa.binary(2): [b"aa", b"bb"],
    pa.int8(): [-7, 8],
    pa.uint64(): [7, (1 << 64) - 1],
    pa.date32(): [DAY, DAY + dt.timedelta(1)],
    pa.timestamp("us", "UTC"): [NOON.replace(tzinfo=dt.UTC), NOON.replace(tzinfo=dt.UTC, hour=1)],
    pa.decimal128(5, 2): [decimal.Decimal("1.50"), decimal.Decimal("2.50")],
    pa.decimal64(5, 2): [decimal.Decimal("1.50"), decimal.Decimal("2.50")],
}


@pytest.mark.parametrize("kind", IDS, ids=str)
@pytest.mark.parametrize("is_committed", [True, False])
def test_ids_of_the_type_that_is_stored(db: Any, kind: Any, is_committed: bool) -> None:
    ids = IDS[kind]
    if pa.types.is_dictionary(kind):
        column = pa.array(ids, kind.value_type).dictionary_encode().cast(kind)
    else:
        column = pa.array(ids, kind)
    rows = pa.record_batch({"id": column, "v": pa.array([1, 2])})
    if not is_committed:  # what others see is of another type
        with db.begin() as txn:
            txn["k"] = pa.record_batch({"id": pa.array([0.5])})
    txn = db.begin()
    txn["k"] = rows
    if is_committed:
        txn.commit()
        txn = db.begin()
    txn.delete_rows("k", [ids[1]])
    assert txn["k"].to_pylist() == [{"id": ids[0], "v": 1}]
    txn.delete_rows("k", ids[:1])
    assert txn["k"].num_rows == 0
    txn.delete_rows("k", [])
    txn.commit()


def test_to_delete_rows_is_no_read(db: Any) -> None:
    with db.begin() as txn:
        txn["k"] = pa.record_batch({"id": pa.array(WORDS, pa.large_string())})
    first, second = db.begin(isolation="serializable"), db.begin(isolation="serializable")
    first.delete_rows("k", ["aa"])
    second.delete_rows("k", ["bb"])
    first["seen"] = second["seen too"] = ROWS.row(1, 1)
    first.commit()
    second.commit()
    assert db.get("k").num_rows == 0


def test_ids_that_do_not_fit(db: Any) -> None:
    with db.begin() as txn:
        txn["n"] = pa.record_batch({"id": pa.array([1], pa.int8())})
        txn["s"] = pa.record_batch({"id": pa.array(["x"], pa.string_view())})
    for key, ids, kind, words in (
        ("n", [1000], ValueError, r"column .id. \(int8\), row 0: 1000 does not fit"),
        ("n", [1 << 80], OverflowError, "too big|too large|int"),
        ("n", ["x"], khonsu.SchemaMismatchError, "the ids of column .id. are int8: .*str"),
        ("s", [1], khonsu.SchemaMismatchError, "the ids of column .id. are utf8_view: str was"),
        ("n", [True], TypeError, "a bool is no id"),
        ("n", [1, "x"], TypeError, "int"),
        ("absent", [1.5], TypeError, "ids are all int, all str or all bytes"),
    ):
        with db.begin() as txn, pytest.raises(kind, match=words):
            txn.delete_rows(key, ids)
    assert db.get("n").num_rows == db.get("s").num_rows == 1


def test_types_in_words(db: Any) -> None:
    with db.begin() as txn:
        txn["k"] = pa.record_batch({"id": [1], "v": pa.array([NOON], pa.timestamp("us", "UTC"))})
        with pytest.raises(khonsu.SchemaMismatchError, match="is date32, the base's is timestamp"):
            txn.patch("k", pa.record_batch({"id": [1], "v": [DAY]}))
        words = pa.array(["a"]).dictionary_encode()
        with pytest.raises(khonsu.SchemaMismatchError, match=r"int64 and dictionary\[int32"):
            txn.delete_rows("k", pa.record_batch({"id": words}))
        with pytest.raises(khonsu.SchemaMismatchError, match="int64 and int8: cast one of them"):
            txn.delete_rows("k", pa.record_batch({"id": pa.array([1], pa.int8())}))
        with pytest.raises(khonsu.SchemaMismatchError, match=r"is timestamp\[us, UTC\] and"):
            txn["k"].concat(pa.record_batch({"id": [1], "v": pa.array([NOON])}))
    assert txn.closed and db.get("k").schema.types == ["int64", "timestamp[us, UTC]"]


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
    ("kind", "value", "words"),
    [
        ("decimal128(5, 2)", decimal.Decimal("1000"), "more than 3 digits before the point"),
        ("decimal128(5, 2)", decimal.Decimal("-999.999"), "more than 2 digits behind the point"),
        ("decimal128(5, 2)", 10**40, "more than 3 digits before the point"),
        ("decimal128(5, 2)", decimal.Decimal("1e999999"), "more than 3 digits before the point"),
        ("decimal32(5, 0)", "100000", "more than 5 digits before the point"),
        ("decimal128(5, -2)", 10**7, "more than 7 digits before the point"),
        ("decimal128(5, -2)", 10, "more than -2 digits behind the point"),
        ("decimal128(5, 2)", (100_000).to_bytes(16, "little"), "more than 3 digits before"),
        ("decimal128(5, 2)", "twelve", "'twelve' is no decimal number"),
        ("decimal128(5, 2)", float("nan"), "cannot be in a column of decimals"),
        ("decimal128(5, 2)", float("inf"), "cannot be in a column of decimals"),
        ("time32[s]", 86_400, "86400 seconds are no time of a day"),
        ("time64[us]", -1, "-1 microseconds are no time of a day"),
        ("time64[ns]", 86_400 * 10**9, "are no time of a day"),
    ],
)
def test_values_beyond_the_type(kind: str, value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        khonsu.Schema({"x": kind}).row(value)


def test_long_decimals_are_whole() -> None:
    for text in ("12345678901234567890123456789012345.678", "-" + "9" * 35 + ".999", "0", "1e34"):
        batch = khonsu.Schema({"x": "decimal128(38, 3)"}).row(text)
        assert batch.value("x") == decimal.Decimal(text)
    number = 10**76 - 1
    assert khonsu.Schema({"x": "decimal256(76, 0)"}).row(number).value("x") == number
    raw = (99_999).to_bytes(16, "little")
    assert khonsu.Schema({"x": "decimal128(5, 2)"}).row(raw).value("x") == decimal.Decimal("999.99")
    assert khonsu.Schema({"x": "time32[s]"}).row(86_399).value("x") == dt.time(23, 59, 59)


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
