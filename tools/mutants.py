#!/usr/bin/env python3
"""Plant each bug of test/mutants, and see that its test finds it.

usage: mutants.py [--kind KIND] [--build DIRECTORY] [--jobs N] [--all] [--labels LABEL,...]
                  [--list | --check] [NAME...]

  --kind   dev (default), asan, tsan or all: which of the bugs to plant
  --build  where the preset of that kind was built (default build/KIND); it must be up to date
  --all    do not ask for the named test only: run every test, the quickest first, until one fails.
           For bugs without a named test this is always done.
  --labels with --all, or for bugs without a named test: the labels of the tests to run
  --list   print the bugs with their killers, and do nothing
  --check  only see that each bug still fits the sources

A bug is caught when its killer fails. Before, each killer must pass over the same files compiled
and linked in the same way without the bug: what fails anyway catches nothing. The format of the
bugs is in planted.py, how they are built in mutant_build.py. Some tests need an interleaving to
fail, and a busy machine may withhold it: a bug that survives is planted once more when all others
are done, alone and with more tries, and the report says so. Ends with a line of JSON; the exit
status is 0 when all were caught.
"""

import argparse
import json
import os
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from mutant_build import Build, BuildError
from planted import KINDS, PlantError, load

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
LABELS = "unit,exhaustive,property,isolation,fault,integration"
# A test that does not end is a test that fails: after so many times what it takes without a bug.
PATIENCE, TIMEOUT_LEAST, TIMEOUT = 50, 10, 240
TRIES_ALONE = 5  # of a bug that survived beside others


class Round:
    """One run over the bugs of one kind."""

    def __init__(self, build, where, is_all, labels):
        self.build = build
        self.where = where
        self.is_all = is_all
        self.labels = set(labels.split(","))
        self.order = []  # of all tests, the quickest first: when asked for
        self.times = {}  # of tests without a bug

    def test(self, mutant):
        if mutant.killer not in self.build.tests:
            raise PlantError(f"{mutant.name}: there is no test {mutant.killer}")
        return self.build.tests[mutant.killer]

    def control(self, mutant):
        """The killer over the unchanged files. Returns what is wrong, or nothing."""
        where = os.path.join(self.where, "control-" + mutant.name)
        test = self.test(mutant)
        unchanged = {}
        for path in {edit.path for edit in mutant.edits}:
            with open(os.path.join(ROOT, path), encoding="utf-8") as file:
                unchanged[path] = file.read()
        objects = self.build.compile(unchanged, where, mutant.only, test)
        prepared = self.build.prepare(test, objects, where)
        began = time.monotonic()
        result = self.build.run(test, prepared, mutant.environment, TIMEOUT)
        self.times[test.name] = max(self.times.get(test.name, 0), time.monotonic() - began)
        shutil.rmtree(where)
        return result.reason

    def measure(self):
        """Every test over the unchanged build, for --all: {test: seconds}, without those that
        fail."""
        times = self.times
        for test in self.build.tests.values():
            if not set(test.labels) & self.labels:
                continue
            began = time.monotonic()
            result = self.build.run(test, (test.command, test.environment), {}, TIMEOUT)
            if result.reason == "":
                times[test.name] = time.monotonic() - began
        # Of two that are as quick, the one without a log says more.
        self.order = sorted(times, key=lambda name: (round(times[name], 1), "_over_log" in name,
                                                     name))

    def killer_of(self, mutant, objects, where, tries):
        """The killer and how it failed: (name, reason), or None."""
        names = self.order if self.is_all or not mutant.killer else [mutant.killer]
        for name in names:
            test = self.build.tests[name]
            prepared = self.build.prepare(test, objects, where)
            extra = mutant.environment if name == mutant.killer else {}
            timeout = mutant.timeout or max(TIMEOUT_LEAST,
                                            round(PATIENCE * self.times.get(name, 0)))
            for _ in range(tries):
                result = self.build.run(test, prepared, extra, timeout)
                if result.reason:
                    return name, result.reason
        return None

    def plant(self, mutant, tries=1):
        """(mutant, error, killer, reason, seconds)"""
        began = time.monotonic()
        where = os.path.join(self.where, mutant.name)
        try:
            test = self.test(mutant) if mutant.killer else None
            objects = self.build.compile(mutant.apply(ROOT), where, mutant.only, test)
            found = self.killer_of(mutant, objects, where, max(tries, mutant.tries))
        except (PlantError, BuildError) as error:
            return mutant, str(error), None, None, time.monotonic() - began
        shutil.rmtree(where, ignore_errors=True)
        name, reason = found or (None, None)
        return mutant, None, name, reason, time.monotonic() - began


def run_controls(turn, mutants, pool):
    """Each killer once, over the files of one of its bugs. Returns the failures."""
    chosen = {}
    for mutant in mutants:
        if mutant.killer and not turn.is_all:
            chosen.setdefault((mutant.killer, tuple(sorted(mutant.environment.items()))), mutant)
    failures = []
    work = [(mutant, pool.submit(turn.control, mutant)) for mutant in chosen.values()]
    for mutant, future in work:
        try:
            reason = future.result()
        except (PlantError, BuildError) as error:
            reason = str(error)
        if reason:
            failures.append(f"{mutant.killer} fails without a bug ({mutant.name}): {reason}")
    print(f"{len(work)} tests over unchanged sources: {len(work) - len(failures)} pass", flush=True)
    return len(work), failures


def tell(mutant, error, name, reason, seconds):
    """Prints how it went; whether it was caught."""
    verdict = "SURVIVED" if name is None else f"{name}: {reason}"
    if error is not None:
        verdict = "CANNOT BE PLANTED: " + error.splitlines()[0]
    print(f"{mutant.name:34} {verdict} ({seconds:.1f} s)", flush=True)
    return error is None and name is not None


def plant_all(turn, mutants, pool):
    """(caught at once, caught when alone, failures)"""
    again = [result[0] for result in pool.map(turn.plant, mutants) if not tell(*result)]
    failures, alone = [], 0
    for mutant in again:
        print(f"once more, alone, up to {TRIES_ALONE} times:")
        result = turn.plant(mutant, TRIES_ALONE)
        if tell(*result):
            alone += 1
        else:
            failures.append(result[1] or f"{mutant.name} survived: {mutant.bug}")
    return len(mutants) - len(again), alone, failures


def report(kind, planted, caught, alone, controls, began, failures):
    """The end of a run; returns the exit status."""
    for failure in failures:
        print("mutants: " + failure)
    print(json.dumps({"proof": "mutants", "kind": kind, "planted": planted,
                      "caught": caught + alone, "caught_alone": alone, "controls": controls,
                      "seconds": round(time.monotonic() - began), "failures": len(failures)}))
    return 1 if failures else 0


def show(mutants):
    for mutant in mutants:
        print(f"{mutant.name:34} {mutant.killer or '-':24} {mutant.bug}")
    return 0


def check(mutants):
    """Whether each fits; returns the exit status."""
    failures = 0
    for mutant in mutants:
        try:
            mutant.apply(ROOT)
        except PlantError as error:
            print(f"mutants: {error}")
            failures += 1
    print(f"{len(mutants)} bugs, {failures} do not fit the sources")
    return 1 if failures else 0


def run_kind(kind, mutants, arguments):
    """The bugs of one kind; (caught at once, when alone, tests run without a bug, failures)."""
    directory = os.path.abspath(arguments.build or os.path.join(ROOT, "build", kind))
    turn = Round(Build(ROOT, directory), os.path.join(directory, "mutants"), arguments.all,
                 arguments.labels)
    if arguments.all or any(not mutant.killer for mutant in mutants):
        turn.measure()
    with ThreadPoolExecutor(arguments.jobs) as pool:
        controls, failures = run_controls(turn, mutants, pool)
        caught, alone, survived = plant_all(turn, mutants, pool)
    return caught, alone, controls, failures + survived


def choose(arguments):
    """All bugs, and the ones to plant."""
    planted = load(os.path.join(ROOT, "test/mutants"))
    unknown = set(arguments.names) - {mutant.name for mutant in planted}
    if unknown:
        sys.exit("no such bug: " + ", ".join(sorted(unknown)))
    return planted, [mutant for mutant in planted if arguments.kind in ("all", mutant.kind) and
                     (not arguments.names or mutant.name in arguments.names)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build")
    parser.add_argument("--kind", default="dev", choices=(*KINDS, "all"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--labels", default=LABELS)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()

    planted, mutants = choose(arguments)
    if arguments.check:
        return check(planted)
    if arguments.list:
        return show(mutants)
    began = time.monotonic()
    caught, alone, controls, failures = 0, 0, 0, []
    for kind in KINDS:
        of_kind = [mutant for mutant in mutants if mutant.kind == kind]
        if of_kind:
            result = run_kind(kind, of_kind, arguments)
            caught, alone = caught + result[0], alone + result[1]
            controls, failures = controls + result[2], failures + result[3]
    return report(arguments.kind, len(mutants), caught, alone, controls, began, failures)


if __name__ == "__main__":
    sys.exit(main())
