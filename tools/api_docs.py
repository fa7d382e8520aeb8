#!/usr/bin/env python3
"""Make the reference of the C API from the public headers, and check the documents.

usage: api_docs.py [--check] ROOT

Writes ROOT/docs/api.md: the headers in the order in which khonsu.h includes them, comments as
prose, declarations as code, the statuses as a table, and an index. With --check nothing is written.
Exits 1 when a document of the repository links to a file or a heading that is not there, or, with
--check, when that file is not what would be written.
"""

import os
import re
import sys
import textwrap

RULER = re.compile(r"/\* -{2,} (.+?) -{2,} \*/$")
STATUS = re.compile(r'X\((KH_\w+), (\d+), (\w+),[\s\\]*((?:"[^"]*"[\s\\]*)+)\)')
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
FUNCTION = re.compile(r"(?:KH_API|KH_WARN_UNUSED)\b[^;{]*?\b(kh_\w+)\(")
NAME = re.compile(r"(?<![\w`/*.])(\*?\b(?:kh|KH)_\w+(?:\(\))?|\*[a-z_]+\b)")
OUTPUT = os.path.join("docs", "api.md")


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def prose(comment):
    """The text of a comment, without its marks. What it indents by four stays so: code."""
    lines = []
    for line in comment.split("\n"):
        line = re.sub(r"^\s*(/\*+ ?| \* ?| ?\*(?!/) ?)?", "", line, count=1)
        line = re.sub(r"\s*\*/\s*$", "", line)
        # A line set in by two is a line of a list.
        line = re.sub(r"^ {2}(?=[^\s-])", "- ", line)
        if not re.match(r" {4}\S.*;", line):
            line = NAME.sub(r"`\1`", line).replace("<", "&lt;")
        lines.append(line)
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
            and not re.match(r'extern "C" \{$|\}$|\s*#\s*define \w+$', line)]
    return not kept


def rewrap(declaration):
    """A function's declaration without the attributes, set in by four where it is long."""
    plain = " ".join(re.sub(r"\b(KH_API|KH_WARN_UNUSED)\s+", "", declaration.group(0)).split())
    # Lines break between parameters only.
    whole = re.sub(r"(?<!,) ", "\0", plain)
    return "\n".join(textwrap.wrap(whole, 96, subsequent_indent="    ",
                                   break_long_words=False)).replace("\0", " ")


def declarations(code):
    return re.sub(r"^KH_API\b[^;{]*;", rewrap, code, flags=re.MULTILINE)


def blocks(text):
    """(comment or None, code) of each run of lines between blank lines; a comment begins one."""
    text = re.sub(r"\n(?=/\*)", "\n\n", text)
    text = re.sub(r"^(/\* -{2,} .+? -{2,} \*/)\n", r"\1\n\n", text, flags=re.MULTILINE)
    for block in re.split(r"\n[ \t]*\n", text):
        match = re.match(r"\s*(/\*.*?\*/)[ \t]*(?:\n|$)", block, re.DOTALL)
        if match:
            yield match.group(1), block[match.end():].rstrip()
        else:
            yield None, block.strip("\n")


def body(comment, code):
    """One block as Markdown."""
    out = []
    if "define KH_STATUS_LIST(X)" in code:
        return [status_table(code)]
    if comment:
        out.append(prose(comment) + "\n")
    if "define KH_API" not in code and not is_plumbing(code):
        out.append("```c\n" + declarations(code) + "\n```\n")
    return out


def section(path, text):
    """One header as Markdown, and its index: [(heading, functions)]."""
    out, index = [f"## {path}\n"], [(path, [])]
    for comment, code in blocks(text):
        ruler = RULER.match(comment) if comment else None
        if ruler:
            out.append(f"### {ruler.group(1)}\n")
            index.append((ruler.group(1), []))
            continue
        out += body(comment, code)
        index[-1][1].extend(FUNCTION.findall(code))
    return "\n".join(out), index


def slug(heading):
    """The anchor that a heading gets, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def reference(root):
    """The whole of api.md."""
    include = os.path.join(root, "include")
    front = read(os.path.join(include, "khonsu.h"))
    sections, contents = [], []
    for path in re.findall(r'#include "([^"]+)"', front):
        text, index = section(path, read(os.path.join(include, path)))
        sections.append(text)
        for heading, functions in index:
            names = ", ".join(f"`{name}`" for name in functions)
            depth = "" if heading == path else "  "
            after = f": {names}" if names else ""
            contents.append(f"{depth}- [{heading}](#{slug(heading)}){after}")
    return "\n".join([
        "# The C API\n",
        "Made from the public headers by `make docs`; the headers are the truth.\n",
        prose(re.match(r"/\*.*?\*/", front, re.DOTALL).group(0)) + "\n",
        "## Contents\n", "\n".join(contents) + "\n", *sections])


def documents(root):
    for directory, below, names in os.walk(root):
        below[:] = [b for b in below if b not in ("build", ".git")]
        yield from (os.path.join(directory, name) for name in names if name.endswith(".md"))


def without_code(text):
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def anchors(path):
    text = re.sub(r"```.*?```", "", read(path), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {slug(heading.replace("`", "")) for heading in headings}


def is_dead(path, target, anchor):
    whole = os.path.join(os.path.dirname(path), target) if target else path
    if re.match(r"\w+:", target):
        return False
    if not os.path.exists(whole):
        return True
    return bool(anchor) and whole.endswith(".md") and anchor not in anchors(whole)


def dead_links(root):
    found = []
    for path in sorted(documents(root)):
        for target, anchor in LINK.findall(without_code(read(path))):
            if is_dead(path, target, anchor):
                link = target + ("#" + anchor if anchor else "")
                found.append(f"{os.path.relpath(path, root)}: no such file or heading: {link}")
    return found


def main():
    arguments = sys.argv[1:]
    is_check = arguments[:1] == ["--check"]
    if len(arguments) != 1 + is_check:
        sys.exit(__doc__)
    root = arguments[-1]
    path = os.path.join(root, OUTPUT)
    text = reference(root)
    problems = dead_links(root)
    if not is_check:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    elif not os.path.exists(path) or read(path) != text:
        problems.append(f"{OUTPUT} is not what the headers say: run `make docs`")
    for line in problems:
        print(line)
    print(f"api_docs: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
