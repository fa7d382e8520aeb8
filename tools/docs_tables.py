#!/usr/bin/env python3
"""Put the tables that the tests measure into docs/isolation.md.

usage: docs_tables.py [--check] ROOT HERMITAGE POLICY_MATRIX

The last two are the test programs. A table goes between its two marks, <!-- table NAME --> and
<!-- end -->. With --check nothing is written: exits 1 when the document says something else than the
tests print.
"""

import os
import re
import subprocess
import sys

DOCUMENT = os.path.join("docs", "isolation.md")


def printed_tables(program):
    """The tables that a test program prints: runs of lines that begin with a bar."""
    ran = subprocess.run([program, "--markdown"], stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, text=True, check=False)
    if ran.returncode != 0:
        sys.exit(f"docs_tables.py: {program} fails: no table is drawn from it")
    found = re.findall(r"(?:^\|.*\n)+", ran.stdout, re.MULTILINE)
    if not found:
        sys.exit(f"docs_tables.py: {program} prints no table")
    return found


def measured(hermitage, policy_matrix):
    ways, values = printed_tables(policy_matrix)
    return {"anomalies": printed_tables(hermitage)[0], "ways": ways, "values": values}


def fill(text, tables):
    for name, table in tables.items():
        mark = re.compile(rf"(<!-- table {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text, count = mark.subn(lambda match, table=table: f"{match.group(1)}\n{table}\n"
                                f"{match.group(2)}", text)
        if count != 1:
            sys.exit(f"docs_tables.py: {DOCUMENT} has {count} places for the table {name}")
    return text


def main():
    arguments = sys.argv[1:]
    is_check = arguments[:1] == ["--check"]
    if len(arguments) != 3 + is_check:
        sys.exit(__doc__)
    root, hermitage, policy_matrix = arguments[-3:]
    path = os.path.join(root, DOCUMENT)
    with open(path, encoding="utf-8") as file:
        before = file.read()
    after = fill(before, measured(hermitage, policy_matrix))
    if is_check and after != before:
        sys.exit(f"{DOCUMENT} says something else than the tests: run `make docs`")
    if not is_check:
        with open(path, "w", encoding="utf-8") as file:
            file.write(after)
    print(f"docs_tables: {DOCUMENT} says what the tests print")


if __name__ == "__main__":
    main()
