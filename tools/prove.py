#!/usr/bin/env python3
"""Run the instruments that try to refute khonsu's claims, and write docs/reliability.md.

usage: prove.py [--scale full|quick] [--only NAME,...] [--list]
       prove.py --render       the document from the results that were kept
       prove.py --check        is the document what the results say?

Each instrument is a program that ends with one line of JSON: what it ran, how much, what it found,
"failures". The line, the command, the commit and the day go into docs/reliability/results.json, one
result an instrument: a run of some leaves the others' results as they were. The document is made
of that file and of the words in tools/prove_words.txt; no figure in it is typed. The exit
status is 1 when an instrument failed.
"""

import argparse
import datetime
import json
import os
import shlex
import subprocess
import sys
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
RESULTS = "docs/reliability/results.json"
WORDS = "tools/prove_words.txt"
DOCUMENT = "docs/reliability.md"
PYTHON = "build/venv/bin/python"



def outside(build):
    """The programs that are killed, and the shim that makes calls fail."""
    return f"--life build/{build}/khonsu-life --shim build/{build}/fault_shim.so"


def power_loss(build, run, states):
    """Words of a command in quotes stay together."""
    crash = f"build/{build}/khonsu-crash"
    return (f"{PYTHON} test/powerloss/campaign.py --shim build/{build}/powerloss.so "
            f"--run '{crash} run {{dir}}/db {run}' --check '{crash} check-below' "
            f"--directories prefix {states}")


# name -> (quick command, full command); what must be built before is the Makefile's business.
# The full ones take hours; each can be run alone, and some go on where they stopped.
INSTRUMENTS = {
    "interleavings": ("build/dev/test_interleavings",
                      "env KH_TEST_SCALE=100 build/release/test_interleavings"),
    "certification": ("build/dev/test_certify_campaign --histories 9500",
                      "build/release/test_certify_campaign --histories 100000 "
                      "--sampled 1000000 --seed 1"),
    "certification_model": (f"env KHONSU_LIB=build/dev/libkhonsu.so {PYTHON} "
                            "test/python/certify_campaign.py --histories 2000",
                            f"env KHONSU_LIB=build/release/libkhonsu.so {PYTHON} "
                            "test/python/certify_campaign.py --histories 100000"),
    "histories": (f"{PYTHON} tools/histories.py --driver build/release/khonsu-workload --seeds 2",
                  f"{PYTHON} tools/histories.py --driver build/release/khonsu-workload "
                  "--seeds 200 --seconds 900"),
    "stress": ("build/release/khonsu-stress --seconds 60 --seed 1",
               "build/release/khonsu-stress --seconds 1200 --seed 1"),
    "kill": (f"{PYTHON} test/crash/kill.py {outside('dev')} --crash build/dev/khonsu-crash "
             "--rounds 200",
             f"{PYTHON} test/crash/kill.py {outside('release')} "
             "--crash build/release/khonsu-crash --rounds 10000"),
    "failed_calls": (f"{PYTHON} test/crash/failed_calls.py {outside('dev')} --each 12",
                     f"{PYTHON} test/crash/failed_calls.py {outside('release')} --each 60 "
                     "--failures 0"),
    "power_loss": (power_loss("dev", "1 60", "--cuts 40 --per-cut 4"),
                   power_loss("release", "1 400", "--cuts 1500 --per-cut 8 --failures 0")),
    "flip": ("build/dev/test_flip", "build/release/test_flip --all"),
    "mutants": (f"{PYTHON} tools/mutants.py --kind dev", f"{PYTHON} tools/mutants.py --kind all"),
    "mutation": (f"{PYTHON} tools/mutation.py --seconds 300",
                 f"{PYTHON} tools/mutation.py --seconds 7200"),
    "fuzz": (f"{PYTHON} tools/fuzz_long.py --executions 200000",
             f"{PYTHON} tools/fuzz_long.py --executions 10000000"),
    "ipc_foreign": (f"{PYTHON} tools/ipc_foreign.py build/foreign",
                    f"{PYTHON} tools/ipc_foreign.py build/foreign"),
}


def path_of(name):
    return os.path.join(ROOT, name)


def read(name):
    with open(path_of(name), encoding="utf-8") as file:
        return file.read()


def results():
    try:
        return json.loads(read(RESULTS))
    except FileNotFoundError:
        return {}


def commit():
    done = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=10"], cwd=ROOT,
                          stdout=subprocess.PIPE, text=True, check=False)
    return done.stdout.strip() or "unknown"


def last_json(output):
    """The last line that is a JSON object; None: there is none."""
    for line in reversed(output.splitlines()):
        if line.startswith("{"):
            try:
                return json.loads(line)
            except ValueError:
                return None
    return None


def run(name, command):
    """One instrument: its result, or None when it said nothing that could be kept."""
    print(f"\n==== {name}: {command}", flush=True)
    began = time.monotonic()
    with subprocess.Popen(shlex.split(command), cwd=ROOT, stdout=subprocess.PIPE,
                          text=True) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            print(line, end="", flush=True)
    found = last_json("".join(lines))
    if found is None:
        print(f"prove: {name} ended with {process.returncode} and no line of JSON")
        return None
    if process.returncode != 0 and not found.get("failures"):
        found["failures"] = 1
    found.pop("proof", None)
    return {"command": command, "commit": commit(), "day": datetime.date.today().isoformat(),
            "minutes": round((time.monotonic() - began) / 60, 1), "found": found}


def words():
    """{name: text}: the sections of words.md; "" is what stands before the first."""
    sections, name = {"": []}, ""
    for line in read(WORDS).splitlines():
        if line.startswith("## "):
            name = line[3:].strip()
            sections[name] = []
        else:
            sections[name].append(line)
    return {name: "\n".join(lines).strip() for name, lines in sections.items()}


def number(value):
    return f"{value:,}" if isinstance(value, int) else str(value)


def table_of(found):
    rows = ["| what | how much |", "|---|---|"]
    for key, value in found.items():
        rows.append(f"| {key.replace('_', ' ')} | {number(value)} |")
    return "\n".join(rows)


def summary_of(kept, texts):
    rows = ["| instrument | verdict | minutes | day | commit |", "|---|---|---|---|---|"]
    for name in INSTRUMENTS:
        title = texts[name].splitlines()[0].strip("*")
        link = f"[{title}](#{name.replace('_', '-')})"
        result = kept.get(name)
        if result is None:
            rows.append(f"| {link} | not run | | | |")
            continue
        failures = result["found"].get("failures", 0)
        verdict = "no failure" if failures == 0 else f"**{failures} failures**"
        rows.append(f"| {link} | {verdict} | {result['minutes']} | {result['day']} | "
                    f"{result['commit']} |")
    return "\n".join(rows)


def render(kept):
    texts = words()
    missing = [name for name in INSTRUMENTS if name not in texts]
    if missing:
        sys.exit(f"prove: {WORDS} says nothing of {', '.join(missing)}")
    parts = ["# Reliability", "<!-- made by tools/prove.py: do not edit -->", texts[""],
             summary_of(kept, texts)]
    for name in INSTRUMENTS:
        parts += [f"## {name.replace('_', ' ')}", texts[name]]
        result = kept.get(name)
        if result is None:
            parts.append(f"Not run yet. The command: `{INSTRUMENTS[name][1]}`")
        else:
            parts += [f"Run: `{result['command']}`", table_of(result["found"])]
    return "\n\n".join(parts) + "\n"


def write(name, text):
    with open(path_of(name), "w", encoding="utf-8") as file:
        file.write(text)


def keep(kept):
    write(RESULTS, json.dumps(kept, indent=1, sort_keys=True) + "\n")
    write(DOCUMENT, render(results()))


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", choices=("full", "quick"), default="full")
    parser.add_argument("--only", default="")
    for flag in ("--list", "--render", "--check"):
        parser.add_argument(flag, action="store_true")
    return parser.parse_args()


def check():
    is_current = read(DOCUMENT) == render(results())
    if not is_current:
        print(f"{DOCUMENT} is not what its results say: run tools/prove.py --render")
    return 0 if is_current else 1


def prove(names, column):
    """Runs them in turn, keeps what each says at once; the names of those that failed."""
    failed = []
    for name in names:
        result = run(name, INSTRUMENTS[name][column])
        if result is None or result["found"].get("failures", 0) != 0:
            failed.append(name)
        if result is not None:
            keep({**results(), name: result})
    return failed


def main():
    arguments = parse()
    if arguments.check:
        return check()
    if arguments.render:
        write(DOCUMENT, render(results()))
        return 0
    column = 1 if arguments.scale == "full" else 0
    wanted = [name for name in arguments.only.split(",") if name] or list(INSTRUMENTS)
    unknown = set(wanted) - set(INSTRUMENTS)
    if unknown:
        sys.exit(f"prove: no instruments called {', '.join(sorted(unknown))}")
    if arguments.list:
        for name in wanted:
            print(f"{name}: {INSTRUMENTS[name][column]}")
        return 0
    failed = prove(wanted, column)
    if failed:
        print(f"prove: failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
