"""The commands of the program khonsu over store files, against pyarrow."""

import datetime
import decimal
import json
import os
import resource
import subprocess
import unittest

import pyarrow
import pyarrow.compute
import pyarrow.ipc

from _cli import BIN, CliCase, khonsu, on_terminal, read_stream, write_file

COMMANDS = ["demo", "import", "get", "put", "scan", "history", "stats", "restore", "backup",
            "compact", "workspace"]


def prices():
    return pyarrow.table({
        "id": pyarrow.array([1, 2, 3, 4, 5, 6], pyarrow.int64()),
        "market": ["eur", "usd", "eur", "jpy", "usd", "eur"],
        "month": pyarrow.array([1, 2, 11, 1, 2, 1], pyarrow.int16()),
        "price": pyarrow.array([1.5, None, -0.25, 1e300, 0.1, 7], pyarrow.float64()),
        "note": ["plain", None, "caf\u00e9", "a\nb", "\u6f22\u5b57", ""],
    })


class Usage(CliCase):
    def test_every_command_explains_itself(self):
        for command in COMMANDS:
            text = self.run_ok(command, "--help").decode()
            for part in ("usage: khonsu " + command, "options:", "examples:", "exit codes:",
                         "--help"):
                self.assertIn(part, text, command)
            self.assertTrue(all(len(line) <= 100 for line in text.splitlines()), command)
            self.assertEqual(self.run_ok("help", command).decode(), text)
            self.assertEqual(self.run_ok(command, "-h").decode(), text)
        overview = self.run_ok("help").decode()
        self.assertEqual(self.run_ok("--help").decode(), overview)
        for command in COMMANDS:
            self.assertIn(f"\n  {command} ", overview)

    def test_version(self):
        text = self.run_ok("--version").decode()
        self.assertRegex(text, r"^khonsu \d+\.\d+\.\d+\nfeatures:( [a-z0-9-]+)+\n$")

    def test_wrong_usage_is_code_2(self):
        self.assertEqual(khonsu().returncode, 2)
        self.run_wrong(2, "got", says="khonsu help")
        self.run_wrong(2, "help", "got", says="khonsu help")
        self.run_wrong(2, "get", says="KEY")
        self.run_wrong(2, "get", "k", says="--from is missing")
        self.run_wrong(2, "get", "k", "more", "--from", "s", says="'more'")
        self.run_wrong(2, "get", "k", "--form", "s", says="did you mean --from?")
        self.run_wrong(2, "get", "k", "--unlikely", says="no option --unlikely")
        self.run_wrong(2, "get", "k", "-Z", says="no option -Z")
        self.run_wrong(2, "get", "k", "--from", says="needs a value")
        self.run_wrong(2, "get", "k", "--from=s", "--format=csv", says="table|json|ipc|ipc-file")
        self.run_wrong(2, "scan", "--from=s", "--limit=-1", says="whole number")
        self.run_wrong(2, "scan", "--from=s", "--reverse=yes", says="takes no value")
        self.run_wrong(2, "put", "k", "--to=s", says="--value FILE and --delete")
        self.run_wrong(2, "import", "--from=f", "--to=s", "--key=a{b", says="no key pattern")
        self.run_wrong(2, "demo", "--writers", "0", says="1 to 256 writers")
        self.run_wrong(2, "demo", "--seconds", "soon", says="not negative")


class Store(CliCase):
    def setUp(self):
        super().setUp()
        self.table = prices()
        self.source = self.path("prices.arrow")
        self.store = self.path("prices.khonsu")
        write_file(self.source, self.table, max_chunksize=2)
        self.run_ok("import", "--from", self.source, "--key", "p/{market}/{month:2}", "--to",
                    self.store, "--quiet")

    def part(self, market, month):
        chosen = pyarrow.compute.and_(
            pyarrow.compute.equal(self.table["market"], market),
            pyarrow.compute.equal(self.table["month"], month))
        return self.table.filter(chosen)

    def get(self, key, *arguments, store=None):
        return read_stream(self.run_ok("get", key, "--from", store or self.store, *arguments))

    def keys(self, *arguments, store=None):
        data = self.run_ok("scan", "--from", store or self.store, "--keys-only", *arguments)
        return read_stream(data)["key"].to_pylist()

    def put(self, key, table, *arguments, store=None):
        value = self.path("value.arrow")
        write_file(value, table)
        store = store or self.store
        self.run_ok("put", key, "--from", store, "--value", value, "--to", store, "--quiet",
                    *arguments)

    def history(self, key):
        data = self.run_ok("history", key, "--from", self.store)
        return read_stream(data).to_pylist()

    ALL = ["p/eur/01", "p/eur/11", "p/jpy/01", "p/usd/02"]

    def test_values_are_the_rows_of_their_keys(self):
        self.assertEqual(self.keys(), self.ALL)
        for key in self.ALL:
            _, market, month = key.split("/")
            self.assertEqual(self.get(key), self.part(market, int(month)))

    def test_a_store_is_an_arrow_file(self):
        with pyarrow.ipc.open_file(self.store) as file:
            rows = file.read_all()
        self.assertEqual(rows.schema, pyarrow.schema([
            pyarrow.field("key", pyarrow.binary(), False),
            pyarrow.field("timestamp", pyarrow.uint64(), False),
            pyarrow.field("value", pyarrow.large_binary())]))
        self.assertEqual(len(set(rows["timestamp"].to_pylist())), 1)
        for row in rows.to_pylist():
            _, market, month = row["key"].decode().split("/")
            self.assertEqual(read_stream(row["value"]), self.part(market, int(month)))

    def test_a_store_of_another_program(self):
        sink = pyarrow.BufferOutputStream()
        with pyarrow.ipc.new_stream(sink, self.table.schema) as writer:
            writer.write_table(self.table)
        value = sink.getvalue().to_pybytes()
        foreign = pyarrow.table({
            "key": ["a", "b", "a", "b"],
            "timestamp": pyarrow.array([1 << 16, 1 << 16, (1 << 16) + 1, 9 << 16], pyarrow.int64()),
            "value": pyarrow.array([value, value, None, value], pyarrow.binary())})
        path = self.path("foreign.arrows")
        with pyarrow.ipc.new_stream(path, foreign.schema) as writer:
            writer.write_table(foreign)
        self.assertEqual(self.keys(store=path), ["b"])
        self.assertEqual(self.get("a", "--at", str(1 << 16), store=path), self.table)
        self.run_wrong(3, "get", "a", "--from", path, says="no key 'a'")
        self.put("c", self.table, store=path)
        self.assertEqual(self.keys(store=path), ["b", "c"])
        with pyarrow.ipc.open_file(path) as file:
            rows = file.read_all()
        self.assertEqual(rows["timestamp"].to_pylist()[:4], foreign["timestamp"].to_pylist())
        self.assertEqual(rows["value"].to_pylist()[:4], foreign["value"].to_pylist())

    def test_scan(self):
        self.assertEqual(self.keys("--reverse"), self.ALL[::-1])
        self.assertEqual(self.keys("--prefix", "p/eur/"), self.ALL[:2])
        self.assertEqual(self.keys("--from-key", "p/eur/11", "--to-key", "p/usd/02"), self.ALL[1:3])
        self.assertEqual(self.keys("--limit", "2", "--reverse"), self.ALL[:1:-1])
        self.run_wrong(3, "scan", "--from", self.store, "--prefix", "q", says="no key")
        whole = read_stream(self.run_ok("scan", "--from", self.store))
        expected = pyarrow.concat_tables(
            [self.part(k.split("/")[1], int(k.split("/")[2])) for k in self.ALL])
        self.assertEqual(whole, expected)
        lines = self.run_ok("scan", "--from", self.store, "--json").decode().splitlines()
        self.assertEqual([json.loads(line)["row"] for line in lines], expected.to_pylist())
        self.assertEqual(json.loads(lines[0])["key"], self.ALL[0])

    def test_output_files_and_formats(self):
        out = self.path("out.arrow")
        self.assertEqual(self.run_ok("get", "p/eur/01", "--from", self.store, "--to", out), b"")
        with pyarrow.ipc.open_file(out) as file:
            self.assertEqual(file.read_all(), self.part("eur", 1))
        self.run_ok("get", "p/eur/01", "--from", self.store, "-o", out, "-f", "ipc")
        with pyarrow.ipc.open_stream(out) as stream:
            self.assertEqual(stream.read_all(), self.part("eur", 1))
        text = self.run_ok("get", "p/usd/02", "--from", self.store, "--format", "table").decode()
        self.assertEqual(text.splitlines(), [
            "id  market  month  price  note",
            "--  ------  -----  -----  ----",
            " 2  usd         2   NULL  NULL",
            " 5  usd         2    0.1  \u6f22\u5b57",
            "(2 rows)"])
        text = self.run_ok("get", "p/usd/02", "--from", self.store, "--format", "table", "--rows",
                           "1").decode()
        self.assertTrue(text.endswith("(1 of 2 rows; --rows 0 shows all)\n"), text)
        self.assertEqual([name for name in os.listdir(self.folder) if "part" in name], [])

    def test_standard_input_and_output(self):
        with open(self.store, "rb") as file:
            stored = file.read()
        data = self.run_ok("get", "p/eur/11", "--from", "-", stdin=stored)
        self.assertEqual(read_stream(data), self.part("eur", 11))
        with open(self.source, "rb") as file:
            again = self.run_ok("import", "--from", "-", "--key", "{market}", "--to", "-", "-q",
                                stdin=file.read())
        data = self.run_ok("scan", "--from", "-", "--keys-only", stdin=again)
        self.assertEqual(read_stream(data)["key"].to_pylist(), ["eur", "jpy", "usd"])

    def test_put_in_every_mode_and_history(self):
        key = "p/eur/01"
        first = self.part("eur", 1)
        patch = pyarrow.table({"id": [6], "price": [8.5]})
        self.put(key, patch, "--mode", "update")
        updated = self.get(key)
        self.assertEqual(updated["price"].to_pylist(), [1.5, 8.5])
        self.put(key, first, "--mode", "upsert")
        self.assertEqual(self.get(key), first)
        more = self.part("usd", 2)
        self.put(key, more, "--mode", "insert")
        self.assertEqual(self.get(key), pyarrow.concat_tables([first, more]))
        self.put(key, pyarrow.table({"id": [1, 2]}), "--mode", "delete-rows")
        self.assertEqual(self.get(key)["id"].to_pylist(), [6, 5])
        self.put(key, more)
        self.run_ok("put", key, "--from", self.store, "--delete", "--to", self.store, "-q")
        self.run_wrong(3, "get", key, "--from", self.store)
        versions = self.history(key)
        self.assertEqual([v["change"] for v in versions], ["delete"] + ["put"] * 6)
        self.assertEqual([v["rows"] for v in versions], [None, 2, 2, 4, 2, 2, 2])
        stamps = [v["timestamp"] for v in versions]
        self.assertEqual(stamps, sorted(stamps, reverse=True))
        for version in versions:
            self.assertEqual(int(version["time"].timestamp() * 1000), version["timestamp"] >> 16)
        self.assertEqual(self.get(key, "--at", str(stamps[-1])), first)
        self.assertEqual(self.get(key, "--at", str(stamps[-2])), updated)
        time = versions[-2]["time"].strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        self.assertEqual(self.get(key, "--at", time), updated)
        self.assertNotIn(key, self.keys())
        self.assertIn(key, self.keys("--at", str(stamps[1])))

    def test_put_failures_leave_the_store_alone(self):
        with open(self.store, "rb") as file:
            before = file.read()
        value = self.path("value.arrow")
        write_file(value, self.part("eur", 1))
        store = ["--from", self.store, "--to", self.store]
        self.run_wrong(1, "put", "p/eur/01", "--value", value, "--mode", "insert", *store,
                       says="KH_ROW_EXISTS")
        self.run_wrong(1, "put", "p/usd/02", "--value", value, "--mode", "update", *store,
                       says="KH_ROW_NOT_FOUND")
        self.run_wrong(1, "put", "p/usd/02", "--value", value, "--mode", "upsert", "--id", "nope",
                       *store, says="KH_NO_ID_COLUMN")
        self.run_wrong(3, "put", "absent", "--delete", *store, says="no such key")
        self.run_wrong(1, "put", "k", "--value", self.path("none.arrow"), *store,
                       says="No such file")
        self.run_wrong(1, "put", "k", "--value", value, "--to", "/dev/full", says="No space left")
        with open(self.store, "rb") as file:
            self.assertEqual(file.read(), before)
        self.assertEqual(sorted(os.listdir(self.folder)),
                         ["prices.arrow", "prices.khonsu", "value.arrow"])

    def test_put_with_another_id_column_and_a_new_store(self):
        new = self.path("new.khonsu")
        value = self.path("value.arrow")
        write_file(value, pyarrow.table({"name": ["a", "b"], "n": [1, 2]}))
        self.run_ok("put", "k", "--value", value, "--to", new, "-q")
        write_file(value, pyarrow.table({"name": ["b", "c"], "n": [3, 4]}))
        self.run_ok("put", "k", "--from", new, "--value", value, "--mode", "upsert", "--id", "name",
                    "--to", new, "-q")
        self.assertEqual(self.get("k", store=new).to_pydict(),
                         {"name": ["a", "b", "c"], "n": [1, 3, 4]})

    def test_import_onto_a_store_adds_to_its_history(self):
        self.run_ok("import", self.source, "--key", "p/{market}/01", "--onto", self.store, "--to",
                    self.store)
        self.assertEqual(len(self.history("p/eur/01")), 2)
        self.assertEqual(len(self.get("p/eur/01")), 3)
        self.assertEqual(self.keys(), sorted(self.ALL + ["p/usd/01"]))

    def test_keys_that_are_not_text(self):
        self.put("a\\\\b\\x00\\xff", self.table)
        keys = self.keys("--prefix", "a")
        self.assertEqual(keys, ["a\\\\b\\x00\\xff"])
        self.assertEqual(self.get(keys[0]), self.table)
        with pyarrow.ipc.open_file(self.store) as file:
            self.assertEqual(file.read_all()["key"].to_pylist()[-1], b"a\\b\x00\xff")
        self.run_wrong(2, "get", "a\\q", "--from", self.store, says="backslash")
        self.run_wrong(2, "get", "", "--from", self.store, says="1 to 65,535 bytes")

    def test_patterns(self):
        source = self.path("nulls.arrow")
        store = self.path("nulls.khonsu")
        write_file(source, pyarrow.table({"a": ["x", None], "d": [datetime.date(2013, 1, 31)] * 2}))
        arguments = ["import", "--from", source, "--to", store, "-q", "--key"]
        self.run_wrong(1, *arguments, "{a}", says="{a|none}")
        self.run_wrong(1, *arguments, "{nope}", says="there are only: a, d")
        self.run_ok(*arguments, "{{k}}/{a|nobody}/{d}")
        self.assertEqual(self.keys(store=store), ["{k}/nobody/2013-01-31", "{k}/x/2013-01-31"])
        self.run_ok(*arguments, "one")
        self.assertEqual(len(self.get("one", store=store)), 2)

    def test_stats(self):
        text = self.run_ok("stats", "--from", self.store).decode()
        numbers = json.loads(text)
        self.assertEqual(numbers["keys"], 4)
        self.assertEqual(numbers["commits"], 1)
        prometheus = self.run_ok("stats", "--from", self.store, "--format", "prometheus").decode()
        self.assertRegex(prometheus, r"(?m)^# TYPE khonsu_\w+ (counter|gauge|histogram)$")
        self.assertRegex(prometheus, r"(?m)^khonsu_\w*commits\w*(\{.*\})? 1$")
        table = self.run_ok("stats", "--from", self.store, "--format", "table").decode()
        self.assertRegex(table, r"(?m)^rows +6$")
        self.assertRegex(table, r"(?m)^transactions +1$")


class BadFiles(CliCase):
    def write_store(self, **changes):
        columns = {"key": pyarrow.array([b"k"]),
                   "timestamp": pyarrow.array([1 << 16], pyarrow.uint64()),
                   "value": pyarrow.array([None], pyarrow.large_binary())}
        columns.update(changes)
        path = self.path("bad.khonsu")
        write_file(path, pyarrow.table(columns))
        return path

    def assert_bad(self, path, says, code=1):
        self.run_wrong(code, "get", "k", "--from", path, says=says)

    def test_not_a_store(self):
        path = self.path("f")
        self.assert_bad(path, "No such file")
        with open(path, "wb") as file:
            file.write(b"not an Arrow file, but long enough to look like one" * 10)
        self.assert_bad(path, "Arrow IPC")
        write_file(path, prices())
        self.assert_bad(path, "khonsu import")
        with open(path, "rb") as file:
            data = file.read()
        with open(path, "wb") as file:
            file.write(data[:len(data) // 2])
        self.run_wrong(1, "import", "--from", path, "--key", "k", "--to", self.path("s"))
        self.assert_bad(self.folder, "Is a directory")

    def test_stores_that_cannot_be_replayed(self):
        self.assert_bad(self.write_store(), "no key 'k'", code=3)
        two = {"key": pyarrow.array([b"k", b"k"]),
               "value": pyarrow.array([None, None], pyarrow.large_binary())}
        self.assert_bad(self.write_store(
            timestamp=pyarrow.array([2 << 16, 1 << 16], pyarrow.uint64()), **two), "goes back")
        self.assert_bad(self.write_store(
            timestamp=pyarrow.array([1 << 16, (1 << 16) + 5], pyarrow.uint64()), **two),
            "lower 16 bits")
        self.assert_bad(self.write_store(timestamp=pyarrow.array([None], pyarrow.uint64())),
                        "timestamp is null")
        self.assert_bad(self.write_store(key=pyarrow.array([None], pyarrow.binary())),
                        "key is null")
        self.assert_bad(self.write_store(value=pyarrow.array([b"junk"], pyarrow.large_binary())),
                        "row 0")

    def test_an_empty_store_is_one(self):
        path = self.path("empty.khonsu")
        write_file(path, pyarrow.table({
            "key": pyarrow.array([], pyarrow.binary()),
            "timestamp": pyarrow.array([], pyarrow.uint64()),
            "value": pyarrow.array([], pyarrow.large_binary())}))
        self.run_wrong(3, "scan", "--from", path)
        self.run_wrong(3, "history", "k", "--from", path, says="never held")

    def test_output_that_cannot_be_written(self):
        source = self.path("prices.arrow")
        store = self.path("s.khonsu")
        write_file(source, prices())
        self.run_ok("import", source, "--key", "k", "--to", store)
        self.run_wrong(1, "get", "k", "--from", store, "--to", self.path("no/such/folder"),
                       says="No such file")
        with open("/dev/full", "wb") as full:
            for arguments in (["--json"], [], ["--format", "table"]):
                done = subprocess.run([BIN, "get", "k", "--from", store, *arguments], stdout=full,
                                      stderr=subprocess.PIPE, check=False)
                self.assertEqual(done.returncode, 1, done.stderr)

        with open("/dev/full", "wb") as full:
            done = subprocess.run([BIN, "help"], stdout=full, stderr=subprocess.PIPE, check=False)
            self.assertEqual(done.returncode, 1, done.stderr)

    def test_a_file_that_cannot_be_finished_is_removed(self):
        source = self.path("numbers.arrow")
        store = self.path("s.khonsu")
        write_file(source, pyarrow.table({"id": range(100_000)}))
        self.run_ok("import", source, "--key", "k", "--to", store, "-q")
        before = os.path.getsize(store)
        # With the signal ignored, a write beyond the limit fails with an errno.
        limited = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
                   "restore_signals": False}
        self.run_wrong(1, "get", "k", "--from", store, "--to", self.path("out.arrow"),
                       says="File too large", **limited)
        self.run_wrong(1, "get", "k", "--from", store, "--json", "--to", self.path("out.json"),
                       says="File too large", **limited)
        self.run_wrong(1, "get", "k", "--from", store, "--format", "table", "--rows", "0", "--to",
                       self.path("out.txt"), says="cannot write", **limited)
        self.run_wrong(1, "import", source, "--key", "k", "--onto", store, "--to", store,
                       "--compression", "none", says="File too large", **limited)
        self.assertEqual(sorted(os.listdir(self.folder)), ["numbers.arrow", "s.khonsu"])
        self.assertEqual(os.path.getsize(store), before)

    def test_values_of_different_schemas(self):
        source = self.path("other.arrow")
        store = self.path("s.khonsu")
        write_file(source, prices())
        self.run_ok("import", source, "--key", "a", "--to", store, "-q")
        write_file(source, pyarrow.table({"x": [1]}))
        self.run_ok("import", source, "--key", "b", "--onto", store, "--to", store, "-q")
        scan = ["scan", "--from", store]
        self.run_wrong(1, *scan, says="different schemas")
        self.run_wrong(1, *scan, "--to", self.path("out.arrow"), says="different schemas")
        self.assertEqual(sorted(os.listdir(self.folder)), ["other.arrow", "s.khonsu"])
        self.assertEqual(len(self.run_ok(*scan, "--json").splitlines()), 7)
        text = self.run_ok(*scan, "--format", "table", "--rows", "1").decode()
        words = [line.split() for line in text.splitlines()]
        self.assertEqual(words[:2] + words[3:],
                         [["key", "id", "market", "month", "price", "note"],
                          ["---", "--", "------", "-----", "-----", "-----"],
                          [], ["key", "x"], ["---", "-"], ["b", "1"],
                          "(2 of 7 rows; --rows 0 shows all)".split()])

    def test_a_reader_that_goes_away_is_no_failure(self):
        source = self.path("many.arrow")
        store = self.path("many.khonsu")
        write_file(source, pyarrow.table({"id": range(200_000)}))
        self.run_ok("import", source, "--key", "k", "--to", store, "-q")
        for arguments in (["--json"], [], ["--format", "table", "--rows", "0"]):
            process = subprocess.Popen([BIN, "get", "k", "--from", store, *arguments],
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            process.stdout.read(10)
            process.stdout.close()
            self.assertEqual(process.stderr.read(), b"", arguments)
            self.assertEqual(process.wait(timeout=60), 0, arguments)
            process.stderr.close()


class Types(CliCase):
    """Every type goes through a store unchanged, and prints as it should."""

    UTC = datetime.timezone.utc
    # name: (array of one value and one null, what JSON shows)
    COLUMNS = {
        "null": (pyarrow.nulls(2), None),
        "bool": (pyarrow.array([True, None]), True),
        "uint64": (pyarrow.array([2**64 - 1, None], pyarrow.uint64()), 2**64 - 1),
        "int8": (pyarrow.array([-128, None], pyarrow.int8()), -128),
        "half": (pyarrow.array([1.5, None]).cast(pyarrow.float16()), 1.5),
        "float": (pyarrow.array([0.1, None], pyarrow.float32()), 0.1),
        "double": (pyarrow.array([1 / 3, None]), 1 / 3),
        "nan": (pyarrow.array([float("nan"), None]), "NaN"),
        "infinite": (pyarrow.array([float("-inf"), None]), "-Infinity"),
        "utf8": (pyarrow.array(['q"\\\n\u00e9', None]), 'q"\\\n\u00e9'),
        "large": (pyarrow.array(["x", None], pyarrow.large_string()), "x"),
        "view": (pyarrow.array(["longer than twelve bytes", None], pyarrow.string_view()),
                 "longer than twelve bytes"),
        "short": (pyarrow.array(["short", None], pyarrow.string_view()), "short"),
        "binary": (pyarrow.array([b"\x00\xff", None]), "00ff"),
        "fixed": (pyarrow.array([b"abc", None], pyarrow.binary(3)), "616263"),
        "date32": (pyarrow.array([datetime.date(1969, 12, 31), None]), "1969-12-31"),
        "date64": (pyarrow.array([datetime.date(2024, 2, 29), None], pyarrow.date64()),
                   "2024-02-29"),
        "early": (pyarrow.array([-719529, None], pyarrow.int32()).cast(pyarrow.date32()),
                  "-0001-12-31"),
        "time32": (pyarrow.array([3723, None], pyarrow.time32("s")), "01:02:03"),
        "time64": (pyarrow.array([1, None], pyarrow.time64("ns")), "00:00:00.000000001"),
        "second": (pyarrow.array([-1, None], pyarrow.timestamp("s")), "1969-12-31T23:59:59"),
        "utc": (pyarrow.array([1, None], pyarrow.timestamp("ms", "UTC")),
                "1970-01-01T00:00:00.001Z"),
        "micro": (pyarrow.array([-1, None], pyarrow.timestamp("us")),
                  "1969-12-31T23:59:59.999999"),
        "duration": (pyarrow.array([-1500, None], pyarrow.duration("ms")), "PT-1.500S"),
        "interval": (pyarrow.array([(1, -2, 3), None], pyarrow.month_day_nano_interval()),
                     "P1M-2DT0.000000003S"),
        "decimal": (pyarrow.array([decimal.Decimal("-12.30"), None], pyarrow.decimal128(10, 2)),
                    "-12.30"),
        "small": (pyarrow.array([decimal.Decimal("0.007"), None], pyarrow.decimal128(10, 3)),
                  "0.007"),
        "wide": (pyarrow.array([decimal.Decimal(-10**75), None], pyarrow.decimal256(76, 0)),
                 "-1" + "0" * 75),
        "dictionary": (pyarrow.array(["a", None]).dictionary_encode(), "a"),
        "list": (pyarrow.array([[1, None, 3], None]), [1, None, 3]),
        "large_list": (pyarrow.array([[["x"], []], None],
                                     pyarrow.large_list(pyarrow.list_(pyarrow.utf8()))),
                       [["x"], []]),
        "fixed_list": (pyarrow.array([[1, 2], None], pyarrow.list_(pyarrow.int8(), 2)), [1, 2]),
        "list_view": (pyarrow.array([[4, 5], None], pyarrow.list_view(pyarrow.int8())), [4, 5]),
        "struct": (pyarrow.array([{"x": 1, "y": [None]}, None]), {"x": 1, "y": [None]}),
        "map": (pyarrow.array([[("k", 1)], None], pyarrow.map_(pyarrow.utf8(), pyarrow.int32())),
                [["k", 1]]),
        "union": (pyarrow.UnionArray.from_dense(
            pyarrow.array([1, 0], pyarrow.int8()), pyarrow.array([0, 0], pyarrow.int32()),
            [pyarrow.array([None], pyarrow.int32()), pyarrow.array(["u"])]), "u"),
        "sparse": (pyarrow.UnionArray.from_sparse(
            pyarrow.array([0, 1], pyarrow.int8()),
            [pyarrow.array([5, None], pyarrow.int32()), pyarrow.array(["u", None])]), 5),
        "runs": (pyarrow.RunEndEncodedArray.from_arrays([1, 2], [7, None]), 7),
    }

    def setUp(self):
        super().setUp()
        arrays = [array for array, _ in self.COLUMNS.values()]
        batch = pyarrow.record_batch(arrays, names=list(self.COLUMNS))
        self.table = pyarrow.Table.from_batches(
            [batch.replace_schema_metadata({"made by": "a test"})])
        self.source = self.path("types.arrow")
        self.store = self.path("types.khonsu")
        with pyarrow.ipc.new_stream(self.source, self.table.schema) as writer:
            writer.write_table(self.table)
        self.run_ok("import", self.source, "--key", "k", "--to", self.store, "-q")

    def test_unchanged(self):
        back = read_stream(self.run_ok("get", "k", "--from", self.store))
        back.validate(full=True)
        self.assertEqual(back.schema.metadata, self.table.schema.metadata)
        for name in self.COLUMNS:
            self.assertEqual(back[name].type, self.table[name].type, name)
            # Python has no date before the year 1 and no nanosecond; NaN is not equal to itself.
            if name not in ("nan", "early", "time64"):
                self.assertEqual(back[name].to_pylist(), self.table[name].to_pylist(), name)
        self.assertEqual(back["early"].cast(pyarrow.int32()).to_pylist(), [-719529, None])
        self.assertEqual(back["time64"].cast(pyarrow.int64()).to_pylist(), [1, None])
        self.assertEqual(str(back["nan"].to_pylist()), "[nan, None]")

    def test_as_json(self):
        lines = self.run_ok("get", "k", "--from", self.store, "--json").decode().splitlines()
        first, second = [json.loads(line) for line in lines]
        for name, (_, expected) in self.COLUMNS.items():
            self.assertEqual(first[name], expected, name)
            self.assertIsNone(second[name], name)

    def test_as_a_table(self):
        text = self.run_ok("get", "k", "--from", self.store, "--format", "table").decode()
        lines = text.splitlines()
        self.assertEqual(len(lines), 5)
        self.assertEqual(lines[3].split(), ["NULL"] * len(self.COLUMNS))
        for expected in ("18446744073709551615", "-12.30", "00ff", "[1,null,3]",
                         '{"x":1,"y":[null]}', 'q"\\\\n\u00e9', "2024-02-29"):
            self.assertIn(expected, lines[2])


class Terminal(CliCase):
    def setUp(self):
        super().setUp()
        source = self.path("wide.arrow")
        self.store = self.path("wide.khonsu")
        write_file(source, pyarrow.table({
            "id": [1, 2, 30],
            "name": ["short", None, "\u6f22\u5b57 " * 30],
            "evil": ["\x1b[31mred\x1b[0m", "tab\there", "line\nbreak"],
            **{f"column_{i}": ["x" * 20] * 3 for i in range(8)}}))
        self.run_ok("import", source, "--key", "t/{id}", "--to", self.store, "-q")

    def test_tables_fit_the_terminal(self):
        for columns in (20, 40, 60, 100, 300):
            code, shown = on_terminal("scan", "--from", self.store, columns=columns)
            self.assertEqual(code, 0, shown)
            lines = shown.replace("\r\n", "\n").splitlines()
            for line in lines[:-1]:
                wide = sum(2 if "\u2e80" <= c <= "\u9fff" else 1 for c in line)
                self.assertLessEqual(wide, columns, line)
            self.assertTrue(lines[0].startswith("key"), shown)
            self.assertIn("(3 rows)", lines[-1])
            self.assertNotIn("\x1b", shown)
        self.assertIn("NULL", shown)
        self.assertIn("\\x1b[31mred", shown)
        self.assertIn("tab\\there", shown)
        self.assertIn("\u2026", on_terminal("scan", "--from", self.store, columns=80)[1])
        self.assertRegex(on_terminal("scan", "--from", self.store, columns=60)[1], r"  \+\d")

    def test_history_and_stats_are_tables(self):
        code, shown = on_terminal("history", "t/1", "--from", self.store)
        self.assertEqual(code, 0)
        self.assertRegex(shown, r"timestamp +time +change +rows +bytes")
        self.assertRegex(shown, r"\d{10,} +20\d\d-\d\d-\d\dT[0-9:.]+Z +put +1 +\d+")
        code, shown = on_terminal("stats", "--from", self.store)
        self.assertEqual(code, 0)
        self.assertRegex(shown, r"statistic +value")

    def test_no_binary_on_a_terminal(self):
        code, shown = on_terminal("get", "t/1", "--from", self.store, "--format", "ipc")
        self.assertEqual(code, 2)
        self.assertIn("--to", shown)


if __name__ == "__main__":
    unittest.main()
