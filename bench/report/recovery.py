#!/usr/bin/env python3
"""What opening a durable database costs: make bench-recovery.

usage: recovery.py --program PROGRAM [--directory DIR] [--only CASE,...] [--rounds N]
                   [--callgrind] [--json FILE]

Makes a database for each case, once, and opens it again and again, each time in a process of its
own; its files are in the page cache, since they were written or read just before. Each opening has
one thread (RocksDB's, which do little then, apart): records a second of CPU, user and system, are
those of one core. With --callgrind the smaller ones are opened under callgrind, too, and the
instructions within kh_db_open are told for each record.

"storage": the database was closed, so that all of it is read from its storage.
"log": the process ended before anything was brought into the storage, and all of it is replayed;
in groups of thousands of records, as many committers or unsynced ones make them, or in groups of
one, as a lone committer does.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys

MIB = 1 << 20
# name: (keys, bytes of text in a value, transactions' size, further options of --make)
CASES = {
    "storage, 1M small": (1_000_000, 84, 100, []),
    "storage, 10M small": (10_000_000, 84, 100, []),
    "storage, 1 GiB of 8 KiB": (131_072, 8192, 16, []),
    "log, 1M small": (1_000_000, 84, 1, ["--kill"]),
    "log, 1M small, 100 a transaction": (1_000_000, 84, 100, ["--kill"]),
    "log, 300k small, a group each": (300_000, 84, 1, ["--kill", "--sync", "full"]),
}
COUNTED = {
    "storage, 100k small": (100_000, 84, 100, []),
    "log, 100k small": (100_000, 84, 1, ["--kill"]),
    "log, 20k small, a group each": (20_000, 84, 1, ["--kill", "--sync", "full"]),
}


def place_of(directory, name):
    return os.path.join(directory, re.sub("[^a-z0-9]+", "-", name.lower()))


def make(program, path, case):
    keys, text_bytes, per_commit, more = case
    shutil.rmtree(path, ignore_errors=True)
    subprocess.run([program, "--make", path, "--keys", str(keys), "--text-bytes", str(text_bytes),
                    "--per-commit", str(per_commit), *more], check=True)


def open_once(program, path):
    found = subprocess.run([program, "--open", path], check=True, stdout=subprocess.PIPE)
    return json.loads(found.stdout)


def instructions(program, path):
    """Of kh_db_open, with all that it calls in its thread (what others do is not collected)."""
    out = path + ".callgrind"
    subprocess.run(["valgrind", "--tool=callgrind", "--toggle-collect=kh_db_open",
                    f"--callgrind-out-file={out}", program, "--open", path],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open(out, encoding="utf-8") as file:
        total = next(line for line in file if line.startswith(("totals:", "summary:")))
    return int(total.split()[1])


def size_of(path):
    return sum(os.path.getsize(os.path.join(where, name))
               for where, _, names in os.walk(path) for name in names)


def measure(options, name, case, is_counted):
    path = place_of(options.directory, name)
    make(options.program, path, case)
    runs = [] if is_counted else [open_once(options.program, path) for _ in range(options.rounds)]
    found = {"case": name, "keys": case[0], "disk_bytes": size_of(path), "runs": runs}
    if is_counted:
        found["instructions"] = instructions(options.program, path)
    shutil.rmtree(path, ignore_errors=True)
    return found


def tell(found):
    keys = found["keys"]
    if "instructions" in found:
        print(f"{found['case']:36} {found['instructions'] / keys:8.0f} instructions a record")
        return
    runs = sorted(found["runs"], key=lambda run: run["user"] + run["system"])
    best, middle = runs[0], runs[len(runs) // 2]
    cpu = middle["user"] + middle["system"]
    print(f"{found['case']:36} {middle['seconds']:7.2f} s, CPU {middle['user']:6.2f} user "
          f"{middle['system']:5.2f} system, {keys / cpu / 1e6:5.2f} M records/s of CPU "
          f"(best {keys / (best['user'] + best['system']) / 1e6:.2f}), "
          f"{found['disk_bytes'] / MIB:6.0f} MiB on disk", flush=True)


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--directory", default="build/bench/recovery")
    parser.add_argument("--only", default="", help="cases that contain one of these words")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--callgrind", action="store_true")
    parser.add_argument("--json")
    return parser.parse_args()


def main():
    options = parse()
    wanted = [word for word in options.only.split(",") if word]
    os.makedirs(options.directory, exist_ok=True)
    results = []
    for cases, is_counted in ((CASES, False), (COUNTED, True)):
        for name, case in cases.items():
            is_wanted = not wanted or any(word in name for word in wanted)
            if not is_wanted or (is_counted and not options.callgrind):
                continue
            results.append(measure(options, name, case, is_counted))
            tell(results[-1])
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
