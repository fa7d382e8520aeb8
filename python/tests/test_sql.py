"""SQL over one snapshot: khonsu._sql and khonsu._prefix."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pyarrow as pa
import pytest

import khonsu
from khonsu import _prefix

duckdb = pytest.importorskip("duckdb")


def rows(*values: int, name: str = "n") -> pa.RecordBatch:
    return pa.record_batch({name: pa.array(values, pa.int64())})


@pytest.fixture
def db() -> Any:
    database = khonsu.open()
    with database.begin() as txn:
        txn["flights/2013-01-01/AA"] = rows(1, 2)
        txn["flights/2013-01-01/UA"] = rows(3)
        txn["flights/2013-01-02/AA"] = rows(4)
        txn["flights-old"] = rows(100)
        txn["other"] = pa.record_batch({"name": ["x", "y"]})
    return database


def values(relation: Any) -> list[Any]:
    return sorted(row[0] for row in relation.fetchall())


# ---- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("flights", [1, 2, 3, 4]),
        ("flights/", [1, 2, 3, 4]),
        ("flights/2013-01-01", [1, 2, 3]),
        ("flights/2013-01-01/AA", [1, 2]),
        ("flights/2013-01-0*", [1, 2, 3, 4]),
        ("flights-old", [100]),
        ("flights*", [1, 2, 3, 4, 100]),
    ],
)
def test_names_of_prefixes(db: Any, name: str, expected: list[int]) -> None:
    assert values(db.sql(f'select n from "{name}"')) == expected


def test_key_and_keys_below_it(db: Any) -> None:
    with db.begin() as txn:
        txn["flights"] = rows(0)
    assert values(db.sql("from flights")) == [0, 1, 2, 3, 4]


def test_case_of_names(db: Any) -> None:
    assert values(db.sql("select n from Flights")) == [1, 2, 3, 4]
    with db.begin() as txn:
        txn["FLIGHTS/1"] = rows(7)
    assert values(db.sql("select n from FLIGHTS")) == [7]
    assert values(db.sql("select n from flights")) == [1, 2, 3, 4]


@pytest.fixture
def cased() -> Any:
    database = khonsu.open()
    with database.begin() as txn:
        txn["a/1"] = rows(1)
        txn["a/2"] = rows(2)
        txn["A/1"] = rows(7)
    return database


def test_names_that_differ_in_case(cased: Any) -> None:
    assert values(cased.sql("select * from a")) == [1, 2]
    assert values(cased.sql("select * from A where n > ?", [0])) == [7]
    with cased.begin() as txn, txn.duckdb() as con:
        assert values(con.sql("select * from a")) == [1, 2]
        assert values(con.sql('select * from "A"')) == [7]
        assert values(con.sql("select * from a where n > ?", params=[1])) == [2]
        assert values(con.table("A")) == [7]
        assert values(con.table("a")) == [1, 2]


def test_relations_keep_their_case(cased: Any) -> None:
    with cased.begin() as txn:
        con = txn.duckdb()
        low = con.sql("select * from a")
        high = con.sql('select * from "A"')
        with pytest.raises(khonsu.InvalidError, match="differs in case"):
            con.execute('select * from "A"')
        assert values(con.cursor().sql('select * from "A"')) == [7]
    assert (values(low), values(high)) == ([1, 2], [7])


def test_execute_takes_the_case_of_each_statement(cased: Any) -> None:
    with cased.begin() as txn, txn.duckdb() as con:
        assert values(con.execute("select * from a")) == [1, 2]
        assert values(con.execute("select * from A")) == [7]
        con.execute("create view v as select * from a")
        with pytest.raises(khonsu.InvalidError, match="differs in case"):
            con.execute("select * from A")
        assert values(con.execute("from v")) == [1, 2]


@pytest.mark.parametrize(
    "query",
    [
        'select * from a where n in (select n from "A")',
        'select * from a where n in (select n from "A") and n > ?',
        "select * from a join A using (n)",
    ],
)
def test_both_cases_in_one_statement_are_ambiguous(cased: Any, query: str) -> None:
    params = [0] if "?" in query else None
    with pytest.raises(khonsu.InvalidError, match="ambiguous"):
        cased.sql(query, params)
    with (
        cased.begin() as txn,
        txn.duckdb() as con,
        pytest.raises(khonsu.InvalidError, match="ambiguous"),
    ):
        con.sql(query, params=params)


def test_a_name_of_none_of_several_cases_is_ambiguous(cased: Any) -> None:
    with cased.begin() as txn:
        txn["word/1"] = txn["WORD/1"] = rows(1)
    with pytest.raises(khonsu.InvalidError, match="ambiguous"):
        cased.sql("select * from Word")
    with cased.begin() as txn:
        con = txn.duckdb()
        with pytest.raises(khonsu.InvalidError, match="ambiguous"):
            con.sql("select * from Word")
        assert values(con.sql("select * from word")) == [1]
    with pytest.raises(khonsu.FinishedError):  # WORD was never read
        con.sql("select * from WORD")


def test_values_are_no_names(cased: Any) -> None:
    query = "select n from a where 'A' = $word and n > $least -- A"
    assert values(cased.sql(query, {"word": "A", "least": 1})) == [2]
    with cased.begin() as txn, txn.duckdb() as con:
        con.execute("create table made as select * from a")
        con.execute("insert into made select * from a where n > ?", [1])
        assert values(con.execute("from made")) == [1, 2, 2]


def test_unknown_name(db: Any) -> None:
    with pytest.raises(duckdb.CatalogException, match="nothing"):
        db.sql("from nothing")


def test_first_components_jump() -> None:
    db = khonsu.open()
    with db.begin() as txn:
        for key in ["a", "a!b/c", "a/1", "a/2", "a0", "b/1/2", "b/3", ".khonsu/x", "/x", "é/1"]:
            txn[key] = rows(1)
        assert _prefix.first_components(txn, "/", 100) == ["a", "a!b", "a0", "b", "é"]
        assert _prefix.first_components(txn, "/", 2) == ["a", "a!b"]


def test_keys_that_are_no_text() -> None:
    db = khonsu.open()
    with db.begin() as txn:
        txn["a/1"] = rows(1)
        txn[b"\xff\xfe/1"] = rows(2)
        txn["z/1"] = rows(3)
        assert _prefix.first_components(txn, "/", 100) == ["a", "z"]
        assert values(txn.sql('from "*"')) == [1, 2, 3]


def test_first_components_walk_no_keys() -> None:
    class Counting:
        asked = 0

        def keys(self, prefix: str = "", *, start: str = "", limit: int = 0) -> Any:
            self.asked += 1
            assert limit == 1
            return txn.keys(prefix, start=start, limit=limit)

    db = khonsu.open()
    counting: Any = Counting()
    with db.begin() as txn:
        for number in range(500):
            txn[f"a/{number}"] = rows(1)
            txn[f"b/{number}"] = rows(1)
        assert _prefix.first_components(counting, "/", 100) == ["a", "b"]
    assert counting.asked == 3


@pytest.mark.parametrize("separator", ["", "::", "*", "é"])
def test_bad_separators(db: Any, separator: str) -> None:
    with pytest.raises(ValueError, match="separator"):
        db.sql("select 1", separator=separator)


def test_other_separator() -> None:
    db = khonsu.open()
    with db.begin() as txn:
        txn["a:1"] = rows(1)
        txn["a:2"] = rows(2)
        txn["a/3"] = rows(3)
        assert values(txn.sql("from a", separator=":")) == [1, 2]
        assert values(txn.sql("from a")) == [3]


# ---- results -------------------------------------------------------------------------------------


def test_result_in_every_form(db: Any) -> None:
    query = "select sum(n)::bigint as total from flights"
    assert db.sql(query).fetchall() == [(10,)]
    assert db.sql(query).df()["total"].tolist() == [10]
    assert db.sql(query).pl()["total"].to_list() == [10]
    assert pa.table(db.sql(query)).to_pylist() == [{"total": 10}]


def test_result_is_of_its_snapshot(db: Any) -> None:
    relation = db.sql("select n from flights")
    with db.begin() as txn:
        txn["flights/2013-01-03/AA"] = rows(5)
        del txn["flights/2013-01-01/AA"]
    assert values(relation) == [1, 2, 3, 4]
    assert values(relation.filter("n > 2")) == [3, 4]
    assert values(db.sql("select n from flights")) == [3, 4, 5]


def test_result_outlives_the_database(db: Any) -> None:
    relation = db.sql("select n from flights")
    db.close()
    assert values(relation) == [1, 2, 3, 4]


def test_result_goes_back_into_a_key(db: Any) -> None:
    with db.begin() as txn:
        txn["sums/all"] = txn.sql("select sum(n)::bigint as n from flights")
        assert values(txn.sql("from sums")) == [10]
    assert values(db.sql("from sums")) == [10]


def test_parameters(db: Any) -> None:
    assert values(db.sql("select n from flights where n > ?", [2])) == [3, 4]
    assert values(db.sql('select n from "flights/2013-01-01" where n > $low', {"low": 1})) == [2, 3]


def test_past() -> None:
    db = khonsu.open(retention=3600)
    with db.begin() as txn:
        txn["t/1"] = rows(1)
    before = db.now
    with db.begin() as txn:
        txn["t/2"] = rows(2)
    assert values(db.sql("from t", at=before)) == [1]
    assert values(db.sql("from t")) == [1, 2]
    with pytest.raises(khonsu.InvalidError):
        db.sql("from t", at=1 << 63)


def test_users_own_frames_are_found(db: Any) -> None:
    names = pa.table({"n": [1, 4], "name": ["one", "four"]})
    found = db.sql("select name from flights join names using (n)")
    assert values(found) == ["four", "one"]
    assert names.num_rows == 2


def test_statements_without_tables(db: Any) -> None:
    assert db.sql("select 42").fetchall() == [(42,)]
    assert ("flights",) in db.sql("show tables").fetchall()
    with pytest.raises(duckdb.ParserException):
        db.sql("selec")


def test_several_statements(db: Any) -> None:
    query = 'create table t as from "flights/2013-01-01"; select n from t where n > 1'
    assert values(db.sql(query)) == [2, 3]


# ---- connections ---------------------------------------------------------------------------------


def test_connection_lists_first_components(db: Any) -> None:
    with db.begin() as txn, txn.duckdb() as con:
        assert [row[0] for row in con.execute("show tables").fetchall()] == [
            "flights",
            "flights-old",
            "other",
        ]


def test_connection_reads_its_snapshot(db: Any) -> None:
    with db.begin() as txn, txn.duckdb() as con:
        with db.begin() as rival:
            rival["flights/2013-01-03/AA"] = rows(5)
            rival["later/1"] = rows(1)
        assert values(con.sql("from flights")) == [1, 2, 3, 4]
        with pytest.raises(duckdb.CatalogException):
            con.sql("from later")


def test_connection_sees_own_writes(db: Any) -> None:
    with db.begin() as txn, txn.duckdb() as con:
        relation = con.sql("from flights")
        assert values(relation) == [1, 2, 3, 4]
        txn["flights/2013-01-03/AA"] = rows(5)
        txn["new/1"] = rows(9)
        assert values(con.sql("from flights")) == [1, 2, 3, 4, 5]
        assert values(con.sql("from new")) == [9]
        txn.delete_range("new/")
        with pytest.raises(KeyError, match="new"):
            con.sql("from new")


def test_tables_are_read_when_asked_for(db: Any) -> None:
    class Spy:
        read: list[str] = []

        def __getattr__(self, name: str) -> Any:
            return getattr(txn, name)

        def __contains__(self, key: str) -> bool:
            return key in txn

        def table(self, prefix: str = "", **options: Any) -> Any:
            if prefix and options.get("limit") != 1:  # that of one key is for the columns
                self.read.append(prefix)
            return txn.table(prefix, **options)

    from khonsu import _sql

    with db.begin() as txn:
        spy: Any = Spy()
        con = _sql.connect(spy)
        con.execute("show tables")
        assert spy.read == []
        assert con.execute("select count(*) from flights a, flights b").fetchall() == [(16,)]
        assert spy.read == ["flights/"]


def test_execute_chains_through_the_wrapper(db: Any) -> None:
    with db.begin() as txn, txn.duckdb() as con:
        assert con.execute("select 1").execute('from "flights/2013-01-02"').fetchall() == [(4,)]
        assert values(con.query('from "flights/2013-01-02"')) == [4]
        assert values(con.table("flights/2013-01-02")) == [4]
        assert values(con.view("flights/2013-01-01/AA")) == [1, 2]


def test_cursor(db: Any) -> None:
    with db.begin() as txn, txn.duckdb() as con:
        cursor = con.cursor()
        assert values(cursor.sql('from "flights/2013-01-02"')) == [4]
        assert values(cursor.sql("from flights")) == [1, 2, 3, 4]


def test_duckdb_names_are_passed_through(db: Any) -> None:
    with db.begin() as txn, txn.duckdb() as con:
        con.register("mine", pa.table({"n": [1]}))
        assert values(con.sql("from flights semi join mine using (n)")) == [1]
        assert "register" in dir(con)
        with pytest.raises(AttributeError):
            con.no_such_thing  # noqa: B018


def test_connection_after_the_transaction(db: Any) -> None:
    with db.begin() as txn:
        con = txn.duckdb()
        relation = con.sql("from flights")
    assert values(relation) == [1, 2, 3, 4]
    assert values(con.sql("select n from flights where n > 3")) == [4]
    with pytest.raises(khonsu.Error):
        con.sql("from other")


def test_relation_stays_when_another_statement_ran(db: Any) -> None:
    with db.begin() as txn:
        con = txn.duckdb()
        relation = con.sql("from flights")
        con.sql("from other")
    assert values(relation) == [1, 2, 3, 4]


def test_streams_of_many_threads() -> None:
    db = khonsu.open()
    with db.begin() as txn:
        for number in range(64):
            txn[f"t/{number}"] = rows(*range(1000))
    seen: list[Any] = []

    def ask() -> None:
        for _ in range(5):
            seen.append(db.sql("select count(*), sum(n) from t a").fetchall())

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [[(64_000, 64 * 499_500)]] * 15


# ---- the key as a column -------------------------------------------------------------------------


def test_key_column(db: Any) -> None:
    with db.begin() as txn:
        txn["flights"] = rows(0)
        txn["flights/empty"] = rows()
    found = db.sql("select key, n from flights order by n", key_column="key").fetchall()
    assert found == [
        ("flights", 0),
        ("flights/2013-01-01/AA", 1),
        ("flights/2013-01-01/AA", 2),
        ("flights/2013-01-01/UA", 3),
        ("flights/2013-01-02/AA", 4),
    ]


def test_key_column_of_empty_batches() -> None:
    db = khonsu.open()
    with db.begin() as txn:
        txn["t/1"] = rows()
        assert txn.sql("from t", key_column="key").fetchall() == []


def test_key_column_that_is_taken(db: Any) -> None:
    with db.begin() as txn, txn.duckdb(key_column="n") as con:
        assert con.execute("select n from other").fetchall() == [("other",), ("other",)]
        with pytest.raises(ValueError, match="column 'n'"):
            con.sql("from flights")
    with pytest.raises(ValueError, match="column 'n'"):
        db.sql("from flights", key_column="n")


# ---- errors --------------------------------------------------------------------------------------


def test_mixed_schemas(db: Any) -> None:
    with db.begin() as txn:
        txn["flights/note"] = pa.record_batch({"text": ["other columns"]})
    with pytest.raises(khonsu.SchemaMismatchError, match="'flights'"):
        db.sql("select * from flights")
    with pytest.raises(khonsu.SchemaMismatchError, match="'flights'"):
        db.sql("select * from flights where n = ?", [1])
    assert values(db.sql('select n from "flights/2013-01-01"')) == [1, 2, 3]


def test_key_with_another_schema_than_those_below(db: Any) -> None:
    with db.begin() as txn:
        txn["flights"] = pa.record_batch({"text": ["other columns"]})
    with pytest.raises(khonsu.SchemaMismatchError, match="'flights'"):
        db.sql("from flights")


def test_one_mixed_table_leaves_the_others(db: Any) -> None:
    with db.begin() as txn:
        txn["m"] = rows(1)
        txn["m/1"] = pa.record_batch({"text": ["other columns"]})
    with db.begin() as txn, txn.duckdb() as con:
        assert con.sql("select 1").fetchall() == [(1,)]
        assert values(con.sql("select n from flights")) == [1, 2, 3, 4]
        with pytest.raises(khonsu.SchemaMismatchError, match="'m'"):
            con.sql("from m")
    assert db.sql("show tables").fetchall() == [("flights",), ("flights-old",), ("other",)]
    with pytest.raises(khonsu.SchemaMismatchError, match="'m'"):
        db.sql("from m")


def test_a_second_thread_is_refused(db: Any) -> None:
    began, ended = threading.Event(), threading.Event()

    def wait(n: int) -> int:
        began.set()
        ended.wait(30)
        return n

    with db.begin() as txn, txn.duckdb() as con:
        con.create_function("wait", wait, ["BIGINT"], "BIGINT")
        query = "select wait(n) from other, flights limit 1"
        thread = threading.Thread(target=lambda: con.execute(query).fetchall())
        thread.start()
        assert began.wait(30)
        try:
            for call in (lambda: con.sql("select 1"), con.fetchall, con.close):
                with pytest.raises(khonsu.MisuseError, match=r"another thread.*cursor\(\)"):
                    call()
            assert values(con.cursor().sql("select n from flights")) == [1, 2, 3, 4]
        finally:
            ended.set()
            thread.join()
        assert values(con.sql("select n from flights")) == [1, 2, 3, 4]


def test_another_thread_may_interrupt(db: Any) -> None:
    began = threading.Event()
    ends: list[Any] = []

    def run() -> None:
        began.set()
        try:
            con.execute("select sum(a.range * b.range) from range(10000000) a, range(10000) b")
        except duckdb.InterruptException as error:
            ends.append(error)

    with db.begin(timeout=60) as txn, txn.duckdb() as con:
        thread = threading.Thread(target=run)
        thread.start()
        assert began.wait(30)
        while thread.is_alive():  # it may not have begun within DuckDB
            con.interrupt()
            thread.join(0.05)
    assert len(ends) == 1


def test_two_threads_do_not_hang() -> None:
    program = """
import threading
import khonsu

db = khonsu.open()
n = khonsu.Schema({"n": "int64"})
with db.begin() as txn:
    for i in range(50):
        txn[f"t/{i}"] = n.rows([(j,) for j in range(1000)])

def ask():
    for _ in range(200):
        try:
            con.execute("select sum(n) from t").fetchall()
        except khonsu.MisuseError:
            pass

with db.begin(timeout=60) as txn:
    con = txn.duckdb()
    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_ended_transaction(db: Any) -> None:
    with db.begin() as txn:
        pass
    for query in ("select n from flights", "select 1"):
        with pytest.raises(khonsu.FinishedError):
            txn.sql(query)
    with pytest.raises(khonsu.FinishedError):
        txn.duckdb()


def test_errors_of_duckdb_stay(db: Any) -> None:
    with pytest.raises(duckdb.BinderException):
        db.sql("select no_such_column from flights")


def test_without_duckdb() -> None:
    program = """
import sys
sys.modules["duckdb"] = None
import khonsu
try:
    khonsu.open().sql("select 1")
except ImportError as error:
    assert "pip install duckdb" in str(error), error
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", program], check=True)
