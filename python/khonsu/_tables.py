"""What DuckDB reads: the keys of a transaction under a name, as one table.

DuckDB asks in whatever thread it likes, and the cursors of a connection do so at once; a
transaction takes one thread at a time. So all that is read here of one transaction is read in turn.
"""

import threading
from typing import Any

from khonsu import _prefix
from khonsu._core import Table, Transaction
from khonsu._optional import require


class Tables:
    """The keys of a transaction as tables; for any number of threads."""

    def __init__(self, txn: Transaction, separator: str, key_column: str | None) -> None:
        """Of a transaction, with the options of khonsu._sql.connect."""
        self.txn = txn
        self.separator = _prefix.check_separator(separator)
        self.key_column = key_column
        # One for all that read this transaction, however many connections were made for it.
        self._turn: Any = vars(txn).setdefault("_turn", threading.RLock())

    def has_keys(self, name: str) -> bool:
        """Whether there is a key that the name stands for."""
        with self._turn:
            return _prefix.has_keys(self.txn, name, self.separator)

    def first_components(self, limit: int) -> list[str]:
        """The distinct first components of the keys, in order; at most `limit`."""
        with self._turn:
            return _prefix.first_components(self.txn, self.separator, limit)

    def read(self, name: str, limit: int = 0) -> Any:
        """The rows under a name, as what offers a stream; see khonsu._prefix.read."""
        with self._turn:
            tables = _prefix.read(self.txn, name, self.separator, limit)
        if self.key_column is None:
            return _prefix.join(tables)
        return _with_keys(tables, name, self.key_column)


class Source:
    """What DuckDB has under a name: it asks for the schema, then for a stream, once per scan."""

    def __init__(self, tables: Tables, name: str) -> None:
        """Of the keys that the name stands for. Nothing is read yet."""
        self.name = name
        self._failure: Exception | None = None
        self.is_listed_only = False  # the columns are asked for, not the rows
        self._tables = tables
        self._table: Any = None
        self._expired = True
        self._lock = threading.Lock()

    def expire(self) -> None:
        """Have the keys read again by the next scan, if the transaction is still open then."""
        self._expired = True

    def take_failure(self) -> Exception | None:
        """The last failure to read the keys, once."""
        failure, self._failure = self._failure, None
        return failure

    def __arrow_c_schema__(self) -> object:
        """The columns. DuckDB asks before each scan, in the thread that runs the statement."""
        table = self._first() if self.is_listed_only else self._read()
        # pyarrow's tables have their schema beside them.
        return getattr(table, "schema", table).__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The rows. DuckDB asks in any of its threads."""
        return self._read().__arrow_c_stream__(requested_schema)

    def _first(self) -> Any:
        """Of the first key only: the columns of all are the same, or a statement will say so."""
        try:
            return self._tables.read(self.name, limit=1)
        except Exception as error:
            self._failure = error
            raise

    def _read(self) -> Any:
        with self._lock:
            if self._expired and not (self._table is not None and self._tables.txn.closed):
                self._expired = False  # first: it may expire again while it is read
                try:
                    self._table = self._tables.read(self.name)
                except Exception as error:
                    self._expired = True
                    self._failure = error
                    raise
            return self._table


def _with_keys(tables: list[Table], name: str, column: str) -> Any:
    """A pyarrow.Table of the rows with the key of each in one more column."""
    pa = require("pyarrow", "key_column")
    compute = require("pyarrow.compute", "key_column")
    rows = pa.concat_tables([pa.table(table) for table in tables])
    if column in rows.column_names:
        raise ValueError(f"table {name!r} has a column {column!r}: take another key_column")
    keys, ends, end = [], [], 0
    for table in tables:
        for key, batch in zip(table.keys, table.batches, strict=True):
            if batch.num_rows:  # runs cannot be empty
                end += batch.num_rows
                keys.append(key)
                ends.append(end)
    numbers = pa.array(range(len(keys)), pa.int32())
    runs = pa.RunEndEncodedArray.from_arrays(pa.array(ends, pa.int64()), numbers)
    indices = compute.run_end_decode(runs)
    names = pa.array(keys, pa.string())
    return rows.append_column(column, pa.DictionaryArray.from_arrays(indices, names))
