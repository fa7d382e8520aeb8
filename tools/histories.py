#!/usr/bin/env python3
"""Run khonsu-workload over many seeds and judge each history.

usage: histories.py [--driver FILE] [--first-seed N] [--seeds N] [--transactions N]
                    [--seconds S] [--keep FOLDER] [--kills N]
       histories.py --mutants [NAME...]

Each seed runs every case of the matrix below, each in a size drawn from the seed, and judges the
history by test/model/history_check.py: by its level, by real time and by the store's own numbers,
and once more without these. A history that is wrong, or a driver that fails, is kept and counted.
--seconds stops after the seed under way then.

--kills runs each case on a store on disk, which is killed N times in the middle and started again.

--mutants builds a driver on each of the planted bugs of test/mutants that are named (none: on those
of src/txn, src/db and src/store) and says by which anomaly it shows in histories; many do not by
their nature, and other tests find those.

The last line is one of JSON; the exit status is 1 when failures > 0.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path.insert(0, os.path.join(ROOT, "test", "model"))

import history_check  # noqa: E402  (the path comes first)
from history_format import Malformed, read  # noqa: E402
from planted import load  # noqa: E402

LEVELS = ("read-committed", "snapshot", "serializable", "strict-serializable")
CASES = ([(workload, level) for workload in ("list-append", "rw-register", "bank", "group", "kv")
          for level in LEVELS if level != "strict-serializable" or workload == "list-append"] +
         [("list-append", "serializable", "--rows"), ("list-append", "serializable", "--mix")] +
         [("rw-register", level, "--scans") for level in LEVELS[:3]] +
         [("list-append", level, "--workspaces") for level in LEVELS[:3]] +
         [("bank", "serializable", "--mix", "--workspaces"),
          ("rw-register", "serializable", "--scans", "--deletes", "--workspaces")] +
         [("rw-register", level, "--scans", "--deletes") for level in LEVELS[1:3]] +
         [("rw-register", "serializable", "--scans", "--deletes", "--mix"),
          ("bank", "serializable", "--mix")])
DRIVER_SECONDS = 120


def command(driver, case, seed, transactions, path, kills=0):
    dice = random.Random(f"{seed} {case}")
    sizes = {"threads": dice.choice((2, 3, 4, 8, 16)), "keys": dice.choice((2, 3, 8, 16, 32)),
             "ops": dice.choice((2, 4, 4, 8)), "transactions": transactions, "seed": seed}
    options = [f"--{name}={value}" for name, value in sizes.items()]
    if kills:
        options += [f"--path={path}.store", f"--kill={kills}",
                    f"--sync={dice.choice(('full', 'group'))}"]
    return [driver, "--workload", case[0], "--isolation", case[1], *case[2:], *options,
            "--out", path]


def judge(path):
    """(anomalies by name, transactions by status) of a history."""
    with open(path, "rb") as file:
        history = read(file)
    statuses = {}
    for txn in history.txns:
        statuses[txn.status] = statuses.get(txn.status, 0) + 1
    found = history_check.check(history, real_time=True)
    if history.workload == "rw-register":
        bare = history_check.check(history, real_time=True, timestamps=False)
        found.counts.update(bare.counts)
        found.examples += bare.examples
    return found, statuses


def run_case(driver, case, seed, transactions, path, kills=0):
    """(what is wrong, in words and by name; transactions by status; the command)."""
    arguments = command(driver, case, seed, transactions, path, kills)
    shutil.rmtree(f"{path}.store", ignore_errors=True)
    wrong, names, statuses = [], set(), {}
    with subprocess.Popen(arguments, stderr=subprocess.PIPE) as process:
        try:
            message = process.communicate(timeout=DRIVER_SECONDS)[1]
        except subprocess.TimeoutExpired:
            # It writes what there is, and ends even if the store does not.
            process.terminate()
            message = process.communicate()[1]
            wrong.append(f"no end after {DRIVER_SECONDS} s\n")
            names.add("hang")
        if process.returncode != 0:
            wrong.append(message.decode(errors="replace"))
            names.add("driver")
    try:
        report, statuses = judge(path)
        names |= set(report.counts)
        wrong += [f"{name}: {words}\n" for name, words in report.examples]
    except (Malformed, OSError) as error:
        wrong.append(f"{error}\n")
        names.add("malformed")
    return "".join(wrong), names, statuses, arguments


def campaign(options):
    began = time.monotonic()
    os.makedirs(options.keep, exist_ok=True)
    counts = {"seeds": 0, "histories": 0, "ok": 0, "fail": 0, "info": 0, "anomalies": 0,
              "failures": 0}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        if options.seconds and time.monotonic() - began > options.seconds:
            break
        counts["seeds"] += 1
        for case in CASES:
            path = os.path.join(options.keep, "_".join((*case, str(seed))) + ".jsonl")
            wrong, names, statuses, arguments = run_case(options.driver, case, seed,
                                                         options.transactions, path,
                                                         options.kills)
            counts["histories"] += 1
            for status, count in statuses.items():
                counts[status] += count
            if not wrong:
                os.remove(path)
                shutil.rmtree(f"{path}.store", ignore_errors=True)
                continue
            print(f"{' '.join(arguments)}\n{wrong}kept: {path}", flush=True)
            counts["failures"] += 1
            counts["anomalies"] += len(names)
        print(f"seed {seed}: {counts['histories']} histories, {counts['failures']} failures, "
              f"{time.monotonic() - began:.0f} s", flush=True)
    print(json.dumps({"proof": "histories", "cases": len(CASES), "first_seed": options.first_seed,
                      "transactions_each": options.transactions, "kills_each": options.kills,
                      "committed": counts.pop("ok"), "aborted": counts.pop("fail"),
                      "unknown": counts.pop("info"), "seconds": round(time.monotonic() - began),
                      **counts}))
    return 1 if counts["failures"] else 0


def build(mutant, folder):
    """The driver on a copy of the sources with that bug; None: it does not build."""
    sources = os.path.join(folder, "sources")
    for name in ("cmake", "include", "src", "tools"):
        shutil.copytree(os.path.join(ROOT, name), os.path.join(sources, name), dirs_exist_ok=True)
    shutil.copy(os.path.join(ROOT, "CMakeLists.txt"), sources)
    for path, text in mutant.apply(ROOT).items():
        with open(os.path.join(sources, path), "w", encoding="utf-8") as file:
            file.write(text)
    steps = (["cmake", "-S", sources, "-B", folder, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Debug",
              "-DKHONSU_TESTS=OFF", "-DKHONSU_THIRD_PARTY_DIR=" +
              os.path.abspath(os.path.join(ROOT, "build", "third_party"))],
             ["cmake", "--build", folder, "--parallel", "2", "--target",
              "khonsu_workload_program"])
    for step in steps:
        done = subprocess.run(step, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        if done.returncode != 0:
            print(done.stdout)
            return None
    return os.path.join(folder, "khonsu-workload")


def planted_in_the_engine():
    """Bugs that a history could show: those of the rooms that decide who sees what."""
    rooms = ("src/txn/", "src/db/", "src/store/")
    return [mutant for mutant in load(os.path.join(ROOT, "test", "mutants"))
            if all(edit.path.startswith(rooms) for edit in mutant.edits)]


def hunt(mutant, options, folder):
    """(has it been found, by which case and anomalies)."""
    driver = build(mutant, os.path.join(os.path.abspath(ROOT), "build", "mutant-histories"))
    if driver is None:
        return False, "does not build"
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for case in CASES:
            path = os.path.join(folder, "history.jsonl")
            wrong, names, _, _ = run_case(driver, case, seed, options.transactions, path)
            if wrong:
                return True, f"{' '.join(case)}, seed {seed}: {', '.join(sorted(names))}"
    return False, "not by histories"


def hunt_all(options):
    began = time.monotonic()
    os.chdir(ROOT)
    planted = planted_in_the_engine()
    if options.mutants:
        planted = [mutant for mutant in planted if mutant.name in options.mutants]
    found = 0
    with tempfile.TemporaryDirectory() as folder:
        for mutant in planted:
            is_found, where = hunt(mutant, options, folder)
            found += is_found
            print(f"{mutant.name:40} {where}", flush=True)
    print(json.dumps({"proof": "histories of mutants", "planted": len(planted), "found": found,
                      "seeds": options.seeds, "seconds": round(time.monotonic() - began),
                      "failures": 0 if found else 1}))
    return 0 if found else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--driver", default=os.path.join(ROOT, "build/dev/khonsu-workload"))
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--transactions", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--keep", default=os.path.join(ROOT, "build", "histories"))
    parser.add_argument("--mutants", nargs="*", metavar="NAME")
    options = parser.parse_args()
    return campaign(options) if options.mutants is None else hunt_all(options)


if __name__ == "__main__":
    sys.exit(main())
