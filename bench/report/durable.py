"""The durable part of the report: which figures there are, and what is asked of them.

Every cell keeps its files in one directory, which the program empties first; name it on the file
system that is meant. A plan of its own, so that it can be measured alone: report.py --only durable.
"""

from bars import at_least, at_most, Bar, best_of, middle, Report, spread
from plan import cell, Figure, RR, SER, STRICT_PEERS

PATH = "build/bench/durable"
COMMITTERS = (1, 8, 64)
KHONSU = "khonsu repeatable read"
ROCKSDB = ("rocksdb-optimistic", "rocksdb-pessimistic")
RIVALS = ("lmdb", "lmdb-pwrite", "wiredtiger", *ROCKSDB)
BATCHES = ("bare-rocksdb", "bare-rocksdb-recycled")
CALLS = ("fdatasync", "fdatasync-overwrite", "fdatasync-grouped")
FLOORS = BATCHES + CALLS
ENGINES = ("khonsu", *RIVALS, "sqlite", *BATCHES)
# What the system's call takes by itself, beside committers who come in crowds.
ALONE = "alone: fdatasync"
SHARED = "fdatasync-grouped"
# With its key of 24 bytes as much as khonsu's record of one such row: 528 bytes, its columns in
# Arrow's IPC format (the sizes that a log's append is given).
RECORD_VALUE_BYTES = 528 - 24


def kept(engine, isolation, what, workload, keys, sync, path, *more, **how):
    return cell(engine, isolation, what, "--path", path, "--sync", sync, "--workload", workload,
                "--keys", keys, *more, **how)


def timed(scale, engine, isolation, what, workload, sync, path, threads, *more):
    return kept(engine, isolation, what, workload, scale.durable_keys, sync, path, "--threads",
                threads, "--seconds", scale.durable_seconds, "--latency", *more)


def synced(scale, path, committers):
    """Blind writes of one key: as little as a commit can be, so the disk is what is waited for."""
    floors = CALLS if committers == 1 else (SHARED,)
    cells = [timed(scale, engine, RR, "", "put", "sync", path, committers)
             for engine in (*ENGINES, *floors)]
    if committers > 1:
        cells.append(timed(scale, "fdatasync", RR, "alone:", "put", "sync", path, 1))
    words = "one committer" if committers == 1 else f"{committers} committers"
    return Figure(f"durable_{committers}", f"One write, synced, {words}", tuple(cells))


def unsynced(scale, path):
    cells = []
    for committers in COMMITTERS[:2]:
        cells += [timed(scale, engine, RR, str(committers), "put", "none", path, committers)
                  for engine in (*ENGINES, "fdatasync")]
        cells.append(timed(scale, "bare-rocksdb", RR, f"{committers} as many bytes:", "put", "none",
                           path, committers, "--value-bytes", RECORD_VALUE_BYTES))
    return Figure("durable_none", "One write, not synced", tuple(cells))


def bank(scale, path):
    """Real balances, looked at in the store after it was closed and opened again."""
    cells = [kept(engine, isolation, "", "bank", scale.accounts, "sync", path, "--threads", 8,
                  "--seconds", scale.durable_seconds, "--latency")
             for engine, isolation in (("khonsu", SER), ("khonsu", RR), *STRICT_PEERS)]
    return Figure("durable_bank", "Transfers, synced, 8 committers", tuple(cells))


def calls(scale, path):
    cells = [kept(engine, RR, str(committers), "put", scale.durable_keys, "sync", path, "--threads",
                  committers, "--transactions", scale.traced, is_traced=True, rounds=1)
             for committers in COMMITTERS[:2] for engine in (*ENGINES, *CALLS)]
    return Figure("durable_calls", "Calls that sync, counted by strace", tuple(cells))


def figures(scale, path=PATH):
    return [*(synced(scale, path, committers) for committers in COMMITTERS), unsynced(scale, path),
            bank(scale, path), calls(scale, path)]


def is_durable(figure_name):
    return figure_name.startswith("durable_")


def best_rival(report, figure, names):
    """Its name by the median rate, for those who wonder; empty when one of them is missing."""
    if not all(report.has(figure, name) for name in names):
        return ""
    return max(names, key=lambda name: middle(report.series(figure, name, "per_second")))


def rate_bar(report, committers, what, bound, names):
    figure = f"durable_{committers}"
    rates = report.series(figure, KHONSU, "per_second")
    best = best_of(report, figure, names, "per_second")
    name = best_rival(report, figure, names)
    beside = f"the best of them: {name}" if rates and name and len(names) > 1 else ""
    return at_least(figure, what, bound, [own / other for own, other in zip(rates, best)], " x",
                    beside)


def rate_bars(report):
    yield rate_bar(report, 1, "durable commits, one committer, against RocksDB's transactions", 1,
                   ROCKSDB)
    yield rate_bar(report, 1, "durable commits, one committer, against WiredTiger", 0.7,
                   ("wiredtiger",))
    for committers, bound in ((8, 1.5), (64, 2)):
        yield rate_bar(report, committers,
                       f"durable commits, {committers} committers, against the best peer", bound,
                       RIVALS)


def latency_bars(report):
    """The 99th percentile over that of the call. A committer in a crowd waits for crowd / rate on
    average, whatever the store (Little's law); for 64 of them three calls are less than that even
    at the rate of the shared call itself. So a crowd is held against the call that as many share;
    what it is over a call alone stands beside."""
    for committers in COMMITTERS:
        figure = f"durable_{committers}"
        call = "fdatasync" if committers == 1 else SHARED
        own, shared, alone = (report.series(figure, name, "p99_us")
                              for name in (KHONSU, call, ALONE))
        beside = [f"{spread(own, ' us')} over {spread(shared, ' us')}"] if own and shared else []
        if own and alone:
            over_alone = [a / b for a, b in zip(own, alone)]
            beside.append(f"{spread(over_alone, ' x')} over a call alone")
        words = "one committer, over the call's" if committers == 1 else \
            f"{committers} committers, over the shared call's"
        yield at_most(figure, f"p99 latency of a commit, {words}", 3,
                      [a / b for a, b in zip(own, shared)], " x", "; ".join(beside))


def call_bars(report):
    """Less than one per group would be as wrong as more."""
    for committers in COMMITTERS[:2]:
        words = "one committer" if committers == 1 else f"{committers} committers"
        found = [run["fdatasync_per_group"]
                 for run in report.runs("durable_calls", f"{committers} {KHONSU}")
                 if run.get("fdatasync_per_group") is not None]
        is_met = all(0.995 <= value <= 1.05 for value in found) if found else None
        yield Bar("durable_calls", f"fdatasync calls per group, {words}", "1.00 to 1.05",
                  tuple(found), is_met, 1.05, is_ceiling=True)


def unsynced_bars(report):
    for committers in COMMITTERS[:2]:
        words = "one committer" if committers == 1 else f"{committers} committers"
        mine = f"{committers} {KHONSU}"
        same = report.ratios("durable_none", mine, f"{committers} as many bytes: bare-rocksdb",
                             "per_second")
        plain = report.ratios("durable_none", mine, f"{committers} bare-rocksdb", "per_second")
        yield at_least("durable_none", f"without sync, {words}, against bare RocksDB for "
                       "the same bytes", 0.8, same, " x",
                       f"{spread(plain, ' x')} for the plain value's" if plain else "")


def all_bars(values):
    report = Report(values)
    found = []
    for bars in (rate_bars, latency_bars, call_bars, unsynced_bars):
        found += bars(report)
    return found
