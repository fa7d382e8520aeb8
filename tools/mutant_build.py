"""A build with some sources changed, without touching the build: for planted bugs and mutation.

Only what the change reaches is compiled again, with the commands of the build itself, into a
directory apart. A test linked to the archive is linked again with the new objects before it, which
then take the place of its members; a test of the shared library finds a library of its own by
LD_LIBRARY_PATH (the build's paths are run paths, which give way to that).
"""

import json
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import threading
from dataclasses import dataclass

CCACHE = shutil.which("ccache")


class BuildError(Exception):
    """The change does not compile or link."""


@dataclass
class Test:
    name: str
    command: list
    environment: dict
    labels: tuple
    directory: str


@dataclass
class Result:
    """How a test ended; reason is empty when it passed."""
    reason: str
    output: str = ""


def read_tests(directory):
    answer = subprocess.run(["ctest", "--test-dir", directory, "--show-only=json-v1"],
                            stdout=subprocess.PIPE, text=True, check=True)
    tests = {}
    for entry in json.loads(answer.stdout)["tests"]:
        if "command" not in entry:
            continue  # its program was not built
        properties = {each["name"]: each["value"] for each in entry.get("properties", [])}
        environment = dict(each.split("=", 1) for each in properties.get("ENVIRONMENT", []))
        tests[entry["name"]] = Test(entry["name"], entry["command"], environment,
                                    tuple(properties.get("LABELS", [])),
                                    properties.get("WORKING_DIRECTORY", directory))
    return tests


def execute(command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False, **options)


def reason_of(output, code):
    """In a few words: the test, assertion or report that tells of the failure."""
    patterns = (r"^(\S+:\d+: assertion .*)$", r"SUMMARY: (.*)$", r"runtime error: (.*)$",
                r"\[ +(?:FAILED|ERROR) +\] ([a-z]\w+)", r"^(\w*Error: .*)$", r"^(FAIL.*)$")
    for pattern in patterns:
        found = re.search(pattern, output, re.MULTILINE)
        if found:
            return found[1][:90]
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    lines = output.strip().splitlines()
    return (lines[-1][:90] if lines else "") or f"exit status {code}"


class Build:
    """One build directory, up to date, and what can be made from it."""

    def __init__(self, root, directory, has_tests=True):
        self.root = os.path.abspath(root)
        self.directory = os.path.abspath(directory)
        self.tests = read_tests(self.directory) if has_tests else {}
        self.commands = {}  # source, relative to the root -> (object, arguments)
        with open(os.path.join(self.directory, "compile_commands.json"), encoding="utf-8") as file:
            for entry in json.load(file):
                arguments = shlex.split(entry["command"])
                source = os.path.relpath(entry["file"], self.root)
                made = arguments[arguments.index("-o") + 1]
                self.commands.setdefault(source, []).append((made, arguments))
        self.includers = None
        self.links = {}
        self.lock = threading.Lock()

    # ---- compiling -------------------------------------------------------------------------------

    def read_includers(self):
        """{header: {sources that include it}}, both relative to the root, from ninja's own log."""
        self.includers = {}
        answer = subprocess.run(["ninja", "-C", self.directory, "-t", "deps"],
                                stdout=subprocess.PIPE, text=True, check=True)
        sources = {made: source for source, all_made in self.commands.items()
                   for made, _ in all_made}
        current = None
        for line in answer.stdout.splitlines():
            if line and not line.startswith(" "):
                current = sources.get(line.split(":")[0])
            elif line.strip() and current is not None:
                header = os.path.normpath(os.path.join(self.directory, line.strip()))
                header = os.path.relpath(header, self.root)
                if header.startswith(("src/", "include/")):
                    self.includers.setdefault(header, set()).add(current)

    def reached(self, changed, only):
        """Sources of the library (and of the program) to compile again, in order."""
        reached = set()
        for path in changed:
            if path.endswith(".c"):
                reached.add(path)
                continue
            with self.lock:
                if self.includers is None:
                    self.read_includers()
            reached |= {each for each in self.includers.get(path, ()) if each.startswith("src/")
                        and (not only or each in only)}
        return sorted(reached)

    def compile_one(self, source, made, arguments, overlay, where):
        own = os.path.join(overlay, source)
        path = own if os.path.exists(own) else os.path.join(self.root, source)
        out = os.path.join(where, made)
        os.makedirs(os.path.dirname(out), exist_ok=True)
        arguments = list(arguments)
        arguments[arguments.index("-o") + 1] = out
        arguments[arguments.index("-c") + 1] = path
        arguments[1:1] = [f"-I{overlay}/src", f"-I{overlay}/include"]
        # An unused variable is no reason not to be planted; debug information would cost most.
        arguments += ["-w", "-Wno-error", "-g0", f"-fmacro-prefix-map={overlay}/="]
        result = execute(([CCACHE] if CCACHE else []) + arguments, cwd=self.directory)
        if result.returncode != 0:
            raise BuildError(f"{source} does not compile:\n{result.stdout[-2000:]}")
        return out

    def compile(self, changed, where, only=(), test=None):
        """Compile what {path: text} reaches; {object of the build: new object}. With a test, its
        own object too, where it includes a changed header."""
        overlay = os.path.join(where, "overlay")
        shutil.rmtree(where, ignore_errors=True)
        for path, text in changed.items():
            target = os.path.join(overlay, path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "w", encoding="utf-8") as file:
                file.write(text)
        sources = self.reached(changed, only)
        if test is not None and any(path.endswith(".h") for path in changed):
            mine = self.own_source(test)
            if any(mine in self.includers.get(path, ()) for path in changed):
                sources.append(mine)
        objects = {}
        for source in sources:
            if source not in self.commands:
                raise BuildError(f"{source} is not in the build")
            for made, arguments in self.commands[source]:
                objects[made] = self.compile_one(source, made, arguments, overlay, where)
        if not objects:
            raise BuildError("nothing includes " + ", ".join(changed))
        return objects

    # ---- linking ---------------------------------------------------------------------------------

    def link_of(self, target):
        """The arguments that link a target of the build; None: it is not linked here."""
        with self.lock:
            if target not in self.links:
                answer = execute(["ninja", "-C", self.directory, "-t", "commands", target])
                found = None
                if answer.returncode == 0:
                    for line in answer.stdout.splitlines():
                        if re.search(rf" -o {re.escape(target)}(\.[0-9.]+)?( |$)", line):
                            found = re.sub(r"^: && | && :$", "", line)
                self.links[target] = None if found is None else shlex.split(found)
            return self.links[target]

    def target_of(self, test):
        """The program of this build that a test runs, or None."""
        for word in test.command:
            if os.path.dirname(word) == self.directory and os.access(word, os.X_OK):
                return os.path.basename(word)
        return None

    def own_source(self, test):
        target = self.target_of(test)
        for source, all_made in self.commands.items():
            for made, _ in all_made:
                if made.startswith(f"CMakeFiles/{target}.dir/"):
                    return source
        return None

    def link(self, target, objects, where):
        """Link a target with the new objects; the path of the result."""
        arguments = list(self.link_of(target) or ())
        if not arguments:
            raise BuildError(f"{target} is not linked by the build")
        out = os.path.join(where, target)
        arguments[arguments.index("-o") + 1] = out
        replaced = [objects.get(word, word) for word in arguments]
        if replaced == arguments or "libkhonsu_internal.a" in arguments:
            # The library's members are in the archive: ours stand before it.
            first = next(i for i, word in enumerate(replaced) if word.endswith((".a", ".so")))
            replaced[first:first] = [new for new in objects.values() if new not in replaced]
        result = execute(replaced, cwd=self.directory)
        if result.returncode != 0:
            raise BuildError(f"{target} does not link:\n{result.stdout[-2000:]}")
        return out

    def link_shared(self, objects, where):
        """A shared library of its own, under the name that programs look for."""
        library = os.path.join(where, "lib")
        os.makedirs(library, exist_ok=True)
        out = os.path.join(library, "libkhonsu.so.0")
        if not os.path.exists(out):
            os.rename(self.link("libkhonsu.so", objects, where), out)
        return library

    def prepare(self, test, objects, where):
        """Command and environment of a test over the new objects."""
        command, environment = list(test.command), dict(test.environment)
        target = self.target_of(test)
        arguments = self.link_of(target) if target is not None else None
        if arguments is not None and "libkhonsu_internal.a" in arguments:
            program = self.link(target, objects, where)
            return [program if word.endswith("/" + target) else word for word in command], \
                environment
        library = self.link_shared(objects, where)
        environment["LD_LIBRARY_PATH"] = library
        if "KHONSU_LIB" in environment:
            environment["KHONSU_LIB"] = os.path.join(library, "libkhonsu.so.0")
        if any("/khonsu_program.dir/" in made for made in objects):
            environment["KHONSU_BIN"] = self.link("khonsu", objects, where)
        return command, environment

    # ---- running ---------------------------------------------------------------------------------

    def run(self, test, prepared, extra, timeout):
        """Run a prepared test once."""
        command, environment = prepared
        everything = {**os.environ, **environment, **extra}
        process = subprocess.Popen(
            command, cwd=test.directory, env=everything, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)))
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            return Result(f"no end within {timeout} s", output)
        if process.returncode == 0:
            return Result("", output)
        return Result(reason_of(output, process.returncode), output)
