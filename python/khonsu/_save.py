"""Saving what is under a prefix as Parquet, CSV, JSON or Arrow IPC."""

import base64
import contextlib
import datetime
import functools
import json
import math
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypedDict
from urllib.parse import quote

from khonsu import _prefix
from khonsu._core import Transaction
from khonsu._optional import require
from khonsu._run import Begins
from khonsu._sources import Format, PathLike, format_of

_SUFFIX = {
    "parquet": ".parquet",
    "csv": ".csv",
    "json": ".jsonl",
    "ipc": ".arrow",
    "stream": ".arrows",
}
_SELF = "%self"  # no escape: no component of a key gives it
_GROUP_ROWS = 1 << 20  # of a row group or batch: not one for each key


class SaveOptions(TypedDict, total=False):
    """The keyword arguments of ``Database.save``, which :func:`save` explains."""

    format: Format | None
    partition: bool
    separator: str


class Saved(NamedTuple):
    """What was written: rows, and files."""

    rows: int
    files: int


def save(
    reader: Begins[Transaction] | Transaction,
    prefix: str,
    target: PathLike,
    *,
    format: Format | None = None,
    partition: bool = False,
    separator: str = "/",
) -> Saved:
    """Write the rows under a prefix to a file, or to a file for each key.

    Args:
        reader: A transaction, or a database, of whose present one snapshot is taken.
        prefix: A name as in SQL: key ``flights`` and all of ``flights/...``; ``flights/2013*`` is a
            plain prefix. The rows come in the order of the keys.
        target: The file; with partition, a directory, which is made if there is none.
        format: "parquet", "csv", "json" (an object a line), "ipc" (file, feather) or "stream";
            None: by the suffix (with partition: "parquet").
        partition: Write a file for each key, ``<target>/<rest of the key>.parquet``. The keys may
            have different schemas then. Characters that file names should not have are
            percent-escaped. The key ``<prefix>`` itself is ``<target>/<prefix>.parquet``, or
            ``%self.parquet`` if that is the file of a key below it.
        separator: One ASCII character between the components of a key.

    JSON has no numbers for NaN and infinities: they are null in it. Bytes are base64, dates and
    times are text as in ISO 8601, decimals text.

    Each file is written beside its place and renamed when it is whole: it is there whole, or as it
    was before.

    Returns:
        How many rows and files were written.

    Raises:
        ImportError: pyarrow is not installed.
        KeyError: There are no such keys.
        SchemaMismatchError: The keys have different schemas: save them with partition=True.
        ValueError: The format is not known, or cannot hold a column's type; two keys would have
            one file.
        OSError: A file cannot be written.
    """
    require("pyarrow", "save()")
    _prefix.check_prefix(prefix)
    _prefix.check_separator(separator)
    kind = "parquet" if partition and format is None else format_of(target, format)
    with _transaction(reader) as txn:
        if partition:
            return _save_each(txn, prefix, os.fspath(target), kind, separator)
        tables = _prefix.read(txn, prefix, separator)
    return _save_one(_prefix.join(tables), os.fspath(target), kind)


@contextlib.contextmanager
def _transaction(reader: Begins[Transaction] | Transaction) -> Iterator[Transaction]:
    if isinstance(reader, Transaction):
        yield reader
        return
    with reader.begin(read_only=True, isolation="repeatable_read") as txn:
        yield txn


def _save_one(rows: Any, target: str, kind: str) -> Saved:
    table = require("pyarrow", "save()").table(rows)
    _replace(target, kind, table)
    return Saved(table.num_rows, 1)


def _save_each(
    txn: Transaction, prefix: str, directory: str, kind: str, separator: str
) -> Saved:
    pa = require("pyarrow", "save()")
    keys = list(_prefix.keys_under(txn, prefix, separator))
    paths = _paths(keys, _prefix.span_of(prefix, separator), separator)
    _check_directories(paths, _SUFFIX[kind])
    if not paths:
        raise KeyError(f"there are no keys under {prefix!r}")
    rows = 0
    for key, batch in _prefix.entries(txn, prefix, separator):
        path = os.path.join(directory, paths[key]) + _SUFFIX[kind]
        os.makedirs(os.path.dirname(path), exist_ok=True)
        _replace(path, kind, pa.table(batch))
        rows += batch.num_rows
    return Saved(rows, len(paths))


def _paths(keys: list[str], span: _prefix.Span, separator: str) -> dict[str, str]:
    """The file of each key, within the directory and without its suffix: all differ.

    Raises:
        ValueError: Two keys have one.
    """
    owners: dict[str, str] = {}
    for key in keys:
        if key == span.key:
            continue
        path = _path(key.removeprefix(span.prefix), separator)
        if owners.setdefault(path, key) != key:
            raise ValueError(f"keys {owners[path]!r} and {key!r} would be one file: {path!r}")
    paths = {key: path for path, key in owners.items()}
    if span.key is not None and span.key in keys:
        own = _path(span.key, separator)
        paths[span.key] = _SELF if own in owners else own
    return paths


def _check_directories(paths: dict[str, str], suffix: str) -> None:
    """That no file is to be where a directory is to be: "a.csv" and "a.csv/b"."""
    owners = {path + suffix: key for key, path in paths.items()}
    for key, path in paths.items():
        while path := os.path.dirname(path):
            if path in owners:
                raise ValueError(f"keys {owners[path]!r} and {key!r}: {path!r} is a file of one")


def _path(key: str, separator: str) -> str:
    return os.path.join(*(_file_name(part) for part in key.split(separator)))


def _file_name(part: str) -> str:
    """A name that no other component has, and that names no other directory."""
    if part in (".", ".."):
        return part.replace(".", "%2E")
    # "%empty" is no escape: nothing else gives it.
    return quote(part, safe=" !#$&'()+,;=@[]^`{}~", errors="surrogateescape") or "%empty"


def _replace(path: str, kind: str, table: Any) -> None:
    part = f"{path}.{os.getpid()}.{threading.get_ident()}.part"
    try:
        _WRITERS[kind](table, part)
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise


def _write_parquet(table: Any, path: str) -> None:
    parquet = require("pyarrow.parquet", "save()")
    parquet.write_table(table, path, row_group_size=_GROUP_ROWS)


def _write_csv(table: Any, path: str) -> None:
    require("pyarrow.csv", "save()").write_csv(table, path)


def _write_ipc(table: Any, path: str) -> None:
    pa = require("pyarrow", "save()")
    with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        _write_batches(table, writer)


def _write_stream(table: Any, path: str) -> None:
    pa = require("pyarrow", "save()")
    with pa.OSFile(path, "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        _write_batches(table, writer)


def _write_batches(table: Any, writer: Any) -> None:
    whole = table.unify_dictionaries().combine_chunks()
    writer.write_table(whole, max_chunksize=_GROUP_ROWS)


def _write_json(table: Any, path: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for batch in table.to_batches(max_chunksize=1024):
            for row in batch.to_pylist():
                file.write(_json_line(row) + "\n")


def _json_line(row: dict[str, Any]) -> str:
    dump = functools.partial(
        json.dumps, ensure_ascii=False, allow_nan=False, default=_json_value
    )
    try:
        line: str = dump(row)
    except ValueError:  # a number that JSON has not
        line = dump(_finite(row))
    return line


def _finite(value: Any) -> Any:
    """The same with None for NaN and infinities."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _json_value(value: Any) -> Any:
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return str(value)  # decimals, durations


_WRITERS: dict[str, Callable[[Any, str], None]] = {
    "parquet": _write_parquet,
    "csv": _write_csv,
    "json": _write_json,
    "ipc": _write_ipc,
    "stream": _write_stream,
}
