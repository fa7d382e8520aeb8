"""The certification rule, executable: what each commit must be answered, given what came before.

A store of numbered commits. Every version carries three stamps: `commit`, the number of the commit
that wrote it; `spi`, the place of its writer in the serial order; `ps`, the latest place of a
committed serializable reader of it. Nothing is ever collected here: collecting must not change a
verdict, and this model is how that shows. Knows nothing of the library.

Values are dicts from row to number, or None for a deletion.
"""

from dataclasses import dataclass, field

INFINITY = 1 << 62
READ_COMMITTED, REPEATABLE_READ, SERIALIZABLE = 1, 2, 3
FAIL, IGNORE, REPLACE, APPEND, MERGE, CALLBACK = 1, 2, 3, 4, 5, 6


@dataclass
class Version:
    commit: int
    value: object
    spi: int
    ps: int = 0


@dataclass
class RangeRead:
    """A committed serializable read of [low, high) but for the holes, at `snapshot`."""
    low: int
    high: int
    holes: frozenset
    snapshot: int
    stamp: int

    def covers(self, key):
        return self.low <= key < self.high and key not in self.holes


@dataclass
class Write:
    value: object
    policy: int


@dataclass
class Transaction:
    level: int
    snapshot: int
    is_tracked: bool                      # serializable, and not at a safe snapshot
    is_read_only: bool = False
    gets: set = field(default_factory=set)
    scans: list = field(default_factory=list)
    writes: dict = field(default_factory=dict)
    read_at: dict = field(default_factory=dict)    # key -> stamp of the last read from the store
    read_back: set = field(default_factory=set)    # keys whose own pending write was read


@dataclass
class Verdict:
    answer: str                           # commit | conflict | refused
    key: object = None
    phi: int = 0
    writes: dict = field(default_factory=dict)
    dropped: set = field(default_factory=set)


def difference(base, value):
    base, value = base or {}, value or {}
    return {row: value.get(row) for row in base.keys() | value.keys()
            if base.get(row) != value.get(row)}


def merge(base, mine, theirs):
    """Row by row; None when both sides changed one row, and not to the same."""
    my_change, their_change = difference(base, mine), difference(base, theirs)
    if any(my_change[row] != their_change[row] for row in my_change.keys() & their_change.keys()):
        return None
    merged = dict(theirs or {})
    merged.update(my_change)
    return {row: number for row, number in merged.items() if number is not None}


def add_up(mine, theirs):
    """The callback that the histories use."""
    theirs = theirs or {}
    return {row: theirs.get(row, 0) + mine.get(row, 0) for row in theirs.keys() | mine.keys()}


class Store:
    def __init__(self):
        self.chains = {}
        self.clock = 1
        self.ranges = []
        self.open_writers = {}            # open serializable read-write ones: id -> snapshot

    def at(self, key, stamp):
        for version in reversed(self.chains.get(key, ())):
            if version.commit <= stamp:
                return version
        return None

    def newest(self, key):
        chain = self.chains.get(key)
        return chain[-1] if chain else None

    def overwriter(self, key, stamp):
        """The first version after what `stamp` sees."""
        for version in self.chains.get(key, ()):
            if version.commit > stamp:
                return version
        return None

    # ---- a transaction's calls ----

    def begin(self, level, is_read_only=False):
        is_tracked = level == SERIALIZABLE and not (is_read_only and self.is_safe())
        txn = Transaction(level, self.clock, is_tracked, is_read_only)
        if level == SERIALIZABLE and not is_read_only:
            self.open_writers[id(txn)] = txn.snapshot
        return txn

    def is_safe(self):
        """Can no open one come before what is visible now? Those of this snapshot cannot."""
        return all(snapshot == self.clock for snapshot in self.open_writers.values())

    def end(self, txn):
        self.open_writers.pop(id(txn), None)

    def look(self, txn, key):
        if key in txn.writes:
            txn.read_back.add(key)
            return txn.writes[key].value
        stamp = self.clock if txn.level == READ_COMMITTED else txn.snapshot
        txn.read_at[key] = stamp
        version = self.at(key, stamp)
        return version.value if version else None

    def get(self, txn, key):
        if key not in txn.writes:
            txn.gets.add(key)
        return self.look(txn, key)

    def scan(self, txn, low, high, limit=0, is_reverse=False):
        """The entries; remembers only as far as it went."""
        found = []
        holes = {key for key in txn.writes if low <= key < high}
        keys = range(high - 1, low - 1, -1) if is_reverse else range(low, high)
        last = None
        for key in keys:
            last = key
            value = self.look(txn, key)
            if value is not None:
                found.append((key, value))
                if limit and len(found) == limit:
                    break
        else:
            last = None
        if last is not None and is_reverse:
            low = last
        elif last is not None:
            high = last + 1
        txn.scans.append((low, high, frozenset(key for key in holes if low <= key < high)))
        return found

    # ---- the verdict ----

    def base_of(self, txn, key):
        stamp = txn.read_at.get(key, txn.snapshot)
        if txn.level != READ_COMMITTED:
            stamp = txn.snapshot
        version = self.at(key, stamp)
        return version.value if version else None

    def has_rival(self, txn, key):
        newest = self.newest(key)
        if newest is None:
            return False
        if txn.level == READ_COMMITTED:
            return key in txn.read_at and newest.commit > txn.read_at[key]
        return newest.commit > txn.snapshot

    def resolve(self, txn, key, write):
        """(answer, value): "write", "drop" or "conflict"."""
        theirs = self.newest(key).value
        if write.policy == REPLACE:
            return "write", write.value
        if key in txn.read_back and (txn.level == SERIALIZABLE or write.policy == IGNORE):
            return "conflict", None       # the program has seen a value that is not stored
        if write.policy == IGNORE:
            return "drop", None
        if write.policy == APPEND:
            return "write", write.value and {**(theirs or {}), **write.value}
        if write.value is None or write.policy == FAIL:
            return "conflict", None
        if write.policy == CALLBACK:
            return "write", add_up(write.value, theirs)
        merged = merge(self.base_of(txn, key), write.value, theirs)
        return ("conflict", None) if merged is None else ("write", merged)

    def tracked_keys(self, txn):
        keys = set(txn.gets)
        for low, high, holes in txn.scans:
            keys |= {key for key in self.chains if low <= key < high and key not in holes}
        return keys

    def stamps_over(self, key):
        """What must stand before a writer of key: its newest version and that one's readers."""
        newest = self.newest(key)
        stamps = [newest.commit, newest.ps] if newest else []
        return stamps + [read.stamp for read in self.ranges if read.covers(key) and
                         (newest is None or newest.commit <= read.snapshot)]

    def certify(self, txn):
        written, dropped = {}, set()
        for key, write in txn.writes.items():
            answer, value = "write", write.value
            if self.has_rival(txn, key):
                answer, value = self.resolve(txn, key, write)
            if answer == "conflict":
                return Verdict("conflict", key)
            if answer == "drop":
                dropped.add(key)
            else:
                written[key] = value
        commit = self.clock + 1
        if not txn.is_tracked:
            return Verdict("commit", None, commit if written else txn.snapshot, written, dropped)
        pi, eta = (commit if written else INFINITY), txn.snapshot
        for key in self.tracked_keys(txn):
            overwriter = self.overwriter(key, txn.snapshot)
            if overwriter:
                pi = min(pi, overwriter.spi)
        for key in dropped:
            eta = max(eta, self.newest(key).commit)
        for key in written:
            eta = max([eta] + self.stamps_over(key))
        if pi <= eta:
            return Verdict("refused", None, 0, written, dropped)
        return Verdict("commit", None, pi if written else eta, written, dropped)

    def apply(self, txn, verdict):
        if txn.is_tracked:
            self.leave_stamps(txn, verdict)
        if verdict.writes:
            self.clock += 1
            for key, value in verdict.writes.items():
                version = Version(self.clock, value, verdict.phi)
                self.chains.setdefault(key, []).append(version)

    def leave_stamps(self, txn, verdict):
        for key in txn.gets:
            version = self.at(key, txn.snapshot)
            if version is None:
                self.ranges.append(RangeRead(key, key + 1, frozenset(), txn.snapshot, verdict.phi))
            else:
                version.ps = max(version.ps, verdict.phi)
        for low, high, holes in txn.scans:
            self.ranges.append(RangeRead(low, high, holes, txn.snapshot, verdict.phi))
        for key in verdict.dropped:
            newest = self.newest(key)
            newest.ps = max(newest.ps, verdict.phi)
