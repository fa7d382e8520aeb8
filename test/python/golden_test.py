"""The databases of test/golden, which earlier versions and this one have written: each is read for
reading only and for writing, verified, its history's head compared, what was prepared decided, and
its backups restored. What must be in them is kept beside them as text.
"""

import glob
import os
import re
import shutil
import subprocess
import tarfile
import unittest
from ctypes import c_char_p

from _cli import CliCase
from _engine import load

HERE = os.path.dirname(os.path.abspath(__file__))
FORMATS = sorted(glob.glob(os.path.join(HERE, "../golden/FORMAT-*")))
GOLDEN = os.environ.get("KHONSU_GOLDEN")
SIZE_MAX = 300000
IS_DURABLE = load().kh_has_feature(c_char_p(b"durable"))


def read(*parts):
    with open(os.path.join(*parts), encoding="utf-8") as file:
        return file.read()


def newest(text):
    """Of a dump the newest version of each key that is there."""
    seen, lines = set(), []
    for line in text.splitlines(True):
        key = re.match(r"version (.*?) \d+ ", line)
        if key and key[1] not in seen:
            seen.add(key[1])
            lines.append(line)
    return "".join(lines)


def files_of(path):
    return {os.path.join(directory, name): os.stat(os.path.join(directory, name)).st_mtime_ns
            for directory, _, names in os.walk(path) for name in names}


@unittest.skipUnless(IS_DURABLE and GOLDEN, "this build keeps databases in memory only")
class Golden(CliCase):
    def golden(self, command, path):
        done = subprocess.run([GOLDEN, command, path], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return done.stdout.decode()

    def unpack(self, place):
        folder = self.path(os.path.basename(place))
        with tarfile.open(os.path.join(place, "databases.tar.xz")) as tar:
            tar.extractall(folder)
        return folder

    def head_of(self, text):
        return re.search(r"^head (\d+:[0-9a-f]{64})$", text, re.MULTILINE)[1]

    def one_database(self, path, expected):
        before = files_of(path)
        self.assertEqual(self.golden("dump", path), expected)
        self.run_ok("verify", path, "--expect", self.head_of(expected))
        self.assertEqual(files_of(path), before)
        settled, _, decided = self.golden("settle", path).partition("decided\n")
        prepared = re.findall(r"^prepared .*\n", expected, re.MULTILINE)
        self.assertEqual(settled, newest(expected) + "".join(prepared))
        if prepared:
            changed = set(decided.splitlines()) - set(settled.splitlines())
            self.assertEqual([line.split()[3] for line in changed], ["{n=x0700000000000000;}"],
                             decided)
            self.assertNotIn("version count ", decided)  # the prepared one deletes it
        # Its history has grown from what it was.
        self.run_ok("verify", path, "--expect", self.head_of(expected))
        again = self.golden("dump", path)
        self.assertEqual(newest(again), decided if prepared else settled)

    def test_databases(self):
        for place in FORMATS:
            folder = self.unpack(place)
            for name in ("types.db", "orders.db", "killed.db"):
                with self.subTest(f"{os.path.basename(place)}, {name}"):
                    self.one_database(os.path.join(folder, name), read(place, name + ".txt"))

    def test_backups(self):
        for place in FORMATS:
            folder = self.unpack(place)
            for number in (1, 2, 3):
                copy = os.path.join(folder, f"copy{number}")
                self.run_ok("restore", os.path.join(folder, "backups"), copy, "--backup",
                            str(number), "--quiet")
                self.assertEqual(newest(self.golden("dump", copy)),
                                 read(place, f"backup-{number}.txt"))
                self.run_ok("verify", copy)
                shutil.rmtree(copy)

    def test_they_are_small_and_of_this_format(self):
        self.assertTrue(FORMATS)
        for place in FORMATS:
            size = sum(os.path.getsize(each) for each in glob.glob(os.path.join(place, "*")))
            self.assertLess(size, SIZE_MAX)
        folder = self.unpack(FORMATS[-1])
        text = read(folder, "types.db", "KHONSU")
        self.assertIn("format " + FORMATS[-1].rpartition("-")[2] + "\n", text)


if __name__ == "__main__":
    unittest.main()
