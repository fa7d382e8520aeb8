"""SQL and who asks: the variables of the callers, and threads with cursors."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pyarrow as pa
import pytest

import khonsu

duckdb = pytest.importorskip("duckdb")

# Variables of khonsu's own functions and modules, which stand between the user's and DuckDB.
OWN = """args call connection db error failure found fn frame function held kwargs key_column known
low method moment name names options params query raw result row rows self separator source
statement statements table tables takes_over txn Table Transaction Connection Names Source re sys
threading functools sql connect require Any""".split()


@pytest.fixture
def db() -> Any:
    database = khonsu.open()
    with database.begin() as txn:
        txn["flights/AA"] = pa.record_batch({"n": [1, 2]})
    return database


# All ways to ask, in frames that have no variables but the user's.
PROGRAM_OF_NAMES = """
with khonsu_db.begin() as khonsu_txn, khonsu_txn.duckdb() as khonsu_con:
    khonsu_answers = [
        khonsu_con.sql(khonsu_text).fetchall(),
        khonsu_con.execute(khonsu_text).fetchall(),
        khonsu_con.cursor().query(khonsu_text).fetchall(),
        khonsu_con.from_query(khonsu_text).fetchall(),
        khonsu_txn.sql(khonsu_text).fetchall(),
        khonsu_db.sql(khonsu_text).fetchall(),
    ]
"""


def test_frames_of_the_user_win(db: Any) -> None:
    names = list({name.lower(): name for name in OWN}.values())  # to DuckDB they have no case
    space: dict[str, Any] = {name: pa.table({"x": [i]}) for i, name in enumerate(names)}
    space["khonsu_db"] = db
    space["khonsu_text"] = " union all ".join(f'select x from "{name}"' for name in names)
    exec(PROGRAM_OF_NAMES, space)
    everything = [(i,) for i in range(len(names))]
    assert [sorted(answer) for answer in space["khonsu_answers"]] == [everything] * 6


def test_nothing_of_khonsu_is_found(db: Any) -> None:
    program = """
import khonsu
with khonsu.open() as d, d.begin() as t, t.duckdb() as c:
    for each in words:
        try:
            c.sql(f'from "{each}"')
        except Exception as e:
            if "does not exist" not in str(e):
                raise
        else:
            raise AssertionError(each)
"""
    call = f"words = {OWN!r}\n" + program
    subprocess.run([sys.executable, "-c", call], check=True, timeout=60)


def test_the_nearest_variable_wins(db: Any) -> None:
    here = pa.table({"x": [1]})

    def inner() -> Any:
        here = pa.table({"x": [2]})
        assert here.num_rows == 1
        return db.sql("select x from here")

    def other() -> Any:
        return db.sql("select x from here")

    assert inner().fetchall() == [(2,)] and other().fetchall() == [(1,)]
    assert here.num_rows == 1


def test_keys_come_before_variables(db: Any) -> None:
    flights = pa.table({"n": [9]})
    assert sorted(db.sql("select n from flights").fetchall()) == [(1,), (2,)]
    assert flights.num_rows == 1


PROGRAM = """
import sys, threading
import khonsu

db = khonsu.open()
n = khonsu.Schema({"id": "int64", "n": "int64"})
with db.begin() as txn:
    for i in range(8):
        for j in range(20):
            txn[f"t{i}/{j}"] = n.rows([(k, i) for k in range(100)])
wrong = []

def ask(con, i):
    for turn in range(10):
        with con.cursor() as cursor:
            for t in (i, (i + turn) % 8):
                found = cursor.execute(f"select count(*), sum(n) from t{t}").fetchall()
                if found != [(2000, 2000 * t)]:
                    wrong.append(found)
            relation = cursor.sql(f"select sum(a.n) from t{i} a join t0 b using (id)")
            if relation.fetchall() != [(400 * 100 * i,)]:
                wrong.append(relation)

def work(i):
    try:
        ask(con, i)
    except BaseException as error:
        wrong.append(error)

with db.begin(timeout=60) as txn, txn.duckdb() as con:
    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    txn["late"] = n.row(1, 1)
    assert con.sql("select n from late").fetchall() == [(1,)]
if wrong:
    sys.exit(f"{len(wrong)}: {wrong[:3]}")
"""


def test_cursors_in_threads() -> None:
    """In a process of its own: what goes wrong here waits for ever."""
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=120)
