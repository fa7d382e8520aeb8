"""What a report measures: figures, each a list of cells that are run in turn, round after round.

A cell is one command line of khonsu-bench. The cells of a figure alternate (A B C A B C ...), so
that what disturbs the machine disturbs them alike, and ratios are taken within a round.
"""

import dataclasses

RR, SER = "repeatable_read", "serializable"
# The strongest level of each peer at or below the one asked for.
PEERS = (("lmdb", RR), ("lmdb-pwrite", RR), ("wiredtiger", RR), ("rocksdb-optimistic", RR),
         ("rocksdb-pessimistic", RR), ("sqlite", RR))
STRICT_PEERS = (("lmdb", SER), ("lmdb-pwrite", SER), ("wiredtiger", RR),
                ("rocksdb-optimistic", SER), ("rocksdb-pessimistic", SER), ("sqlite", SER))
# Under callgrind these would take many minutes; so much less says as much.
SLOWNESS = {"wiredtiger": 5, "sqlite": 10, "rocksdb-optimistic": 50, "rocksdb-pessimistic": 50}


@dataclasses.dataclass(frozen=True)
class Scale:
    """How much of it: a full report, a quick look, or the suite's trial."""

    name: str
    keys: int
    seconds: float
    scan_seconds: float
    rounds: int
    counted: int        # transactions under callgrind
    counted_keys: int
    begin_keys: int     # the large store that opening a snapshot is measured on
    overwrites: int
    accounts: int
    durable_keys: int
    durable_seconds: float
    traced: int         # transactions under strace, once so many and once twice


SCALES = {
    "full": Scale("full", 1_000_000, 1.0, 2.0, 5, 100_000, 100_000, 10_000_000, 1_000_000, 10_000,
                  100_000, 2.0, 4_000),
    "medium": Scale("medium", 1_000_000, 0.7, 1.5, 3, 20_000, 100_000, 10_000_000, 1_000_000,
                    10_000, 100_000, 1.5, 4_000),
    "quick": Scale("quick", 200_000, 0.4, 0.5, 3, 20_000, 100_000, 1_000_000, 200_000, 10_000,
                   100_000, 0.5, 1_000),
    "trial": Scale("trial", 1_000, 0.01, 0.01, 1, 200, 1_000, 2_000, 1_000, 100, 500, 0.01, 50),
}


@dataclasses.dataclass(frozen=True)
class Cell:
    """One command line. Its name is unique within its figure."""

    name: str
    engine: str
    isolation: str
    options: tuple       # further arguments, in order
    is_counted: bool = False   # by callgrind
    is_traced: bool = False    # by strace
    rounds: int = 0      # 0: as many as the scale says

    def arguments(self):
        return ["--engine", self.engine, "--isolation", self.isolation, *self.options]


@dataclasses.dataclass(frozen=True)
class Figure:
    name: str
    title: str
    cells: tuple


def label(engine, isolation):
    if engine == "khonsu":
        return "khonsu " + isolation.replace("_", " ")
    return engine


def cell(engine, isolation, what, *options, **more):
    return Cell(f"{what} {label(engine, isolation)}".strip(), engine, isolation,
                tuple(str(option) for option in options), **more)


def instructions(scale):
    """One thread, 100,000 keys, uniform; every engine does the same transactions."""
    cells = []
    engines = [("null", RR), ("bare", RR), ("khonsu", RR), ("khonsu", SER), *STRICT_PEERS]
    for workload in ("c", "a", "rw16", "bank"):
        for engine, isolation in engines:
            counted = max(scale.counted // SLOWNESS.get(engine, 2 if workload == "rw16" else 1),
                          100)
            rounds = 2 if engine == "khonsu" else 1
            cells.append(cell(engine, isolation, workload, "--workload", workload, "--keys",
                              scale.counted_keys, "--transactions", counted, is_counted=True,
                              rounds=min(rounds, scale.rounds)))
    return Figure("instructions", "Instructions per transaction", tuple(cells))


def begin(scale):
    cells = []
    for isolation in (RR, SER):
        for workload in ("empty", "c"):
            for keys in (1000, scale.begin_keys):
                cells.append(cell("khonsu", isolation, f"{workload} {keys}", "--workload", workload,
                                  "--keys", keys, "--transactions", scale.counted, is_counted=True,
                                  rounds=1))
    return Figure("begin", "Opening a snapshot", tuple(cells))


def timed(engine, isolation, what, workload, keys, seconds, threads, *more):
    return cell(engine, isolation, what, "--workload", workload, "--keys", keys, "--seconds",
                seconds, "--threads", threads, *more)


def reads(scale, distribution):
    # A read is the same whichever way LMDB writes.
    engines = [("khonsu", RR), ("khonsu", SER),
               *(peer for peer in PEERS if peer[0] != "lmdb-pwrite"), ("bare", RR)]
    cells = [timed(engine, isolation, "", "c", scale.keys, scale.seconds, 1, "--distribution",
                   distribution) for engine, isolation in engines]
    cells += [timed(engine, isolation, "touched:", "c", scale.keys, scale.seconds, 1,
                    "--distribution", distribution, "--touch")
              for engine, isolation in (("khonsu", RR), ("lmdb", RR))]
    return Figure(f"reads_{distribution}", f"One read, {distribution}, one thread", tuple(cells))


def single(scale):
    engines = [("khonsu", RR), ("khonsu", SER), *PEERS, ("bare", RR)]
    cells = [timed(engine, isolation, "", "a", scale.keys, scale.seconds, 1)
             for engine, isolation in engines]
    return Figure("single", "One operation, half reads half writes, uniform, one thread",
                  tuple(cells))


def mixed(scale):
    engines = [("khonsu", RR), ("khonsu", SER), *PEERS, ("bare", RR)]
    cells = [timed(engine, isolation, "", "rw16", scale.keys, scale.seconds, 2)
             for engine, isolation in engines]
    cells += [timed(engine, SER, "serializable:", "rw16", scale.keys, scale.seconds, 2)
              for engine in ("rocksdb-optimistic", "rocksdb-pessimistic")]
    return Figure("mixed", "Ten reads and six writes, uniform, two threads", tuple(cells))


def bank(scale, name, accounts, title):
    engines = [("khonsu", SER), ("khonsu", RR), *STRICT_PEERS]
    cells = [timed(engine, isolation, "", "bank", accounts, scale.seconds, 2)
             for engine, isolation in engines]
    return Figure(name, title, tuple(cells))


def scaling(scale):
    cells = []
    for workload in ("c", "a", "rw16"):
        for engine, isolation in (("khonsu", RR), ("khonsu", SER), ("bare", RR)):
            for threads in (1, 2):
                cells.append(timed(engine, isolation, f"{workload} {threads}", workload, scale.keys,
                                   scale.seconds, threads))
    return Figure("scaling", "Two threads over one, uniform", tuple(cells))


def scans(scale):
    engines = [("khonsu", RR), ("lmdb", RR), ("wiredtiger", RR), ("rocksdb-optimistic", RR),
               ("bare", RR)]
    cells = [cell(engine, isolation, "", "--workload", "scan", "--writer", "--keys", scale.keys,
                  "--seconds", scale.scan_seconds) for engine, isolation in engines]
    return Figure("scans", "A snapshot scan beside a writer", tuple(cells))


def reader(scale):
    cells = [cell("khonsu", isolation, "", "--workload", "put", "--keys", 1000, "--transactions",
                  scale.overwrites, "--reader", rounds=min(3, scale.rounds))
             for isolation in (RR, SER)]
    return Figure("reader", "Overwrites under an open snapshot", tuple(cells))


def memory(scale):
    rounds = min(3, scale.rounds)
    cells = [cell("khonsu", RR, "", "--workload", "put", "--keys", scale.keys, "--transactions",
                  scale.overwrites, "--row", "int64_int64", rounds=rounds)]
    cells += [cell(engine, isolation, "", "--workload", "put", "--keys", scale.keys,
                   "--transactions", scale.overwrites, rounds=1)
              for engine, isolation in (("lmdb", RR), ("wiredtiger", RR),
                                        ("rocksdb-optimistic", RR), ("sqlite", RR), ("bare", RR))]
    return Figure("memory", "Resident memory", tuple(cells))


def figures(scale):
    return [instructions(scale), begin(scale), reads(scale, "zipf"), reads(scale, "uniform"),
            single(scale), mixed(scale),
            bank(scale, "bank", scale.accounts, "Transfers, two threads"),
            bank(scale, "hot", 16, "Transfers between 16 hot accounts, two threads"),
            scaling(scale), scans(scale), reader(scale), memory(scale)]
