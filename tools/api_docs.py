#!/usr/bin/env python3
"""Make the reference of the C API from the public headers, and check the links of the documents.

usage: api_docs.py ROOT OUTPUT

Writes OUTPUT/api.md: the headers in the order in which khonsu.h includes them, comments as prose,
declarations as code, the statuses as a table. Exits 1 when a document of the repository links to a
file that is not there.
"""

import os
import re
import sys

RULER = re.compile(r"/\* -{2,} (.+?) -{2,} \*/$")
STATUS = re.compile(r'X\((KH_\w+), (\d+), (\w+),\s*((?:"[^"]*"[\s\\]*)+)\)')
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def prose(comment):
    """The text of a comment, without its marks. What it indents stays indented: code."""
    lines = []
    for line in comment.split("\n"):
        line = re.sub(r"^\s*(/\*+ ?| \* ?| ?\*(?!/) ?)?", "", line, count=1)
        line = re.sub(r"\s*\*/\s*$", "", line)
        # A line set in by two is a line of a list.
        lines.append(re.sub(r"^ {2}(?=[^\s-])", "- ", line))
    return "\n".join(lines).strip("\n")


def status_table(text):
    rows = ["| status | number | class | meaning |", "|---|---|---|---|"]
    for name, number, kind, meaning in STATUS.findall(text):
        words = "".join(re.findall(r'"([^"]*)"', meaning))
        rows.append(f"| `{name}` | {number} | {kind} | {words} |")
    return "\n".join(rows) + "\n"


def is_plumbing(code):
    """Guards, includes and the C++ brackets: nothing for a reader."""
    kept = [line for line in code.split("\n") if line.strip()
            and not re.match(r"\s*#\s*(if|ifdef|ifndef|else|endif|include|undef)\b", line)
            and not re.match(r'extern "C" \{$|\}$', line) and not re.search(r"_H$", line)]
    return not kept


def blocks(text):
    """(comment or None, code) of each run of lines between blank lines."""
    for block in re.split(r"\n[ \t]*\n", text):
        match = re.match(r"\s*(/\*.*?\*/)[ \t]*(?:\n|$)", block, re.DOTALL)
        if match:
            yield match.group(1), block[match.end():].rstrip()
        else:
            yield None, block.strip("\n")


def section(path, text):
    """One header as Markdown."""
    out = [f"## `{path}`\n"]
    # A ruler is a block of its own even when no blank line says so.
    text = re.sub(r"^(/\* -{2,} .+? -{2,} \*/)\n", r"\n\1\n\n", text, flags=re.MULTILINE)
    for comment, code in blocks(text):
        ruler = RULER.match(comment) if comment else None
        if ruler:
            out.append(f"### {ruler.group(1)}\n")
        elif comment:
            out.append(prose(comment) + "\n")
        if "define KH_API" in code:
            continue
        if "define KH_STATUS_LIST(X)" in code:
            out.append(status_table(code))
        elif not is_plumbing(code):
            out.append("```c\n" + code.replace("KH_API ", "").replace("KH_WARN_UNUSED ", "")
                       + "\n```\n")
    return "\n".join(out)


def reference(root):
    """The whole of api.md."""
    include = os.path.join(root, "include")
    front = read(os.path.join(include, "khonsu.h"))
    parts = ["# The C API\n", prose(re.match(r"/\*.*?\*/", front, re.DOTALL).group(0)) + "\n"]
    for path in re.findall(r'#include "([^"]+)"', front):
        parts.append(section(path, read(os.path.join(include, path))))
    return "\n".join(parts)


def documents(root):
    for directory, below, names in os.walk(root):
        below[:] = [b for b in below if b not in ("build", ".git")]
        yield from (os.path.join(directory, name) for name in names if name.endswith(".md"))


def dead_links(root):
    found = []
    for path in sorted(documents(root)):
        for target in LINK.findall(re.sub(r"```.*?```|`[^`\n]*`", "", read(path), flags=re.DOTALL)):
            whole = os.path.join(os.path.dirname(path), target)
            if not re.match(r"\w+:", target) and not os.path.exists(whole):
                found.append(f"{os.path.relpath(path, root)}: no such file: {target}")
    return found


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    root, output = sys.argv[1], sys.argv[2]
    os.makedirs(output, exist_ok=True)
    path = os.path.join(output, "api.md")
    with open(path, "w", encoding="utf-8") as file:
        file.write(reference(root))
    dead = dead_links(root)
    for line in dead:
        print(line)
    print(f"{path}: {os.path.getsize(path):,} bytes; {len(dead)} dead links")
    return 1 if dead else 0


if __name__ == "__main__":
    sys.exit(main())
