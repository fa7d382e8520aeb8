#!/usr/bin/env python3
"""What the Python package costs, beside pyarrow alone, DuckDB and sqlite3: ratios, in one run.

usage: bench.py [--quick] [--only WORD ...] [--flights FILE] [--json FILE]

Both sides of a ratio run in the same process, in turns, round after round; the ratio is taken
within each round, and its median counts, so that a machine that is busy for a while hits both.
Numbers of one side are medians, too. It needs pyarrow, cffi and duckdb, and the package: installed,
or with PYTHONPATH=python.

What is measured:

- conversions: 100,000 reads of a one-row batch as a pyarrow.RecordBatch, ``txn[key].to_pyarrow()``,
  and as many puts, ``txn[key] = record_batch``. Beside them RecordBatch._import_from_c, with a
  pyarrow.Schema, of the same batches as khonsu exports them (``__arrow_c_array__``), moved into
  structs of pyarrow.cffi beforehand; and, for comparison, of the same batch as pyarrow exports it,
  whose release takes longer. CPU time of the thread. Puts are staged, a thousand keys a
  transaction; its commit is not counted. Bare reads are ``txn[key]``.
- engines: the same 10,000 accounts in khonsu (a one-row batch each), DuckDB and sqlite3 (a table
  with a primary key), all in memory. A read and an update are a transaction each; a transfer reads
  two accounts and writes both in one transaction (khonsu: serializable, by ``db.transactional``).
  CPU time of all threads of the process. DuckDB runs whichever is the fastest of text with
  parameters, statements that were parsed before, and PREPARE.
- bulk: a table of 2 million rows of two integers, a double and a text, in and out. In: committed
  under one key for each 65,536 rows, and ``create table as select`` of the registered table. Out:
  ``txn.table().to_pyarrow()``, which takes references, and DuckDB's table as Arrow, which copies.
- threads: conversions by two threads and by one, which do the same work in all. Wall clock: it
  needs two cores that are free.
- load: ``db.load`` of a Parquet file, into keys by day and origin, beside pyarrow alone: read it,
  sort it by dictionary codes of both columns, slice it into one table for each pair. Without
  --flights (flights-3m.parquet of the npm package vega-datasets) the file is made, of 3 million
  flights that never were.

"asked" is what the package has promised to reach; rows without it are for comparison.
"""

import argparse
import ctypes
import gc
import importlib.util
import json
import os
import random
import sqlite3
import statistics
import sys
import tempfile
import threading
import time

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow.cffi import ffi

import khonsu

HERE = os.path.dirname(os.path.abspath(__file__))
ACCOUNTS, KEYS = 10_000, 1000

pointer_in = ctypes.pythonapi.PyCapsule_GetPointer
pointer_in.restype, pointer_in.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


class Report:
    """Rows of the table, printed as they come."""

    def __init__(self, rounds):
        self.rounds, self.rows = rounds, []

    def add(self, what, measured, asked=None, *, below=False, detail=""):
        """below: the measured value must not be above what is asked."""
        met = None if asked is None else (measured <= asked if below else measured >= asked)
        self.rows.append({"what": what, "measured": measured, "asked": asked, "is_maximum": below,
                          "met": met, "detail": detail})
        sign = "" if asked is None else f"{'<=' if below else '>='} {asked:g}"
        word = {None: "", True: "met", False: "NOT MET"}[met]
        print(f"{what:<46} {number(measured):>10} {sign:>12} {word:<8} {detail}", flush=True)

    def head(self, title):
        print(f"\n{title:<46} {'measured':>10} {'asked':>12}")

    def alternate(self, *sides):
        """Each side is a function that returns its figure; for each side the list of them."""
        figures = [[] for _ in sides]
        for turn in range(self.rounds):
            order = range(len(sides)) if turn % 2 == 0 else reversed(range(len(sides)))
            for i in order:
                figures[i].append(sides[i]())
        return figures


def number(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def ratio(ours, theirs):
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def both(ours, theirs, unit, scale=1.0):
    """Medians of both sides, for the last column of the table."""
    figures = (statistics.median(ours) * scale, statistics.median(theirs) * scale)
    return f"{number(figures[0])} and {number(figures[1])} {unit}"


def cpu_of(function):
    """CPU seconds of this thread, without the collector of cycles."""
    gc.collect()
    gc.disable()
    start = time.thread_time()
    function()
    seconds = time.thread_time() - start
    gc.enable()
    return seconds


def wall_of(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def rate_of(function, least):
    """Calls a CPU second, of as many calls as fill `least` of them."""
    count, step, start = 0, 16, time.process_time()
    while (seconds := time.process_time() - start) < least:
        function(count, step)
        count += step
        step = min(1024, 2 * step)
    return count / seconds


# ---- conversions ---------------------------------------------------------------------------------


def structs():
    """A thousand Arrow arrays to be filled: their addresses, and what keeps them."""
    made = [ffi.new("struct ArrowArray *") for _ in range(KEYS)]
    return [int(ffi.cast("uintptr_t", struct)) for struct in made], made


def fill_by_khonsu(batches, made):
    """Move khonsu's exports out of their capsules."""
    for batch, struct in zip(batches, made, strict=True):
        _, capsule = batch.__arrow_c_array__()
        given = ffi.cast("struct ArrowArray *", pointer_in(capsule, b"arrow_array"))
        struct[0] = given[0]
        given.release = ffi.NULL


def import_seconds(batches, repeats, *, by_khonsu):
    """RecordBatch._import_from_c of exports made beforehand, a thousand at a time."""
    addresses, made = structs()
    arrow = batches[0].to_pyarrow()
    schema, take = arrow.schema, pa.RecordBatch._import_from_c

    def run():
        for address in addresses:
            take(address, schema)

    seconds = 0.0
    for _ in range(repeats // KEYS):
        if by_khonsu:
            fill_by_khonsu(batches, made)
        else:
            for address in addresses:
                arrow._export_to_c(address)
        seconds += cpu_of(run)
    return seconds / repeats


def read_seconds(db, keys, repeats, *, convert):
    with db.begin(read_only=True) as txn:

        def converted():
            for key in keys:
                txn[key].to_pyarrow()

        def bare():
            for key in keys:
                txn[key]

        run = converted if convert else bare
        return sum(cpu_of(run) for _ in range(repeats // KEYS)) / repeats


def put_seconds(db, keys, batch, repeats):
    seconds = 0.0
    for _ in range(repeats // KEYS):
        with db.begin() as txn:

            def run(txn=txn):
                for key in keys:
                    txn[key] = batch

            seconds += cpu_of(run)
    return seconds / repeats


def conversions(report, options):
    repeats = 20_000 if options.quick else 100_000
    account = khonsu.Schema({"id": "int64", "balance": "int64"})
    keys = [f"account/{i:06}" for i in range(KEYS)]
    db = khonsu.open()
    with db.begin() as txn:
        for i, key in enumerate(keys):
            txn[key] = account.row(i, 1000)
        batches = [txn[key] for key in keys]
        arrow = batches[0].to_pyarrow()
    report.head("conversions of one-row batches")
    taken, foreign, read, put, bare = report.alternate(
        lambda: import_seconds(batches, repeats, by_khonsu=True),
        lambda: import_seconds(batches, repeats, by_khonsu=False),
        lambda: read_seconds(db, keys, repeats, convert=True),
        lambda: put_seconds(db, keys, arrow, repeats),
        lambda: read_seconds(db, keys, repeats, convert=False))
    report.add("read as RecordBatch / import of the same", ratio(read, taken), 1.5, below=True,
               detail=both(read, taken, "us", 1e6))
    report.add("put of a RecordBatch / import of the same", ratio(put, taken), 2.0, below=True,
               detail=both(put, taken, "us", 1e6))
    report.add("read / import of pyarrow's export", ratio(read, foreign),
               detail=both(read, foreign, "us", 1e6))
    report.add("put / import of pyarrow's export", ratio(put, foreign),
               detail=both(put, foreign, "us", 1e6))
    report.add("bare reads a second", 1 / statistics.median(bare), 1e6)
    db.close()


# ---- other engines -------------------------------------------------------------------------------


class Khonsu:
    """Accounts as one-row batches."""

    def __init__(self):
        self.db, self.account = khonsu.open(), khonsu.Schema({"id": "int64", "balance": "int64"})
        self.keys = [f"account/{i:06}" for i in range(ACCOUNTS)]
        with self.db.begin() as txn:
            for i, key in enumerate(self.keys):
                txn[key] = self.account.row(i, 1000)
        self.transfer = self.db.transactional(isolation="serializable")(self._transfer)

    def read(self, i):
        with self.db.begin(read_only=True) as txn:
            return txn[self.keys[i]].value("balance")

    def update(self, i, balance):
        with self.db.begin() as txn:
            txn[self.keys[i]] = self.account.row(i, balance)

    def _transfer(self, txn, source, target):
        keys, row = self.keys, self.account.row
        have, has = txn[keys[source]].value("balance"), txn[keys[target]].value("balance")
        txn[keys[source]] = row(source, have - 1)
        txn[keys[target]] = row(target, has + 1)

    def total(self):
        with self.db.begin(read_only=True) as txn:
            return pc.sum(txn.table("account/").to_pyarrow()["balance"]).as_py()


class Sql:
    """Accounts in a table; what differs between engines is how a statement is run."""

    SELECT = "select balance from account where id = ?"
    UPDATE = "update account set balance = ? where id = ?"

    def __init__(self, run, run_read):
        self.run, self.run_read = run, run_read

    def fill(self):
        self.run("create table account (id bigint primary key, balance bigint)")
        self.run("begin")
        for start in range(0, ACCOUNTS, 1000):
            rows = ", ".join(f"({i}, 1000)" for i in range(start, start + 1000))
            self.run("insert into account values " + rows)
        self.run("commit")

    def read(self, i):
        return self.run_read(self.SELECT, (i,))

    def update(self, i, balance):
        self.run(self.UPDATE, (balance, i))

    def transfer(self, source, target):
        self.run("begin")
        have, has = self.read(source), self.read(target)
        self.update(source, have - 1)
        self.update(target, has + 1)
        self.run("commit")

    def total(self):
        return self.run_read("select sum(balance) from account", ())


def sqlite_engine():
    con = sqlite3.connect(":memory:", isolation_level=None)
    engine = Sql(con.execute, lambda text, values: con.execute(text, values).fetchone()[0])
    engine.fill()
    return engine


def duckdb_engine(way):
    """way: "text", "statement" or "prepare"."""
    con = duckdb.connect(":memory:")
    parsed = {}

    def prepared(text, values):
        if text not in parsed:
            parsed[text] = f"s{len(parsed)}"
            con.execute(f"prepare {parsed[text]} as {text}")
        return con.execute(f"execute {parsed[text]}({', '.join(map(str, values))})")

    def execute(text, values=()):
        if way == "prepare" and values:
            return prepared(text, values)
        if way == "text" or text.startswith(("create", "insert")):
            return con.execute(text, values)
        if text not in parsed:
            parsed[text] = con.extract_statements(text)[0]
        return con.execute(parsed[text], values) if values else con.execute(parsed[text])

    engine = Sql(execute, lambda text, values: execute(text, values).fetchone()[0])
    engine.fill()
    return engine


def jobs_of(engine, dice):
    """Three functions of (how many were done, how many to do)."""
    places = [dice.randrange(ACCOUNTS) for _ in range(1 << 14)]

    def read(at, count):
        for i in range(at, at + count):
            engine.read(places[i & 0x3FFF])

    def update(at, count):
        for i in range(at, at + count):
            engine.update(places[i & 0x3FFF], 1000)

    def transfer(at, count):
        for i in range(at, at + count):
            source = places[i & 0x3FFF]
            engine.transfer(source, (source + 1) % ACCOUNTS)

    return {"single-key reads": read, "updates": update, "bank transfers": transfer}


def fastest_duckdb():
    engines = {way: duckdb_engine(way) for way in ("text", "statement", "prepare")}
    rates = {}
    for way, engine in engines.items():
        jobs = jobs_of(engine, random.Random(1))
        rates[way] = {name: rate_of(job, 0.1) for name, job in jobs.items()}
    best = {name: max(engines, key=lambda way: rates[way][name]) for name in rates["text"]}
    return engines, best


def engines(report, options):
    least = 0.1 if options.quick else 0.5
    duck, best = fastest_duckdb()
    ours, lite = Khonsu(), sqlite_engine()
    others = {name: jobs_of(duck[way], random.Random(2))[name] for name, way in best.items()}
    lites = jobs_of(lite, random.Random(2))
    report.head("engines, accounts by key")
    for name, job in jobs_of(ours, random.Random(2)).items():
        mine, ducks, sqlites = report.alternate(lambda job=job: rate_of(job, least),
                                                lambda name=name: rate_of(others[name], least),
                                                lambda name=name: rate_of(lites[name], least))
        asked = 150 if name == "single-key reads" else 100
        report.add(f"{name} / DuckDB's", ratio(mine, ducks), asked,
                   detail=both(mine, ducks, "a second") + f" (DuckDB by {best[name]})")
        report.add(f"{name} / sqlite3's", ratio(mine, sqlites), 1,
                   detail=both(mine, sqlites, "a second"))
    for engine in (ours, lite, *duck.values()):
        # Updates have set balances to 1000 in places; transfers came last and change no sum.
        before = engine.total()
        engine.transfer(1, 2)
        if engine.total() != before:
            raise AssertionError("a transfer changed the total")
    ours.db.close()


# ---- bulk ----------------------------------------------------------------------------------------


def bulk_table(rows):
    numbers = pa.array(range(rows), pa.int64())
    texts = pc.binary_join_element_wise("row ", pc.cast(numbers, pa.string()), "")
    return pa.table({"id": numbers, "group": pc.bit_wise_and(numbers, 1023),
                     "value": pc.random(rows, initializer=1), "text": texts})


def khonsu_in(table):
    db = khonsu.open()

    def run():
        with db.begin() as txn:
            for i, batch in enumerate(table.to_batches(max_chunksize=65_536)):
                txn[f"t/{i:06}"] = batch

    return db, wall_of(run)


def duckdb_in(table):
    con = duckdb.connect(":memory:")
    con.register("source", table)
    return con, wall_of(lambda: con.execute("create table t as select * from source"))


def khonsu_out(db):
    def run():
        with db.begin(read_only=True) as txn:
            return txn.table("t/").to_pyarrow()

    return run


def duckdb_out(con):
    def run():
        return pa.table(con.sql("select * from t"))

    return run


def bulk(report, options):
    table = bulk_table(500_000 if options.quick else 2_000_000)
    size = table.nbytes / 1e9
    db, _ = khonsu_in(table)
    con, _ = duckdb_in(table)
    report.head(f"bulk, a table of {1000 * size:,.0f} MB")
    if khonsu_out(db)().num_rows != duckdb_out(con)().num_rows:
        raise AssertionError("tables differ")
    ours, theirs, ours_out, theirs_out = report.alternate(
        lambda: size / khonsu_in(table)[1], lambda: size / duckdb_in(table)[1],
        lambda: size / wall_of(khonsu_out(db)), lambda: size / wall_of(duckdb_out(con)))
    report.add("Arrow ingestion / DuckDB's", ratio(ours, theirs), 1,
               detail=both(ours, theirs, "GB/s"))
    report.add("full-table scan-out / DuckDB's", ratio(ours_out, theirs_out), 1,
               detail=both(ours_out, theirs_out, "GB/s"))
    db.close()


# ---- threads -------------------------------------------------------------------------------------


def in_threads(count, work):
    """Wall seconds of `count` threads that do a count-th of the work each."""
    threads = [threading.Thread(target=work, args=(count,)) for _ in range(count)]

    def run():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return wall_of(run)


def threads(report, options):
    scale = 1 if options.quick else 4
    rows = bulk_table(1 << 20)
    db = khonsu.open()
    with db.begin() as txn:
        for i, batch in enumerate(rows.to_batches(max_chunksize=512)):
            txn[f"t/{i:06}"] = batch
        txn["large"] = rows.combine_chunks()
    jobs = {
        "a million rows to Polars": (1.6, 4, lambda txn: txn["large"].to_polars()),
        "a million rows to IPC bytes": (1.6, 4, lambda txn: txn["large"].to_ipc()),
        "2,048 keys to a Polars frame": (1.6, 4, lambda txn: txn.table("t/").to_polars()),
        "2,048 keys to a pyarrow.Table": (None, 8, lambda txn: txn.table("t/").to_pyarrow()),
    }
    report.head("rate of two threads / of one")
    for name, (asked, count, job) in jobs.items():

        def work(share, job=job, count=count):
            for _ in range(scale * count // share):
                with db.begin(read_only=True) as txn:
                    job(txn)

        work(1)
        one, two = report.alternate(lambda work=work: in_threads(1, work),
                                    lambda work=work: in_threads(2, work))
        report.add(name, ratio(one, two), asked, detail=both(one, two, "s"))
    db.close()


# ---- loading -------------------------------------------------------------------------------------


def made_flights(directory, rows):
    """By bench/load/flights.py: a thousand days, three origins."""
    place = os.path.join(HERE, "..", "load", "flights.py")
    spec = importlib.util.spec_from_file_location("flights", place)
    flights = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(flights)
    path = os.path.join(directory, "flights.parquet")
    pq.write_table(flights.make(rows, 1), path)
    return path


def pyarrow_partition(path, day):
    """Read, and one slice for each day and origin: what pyarrow needs at least for it."""
    table = pq.read_table(path).combine_chunks()
    days = pc.floor_temporal(table[day].combine_chunks(), unit="day").dictionary_encode()
    places = table["origin"].combine_chunks().dictionary_encode()
    codes = pc.add(pc.multiply(days.indices.cast(pa.int64()), len(places.dictionary)),
                   places.indices.cast(pa.int64()))
    codes = codes.dictionary_encode().indices
    order = pc.sort_indices(codes)
    table, runs = table.take(order), pc.run_end_encode(codes.take(order))
    parts, start = {}, 0
    for code, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        parts[code] = table.slice(start, end - start)
        start = end
    return parts


def load(report, options):
    with tempfile.TemporaryDirectory() as directory:
        path = options.flights or made_flights(directory, 300_000 if options.quick else 3_000_000)
        names = pq.read_schema(path).names
        day = "date" if "date" in names else "day"
        found = {}

        def ours():
            with khonsu.open() as db:
                seconds = wall_of(lambda: found.update(
                    keys=db.load(path, "flights", [(day, "day"), "origin"], progress=False).keys))
            return seconds

        def theirs():
            return wall_of(lambda: found.update(parts=len(pyarrow_partition(path, day))))

        mine, alone = report.alternate(ours, theirs)
        if found["keys"] != found["parts"]:
            raise AssertionError(f"partitions differ: {found}")
        what = os.path.basename(path) if options.flights else "made for this"
        report.head(f"loading {pq.read_metadata(path).num_rows:,} rows, {what}")
        report.add("load by day and origin / pyarrow alone", ratio(mine, alone), 2, below=True,
                   detail=both(mine, alone, "s") + f", {found['keys']:,} keys")


# ---- all -----------------------------------------------------------------------------------------

PARTS = {"conversions": conversions, "engines": engines, "bulk": bulk, "threads": threads,
         "load": load}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="about 20 seconds, less exact")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS), metavar="PART",
                        help=", ".join(PARTS))
    parser.add_argument("--flights", metavar="FILE", help="flights-3m.parquet")
    parser.add_argument("--rounds", type=int, help="default 7, quick 3")
    parser.add_argument("--json", metavar="FILE", help="write the table there too")
    options = parser.parse_args()
    report = Report(options.rounds or (3 if options.quick else 7))
    versions = {"python": sys.version.split()[0], "khonsu": khonsu.__version__,
                "pyarrow": pa.__version__, "duckdb": duckdb.__version__,
                "sqlite": sqlite3.sqlite_version}
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    for name in options.only:
        PARTS[name](report, options)
    missed = [row["what"] for row in report.rows if row["met"] is False]
    print(f"\n{len(missed)} not met" + (": " + "; ".join(missed) if missed else ""))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"versions": versions, "rounds": report.rounds, "is_quick": options.quick,
                       "rows": report.rows}, file, indent=1)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
