#!/usr/bin/env python3
"""Check the rules of the house; print each breach as file:line: [rule] what, and exit 1 if any.

usage: check_house.py ROOT

  room      a room includes itself and the rooms below it, headers only, by their full name
  door      one place for each foreign thing: headers and calls that only some files may use
  size      files of 600 lines, lines of 100 columns, functions of 60 lines, complexity 15
            (lizard's count, in which a whole switch is one decision)
  mark      no notes of unfinished work, no code in comments
  name      no file, struct or type is called by a word that says nothing
  public    the public headers declare kh_* and KH_* only, each function under a comment
  order     every atomic operation names its memory order
  opening   a file of C opens with a comment that says what it is
  sleep     tests do not sleep
  outside   the models that judge the library include nothing of it
"""

import os
import re
import sys

import lizard

from house_source import collect

ROOMS = ("base", "batch", "store", "log", "txn", "db")
MAX_FILE_LINES, MAX_COLUMNS, MAX_FUNCTION_LINES, MAX_COMPLEXITY = 600, 100, 60, 15

WORDS_THAT_SAY_NOTHING = {"data", "info", "manager", "util", "utils", "helper", "helpers", "common",
                          "misc", "internal"}

# Programs know the public header and their own files; the doors to the system are open to them.
PROGRAMS = ("cli", "workload")
# And what one program lends to others, by its full name.
LENT = {"workload": ("cli/heap.h", "cli/options.h", "cli/text.h")}

ENV = r"src/(base/env_[^/]*\.c|(cli|workload)/.*)"
# header, who may include it, what it is
HEADER_DOORS = [
    (r"(nanoarrow|flatcc)/|lz4|zstd", r"src/batch/", "Arrow and its codecs"),
    (r"ck_epoch\.h$", r"src/base/epoch[^/]*$", "the epoch library"),
    (r"ck_", r"src/base/", "Concurrency Kit"),
    (r"xxh", r"src/base/hash[^/]*$", "the hash library"),
    (r"rocksdb/", r"src/log/rocks_[^/]*$", "RocksDB"),
    (r"openssl/", r"src/base/digest\.c$", "the cryptographic library"),
    (r"pthread\.h$", r"src/(base/(lock|env)[^/]*|(cli|workload)/.*)$", "threads"),
    (r"time\.h$", r"src/(base/(lock|env)[^/]*|(cli|workload)/.*)$", "clocks"),
    (r"(unistd|fcntl|dirent|poll|signal|sched|semaphore|spawn|dlfcn|netdb|termios|pwd|grp|"
     r"syslog|threads|locale|aio|mqueue|ucontext|setjmp|glob|ftw|execinfo)\.h$|"
     r"(sys|net|netinet|arpa|linux|asm)/", ENV, "the operating system"),
]
# call, who may make it, what it is
CALL_DOORS = [
    (r"pthread_\w+", r"src/(base/(lock|env)[^/]*|(cli|workload)/.*)$", "threads"),
    (r"(time|clock|clock_\w+|gettimeofday|timespec_get|gmtime\w*|localtime\w*|\w*sleep)", ENV,
     "clocks"),
    (r"(f?printf|vf?printf|dprintf|puts|fputs|putchar|perror|fopen|fdopen|freopen|fwrite|fread|"
     r"tmpfile|getenv|secure_getenv|setlocale|s?rand|rand_r|random|getrandom|system|popen|syscall|"
     r"abort|exit|_exit|atexit|raise|kill)",
     r"src/(base/(assert|status|env_)[^/]*\.c|(cli|workload)/.*)$", "output, files, the process"),
    (r"(malloc|calloc|realloc|reallocarray|aligned_alloc|posix_memalign|free|strn?dup|v?asprintf)",
     r"src/(base/(mem|env_)[^/]*|(cli|workload)/.*)$", "memory"),
]


def check_rooms(source):
    match = re.match(r"src/(\w+)/", source.path)
    if not match:
        return
    room = match.group(1)
    if room not in ROOMS + PROGRAMS:
        yield 1, "room", f"src/{room} is not a room"
        return
    for line, is_quoted, header in source.includes():
        if header.startswith("khonsu/") or header == "khonsu.h":
            continue
        if header.endswith(".c"):
            yield line, "room", f"includes {header}: headers only"
        if not is_quoted:
            continue
        owner = header.split("/")[0] if "/" in header else None
        if room in PROGRAMS:
            if owner is not None and header not in LENT.get(room, ()):
                yield line, "room", f"{room} includes {header}: khonsu.h and its own files only"
        elif owner not in ROOMS:
            yield line, "room", f"includes {header}: no room in its name"
        elif ROOMS.index(owner) > ROOMS.index(room):
            yield line, "room", f"{room} includes {header}, which is above it"


def check_doors(source):
    if not source.in_folder("src", "include"):
        return
    for line, _, header in source.includes():
        for pattern, allowed, what in HEADER_DOORS:
            if re.match(pattern, header):
                if not re.match(allowed, source.path):
                    yield line, "door", f"includes <{header}>: {what} has another door"
                break
    for pattern, allowed, what in CALL_DOORS:
        if re.match(allowed, source.path):
            continue
        # Not a member or a declaration of that name: those come after a dot, an arrow or a type.
        for match in re.finditer(rf"(?<![\w.>]){pattern}\s*\(", source.code):
            before = source.code[:match.start()].rstrip(" \t")
            if not re.search(r"[\w*]$", before) or re.search(r"\b(return|else|do)$", before):
                name = match.group(0).rstrip("( \t")
                yield source.line_of(match.start()), "door", f"calls {name}: {what} has a door"


def check_size(source):
    if len(source.lines) > MAX_FILE_LINES:
        yield MAX_FILE_LINES + 1, "size", f"{len(source.lines)} lines, {MAX_FILE_LINES} at most"
    for number, line in enumerate(source.lines, 1):
        if len(line) > MAX_COLUMNS:
            yield number, "size", f"{len(line)} columns, {MAX_COLUMNS} at most"
    if not source.path.endswith((".c", ".h", ".cpp", ".py")):
        return
    analyzer = lizard.FileAnalyzer(lizard.get_extensions(["modified"]))
    for function in analyzer.analyze_source_code(source.path, source.text).function_list:
        length = function.end_line - function.start_line + 1
        if length > MAX_FUNCTION_LINES:
            yield (function.start_line, "size",
                   f"{function.name}: {length} lines, {MAX_FUNCTION_LINES} at most")
        if function.cyclomatic_complexity > MAX_COMPLEXITY:
            yield (function.start_line, "size", f"{function.name}: complexity "
                   f"{function.cyclomatic_complexity}, {MAX_COMPLEXITY} at most")


# Spelled in halves, so that this file passes its own check.
MARK = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
STATEMENT = re.compile(
    r"""^(?:\#\s*(?:include|define|if|endif|else)\b
        | (?:if|for|while|switch)\s*\(.*\)\s*\{?$
        | (?:return|goto|break|continue)\b[^.]*;$
        | [\w\->.\[\]()*&\s]+(?:=|\+=|-=|\|=)[^=].*;$
        | [\w\->.]+\([^.]*\);$
        | \}?\s*(?:else)?\s*[{}]$)""", re.VERBOSE)


def check_marks(source):
    for number, line in enumerate(source.lines, 1):
        if MARK.search(line):
            yield number, "mark", "a note of unfinished work"
    if not source.is_c:
        return
    for match in re.finditer(r"^[ \t]*#[ \t]*if[ \t]+0\b", source.code, re.MULTILINE):
        yield source.line_of(match.start()), "mark", "code that is switched off"
    # Public headers show how to call them; elsewhere code in a comment is code left behind.
    if source.in_folder("include", "examples"):
        return
    for number, words in source.comment_lines():
        if STATEMENT.match(words):
            yield number, "mark", f"code in a comment: {words}"


TAG = re.compile(r"\b(?:struct|union|enum)\s+(\w+)\s*\{")
TYPEDEF = re.compile(r"^[ \t]*typedef\b([^;]*);", re.MULTILINE)
POINTER_NAME = re.compile(r"\(\s*\*\s*(\w+)\s*\)\s*\(")
PLAIN_NAME = re.compile(r"(\w+)\s*(?:\[[^\]]*\]|\(.*\))?\s*$", re.DOTALL)


def types(source):
    """(line, name) of every type that the file defines."""
    found = {}
    for match in TAG.finditer(source.code):
        found.setdefault(match.group(1), source.line_of(match.start()))
    for match in TYPEDEF.finditer(source.flat()):
        name = POINTER_NAME.search(match.group(1)) or PLAIN_NAME.search(match.group(1))
        if name:
            found.setdefault(name.group(1), source.line_of(match.start()))
    return [(line, name) for name, line in found.items()]


def says_nothing(name):
    return sorted(WORDS_THAT_SAY_NOTHING & set(name.lower().split("_")))


def check_names(source):
    stem = os.path.basename(source.path).rsplit(".", 1)[0]
    for word in says_nothing(stem):
        yield 1, "name", f"the file's name says nothing: {word}"
    if not source.is_c:
        return
    for line, name in types(source):
        for word in says_nothing(name):
            yield line, "name", f"the name {name} says nothing: {word}"


DECLARED = re.compile(r"(\w+)\s*\((?!\s*\*)[^;{}]*\)\s*(?:__attribute__\s*\(\(.*?\)\)\s*)?;")
DEFINED = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)", re.MULTILINE)
# arrow.h repeats the Arrow C Data Interface word for word, as its specification asks.
PUBLIC_TYPE = re.compile(r"(kh_|Arrow(Schema|Array|ArrayStream|DeviceArray)$)")
PUBLIC_MACRO = re.compile(r"(KH_|KHONSU_|ARROW_)")


RULER = re.compile(r"/\*[ -]*-{4}.*-{4}[ -]*\*/$")


def has_comment_above(source, line):
    """A comment stands above the declaration, or above the run of lines that it is part of."""
    code = source.code.split("\n")
    above = line - 2
    is_gap = False
    while above >= 0:
        text = source.lines[above].strip()
        if text == "":
            is_gap = True
        elif code[above].strip() == "":
            return not RULER.match(text)
        elif is_gap or text.startswith("#"):
            return False
        above -= 1
    return False


def check_public(source):
    if not source.in_folder("include"):
        return
    for match in DEFINED.finditer(source.code):
        if not PUBLIC_MACRO.match(match.group(1)):
            yield source.line_of(match.start(1)), "public", f"macro {match.group(1)} is not KH_*"
    for line, name in types(source):
        if not PUBLIC_TYPE.match(name):
            yield line, "public", f"type {name} is not kh_*"
    for match in re.finditer(r"[^;{}]+;", source.flat()):
        declaration = match.group(0)
        function = DECLARED.search(declaration)
        if not function or re.match(r"\s*typedef\b", declaration):
            continue
        start = match.start() + len(declaration) - len(declaration.lstrip())
        line = source.line_of(start)
        if not function.group(1).startswith("kh_"):
            yield line, "public", f"function {function.group(1)} is not kh_*"
        if not has_comment_above(source, line):
            yield line, "public", f"function {function.group(1)} has no comment above it"


ATOMIC = re.compile(r"\batomic_(?:load|store|exchange|compare_exchange_(?:weak|strong)|fetch_\w+?|"
                    r"flag_(?:test_and_set|clear))\s*\(")


def check_orders(source):
    if not source.in_folder("src"):
        return
    for match in ATOMIC.finditer(source.code):
        if "_explicit" not in match.group(0):
            yield source.line_of(match.start()), "order", f"{match.group(0)}...) names no order"


def check_opening(source):
    if source.in_folder("src", "include", "fuzz") and source.is_c:
        if not source.text.lstrip().startswith(("/*", "//")):
            yield 1, "opening", "the file does not open with what it is"


def check_sleep(source):
    if not source.in_folder("test"):
        return
    code = source.code if source.is_c else re.sub(r"#.*", "", source.text)
    # Spelled so that a test of this rule does not break it.
    for match in re.finditer(r"\b(?:u|nano|clock_nano|thrd_)?sl" + r"eep\s*\(", code):
        yield source.line_of(match.start()), "sleep", "tests wait for events, not for time"


def check_outside(source):
    if not source.in_folder("test/model", "test/api"):
        return
    for line, _, header in source.includes():
        if header.split("/")[0] in ROOMS and "/" in header:
            yield line, "outside", f"includes {header}: it must not know what it judges"


CHECKS = (check_rooms, check_doors, check_size, check_marks, check_names, check_public,
          check_orders, check_opening, check_sleep, check_outside)


def breaches(root):
    """(path, line, rule, message) of every breach under root, in the order of the files."""
    found = []
    for source in collect(root):
        for check in CHECKS:
            found += [(source.path, *breach) for breach in check(source)]
    return sorted(set(found))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    found = breaches(sys.argv[1])
    for path, line, rule, message in found:
        print(f"{path}:{line}: [{rule}] {message}")
    print(f"check_house: {len(found)} breaches")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
