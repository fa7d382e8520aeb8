"""The storage in docs/durability.md stands like that in examples/sqlite_storage.c, which is run."""

import os
import re
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


class StorageExample(unittest.TestCase):
    def test_each_part_is_the_program_s(self):
        section = read("docs", "durability.md").split("## A storage of your own", 1)[1]
        code = re.search(r"^```c\n(.*?)^```$", section, re.DOTALL | re.MULTILINE).group(1)
        parts = [part.strip("\n") for part in code.split("\n\n")]
        program = read("examples", "sqlite_storage.c")
        self.assertGreater(len(parts), 6)
        for part in parts:
            self.assertIn(part, program)

    def test_no_function_of_the_interface_is_left_out(self):
        header = read("include", "khonsu", "log.h")
        body = re.search(r"typedef struct kh_storage \{(.*?)\n\} kh_storage;", header,
                         re.DOTALL).group(1)
        section = read("docs", "durability.md").split("## A storage of your own", 1)[1]
        for name in re.findall(r"\(\*(\w+)\)\(", body):
            self.assertIn(f".{name} = ", section)


if __name__ == "__main__":
    unittest.main()
