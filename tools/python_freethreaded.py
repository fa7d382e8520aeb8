"""The Python package without the interpreter lock: on a free-threaded CPython, built first.

usage: python_freethreaded.py [--jobs N] [--only STEP ...]

  suite   the whole suite, with the lock off (PYTHON_GIL=0: a package that does not say that it
          needs no lock would switch it on for all)
  asan    the suite under the address sanitizer
  tsan    the tests that share everything, under the thread sanitizer, by an interpreter that is
          built with it
  wheel   a wheel in dist/, tried in an empty environment

Polars and DuckDB have no wheels for such an interpreter: tests that need them are skipped, and
named. The library's presets release, asan and tsan were built before.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time

import cpython
import python_suite
import python_wheel
import run_tests

REQUIREMENTS = "python/requirements-freethreaded.txt"
# What the thread sanitizer's interpreter gets: pyarrow and numpy are not built with it, so it would
# see half of what they do.
PURE = ("iniconfig", "packaging", "pluggy", "pygments", "pytest")
TSAN_TESTS = ("test_free_threads.py", "test_free_workspaces.py", "test_lifetime.py",
              "test_durable.py", "test_time.py")

TRY = python_wheel.TRY + """
import sys
assert sys._is_gil_enabled() is False
"""


def requirements(names):
    """The lines of these packages; all without names."""
    with open(REQUIREMENTS, encoding="utf-8") as file:
        found = re.findall(r"^[\w.-]+==(?:.*\\\n)*.*\n", file.read(), re.MULTILINE)
    return "".join(line for line in found if not names or line.partition("==")[0] in names)


def environment(kind, jobs, names=()):
    """An interpreter with packages."""
    program = cpython.install(kind, jobs)
    place = os.path.join(cpython.PLACE, f"venv-{kind}")
    wanted, stamp = requirements(names), os.path.join(place, "stamp")
    python = os.path.join(place, "bin/python")
    if os.path.exists(stamp) and os.path.getmtime(stamp) > os.path.getmtime(program):
        with open(stamp, encoding="utf-8") as file:
            if file.read() == wanted:
                return python
    shutil.rmtree(place, ignore_errors=True)
    cpython.step(kind, [program, "-m", "venv", place], cpython.PLACE)
    with open(os.path.join(place, "wanted.txt"), "w", encoding="utf-8") as file:
        file.write(wanted)
    cpython.step(kind, [python, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary",
                        ":all:", "--require-hashes", "-r", file.name], place)
    os.replace(file.name, stamp)
    return python


def plain(jobs):
    return python_suite.Interpreter(environment("plain", jobs), {"PYTHON_GIL": "0"})


def count(found):
    """Says how many ran; of a file that is left out as a whole pytest counts the file only."""
    states = [state for _, _, state, _ in found]
    print(f"{states.count('run')} passed, {states.count('fail')} failed, "
          f"{states.count('skipped')} skipped")
    for name in sorted({name for name, _, state, _ in found if state == "skipped"}):
        match = re.search(r"/\.tests\.(test_\w+)$", name)  # a module, of no class
        if match:
            with open(f"python/tests/{match[1]}.py", encoding="utf-8") as file:
                functions = len(re.findall(r"^def test_", file.read(), re.MULTILINE))
            print(f"  left out as a whole: {match[1]}.py, {functions} test functions")


def suite(jobs):
    python = plain(jobs)
    where = os.path.join(cpython.PLACE, "suite")
    if not python_suite.build(where, "release", jobs, "", python):
        return [("python-freethreaded/build", 0.0, "fail", "")]
    found = python_suite.pytest(where, "python-freethreaded", {}, ["-rs", "khonsu", "tests"],
                                python)
    count(found)
    return found


def asan(jobs):
    """The interpreter's own allocator cannot be replaced here: it fills what is freed."""
    python = plain(jobs)
    python = python._replace(environment={**python.environment, "PYTHONMALLOC": "debug"})
    return python_suite.sanitized(jobs, os.path.join(cpython.PLACE, "asan"),
                                  "python-freethreaded-asan", python)


def suppressions(where):
    """CPython's, and the library's: what neither of the two builds with the sanitizer."""
    path = os.path.abspath(os.path.join(where, "suppressions"))
    with open(path, "w", encoding="utf-8") as out:
        for name in (os.path.join(cpython.SOURCE, "Tools/tsan/suppressions_free_threading.txt"),
                     "test/tsan.supp"):
            with open(name, encoding="utf-8") as file:
                out.write(file.read())
    return path


def tsan(jobs):
    name = "python-freethreaded-tsan"
    where = os.path.join(cpython.PLACE, "tsan")
    python = python_suite.Interpreter(environment("tsan", jobs, PURE), cpython.QUIET["tsan"],
                                      tuple(cpython.LAUNCHER["tsan"]))
    flags = "-fsanitize=thread -g -fno-omit-frame-pointer"
    if not python_suite.build(where, "tsan", jobs, flags, python):
        return [(f"{name}/build", 0.0, "fail", "")]
    reports = python_suite.fresh_reports(where)
    options = f"suppressions={suppressions(where)}:log_path={reports}:exitcode=0:history_size=6"
    python = python._replace(environment={"PYTHON_GIL": "0", "KHONSU_HAMMER": "60",
                                          "TSAN_OPTIONS": options})
    found = python_suite.pytest(where, name, {}, ["-rs"] + [f"tests/{t}" for t in TSAN_TESTS],
                                python)
    return found + python_suite.reports_of(name, reports)


def wheel(jobs):
    """dist/khonsu-...-cp313-cp313t-....whl"""
    python = environment("plain", jobs)
    began = time.monotonic()
    try:
        made = python_wheel.build(os.path.abspath("dist"), python)
        python_wheel.try_out(made, python, TRY)
    except subprocess.CalledProcessError as error:
        return [("python-freethreaded/wheel", time.monotonic() - began, "fail", str(error))]
    print(f"{os.path.relpath(made)}: {os.path.getsize(made) / 1e6:.1f} MB")
    return [("python-freethreaded/wheel", time.monotonic() - began, "run", "")]


STEPS = {"suite": suite, "asan": asan, "tsan": tsan, "wheel": wheel}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=STEPS, default=list(STEPS))
    arguments = parser.parse_args()
    began = time.monotonic()
    found = []
    for name in arguments.only:
        print(f"\n==== python-freethreaded: {name} ====", flush=True)
        found += STEPS[name](arguments.jobs)
    sys.exit(run_tests.summary(found, time.monotonic() - began))


if __name__ == "__main__":
    os.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    main()
