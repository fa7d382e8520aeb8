#!/usr/bin/env python3
"""Put tables into documents: what the tests measure, and the bounds of src/base/limits.h.

usage: docs_tables.py [--check] ROOT HERMITAGE POLICY_MATRIX

The last two are the test programs. A table goes between its two marks, <!-- table NAME --> and
<!-- end -->. With --check nothing is written: exits 1 when a document says something else.
"""

import os
import re
import subprocess
import sys

BOUND = re.compile(r"#define (\w+) (.+)$")


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


def source_but(root, left_out):
    """All of src/, but for the files of one name."""
    texts = []
    for directory, _, names in os.walk(os.path.join(root, "src")):
        for name in sorted(names):
            if name != left_out:
                with open(os.path.join(directory, name), encoding="utf-8") as file:
                    texts.append(file.read())
    return "\n".join(texts)


def bounds(root):
    """limits.h as a table: a comment is the reason of the definitions that follow it."""
    rows, reason = ["| bound | value | why |", "|---|---|---|"], ""
    used = set(re.findall(r"\b(?:LIMIT|DEFAULT)_\w+", source_but(root, "limits.h")))
    with open(os.path.join(root, "src", "base", "limits.h"), encoding="utf-8") as file:
        blocks = re.split(r"\n(?=/\*|#)", file.read())
    for block in blocks[1:]:
        bound = BOUND.match(block.strip())
        if block.startswith("/*"):
            reason = " ".join(re.sub(r"/\*|\*/|^ \*", "", block, flags=re.MULTILINE).split())
        elif bound:
            value = re.sub(r"(?<=\d)(u?ll|u)\b", "", bound.group(2))
            note = "" if bound.group(1) in used else " **Not enforced yet.**"
            rows.append(f"| `{bound.group(1)}` | {value} | {reason}{note} |")
    return "\n".join(rows) + "\n"


def tables(root, hermitage, policy_matrix):
    """What goes where: {document: {name: table}}."""
    ways, values = printed_tables(policy_matrix)
    anomalies = printed_tables(hermitage)[0]
    return {os.path.join("docs", "isolation.md"): {"anomalies": anomalies, "ways": ways,
                                                   "values": values},
            os.path.join("docs", "limits.md"): {"bounds": bounds(root)}}


def fill(document, text, named):
    for name, table in named.items():
        mark = re.compile(rf"(<!-- table {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text, count = mark.subn(lambda match, table=table: f"{match.group(1)}\n{table}\n"
                                f"{match.group(2)}", text)
        if count != 1:
            sys.exit(f"docs_tables.py: {document} has {count} places for the table {name}")
    return text


def main():
    arguments = sys.argv[1:]
    is_check = arguments[:1] == ["--check"]
    if len(arguments) != 3 + is_check:
        sys.exit(__doc__)
    root = arguments[-3]
    stale = []
    for document, named in tables(*arguments[-3:]).items():
        path = os.path.join(root, document)
        with open(path, encoding="utf-8") as file:
            before = file.read()
        after = fill(document, before, named)
        if after != before:
            stale.append(document)
        if not is_check:
            with open(path, "w", encoding="utf-8") as file:
                file.write(after)
    if is_check and stale:
        sys.exit(f"{', '.join(stale)}: not what tests and limits.h say: run `make docs`")
    print("docs_tables: the documents say what tests and limits.h say")


if __name__ == "__main__":
    main()
