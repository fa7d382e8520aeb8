"""Small batches, and code that is run in an interpreter of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import khonsu

ROWS = khonsu.Schema({"id": "int64", "v": "int64"})
PACKAGE = Path(khonsu.__file__).parent.parent


def row(id: int, v: int = 0) -> khonsu.Batch:
    return ROWS.row(id, v)


def content(batch: khonsu.Batch) -> dict[int, int]:
    """id -> v."""
    return {batch.value("id", i): batch.value("v", i) for i in range(len(batch))}


def put(db: Any, key: str, *pairs: tuple[int, int]) -> int:
    """Commits these rows under the key; the commit's timestamp."""
    with db.begin() as txn:
        txn[key] = ROWS.rows(pairs)
    assert txn.timestamp is not None
    return int(txn.timestamp)


def get(db: Any, key: str) -> dict[int, int] | None:
    with db.begin(read_only=True) as txn:
        batch = txn.get(key)
        return None if batch is None else content(batch)


def meaning(ws: Any, *after: float) -> Any:
    """The workspace, which means this."""
    ws.before([0.0] * len(after))
    ws.after(after)
    return ws


def edit(db: Any, key: str, after: tuple[float, ...], **options: Any) -> Any:
    """A workspace that has written the key, and means this."""
    ws = db.workspace(**options)
    ws[key] = row(1)
    return meaning(ws, *after)


def python(code: str, *args: str, expect: int = 0, seconds: float = 120) -> str:
    """Runs the code in a new interpreter that ends with this exit code; what it printed."""
    path = f"{PACKAGE}{os.pathsep}{Path(__file__).parent}"
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code, *args],
        env={**os.environ, "PYTHONPATH": path, "PYTHONFAULTHANDLER": "1"},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == expect, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Fatal Python error" not in done.stderr, done.stderr
    return done.stdout
