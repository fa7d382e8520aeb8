"""Each rule of tools/check_house.py finds its planted breach, there and nowhere else."""

import os
import shutil
import tempfile
import unittest

import check_house

OPENING = "/* x.c - a file. */\n"


class HouseRules(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.root)

    def breaches(self, path, text):
        """What is said of a tree with this one file: [(line, rule)]."""
        shutil.rmtree(self.root)
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full))
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)
        return [(line, rule) for _, line, rule, _ in check_house.breaches(self.root)]

    def assert_found(self, path, code, rule, line=2):
        self.assertEqual(self.breaches(path, OPENING + code + "\n"), [(line, rule)], code)

    def assert_clean(self, path, code):
        self.assertEqual(self.breaches(path, OPENING + code + "\n"), [], code)

    def test_rooms_include_downwards_only(self):
        self.assert_clean("src/store/chain.c", '#include "base/mem.h"\n#include "store/index.h"')
        self.assert_clean("src/base/status.h", '#include "khonsu/status.h"\n#include <stdint.h>')
        self.assert_found("src/base/mem.c", '#include "batch/batch.h"', "room")
        self.assert_found("src/txn/txn.c", '#include "db/db.h"', "room")
        self.assert_found("src/txn/txn.c", '#include "base/mem.c"', "room")
        self.assert_found("src/txn/txn.c", '#include "txn.h"', "room")
        self.assert_found("src/txn/txn.c", '#include "../base/mem.h"', "room")
        self.assert_found("src/attic/old.c", "", "room", line=1)
        self.assert_found("src/base/mem.c", '/* #include "batch/batch.h" is above us */', "mark")

    def test_the_program_knows_the_public_header_only(self):
        self.assert_clean("src/cli/main.c", '#include <khonsu.h>\n#include "commands.h"')
        self.assert_found("src/cli/main.c", '#include "base/mem.h"', "room")
        self.assert_found("src/cli/main.c", '#include "workload/call.h"', "room")
        self.assert_clean("src/workload/main.c", '#include <khonsu.h>\n#include "call.h"')
        self.assert_clean("src/workload/main.c", '#include "cli/options.h"')
        self.assert_found("src/workload/main.c", '#include "cli/store.h"', "room")
        self.assert_found("src/workload/main.c", '#include "base/mem.h"', "room")

    def test_headers_have_doors(self):
        doors = [("nanoarrow/nanoarrow.h", "batch/schema.c"), ("lz4frame.h", "batch/ipc.c"),
                 ("zstd.h", "batch/ipc.c"), ("flatcc/flatcc_builder.h", "batch/ipc.c"),
                 ("ck_epoch.h", "base/epoch.h"), ("xxhash.h", "base/hash.h"),
                 ("openssl/evp.h", "base/digest.c"), ("rocksdb/c.h", "log/rocks_log.c"),
                 ("pthread.h", "base/lock.h"), ("unistd.h", "base/env_posix.c"),
                 ("sys/mman.h", "base/env_posix.c"), ("fcntl.h", "cli/main.c"),
                 ("sys/mman.h", "workload/shared.c"), ("pthread.h", "workload/store_run.c"),
                 ("time.h", "base/env_posix.c")]
        for header, door in doors:
            self.assert_clean(f"src/{door}", f"#include <{header}>")
            self.assert_found("src/txn/certify.c", f"#include <{header}>", "door")
            self.assert_found("src/base/mem.c", f"#include <{header}>", "door")

    def test_calls_have_doors(self):
        for call in ("clock_gettime(0, &t);", "pthread_create(&t);", 'fprintf(stderr, "no");',
                     "p = malloc(1);", "free(p);", 'x = getenv("HOME");', "return rand();"):
            self.assert_found("src/log/record.c", f"void f(void) {{\n    {call}\n}}", "door", 3)
        for door in ("base/env_posix.c", "cli/main.c", "workload/shared.c"):
            self.assert_clean(f"src/{door}", "void f(void) {\n    clock_gettime(0, &t);\n}")
        self.assert_clean("src/log/record.c", "void f(void) {\n    hooks->free(block);\n}")
        self.assert_clean("src/log/record.c", 'void f(void) {\n    g("malloc(1)");\n}')

    def test_sizes(self):
        self.assertEqual(self.breaches("src/db/db.c", OPENING + "\n" * 600), [(601, "size")])
        self.assertEqual(self.breaches("src/db/db.c", OPENING + "\n" * 599), [])
        self.assert_found("src/db/db.c", "int " + "x" * 96 + ";", "size")
        self.assert_clean("src/db/db.c", "int " + "x" * 95 + ";")
        lines = "    x++;\n"
        self.assert_found("src/db/db.c", "void f(int x) {\n" + lines * 59 + "}", "size")
        self.assert_clean("src/db/db.c", "void f(int x) {\n" + lines * 58 + "}")
        self.assertIn((1, "size"), self.breaches("tools/x.py", "def f(x):\n" + lines * 60))

    def test_complexity(self):
        branch = "    if (x > 1) x--;\n"
        self.assert_found("src/db/db.c", "void f(int x) {\n" + branch * 15 + "}", "size")
        self.assert_clean("src/db/db.c", "void f(int x) {\n" + branch * 14 + "}")

    def test_marks(self):
        for mark in ("TO" + "DO", "FIX" + "ME", "XX" + "X"):
            self.assert_found("src/db/db.c", f"/* {mark}: later */", "mark")
            self.assert_found("cmake/x.cmake", f"# {mark}: later", "mark")
        self.assert_found("src/db/db.c", "#if 0\nint x;\n#endif", "mark")
        for code in ("x = y + 1;", "certify(record);", "return 0;", "if (x) {", "#include <x.h>"):
            self.assert_found("src/db/db.c", f"// {code}", "mark")
            self.assert_found("src/db/db.c", f"/* why\n * {code}\n */", "mark", 3)
        self.assert_clean("src/db/db.c", "/* Why: a rival may win; then x is y (section 5). */")

    def test_names(self):
        self.assert_found("src/db/data.c", "int x;", "name", line=1)
        self.assert_found("src/db/key_helper.c", "int x;", "name", line=1)
        self.assert_found("src/db/db.c", "struct row_info { int x; };", "name")
        self.assert_found("src/db/db.c", "enum misc { X };", "name")
        self.assert_found("src/db/db.c", "typedef struct { int x; } manager;", "name")
        self.assert_clean("src/db/db.c", "struct metadata { int data; };")

    def test_public_headers(self):
        path = "include/khonsu/x.h"
        self.assert_clean(path, "/* Does it. */\nint kh_do(int x);")
        self.assert_clean(path, "/* Both. */\nint kh_do(int x);\nint kh_undo(int x);")
        self.assert_clean(path, "/* A cell. */\ntypedef struct kh_cell {\n    int row;\n} kh_cell;")
        self.assert_clean(path, "/* Gives it. */\ntypedef void (*kh_give)(int x);")
        self.assert_found(path, "\nint kh_one(int x);\n\nint kh_do(int x);", "public", line=5)
        self.assert_found(path, "\n/* ---- reading ---- */\nint kh_do(int x);", "public", line=4)
        self.assert_found(path, "/* Does it. */\nint do_it(int x);", "public", line=3)
        self.assert_found(path, "struct cell {\n    int row;\n};", "public")
        self.assert_found(path, "typedef void (*give)(int x);", "public")
        self.assert_found(path, "#define LIMIT 3", "public")

    def test_orders(self):
        self.assert_found("src/db/db.c", "void f(void) {\n    atomic_load(&x);\n}", "order", 3)
        self.assert_found("src/db/db.c", "void f(void) {\n    atomic_fetch_add(&x, 1);\n}",
                          "order", 3)
        self.assert_clean("src/db/db.c",
                          "void f(void) {\n    atomic_load_explicit(&x, memory_order_relaxed);\n}")

    def test_openings(self):
        self.assertEqual(self.breaches("src/db/db.c", "#include <stdint.h>\n"), [(1, "opening")])

    def test_tests_do_not_wait_for_time(self):
        for call in ("sl" + "eep(1);", "usl" + "eep(1);", "nanosl" + "eep(&t, 0);"):
            self.assert_found("test/unit/x.c", f"void f(void) {{\n    {call}\n}}", "sleep", 3)
        self.assertEqual(self.breaches("test/python/x.py", "time.sl" + "eep(1)\n"),
                         [(1, "sleep")])
        self.assert_clean("test/unit/x.c", "/* no sl" + "eep( here */")

    def test_models_stand_outside(self):
        self.assert_found("test/model/serial.c", '#include "txn/certify.h"', "outside")
        self.assert_found("test/api/open.c", '#include "base/mem.h"', "outside")
        self.assert_clean("test/model/serial.c", '#include "model/map.h"')
        self.assert_clean("test/unit/mem.c", '#include "base/mem.h"')


if __name__ == "__main__":
    unittest.main()
