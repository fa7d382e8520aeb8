#!/usr/bin/env python3
"""Plant each bug of test/mutants-python, and see that the Python suite finds it.

usage: python_mutants.py [--kind KIND] [--jobs N] [--all] [--list | --check] [NAME...]

  --kind   python, python-asan or all (default): which of the bugs to plant
  --all    do not ask for the named test only: run the whole suite until a test fails.
           For bugs without a named test this is always done.
  --list   print the bugs with their killers, and do nothing
  --check  only see that each bug still fits the sources

As mutants.py does it for the library: only what the bug reaches is compiled again, apart; before,
each killer passes without a bug; what survives is planted once more, alone. The killer is what is
given to pytest: files, tests, -k. The extension is built over the libraries of the presets release
and asan, which must be there.
"""

import argparse
import dataclasses
import glob
import os
import re
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import mutants
import python_suite
from mutant_build import Build, BuildError, Test
from planted import PYTHON_KINDS, PlantError, load

ROOT = mutants.ROOT
EXTENSION = "_core.abi3.so"
PRESETS = {"python": ("build/python", "release", ""),
           "python-asan": ("build/python-asan", "asan", python_suite.SANITIZE)}
# Those that show examples are slow, and are not what is to find bugs.
TRIES_ALONE = 2  # of what survived beside others: few of these need luck
WHOLE = ["tests", "--ignore=tests/test_examples.py", "--ignore=tests/test_guide.py"]


class PythonBuild(Build):
    """The extension's build, and the package around what is made of it."""

    def __init__(self, root, directory):
        super().__init__(root, directory, has_tests=False)
        self.package = os.path.join(self.directory, "stage")

    def compile_one(self, source, made, arguments, overlay, where):
        here = f"-I{self.root}/python/src"  # the headers beside the unchanged file
        return super().compile_one(source, made, [*arguments, here], overlay, where)

    def compile(self, changed, where, only=(), test=None):
        """Of {path: text}, C sources are compiled; modules take their places in a package."""
        sources = {path: text for path, text in changed.items() if path.endswith(".c")}
        shutil.rmtree(where, ignore_errors=True)
        objects = super().compile(sources, where) if sources else {}
        stage = os.path.join(where, "stage")
        shutil.copytree(os.path.join(self.package, "khonsu"), os.path.join(stage, "khonsu"))
        shutil.copy(os.path.join(self.package, "pyproject.toml"), stage)
        os.symlink(os.path.join(self.package, "tests"), os.path.join(stage, "tests"))
        for path in set(changed) - set(sources):
            with open(os.path.join(stage, os.path.relpath(path, "python")), "w",
                      encoding="utf-8") as file:
                file.write(changed[path])
        return objects

    def prepare(self, test, objects, where):
        stage = os.path.join(where, "stage")
        if objects:
            shutil.copy(self.link(EXTENSION, objects, where), os.path.join(stage, "khonsu"))
        environment = dict(test.environment)
        if "ASAN_OPTIONS" in environment:
            reports = os.path.join(where, "report")
            environment.update(python_suite.sanitizer_environment(reports))
        return dataclasses.replace(test, directory=stage), (test.command, environment)


class PythonRound(mutants.Round):
    """One run over the bugs of one kind."""

    def __init__(self, build, where, is_all, environment):
        super().__init__(build, where, is_all, "")
        self.environment = environment

    def test(self, mutant):
        asked = WHOLE if self.is_all or not mutant.killer else mutant.killer.split()
        command = [python_suite.PYTHON.path, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider",
                   "--tb=line", *asked]
        return Test(mutant.killer or "the whole suite", command, self.environment, (), "")

    def run(self, mutant, objects, where, timeout):
        """How it fails, or nothing. Without a single test, that is no failure but an error."""
        test, prepared = self.build.prepare(self.test(mutant), objects, where)
        result = self.build.run(test, prepared, mutant.environment, timeout)
        if re.search(r"^(ERROR: |no tests ran|ERROR tests|\d+ deselected)", result.output, re.M):
            raise PlantError(f"{mutant.name}: {result.reason or 'no test was run'}")
        reports = glob.glob(os.path.join(where, "report.*"))
        if reports:
            with open(reports[0], encoding="utf-8", errors="replace") as file:
                found = re.search(r"(?:SUMMARY|runtime error): (.*)", file.read())
                return found[1][:90] if found else "a report of the sanitizer"
        named = re.search(r"^FAILED (\S+)", result.output, re.M)
        return named[1] if result.reason and named else result.reason

    def control(self, mutant):
        where = os.path.join(self.where, "control-" + mutant.name)
        objects = self.build.compile({}, where)
        began = time.monotonic()
        reason = self.run(mutant, objects, where, mutants.TIMEOUT)
        self.times[mutant.killer] = time.monotonic() - began
        shutil.rmtree(where)
        return reason

    def killer_of(self, mutant, objects, where, tries):
        usual = self.times.get(mutant.killer, 0)
        timeout = mutants.TIMEOUT
        if usual:
            timeout = mutant.timeout or 5 + round(3 * usual)
        for _ in range(tries):
            reason = self.run(mutant, objects, where, timeout)
            if reason:
                return self.test(mutant).name, reason
        return None

    def plant(self, mutant, tries=1):
        tries = max(min(tries, TRIES_ALONE), mutant.tries)
        if mutant.killer and not self.is_all:
            return super().plant(mutant, tries)
        return super().plant(dataclasses.replace(mutant, killer=""), 1)


def run_kind(kind, planted, arguments):
    directory, preset, flags = PRESETS[kind]
    if not python_suite.build(directory, preset, arguments.jobs, flags):
        raise BuildError(f"{directory} cannot be built")
    environment = {"ASAN_OPTIONS": ""} if flags else {}
    turn = PythonRound(PythonBuild(ROOT, directory), os.path.join(ROOT, directory, "mutants"),
                       arguments.all, environment)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        controls, failures = mutants.run_controls(turn, planted, pool)
        caught, alone, survived = mutants.plant_all(turn, planted, pool)
    return caught, alone, controls, failures + survived


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", default="all", choices=(*PYTHON_KINDS, "all"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    planted = load("test/mutants-python", PYTHON_KINDS)
    unknown = set(arguments.names) - {mutant.name for mutant in planted}
    if unknown:
        sys.exit("no such bug: " + ", ".join(sorted(unknown)))
    chosen = [mutant for mutant in planted if arguments.kind in ("all", mutant.kind) and
              (not arguments.names or mutant.name in arguments.names)]
    if arguments.check or arguments.list:
        return mutants.check(planted) if arguments.check else mutants.show(chosen)
    began = time.monotonic()
    caught, alone, controls, failures = 0, 0, 0, []
    for kind in PYTHON_KINDS:
        of_kind = [mutant for mutant in chosen if mutant.kind == kind]
        if of_kind:
            result = run_kind(kind, of_kind, arguments)
            caught, alone, controls = (a + b for a, b in zip((caught, alone, controls), result))
            failures += result[3]
    return mutants.report(arguments.kind, len(chosen), caught, alone, controls, began, failures)


if __name__ == "__main__":
    sys.exit(main())
