#!/usr/bin/env python3
"""Plant each bug that the sources offer, and see that the tests find it.

usage: mutants.py [--jobs N] [NAME...]

A mutant is code under `#if defined(KH_MUTANT_<NAME>)` in src/. Each is built into a library of its
own and must make at least one test fail: of the plain build, else of the address sanitizer's, else
of the thread sanitizer's. The last lines are in ctest's form; the exit status is 0 when all died.
"""

import argparse
import os
import re
import subprocess
import sys
import time

KINDS = (("dev", ""), ("asan", "address,undefined"), ("tsan", "thread"))
LABELS = "^(unit|exhaustive|property|isolation|fault)$"


def names():
    found = set()
    for directory, _, files in os.walk("src"):
        for name in files:
            with open(os.path.join(directory, name), encoding="utf-8") as file:
                found |= set(re.findall(r"\bKH_MUTANT_(\w+)", file.read()))
    return sorted(found)


def run(command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)


def build(kind, sanitizers, mutant, jobs):
    """The build directory of this kind, rebuilt with the mutant. None when it does not compile."""
    directory = f"build/mutant-{kind}"
    configure = ["cmake", "--preset", "dev", "-B", directory, f"-DKHONSU_MUTANT={mutant}",
                 f"-DKHONSU_SANITIZE={sanitizers}"]
    for command in (configure, ["cmake", "--build", directory, "--parallel", str(jobs)]):
        result = run(command)
        if result.returncode != 0:
            print(result.stdout)
            return None
    return directory


def killer(mutant, jobs):
    """Which test found the mutant first, or None."""
    for kind, sanitizers in KINDS:
        directory = build(kind, sanitizers, mutant, jobs)
        if directory is None:
            return None
        # A mutant may hang its test: that is found too, but need not take as long as elsewhere.
        result = run(["ctest", "--test-dir", directory, "-j", str(jobs), "-L", LABELS,
                      "--stop-on-failure", "--timeout", "120"])
        if result.returncode != 0:
            failed = re.findall(r"(\S+) \.+\s*\*{3}", result.stdout)
            return f"{kind}/{failed[0]}" if failed else None
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

    planted = arguments.names or names()
    survivors = []
    for mutant in planted:
        began = time.monotonic()
        found_by = killer(mutant, arguments.jobs)
        if found_by is None:
            survivors.append(mutant)
        verdict = f"found by {found_by}" if found_by else "SURVIVED"
        print(f"{mutant:30} {verdict} ({time.monotonic() - began:.0f} s)", flush=True)
    killed = len(planted) - len(survivors)
    percent = 100 * killed // len(planted) if planted else 100
    print(f"\n{percent}% tests passed, {len(survivors)} tests failed out of {len(planted)}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
