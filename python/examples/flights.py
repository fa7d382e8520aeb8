"""Flights: writers change them, DuckDB asks about them, and no answer is half of a change.

336,776 flights lie in batches by day and carrier (``flights/2013-01-01/UA``), beside a summary of
each carrier (``summary/UA``). Writers delay, cancel and rebook flights by id, in serializable
transactions that keep the summaries right. Meanwhile DuckDB counts all flights of a snapshot, again
and again: they must agree with that snapshot's summaries, and stay as many as they were. The run is
drawn as an SVG picture.

``make build/data/flights.arrow`` makes the default file; ``--big flights-3m.parquet`` (of the npm
package vega-datasets) takes three million flights instead, by day and airport of origin.
"""

import argparse
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import khonsu

DATA = Path(__file__).resolve().parents[2] / "build/data/flights.arrow"
SUMMARY = khonsu.Schema({"id": "utf8", "flights": "int64", "minutes": "int64"})
COUNT = """select {by}::varchar as id, count(*) as flights, avg(dep_delay) as late,
    sum(coalesce(dep_delay, 0))::bigint as minutes from flights group by all"""
ASK = """select id, c.flights, c.late, c.flights = s.flights and c.minutes = s.minutes as agrees
    from ({count}) c full join summary s using (id) where c.flights > 0 or s.flights > 0
    order by c.flights desc"""


Late = dict[str, float]  # DuckDB's answer: minutes per departed flight, busiest carrier first


class Sample(NamedTuple):
    """One moment of the run."""

    seconds: float
    commits: int
    refused: int
    late: Late


def pick(txn: khonsu.Transaction, key: str, dice: random.Random) -> pa.RecordBatch:
    """One to three flights of a batch; none if it has none left."""
    rows = txn[key].to_pyarrow()
    places = dice.sample(range(len(rows)), min(len(rows), dice.randint(1, 3)))
    return rows.take(pa.array(places, pa.int64()))


def minutes_of(rows: pa.RecordBatch) -> int:
    return pc.sum(rows["dep_delay"]).as_py() or 0


def settle(txn: khonsu.Transaction, carrier: str, flights: int, minutes: int) -> None:
    """Add to the summary of a carrier. All who write about it meet here, and conflict."""
    _, flights_before, minutes_before = txn[f"summary/{carrier}"].row()
    row = SUMMARY.row(carrier, flights_before + flights, minutes_before + minutes)
    txn[f"summary/{carrier}"] = row


def change(txn: khonsu.Transaction, key: str, dice: random.Random, minutes: int | None) -> None:
    """Delay some flights; None: cancel them. Their cells of one column are written, no more."""
    rows = pick(txn, key, dice).select(["id", "dep_delay"])
    after = pc.add(rows["dep_delay"], pa.scalar(minutes, rows["dep_delay"].type))
    changed = pa.record_batch([rows["id"], after], schema=rows.schema)
    txn.patch(key, changed)
    settle(txn, key.split("/")[2], 0, minutes_of(changed) - minutes_of(rows))


def rebook(txn: khonsu.Transaction, key: str, dice: random.Random, by: str) -> None:
    """Move some flights to the batch of another carrier on that day."""
    rows = pick(txn, key, dice)
    _, day, old = key.split("/")
    new = dice.choice(list(txn.keys(f"flights/{day}/"))).split("/")[2]
    if new == old:
        return
    at, field = rows.schema.names.index(by), rows.schema.field(by)
    moved = rows.set_column(at, field, pa.array([new] * len(rows), field.type))
    txn.delete_rows(key, rows.select(["id"]))
    txn.insert_rows(f"flights/{day}/{new}", moved)
    settle(txn, old, -len(rows), -minutes_of(rows))
    settle(txn, new, len(rows), minutes_of(rows))


def write(db: khonsu.Database, keys: list[str], by: str, end: float, seed: int) -> Counter[str]:
    """A writer: transactions until the end, each run again by db.run() when it is refused."""
    dice, done = random.Random(seed), Counter[str]()
    while time.monotonic() < end:
        key = dice.choice(keys)
        kind = dice.choices(["delay", "cancel", "rebook"], [6, 1, 3])[0]
        if kind == "rebook":
            db.run(rebook, key, dice, by, isolation="serializable")
        else:
            minutes = dice.randint(5, 45) if kind == "delay" else None
            db.run(change, key, dice, minutes, isolation="serializable")
        done[kind] += 1
    return done


def ask(db: khonsu.Database, by: str, total: int) -> Late:
    """DuckDB's answer on one snapshot, which must agree with the summaries and the total."""
    rows = db.sql(ASK.format(count=COUNT.format(by=by))).fetchall()
    if not all(agrees for *_, agrees in rows) or sum(row[1] for row in rows) != total:
        raise AssertionError(f"this snapshot is inconsistent: {rows}")
    return {carrier: late or 0.0 for carrier, _, late, _ in rows}


def read(db: khonsu.Database, by: str, total: int, end: float, seen: list[Late]) -> None:
    """A reader: asks until the end."""
    while time.monotonic() < end:
        seen.append(ask(db, by, total))


def look(db: khonsu.Database, start: float, late: Late) -> Sample:
    """How many transactions were committed and refused so far."""
    now = db.stats()
    refused = now["aborts_conflict"] + now["aborts_not_serializable"]
    return Sample(time.monotonic() - start, now["commits"], refused, late)


def run(db: khonsu.Database, by: str, seconds: float, writers: int) -> list[Sample]:
    """Let writers and two readers loose, and look four times a second how it goes."""
    with db.begin(read_only=True) as txn:
        keys, total = list(txn.keys("flights/")), txn.table("flights/").num_rows
    seen, start = [ask(db, by, total)], time.monotonic()
    samples, end = [look(db, start, seen[0])], start + seconds
    with ThreadPoolExecutor() as pool:
        writing = [pool.submit(write, db, keys, by, end, seed) for seed in range(writers)]
        reading = [pool.submit(read, db, by, total, end, seen) for _ in range(2)]
        while end - time.monotonic() > 0.25:
            time.sleep(0.25)
            samples.append(look(db, start, seen[-1]))
    for reader in reading:
        reader.result()  # raises what the thread raised
    done = sum((writer.result() for writer in writing), Counter[str]())
    print(f"{seconds:g} seconds, {writers} writers, 2 readers")
    print("committed:", ", ".join(f"{done[kind]:,} {kind}" for kind in sorted(done)))
    refused = look(db, start, {}).refused
    print(f"refused because of a rival, and run again: {refused:,}")
    print(f"counted by DuckDB: {len(seen)} snapshots of {total:,} flights, all consistent")
    samples[-1] = samples[-1]._replace(late=ask(db, by, total))
    return samples


def panel(top: int, title: str, lines: dict[str, list[float]]) -> str:
    """Lines over time, in SVG: the highest value on the left, their names on the right."""
    colours = ("#3465a4", "#cc0000", "#4e9a06", "#75507b", "#c17d11")
    high = max(1.0, *(value for values in lines.values() for value in values))
    out = f'<text x="60" y="{top - 8}" font-weight="bold">{title}</text><text x="54" y="{top + 9}" '
    out += f'text-anchor="end">{high:,.0f}</text><text x="54" y="{top + 120}" text-anchor="end">0'
    out += f'</text><path d="M60 {top}V{top + 120}H640" stroke="#999" fill="none"/>'
    for i, ((name, values), colour) in enumerate(zip(lines.items(), colours, strict=False)):
        heights = [top + 120 * (1 - value / high) for value in values]
        step = 580 / max(1, len(values) - 1)
        points = " ".join(f"{60 + x * step:.0f},{y:.1f}" for x, y in enumerate(heights))
        out += f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        out += f'<text x="650" y="{top + 12 + 16 * i}" fill="{colour}">{name}</text>'
    return out


def draw(samples: list[Sample], by: str, path: str) -> None:
    """The picture: throughput, conflicts and the query's answer over time."""
    pairs = list(zip(samples, samples[1:], strict=False))
    commits = [(b.commits - a.commits) / (b.seconds - a.seconds) for a, b in pairs]
    refused = [(b.refused - a.refused) / (b.seconds - a.seconds) for a, b in pairs]
    late = {id: [sample.late.get(id, 0) for sample in samples] for id in list(samples[0].late)[:5]}
    out = '<svg xmlns="http://www.w3.org/2000/svg" width="700" height="530" font-size="12" '
    out += 'font-family="sans-serif"><rect width="700" height="530" fill="white"/>'
    out += panel(30, "transactions committed a second", {"": commits})
    out += panel(200, "refused because of a rival, a second", {"": refused})
    out += panel(370, f"minutes late per departed flight, by {by}: asked of DuckDB meanwhile", late)
    out += f'<text x="640" y="508" text-anchor="end">{samples[-1].seconds:.1f} seconds</text></svg>'
    Path(path).write_text(out + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", default=DATA, help="Arrow IPC file of the flights")
    parser.add_argument("--big", metavar="FILE", help="flights-3m.parquet instead")
    parser.add_argument("--seconds", type=float, default=10, help="at least 1")
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--out", default="flights.svg", help="the picture")
    options = parser.parse_args()
    if not Path(options.big or options.file).exists():
        parser.error(f"{options.big or options.file} is not there: --help tells what makes it")
    by, start = "origin" if options.big else "carrier", time.monotonic()
    with khonsu.open() as db:
        if options.big:
            rows = pq.read_table(options.big).rename_columns({"delay": "dep_delay"})
            rows = rows.append_column("id", pa.array(range(len(rows)), pa.int64()))
            loaded = db.load(rows, "flights", [("date", "day"), by])
        else:
            loaded = db.load(options.file, "flights", ["day", by])
        seconds = time.monotonic() - start
        print(f"{loaded.rows:,} flights in {loaded.keys:,} keys, loaded in {seconds:.1f} seconds")
        with db.begin() as txn:
            for carrier, flights, _, minutes in txn.sql(COUNT.format(by=by)).fetchall():
                txn[f"summary/{carrier}"] = SUMMARY.row(carrier, flights, minutes)
        samples = run(db, by, max(1, options.seconds), options.writers)
    busiest = next(iter(samples[0].late))
    before, after = samples[0].late[busiest], samples[-1].late[busiest]
    print(f"{busiest}: {before:.2f} minutes late per departed flight before, {after:.2f} now")
    draw(samples, by, options.out)
    print(f"picture: {options.out}")


if __name__ == "__main__":
    main()
