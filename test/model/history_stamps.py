"""The store's own numbers: each snapshot and commit number of a history against what was read.

  snapshot and above   every read shows the newest version that is no newer than the snapshot, and
                       of two that wrote one key, one had ended before the other's snapshot
  read-committed       the reads of a transaction can be given moments in their order, a scan one,
                       at each of which they show the newest version; what was read and then written
                       was not written by others in between
  all                  commit numbers are unique; where real time counts, who began after another's
                       commit was told has a snapshot that shows it, and a later commit number
"""

from bisect import bisect_left, bisect_right

FOR_EVER = 1 << 64


class Chain:
    """The committed versions of one key: commit numbers in order, and the value after each."""

    def __init__(self, initial):
        self.commits = []
        self.values = [initial]

    def add(self, commit, value):
        self.commits.append(commit)
        self.values.append(value)

    def at(self, stamp):
        return self.values[bisect_right(self.commits, stamp)]

    def span(self, value):
        """[from, to) in which this is the newest value; None: not one span."""
        places = [place for place, other in enumerate(self.values) if other == value]
        if len(places) != 1:
            return None
        place = places[0]
        low = self.commits[place - 1] if place else 0
        return low, self.commits[place] if place < len(self.commits) else FOR_EVER

    def rivals(self, low, high):
        """Commits in (low, high), both excluded."""
        return bisect_left(self.commits, high) - bisect_right(self.commits, low)


class Numbers:
    def __init__(self, history, report, has_real_time):
        self.history = history
        self.report = report
        self.has_real_time = has_real_time
        self.writes = {}    # index -> {key: value after}
        self.reads = {}     # index -> [(key, value, scan)]
        self.chains = {}
        self.unknown = set()    # keys with a writer of which nothing is known
        self.is_rows = history.header.get("append") == "rows"

    def take_lists(self, reads):
        for txn, key, items, _ in reads.external:
            self.reads.setdefault(txn.index, []).append((key, len(items), 0))
        for key, appends in reads.appended.items():
            appends = sorted(appends, key=lambda pair: pair[0].commit)
            chain = self.chains[key] = Chain(0)
            for length, (txn, _) in enumerate(appends, 1):
                chain.add(txn.commit, length)
                self.writes.setdefault(txn.index, {})[key] = length
        for key, items in reads.longest.items():
            writers = [reads.writers.get((key, value)) for value in items]
            if any(writer is None or writer.commit is None for writer in writers):
                self.unknown.add(key)
                continue
            commits = [writer.commit for writer in writers]
            if commits != sorted(commits):
                self.report.add("stamp-order", f"{key} is {items}, committed at {commits}")

    def take_registers(self, reads):
        for txn, key, value, scan in reads.external:
            self.reads.setdefault(txn.index, []).append((key, value, scan))
        for (key, index), value in reads.last.items():
            self.take_write(self.history.txns[index], key, value)
        self.link()

    def take_kv(self):
        for txn in self.history.txns:
            op = txn.ops[0]
            is_swapped = op[0] == "cas" and (len(op) < 5 or op[4])
            if txn.status == "ok" and (op[0] == "r" or is_swapped):
                self.reads.setdefault(txn.index, []).append((op[1], op[2], 0))
            if op[0] != "r" and (op[0] != "cas" or is_swapped):
                value = {"w": 2, "cas": 3}.get(op[0])
                self.take_write(txn, op[1], None if value is None else op[value])
        self.link()

    def take_write(self, txn, key, value):
        if txn.status == "ok":
            self.writes.setdefault(txn.index, {})[key] = value
        elif txn.status == "info":
            self.unknown.add(key)

    def link(self):
        order = sorted(self.writes, key=lambda index: self.history.txns[index].commit)
        for index in order:
            for key, value in self.writes[index].items():
                chain = self.chains.get(key)
                if chain is None:
                    chain = self.chains[key] = Chain(self.history.initial.get(key))
                chain.add(self.history.txns[index].commit, value)

    def chain_of(self, key):
        if key in self.unknown:
            return None
        initial = 0 if self.history.workload == "list-append" else self.history.initial.get(key)
        return self.chains.get(key) or Chain(initial)

    def check_commits(self):
        """Numbers that contradict one another, or real time."""
        used = {}
        latest = 0
        moments = [(txn.begin_t, 0, txn) for txn in self.history.committed()]
        moments += [(txn.end_t, 1, txn) for txn in self.history.committed()]
        moments.sort(key=lambda moment: moment[:2])
        for _, is_end, txn in moments:
            has_written = txn.index in self.writes or txn.function == "transfer"
            if is_end:
                latest = max(latest, txn.commit if has_written else 0)
                continue
            if txn.commit < txn.snap:
                self.report.add("stamp-order", f"[{txn}] commits before its snapshot")
            if has_written and used.setdefault(txn.commit, txn) is not txn:
                self.report.add("stamp-order", f"[{used[txn.commit]}] and [{txn}] share a number")
            if self.has_real_time:
                self.check_latest(txn, latest, has_written)

    def check_latest(self, txn, latest, has_written):
        is_reader = txn.level != "read-committed" or txn.index in self.reads
        if is_reader and txn.snap < latest:
            self.report.add("stale-snapshot",
                            f"{latest} was told before [{txn}] began, with snapshot {txn.snap}")
        if has_written and txn.commit <= latest:
            self.report.add("stamp-order", f"{latest} was told before [{txn}] began")

    def check_snapshot_reads(self, txn):
        for key, value, _ in self.reads.get(txn.index, ()):
            chain = self.chain_of(key)
            if chain is not None and chain.at(txn.snap) != value:
                self.report.add("wrong-snapshot", f"{key} is {value} to [{txn}], not "
                                f"{chain.at(txn.snap)} as at its snapshot {txn.snap}")

    def check_statements(self, txn):
        """Read committed: moments in order, each in the span of what was read."""
        now = 0
        scan_now = {}
        for key, value, scan in self.reads.get(txn.index, ()):
            chain = self.chain_of(key)
            span = None if chain is None else chain.span(value)
            if span is None:
                continue
            now = max(now, span[0])
            high = min(span[1], scan_now.get(scan, FOR_EVER)) if scan else span[1]
            if scan:
                scan_now[scan] = high
            if now >= high or now > txn.snap:
                self.report.add("wrong-statement", f"{value} of {key} was not the newest at any "
                                f"moment that [{txn}] can have read it")
                return

    def check_first_committer(self, txn):
        """No rival between what this transaction knew of a key and its own write of it."""
        read = {key: value for key, value, _ in self.reads.get(txn.index, ())}
        for key in self.writes.get(txn.index, ()):
            chain = self.chain_of(key)
            if chain is None or (key not in read and
                                 (self.is_rows or txn.level == "read-committed")):
                continue
            low = txn.snap
            if txn.level == "read-committed":
                span = chain.span(read[key])
                if span is None:
                    continue
                low = span[0]
            if chain.rivals(low, txn.commit):
                self.report.add("lost-update", f"another committed {key} after what [{txn}] knew")

    def check(self):
        self.check_commits()
        for txn in self.history.committed():
            if txn.level == "read-committed":
                self.check_statements(txn)
            else:
                self.check_snapshot_reads(txn)
            self.check_first_committer(txn)


def are_there(history):
    """Has every committed transaction its numbers?"""
    committed = history.committed()
    return bool(committed) and all(txn.snap is not None and txn.commit is not None
                                   for txn in committed)


def check(history, report, reads, has_real_time):
    numbers = Numbers(history, report, has_real_time)
    if history.workload == "list-append":
        numbers.take_lists(reads)
    elif history.workload == "kv":
        numbers.take_kv()
    elif history.workload != "bank":
        numbers.take_registers(reads)
    numbers.check()
