#!/usr/bin/env python3
"""Run a workload under the shim, and ask a checker about what losses of power would leave of it.

usage: campaign.py --run COMMAND --check COMMAND [--cuts N] [--per-cut N] [--seed N] [--keep DIR]
                   [--work DIR] [--directories strict|prefix|ordered] [--shim FILE] ... (--help)
       campaign.py --trace FILE --check COMMAND ...     the states of a run that was recorded

The workload gets an empty directory, as {dir} in its command and as KH_POWERLOSS_ROOT. It says
what it has acknowledged by marks: lines that it writes to the file KH_POWERLOSS_MARK, or hands to
the shim's powerloss_mark(text). To have the directory entry of a database judged, too, the
workload makes the database in a directory of its own below {dir}.

The checker is called as COMMAND DIR ACKFILE for each state, with the marks that precede the cut, a
line each, and exits with 0 when all that they acknowledge is there. It may change DIR.

First the trace must explain the directory that the workload has left (but for one that was killed,
with --any-exit), and the checker must accept that directory. Then come the cuts in their order,
with up to --per-cut states each; the first failure (or --failures of them) ends it, with the
commands that make that state again. The last line is one of JSON; the exit status is 1 when a
state failed, 2 when nothing could be said.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

import rebuild
from disk import MODES
from recording import TraceError, marks_of, read, told

HERE = os.path.dirname(os.path.abspath(__file__))
EVENTS_SHOWN = 12


class Unusable(Exception):
    """The workload or the checker is not what a campaign can judge by."""


class Place:
    """The files of one campaign below a directory."""

    def __init__(self, path, states=None):
        self.root, self.trace = os.path.join(path, "root"), os.path.join(path, "trace")
        self.marks, self.acks = os.path.join(path, "marks"), os.path.join(path, "acks")
        self.state = os.path.join(states or path, "state")

    def keep_trace(self, folder):
        kept = os.path.join(os.path.abspath(folder), "trace")
        if self.trace != kept:
            shutil.copyfile(self.trace, kept)
            self.trace = kept


def environment(place, shim):
    return {**os.environ, "KH_POWERLOSS_ROOT": place.root, "KH_POWERLOSS_TRACE": place.trace,
            "KH_POWERLOSS_MARK": place.marks, "LD_PRELOAD": os.path.abspath(shim)}


def record(command, place, shim, initial=None, timeout=None):
    """Run the workload under the shim; its exit status."""
    if initial:
        shutil.copytree(initial, place.root, symlinks=True)
    else:
        os.makedirs(place.root)
    with open(place.marks, "wb"):
        pass
    words = [word.replace("{dir}", place.root) for word in shlex.split(command)]
    return subprocess.run(words, env=environment(place, shim), timeout=timeout,
                          check=False).returncode


def write_acks(path, marks):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(mark + "\n" for mark in marks)


def ask(command, directory, acks, timeout):
    """What is wrong with a state, in words; empty when nothing is."""
    try:
        done = subprocess.run([*shlex.split(command), directory, acks], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer within {timeout} s"
    if done.returncode == 0:
        return ""
    return f"{done.stdout.decode(errors='replace')[-4000:]}exit status {done.returncode}"


def report(state, wrong, events, options, place):
    """All that is needed to see a failure again."""
    if options.keep:
        place.keep_trace(options.keep)
    out = os.path.join(os.path.dirname(place.trace), f"cut{state.cut}_{state.model}_{state.seed}")
    before = list(told(events[:state.cut]))[-EVENTS_SHOWN:]
    again = [os.path.join(HERE, "rebuild.py"), "--trace", place.trace, "--cut", str(state.cut),
             "--model", state.model, "--seed", str(state.seed), "--directories",
             options.directories, "--out", out, "--acks", out + ".acks"]
    if options.initial:
        again += ["--initial", os.path.abspath(options.initial)]
    if options.keep:
        # The checker may have changed what it was shown.
        subprocess.run([sys.executable, *again], stdout=subprocess.DEVNULL, check=True)
    last = f", the last: {state.marks[-1]}" if state.marks else ""
    return "\n".join([
        f"FAILED: cut {state.cut} of {len(events)}, model {state.model}, seed {state.seed}, "
        f"{options.directories} directories; {len(state.marks)} marks{last}", wrong,
        "the events before the cut:", *(f"    {event}" for event in before),
        "to see it again:", f"    {shlex.join([sys.executable, *again])}",
        f"    {options.check} {shlex.quote(out)} {shlex.quote(out + '.acks')}"])


def judge(events, options, place):
    """(states asked about, failures): the part of a campaign after the workload."""
    cuts = options.cut or rebuild.choose_cuts(events, options.cuts, options.seed)
    asked, failures = 0, 0
    for state in rebuild.states(events, cuts, options.per_cut, options.seed, place.state,
                                options.directories, options.initial):
        write_acks(place.acks, state.marks)
        wrong = ask(options.check, place.state, place.acks, options.timeout)
        asked += 1
        if wrong:
            failures += 1
            print(report(state, wrong, events, options, place), flush=True)
            if failures == options.failures:
                break
    return asked, failures


def prepare(options, place):
    """The events of the workload, after both sides of the instrument were seen to work."""
    if options.trace:
        place.trace = os.path.abspath(options.trace)
        return read(place.trace)[1]
    status = record(options.run, place, options.shim, options.initial, options.run_timeout)
    if status != 0 and not options.any_exit:
        raise Unusable(f"the workload ended with status {status}")
    _, events = read(place.trace)
    if status == 0 and not any(event.kind == "gap" for event in events):
        found = rebuild.verify(events, place.root, options.initial)
        if found:
            raise Unusable("\n".join(["the trace does not explain the directory:", *found]))
    else:
        print("a process was killed: what it did last may be missing in the trace", flush=True)
    shutil.copytree(place.root, place.state, symlinks=True)
    write_acks(place.acks, marks_of(events))
    wrong = ask(options.check, place.state, place.acks, options.timeout)
    if wrong:
        raise Unusable(f"the checker refuses the directory as the workload left it:\n{wrong}")
    return events


def parse(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run")
    parser.add_argument("--trace", help="judge this trace; run nothing")
    parser.add_argument("--check", required=True)
    parser.add_argument("--program", help="stands for {program} in both commands")
    parser.add_argument("--shim", default=os.path.join(HERE, "../../build/dev/powerloss.so"))
    parser.add_argument("--cuts", type=int, default=50)
    parser.add_argument("--cut", type=int, action="append", help="this one; may be repeated")
    parser.add_argument("--per-cut", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directories", choices=MODES, default="strict")
    parser.add_argument("--initial", help="what the directory holds when the workload begins")
    parser.add_argument("--work", help="where the run is, and by default the states")
    parser.add_argument("--states", help="where the states are; a memory file system is fastest")
    parser.add_argument("--keep", help="where failing states and the trace are kept")
    parser.add_argument("--failures", type=int, default=1, help="how many end the campaign")
    parser.add_argument("--timeout", type=float, default=60, help="of one check, seconds")
    parser.add_argument("--run-timeout", type=float, default=600)
    parser.add_argument("--any-exit", action="store_true", help="the workload may be killed")
    options = parser.parse_args(arguments)
    if options.program:
        options.check = options.check.replace("{program}", shlex.quote(options.program))
        options.run = options.run and options.run.replace("{program}", shlex.quote(options.program))
    if bool(options.run) == bool(options.trace):
        parser.error("one of --run and --trace")
    return options


def main(arguments=None):
    options = parse(arguments)
    began = time.monotonic()
    if options.keep:
        os.makedirs(options.keep, exist_ok=True)
    path = os.path.abspath(tempfile.mkdtemp(prefix="powerloss-", dir=options.work))
    with tempfile.TemporaryDirectory(prefix="powerloss-", dir=options.states or path) as states:
        place = Place(path, os.path.abspath(states))
        try:
            events = prepare(options, place)
            asked, failures = judge(events, options, place)
        except (Unusable, TraceError, subprocess.TimeoutExpired) as error:
            print(f"campaign: {error}\nsee {path}", file=sys.stderr)
            return 2
    if failures == 0 or options.keep:
        shutil.rmtree(path)
    print(json.dumps({"proof": "powerloss", "events": len(events),
                      "marks": len(marks_of(events)), "states": asked, "seed": options.seed,
                      "directories": options.directories,
                      "seconds": round(time.monotonic() - began, 1), "failures": failures}))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
