"""The command import into the directory of a durable database."""

import json
import os
import subprocess
import unittest
from ctypes import addressof, c_char_p, create_string_buffer

import pyarrow
import pyarrow.compute

from _cli import BIN, CliCase, khonsu, on_terminal, write_file
from _engine import Engine, load

KEPT_MS = 1 << 38
IS_DURABLE = load().kh_has_feature(c_char_p(b"durable"))


def days(rows, per_day):
    return pyarrow.table({
        "day": pyarrow.array([f"d{row // per_day:03}" for row in range(rows)]),
        "n": pyarrow.array(range(rows), pyarrow.int64()),
        "x": pyarrow.array([None if row % 7 == 0 else row / 4 for row in range(rows)]),
    })


@unittest.skipUnless(IS_DURABLE, "this build keeps databases in memory only")
class ImportPath(CliCase):
    def setUp(self):
        super().setUp()
        self.source, self.database = self.path("rows.arrow"), self.path("rows.db")

    def run_ok(self, *arguments, **options):
        done = khonsu(*arguments, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def run_wrong(self, code, *arguments, says):
        done = khonsu("import", *arguments)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertIn(says, done.stderr.decode())

    def load(self, pattern, *arguments):
        done = self.run_ok("import", "--from", self.source, "--key", pattern, "--path",
                           self.database, *arguments)
        return done.stderr.decode()

    def rows(self):
        """{key: rows of its newest value}, and how many commits there were."""
        done = self.run_ok("changes", self.database, "--json")
        found, commits = {}, set()
        for line in done.stdout.splitlines():
            change = json.loads(line)
            commits.add(change["timestamp"])
            found[change["key"]] = change["rows"]
        return found, len(commits)

    def values(self):
        """The values of all keys, in the order of the keys, one behind the other."""
        engine = Engine(path=self.database, retention_ms=KEPT_MS)
        stream = create_string_buffer(40)  # struct ArrowArrayStream: five pointers
        txn = engine.begin(0, 0)
        engine.must(engine.library.kh_txn_scan_stream(txn, None, None, stream, None))
        table = pyarrow.RecordBatchReader._import_from_c(addressof(stream)).read_all()
        engine.library.kh_txn_close(txn)
        engine.close()
        return table

    def is_table(self, table, key_of):
        expected = {}
        for row in table.to_pylist():
            expected.setdefault(key_of(row), []).append(row)
        found, commits = self.rows()
        self.assertEqual(found, {key: len(rows) for key, rows in expected.items()})
        rows = [row for key in sorted(expected) for row in expected[key]]
        self.assertEqual(self.values().to_pylist(), rows)
        self.run_ok("verify", self.database)
        return commits

    def test_in_transactions(self):
        table = days(2000, 50)
        write_file(self.source, table, max_chunksize=333)
        said = self.load("rows/{day}", "--transaction", "4K")
        self.assertIn("40 keys, ", said)
        self.assertIn(f"transactions in {self.database} after ", said)
        self.assertGreater(self.is_table(table, lambda row: f"rows/{row['day']}"), 5)

    def test_in_one_transaction(self):
        table = days(500, 1)
        write_file(self.source, table)
        self.assertEqual(self.load("{day}/{n:4}", "--grouped", "-q"), "")
        key_of = lambda row: f"{row['day']}/{row['n']:04}"
        self.assertEqual(self.is_table(table, key_of), 1)

    def test_large_ones(self):
        """Beyond what goes through the write-ahead log; and onto a database that is there."""
        table = days(300_000, 60_000)
        write_file(self.source, table, max_chunksize=65_536)
        self.load("all/{day}", "--grouped", "--ingest", "--transaction", "2M")
        self.is_table(table, lambda row: f"all/{row['day']}")
        small = days(10, 10)
        write_file(self.source, small)
        self.load("all/{day}")
        found, _ = self.rows()
        self.assertEqual(len(found), 5)
        self.assertEqual((found["all/d000"], found["all/d001"]), (10, 60_000))
        self.assertEqual(self.values().num_rows, 10 + 4 * 60_000)
        self.run_ok("verify", self.database)

    def test_rows_in_no_order(self):
        table = days(900, 30).take(pyarrow.array([(i * 7) % 900 for i in range(900)]))
        write_file(self.source, table, max_chunksize=100)
        self.run_wrong(1, "--from", self.source, "--key", "{day}", "--path", self.path("other.db"),
                       "--grouped", says="the file is not grouped")
        self.load("{day}")
        self.is_table(table, lambda row: row["day"])

    def test_from_a_pipe(self):
        table = days(100, 10)
        write_file(self.source, table)
        with open(self.source, "rb") as file:
            self.run_ok("import", "--from", "-", "--key", "{day}", "--path", self.database,
                        stdin=file.read())
        self.is_table(table, lambda row: row["day"])

    def test_full_device(self):
        """It ends, with a message; what was acknowledged is there; with more room it goes on."""
        place = self.path("mount")
        os.mkdir(place)
        script = f"""
            mount -t tmpfs -o size=160m tmpfs {place} || exit 77
            "{BIN}" import --from {self.source} --key '{{day}}' --path {place}/db --grouped
            test $? = 1 || exit 5
            "{BIN}" verify {place}/db || exit 6
            mount -o remount,size=900m {place} || exit 7
            "{BIN}" import --from {self.source} --key '{{day}}' --path {place}/db --grouped &&
            "{BIN}" verify {place}/db
        """
        draws = pyarrow.compute.random(3_000_000, initializer=1)
        write_file(self.source, pyarrow.table({
            "day": [row // 100_000 for row in range(3_000_000)],
            "x": draws, "y": draws, "z": draws}))
        done = subprocess.run(["unshare", "-rm", "sh", "-c", script], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False, text=True, timeout=100)
        if done.returncode in (1, 77) and "KH_NO_SPACE" not in done.stderr:
            self.skipTest("no file system can be mounted here")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("KH_NO_SPACE", done.stderr)
        self.assertIn("30 keys", done.stderr)

    def test_on_a_terminal(self):
        write_file(self.source, days(100, 10))
        code, shown = on_terminal("import", "--from", self.source, "--key", "{day}", "--path",
                                  self.database)
        self.assertEqual(code, 0, shown)
        self.assertIn("10 keys", shown)

    def test_wrong_usage(self):
        write_file(self.source, days(3, 1))
        common = ["--from", self.source, "--key", "{day}"]
        self.run_wrong(2, *common, "--path", self.database, "--to", "x", says="one or the other")
        self.run_wrong(2, *common, "--to", self.path("x"), "--grouped", says="go with --path")
        self.run_wrong(2, *common, says="--to is missing")
        self.run_wrong(1, "--from", self.path("none"), "--key", "k", "--path", self.database,
                       says="No such file")
        self.run_wrong(1, "--from", self.source, "--key", "{week}", "--path", self.database,
                       says="names the column {week}")
        with open(self.source, "rb") as file:
            rows = file.read()
        for source, says in ((rows, "names the column {week}"), (b"week", "no whole Arrow")):
            done = khonsu("import", "--from", "-", "--key", "{week}", "--path", self.database,
                          stdin=source)
            self.assertEqual(done.returncode, 1)
            self.assertIn(says, done.stderr.decode())
        self.assertFalse(os.path.exists(self.database), "made for nothing")
        self.run_wrong(1, *common, "--path", self.source, says="is not a directory")
        self.assertFalse(os.path.exists(self.path("x")))


if __name__ == "__main__":
    unittest.main()
