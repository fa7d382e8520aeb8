"""Loading and saving: khonsu._files, _sources, _partition, _save and _progress."""

from __future__ import annotations

import datetime as dt
import decimal
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.json
import pyarrow.parquet as pq
import pytest
from flights import COUNT, flights

import khonsu
from khonsu import _files, _prefix, _save, _sources


def stored(db: Any, prefix: str = "flights/") -> dict[str, list[int]]:
    with db.begin(read_only=True) as txn:
        return {
            key: [batch.value("id", row) for row in range(len(batch))]
            for key, batch in txn.scan(prefix)
        }


def expected(table: pa.Table, prefix: str = "flights/") -> dict[str, list[int]]:
    keys: dict[str, list[int]] = {}
    for row in table.to_pylist():
        key = f"{prefix}{row['day']}/{row['origin'] or '%null'}"
        keys.setdefault(key, []).append(row["id"])
    return keys


class Stop(Exception):
    """What kills a load in these tests."""


def stop_after(commits: int) -> Any:
    """A progress function that raises after so many commits."""
    calls: list[int] = []

    def report(done: int, total: int | None) -> None:
        calls.append(done)
        if len(calls) > commits:  # the first call comes before any commit
            raise Stop

    return report


# ---- loading -------------------------------------------------------------------------------------


def test_load_parquet(db: Any, parquet: str) -> None:
    result = db.load(parquet, "flights", by=["day", "origin"])
    assert stored(db) == expected(flights())
    assert result == (COUNT, 9, 1, 0)


def test_load_in_chunks_appends(db: Any, parquet: str) -> None:
    result = db.load(parquet, "flights", by=["day", "origin"], batch_rows=100)
    assert stored(db) == expected(flights())
    assert (result.rows, result.keys) == (COUNT, 9)
    assert result.commits >= 8


def test_load_without_by(db: Any, parquet: str) -> None:
    db.load(parquet, "flights", batch_rows=300)
    assert stored(db, "flights") == {"flights": list(range(COUNT))}


def test_load_keeps_columns_and_types(db: Any, parquet: str) -> None:
    db.load(parquet, "flights", by="day")
    with db.begin() as txn:
        assert txn["flights/2013-01-01"].to_pyarrow().schema.equals(flights().schema)


def test_load_some_columns(db: Any, parquet: str) -> None:
    db.load(parquet, "flights", by="day", columns=["day", "id"])
    with db.begin() as txn:
        assert txn["flights/2013-01-01"].column_names == ["day", "id"]


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".tsv", ".jsonl", ".arrow", ".arrows"])
def test_load_formats(db: Any, tmp_path: Path, suffix: str) -> None:
    path = str(tmp_path / f"flights{suffix}")
    table = flights()
    if suffix.startswith((".csv", ".tsv")):
        delimiter = "\t" if suffix == ".tsv" else ","
        options = pa.csv.WriteOptions(delimiter=delimiter)
        with pa.output_stream(path) as out:
            pa.csv.write_csv(table, out, options)
    elif suffix == ".jsonl":
        lines = [json.dumps(row, default=str) for row in table.to_pylist()]
        Path(path).write_text("\n".join(lines) + "\n")
    else:
        make = pa.ipc.new_file if suffix == ".arrow" else pa.ipc.new_stream
        with make(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=77)
    by = [("day", "day")]  # JSON has no dates: they become timestamps
    db.load(path, "flights", by=by, batch_rows=400)
    days = {key: ids for key, ids in stored(db).items()}
    assert sorted(days) == [f"flights/2013-01-0{day}" for day in (1, 2, 3)]
    assert sorted(sum(days.values(), [])) == list(range(COUNT))
    assert days["flights/2013-01-02"] == list(range(1, COUNT, 3))


def test_load_a_stream_in_a_file_named_arrow(db: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "x.arrow")
    with pa.ipc.new_stream(path, flights().schema) as writer:
        writer.write_table(flights())
    db.load(path, "flights", by=["day", "origin"])
    assert stored(db) == expected(flights())


def test_load_a_directory_with_hive_partitions(db: Any, tmp_path: Path) -> None:
    for year in (2012, 2013):
        directory = tmp_path / "data" / f"year={year}"
        directory.mkdir(parents=True)
        pq.write_table(pa.table({"id": [year, year + 1]}), directory / "part.parquet")
    (tmp_path / "data" / "_SUCCESS").write_text("")
    db.load(tmp_path / "data", "t", by="year")
    assert stored(db, "t/") == {"t/2012": [2012, 2013], "t/2013": [2013, 2014]}


def test_load_several_files(db: Any, tmp_path: Path) -> None:
    paths = []
    for part in range(3):
        paths.append(tmp_path / f"{part}.parquet")
        pq.write_table(flights().slice(part * 300, 300), paths[-1])
    db.load(paths, "flights", by=["day", "origin"], batch_rows=250)
    assert stored(db) == expected(flights().slice(0, 900))


def test_load_arrow_data(db: Any) -> None:
    table = flights()
    reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=64))
    db.load(reader, "a", by=["day", "origin"], batch_rows=200)
    db.load(table, "b", by=["day", "origin"])
    db.load(table.to_batches()[0], "c", by=["day", "origin"])
    db.load(pa.dataset.dataset(table), "d", by=["day", "origin"])
    for name in "abcd":
        assert stored(db, f"{name}/") == expected(table, f"{name}/")


def test_load_rows_of_polars(db: Any) -> None:
    polars = pytest.importorskip("polars")
    db.load(polars.from_arrow(flights()), "flights", by=["day", "origin"])
    assert stored(db) == expected(flights())


def test_load_rows_of_pandas_as_they_are_put(db: Any) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"id": [1, 2], "name": ["a", "b"]}, index=[7, 8])
    db.load(frame, "loaded")
    with db.begin() as txn:
        txn["put"] = frame
        assert txn["loaded"] == txn["put"]
        assert txn["loaded"].column_names == ["id", "name"]
        assert txn["loaded"].to_pyarrow().schema.metadata is None
    with pytest.raises(ValueError, match="reset_index"):
        db.load(frame.set_index("name"), "named")
    with pytest.raises(TypeError, match="Series"):
        db.load(frame["id"], "series")


def test_load_nothing(db: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "empty.parquet")
    pq.write_table(flights(0), path)
    assert db.load(path, "flights", by="day") == (0, 0, 1, 0)
    assert stored(db) == {}


def test_load_by_unit(db: Any) -> None:
    times = [dt.datetime(2013, 1, 1, 5, 15), dt.datetime(2013, 1, 1, 23), dt.datetime(2013, 2, 1)]
    table = pa.table({"id": [0, 1, 2], "time": times})
    db.load(table, "day", by=[("time", "day")])
    db.load(table, "month", by=[("time", "month")])
    db.load(table, "hour", by=[("time", "hour")])
    assert stored(db, "day/") == {"day/2013-01-01": [0, 1], "day/2013-02-01": [2]}
    assert stored(db, "month/") == {"month/2013-01": [0, 1], "month/2013-02": [2]}
    assert "hour/2013-01-01T05" in stored(db, "hour/")


def test_load_keeps_rows_whose_keys_are_alike(db: Any) -> None:
    late = 253_402_300_800  # 10000-01-01
    table = pa.table(
        {
            "id": [0, 1],
            "d": pa.array([0, 1000], pa.date64()),
            "t": pa.array([late, late + 86_400], pa.timestamp("s")),
            "a": [b"a-b", b"a"],
            "b": [b"c", b"b-c"],
        }
    )
    db.load(table, "d", by=["d"])
    db.load(table, "t", by=[("t", "day")])
    db.load(table, "ab", by=["a", "b"], separator="-")
    for prefix in ("d/", "t/", "ab-"):
        assert sorted(sum(stored(db, prefix).values(), [])) == [0, 1]
    with pytest.raises(ValueError, match="separator"):
        db.load(table, "p", by=["a", "b"], separator="%")


# ---- what is there already -----------------------------------------------------------------------


def test_if_exists_append(db: Any) -> None:
    db.load(flights(6), "flights", by="day")
    db.load(flights(6), "flights", by="day")
    assert stored(db)["flights/2013-01-01"] == [0, 3, 0, 3]


def test_if_exists_replace(db: Any) -> None:
    with db.begin() as txn:
        txn["flights"] = flights(1)
        txn["flights/old"] = flights(2)
        txn["flights-2014"] = flights(3)
    db.load(flights(6), "flights", by="day", if_exists="replace", batch_rows=2)
    assert sorted(stored(db)) == [f"flights/2013-01-0{day}" for day in (1, 2, 3)]
    assert sorted(stored(db, "flights"))[0] == "flights-2014"
    assert "flights" not in stored(db, "flights")


def test_if_exists_fail(db: Any) -> None:
    db.load(flights(6), "flights", by="day", if_exists="fail", batch_rows=2)
    with pytest.raises(ValueError, match="if_exists"):
        db.load(flights(6), "flights", by="day", if_exists="fail")
    assert stored(db)["flights/2013-01-01"] == [0, 3]


def test_on_an_id_column(db: Any) -> None:
    db.load(flights(6), "flights", by="day", on="id")
    db.load(flights(9), "flights", by="day", on="id", batch_rows=2)
    assert stored(db)["flights/2013-01-01"] == [0, 3, 6]


# ---- going on ------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".arrows"])
@pytest.mark.parametrize("killed_after", [0, 1, 3, 6])
def test_killed_load_goes_on(db: Any, tmp_path: Path, suffix: str, killed_after: int) -> None:
    path = str(tmp_path / f"flights{suffix}")
    db.load(flights(), "source")
    db.save("source", path)
    if suffix == ".parquet":
        pq.write_table(flights(), path, row_group_size=130)
    options: dict[str, Any] = {"by": ["day", "origin"], "batch_rows": 100}
    with pytest.raises(Stop):
        db.load(path, "flights", progress=stop_after(killed_after), **options)
    before = stored(db)
    assert sum(map(len, before.values())) == killed_after * 100
    result = db.load(path, "flights", **options)
    keys = {key.replace("%empty", "%null"): ids for key, ids in stored(db).items()}
    assert keys == expected(flights())  # CSV writes null as nothing, and reads the empty string
    assert result.skipped == killed_after * 100
    assert result.rows == COUNT - result.skipped
    assert db.load(path, "flights", **options) == (0, 0, 0, COUNT)  # it is complete


def test_killed_between_staging_and_commit(
    db: Any, parquet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[int] = []
    store = _files._Load._store

    def fail_late(self: Any, txn: Any, *args: Any) -> None:
        store(self, txn, *args)
        commits.append(1)
        if len(commits) == 3:
            raise Stop

    options: dict[str, Any] = {"by": ["day", "origin"], "batch_rows": 100}
    monkeypatch.setattr(_files._Load, "_store", fail_late)
    with pytest.raises(Stop):
        db.load(parquet, "flights", **options)
    assert sum(map(len, stored(db).values())) == 200
    assert db.load(parquet, "flights", **options).skipped == 200
    assert stored(db) == expected(flights())


def test_goes_on_after_reopening(tmp_path: Path, parquet: str) -> None:
    path = str(tmp_path / "db")
    with khonsu.open(path) as db, pytest.raises(Stop):
        db.load(parquet, "flights", by=["day", "origin"], batch_rows=100, progress=stop_after(4))
    with khonsu.open(path) as db:
        result = db.load(parquet, "flights", by=["day", "origin"], batch_rows=250)
        assert result.skipped == 400
        assert stored(db) == expected(flights())


def test_replace_goes_on_without_replacing_again(db: Any, parquet: str) -> None:
    options: dict[str, Any] = {"by": "day", "batch_rows": 100, "if_exists": "replace"}
    with pytest.raises(Stop):
        db.load(parquet, "flights", progress=stop_after(2), **options)
    assert db.load(parquet, "flights", **options).skipped == 200
    assert db.load(parquet, "flights", **options).rows == COUNT  # complete: replaced as a whole
    assert sorted(sum(stored(db).values(), [])) == list(range(COUNT))


def test_resume_false_begins_anew(db: Any, parquet: str) -> None:
    with pytest.raises(Stop):
        db.load(parquet, "flights", by="day", batch_rows=100, progress=stop_after(2))
    assert db.load(parquet, "flights", by="day", resume=False).rows == COUNT
    assert sum(map(len, stored(db).values())) == COUNT + 200
    assert db.load(parquet, "flights", by="day").rows == 0


def test_a_changed_file_is_another_source(db: Any, tmp_path: Path) -> None:
    path = tmp_path / "flights.parquet"
    pq.write_table(flights(3), path)
    db.load(path, "flights", by="day")
    pq.write_table(flights(60), path)
    assert db.load(path, "flights", by="day").rows == 60


def test_named_load_of_arrow_data(db: Any) -> None:
    options: dict[str, Any] = {"by": ["day", "origin"], "batch_rows": 100, "resume": "nightly"}
    with pytest.raises(Stop):
        db.load(flights(), "flights", progress=stop_after(2), **options)
    assert db.load(flights(), "flights", **options).skipped == 200
    assert stored(db) == expected(flights())


def test_two_loads_of_one_source_at_once(db: Any, parquet: str) -> None:
    options: dict[str, Any] = {"by": "day", "batch_rows": 100}

    def overtake(done: int, total: int | None) -> None:
        if done == 100:
            db.load(parquet, "flights", **options)

    with pytest.raises(ValueError, match="another load"):
        db.load(parquet, "flights", progress=overtake, **options)
    assert sorted(sum(stored(db).values(), [])) == list(range(COUNT))


def test_conflicting_chunk_is_tried_again(db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = _files._Load._store
    rivals = [flights(4), flights(1)]

    def meet_a_rival(self: Any, txn: Any, *args: Any) -> None:
        store(self, txn, *args)
        if rivals:
            with db.begin() as rival:
                rival["flights/2013-01-01"] = rivals.pop()

    monkeypatch.setattr(_files._Load, "_store", meet_a_rival)
    db.load(flights(6), "flights", by="day")
    assert stored(db)["flights/2013-01-01"] == [0, 1, 2, 3, 0, 3]


# ---- bad arguments -------------------------------------------------------------------------------


def test_bad_arguments(db: Any, tmp_path: Path, parquet: str) -> None:
    with pytest.raises(FileNotFoundError):
        db.load(str(tmp_path / "none.parquet"), "t")
    (tmp_path / "none.xyz").touch()
    with pytest.raises(ValueError, match="format"):
        db.load(str(tmp_path / "none.xyz"), "t")
    with pytest.raises(ValueError, match="format"):
        db.load(parquet, "t", format="xml")
    with pytest.raises(KeyError, match="no column 'city'"):
        db.load(parquet, "t", by="city")
    with pytest.raises(ValueError, match="unit"):
        db.load(parquet, "t", by=[("day", "fortnight")])
    with pytest.raises(TypeError, match="load"):
        db.load(42, "t")
    with pytest.raises(ValueError, match="prefix"):
        db.load(parquet, "")
    with pytest.raises(ValueError, match="if_exists"):
        db.load(parquet, "t", if_exists="maybe")
    for rows in (0, 900_001):
        with pytest.raises(ValueError, match="batch_rows"):
            db.load(parquet, "t", batch_rows=rows)
    with pytest.raises(TypeError, match="cannot be grouped"):
        db.load(pa.table({"a": [[1]]}), "t", by="a")
    with pytest.raises(TypeError, match="has no day"):
        db.load(parquet, "t", by=[("id", "day")])
    assert stored(db, "t") == {}


def test_other_schema_than_stored(db: Any) -> None:
    with db.begin() as txn:
        txn["flights/2013-01-01"] = pa.record_batch({"x": [1]})
    with pytest.raises(khonsu.SchemaMismatchError):
        db.load(flights(6), "flights", by="day")


# ---- saving --------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["parquet", "csv", "json", "ipc", "stream"])
def test_save_and_load_again(db: Any, tmp_path: Path, format: str) -> None:
    db.load(flights(), "flights", by=["day", "origin"])
    path = str(tmp_path / "out")
    assert db.save("flights", path, format=format) == (COUNT, 1)
    db.load(path, "again", by=["day", "origin"], format=format)
    ids = {key.partition("/")[2]: value for key, value in stored(db, "again/").items()}
    assert len(ids) == (9 if format != "csv" else len(ids))  # CSV has no null strings
    assert sorted(sum(ids.values(), [])) == list(range(COUNT))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_save_from_a_transaction(db: Any, tmp_path: Path) -> None:
    with db.begin() as txn:
        txn["t/1"] = flights(5)
        assert _save.save(txn, "t", tmp_path / "t.parquet").rows == 5  # its own writes
        txn.rollback()


def test_save_json_values(db: Any, tmp_path: Path) -> None:
    with db.begin() as txn:
        txn["t"] = pa.record_batch(
            {
                "day": [dt.date(2013, 1, 1)],
                "raw": [b"\xff"],
                "price": [decimal.Decimal("1.50")],
                "list": [[1, None]],
                "text": ["é"],
            }
        )
    db.save("t", tmp_path / "t.jsonl")
    line = json.loads((tmp_path / "t.jsonl").read_text("utf-8"))
    assert line == {
        "day": "2013-01-01",
        "raw": "/w==",
        "price": "1.50",
        "list": [1, None],
        "text": "é",
    }


def test_save_numbers_that_json_has_not(db: Any, tmp_path: Path) -> None:
    odd = [float("nan"), float("inf"), -float("inf"), None]
    with db.begin() as txn:
        rows = {"x": odd, "l": [[x, 1.0] for x in odd], "s": [{"a": x, "b": "c"} for x in odd]}
        txn["t"] = pa.record_batch(rows)
    db.save("t", tmp_path / "t.jsonl")
    for line in (tmp_path / "t.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line, parse_constant=pytest.fail)
        assert row == {"x": None, "l": [None, 1.0], "s": {"a": None, "b": "c"}}


def test_save_a_file_for_each_key(db: Any, tmp_path: Path) -> None:
    db.load(flights(), "flights", by=["day", "origin"])
    with db.begin() as txn:
        txn["flights/.."] = flights(1)
        txn["flights//x"] = flights(2)
        txn["flights/note"] = pa.record_batch({"text": ["other columns"]})
    target = tmp_path / "out"
    assert db.save("flights", target, partition=True) == (COUNT + 4, 12)
    names = sorted(str(path.relative_to(target)) for path in target.rglob("*.parquet"))
    assert "2013-01-01/JFK.parquet" in names
    assert "2013-01-01/%25null.parquet" in names
    assert "%2E%2E.parquet" in names
    assert "%empty/x.parquet" in names
    assert len(names) == 12
    assert pq.read_table(target / "2013-01-01" / "JFK.parquet")["id"][0].as_py() == 0


def test_save_key_itself(db: Any, tmp_path: Path) -> None:
    with db.begin() as txn:
        txn["t"] = flights(1)
        txn["t/1"] = flights(2)
    assert db.save("t", tmp_path / "t.arrow").rows == 3
    assert db.save("t", tmp_path / "each", format="csv", partition=True) == (3, 2)
    assert sorted(path.name for path in (tmp_path / "each").iterdir()) == ["1.csv", "t.csv"]


def test_save_keys_that_are_alike(db: Any, tmp_path: Path) -> None:
    with db.begin() as txn:
        for number, key in enumerate(["co", "co/", "co/co", "co/%self", "co/co/x"]):
            txn[key] = flights(1 + number)
    target = tmp_path / "each"
    assert db.save("co", target, format="csv", partition=True) == (15, 5)
    found = {str(path.relative_to(target)): path for path in target.rglob("*.csv")}
    counts = {name: len(path.read_text().splitlines()) - 1 for name, path in found.items()}
    assert counts == {
        "%self.csv": 1,
        "%empty.csv": 2,
        "co.csv": 3,
        "%25self.csv": 4,
        "co/x.csv": 5,
    }
    with db.begin() as txn:
        txn["co/co.csv/x"] = flights(1)
    with pytest.raises(ValueError, match="is a file of one"):
        db.save("co", tmp_path / "none", format="csv", partition=True)
    assert not (tmp_path / "none").exists()


def test_save_leaves_notes_out(db: Any, parquet: str, tmp_path: Path) -> None:
    db.load(parquet, "flights", by=["day"])
    with db.begin() as txn:
        txn["!first"] = txn[".khonsua"] = flights(1)
    for number, (prefix, rows) in enumerate([("", COUNT + 2), ("*", COUNT + 2), (".*", 1)]):
        target = tmp_path / str(number)
        assert db.save(prefix, target, partition=True).rows == rows
        assert not (target / ".khonsu").exists()
        assert db.save(prefix, tmp_path / f"{number}.parquet").rows == rows
    assert db.sql('select count(*) from "*"').fetchall() == [(COUNT + 2,)]
    assert db.save(".khonsu", tmp_path / "notes.parquet").rows == 1


def test_save_errors(db: Any, tmp_path: Path) -> None:
    with db.begin() as txn:
        txn["t/1"] = flights(1)
        txn["t/2"] = pa.record_batch({"x": [1]})
        txn["lists"] = pa.record_batch({"x": [[1]]})
    with pytest.raises(KeyError, match="none"):
        db.save("none", tmp_path / "x.parquet")
    with pytest.raises(KeyError, match="none"):
        db.save("none", tmp_path / "x", partition=True)
    with pytest.raises(khonsu.SchemaMismatchError, match="'t'"):
        db.save("t", tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="format"):
        db.save("t", tmp_path / "x")
    (tmp_path / "kept.csv").write_text("before")
    with pytest.raises(pa.ArrowInvalid):
        db.save("lists", tmp_path / "kept.csv")
    assert (tmp_path / "kept.csv").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["kept.csv"]


# ---- parts ---------------------------------------------------------------------------------------


def test_parquet_skips_row_groups(parquet: str) -> None:
    source = _sources.open_source(parquet, None, None)
    assert source.total == COUNT
    for skip in (0, 1, 129, 130, 131, 999, 1000):
        ids = [i for batch in source.batches.read(skip) for i in batch["id"].to_pylist()]
        assert ids == list(range(skip, COUNT))


def test_chunks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_files, "_CHUNK_BYTES", 800)
    batches = pa.table({"a": pa.array(range(1000), pa.int64())}).to_batches()
    sizes = [chunk.num_rows for chunk, _ in _files._chunks(iter(batches), 900_000)]
    assert sizes == [100] * 10
    assert list(_files._chunks(iter([]), 5)) == [(None, True)]


def test_spans_of_names() -> None:
    assert _prefix.span_of("a", "/") == ("a", "a/")
    assert _prefix.span_of("a/", "/") == (None, "a/")
    assert _prefix.span_of("a*", "/") == (None, "a")
    assert _prefix.span_of("*", "/") == (None, "")
