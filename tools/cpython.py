"""CPython from its source, for python_freethreaded.py: no package index and no Debian 12 has one
without the interpreter lock.

The archive is the one that Debian's stable release has, unchanged from python.org's; it is checked
by the SHA-256 below, wherever it comes from. What is built and installed is kept until the archive
or its options change.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import urllib.request

URL = "http://deb.debian.org/debian/pool/main/p/python3.13/python3.13_3.13.5.orig.tar.xz"
SHA256 = "93e583f243454e6e9e4588ca2c2662206ad961659863277afcdb96801647d640"
PROGRAM = "python3.13t"
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PLACE = os.path.join(ROOT, "build/python-freethreaded")
SOURCE = os.path.join(PLACE, "Python-3.13.5")

# No optimization by profiles: it takes an hour, and what is tested is not CPython.
OPTIONS = ["--disable-gil", "--disable-test-modules", "--with-ensurepip=install"]
KINDS = {"plain": [], "tsan": ["--with-thread-sanitizer"]}
# What is built runs while it is built. CPython's own races are not the question here, and the
# thread sanitizer of gcc 12 does not know where today's kernels put things.
LAUNCHER = {"plain": [], "tsan": ["setarch", "-R"]}
QUIET = {"plain": {}, "tsan": {"TSAN_OPTIONS": "report_bugs=0"}}


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch():
    """The archive's path."""
    archive = os.path.join(PLACE, os.path.basename(URL))
    if os.path.exists(archive) and sha256(archive) == SHA256:
        return archive
    os.makedirs(PLACE, exist_ok=True)
    print(f"fetching {URL}", flush=True)
    with urllib.request.urlopen(URL) as given, open(archive + ".part", "wb") as out:
        shutil.copyfileobj(given, out)
    digest = sha256(archive + ".part")
    if digest != SHA256:
        sys.exit(f"cpython.py: SHA-256 of {URL} is {digest}, should be {SHA256}")
    os.replace(archive + ".part", archive)
    return archive


def unpack(archive):
    if os.path.exists(os.path.join(SOURCE, "unpacked")):
        return
    shutil.rmtree(SOURCE, ignore_errors=True)
    with tarfile.open(archive) as tar:
        tar.extractall(PLACE)  # its checksum is known
    with open(os.path.join(SOURCE, "unpacked"), "w", encoding="utf-8"):
        pass


def step(kind, words, where):
    """Runs it; its output goes to a log, of which the end is shown when it fails."""
    log = os.path.join(PLACE, f"{kind}.log")
    print(f"$ {' '.join(words)}  # in {os.path.relpath(where)}", flush=True)
    with open(log, "a", encoding="utf-8") as out:
        status = subprocess.run([*LAUNCHER[kind], *words], cwd=where, stdout=out, stderr=out,
                                env={**os.environ, **QUIET[kind]}, check=False).returncode
    if status != 0:
        with open(log, encoding="utf-8", errors="replace") as file:
            print("".join(file.readlines()[-30:]))
        sys.exit(f"cpython.py: {words[0]} ended with {status}; all of it: {log}")


def install(kind, jobs):
    """The installed interpreter of that kind."""
    prefix = os.path.join(PLACE, f"interpreter-{kind}")
    program = os.path.join(prefix, "bin", PROGRAM)
    stamp = os.path.join(prefix, "stamp")
    wanted = " ".join([SHA256, *OPTIONS, *KINDS[kind]])
    if os.path.exists(stamp):
        with open(stamp, encoding="utf-8") as file:
            if file.read() == wanted:
                return program
    unpack(fetch())
    where = os.path.join(PLACE, f"build-{kind}")
    for old in (where, prefix):
        shutil.rmtree(old, ignore_errors=True)
    os.makedirs(where)
    step(kind, [os.path.join(SOURCE, "configure"), f"--prefix={prefix}", *OPTIONS, *KINDS[kind]],
         where)
    step(kind, ["make", f"-j{jobs}"], where)
    step(kind, ["make", "install"], where)
    shutil.rmtree(where)
    with open(stamp, "w", encoding="utf-8") as file:
        file.write(wanted)
    return program
