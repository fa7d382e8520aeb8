"""The README's first program compiles without a warning and runs, exactly as it stands there."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def first_program():
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        return re.search(r"^```c\n(.*?)^```$", file.read(), re.DOTALL | re.MULTILINE).group(1)


class ReadmeExample(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.directory)

    def test_compiles_and_runs(self):
        library = os.path.abspath(os.environ["KHONSU_LIB"])
        source = os.path.join(self.directory, "first.c")
        program = os.path.join(self.directory, "first")
        with open(source, "w", encoding="utf-8") as file:
            file.write(first_program())
        subprocess.run([os.environ.get("CC", "cc"), "-std=c11", "-Wall", "-Wextra", "-Wpedantic",
                        "-Werror", "-I", os.path.join(ROOT, "include"), source, "-o", program,
                        library, f"-Wl,-rpath,{os.path.dirname(library)}"], check=True)
        ran = subprocess.run([program], stdout=subprocess.PIPE, text=True, check=False)
        self.assertEqual((ran.returncode, ran.stdout), (0, "KH_OK\n"))

    def test_is_short(self):
        lines = [line for line in first_program().split("\n") if line.strip()]
        self.assertLessEqual(len(lines), 28)


if __name__ == "__main__":
    unittest.main()
