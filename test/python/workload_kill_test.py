"""khonsu-workload --path --kill: histories of a durable store that is killed in the middle are free
of anomalies; what an older copy or early acknowledgements lose is found."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "model"))
from history_check import check  # noqa: E402  (the path comes first)
from history_format import read  # noqa: E402

DRIVER = os.environ["KHONSU_WORKLOAD"]
BIN = os.environ["KHONSU_BIN"]
SEED = int(os.environ.get("KH_TEST_SEED", "1"))
TIMEOUT_S = 120
WORKLOADS = ("list-append", "rw-register", "bank", "group", "kv")
# The first time the directory is kept, later it is put back.
OLD_COPY = ("if [ -d $KHONSU_PATH.old ]; then rm -r $KHONSU_PATH && cp -r $KHONSU_PATH.old "
            "$KHONSU_PATH; else cp -r $KHONSU_PATH $KHONSU_PATH.old; fi")


def drive(*arguments):
    return subprocess.run([DRIVER, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=TIMEOUT_S, check=False, text=True)


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.count = 0

    def new_place(self):
        self.count += 1
        return os.path.join(self.folder, f"store{self.count}")

    def run_killed(self, workload, *arguments, kills=2, level="ser"):
        """The lines of the history."""
        done = drive("-w", workload, "-i", level, "-t", "4", "-x", "800", "-s", str(SEED),
                     "--path", self.new_place(), "--kill", str(kills), *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f" {kills} kills, ", done.stderr)
        return done.stdout.splitlines(keepends=True)

    def anomalies(self, lines):
        """By the store's own numbers, and without."""
        return [check(read(lines), real_time=True, timestamps=stamps).counts
                for stamps in (True, False)]


class Killed(Case):
    def test_every_workload(self):
        for workload in WORKLOADS:
            lines = self.run_killed(workload)
            self.assertEqual(self.anomalies(lines), [{}, {}], workload)
            header = json.loads(lines[0])
            self.assertEqual((header["durable"], header["sync"], header["faults"], header["kills"]),
                             (True, "full", ["kill"], 2))
            faults = [json.loads(line) for line in lines if '"nemesis"' in line]
            self.assertEqual([fault["f"] for fault in faults], ["kill", "heal"] * 2)
            self.assertTrue(any(txn.status == "info" for txn in read(lines).txns))

    def test_what_is_between_a_kill_and_the_restart(self):
        """After a kill come the unknown ends of what it cut off, and no more until it is healed."""
        between, unknown = False, set()
        for line in self.run_killed("rw-register", "--scans", "--deletes")[1:]:
            event = json.loads(line)
            if event["p"] == "nemesis":
                between = event["f"] == "kill"
                continue
            if between:
                self.assertEqual((event["ev"], event["err"]), ("info", "crash"))
                unknown.add(event["p"])
            elif event["ev"] == "invoke":
                self.assertNotIn(event["p"], unknown)

    def test_group_and_lower_levels(self):
        for level, workload in (("rc", "list-append"), ("si", "rw-register"),
                                ("strict", "list-append")):
            lines = self.run_killed(workload, "--sync", "group", level=level)
            self.assertEqual(json.loads(lines[0])["sync"], "group")
            self.assertEqual(self.anomalies(lines), [{}, {}], (workload, level))

    def test_the_counts_of_the_kills_are_the_seeds(self):
        """Every ticket is an invocation, but the one that the kill takes."""
        def counts(seed):
            lines = self.run_killed("bank", "-t", "1", "--kill-seed", seed)
            events = [json.loads(line) for line in lines[1:]]
            at, found = 0, []
            for event in events:
                at += event["ev"] == "invoke"
                found += [at] if event.get("f") == "kill" else []
            return found

        first = counts("5")
        self.assertEqual(first, counts("5"))
        for which, at in enumerate(first):
            self.assertTrue(266 * which <= at < 266 * (which + 1), first)

    def test_each_kill_leaves_a_sound_directory(self):
        lines = self.run_killed("list-append", "--between", f"{BIN} verify $KHONSU_PATH")
        self.assertEqual(self.anomalies(lines), [{}, {}])

    def test_on_disk_without_a_kill(self):
        for sync in ("full", "none"):
            done = drive("-w", "group", "-i", "ser", "-x", "400", "--path", self.new_place(),
                         "--sync", sync)
            self.assertEqual(done.returncode, 0, done.stderr)
            lines = done.stdout.splitlines(keepends=True)
            self.assertEqual(json.loads(lines[0])["sync"], sync)
            self.assertEqual(self.anomalies(lines), [{}, {}])


class Planted(Case):
    """Losses that the histories must show, with the store's numbers and without."""

    def test_acknowledged_before_it_is_on_disk(self):
        for workload in ("list-append", "bank", "kv"):
            lines = self.run_killed(workload, "--sabotage")
            self.assertTrue(json.loads(lines[0])["sabotage"])
            self.assertTrue(all(self.anomalies(lines)), workload)

    def test_started_again_on_an_older_copy(self):
        for workload in ("rw-register", "bank", "group"):
            lines = self.run_killed(workload, "--between", OLD_COPY)
            self.assertTrue(all(self.anomalies(lines)), workload)


class Usage(Case):
    def test_wrong_usage(self):
        good = ("-w", "bank", "-i", "si", "-x", "50")
        path = ("--path", self.new_place())
        for arguments, says in (
                (("--kill", "1"), "--kill needs --path"), (("--sync", "full"), "needs --path"),
                ((*path, "--kill", "2", "--sync", "none"), "may lose what was acknowledged"),
                ((*path, "--sync", "all"), "full|group|none"),
                ((*path, "--kill", "50"), "more transactions than kills"),
                ((*path, "--kill", "1001"), "0 to 1000"),
                ((*path, "--kill", "1", "--kill-seed", "-1"), "--kill-seed wants"),
                ((*path, "--sabotage"), "--sabotage needs --kill"),
                ((*path, "--between", "true"), "--between needs --kill")):
            done = drive(*good, *arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn(says, done.stderr)
            self.assertEqual((done.stderr.count("\n"), done.stdout), (1, ""), arguments)
        self.assertFalse(os.path.exists(path[1]))

    def test_help(self):
        text = drive("--help").stdout
        for word in ("--path DIR", "--sync full|group|none", "--kill N", "--kill-seed N",
                     "--between COMMAND", "--sabotage"):
            self.assertIn(word, text)

    def test_a_store_that_is_not_empty(self):
        place = self.new_place()
        first = drive("-w", "kv", "-i", "si", "-x", "50", "--path", place)
        self.assertEqual(first.returncode, 0, first.stderr)
        again = drive("-w", "kv", "-i", "si", "-x", "50", "--path", place)
        self.assertEqual(again.returncode, 1)
        self.assertIn("begins with an empty store", again.stderr)

    def test_a_command_that_fails_ends_the_run(self):
        done = drive("-w", "kv", "-i", "si", "-x", "400", "--path", self.new_place(), "--kill", "2",
                     "--between", "exit 3")
        self.assertEqual(done.returncode, 1)
        self.assertIn("the command between two lives of the store failed", done.stderr)
        history = read(done.stdout.splitlines(keepends=True))
        self.assertEqual(check(history, real_time=True).counts, {})

    def test_a_place_that_cannot_be(self):
        done = drive("-w", "kv", "-i", "si", "-x", "50", "--path", "/dev/null/x")
        self.assertEqual(done.returncode, 1)
        self.assertIn("khonsu-workload: ", done.stderr)


if __name__ == "__main__":
    unittest.main()
