"""Would a refused transaction have closed a cycle, had it committed? The serialization graph of a
history, with real time: who overwrote whom, who read whose, who missed whose, who had ended before
who began. Looks at no stamp of the rule; counts how often the rule refuses what it need not.
"""

from certify_model import SERIALIZABLE


class Graph:
    def __init__(self):
        self.versions = {}     # key -> [(commit, writer)]
        self.readers = []      # (key, stamp, reader): serializable ones
        self.spans = {}        # transaction -> (begin, end)

    def items(self, txn, store):
        """What a serializable transaction has read: (key, stamp)."""
        keys = set(txn.gets)
        for low, high, holes in txn.scans:
            keys |= {key for key in range(low, high) if key not in holes}
        return [(key, txn.snapshot) for key in keys]

    def add(self, name, txn, verdict, store, begin, end):
        """After the store applied it."""
        if txn.level == SERIALIZABLE:
            self.readers += [(key, stamp, name) for key, stamp in self.items(txn, store)]
            self.readers += [(key, store.clock, name) for key in verdict.dropped]
        for key in verdict.writes:
            self.versions.setdefault(key, []).append((store.clock, name))
        if txn.level == SERIALIZABLE or verdict.writes:
            self.spans[name] = (begin, end)

    def add_read(self, found, key, stamp, reader):
        """Whom it read, and whose overwriting it missed."""
        chain = self.versions.get(key, ())
        seen = [writer for commit, writer in chain if commit <= stamp]
        missed = [writer for commit, writer in chain if commit > stamp]
        if seen and seen[-1] != reader:
            found[seen[-1]].add(reader)
        if missed and missed[0] != reader:
            found[reader].add(missed[0])

    def edges(self):
        found = {name: set() for name in self.spans}
        for chain in self.versions.values():
            for (_, before), (_, after) in zip(chain, chain[1:]):
                found[before].add(after)
        for key, stamp, reader in self.readers:
            self.add_read(found, key, stamp, reader)
        for before, (_, end) in self.spans.items():
            found[before] |= {after for after, (begin, _) in self.spans.items() if end < begin}
        return found

    def has_cycle(self):
        edges = self.edges()
        incoming = {name: 0 for name in edges}
        for followers in edges.values():
            for name in followers:
                incoming[name] += 1
        free = [name for name, count in incoming.items() if count == 0]
        taken = 0
        while free:
            taken += 1
            for name in edges[free.pop()]:
                incoming[name] -= 1
                if incoming[name] == 0:
                    free.append(name)
        return taken < len(edges)

    def would_cycle(self, name, txn, written, dropped, store, begin, end):
        """As if it had committed with these writes; leaves the graph as it is."""
        trial = Graph()
        trial.versions = {key: list(chain) for key, chain in self.versions.items()}
        trial.readers = list(self.readers)
        trial.spans = dict(self.spans)
        trial.readers += [(key, stamp, name) for key, stamp in self.items(txn, store)]
        trial.readers += [(key, store.clock, name) for key in dropped]
        for key in written:
            trial.versions.setdefault(key, []).append((store.clock + 1, name))
        trial.spans[name] = (begin, end)
        return trial.has_cycle()
