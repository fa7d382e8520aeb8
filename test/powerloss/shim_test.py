"""The shim misses nothing: a trace explains the directory that a program leaves, and strace sees no
call that changes or syncs files which the trace has not, thread by thread and in order."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

import campaign
import rebuild
from recording import HEAD, SYNC_RANGE, TraceError, marks_of, read

SHIM, EVERY_CALL = os.environ["POWERLOSS_SHIM"], os.environ["POWERLOSS_EVERY_CALL"]
APPENDER, ROCKS = os.environ["POWERLOSS_APPENDER"], os.environ.get("POWERLOSS_ROCKS")
STRACE = shutil.which("strace")

# The system call as strace names it -> what the trace calls it. Files that open creates are not
# here: no call says whether it has, and a file that was missed would show in the directory.
CALLS = {"write": "write", "pwrite64": "write", "writev": "write", "pwritev": "write",
         "pwritev2": "write", "copy_file_range": "write", "sendfile": "write",
         "ftruncate": "truncate", "truncate": "truncate", "fallocate": "allocate",
         "rename": "rename", "renameat": "rename", "renameat2": "rename", "unlink": "unlink",
         "unlinkat": "unlink", "rmdir": "unlink", "link": "link", "linkat": "link",
         "mkdir": "directory", "mkdirat": "directory", "symlink": "symlink",
         "symlinkat": "symlink", "fsync": "sync", "fdatasync": "sync", "sync": "sync",
         "syncfs": "sync", "sync_file_range": "hint", "msync": "range"}
# Calls that change files by ways that the shim does not know.
BLIND = ("splice", "vmsplice", "io_uring_enter", "io_submit", "mknod", "mknodat", "ioctl")
LINE = re.compile(r"(\d+) +(?:(\w+)\((.*)|<\.\.\. (\w+) resumed>(.*))$")
RESULT = re.compile(r"(.*)\) += (-?\d+|\?|0x[0-9a-f]+)")
OUT_ARGUMENT = {"copy_file_range": 2}
TYPES = {1: None, 2: "directory", 3: "symlink"}


def calls_of(path):
    """(thread, call, arguments, result) of each call that strace has seen to its end."""
    begun = {}
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            match = LINE.match(line)
            if not match:
                continue
            thread, name, rest, resumed, end = match.groups()
            if name and rest.endswith("<unfinished ...>"):
                begun[thread] = (name, rest[:-len("<unfinished ...>")])
                continue
            if resumed:
                name, before = begun.pop(thread)
                rest = before + end
            result = RESULT.match(rest)
            if result and result[2] != "?":
                yield int(thread), name, result[1], int(result[2], 0)


def is_below(root, name, arguments):
    """Does the call concern something below the root, or the root's own name?"""
    if name == "sync":
        return True
    if name == "msync":
        return "MS_SYNC" in arguments  # by address; the program maps nothing else
    fds = re.findall(r"\d+<([^>]*)>", arguments)
    if name in ("write", "pwrite64", "writev", "pwritev", "pwritev2", "copy_file_range", "sendfile",
                "ftruncate", "fallocate", "fsync", "fdatasync", "syncfs", "sync_file_range",
                *BLIND):
        path = fds[1] if name in OUT_ARGUMENT else fds[0] if fds else ""
    else:
        names = re.findall(r'"([^"]*)"', arguments)
        bases = re.findall(r"(?:AT_FDCWD|\d+)<([^>]*)>", arguments)
        path = os.path.join(bases[-1] if bases else root, names[-1])
    return path == root or path.startswith(root + "/")


def seen(root, path):
    """{thread: [what strace saw of calls that succeeded]}, and the calls that nobody follows."""
    threads, blind = {}, []
    for thread, name, arguments, result in calls_of(path):
        if result < 0 or name not in CALLS and name not in BLIND:
            continue
        if not is_below(root, name, arguments):
            continue
        if name in BLIND:
            blind.append(f"{name}({arguments}")
            continue
        kind = CALLS[name]
        threads.setdefault(thread, []).append((kind, result if kind == "write" else 0))
    return threads, blind


def recorded(events):
    """{thread: [the same from the trace]}."""
    threads = {}
    for event in events:
        kind = event.kind
        if kind == "create":
            kind = TYPES[event.flags]
        elif kind == "root":
            kind = "directory" if event.text else None  # it was there before
        elif kind == "truncate" and event.flags:
            kind = None  # by open
        elif kind == "sync" and event.flags & SYNC_RANGE:
            # A write through O_DSYNC has one, too, which is no call of its own.
            before = events[event.number - 1]
            is_own = before.kind == "write" and (before.offset, before.length) == (event.offset,
                                                                                   event.length)
            kind = None if is_own else "range"
        elif kind not in CALLS.values():
            kind = None
        if kind:
            length = event.length if kind == "write" else 0
            threads.setdefault(event.thread, []).append((kind, length))
    return threads


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = os.path.realpath(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.place = campaign.Place(self.folder)
        with open(self.place.marks, "wb"):
            pass

    def run_with_shim(self, *command):
        done = subprocess.run(command, env=campaign.environment(self.place, SHIM), timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        return read(self.place.trace)[1]


class Complete(Folder):
    def test_the_trace_explains_the_directory(self):
        events = self.run_with_shim(EVERY_CALL, self.place.root)
        self.assertEqual(rebuild.verify(events, self.place.root), [])
        self.assertEqual(marks_of(events), ["by a function", "by a stream", "by a descriptor"])

    def test_every_kind_is_recorded(self):
        events = self.run_with_shim(EVERY_CALL, self.place.root)
        found = {event.kind for event in events}
        self.assertEqual(found, {"root", "create", "write", "mapped", "truncate", "allocate",
                                 "rename", "unlink", "link", "sync", "synced", "hint", "close",
                                 "mark", "note"})

    def compare_with_strace(self, *command):
        options = [f"-E{name}={value}" for name, value in
                   campaign.environment(self.place, SHIM).items()
                   if name.startswith(("KH_", "LD_"))]
        log = os.path.join(self.folder, "strace")
        traced = ",".join((*CALLS, *BLIND))
        done = subprocess.run([STRACE, "-f", "-y", "-qq", "-s0", "-etrace=" + traced, "-o", log,
                               *options, *command], timeout=120, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if b"ptrace" in done.stdout:
            self.skipTest(done.stdout.decode())
        self.assertEqual(done.returncode, 0, done.stdout)
        events = read(self.place.trace)[1]
        threads, blind = seen(self.place.root, log)
        self.assertEqual(blind, [])
        self.assertEqual(recorded(events), threads)
        self.assertEqual(rebuild.verify(events, self.place.root), [])
        return threads

    @unittest.skipUnless(STRACE, "no strace")
    def test_every_call_as_strace_sees_it(self):
        threads = self.compare_with_strace(EVERY_CALL, self.place.root)
        kinds = {kind for calls in threads.values() for kind, _ in calls}
        self.assertEqual(kinds, set(CALLS.values()))
        self.assertGreater(len(threads), 4)

    @unittest.skipUnless(STRACE and ROCKS, "no strace or no RocksDB")
    def test_rocksdb_as_strace_sees_it(self):
        os.mkdir(self.place.root)
        threads = self.compare_with_strace(ROCKS, "write", self.place.root, "500", "sync")
        calls = [call for thread in threads.values() for call in thread]
        self.assertGreater(len([1 for kind, _ in calls if kind == "sync"]), 500)
        self.assertGreater(len(threads), 1)


class Ends(Folder):
    def test_a_killed_program_leaves_a_trace(self):
        os.mkdir(self.place.root)
        with subprocess.Popen([APPENDER, self.place.root, "100000000", "correct"],
                              env=campaign.environment(self.place, SHIM)) as program:
            end = 0
            while end < 1 << 20 and program.poll() is None:
                if os.path.exists(self.place.trace):
                    with open(self.place.trace, "rb") as file:
                        head = file.read(HEAD.size)
                    end = HEAD.unpack(head)[3] if len(head) == HEAD.size else 0
            program.send_signal(signal.SIGKILL)
        events = read(self.place.trace)[1]
        self.assertGreater(len(events), 300)
        # The next process goes on with it; it knows whether the other died within a call.
        self.run_with_shim("sh", "-c", f": > {self.place.root}/after")
        events = read(self.place.trace)[1]
        if any(event.kind == "gap" for event in events):
            with self.assertRaises(TraceError):
                rebuild.verify(events, self.place.root)
        else:
            self.assertEqual(rebuild.verify(events, self.place.root), [])

    def test_what_was_there_before_is_listed(self):
        before = os.path.join(self.folder, "before")
        os.makedirs(os.path.join(before, "d"))
        with open(os.path.join(before, "d", "f"), "w", encoding="utf-8") as file:
            file.write("before")
        os.symlink("d/f", os.path.join(before, "l"))
        shutil.copytree(before, self.place.root, symlinks=True)
        events = self.run_with_shim("sh", "-c", f"cd {self.place.root}; mkdir e; mv d/f e; "
                                                "echo after >> l; echo more >> e/f; rm l")
        self.assertEqual(rebuild.verify(events, self.place.root, before), [])

    def test_without_a_root_nothing_is_recorded(self):
        environment = {**os.environ, "LD_PRELOAD": SHIM}
        done = subprocess.run([EVERY_CALL, self.place.root], env=environment, timeout=60,
                              check=False)
        self.assertEqual(done.returncode, 0)
        self.assertFalse(os.path.exists(self.place.trace))


if __name__ == "__main__":
    unittest.main()
