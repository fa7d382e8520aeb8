"""Each planted bug of appender.c is found by some state, and the correct program by none; the same
for RocksDB with and without synced writes; and what campaign.py says of a failure makes it again.
"""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from contextlib import redirect_stderr, redirect_stdout

import _log_check
import campaign
import rebuild
from recording import read

HERE = os.path.dirname(os.path.abspath(__file__))
SHIM, APPENDER = os.environ["POWERLOSS_SHIM"], os.environ["POWERLOSS_APPENDER"]
ROCKS = os.environ.get("POWERLOSS_ROCKS")
SEED = int(os.environ.get("KH_TEST_SEED", "1"))
RECORDS = 70
CHECK = f"{sys.executable} -S -E {os.path.join(HERE, '_log_check.py')}"
# Where states are: a memory file system, if there is one.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.states = tempfile.mkdtemp(dir=MEMORY)
        self.addCleanup(shutil.rmtree, self.states)

    def campaign(self, *options):
        """(exit status, what it printed, its last line)."""
        output = io.StringIO()
        with redirect_stdout(output), redirect_stderr(output):
            status = campaign.main(["--shim", SHIM, "--seed", str(SEED), "--work", self.folder,
                                    "--states", self.states, *options])
        text = output.getvalue()
        last = text.strip().rpartition("\n")[2]
        return status, text, json.loads(last) if last.startswith("{") else None


class Variants(Folder):
    def judge(self, variant, directories="strict", cut_count=50):
        """(states, those in which something acknowledged is lost) of a run of the program."""
        place = campaign.Place(tempfile.mkdtemp(dir=self.folder))
        self.assertEqual(
            campaign.record(f"{APPENDER} {{dir}} {RECORDS} {variant}", place, SHIM), 0)
        events = read(place.trace)[1]
        self.assertEqual(rebuild.verify(events, place.root), [])
        cuts = rebuild.choose_cuts(events, cut_count, SEED)
        count, bad = 0, []
        for state in rebuild.states(events, cuts, 8, SEED, self.states, directories):
            count += 1
            if _log_check.lost(state.path, state.marks):
                bad.append(state)
        print(f"{variant}, {directories}: {len(bad)} of {count} states have lost something")
        return count, bad

    def test_the_correct_one_loses_nothing(self):
        for directories in ("strict", "ordered"):
            count, bad = self.judge("correct", directories, 120)
            self.assertEqual(bad, [])
            self.assertGreater(count, 300)

    def test_each_bug_is_found(self):
        for variant in ("skip-fsync", "acknowledge-early", "no-directory-sync",
                        "rename-without-fsync", "ride-along"):
            self.assertTrue(self.judge(variant)[1], variant)

    def test_a_journal_forgives_directories(self):
        """The model knows the difference: with a journal the file's sync takes its name along."""
        self.assertEqual(self.judge("no-directory-sync", "ordered")[1], [])
        self.assertTrue(self.judge("rename-without-fsync", "ordered")[1])


class Campaigns(Folder):
    def test_a_failure_can_be_made_again(self):
        keep = os.path.join(self.folder, "keep")
        status, text, last = self.campaign(
            "--run", f"{APPENDER} {{dir}} 40 acknowledge-early", "--check", CHECK, "--cuts", "40",
            "--keep", keep)
        self.assertEqual((status, last["failures"]), (1, 1), text)
        again, check = re.search(r"to see it again:\n +(.*)\n +(.*)\n", text).groups()
        out = re.search(r"--out (\S+)", again)[1]
        self.assertTrue(os.listdir(out))
        shutil.rmtree(out)
        subprocess.run(again.split(), check=True, stdout=subprocess.DEVNULL)
        done = subprocess.run(check.split(), stdout=subprocess.PIPE, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(done.stdout.strip(), text)
        # And the whole campaign, of the trace that was kept.
        cut = re.search(r"--cut (\d+)", again)[1]
        status, text, last = self.campaign("--trace", os.path.join(keep, "trace"), "--check", CHECK,
                                           "--cut", cut)
        self.assertEqual((status, last["failures"]), (1, 1), text)

    def test_a_correct_program_passes(self):
        status, text, last = self.campaign("--run", f"{APPENDER} {{dir}} 40 correct", "--check",
                                           CHECK, "--cuts", "20", "--per-cut", "3")
        self.assertEqual((status, last["failures"]), (0, 0), text)
        self.assertGreater(last["states"], 20)
        self.assertEqual(os.listdir(self.folder), [])

    def test_what_cannot_be_judged(self):
        run = f"{APPENDER} {{dir}} 5 correct"
        for options, words in ((("--run", run, "--check", "false"), "the checker refuses"),
                               (("--run", "false", "--check", CHECK), "ended with status 1"),
                               (("--run", f"{run} --", "--check", CHECK), "ended with status 2"),
                               (("--run", "sh -c 'exec 5>{dir}/f; unset LD_PRELOAD; echo >&5 x; "
                                 "sh -c \"echo >&5 y\"'", "--check", CHECK), "does not explain")):
            status, text, _ = self.campaign(*options)
            self.assertEqual(status, 2, text)
            self.assertIn(words, text)


@unittest.skipUnless(ROCKS, "no RocksDB")
class RocksDb(Folder):
    def test_synced_puts_stay(self):
        status, text, last = self.campaign("--run", f"{ROCKS} write {{dir}} 250 sync", "--check",
                                           f"{ROCKS} check", "--cuts", "15", "--per-cut", "4")
        self.assertEqual((status, last and last["failures"]), (0, 0), text)
        self.assertGreater(last["states"], 40)

    def test_others_do_not(self):
        status, text, last = self.campaign("--run", f"{ROCKS} write {{dir}} 250 async", "--check",
                                           f"{ROCKS} check", "--cuts", "15", "--per-cut", "4")
        self.assertEqual((status, last and last["failures"]), (1, 1), text)
        self.assertIn("lost: put", text)


if __name__ == "__main__":
    unittest.main()
