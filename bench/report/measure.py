"""Run the plan with khonsu-bench and valgrind; what comes out is one dictionary of plain values."""

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time

import callgrind
import strace

# What a run is kept for; the rest of its JSON repeats the command line.
KEPT = ("per_second", "cpu_us", "thread_cpu_us", "seconds", "commits", "aborts_per_commit", "sums",
        "rss_bytes_per_key", "rss_start", "rss_loaded", "rss_peak", "rss_end", "versions",
        "versions_peak", "memory_bytes", "writer_alone_per_second", "writer_beside_per_second",
        "written_bytes_per_commit", "groups", "reopen_seconds")
TIMEOUT_SECONDS = 900
VALGRIND = ("valgrind", "--tool=callgrind", "--instr-atstart=no")


class Broken(Exception):
    """A run failed, or a sum that an engine promises was not kept: the report is worth nothing."""


def run_program(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=TIMEOUT_SECONDS, check=False)
    if done.returncode != 0:
        raise Broken(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def run_counted(program, cell):
    """Under callgrind: the program's answer, and instructions per transaction."""
    with tempfile.TemporaryDirectory() as directory:
        profile = os.path.join(directory, "callgrind.out")
        answer = run_program([*VALGRIND, f"--callgrind-out-file={profile}", program,
                              *cell.arguments(), "--json"])
        with open(profile, encoding="utf-8") as file:
            text = file.read()
    answer["instructions"] = round(callgrind.total(text) / answer["commits"], 2)
    answer["rooms"] = {room: round(count / answer["commits"], 1)
                       for room, count in sorted(callgrind.by_room(text).items())}
    return answer


def run_cell(program, cell, turn):
    load = os.getloadavg()[0]
    if cell.is_counted:
        answer = run_counted(program, cell)
        kept = {key: answer[key] for key in ("instructions", "rooms", "sums")}
    elif cell.is_traced:
        kept = strace.count(run_program, program, cell.arguments())
    else:
        answer = run_program([program, *cell.arguments(), "--seed", str(turn + 1), "--json"])
        kept = {key: answer[key] for key in KEPT if key in answer}
        kept.update({f"{key}_us": value for key, value in answer.get("latency_us", {}).items()})
    kept["load"] = round(load, 2)
    return kept


def is_there(engines, cell):
    """Does this build have the engine, at this level, and in files when that is asked?"""
    sync = dict(zip(cell.options, cell.options[1:])).get("--sync")
    return any(engine["engine"] == cell.engine and cell.isolation in engine.get("levels", ())
               and (sync is None or sync in engine.get("durable", ())) for engine in engines)


def run_figure(program, engines, figure, rounds):
    cells = [cell for cell in figure.cells if is_there(engines, cell)]
    reason = strace.why_not() if any(cell.is_traced for cell in cells) else None
    if reason:
        print(f"{figure.name} is left out: {reason}", file=sys.stderr)
        cells = [cell for cell in cells if not cell.is_traced]
    runs = {cell.name: [] for cell in cells}
    for turn in range(rounds):
        for cell in cells:
            if turn < (cell.rounds or rounds):
                runs[cell.name].append(run_cell(program, cell, turn))
    return {"title": figure.title,
            "cells": [{"name": cell.name, "engine": cell.engine, "isolation": cell.isolation,
                       "arguments": cell.arguments(), "runs": runs[cell.name]} for cell in cells]}


def first_match(path, pattern, default="unknown"):
    try:
        with open(path, encoding="utf-8") as file:
            found = re.search(pattern, file.read(), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1).strip() if found else default


def first_line(*command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              check=False)
    except OSError:
        return "none"
    return done.stdout.split("\n")[0]


def describe_machine():
    """What kind of machine, not which one."""
    kib = int(first_match("/proc/meminfo", r"^MemTotal:\s+(\d+)", "0"))
    return {"cpu": first_match("/proc/cpuinfo", r"^model name\s*:\s*(.*)$"),
            "cores": len(os.sched_getaffinity(0)),
            "memory_gib": round(kib / 1024 / 1024),
            "kernel": f"{platform.system()} {platform.release().split('-')[0]}",
            "system": first_match("/etc/os-release", r'^PRETTY_NAME="?([^"\n]*)'),
            "is_virtual": " hypervisor " in first_match("/proc/cpuinfo", r"^flags\s*:(.*)$") + " ",
            "compiler": first_line("cc", "--version"),
            "valgrind": first_line("valgrind", "--version")}


def place_of(path):
    """The kind of file system that a path lies on, and how it is mounted."""
    try:
        with open("/proc/self/mounts", encoding="utf-8") as file:
            mounts = [line.split() for line in file]
    except OSError:
        return "an unknown file system"
    whole = os.path.realpath(path)
    above = [words for words in mounts
             if os.path.commonpath([whole, os.path.realpath(words[1])]) == words[1]]
    words = max(above, key=lambda each: len(each[1]))
    return f"{words[2]} ({words[3].replace(',', ', ')})"


def measure(program, scale, figures, save):
    """The whole report as plain values; save(report) after each figure, so that what was measured
    is kept when the rest fails. Raises Broken when a figure cannot be trusted."""
    engines = json.loads(subprocess.run([program, "--list"], stdout=subprocess.PIPE, text=True,
                                        check=True).stdout)
    for engine in engines:
        if "missing" in engine:
            print(f"{engine['engine']}: {engine['missing']}", file=sys.stderr)
    began = time.monotonic()
    report = {"scale": scale.name, "date": time.strftime("%Y-%m-%d"),
              "minutes": 0.0, "machine": describe_machine(), "engines": engines, "figures": {}}
    for figure in figures:
        since = time.monotonic()
        report["figures"][figure.name] = run_figure(program, engines, figure, scale.rounds)
        report["minutes"] = round((time.monotonic() - began) / 60, 1)
        save(report)
        print(f"{figure.name}: {time.monotonic() - since:.0f} s", file=sys.stderr, flush=True)
    return report
