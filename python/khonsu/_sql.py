"""SQL over one snapshot, by DuckDB: key prefixes are tables.

A table named N stands for key N and all keys that start with N + "/"; a quoted name that ends in
"/" or "*" is a plain prefix: ``select * from "flights/2013-01*"``. See khonsu._prefix.

DuckDB reads from its own threads, a transaction takes one thread at a time. So a registered name
reads its keys once into a Table, which is immutable and can be streamed by any thread, any number
of times; no row is copied. Names are read again by the next statement, to show the transaction's
own writes. See khonsu._tables.
"""

import functools
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from khonsu import _frames
from khonsu._core import Transaction
from khonsu._errors import BY_NAME, Error
from khonsu._optional import require
from khonsu._run import Begins
from khonsu._statements import Names
from khonsu._tables import Source, Tables

# Registering a view takes DuckDB some 0.2 ms. Others are registered when a statement names them.
_LISTED_MAX = 1000

# They are for a statement that another thread runs, and wait for nothing.
_OF_ANY_THREAD = ("interrupt", "query_progress")

# Statements after which DuckDB looks up their names again whenever it reads what they made.
_KEEPS = re.compile(r"\b(view|macro|prepare)\b", re.IGNORECASE)


class Connection:
    """A DuckDB connection in which the keys of one transaction are tables.

    Everything but what is defined here is DuckDB's: ``con.sql``, ``con.execute``, ``con.register``,
    ``con.df`` and so on. What DuckDB writes (``create table``) stays in DuckDB; results go back to
    khonsu by ``txn[key] = con.sql("...")``.

    A connection is for one thread at a time: a second one is refused with MisuseError. That goes
    for its relations too, where nobody can refuse: DuckDB would wait for them with the interpreter
    lock held. Any thread may take a cursor(), and use it beside the others: they read the
    transaction in turn, and run their queries at once. Relations stay valid when the transaction
    has ended, as far as their tables were read before.

    DuckDB's names have no case, keys have: a name stands for the keys that are spelled as it is;
    where there are none, for the only ones that differ in case alone.
    """

    def __init__(
        self, raw: Any, txn: Transaction, *, separator: str = "/", key_column: str | None = None
    ) -> None:
        """Wrap a DuckDB connection. No table is registered yet."""
        self._raw = raw
        self._tables = Tables(txn, separator, key_column)
        self._sources: dict[str, Source] = {}  # by lower name: DuckDB's names have no case
        self._held: set[str] = set()  # lower names that relations look up whenever they are read
        self._resolved: dict[str, str] = {}  # what names stood for while the transaction was open
        self._names = Names(raw)
        self._busy = threading.Lock()
        self._duckdb_error: type[Exception] = require("duckdb", "SQL over a snapshot").Error

    def sql(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        """As DuckDB's ``sql``: a relation, which runs the query each time it is read.

        Raises:
            duckdb.Error: What DuckDB says about the statement.
            InvalidError: A name is ambiguous: keys differ from each other in case only.
            MisuseError: Another thread uses the connection.
            SchemaMismatchError: The keys of a table have batches of more than one schema.
            Error: What else khonsu says when a table is read.
        """
        return self._relation("sql", query, *args, **kwargs)

    def query(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        """As DuckDB's ``query``; see :meth:`sql`."""
        return self._relation("query", query, *args, **kwargs)

    def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        """As DuckDB's ``execute``: runs the query, and returns the connection; see :meth:`sql`."""
        return self._run("execute", query, *args, **kwargs)

    def executemany(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        """As DuckDB's ``executemany``; see :meth:`sql`."""
        return self._run("executemany", query, *args, **kwargs)

    def table(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """As DuckDB's ``table``: a relation of all rows; see :meth:`sql`."""
        return self._whole("table", name, *args, **kwargs)

    def view(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """As DuckDB's ``view``: a relation of all rows; see :meth:`sql`."""
        return self._whole("view", name, *args, **kwargs)

    def cursor(self) -> "Connection":
        """Another connection to the same DuckDB database and the same transaction.

        Any thread may ask for one at any time.
        """
        cursor = self._sibling()
        cursor._need([source.name for source in list(self._sources.values())])
        return cursor

    duplicate = cursor

    def register_listed(self) -> None:
        """Register the first components of the keys: of the first thousand, in order."""
        for name in self._tables.first_components(_LISTED_MAX):
            # Two that differ in case are one to DuckDB: the first is listed.
            if name.lower() in self._sources:
                continue
            try:
                self._register(name)
            except BY_NAME["SchemaMismatchError"]:  # of two batches of this table only
                continue
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
        with self._alone():
            self._raw.close()

    def __getattr__(self, name: str) -> Any:
        """What is DuckDB's."""
        if name.startswith("_"):
            raise AttributeError(name)
        found = getattr(self._raw, name)
        if not callable(found) or name in _OF_ANY_THREAD:
            return found

        @functools.wraps(found)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            with self._alone():
                result = _frames.call(found, *args, **kwargs)
            return self if result is self._raw else result

        return guarded

    def __dir__(self) -> list[str]:
        """DuckDB's names too."""
        return sorted({*super().__dir__(), *dir(self._raw)})

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Refuse a second thread: it would wait for DuckDB with the interpreter lock held, and the
        first would wait for that lock to read a table."""
        if not self._busy.acquire(blocking=False):
            raise BY_NAME["MisuseError"](
                "the DuckDB connection is used by another thread: take one for each (cursor())"
            )
        try:
            yield
        finally:
            self._busy.release()

    def _relation(self, method: str, query: Any, *args: Any, **kwargs: Any) -> Any:
        """Call what gives a relation, which looks up its tables each time that it is read."""
        with self._alone():
            if not self._prepare(query, keeps=True):
                return self._sibling()._relation(method, query, *args, **kwargs)
            return self._call(method, query, *args, **kwargs)

    def _whole(self, method: str, name: str, *args: Any, **kwargs: Any) -> Any:
        with self._alone():
            self._expire()
            known = [name] if name.lower() in self._sources else []
            if not self._settle(known, takes_over=False):
                return self._sibling()._whole(method, name, *args, **kwargs)
            self._need([name])
            self._hold([name])
            return self._call(method, name, *args, **kwargs)

    def _run(self, method: str, query: Any, *args: Any, **kwargs: Any) -> Any:
        with self._alone():
            if not self._prepare(query, takes_over=True):
                raise BY_NAME["InvalidError"](
                    "a relation of this connection reads a table whose name differs in case only: "
                    "execute this one on another connection (cursor())"
                )
            return self._call(method, query, *args, **kwargs)

    def _sibling(self) -> "Connection":
        tables = self._tables
        return Connection(
            self._raw.cursor(),
            tables.txn,
            separator=tables.separator,
            key_column=tables.key_column,
        )

    def _prepare(self, query: Any, *, takes_over: bool = False, keeps: bool = False) -> bool:
        """Register the tables that the statements name, and have them read anew.

        takes_over: The result of the execute() before, read or not, will be given up.
        keeps: A relation will look up the names later.

        False: an earlier one needs another table under one of these names.
        """
        self._expire()  # first: DuckDB reads tables to tell their names, and these are the new ones
        statements = self._names.statements(query)
        known = [name for each in statements for name in self._known_in(each)]
        if not self._settle(known, takes_over=takes_over):
            return False
        for statement in statements:
            names = self._names.missing(statement)
            self._need(names, takes_over=takes_over)
            if not names:  # show tables, say
                self._list_if_open()
            if keeps or _KEEPS.search(statement):
                self._hold([*known, *names])
        return True

    def _known_in(self, statement: str) -> list[str]:
        """The names in it that DuckDB has a table for already, from here."""
        if not self._sources:
            return []
        return [name for name in self._names.spelled(statement) if name.lower() in self._sources]

    def _hold(self, names: Iterable[str]) -> None:
        lows = (name.lower() for name in names)
        self._held.update(low for low in lows if low in self._sources)

    def _settle(self, names: Iterable[str], *, takes_over: bool) -> bool:
        """Have the names that DuckDB knows already stand for the keys that these spellings mean.

        False: a relation needs them as they are.
        """
        for low, name in self._meant(names).items():
            if self._knows(name):
                continue
            if low in self._held:
                return False
            self._complete(is_wanted=takes_over)
            self._register(name)
        return True

    def _meant(self, names: Iterable[str]) -> dict[str, str]:
        """By lower name, the one prefix of keys that the spellings of it stand for.

        Raises:
            InvalidError: They stand for several, which are one to DuckDB.
        """
        meant: dict[str, str] = {}
        for spelled in dict.fromkeys(names):
            name = self._resolve(spelled)
            if name is None:
                continue
            other = meant.setdefault(name.lower(), name)
            if other != name:
                raise _ambiguous(f"{other!r} and {name!r} are one name to DuckDB, and the keys")
        return meant

    def _resolve(self, spelled: str) -> str | None:
        """The prefix of keys that a name stands for: its own spelling, or the only other one."""
        source = self._sources.get(spelled.lower())
        if self._tables.txn.closed:
            return self._resolve_late(spelled, source)
        name = self._resolve_now(spelled, source)
        if name is not None:
            self._resolved[spelled] = name
        return name

    def _resolve_late(self, spelled: str, source: Source | None) -> str | None:
        """The same when nobody can be asked which keys there were."""
        if source is None or spelled == source.name:
            return None if source is None else spelled
        if self._resolved.get(spelled) != source.name:
            raise BY_NAME["FinishedError"](f"the transaction has ended: {spelled!r} is not read")
        return source.name

    def _resolve_now(self, spelled: str, source: Source | None) -> str | None:
        if self._tables.has_keys(spelled):
            return spelled
        listed = self._tables.first_components(_LISTED_MAX)
        found = [name for name in listed if name.lower() == spelled.lower()]
        if len(found) > 1:
            raise _ambiguous(f"{spelled!r} may be any of {found}: spell it as one of them; these")
        if found:
            return found[0]
        return None if source is None else source.name  # of keys that are gone: reading it tells

    def _expire(self) -> None:
        for source in self._sources.values():
            source.expire()

    def _need(self, names: list[str], *, takes_over: bool = False) -> None:
        """Register what DuckDB does not know yet."""
        if self._tables.txn.closed:
            return
        for name in self._meant(names).values():
            if self._knows(name):
                continue
            self._complete(is_wanted=takes_over)
            self._register(name)

    def _complete(self, *, is_wanted: bool) -> None:
        """DuckDB registers nothing while a result is not read to its end."""
        if is_wanted and hasattr(self._raw, "complete"):
            self._raw.complete()

    def _knows(self, name: str) -> bool:
        source = self._sources.get(name.lower())
        return source is not None and source.name == name

    def _list_if_open(self) -> None:
        if not self._tables.txn.closed:
            self.register_listed()

    def _register(self, name: str) -> None:
        source = Source(self._tables, name)
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
            result = _frames.call(getattr(self._raw, method), *args, **kwargs)
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
        FinishedError: The transaction has ended.
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
        FinishedError: The transaction has ended.
        InvalidError: A name is ambiguous: keys differ from each other in case only.
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


def _ambiguous(words: str) -> Error:
    return BY_NAME["InvalidError"](f"ambiguous: {words} differ in case only")


def _open(txn: Transaction, separator: str, key_column: str | None) -> Connection:
    module = require("duckdb", "SQL over a snapshot")
    if txn.closed:
        raise BY_NAME["FinishedError"]("the transaction has ended: its tables cannot be read")
    raw = module.connect(":memory:")
    return Connection(raw, txn, separator=separator, key_column=key_column)
