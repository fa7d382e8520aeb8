"""The change feed as an Arrow stream, read by pyarrow, and the command `khonsu changes`."""

import ctypes
import json
import os
import random
import re
import shutil
import subprocess
import tempfile
import threading
import unittest
from ctypes import byref, c_char_p, c_uint32, c_uint64, c_void_p

import pyarrow
import pyarrow.ipc
from _cli import BIN, TIMEOUT_S, khonsu, on_terminal, read_stream
from _engine import Engine, load

FOLLOW = 1
HOUR_MS = 3600 * 1000
IS_DURABLE = load().kh_has_feature(c_char_p(b"durable"))


class Database(Engine):
    """Commits are kept in `model`: (key, timestamp, operation, rows), in order."""

    def __init__(self, path, retention_ms=HOUR_MS):
        super().__init__(path=path, retention_ms=retention_ms)
        self.library.kh_changes_close.argtypes = [c_void_p]
        self.library.kh_changes_cancel.argtypes = [c_void_p]
        self.model = []

    def change(self, writes):
        txn = self.begin(0, 0)
        for key, rows in writes.items():
            self.put(txn, key, rows)
        timestamp = c_uint64()
        self.must(self.library.kh_txn_commit(txn, byref(timestamp), None))
        self.library.kh_txn_close(txn)
        self.model += [(b"key%03d" % key, timestamp.value, "put" if rows else "delete", rows)
                       for key, rows in writes.items()]

    def feed(self, after):
        out = c_void_p()
        self.must(self.library.kh_changes_open(self.db, c_uint64(after), None, byref(out), None))
        return out

    def reader(self, feed, flags):
        place = (ctypes.c_char * 40)()  # a struct ArrowArrayStream
        self.must(self.library.kh_changes_stream(feed, c_uint32(flags), byref(place), None))
        return pyarrow.RecordBatchReader._import_from_c(ctypes.addressof(place))


def rows_of(value):
    if value is None:
        return None
    table = pyarrow.ipc.open_stream(value).read_all()
    return dict(zip(table["id"].to_pylist(), table["a"].to_pylist()))


def changes_of(batch):
    columns = batch.to_pydict()
    return [(key, timestamp, operation, rows_of(value)) for key, timestamp, operation, value in
            zip(*(columns[name] for name in ("key", "timestamp", "operation", "value")))]


class InFolder(unittest.TestCase):
    def setUp(self):
        if not IS_DURABLE:
            self.skipTest("a build without durable databases")
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = os.path.join(self.folder, "db")


class Stream(InFolder):
    def test_random_history(self):
        seed = int(os.environ.get("KH_TEST_SEED", "1"))
        draw = random.Random(seed)
        database = Database(self.path)
        for _ in range(120):
            keys = draw.sample(range(30), draw.randint(1, 4))
            database.change({key: draw.choice([None, {1: key}, {2: 5, 3: 7}])
                             for key in keys})
        ends = [0] + [change[1] for change in database.model]
        for after in draw.sample(ends, 12):
            feed = database.feed(after)
            reader = database.reader(feed, 0)
            self.assertEqual(reader.schema, pyarrow.schema(
                [pyarrow.field("key", pyarrow.binary(), nullable=False),
                 pyarrow.field("timestamp", pyarrow.uint64(), nullable=False),
                 pyarrow.field("operation", pyarrow.utf8(), nullable=False),
                 pyarrow.field("value", pyarrow.binary())]))
            found = []
            for batch in reader:
                batch.validate(full=True)
                found += changes_of(batch)
            self.assertEqual(found, [change for change in database.model if change[1] > after],
                             f"seed {seed}")
            reader.close()
            database.library.kh_changes_close(feed)
        database.close()

    def test_batches_hold_whole_commits(self):
        database = Database(self.path)
        big = {row: row for row in range(20000)}
        for _ in range(8):
            database.change({key: big for key in range(5)})
        feed = database.feed(0)
        batches = list(database.reader(feed, 0))
        self.assertGreater(len(batches), 4)
        for batch in batches:
            self.assertEqual(batch.num_rows % 5, 0)
        self.assertEqual(sum(batch.num_rows for batch in batches), 40)
        database.library.kh_changes_close(feed)
        database.close()

    def test_following(self):
        database = Database(self.path)
        feed = database.feed(0)
        reader = database.reader(feed, FOLLOW)
        found = []
        seen = threading.Semaphore(0)

        def follow():
            try:
                for batch in reader:
                    found.extend(changes_of(batch))
                    seen.release(batch.num_rows)
            except (OSError, pyarrow.ArrowException) as error:
                found.append(str(error))
            seen.release()

        thread = threading.Thread(target=follow)
        thread.start()
        for i in range(20):
            database.change({i: {1: i}, i + 1: None})
            for _ in range(2):
                self.assertTrue(seen.acquire(timeout=TIMEOUT_S))
        database.library.kh_changes_cancel(feed)
        self.assertTrue(seen.acquire(timeout=TIMEOUT_S))
        thread.join()
        self.assertEqual(found[:-1], database.model)
        self.assertIn("cancelled", found[-1])
        reader.close()
        database.library.kh_changes_close(feed)
        database.close()


class Command(InFolder):
    def setUp(self):
        super().setUp()
        database = Database(self.path)
        for i in range(5):
            database.change({i: {1: i}, i + 10: None})
        self.model = database.model
        database.close()

    def lines(self, *arguments):
        done = khonsu("changes", self.path, "--json", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_json(self):
        for _ in range(2):  # looking takes nothing away
            lines = self.lines()
            self.assertEqual([(line["key"].encode(), line["timestamp"], line["change"])
                              for line in lines], [change[:3] for change in self.model])
        self.assertEqual([line["last"] for line in lines], [False, True] * 5)
        self.assertEqual(lines[0]["rows"], 1)
        self.assertIsNone(lines[1]["rows"])
        self.assertIsNone(lines[0]["tag"])

    def test_after_prefix_and_limit(self):
        after = self.model[3][1]
        self.assertEqual(len(self.lines("--after", str(after))), 6)
        self.assertEqual(len(self.lines("--after", "2023-11-14")), 0)
        self.assertEqual(len(self.lines("--after", "2023-11-13")), 10)
        self.assertEqual(len(self.lines("--prefix", "key01")), 5)
        self.assertEqual(len(self.lines("--prefix", "key01", "--limit", "2")), 2)
        self.assertEqual(len(self.lines("--follow", "--limit", "7")), 7)

    def test_follow_sees_another_process(self):
        process = subprocess.Popen([BIN, "changes", self.path, "--json", "--follow"],
                                   stdout=subprocess.PIPE)
        self.addCleanup(process.kill)
        lines = [process.stdout.readline() for _ in range(10)]
        database = Database(self.path)
        database.change({20: {7: 7}, 21: None})
        lines += [process.stdout.readline() for _ in range(2)]
        self.assertIsNone(process.poll())
        process.terminate()
        process.wait(timeout=TIMEOUT_S)
        process.stdout.close()
        self.assertEqual([json.loads(line)["timestamp"] for line in lines],
                         [change[1] for change in self.model + database.model])
        database.close()

    def test_forms(self):
        table = read_stream(khonsu("changes", self.path).stdout)
        self.assertEqual(table["key"].to_pylist(), [change[0].decode() for change in self.model])
        code, shown = on_terminal("changes", self.path, columns=200)
        self.assertEqual(code, 0)
        self.assertIn("key014", shown)
        self.assertIn("(10 rows)", shown)

    def test_refusals(self):
        for arguments, code in ((("nowhere",), 1), ((), 2), ((self.path, "--after", "x"), 2),
                                ((self.path, "--follow", "--format", "table"), 2),
                                ((self.path, "--prefix", ""), 2)):
            done = khonsu("changes", *arguments)
            self.assertEqual(done.returncode, code, arguments)
            self.assertTrue(done.stderr)
        self.assertFalse(os.path.exists("nowhere"))

    def test_what_the_log_has_no_more(self):
        """Without --after the rest of it, and from where on; with it, KH_TOO_OLD."""
        database = Database(self.path, retention_ms=0)
        database.change({20: {7: 7}})
        database.close()
        model = self.model + database.model
        done = khonsu("changes", self.path, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        begins = int(re.search(rb"no changes up to timestamp (\d+) ", done.stderr).group(1))
        self.assertGreaterEqual(begins, self.model[-1][1])
        self.assertEqual([json.loads(line)["timestamp"] for line in done.stdout.splitlines()],
                         [change[1] for change in model if change[1] > begins])
        again = khonsu("changes", self.path, "--json", "--after", str(begins))
        self.assertEqual((again.stdout, again.stderr), (done.stdout, b""))
        for after in ("0", str(self.model[3][1]), str(begins - 1)):
            done = khonsu("changes", self.path, "--json", "--after", after)
            self.assertEqual(done.returncode, 1, after)
            self.assertIn(b"KH_TOO_OLD", done.stderr)

    def test_beside_a_writer(self):
        database = Database(self.path)
        self.assertEqual(len(self.lines()), 10)
        database.close()


if __name__ == "__main__":
    unittest.main()
