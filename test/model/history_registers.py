"""rw-register and group: who wrote what was read stands in the unique values; in which order they
were written does not.

The order of a key's versions is that of the store's commit numbers, where all its writers have
some. Otherwise it is inferred, as far as it can be: absent comes first; who read one value and
wrote another put it after; where real time counts, so does who had ended before the other began.
"""

from bisect import bisect_left

from history_graph import WR, WW, Graph
from history_format import RANK

INFERRED_MAX = 32   # edges to versions that directly follow one


class Reads:
    def __init__(self, history, report):
        self.history = history
        self.report = report
        self.writers = {}   # (key, value) -> transaction
        self.last = {}      # (key, index) -> the value that it left (None: deleted)
        self.deleted = set()
        self.external = []  # (transaction, key, value, the number of the scan or 0)
        for txn in history.txns:
            for op in txn.ops:
                if op[0] in ("w", "d"):
                    value = op[2] if op[0] == "w" else None
                    self.last[op[1], txn.index] = value
                    if value is None:
                        self.deleted.add(op[1])
                    else:
                        self.writers[op[1], value] = txn
        self.keys = sorted({key for key, _ in self.last} | set(history.initial) |
                           {op[1] for txn in history.txns for op in txn.ops if op[0] == "r"})
        for txn in history.txns:
            if txn.status == "ok":
                self.take_reads(txn)

    def take_reads(self, txn):
        own = {}
        seen = {}
        for number, op in enumerate(txn.ops, 1):
            if op[0] == "w":
                own[op[1]] = op[2]
            elif op[0] == "d":
                own[op[1]] = None
            elif op[0] == "r":
                self.take_read(txn, op[1], op[2], own, seen, 0)
            elif op[0] == "scan":
                self.take_scan(txn, op, own, seen, number)

    def take_scan(self, txn, op, own, seen, number):
        _, prefix, found = op
        keys = list(found)
        if any(not key.startswith(prefix) for key in keys) or \
                keys != sorted(keys, key=lambda key: key.encode()):
            self.report.add("scan-order", f"a scan of {prefix!r} in [{txn}]")
        at = bisect_left(self.keys, prefix)
        known = set()
        while at < len(self.keys) and self.keys[at].startswith(prefix):
            key = self.keys[at]
            known.add(key)
            self.take_read(txn, key, found.get(key), own, seen, number)
            at += 1
        for key in keys:
            if key not in known:
                self.report.add("garbage-read", f"nobody wrote {key}, which [{txn}] finds")

    def take_read(self, txn, key, value, own, seen, scan):
        if key in own:
            if own[key] != value:
                self.report.add("internal", f"[{txn}] reads {value} of {key} after its own write")
            return
        if self.writers.get((key, value)) is txn:
            self.report.add("internal", f"[{txn}] reads {value} of {key} before it writes it")
            return
        if txn.level != "read-committed" and seen.setdefault(key, value) != value:
            self.report.add("internal",
                            f"[{txn}] reads {key} twice, as {seen[key]} and {value}")
        self.external.append((txn, key, value, scan))

    def check(self):
        initial = self.history.initial
        for txn, key, value, _ in self.external:
            if value is None or value == initial.get(key):
                continue
            writer = self.writers.get((key, value))
            if writer is None:
                self.report.add("garbage-read", f"nobody wrote {value} to {key}: [{txn}]")
            elif writer.status == "fail":
                self.report.add("G1a", f"[{txn}] reads {value} of {key} by [{writer}]")
            elif writer is not txn and self.last[key, writer.index] != value:
                self.report.add("G1b", f"[{txn}] reads {key} in the middle of [{writer}]")

    def check_lost_updates(self):
        """Of two that read the same version of a key and wrote it, one has not seen the other."""
        found = {}
        for txn, key, value, _ in self.external:
            if (key, txn.index) not in self.last or RANK[txn.level] < RANK["snapshot"] or \
                    (value is None and key in self.deleted):
                continue
            other = found.setdefault((key, value), txn)
            if other is not txn:
                self.report.add("lost-update",
                                f"[{other}] and [{txn}] both read {value} of {key} and wrote it")

    def check_atomic(self):
        """Who sees one write of a transaction sees them all, or later ones."""
        together = {}
        for txn, key, value, _ in self.external:
            together.setdefault(txn.index, {})[key] = value
        for index, values in together.items():
            for key, value in values.items():
                writer = self.writers.get((key, value))
                if writer is not None and self.is_fractured(writer, values, value):
                    self.report.add("fractured-read",
                                    f"[{self.history.txns[index]}] sees a part of [{writer}]")
                    break

    @staticmethod
    def is_fractured(writer, values, value):
        return any(op[0] == "w" and op[1] in values and values[op[1]] != value
                   for op in writer.ops)


class Versions:
    """The order of versions: who follows whom."""

    def __init__(self, reads, stamped, has_real_time):
        self.reads = reads
        self.seen = {(key, value) for _, key, value, _ in reads.external}
        self.by_key = {}    # key -> those whose writes of it count
        for (key, index), value in reads.last.items():
            txn = reads.history.txns[index]
            if txn.status == "ok" or (txn.status == "info" and value is not None and
                                      (key, value) in self.seen):
                self.by_key.setdefault(key, []).append(txn)
        self.read_by = {}   # (key, index) -> the value that the writer read before
        for txn, key, value, _ in reads.external:
            if (key, txn.index) in reads.last:
                self.read_by[key, txn.index] = value
        self.follow = {}    # key -> {index or None: indexes of those that directly follow}
        for key, txns in self.by_key.items():
            if stamped and all(txn.commit is not None for txn in txns):
                self.follow[key] = self.by_commit(txns)
            else:
                self.follow[key] = self.infer(key, txns, has_real_time)

    @staticmethod
    def by_commit(txns):
        order = [None] + [txn.index for txn in sorted(txns, key=lambda txn: txn.commit)]
        return {before: [after] for before, after in zip(order, order[1:])}

    def at(self, key, stamp):
        """The index of the writer whose version is the newest at stamp; None: nobody's."""
        before = [txn for txn in self.by_key.get(key, ())
                  if txn.commit is not None and txn.commit <= stamp]
        return max(before, key=lambda txn: txn.commit).index if before else None

    def infer(self, key, txns, has_real_time):
        follow = {}
        if key in self.reads.deleted:
            return follow       # absent has no place of its own then
        known = {txn.index for txn in txns}
        for txn in txns:
            value = self.read_by.get((key, txn.index))
            before = self.reads.writers.get((key, value)) if value is not None else None
            if before is not None and before.index in known:
                follow.setdefault(before.index, []).append(txn.index)
        after_some = {index for indexes in follow.values() for index in indexes}
        firsts = [txn for txn in txns if txn.index not in after_some]
        firsts.sort(key=lambda txn: txn.end_t)
        follow[None] = [txn.index for txn in firsts[:INFERRED_MAX]]
        if has_real_time:
            self.infer_by_time(txns, follow)
        return follow

    @staticmethod
    def infer_by_time(txns, follow):
        """Those that began after one had ended, up to the first of them that has ended too."""
        by_begin = sorted(txns, key=lambda txn: txn.begin_t)
        begins = [txn.begin_t for txn in by_begin]
        for txn in txns:
            if txn.status != "ok":
                continue
            horizon = None
            for after in by_begin[bisect_left(begins, txn.end_t + 1):]:
                if horizon is not None and after.begin_t > horizon:
                    break
                follow.setdefault(txn.index, []).append(after.index)
                if after.status == "ok" and (horizon is None or after.end_t < horizon):
                    horizon = after.end_t


def add_read(graph, versions, read, stamped):
    """Whom a read has seen, and what it has missed."""
    txn, key, value, scan = read
    writer = None if value is None else versions.reads.writers.get((key, value))
    index = writer and writer.index
    if value is None and key in versions.reads.deleted:
        if not stamped or txn.level == "read-committed":
            return          # absent, before or after which of its versions?
        index = versions.at(key, txn.snap)
    if index is not None:
        graph.add(index, txn.index, WR)
    for after in versions.follow.get(key, {}).get(index, ()):
        if after != txn.index:
            graph.add_read(txn, after, bool(scan))


def build(history, report, stamped, has_real_time):
    reads = Reads(history, report)
    reads.check()
    reads.check_lost_updates()
    versions = Versions(reads, stamped, has_real_time)
    graph = Graph(len(history.txns))
    for follow in versions.follow.values():
        for before, afters in follow.items():
            for after in afters if before is not None else ():
                graph.add(before, after, WW)
    for one in reads.external:
        add_read(graph, versions, one, stamped)
    return graph, reads
