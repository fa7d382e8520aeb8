#!/usr/bin/env python3
"""Make the states in which a loss of power may leave a directory, from a trace of the shim's.

usage: rebuild.py --trace FILE --out DIR --cut N [--seed S] [--model MODEL] [--acks FILE]
                  [--directories strict|prefix|ordered] [--initial DIR]
       rebuild.py --trace FILE --events [--cut N]      the events, or those before a cut
       rebuild.py --trace FILE --verify DIR            is DIR what the trace says was written?

The cut is the moment after the first N events. What was synced by then is in DIR; of the rest:

    drop     nothing is
    keep     everything is
    random   each file by itself: nothing, everything, or some of its writes; old or new sizes
    torn     up to some moment everything, then one write in some of its sectors
    reorder  what came last is, what came before is not

--acks writes the marks that precede the cut, one a line. The same arguments make the same state.
content.py and disk.py say what is legal, docs/decisions/0036-power-loss-by-recorded-writes.md why.
"""

import argparse
import filecmp
import os
import random
import shutil
import sys
import tempfile
from typing import NamedTuple

from content import Choice
from disk import MODES, Disk
from recording import DIRECTORY, FILE, SYMLINK, TraceError, read, told

NAMING = ("create", "rename", "link", "unlink")
MODELS = ("drop", "keep", "random", "torn", "reorder")


class State(NamedTuple):
    cut: int
    model: str
    seed: int
    marks: list
    path: str


# ---- choosing ----

def some_sectors(dice, count):
    """A mask of sectors that arrived: the first so many, the last so many, or any."""
    shape, at = dice.randrange(3), dice.randrange(count + 1)
    if shape == 0:
        return b"\1" * at + bytes(count - at)
    if shape == 1:
        return bytes(at) + b"\1" * (count - at)
    return bytes(byte & 1 for byte in dice.randbytes(count))


class Chooser:
    """Draws what arrived. `moment`: the event at which a torn or reordered state turns."""

    def __init__(self, disk, model, seed):
        self.disk, self.model = disk, model
        self.dice = random.Random(f"{seed} {disk.cut} {model}")
        waiting = [operation.number for node in disk.files() for operation in node.content.pending
                   if not operation.is_durable]
        waiting += [change.number for change in disk.changes if not change.is_durable]
        self.moment = self.dice.choice(sorted(waiting)) if waiting else disk.cut

    def content(self, content):
        """What arrived of one file."""
        model = self.model
        if model not in ("drop", "keep"):
            # Mostly as the model says; files that are all there or all gone make the others' faults
            # visible.
            model = self.dice.choices((model, "keep", "drop"), (6, 2, 2))[0]
        return getattr(self, "_" + model)(content, len(content.pending))

    def _size(self, content, *versions):
        """One of these versions of the size, or another that is legal."""
        least, count = content.least_size_version(), len(content.pending)
        version = self.dice.choice((*versions, least, count, self.dice.randint(least, count)))
        return min(max(version, least), count)

    def _garbage(self):
        return self.dice.randbytes if self.dice.random() < 0.5 else None

    def _keep(self, content, count):
        return Choice([True] * count, count)

    def _drop(self, content, count):
        if self.model == "drop":
            return Choice([False] * count, content.least_size_version())
        return Choice([False] * count, self._size(content), self._garbage())

    def _random(self, content, count):
        rate = self.dice.choice((0.1, 0.5, 0.9))
        picks = [self.dice.random() < rate for _ in range(count)]
        last = count - picks[::-1].index(True) if True in picks else 0
        return Choice(picks, self._size(content, last), self._garbage())

    def _torn(self, content, count):
        # The power went at one moment for all files, or the disk was behind with each differently.
        numbers = [operation.number for operation in content.pending]
        moment = self.moment if self.dice.random() < 0.6 else self.dice.choice(numbers)
        picks = [number < moment for number in numbers]
        for version, operation in enumerate(content.pending):
            if operation.number == moment and operation.kind == "write":
                first, stop = content.sectors_of(operation, 0)
                picks[version] = some_sectors(self.dice, stop - first)
        reached = sum(number <= moment for number in numbers)
        return Choice(picks, self._size(content, reached, reached), self._garbage())

    def _reorder(self, content, count):
        numbers = [operation.number for operation in content.pending]
        moment = self.moment if self.dice.random() < 0.6 else self.dice.choice(numbers)
        return Choice([number >= moment for number in numbers],
                      self._size(content, count, count), self._garbage())

    def changes(self):
        """The changes of names that arrived."""
        waiting = [change for change in self.disk.changes if not change.is_durable]
        model = self.model
        if model not in ("drop", "keep"):
            model = self.dice.choices((model, "keep", "drop"), (6, 3, 1))[0]
        if model in ("drop", "keep"):
            return set(waiting) if model == "keep" else set()
        if model == "random":
            rate = self.dice.choice((0.1, 0.5, 0.9))
            wanted = {change for change in waiting if self.dice.random() < rate}
        else:
            wanted = {change for change in waiting
                      if (change.number < self.moment) == (model == "torn")}
        return self._legal(waiting, wanted)

    def _legal(self, waiting, wanted):
        if self.disk.is_strict and not self.disk.is_prefix:
            # From the last: what gave a file its name before comes along.
            needed, kept = set(), set()
            for change in reversed(waiting):
                serials = {node.serial for _, _, node in change.parts if node}
                if change in wanted or serials & needed:
                    kept.add(change)
                    needed |= serials
            return kept
        closed, kept = set(), set()
        for change in waiting:
            if change in wanted and not change.directories & closed:
                kept.add(change)
            else:
                closed |= change.directories
        return kept


# ---- writing down ----

def empty(path):
    os.makedirs(path, exist_ok=True)
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.remove(entry.path)


class Writer:
    def __init__(self, disk, chooser):
        self.tree = disk.tree(chooser.changes())
        # For all files, in their order, whether they are found or not: a draw for each.
        self.choices = {node.serial: chooser.content(node.content)
                        for node in disk.files() if node.content.pending}
        self.written = {}

    def directory(self, node, path, above=()):
        names = self.tree.get(node.serial, node.durable_names)
        for name in sorted(names):
            found, below = names[name], os.path.join(path, name)
            if found.serial in self.written:
                os.link(self.written[found.serial], below, follow_symlinks=False)
            elif found.kind == DIRECTORY:
                # A directory cannot lie within itself, whatever arrived of its renames.
                if found not in above:
                    os.mkdir(below)
                    self.directory(found, below, (*above, found))
            elif found.kind == SYMLINK:
                os.symlink(found.target, below)
            elif found.kind == FILE:
                self.written[found.serial] = below
                self._file(found, below)

    def _file(self, node, path):
        choice = self.choices.get(node.serial)
        with open(path, "wb") as file:
            file.write(node.content.find(choice) if choice else node.content.durable)


def write_state(disk, model, seed, directory):
    """Leave in `directory` what the model finds on the disk."""
    empty(directory)
    if disk.root:
        writer = Writer(disk, Chooser(disk, model, seed))
        writer.directory(disk.root, os.fsencode(directory), (disk.root,))


def is_waiting(disk):
    """Is there anything that a power loss could take?"""
    return bool(disk.changes) or any(node.content.pending for node in disk.files())


def models_at(per_cut):
    """Nothing kept and everything kept first: they find most. Then the others by turns."""
    return [MODELS[number] if number < 2 else MODELS[2 + (number - 2) % 3]
            for number in range(per_cut)]


def states(trace, cuts, per_cut, seed, directory, directories="strict", initial=None):
    """At each cut, in rising order, up to per_cut states, one after the other in `directory`.

    trace is a path, or the events of one. Where nothing is under way there is one state."""
    events = read(trace)[1] if isinstance(trace, str) else trace
    disk = Disk(events, initial, directories)
    for cut in sorted(set(cuts)):
        disk.advance(cut)
        marks = disk.marks()
        for number, model in enumerate(models_at(per_cut if is_waiting(disk) else 1)):
            own = random.Random(f"{seed} {cut} {number}").getrandbits(32)
            write_state(disk, model, own, directory)
            yield State(cut, model, own, marks, directory)


def choose_cuts(events, count, seed):
    """So many moments: after marks, within syncs, after syncs, after changes of names, anywhere,
    by turns."""
    end = next((event.number for event in events if event.kind == "gap"), len(events))
    if count > end:
        return list(range(end + 1))
    dice = random.Random(f"{seed} cuts")
    kinds = [[event.number + 1 for event in events[:end] if event.kind in kinds]
             for kinds in (("mark",), ("sync",), ("synced",), NAMING)] + [list(range(end + 1))]
    for cuts in kinds:
        dice.shuffle(cuts)
    chosen = {end}
    while len(chosen) < count:
        for cuts in kinds:
            if cuts and len(chosen) < count:
                chosen.add(cuts.pop())
    return sorted(chosen)


# ---- does the trace explain the directory? ----

def differences(one, other, below=""):
    """What differs between two directories, in words."""
    found = filecmp.dircmp(one, other, ignore=[], hide=[])
    words = [f"{os.path.join(below, name)}: only in {one}" for name in found.left_only]
    words += [f"{os.path.join(below, name)}: only in {other}" for name in found.right_only]
    words += [f"{os.path.join(below, name)}: of another kind" for name in found.common_funny]
    for name in found.common_files:
        if not filecmp.cmp(os.path.join(one, name), os.path.join(other, name), shallow=False):
            words.append(f"{os.path.join(below, name)}: other bytes")
    for name in found.common_dirs:
        words += differences(os.path.join(one, name), os.path.join(other, name),
                             os.path.join(below, name))
    return words


def verify(events, directory, initial=None):
    """Is the directory what all events together make of it? Else what differs."""
    disk = Disk(events, initial)
    disk.advance(len(events))
    with tempfile.TemporaryDirectory() as rebuilt:
        write_state(disk, "keep", 0, rebuilt)
        return differences(rebuilt, directory)


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trace", required=True)
    parser.add_argument("--out")
    parser.add_argument("--cut", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", choices=MODELS, default="drop")
    parser.add_argument("--directories", choices=MODES, default="strict")
    parser.add_argument("--initial")
    parser.add_argument("--acks")
    parser.add_argument("--events", action="store_true")
    parser.add_argument("--verify")
    options = parser.parse_args()
    if not (options.events or options.verify or (options.out and options.cut is not None)):
        parser.error("--out and --cut, --events or --verify")
    return options


def main():
    options = parse()
    try:
        _, events = read(options.trace)
        if options.verify:
            found = verify(events, options.verify, options.initial)
            print("\n".join(found) or "the trace explains the directory")
            return 1 if found else 0
        if options.events:
            for line in told(events[:options.cut]):
                print(line)
            return 0
        disk = Disk(events, options.initial, options.directories)
        disk.advance(options.cut)
    except TraceError as error:
        print(f"rebuild: {error}", file=sys.stderr)
        return 2
    write_state(disk, options.model, options.seed, options.out)
    if options.acks:
        with open(options.acks, "w", encoding="utf-8") as file:
            file.writelines(mark + "\n" for mark in disk.marks())
    print(f"cut {options.cut} of {len(events)}, {options.model}, seed {options.seed}, "
          f"{options.directories} directories: {options.out}; {len(disk.marks())} marks")
    return 0


if __name__ == "__main__":
    sys.exit(main())
