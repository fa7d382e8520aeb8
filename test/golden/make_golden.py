#!/usr/bin/env python3
"""Make the golden files of this version: databases that later versions must be able to read.

usage: make_golden.py [--program FILE] [--khonsu FILE] [--out DIR]

Writes DIR/FORMAT-n (n: the format that the file KHONSU names) with databases.tar.xz and, of each
database, what it holds as text: what golden_test.py compares. Files are made once for a format
and never again: they stand for what users have. Whoever changes the format adds a directory.
"""

import argparse
import io
import lzma
import os
import re
import subprocess
import sys
import tarfile
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
DATABASES, BACKUPS = ("types.db", "orders.db", "killed.db"), 3


def run(command, folder):
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, check=True)
    return done.stdout.decode()


def archive(folder):
    """A tar of all files but RocksDB's own reports, without names of users, groups or times."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for directory, below, names in os.walk(folder):
            below.sort()
            for name in sorted(below) + sorted(names):
                if re.fullmatch(r"LOG(\.old\.\d+)?", name):
                    continue
                path = os.path.join(directory, name)
                entry = tar.gettarinfo(path, os.path.relpath(path, folder))
                entry.uid = entry.gid = entry.mtime = 0
                entry.uname = entry.gname = ""
                if entry.isfile():
                    with open(path, "rb") as file:
                        tar.addfile(entry, file)
                else:
                    tar.addfile(entry)
    return lzma.compress(out.getvalue(), preset=9 | lzma.PRESET_EXTREME)


def format_of(folder):
    with open(os.path.join(folder, "types.db", "KHONSU"), encoding="ascii") as file:
        return re.search(r"^format (\d+)$", file.read(), re.MULTILINE)[1]


def write(path, content):
    with open(path, "wb") as file:
        file.write(content)


def newest(text):
    """Of a dump the newest version of each key: what a restored copy has."""
    seen, lines = set(), []
    for line in text.splitlines(True):
        key = re.match(r"version (.*?) \d+ ", line)
        if key and key[1] not in seen:
            seen.add(key[1])
            lines.append(line)
    return "".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--program", default="build/dev/khonsu-golden")
    parser.add_argument("--khonsu", default="build/dev/khonsu")
    parser.add_argument("--out", default=HERE)
    options = parser.parse_args()
    program, khonsu = os.path.abspath(options.program), os.path.abspath(options.khonsu)
    with tempfile.TemporaryDirectory() as folder:
        run([program, "make"], folder)
        target = os.path.join(options.out, "FORMAT-" + format_of(folder))
        os.makedirs(target)
        packed = archive(folder)
        write(os.path.join(target, "databases.tar.xz"), packed)
        for name in DATABASES:
            text = run([program, "dump", name], folder)
            write(os.path.join(target, name + ".txt"), text.encode())
        for number in range(1, BACKUPS + 1):
            copy = f"copy{number}"
            run([khonsu, "restore", "backups", copy, "--backup", str(number), "--quiet"], folder)
            write(os.path.join(target, f"backup-{number}.txt"),
                  newest(run([program, "dump", copy], folder)).encode())
    print(f"{target}: {len(packed)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
