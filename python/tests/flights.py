"""Rows that the tests of loading and saving load and save."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa

COUNT = 1000


def flights(count: int = COUNT) -> pa.Table:
    """Rows in an order that brings each key back in every chunk."""
    return pa.table(
        {
            "id": pa.array(range(count), pa.int64()),
            "day": pa.array([dt.date(2013, 1, 1 + i % 3) for i in range(count)]),
            "origin": pa.array([("JFK", "LGA", None)[i % 7 % 3] for i in range(count)]),
        }
    )
