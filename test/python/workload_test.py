"""khonsu-workload: its histories are in the format, contentious and free of anomalies at every
level; a corrupted one is found; and it writes its history whatever ends it."""

import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import unittest

import histories
from history_check import check
from history_format import read

DRIVER = os.environ["KHONSU_WORKLOAD"]
TIMEOUT_S = 60


def drive(*arguments):
    return subprocess.run([DRIVER, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=TIMEOUT_S, check=False, text=True)


def history_of(*arguments):
    done = drive(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(keepends=True)


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = os.path.join(self.folder, "history.jsonl")


class Matrix(Folder):
    def test_every_workload_at_every_level(self):
        first = int(os.environ.get("KH_TEST_SEED", "1"))
        tally = {}
        for seed in (first, first + 1):
            for case in histories.CASES:
                wrong, _, statuses, command = histories.run_case(DRIVER, case, seed, 1000,
                                                                 self.path)
                self.assertEqual(wrong, "", " ".join(command))
                for status, count in statuses.items():
                    tally[status] = tally.get(status, 0) + count
        print(f"seeds from {first}: {tally}")
        # Histories in which nobody met a rival prove nothing.
        self.assertGreater(tally["fail"], tally["ok"] / 20)


class Content(unittest.TestCase):
    """What a history must have beside the rules of the format, which read() checks."""

    def test_transactions_overlap(self):
        for threads in ("2", "8"):
            txns = read(history_of("-w", "list-append", "-i", "ser", "-t", threads, "-x", "3000",
                                   "-s", "5")).txns
            ends = {txn.end_i for txn in txns}
            overlaps = sum(txn.end_i - txn.begin_i > 1 for txn in txns)
            self.assertEqual(len(ends), len(txns))
            self.assertGreater(overlaps, len(txns) / 20, threads)

    def test_half_are_reads_and_keys_retire(self):
        history = read(history_of("-w", "list-append", "-i", "ser", "-k", "4", "-x", "6000"))
        ops = [op for txn in history.txns for op in txn.ops]
        reads = sum(op[0] == "r" for op in ops)
        self.assertTrue(0.4 < reads / len(ops) < 0.6, reads)
        self.assertEqual({len(txn.ops) for txn in history.txns[:5000]}, {1, 2, 3, 4})
        writes = {}
        for op in ops:
            if op[0] == "append":
                writes[op[1]] = max(writes.get(op[1], 0), op[2])
        self.assertGreater(len(writes), 12)
        self.assertLessEqual(max(writes.values()), 256)
        self.assertTrue(any(txn.status == "fail" for txn in history.txns))

    def test_every_key_is_read_at_last(self):
        for workload in ("list-append", "rw-register", "group", "kv"):
            history = read(history_of("-w", workload, "-i", "si", "-k", "8", "-x", "3000"))
            written = {op[1] for txn in history.txns for op in txn.ops if op[0] != "r"}
            last = max(txn.end_i for txn in history.txns if any(op[0] != "r" for op in txn.ops))
            read_last = {op[1] for txn in history.txns for op in txn.ops
                         if txn.status == "ok" and txn.begin_i > last}
            self.assertLessEqual(written, read_last, workload)

    def test_headers(self):
        for level, wanted in (("rc", "read-committed"), ("read_committed", "read-committed"),
                              ("repeatable_read", "snapshot"), ("repeatable-read", "snapshot"),
                              ("rr", "snapshot"), ("si", "snapshot"), ("snapshot", "snapshot"),
                              ("serializable", "serializable"), ("ser", "serializable"),
                              ("strict-serializable", "strict-serializable")):
            header = json.loads(history_of("-w", "bank", "-i", level, "-x", "10", "-k", "3")[0])
            self.assertEqual(header["isolation"], wanted)
            self.assertEqual(header["initial"], {"a0": 100, "a1": 100, "a2": 100})

    def test_levels_and_numbers(self):
        history = read(history_of("-w", "rw-register", "-i", "ser", "--mix", "-x", "500"))
        self.assertEqual({txn.level for txn in history.committed()},
                         {"read-committed", "snapshot", "serializable"})
        self.assertTrue(all(txn.commit >= txn.snap > 0 for txn in history.committed()
                            if txn.level != "read-committed"))

    def test_the_same_seed_asks_the_same(self):
        """With one thread there is nothing else that decides."""
        first, second = (history_of("-w", "kv", "-i", "ser", "-t", "1", "-x", "500", "-s", "9")
                         for _ in range(2))
        ops = [[json.loads(line)["ops"] for line in lines[1:]] for lines in (first, second)]
        self.assertEqual(*ops)


class Corruption(unittest.TestCase):
    """One answer of a real history, changed, is found."""

    def corrupt(self, event, dice):
        op = dice.choice(event["ops"])
        if op[0] != "r":
            return False
        if isinstance(op[2], list):
            if not op[2]:
                return False
            op[2] = dice.choice([op[2][:-1], op[2][1:], op[2] + [100000], op[2][:-1] + [100000],
                                 op[2] + op[2][-1:]])
        else:
            op[2] = 1 if op[2] is None else dice.choice([op[2] + 1, None, op[2] - 1 or None])
        return True

    def test_each_changed_answer(self):
        dice = random.Random(int(os.environ.get("KH_TEST_SEED", "1")))
        for workload in ("list-append", "rw-register", "group"):
            for level in ("snapshot", "strict-serializable"):
                lines = history_of("-w", workload, "-i", level, "-x", "300", "-k", "4")
                self.assertEqual(check(read(lines)).counts, {})
                changed = 0
                while changed < 30:
                    at = dice.randrange(1, len(lines))
                    event = json.loads(lines[at])
                    if event["ev"] != "ok" or not self.corrupt(event, dice):
                        continue
                    changed += 1
                    text = json.dumps(event) + "\n"
                    counts = check(read(lines[:at] + [text] + lines[at + 1:])).counts
                    self.assertNotEqual(counts, {}, text)


class Ends(Folder):
    """The history is whole whatever ends the run."""

    def start(self):
        """A long run, once it has written something."""
        process = subprocess.Popen([DRIVER, "-w", "list-append", "-i", "ser", "-x", "1G", "-o",
                                    self.path], stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        while not (os.path.exists(self.path) and os.path.getsize(self.path) > 100000):
            self.assertIsNone(process.poll())
        return process

    def store_of(self, process):
        with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as file:
            return int(file.read().split()[0])

    def judge(self):
        with open(self.path, "rb") as file:
            history = read(file)
        self.assertEqual(check(history, real_time=True).counts, {})
        return history

    def test_asked_to_stop(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            process = self.start()
            process.send_signal(number)
            message = process.communicate(timeout=TIMEOUT_S)[1]
            self.assertEqual(process.returncode, 0, message)
            history = self.judge()
            self.assertFalse(any(txn.status == "info" for txn in history.txns))
            os.remove(self.path)

    def test_the_store_dies(self):
        for number in (signal.SIGKILL, signal.SIGSEGV):
            process = self.start()
            os.kill(self.store_of(process), number)
            message = process.communicate(timeout=TIMEOUT_S)[1]
            self.assertEqual(process.returncode, 1, message)
            self.assertIn(f"died of signal {number}", message)
            history = self.judge()
            self.assertTrue(any(txn.status == "info" for txn in history.txns))
            os.remove(self.path)

    def test_nothing_runs_on_without_its_scribe(self):
        process = self.start()
        store = self.store_of(process)
        process.kill()
        process.wait(timeout=TIMEOUT_S)
        with open(self.path, "rb") as file:
            self.assertGreater(len(file.read().splitlines()), 100)
        for _ in range(1000000):
            try:
                os.kill(store, 0)
            except ProcessLookupError:
                break
            with open(f"/proc/{store}/stat", encoding="ascii") as file:
                if file.read().split(")")[1].split()[0] == "Z":
                    break
        else:
            self.fail("the store runs on")

    def test_a_full_disk(self):
        done = drive("-w", "bank", "-i", "si", "-o", "/dev/full")
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot write /dev/full: No space left", done.stderr)


class Usage(unittest.TestCase):
    def test_help_and_version(self):
        text = drive("--help").stdout
        for word in ("usage: khonsu-workload", "--workload", "--isolation", "--threads", "--keys",
                     "--ops", "--transactions", "--seed", "--out", "exit codes:"):
            self.assertIn(word, text)
        self.assertTrue(all(len(line) <= 100 for line in text.splitlines()))
        self.assertRegex(drive("--version").stdout, r"^khonsu-workload \d+\.\d+\.\d+\n$")

    def test_wrong_usage(self):
        good = ("-w", "bank", "-i", "si", "-x", "5")
        for arguments, says in (
                ((), "--workload is missing"), (("-w", "queue"), "list-append|rw-register"),
                (("-w", "bank"), "--isolation is missing"), (("-w", "bank", "-i", "x"), "be x"),
                ((*good, "--threads", "0"), "1 to 256"), ((*good, "--threads", "257"), "1 to 256"),
                ((*good, "--keys", "1"), "2 to 10000"), ((*good, "--ops", "65"), "1 to 64"),
                ((*good, "--transactions", "0"), "--transactions wants"),
                ((*good, "--seed", "-1"), "--seed wants"), ((*good, "more"), "'more'"),
                ((*good, "--thread", "1"), "did you mean --threads?"),
                ((*good, "--scans"), "rw-register"),
                ((*good, "--deletes"), "rw-register"), ((*good, "--rows"), "list-append"),
                (("-w", "list-append", "-i", "si", "--rows"), "by design"),
                ((*good, "--out"), "needs a value")):
            done = drive(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn(says, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
            self.assertEqual(done.stdout, "")

    def test_a_file_that_cannot_be(self):
        done = drive("-w", "bank", "-i", "si", "-o", "/nonexistent/file")
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot write /nonexistent/file", done.stderr)

    def test_the_summary(self):
        done = drive("-w", "list-append", "-i", "ser", "-x", "2000", "-k", "2")
        self.assertRegex(done.stderr, r"^khonsu-workload: list-append at serializable: \d+ "
                         r"committed, \d+ aborted \(.*KH_CONFLICT.*\), 0 unknown, \d+\.\d+ s, "
                         r"\d+ bytes\n$")


if __name__ == "__main__":
    unittest.main()
