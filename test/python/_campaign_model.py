"""Executable models as judges of a campaign's script (test/support/campaign.h has the language):
the shared one, looked for in KHONSU_MODEL, else in ../shared/model beside the repository, and this
repository's own, test/model/certify_model.py.

What the models do not know is said in their own terms. Upserted rows are an `append` to a rival's
version, and fail like a put when the key was read; they read nothing, so that an own put that was
seen and taken back by a savepoint before is forgotten (the models forget no such look). A callback
that drops is an `ignore`. For the shared model: at read committed a write meets a rival only when
its key was read: one that does not is a `replace`, at snapshot 0 everything else meets one; and
both sides of a merge may delete a row.
"""

import importlib
import os
import sys

NAMES = {1: "fail", 2: "ignore", 3: "replace", 4: "append", 5: "merge", 6: "callback"}
LEVELS = {1: "rc", 2: "rr", 3: "sr"}
DROPS = 3  # a callback drops a write that has this cell
NEVER = 1 << 60
HERE = os.path.dirname(os.path.abspath(__file__))


def load(place, *names):
    sys.path.insert(0, place)
    try:
        return [importlib.import_module(name) for name in names]
    finally:
        sys.path.remove(place)


def shared_directory():
    beside = os.path.join(HERE, "..", "..", "..", "shared", "model")
    for place in (os.environ.get("KHONSU_MODEL", ""), beside):
        if place and os.path.exists(os.path.join(place, "certify.py")):
            return place
    return None


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

    def seen(self, key):
        """Has the program seen a pending write of key that its present write depends on?"""
        is_blind = self.writes[key][0] == "rows" and key not in self.read_at
        return key in self.back and not is_blind


class Seen:
    """A version, in one way for both models."""

    def __init__(self, commit, value):
        self.commit, self.value = commit, value


class Answer:
    def __init__(self, answer, key, phi, writes, window):
        self.answer, self.key, self.phi, self.writes, self.window = answer, key, phi, writes, window
        self.record = self.verdict = self.txn = None
        self.late = set()


class SharedRule:
    name = "shared model"
    answers = {"commit": "commit", "conflict": "conflict", "abort": "refused"}

    def __init__(self, place):
        self.model, self.oracle = load(place, "certify", "oracle")

    def start(self):
        self.state = self.model.State(strict=True)

    def history(self, keys):
        return self.oracle.Hist(keys, True)

    def clock(self):
        return self.state.clock

    def skip(self):
        """A commit that writes none of the keys."""
        self.state.clock += 1

    def fill(self, key, value):
        self.state.chains[key] = [self.model.Version(1, value, 1)]

    def newest(self, key):
        version = self.state.newest(key)
        return version and Seen(version.c, version.val)

    def visible(self, key, at):
        version = self.state.visible(key, at)
        return version and Seen(version.c, version.val)

    def merge_base(self, key, base, value):
        """Without the rows that both sides deleted."""
        theirs = self.state.newest(key).val or {}
        return {row: number for row, number in base.items() if row in value or row in theirs}

    def record(self, txn, writes, bases):
        is_weakest = txn.level == 1
        asked = {}
        for key, (policy, value, has_rival) in writes.items():
            if is_weakest and not has_rival:
                policy = "replace"
            asked[key] = self.model.Write(value, policy)
            if policy == "merge" and has_rival and value is not None:
                bases[key] = self.merge_base(key, bases[key], value)
        is_tracked = txn.level == 3
        return self.model.Record(
            txn.number, LEVELS[txn.level], 0 if is_weakest else txn.snapshot,
            frozenset(txn.gets) if is_tracked else frozenset(),
            tuple(txn.scans) if is_tracked else (), asked, bases,
            frozenset(key for key in asked if txn.seen(key)))

    def certify(self, txn, writes, bases):
        record = self.record(txn, writes, bases)
        verdict = self.model.certify(record, self.state)
        answer = Answer(self.answers.get(verdict.kind, verdict.kind), verdict.key, verdict.phi,
                        verdict.writes, (verdict.pi, verdict.eta))
        answer.record, answer.verdict = record, verdict
        answer.late = {key for key, (policy, _, has_rival) in writes.items()
                       if policy == "ignore" and has_rival}
        return answer

    def apply(self, answer):
        return self.model.apply(answer.record, answer.verdict, self.state)


class OwnRule:
    """This repository's model; it has no oracle of histories with commits in flight."""

    name = "own model"

    def __init__(self):
        (self.model,) = load(os.path.join(HERE, "..", "model"), "certify_model")

    def start(self):
        self.store = self.model.Store()

    def history(self, keys):
        return None

    def clock(self):
        return self.store.clock

    def skip(self):
        self.store.clock += 1

    def fill(self, key, value):
        self.store.chains[key] = [self.model.Version(1, value, 1)]

    def newest(self, key):
        return self.store.newest(key)

    def visible(self, key, at):
        return self.store.at(key, at)

    def certify(self, txn, writes, bases):
        numbers = {name: number for number, name in NAMES.items()}
        own = self.model.Transaction(txn.level, txn.snapshot, txn.level == 3)
        own.gets, own.scans = set(txn.gets), list(txn.scans)
        own.read_at = txn.read_at
        own.read_back = {key for key in writes if txn.seen(key) and writes[key][0] != "ignore"}
        own.writes = {key: self.model.Write(value, numbers[policy])
                      for key, (policy, value, _) in writes.items()}
        verdict = self.store.certify(own)
        answer = Answer(verdict.answer, verdict.key, verdict.phi, verdict.writes, None)
        answer.txn, answer.verdict = own, verdict
        return answer

    def apply(self, answer):
        self.store.apply(answer.txn, answer.verdict)
        return self.store.clock


class Judge:
    """Replays scripts; with `is_thorough` the model's own oracles judge each history, too."""

    def __init__(self, rule):
        self.rule = rule
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
        version = self.rule.visible(key, at)
        value = version.value if version else None
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

    def base_of(self, txn, key):
        at = txn.snapshot
        if txn.level == 1:
            at = txn.read_at.get(key, txn.snapshot)
        version = self.rule.visible(key, at)
        return dict((version.value if version else None) or {})

    def resolve(self, txn, key):
        """What the program asked for, as a write of the model: (policy, value, has_rival)."""
        newest = self.rule.newest(key)
        bound = txn.read_at.get(key, NEVER) if txn.level == 1 else txn.snapshot
        has_rival = newest is not None and newest.commit > bound
        kind, value, number = txn.writes[key]
        if kind == "rows":
            return self.resolve_rows(txn, key, newest, has_rival)
        policy = NAMES[number]
        is_back = key in txn.back
        if policy == "callback" and value is not None and DROPS in value:
            policy = "fail" if txn.level == 3 and is_back else "ignore"
        elif policy == "ignore" and is_back:
            policy = "fail"
        return policy, value, has_rival

    def resolve_rows(self, txn, key, newest, has_rival):
        _, rows, number = txn.writes[key]
        policy = NAMES[number]
        if not has_rival:
            return "replace", {**((newest.value if newest else None) or {}), **rows}, False
        if key not in txn.read_at:
            return "append", rows, True
        if txn.level == 3 or policy == "fail" or (policy == "ignore" and key in txn.back):
            return "fail", rows, True
        return ("ignore" if policy == "ignore" else "append"), rows, True

    # ---- verdicts ----

    def certified(self, number, answer):
        txn = self.txns.pop(number)
        writes = {key: self.resolve(txn, key) for key in txn.writes}
        bases = {key: self.base_of(txn, key) for key in txn.writes}
        verdict = self.rule.certify(txn, writes, bases)
        self.verdicts += 1
        equal(f"T{number}", verdict.answer, answer)
        return txn, verdict

    def on_commit(self, number, commit, place):
        txn, verdict = self.certified(number, "commit")
        if txn.level == 3 or verdict.writes:
            equal(f"place of T{number}", verdict.phi, place)
        stamp = self.rule.apply(verdict)
        equal(f"commit of T{number}", stamp if verdict.writes else 0, commit)
        if self.history is None or (txn.level != 3 and not verdict.writes):
            return
        self.history.commit(verdict.record, verdict.verdict, stamp)
        is_seen = commit == 0 or commit <= self.visible or not self.has_lag
        self.history.txns[-1].update(weak_reads=txn.weak_reads, begin=txn.begin,
                                     end=self.line if is_seen else NEVER)

    def on_conflict(self, number, keys):
        _, verdict = self.certified(number, "conflict")
        if not keys >> verdict.key & 1:
            raise Differs(f"T{number}: a conflict on {verdict.key}, library {keys:#x}")

    def on_refused(self, number, is_false, pi, eta):
        txn, verdict = self.certified(number, "refused")
        if verdict.window is not None:
            equal(f"window of T{number}", verdict.window, (pi, eta))
        if self.history is not None:
            late = verdict.late
            cycle = self.history.would_cycle(verdict.record, set(txn.writes) - late, late,
                                             txn.begin)
            self.trials += 1
            equal(f"T{number} refused in vain", not cycle, bool(is_false))

    def on_seen(self, stamp):
        self.visible = stamp
        for txn in self.history.txns if self.history is not None else ():
            if txn["end"] == NEVER and txn["c"] <= stamp:
                txn["end"] = self.line

    def on_end(self, values):
        for key, value in enumerate(values):
            newest = self.rule.newest(key)
            equal(f"the end of key {key}", newest.value if newest else None, value)
        self.histories += 1
        if self.history is not None:
            self.thorough += 1
            equal("a cycle", self.history.cyclic(rt=True), False)
            equal("the replay", self.history.replay(self.initial), "")

    # ---- one history ----

    def start(self, keys, has_lag, is_thorough):
        self.rule.start()
        self.history = self.rule.history(keys) if is_thorough else None
        self.initial, self.txns, self.visible, self.line = {}, {}, 1, 0
        self.has_lag = has_lag

    def on_first(self, key, value):
        self.rule.fill(key, value)
        self.initial[key] = value
        if self.history is not None:
            self.history.vers[key].append((1, -1, value))

    def on_begin(self, number, level, kind, snapshot):
        if snapshot != 0:  # else it waits
            equal(f"snapshot of T{number}", self.visible, snapshot)
        self.txns[number] = Transaction(number, level, kind, snapshot, self.line)

    def on_safe(self, number, snapshot):
        self.txns[number].snapshot = snapshot

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

    def on_flood(self, stamp):
        self.rule.skip()
        equal("a commit of other keys", self.rule.clock(), stamp)

    def on_gone(self, number):
        del self.txns[number]

    def on_beyond(self, number):
        """Refused for a stamp that was forgotten early: the model would have let it pass."""
        self.certified(number, "commit")
