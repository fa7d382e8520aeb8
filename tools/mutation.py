#!/usr/bin/env python3
"""Change the sources at random, line by line, and see which changes no test notices.

usage: mutation.py [--seconds N] [--seed N] [--jobs N] [--again] [--build DIRECTORY] [FILE...]

universalmutator (tools/requirements-mutation.txt) makes the changes: operators, constants, bounds,
statements left out. Those that do not compile, or compile to the same object, are no mutants. The
others meet the tests that test/mutants/tests.txt names for their file, the quickest first, until
one fails. What is left is a survivor: test/mutants/survivors.txt says why each known one may live.

A run takes files in turn and changes in an order that the seed gives, until its time is over. It
remembers what it has done (build/mutation/done.jsonl, by the text of the changed file), so that the
next run goes on; with --again the tests are asked about the known survivors once more.
docs/mutation.md is written anew from all that is remembered of the sources as they are; of a file
of which that is nothing it keeps what it has, of the commit that its row names. Ends with a line of
JSON; the exit status is 0 when every survivor that is remembered has a reason.
"""

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from mutant_build import Build, BuildError

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
WHERE = os.path.join(ROOT, "build/mutation")
TESTS = os.path.join(ROOT, "test/mutants/tests.txt")
REASONS = os.path.join(ROOT, "test/mutants/survivors.txt")
DOCUMENT = os.path.join(ROOT, "docs/mutation.md")
TIMEOUT = 20
KINDS = ("equivalent", "speed", "statistics", "defence", "timing")
STATES = ("invalid", "same", "killed", "survived")


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def read_tests():
    """{file: [tests]}, in the order of the list."""
    tests = {}
    for line in read(TESTS).splitlines():
        if line.strip() and not line.startswith("#"):
            path, names = line.split(":")
            tests[path.strip()] = names.split()
    return tests


class Reasons:
    """survivors.txt: blocks of `file:`, `was:`, `is:` and `why: KIND, text`; or, for changes of one
    sort everywhere, `change:`, an expression that matches "was -> is", and `why:`."""

    def __init__(self):
        self.known = {}
        self.sorts = []
        block = {}
        for line in read(REASONS).splitlines() + [""]:
            if line.startswith("#"):
                continue
            if line.strip():
                key, _, value = line.partition(":")
                block[key.strip()] = value.strip()
            elif block:
                self.add(block)
                block = {}

    def add(self, block):
        is_sort = set(block) == {"change", "why"}
        if (not is_sort and set(block) != {"file", "was", "is", "why"}) or \
                block["why"].split(",")[0] not in KINDS:
            sys.exit(f"mutation: survivors.txt: not understood: {block}")
        if is_sort:
            self.sorts.append((re.compile(block["change"]), block["why"]))
        else:
            self.known[(block["file"], block["was"], block["is"])] = block["why"]

    def of(self, record):
        known = self.known.get((record["file"], record["was"], record["is"]))
        change = f"{record['was']} -> {record['is']}"
        sorts = (why for pattern, why in self.sorts if pattern.search(change))
        return known or next(sorts, None)


def changed_line(original, mutant):
    """The one line that differs, before and after; None when it is not one."""
    before, after = original.splitlines(), mutant.splitlines()
    if len(before) != len(after):
        return None
    differ = [i for i, (a, b) in enumerate(zip(before, after)) if a != b]
    if len(differ) != 1:
        return None
    at = differ[0]
    return at + 1, before[at].strip(), after[at].strip()


def checked_only(text):
    """Lines that builds with slow checks have and others have not: seams for tests."""
    lines, inside = set(), False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#if defined(KH_SLOW_CHECKS)"):
            inside = True
        elif line.startswith(("#else", "#endif")):
            inside = False
        elif inside:
            lines.add(number)
    return lines


def is_comment(line):
    return line.startswith(("*", "/*", "//", "#include")) or not line


def generate(path, tool):
    """All changes of a file: [(key, line, was, is, whole line)]. Made once for each state of it."""
    original = read(os.path.join(ROOT, path))
    kept = os.path.join(WHERE, "changes-" + digest(path + original) + ".json")
    if os.path.exists(kept):
        return [tuple(change) for change in json.loads(read(kept))]
    out = os.path.join(WHERE, "made")
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    subprocess.run([tool, os.path.join(ROOT, path), "c", "--noCheck", "--mutantDir", out],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, cwd=out)
    made = {}
    seams = checked_only(original)
    for name in os.listdir(out):
        text = read(os.path.join(out, name))
        found = changed_line(original, text)
        # A comment, or a line put into one, is a statement left out at best: there are others.
        if found is None or is_comment(found[1]) or found[0] in seams:
            continue
        made[digest(path + text)] = (*found, text.splitlines()[found[0] - 1])
    shutil.rmtree(out)
    changes = [(key, *made[key]) for key in sorted(made)]
    with open(kept, "w", encoding="utf-8") as file:
        json.dump(changes, file)
    return changes


def text_of(path, line, whole):
    """The file with that line changed."""
    lines = read(os.path.join(ROOT, path)).splitlines()
    lines[line - 1] = whole
    return "\n".join(lines) + "\n"


class Ground:
    """What all mutants of a run share."""

    def __init__(self, build, tests):
        self.build = build
        self.tests = tests
        self.plain = {}

    def objects(self, path, text, where):
        objects = self.build.compile({path: text}, where)
        made = {}
        for old, new in objects.items():
            with open(new, "rb") as file:
                made[old] = hashlib.sha256(file.read()).digest()
        return objects, made

    def judge(self, path, text, where):
        """(state, test): invalid, same, killed by a test, or survived."""
        try:
            objects, made = self.objects(path, text, where)
        except BuildError:
            return "invalid", None
        if made == self.plain[path]:
            return "same", None
        for name in self.tests[path]:
            test = self.build.tests[name]
            try:
                prepared = self.build.prepare(test, objects, where)
            except BuildError:
                return "invalid", None
            if self.build.run(test, prepared, {}, TIMEOUT).reason:
                return "killed", name
        return "survived", None


def load_done(tests):
    """What is remembered; a survivor only while it would meet the same tests."""
    done = {}
    path = os.path.join(WHERE, "done.jsonl")
    if os.path.exists(path):
        for line in read(path).splitlines():
            record = json.loads(line)
            done.pop(record["key"], None)
            if record["state"] != "survived" or record["asked"] == tests.get(record["file"]):
                done[record["key"]] = record
    return done


def check_controls(ground, paths):
    """Every test that is asked must pass over what is compiled again without a change; what that
    looks like is what a change that is none looks like."""
    for path in paths:
        where = os.path.join(WHERE, "control")
        objects, ground.plain[path] = ground.objects(path, read(os.path.join(ROOT, path)), where)
        for name in ground.tests[path]:
            test = ground.build.tests[name]
            result = ground.build.run(test, ground.build.prepare(test, objects, where), {},
                                      4 * TIMEOUT)
            if result.reason:
                sys.exit(f"mutation: {name} fails over an unchanged {path}: {result.reason}")


def work_list(made, done, seed):
    """What is still to do: files in turn, in each the order of the seed."""
    queues = []
    for path in sorted(made):
        left = [change for change in made[path] if change[0] not in done]
        random.Random(f"{seed} {path}").shuffle(left)
        queues.append([(path, change) for change in left])
    depth = max((len(queue) for queue in queues), default=0)
    return [queue[i] for i in range(depth) for queue in queues if i < len(queue)]


def run(ground, work, done, seconds, jobs):
    """Until the time is over. Returns how many were judged."""
    end = time.monotonic() + seconds
    log = open(os.path.join(WHERE, "done.jsonl"), "a", encoding="utf-8")
    free = [os.path.join(WHERE, f"work{i}") for i in range(jobs)]

    def judge(item):
        path, (key, line, was, now, whole) = item
        if time.monotonic() > end:
            return None
        where = free.pop()
        state, test = ground.judge(path, text_of(path, line, whole), where)
        free.append(where)
        return {"key": key, "file": path, "line": line, "was": was, "is": now, "state": state,
                "test": test, "asked": ground.tests[path]}

    count = 0
    with ThreadPoolExecutor(jobs) as pool:
        for record in pool.map(judge, work):
            if record is None:
                continue
            count += 1
            done[record["key"]] = record
            log.write(json.dumps(record) + "\n")
            log.flush()
            if record["state"] == "survived":
                print(f"{record['file']}:{record['line']}: {record['was']}\n    -> {record['is']}",
                      flush=True)
    log.close()
    return count


# ---- the document --------------------------------------------------------------------------------

def commit_of(path):
    """The one that made the file what it is; with a plus when it has changed since."""
    git = ["git", "-C", ROOT]
    log = subprocess.run([*git, "log", "-1", "--format=%h", "--", path], stdout=subprocess.PIPE,
                         text=True, check=True)
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", path], check=False)
    return log.stdout.strip() + ("+" if changed.returncode != 0 else "")


def summarize(made, done):
    """Rows of the table (file, its numbers, its commit) and the survivors, of the sources as they
    are."""
    rows, survivors = [], []
    for path in sorted(made):
        known = [done[change[0]] for change in made[path] if change[0] in done]
        states = {state: sum(record["state"] == state for record in known)
                  for state in STATES}
        cells = (len(made[path]), len(known), states["invalid"] + states["same"], states["killed"],
                 states["survived"])
        rows.append((path, cells, commit_of(path)))
        survivors += [record for record in known if record["state"] == "survived"]
    return rows, survivors


def read_document(text):
    """What it says of each file: {file: row}, {file: survivors}, both as of summarize."""
    rows, survivors, path = {}, {}, None
    for number, line in enumerate(text.splitlines()):
        row = re.fullmatch(r"\| `(\S+)` \| (\d+(?: \| \d+){4}) \| (\S+) \|", line)
        change = re.fullmatch(r"\| `` (.*?) `` \| `` (.*?) `` \| .*", line)
        if line.startswith("### "):
            path = line[4:]
        elif row:
            rows[row[1]] = (row[1], tuple(int(cell) for cell in row[2].split(" | ")), row[3])
        elif change:
            was, now = (code.replace("\\|", "|") for code in change.groups())
            survivors.setdefault(path, []).append(
                {"file": path, "line": number, "was": was, "is": now})
    return rows, survivors


def with_kept(rows, survivors, text):
    """The same, and of files of which nothing is remembered what the document says of an older
    state."""
    old_rows, old_survivors = read_document(text)
    all_rows, all_survivors = [], list(survivors)
    for row in rows:
        old = old_rows.get(row[0])
        is_kept = row[1][1] == 0 and old is not None and old[1][1] > 0
        all_rows.append(old if is_kept else row)
        all_survivors += old_survivors.get(row[0], []) if is_kept else []
    return all_rows, all_survivors


def code(text):
    return "`` " + text.replace("|", "\\|") + " ``"


HEAD = """# Mutation

Written by `make mutation`; do not edit. universalmutator changes a line, the tests of
`test/mutants/tests.txt` are asked. What does not compile, or compiles to the same object, is no
mutant. How to run it: docs/hacking.md. The last column is the commit that had changed the file last
when it was tried (?: not known): where it is not the newest, the row and survivors are of then.

| file | changes | tried | no mutants | killed | survived | as of |
|---|---|---|---|---|---|---|
"""

WORDS = """
## Survivors

*equivalent*: nothing can be seen from outside; *speed*: only how fast; *statistics*: only what is
counted; *defence*: a second look at what another place guarantees; *timing*: only threads at the
right moment can see it.
"""


def is_there(record):
    return record["was"] in (line.strip() for line in
                             read(os.path.join(ROOT, record["file"])).splitlines())


def make_document(rows, survivors, reasons):
    text = HEAD
    total = [0] * 5
    for path, cells, commit in rows:
        total = [a + b for a, b in zip(total, cells)]
        text += f"| `{path}` | " + " | ".join(str(cell) for cell in cells) + f" | {commit} |\n"
    text += "| all | " + " | ".join(str(cell) for cell in total) + " | |\n" + WORDS
    for path in sorted({record["file"] for record in survivors}):
        text += f"\n### {path}\n\n| was | is | why |\n|---|---|---|\n"
        mine = [record for record in survivors if record["file"] == path]
        for record in sorted(mine, key=lambda each: (each["line"], each["is"])):
            why = reasons.of(record) or (
                "**no reason yet**" if is_there(record) else "the line is gone")
            text += f"| {code(record['was'])} | {code(record['is'])} | {why} |\n"
    return text


def report(arguments, count, rows, survivors, reasons):
    """Prints what is open, and the proof; returns the exit status."""
    open_cases = [record for record in survivors if reasons.of(record) is None]
    for record in open_cases:
        print(f"mutation: no reason for {record['file']}:{record['line']}: {record['was']} -> "
              f"{record['is']}")
    changes, _, none, killed, survived = (sum(column) for column in
                                          zip(*(cells for _, cells, _ in rows)))
    print(json.dumps({"proof": "mutation", "seed": arguments.seed, "judged_now": count,
                      "changes": changes, "killed": killed, "survived": survived,
                      "no_mutants": none, "failures": len(open_cases)}))
    return 1 if open_cases else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--build", default=os.path.join(ROOT, "build/dev"))
    parser.add_argument("--tool", default=os.path.join(ROOT, "build/mutation-venv/bin/mutate"))
    parser.add_argument("--again", action="store_true")
    parser.add_argument("files", nargs="*")
    arguments = parser.parse_args()
    os.makedirs(WHERE, exist_ok=True)
    tests = read_tests()
    unknown = [path for path in tests if not os.path.exists(os.path.join(ROOT, path))]
    if unknown:
        sys.exit("mutation: tests.txt names files that are gone: " + ", ".join(unknown))
    reasons = Reasons()
    ground = Ground(Build(ROOT, arguments.build), tests)
    made = {path: generate(path, arguments.tool) for path in tests}
    done = load_done(tests)
    chosen = {path: made[path] for path in (arguments.files or made)}
    if arguments.again:
        chosen = {path: [change for change in changes if
                         done.get(change[0], {}).get("state") == "survived"]
                  for path, changes in chosen.items()}
    work = work_list(chosen, {} if arguments.again else done, arguments.seed)
    if work:
        check_controls(ground, sorted({path for path, _ in work}))
    count = run(ground, work, done, arguments.seconds, arguments.jobs)
    rows, survivors = summarize(made, done)
    text = make_document(*with_kept(rows, survivors, read(DOCUMENT)), reasons)
    with open(DOCUMENT, "w", encoding="utf-8") as file:
        file.write(text)
    return report(arguments, count, rows, survivors, reasons)


if __name__ == "__main__":
    sys.exit(main())
