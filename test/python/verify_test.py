"""Histories of real databases, as others check them: the commands head, verify, log and history
--prove, and tools/check_proof.py on what the last one prints, after trimming and reopening, too."""

import copy
import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from ctypes import byref, c_char_p, c_uint64

import check_proof
from _cli import khonsu
from _engine import Bytes, Engine, load
from check_proof import Refused, check

KEPT_MS = 1 << 40
IS_DURABLE = load().kh_has_feature(c_char_p(b"durable"))


class Database(Engine):
    def write(self, writes, is_prepared=False, between=None):
        """The commit's timestamp."""
        txn = self.begin(0, 0)
        for key, rows in writes.items():
            self.put(txn, key, rows)
        if is_prepared:
            self.must(self.library.kh_txn_prepare(txn, None))
        if between:
            between()
        timestamp = c_uint64()
        self.must(self.library.kh_txn_commit(txn, byref(timestamp), None))
        self.library.kh_txn_close(txn)
        return timestamp.value

    def prove(self, key, timestamp=0):
        out = Bytes()
        self.library.kh_bytes_free.argtypes = [Bytes]
        self.must(self.library.kh_db_prove(self.db, self.key(key), c_uint64(timestamp),
                                           byref(out), None))
        text = ctypes.string_at(out.data, out.size_bytes)
        self.library.kh_bytes_free(out)
        return check_proof.load(text)


def program(*arguments, text=None):
    return subprocess.run([sys.executable, check_proof.__file__, *arguments], input=text,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)


@unittest.skipUnless(IS_DURABLE, "this build keeps databases in memory only")
class WithDirectory(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.path = os.path.join(self.folder, "db")

    def tearDown(self):
        shutil.rmtree(self.folder)

    def head(self):
        done = khonsu("head", self.path)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode().strip()

    def prove(self, key, *options):
        return khonsu("history", key, "--prove", "--path", self.path, *options)

    def proof(self, key, *options):
        done = self.prove(key, *options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def holds(self, text, head):
        done = program("--expect", head, "-", text=text)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout.decode()


class Proofs(WithDirectory):
    def test_every_version_by_the_library_and_the_command(self):
        database = Database(path=self.path, retention_ms=KEPT_MS)
        versions = [(i % 5, database.write({i % 5: {1: i}, 10 + i: {2: i}})) for i in range(60)]
        digest = None
        for key, timestamp in versions:
            proof = database.prove(key, timestamp)
            digest = digest or bytes.fromhex(proof["head"]["digest"])
            lines = "\n".join(check(proof, digest))
            self.assertIn(f"commit timestamp {timestamp}:", lines)
            self.assertIn(f'put "key{key:03d}"', lines)
        deleted = database.write({3: None})
        database.close()
        head = self.head()
        self.assertNotIn(digest.hex(), head)
        for key, timestamp in versions[::7]:
            text = self.proof(f"key{key:03d}", "--at", str(timestamp))
            self.assertIn(f"commit timestamp {timestamp}:", self.holds(text, head))
        lines = self.holds(self.proof("key003"), head)
        self.assertIn('delete "key003"', lines)
        self.assertIn(f"commit timestamp {deleted}:", lines)
        self.assertEqual(program("--expect", "1:" + digest.hex(), "-",
                                 text=self.proof("key003")).returncode, 1)

    def test_after_trimming_and_reopening(self):
        database = Database(path=self.path)
        for i in range(30):
            database.write({i % 3: {1: i}})
        database.close()
        done = self.prove("key001")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"the log begins at record 31", done.stderr)
        database = Database(path=self.path)
        times = [database.write({i % 3: {1: 100 + i}}) for i in range(9)]
        proof = database.prove(1)
        check(proof, bytes.fromhex(proof["head"]["digest"]))
        copied = os.path.join(self.folder, "left")  # as a process that is killed leaves it
        shutil.copytree(self.path, copied)
        database.close()
        self.path = copied
        lines = self.holds(self.proof("key001"), self.head())
        self.assertIn(f"commit timestamp {times[7]}:", lines)
        self.assertEqual(khonsu("verify", self.path, "--expect", self.head()).returncode, 0)

    def test_two_steps(self):
        database = Database(path=self.path, retention_ms=KEPT_MS)

        def others():
            for i in range(20):
                database.write({7: {1: i}})

        others()
        timestamp = database.write({1: {1: 1}}, is_prepared=True, between=others)
        others()
        proof = database.prove(1)
        expected = bytes.fromhex(proof["head"]["digest"])
        lines = "\n".join(check(proof, expected))
        self.assertIn("PREPARE, transaction", lines)
        self.assertIn(f"commit timestamp {timestamp}:", lines)
        self.assertIn("decided by record 42", lines)
        self.refuses_changes(proof, expected)
        database.close()
        self.assertIn("DECIDE COMMIT", self.holds(self.proof("key001"), self.head()))

    def refuses_changes(self, proof, expected):
        decision = proof["decision"]
        for name in decision:
            changed = copy.deepcopy(proof)
            del changed["decision"][name]
            self.assertRaises(Refused, check, changed, expected)
        for name in ("position", "index", "count"):
            for step in (-1, 1, 1 << 70):
                changed = {**proof, "decision": {**decision, name: decision[name] + step}}
                self.assertRaises(Refused, check, changed, expected)
        for place in range(len(decision["frame"])):
            digit = "0" if decision["frame"][place] != "0" else "8"
            frame = decision["frame"][:place] + digit + decision["frame"][place + 1:]
            changed = {**proof, "decision": {**decision, "frame": frame}}
            self.assertRaises(Refused, check, changed, expected)
        for other in (None, [], 1, proof["record"]):
            self.assertRaises(Refused, check, {**proof, "decision": other}, expected)
        alone = {name: proof[name] for name in proof if name != "decision"}
        self.assertIn("NOT DECIDED", "\n".join(check(alone, expected)))


class Commands(WithDirectory):
    def fill(self):
        database = Database(path=self.path, retention_ms=KEPT_MS)
        database.write({1: {1: 1}})
        early = database.prove(1)["head"]
        for i in range(12):
            database.write({i: {1: i}, 20 + i: {1: i}})
        database.write({5: None}, is_prepared=True)
        database.close()
        return f"{early['number']}:{early['digest']}"

    def test_verify(self):
        early = self.fill()
        head = self.head()
        done = khonsu("verify", self.path)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(head.encode(), done.stdout)
        self.assertIn(b"records   16 in ", done.stdout)
        for expect, answer in ((head, "head"), (early, "earlier"), (early[2:], "earlier")):
            done = khonsu("verify", self.path, "--expect", expect, "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            report = json.loads(done.stdout)
            self.assertEqual((report["status"], report["expected"]), ("KH_OK", answer))
            self.assertEqual((report["head"], report["finding"]), (head, ""))
            self.assertEqual((report["records"], report["prepared"]), (16, 0))
        wrong = head[:-1] + ("0" if head[-1] != "0" else "1")
        done = khonsu("verify", self.path, "--expect", wrong)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"KH_MISMATCH", done.stderr)
        number, digest = head.split(":")
        for other in (f"{int(number) - 1}:{digest}", f"{number}:{early.split(':')[1]}",
                      f"0:{digest}", f"{number}0:{digest}"):
            done = khonsu("verify", self.path, "--expect", other)
            self.assertEqual(done.returncode, 1, other)
            self.assertIn(b"KH_MISMATCH", done.stderr)
        for text in ("12", head + "0", head.upper(), ":" + wrong, "x" + head, ""):
            self.assertEqual(khonsu("verify", self.path, "--expect", text).returncode, 2, text)
        self.assertEqual(khonsu("verify", self.folder).returncode, 1)
        self.assertEqual(khonsu("verify").returncode, 2)

    def test_a_byte_of_a_table(self):
        self.fill()
        tables = [os.path.join(self.path, "log", name)
                  for name in os.listdir(os.path.join(self.path, "log")) if name.endswith(".sst")]
        with open(tables[0], "r+b") as table:
            table.seek(700)
            byte = table.read(1)[0]
            table.seek(700)
            table.write(bytes([byte ^ 4]))
        done = khonsu("verify", self.path, "--json")
        self.assertEqual(done.returncode, 1)
        report = json.loads(done.stdout)
        self.assertEqual(report["status"], "KH_CORRUPT")
        self.assertTrue(report["finding"])

    def test_in_use(self):
        database = Database(path=self.path)
        database.write({1: {1: 1}})
        for command in (["head", self.path], ["verify", self.path], ["log", self.path],
                        ["history", "key001", "--prove", "--path", self.path]):
            done = khonsu(*command)
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"process {os.getpid()}".encode(), done.stderr)
        database.close()

    def test_log(self):
        self.fill()
        done = khonsu("log", self.path)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.decode().splitlines()
        self.assertEqual([int(line.split()[0]) for line in lines], list(range(16)))
        self.assertRegex(lines[0], r"^0 1 schema - - number=0$")
        self.assertRegex(lines[1], r"^1 1 commit \d+ 2023-11-14T22:13:20.000Z 0:\d+ key001=\d+$")
        self.assertRegex(lines[2], r" key000=\d+ key020=\d+$")
        self.assertRegex(lines[14], r"^14 \d+ prepare - - 0:\d+ key005=-$")
        self.assertRegex(lines[15], r"^15 \d+ decide-commit \d+ 2023\S+Z 0:\d+$")
        done = khonsu("log", self.path, "--from", "13", "--limit", "2", "--json")
        records = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([record["position"] for record in records], [13, 14])
        self.assertEqual(records[1]["kind"], "prepare")
        self.assertEqual(records[1]["writes"], [{"key": "key005", "deleted": True}])
        self.assertEqual(khonsu("log", self.path, "--from", "99").stdout, b"")

    def test_usage(self):
        self.fill()
        self.assertEqual(self.prove("key099").returncode, 3)
        for arguments in (["history", "k", "--prove"], ["history", "k", "--path", self.path],
                          ["history", "k", "--at", "5"], ["head"], ["log"],
                          ["history", "k", "--prove", "--path", self.path, "--at", "never"]):
            self.assertEqual(khonsu(*arguments).returncode, 2, arguments)


if __name__ == "__main__":
    unittest.main()
