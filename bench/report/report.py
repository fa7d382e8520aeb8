#!/usr/bin/env python3
"""Measure khonsu beside its peers and write docs/performance.md with its plots.

usage: report.py --program khonsu-bench [--scale full|medium|quick|trial] [--rounds N]
                 [--only memory|durable] [--figures NAME,...] [--path DIRECTORY]
                 [--into FILE] [--json FILE] [--docs DIRECTORY]
       report.py --render FILE --docs DIRECTORY      the documents from what was measured before
       report.py --check DIRECTORY                   are the documents what their report.json says?

--path is where stores in files lie (default build/bench/durable). --into puts the figures that were
measured into those of an earlier report, of the same scale. --json is written after each figure.

The exit status says whether the report could be made and holds together, not whether bars are met.
"""

import argparse
import dataclasses
import json
import os
import shutil
import sys

import durable
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
    parser.add_argument("--rounds", type=int, default=0, help="0: as the scale says")
    parser.add_argument("--only", choices=("memory", "durable"))
    parser.add_argument("--figures", default="", help="some of them, by name")
    parser.add_argument("--path", default=durable.PATH)
    parser.add_argument("--into", metavar="FILE")
    parser.add_argument("--json", help="where to write what was measured")
    parser.add_argument("--render", metavar="FILE")
    parser.add_argument("--check", metavar="DIRECTORY")
    parser.add_argument("--docs", metavar="DIRECTORY")
    return parser.parse_args()


def figures_asked(arguments, scale):
    figures = plan.figures(scale) if arguments.only != "durable" else []
    if arguments.only != "memory":
        figures += durable.figures(scale, arguments.path)
    wanted = [name for name in arguments.figures.split(",") if name]
    unknown = set(wanted) - {figure.name for figure in figures}
    if unknown:
        sys.exit(f"report: no figures called {', '.join(sorted(unknown))}")
    return [figure for figure in figures if not wanted or figure.name in wanted]


def put_into(earlier, values):
    """Both reports' figures; of those that both have, the new ones."""
    if earlier["scale"] != values["scale"]:
        sys.exit(f"report: --into: that one is of the scale {earlier['scale']}")
    minutes = round(earlier["minutes"] + values["minutes"], 1)
    return {**earlier, **values, "minutes": minutes,
            "figures": {**earlier["figures"], **values["figures"]}}


def measure_as_asked(arguments):
    scale = plan.SCALES[arguments.scale]
    if arguments.rounds:
        scale = dataclasses.replace(scale, rounds=arguments.rounds)
    earlier = read_json(arguments.into) if arguments.into else None
    figures = figures_asked(arguments, scale)
    result = {}

    def save(values):
        if any(durable.is_durable(name) for name in values["figures"]):
            values["durable_place"] = measure.place_of(arguments.path)
        result.update(put_into(earlier, values) if earlier else values)
        if arguments.json:
            write(arguments.json, json.dumps(result, indent=1) + "\n")

    measure.measure(arguments.program, scale, figures, save)
    shutil.rmtree(os.path.join(arguments.path, "store"), ignore_errors=True)
    return result


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
