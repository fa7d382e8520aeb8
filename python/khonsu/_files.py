"""Loading Parquet, CSV, JSON and Arrow IPC into keys: in chunks, resumable.

A load that was interrupted goes on where it stopped when it is called again with the same source,
prefix, by, format and columns: each chunk's transaction also writes how many rows are done, under
a key of khonsu's own (``.khonsu/load/...``), so that no row is lost or stored twice. That note
stays, also when the rows are deleted: a load that was completed stores nothing when it is called
again, but with if_exists="replace" or resume=False. A file that was changed since is another
source.

Values become keys as text: ISO 8601 for dates and times; "%", the separator and control characters
percent-escaped; "%null" for null and "%empty" for the empty string.

Any thread may load. Other transactions may write meanwhile: a chunk whose keys they wrote too is
tried again.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, TypedDict

from khonsu import _prefix
from khonsu._core import Batch, Transaction
from khonsu._optional import require
from khonsu._partition import Column, columns_of, partition
from khonsu._progress import Report, finish, reporter
from khonsu._run import Begins, run
from khonsu._sources import Format, Source, open_source

IfExists: TypeAlias = Literal["append", "replace", "fail"]

# A chunk is committed when it has so many bytes, whatever its rows: a transaction has a limit.
_CHUNK_BYTES = 256 << 20
# From begin to commit: partitioning comes before, but a commit may wait for a slow disk.
_TIMEOUT = 600.0


class LoadOptions(TypedDict, total=False):
    """The keyword arguments of ``Database.load``, which :func:`load` explains."""

    format: Format | None
    columns: str | Sequence[str] | None
    if_exists: IfExists
    on: str | None
    batch_rows: int
    separator: str
    progress: bool | Report | None
    resume: bool | str


class Loaded(NamedTuple):
    """What a load did.

    Attributes:
        rows: Stored by this call.
        keys: Distinct keys written by this call.
        commits: Transactions of this call.
        skipped: Rows that earlier calls of the same load had stored already.
    """

    rows: int
    keys: int
    commits: int
    skipped: int


def load(
    db: Begins[Transaction],
    source: Any,
    prefix: str,
    by: str | Sequence[str | tuple[str, str]] = (),
    *,
    format: Format | None = None,
    columns: str | Sequence[str] | None = None,
    if_exists: IfExists = "append",
    on: str | None = None,
    batch_rows: int = 1 << 19,
    separator: str = "/",
    progress: bool | Report | None = None,
    resume: bool | str = True,
) -> Loaded:
    """Store rows under keys ``prefix/<value>/<value>``, by the values of columns.

    Rows are committed in chunks: readers see whole chunks, in the order of the source. A load that
    was interrupted goes on when it is called again; one that was completed stores nothing then.

    Args:
        db: The database.
        source: A path, a list of paths, a directory (hive partitions become columns), a pyarrow
            Dataset, or anything that offers ``__arrow_c_stream__`` or ``__arrow_c_array__``.
        prefix: The keys' beginning; without `by` the key.
        by: Columns whose values make the rest of the key. ``("time", "day")`` cuts timestamps to a
            unit: year, month, day, hour, minute or second.
        format: "parquet", "csv" (".tsv": with tabs), "json" (an object a line), "ipc" (file,
            feather) or "stream"; None: by the suffix.
        columns: Load only these, those of `by` among them; a str: only this one; None: all.
        if_exists: What to do about keys under the prefix that are there when the load begins:
            "append" to them, "replace" them (in the transaction of the first chunk), or "fail".
        on: An id column: rows take the place of those with the same id in their key.
        batch_rows: Rows of a chunk, at least; at most 900,000.
        separator: One ASCII character between the components of a key.
        progress: A function of (rows done, rows or None), called after each commit. None: a bar on
            standard error if that is a terminal; True: always; False: never.
        resume: False: begin anew, whatever was noted. A str names the load, for sources that are no
            files (they begin anew otherwise) or when the same file is to be loaded twice.

    Raises:
        KeyError, FileNotFoundError: There is no such column, or file.
        TypeError: `source` cannot be read, or a column of `by` is of a nested type.
        ValueError: An argument is outside its range; keys exist and if_exists is "fail"; another
            load of the same source is under way.
        SchemaMismatchError: A key has rows of another schema.
        Error: What else khonsu says. What was committed stays, and a next call goes on.
    """
    _check(prefix, if_exists, batch_rows, separator)
    columns = _check_kinds(format, columns, on, progress, resume)
    work = _Load(db, open_source(source, format, columns), prefix, columns_of(by))
    work.separator = separator
    work.if_exists = if_exists
    work.on = on
    work.find_note(resume, columns)
    report = reporter(progress, prefix or work.source.name, "rows")
    try:
        return work.run(batch_rows, report)
    finally:
        finish(report)


class _Load:
    """One load: what to do, and how far it is."""

    separator = "/"
    if_exists: IfExists = "append"
    on: str | None = None
    note: str | None = None  # the key of the note on how far it is; None: none is kept

    def __init__(
        self, db: Begins[Transaction], source: Source, prefix: str, columns: list[Column]
    ) -> None:
        self.db = db
        self.source = source
        self.prefix = prefix
        self.columns = columns
        self.done = 0  # rows
        self.is_begun = False  # a chunk was committed, by this call or before
        self.noted: tuple[int, bool] | None = None

    def find_note(self, resume: bool | str, columns: Sequence[str] | None) -> None:
        """Find out how far an earlier load of the same came."""
        name = resume if isinstance(resume, str) else None
        asked = [self.prefix, self.columns, columns, self.separator]
        self.note = _note_key(self.source, name, asked)
        self.read_note(is_wanted=resume is not False)

    def read_note(self, *, is_wanted: bool) -> None:
        """Go on behind what is noted; or remember it only, to be written over."""
        if self.note is None:
            return
        with self.db.begin(read_only=True) as txn:
            self.noted = _note_of(txn, self.note)
        if self.noted is None or not is_wanted:
            return
        rows, is_complete = self.noted
        if not is_complete or self.if_exists != "replace":
            self.done = rows
            self.is_begun = True

    def run(self, batch_rows: int, report: Report) -> Loaded:
        skipped = self.done
        if self.is_begun and self.noted is not None and self.noted[1]:
            return Loaded(0, 0, 0, skipped)
        report(self.done, self.source.total)
        keys: set[str] = set()
        commits = 0
        for chunk, is_last in _chunks(self.source.batches.read(skipped), batch_rows):
            groups = [] if chunk is None else self._partition(chunk)
            rows = 0 if chunk is None else chunk.num_rows
            self._commit(groups, rows, is_last)
            keys.update(key for key, _ in groups)
            commits += 1
            report(self.done, self.source.total)
        return Loaded(self.done - skipped, len(keys), commits, skipped)

    def _partition(self, chunk: Any) -> list[tuple[str, Batch]]:
        rows, groups = partition(chunk, self.columns, self.separator)
        # Imported once and cut by khonsu, which is faster than to import each slice. A small slice
        # is copied by it, and does not keep the chunk in memory.
        batch = Batch(rows)
        return [(self._key(label), batch.slice(at, count)) for label, at, count in groups]

    def _key(self, label: str) -> str:
        if not label or not self.prefix or self.prefix.endswith(self.separator):
            return self.prefix + label
        return self.prefix + self.separator + label

    def _commit(self, groups: list[tuple[str, Batch]], rows: int, is_last: bool) -> None:
        noting = (self.done + rows, is_last)
        run(self.db, self._store, groups, noting, timeout=_TIMEOUT, tag="khonsu load")
        self.done += rows
        self.noted = noting
        self.is_begun = True

    def _store(
        self, txn: Transaction, groups: list[tuple[str, Batch]], noting: tuple[int, bool]
    ) -> None:
        if self.note is not None and _note_of(txn, self.note) != self.noted:
            raise ValueError(f"another load of {self.source.name} is under way")
        if not self.is_begun:
            self._make_room(txn)
        if self.note is not None:
            txn.put(self.note, _note_batch(self.source.name, noting))
        if self.on is not None:
            for key, rows in groups:
                txn.upsert(key, rows, on=self.on)
            return
        present = txn.get_many([key for key, _ in groups])
        for (key, rows), old in zip(groups, present, strict=True):
            txn.put(key, rows if old is None else old.concat(rows))

    def _make_room(self, txn: Transaction) -> None:
        """What if_exists says, before the first chunk and in its transaction."""
        if self.if_exists == "fail" and _prefix.has_keys(txn, self.prefix, self.separator):
            raise ValueError(
                f"there are keys under {self.prefix!r}: say if_exists='append' or 'replace'"
            )
        if self.if_exists != "replace":
            return
        span = _prefix.span_of(self.prefix, self.separator)
        if span.key is not None:
            txn.delete_range(start=span.key, stop=span.key + "\0")
        txn.delete_range(span.prefix)


def _check(prefix: str, if_exists: str, batch_rows: int, separator: str) -> None:
    _prefix.check_prefix(prefix)
    if _prefix.check_separator(separator) == "%":
        raise ValueError("'%' escapes characters of values: take another separator")
    if not prefix or prefix.endswith("*"):
        raise ValueError(f"keys cannot begin with {prefix!r}: give a prefix such as 'flights'")
    if if_exists not in ("append", "replace", "fail"):
        raise ValueError(f"if_exists is 'append', 'replace' or 'fail', not {if_exists!r}")
    if not isinstance(batch_rows, int):
        raise TypeError(f"batch_rows is an int, not {batch_rows!r}")
    if not 1 <= batch_rows <= 900_000:  # each row may be a key; a transaction writes a million
        raise ValueError(f"batch_rows is from 1 to 900,000, not {batch_rows}")


def _check_kinds(
    format: object,
    columns: str | Sequence[str] | None,
    on: object,
    progress: object,
    resume: object,
) -> Sequence[str] | None:
    """The columns as a sequence.

    Raises:
        TypeError: One of them is of a type that it cannot be.
    """
    if format is not None and not isinstance(format, str):
        raise TypeError(f"format is a str or None, not {format!r:.80}")
    if columns is not None and not (
        isinstance(columns, str)
        or (isinstance(columns, Sequence) and all(isinstance(name, str) for name in columns))
    ):
        raise TypeError(f"columns is a list of names or None, not {columns!r:.80}")
    if on is not None and not isinstance(on, str):
        raise TypeError(f"on is the name of a column or None, not {on!r:.80}")
    if progress is not None and not isinstance(progress, bool) and not callable(progress):
        raise TypeError(f"progress is a bool, a function or None, not {progress!r:.80}")
    if not isinstance(resume, bool | str):
        raise TypeError(f"resume is a bool or the name of a load, not {resume!r:.80}")
    return [columns] if isinstance(columns, str) else columns


def _chunks(batches: Iterator[Any], batch_rows: int) -> Iterator[tuple[Any, bool]]:
    """Batches joined to chunks, each with whether it is the last. (None, True): there are no rows.

    The last one is known to be by reading on; its transaction also notes that the load is complete.
    """
    before = None
    for chunk in _joined(batches, batch_rows):
        if before is not None:
            yield before, False
        before = chunk
    yield before, True


def _joined(batches: Iterator[Any], batch_rows: int) -> Iterator[Any]:
    """Batches of batch_rows rows each, or fewer where they are big; the last is what is left."""
    held: list[Any] = []
    rows = size = 0
    for batch in batches:
        for piece in _cut(batch, batch_rows, rows):
            held.append(piece)
            rows += piece.num_rows
            size += piece.nbytes
            if rows >= batch_rows or size >= _CHUNK_BYTES:
                yield from _join(held)
                held, rows, size = [], 0, 0
    yield from _join(held)


def _cut(batch: Any, batch_rows: int, held: int) -> Iterator[Any]:
    """Pieces that fill a chunk which has `held` rows, and then further ones."""
    pieces = max(1, -(-batch.nbytes // _CHUNK_BYTES))
    most = max(1, min(batch_rows, batch.num_rows // pieces))
    start = 0
    while start < batch.num_rows:
        length = min(most, batch_rows - held, batch.num_rows - start)
        yield batch.slice(start, length)
        start += length
        held = (held + length) % batch_rows


def _join(batches: list[Any]) -> list[Any]:
    """One batch of several, unless a column of it would be too big for its type."""
    if len(batches) < 2:
        return batches
    pa = require("pyarrow", "load()")
    table = pa.Table.from_batches(batches).unify_dictionaries().combine_chunks()
    joined: list[Any] = table.to_batches()
    return joined


def _note_key(source: Source, name: str | None, asked: list[Any]) -> str | None:
    if name is None and source.identity is None:
        return None
    identity = name if name is not None else source.identity
    text = json.dumps([identity, asked], sort_keys=True, default=list)
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{_prefix.RESERVED}/load/{digest[:32]}"


def _note_of(txn: Transaction, key: str) -> tuple[int, bool] | None:
    """How many rows are done, and whether that is all."""
    batch = txn.get(key)
    if batch is None:
        return None
    return int(batch.value("rows")), bool(batch.value("is_complete"))


def _note_batch(source: str, noting: tuple[int, bool]) -> Any:
    pa = require("pyarrow", "load()")
    rows, is_complete = noting
    return pa.record_batch(
        {
            "source": pa.array([source], pa.string()),
            "rows": pa.array([rows], pa.int64()),
            "is_complete": pa.array([is_complete], pa.bool_()),
        }
    )
