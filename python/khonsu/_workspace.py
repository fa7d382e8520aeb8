"""Workspaces: transactions that know what their change means, and what two changes are to another.

The rules are those of docs/semantic.md: keys and isolation decide first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, Unpack

from . import _core
from ._core import Classified, Delta
from ._options import Numbers, Thresholds, WorkspaceOptions
from ._transaction import Transaction

if TYPE_CHECKING:
    from ._database import Database

Keys: TypeAlias = Sequence[_core.Key]


class Workspace(Transaction, _core.Workspace):
    """A transaction that carries an embedding of its change: ``Database.workspace`` makes one.

    It has all calls of a :class:`Transaction` but ``commit_start``, and is used as one. Puts,
    deletions, ``update``, ``compare_and_swap`` and ``embed`` are listed in ``operations``; row
    operations, ``delete_range`` and puts with a policy of their own are written and not listed.

    >>> import khonsu
    >>> note = khonsu.Schema({"id": "int64", "text": "utf8"})
    >>> with khonsu.open() as db:
    ...     with db.workspace(mode="guard") as ws:
    ...         ws["notes/hours"] = note.row(1, "Open on Saturdays.")
    ...         ws.before([0.0, 1.0])
    ...         ws.after([0.5, 1.0])
    ...     ws.state, ws.delta.values, ws.delta.keys
    ('committed', [0.5, 0.0], ['notes/hours'])
    """

    if TYPE_CHECKING:

        def __init__(self, db: Database, **options: Unpack[WorkspaceOptions]) -> None: ...


def classify(
    a: Delta | Numbers | None,
    b: Delta | Numbers | None,
    keys: tuple[Keys, Keys] = ((), ()),
    thresholds: Thresholds | None = None,
) -> Classified:
    """What two changes are to each other: a class and the cosine of their deltas.

    Args:
        a: A Delta, or the numbers of one; None: absent, the class is "none".
        b: The other.
        keys: Which keys a touches, and which b; those of a Delta are its own.
        thresholds: None: the defaults.

    Raises:
        InvalidError: A number is not finite. Of different dimensions: no error, the class "none".

    >>> import khonsu
    >>> khonsu.classify([1, 0], [0.8, 0.6]).kind
    'conflicting'
    >>> khonsu.classify([1, 0], [0.5, 0.866], keys=(["a"], ["a", "b"])).kind
    'ambiguous'
    """
    keys_a, keys_b = keys
    return _core._classify(_delta(a, keys_a), _delta(b, keys_b), thresholds)


def _delta(change: Any, keys: Keys) -> Delta | None:
    if change is None or isinstance(change, Delta):
        return change
    return Delta(change, keys)
