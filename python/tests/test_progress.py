"""Progress of loads: khonsu._progress."""

from __future__ import annotations

import io
from typing import Any

import pytest
from flights import COUNT

from khonsu._progress import Bar, reporter


def test_progress_function(db: Any, parquet: str) -> None:
    calls: list[tuple[int, int | None]] = []
    db.load(parquet, "t", batch_rows=400, progress=lambda done, total: calls.append((done, total)))
    assert calls[0] == (0, COUNT)
    assert calls[-1] == (COUNT, COUNT)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_bar_is_silent_without_a_terminal(
    db: Any, parquet: str, capsys: pytest.CaptureFixture[str]
) -> None:
    db.load(parquet, "t")
    assert capsys.readouterr().err == ""
    db.load(parquet, "u", progress=True)
    assert "u: 100%|" in capsys.readouterr().err


def test_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", stream)
    assert isinstance(reporter(None, "t", "rows"), Bar)
    assert not isinstance(reporter(False, "t", "rows"), Bar)


def test_bar_lines() -> None:
    now = [0.0]
    stream = io.StringIO()
    bar = Bar("t", "rows", stream=stream, clock=lambda: now[0])
    bar(0, 4_000_000)
    now[0] = 0.05
    bar(1, 4_000_000)  # too early to be drawn
    now[0] = 2.0
    bar(1_500_000, 4_000_000)
    now[0] = 4.0
    bar(4_000_000, 4_000_000)
    bar.close()
    bar.close()
    lines = stream.getvalue().split("\r")[1:]
    assert lines[0].startswith("t:   0%|" + " " * 24 + "| 0/4.00M rows [00:00<?")
    assert lines[1].startswith("t:  38%|█████████")
    assert "| 1.50M/4.00M rows [00:02<00:03, 750k rows/s]" in lines[1]
    assert lines[-1].rstrip(" \n").endswith("[00:04<00:00, 1.00M rows/s]")
    assert lines[-1].endswith("\n")


def test_bar_without_total() -> None:
    stream = io.StringIO()
    bar = Bar("t", "rows", stream=stream, clock=iter([0.0, 3700.0]).__next__)
    bar(0, None)
    bar.close()
    assert "t: 0 rows [1:01:40, 0 rows/s]" in stream.getvalue()
