"""What stands outside of the processes that are killed or whose calls fail: runs khonsu-life, keeps
the lines that it has said, and has what is left compared with them by another process of it.
"""

import os
import resource
import shutil
import signal
import subprocess
import tempfile

TIMEOUT_S = 120
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
# Where a call can be cut, and the kinds of calls that can be.
SIDES = (("kill-before", "change"), ("kill-after", "change"), ("kill-half", "write"))

# name -> (the life that makes the database before, the one that is disturbed); letters: life.c
LIVES = {
    "birth": ("", "nccccskccx"),
    "killed": ("ncccckccwcccc!", "nccccsckcccrx"),
    "closed": ("occcccccx", "occcccckccRcxocx"),
    "long": ("", "nwwwwwwwwwwwwwwcccskccx"),
    "backed-up": ("nccccccbx", "ncbccbccx"),
    "cold": ("nvvvvvvvvvvvvcckx", "mrcsrccrx"),
}


class Lost(Exception):
    """Something is not as it must be."""


class Fault:
    """One call that fails, or at which the process is killed; number 0: none, they are counted."""

    def __init__(self, how="", calls="", number=0):
        self.how, self.calls, self.number = how, calls, number

    def environment(self):
        found = {"KH_FAULT_HOW": self.how, "KH_FAULT_AT": str(self.number)}
        return {**found, "KH_FAULT_CALLS": self.calls} if self.calls else found

    def __str__(self):
        return f"{self.how} at call {self.number} of {self.calls or 'all'}"


class Outside:
    """A directory with databases, and the programs."""

    def __init__(self, life, shim):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        self.life, self.shim = os.path.abspath(life or ""), os.path.abspath(shim or "")
        self.folder = tempfile.mkdtemp(prefix="khonsu-outside-", dir=MEMORY)
        self.bases = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def base(self, name):
        """(directory, lines) of what is there before a life of LIVES; made once."""
        if name not in self.bases:
            folder, script = self.path("base-" + name), LIVES[name][0]
            os.mkdir(folder)
            lines = self.run(os.path.join(folder, "db"), script)[1] if script else ""
            self.bases[name] = (folder, lines)
        return self.bases[name]

    def fresh(self, name):
        """The database in a copy of that directory, which may have backups, too; (path, lines)."""
        base, lines = self.base(name)
        place = self.path("place")
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(base, place)
        return os.path.join(place, "db"), lines

    def run(self, path, script, fault=None):
        """(exit status, lines) of one life."""
        environment = dict(os.environ)
        if fault is not None:
            environment.update(fault.environment(), LD_PRELOAD=self.shim,
                               KH_FAULT_ROOT=os.path.dirname(path))
        done = subprocess.run([self.life, "run", path, script], env=environment, check=False,
                              stdout=subprocess.PIPE, timeout=TIMEOUT_S)
        return done.returncode, done.stdout.decode(errors="replace")

    def count(self, name, calls):
        """How many calls of these kinds the life makes when nothing happens to it."""
        path, _ = self.fresh(name)
        status, lines = self.run(path, LIVES[name][1], Fault(calls=calls))
        found = [line for line in lines.splitlines() if line.startswith("calls ")]
        if status != 0 or len(found) != 1:
            raise Lost(f"{name} without a fault ended with {status}:\n{lines}")
        return int(found[0].split()[1])

    def check(self, path, lines, is_verified):
        """Compare what is left; the lines of who did that. Raises Lost."""
        with open(self.path("lines"), "w", encoding="utf-8") as file:
            file.write(lines)
        done = subprocess.run([self.life, "verify" if is_verified else "check", path,
                               self.path("lines")], stdout=subprocess.PIPE, check=False,
                              timeout=TIMEOUT_S)
        text = done.stdout.decode(errors="replace")
        if done.returncode != 0:
            raise Lost(f"{lines}---- afterwards:\n{text}exit status {done.returncode}")
        return text

    def keep(self, path, lines, target):
        shutil.copytree(os.path.dirname(path), target, dirs_exist_ok=True)
        with open(os.path.join(target, "lines"), "w", encoding="utf-8") as file:
            file.write(lines)


def words(lines, first):
    """Of each line that begins with a word, the words behind it."""
    return [line.split()[1:] for line in lines.splitlines() if line.split()[:1] == [first]]


def acknowledged(lines):
    return len(words(lines, "done")) + len(words(lines, "soft"))


def must_end(status, allowed, lines):
    """How a life may end: by itself, or by one of these signals."""
    if status == 0 or (status < 0 and signal.Signals(-status) in allowed):
        return
    raise Lost(f"{lines}ended with {status}")


def add_options(parser, build="build/dev"):
    parser.add_argument("--life", default=build and f"{build}/khonsu-life")
    parser.add_argument("--shim", default=build and f"{build}/fault_shim.so")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", help="where a database that is not as it must be is kept")


def spread(total, wanted, dice):
    """So many of the numbers from 1 to total, one at random of each equal part; 0: all."""
    if wanted == 0 or wanted >= total:
        return list(range(1, total + 1))
    return [dice.randint(part * total // wanted + 1, (part + 1) * total // wanted)
            for part in range(wanted)]
