"""docs/mutation.md as tools/mutation.py writes it: what is remembered, and what is kept."""

import os
import shutil
import tempfile
import unittest

import mutation

ROW = ("src/a.c", (10, 4, 1, 2, 1), "abc1234")
TWICE = {"file": "src/a.c", "line": 3, "was": "if (a || b)", "is": "if (a | b)"}
PLAIN = {"file": "src/a.c", "line": 2, "was": "return 0;", "is": "return -1;"}


class NoReasons:
    def of(self, _record):
        return None


class Document(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.root)
        self.addCleanup(setattr, mutation, "ROOT", mutation.ROOT)
        mutation.ROOT = self.root
        os.makedirs(os.path.join(self.root, "src"))
        with open(os.path.join(self.root, "src/a.c"), "w", encoding="utf-8") as file:
            file.write("int f(void) {\n    return 0;\n}\n")

    def make(self, rows, survivors):
        return mutation.make_document(rows, survivors, NoReasons())

    def test_it_reads_what_it_has_written(self):
        rows, survivors = mutation.read_document(self.make([ROW], [TWICE, PLAIN]))
        self.assertEqual(rows, {"src/a.c": ROW})
        found = [(each["was"], each["is"]) for each in survivors["src/a.c"]]
        self.assertEqual(found, [("return 0;", "return -1;"), ("if (a || b)", "if (a | b)")])

    def test_what_is_not_remembered_is_kept(self):
        text = self.make([ROW], [TWICE, PLAIN])
        rows, survivors = mutation.with_kept([("src/a.c", (12, 0, 0, 0, 0), "def5678")], [], text)
        self.assertEqual(self.make(rows, survivors), text)

    def test_what_is_remembered_takes_its_place(self):
        new = ("src/a.c", (12, 1, 0, 1, 0), "def5678")
        text = self.make([ROW], [TWICE, PLAIN])
        self.assertEqual(mutation.with_kept([new], [], text), ([new], []))

    def test_a_file_that_is_gone_is_not_kept(self):
        new = ("src/b.c", (12, 0, 0, 0, 0), "def5678")
        text = self.make([ROW], [TWICE, PLAIN])
        self.assertEqual(mutation.with_kept([new], [], text), ([new], []))

    def test_a_line_that_is_gone_needs_no_reason(self):
        text = self.make([ROW], [TWICE, PLAIN])
        self.assertIn("`` if (a \\| b) `` | the line is gone |", text)
        self.assertIn("`` return -1; `` | **no reason yet** |", text)


if __name__ == "__main__":
    unittest.main()
