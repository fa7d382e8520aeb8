"""The code of docs/python.md runs, and gives what its comments say.

The ```python blocks of a section (## ...) run in order in one namespace, in a directory of their
own. ``expression  # -> text`` compares the expression's repr with the text ("..." stands for
anything); ``statement  # raises ConflictError`` expects that exception. The table of exceptions is
made from khonsu's list: ``python tests/test_guide.py`` prints it.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import khonsu
from khonsu import _errors

for _needed in ("pyarrow", "polars", "pandas", "duckdb"):
    pytest.importorskip(_needed)

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "python.md"
_MARK = re.compile(r"  # (->|raises) (.*)$")
_HEADING = re.compile(r"^## (.*)$", re.MULTILINE)
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TABLE = re.compile(r"<!-- table exceptions -->\n\n(.*?)\n\n<!-- end -->", re.DOTALL)


def sections(text: str) -> dict[str, list[tuple[int, str]]]:
    """By heading: each block with the number of the line before it."""
    found: dict[str, list[tuple[int, str]]] = {}
    headings = [(match.start(), match[1]) for match in _HEADING.finditer(text)]
    for match in _BLOCK.finditer(text):
        heading = [name for start, name in headings if start < match.start()][-1]
        line = text.count("\n", 0, match.start(1))
        found.setdefault(heading, []).append((line, match[1]))
    return found


class Marks(ast.NodeTransformer):
    """Makes of each statement with a mark one that compares."""

    def __init__(self, source: str) -> None:
        self.marks: dict[int, tuple[str, str]] = {}
        for number, line in enumerate(source.split("\n"), 1):
            if match := _MARK.search(line):
                self.marks[number] = (match[1], match[2].strip())

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.stmt) and not hasattr(node, "body"):
            kind, text = self.marks.pop(node.end_lineno or 0, ("", ""))
            if kind == "->":
                assert isinstance(node, ast.Expr), f"line {node.lineno}: -> needs an expression"
                return self._call("_compare", node, [node.value], text)
            if kind == "raises":
                manager = self._call("_raises", node, [], text).value
                return ast.copy_location(ast.With([ast.withitem(manager)], [node]), node)
        return self.generic_visit(node)

    @staticmethod
    def _call(name: str, node: ast.stmt, values: list[ast.expr], text: str) -> ast.Expr:
        arguments = [*values, ast.Constant(text), ast.Constant(node.lineno)]
        call = ast.Call(ast.Name(name, ast.Load()), arguments, [])
        return ast.copy_location(ast.Expr(call), node)


def _compare(value: object, text: str, line: int) -> None:
    check = doctest.OutputChecker().check_output
    is_same = check(text + "\n", repr(value) + "\n", doctest.ELLIPSIS)
    assert is_same, f"{GUIDE.name}, line {line}: {value!r} is not {text}"


@contextlib.contextmanager
def _raises(name: str, line: int) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        names = [kind.__name__ for kind in type(error).__mro__]
        assert name in names, f"{GUIDE.name}, line {line}: {error!r} is no {name}"
    else:
        raise AssertionError(f"{GUIDE.name}, line {line}: {name} was not raised")


def run_block(source: str, line: int, namespace: dict[str, Any]) -> None:
    marks = Marks(source)
    tree = ast.fix_missing_locations(marks.visit(ast.parse(source)))
    assert not marks.marks, f"{GUIDE.name}: no statement ends where these are: {marks.marks}"
    ast.increment_lineno(tree, line)
    for node in ast.walk(tree):  # the line numbers of the comparisons themselves
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("_compare", "_raises"):
            number = node.args[-1]
            assert isinstance(number, ast.Constant) and isinstance(number.value, int)
            number.value += line
    exec(compile(tree, str(GUIDE), "exec"), namespace)  # noqa: S102


def exceptions_table() -> str:
    """Every exception: what it means, what to do, and what else of Python's it is."""
    todo = {
        "RetryError": "run it again",
        "AskError": "ask for the outcome",
        "StopError": "change something",
    }
    lines = ["| exception | what | class | also |", "|---|---|---|---|"]
    for kind in _errors.BY_NUMBER.values():
        ours = kind.__mro__[1].__name__
        also = [f"`{base.__name__}`" for base in kind.__bases__[1:]]
        what = (kind.__doc__ or "").rstrip(".")
        word = f"`{ours}`: {todo[ours]}" if ours in todo else f"`{ours}`"
        lines.append(f"| `{kind.__name__}` | {what} | {word} | {', '.join(also)} |")
    return "\n".join(lines)


def pytest_generate_tests(metafunc: Any) -> None:
    if "section" in metafunc.fixturenames:
        metafunc.parametrize("section", sections(GUIDE.read_text(encoding="utf-8")))


def test_section(section: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "guide", "_compare": _compare, "_raises": _raises}
    for line, source in sections(GUIDE.read_text(encoding="utf-8"))[section]:
        run_block(source, line, namespace)
    for value in namespace.values():
        if isinstance(value, khonsu.Database):
            value.close()


def test_readme(capsys: pytest.CaptureFixture[str]) -> None:
    """Its block prints what it says."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    [block] = _BLOCK.findall(text)
    exec(compile(block, "README.md", "exec"), {})
    printed = capsys.readouterr().out.strip()
    assert printed and f"`{printed}`" in text


def test_table_of_exceptions() -> None:
    match = _TABLE.search(GUIDE.read_text(encoding="utf-8"))
    assert match is not None
    assert match[1] == exceptions_table(), "python tests/test_guide.py prints it"


def test_marks_are_compared() -> None:
    """The comparison itself can fail."""
    namespace: dict[str, Any] = {"_compare": _compare, "_raises": _raises}
    run_block("x = 1\nif x:\n    x + 1  # -> 2\n[][0]  # raises IndexError\n", 0, namespace)
    for wrong in (
        "1 + 1  # -> 3",
        "1 + 1  # raises KeyError",
        "{}[1]  # raises IndexError",
        "x = 1  # -> 1",
        "if x:  # -> 1\n    pass",
    ):
        with contextlib.suppress(AssertionError):
            run_block(wrong, 0, namespace)
            raise RuntimeError(wrong)


if __name__ == "__main__":
    print(exceptions_table())
