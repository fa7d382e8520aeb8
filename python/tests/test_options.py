"""The options of load and save: known to type checkers, and refused by name when there are none.

mypy checks this file too: a wrong call that it would accept is an ignore that is not used.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import user_program

import khonsu
from khonsu import _errors, _files, _save

TABLE = pa.table({"id": [1, 2], "day": ["mo", "tu"]})


def test_right_options(tmp_path: Path) -> None:
    db = khonsu.open()
    options: khonsu.LoadOptions = {"if_exists": "replace", "batch_rows": 1, "separator": ":"}
    loaded: khonsu.Loaded = db.load(TABLE, "t", "day", **options)
    assert loaded == (2, 2, 2, 0)
    to: khonsu.SaveOptions = {"format": "csv", "separator": ":"}
    saved: khonsu.Saved = db.save("t", tmp_path / "t", **to)
    assert saved == (2, 1)


def test_types_of_options(tmp_path: Path) -> None:
    db = khonsu.open()
    with pytest.raises(ValueError, match="if_exists is 'append', 'replace' or 'fail'"):
        db.load(TABLE, "t", if_exists="merge")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a format is one of"):
        db.load(tmp_path / "t.csv", "t", format="xml")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="batch_rows is an int, not 'many'"):
        db.load(TABLE, "t", batch_rows="many")  # type: ignore[arg-type]
    db.load(TABLE, "t")
    with pytest.raises(ValueError, match="a format is one of"):
        db.save("t", tmp_path / "t", format="xml")  # type: ignore[arg-type]


def test_wrong_options(tmp_path: Path) -> None:
    db = khonsu.open()
    with pytest.raises(TypeError) as raised:
        db.load(TABLE, "t", colums=["id"])  # type: ignore[call-arg]
    assert str(raised.value) == (
        "load() has no option 'colums' (did you mean 'columns'?); its options are batch_rows, "
        "columns, format, if_exists, on, progress, resume, separator"
    )
    assert db.get("t") is None
    with pytest.raises(TypeError) as raised:
        db.save("t", tmp_path / "t", compression="zstd")  # type: ignore[call-arg]
    assert str(raised.value) == (
        "save() has no option 'compression'; its options are format, partition, separator"
    )


@pytest.mark.parametrize(
    "function, options",
    [(_files.load, khonsu.LoadOptions), (_save.save, khonsu.SaveOptions)],
)
def test_all_options_are_typed(function: Callable[..., Any], options: type) -> None:
    """What is taken is what is told: each option, with the type that the function has for it."""
    asked = {
        name: parameter.annotation
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    assert inspect.get_annotations(options) == asked


def test_all_exceptions_are_typed() -> None:
    """What type checkers see are the classes that are made, with their bases and attributes."""
    tree = ast.parse(inspect.getsource(_errors))
    blocks = [node for node in tree.body if isinstance(node, ast.If) and node.orelse]
    seen = {node.name: node for node in blocks[-1].body if isinstance(node, ast.ClassDef)}
    assert list(seen) == list(_errors.BY_NAME)
    for name, kind in _errors.BY_NAME.items():
        assert [ast.unparse(base) for base in seen[name].bases] == [
            base.__name__ for base in kind.__bases__
        ]
        told = [ast.unparse(node.target) for node in seen[name].body if hasattr(node, "target")]
        assert told == list(_errors._DETAILS.get(kind.status, {}))
        assert getattr(khonsu, name) is kind and name in khonsu.__all__


def test_no_name_is_made_up() -> None:
    with pytest.raises(AttributeError):
        khonsu.ConflictErrors  # type: ignore[attr-defined]  # noqa: B018


def test_a_program_as_in_the_guide(tmp_path: Path) -> None:
    user_program.main(tmp_path)


def embed(operations: list[khonsu.Operation]) -> tuple[list[float], list[float]]:
    return [0.0], [float(len(operations))]


def test_types_of_workspaces() -> None:
    db = khonsu.open()
    options: khonsu.WorkspaceOptions = {"mode": "merge", "embed": embed, "tag": "t"}
    options["thresholds"] = khonsu.Thresholds(conflicting=0.8)
    with db.workspace(**options) as ws:
        found: list[khonsu.Candidate] = ws.merge_candidates(0.2, window=1)
        delta: khonsu.Delta | None = ws.delta
        assert found == [] and delta is not None and delta.values == [0]
    assert khonsu.classify(delta, [1]).kind == "none"
    with pytest.raises(ValueError, match="mode is one of keys, guard, merge; not 'chaos'"):
        db.workspace(mode="chaos")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        db.workspace(read_only=True)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        db.begin(lock_waits=True)  # type: ignore[call-arg]
