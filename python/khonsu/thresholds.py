"""Choose the thresholds of workspaces from labelled pairs: precision and recall of each.

A row of the file is a pair of changes and what they are to each other: contradicting, unrelated or
paraphrased. ``python -m khonsu.thresholds pairs.csv`` embeds the texts (or takes vectors that are
there already), and prints how similar the deltas of each label are, what each threshold would find,
and what khonsu's classes make of the pairs. docs/semantic-quality.md reads such a report.
"""

from __future__ import annotations

import argparse
import importlib
import json
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from ._core import Delta
from ._errors import Error
from ._options import Thresholds
from ._pairs import LABELS, Embedder, Pairs, deltas, read
from ._workspace import classify as classify_deltas

CLASSES = (
    "none",
    "orthogonal",
    "identical",
    "opposite",
    "conflicting",
    "ambiguous",
    "low conflict",
)
STOPPED = ("opposite", "conflicting")  # by the mode guard
Keys: TypeAlias = Literal["same", "shared", "different"]


class Likeness(NamedTuple):
    """Two deltas, and what of them is compared with the thresholds."""

    first: Delta
    second: Delta
    cosine: float
    jaccard: float | None  # of the positions; None unless both deltas are sparse


class Judged(NamedTuple):
    """A row of the file."""

    label: str
    has_base: bool
    likeness: Likeness


class Sweep(NamedTuple):
    """A threshold, what it is to find, and the values to try."""

    found: str  # the label
    rule: str
    finds: Callable[[Likeness, float], bool]
    values: tuple[float, ...]


def _in_float(value: float) -> float:
    """Rounded as the C library keeps thresholds and cosines."""
    [rounded] = struct.unpack("f", struct.pack("f", value))
    return float(rounded)


SWEEPS = {
    "orthogonal": Sweep(
        "unrelated",
        "|cosine| <",
        lambda pair, value: abs(pair.cosine) < value,
        (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6),
    ),
    "conflicting": Sweep(
        "contradicting",
        "cosine >=",
        lambda pair, value: pair.cosine >= value,
        (0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95),
    ),
    "opposite": Sweep(
        "contradicting",
        "cosine <=",
        lambda pair, value: pair.cosine <= value,
        (-0.05, -0.1, -0.2, -0.3, -0.5, -0.7, -0.95),
    ),
    "identical": Sweep(
        "paraphrased",
        "cosine >=",
        lambda pair, value: pair.cosine >= value,
        (0.7, 0.8, 0.85, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995),
    ),
    "jaccard": Sweep(
        "contradicting",
        "both sparse, Jaccard index >=",
        lambda pair, value: pair.jaccard is not None and pair.jaccard >= value,
        (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    ),
}


def compare(first: Any, second: Any) -> Likeness:
    """How like the deltas of two changes are: sequences of numbers."""
    a, b = Delta(first), Delta(second)
    are_sparse = a.is_sparse and b.is_sparse
    return Likeness(a, b, a.cosine(b), a.jaccard(b) if are_sparse else None)


_KEYS: dict[Keys, tuple[list[str], list[str]]] = {
    "same": (["a"], ["a"]),
    "shared": (["a", "b"], ["a", "c"]),
    "different": (["a"], ["b"]),
}


def classify(likeness: Likeness, keys: Keys, thresholds: Thresholds | None = None) -> str:
    """The class of two changes, by the library's own rules (kh_delta_classify).

    Args:
        likeness: Of the two deltas.
        keys: Whether the changes touch the same keys, share some of them, or none.
        thresholds: None: the defaults.

    >>> classify(compare([1, 0], [0.8, 0.6]), "different")
    'conflicting'
    >>> classify(compare([1, 0], [0.5, 0.866]), "shared")
    'ambiguous'
    """
    first, second = likeness.first.values, likeness.second.values
    return classify_deltas(first, second, keys=_KEYS[keys], thresholds=thresholds).kind


def judge(pairs: Pairs, embed: Embedder) -> tuple[list[Judged], int]:
    """Each row with the likeness of its deltas; and the dimensions of these."""
    first, second = deltas(pairs, embed)
    rows = zip(pairs.label, pairs.base, first, second, strict=True)
    judged = [Judged(label, base is not None, compare(a, b)) for label, base, a, b in rows]
    return judged, first.shape[1]


def report(judged: Sequence[Judged], thresholds: Thresholds | None = None) -> dict[str, Any]:
    """All figures, as JSON has them.

    Args:
        judged: The rows.
        thresholds: Of the classes, and tried in the sweeps besides the usual values.
    """
    chosen = thresholds or Thresholds()
    are_sparse = any(row.likeness.jaccard is not None for row in judged)
    return {
        "pairs": len(judged),
        "with_base": sum(row.has_base for row in judged),
        "labels": {label: len(_of(judged, label)) for label in LABELS},
        "thresholds": chosen._asdict(),
        "cosines": _cosines(judged),
        "order": _order(judged),
        "sweeps": {
            name: _sweep(judged, sweep, getattr(chosen, name))
            for name, sweep in SWEEPS.items()
            if name != "jaccard" or are_sparse
        },
        "classes": {keys: _classes(judged, keys, chosen) for keys in ("different", "same")},
        "rows": [
            {"label": row.label, "has_base": row.has_base, "cosine": round(row.likeness.cosine, 6)}
            for row in judged
        ],
    }


def _of(judged: Sequence[Judged], label: str, has_base: bool | None = None) -> list[float]:
    """Cosines in ascending order; has_base None: with and without."""
    return sorted(
        row.likeness.cosine
        for row in judged
        if row.label == label and has_base in (None, row.has_base)
    )


def _cosines(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """Least, quartiles and most of each label: all rows, those without and those with a base."""
    found = []
    for label in LABELS:
        for has_base in (None, False, True):
            values = _of(judged, label, has_base)
            if values:
                places = [round(part * (len(values) - 1) / 4) for part in range(5)]
                quartiles = [round(values[place], 4) for place in places]
                found.append({"label": label, "has_base": has_base, "quartiles": quartiles})
    return found


def _order(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """How often a pair of one label has the greater cosine than one of another: 0.5 is chance."""
    found = []
    for greater, lesser in (
        ("contradicting", "unrelated"),
        ("paraphrased", "unrelated"),
        ("contradicting", "paraphrased"),
    ):
        for has_base in (None, False, True):
            above, below = _of(judged, greater, has_base), _of(judged, lesser, has_base)
            if above and below:
                wins = sum((x > y) + (x == y) / 2 for x in above for y in below)
                part = round(wins / (len(above) * len(below)), 4)
                row = {"greater": greater, "lesser": lesser, "has_base": has_base, "part": part}
                found.append(row)
    return found


def _sweep(judged: Sequence[Judged], sweep: Sweep, chosen: float) -> list[dict[str, Any]]:
    """What each value of a threshold finds."""
    wanted = sum(row.label == sweep.found for row in judged)
    found = []
    for value in sorted({*sweep.values, chosen}):
        limit = _in_float(value)
        hits = [row.label for row in judged if sweep.finds(row.likeness, limit)]
        right = hits.count(sweep.found)
        found.append(
            {
                "threshold": value,
                "found": {label: hits.count(label) for label in LABELS},
                "precision": round(right / len(hits), 4) if hits else None,
                "recall": round(right / wanted, 4) if wanted else None,
            }
        )
    return found


def _classes(judged: Sequence[Judged], keys: Keys, chosen: Thresholds) -> dict[str, dict[str, int]]:
    """How many pairs of each label are in each class."""
    names = [(row.label, classify(row.likeness, keys, chosen)) for row in judged]
    return {name: {label: names.count((label, name)) for label in LABELS} for name in CLASSES}


_HEADS = "".join(f"{label:>15}" for label in LABELS)
_PART = {None: "", False: ", from nothing", True: ", from a base"}


def text(figures: dict[str, Any]) -> str:
    """The report for a reader."""
    counts = ", ".join(f"{count} {label}" for label, count in figures["labels"].items())
    lines = [f"{figures['pairs']} pairs: {counts}; {figures['with_base']} of them from a base"]
    lines += ["", f"{'cosine of the two deltas':<42}   least    25 %  median    75 %    most"]
    for row in figures["cosines"]:
        numbers = "".join(f"{value:8.3f}" for value in row["quartiles"])
        lines.append(f"  {row['label'] + _PART[row['has_base']]:<40}{numbers}")
    lines += ["", "how often the greater cosine is that of the first (0.5: chance)"]
    for row in figures["order"]:
        words = f"{row['greater']} or {row['lesser']}{_PART[row['has_base']]}"
        lines.append(f"  {words:<48}{row['part']:8.3f}")
    for name, rows in figures["sweeps"].items():
        lines += ["", *_sweep_lines(name, rows, figures["thresholds"][name])]
    for keys, table in figures["classes"].items():
        words = "the same key" if keys == "same" else "different keys"
        lines += ["", *_class_lines(f"classes, of {words}", table)]
    return "\n".join(lines)


def _sweep_lines(name: str, rows: list[dict[str, Any]], chosen: float) -> list[str]:
    sweep = SWEEPS[name]
    lines = [f"{name}: {sweep.rule} threshold, to find what is {sweep.found} (* as set)"]
    lines.append(f"  threshold{_HEADS}  precision  recall")
    for row in rows:
        mark = "*" if row["threshold"] == chosen else " "
        counts = "".join(f"{row['found'][label]:15}" for label in LABELS)
        precision, recall = _three(row["precision"]), _three(row["recall"])
        lines.append(f" {mark}{row['threshold']:9g}{counts}  {precision:>9}  {recall:>6}")
    return lines


def _class_lines(title: str, table: dict[str, dict[str, int]]) -> list[str]:
    lines = [f"{title:<24}{_HEADS}"]
    for name, row in table.items():
        if any(row.values()):
            lines.append(f"  {name:<22}" + "".join(f"{row[label]:15}" for label in LABELS))
    stopped = [sum(table[name][label] for name in STOPPED) for label in LABELS]
    return [*lines, f"  {'stopped by guard':<22}" + "".join(f"{count:15}" for count in stopped)]


def _three(part: float | None) -> str:
    return "-" if part is None else f"{part:.3f}"


def embedder(name: str) -> Embedder:
    """The function that ``module:function`` names."""
    module, _, function = name.partition(":")
    try:
        found: Embedder = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"--embed {name}: {error}") from error
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m khonsu.thresholds", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "file",
        help="columns first, second, label, base (may be absent or empty: from nothing); .csv, "
        ".tsv, .parquet, .npz or .npy; cells are texts, or vectors: embeddings, or without a base "
        "deltas",
    )
    parser.add_argument(
        "--embed",
        metavar="MODULE:FUNCTION",
        default="khonsu.sentences:embed",
        help="takes a list of texts, returns a row of numbers for each (default %(default)s)",
    )
    parser.add_argument("--only", choices=("base", "nothing"), help="changes from a base, or not")
    parser.add_argument("--json", action="store_true", help="print JSON, with the cosine of each")
    for name, value in Thresholds()._asdict().items():
        parser.add_argument(f"--{name}", type=float, default=value, help="(default %(default)s)")
    options = parser.parse_args(arguments)
    chosen = Thresholds(*(getattr(options, name) for name in Thresholds._fields))
    try:
        judged, dimensions = judge(read(options.file), embedder(options.embed))
    except (ImportError, OSError, ValueError, Error) as error:
        print(f"thresholds: {error}", file=sys.stderr)
        return 1
    if options.only:
        judged = [row for row in judged if row.has_base == (options.only == "base")]
    figures = {"dimensions": dimensions, **report(judged, chosen)}
    print(json.dumps(figures, indent=1) if options.json else text(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
