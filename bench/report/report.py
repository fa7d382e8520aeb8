#!/usr/bin/env python3
"""Measure khonsu beside its peers and write docs/performance.md with its plots.

usage: report.py --program khonsu-bench [--scale full|quick|trial] [--figures NAME,...]
                 [--json FILE] [--docs DIRECTORY]
       report.py --render FILE --docs DIRECTORY      the documents from what was measured before
       report.py --check DIRECTORY                   are the documents what their report.json says?

The exit status says whether the report could be made and holds together, not whether bars are met.
"""

import argparse
import json
import os
import sys

import measure
import plan
import render


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def documents(values):
    """{path below the documents' directory: text}."""
    text, plots = render.render(values)
    found = {"performance.md": text,
             "performance/report.json": json.dumps(values, separators=(",", ":")) + "\n"}
    found.update({f"performance/{name}.svg": svg for name, svg in plots.items()})
    return found


def read_json(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def read_text(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def check(directory):
    """Paths whose text is not what report.json makes of it."""
    expected = documents(read_json(os.path.join(directory, "performance", "report.json")))
    return [path for path, text in expected.items()
            if read_text(os.path.join(directory, path)) != text]


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program")
    parser.add_argument("--scale", choices=sorted(plan.SCALES), default="full")
    parser.add_argument("--figures", default="", help="some of them, by name")
    parser.add_argument("--json", help="where to write what was measured")
    parser.add_argument("--render", metavar="FILE")
    parser.add_argument("--check", metavar="DIRECTORY")
    parser.add_argument("--docs", metavar="DIRECTORY")
    return parser.parse_args()


def measure_as_asked(arguments):
    scale = plan.SCALES[arguments.scale]
    figures = plan.figures(scale)
    wanted = [name for name in arguments.figures.split(",") if name]
    unknown = set(wanted) - {figure.name for figure in figures}
    if unknown:
        sys.exit(f"report: no figures called {', '.join(sorted(unknown))}")
    return measure.measure(arguments.program, scale,
                           [figure for figure in figures if not wanted or figure.name in wanted])


def main():
    arguments = parse()
    if arguments.check:
        stale = check(arguments.check)
        for path in stale:
            print(f"{path} is not what performance/report.json says: run make bench-render")
        return 1 if stale else 0
    if not arguments.render and not arguments.program:
        sys.exit(__doc__)
    try:
        values = read_json(arguments.render) if arguments.render else measure_as_asked(arguments)
    except measure.Broken as broken:
        sys.exit(f"report: {broken}")
    if arguments.json:
        write(arguments.json, json.dumps(values, indent=1) + "\n")
    if arguments.docs:
        for path, text in documents(values).items():
            write(os.path.join(arguments.docs, path), text)
    for row in render.bars_table(values)[1]:
        print(f"{row[0]}: {row[2]}, {row[1]} asked: {row[3].strip('*')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
