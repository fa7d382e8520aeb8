#!/usr/bin/env python3
"""Feed the Arrow IPC files of other projects to khonsu, the valid and the known-bad.

usage: ipc_foreign.py [--build DIR] [--verbose] PLACE

PLACE is searched for files: *.stream and *.arrow_file are valid, *.gz, *.json and *.md are passed
over, all others are known to be bad (so it is in Arrow's own collection, apache/arrow-testing,
under data/arrow-ipc-*; khonsu keeps no copy of it). DIR is a build of the preset asan.

A valid file must be read, by ipc_copy (the public interface) and by khonsu import; what khonsu then
writes must hold, in pyarrow's reading, the schema and the values that pyarrow reads in the
original. A bad file must be refused with a status of the reader's list. Neither may crash, hang, be
reported by a sanitizer or take more memory than a small file is worth. The last line is JSON; exit
status 1 when something failed.
"""

import argparse
import collections
import json
import os
import resource
import subprocess
import sys
import tempfile

import pyarrow as pa
import pyarrow.ipc as ipc

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "test", "python"))
from _arrow_values import cells  # noqa: E402

SECONDS = 60
PEAK_MIB = 700  # the sanitizer's own share included
REFUSALS = ("KH_CORRUPT", "KH_TOO_BIG", "KH_UNSUPPORTED")
ENVIRONMENT = {
    **os.environ,
    "ASAN_OPTIONS": "detect_stack_use_after_return=1:max_allocation_size_mb=512:exitcode=99",
    "UBSAN_OPTIONS": "print_stacktrace=1:exitcode=99",
}


class Wrong(Exception):
    """What a file showed to be wrong."""


def call(*command):
    """Exit status, standard output and standard error of a program that ended by itself."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              errors="replace", env=ENVIRONMENT, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise Wrong(f"{os.path.basename(command[0])} hangs") from None
    if done.returncode not in (0, 1, 2, 3) or "Sanitizer" in done.stderr or \
            "runtime error" in done.stderr:
        raise Wrong(f"{os.path.basename(command[0])} ended with {done.returncode}: "
                    f"{done.stderr.strip()[:2000]}")
    return done.returncode, done.stdout.strip(), done.stderr.strip()


# ---- pyarrow's opinion -------------------------------------------------------------------------

def arrow_reads(path):
    """Schema and batches. Raises pyarrow's errors."""
    with open(path, "rb") as file:
        data = file.read()
    if data[:6] == b"ARROW1":
        reader = ipc.open_file(data)
        return reader.schema, [reader.get_batch(i) for i in range(reader.num_record_batches)]
    reader = ipc.open_stream(data)
    return reader.schema, list(reader)


def arrow_accepts(path):
    try:
        for batch in arrow_reads(path)[1]:
            batch.validate(full=True)
    except (pa.ArrowException, OSError, ValueError):
        return False
    return True


def rows_of(batches):
    """All rows as one list a column."""
    columns = [[] for _ in range(batches[0].num_columns)] if batches else []
    for batch in batches:
        for column, array in zip(columns, batch.columns):
            column.extend(cells(array))
    return columns



def same_values(ours, theirs):
    try:
        # Repeated: NaN is not equal to itself.
        return repr(rows_of(ours[1])) == repr(rows_of(theirs[1]))
    except KeyError:  # pyarrow has no arrays of two of the intervals, its C++ has
        return pa.Table.from_batches(ours[1], ours[0]).equals(
            pa.Table.from_batches(theirs[1], theirs[0]))


def must_match(what, ours, theirs, has_same_batches):
    if not ours[0].equals(theirs[0], check_metadata=True):
        raise Wrong(f"{what}: schema\n{ours[0]}\nand it was\n{theirs[0]}")
    if has_same_batches and [b.num_rows for b in ours[1]] != [b.num_rows for b in theirs[1]]:
        raise Wrong(f"{what}: other batches")
    if not same_values(ours, theirs):
        raise Wrong(f"{what}: other values")


# ---- files -------------------------------------------------------------------------------------

class Trial:
    def __init__(self, build, place):
        self.copy = os.path.join(build, "ipc_copy")
        self.program = os.path.join(build, "khonsu")
        self.stream = os.path.join(place, "out.stream")
        self.file = os.path.join(place, "out.arrow")
        self.store = os.path.join(place, "out.khonsu")

    def forget(self):
        for path in (self.stream, self.file, self.store):
            if os.path.exists(path):
                os.remove(path)

    def read(self, path):
        """Status, and what was said of it."""
        self.forget()
        code, line, said = call(self.copy, path, self.stream, self.file)
        if code != 0:
            raise Wrong(f"ipc_copy: {said[:500]}")
        return line.split(" ")[0], line

    def take_valid(self, path):
        status, line = self.read(path)
        if status != "KH_OK":
            raise Wrong(line)
        theirs = arrow_reads(path)
        must_match("the stream", arrow_reads(self.stream), theirs, True)
        if os.path.exists(self.file):  # not every dictionary can grow in a file
            must_match("the file", arrow_reads(self.file), theirs, True)
        self.through_the_program(path, theirs)
        return line

    def through_the_program(self, path, theirs):
        """import, get: one value of all batches."""
        self.forget()
        code, _, said = call(self.program, "import", "--from", path, "--key", "k", "--to",
                             self.store, "--quiet")
        if sum(batch.num_rows for batch in theirs[1]) == 0:
            if code != 1 or "has no rows" not in said:
                raise Wrong(f"khonsu import of no rows: {code} {said}")
            return
        if code != 0:
            raise Wrong(f"khonsu import: {said}")
        code, _, said = call(self.program, "get", "k", "--from", self.store, "--to", self.file)
        if code != 0:
            raise Wrong(f"khonsu get: {said}")
        must_match("khonsu get", arrow_reads(self.file), theirs, False)

    def take_bad(self, path):
        status, line = self.read(path)
        if status == "KH_OK":
            opinion = "accepts" if arrow_accepts(path) else "refuses"
            raise Wrong(f"{line} (pyarrow {opinion} it)")
        if status not in REFUSALS:
            raise Wrong(line)
        code, _, said = call(self.program, "import", "--from", path, "--key", "k", "--to",
                             self.store, "--quiet")
        if code != 1 or not said.startswith("khonsu: "):
            raise Wrong(f"khonsu import: {code} {said}")
        return line


def find(place):
    """[(is valid, path)]"""
    found = []
    for folder, _, names in os.walk(place):
        for name in names:
            if not name.endswith((".gz", ".json", ".md")):
                found.append((name.endswith((".stream", ".arrow_file")),
                              os.path.join(folder, name)))
    return sorted(found)


def judge(trial, is_valid, path):
    """What was said, what was wrong (or None)."""
    try:
        line = trial.take_valid(path) if is_valid else trial.take_bad(path)
    except Wrong as wrong:
        return "", str(wrong)
    return line, None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "asan"))
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("place")
    arguments = parser.parse_args()
    verdicts = collections.Counter()
    failures = 0
    with tempfile.TemporaryDirectory() as place:
        trial = Trial(os.path.abspath(arguments.build), place)
        for is_valid, path in find(arguments.place):
            line, wrong = judge(trial, is_valid, path)
            kind = "valid" if is_valid else "bad"
            verdicts[kind] += 1
            if wrong is None:
                verdicts[kind, line.split(" ")[0]] += 1
            else:
                failures += 1
                print(f"{path}: {wrong}", flush=True)
            if arguments.verbose:
                print(f"{kind} {os.path.relpath(path, arguments.place)}: {line}", flush=True)
    peak_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    if peak_mib > PEAK_MIB:
        failures += 1
        print(f"a child took {peak_mib} MiB")
    for verdict in sorted((key for key in verdicts if isinstance(key, tuple))):
        print(f"{verdict[0]:6}{verdict[1]:16}{verdicts[verdict]}")
    print(json.dumps({"proof": "ipc_foreign", "valid": verdicts["valid"],
                      "valid_read": verdicts["valid", "KH_OK"], "bad": verdicts["bad"],
                      "bad_refused": sum(verdicts["bad", status] for status in REFUSALS),
                      "peak_mib": peak_mib, "failures": failures}))
    return 1 if failures > 0 else 0


if __name__ == "__main__":
    sys.exit(main())
