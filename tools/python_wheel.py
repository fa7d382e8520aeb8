"""Build a wheel of the Python package that carries the library and what it needs, and try it.

usage: python_wheel.py [DIRECTORY]      (default dist)

pip builds it (scikit-build-core), auditwheel puts the shared libraries inside that a system may not
have; then it is installed into a new environment with nothing else in it, and used.
"""

import glob
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PYTHON = os.path.join(ROOT, "build/python-venv/bin/python")
RAW = os.path.join(ROOT, "build/wheelhouse")
TRIAL = os.path.join(ROOT, "build/wheel-trial")

TRY = """
import os, tempfile, khonsu
schema = khonsu.Schema({"id": "int64", "name": "utf8"})
with tempfile.TemporaryDirectory() as place:
    path = os.path.join(place, "db")
    with khonsu.open(path) as db, db.begin() as txn:
        txn["people"] = schema.rows([(1, "Ada"), (2, "Edsger")])
    with khonsu.open(path) as db, db.begin(read_only=True) as txn:
        assert txn["people"].row(1) == (2, "Edsger")
    assert khonsu.verify(path)["ok"]
print("khonsu", khonsu.__version__, "from", os.path.basename(os.path.dirname(khonsu.__file__)))
"""


def run(*command):
    """With the programs that stand beside the interpreter (command[0]) first."""
    print("$ " + " ".join(command), flush=True)
    path = os.path.dirname(command[0]) + os.pathsep + os.environ["PATH"]
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "PATH": path})


def fresh(directory):
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)


def build(target, python=PYTHON):
    """The wheel's path. Those for other interpreters stay where they are."""
    fresh(RAW)
    os.makedirs(target, exist_ok=True)
    run(python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", RAW, "./python")
    raw = glob.glob(f"{RAW}/*.whl")[0]
    interpreter = os.path.basename(raw).split("-", 2)[2].rsplit("-", 1)[0]  # cp311-abi3
    for old in glob.glob(f"{target}/*-{interpreter}-*.whl"):
        os.remove(old)
    run(python, "-m", "auditwheel", "repair", "--wheel-dir", target, raw)
    return glob.glob(f"{target}/*-{interpreter}-*.whl")[0]


def try_out(wheel, python=sys.executable, code=TRY):
    fresh(TRIAL)
    run(python, "-m", "venv", TRIAL)
    run(f"{TRIAL}/bin/python", "-m", "pip", "install", "--quiet", "--no-index", wheel)
    run(f"{TRIAL}/bin/python", "-c", code)


def main():
    target = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "dist"))
    wheel = build(target)
    try_out(wheel)
    print(f"{os.path.relpath(wheel, ROOT)}: {os.path.getsize(wheel) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
