"""The commands restore, backup and compact on databases that a program wrote."""

import datetime
import json
import os
import unittest
from ctypes import byref, c_char_p, c_uint64

from _cli import CliCase, khonsu, read_stream
from _engine import Engine, load

KEPT_MS = 1 << 38
WALL_MS = 1700000000000  # the engine's clock stands still
IS_DURABLE = load().kh_has_feature(c_char_p(b"durable"))


class Database(Engine):
    def write(self, key, rows):
        """The commit's timestamp."""
        txn = self.begin(0, 0)
        self.put(txn, key, rows)
        timestamp = c_uint64()
        self.must(self.library.kh_txn_commit(txn, byref(timestamp), None))
        self.library.kh_txn_close(txn)
        return timestamp.value

    def now(self):
        self.library.kh_db_now.restype = c_uint64
        return self.library.kh_db_now(self.db)

    def value(self, key):
        txn = self.begin(0, 0)
        found = self.get(txn, key)
        self.library.kh_txn_close(txn)
        return found


@unittest.skipUnless(IS_DURABLE, "this build keeps databases in memory only")
class Copies(CliCase):
    def setUp(self):
        super().setUp()
        self.source = self.path("source.db")
        database = Database(path=self.source, retention_ms=KEPT_MS)
        self.at = [database.write(i % 3, {1: i}) for i in range(9)]
        database.close()

    def state_is(self, path, count):
        """As after so many of the commits."""
        database = Database(path=path, retention_ms=KEPT_MS)
        for key in range(3):
            last = [i for i in range(count) if i % 3 == key]
            self.assertEqual(database.value(key), {1: last[-1]} if last else None)
        database.close()

    def test_restore(self):
        done = khonsu("restore", self.source, self.path("new"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, b"")
        self.assertIn(f"3 keys in {self.path('new')}, as of timestamp {self.at[8]}",
                      done.stderr.decode())
        self.state_is(self.path("new"), 9)
        for i in (0, 4, 7):
            to = self.path(f"at{i}")
            done = khonsu("restore", self.source, to, "--to", str(self.at[i]), "--quiet")
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            self.state_is(to, i + 1)
        # A time is that of its last commit: the clock stood still, so it is all of them.
        moment = datetime.datetime.fromtimestamp(WALL_MS / 1000, datetime.timezone.utc)
        done = khonsu("restore", self.source, self.path("then"), "--to",
                      moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.state_is(self.path("then"), 9)

    def test_a_copy_is_verified(self):
        self.run_ok("restore", self.source, self.path("new"), "--to", str(self.at[4]))
        self.run_ok("verify", self.path("new"))
        self.assertNotEqual(self.run_ok("head", self.path("new")),
                            self.run_ok("head", self.source))
        self.state_is(self.path("new"), 5)
        self.run_ok("verify", self.path("new"))
        self.run_ok("restore", self.path("new"), self.path("again"))
        self.run_ok("verify", self.path("again"))

    def test_restore_refuses(self):
        new = self.path("new")
        self.run_wrong(2, "restore", self.source, says="something is missing")
        self.run_wrong(2, "restore", self.source, new, "--to", "noon", says="is no time")
        self.run_wrong(1, "restore", self.path("absent"), new, says="not a database")
        self.run_wrong(1, "restore", self.source, self.folder, says="not empty")
        self.run_wrong(1, "restore", self.source, os.path.join(self.source, "sub"), says="lies in")
        self.run_wrong(1, "restore", self.source, new, "--to", "2500-01-01", says="in the future")
        self.assertFalse(os.path.exists(new))
        self.run_wrong(1, "restore", self.source, new, "--backup", "1",
                       says="not a directory of backups")
        self.run_ok("compact", self.source)
        self.run_wrong(1, "restore", self.source, new, "--to", str(self.at[4]),
                       says="history begins at")
        self.assertFalse(os.path.exists(new))
        self.run_ok("restore", self.source, new)

    def test_backups(self):
        backups = self.path("backups")
        for i in range(3):
            database = Database(path=self.source, retention_ms=KEPT_MS)
            self.at.append(database.write(9 % 3, {1: 9 + i}))
            database.close()
            done = khonsu("backup", self.source, backups)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(f"backup {i + 1} in {backups}, as of timestamp {self.at[-1]}",
                          done.stderr.decode())
        rows = [json.loads(line) for line in self.run_ok("backup", backups, "--list", "--json")
                .decode().splitlines()]
        self.assertEqual([row["number"] for row in rows], [1, 2, 3])
        self.assertEqual([row["timestamp"] for row in rows], self.at[9:])
        table = read_stream(self.run_ok("backup", backups, "--list"))
        self.assertEqual(table.column_names,
                         ["number", "timestamp", "horizon", "made", "bytes", "database"])
        self.run_ok("restore", backups, self.path("second"), "--backup", "2")
        database = Database(path=self.path("second"))
        self.assertEqual(database.value(0), {1: 10})
        database.close()
        # Through a backup, back to the beginning: it has the history that the database kept.
        self.run_ok("restore", backups, self.path("first"), "--to", str(self.at[1]))
        self.state_is(self.path("first"), 2)
        self.run_ok("backup", backups, "--purge", "1")
        self.run_wrong(3, "restore", backups, self.path("gone"), "--backup", "2",
                       says="no such backup")
        self.run_ok("restore", backups, self.path("third"), "--backup", "3", "--quiet")

    def test_backup_refuses(self):
        self.run_wrong(2, "backup", self.source, says="BACKUPS is missing")
        self.run_wrong(2, "backup", self.source, "--list", "--purge", "1", says="two things")
        self.run_wrong(1, "backup", self.source, "--list", says="not a directory of backups")
        self.run_wrong(1, "backup", self.source, self.source, says="of the database itself")
        self.run_wrong(1, "backup", self.source, os.path.join(self.source, "x"),
                       says="of the database itself")
        self.assertFalse(os.path.exists(os.path.join(self.source, "x")))
        self.run_wrong(2, "backup", self.source, "--purge", "few", says="whole number")
        for command in (["backup", self.path("absent"), self.path("b")],
                        ["compact", self.path("absent")]):
            self.run_wrong(1, *command, says="is not a database of khonsu")
            self.assertFalse(os.path.exists(self.path("absent")), "made for nothing")
        database = Database(path=self.source, retention_ms=KEPT_MS)
        self.run_wrong(1, "backup", self.source, self.path("b"), says=f"process {os.getpid()}")
        self.run_ok("restore", self.source, self.path("beside"))  # that can be done meanwhile
        database.close()

    def test_backup_keeps_history(self):
        self.run_ok("backup", self.source, self.path("b"))
        self.run_ok("restore", self.source, self.path("old"), "--to", str(self.at[0]))
        self.state_is(self.path("old"), 1)

    def test_compact(self):
        self.run_wrong(2, "compact", self.source, "--retention", "soon", says="is no time")
        self.run_wrong(2, "compact", self.source, "--retention", "7", says="is no time")
        done = khonsu("compact", self.source, "--retention", "99999d")
        self.assertIn("9 versions", done.stderr.decode())
        self.state_is(self.source, 9)
        self.run_ok("restore", self.source, self.path("old"), "--to", str(self.at[0]))
        done = khonsu("compact", self.source)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("3 versions", done.stderr.decode())
        self.state_is(self.source, 9)
        self.assertEqual(khonsu("compact", self.source, "-q").stderr, b"")


if __name__ == "__main__":
    unittest.main()
