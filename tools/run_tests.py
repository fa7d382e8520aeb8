#!/usr/bin/env python3
"""Configure, build and test presets in turn, then say once how it all went.

usage: run_tests.py [--jobs N] [--label REGEX] [--only-build PRESET] PRESET...

"python" is the package's suite, over the libraries that release and asan have built.

A preset that fails does not stop the others, so that one run shows every failure. The end shows
the last lines of each test that failed, then ctest's own form, over all presets together; the exit
status is 0 only when all passed.
"""

import argparse
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

import python_suite

LAST_LINES = 40  # of a test that failed


def run(command, environment=None):
    print("$ " + " ".join(command), flush=True)
    return subprocess.run(command, env=environment, check=False).returncode


def configure_and_build(preset, jobs):
    """True when the preset's build is up to date. Configuring is quiet unless it fails."""
    configured = subprocess.run(["cmake", "--preset", preset], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, check=False)
    if configured.returncode != 0:
        print(configured.stdout)
        return False
    return run(["cmake", "--build", f"build/{preset}", "--parallel", str(jobs)]) == 0


def results(path):
    """The tests of one ctest run: [(name, seconds, status, output)], from its JUnit file."""
    if not os.path.exists(path):
        return []
    return [(case.get("name"), float(case.get("time")), case.get("status"),
             case.findtext("system-out") or "")
            for case in ElementTree.parse(path).getroot().iter("testcase")]


def build(preset, jobs):
    """Builds a preset, as if that were its test."""
    print(f"\n==== {preset} ====", flush=True)
    began = time.monotonic()
    built = configure_and_build(preset, jobs)
    return [(f"{preset}/build", time.monotonic() - began, "run" if built else "fail", "")]


def test(preset, jobs, label):
    """Runs one preset; its tests as (preset/name, seconds, status, output)."""
    began = time.monotonic()
    if not configure_and_build(preset, jobs):
        return [(f"{preset}/build", time.monotonic() - began, "fail", "")]
    built = time.monotonic()
    junit = os.path.abspath(f"build/{preset}/tests.xml")
    if os.path.exists(junit):
        os.remove(junit)
    command = ["ctest", "--preset", preset, "-j", str(jobs), "--output-junit", junit]
    command += ["-L", label] if label else []
    status = run(command)
    found = [(f"{preset}/{name}", *rest) for name, *rest in results(junit)]
    if status != 0 and all(state != "fail" for _, _, state, _ in found):
        found.append((f"{preset}/ctest", 0.0, "fail", ""))
    print(f"{preset}: built in {built - began:.0f} s, tested in {time.monotonic() - built:.0f} s",
          flush=True)
    return found


def summary(found, seconds):
    """Says how it went; the exit status."""
    failed = [name for name, _, state, _ in found if state == "fail"]
    skipped = [name for name, _, state, _ in found if state not in ("run", "fail")]
    for name, _, state, output in found:
        if state == "fail" and output:
            print(f"\n---- the end of {name} ----\n" + "\n".join(output.splitlines()[-LAST_LINES:]))
    ran = len(found) - len(skipped)
    for name in skipped:
        print(f"  not run: {name}")
    for name in failed:
        print(f"  FAILED: {name}")
    percent = 100 * (ran - len(failed)) // ran if ran else 0
    print(f"\n{percent}% tests passed, {len(failed)} tests failed out of {ran}")
    print(f"\nTotal Test time (real) = {seconds:6.2f} sec")
    return 1 if failed or ran == 0 else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--label", default="")
    parser.add_argument("--only-build", default="", help="a preset that must build; no test is run")
    parser.add_argument("presets", nargs="+")
    arguments = parser.parse_args()
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

    began = time.monotonic()
    found = []
    if arguments.only_build:
        found += build(arguments.only_build, arguments.jobs)
    for preset in arguments.presets:
        print(f"\n==== {preset} ====", flush=True)
        if preset == "python":
            found += python_suite.suite(arguments.jobs)
        else:
            found += test(preset, arguments.jobs, arguments.label)

    print(f"\n==== all of {' '.join(arguments.presets)} ====")
    sys.exit(summary(found, time.monotonic() - began))


if __name__ == "__main__":
    main()
