#!/usr/bin/env python3
"""Load a file into a durable database, beside a sequential write and fdatasync of its bytes.

usage: load.py --program KHONSU --file FILE [--key PATTERN] [--place DIR] [--rounds N]
               [--arguments WORDS] [--bar RATIO] [--json FILE]

The two alternate, a round each; before each of them the system's dirty pages are written. The
load's time is from the first byte read to the last commit acknowledged, as `khonsu import` says it;
the write's is from open to fdatasync, the bytes being in memory. Both files' pages are cached.
Printed are medians and the ratio of each round, which is what is judged: exit status 1 when its
median is below the bar. The process' time until it has ended, when the storage has everything, too,
stands beside.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import time

CHUNK_BYTES = 1 << 20
TOLD = re.compile(r"(\d+) keys, (\d+) bytes, (\d+) transactions in .* after ([\d.]+) s")


def write(path, contents):
    """Seconds of a sequential write and fdatasync."""
    os.sync()
    view = memoryview(contents)
    began = time.monotonic()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for at in range(0, len(view), CHUNK_BYTES):
        os.write(descriptor, view[at:at + CHUNK_BYTES])
    os.fdatasync(descriptor)
    took = time.monotonic() - began
    os.close(descriptor)
    os.unlink(path)
    return took


def load(options, path):
    """(seconds until all is acknowledged, until the process has ended, keys, transactions)."""
    shutil.rmtree(path, ignore_errors=True)
    os.sync()
    began = time.monotonic()
    done = subprocess.run(
        [options.program, "import", "--from", options.file, "--key", options.key, "--path", path,
         *shlex.split(options.arguments)], stderr=subprocess.PIPE, text=True, check=False)
    took = time.monotonic() - began
    told = TOLD.search(done.stderr)
    if done.returncode != 0 or told is None:
        sys.exit(f"load.py: {done.stderr.strip()}")
    shutil.rmtree(path)
    return float(told[4]), took, int(told[1]), int(told[3])


def spread(values, unit):
    return f"{statistics.median(values):.3f}{unit} ({min(values):.3f} to {max(values):.3f})"


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--file", required=True)
    parser.add_argument("--key", default="flights/{day}")
    parser.add_argument("--place", default="build/bench")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--arguments", default="--grouped --ingest", help="more, for khonsu import")
    parser.add_argument("--bar", type=float, default=0.4)
    parser.add_argument("--json")
    return parser.parse_args()


def main():
    options = parse()
    with open(options.file, "rb") as file:
        contents = file.read()
    os.makedirs(options.place, exist_ok=True)
    writes, loads, ends, keys, transactions = [], [], [], 0, 0
    for _ in range(options.rounds):
        writes.append(write(os.path.join(options.place, "load.written"), contents))
        told, end, keys, transactions = load(options, os.path.join(options.place, "load.db"))
        loads.append(told)
        ends.append(end)
    ratios = [a / b for a, b in zip(writes, loads)]
    is_met = statistics.median(ratios) >= options.bar
    print(f"{os.path.basename(options.file)}: {len(contents):,} bytes, {keys:,} keys by "
          f"{options.key}, {transactions} transactions, {options.rounds} rounds")
    print(f"  sequential write and fdatasync  {spread(writes, ' s')}")
    print(f"  load, all acknowledged          {spread(loads, ' s')}")
    print(f"  process, storage up to date     {spread(ends, ' s')}")
    print(f"  ratio                           {spread(ratios, '')}, bar {options.bar}: "
          f"{'met' if is_met else 'MISSED'}")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"bytes": len(contents), "keys": keys, "key": options.key,
                       "arguments": options.arguments, "write_s": writes, "load_s": loads,
                       "process_s": ends, "ratio": ratios, "bar": options.bar}, file)
            file.write("\n")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
