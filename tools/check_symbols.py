#!/usr/bin/env python3
"""Check what the built library shows and what it calls, by nm.

usage: check_symbols.py exports SHARED_LIBRARY ARCHIVE HEADERS
           both libraries define exactly the functions that the headers declare
       check_symbols.py calls OBJECT...
           what the objects of the rooms need from outside is on the list below
"""

import os
import re
import subprocess
import sys

# Who may call what outside the library: an object's path, the symbols. Objects of base/env_* are
# the door to the operating system and may call anything.
ANYONE = (r"pthread_mutex_(lock|unlock)|"  # base/lock.h's inline functions
          r"mem(cpy|move|set|cmp|chr|rchr|mem)|str\w+|v?snprintf|qsort|bsearch|__\w+_chk|"
          r"_GLOBAL_OFFSET_TABLE_|__stack_chk_fail|__errno_location|__asan_\w+|"
          r"(f|l|ll)?(abs|max|min|mod|round|floor|ceil|trunc|pow|frexp|ldexp|exp|log|sqrt|"
          r"rint|nearbyint|signbit|isnan|isinf|isfinite)f?")
DOORS = [
    (r"", ANYONE),
    (r"base/env_", r".*"),
    (r"base/lock", r"pthread_\w+"),
    (r"base/mem", r"(m|c|re)alloc|free|aligned_alloc|posix_memalign"),
    (r"base/(assert|status)", r"abort|stderr|fprintf|fputs|fwrite|fputc"),
    (r"base/epoch", r"_?ck_\w+"),
    (r"base/digest", r"EVP_\w+"),
    (r"log/rocks_", r"rocksdb_\w+"),
    (r"txn/delta_kernel", r"__cpu_(model|features2|indicator_init)"),  # what the machine can do
    (r"batch/", r"khonsu_na\w+|flatcc_\w+|flatbuffers_\w+|LZ4\w+|ZSTD\w+"),
]


def nm(*arguments):
    """[(kind, name)] of each symbol, without versions."""
    output = subprocess.run(["nm", *arguments], check=True, stdout=subprocess.PIPE, text=True)
    found = []
    for line in output.stdout.splitlines():
        match = re.match(r"[0-9a-f ]{17}(\w) (\S+)", line)
        if match:
            found.append((match.group(1), match.group(2).split("@")[0]))
    return found


def declared(folder):
    """The functions that the public headers declare as exported."""
    names = set()
    for directory, _, files in os.walk(folder):
        for name in files:
            with open(os.path.join(directory, name), encoding="utf-8") as file:
                text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", file.read(), flags=re.DOTALL)
            text = re.sub(r"^[ \t]*#(?:[^\n\\]|\\.)*", " ", text, flags=re.MULTILINE | re.DOTALL)
            for declaration in re.findall(r"\bKH_API\b[^;]*;", text):
                names.add(re.search(r"(\w+)\s*\(", declaration).group(1))
    return names


def check_exports(shared, archive, headers):
    wanted = declared(headers)
    failures = []
    for library, found in ((shared, nm("-D", "--defined-only", shared)),
                           (archive, nm("--extern-only", "--defined-only", archive))):
        # A symbol version is an absolute symbol of its own.
        names = {name for kind, name in found if kind != "A"}
        where = os.path.basename(library)
        failures += [f"{where}: shows {name}, which no public header declares"
                     for name in sorted(names - wanted)]
        failures += [f"{where}: does not have {name}, which a public header declares"
                     for name in sorted(wanted - names)]
    return failures


def check_calls(objects):
    inside = set()
    needed = []
    for path in objects:
        for kind, name in nm("--extern-only", path):
            if kind == "U":
                needed.append((path, name))
            else:
                inside.add(name)
    failures = []
    for path, name in needed:
        room_and_file = re.sub(r".*/src/", "", path)
        if name not in inside and not any(
                re.match(door, room_and_file) and re.fullmatch(symbols, name)
                for door, symbols in DOORS):
            failures.append(f"src/{room_and_file.removesuffix('.o')} needs {name}")
    return failures


def main():
    if len(sys.argv) == 5 and sys.argv[1] == "exports":
        failures = check_exports(*sys.argv[2:])
    elif len(sys.argv) > 2 and sys.argv[1] == "calls":
        failures = check_calls(sys.argv[2:])
    else:
        sys.exit(__doc__)
    for failure in failures:
        print(failure)
    print(f"check_symbols {sys.argv[1]}: {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
