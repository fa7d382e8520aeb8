"""The Python package's suite, for run_tests.py: types, tests and doctests; the tests once more
under the address sanitizer.

The extension is built against the library of a preset that was built before. Package and tests are
copied beside it, so that the source tree stays as it is, and two builds do not meet.
"""

import glob
import os
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from typing import NamedTuple


class Interpreter(NamedTuple):
    """What runs the tests, and what the extension is built for."""

    path: str
    environment: dict = {}  # of its own; it is not changed
    launcher: tuple = ()  # the words before it


PYTHON = Interpreter(os.path.abspath("build/python-venv/bin/python"))
SANITIZE = "-fsanitize=address,undefined -fno-omit-frame-pointer"


def run(command, **options):
    print("$ " + " ".join(command), flush=True)
    return subprocess.run(command, check=False, **options).returncode


def stage(where):
    """The package, its tests and its settings in one place."""
    place = os.path.join(where, "stage")
    shutil.rmtree(place, ignore_errors=True)
    leave = shutil.ignore_patterns("*.so", "__pycache__")
    for name in ("khonsu", "tests", "examples"):
        if os.path.isdir(f"python/{name}"):
            shutil.copytree(f"python/{name}", os.path.join(place, name), ignore=leave)
    shutil.copy("python/pyproject.toml", place)
    os.makedirs(os.path.join(where, "docs"), exist_ok=True)  # where tests look for their pages
    for page in ("python.md", "python-workspaces.md", "semantic.md", "semantic-quality.md"):
        shutil.copy(f"docs/{page}", os.path.join(where, "docs"))
    shutil.copy("README.md", where)
    return place


def build(where, preset, jobs, flags, python=PYTHON):
    """True when the extension stands in the staged package."""
    place = stage(where)
    configure = [*python.launcher, "cmake", "-S", "python", "-B", where, "-G", "Ninja",
                 f"-DPython_EXECUTABLE={python.path}", f"-DCMAKE_C_FLAGS={flags} -Werror",
                 f"-DKHONSU_LIBRARY={os.path.abspath(f'build/{preset}/libkhonsu.so')}",
                 "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"]
    if run(configure, stdout=subprocess.DEVNULL) != 0 or \
            run(["cmake", "--build", where, "--parallel", str(jobs)]) != 0:
        return False
    shutil.copy(glob.glob(os.path.join(where, "_core.*.so"))[0], os.path.join(place, "khonsu"))
    return True


def cases(path):
    """The tests of one pytest run: [(name, seconds, status, output)], from its JUnit file."""
    if not os.path.exists(path):
        return []
    found = []
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        bad = [child for child in case if child.tag in ("failure", "error")]
        state = "fail" if bad else "run"
        if case.find("skipped") is not None:
            state = "skipped"
        name = re.sub(r"\s+", " ", f"{case.get('classname')}.{case.get('name')}")
        found.append((name, float(case.get("time")), state, "".join(b.text or "" for b in bad)))
    return found


def pytest(where, name, environment, arguments, python=PYTHON):
    report = os.path.abspath(os.path.join(where, "tests.xml"))
    if os.path.exists(report):
        os.remove(report)
    began = time.monotonic()
    command = [*python.launcher, python.path, "-m", "pytest", "-q", "-p", "no:cacheprovider",
               f"--junitxml={report}", *arguments]
    status = run(command, cwd=os.path.join(where, "stage"),
                 env={**os.environ, **environment, **python.environment})
    found = [(f"{name}/{case}", *rest) for case, *rest in cases(report)]
    if status != 0 and all(state != "fail" for _, _, state, _ in found):
        found.append((f"{name}/pytest", time.monotonic() - began, "fail", f"status {status}"))
    return found


def types():
    began = time.monotonic()
    status = run([PYTHON.path, "-m", "mypy", "--cache-dir", os.path.abspath("build/mypy")],
                 cwd="python")
    return [("python/mypy", time.monotonic() - began, "run" if status == 0 else "fail", "")]


def planted_bugs():
    """That they fit the sources. To plant them takes minutes: `make python-mutants`."""
    began = time.monotonic()
    status = run([sys.executable, "tools/python_mutants.py", "--check"])
    state = "run" if status == 0 else "fail"
    return [("python/planted_bugs_fit", time.monotonic() - began, state, "")]


def file_of(name):
    return subprocess.run(["gcc", f"-print-file-name={name}"], stdout=subprocess.PIPE, text=True,
                          check=True).stdout.strip()


def reports_of(name, reports):
    """A sanitizer's reports, a failure each."""
    found = []
    for report in glob.glob(reports + ".*"):
        with open(report, encoding="utf-8", errors="replace") as file:
            found.append((f"{name}/{os.path.basename(report)}", 0.0, "fail", file.read()))
    return found


def fresh_reports(where):
    """Where a sanitizer writes: pytest keeps what is written to the terminal."""
    reports = os.path.abspath(os.path.join(where, "report"))
    for old in glob.glob(reports + ".*"):
        os.remove(old)
    return reports


def sanitizer_environment(reports):
    """pyarrow and others are not instrumented, and end with memory that nobody frees."""
    # libstdc++ too: the sanitizer looks for its exceptions when it starts, before any library that
    # throws them is loaded.
    preload = [file_of(name) for name in ("libasan.so", "libstdc++.so.6")]
    return {"LD_PRELOAD": " ".join(preload), "PYTHONMALLOC": "malloc",
            "ASAN_OPTIONS": f"detect_leaks=0:allocator_may_return_null=1:log_path={reports}"}


def sanitized(jobs, where="build/python-asan", name="python-asan", python=PYTHON):
    if not build(where, "asan", jobs, SANITIZE, python):
        return [(f"{name}/build", 0.0, "fail", "")]
    reports = fresh_reports(where)
    # The sanitizer's allocator is not made for forks: a child may find it locked by a thread that
    # it does not have, and wait for ever.
    left_out = [f"--ignore=tests/test_{each}.py" for each in ("examples", "guide", "fork")]
    found = pytest(where, name, sanitizer_environment(reports), ["tests", *left_out], python)
    return found + reports_of(name, reports)


def suite(jobs):
    if run(["tools/setup.sh", "python"]) != 0:
        return [("python/setup", 0.0, "fail", "")]
    found = types() + planted_bugs()
    if not build("build/python", "release", jobs, ""):
        return found + [("python/build", 0.0, "fail", "")]
    found += pytest("build/python", "python", {}, ["khonsu", "tests"])
    return found + sanitized(jobs)
