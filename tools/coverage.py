#!/usr/bin/env python3
"""Say which lines of src/ the tests of a coverage build reached.

usage: coverage.py BUILD [FILE]

With FILE (src/room/file.c) the lines that were never run are listed.
"""

import json
import os
import subprocess
import sys


def counts_of(note, build):
    """{(file, line): times run} of one object, by gcov."""
    output = subprocess.run(["gcov", "--json-format", "--stdout", note], check=True,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=build).stdout
    counts = {}
    for unit in output.splitlines():
        for file in json.loads(unit)["files"]:
            for line in file["lines"]:
                key = (file["file"], line["line_number"])
                counts[key] = counts.get(key, 0) + line["count"]
    return counts


def collect(build):
    counts = {}
    for directory, _, names in os.walk(os.path.join(build, "CMakeFiles", "khonsu_objects.dir")):
        for name in names:
            if name.endswith(".gcda"):
                note = os.path.abspath(os.path.join(directory, name))
                for key, count in counts_of(note, build).items():
                    counts[key] = counts.get(key, 0) + count
    files = {}
    for (path, line), count in counts.items():
        if "/src/" in path and "/third_party/" not in path:
            files.setdefault("src/" + path.split("/src/", 1)[1], {})[line] = count
    return files


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    files = collect(sys.argv[1])
    if len(sys.argv) == 3:
        print(" ".join(str(line) for line, count in sorted(files[sys.argv[2]].items())
                       if count == 0))
        return
    for path, lines in sorted(files.items()):
        reached = sum(1 for count in lines.values() if count)
        print(f"{100 * reached / len(lines):6.1f} %  {reached:5} of {len(lines):5}  {path}")
    every = [count for lines in files.values() for count in lines.values()]
    print(f"{100 * sum(1 for c in every if c) / max(1, len(every)):6.1f} %  all of src/")


if __name__ == "__main__":
    main()
