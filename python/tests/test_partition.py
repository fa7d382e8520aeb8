"""Partitioning rows by columns: khonsu._partition."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from khonsu._partition import Column, columns_of, partition


def labels(values: Any, unit: str | None = None) -> list[str]:
    batch = pa.record_batch({"c": values})
    return [group.label for group in partition(batch, [Column("c", unit)])[1]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([3, None, -1, 3]), ["%null", "-1", "3"]),
        (pa.array(["a/b", "50%", "", None, "é"]), ["%empty", "%null", "50%25", "a%2Fb", "é"]),
        (pa.array(["%null", None]), ["%25null", "%null"]),
        (pa.array(["a\nb\0"]), ["a%0Ab%00"]),
        (pa.array([True, False]), ["false", "true"]),
        (pa.array([1.5, float("nan"), 2.0]), ["1.5", "2", "nan"]),
        (pa.array([b"a/\xff", b""]), ["%empty", "a/%FF".replace("/", "%2F")]),
        (pa.array([decimal.Decimal("1.50")]), ["1.50"]),
        (pa.array([dt.date(2013, 1, 31)]), ["2013-01-31"]),
        (pa.array([dt.datetime(2013, 1, 31, 5, 6, 7)], pa.timestamp("s")), ["2013-01-31T05:06:07"]),
        (pa.array(["x", "y", "x", None]).dictionary_encode(), ["%null", "x", "y"]),
        (pa.nulls(2), ["%null"]),
    ],
)
def test_labels(values: Any, expected: list[str]) -> None:
    assert [text.removesuffix(".0") for text in labels(values)] == expected


def test_labels_of_days_are_local() -> None:
    late = dt.datetime(2013, 1, 1, 3, tzinfo=dt.UTC)  # still the 31st in New York
    times = pa.array([late], pa.timestamp("us", "America/New_York"))
    assert labels(times, "day") == ["2012-12-31"]


def test_labels_of_date64_within_a_day() -> None:
    values = pa.array([0, 1000, 86_400_000, -1], pa.date64())
    assert labels(values) == [
        "1969-12-31T23:59:59.999",
        "1970-01-01",
        "1970-01-01T00:00:01.000",
        "1970-01-02",
    ]
    assert labels(values, "hour") == ["1969-12-31T23", "1970-01-01", "1970-01-02"]
    assert labels(values, "day") == ["1969-12-31", "1970-01-01", "1970-01-02"]


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("day", ["-0001-12-31", "10000-01-01", "10000-01-02", "9999-12-31"]),
        ("month", ["-0001-12", "10000-01", "9999-12"]),
        ("year", ["-0001", "10000", "9999"]),
    ],
)
def test_labels_of_long_years(unit: str, expected: list[str]) -> None:
    first = 253_402_300_800  # of the year 10000, in seconds
    seconds = [first - 1, first, first + 86_400, first + 90_000, -62_167_219_201]
    assert labels(pa.array(seconds, pa.timestamp("s")), unit) == expected


@pytest.mark.parametrize("separator", "-._~aA2")
def test_separators_within_bytes(separator: str) -> None:
    between = separator.encode()
    left = [b"x" + between + b"y", b"x"]
    right = [b"z", b"y" + between + b"z"]
    batch = pa.record_batch({"l": pa.array(left, pa.binary()), "r": pa.array(right, pa.binary())})
    _, groups = partition(batch, columns_of(["l", "r"]), separator)
    assert len({group.label for group in groups}) == 2


def test_percent_separates_nothing() -> None:
    with pytest.raises(ValueError, match="separator"):
        partition(pa.record_batch({"c": [1]}), columns_of("c"), "%")


def test_equal_labels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("khonsu._partition._cut", lambda text, unit: text[:7])
    with pytest.raises(ValueError, match="1970-01"):
        labels(pa.array([0, 1], pa.date32()))


def test_columns_of() -> None:
    assert columns_of("day") == [Column("day", None)]
    assert columns_of(["a", ("b", "month")]) == [Column("a", None), Column("b", "month")]


def test_groups_that_are_together_are_not_copied() -> None:
    batch = pa.record_batch({"c": [2, 2, 1, 1, 1]})
    rows, groups = partition(batch, [Column("c", None)])
    assert groups == [("1", 2, 3), ("2", 0, 2)]
    assert rows is batch


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.text("ab/%\n", max_size=3)),
            st.one_of(st.none(), st.integers(-3, 3)),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_partition_against_a_loop_over_rows(
    values: list[tuple[str | None, int | None, bool]],
) -> None:
    batch = pa.record_batch(
        {
            "a": pa.array([row[0] for row in values], pa.string()),
            "b": pa.array([row[1] for row in values], pa.int8()),
            "c": pa.array([row[2] for row in values], pa.bool_()),
            "position": pa.array(range(len(values)), pa.int64()),
        }
    )
    simple: dict[Any, list[int]] = {}
    for position, row in enumerate(values):
        simple.setdefault(row, []).append(position)
    together, groups = partition(batch, columns_of(["a", "b", "c"]))
    assert len({group.label for group in groups}) == len(groups)
    found = {}
    for label, start, length in groups:
        assert label.count("/") == 2
        rows = together.slice(start, length)
        first = rows.slice(0, 1).to_pylist()[0]
        found[first["a"], first["b"], first["c"]] = rows["position"].to_pylist()
    assert found == simple
