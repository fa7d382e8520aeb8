"""The classes of deltas without the library: the table of docs/semantic.md, by exact sums.

What is compared with thresholds is rounded to float32, as the library keeps it.
"""

from __future__ import annotations

import math

import numpy as np

from khonsu import Thresholds


def model(a: list[float], b: list[float], keys: tuple[set[str], set[str]], t: Thresholds) -> str:
    """The class of two deltas with these keys."""
    squares = math.fsum(x * x for x in a) * math.fsum(y * y for y in b)
    if squares == 0:
        return "none"
    s = np.float32(math.fsum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(squares))
    limits = Thresholds(*map(np.float32, t))
    filled = [{i for i, x in enumerate(values) if x != 0} for values in (a, b)]
    are_sparse = all(2 * len(places) < len(a) for places in filled)
    jaccard = np.float32(len(filled[0] & filled[1]) / len(filled[0] | filled[1]))
    rules = (
        ("orthogonal", abs(s) < limits.orthogonal),
        ("identical", keys[0] == keys[1] and s >= limits.identical),
        ("opposite", s <= limits.opposite),
        ("conflicting", s >= limits.conflicting),
        ("conflicting", are_sparse and jaccard >= limits.jaccard),
        ("ambiguous", bool(keys[0] & keys[1])),
    )
    return next((kind for kind, is_true in rules if is_true), "low conflict")
