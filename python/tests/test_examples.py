"""The examples run, on small data, and their own checks hold."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc
import pytest

import khonsu

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run(name: str, *arguments: str) -> str:
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    places = (Path(khonsu.__file__).parents[1], Path(__file__).parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places))}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def flights(tmp_path: Path) -> str:
    """A file of the form that tools/flights.py makes, as far as the example looks at it."""
    count = 2000
    table = pa.table(
        {
            "id": pa.array(range(count), pa.int64()),
            "day": [dt.date(2013, 1, 1 + i % 5) for i in range(count)],
            "carrier": [("AA", "UA", "DL")[i % 3] for i in range(count)],
            "origin": [("JFK", "LGA")[i % 2] for i in range(count)],
            "dest": ["BOS"] * count,
            "dep_delay": pa.array([i % 50 - 10 for i in range(count)], pa.int16()),
            "arr_delay": pa.array([i % 60 - 20 for i in range(count)], pa.int16()),
            "distance": pa.array([187] * count, pa.int32()),
        }
    )
    path = tmp_path / "flights.arrow"
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
    return str(path)


def test_flights(flights: str, tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    picture = tmp_path / "flights.svg"
    printed = run("flights.py", flights, "--seconds", "1", "--out", str(picture))
    assert "commit" in printed and picture.read_text().startswith("<svg")


def test_notebook() -> None:
    assert "both notebooks are what the acknowledged edits make" in run(
        "notebook.py", "--seconds", "1"
    )


def test_feature_store() -> None:
    pytest.importorskip("duckdb")
    assert run("feature_store.py")


def test_workspaces(tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    picture = tmp_path / "workspaces.svg"
    printed = run("workspaces.py", "--embed", "letters:embed", "--out", str(picture))
    assert printed.count("independent") == 29 + 1 and "guard would stop" in printed
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")
