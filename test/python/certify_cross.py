"""The engine's verdicts against the executable rule, on the same random histories.

Every level, policy, scans with limits both ways, deletes, read-only and deferrable transactions,
reclamation at random moments. Each read, each verdict and the final state must agree. Prints how
many commits the rule refuses that a serial order in real time would have allowed.

KH_TEST_SEED: the first history; KH_TEST_HISTORIES: how many.
"""

import os
import random
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "model"))

import certify_model as model  # noqa: E402  (the path comes first)
from certify_graph import Graph  # noqa: E402
from _engine import (BUSY, CONFLICT, DEFERRABLE, NOT_SERIALIZABLE, OK, READ_ONLY,  # noqa: E402
                     Engine)

ANSWERS = {"commit": OK, "conflict": CONFLICT, "refused": NOT_SERIALIZABLE}
SETTINGS = {
    "serializable, fail": {},
    "serializable, every policy": {"policies": range(1, 7)},
    "every level": {"levels": (3, 3, 2, 1)},
    "every level, every policy": {"levels": (3, 3, 2, 1), "policies": range(1, 7)},
    "read-only and deferrable": {"levels": (3, 3, 3, 2), "policies": range(1, 7), "readers": 0.4},
    "hot": {"key_count": 3, "open_max": 6, "policies": (1, 2, 4)},
    "wide": {"key_count": 8, "open_max": 8, "txn_count": 24},
}


def call_back(mine, theirs):
    return None if mine is None else model.add_up(mine, theirs)


class Pair:
    """One transaction, in the engine and in the model."""

    def __init__(self, in_engine, in_model, policy, name):
        self.in_engine, self.in_model, self.policy = in_engine, in_model, policy
        self.name = name
        self.left = 0
        self.begin = 0


class History:
    def __init__(self, seed, key_count=5, txn_count=14, open_max=4, levels=(3,), policies=(1,),
                 readers=0.1):
        self.random = random.Random(seed)
        self.key_count, self.txn_count, self.open_max = key_count, txn_count, open_max
        self.levels, self.policies, self.readers = tuple(levels), tuple(policies), readers
        self.engine = Engine(call_back)
        self.store = model.Store()
        self.open = []
        self.begun = 0
        self.number = 100
        self.steps = []
        self.graph = Graph()
        self.time = 0
        self.counts = {"commit": 0, "conflict": 0, "refused": 0, "refused falsely": 0}

    def differ(self, what, engine, expected):
        if engine != expected:
            raise AssertionError(f"{what}: engine {engine}, rule {expected}\n  "
                                 + "\n  ".join(self.steps))

    def fill(self):
        txn = self.engine.begin(model.READ_COMMITTED, model.FAIL)
        pair = Pair(txn, self.store.begin(model.READ_COMMITTED), model.FAIL, 0)
        for key in range(self.key_count):
            if self.random.random() < 0.6:
                self.write(pair, key, {0: key, 1: 1})
        self.commit(pair)

    # ---- steps ----

    def begin(self):
        level = self.random.choice(self.levels)
        policy = self.random.choice(self.policies)
        flags, timeout_ms = 0, 0
        if self.random.random() < self.readers:
            flags = READ_ONLY
            if level == model.SERIALIZABLE and self.random.random() < 0.5:
                flags, timeout_ms = READ_ONLY | DEFERRABLE, 1 << 29
        txn = self.engine.begin(level, policy, flags, timeout_ms)
        self.begun += 1
        self.steps.append(f"begin {self.begun}: level {level} policy {policy} flags {flags}")
        if flags & DEFERRABLE:
            self.differ("a deferrable begin", txn is None, not self.store.is_safe())
        if txn is None:
            return
        pair = Pair(txn, self.store.begin(level, bool(flags & READ_ONLY)), policy, self.begun)
        self.time += 1
        pair.begin = self.time
        pair.left = self.random.randint(1, 4)
        pair.is_slow = self.random.random() < 0.25
        self.open.append(pair)

    def write(self, pair, key, rows):
        self.engine.put(pair.in_engine, key, rows)
        pair.in_model.writes[key] = model.Write(rows, pair.policy)

    def choose_rows(self, pair, key):
        """What the policy makes sense with: a change of the base, or some rows."""
        self.number += 1
        row = self.random.randrange(4)
        rows = {}
        if pair.policy in (model.MERGE, model.APPEND) and self.random.random() < 0.8:
            own = pair.in_model.writes.get(key)
            rows = dict((own.value if own else self.store.base_of(pair.in_model, key)) or {})
        rows[row] = self.number
        return rows

    def operate(self, pair):
        choice = self.random.random()
        key = self.random.randrange(self.key_count)
        if choice < 0.4 or (pair.in_model.is_read_only and choice < 0.7):
            self.steps.append(f"{pair.name}: get {key}")
            self.differ("get", self.engine.get(pair.in_engine, key),
                        self.store.get(pair.in_model, key))
        elif choice < 0.55 or pair.in_model.is_read_only:
            high = min(self.key_count, key + self.random.randint(1, 3))
            limit, is_reverse = self.random.choice((0, 0, 1, 2)), self.random.random() < 0.5
            self.steps.append(f"{pair.name}: scan {key} {high} {limit} {is_reverse}")
            self.differ("scan", self.engine.scan(pair.in_engine, key, high, limit, is_reverse),
                        self.store.scan(pair.in_model, key, high, limit, is_reverse))
        else:
            rows = self.choose_rows(pair, key) if choice < 0.88 else None
            self.steps.append(f"{pair.name}: put {key} {rows}")
            self.write(pair, key, rows)

    def commit(self, pair):
        verdict = self.store.certify(pair.in_model)
        status = self.engine.commit(pair.in_engine)
        self.steps.append(f"commit: {status}")
        self.differ("commit", status, ANSWERS[verdict.answer])
        self.time += 1
        if verdict.answer == "commit":
            self.store.apply(pair.in_model, verdict)
            self.graph.add(pair.name, pair.in_model, verdict, self.store, pair.begin, self.time)
        elif verdict.answer == "refused" and not self.graph.would_cycle(
                pair.name, pair.in_model, verdict.writes, verdict.dropped, self.store,
                pair.begin, self.time):
            self.counts["refused falsely"] += 1
        self.store.end(pair.in_model)
        self.counts[verdict.answer] += 1

    def step(self):
        if self.begun < self.txn_count and (not self.open or (
                len(self.open) < self.open_max and self.random.random() < 0.35)):
            self.begin()
            return
        pool = [pair for pair in self.open if not pair.is_slow or self.random.random() < 0.12]
        if not pool:
            return
        pair = self.random.choice(pool)
        if pair.left > 0:
            pair.left -= 1
            self.operate(pair)
        else:
            self.steps.append(f"{pair.name}:")
            self.open.remove(pair)
            self.commit(pair)

    def run(self):
        self.fill()
        while self.begun < self.txn_count or self.open:
            self.step()
            if self.random.random() < 0.3:
                self.engine.step()
        txn = self.engine.begin(model.REPEATABLE_READ, model.FAIL)
        for key in range(self.key_count):
            newest = self.store.newest(key)
            self.differ(f"the end of key {key}", self.engine.get(txn, key),
                        newest.value if newest else None)
        self.engine.rollback(txn)
        self.engine.close()
        return self.counts


class Cross(unittest.TestCase):
    def test_same_verdicts(self):
        first = int(os.environ.get("KH_TEST_SEED", "1"))
        histories = int(os.environ.get("KH_TEST_HISTORIES", "150"))
        self.assertNotEqual(BUSY, OK)
        for name, setting in SETTINGS.items():
            totals = dict.fromkeys(("commit", "conflict", "refused", "refused falsely"), 0)
            for seed in range(first, first + histories):
                with self.subTest(setting=name, seed=seed):
                    history = History(seed, **setting)
                    for answer, count in history.run().items():
                        totals[answer] += count
                    self.assertFalse(history.graph.has_cycle())
            print(f"{name}: {histories} histories, {totals}")
            self.assertTrue(totals["commit"] and totals["conflict"] and totals["refused"])
            self.assertLess(totals["refused falsely"] * 5, totals["refused"] + 20)


if __name__ == "__main__":
    unittest.main()
