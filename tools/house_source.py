"""Reading source files for check_house.py: C and Python with comments and strings told apart."""

import os
import re

C_SUFFIXES = (".c", ".h", ".cpp")
CODE_SUFFIXES = C_SUFFIXES + (".py", ".sh", ".cmake")
CODE_NAMES = ("CMakeLists.txt", "Makefile", "run")
FOLDERS = ("src", "include", "test", "fuzz", "bench", "examples", "python", "tools", "cmake", ".ci")

C_TOKEN = re.compile(
    r"""//(?:[^\n\\]|\\.)*            # a comment to the end of its line
      | /\*.*?\*/                     # a block comment
      | "(?:[^"\\\n]|\\.)*"           # a string
      | '(?:[^'\\\n]|\\.)*'           # a character""",
    re.DOTALL | re.VERBOSE)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.MULTILINE)


def blank(text):
    """Spaces in place of everything but the line ends, so that positions stay."""
    return re.sub(r"[^\n]", " ", text)


class Source:
    """One file. `code` is `text` with comments and the contents of strings blanked."""

    def __init__(self, root, path):
        self.path = path.replace(os.sep, "/")
        with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
            self.text = file.read()
        self.lines = self.text.split("\n")
        if self.lines and self.lines[-1] == "":
            self.lines.pop()
        self.is_c = self.path.endswith(C_SUFFIXES)
        self.comments = []
        self.code = C_TOKEN.sub(self._take, self.text) if self.is_c else self.text

    def _take(self, match):
        token = match.group(0)
        if token.startswith("/"):
            self.comments.append((self.line_of(match.start()), token))
            return blank(token)
        return token[0] + blank(token[1:-1]) + token[-1]

    def line_of(self, position):
        return self.text.count("\n", 0, position) + 1

    def includes(self):
        """(line, is_quoted, header) of each include that is not in a comment."""
        for match in INCLUDE.finditer(self.text):
            hash_at = self.text.index("#", match.start())
            if self.code[hash_at] == "#":
                yield self.line_of(hash_at), match.group(1) == '"', match.group(2)

    def flat(self):
        """The code at file scope: without preprocessor lines and what stands between braces."""
        code = re.sub(r"^[ \t]*#(?:[^\n\\]|\\.)*", lambda match: blank(match.group(0)), self.code,
                      flags=re.MULTILINE | re.DOTALL)
        code = re.sub(r'extern\s+" *"\s*\{', lambda match: blank(match.group(0)), code)
        before = None
        while before != code:
            before = code
            code = re.sub(r"\{[^{}]*\}", lambda match: blank(match.group(0)), code)
        return code

    def in_folder(self, *folders):
        return self.path.startswith(tuple(folder + "/" for folder in folders))

    def comment_lines(self):
        """(line, words) of each line of each comment, without the marks of the comment."""
        for first, token in self.comments:
            for offset, line in enumerate(token.split("\n")):
                words = re.sub(r"^\s*(/\*+|//+|\*(?!/))?", "", line)
                yield first + offset, re.sub(r"\*+/\s*$", "", words).strip()


def is_code(name):
    return name.endswith(CODE_SUFFIXES) or name in CODE_NAMES


def collect(root):
    """Every file of code under the folders that hold some, and beside them."""
    found = [name for name in sorted(os.listdir(root))
             if is_code(name) and os.path.isfile(os.path.join(root, name))]
    for folder in FOLDERS:
        for directory, below, names in os.walk(os.path.join(root, folder)):
            below[:] = sorted(b for b in below if b != "__pycache__")
            found += [os.path.relpath(os.path.join(directory, name), root)
                      for name in sorted(names) if is_code(name)]
    return [Source(root, path) for path in found]
