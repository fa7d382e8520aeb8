"""Files of labelled pairs of changes, as texts or as vectors."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from ._optional import require

LABELS = ("contradicting", "unrelated", "paraphrased")
Embedder: TypeAlias = Callable[[Sequence[str]], Any]  # one row of numbers for each text

_PURPOSE = "Comparing pairs"
_NEEDED = ("first", "second", "label")
_ZERO = 1e-6  # as in khonsu/delta.h: what is no larger counts as zero


class Pairs(NamedTuple):
    """Two changes in each row: what was there before (if anything), two versions of it, a label."""

    base: list[Any]  # texts, or vectors; None: nothing
    first: list[Any]
    second: list[Any]
    label: list[str]


def read(path: str | Path) -> Pairs:
    """Read a file with the columns first, second, label, and perhaps base.

    Args:
        path: A .csv or .tsv file in UTF-8 (a vector is a cell such as ``[0.5, -1]``), a .parquet
            file (vectors: lists of numbers), an .npz file with an array of each name, or an .npy
            file of a structured array.

    Raises:
        ValueError: It is no such file, or a row of it is not as it should be.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        columns = _read_text(path, "\t" if suffix == ".tsv" else ",")
    elif suffix == ".parquet":
        columns = require("pyarrow.parquet", "A Parquet file").read_table(path).to_pydict()
    elif suffix in (".npz", ".npy"):
        columns = _read_arrays(path)
    else:
        raise ValueError(f"{path}: .csv, .tsv, .parquet, .npz or .npy is expected")
    for name in _NEEDED:
        if name not in columns:
            raise ValueError(f"{path}: there is no column {name}")
    pairs = Pairs(
        [_cell(value) for value in columns.get("base", [None] * len(columns["label"]))],
        [_cell(value) for value in columns["first"]],
        [_cell(value) for value in columns["second"]],
        [str(label) for label in columns["label"]],
    )
    _check(path, pairs)
    return pairs


def deltas(pairs: Pairs, embed: Embedder) -> tuple[Any, Any]:
    """The deltas of both changes of each row, as two arrays of float32.

    Args:
        pairs: Of vectors, these are used as they are; texts are embedded, each once.
        embed: Called once, with all different texts.

    Raises:
        ValueError: The vectors have different dimensions, or one is not finite.
    """
    np = require("numpy", _PURPOSE)
    cells = [*pairs.base, *pairs.first, *pairs.second]
    texts = list(dict.fromkeys(cell for cell in cells if isinstance(cell, str)))
    embedded: dict[str, Any] = {}
    if texts:
        rows = list(embed(texts))
        if len(rows) != len(texts):
            raise ValueError(f"the embedder has given {len(rows)} rows for {len(texts)} texts")
        embedded = dict(zip(texts, rows, strict=True))
    vectors = [embedded[cell] if isinstance(cell, str) else cell for cell in cells]
    dimensions = {len(vector) for vector in vectors if vector is not None}
    if len(dimensions) != 1:
        raise ValueError(f"the vectors have different dimensions: {sorted(dimensions)}")
    nothing = np.zeros(dimensions.pop())
    table = np.array([nothing if v is None else v for v in vectors], np.float32)
    if not np.isfinite(table).all():
        raise ValueError("a vector has an element that is NaN or infinite")
    base, first, second = np.split(table, 3)
    return _without_dust(np, first - base), _without_dust(np, second - base)


def _without_dust(np: Any, table: Any) -> Any:
    return np.where(np.abs(table) <= np.float32(_ZERO), np.float32(0), table)


def _read_text(path: Path, delimiter: str) -> dict[str, list[Any]]:
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter=delimiter, strict=True)
        try:
            rows = list(reader)
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: {error}") from error
    for number, row in enumerate(rows, 1):
        if None in row or None in row.values():
            raise ValueError(f"{path}: row {number} has another number of cells than the heading")
    return {name: [row[name] for row in rows] for name in reader.fieldnames or ()}


def _read_arrays(path: Path) -> dict[str, list[Any]]:
    arrays = require("numpy", "A file of arrays").load(path, allow_pickle=False)
    names = getattr(arrays, "files", None) or getattr(arrays.dtype, "names", None) or ()
    return {name: list(arrays[name]) for name in names}


def _cell(value: Any) -> Any:
    """A text, a vector, or None for nothing."""
    if isinstance(value, str) and value.startswith("["):
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError(f"not a vector: {value[:40]}") from error
    if isinstance(value, str):
        return str(value).strip() or None  # str: numpy has strings of its own
    return value


def _check(path: Path, pairs: Pairs) -> None:
    counts = {len(column) for column in pairs}
    if len(counts) != 1 or counts == {0}:
        raise ValueError(f"{path}: no rows, or columns of different lengths")
    kinds = set()
    for number, (base, first, second, label) in enumerate(zip(*pairs, strict=True), 1):
        if label not in LABELS:
            raise ValueError(f"{path}: row {number} has the label {label!r}, not one of {LABELS}")
        if first is None or second is None:
            raise ValueError(f"{path}: row {number} has nothing to compare")
        kinds |= {isinstance(cell, str) for cell in (base, first, second) if cell is not None}
    if len(kinds) != 1:
        raise ValueError(f"{path}: both texts and vectors")
