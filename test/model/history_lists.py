"""list-append: the order of versions stands in the lists themselves.

Every committed read of a key must be a prefix of the longest; who appended its last element was
read, who appended the next one was missed. A committed append that no read shows comes after all
that were read, as every version up to there is known.
"""

from history_graph import WR, WW, Graph
from history_format import RANK


class Reads:
    """What the committed transactions saw of each key, apart from their own appends."""

    def __init__(self, history, report):
        self.report = report
        self.writers = {}       # (key, value) -> transaction
        self.last_append = {}   # (key, index) -> the last value that it appended to key
        self.programs = {}      # (key, index) -> all of them, in program order
        self.appended = {}      # key -> [(transaction, value)] of committed ones
        self.external = []      # (transaction, key, list, has it appended to key before)
        self.longest = {}
        for txn in history.txns:
            self.take_appends(txn)
        for txn in history.txns:
            if txn.status == "ok":
                self.take_reads(txn)

    def take_appends(self, txn):
        for op in txn.ops:
            if op[0] == "append":
                self.writers[op[1], op[2]] = txn
                self.last_append[op[1], txn.index] = op[2]
                self.programs.setdefault((op[1], txn.index), []).append(op[2])
                if txn.status == "ok":
                    self.appended.setdefault(op[1], []).append((txn, op[2]))

    def take_reads(self, txn):
        own = {}
        seen = {}
        for op in txn.ops:
            key = op[1]
            if op[0] == "append":
                own.setdefault(key, []).append(op[2])
                continue
            items = op[2] or []
            mine = own.get(key)
            if mine:
                if items[-len(mine):] != mine:
                    self.report.add("internal", f"{txn} does not see its own {mine} in {key}")
                    continue
                items = items[:-len(mine)]
            if any(self.writers.get((key, value)) is txn for value in items):
                self.report.add("internal", f"{txn} sees an append to {key} before it makes it")
                continue
            if txn.level != "read-committed" and seen.setdefault(key, items) != items:
                self.report.add("internal", f"{txn} reads {key} twice, as {seen[key]} and {items}")
            self.external.append((txn, key, items, bool(mine)))
            if len(items) > len(self.longest.get(key, ())):
                self.longest[key] = items

    def check_prefixes(self):
        for txn, key, items, _ in self.external:
            longest = self.longest.get(key, [])
            if longest[:len(items)] != items:
                self.report.add("incompatible-order",
                                f"{key} is {items} to {txn}, and {longest} to another")

    def check_elements(self):
        """The longest list of each key holds appends of those who may have committed, once."""
        for key, items in self.longest.items():
            if len(set(items)) != len(items):
                self.report.add("duplicate-elements", f"{key} is {items}")
            for value in items:
                writer = self.writers.get((key, value))
                if writer is None:
                    self.report.add("garbage-read", f"nobody appended the {value} in {key}")
                elif writer.status == "fail":
                    self.report.add("G1a", f"{key} shows {value} of [{writer}]")

    def check_programs(self):
        """The appends of one transaction stand in the order in which it made them."""
        for key, items in self.longest.items():
            shown = {}
            for value in items:
                writer = self.writers.get((key, value))
                if writer is not None:
                    shown.setdefault(writer.index, []).append(value)
            for index, values in shown.items():
                made = self.programs[key, index]
                if made[:len(values)] != values:
                    self.report.add("incompatible-order",
                                    f"{key} shows {values} of {made}, appended by one")

    def check_intermediate(self):
        for txn, key, items, _ in self.external:
            writer = self.writers.get((key, items[-1])) if items else None
            if writer is None or writer is txn:
                continue
            if self.last_append[key, writer.index] != items[-1]:
                self.report.add("G1b", f"[{txn}] reads {key} in the middle of [{writer}]")

    def check_lost_updates(self):
        """Of two that read the same version and appended to it, one has not seen the other."""
        found = {}
        for txn, key, items, is_after in self.external:
            if is_after or (key, txn.index) not in self.last_append or \
                    RANK[txn.level] < RANK["snapshot"]:
                continue
            other = found.setdefault((key, len(items)), txn)
            if other is not txn:
                self.report.add("lost-update", f"[{other}] and [{txn}] both append to {key} as it "
                                f"was with {len(items)} elements")


def build(history, report):
    """The graph, and what was read; lists that contradict one another are reported at once."""
    reads = Reads(history, report)
    reads.check_prefixes()
    reads.check_elements()
    reads.check_programs()
    reads.check_intermediate()
    reads.check_lost_updates()
    graph = Graph(len(history.txns))
    unseen = {}
    for key, items in reads.longest.items():
        writers = [reads.writers.get((key, value)) for value in items]
        for before, after in zip(writers, writers[1:]):
            if before is not None and after is not None:
                graph.add(before.index, after.index, WW)
    for key, appends in reads.appended.items():
        shown = set(reads.longest.get(key, ()))
        unseen[key] = [txn for txn, value in appends if value not in shown]
        last = reads.writers.get((key, reads.longest[key][-1])) if shown else None
        if last is not None:
            for txn in unseen[key]:
                graph.add(last.index, txn.index, WW)
    add_reads(graph, reads, unseen)
    return graph, reads


def add_reads(graph, reads, unseen):
    for txn, key, items, _ in reads.external:
        longest = reads.longest.get(key, [])
        if items:
            writer = reads.writers.get((key, items[-1]))
            if writer is not None:
                graph.add(writer.index, txn.index, WR)
        if longest[:len(items)] != items:
            continue
        if len(items) < len(longest):
            writer = reads.writers.get((key, longest[len(items)]))
            missed = [] if writer is None else [writer]
        else:
            missed = unseen.get(key, ())
        for writer in missed:
            if writer is not txn:
                graph.add_read(txn, writer.index)
