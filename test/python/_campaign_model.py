"""The shared executable model as a judge of a campaign's script (test/support/campaign.h has the
language). It is looked for in KHONSU_MODEL, else in ../shared/model beside the repository.

What the model does not know is said in its own terms. At read committed a write meets a rival only
when its key was read: one that does not is a `replace`, at snapshot 0 everything else meets one.
Upserted rows are an `append` to a rival's version, and fail like a put when the key was read. A
callback that drops is an `ignore`. Both sides of a merge may delete one row.
"""

import importlib
import os
import sys

NAMES = {1: "fail", 2: "ignore", 3: "replace", 4: "append", 5: "merge", 6: "callback"}
LEVELS = {1: "rc", 2: "rr", 3: "sr"}
DROPS = 3  # a callback drops a write that has this cell
NEVER = 1 << 60


def directory():
    here = os.path.dirname(os.path.abspath(__file__))
    beside = os.path.join(here, "..", "..", "..", "shared", "model")
    for place in (os.environ.get("KHONSU_MODEL", ""), beside):
        if place and os.path.exists(os.path.join(place, "certify.py")):
            return place
    return None


def load():
    """The modules (certify, oracle), or None where there is no shared model."""
    place = directory()
    if place is None:
        return None
    sys.path.insert(0, place)
    try:
        return importlib.import_module("certify"), importlib.import_module("oracle")
    finally:
        sys.path.remove(place)


class Differs(Exception):
    pass


def equal(what, model, library):
    if model != library:
        raise Differs(f"{what}: model {model}, library {library}")


class Transaction:
    def __init__(self, number, level, kind, snapshot, begin):
        self.number, self.level, self.kind = number, level, kind
        self.snapshot, self.begin = snapshot, begin
        self.gets, self.scans, self.writes, self.back = set(), [], {}, set()
        self.read_at, self.saved, self.weak_reads = {}, [], []


class Judge:
    """Replays scripts; with `is_thorough` the model's own oracles judge each history, too."""

    def __init__(self, modules):
        self.certify, self.oracle = modules
        self.verdicts = self.histories = self.thorough = self.trials = 0

    # ---- reads ----

    def look(self, txn, key):
        """The value, and whether the store was asked."""
        write = txn.writes.get(key)
        if write is not None:
            txn.back.add(key)
            if write[0] == "put":
                return write[1], False
        at = self.visible if txn.level == 1 else txn.snapshot
        txn.read_at[key] = at
        if txn.level != 3:
            txn.weak_reads.append((key, at))
        version = self.state.visible(key, at)
        value = version.val if version else None
        if write is not None:
            txn.gets.add(key)
            value = {**(value or {}), **write[1]}
        return value, True

    def on_get(self, number, key, value):
        txn = self.txns[number]
        found, is_store = self.look(txn, key)
        if is_store:
            txn.gets.add(key)
        equal(f"get of {key} by T{number}", found, value)

    def on_scan(self, number, low, high, limit, is_reverse, entries):
        txn = self.txns[number]
        holes = {key for key, write in txn.writes.items() if write[0] == "put"}
        found = []
        for key in range(high - 1, low - 1, -1) if is_reverse else range(low, high):
            value, _ = self.look(txn, key)
            if value is not None:
                found.append((key, value))
            if limit and len(found) == limit:
                low, high = (key, high) if is_reverse else (low, key + 1)
                break
        txn.scans.append((low, high, frozenset(key for key in holes if low <= key < high)))
        equal(f"scan by T{number}", found, entries)

    # ---- writes ----

    def write(self, txn, key, rows, newest, has_rival, is_read):
        """What the program asked for, as a write of the model."""
        kind, value, number = txn.writes[key]
        policy = NAMES[number]
        if kind == "rows":
            if not is_read or not has_rival:
                is_newer = newest is not None and newest.c > txn.snapshot and txn.level != 1
                if is_newer:
                    return "append", value
                return "replace", {**((newest.val if newest else None) or {}), **value}
            if txn.level == 3 or policy == "fail" or (policy == "ignore" and key in txn.back):
                return "fail", value
            return ("ignore" if policy == "ignore" else "append"), value
        if txn.level == 1 and not has_rival:
            return "replace", value
        if policy == "ignore" and key in txn.back:
            return "fail", value
        if policy == "callback" and value is not None and DROPS in value:
            return "ignore", value
        return policy, value

    def base_of(self, txn, key):
        at = txn.snapshot
        if txn.level == 1:
            at = txn.read_at.get(key, txn.snapshot)
        version = self.state.visible(key, at)
        return dict((version.val if version else None) or {})

    def record(self, txn):
        writes, bases = {}, {}
        for key, (kind, value, _) in txn.writes.items():
            newest = self.state.newest(key)
            is_read = key in txn.read_at
            bound = txn.read_at.get(key, NEVER) if txn.level == 1 else txn.snapshot
            has_rival = newest is not None and newest.c > bound
            policy, value = self.write(txn, key, value, newest, has_rival, is_read)
            writes[key] = self.certify.Write(value, policy)
            bases[key] = base = self.base_of(txn, key)
            if policy == "merge" and has_rival and value is not None:
                theirs = newest.val or {}
                bases[key] = {row: number for row, number in base.items()
                              if row in value or row in theirs}
        is_tracked = txn.level == 3
        return self.certify.Record(
            txn.number, LEVELS[txn.level], 0 if txn.level == 1 else txn.snapshot,
            frozenset(txn.gets) if is_tracked else frozenset(),
            tuple(txn.scans) if is_tracked else (), writes, bases,
            frozenset(txn.back & set(writes)))

    # ---- verdicts ----

    def certified(self, number, kind):
        txn = self.txns.pop(number)
        record = self.record(txn)
        verdict = self.certify.certify(record, self.state)
        self.verdicts += 1
        equal(f"T{number}", verdict.kind, kind)
        return txn, record, verdict

    def on_commit(self, number, commit, place):
        txn, record, verdict = self.certified(number, "commit")
        if txn.level == 3 or verdict.writes:
            equal(f"place of T{number}", verdict.phi, place)
        stamp = self.certify.apply(record, verdict, self.state)
        equal(f"commit of T{number}", stamp if verdict.writes else 0, commit)
        if self.history is None or (txn.level != 3 and not verdict.writes):
            return
        self.history.commit(record, verdict, stamp)
        self.history.txns[-1].update(weak_reads=txn.weak_reads, begin=txn.begin, end=NEVER)
        if commit == 0 or commit <= self.visible:
            self.history.txns[-1]["end"] = self.line
        elif not self.has_lag:
            self.history.txns[-1]["end"] = self.line

    def on_conflict(self, number, keys):
        _, _, verdict = self.certified(number, "conflict")
        if not keys >> verdict.key & 1:
            raise Differs(f"T{number}: a conflict on {verdict.key}, library {keys:#x}")

    def on_refused(self, number, is_false, pi, eta):
        txn, record, verdict = self.certified(number, "abort")
        equal(f"window of T{number}", (verdict.pi, verdict.eta), (pi, eta))
        if self.history is not None:
            late = {key for key, write in record.writes.items() if write.policy == "ignore" and
                    self.state.newest(key) and self.state.newest(key).c > record.s}
            cycle = self.history.would_cycle(record, set(record.writes) - late, late, txn.begin)
            self.trials += 1
            equal(f"T{number} refused in vain", not cycle, bool(is_false))

    def on_seen(self, stamp):
        self.visible = stamp
        for txn in self.history.txns if self.history is not None else ():
            if txn["end"] == NEVER and txn["c"] <= stamp:
                txn["end"] = self.line

    def on_end(self, values):
        for key, value in enumerate(values):
            newest = self.state.newest(key)
            equal(f"the end of key {key}", newest.val if newest else None, value)
        self.histories += 1
        if self.history is not None:
            self.thorough += 1
            equal("a cycle", self.history.cyclic(rt=True), False)
            equal("the replay", self.history.replay(self.initial), "")

    # ---- one history ----

    def start(self, keys, has_lag, is_thorough):
        self.state = self.certify.State(strict=True)
        self.history = self.oracle.Hist(keys, True) if is_thorough else None
        self.initial, self.txns, self.visible, self.line = {}, {}, 1, 0
        self.has_lag = has_lag

    def on_first(self, key, value):
        self.state.chains[key] = [self.certify.Version(1, value, 1)]
        self.initial[key] = value
        if self.history is not None:
            self.history.vers[key].append((1, -1, value))

    def on_begin(self, number, level, kind, snapshot):
        equal(f"snapshot of T{number}", self.visible, snapshot)
        self.txns[number] = Transaction(number, level, kind, snapshot, self.line)

    def on_put(self, number, key, policy, value):
        self.txns[number].writes[key] = ("put", value, policy)

    def on_rows(self, number, key, policy, rows):
        writes = self.txns[number].writes
        kind, value, policy = writes.get(key, ("rows", {}, policy))
        writes[key] = (kind, {**(value or {}), **rows}, policy)

    def on_save(self, number):
        self.txns[number].saved.append(dict(self.txns[number].writes))

    def on_undo(self, number, savepoint):
        txn = self.txns[number]
        txn.writes = dict(txn.saved[savepoint - 1])
        del txn.saved[savepoint:]

    def on_gone(self, number):
        del self.txns[number]

    def on_beyond(self, number):
        """Refused for a stamp that was forgotten early: the model would have let it pass."""
        self.certified(number, "commit")
