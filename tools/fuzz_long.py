#!/usr/bin/env python3
"""Run the fuzz targets until each has executed so many inputs; go on where the last run stopped.

usage: fuzz_long.py [--executions N] [--build DIR] [--work DIR] [--chunk N] [TARGET...]

One process at a time: the targets take turns, a chunk of executions each, on the corpus that their
own earlier turns grew in WORK (begun with the one in fuzz/corpus). After a turn the corpus is
replayed with leaks looked for, and merged when it has grown large. The executions of each target
are kept in WORK/executions.json. An input that fails stays in WORK/TARGET/failures and ends that
target's turns.

The last line is JSON: what was run and what it found. Exit status 1 when something failed. An
interrupt ends the run at once, with that line.
"""

import argparse
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Stacks of allocations and a long quarantine cost more than the code under test.
ENVIRONMENT = {"ASAN_OPTIONS": "malloc_context_size=3:quarantine_size_mb=32"}
FEW = 800  # files of a corpus that is not worth merging
HANG_SECONDS = 600  # by the wall clock, and a machine may have better things to do for a while


class Interrupted(Exception):
    pass


def options_of(target):
    with open(os.path.join(ROOT, "fuzz", "options.txt"), encoding="ascii") as lines:
        for line in lines:
            name, _, rest = line.strip().partition(" ")
            if name == target:
                return rest.split()
    sys.exit(f"fuzz_long: {target} is not in fuzz/options.txt")


class Target:
    def __init__(self, name, arguments):
        self.name = name
        self.program = os.path.join(arguments.build, f"fuzz_{name}")
        self.options = options_of(name)
        self.place = os.path.join(arguments.work, name)
        self.corpus = os.path.join(self.place, "corpus")
        self.failures_place = os.path.join(self.place, "failures")
        self.failures = 0
        self.is_interrupted = False
        os.makedirs(self.failures_place, exist_ok=True)
        if not os.path.isdir(self.corpus):
            shutil.copytree(os.path.join(ROOT, "fuzz", "corpus", name), self.corpus)

    def call(self, *arguments):
        """Exit status and output; of an interrupted child what it had done."""
        command = [self.program, *self.options, *arguments]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 cwd=self.place, env={**os.environ, **ENVIRONMENT}, text=True,
                                 errors="replace")
        try:
            output, _ = child.communicate()
        except Interrupted:
            self.is_interrupted = True
            child.terminate()
            return 0, child.communicate()[0]
        return child.returncode, output

    def failed(self, output):
        self.failures += 1
        with open(os.path.join(self.failures_place, "log.txt"), "a", encoding="utf-8") as log:
            log.write(output[-20000:])
        print(f"{self.name}: FAILED, see {self.failures_place}", flush=True)

    def turn(self, executions):
        """Run so many; how many there were."""
        status, output = self.call(
            f"-runs={executions}", "-detect_leaks=0", "-entropic=0", "-use_counters=0",
            f"-timeout={HANG_SECONDS}", "-rss_limit_mb=3072", "-print_final_stats=1",
            f"-artifact_prefix={self.failures_place}/", self.corpus)
        done = re.search(r"stat::number_of_executed_units:\s+(\d+)", output)
        if status != 0:
            self.failed(output)
        return int(done.group(1)) if done else 0

    def look_for_leaks(self):
        status, output = self.call("-runs=0", f"-artifact_prefix={self.failures_place}/",
                                   self.corpus)
        if status != 0:
            self.failed(output)

    def merge(self):
        """Only what covers something of its own stays."""
        if len(os.listdir(self.corpus)) <= FEW:
            return
        merged = os.path.join(self.place, "merged")
        shutil.rmtree(merged, ignore_errors=True)
        os.makedirs(merged)
        status, _ = self.call("-merge=1", "-use_counters=0", "-detect_leaks=0", merged,
                              self.corpus)
        if status == 0 and not self.is_interrupted:
            shutil.rmtree(self.corpus)
            os.rename(merged, self.corpus)


def read_executions(path):
    if not os.path.exists(path):
        return {}
    with open(path, encoding="ascii") as file:
        return json.load(file)


def write_executions(path, executions):
    with open(path + ".part", "w", encoding="ascii") as file:
        json.dump(executions, file)
    os.replace(path + ".part", path)


def run(targets, arguments, executions, path):
    """Turns, until every target has had enough or has failed."""
    while True:
        left = [target for target in targets if target.failures == 0 and
                executions.get(target.name, 0) < arguments.executions]
        if not left:
            return
        for target in left:
            began = time.monotonic()
            wanted = arguments.executions - executions.get(target.name, 0)
            done = target.turn(min(wanted, arguments.chunk))
            executions[target.name] = executions.get(target.name, 0) + done
            write_executions(path, executions)
            rate = done / max(time.monotonic() - began, 0.001)
            print(f"{target.name}: {executions[target.name]} executions, {rate:.0f}/s, "
                  f"{len(os.listdir(target.corpus))} inputs", flush=True)
            if target.failures == 0 and not target.is_interrupted:
                target.look_for_leaks()
            if target.failures == 0 and not target.is_interrupted:
                target.merge()
            if target.is_interrupted:
                raise Interrupted


def interrupt(_number, _frame):
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise Interrupted


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--executions", type=int, default=10_000_000)
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "fuzz"))
    parser.add_argument("--work", default=os.path.join(ROOT, "build", "fuzz-long"))
    parser.add_argument("--chunk", type=int, default=500_000, help="executions of one turn")
    parser.add_argument("targets", nargs="*")
    arguments = parser.parse_args()
    arguments.build = os.path.abspath(arguments.build)
    arguments.work = os.path.abspath(arguments.work)
    names = arguments.targets or sorted(
        os.path.basename(source)[:-2] for source in glob.glob(os.path.join(ROOT, "fuzz", "*.c")))
    targets = [Target(name, arguments) for name in names]
    path = os.path.join(arguments.work, "executions.json")
    executions = read_executions(path)
    began = time.monotonic()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        run(targets, arguments, executions, path)
    except Interrupted:
        print("interrupted", flush=True)
    failures = sum(target.failures for target in targets)
    proof = {"proof": "fuzz", "executions_wanted": arguments.executions}
    for target in targets:
        proof[f"executions_{target.name}"] = executions.get(target.name, 0)
        proof[f"inputs_{target.name}"] = len(os.listdir(target.corpus))
    proof["seconds"] = round(time.monotonic() - began)
    proof["failures"] = failures
    print(json.dumps(proof), flush=True)
    return 1 if failures > 0 else 0


if __name__ == "__main__":
    sys.exit(main())
