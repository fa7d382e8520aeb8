"""Deltas: numbers in, numbers out, what they are to each other; and the classes, by a model."""

from __future__ import annotations

import array
import itertools
import math
import random
from typing import Any

import pyarrow as pa
import pytest
from classes import model

import khonsu
from khonsu import Delta, Thresholds, classify

np = pytest.importorskip("numpy")

HALVES = [0.5, -1.0, 2.0]


@pytest.mark.parametrize(
    "values",
    [
        HALVES,
        tuple(HALVES),
        (number for number in HALVES),
        array.array("f", HALVES),
        array.array("d", HALVES),
        memoryview(array.array("d", HALVES)),
        np.array(HALVES, np.float32),
        np.array(HALVES, np.float64),
        np.array(HALVES, np.float16),
        np.array(HALVES, ">f8"),
        np.array([0.5, 9, -1, 9, 2, 9], np.float32)[::2],
        np.array(HALVES[::-1])[::-1],
        pa.array(HALVES, pa.float32()),
        pa.array(HALVES),
        pa.chunked_array([HALVES[:1], HALVES[1:]]),
        pa.array([HALVES], pa.list_(pa.float32(), 3))[0],
    ],
    ids=lambda values: type(values).__name__,
)
def test_numbers(values: Any) -> None:
    assert Delta(values).values == HALVES


def test_integers_and_rounding() -> None:
    assert Delta(array.array("i", [1, 2])).values == Delta(range(1, 3)).values == [1, 2]
    [value] = Delta([0.1]).values
    assert value == float(np.float32(0.1)) != 0.1
    assert Delta([1e-6, -1e-7, 1]).values == [0, 0, 1]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ("12", TypeError),
        (b"12", TypeError),
        (5, TypeError),
        (None, TypeError),
        ([1, "a"], TypeError),
        ([1, None], TypeError),
        ([[1.0, 2.0]], TypeError),
        (np.zeros((2, 2)), ValueError),
        (np.float32(1), (TypeError, ValueError)),
        (pa.array([1.0, None]), TypeError),
        ([], khonsu.InvalidError),
        ([math.nan], khonsu.InvalidError),
        ([1e300], khonsu.InvalidError),
        (np.array([math.inf]), khonsu.InvalidError),
        ([0.0] * 65537, khonsu.TooBigError),
    ],
)
def test_no_numbers(values: Any, kind: Any) -> None:
    with pytest.raises(kind):
        Delta(values)


def test_what_a_delta_is() -> None:
    delta = Delta.between([1, 1, 1, 1, 1], [1, 4, 1, 5, 1], keys=["b", b"a", "b"], transaction=7)
    assert delta.values == [0, 3, 0, 4, 0] and delta.magnitude == 5 and len(delta) == 5
    assert delta.keys == ["a", "b"] and delta.transaction == 7
    assert delta.filled == 2 and delta.is_sparse and delta.nbytes > 0
    assert repr(delta) == "<khonsu.Delta: 5 values, sparse, magnitude 5, 2 keys>"
    assert Delta([1]).transaction is None and Delta([1]).keys == [] and not Delta([1]).is_sparse
    again = Delta.from_bytes(delta.to_bytes())
    assert (again.values, again.keys, again.transaction) == (delta.values, ["a", "b"], 7)
    for wrong in (b"", b"garbage"):
        with pytest.raises(khonsu.CorruptError):
            Delta.from_bytes(wrong)
    for keys in ("a", b"a", 5, [5], [""]):
        with pytest.raises((TypeError, khonsu.InvalidError)):
            Delta([1], keys)
    with pytest.raises(khonsu.InvalidError, match="dimensions|values"):
        Delta.between([1], [1, 2])
    with pytest.raises(AttributeError):
        delta.values = []  # type: ignore[misc]


def test_measures() -> None:
    a, b = Delta([3, 4, 0], ["x", "y"]), Delta([0, 4, 3], ["y"])
    assert a.cosine(b) == pytest.approx(16 / 25) and a.shared_keys(b) == 1
    assert a.angular(b) == pytest.approx(math.acos(16 / 25) / math.pi)
    assert a.euclidean(b) == pytest.approx(math.sqrt(18))
    assert a.jaccard(b) == pytest.approx(1 / 3)
    assert a.weighted_jaccard(b) == pytest.approx(4 / 10)
    for measure in (a.cosine, a.angular, a.euclidean, a.jaccard, a.weighted_jaccard):
        with pytest.raises(khonsu.InvalidError, match="different dimensions"):
            measure(Delta([1]))
        with pytest.raises(TypeError, match=r"khonsu\.Delta was expected"):
            measure([3, 4, 0])  # type: ignore[arg-type]


def test_sums() -> None:
    a, b = Delta([1, 2], ["x"]), Delta([3, -2], ["y"])
    assert ((a + b).values, (a + b).keys) == ([4, 0], ["x", "y"])
    assert (a * 2).values == (2 * a).values == [2, 4] and (a * 0.5).keys == ["x"]
    assert Delta.average([a, b]).values == [2, 0]
    assert Delta.average([a, b], np.array([3, 1])).values == [1.5, 1]
    rest = a.project(Delta([1, 0]))
    assert rest.values == [0, 2] and rest.keys == ["x"]
    for wrong in (
        lambda: a + Delta([1]),
        lambda: a * math.nan,
        lambda: Delta.average([]),
        lambda: Delta.average([a, b], [1, -1]),
        lambda: Delta.average([a, b], [1]),
        lambda: a.project(Delta([1])),
    ):
        with pytest.raises(ValueError):
            wrong()
    for wrong in (lambda: a + 1, lambda: a * a, lambda: Delta.average([a, None])):  # type: ignore
        with pytest.raises(TypeError):
            wrong()


# ---- classes -------------------------------------------------------------------------------------


def some_values(chance: random.Random) -> list[float]:
    share = chance.choice((0.2, 0.4, 1))
    return [chance.randint(-4, 4) / 4 if chance.random() < share else 0.0 for _ in range(9)]


@pytest.mark.parametrize("thresholds", [None, Thresholds(0.3, 0.8, -0.5, 0.6, 0.9)])
def test_classes_are_those_of_the_table(thresholds: Thresholds | None) -> None:
    chance = random.Random(7)
    found: dict[str, int] = {}
    for _ in range(4000):
        a, b = some_values(chance), some_values(chance)
        if chance.random() < 0.3:
            b = [chance.choice((1, 1, 1.25)) * x * chance.choice((1, 1, 1, -1)) for x in a]
        if chance.random() < 0.2:
            b = [-x for x in a]
        keys = tuple({key for key in "xyz" if chance.random() < 0.5} for _ in range(2))
        kind, cosine = classify(a, b, keys=(list(keys[0]), list(keys[1])), thresholds=thresholds)
        assert kind == model(a, b, keys, thresholds or Thresholds()), (a, b, keys, cosine)
        found[kind] = found.get(kind, 0) + 1
    assert len(found) == 7 and min(found.values()) > 20, found


def test_classify() -> None:
    a = Delta([1, 0], ["k"])
    kind, cosine = classify(a, [2, 0.1], keys=((), ["k"]))
    assert kind == "identical" and cosine == pytest.approx(0.99875, abs=1e-5)
    assert classify(a, None) == ("none", 0) and classify(None, None).kind == "none"
    assert classify(a, [1, 0, 0]).kind == "none"
    assert classify(a, [0.8, 0.6]).kind == "conflicting"
    assert classify(a, [0.8, 0.6], thresholds=Thresholds(conflicting=0.9)).kind == "low conflict"
    for wrong in ((1, 2), (1, 2, 3, 4, "5"), [0.1] * 5, 0.7):
        with pytest.raises(TypeError):
            classify(a, a, thresholds=wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        classify(a, a, keys=("k", "k"))(1)  # type: ignore[operator]


def test_many() -> None:
    deltas = [Delta([1, 0]), Delta([0, 1]), None, Delta([-1, 0.1])]
    pairs = khonsu.classify_all(deltas)
    assert [pair[:2] for pair in pairs] == list(itertools.combinations(range(4), 2))
    assert [pair.kind for pair in pairs] == [
        "orthogonal", "none", "opposite", "none", "orthogonal", "none"
    ]  # fmt: skip
    for pair in pairs:
        assert classify(deltas[pair.first], deltas[pair.second]) == (pair.kind, pair.cosine)
    assert khonsu.classify_all([]) == [] and khonsu.merge_order([]) == []
    order = khonsu.merge_order([Delta([1, 0]), Delta([1, 0.1]), Delta([0, 1])])
    assert sorted(order) == [0, 1, 2] and set(order[:2]) == {0, 2}
    with pytest.raises(TypeError):
        khonsu.merge_order([None])  # type: ignore[list-item]
