#!/usr/bin/env python3
"""Let each call that a durable database makes of the system fail, and ask what is left.

usage: failed_calls.py [--life FILE] [--shim FILE] [--each N] [--only LIFE:WAY] [--at N]
                       [--seed N] [--keep DIR] [--failures N]

A life (_outside.py has them: a database is made, one that was killed is opened, ...) is run once to
count its calls; then again for the n-th call, which fails (fault_shim.h says how): for so many n of
each life and each way of failing (--each 0: for all of them). Each run must

  - end by itself, answer with the documented statuses, and acknowledge nothing after a failed sync
    of the log until the database is opened again (what life.c checks itself: after a failure of the
    log commits are refused, reads go on, and opening again works);
  - leave a database that another process, without faults, opens: with everything acknowledged,
    nothing halved, what was refused not there; that verifies, and goes on; and give back the newest
    backup that was acknowledged.

Debian's RocksDB 7.8 ends the process by an assertion of its own after some failed writes: that
counts as a crash ("asserted"), after which nothing may be lost either. The last line is one of
JSON; the exit status is 1 when something was wrong.
"""

import argparse
import collections
import json
import os
import random
import re
import signal
import sys
import time

from _outside import LIVES, Fault, Lost, Outside, acknowledged, add_options, must_end, spread, words

# name -> how the calls of which kinds fail (fault_shim.h)
WAYS = {
    "writes": ("eio", "write"),
    "syncs": ("eio", "sync"),
    "reads": ("eio", "read,open"),
    "names": ("eio", "name,size"),
    "looks": ("eio", "look,close,lock"),
    "no-space": ("enospc", "write,open,name,size"),
    "short": ("short", "write,read"),
    "torn": ("torn", "write"),
    "full": ("full", "write,open,size,look"),
    "dead": ("dead", ""),
}
SLOW = ("long", "backed-up", "cold")  # lives of which half as many calls are tried
# docs/operate.md; what a failing call of the system may give.
STATUSES = {
    "open": {"KH_IO", "KH_NO_SPACE"},
    "read-only": {"KH_IO", "KH_BUSY"},
    "commit": {"KH_UNKNOWN", "KH_POISONED", "KH_NO_SPACE"},
    "prepare": {"KH_UNKNOWN", "KH_POISONED", "KH_NO_SPACE"},
    "decide": {"KH_UNKNOWN", "KH_POISONED", "KH_NO_SPACE"},
    "read": {"KH_IO"},
    "compact": {"KH_IO", "KH_NO_SPACE", "KH_POISONED"},
    "backup": {"KH_IO", "KH_NO_SPACE", "KH_POISONED", "KH_CORRUPT"},
}


LOG_FILE = r"^fault \w+ \w+ db/log/\d+\.log$"


def check_statuses(lines):
    for what, status, *_ in words(lines, "status"):
        if status not in STATUSES[what]:
            raise Lost(f"{lines}{what} answered {status}")


def check_passes(how, lines):
    """One failing call fails one call of the library, but for those on a log that has failed."""
    failed = [each[0] for each in words(lines, "status")]
    if how not in ("full", "dead") and not words(lines, "poisoned") and len(failed) > 1:
        raise Lost(f"{lines}one failing call was answered {len(failed)} times: {failed}")


def check_syncs(lines):
    """After a failed sync of the log's file nothing is acknowledged before the next opening."""
    is_failed = False
    for line in lines.splitlines():
        if re.match(r"fault f(data)?sync sync db/log/\d+\.log$", line):
            is_failed = True
        elif line.startswith("open "):
            is_failed = False
        elif is_failed and line.startswith("done "):
            raise Lost(f"{lines}acknowledged after a failed sync")


def check_ended(status, lines):
    """While a database is open RocksDB has no reason to write its report, the file LOG, whose
    failing write would end the process."""
    must_end(status, {signal.SIGABRT}, lines)
    said = [line for line in lines.splitlines() if re.match("open |closed|fault ", line)]
    for before, line in zip(said, said[1:]):
        if status != 0 and before.startswith("open ") and re.match("fault write .*/LOG$", line):
            raise Lost(f"{lines}ended by a write of LOG")


def check_full(lines):
    """Once a full device has room again everything goes on, unless it had filled up within a call
    on a file of the log, between the look at its room and the write."""
    before, space, after = lines.partition("\nspace\n")
    is_hurt = words(before, "poisoned") or re.search(LOG_FILE, lines, re.MULTILINE)
    if space and not is_hurt and (words(after, "poisoned") or not words(after, "end")):
        raise Lost(f"{lines}did not go on by itself")


class Campaign:
    def __init__(self, outside, options):
        self.outside, self.options = outside, options
        self.dice = random.Random(options.seed)
        self.found = collections.Counter(
            runs=0, failed_calls=0, not_reached=0, openings_refused=0, reads_refused=0,
            poisoned=0, unknown=0, waited_for_space=0, asserted=0, acknowledged=0)

    def note(self, how, status, lines):
        found = self.found
        found["runs"] += 1
        found["failed_calls" if words(lines, "fault") else "not_reached"] += 1
        found["openings_refused"] += any(each[0] == "open" for each in words(lines, "status"))
        found["reads_refused"] += any(each[0] == "read" for each in words(lines, "status"))
        found["poisoned"] += bool(words(lines, "poisoned"))
        found["unknown"] += bool(words(lines, "lost"))
        found["asserted"] += status == -signal.SIGABRT
        found["waited_for_space"] += how == "full" and "space" in lines.splitlines() and \
            not words(lines, "poisoned") and bool(words(lines, "end"))
        found["acknowledged"] += acknowledged(lines)

    def one(self, name, way, number):
        """One run; raises Lost when something is wrong with it."""
        how, calls = WAYS[way]
        path, before = self.outside.fresh(name)
        status, lines = self.outside.run(path, LIVES[name][1], Fault(how, calls, number))
        try:
            check_ended(status, lines)
            check_statuses(lines)
            check_passes(how, lines)
            check_syncs(lines)
            if how == "full" and status == 0:
                check_full(lines)
            self.note(how, status, lines)
            self.outside.check(path, before + lines, True)
        except Lost:
            if self.options.keep:
                self.outside.keep(path, before + lines, self.options.keep)
            raise

    def run(self, pairs):
        """The count of runs in which something was wrong."""
        failures = 0
        for name, way in pairs:
            total = self.outside.count(name, WAYS[way][1])
            each = (self.options.each + 1) // 2 if name in SLOW else self.options.each
            numbers = [self.options.at] if self.options.at else spread(total, each, self.dice)
            for number in numbers:
                try:
                    self.one(name, way, number)
                except Lost as error:
                    failures += 1
                    print(f"FAILED: --only {name}:{way} --at {number} (of {total})\n{error}",
                          flush=True)
                    if failures == self.options.failures:
                        return failures
        return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    add_options(parser)
    parser.add_argument("--each", type=int, default=int(os.environ.get("KH_FAULT_EACH", "2")),
                        help="calls of each life (of slow ones half) and way; 0: all")
    parser.add_argument("--only", help="LIFE:WAY", default=os.environ.get("KH_FAULT_ONLY"))
    parser.add_argument("--at", type=int, default=0)
    parser.add_argument("--failures", type=int, default=1, help="how many end it; 0: none does")
    options = parser.parse_args()
    if options.keep:
        os.makedirs(options.keep, exist_ok=True)
    pairs = [tuple(options.only.split(":"))] if options.only else \
        [(name, way) for name in LIVES for way in WAYS]
    began = time.monotonic()
    with Outside(options.life, options.shim) as outside:
        campaign = Campaign(outside, options)
        failures = campaign.run(pairs)
    print(json.dumps({"proof": "failed_calls", "seed": options.seed, **campaign.found,
                      "seconds": round(time.monotonic() - began, 1), "failures": failures}))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
