"""Planted bugs: the files of test/mutants, and what they make of the sources.

A file NAME.mutant is one bug:

    bug: what is wrong, in a sentence
    breaks: the promise that goes with it
    kind: dev, asan or tsan: the build in which its test fails; python or python-asan for those of
          test/mutants-python
    killer: the test (of ctest; of pytest) that must fail
    environment: VARIABLE=VALUE ...    (optional) for the killer
    tries: N                           (optional) the killer runs up to N times, for what needs luck
    timeout: SECONDS                   (optional) how long a killer that hangs is waited for
    only: FILE ...                     (optional) of the files that include a changed header, those
                                       that use what was changed: the others are not compiled again
    file: src/... (python/...)
    --- old
    text that is in the file exactly once
    --- new
    what takes its place
    --- end

`file` to `end` may be repeated. Texts, not line numbers: a bug stays where it was planted when
lines move, and does not apply any more, which is an error, when its lines change.
"""

import os
import re
from dataclasses import dataclass, field

KINDS = ("dev", "asan", "tsan")
PYTHON_KINDS = ("python", "python-asan")
FIELDS = {"bug", "breaks", "kind", "killer", "environment", "tries", "timeout", "only"}
REQUIRED = ("bug", "breaks", "kind")


class PlantError(Exception):
    """A mutant that is not well formed, or does not apply."""


@dataclass
class Edit:
    path: str
    old: str
    new: str


@dataclass
class Mutant:
    name: str
    bug: str = ""
    breaks: str = ""
    kind: str = "dev"
    killer: str = ""
    environment: dict = field(default_factory=dict)
    tries: int = 1
    timeout: int = 0
    only: tuple = ()
    edits: list = field(default_factory=list)

    def apply(self, root):
        """The changed files: {path: text}. Each edit must fit exactly once."""
        changed = {}
        for edit in self.edits:
            if edit.path not in changed:
                try:
                    with open(os.path.join(root, edit.path), encoding="utf-8") as file:
                        changed[edit.path] = file.read()
                except OSError as error:
                    raise PlantError(f"{self.name}: {error}") from error
            count = changed[edit.path].count(edit.old)
            if count != 1:
                first = edit.old.strip().splitlines()[0]
                raise PlantError(f"{self.name}: its text should be in {edit.path} once, is there "
                                 f"{count} times: {first!r}...")
            changed[edit.path] = changed[edit.path].replace(edit.old, edit.new)
        return changed


class Parser:
    """Line by line; `part` is the text that is being read, if any."""

    def __init__(self, mutant):
        self.mutant = mutant
        self.path = None
        self.part = None
        self.texts = {"old": [], "new": []}

    def begin(self, part, where):
        if self.path is None or (part == "new") != (self.part == "old"):
            raise PlantError(f"{where}: '--- {part}' is not expected here")
        self.part = part

    def end(self, where):
        old, new = ("".join(text + "\n" for text in self.texts[part]) for part in ("old", "new"))
        if self.part != "new" or old == new or not old.strip():
            raise PlantError(f"{where}: nothing is changed")
        self.mutant.edits.append(Edit(self.path, old, new))
        self.part, self.texts = None, {"old": [], "new": []}

    def name(self, line, where):
        match = re.fullmatch(r"(\w+): (.+)", line)
        if match and match[1] == "file":
            self.path = match[2]
        elif match and match[1] in FIELDS:
            setattr(self.mutant, match[1], match[2])
        else:
            raise PlantError(f"{where}: not understood: {line!r}")

    def read(self, lines):
        for number, line in enumerate(lines, 1):
            where = f"{self.mutant.name}.mutant:{number}"
            if line in ("--- old", "--- new"):
                self.begin(line[4:], where)
            elif line == "--- end":
                self.end(where)
            elif self.part is not None:
                self.texts[self.part].append(line)
            elif line.strip():
                self.name(line, where)
        if self.part is not None:
            raise PlantError(f"{self.mutant.name}.mutant: the last edit has no end")


def parse(name, text, kinds=KINDS):
    mutant = Mutant(name)
    Parser(mutant).read(text.splitlines())
    missing = [key for key in REQUIRED if not getattr(mutant, key)]
    if missing or not mutant.edits:
        raise PlantError(f"{name}.mutant: lacks {', '.join(missing) or 'an edit'}")
    if mutant.kind not in kinds:
        raise PlantError(f"{name}.mutant: no such kind: {mutant.kind}")
    if mutant.environment:
        mutant.environment = dict(part.split("=", 1) for part in mutant.environment.split())
    mutant.tries, mutant.timeout = int(mutant.tries), int(mutant.timeout)
    mutant.only = tuple(mutant.only.split()) if mutant.only else ()
    return mutant


def load(directory, kinds=KINDS):
    """All planted bugs, by name."""
    mutants = []
    for entry in sorted(os.listdir(directory)):
        name, ending = os.path.splitext(entry)
        if ending != ".mutant":
            continue
        with open(os.path.join(directory, entry), encoding="utf-8") as file:
            mutants.append(parse(name, file.read(), kinds))
    return mutants
