"""The bars: what is asked, what was measured, whether that is met.

Every number comes from the report's runs. Ratios between engines are taken within a round, where
both ran next to each other; what is shown is the median of the rounds, with the least and greatest.
"""

import dataclasses
import statistics

from plan import label, RR, SER

MISSING = "not measured"


@dataclasses.dataclass
class Bar:
    group: str
    what: str
    asked: str
    values: tuple       # of the measure that decides
    is_met: bool | None  # None: could not be measured
    bound: float
    unit: str = ""
    beside: str = ""    # the same by another measure
    is_ceiling: bool = False

    def margins(self):
        """How many times better than asked, per round."""
        if self.is_ceiling:
            return tuple(self.bound / value for value in self.values if value > 0)
        return tuple(value / self.bound for value in self.values if value > 0)


class Report:
    """Access to the runs of a report by figure and cell."""

    def __init__(self, values):
        self.values = values

    def runs(self, figure, name):
        for cell in self.values["figures"].get(figure, {}).get("cells", ()):
            if cell["name"] == name:
                return cell["runs"]
        return []

    def series(self, figure, name, key):
        return [run[key] for run in self.runs(figure, name)]

    def ratios(self, figure, over, under, key):
        """over / under per round; empty when one of them is missing."""
        above, below = self.series(figure, over, key), self.series(figure, under, key)
        return [a / b for a, b in zip(above, below)]

    def has(self, figure, name):
        return bool(self.runs(figure, name))


def named(what, engine, isolation):
    return f"{what} {label(engine, isolation)}".strip()


def middle(values):
    return statistics.median(values)


def figure_of(value):
    """Three digits that mean something, with thousands marked."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def spread(values, unit=""):
    if not values:
        return MISSING
    text = figure_of(middle(values)) + unit
    least, most = figure_of(min(values)) + unit, figure_of(max(values)) + unit
    return text if least == most else f"{text} ({least} to {most})"


def at_most(group, what, bound, values, unit="", beside=""):
    is_met = middle(values) <= bound if values else None
    return Bar(group, what, f"at most {figure_of(bound)}{unit}", tuple(values), is_met, bound,
               unit, beside, is_ceiling=True)


def at_least(group, what, bound, values, unit="", beside=""):
    is_met = middle(values) >= bound if values else None
    return Bar(group, what, f"at least {figure_of(bound)}{unit}", tuple(values), is_met, bound,
               unit, beside)


CEILINGS = (("c", "one read", 600, 620), ("a", "one operation, half reads half writes", 1080, 1110),
            ("rw16", "10 reads and 6 writes", 11300, 12000), ("bank", "bank transfer", 3100, 3300))


def instruction_bars(report):
    for workload, what, repeatable, serializable in CEILINGS:
        for isolation, bound in ((RR, repeatable), (SER, serializable)):
            name, level = named(workload, "khonsu", isolation), isolation.replace("_", " ")
            yield at_most("instructions", f"instructions, {what}, {level}",
                          bound, report.series("instructions", name, "instructions"))


def faster(report, figure, mine, theirs, key="cpu_us"):
    """How many times faster: their CPU time over mine, or my rate over theirs."""
    if key == "per_second":
        return report.ratios(figure, mine, theirs, key)
    return report.ratios(figure, theirs, mine, key)


def times_bar(report, figure, what, bound, mine, theirs, words=""):
    """A ratio by CPU time, with the one by wall clock beside it."""
    wall = faster(report, figure, mine, theirs, "per_second")
    beside = [words] if words else []
    beside += [f"{spread(wall, ' x')} by wall clock"] if wall else []
    return at_least(figure, what, bound, faster(report, figure, mine, theirs), " x",
                    "; ".join(beside))


def read_bars(report):
    for distribution, bound in (("zipf", 3), ("uniform", 2)):
        yield times_bar(report, f"reads_{distribution}",
                        f"reads, {distribution}, repeatable read, against LMDB", bound,
                        "khonsu repeatable read", "lmdb")


def mixed_bars(report):
    for isolation, bound in ((RR, 3), (SER, 2.5)):
        yield times_bar(report, "mixed", "16 operations at two threads, "
                        f"{isolation.replace('_', ' ')}, against WiredTiger", bound,
                        label("khonsu", isolation), "wiredtiger")


def rocksdb_bars(report):
    """Everything: one bar per figure, its slowest pair."""
    for figure, title in (("reads_zipf", "reads, zipf"), ("reads_uniform", "reads, uniform"),
                          ("single", "one operation"), ("mixed", "16 operations, two threads"),
                          ("bank", "transfers, two threads")):
        pairs = []
        for kind in ("rocksdb-optimistic", "rocksdb-pessimistic"):
            for isolation in (RR, SER):
                theirs = kind
                if isolation == SER and report.has(figure, f"serializable: {kind}"):
                    theirs = f"serializable: {kind}"
                mine = label("khonsu", isolation)
                values = faster(report, figure, mine, theirs)
                if values:
                    pairs.append((middle(values), mine, theirs))
        if not pairs:
            yield at_least(figure, f"{title}, against RocksDB", 5, (), " x")
            continue
        _, mine, theirs = min(pairs)
        yield times_bar(report, figure, f"{title}, against RocksDB", 5, mine, theirs,
                        f"the closest pair: {mine}, {theirs}")


def best_of(report, figure, names, key):
    """Per round the best of the peers: least CPU time, or greatest rate. Nothing when one of them
    is missing: it might be the best."""
    if not all(report.has(figure, name) for name in names):
        return []
    series = [report.series(figure, name, key) for name in names]
    pick = max if key == "per_second" else min
    return [pick(values) for values in zip(*series)]


def transfer_bar(report, what, peers):
    mine = "khonsu serializable"
    by_time = [best / own for own, best in zip(report.series("bank", mine, "cpu_us"),
                                               best_of(report, "bank", peers, "cpu_us"))]
    by_clock = [own / best for own, best in zip(report.series("bank", mine, "per_second"),
                                                best_of(report, "bank", peers, "per_second"))]
    return at_least("bank", what, 2, by_time, " x",
                    f"{spread(by_clock, ' x')} by wall clock" if by_clock else "")


def bank_bars(report):
    """LMDB twice: as it writes unless told, as when the bar was set, and through its map."""
    mine = "khonsu serializable"
    peers = ("lmdb-pwrite", "wiredtiger", "rocksdb-optimistic", "rocksdb-pessimistic")
    yield transfer_bar(report, "serializable transfers, two threads, against the best peer", peers)
    yield transfer_bar(report, "the same, LMDB with WRITEMAP among them", ("lmdb", *peers))
    yield at_most("hot", "aborts per commit, 16 hot accounts", 0.20,
                  report.series("hot", mine, "aborts_per_commit"))
    rate = faster(report, "hot", mine, "wiredtiger", "per_second")
    by_cpu = faster(report, "hot", mine, "wiredtiger")
    yield at_least("hot", "rate on 16 hot accounts, against WiredTiger", 1, rate, " x",
                   f"{spread(by_cpu, ' x')} by CPU time" if by_cpu else "")


def scaling_of(report, workload, engine, key):
    """What a second thread brings, per round: by rate, or by the CPU time of a transaction."""
    one, two = (report.series("scaling", f"{workload} {threads} {engine}", key)
                for threads in (1, 2))
    if key == "per_second":
        return [b / a for a, b in zip(one, two)]
    return [2 * a / b for a, b in zip(one, two)]


def scaling_bars(report):
    for workload in ("c", "a", "rw16"):
        for isolation in (RR, SER):
            mine = label("khonsu", isolation)
            relative = {}
            for key in ("per_second", "cpu_us"):
                own = scaling_of(report, workload, mine, key)
                bare = scaling_of(report, workload, "bare", key)
                relative[key] = [a / b for a, b in zip(own, bare)]
            beside = relative["cpu_us"]
            yield at_least("scaling", f"{workload}, {isolation.replace('_', ' ')}: scaling over "
                           "the bare table's", 0.9, relative["per_second"], "",
                           f"{spread(beside)} by CPU time" if beside else "")


def scan_bars(report):
    mine = "khonsu repeatable read"
    times = report.ratios("scans", mine, "wiredtiger", "thread_cpu_us")
    clock = report.ratios("scans", "wiredtiger", mine, "per_second")
    goal = report.ratios("scans", mine, "lmdb", "thread_cpu_us")
    beside = [f"{spread(clock)} by wall clock"] if clock else []
    beside += [f"LMDB's (the goal): {spread(goal)}"] if goal else []
    yield at_most("scans", "time of a scan beside a writer, against WiredTiger", 0.5, times, "",
                  "; ".join(beside))
    alone = report.series("scans", mine, "writer_alone_per_second")
    kept = report.series("scans", mine, "writer_beside_per_second")
    yield at_least("scans", "the writer's rate beside scans, of its rate alone", 0.9,
                   [b / a for a, b in zip(alone, kept)])


def begin_bars(report, keys):
    for isolation in (RR, SER):
        mine = label("khonsu", isolation)
        for workload, what in (("empty", "begin and end"), ("c", "begin, one read, end")):
            values = report.ratios("begin", f"{workload} {keys} {mine}", f"{workload} 1000 {mine}",
                                   "instructions")
            # The same means the same: what is left for is a janitor that wakes by the clock.
            yield at_most("begin", f"{what}, {isolation.replace('_', ' ')}: {keys:,} keys over "
                          "1,000", 1.02 if workload == "empty" else 1.1, values)


def memory_bars(report):
    for isolation in (RR, SER):
        mine = label("khonsu", isolation)
        peak = report.series("reader", mine, "versions_peak")
        # Counted, not asked: the reader's version, the newest, and those not yet reclaimed.
        yield at_most("reader", f"versions per key at worst, {isolation.replace('_', ' ')}", 4,
                      [value / 1000 for value in peak])
    yield at_most("memory", "bytes of resident memory per key", 275,
                  report.series("memory", "khonsu repeatable read", "rss_bytes_per_key"))


def all_bars(values, begin_keys):
    report = Report(values)
    found = []
    for bars in (instruction_bars, read_bars, mixed_bars, rocksdb_bars, bank_bars, scaling_bars,
                 scan_bars):
        found += bars(report)
    return found + list(begin_bars(report, begin_keys)) + list(memory_bars(report))
