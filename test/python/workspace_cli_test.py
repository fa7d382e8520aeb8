"""The command `khonsu workspace`: list, compare, commit, --classify; what log shows of it."""

import ctypes
import json
import os
import unittest
from ctypes import byref, c_char_p, c_float, c_size_t, c_void_p

import pyarrow
from _cli import CliCase, khonsu, write_file
from _engine import Bytes, Engine, load

IS_DURABLE = load().kh_has_feature(c_char_p(b"durable"))
CLASSES = ["none", "orthogonal", "identical", "opposite", "conflicting", "ambiguous",
           "low conflict"]


class Floats(ctypes.Structure):
    _fields_ = [("values", ctypes.POINTER(c_float)), ("count", c_size_t)]


class Database(Engine):
    """Workspaces with all defaults, from the zero vector to the given one."""

    def workspace(self, key, after):
        library = self.library
        workspace = c_void_p()
        self.must(library.kh_workspace_begin(self.db, None, byref(workspace), None))
        batch = self.batch({1: 1})
        self.must(library.kh_workspace_put(workspace, Bytes(*self.name(key)), c_void_p(batch),
                                           None))
        library.kh_batch_release(batch)
        for call, values in ((library.kh_workspace_set_before, [0.0] * len(after)),
                             (library.kh_workspace_set_after, after)):
            array = (c_float * len(values))(*values)
            self.must(call(workspace, Floats(array, len(values)), None))
        return workspace

    def name(self, key):
        if key not in self.keys:
            self.keys[key] = ctypes.create_string_buffer(key.encode())
        return ctypes.addressof(self.keys[key]), len(key.encode())

    def prepare(self, key, after):
        workspace = self.workspace(key, after)
        self.must(self.library.kh_workspace_prepare(workspace, None))
        return workspace

    def commit_workspace(self, workspace):
        self.must(self.library.kh_workspace_commit(workspace, None, None))

    def close_workspace(self, workspace):
        self.library.kh_workspace_close.argtypes = [c_void_p]
        self.library.kh_workspace_close(workspace)


class Numbers(CliCase):
    def write(self, name, text):
        path = self.path(name)
        with open(path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        return path

    def classify(self, *arguments, stdin=None):
        text = self.run_ok("workspace", "--classify", *arguments, "--json", stdin=stdin)
        return json.loads(text)


class Classify(Numbers):
    def setUp(self):
        super().setUp()
        self.east = self.write("east", "1 0")

    def test_every_line_of_the_table(self):
        cases = [("0 0", (), "none", "one is zero, or their dimensions differ"),
                 ("1 0 0", (), "none", "one is zero, or their dimensions differ"),
                 ("0.05 1", (), "orthogonal", "|s| < 0.1"),
                 ("2 0.1", ("--key", "a"), "identical", "the same keys, s >= 0.99"),
                 ("2 0.1", (), "conflicting", "s >= 0.7"),
                 ("-1 0.1", (), "opposite", "s <= -0.95"),
                 ("0.8 0.6", (), "conflicting", "s >= 0.7"),
                 ("0.5 0.866", ("-k", "a", "--key", "b"), "ambiguous", "a key is shared"),
                 ("0.5 0.866", (), "low conflict", "none of these")]
        for numbers, arguments, kind, line in cases:
            other = self.write("other", numbers)
            found = self.classify(self.east, other, *arguments)
            self.assertEqual((found["class"], found["decided_by"]), (kind, line), numbers)
            swapped = self.classify(other, self.east, *arguments)
            self.assertEqual((swapped["class"], swapped["cosine"]), (kind, found["cosine"]))
            shown = self.run_ok("workspace", "--classify", self.east, other, *arguments).decode()
            self.assertTrue(shown.startswith(f"{kind}, cosine {found['cosine']:.4f}: {line}\n"))
            lines = shown.splitlines()
            self.assertTrue(lines[-1].startswith(kind), shown)
            self.assertTrue(lines[-1].endswith("yes: decides"), shown)
            self.assertEqual(shown.count("decides"), 1)

    def test_sparse_ones_by_their_positions(self):
        first = self.write("first", "1 1 0 0 0 0")
        second = self.write("second", "1 -0.5 0 0 0 0")
        found = self.classify(first, second)
        self.assertEqual(found["decided_by"], "both sparse, Jaccard index >= 0.5")
        self.assertEqual((found["class"], found["jaccard"]), ("conflicting", 1))
        found = self.classify(first, second, "--threshold-jaccard", "1.5")
        self.assertEqual(found["class"], "low conflict")

    def test_thresholds(self):
        other = self.write("other", "0.8 0.6")
        for name, value, kind in (("conflicting", "0.81", "low conflict"),
                                  ("conflicting", "0.79", "conflicting"),
                                  ("orthogonal", "0.9", "orthogonal"),
                                  ("opposite", "0.9", "opposite")):
            found = self.classify(self.east, other, f"--threshold-{name}", value)
            self.assertEqual(found["class"], kind)
        found = self.classify(self.east, other, "--key=a", "--threshold-identical", "0.7")
        self.assertEqual(found["class"], "identical")
        west = self.write("west", "-1 1")
        found = self.classify(self.east, west, "--threshold-opposite", "-0.6")
        self.assertEqual((found["class"], found["decided_by"]), ("opposite", "s <= -0.6"))
        self.run_wrong(2, "workspace", "--classify", self.east, other, "--threshold-opposite",
                       "low", says="wants a number")
        self.run_wrong(2, "workspace", "--classify", self.east, other, "--threshold-opposite",
                       "nan", says="wants a number")

    def test_forms_of_files(self):
        for text in ("1\n0.5\n-2e-1\n", "1 0.5 -0.2", "1,0.5,-.2", " 1,\n0.5 ,\r\n-0.2",
                     "[1, 0.5, -0.2]\n", "[\n1\n,\n0.5,-0.20]", "+1\t0.5\t-0.2"):
            numbers = self.write("numbers", text)
            found = self.classify(numbers, numbers)
            self.assertEqual(found["deltas"][0]["dimension"], 3, text)
            self.assertAlmostEqual(found["deltas"][0]["magnitude"], 1.29 ** 0.5, 6)
        found = self.classify("-", self.east, stdin=b"[3, 4]")
        self.assertEqual(found["deltas"][0]["magnitude"], 5)
        many = self.write("many", "\n".join("1" for _ in range(65536)))
        self.assertEqual(self.classify(many, many)["deltas"][0]["dimension"], 65536)

    def test_wrong_files(self):
        cases = [("", "holds no numbers"), (" \n\n", "holds no numbers"),
                 ("[]", "holds no numbers"), ("1 nan", "line 1: 'nan' is no value"),
                 ("1\n-NaN", "line 2: '-NaN' is no value"), ("1 Infinity", "must be finite"),
                 ("1 -inf", "must be finite"), ("1 1e39", "beyond what 32 bits hold"),
                 ("1 2e16", "KH_INVALID"), ("1 x", "'x' is not a number"),
                 ("1 0x10", "'0x10' is not a number"), ("1 null", "'null' is not a number"),
                 ("1 1e", "is not a number"), ("1 1.2.3", "is not a number"),
                 ("1,,2", "a comma without a number before it"), (",1", "a comma without"),
                 ("1,2,", "a comma without a number behind it"),
                 ("[1,2,]", "a comma without a number behind it"), ("[1 2]", "needs a comma"),
                 ("[1, 2", "does not end"), ("1, 2]", "] without an array"),
                 ("[1, 2]]", "] without an array"), ("[1, [2]]", "not nested"),
                 ("1 [2]", "not nested"), ("[1, 2] 3", "behind the array's end"),
                 ("[1][2]", "not nested"), ("1 " + "9" * 100, "not a number"),
                 (b"1 \0 2", "is not a number"), (b"\xff\xfe1", "is not a number"),
                 ("1\n" * 65537, "more than 65,536")]
        for text, says in cases:
            wrong = self.write("wrong", text)
            self.run_wrong(1, "workspace", "--classify", self.east, wrong, says=says)
        self.run_wrong(1, "workspace", "--classify", self.east, self.path("none"),
                       says="No such file")
        self.run_wrong(1, "workspace", "--classify", self.folder, self.east, says="cannot read")

    def test_usage(self):
        self.run_wrong(2, "workspace", "--classify", self.east, says="something is missing")
        self.run_wrong(2, "workspace", "--classify", self.east, self.east, self.east,
                       says="one operand too many")
        self.run_wrong(2, "workspace", "--classify", self.east, self.east, "--key", "",
                       says="1 to 65,535 bytes")
        self.run_wrong(2, "workspace", "--classify", self.east, self.east, "--keys", "a",
                       says="did you mean --key?")


class Usage(CliCase):
    def test_help(self):
        overview = self.run_ok("workspace", "--help").decode()
        for word in ("list", "compare", "commit"):
            self.assertIn(f"khonsu workspace DIR {word}", overview)
            text = self.run_ok("workspace", word, "--help").decode()
            self.assertEqual(self.run_ok("workspace", "notes.db", word, "-h").decode(), text)
            for part in (f"usage: khonsu workspace DIR {word} ", "options:", "examples:", "--json",
                         "exit codes:"):
                self.assertIn(part, text)
            self.assertTrue(all(len(line) <= 100 for line in text.splitlines()), text)
        text = self.run_ok("workspace", "--classify", "--help").decode()
        self.assertIn("usage: khonsu workspace --classify FILE FILE", text)

    def test_wrong_words(self):
        self.run_wrong(2, "workspace", says="something is missing")
        self.run_wrong(2, "workspace", "notes.db", says="something is missing")
        self.run_wrong(2, "workspace", "notes.db", "show", says="none of list, compare and commit")
        self.run_wrong(2, "workspace", "--json", "notes.db", says="no option --json")
        self.run_wrong(2, "workspace", "list", "--json", says="no option --json")
        self.run_wrong(2, "workspace", "n", "list", "m", says="one operand too many")
        self.run_wrong(2, "workspace", "n", "list", "--since", "soon", says="no time")
        self.run_wrong(2, "workspace", "n", "list", "--limit", "few", says="whole number")
        self.run_wrong(2, "workspace", "n", "compare", "--window", "-1", says="whole number")
        self.run_wrong(2, "workspace", "n", "compare", "--mode", "guard", says="no option --mode")


@unittest.skipUnless(IS_DURABLE, "this build keeps databases in memory only")
class WithDatabase(Numbers):
    def setUp(self):
        super().setUp()
        self.db = self.path("notes.db")
        self.value = self.path("value.arrow")
        write_file(self.value, pyarrow.table({"id": [1, 2], "text": ["x", "y"]}))
        self.zero = self.write("zero", "0 0")

    def arguments(self, key, after=None, *more):
        put = ["workspace", self.db, "commit", "--put", f"{key}={self.value}", *more]
        if after is not None:
            put += ["--before", self.zero, "--after", self.write("after", after)]
        return put

    def commit(self, *arguments):
        return json.loads(self.run_ok(*self.arguments(*arguments), "--json"))

    def refused(self, status, *arguments, says):
        done = self.run_wrong(1, *self.arguments(*arguments), "--json", says=says)
        answer = json.loads(done.stdout)
        self.assertEqual(answer["status"], status)
        self.assertIn(f"({status})", done.stderr.decode())
        return answer

    def lines(self, word, *arguments):
        text = self.run_ok("workspace", self.db, word, "--json", *arguments).decode()
        return [json.loads(line) for line in text.splitlines()]


class Commit(WithDatabase):
    def test_what_is_written_and_listed(self):
        first = self.commit("notes/a", "3 -4", "--mode", "guard")
        self.assertEqual(first["status"], "KH_OK")
        plain = self.run_ok(*self.arguments("plain")).decode()
        self.assertRegex(plain, r"^committed at timestamp \d+ \(20\S+Z\), transaction 0:\d+\n$")
        second = self.commit("notes/b", "0 1", "--put", f"notes/\\x3d={self.value}", "--delete",
                             "plain", "--mode", "merge", "--isolation", "serializable")
        found = self.lines("list")
        self.assertEqual([entry["id"] for entry in found], [first["id"], second["id"]])
        self.assertEqual([entry["timestamp"] for entry in found],
                         [first["timestamp"], second["timestamp"]])
        self.assertEqual([entry["mode"] for entry in found], ["guard", "merge"])
        self.assertEqual([entry["magnitude"] for entry in found], [5, 1])
        self.assertEqual([entry["filled"] for entry in found], [2, 1])
        self.assertEqual([entry["keys"] for entry in found],
                         [["notes/a"], ["notes/=", "notes/b", "plain"]])
        self.assertEqual([entry["position"] for entry in found], [1, 3])
        self.assertEqual(self.lines("list", "--limit", "1"), found[:1])
        self.assertEqual(self.lines("list", "--since", str(first["timestamp"])), found[1:])
        table = self.run_ok("workspace", self.db, "list").decode().splitlines()
        self.assertEqual(table[0].split(), ["position", "transaction", "timestamp", "time", "mode",
                                            "dimension", "magnitude", "keys"])
        self.assertEqual(table[3].split()[4:], ["merge", "2", "1", "notes/=", "notes/b", "plain"])
        self.assertEqual(table[4], "(2 deltas)")

    def test_the_log_says_it(self):
        self.commit("a", "3 -4", "--mode", "guard")
        self.commit("b")
        shown = self.run_ok("log", self.db).decode().splitlines()
        self.assertRegex(shown[1], r" mode=guard dimension=2 filled=2 magnitude=5 a=\d+$")
        self.assertNotIn("mode=", shown[2])
        records = [json.loads(line) for line in self.run_ok("log", self.db, "--json").splitlines()]
        self.assertEqual(records[1]["semantic"],
                         {"mode": "guard", "dimension": 2, "filled": 2, "magnitude": 5})
        self.assertNotIn("semantic", records[2])
        self.run_ok("verify", self.db)

    def test_what_was_not_seen(self):
        seen = str(self.commit("notes/a", "0 1")["timestamp"])
        rival = self.commit("notes/b", "1 0")
        guard = ("--mode", "guard", "--seen", seen)
        for after, kind, cosine in (("0.8 0.6", "conflicting", 0.8),
                                    ("-2 0.2", "opposite", -0.995)):
            answer = self.refused("KH_SEMANTIC_CONFLICT", "c", after, *guard, says=kind)
            self.assertEqual((answer["rival"], answer["class"]), (rival["id"], kind))
            self.assertEqual(answer["rival_timestamp"], rival["timestamp"])
            self.assertEqual(answer["rival_keys"], ["notes/b"])
            self.assertAlmostEqual(answer["cosine"], cosine, 4)
        self.commit("c", "0.8 0.6", *guard, "--threshold-conflicting", "0.9")
        self.commit("d", "0.5 0.866", *guard, "--threshold-conflicting", "0.95")
        self.commit("e", "1 0", "--mode", "keys", "--seen", seen)
        self.commit("f", "1 0", "--mode", "guard")
        self.commit("g", None, *guard)
        now = self.lines("list")[-1]["timestamp"]
        self.commit("h", "1 0", "--mode", "guard", "--seen", str(now + 1))

    def test_keys_decide_first(self):
        seen = str(self.commit("a", "0 1")["timestamp"])
        rival = self.commit("b", "1 0")
        for mode in ("keys", "guard", "merge"):
            answer = self.refused("KH_CONFLICT", "b", "1 0", "--seen", seen, "--mode", mode,
                                  says="the key 'b' was changed")
            self.assertEqual((answer["key"], answer["rival_timestamp"]), ("b", rival["timestamp"]))
        self.run_ok("workspace", self.db, "commit", "--delete", "b")
        self.refused("KH_CONFLICT", "b", None, "--seen", str(rival["timestamp"]),
                     says="the key 'b' was changed")
        self.assertEqual(len(self.lines("list")), 2)

    def test_history_that_does_not_reach_back(self):
        seen = self.commit("a", "0 1")["timestamp"]
        self.commit("b", "1 0")
        self.run_ok("compact", self.db, "--quiet")
        self.refused("KH_TOO_OLD", "c", "1 0", "--mode", "guard", "--seen", str(seen),
                     says="does not reach back")
        self.assertEqual(self.lines("list"), [])
        self.assertIn("does not reach back",
                      self.run_ok("workspace", self.db, "list").decode())
        self.commit("c", "1 0", "--mode", "guard")

    def test_wrong_input_changes_nothing(self):
        self.commit("a")
        before = self.run_ok("log", self.db)
        three = self.write("three", "1 2 3")
        bad = self.write("bad", "1 nan")
        put = ["workspace", self.db, "commit", "--put", f"b={self.value}"]
        self.run_wrong(1, *put, "--before", self.zero, "--after", three,
                       says="has 2 numbers and")
        self.run_wrong(1, *put, "--before", self.zero, "--after", bad, says="must be finite")
        self.run_wrong(1, *put, "--before", self.path("none"), "--after", three,
                       says="No such file")
        self.run_wrong(1, *put, "--put", "c=" + self.path("none"), says="No such file")
        self.run_wrong(1, *put, "--put", "c=" + three, says="khonsu: ")
        self.run_wrong(3, *put, "--delete", "absent", says="no such key to delete")
        for more, says in ((["--before", self.zero], "belong together"),
                           (["--after", self.zero], "belong together"),
                           (["--put", "c"], "wants KEY=FILE"), (["--put", "c="], "wants KEY=FILE"),
                           (["--put", f"={self.value}"], "1 to 65,535 bytes"),
                           (["--put", f"c\\={self.value}"], "lone backslash"),
                           (["--delete", "b"], "given twice"),
                           (["--mode", "strict"], "keys|guard|merge"),
                           (["--isolation", "none"], "repeatable-read"),
                           (["--seen", "then"], "no time"),
                           (["--threshold-conflicting", "x"], "wants a number")):
            self.run_wrong(2, *put, *more, says=says)
        self.run_wrong(2, "workspace", self.db, "commit", says="nothing to do")
        self.assertEqual(self.run_ok("log", self.db), before)

    def test_what_is_prepared_is_in_the_way(self):
        database = Database(path=self.db, retention_ms=1 << 40)
        prepared = database.prepare("notes/p", [1.0, 0.0])
        database.close_workspace(prepared)
        database.close()
        entry = self.lines("list")[0]
        self.assertEqual((entry["keys"], entry["mode"]), (["notes/p"], "keys"))
        self.assertNotIn("timestamp", entry)
        self.assertIn(" prepared ", self.run_ok("workspace", self.db, "list").decode())
        self.assertEqual(self.lines("compare")[0]["deltas"], 0)
        answer = self.refused("KH_HELD", "c", "1 0", "--mode", "guard", says="wait for")
        self.assertEqual(answer["rival"], entry["id"])
        self.refused("KH_HELD", "notes/p", says="'notes/p' is held")
        self.commit("c", "1 0")

    def test_a_directory_that_is_open_or_none(self):
        self.run_wrong(1, "workspace", self.db, "list", says="not a database")
        self.run_wrong(1, "workspace", self.db, "compare", says="not a database")
        database = Database(path=self.db)
        for arguments in (["workspace", self.db, "list"], ["workspace", self.db, "compare"],
                          self.arguments("a")):
            self.run_wrong(1, *arguments, says=f"process {os.getpid()}")
        database.close()


class Compare(WithDatabase):
    def fill(self):
        """In two steps, too: its place is that of the decision."""
        database = Database(path=self.db, retention_ms=1 << 40)
        late = database.prepare("p", [1.0, 0.0])
        for key, after in (("a", [0.0, 1.0]), ("b", [0.1, -1.0]), ("a", [0.5, 0.866])):
            workspace = database.workspace(key, after)
            database.commit_workspace(workspace)
            database.close_workspace(workspace)
        database.commit_workspace(late)
        database.close_workspace(late)
        dropped = database.prepare("q", [1.0, 0.0])
        self.assertEqual(database.library.kh_workspace_rollback(dropped), 0)
        database.close_workspace(dropped)
        database.close()

    def test_every_pair(self):
        self.fill()
        listed = self.lines("list")
        self.assertEqual([entry["keys"][0] for entry in listed], ["a", "b", "a", "p"])
        counts, *pairs = self.lines("compare")
        self.assertEqual((counts["deltas"], counts["pairs"]), (4, 6))
        self.assertEqual(list(counts["classes"]), CLASSES)
        self.assertEqual(sum(counts["classes"].values()), 6)
        self.assertEqual(counts["classes"]["opposite"], 1)
        self.assertEqual(counts["classes"]["conflicting"], 1)
        self.assertEqual([pair["class"] for pair in pairs], ["opposite", "conflicting"])
        self.assertAlmostEqual(pairs[0]["cosine"], -0.995, 3)
        self.assertEqual(pairs[0]["shared_keys"], [])
        self.assertEqual(pairs[1]["shared_keys"], ["a"])
        self.assertEqual([pairs[1][end]["id"] for end in ("first", "second")],
                         [listed[0]["id"], listed[2]["id"]])
        self.assertEqual(pairs[1]["first"]["timestamp"], listed[0]["timestamp"])
        table = self.run_ok("workspace", self.db, "compare").decode()
        self.assertIn("(6 pairs of 4 deltas)", table)
        self.assertRegex(table, r"\nopposite +-0\.99\d+ +0:\d+ +0:\d+ +0 +-\n")
        self.assertRegex(table, r"\nconflicting +0\.8660 +0:\d+ +0:\d+ +0 +a\n")

    def test_options(self):
        self.fill()
        counts, *pairs = self.lines("compare", "--limit", "1")
        self.assertEqual((counts["pairs"], [pair["class"] for pair in pairs]), (6, ["opposite"]))
        self.assertIn("(1 of 2)", self.run_ok("workspace", self.db, "compare", "-n", "1").decode())
        counts, *pairs = self.lines("compare", "--threshold-conflicting", "0.9",
                                    "--threshold-opposite", "-0.999")
        self.assertEqual(pairs, [])
        self.assertEqual(counts["classes"]["ambiguous"], 1)
        self.assertEqual(self.lines("compare", "--window", "0")[0]["pairs"], 6)

    def test_a_window(self):
        for index, after in enumerate(("1 0", "1 0.1", "1 0.2")):
            self.commit(f"k{index}", after)
        times = [entry["timestamp"] >> 16 for entry in self.lines("list")]
        window = times[1] - times[0]
        expected = sum(1 for i in range(3) for j in range(i) if times[i] - times[j] <= window)
        counts, *pairs = self.lines("compare", "--window", str(window))
        self.assertEqual((counts["pairs"], len(pairs)), (expected, expected))
        for pair in pairs:
            self.assertLessEqual(pair["apart_ms"], window)

    def test_an_empty_log(self):
        khonsu(*self.arguments("a"))
        self.assertEqual(self.lines("compare"),
                         [{"deltas": 0, "pairs": 0, "classes": dict.fromkeys(CLASSES, 0)}])
        self.assertIn("(0 pairs of 0 deltas)",
                      self.run_ok("workspace", self.db, "compare").decode())


if __name__ == "__main__":
    unittest.main()
