#!/usr/bin/env python3
"""Kill a process that commits, again and again, and ask each time what is left.

usage: kill.py --crash FILE [--life FILE --shim FILE] [--rounds N] [--seed N] [--keep DIR]

The programs acknowledge on a pipe; this process keeps the acknowledgements, so that the kill cannot
take any. Rounds are of two kinds, by turns (without --life and --shim of the second only):

  points   khonsu-life does one of the lives of _outside.py and is killed by the fault shim before,
           within or after one of its calls that change files; the points are taken in an order that
           spreads over all of them, so that enough rounds go through each. One in four is killed a
           second time, somewhere in the opening that follows.
  random   khonsu-crash, whose threads commit, prepare and decide, is killed at an instant: while it
           opens, some milliseconds later, or at one of its acknowledgements. Its rounds go on with
           one database. Some are long enough for the log's files to be written over old ones.

After each kill another process compares what is there with everything that was acknowledged. The
last line is one of JSON; exit status 1: something was lost, or halved.
"""

import argparse
import json
import math
import os
import random
import resource
import signal
import subprocess
import sys
import time

from _outside import LIVES, SIDES, Fault, Lost, Outside, acknowledged, add_options, must_end

LONG_EVERY = 500  # rounds of the random kind


class Points:
    """Kills at the calls of the lives."""

    def __init__(self, outside, dice):
        self.outside, self.dice = outside, dice
        self.all = [(name, side, calls, number) for name in LIVES for side, calls in SIDES
                    for number in range(1, outside.count(name, calls) + 1)]
        self.covered = set()
        self.acknowledged = 0
        self.at = dice.randrange(len(self.all))

    def next(self):
        """Steps of the golden section meet every point, and are spread whenever they end."""
        length = len(self.all)
        step = round(length * 0.6180339887)
        while math.gcd(step, length) != 1:
            step -= 1
        self.at = (self.at + step) % length
        return self.at

    def counts(self):
        return {"points": len(self.all), "points_covered": len(self.covered)}

    def round(self):
        at = self.next()
        name, side, calls, number = self.all[at]
        path, lines = self.outside.fresh(name)
        status, said = self.outside.run(path, LIVES[name][1], Fault(side, calls, number))
        must_end(status, {signal.SIGKILL}, said)
        if status != 0:
            self.covered.add(at)
        lines += said
        if self.dice.randrange(4) == 0:
            again = Fault(*self.dice.choice(SIDES), self.dice.randint(1, 60))
            status, said = self.outside.run(path, "nc!", again)
            must_end(status, {signal.SIGKILL}, said)
            lines += said
        self.acknowledged += acknowledged(lines)
        try:
            self.outside.check(path, lines, self.dice.randrange(8) == 0)
        except Lost as error:
            raise Lost(f"{name}, {side} call {number}:\n{error}") from error


class Random:
    """Kills at any instant."""

    def __init__(self, outside, crash, seed, dice):
        self.crash, self.seed, self.dice = os.path.abspath(crash), seed, dice
        self.place, self.acks_path = outside.path("random"), outside.path("acks")
        self.rounds = 0
        self.acknowledged = 0

    def read_until(self, process, deadline_s, ack_limit, acks):
        """Whole lines from the pipe until there are enough or the time is over; what is left."""
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
        self.acknowledged += count
        return rest

    def drain(self, process, rest, acks):
        """What was written before the kill is acknowledged, too: whole lines of it."""
        os.set_blocking(process.stdout.fileno(), True)
        lines = (rest + process.stdout.read()).split(b"\n")
        for line in lines[:-1]:
            acks.write(line + b"\n")
        self.acknowledged += len(lines) - 1

    def counts(self):
        return {"random": self.rounds}

    def bounds(self):
        """(seconds, acknowledgements) after which the process is killed."""
        if self.rounds % LONG_EVERY == 5:
            return 20, self.dice.randrange(3000, 5000)
        if self.rounds % 4 == 3:
            return self.dice.uniform(0.0, 0.03), 1 << 30
        return self.dice.uniform(0.02, 0.06), self.dice.randrange(1, 200)

    def round(self):
        self.rounds += 1
        seed = self.seed * 1000003 + self.rounds
        wait_s, limit = self.bounds()
        with open(self.acks_path, "ab") as acks, subprocess.Popen(
                [self.crash, "run", self.place, str(seed)], stdout=subprocess.PIPE) as process:
            rest = self.read_until(process, time.monotonic() + wait_s, limit, acks)
            process.send_signal(signal.SIGKILL)
            self.drain(process, rest, acks)
            code = process.wait()
        if code != -signal.SIGKILL:
            raise Lost(f"the program ended by itself with {code}")
        result = subprocess.run([self.crash, "check", self.place, self.acks_path],
                                stderr=subprocess.PIPE, text=True, check=False)
        if result.returncode != 0:
            raise Lost(result.stderr.strip())


def run(outside, options):
    """(kinds of rounds, failures)"""
    dice = random.Random(options.seed)
    kinds = [Points(outside, dice)] if options.life and options.shim else []
    kinds.append(Random(outside, options.crash, options.seed, dice))
    for number in range(options.rounds):
        try:
            kinds[number % len(kinds)].round()
        except Lost as error:
            print(f"FAILED: round {number} of seed {options.seed}: {error}", flush=True)
            if options.keep:
                subprocess.run(["cp", "-a", outside.folder, options.keep], check=True)
            return kinds, 1
    return kinds, 0


def cpu_s():
    """Of this process and those that it has waited for."""
    return sum(sum(resource.getrusage(who)[:2])
               for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    add_options(parser, None)
    parser.add_argument("--crash", default="build/dev/khonsu-crash")
    parser.add_argument("--rounds", type=int, default=50)
    options = parser.parse_args()
    began = time.monotonic()
    with Outside(options.life, options.shim) as outside:
        kinds, failures = run(outside, options)
    counts = {name: count for kind in kinds for name, count in kind.counts().items()}
    print(json.dumps({
        "proof": "kill", "seed": options.seed, "rounds": options.rounds, **counts,
        "acknowledged": sum(kind.acknowledged for kind in kinds), "lost_or_halved": failures,
        "cpu_milliseconds_each": round(1000 * cpu_s() / options.rounds),
        "seconds": round(time.monotonic() - began, 1), "failures": failures}))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
