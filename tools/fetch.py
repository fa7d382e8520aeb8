#!/usr/bin/env python3
"""Fetch one source archive of tools/sources.txt through pip and print its path.

usage: fetch.py NAME DIRECTORY

pip brings the archive from whatever index it is configured for and checks the hash; nothing of the
archive is run (see tools/sdist/). An archive that is already there with the right hash is kept.
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile

TOOLS = os.path.dirname(os.path.abspath(__file__))


def requirement(name):
    with open(os.path.join(TOOLS, "sources.txt"), encoding="utf-8") as file:
        for line in file:
            match = re.match(r"([\w-]+)==(\S+) --hash=sha256:([0-9a-f]{64})$", line.strip())
            if match and match.group(1) == name:
                return line.strip(), f"{name}-{match.group(2)}.tar.gz", match.group(3)
    sys.exit(f"fetch.py: {name} is not in tools/sources.txt")


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def download(line, directory):
    """Runs pip on a requirements file of this one line: hashes are only accepted from files."""
    environment = dict(os.environ, PYTHONPATH=os.path.join(TOOLS, "sdist"))
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(line + "\n")
        file.flush()
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--no-binary", ":all:", "--no-build-isolation", "--use-pep517"]
        command += ["--require-hashes", "--dest", directory, "-r", file.name]
        return subprocess.run(command, env=environment, stdout=sys.stderr, check=False).returncode


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    name, directory = sys.argv[1], sys.argv[2]
    line, archive, digest = requirement(name)
    path = os.path.join(os.path.abspath(directory), archive)
    if not os.path.exists(path) or sha256(path) != digest:
        os.makedirs(directory, exist_ok=True)
        if os.path.exists(path):
            os.remove(path)
        status = download(line, directory)
        if status != 0:
            sys.exit(f"fetch.py: pip could not fetch {name} (exit {status})")
    if sha256(path) != digest:
        sys.exit(f"fetch.py: {path} has the wrong hash")
    print(path)


if __name__ == "__main__":
    main()
