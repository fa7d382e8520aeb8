"""Transactions: the C extension's, and what is made of it in Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from . import _core, _scalars, _sql
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

        >>> import khonsu
        >>> people = khonsu.Schema({"id": "int64", "name": "utf8"})
        >>> with khonsu.open() as db, db.begin() as txn:
        ...     txn["people"] = people.rows([(1, "Ada"), (2, "Edsger")])
        ...     txn.delete_rows("people", [1])
        ...     txn["people"].num_rows
        1
        """
        if isinstance(ids, (list, tuple, set, frozenset, range)):
            ids = _scalars.ids_batch(ids, on or self.id_column)
        super().delete_rows(key, ids, on)

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
