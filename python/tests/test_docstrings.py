"""The examples in the docstrings of the C extension."""

from __future__ import annotations

import doctest
from collections.abc import Iterator

import pytest

from khonsu import _core

USED = {
    "Schema": ["row", "rows"],
    "Batch": ["value", "row", "take", "slice", "concat", "upsert", "patch", "delete_rows",
              "to_ipc"],
    "Transaction": ["get", "scan", "keys", "table", "put", "delete", "delete_range", "upsert",
                    "patch", "insert_rows", "compare_and_swap", "savepoint"],
}  # fmt: skip


def documented() -> Iterator[tuple[str, str]]:
    """Names of classes, methods and functions that have a docstring, with it."""
    for name, member in vars(_core).items():
        if getattr(member, "__doc__", None) and callable(member):
            yield name, member.__doc__
        if isinstance(member, type):
            for method, found in vars(member).items():
                if isinstance(getattr(found, "__doc__", None), str):
                    yield f"{name}.{method}", found.__doc__


EXAMPLES = {name: text for name, text in documented() if ">>>" in text}


def test_what_is_used_most_has_examples() -> None:
    for name, methods in USED.items():
        assert [each for each in methods if f"{name}.{each}" not in EXAMPLES] == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name: str) -> None:
    test = doctest.DocTestParser().get_doctest(EXAMPLES[name], {}, name, None, None)
    told: list[str] = []
    assert doctest.DocTestRunner().run(test, out=told.append).failed == 0, "".join(told)
