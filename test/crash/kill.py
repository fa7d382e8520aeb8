#!/usr/bin/env python3
"""Kill a process that commits, again and again, and ask each time what is left.

usage: kill.py --crash PROGRAM [--rounds N] [--seed N] [--keep DIR]

The program (test/crash/crash.c) acknowledges on a pipe; this process keeps the acknowledgements,
so that the kill cannot take any. Each round goes on with the same database, killed after some
milliseconds or at one of its acknowledgements, and is followed by a check of everything that was
ever acknowledged. Every fourth kill comes while the database is being opened. The last line is one
of JSON; exit status 1: something was lost.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time


def read_until(process, deadline_s, ack_limit, acks):
    """Whole lines from the pipe until there are enough or the time is over; returns their count."""
    count, rest = 0, b""
    os.set_blocking(process.stdout.fileno(), False)
    while count < ack_limit and time.monotonic() < deadline_s:
        chunk = process.stdout.read(65536)
        if chunk is None:
            continue
        if not chunk:
            break
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        for line in lines:
            acks.write(line + b"\n")
        count += len(lines)
    return count, rest


def drain(process, rest, acks):
    """What was written to the pipe before the kill is acknowledged, too: whole lines of it."""
    os.set_blocking(process.stdout.fileno(), True)
    lines = (rest + process.stdout.read()).split(b"\n")
    for line in lines[:-1]:
        acks.write(line + b"\n")
    return len(lines) - 1


def one_round(options, place, number, dice, acks):
    seed = options.seed * 1000003 + number
    process = subprocess.Popen([options.crash, "run", place, str(seed)], stdout=subprocess.PIPE)
    is_early = number % 4 == 3
    wait_s = dice.uniform(0.0, 0.03) if is_early else dice.uniform(0.05, 0.4)
    limit = 1 << 30 if number % 2 else dice.randrange(1, 400)
    if number % 24 == 5:  # long enough for write-ahead logs to be written over old ones
        wait_s, limit = 20, dice.randrange(3000, 5000)
    count, rest = read_until(process, time.monotonic() + wait_s, limit, acks)
    process.send_signal(signal.SIGKILL)
    count += drain(process, rest, acks)
    code = process.wait()
    acks.flush()
    if code != -signal.SIGKILL:
        sys.exit(f"round {number}: the program ended by itself with {code}")
    return count


def check(options, place, acks_path, number):
    result = subprocess.run([options.crash, "check", place, acks_path], stderr=subprocess.PIPE,
                            text=True, check=False)
    if result.returncode == 0:
        return
    print(f"round {number} (seed {options.seed}): {result.stderr.strip()}")
    if options.keep:
        shutil.copytree(os.path.dirname(place), options.keep, dirs_exist_ok=True)
    sys.exit(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--crash", required=True)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep")
    options = parser.parse_args()
    dice = random.Random(options.seed)
    started, total = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as folder:
        place, acks_path = os.path.join(folder, "db"), os.path.join(folder, "acks")
        with open(acks_path, "ab") as acks:
            for number in range(options.rounds):
                total += one_round(options, place, number, dice, acks)
                check(options, place, acks_path, number)
    print(json.dumps({"proof": "kill", "seed": options.seed, "rounds": options.rounds,
                      "acknowledged": total, "lost": 0,
                      "seconds": round(time.monotonic() - started, 1)}))


if __name__ == "__main__":
    main()
