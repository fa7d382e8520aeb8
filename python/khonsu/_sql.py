"""SQL over one snapshot, by DuckDB: key prefixes are tables.

A table named N stands for key N and all keys that start with N + "/"; a quoted name that ends in
"/" or "*" is a plain prefix: ``select * from "flights/2013-01*"``. See khonsu._prefix.

DuckDB reads from its own threads, a transaction takes one thread at a time. So a registered name
reads its keys once into a Table, which is immutable and can be streamed by any thread, any number
of times; no row is copied. Names are read again by the next statement, to show the transaction's
own writes.
"""

import re
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from khonsu import _prefix
from khonsu._core import Table, Transaction
from khonsu._errors import Error
from khonsu._optional import require
from khonsu._run import Begins

# Registering a view takes DuckDB some 0.2 ms. Others are registered when a statement names them.
_LISTED_MAX = 1000

# What may name a table where DuckDB cannot tell: "quoted", 'quoted' and bare words.
_WORD = re.compile(r'"((?:[^"]|"")+)"|\'((?:[^\']|\'\')+)\'|([^\W\d]\w*)')


class Connection:
    """A DuckDB connection in which the keys of one transaction are tables.

    Everything but what is defined here is DuckDB's: ``con.sql``, ``con.execute``, ``con.register``,
    ``con.df`` and so on. What DuckDB writes (``create table``) stays in DuckDB; results go back to
    khonsu by ``txn[key] = con.sql("...")``.

    A connection is for one thread at a time, as the transaction is. Relations stay valid when the
    transaction has ended, as far as their tables were read before.
    """

    def __init__(
        self, raw: Any, txn: Transaction, *, separator: str = "/", key_column: str | None = None
    ) -> None:
        """Wrap a DuckDB connection. No table is registered yet."""
        self._raw = raw
        self._txn = txn
        self._separator = _prefix.check_separator(separator)
        self._key_column = key_column
        self._sources: dict[str, _Source] = {}  # by lower name: DuckDB's names have no case
        self._duckdb_error: type[Exception] = require("duckdb", "SQL over a snapshot").Error

    def sql(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        """As DuckDB's ``sql``: a relation, which runs the query each time it is read.

        Raises:
            duckdb.Error: What DuckDB says about the statement.
            SchemaMismatchError: The keys of a table have batches of more than one schema.
            Error: What else khonsu says when a table is read.
        """
        self._prepare(query)
        return self._call("sql", query, *args, **kwargs)

    def query(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        """As DuckDB's ``query``; see :meth:`sql`."""
        self._prepare(query)
        return self._call("query", query, *args, **kwargs)

    def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        """As DuckDB's ``execute``: runs the query, and returns the connection; see :meth:`sql`."""
        self._prepare(query, takes_over=True)
        return self._call("execute", query, *args, **kwargs)

    def executemany(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        """As DuckDB's ``executemany``; see :meth:`sql`."""
        self._prepare(query, takes_over=True)
        return self._call("executemany", query, *args, **kwargs)

    def table(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """As DuckDB's ``table``: a relation of all rows; see :meth:`sql`."""
        self._expire()
        self._need([name])
        return self._call("table", name, *args, **kwargs)

    def view(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """As DuckDB's ``view``: a relation of all rows; see :meth:`sql`."""
        self._expire()
        self._need([name])
        return self._call("view", name, *args, **kwargs)

    def cursor(self) -> "Connection":
        """Another connection to the same DuckDB database and the same transaction."""
        cursor = Connection(
            self._raw.cursor(), self._txn, separator=self._separator, key_column=self._key_column
        )
        cursor._need([source.name for source in self._sources.values()])
        return cursor

    duplicate = cursor

    def register_listed(self) -> None:
        """Register the first components of the keys: of the first thousand, in order."""
        for name in _prefix.first_components(self._txn, self._separator, _LISTED_MAX):
            # Two that differ in case are one to DuckDB: the first is listed.
            if name.lower() in self._sources:
                continue
            try:
                self._register(name)
            except Error:
                raise
            except Exception:  # a type that DuckDB lacks, say: a statement that names it will tell
                continue

    def __enter__(self) -> "Connection":
        """Return self."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the DuckDB connection. The transaction goes on."""
        self._raw.close()

    def __getattr__(self, name: str) -> Any:
        """What is DuckDB's."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._raw, name)

    def __dir__(self) -> list[str]:
        """DuckDB's names too."""
        return sorted({*super().__dir__(), *dir(self._raw)})

    def _prepare(self, query: Any, *, takes_over: bool = False) -> None:
        """Register the tables that the statements name, and have them read anew.

        takes_over: The result of the execute() before, read or not, will be given up.
        """
        self._expire()  # first: DuckDB reads tables to tell their names, and these are the new ones
        for statement in self._statements(query):
            try:
                names = list(self._raw.get_table_names(statement))
            except self._duckdb_error:  # DuckDB does not say for some: "... where x = ?"
                names = list(_words(statement))
            self._need(names, takes_over=takes_over)
            if not names:  # show tables, say
                self._list_if_open()

    def _expire(self) -> None:
        for source in self._sources.values():
            source.expire()

    def _statements(self, query: Any) -> list[str]:
        if not isinstance(query, str):
            text = getattr(query, "query", None)  # a duckdb.Statement
            return [text] if isinstance(text, str) else []
        try:
            return [statement.query for statement in self._raw.extract_statements(query)]
        except self._duckdb_error:
            return []  # a syntax error: the statement itself will say so

    def _need(self, names: list[str], *, takes_over: bool = False) -> None:
        if self._txn.closed:
            return
        missing = [name for name in names if not self._knows(name)]
        if missing and takes_over and hasattr(self._raw, "complete"):
            self._raw.complete()  # DuckDB registers nothing while a result is not read to its end
        for name in missing:
            if _prefix.has_keys(self._txn, name, self._separator):
                self._register(name)
            elif name.lower() not in self._sources:
                self._register_by_case(name)

    def _knows(self, name: str) -> bool:
        source = self._sources.get(name.lower())
        return source is not None and source.name == name

    def _register_by_case(self, name: str) -> None:
        """`from Flights`, where the keys say flights/."""
        for listed in _prefix.first_components(self._txn, self._separator, _LISTED_MAX):
            if listed.lower() == name.lower():
                return self._register(listed)

    def _list_if_open(self) -> None:
        if not self._txn.closed:
            self.register_listed()

    def _register(self, name: str) -> None:
        source = _Source(self._txn, name, self._separator, self._key_column)
        before = self._sources.get(name.lower())
        self._sources[name.lower()] = source
        source.is_listed_only = True  # DuckDB asks for the columns now, a statement may never come
        try:
            self._call("register", name, source)
        except BaseException:
            self._sources.pop(name.lower())
            if before is not None:
                self._sources[name.lower()] = before
            raise
        source.is_listed_only = False

    def _call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        self._take_failure()  # of an earlier call, which nobody asked for
        try:
            result = getattr(self._raw, method)(*args, **kwargs)
        except self._duckdb_error as error:
            failure = self._take_failure()
            if failure is None:
                raise
            raise failure from error
        return self if result is self._raw else result

    def _take_failure(self) -> Exception | None:
        """What khonsu raised inside DuckDB, which keeps the words only."""
        failures = [source.take_failure() for source in self._sources.values()]
        return next((failure for failure in failures if failure is not None), None)


class _Source:
    """What DuckDB has under a name: it asks for the schema, then for a stream, once per scan."""

    def __init__(
        self, txn: Transaction, name: str, separator: str, key_column: str | None
    ) -> None:
        self.name = name
        self._failure: Exception | None = None
        self.is_listed_only = False  # the columns are asked for, not the rows
        self._txn = txn
        self._separator = separator
        self._key_column = key_column
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
            return self._with_keys(_prefix.read(self._txn, self.name, self._separator, limit=1))
        except Exception as error:
            self._failure = error
            raise

    def _read(self) -> Any:
        with self._lock:
            if self._expired and not (self._table is not None and self._txn.closed):
                self._expired = False  # first: it may expire again while it is read
                try:
                    tables = _prefix.read(self._txn, self.name, self._separator)
                    self._table = self._with_keys(tables)
                except Exception as error:
                    self._expired = True
                    self._failure = error
                    raise
            return self._table

    def _with_keys(self, tables: list[Table]) -> Any:
        if self._key_column is None:
            return _prefix.join(tables)
        return _with_keys(tables, self.name, self._key_column)


def connect(
    txn: Transaction, *, separator: str = "/", key_column: str | None = None
) -> Connection:
    """A DuckDB connection in which the keys of a transaction are tables.

    The first components of the keys are listed as tables (the first thousand); other names, such
    as ``"flights/2013-01-01"``, become tables when a statement names them. Of each one key is read,
    for the columns, and the others when a statement reads the table. All tables are of the
    transaction's snapshot, with its own writes; at read committed each is of its own moment.

    Args:
        txn: The transaction. It should outlive the first reading of each table.
        separator: One ASCII character between the components of a key.
        key_column: Add a column of this name with the key of each row (dictionary-encoded; needs
            pyarrow).

    Raises:
        ImportError: DuckDB is not installed.
        ValueError: The separator is not one ASCII character.
    """
    connection = _open(txn, separator, key_column)
    connection.register_listed()
    return connection


def sql_in(
    txn: Transaction,
    query: str,
    params: Any = None,
    *,
    separator: str = "/",
    key_column: str | None = None,
) -> Any:
    """Run a query over a transaction's snapshot; see :func:`connect` for its tables.

    Returns:
        A DuckDB relation (``fetchall()``, ``df()``, ``pl()``, ``arrow()``, ``__arrow_c_stream__``)
        which stays valid when the transaction has ended. It runs the query each time it is read,
        always on the same rows. None for a statement that has no result.

    Raises:
        ImportError: DuckDB is not installed.
        duckdb.Error: What DuckDB says about the query.
        SchemaMismatchError: The keys of a table have batches of more than one schema.
    """
    connection = _open(txn, separator, key_column)
    if params is None:
        return connection.sql(query)
    return connection.sql(query, params=params)


def sql(
    db: Begins[Transaction],
    query: str,
    params: Any = None,
    *,
    at: int | None = None,
    separator: str = "/",
    key_column: str | None = None,
) -> Any:
    """Run a query over the database's present or past; see :func:`sql_in`.

    Args:
        db: The database.
        query: SQL for DuckDB.
        params: Values for its parameters: a list for ``?``, a dict for ``$name``.
        at: Read as of this timestamp instead of now.
        separator: As for :func:`connect`.
        key_column: As for :func:`connect`.

    Raises:
        TooOldError: History does not reach back to `at`.
        Error: As for :func:`sql_in`.

    Any thread may call it: each call has a transaction and a DuckDB connection of its own.
    """
    options: dict[str, Any] = {"read_only": True}
    options |= {"isolation": "repeatable_read"} if at is None else {"at": at}
    with db.begin(**options) as txn:
        return sql_in(txn, query, params, separator=separator, key_column=key_column)


def _open(txn: Transaction, separator: str, key_column: str | None) -> Connection:
    module = require("duckdb", "SQL over a snapshot")
    # The variables of all callers, not only of the nearest, which is our own: so that DuckDB finds
    # a DataFrame of the user's by its name, as it does without us.
    raw = module.connect(":memory:", config={"python_scan_all_frames": True})
    return Connection(raw, txn, separator=separator, key_column=key_column)


def _words(statement: str) -> Iterator[str]:
    for match in _WORD.finditer(statement):
        double, single, bare = match.groups()
        if double is not None:
            yield double.replace('""', '"')
        elif single is not None:
            yield single.replace("''", "'")
        else:
            yield bare


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
