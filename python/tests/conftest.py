"""What several tests use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import khonsu


@pytest.fixture
def db() -> Any:
    return khonsu.open()


@pytest.fixture
def parquet(tmp_path: Path) -> str:
    # Here: some tests are run where there is no pyarrow.
    import pyarrow.parquet as pq
    from flights import flights

    path = str(tmp_path / "flights.parquet")
    pq.write_table(flights(), path, row_group_size=130)
    return path
