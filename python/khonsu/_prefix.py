"""Names that stand for keys: a name N is key N and all keys under N + separator.

``flights`` is the key ``flights`` and all of ``flights/...``, and not ``flights-2014``. A name that
ends in the separator or in ``*`` is a plain prefix: ``flights/``, ``flights/2013-01*``, ``*``.

Khonsu's own keys (``.khonsu/...``: how far loads are) are in none of them, but for names that begin
with ``.khonsu`` themselves.

A transaction takes one thread at a time, and so do these functions.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, TypedDict

from khonsu._core import Batch, Table, Transaction
from khonsu._errors import BY_NAME, Error
from khonsu._optional import require

RESERVED = ".khonsu"  # the first component of khonsu's own keys: of no table
_OWN = RESERVED + "/"
_BEHIND_OWN = RESERVED + "0"  # "0" comes after "/"


class Span(NamedTuple):
    """The keys that a name stands for."""

    key: str | None  # this one,
    prefix: str  # and those that start with this


def check_separator(separator: str) -> str:
    """The separator, if it is one ASCII character.

    Raises:
        TypeError: It is no str.
        ValueError: It is another one.
    """
    if not isinstance(separator, str):
        raise TypeError(f"separator is a str, not {separator!r:.80}")
    if len(separator) != 1 or not separator.isascii() or separator in "*\0\x7f":
        raise ValueError(f"a separator is one ASCII character, not {separator!r}")
    return separator


def check_prefix(prefix: str) -> str:
    """The prefix, if it is text. Bytes are keys elsewhere; here a prefix is put together.

    Raises:
        TypeError: It is not.
    """
    if not isinstance(prefix, str):
        raise TypeError(f"prefix is a str, not {prefix!r:.80}")
    return prefix


def span_of(name: str, separator: str) -> Span:
    """The keys that a name stands for."""
    if name.endswith("*"):
        return Span(None, name[:-1])
    if not name or name.endswith(separator):
        return Span(None, name)
    return Span(name, name + separator)


class Range(TypedDict, total=False):
    """Arguments of ``txn.keys``, ``scan`` and ``table``."""

    prefix: str
    start: str
    stop: str


def ranges_of(prefix: str) -> list[Range]:
    """Arguments of scans that meet all keys with the prefix, in order, and none of khonsu's own."""
    if not _OWN.startswith(prefix) or prefix.startswith(RESERVED):
        return [{"prefix": prefix}]
    return [{"prefix": prefix, "stop": _OWN}, {"prefix": prefix, "start": _BEHIND_OWN}]


def has_keys(txn: Transaction, name: str, separator: str) -> bool:
    """Whether there is a key that the name stands for."""
    span = span_of(name, separator)
    if span.key is not None and span.key in txn:
        return True
    return any(first_key(txn, **within) is not None for within in ranges_of(span.prefix))


def first_key(
    txn: Transaction, *, prefix: str = "", start: str = "", stop: str = ""
) -> str | None:
    """The least key with the prefix that is not below start and below stop; None: there is none."""
    within = Range(prefix=prefix, start=start)
    if stop:
        within["stop"] = stop
    for key in txn.keys(limit=1, **within):
        return str(key)
    return None


def first_components(txn: Transaction, separator: str, limit: int) -> list[str]:
    """The distinct first components of the keys, in order; at most `limit`.

    It takes one short scan for each component and never walks all keys. Khonsu's own keys, and
    components that are empty or no UTF-8, are left out.
    """
    after = chr(ord(separator) + 1)
    found: dict[str, None] = {}
    start = ""
    while len(found) < limit and (key := first_key(txn, start=start)) is not None:
        component, has_more, _ = key.partition(separator)
        if component and component != RESERVED and _is_text(component):
            found[component] = None
        # Behind all keys of this component: or, when this key is the component itself, right
        # behind it, for others come between "a" and "a/": "a-2", say.
        start = component + after if has_more else key + "\0"
    return list(found)


def _is_text(component: str) -> bool:
    """Whether it is UTF-8: other bytes of a key are lone surrogates in a str."""
    return not any("\ud800" <= character <= "\udfff" for character in component)


def read(txn: Transaction, name: str, separator: str, limit: int = 0) -> list[Table]:
    """The rows under a name: that of the key itself, and those of the keys below it; at least one.

    With a limit: of so many of the keys below it.

    Tables outlive the transaction and can be streamed any number of times, by any thread.

    Raises:
        KeyError: There are no such keys.
        SchemaMismatchError: The batches under the name have more than one schema.
    """
    span = span_of(name, separator)
    tables = []
    try:
        if span.key is not None and span.key in txn:
            tables.append(txn.table(start=span.key, stop=span.key + "\0"))
        for within in ranges_of(span.prefix):
            if first_key(txn, **within) is not None:
                tables.append(txn.table(**within, limit=limit))
    except Error as error:
        raise _named(error, name) from error
    if not tables:
        raise KeyError(f"there are no keys under {name!r}")
    if any(table.schema != tables[0].schema for table in tables):
        first = repr(span.key) if span.key in tables[0].keys else "the first of them"
        raise BY_NAME["SchemaMismatchError"](
            f"table {name!r}: key {first} has another schema than the keys below it"
        )
    return tables


def join(tables: list[Table]) -> Any:
    """One Arrow stream of what :func:`read` gives: the Table, or a pyarrow.Table of several."""
    if len(tables) == 1:
        return tables[0]
    pyarrow = require("pyarrow", "a table of a key and of keys below it")
    return pyarrow.concat_tables([pyarrow.table(table) for table in tables])


def entries(txn: Transaction, name: str, separator: str) -> Iterator[tuple[str, Batch]]:
    """Keys and batches under a name, in the order of the keys."""
    span = span_of(name, separator)
    if span.key is not None and (batch := txn.get(span.key)) is not None:
        yield span.key, batch
    for within in ranges_of(span.prefix):
        yield from txn.scan(**within)


def keys_under(txn: Transaction, name: str, separator: str) -> Iterator[str]:
    """Keys under a name, in the order of :func:`entries`."""
    span = span_of(name, separator)
    if span.key is not None and span.key in txn:
        yield span.key
    for within in ranges_of(span.prefix):
        yield from txn.keys(**within)


def _named(error: Error, name: str) -> Error:
    """The same error with the name in its message."""
    named = type(error)(f"table {name!r}: {error}")
    named.__dict__.update(error.__dict__)
    return named
