"""The checker of histories: each anomaly, made by hand, is found under its name and at the levels
that forbid it; what is allowed is not; and on random small histories its verdicts are those of a
search through every order.
"""

import itertools
import json
import os
import random
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "model"))

import history_check  # noqa: E402  (the path comes first)
from history_format import LEVELS, Malformed, read  # noqa: E402

RC, SI, SER, STRICT = LEVELS


def asked(op):
    if op[0] in ("r", "scan"):
        return [op[0], op[1], None]
    return ["accounts", None] if op[0] == "accounts" else op[:4]


def txn(begin, end, *ops, status="ok", f="txn", **more):
    """One transaction from begin to end, with its operations as they were told."""
    return {"begin": begin, "end": end, "ops": list(ops), "status": status, "f": f, "more": more}


def lines(workload, isolation, *txns, initial=None):
    header = {"kh": 1, "workload": workload, "isolation": isolation, "initial": initial or {}}
    events = []
    for process, one in enumerate(txns):
        told = one["ops"] if one["status"] == "ok" else [asked(op) for op in one["ops"]]
        more = dict(one["more"])
        if one["status"] != "ok":
            more["err"] = "conflict"
        events.append((one["begin"], 0, {"p": process, "ev": "invoke", "f": one["f"],
                                         "ops": [asked(op) for op in one["ops"]]}))
        events.append((one["end"], 1, {"p": process, "ev": one["status"], "f": one["f"],
                                       "ops": told, **more}))
    events.sort(key=lambda event: event[:2])
    found = [json.dumps(header) + "\n"]
    for i, (t, _, event) in enumerate(events):
        found.append(json.dumps({"i": i, "t": t, **event}) + "\n")
    return found


def anomalies(workload, isolation, *txns, initial=None, **options):
    history = read(lines(workload, isolation, *txns, initial=initial))
    return set(history_check.check(history, **options).counts)


def r(key, value):
    return ["r", key, value]


def a(key, value):
    return ["append", key, value]


def w(key, value):
    return ["w", key, value]


class Lists(unittest.TestCase):
    """Histories of list-append; all overlap unless times say otherwise."""

    def found(self, isolation, *txns, **options):
        return anomalies("list-append", isolation, *txns, **options)

    def assert_from(self, level, names, *txns):
        """Exactly these anomalies at level, these at least above, none below."""
        for rank, isolation in enumerate(LEVELS):
            found = self.found(isolation, *txns)
            if rank <= LEVELS.index(level):
                self.assertEqual(found, names if isolation == level else set(), isolation)
            self.assertLessEqual(names if rank >= LEVELS.index(level) else set(), found, isolation)

    def test_a_good_history(self):
        self.assert_from(RC, set(), txn(0, 9, a("x", 1)), txn(1, 8, r("x", [1]), a("x", 2)),
                         txn(2, 9, a("y", 1), r("y", [1]), a("y", 2)), txn(3, 9, r("z", None)),
                         txn(20, 21, r("x", [1, 2]), r("y", [1, 2])))

    def test_g0(self):
        self.assert_from(RC, {"G0"}, txn(0, 9, a("x", 1), a("y", 1)),
                         txn(1, 8, a("x", 2), a("y", 2)),
                         txn(20, 21, r("x", [1, 2])), txn(22, 23, r("y", [2, 1])))

    def test_g1a(self):
        self.assert_from(RC, {"G1a"}, txn(0, 9, a("x", 1), status="fail"), txn(1, 8, r("x", [1])))

    def test_g1b(self):
        self.assert_from(RC, {"G1b"}, txn(0, 9, a("x", 1), a("x", 2)), txn(1, 8, r("x", [1])))

    def test_g1c(self):
        self.assert_from(RC, {"G1c"}, txn(0, 9, a("x", 1), r("y", [2])),
                         txn(1, 8, a("y", 2), r("x", [1])))

    def test_lost_update(self):
        self.assert_from(SI, {"lost-update", "G-single"}, txn(0, 9, r("x", []), a("x", 1)),
                         txn(1, 8, r("x", []), a("x", 2)), txn(20, 21, r("x", [1, 2])))

    def test_read_skew(self):
        self.assert_from(SI, {"G-single"}, txn(0, 9, r("x", []), r("y", [1])),
                         txn(1, 8, a("x", 1), a("y", 1)), txn(20, 21, r("x", [1])))

    def test_long_fork(self):
        self.assert_from(SI, {"G-nonadjacent"}, txn(0, 9, a("x", 1)), txn(1, 9, a("y", 1)),
                         txn(2, 9, r("x", [1]), r("y", [])), txn(3, 9, r("x", []), r("y", [1])))

    def test_write_skew(self):
        self.assert_from(SER, {"G2-item"}, txn(0, 9, r("x", []), a("y", 1)),
                         txn(1, 8, r("y", []), a("x", 1)), txn(20, 21, r("x", [1]), r("y", [1])))

    def test_stale_read(self):
        stale = (txn(0, 9, a("x", 1)), txn(10, 11, r("x", [])), txn(20, 21, r("x", [1])))
        self.assert_from(STRICT, {"G-single-realtime"}, *stale)
        self.assertEqual(self.found(SI, *stale, real_time=True), {"G-single-realtime"})

    def test_a_lost_append_is_a_stale_read_for_ever(self):
        self.assert_from(STRICT, {"G-single-realtime"}, txn(0, 9, a("x", 1)),
                         txn(20, 21, r("x", [])))

    def test_order_against_time(self):
        self.assert_from(STRICT, {"G0-realtime"}, txn(0, 1, a("x", 1)), txn(3, 4, a("x", 2)),
                         txn(20, 21, r("x", [2, 1])))

    def test_write_skew_in_time_only(self):
        """T -> U -> V by what was missed, and V had ended before T began."""
        self.assert_from(STRICT, {"G2-item-realtime"}, txn(10, 20, r("x", []), a("a", 1)),
                         txn(0, 20, r("y", []), a("x", 1)), txn(1, 5, a("y", 1)),
                         txn(30, 31, r("x", [1]), r("y", [1]), r("a", [1])))

    def test_the_same_moment_is_no_order(self):
        self.assert_from(RC, set(), txn(0, 9, a("x", 1)), txn(9, 12, r("x", [])),
                         txn(20, 21, r("x", [1])))

    def test_lists_that_cannot_be(self):
        ones = (txn(0, 9, a("x", 1)), txn(0, 9, a("x", 2)))
        self.assert_from(RC, {"incompatible-order"}, *ones, txn(10, 11, r("x", [1])),
                         txn(10, 11, r("x", [2])))
        self.assert_from(RC, {"incompatible-order", "G1b"}, txn(0, 9, a("x", 1), a("x", 2)),
                         txn(10, 11, r("x", [2, 1])))
        self.assert_from(RC, {"incompatible-order"}, txn(0, 9, a("x", 1), a("x", 2)),
                         txn(10, 11, r("x", [2])))
        self.assertIn("duplicate-elements", self.found(RC, *ones, txn(10, 11, r("x", [1, 1]))))
        self.assertIn("garbage-read", self.found(RC, *ones, txn(10, 11, r("x", [7]))))

    def test_own_appends_are_seen(self):
        self.assert_from(RC, {"internal"}, txn(0, 9, a("x", 1), r("x", [])))
        self.assert_from(RC, {"internal"}, txn(0, 9, r("x", [1]), a("x", 1)))
        self.assertIn("internal", self.found(SI, txn(0, 9, a("x", 1)), txn(0, 9, a("x", 2)),
                                             txn(0, 9, r("x", []), r("x", [1]))))
        self.assertEqual(self.found(RC, txn(0, 9, a("x", 1)), txn(0, 9, a("x", 2)),
                                    txn(0, 9, r("x", []), r("x", [1]))), set())

    def test_what_is_unknown_may_be_or_not(self):
        self.assert_from(RC, set(), txn(0, 9, a("x", 1), status="info"), txn(10, 11, r("x", [])),
                         txn(12, 13, r("x", [1])), txn(0, 9, a("y", 1), status="info"),
                         txn(12, 13, r("y", [])))

    def test_levels_mixed(self):
        """A write skew counts when both that read are serializable."""
        for level, wanted in ((None, {"G2-item"}), (SI, set()), (RC, set())):
            more = {} if level is None else {"iso": level}
            self.assertEqual(self.found(SER, txn(0, 9, r("x", []), a("y", 1), **more),
                                        txn(1, 8, r("y", []), a("x", 1)),
                                        txn(20, 21, r("x", [1]), r("y", [1]))), wanted, level)


class Registers(unittest.TestCase):
    def found(self, isolation, *txns, **options):
        return anomalies("rw-register", isolation, *txns, **options)

    def test_a_good_history(self):
        for isolation in LEVELS:
            self.assertEqual(self.found(isolation, txn(0, 1, w("x", 1)), txn(2, 3, r("x", 1)),
                                        txn(4, 5, ["scan", "x", {"x": 1}], w("xa", 1)),
                                        txn(6, 7, ["scan", "x", {"x": 1, "xa": 1}])), set())

    def test_cycles(self):
        self.assertEqual(self.found(RC, txn(0, 9, w("x", 1), r("y", 2)),
                                    txn(1, 8, w("y", 2), r("x", 1))), {"G1c"})
        self.assertEqual(self.found(SER, txn(0, 9, r("x", None), w("y", 1)),
                                    txn(1, 8, r("y", None), w("x", 1))), {"G2-item"})
        self.assertEqual(self.found(SER, txn(0, 9, ["scan", "p", {}], w("pa", 1)),
                                    txn(1, 8, ["scan", "p", {}], w("pb", 1))), {"G2"})
        self.assertEqual(self.found(SI, txn(0, 9, r("x", None), r("y", 1)),
                                    txn(1, 8, w("x", 1), w("y", 1))), {"G-single"})

    def test_the_order_by_real_time(self):
        stale = (txn(0, 1, w("x", 1)), txn(2, 3, w("x", 2)), txn(4, 5, r("x", 1)))
        self.assertEqual(self.found(SER, *stale), set())
        self.assertEqual(self.found(STRICT, *stale), {"G-single-realtime"})

    def test_the_order_by_commit_numbers(self):
        skew = (txn(0, 9, w("x", 1), snap=1, commit=2), txn(0, 9, w("y", 1), snap=1, commit=3),
                txn(0, 9, r("x", 1), w("y", 2), snap=2, commit=4),
                txn(0, 9, r("y", 1), w("x", 2), snap=3, commit=5))
        self.assertEqual(self.found(SER, *skew, timestamps=False), set())
        self.assertIn("G2-item", self.found(SER, *skew))

    def test_deletes(self):
        """Absent is the version of a delete, where commit numbers say of which."""
        first = txn(0, 9, w("x", 1), w("y", 1), snap=1, commit=2)
        gone = txn(0, 9, ["d", "x"], snap=2, commit=3)
        for wanted, snap, end in (({"G2-item"}, 3, 5), (set(), 4, 4)):
            self.assertEqual(self.found(SER, first, gone,
                                        txn(0, 9, r("x", None), ["d", "y"], snap=3, commit=4),
                                        txn(0, 9, r("y", 1 if snap == 3 else None), w("x", 2),
                                            snap=snap, commit=end + 1)), wanted)
        self.assertEqual(self.found(SER, first, gone, txn(0, 9, r("x", None), snap=2, commit=2)),
                         {"wrong-snapshot"})

    def test_values(self):
        one = txn(0, 9, w("x", 1), w("x", 2))
        self.assertEqual(self.found(RC, one, txn(0, 9, r("x", 1))), {"G1b"})
        self.assertEqual(self.found(RC, one, txn(0, 9, r("x", 3))), {"garbage-read"})
        self.assertEqual(self.found(RC, txn(0, 9, w("x", 1), r("x", None))), {"internal"})
        self.assertEqual(self.found(RC, txn(0, 9, r("x", 1), w("x", 1))), {"internal"})
        self.assertEqual(self.found(RC, txn(0, 9, w("x", 1), status="fail"),
                                    txn(0, 9, r("x", 1))), {"G1a"})
        self.assertIn("lost-update", self.found(SI, txn(0, 9, r("x", None), w("x", 1)),
                                                txn(0, 9, r("x", None), w("x", 2))))
        self.assertEqual(self.found(RC, one, txn(10, 11, ["scan", "x", {"y": 1}])),
                         {"scan-order", "garbage-read"})

    def test_fractured_reads(self):
        for isolation in LEVELS:
            self.assertIn("fractured-read", anomalies(
                "group", isolation, txn(0, 9, w("a", 1), w("b", 1)),
                txn(1, 8, r("a", 1), r("b", None))))
            self.assertEqual(anomalies("group", isolation, txn(0, 9, w("a", 1), w("b", 1)),
                                       txn(1, 8, r("a", 1), r("b", 1))), set())


class Stamps(unittest.TestCase):
    def found(self, isolation, *txns, workload="rw-register"):
        return anomalies(workload, isolation, *txns)

    def test_snapshots(self):
        writes = (txn(0, 1, w("x", 1), snap=1, commit=2), txn(2, 3, w("x", 2), snap=2, commit=3))
        for snap, value, wanted in ((2, 1, set()), (3, 2, set()), (3, 1, {"wrong-snapshot"}),
                                    (2, 2, {"wrong-snapshot"}), (1, 1, {"wrong-snapshot"})):
            reader = txn(0, 9, r("x", value), snap=snap, commit=snap)
            self.assertEqual(self.found(SI, *writes, reader), wanted, (snap, value))
        self.assertEqual(self.found(STRICT, *writes, txn(5, 9, r("x", 1), snap=2, commit=2)),
                         {"stale-snapshot", "G-single-realtime"})

    def test_lists_at_snapshots(self):
        writes = (txn(0, 1, a("x", 1), snap=1, commit=2), txn(2, 3, a("x", 2), snap=2, commit=3))
        for items, wanted in (([1], set()), ([1, 2], {"wrong-snapshot"}),
                              ([], {"wrong-snapshot"})):
            self.assertEqual(self.found(SI, *writes, txn(0, 9, r("x", items), snap=2, commit=2),
                                        workload="list-append"), wanted)

    def test_first_committer_wins(self):
        rival = txn(0, 9, w("x", 1), snap=1, commit=3)
        self.assertEqual(self.found(SI, rival, txn(0, 9, w("x", 2), snap=2, commit=4)),
                         {"lost-update"})
        self.assertEqual(self.found(SI, rival, txn(0, 9, w("x", 2), snap=3, commit=4)), set())
        self.assertEqual(self.found(RC, rival, txn(0, 9, w("x", 2), snap=2, commit=4)), set())
        self.assertEqual(self.found(RC, rival, txn(0, 9, r("x", None), w("x", 2), snap=2,
                                                   commit=4)), {"lost-update"})

    def test_numbers(self):
        self.assertIn("stamp-order", self.found(SI, txn(0, 9, w("x", 1), snap=3, commit=2)))
        self.assertEqual(self.found(SI, txn(0, 9, w("x", 1), snap=1, commit=2),
                                    txn(0, 9, w("y", 1), snap=1, commit=2)), {"stamp-order"})
        self.assertIn("stamp-order", self.found(STRICT, txn(0, 1, w("x", 1), snap=1, commit=5),
                                                txn(2, 3, w("y", 1), snap=5, commit=4)))

    def test_statements(self):
        writes = (txn(0, 1, w("x", 1), w("y", 1), snap=1, commit=2),
                  txn(2, 3, w("x", 2), w("y", 2), snap=2, commit=3))
        for first, second, wanted in ((1, 2, set()), (2, 2, set()), (2, 1, {"wrong-statement"})):
            self.assertEqual(self.found(RC, *writes, txn(0, 9, r("x", first), r("y", second),
                                                         snap=3, commit=3)), wanted)
        self.assertEqual(self.found(RC, *writes, txn(0, 9, r("x", 2), snap=2, commit=2)),
                         {"wrong-statement"})
        for found, wanted in (({"x": 1, "y": 1}, set()), ({"x": 1, "y": 2}, {"wrong-statement"}),
                              ({"x": 2, "y": 1}, {"wrong-statement"})):
            self.assertEqual(self.found(RC, *writes, txn(0, 9, ["scan", "", found], snap=3,
                                                         commit=3)), wanted)


class Bank(unittest.TestCase):
    def found(self, *txns):
        return anomalies("bank", SI, *txns, initial={"a": 10, "b": 10})

    def transfer(self, amount, **more):
        return txn(0, 9, ["t", "a", "b", amount], f="transfer", **more)

    def seen(self, *balances, begin=20, **more):
        names = dict(zip("abc", balances))
        return txn(begin, 30, ["accounts", names], f="read", **more)

    def test_money(self):
        self.assertEqual(self.found(self.transfer(3), self.seen(7, 13)), set())
        self.assertEqual(self.found(self.transfer(3), self.seen(7, 13),
                                    self.transfer(2, status="fail")), set())
        self.assertEqual(self.found(self.transfer(3), self.seen(7, 10, begin=1)), {"lost-money"})
        self.assertEqual(self.found(self.transfer(3), self.seen(20, begin=1)), {"lost-account"})
        self.assertEqual(self.found(self.transfer(12), self.seen(-2, 22)), {"negative-balance"})
        self.assertEqual(self.found(self.transfer(3), self.seen(10, 10)), {"lost-transfer"})
        self.assertEqual(self.found(self.transfer(3, status="info"), self.seen(10, 10)), set())

    def test_a_transfer_of_unknown_end(self):
        """It may be there or not, from any moment on; but then it stays."""
        stamps = {"snap": 1, "commit": 1}
        known = self.transfer(1, **stamps)
        unknown = self.transfer(3, status="info")
        lost = {"lost-transfer", "wrong-snapshot"}
        for balances, wanted in (((9, 11), set()), ((6, 14), set()), ((8, 12), lost),
                                 ((7, 13), lost)):
            self.assertEqual(self.found(known, unknown, self.seen(*balances, **stamps)), wanted)
        for first, second, wanted in (((9, 11), (6, 14), set()), ((6, 14), (9, 11), lost)):
            reads = (self.seen(*first, **stamps), self.seen(*second, snap=2, commit=2))
            self.assertEqual(self.found(known, unknown, *reads), wanted)

    def test_snapshots(self):
        transfers = (self.transfer(3, snap=1, commit=2), self.transfer(4, snap=2, commit=3))
        for snap, balances, wanted in ((2, (7, 13), set()), (3, (7, 13), {"wrong-snapshot"}),
                                       (1, (10, 10), set())):
            self.assertEqual(self.found(*transfers, self.seen(*balances, begin=1, snap=snap,
                                                              commit=snap)), wanted)


def kv(begin, end, *op, **more):
    functions = {"r": "read", "w": "write", "cas": "cas", "d": "delete"}
    return txn(begin, end, list(op), f=functions[op[0]], **more)


class Keys(unittest.TestCase):
    def found(self, *txns):
        return anomalies("kv", SER, *txns)

    def test_linearizable(self):
        self.assertEqual(self.found(kv(0, 9, "w", "x", 1), kv(1, 2, "r", "x", None),
                                    kv(3, 4, "r", "x", 1), kv(5, 6, "cas", "x", 1, 2, True),
                                    kv(7, 8, "cas", "x", 1, 3, False), kv(10, 11, "d", "x"),
                                    kv(12, 13, "r", "x", None)), set())

    def test_not_linearizable(self):
        bad = {"non-linearizable"}
        self.assertEqual(self.found(kv(0, 1, "w", "x", 1), kv(2, 3, "r", "x", None)), bad)
        self.assertEqual(self.found(kv(0, 9, "w", "x", 1), kv(1, 2, "r", "x", 1),
                                    kv(3, 4, "r", "x", None)), bad)
        self.assertEqual(self.found(kv(0, 1, "w", "x", 1), kv(2, 9, "cas", "x", 1, 2, True),
                                    kv(3, 8, "cas", "x", 1, 3, True)), bad)
        self.assertEqual(self.found(kv(0, 1, "w", "x", 1), kv(2, 3, "cas", "x", 1, 2, False)), bad)
        self.assertEqual(self.found(kv(0, 1, "w", "x", 1), kv(2, 3, "d", "x"),
                                    kv(4, 5, "r", "x", 1)), bad)
        self.assertEqual(self.found(kv(0, 1, "w", "x", 1, status="fail"),
                                    kv(2, 3, "r", "x", 1)), bad)

    def test_what_is_unknown_may_happen_late_or_never(self):
        self.assertEqual(self.found(kv(0, 1, "w", "x", 1, status="info"), kv(2, 3, "r", "x", None),
                                    kv(4, 5, "r", "x", 1), kv(6, 7, "r", "x", 1)), set())
        self.assertEqual(self.found(kv(0, 1, "w", "x", 1, status="info"),
                                    kv(4, 5, "r", "x", 1), kv(6, 7, "r", "x", None)),
                         {"non-linearizable"})


class Format(unittest.TestCase):
    GOOD = lines("rw-register", SI, txn(0, 1, w("x", 1), r("y", None)), txn(2, 3, r("x", 1)),
                 txn(4, 5, w("x", 2), status="fail"))

    def changed(self, at, **fields):
        """The good history with fields of one line changed (None: taken out)."""
        found = list(self.GOOD)
        event = json.loads(found[at])
        event.update(fields)
        event = {name: value for name, value in event.items() if value is not None}
        found[at] = json.dumps(event) + "\n"
        return found

    def assert_malformed(self, text, says=""):
        with self.assertRaises(Malformed, msg=text) as caught:
            read(text)
        self.assertIn(says, str(caught.exception))

    def test_good(self):
        self.assertEqual(len(read(self.GOOD).txns), 3)

    def test_headers(self):
        for fields in ({"kh": 2}, {"workload": "queue"}, {"isolation": "chaos"}, {"initial": None},
                       {"seed": "x"}, {"nodes": 3}):
            self.assert_malformed(self.changed(0, **fields), "line 1")

    def test_events(self):
        for at, fields, says in (
                (2, {"i": 5}, "i is 5"), (2, {"t": -1}, "t is -1"), (3, {"t": 0}, "t is 0"),
                (1, {"p": "a"}, "p 'a'"), (1, {"ev": "begin"}, "ev 'begin'"),
                (1, {"f": "read"}, "f 'read'"), (2, {"f": "x"}, "completes"),
                (1, {"ops": []}, "no ops"), (1, {"ops": [["append", "x", 1]]}, "operation"),
                (1, {"ops": [["r", "x", 1]]}, "operation"), (1, {"ops": [["w", "x", ""]]}, "opera"),
                (1, {"ops": [["w", "x", True]]}, "operation"), (1, {"ops": [["w", 3, 1]]}, "opera"),
                (2, {"ops": [["w", "x", 1]]}, "invocation"), (2, {"snap": 1.5}, "snap"),
                (2, {"iso": "none"}, "iso"), (6, {"err": None}, "err"),
                (6, {"err": "two words"}, "err"), (5, {"ops": [["w", "x", 1]]}, "second time"),
                (2, {"p": 7}, "nothing outstanding")):
            self.assert_malformed(self.changed(at, **fields), says)

    def test_processes(self):
        self.assert_malformed(self.changed(3, p=0)[:3] + self.GOOD[:0] + [
            json.dumps({"i": 2, "t": 9, "p": 0, "ev": "invoke", "f": "txn", "ops": [w("x", 9)]})
            + "\n"] * 2, "i is 2")
        twice = self.GOOD[:2] + [json.dumps({"i": 1, "t": 9, "p": 0, "ev": "invoke", "f": "txn",
                                             "ops": [w("z", 9)]}) + "\n"]
        self.assert_malformed(twice, "outstanding")
        gone = lines("rw-register", SI, txn(0, 1, w("x", 1), status="info"))
        gone.append(json.dumps({"i": 2, "t": 9, "p": 0, "ev": "invoke", "f": "txn",
                                "ops": [w("z", 9)]}) + "\n")
        self.assert_malformed(gone, "after an info")
        self.assert_malformed(self.GOOD[:-1], "never told")

    def test_texts(self):
        self.assert_malformed([], "empty")
        self.assert_malformed(self.GOOD[:-1] + [self.GOOD[-1][:-1]], "does not end")
        self.assert_malformed(self.GOOD[:-1] + [self.GOOD[-1][:20] + "\n"], "no JSON")
        self.assert_malformed(self.GOOD[:2] + ['{"i":1,"i":1}\n'], "a key twice")
        self.assert_malformed([b"\xff\n"], "no JSON")

    def test_faults_are_passed_over(self):
        fault = json.dumps({"i": 6, "t": 9, "p": "nemesis", "ev": "info", "f": "kill"}) + "\n"
        self.assertEqual(len(read(self.GOOD + [fault]).txns), 3)


class Orders(unittest.TestCase):
    """Random small histories of lists, and every order of them."""

    KEYS = "xy"

    def make(self, dice):
        """Three transactions that read whatever prefix, and one that reads all at the end."""
        final = {key: [] for key in self.KEYS}
        writes = [(index, dice.choice(self.KEYS), index * 10 + n)
                  for index in range(3) for n in range(dice.randrange(3))]
        for _, key, value in writes:
            final[key].insert(dice.randrange(len(final[key]) + 1) if dice.random() < 0.2 else
                              len(final[key]), value)
        txns = []
        for index in range(3):
            ops = [a(key, value) for owner, key, value in writes if owner == index]
            for _ in range(dice.randrange(3)):
                key = dice.choice(self.KEYS)
                foreign = [v for v in final[key] if v // 10 != index]
                ops.insert(0, r(key, final[key][:dice.randrange(len(foreign) + 1)]))
            if ops:
                begin = dice.randrange(8)
                txns.append(txn(begin, begin + 1 + dice.randrange(8), *ops))
        return txns + [txn(30, 31, *[r(key, final[key]) for key in self.KEYS])]

    @staticmethod
    def run_on(state, ops):
        """The state after, or None: a read disagrees."""
        state = {key: list(items) for key, items in state.items()}
        for kind, key, value in ops:
            if kind == "append":
                state[key].append(value)
            elif state[key] != value:
                return None
        return state

    def is_serial(self, txns, has_real_time):
        for order in itertools.permutations(range(len(txns))):
            if has_real_time and any(txns[later]["end"] < txns[earlier]["begin"]
                                     for at, earlier in enumerate(order)
                                     for later in order[at + 1:]):
                continue
            state = {key: [] for key in self.KEYS}
            for index in order:
                state = self.run_on(state, txns[index]["ops"])
                if state is None:
                    break
            else:
                return True
        return False

    def is_snapshot(self, txns):
        """Snapshot isolation: begins and commits in some order, the first committer wins."""
        return self.extend(txns, {key: [] for key in self.KEYS}, {}, frozenset())

    def extend(self, txns, state, begun, ended):
        if len(ended) == len(txns):
            return True
        for index, one in enumerate(txns):
            if index in ended:
                continue
            if index not in begun:
                if self.run_on(state, one["ops"]) is not None and \
                        self.extend(txns, state, {**begun, index: state}, ended):
                    return True
                continue
            written = {op[1] for op in one["ops"] if op[0] == "append"}
            if all(begun[index][key] == state[key] for key in written):
                after = self.run_on({**state, **{key: begun[index][key] for key in self.KEYS}},
                                    one["ops"])
                merged = {key: after[key] if key in written else state[key] for key in self.KEYS}
                if self.extend(txns, merged, begun, ended | {index}):
                    return True
        return False

    def test_every_verdict(self):
        seed = int(os.environ.get("KH_TEST_SEED", "1"))
        dice = random.Random(seed)
        tally = {}
        for number in range(int(os.environ.get("KH_TEST_HISTORIES", "1000"))):
            txns = self.make(dice)
            for isolation, is_allowed in ((SER, self.is_serial(txns, False)),
                                          (STRICT, self.is_serial(txns, True)),
                                          (SI, self.is_snapshot(txns))):
                found = anomalies("list-append", isolation, *txns)
                self.assertEqual(not found, is_allowed,
                                 f"seed {seed}, history {number}, {isolation}: {found}\n"
                                 + "".join(lines("list-append", isolation, *txns)))
                tally[isolation, is_allowed] = tally.get((isolation, is_allowed), 0) + 1
        print(f"seed {seed}: {tally}")
        self.assertTrue(all(tally.get((level, verdict), 0) > 50
                            for level in (SI, SER, STRICT) for verdict in (True, False)), tally)


class Linear(unittest.TestCase):
    """Random small histories of one key, and every order of them."""

    def make(self, dice):
        found = []
        for value in range(1, 2 + dice.randrange(5)):
            begin = dice.randrange(10)
            seen = dice.choice([None, 1, 2, 3])
            op = dice.choice([("r", "x", seen), ("r", "x", seen), ("w", "x", value), ("d", "x"),
                              ("cas", "x", seen, value, dice.random() < 0.6)])
            status = "info" if dice.random() < 0.15 else "ok"
            found.append(kv(begin, begin + 1 + dice.randrange(6), *op, status=status))
        return found

    @staticmethod
    def step(value, one):
        """The value after, or None in a tuple: it cannot be here."""
        op = one["ops"][0]
        is_told = one["status"] == "ok"
        if op[0] == "r":
            return (value,) if op[2] == value or not is_told else None
        if op[0] in ("w", "d"):
            return (op[2] if op[0] == "w" else None,)
        if is_told and op[4] != (value == op[2]):
            return None
        return (op[3] if value == op[2] else value,)

    def is_linear(self, txns, value=None, left=None):
        left = frozenset(range(len(txns))) if left is None else left
        if all(txns[index]["status"] == "info" for index in left):
            return True
        for index in left:
            one = txns[index]
            if any(txns[other]["end"] < one["begin"] and txns[other]["status"] == "ok"
                   for other in left):
                continue
            after = self.step(value, one)
            if after is not None and self.is_linear(txns, after[0], left - {index}):
                return True
        return False

    def test_every_verdict(self):
        dice = random.Random(int(os.environ.get("KH_TEST_SEED", "1")))
        tally = {True: 0, False: 0}
        for number in range(int(os.environ.get("KH_TEST_HISTORIES", "3000"))):
            txns = self.make(dice)
            is_allowed = self.is_linear(txns)
            self.assertEqual(not anomalies("kv", SER, *txns), is_allowed,
                             f"history {number}\n" + "".join(lines("kv", SER, *txns)))
            tally[is_allowed] += 1
        print(tally)
        self.assertTrue(min(tally.values()) > 300, tally)


if __name__ == "__main__":
    unittest.main()
