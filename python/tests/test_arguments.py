"""Wrong arguments: an exception of the right class that names the argument, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tables import row

import khonsu

TABLE = pa.table({"id": [1, 2], "day": ["mo", "tu"]})


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("prefix", 5, "prefix is a str, not 5"),
        ("prefix", None, "prefix is a str, not None"),
        ("prefix", b"x", "prefix is a str, not b'x'"),
        ("by", None, "by is a list of names of columns, not None"),
        ("by", [5], "by has names of columns, or pairs of a name and a unit, not 5"),
        ("by", [("day",)], "by has names of columns, or pairs of a name and a unit"),
        ("columns", 5, "columns is a list of names or None, not 5"),
        ("columns", [5], "columns is a list of names or None"),
        ("format", 5, "format is a str or None, not 5"),
        ("on", 5, "on is the name of a column or None, not 5"),
        ("progress", 5, "progress is a bool, a function or None, not 5"),
        ("resume", None, "resume is a bool or the name of a load, not None"),
        ("resume", 1, "resume is a bool or the name of a load, not 1"),
        ("separator", None, "separator is a str, not None"),
    ],
)
def test_types_of_load(db: Any, name: str, value: Any, words: str) -> None:
    arguments: dict[str, Any] = {"prefix": "t", name: value}
    with pytest.raises(TypeError, match=words):
        db.load(TABLE, **arguments)
    assert db.begin().get("t") is None


def test_types_of_save_and_sql(db: Any, tmp_path: Path) -> None:
    db.load(TABLE, "t")
    with pytest.raises(TypeError, match="prefix is a str, not 5"):
        db.save(5, tmp_path / "t.csv")
    for call in (
        lambda: db.save("t", tmp_path / "t.csv", separator=None),
        lambda: db.sql("select 1", separator=None),
        lambda: db.begin().duckdb(separator=None),
    ):
        with pytest.raises(TypeError, match="separator is a str, not None"):
            call()


def test_one_column(db: Any) -> None:
    """A str is one column, as in by."""
    db.load(TABLE, "t", columns="id")
    assert db.get("t").column_names == ["id"]
    with pytest.raises(KeyError, match="nothing"):
        db.load(TABLE, "u", columns="nothing")


@pytest.mark.parametrize("name", ["absent", "absent.csv", "absent.parquet", "absent/"])
def test_no_such_file(db: Any, tmp_path: Path, name: str) -> None:
    for source in (str(tmp_path) + "/" + name, [str(tmp_path) + "/" + name]):
        with pytest.raises(FileNotFoundError, match="absent"):
            db.load(source, "t")


def test_attempts(db: Any) -> None:
    for attempts in ("x", None, 1.5):
        with pytest.raises(TypeError, match="attempts is an int, not"):
            db.run(lambda txn: None, attempts=attempts)
        with pytest.raises(TypeError, match="attempts is an int, not"):
            db.transactional(attempts=attempts)(lambda txn: None)
    with pytest.raises(TypeError, match="is run by a function, not by 5"):
        db.run(5)


TEXTS = ["isolation", "policy", "id_column", "sync"]


@pytest.mark.parametrize(
    ("call", "names", "value", "kind", "words"),
    [
        ("open", [*TEXTS, "validation", "semantic", "lock_victim"], 5, TypeError, "a str or None"),
        ("begin", [*TEXTS, "tag"], 5, TypeError, "a str or None, not 5"),
        ("workspace", [*TEXTS, "tag", "mode"], [1], TypeError, r"a str or None, not \[1\]"),
        ("open", ["timeout", "sync_delay", "lock_timeout", "retention"], "x", TypeError,
         "a number of seconds, not 'x'"),
        ("begin", ["timeout"], "x", TypeError, "a number of seconds, not 'x'"),
        ("begin", ["timeout"], -1, ValueError, "between 0 and 4,000,000 seconds, not -1"),
        ("workspace", ["timeout"], float("nan"), ValueError, "between 0 and 4,000,000 seconds"),
        ("open", ["memory", "retention_bytes", "semantic_bytes", "node"], "x", TypeError,
         "an int, not 'x'"),
        ("open", ["memory", "retention_bytes", "semantic_recent"], -1, khonsu.InvalidError,
         "-1: it is negative or too large"),
        ("begin", ["priority"], "x", TypeError, "an int, not 'x'"),
        ("workspace", ["operations_max"], 1.5, TypeError, "an int, not 1.5"),
    ],
)  # fmt: skip
def test_options(
    db: Any, call: str, names: list[str], value: Any, kind: type[Exception], words: str
) -> None:
    function = khonsu.open if call == "open" else getattr(db, call)
    for name in names:
        with pytest.raises(kind, match=f"^{name} is {words}"):
            function(**{name: value})


def test_options_that_there_are_not(db: Any) -> None:
    with pytest.raises(TypeError, match=r"begin\(\) has no option 'readonly' .*'read_only'"):
        db.begin(readonly=True)
    with pytest.raises(TypeError, match=r"workspace\(\) has no option 'modus'"):
        db.workspace(modus="guard")
    with pytest.raises(TypeError, match="'sink'"):
        khonsu.open(sink=1)


def test_arguments_of_calls(db: Any) -> None:
    with db.begin() as txn:
        with pytest.raises(TypeError, match="^policy must be str or None, not int"):
            txn.put("k", row(1), policy=5)
        with pytest.raises(TypeError, match="^on must be str or None, not int"):
            txn.upsert("k", row(1), on=5)
        with pytest.raises(TypeError, match="a timeout is a number of seconds or None, not .*str"):
            txn.lock("k", timeout="x")


def test_as_of_is_read_only(tmp_path: Path) -> None:
    for path in (None, tmp_path / "db"):
        with pytest.raises(khonsu.InvalidError, match="as_of .*read_only=True"):
            khonsu.open(path, as_of=5)


# ---- schemas -------------------------------------------------------------------------------------


def test_types_of_pyarrow() -> None:
    columns = {
        "a": pa.list_(pa.int64()),
        "b": "int64 not null",
        "c": pa.struct({"x": pa.map_(pa.string(), pa.int8())}),
        "d": pa.dictionary(pa.int8(), pa.string()),
        "e": pa.field("other", pa.int64(), nullable=False),
        "f": pa.timestamp("us", "UTC"),
        "g": str,
    }
    fields = [
        pa.field("a", pa.list_(pa.int64())),
        pa.field("b", pa.int64(), nullable=False),
        pa.field("c", columns["c"]),
        pa.field("d", columns["d"]),
        pa.field("e", pa.int64(), nullable=False),
        pa.field("f", pa.timestamp("us", "UTC")),
        pa.field("g", pa.string()),
    ]
    schema = khonsu.Schema(columns)
    assert schema.to_pyarrow() == pa.schema(fields)
    assert schema == khonsu.Schema(pa.schema(fields)) == khonsu.Schema(list(columns.items()))
    assert khonsu.Schema({"n": pa.int64(), "m": int}).row(1, 2).row() == (1, 2)


@pytest.mark.parametrize("kind", ["Int128", "List(Int128)", "Struct({'x': Int128})"])
def test_integers_of_polars_own(db: Any, kind: str) -> None:
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"id": [1]}, schema={"id": pl.Int64})
    wide = {"Int128": pl.Int128, "List(Int128)": pl.List(pl.Int128)}
    dtype = wide.get(kind, pl.Struct({"x": pl.Int128}))
    frame = frame.with_columns(pl.lit(None).cast(dtype).alias("w"))
    with db.begin() as txn, pytest.raises(TypeError, match="column 'w' is .*Int128.*: cast it"):
        txn["k"] = frame
    with pytest.raises(TypeError, match="cast it"):
        db.load(frame, "k")
