"""How many calls a commit makes, by strace: a run with so many transactions and one with twice as
many; the difference leaves out opening, loading and closing."""

import os
import shutil
import subprocess
import tempfile

CALLS = ("fdatasync", "fsync", "msync", "sync_file_range")
# With seccomp only the calls that are counted stop the program.
STRACE = ("strace", "-f", "--seccomp-bpf", "-c", "-e", "trace=" + ",".join(CALLS))


def why_not():
    """Why nothing can be traced here; None: it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    done = subprocess.run([*STRACE, "-o", os.devnull, "true"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, check=False)
    return None if done.returncode == 0 else "strace may not trace: " + done.stderr.strip()


def parse(text):
    """{call: count} of the table that -c writes: the fourth column and the last."""
    found = dict.fromkeys(CALLS, 0)
    for line in text.splitlines():
        words = line.split()
        if words and words[-1] in found:
            found[words[-1]] = int(words[3])
    return found


def run_once(run_program, command):
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "calls")
        answer = run_program([*STRACE, "-o", path, *command])
        with open(path, encoding="utf-8") as file:
            return answer, parse(file.read())


def twice(arguments):
    """The same with twice the transactions."""
    changed = list(arguments)
    at = changed.index("--transactions") + 1
    changed[at] = str(2 * int(changed[at]))
    return changed


def count(run_program, program, arguments):
    """Calls per commit, and fdatasync per group where the engine counts its groups; one committer
    is a group by himself."""
    (one, few), (two, many) = (run_once(run_program, [program, *each, "--json"])
                               for each in (arguments, twice(arguments)))
    commits = two["commits"] - one["commits"]
    groups = two["groups"] - one["groups"]
    if groups == 0 and two["threads"] == 1:
        groups = commits
    synced = many["fdatasync"] - few["fdatasync"]
    return {"calls_per_commit": {call: round((many[call] - few[call]) / commits, 4)
                                 for call in CALLS},
            "fdatasync_per_group": round(synced / groups, 4) if groups else None,
            "commits": commits, "groups": groups, "sums": two["sums"]}
