#!/usr/bin/env python3
"""A database larger than its memory, in a control group of its budget and a fifth more.

usage: budget.py [--program FILE] [--data-mib N] [--value-bytes N] [--seconds S] [--json FILE]

The budget is a tenth of the data. khonsu-budget loads, reads (zipf 0.99 and uniform) and writes;
the control group (memory, version 1 or 2) ends what takes more. Prints a table: rates, p50 and p99
of each phase, and what the process held at most. Needs the right to make a control group; exit
status 1 when the process was ended or a value was wrong.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile

GROUPS = "/sys/fs/cgroup"


class Group:
    """A control group with a limit of memory."""

    def __init__(self, limit_bytes):
        self.is_old = os.path.isdir(os.path.join(GROUPS, "memory"))
        base = os.path.join(GROUPS, "memory") if self.is_old else GROUPS
        self.path = os.path.join(base, f"khonsu-budget-{os.getpid()}")
        os.mkdir(self.path)
        self.write("memory.limit_in_bytes" if self.is_old else "memory.max", limit_bytes)

    def write(self, name, value):
        with open(os.path.join(self.path, name), "w", encoding="ascii") as file:
            file.write(str(value))

    def read(self, name):
        try:
            with open(os.path.join(self.path, name), encoding="ascii") as file:
                return file.read().strip()
        except OSError:
            return None

    def enter(self):
        self.write("cgroup.procs", os.getpid())

    def most_bytes(self):
        return self.read("memory.max_usage_in_bytes" if self.is_old else "memory.peak")

    def kills(self):
        text = self.read("memory.oom_control" if self.is_old else "memory.events") or ""
        for line in text.splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
        return 0

    def remove(self):
        os.rmdir(self.path)


def run(options, distribution):
    data_bytes = options.data_mib << 20
    budget = data_bytes // 10
    keys = data_bytes // options.value_bytes
    group = Group(budget + budget // 5)
    place = tempfile.mkdtemp(dir=options.directory)
    command = [options.program, "--path", os.path.join(place, "db"), "--budget", str(budget),
               "--keys", str(keys), "--value-bytes", str(options.value_bytes),
               "--seconds", str(options.seconds), "--distribution", distribution]
    try:
        done = subprocess.run(command, preexec_fn=group.enter, stdout=subprocess.PIPE, text=True,
                              check=False)
        phases = [json.loads(line) for line in done.stdout.splitlines()]
        usage = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        return {"distribution": distribution, "data_bytes": data_bytes, "budget_bytes": budget,
                "keys": keys, "value_bytes": options.value_bytes,
                "limit_bytes": budget + budget // 5, "status": done.returncode,
                "kills": group.kills(), "group_most_bytes": int(group.most_bytes() or 0),
                "resident_most_bytes": usage, "phases": phases}
    finally:
        shutil.rmtree(place)
        group.remove()


def show(result):
    mib = 1 << 20
    print(f"{result['keys']} values of {result['value_bytes']} bytes, "
          f"{result['data_bytes'] // mib} MiB; budget {result['budget_bytes'] // mib} MiB, "
          f"group {result['limit_bytes'] // mib} MiB; {result['distribution']}: "
          f"status {result['status']}, {result['kills']} kills, "
          f"resident at most {result['resident_most_bytes'] // mib} MiB")
    for phase in result["phases"]:
        words = [f"  {phase['phase']:26} {phase['seconds']:7.1f} s"]
        for kind in ("reads", "writes"):
            if kind in phase:
                words.append(f"{kind} {phase[kind + '_per_second']:.0f}/s "
                             f"p50 {phase[kind + '_p50_us']:.1f} us "
                             f"p99 {phase[kind + '_p99_us']:.1f} us")
        words.append(f"memory {phase['memory_bytes'] // mib} MiB, "
                     f"{phase['versions_cold']} cold, {phase['fetches']} fetched")
        print("  ".join(words))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default="build/bench/program/khonsu-budget")
    parser.add_argument("--directory", default="build/bench")
    parser.add_argument("--data-mib", type=int, default=2048)
    parser.add_argument("--value-bytes", type=int, default=4096)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--json")
    options = parser.parse_args()
    results = [run(options, distribution) for distribution in ("zipf", "uniform")]
    for result in results:
        show(result)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
    return int(any(result["status"] != 0 or result["kills"] for result in results))


if __name__ == "__main__":
    sys.exit(main())
