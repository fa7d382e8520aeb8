"""tools/ipc_foreign.py on a few files of pyarrow's making: it passes them, and it sees each thing
that it is there to see."""
import io
import json
import os
import stat
import subprocess
import sys
import tempfile
import unittest

import pyarrow as pa
import pyarrow.ipc as ipc

COPY = os.environ["KHONSU_IPC_COPY"]
PROGRAM = os.environ["KHONSU_BIN"]
TOOL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools",
                    "ipc_foreign.py")


def stream_of(values):
    batch = pa.RecordBatch.from_pydict({"a": pa.array(values), "b": pa.array([1.5] * len(values))})
    sink = io.BytesIO()
    with ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


class Foreign(unittest.TestCase):
    def setUp(self):
        self.place = tempfile.TemporaryDirectory()
        self.files = os.path.join(self.place.name, "files")
        self.build = os.path.join(self.place.name, "build")
        os.mkdir(self.files)
        os.mkdir(self.build)
        self.put("ints.stream", stream_of([1, 2, None]))
        self.put("none.stream", stream_of([]))
        self.put("cut-short", stream_of([1, 2, None])[:-60])
        self.put("notes.md", b"no Arrow at all")
        self.stand_in("ipc_copy", f'exec {COPY} "$@"')
        self.stand_in("khonsu", f'exec {PROGRAM} "$@"')

    def tearDown(self):
        self.place.cleanup()

    def put(self, name, data):
        with open(os.path.join(self.files, name), "wb") as file:
            file.write(data)

    def stand_in(self, name, line):
        path = os.path.join(self.build, name)
        with open(path, "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\n{line}\n")
        os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)

    def run_tool(self, failures, said=""):
        done = subprocess.run([sys.executable, TOOL, "--build", self.build, self.files],
                              stdout=subprocess.PIPE, text=True, check=False)
        proof = json.loads(done.stdout.strip().splitlines()[-1])
        self.assertEqual(proof["failures"], failures, done.stdout)
        self.assertEqual(done.returncode, 1 if failures > 0 else 0)
        self.assertIn(said, done.stdout)
        return proof

    def test_all_is_well(self):
        proof = self.run_tool(0)
        self.assertEqual((proof["valid"], proof["valid_read"]), (2, 2))
        self.assertEqual((proof["bad"], proof["bad_refused"]), (1, 1))

    def test_a_valid_file_refused(self):
        self.put("half.stream", stream_of([1, 2, 3])[:-60])
        self.run_tool(1, "KH_CORRUPT")

    def test_a_bad_file_accepted(self):
        self.put("not-bad", stream_of([1, 2, 3]))
        self.run_tool(1, "pyarrow accepts it")

    def test_other_values(self):
        other = os.path.join(self.place.name, "other")
        with open(other, "wb") as file:
            file.write(stream_of([1, 2, 4]))
        self.stand_in("ipc_copy", f'{COPY} "$@" && if [ -s "$2" ]; then cp {other} "$2"; fi')
        self.run_tool(2, "other")

    def test_other_values_by_the_program(self):
        self.put("more.stream", stream_of([5, 6, 7]))
        self.stand_in("khonsu", f'if [ "$1" = get ]; then shift; set -- get "$@"; '
                                f'exec {PROGRAM} import --from {self.files}/more.stream --key k '
                                '--to "$6" --quiet; fi; ' f'exec {PROGRAM} "$@"')
        self.run_tool(2, "khonsu get")

    def test_a_crash(self):
        self.stand_in("ipc_copy", "kill -SEGV $$")
        self.run_tool(3, "ended with -11")

    def test_a_sanitizer_report(self):
        self.stand_in("ipc_copy", f'echo "x.c:1: runtime error: no" >&2; exec {COPY} "$@"')
        self.run_tool(3, "runtime error")


if __name__ == "__main__":
    unittest.main()
