"""tools/check_symbols.py finds what is planted: wrong exports, and calls that have another door."""

import os
import shutil
import subprocess
import tempfile
import unittest

import check_symbols

HEADER = "/* int kh_old(void); */\n#define KH_API\nKH_API int kh_one(\n    int x);\n"


class Symbols(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.root)
        self.write("include/khonsu.h", HEADER)

    def write(self, path, text):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)
        return full

    def compile(self, path, text):
        source = self.write(path, text)
        subprocess.run(["cc", "-w", "-fPIC", "-c", source, "-o", source + ".o"], check=True)
        return source + ".o"

    def exports(self, text):
        code = self.compile("src/db/x.c", text)
        shared, archive = code + ".so", code + ".a"
        subprocess.run(["cc", "-shared", code, "-o", shared], check=True)
        subprocess.run(["ar", "rcs", archive, code], check=True)
        return check_symbols.check_exports(shared, archive, os.path.join(self.root, "include"))

    def calls(self, path, text):
        return check_symbols.check_calls([self.compile(path, text)])

    def test_exports_are_what_is_declared(self):
        self.assertEqual(self.exports("int kh_one(int x) { return x; }"), [])

    def test_an_export_too_many_is_found_in_both_libraries(self):
        for name in ("index_find", "kh_two"):
            found = self.exports(f"int kh_one(int x) {{ return x; }} int {name}(void) {{}}")
            self.assertEqual(len(found), 2, found)
            self.assertIn(f"shows {name}", found[0])

    def test_an_export_too_few_is_found_in_both_libraries(self):
        found = self.exports("static int x;")
        self.assertEqual(len(found), 2, found)
        self.assertIn("does not have kh_one", found[0])

    def test_calls_go_through_their_doors(self):
        for call, door in (("open", "base/env_posix.c"), ("malloc", "base/mem.c"),
                           ("clock_gettime", "base/env_posix.c"), ("abort", "base/status.c"),
                           ("ck_epoch_init", "base/epoch.c"), ("ZSTD_compress", "batch/ipc.c"),
                           ("pthread_cond_wait", "base/lock.c"), ("write", "base/env_posix.c")):
            text = f"int {call}(); int f(void) {{ return {call}(); }}"
            self.assertEqual(self.calls(f"src/{door}", text), [], call)
            self.assertEqual(self.calls("src/txn/certify.c", text),
                             [f"src/txn/certify.c needs {call}"])

    def test_anyone_may_copy_and_compare(self):
        text = "#include <string.h>\nint f(char *a, char *b) { return memcmp(a, b, strlen(a)); }"
        self.assertEqual(self.calls("src/txn/certify.c", text), [])


if __name__ == "__main__":
    unittest.main()
