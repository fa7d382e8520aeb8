"""The campaign's histories, judged by executable models: the same reads and verdicts, the same
places in the serial order. The shared model compares the window of each refusal, too, and for a
part of the histories its own oracles judge: no cycle, no inversion of real time, a serial replay by
value, and whether each refusal was needless.

    certify_campaign.py [--histories N] [--sampled N] [--seed N] [--thorough N]

As a test it takes a small part. One history in N is judged thoroughly. The last line is JSON. The
program that makes the histories lies beside the library (KHONSU_LIB). Where there is no shared
model (see _campaign_model.py) this repository's own judges alone, and the last line says so.
"""

import argparse
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import _campaign_model as model  # noqa: E402  (the path comes first)

SHOWN = 3


def value(text):
    if text == "-":
        return None
    if text == ".":
        return {}
    return {int(cell): int(number) for cell, number in
            (part.split("=") for part in text.split(","))}


def scanned(fields):
    return [(int(fields[i]), value(fields[i + 1])) for i in range(0, len(fields), 2)]


def numbers(fields):
    return [int(field) for field in fields]


def take(judge, letter, f):
    """One line of a script."""
    if letter == "G":
        judge.on_get(int(f[0]), int(f[1]), value(f[2]))
    elif letter == "S":
        judge.on_scan(*numbers(f[:5]), scanned(f[6:]))
    elif letter in "PU":
        put = judge.on_put if letter == "P" else judge.on_rows
        put(*numbers(f[:3]), value(f[3]))
    elif letter == "D":
        judge.on_put(*numbers(f), None)
    elif letter == "B":
        number, level, _, kind, snapshot = numbers(f)
        judge.on_begin(number, level, kind, snapshot)
    elif letter == "E":
        judge.on_end([value(text) for text in f])
    elif letter == "K":
        judge.on_first(int(f[0]), value(f[1]))
    else:
        calls = {"C": judge.on_commit, "W": judge.on_conflict, "N": judge.on_refused,
                 "V": judge.on_seen, "M": judge.on_save, "R": judge.on_undo,
                 "A": judge.on_gone, "Y": judge.on_safe, "Q": judge.on_beyond,
                 "Z": judge.on_gone, "F": judge.on_flood,
                 "X": lambda snapshot: None, "L": lambda number: None}
        calls[letter](*numbers(f))


class Reader:
    """Takes the campaign's output line by line; a history that differs is left at once."""

    def __init__(self, judge, thorough):
        self.judge, self.thorough = judge, thorough
        self.count = self.failures = 0
        self.is_lost = True
        self.script = []
        self.proof = None

    def start(self, line):
        _, _, setting, keys = line.split()
        is_thorough = self.thorough > 0 and self.count % self.thorough == 0
        self.judge.start(int(keys), setting.startswith("lag"), is_thorough)
        self.count += 1
        self.is_lost = False
        self.script = [line]

    def take(self, line):
        if line.startswith("H "):
            self.start(line)
            return
        if line.startswith("{"):
            self.proof = json.loads(line)
        letter, _, rest = line.partition(" ")
        if self.is_lost or len(letter.strip()) != 1:
            return
        self.script.append(line)
        self.judge.line += 1
        try:
            take(self.judge, letter.strip(), rest.split())
        except (model.Differs, KeyError, IndexError) as error:
            self.fail(error)
        if letter.strip() == "E":
            self.is_lost = True

    def fail(self, error):
        self.is_lost = True
        self.failures += 1
        if self.failures <= SHOWN:
            print(f"{self.judge.rule.name}\n{''.join(self.script)}{type(error).__name__}: {error}",
                  flush=True)


def program():
    return os.path.join(os.path.dirname(os.environ["KHONSU_LIB"]), "test_certify_campaign")


def read_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--histories", type=int, default=1800)
    parser.add_argument("--sampled", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--thorough", type=int, default=10)
    return parser.parse_args()


def run_campaign(arguments, readers):
    command = [program(), "--histories", str(arguments.histories), "--sampled",
               str(arguments.sampled), "--seed", str(arguments.seed), "--dump", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, bufsize=1 << 20) as process:
        for line in process.stdout:
            for reader in readers:
                reader.take(line)
        return process.wait()


def main():
    arguments = read_arguments()
    readers = [Reader(model.Judge(model.OwnRule()), 0)]
    shared = model.shared_directory()
    if shared is not None:
        judge = model.Judge(model.SharedRule(shared))
        readers.append(Reader(judge, arguments.thorough))
    code = run_campaign(arguments, readers)
    proof = dict(readers[0].proof or {})
    failures = proof.pop("failures", 1) + (code != 0)
    for reader in readers:
        judge = reader.judge
        name = judge.rule.name.replace(" ", "_")
        failures += reader.failures + (judge.histories + reader.failures < reader.count)
        proof.update({f"{name}_histories": judge.histories, f"{name}_verdicts": judge.verdicts,
                      f"{name}_differences": reader.failures})
        if judge.thorough > 0:
            proof.update({f"{name}_oracle_histories": judge.thorough,
                          f"{name}_oracle_refusals": judge.trials})
    print(json.dumps({**proof, "failures": failures}, separators=(",", ":")))
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
