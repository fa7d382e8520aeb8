"""Transactions: the C extension's, and what is made of it in Python."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Unpack

from . import _core, _scalars, _sql
from ._errors import BY_NAME, Error
from ._options import TransactionOptions

if TYPE_CHECKING:
    from ._database import Database


class Transaction(_core.Transaction):
    """A transaction: ``Database.begin`` makes one.

    In a ``with`` block it commits at the end, and rolls back when the block raises. It reads as a
    mapping from keys to :class:`Batch`: ``txn[key]``, ``txn.get(key)``, ``key in txn``, ``for key
    in txn``; and it is written as one: ``txn[key] = rows``, ``del txn[key]`` (of an absent key too:
    it is a write). One thread at a time; a second one is refused with MisuseError.

    >>> import khonsu
    >>> people = khonsu.Schema({"id": "int64", "name": "utf8"})
    >>> with khonsu.open() as db:
    ...     with db.begin() as txn:
    ...         txn["people"] = people.rows([(1, "Ada"), (2, "Edsger")])
    ...     with db.begin(read_only=True) as txn:
    ...         txn["people"].value("name", 1)
    'Edsger'
    """

    if TYPE_CHECKING:

        def __init__(self, db: Database, **options: Unpack[TransactionOptions]) -> None: ...

        @property
        def db(self) -> Database: ...

    def delete_rows(self, key: _core.Key, ids: Any, on: str | None = None) -> None:
        """Remove the rows of these ids: Arrow data with an id column, or a sequence of ids.

        A sequence's ids are those of the key's own type: text for any type of text, numbers for any
        integers, dates for dates. One that this type cannot hold is a ValueError.

        >>> import khonsu
        >>> people = khonsu.Schema({"id": "int64", "name": "utf8"})
        >>> with khonsu.open() as db, db.begin() as txn:
        ...     txn["people"] = people.rows([(1, "Ada"), (2, "Edsger")])
        ...     txn.delete_rows("people", [1])
        ...     txn["people"].num_rows
        1
        """
        if isinstance(ids, (list, tuple, set, frozenset, range)):
            self._delete_listed(key, ids, on)
        else:
            super().delete_rows(key, ids, on)

    def _delete_listed(self, key: _core.Key, ids: Collection[Any], on: str | None) -> None:
        """By the type of what is stored, in its newest version: to look there is no read of the
        transaction's, as its own get would be, and to delete rows is none."""
        column = on or self.id_column
        refused: Exception | None = None
        for look in (self._newest, self.get):  # the second sees the transaction's own writes
            stored = look(key)
            if stored is None or column not in stored.column_names:
                continue
            try:
                return super().delete_rows(key, _scalars.ids_like(ids, column, stored.schema), on)
            except (Error, TypeError, ValueError, OverflowError) as error:
                refused = error
        if refused is not None:
            raise refused
        return super().delete_rows(key, _scalars.usual_ids(ids, column), on)

    def _newest(self, key: _core.Key) -> _core.Batch | None:
        try:
            return self.db.get(key)
        except BY_NAME["BusyError"]:  # no room for one more transaction
            return None

    def sql(
        self,
        query: str,
        params: object = None,
        *,
        separator: str = "/",
        key_column: str | None = None,
    ) -> Any:
        """Ask DuckDB, over this transaction's snapshot and its own writes.

        A table is a key prefix: ``flights`` stands for key ``flights`` and all of ``flights/...``.
        The result is a DuckDB relation. See :func:`khonsu._sql.sql_in`.
        """
        return _sql.sql_in(self, query, params, separator=separator, key_column=key_column)

    def duckdb(self, *, separator: str = "/", key_column: str | None = None) -> _sql.Connection:
        """A DuckDB connection in which the keys of this transaction are tables.

        See :func:`khonsu._sql.connect`.
        """
        return _sql.connect(self, separator=separator, key_column=key_column)
