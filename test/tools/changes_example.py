"""The program in docs/changes.md compiles without a warning and runs, as it stands there."""

import ctypes
import os
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


class ChangesExample(unittest.TestCase):
    def test_compiles_and_runs(self):
        library = os.path.abspath(os.environ["KHONSU_LIB"])
        if not ctypes.CDLL(library).kh_has_feature(ctypes.c_char_p(b"durable")):
            self.skipTest("a build without durable databases")
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        with open(os.path.join(ROOT, "docs", "changes.md"), encoding="utf-8") as file:
            text = re.search(r"^```c\n(.*?)^```$", file.read(), re.DOTALL | re.MULTILINE).group(1)
        source = os.path.join(directory, "changes.c")
        program = os.path.join(directory, "changes")
        with open(source, "w", encoding="utf-8") as file:
            file.write(text)
        subprocess.run([os.environ.get("CC", "cc"), "-std=c11", "-Wall", "-Wextra", "-Wpedantic",
                        "-Werror", "-I", os.path.join(ROOT, "include"), source, "-o", program,
                        library, f"-Wl,-rpath,{os.path.dirname(library)}"], check=True)
        for times in (1, 2):  # what an earlier run committed is there still
            ran = subprocess.run([program, os.path.join(directory, "db")], stdout=subprocess.PIPE,
                                 text=True, check=False)
            self.assertEqual((ran.returncode, ran.stdout), (0, "delete orders/17\n" * times))


if __name__ == "__main__":
    unittest.main()
