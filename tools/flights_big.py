#!/usr/bin/env python3
"""Fetch the file of three million flights: flights-3m.parquet of the npm package vega-datasets.

usage: flights_big.py FILE

npm brings the package from whatever registry it is configured for; its SHA-256 is checked here, and
nothing of it is run. It is only for the larger example and the benchmark of the Python package.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile

PACKAGE = "vega-datasets@3.2.1"
SHA256 = "6f72fda460a9863fae5fcb32f85bcd49e1761fdea6dc6cf9f4962472881cc5a3"
MEMBER = "package/data/flights-3m.parquet"


def pack(directory):
    """The package's archive, checked."""
    command = ["npm", "pack", PACKAGE, "--silent", "--ignore-scripts", "--pack-destination",
               directory]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    archive = os.path.join(directory, os.listdir(directory)[0])
    with open(archive, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != SHA256:
        sys.exit(f"flights_big.py: SHA-256 of {PACKAGE} is {digest}, should be {SHA256}")
    return archive


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if shutil.which("npm") is None:
        sys.exit("flights_big.py: npm is needed (Debian package npm)")
    target = os.path.abspath(sys.argv[1])
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        with tarfile.open(pack(directory)) as package, open(target + ".part", "wb") as out:
            shutil.copyfileobj(package.extractfile(MEMBER), out)
    os.replace(target + ".part", target)


if __name__ == "__main__":
    main()
