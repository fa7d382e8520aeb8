"""The benchmark of openings: what it asks of its program, and what it makes of the answers."""

import contextlib
import io
import json
import os
import stat
import sys
import tempfile
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "bench", "report"))

import recovery  # noqa: E402

# Notes how it was called; a database is a directory with one file of a mebibyte.
PROGRAM = """#!/bin/sh
echo "$@" >>"$(dirname "$0")/calls"
case $1 in
--make) mkdir -p "$2" && head -c 1048576 /dev/zero >"$2/file" ;;
--open) test -d "$2" && echo '{"keys":7,"seconds":2.5,"user":0.4,"system":0.1}' ;;
esac
"""


class RecoveryTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.where = scratch.name
        self.program = os.path.join(self.where, "program")
        with open(self.program, "w", encoding="utf-8") as file:
            file.write(PROGRAM)
        os.chmod(self.program, stat.S_IRWXU)

    def run_it(self, *more):
        said = io.StringIO()
        report = os.path.join(self.where, "report.json")
        arguments = ["recovery.py", "--program", self.program, "--directory",
                     os.path.join(self.where, "databases"), "--json", report, *more]
        kept, sys.argv = sys.argv, arguments
        try:
            with contextlib.redirect_stdout(said):
                self.assertEqual(recovery.main(), 0)
        finally:
            sys.argv = kept
        with open(os.path.join(self.where, "calls"), encoding="utf-8") as file:
            calls = [line.split() for line in file]
        with open(report, encoding="utf-8") as file:
            return said.getvalue(), calls, json.load(file)

    def test_one_case(self):
        said, calls, found = self.run_it("--only", "a group each", "--rounds", "3")
        path = os.path.join(self.where, "databases", "log-300k-small-a-group-each")
        self.assertEqual(calls[0], ["--make", path, "--keys", "300000", "--text-bytes", "84",
                                    "--per-commit", "1", "--kill", "--sync", "full"])
        self.assertEqual(calls[1:], [["--open", path]] * 3)
        self.assertFalse(os.path.exists(path))
        self.assertEqual(found[0]["disk_bytes"], 1 << 20)
        self.assertIn("0.40 user", said)
        self.assertIn("0.60 M records/s of CPU", said)

    def test_all_cases(self):
        _, calls, found = self.run_it("--rounds", "1")
        self.assertEqual(len(found), len(recovery.CASES))
        self.assertEqual(len(calls), 2 * len(recovery.CASES))
        self.assertEqual(len({call[1] for call in calls}), len(recovery.CASES))


if __name__ == "__main__":
    unittest.main()
