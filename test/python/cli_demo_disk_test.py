"""khonsu demo --path: on disk, continued, killed in the middle and recovered."""

import os
import re
import shutil
import signal
import subprocess
import unittest

from _cli import BIN, CliCase, khonsu, write_file
from cli_demo_test import flights


def number(text, name):
    """The value of a line of a table."""
    return int(re.search(rf"(?m)^{name} +([\d,]+)", text).group(1).replace(",", ""))


def contents(directory):
    """{path: bytes} of all the files in it."""
    found = {}
    for folder, _, names in os.walk(directory):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                found[os.path.relpath(file.name, directory)] = file.read()
    return found


class Disk(CliCase):
    def setUp(self):
        super().setUp()
        self.file = self.path("flights.arrow")
        self.place = self.path("place")
        write_file(self.file, flights(), max_chunksize=1000)

    def demo(self, *arguments):
        done = khonsu("demo", self.file, "--path", self.place, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr.decode() + done.stdout.decode())
        self.assertEqual(done.stderr, b"")
        return done.stdout.decode()

    def judge(self, text, acknowledged, sync="full"):
        """A run that was killed; how many changes its first half has made."""
        self.assertIn(f"sync {sync}, as the kill has left it", text)
        self.assertIn("nothing acknowledged is lost; nothing is half there", text)
        told = number(text, "changes acknowledged")
        self.assertGreaterEqual(told, acknowledged)
        self.assertEqual(number(text, "of them there"), told)
        self.assertRegex(text, r"the last one included: all consistent\n$")
        return told + number(text, "there without an answer")

    def test_a_second_run_goes_on(self):
        first = self.demo("-n", "150", "-w", "2", "-r", "1")
        self.assertIn(f"on disk in {self.place}, sync full, new\n", first)
        again = self.demo("-n", "100", "-w", "3", "-r", "1", "--sync", "group")
        self.assertIn("sync group, with what earlier runs have changed\n", again)
        for text in (first, again):
            self.assertRegex(text, r"all consistent\n$")
        now = re.search(r"after:  (carrier .*\n +airport .*)\n", first).group(1)
        before = re.search(r"before: (carrier .*\n +airport .*)\n", again).group(1)
        self.assertEqual(now, before)

    def test_killed_and_recovered(self):
        text = self.demo("--crash", "-n", "400")
        self.assertIn("killed (SIGKILL)", text)
        made = self.judge(text, 200)
        self.assertLess(made, 400)
        given_up = number(text, "writes given up")
        self.assertGreaterEqual(number(text, "all"), 400 - made - given_up)
        self.assertLessEqual(number(text, "all"), 400 - made)
        # And once more, with what that has left.
        self.judge(self.demo("--crash", "--crash-after", "30", "-n", "120", "--sync", "group"), 30,
                   "group")

    def test_killed_again_and_again(self):
        for seed in range(2):
            text = self.demo("--crash", "--crash-after", str(1 + 20 * seed), "-n", "100", "-w", "3",
                             "-r", "1", "--seed", str(seed), "--isolation", "repeatable_read")
            self.judge(text, 1 + 20 * seed)

    def test_without_sync_the_newest_may_be_lost(self):
        text = self.demo("--crash", "-n", "2000", "--sync", "none")
        there, told = number(text, "of them there"), number(text, "changes acknowledged")
        self.assertLessEqual(there, told)
        self.assertIn("nothing acknowledged is lost" if there == told else
                      "the newest of what was acknowledged is lost, as --sync none allows", text)
        self.assertIn("nothing is half there", text)

    def test_what_is_half_done_is_found(self):
        done = self.run_wrong(1, "demo", self.file, "--path", self.place, "--crash", "-n", "300",
                              "--sabotage", "7", "-r", "0", says="after the kill: snapshot ")
        self.assertIn("something IS half there", done.stdout.decode())

    def test_an_interrupted_load_begins_again(self):
        """Killed somewhere between the first file of the database and the first transactions."""
        for name in ("KHONSU", "MARK"):
            process = subprocess.Popen([BIN, "demo", self.file, "--path", self.place, "-n", "1G"],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while not os.path.exists(os.path.join(self.place, name)):
                self.assertIsNone(process.poll())
            process.send_signal(signal.SIGKILL)
            process.wait()
            self.assertRegex(self.demo("-n", "20"), r"all consistent\n$")
            shutil.rmtree(self.place)

    def test_refused(self):
        self.demo("-n", "10")
        other = self.path("other.arrow")
        write_file(other, flights(2900))
        for more in ((), ("--crash",)):
            self.run_wrong(1, "demo", other, "--path", self.place, "-n", "10", *more,
                           says="holds the demo of another file")
        stranger = self.path("stranger")
        subprocess.run([os.environ["KHONSU_WORKLOAD"], "-w", "kv", "-i", "si", "-x", "50", "--path",
                        stranger, "-o", os.devnull], check=True, stderr=subprocess.DEVNULL)
        before = contents(stranger)
        for more in ((), ("--crash",)):
            self.run_wrong(1, "demo", self.file, "--path", stranger, "-n", "10", *more,
                           says="a database that is not the demo's")
        self.assertTrue(contents(stranger) == before, "its log and its history are its own")
        with open(self.path("file"), "wb"):
            pass
        self.run_wrong(1, "demo", self.file, "--path", self.path("file"), "-n", "10")

    def test_usage(self):
        for arguments, says in (
                (("--crash",), "--crash needs --path"),
                (("--sync", "none"), "--sync needs --path"),
                (("--path", self.place, "--sync", "some"), "full|group|none"),
                (("--path", self.place, "--crash-after", "5"), "needs --crash"),
                (("--path", self.place, "--crash", "-n", "5", "--crash-after", "5"), "below"),
                (("--path", self.place, "-i", "read_committed"), "played in memory")):
            self.run_wrong(2, "demo", self.file, *arguments, says=says)
        self.assertFalse(os.path.exists(self.place))
        text = self.run_ok("demo", "--help").decode()
        for word in ("--path DIR", "--sync full|group|none", "--crash ", "--crash-after N"):
            self.assertIn(word, text)
        self.assertTrue(all(len(line) <= 100 for line in text.splitlines()))

    def test_quiet(self):
        self.assertEqual(self.demo("--crash", "-n", "60", "--quiet"), "")


if __name__ == "__main__":
    unittest.main()
